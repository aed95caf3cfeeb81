"""Conditions that no value can meet. Looks at one condition at a time."""

from collections.abc import Iterator
from decimal import Decimal

from orchestrator.document import shown
from orchestrator.errors import Problem
from orchestrator.lists import scalar_key
from orchestrator.model import Condition, Effect, Operator, Rule

_LOW = ("min", "above")
_HIGH = ("max", "below")


def contradictions(rule: Rule) -> Iterator[Problem]:
    """Yield the conditions of a rule that no value can meet, as errors."""
    for condition in rule.when:
        for seen, expected, operator in _impossible(condition, rule.effect):
            source = operator.source
            path = f"on {shown(condition.path)}"
            yield Problem(source.file, source.line, source.column, f"{seen} {path}", expected, "no value can be both")


def _impossible(condition: Condition, effect: Effect) -> Iterator[tuple[str, str, Operator]]:
    by_name = {operator.name: operator for operator in condition.operators}
    for low in _LOW:
        for high in _HIGH:
            if low in by_name and high in by_name and _is_empty(by_name[low], by_name[high]):
                seen = f"`{low}: {by_name[low].values[0]}` with `{high}: {by_name[high].values[0]}`"
                yield seen, f"a `{high}` that leaves room", by_name[high]
    wanted = [by_name[name] for name in ("equals", "in") if name in by_name]
    if len(wanted) == 2 and _keys(wanted[0]).isdisjoint(_keys(wanted[1])):  # noqa: PLR2004  # both of two
        yield "`equals` with an `in` that does not hold it", "one of both", wanted[0]
    for operator in wanted:
        if "not_in" in by_name and _keys(operator) <= _keys(by_name["not_in"]):
            yield (
                f"`{operator.name}` with a `not_in` of the same",
                "a `not_in` that leaves something",
                by_name["not_in"],
            )
    exists = by_name.get("exists")
    others = [name for name in by_name if name != "exists"]
    if exists and exists.values == (False,) and others and effect in {Effect.ALLOW, Effect.DELEGATE}:
        yield f"`exists: false` with `{others[0]}`", "`exists: false` alone", exists


def _is_empty(low: Operator, high: Operator) -> bool:
    bottom, top = low.values[0], high.values[0]
    if not isinstance(bottom, (int, Decimal)) or not isinstance(top, (int, Decimal)):
        return False
    return bottom > top or (bottom == top and (low.name == "above" or high.name == "below"))


def _keys(operator: Operator) -> set[tuple[bool, object]]:
    return {scalar_key(value) for value in operator.values}
