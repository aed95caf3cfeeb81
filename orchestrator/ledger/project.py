"""Projections: which rows follow from an event. Pure, so that `orch ledger rebuild` gives the same tables to the byte.

A statement never has a condition that could fail: whoever appends has locked and judged the row before.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from orchestrator.ledger.event import Statement

Project = Callable[[Mapping[str, Any], Mapping[str, Any]], Iterator[Statement]]

TABLES = (
    "erasures", "organizations", "repositories", "policies", "policy_packs", "runs", "requests", "votes", "artifacts",
    "evidence", "obligations", "budgets", "budget_alerts", "reservations", "reservation_counters", "actions", "phases",
    "escalations", "escalation_orders", "escalation_plans", "renewal_codes", "renewal_attempts",
    "renewal_counters",
)  # fmt: skip
"""Every projection, in the order they are emptied and made again."""


def statements(fields: Mapping[str, Any], payload: Mapping[str, Any]) -> Iterator[Statement]:
    """Yield the statements that bring the projections up to an event, given its header and its payload as recorded.

    An erased payload is given as {}; what cannot be known without it is left out.
    """
    yield from of_repository(str(fields.get("repository", "")))
    whose, _, rest = str(fields["type"]).partition(".")
    family = rest.partition(".")[0]
    found = _FAMILIES.get(family) if whose == "orch" else None
    if found is not None and (payload or family == "run"):
        yield from found()(fields, payload)


def of_repository(repository: str) -> Iterator[Statement]:
    """Yield what follows from an event about a repository, `owner/name`; nothing from any other text."""
    owner, slash, _ = repository.partition("/")
    if slash:
        yield "INSERT INTO organizations (name) VALUES (?) ON CONFLICT DO NOTHING", (owner,)
        yield "INSERT INTO repositories (id, organization) VALUES (?, ?) ON CONFLICT DO NOTHING", (repository, owner)


def _ledger(fields: Mapping[str, Any], payload: Mapping[str, Any]) -> Iterator[Statement]:
    if fields["type"] == "orch.ledger.erased":
        sql = "INSERT INTO erasures (event_id, erased_by, reason) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        yield sql, (payload["event"], fields["actor"], payload["reason"])


def _policy(_: Mapping[str, Any], payload: Mapping[str, Any]) -> Iterator[Statement]:
    yield "INSERT INTO policies (digest) VALUES (?) ON CONFLICT DO NOTHING", (payload["digest"],)
    sql = """INSERT INTO policy_packs (policy_digest, layer, name, version, digest) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT DO NOTHING"""
    for pack in payload["packs"]:
        yield sql, (payload["digest"], pack["layer"], pack["name"], pack["version"], pack["digest"])


def _runs() -> Project:
    from orchestrator.ledger.project_runs import project

    return project


def _approvals() -> Project:
    from orchestrator.ledger.project_approvals import project

    return project


def _budgets() -> Project:
    from orchestrator.ledger.project_budgets import project

    return project


def _evidence() -> Project:
    from orchestrator.ledger.project_evidence import project

    return project


def _actions() -> Project:
    from orchestrator.ledger.project_actions import project

    return project


def _escalations() -> Project:
    from orchestrator.ledger.project_escalations import project

    return project


_FAMILIES: dict[str, Callable[[], Project]] = {
    "ledger": lambda: _ledger,
    "policy": lambda: _policy,
    "run": _runs,
    "phase": _runs,
    "approval": _approvals,
    "artifact": _evidence,
    "evidence": _evidence,
    "obligation": _evidence,
    "budget": _budgets,
    "action": _actions,
    "escalation": _escalations,
}
"""The word after `orch.` in a type to what projects it; imported only when such an event comes."""
