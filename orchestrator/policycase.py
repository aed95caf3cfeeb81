"""One case of a PolicyTest: the question it asks, and whether the decision is what it expects. Asks nobody itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from orchestrator.catalogue import CATALOGUE
from orchestrator.clock import parse_time
from orchestrator.decide import Circumstances, Question
from orchestrator.decision import Decision
from orchestrator.digest import action_digest, change_digest
from orchestrator.errors import PackError, Problem
from orchestrator.model import Mode, Outcome, Point, Reason
from orchestrator.pack import TestCase

NOW = "2026-01-01T12:00:00Z"
"""The time of a case that names none: a test must not depend on the day it runs."""
SUBJECT = "agent:tester"
"""The subject of a case that names none."""
REPOSITORY = "acme/app"
"""The repository of a case that names none."""
_ESCALATION: Mapping[str, Any] = {
    "name": "escalation",
    "mode": "countdown",
    "cycle": 1,
    "is_armed": True,
    "deadline": None,
    "delivered": [],
    "audience": "operator",
    "is_drill": False,
    "is_time_given": False,
}
"""What a case says of an escalation where it says nothing."""
_PROPERTIES = ("branch", "head_branch", "files")
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing that came out differently."""

    what: str
    """outcome, would, reason, request, findings, no_findings, obligations, or `error` where there was no decision."""
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.what}: expected {self.expected}, got {self.got}"


def question(case: TestCase) -> Question:
    """Return the request and facts of a case, what it leaves out filled in.

    In facts, the texts `{change}` and `{action}` stand for the digests that votes and evidence are bound to.
    """
    values: dict[str, Any] = _plain(case.values)
    facts: dict[str, Any] = values.get("facts", {})
    if isinstance(facts.get("escalation"), dict):
        facts |= _at_a_tick(facts, values.get("now", NOW))
    request = values.get("request") or request_of(values)
    if "request" not in values and request["resource"]["type"] != "repository":
        facts.setdefault("repository", values.get("repository", REPOSITORY))
    return Question(request, _with_digests(facts, request), label=str(case.source))


def circumstances(case: TestCase) -> Circumstances:
    """Return point, mode and time of a case.

    Raises:
        PackError: the time is none.
    """
    values = case.values
    try:
        now_ns = parse_time(values.get("now", NOW))
    except ValueError as error:
        place = (case.source.file, case.source.line, case.source.column)
        seen, expected = f"the time {values['now']!r}", "RFC 3339 with its offset, such as 2026-03-01T09:00:00Z"
        raise PackError([Problem(*place, seen, expected)]) from error
    mode = Mode(values["mode"]) if "mode" in values else None
    return Circumstances(Point(values.get("point", "run")), mode, now_ns)


def action_of(asked: Question) -> str:
    """Return the action's name, or "" where the request has none."""
    action = asked.request.get("action") if isinstance(asked.request, dict) else None
    return str(action.get("name", "")) if isinstance(action, dict) else ""


def mismatches(case: TestCase, decision: Decision) -> tuple[Mismatch, ...]:
    """Return how a decision differs from what a case expects; empty when it does not."""
    expect: dict[str, Any] = case.values["expect"]
    found = [
        Mismatch(name, str(expect[name]), str(decision.context[name]) + (_why(decision) if name == "outcome" else ""))
        for name in ("outcome", "would", "reason")
        if name in expect and expect[name] != decision.context[name]
    ]
    if found and decision.reason is Reason.INVALID_REQUEST:
        found.append(Mismatch("request", "a valid one", decision.findings[0].message))
    rules = {finding.rule for finding in decision.findings}
    if missing := [rule for rule in expect.get("findings", ()) if rule not in rules]:
        found.append(Mismatch("findings", _listed(missing), _listed(sorted(rules)) or "none"))
    if unwanted := [rule for rule in expect.get("no_findings", ()) if rule in rules]:
        found.append(Mismatch("no_findings", f"no {_listed(unwanted, 'and no')}", _listed(sorted(rules))))
    status = {owed.id: owed.status for owed in reversed(decision.obligations)}
    for name, expected in expect.get("obligations", {}).items():
        if status.get(name) != expected:
            got = status.get(name) or f"no such obligation ({_listed(sorted(status)) or 'there is none'})"
            found.append(Mismatch("obligations", f"{name} {expected}", got))
    return tuple(found)


