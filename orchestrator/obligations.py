"""Follows what decisions ask for: which obligations are met, failed or expired, what a run still owes. Never decides.

On the hot path. The engine says whether an obligation is met; here that is compared with what was recorded before, and
an event tells when it changed. Budgets have events of their own.
"""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator import clock
from orchestrator.decision import Decision
from orchestrator.digest import subject_name

if TYPE_CHECKING:
    from orchestrator.ledger.event import Draft
    from orchestrator.ledger.store import Connection, Ledger

OWED = "owed:"
"""What the id of a run's earlier debt begins with, where it holds a later action back."""

_KNOWN = "SELECT obligation, status, proof, at FROM obligations WHERE run_id = ? AND action_digest = ?"
"""Outside of runs each call has a chain of its own, so of several rows the newest tells what is known."""
_OWED = """SELECT DISTINCT obligation, action_digest FROM obligations
WHERE run_id = ? AND phase = 'after' AND mode = 'enforce' AND type = 'evidence' AND status <> 'met'
ORDER BY obligation, action_digest"""
_VOTES = """SELECT at, expires_at, revocation FROM votes
WHERE voter = ? AND role = ? AND decision = 'approve'
AND (action_digest = ? OR (change_digest <> '' AND change_digest = ?))"""


def owed_for(connection: "Connection", run_id: str) -> list[dict[str, str]]:
    """Return what earlier allowed actions of a run still owe: `{evidence, of}`, the type and the action's digest.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    rows = connection.execute(_OWED, (run_id,))
    return [{"evidence": name.removeprefix("evidence:"), "of": action} for name, action in rows]


def note(ledger: "Ledger", connection: "Connection", decision: Decision, facts: Mapping[str, Any], chain: str) -> None:
    """Append an event for each obligation of a recorded decision whose status is new, in the decision's transaction.

    The decision's own event comes first, so the chain is locked. What warning packs ask for is left out; so are
    claimed decisions, budgets, and what is due after an action that was not allowed: it creates no debt.

    Raises:
        LedgerError: it cannot be written.
    """
    owed = list(_followed(decision))
    if not owed:
        return
    from orchestrator.ledger.append import append

    context = decision.context
    rows = connection.execute(_KNOWN, (_run_of(facts), context["action_digest"]))
    rows.sort(key=lambda row: clock.parse_time(row[3]))
    known = {name: (status, proof) for name, status, proof, _ in rows}
    for one in owed:
        before, proof = known.get(one["id"], ("", "[]"))
        status = _status(connection, one, (before, json.loads(proof)), context, facts)
        if status != before:
            append(ledger, connection, _turned(decision, facts, chain, one, status))


def _followed(decision: Decision) -> Iterator[dict[str, Any]]:
    context = decision.context
    if context["claimed"]:
        return
    for one in context["obligations"]:
        if one["mode"] != "enforce" or one["type"] == "budget" or one["id"].startswith(OWED):
            continue
        if one["phase"] != "after" or decision.is_allowed:
            yield one


def _status(
    connection: "Connection",
    owed: Mapping[str, Any],
    before: tuple[str, list[str]],
    context: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> str:
    """Return met, unmet, failed (a report says so) or expired (it was met by votes that ran out)."""
    if owed["status"] == "met":
        return "met"
    if _failed_proof(owed):
        return "failed"
    status, proof = before
    if owed["type"] == "approval":
        left = [name for name in proof if name not in owed["proof"]]
        if status == "expired" or (status == "met" and _ran_out(connection, owed, left, context, facts)):
            return "expired"
    return "unmet"


def _ran_out(
    connection: "Connection",
    owed: Mapping[str, Any],
    voters: list[str],
    context: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> bool:
    """Whether the votes of one of these voters are over by time, not taken back."""
    now, given = clock.parse_time(facts["time"]), owed["properties"]
    digests = (context["action_digest"], context["change_digest"] or "")
    for voter in voters:
        votes = [
            (one.get("at"), "", "")
            for one in facts.get("approvals") or ()
            if one.get("by") == voter and one.get("role") == given["role"] and one.get("digest") in digests
        ]
        votes += connection.execute(_VOTES, (voter, given["role"], *digests))
        standing = [vote for vote in votes if not vote[2]]
        if standing and all(_end(at, expires_at, given["expires_s"]) <= now for at, expires_at, _ in standing):
            return True
    return False


def _end(at: object, expires_at: str, expires_s: int) -> int:
    """Return when a vote is over, in nanoseconds since 1970; one whose time nobody can read is over."""
    try:
        end = clock.parse_time(str(at)) + expires_s * clock.SECOND_NS
        return min(end, clock.parse_time(expires_at)) if expires_at else end
    except ValueError:
        return 0


def _turned(decision: Decision, facts: Mapping[str, Any], chain: str, owed: Mapping[str, Any], status: str) -> "Draft":
    from orchestrator.ledger.event import Draft

    context, resource = decision.context, decision.request["resource"]
    proof = {"met": list(owed["proof"]), "failed": _failed_proof(owed)}
    payload = {
        "obligation": owed["id"],
        "type": owed["type"],
        "phase": owed["phase"],
        "mode": owed["mode"],
        "evaluation_id": context["evaluation_id"],
        "run_id": _run_of(facts),
        "action_digest": context["action_digest"],
        "change_digest": context["change_digest"],
        "proof": proof.get(status, []),
    }
    return Draft(
        f"orch.obligation.{status}",
        chain,
        subject_name(decision.request["subject"]) or "host:orch",
        payload,
        subject=resource["id"],
        repository=(resource["id"] if resource["type"] == "repository" else facts.get("repository")) or "",
        action=decision.request["action"]["name"],
        policy_digest=context["policy"]["digest"],
        action_digest=context["action_digest"],
        cause_id=context["evaluation_id"],
    )


def _run_of(facts: Mapping[str, Any]) -> str:
    run = facts.get("run")
    return str(run["id"]) if isinstance(run, Mapping) else ""


def _failed_proof(owed: Mapping[str, Any]) -> list[str]:
    """Return the digests of the reports that say this evidence failed, sorted."""
    return list(owed["properties"].get("failed", ()))
