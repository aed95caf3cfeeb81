"""Waivers: their times and their scope, and whether the rules and people they name are there."""

from collections.abc import Collection, Mapping

from orchestrator import schema
from orchestrator.clock import SECOND_NS, parse_time
from orchestrator.document import Document, Map, shown
from orchestrator.errors import Problem
from orchestrator.glob import GlobError, expand
from orchestrator.lists import Lists, placed
from orchestrator.model import Level, Rule, Selectors, Waiver
from orchestrator.notes import Notes
from orchestrator.rule import SELECTOR_KINDS, Rules
from orchestrator.words import did_you_mean

MAX_NS = 90 * 86_400 * SECOND_NS
"""Longest life of a waiver."""
MAX_BREAK_GLASS_NS = 4 * 3_600 * SECOND_NS
"""Longest life of a waiver in an emergency."""
APPROVERS = 2
"""How many people must have approved."""


def read_waiver(model: schema.Waiver, document: Document, notes: Notes) -> tuple[Waiver, Rules]:
    """Return a waiver and the reader that holds the names its scope uses; what is wrong is noted."""
    raw: Map = document.root
    rules = Rules(Lists({}, None, notes), notes, schema.Declares())
    scope = _scope(model.scope, raw["scope"], rules, notes)
    from_ns = _time(model.from_, raw, "from", notes)
    expires_at_ns = _time(model.expires_at, raw, "expires_at", notes)
    _check_times(from_ns, expires_at_ns, model, raw, notes)
    _check_people(model, raw, notes)
    waiver = Waiver(
        name=model.metadata.name,
        rules=tuple(sorted(set(model.rules))),
        scope=scope,
        reason=model.reason,
        ticket=model.ticket,
        requested_by=model.requested_by,
        approved_by=tuple(sorted(set(model.approved_by))),
        from_ns=from_ns or 0,
        expires_at_ns=expires_at_ns or 0,
        break_glass=model.break_glass,
        source=notes.source(document.at),
    )
    return waiver, rules


def _scope(scope: schema.Scope, raw: Map, rules: Rules, notes: Notes) -> Selectors:
    found, _ = rules.selectors(scope, raw)
    if scope.actions:
        rules.use_actions(scope.actions, raw)
        rules.check_reach(scope.actions, raw)
        if scope.actions != ("*",):
            found["actions"] = tuple(dict.fromkeys(scope.actions))
    if all(is_any(key, items) for key, items in found.items()):
        notes.error(raw.at, "a scope that is everywhere", "at least one selector that is not `*` or `**`")
    return found


def is_any(key: str, items: Collection[str]) -> bool:
    """Return whether a selector's items stand for everything there is, or as good as."""
    kind = SELECTOR_KINDS.get(key)
    if kind is None:
        return False
    wild = {"*", "?", kind.separator}
    return any(set(each) <= wild for item in items for each in _expanded(item))


def _expanded(item: str) -> list[str]:
    try:
        return expand(item)
    except GlobError:
        return []


def _time(text: str, raw: Map, key: str, notes: Notes) -> int | None:
    try:
        return parse_time(text)
    except ValueError:
        example = "a time with its offset, such as 2026-03-01T09:00:00Z"
        notes.error(raw.value_at(key), shown(text), example, "write date, time and `Z` or `+01:00`")
        return None


def _check_times(start: int | None, end: int | None, model: schema.Waiver, raw: Map, notes: Notes) -> None:
    if start is None or end is None:
        return
    place = raw.value_at("expires_at")
    if end <= start:
        notes.error(place, f"the end {shown(model.expires_at)}, which is not after its beginning", "a later time")
    elif model.break_glass and end - start > MAX_BREAK_GLASS_NS:
        notes.error(place, "an emergency waiver of more than 4 hours", "at most 4 hours after `from`")
    elif end - start > MAX_NS:
        notes.error(place, "a waiver of more than 90 days", "at most 90 days after `from`")


def _check_people(model: schema.Waiver, raw: Map, notes: Notes) -> None:
    for name, place in zip(model.approved_by, placed(raw, "approved_by"), strict=False):
        if name == model.requested_by:
            notes.error(place, f"{shown(name)}, who asked for it", "an approver who did not ask")
        elif not name.startswith("user:"):
            notes.error(place, shown(name), "a person of the roster, `user:...`")
    if len(set(model.approved_by)) < APPROVERS:
        notes.error(
            raw.value_at("approved_by"), f"{len(set(model.approved_by))} approver", "two different people of the roster"
        )


def unknown_names(
    waiver: Waiver, document: Document, rules: Mapping[str, Rule], people: Collection[str]
) -> list[Problem]:
    """Return what a waiver names that is not there, or that no waiver may lift."""
    notes = Notes(document.file)
    raw: Map = document.root
    written = raw["rules"] if isinstance(raw["rules"], list) else [raw["rules"]]
    for name, place in zip(written, placed(raw, "rules"), strict=False):
        rule = rules.get(name)
        if rule is None:
            notes.error(
                place,
                f"the rule {shown(name)}, which no org pack has",
                "a soft rule of an org pack",
                did_you_mean(name, rules),
            )
        elif rule.level is not Level.SOFT:
            level = f"a {rule.level} rule" if rule.level else f"an {rule.effect} rule"
            notes.error(place, f"{shown(name)}, {level}", "a soft rule", "only `level: soft` rules can be waived")
    approvers = raw["approved_by"] if isinstance(raw["approved_by"], list) else [raw["approved_by"]]
    asked = [(waiver.requested_by, raw.value_at("requested_by"))]
    for name, place in [*asked, *zip(approvers, placed(raw, "approved_by"), strict=False)]:
        if name not in people:
            notes.error(
                place, f"{shown(name)}, who is not in the roster", "somebody of the roster", did_you_mean(name, people)
            )
    return notes.errors
