"""Settles what earlier actions of runs owe, when evidence comes that is about them. Decides nothing."""

from typing import NamedTuple

from orchestrator.ledger.append import append
from orchestrator.ledger.event import Draft
from orchestrator.ledger.store import Connection, Ledger

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


def settle(ledger: Ledger, connection: Connection, proof: Proof) -> list[Settled]:
    """Append `met` (or `failed`) for what earlier actions owe and this evidence is about, in the open transaction.

    A debt once met stays met; one that failed is met by a later pass. Chains are locked in their order, before their
    status is read, so that two reports at once and a decision beside them wait for each other.

    Raises:
        LedgerError: it cannot be written.
    """
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
