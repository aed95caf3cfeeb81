"""The conditions of an `if`, judged in Python with the meaning of docs/decision.md, "Conditions": true, false, unknown.

Pure; numbers are compared exactly, and globs are walked in time proportional to the text.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from orchestrator.glob import ALL, DEEP, ONE, STAR, Kind, Token, expand, tokens
from orchestrator.plans.model import Condition, When

Verdict: TypeAlias = bool | None
"""None is unknown."""

MISSING = object()
"""What a path finds where there is nothing; null and [] are nothing."""

_URL = re.compile(r"https?://([A-Za-z0-9._-]+)(?::[0-9]*)?(?:[/?#].*)?", re.DOTALL | re.ASCII | re.IGNORECASE)


def verdict(when: When, scope: Mapping[str, Any]) -> Verdict:
    """Return whether all conditions hold; of a list every item must satisfy all operators."""
    return _all(_condition(each, scope) for each in when)


def _all(parts: Iterable[Verdict]) -> Verdict:
    seen = set(parts)
    return False if False in seen else None if None in seen else True


def _not(part: Verdict) -> Verdict:
    return None if part is None else not part


def _condition(condition: Condition, scope: Mapping[str, Any]) -> Verdict:
    return _all(
        _judge(element, name, values, scope)
        for element in elements(scope, condition.path.split("."))
        for name, values in condition.operators
    )


def elements(value: object, steps: list[str]) -> list[object]:
    """Return what a path finds: one value, the items of a list, or MISSING for each thing that is not there."""
    if not steps:
        found = list(value) if isinstance(value, list | tuple) and value else [value]
        return [MISSING if each is None or each in ([], ()) else each for each in found]
    name, is_list = steps[0].removesuffix("[]"), steps[0].endswith("[]")
    inner = value.get(name) if isinstance(value, Mapping) else None
    if inner is None:
        return [MISSING]
    if not is_list:
        return elements(inner, steps[1:])
    if not isinstance(inner, list | tuple) or not inner:
        return [MISSING]
    return [each for item in inner for each in elements(item, steps[1:])]


def _judge(element: object, name: str, values: tuple[Any, ...], scope: Mapping[str, Any]) -> Verdict:
    is_negated = name.startswith("not_")
    positive = name.removeprefix("not_")
    if positive == "exists":
        return (element is not MISSING) is values[0]
    if positive in _ON_NUMBERS:
        is_number = _type(element) == "number"
        return _ON_NUMBERS[positive](exact(element), exact(values[0])) if is_number else None
    found = (
        _is_same(element, _single(scope, values[0])) if positive == "same_as" else _ON_VALUES[positive](element, values)
    )
    return _not(found) if is_negated else found


def _is_one_of(element: object, values: Iterable[object]) -> Verdict:
    alike = [value for value in values if _type(value) == _type(element) is not None]
    return any(_equal(element, value) for value in alike) if alike else None


def _is_same(element: object, other: object) -> Verdict:
    return _equal(element, other) if _type(element) == _type(other) is not None else None


def _equal(one: object, other: object) -> bool:
    return exact(one) == exact(other) if _type(one) == "number" else one == other


def _single(scope: object, path: str) -> object:
    value = scope
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return MISSING if value is None else value


def _type(value: object) -> str | None:
    """Return `boolean`, `number` or `string`; None for what is no scalar. True is not 1."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float | Decimal):
        return "number"
    return "string" if isinstance(value, str) else None


def exact(number: object) -> Decimal:
    """Return a number as its JSON text says it: 0.1 is a tenth."""
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(str(number))


def host_of(value: object) -> str | None:
    """Return the host that an http(s) URL names, lower-cased, without port and one trailing dot; None in doubt."""
    found = _URL.fullmatch(value) if isinstance(value, str) else None
    return found[1].lower().removesuffix(".") if found else None


def _matches(value: object, patterns: Iterable[str], kind: Kind) -> Verdict:
    if not isinstance(value, str):
        return None
    return any(_walk(tokens(one, kind), value, kind.separator) for pattern in patterns for one in expand(pattern))


def _walk(found: list[str], text: str, separator: str) -> bool:
    """Return whether tokens match the whole text, by the places that each token can end at."""
    places = {0}
    for token in found:
        places = _after(token, places, text, separator)
        if not places:
            return False
    return len(text) in places


def _after(token: str, places: set[int], text: str, separator: str) -> set[int]:
    if not isinstance(token, Token):
        return {place + len(token) for place in places if text.startswith(token, place)}
    if token == ONE:
        return {place + 1 for place in places if place < len(text) and text[place] != separator}
    first = min(places)
    if token == ALL:
        return set(range(first, len(text) + 1))
    if token == DEEP:
        return places | {place + 1 for place in range(first, len(text)) if text[place] == separator}
    if token != STAR:
        raise ValueError(f"no wildcard {token!r}")
    return _segments(places, text, separator)


def _segments(places: set[int], text: str, separator: str) -> set[int]:
    reached: set[int] = set()
    at = -1
    for place in sorted(places):
        if place <= at and place in reached:
            continue
        end = text.find(separator, place)
        at = len(text) if end < 0 else end
        reached.update(range(place, at + 1))
    return reached


_ON_NUMBERS: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "min": operator.ge,
    "max": operator.le,
    "above": operator.gt,
    "below": operator.lt,
}
_ON_VALUES: dict[str, Callable[[object, tuple[Any, ...]], Verdict]] = {
    "equals": _is_one_of,
    "in": _is_one_of,
    "glob": lambda value, patterns: _matches(value, patterns, Kind.PATH),
    "host": lambda value, patterns: _matches(host_of(value), patterns, Kind.HOST),
}
