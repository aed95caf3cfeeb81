"""What a run is told when it starts: typed, held to what the plan allows, defaults filled in. Pure."""

from collections.abc import Mapping
from typing import Any

from orchestrator import strictjson
from orchestrator.document import shown
from orchestrator.errors import UsageError
from orchestrator.plans.model import Input, Plan
from orchestrator.words import did_you_mean, listing, near_miss

EXPECTED = {
    "text": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "json": "JSON",
}
"""What an input of each type is, in words."""


def inputs_for(plan: Plan, given: Mapping[str, str]) -> dict[str, Any]:
    """Return a run's inputs, typed, with the defaults of those that were not given; `given` is name to text.

    Raises:
        UsageError: one is unknown, missing, of another type, or not among those it may be.
    """
    for name in given:
        if name not in plan.inputs:
            known = f"it has {listing(plan.inputs)}" if plan.inputs else "it has none"
            hint = near_miss(name, plan.inputs)
            raise UsageError(f"the plan {plan.name} has no input {shown(name)}; {known}{hint}")
    missing = [name for name, each in plan.inputs.items() if each.is_required and name not in given]
    if missing:
        raise UsageError(
            f"the plan {plan.name} needs {'the input' if len(missing) == 1 else 'the inputs'} {listing(missing)}",
            advice=f"say --input {missing[0]}=...",
        )
    return {
        name: _typed(name, each, given[name]) if name in given else each.default for name, each in plan.inputs.items()
    }


def _typed(name: str, wanted: Input, text: str) -> Any:  # noqa: ANN401  # JSON
    value = _converted(name, wanted, text)
    if wanted.one_of and not any(is_same(value, each) for each in wanted.one_of):
        choices = listing(shown(each) for each in wanted.one_of)
        near = did_you_mean(text, [str(each) for each in wanted.one_of])
        raise UsageError(f"the input {name} is {shown(text)}; expected {choices}", advice=near)
    return value


def _converted(name: str, wanted: Input, text: str) -> Any:  # noqa: ANN401  # JSON
    if wanted.type == "text":
        return _recordable(name, text)
    if wanted.type == "boolean":
        if text in {"true", "false"}:
            return text == "true"
        raise UsageError(f"the input {name} is {shown(text)}; expected true or false")
    try:
        value = strictjson.parse(text.encode("utf-8", "surrogateescape"), name=f"the input {name}")
    except UsageError as error:
        if wanted.type == "json":
            raise
        raise UsageError(f"the input {name} is {shown(text)}; expected {EXPECTED[wanted.type]}") from error
    if wanted.type != "json" and not is_of_type(value, wanted.type):
        raise UsageError(f"the input {name} is {shown(text)}; expected {EXPECTED[wanted.type]}")
    if told := strictjson.value_problems(value):
        raise UsageError(f"the input {name}: {told[0]}")
    return value


def _recordable(name: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the input {name} is {shown(ascii(text))}; expected text in UTF-8") from error
    return text


def is_of_type(value: object, kind: str) -> bool:
    """Return whether a JSON value is of an input's type; true is no number."""
    match kind:
        case "text":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
    return True


def is_same(one: object, other: object) -> bool:
    """Return whether two JSON values are equal; true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other
