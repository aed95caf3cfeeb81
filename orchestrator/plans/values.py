"""References in a plan's values: found, judged and filled in. Pure; secrets stay references, whatever is filled in.

A scope is JSON: `{inputs: {NAME: ...}, steps: {ID: {outputs: {...}}}, phases: {ID: {state}}, run: {id, ...}}`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from orchestrator.errors import UsageError
from orchestrator.names import shown
from orchestrator.plans.condition import verdict
from orchestrator.plans.model import Criterion, When

RUN_NAMES = ("id", "mode", "name", "repository")
"""What a plan may know of its run."""
ROOTS = ("inputs", "run", "secrets", "steps")
"""What a reference may begin with."""

_OPEN = "${{"
_REFERENCE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_SEGMENT = r"[^\s.{}\[\]$\x00-\x20\x7f]{1,128}"
_PATH = re.compile(rf"{_SEGMENT}(?:\.{_SEGMENT}){{0,31}}")
_SECRET = re.compile(r"\$\s*\{\s*\{\s*secrets\b", re.IGNORECASE)
"""What might be taken for the reference of a secret; wider than what is."""
_MISSING = object()


class Reference(NamedTuple):
    """One `${{ ... }}`, or what is left of one."""

    path: str
    """Such as `steps.make.outputs.count`; what stands between the braces where it is none."""
    where: tuple[str | int, ...]
    """Keys and positions that lead to the text it stands in."""
    is_wellformed: bool
    is_key: bool = False
    """It stands in a key, where nothing is filled in."""

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of the path."""
        return tuple(self.path.split("."))


def references(value: object, where: tuple[str | int, ...] = ()) -> Iterator[Reference]:
    """Yield every reference in a value, in the order written, those that are malformed too."""
    match value:
        case str():
            yield from _in_text(value, where)
        case Mapping():
            for key, each in value.items():
                yield from (one._replace(is_key=True) for one in _in_text(str(key), (*where, str(key))))
                yield from references(each, (*where, str(key)))
        case list() | tuple():
            for index, each in enumerate(value):
                yield from references(each, (*where, index))


def _in_text(text: str, where: tuple[str | int, ...]) -> Iterator[Reference]:
    if _OPEN not in text:
        return
    for found in _REFERENCE.finditer(text):
        path = found[1].strip()
        yield Reference(path, where, is_wellformed=bool(_PATH.fullmatch(path)))
    rest = _REFERENCE.sub("", text)
    if _OPEN in rest:
        yield Reference(rest[rest.index(_OPEN) :], where, is_wellformed=False)


def filled(value: Any, scope: Mapping[str, Any]) -> Any:  # noqa: ANN401  # JSON in, JSON out
    """Return a value with its references replaced, on single values; what is filled in is not looked at again.

    A text that is one reference alone becomes the value itself; within text, a value becomes text: lists and objects
    as JSON. `${{ secrets.X }}` is left alone.

    Raises:
        UsageError: there is nothing at a reference, or a value that is filled in would be read as a secret's reference.
    """
    match value:
        case str():
            return _text(value, scope)
        case Mapping():
            return {key: filled(each, scope) for key, each in value.items()}
        case list() | tuple():
            return [filled(each, scope) for each in value]
    return value


def filled_criterion(criterion: Criterion, scope: Mapping[str, Any]) -> Criterion:
    """Return a criterion with its references replaced. Raises as `filled`."""
    return replace(criterion, parameters=filled(criterion.parameters, scope))


def holds(when: When, scope: Mapping[str, Any]) -> bool | None:
    """Return whether all conditions are true; None where that is unknown. Of a list every item is asked.

    The meaning is that of an allow rule's `when`; see docs/decision.md, "Conditions".
    """
    return verdict(when, scope)


def _text(text: str, scope: Mapping[str, Any]) -> Any:  # noqa: ANN401  # JSON
    if _OPEN not in text:
        return text
    first = _REFERENCE.match(text)
    alone = first if first and first.end() == len(text) else None
    if alone and alone[1].strip().partition(".")[0] != "secrets":
        value = _value_at(scope, alone[1].strip())
        _refuse_secrets(value, alone[1].strip())
        return value
    made = _REFERENCE.sub(lambda found: _as_text(found, scope), text)
    own = sum(found[1].strip().partition(".")[0] == "secrets" for found in _REFERENCE.finditer(text))
    if len(_SECRET.findall(made)) != own:
        raise _hostile(text)
    return made


def _as_text(found: re.Match[str], scope: Mapping[str, Any]) -> str:
    path = found[1].strip()
    if path.partition(".")[0] == "secrets":
        return found[0]
    value = _value_at(scope, path)
    if value is None:
        raise UsageError(f"{path} is null, which has no text", advice="let it stand alone, or give it a value")
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _value_at(scope: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401  # JSON
    value = at(scope, path.split("."))
    if value is _MISSING:
        raise UsageError(
            f"there is nothing at {path:.120}",
            advice="look at what the step gave, or whether it was done at all",
        )
    return value


def at(value: object, steps: list[str]) -> object:
    """Return what lies below a value: by key in objects, by position from 0 in lists; `is_missing` of it if nothing."""
    for step in steps:
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list | tuple) and step.isascii() and step.isdigit() and int(step[:9]) < len(value):
            value = value[int(step[:9])]
        else:
            return _MISSING
    return value


def is_missing(value: object) -> bool:
    """Return whether `at` found nothing."""
    return value is _MISSING


def _refuse_secrets(value: object, path: str) -> None:
    """Refuse a value in which an adapter would see the reference of a secret: it came from outside the plan."""
    match value:
        case str():
            if _SECRET.search(value):
                raise _hostile(path)
        case Mapping():
            for key, each in value.items():
                _refuse_secrets(key, path)
                _refuse_secrets(each, path)
        case list() | tuple():
            for each in value:
                _refuse_secrets(each, path)


def _hostile(where: str) -> UsageError:
    return UsageError(
        f"what is filled in for {shown(where)} names a secret; expected only the plan itself to name one",
        advice="look at where that value comes from: somebody may be after the secret",
    )