def _why(decision: Decision) -> str:
    """Return what stands behind an outcome that nobody expected, in brackets; may be empty."""
    if decision.outcome is Outcome.DENY:
        by = [finding.rule for finding in decision.findings if finding.effect == "deny" and finding.blocks]
    elif decision.outcome is Outcome.PENDING:
        by = [owed.id for owed in decision.obligations if owed.status == "unmet" and owed.phase == "before"]
    else:
        by = [finding.rule for finding in decision.findings if not finding.is_objection]
    said = {"deny": decision.reason.replace("_", " "), "pending": "unmet", "allow": "allowed"}[decision.outcome]
    return f" ({said}: {_listed(by)})" if by else f" ({decision.reason.replace('_', ' ')})"


def _at_a_tick(facts: Mapping[str, Any], now: str) -> dict[str, Any]:
    """Return what the host would know of an escalation of which a case says a part: `{stage, escalation}`."""
    said = facts["escalation"]
    stage = said.get("stage", facts.get("stage"))
    whole = {**_ESCALATION, "stage_at": now, "stage": stage, "of_stage": stage, **said}
    return {"escalation": whole} | ({"stage": facts.get("stage", stage)} if isinstance(stage, str) else {})


def request_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request of a case that says `action`, and beside it what else there is."""
    action, subject = values["action"], values.get("subject", SUBJECT)
    arguments = values.get("args", {})
    resource: dict[str, Any] = _resource(values, arguments)
    if properties := {name: values[name] for name in _PROPERTIES if name in values}:
        resource["properties"] = properties
    return {
        "subject": {"type": subject.partition(":")[0], "id": subject},
        "action": {"name": action, "properties": arguments},
        "resource": resource,
        "context": {},
    }


def _resource(values: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    built_in = CATALOGUE.get(values["action"])
    kind = "tool" if "tool" in values else built_in.resource if built_in else "repository"
    match kind:
        case "tool":
            name = values.get("tool", "")
        case "repository":
            name = values.get("repository", REPOSITORY)
        case "command":
            argv = arguments.get("argv")
            name = argv[0] if isinstance(argv, list) and argv else "command"
        case "escalation":
            known = values.get("facts", {}).get("escalation")
            name = known.get("name", kind) if isinstance(known, dict) else kind
        case _:
            name = arguments.get("channel") or arguments.get("url") or kind
    return {"type": kind, "id": str(name)}


def _with_digests(facts: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    if "{change}" not in str(facts) and "{action}" not in str(facts):
        return facts
    try:
        resource = request["resource"]
        change = change_digest(resource.get("properties", {}).get("files"))
        known = resource["id"] if resource["type"] == "repository" else facts.get("repository")
        action = action_digest(request, known.lower() if isinstance(known, str) else None, change)
    except (ValueError, AttributeError, KeyError, TypeError):
        return facts  # the request is invalid, and the decision will say so
    filled: dict[str, Any] = _filled(facts, {"{change}": change or action, "{action}": action})
    return filled


def _filled(value: Any, digests: Mapping[str, str]) -> Any:  # noqa: ANN401  # JSON
    if isinstance(value, dict):
        return {key: _filled(item, digests) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, digests) for item in value]
    return digests.get(value, value) if isinstance(value, str) else value


def _plain(value: Any) -> Any:  # noqa: ANN401  # JSON
    """Return YAML's values as JSON's: no tuples, no decimals, no subclasses that remember places."""
    match value:
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case _:
            return value


def _listed(names: list[str], word: str = "") -> str:
    shown = f" {word} ".join(names[:_SHOWN]) if word else ", ".join(names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
