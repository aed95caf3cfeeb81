"""Explains: which selector of each rule decided, with file and line; what objects. Text only; decides nothing."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestrator.decision import Decision

_TRUTH = {True: "yes", False: "no", None: "unknown"}
_SEEN_LENGTH = 60


def explanation(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the text of `--explain` for what `Policy.explain` gave: rules that match first, then the others.

    A rule's place is file and line, a part's its line in the same file. Under a rule that matches stands every part of
    it; under one that does not, the parts that ruled it out.
    """
    ordered = sorted(rows, key=lambda row: (not row["matches"], row["rule"]))
    if not ordered:
        return "no rule is about this action on this resource"
    return "\n".join(line for row in ordered for line in _rule(row))


def objections(decision: Decision) -> str:
    """Return what objects to an action and what to do about it, in one line; "" where nothing does."""
    said = [
        f"{one.rule}: {one.message}" if one.message else one.rule
        for one in decision.findings
        if one.blocks and decision.is_open(one)
    ]
    return "; ".join([*said, *filter(None, [decision.context["next_action"]])])


def _rule(row: Mapping[str, Any]) -> Iterator[str]:
    effect, rule = row["effect"], row["rule"]
    word, note = "matches" if row["matches"] else "no match", ", waived" if row["waived"] else ""
    yield f"{word}: {rule} ({effect}{note}) {row['source']}"
    is_loose = effect in {"allow", "delegate"}
    parts = row["parts"] if row["matches"] else _deciding(row["parts"], is_loose=is_loose)
    if not parts:
        yield "  every request of this action" if row["matches"] else "  not this repository's pack, as far as is known"
    for part in parts:
        at = f":{part['line']}" if part["line"] else ""
        note = ""
        if part["truth"] is None:
            note = "; in doubt it does not allow" if is_loose else "; in doubt it counts"
        yield f"  {_TRUTH[part['truth']]:<7} {part['selector']}: {_seen(part['seen'])}{note}  {at}".rstrip()


def _deciding(parts: Iterable[Mapping[str, Any]], *, is_loose: bool) -> list[Mapping[str, Any]]:
    """A false part rules a rule out; where there is none, an allow fails by its unknown ones."""
    listed = list(parts)
    false = [part for part in listed if part["truth"] is False]
    return false or [part for part in listed if is_loose and part["truth"] is None]


def _seen(value: object) -> str:
    """Return what was seen, short; None where there was nothing to see."""
    if value is None or value == [None]:
        return "nothing there"
    if isinstance(value, list):
        value = ", ".join("nothing" if item is None else str(item) for item in value) or "none"
    text = str(value)
    return text if len(text) <= _SEEN_LENGTH else text[: _SEEN_LENGTH - 1] + "…"
