"""The conditions of an `if`: from their model to `Condition`; what cannot be judged is noted."""

import re
from collections.abc import Mapping
from typing import Any

from orchestrator.condition import check_glob
from orchestrator.document import Map, shown
from orchestrator.lists import unescaped
from orchestrator.plans.model import Condition, When
from orchestrator.plans.seen import Seen
from orchestrator.plans.spot import Spot
from orchestrator.plans.values import references
from orchestrator.schema import Operators
from orchestrator.shape import is_list_name

_SEGMENT = re.compile(r"[^\s.\[\]{}$\x00-\x20\x7f]{1,128}(\[\])?")
_GLOBS = ("glob", "not_glob", "host", "not_host")


def read_when(when: Mapping[str, Operators], spot: Spot, seen: Seen) -> When:
    """Return conditions in the order written; `spot` is the mapping of `if`."""
    allowed = seen.in_conditions()
    for path in when:
        _check_path(path, spot, allowed)
    return tuple(Condition(path, _operators(operators, spot.below(path), allowed)) for path, operators in when.items())


def _check_path(path: str, spot: Spot, seen: Seen) -> None:
    names = tuple(path.split("."))
    if not all(map(_SEGMENT.fullmatch, names)) or names[0].endswith("[]"):
        spot.key_error(path, f"the path {shown(path)}", "names joined by `.`, with `[]` after a list")
    elif wrong := seen.wrong(names):
        spot.key_error(path, *wrong)


def _operators(operators: Operators, spot: Spot, seen: Seen) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    found = []
    for name, field in Operators.model_fields.items():
        if name not in operators.model_fields_set:
            continue
        key = field.alias or name
        is_long = isinstance(spot.value, Map)
        found.append((key, _values(key, spot, key if is_long else None, seen)))
    return tuple(found)


def _values(key: str, spot: Spot, name: str | None, seen: Seen) -> tuple[Any, ...]:
    holder = spot if name is None else spot.below(name)
    items = (
        Spot(spot.document, spot.notes, spot.path[:-1]).items(str(spot.path[-1])) if name is None else spot.items(name)
    )
    for item in items:
        value = item.value
        if any(references(value)):
            item.error(f"the reference {shown(value)}", "a plain value", "to compare with another value use `same_as`")
        elif is_list_name(value):
            item.error(f"the list {shown(value)}", "the items themselves: plans have no lists", "text is written $$...")
        elif key in _GLOBS:
            check_glob(str(value), item.place, item.notes)
    if key in {"same_as", "not_same_as"}:
        _check_other(holder, seen)
    return tuple(unescaped(item.json()) for item in items)


def _check_other(spot: Spot, seen: Seen) -> None:
    path = str(spot.value)
    names = tuple(path.split("."))
    if "[]" in path:
        spot.error(f"{shown(path)}, which leads to several values", "a path without `[]`")
    elif not all(map(_SEGMENT.fullmatch, names)):
        spot.error(f"the path {shown(path)}", "names joined by `.`")
    elif wrong := seen.wrong(names):
        spot.error(*wrong)
