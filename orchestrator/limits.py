"""What a recorded decision limits: its budget obligations, as limits of the counters of its run. Decides nothing."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.errors import LedgerError, UsageError
from orchestrator.ledger.store import Connection
from orchestrator.meters import counter_of, micro, scope_ids, usual_estimates
from orchestrator.names import shown
from orchestrator.reservation import Limit

_DECISION = """
SELECT e.actor, p.body FROM events e LEFT JOIN payloads p ON p.event_id = e.id
WHERE e.id = ? AND e.type = 'orch.decision'"""
_CLAIMED = "claimed, so never executed: "
"""What advice on a claim begins with."""
_RUN = "SELECT session, repository FROM runs WHERE id = ?"


class Decided(NamedTuple):
    """A decision, as budgets see it."""

    evaluation_id: str
    run_id: str
    actor: str
    """Who asked."""
    limits: tuple[Limit, ...]
    usual: dict[str, int]
    """What its action is known to use of meters that count actions, in micro-units."""


def decided(connection: Connection, evaluation_id: str, *, run_id: str | None = None) -> Decided:
    """Return what a decision that allowed its action limits.

    Raises:
        UsageError: there is no such decision, it belongs to another run or to none, it did not allow the action, or
            rests on claims.
        LedgerError: its payload was erased, or is none.
    """
    rows = connection.execute(_DECISION, (evaluation_id,))
    if not rows:
        raise UsageError(
            f"there is no decision {shown(evaluation_id)} in the ledger",
            advice="take the evaluation_id of `orch evaluate -o json`, made with the same --ledger",
        )
    actor, body = rows[0]
    if body is None:
        raise LedgerError(
            f"the decision {evaluation_id} was erased, so nobody knows its budgets", advice="decide again"
        )
    try:
        payload = json.loads(bytes(body))
        decision, facts = payload["decision"], payload["facts"]
        found_run = _run_of(facts, evaluation_id, run_id)
        _allows(decision, evaluation_id, payload.get("claims") or ())
        ids = _ids(connection, found_run, facts)
        owed = [one for one in decision["obligations"] if one["type"] == "budget"]
        limits = tuple(_limit(one, ids, decision["evaluated_at"]) for one in owed)
        action = str(payload["request"].get("action", {}).get("name", ""))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LedgerError(
            f"the decision {evaluation_id} cannot be read: {error}", advice="`orch ledger verify`"
        ) from error
    return Decided(evaluation_id, found_run, str(actor), limits, usual_estimates(action))


def _run_of(facts: Mapping[str, Any], evaluation_id: str, wanted: str | None) -> str:
    run = (facts.get("run") or {}).get("id")
    if not run:
        raise UsageError(
            f"the decision {evaluation_id} belongs to no run; budgets count within one",
            advice="set ORCH_RUN, or name it: orch evaluate --run NAME",
        )
    if wanted and run != wanted:
        raise UsageError(f"the decision {evaluation_id} belongs to run {shown(run)}, not {shown(wanted)}")
    return str(run)


def _allows(decision: Mapping[str, Any], evaluation_id: str, claims: Sequence[str]) -> None:
    if decision["outcome"] != "allow":
        raise UsageError(
            f"the decision {evaluation_id} is {decision['outcome']}; room is taken for what is allowed alone",
            advice=f"`orch ledger show {evaluation_id}` says why",
        )
    if decision.get("claimed"):
        what = "; ".join(" ".join(one.removeprefix(_CLAIMED).split()) for one in claims)
        raise UsageError(
            f"nothing may be charged by the decision {evaluation_id}, which rests on a claim: {what or 'unknown'}",
            advice="ask again without it; who asks is `subject:` in the operator's file, or ORCH_SUBJECT",
        )


def _ids(connection: Connection, run_id: str, facts: Mapping[str, Any]) -> dict[str, str]:
    rows = connection.execute(_RUN, (run_id,))
    session, repository = rows[0] if rows else ("", "")
    return scope_ids(run_id=run_id, session=session, repository=facts.get("repository") or repository)


def _limit(owed: Mapping[str, Any], ids: Mapping[str, str], now: str) -> Limit:
    said = owed["properties"]
    counter = counter_of(said["meter"], said["per"], said.get("window"), ids, now)
    if counter is None:
        raise LedgerError(f"nobody knows what {owed['id']} counts for", advice="decide again, with --repo")
    return Limit(
        *counter[:4],
        micro(said["limit"], f"the limit of {owed['id']}"),
        int(said["warn_at"].removesuffix("%")),
        is_enforced=owed["mode"] == "enforce",
    )
