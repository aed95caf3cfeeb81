"""Follows what decisions ask for: which obligations are met, failed or expired, what a run still owes. Never decides.

On the hot path. The engine says whether an obligation is met; here that is compared with what was recorded before, and
an event tells when it changed. Budgets have events of their own.
"""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator import clock
from orchestrator.decision import Decision
from orchestrator.digest import subject_name

if TYPE_CHECKING:
    from orchestrator.ledger.event import Draft
    from orchestrator.ledger.store import Connection, Ledger

OWED = "owed:"
"""What the id of a run's earlier debt begins with, where it holds a later action back."""

_KNOWN = "SELECT obligation, status, proof FROM obligations WHERE chain = ? AND action_digest = ?"
_OWED = """SELECT DISTINCT obligation, action_digest FROM obligations
WHERE run_id = ? AND phase = 'after' AND mode = 'enforce' AND type = 'evidence' AND status <> 'met'
ORDER BY obligation, action_digest"""
_VOTES = """SELECT at, expires_at, revocation FROM votes
WHERE voter = ? AND role = ? AND decision = 'approve'
AND (action_digest = ? OR (change_digest <> '' AND change_digest = ?))"""
_WAITING = """SELECT o.chain, o.action_digest, o.change_digest, o.run_id, o.evaluation_id, coalesce(d.repository, '')
FROM obligations o LEFT JOIN events d ON d.id = o.evaluation_id
WHERE o.obligation = ? AND o.phase = 'after' AND o.status <> 'met'
AND ((o.change_digest <> '' AND o.change_digest = ?) OR (o.change_digest = '' AND o.action_digest = ?))
ORDER BY o.chain, o.action_digest"""
_LOCK = "UPDATE chains SET head = head WHERE run_id = ?"
_NOW = "SELECT status FROM obligations WHERE chain = ? AND action_digest = ? AND obligation = ?"


class Proof(NamedTuple):
    """A piece of evidence, as far as it settles what runs owe."""

    type: str
    result: str
    """`pass` or `fail`."""
    artifact: str
    """The report's digest."""
    repository: str
    """Where it was taken; may be empty."""
    change_digest: str
    action_digest: str
    event_id: str
    actor: str


class Settled(NamedTuple):
    """A debt that a piece of evidence settled, or showed to have failed."""

    obligation: str
    chain: str
    run_id: str
    action_digest: str
    status: str
    """`met` or `failed`."""


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
    rows = connection.execute(_KNOWN, (chain, context["action_digest"]))
    known = {name: (status, proof) for name, status, proof in rows}
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
    if _failed_proof(owed, context, facts):
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

    context, run, resource = decision.context, facts.get("run"), decision.request["resource"]
    proof = {"met": list(owed["proof"]), "failed": _failed_proof(owed, context, facts)}
    payload = {
        "obligation": owed["id"],
        "type": owed["type"],
        "phase": owed["phase"],
        "mode": owed["mode"],
        "evaluation_id": context["evaluation_id"],
        "run_id": run["id"] if isinstance(run, Mapping) else "",
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


def _failed_proof(owed: Mapping[str, Any], context: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    """Return the digests of the reports that say this evidence failed, sorted."""
    if owed["type"] != "evidence":
        return []
    bound, kind = context["change_digest"] or context["action_digest"], owed["properties"]["evidence"]
    failed = [one for one in facts.get("evidence") or () if one.get("type") == kind and one.get("result") == "fail"]
    return sorted({str(one.get("digest", "")) for one in failed if one.get("subject") == bound})


def settle(ledger: "Ledger", connection: "Connection", proof: Proof) -> list[Settled]:
    """Append `met` (or `failed`) for what earlier actions owe and this evidence is about, in the open transaction.

    A debt once met stays met; one that failed is met by a later pass. Chains are locked in their order, before their
    status is read, so that two reports at once and a decision beside them wait for each other.

    Raises:
        LedgerError: it cannot be written.
    """
    from orchestrator.ledger.append import append
    from orchestrator.ledger.event import Draft

    name, status = f"evidence:{proof.type}", "met" if proof.result == "pass" else "failed"
    settled = []
    rows = connection.execute(_WAITING, (name, proof.change_digest or "-", proof.action_digest or "-"))
    for chain, action, change, run_id, evaluation_id, repository in rows:
        if proof.repository and repository and proof.repository != repository:
            continue
        connection.change(_LOCK, (chain,))
        if connection.execute(_NOW, (chain, action, name))[0][0] in {"met", status}:
            continue
        payload = {
            "obligation": name,
            "type": "evidence",
            "phase": "after",
            "mode": "enforce",
            "evaluation_id": evaluation_id,
            "run_id": run_id,
            "action_digest": action,
            "change_digest": change or None,
            "proof": [proof.artifact],
        }
        draft = Draft(f"orch.obligation.{status}", chain, proof.actor, payload, action_digest=action)
        append(ledger, connection, draft._replace(cause_id=proof.event_id))
        settled.append(Settled(name, chain, run_id, action, status))
    return settled
