"""Walks a run from segment to segment: what can begin now, when nothing more can, and how it ended."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator import clock
from orchestrator.adapter import ErrorClass
from orchestrator.errors import Exit, UsageError
from orchestrator.ledger.append import append, append_group
from orchestrator.ledger.event import Draft
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.order import ESCALATION
from orchestrator.plans import order
from orchestrator.runs import journal
from orchestrator.runs.context import RunContext
from orchestrator.runs.due import due, policy_mark
from orchestrator.runs.durable import Durable, Plain
from orchestrator.runs.journal import Row, Standing
from orchestrator.runs.undo import Undone, is_wanted, undo

__all__ = ["cancel", "due", "policy_mark", "ready", "settle", "start_segment"]

_AFTER_BUDGET = "; this run has ended: once there is room, begin a new one"


def start_segment(context: RunContext, *, by: str = "", is_abandoned: bool = False) -> int:
    """Return the number of the segment that runs now, from 0; phases that waited are ready again.

    Only a run that waits gets a new segment; of two that start it at once both get the same. With `is_abandoned` a run
    that still counts as running does, too: the caller knows that nobody works on it any more.

    Raises:
        UsageError: the run has ended.
    """
    with context.ledger.store.writing() as connection:
        if not journal.lock(connection, context.run_id):
            raise _over(context.run_id, _standing(context, connection).state)
        now = _standing(context, connection)
        if now.segment > context.segment or not (now.state == "waiting" or is_abandoned):
            return now.segment
        context.lease.check()
        segment = now.segment + 1
        payload = {"segment": segment, "by": by or context.lease.id}
        append(context.ledger, connection, context.journal.draft("orch.run.resumed", payload))
        return segment


def ready(context: RunContext) -> tuple[str, ...]:
    """Return the phases that can begin now, in the plan's order; those that never can are recorded as skipped.

    Raises:
        LedgerError: what is recorded does not fit the plan.

    Source: 002, "Dependency Resolution".
    """
    now = context.journal.standing()
    if now.state != "running" or now.is_cancelled:
        return ()
    for name in order.blocked(context.plan, _states(now)):
        needs = [need for need in context.plan.phase(name).needs if _is_lost(context, now, need)]
        reason = f"it needs {', '.join(needs)}, which did not succeed"
        context.journal.end(name, "skipped", {"reason": reason, "error_class": ErrorClass.DEPENDENCY.value})
    with context.ledger.store.reading() as connection:
        return _ready(context, _standing(context, connection), connection)


def settle(context: RunContext, durable: Durable | None = None) -> str | None:
    """Return the run's state where it ended or waits, None while something runs or is ready. Idempotent.

    To be called after each phase, and when a segment begins with nothing ready. What was done is undone first, where
    the plan asks for that.

    Raises:
        LedgerError: what is recorded does not fit the plan, or nothing can be recorded.
    """
    while True:
        now = context.journal.standing()
        if now.state not in {"running", "cancelling"}:
            return now.state
        if ready(context) or _running(now):
            return None
        verdict = _verdict(context, context.journal.standing())
        undone = Undone()
        if verdict in {"failed", "denied", "cancelled"} and is_wanted(context, now.states):
            undone = undo(context, durable or Plain())
            if not undone.is_ours:
                return None
        with context.ledger.store.writing() as connection:
            if not journal.lock(connection, context.run_id):
                return _standing(context, connection).state
            now = _standing(context, connection)
            if _running(now) or _ready(context, now, connection):
                return None
            if _verdict(context, now, connection) == verdict:
                return _settled(context, connection, now, _Verdict(verdict, undone))


def cancel(ledger: Ledger, run_id: str, by: str, reason: str) -> str:
    """Ask a run to end before its next action, and return its state then: `cancelling`. Who works on it settles it.

    A run that is no plan's has nobody who works on it; it ends at once.

    Raises:
        UsageError: there is no such run, it has ended, or it is a cycle of an escalation.
    """
    with ledger.store.writing() as connection:
        is_going_on = journal.lock(connection, run_id)
        rows = connection.execute("SELECT state, repository, plan_digest, kind FROM runs WHERE id = ?", (run_id,))
        if not rows:
            raise UsageError(f"there is no run {run_id[:100]!r} in this ledger", advice="`orch runs` lists them")
        state, repository, plan, kind = map(str, rows[0])
        if not is_going_on:
            raise _over(run_id, state)
        if kind == ESCALATION:
            raise UsageError(
                f"the run {run_id} is a cycle of an escalation, which is not cancelled",
                advice="`orch renew` or `orch reset` begins another cycle; `orch disarm` lets no deadline count",
            )
        if state != "cancelling":
            payload = {"by": by, "reason": reason}
            append(ledger, connection, Draft("orch.run.cancelling", run_id, by, payload, repository=repository))
        if plan:
            return "cancelling"
        said = {"state": "cancelled", "reason": reason or f"cancelled by {by}", "exit_code": int(Exit.INTERRUPTED)}
        append(ledger, connection, Draft("orch.run.ended", run_id, by, said, repository=repository))
        return "cancelled"


class _Verdict(NamedTuple):
    state: str
    undone: Undone


def _over(run_id: str, state: str) -> UsageError:
    return UsageError(f"the run {run_id} has ended ({state})", advice="begin a new run")


def _standing(context: RunContext, connection: Connection) -> Standing:
    return journal.standing(connection, context.run_id, context.journal.phases)


def _states(now: Standing) -> dict[str, str]:
    """Return states as `plans.order` reads them: what was skipped because a need failed counts as failed."""
    return {name: "failed" if _counts_as_lost(row) else row.state for name, row in now.phases.items()}


def _counts_as_lost(row: Row) -> bool:
    return row.state == "skipped" and row.error_class == ErrorClass.DEPENDENCY.value


def _is_lost(context: RunContext, now: Standing, name: str) -> bool:
    states = _states(now)
    return states.get(name) in order.LOST or name in order.blocked(context.plan, states)


def _ready(context: RunContext, now: Standing, connection: Connection) -> tuple[str, ...]:
    if now.state != "running" or now.is_cancelled:
        return ()
    states = _states(now)
    if context.plan.on_failure != "continue" and not order.LOST.isdisjoint(states.values()):
        return ()
    begun = {name for name, row in now.phases.items() if row.state in {"started", "waiting"}}
    waits = journal.waits(connection, context.run_id) if begun else {}
    again = {name for name in begun if not now.is_of_segment(name) and not _sleeps(now, name, waits.get(name, ()))}
    fresh = set(order.ready(context.plan, states))
    return tuple(phase.id for phase in context.plan.phases if phase.id in fresh | again)


def _sleeps(now: Standing, name: str, waits: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether all that a phase waits for are times that had not come when this segment began."""
    if now.phases[name].state != "waiting" or not waits:
        return False
    began = clock.parse_time(now.resumed_at)
    return all(one.get("type") == "timer" and clock.parse_time(str(one["at"])) > began for one in waits)


def _running(now: Standing) -> bool:
    return any(row.state == "started" and now.is_of_segment(name) for name, row in now.phases.items())


def _verdict(context: RunContext, now: Standing, connection: Connection | None = None) -> str:
    """Return what becomes of a run in which nothing runs and nothing is ready."""
    if now.is_cancelled:
        return "cancelled"
    states = now.states
    has_failed = "failed" in states.values() or "compensated" in states.values()
    if "waiting" in states.values() and (not has_failed or context.plan.on_failure == "continue"):
        return "waiting"
    if not has_failed:
        return "succeeded"
    first = _first_failure(context, connection)
    return "denied" if first.get("exit_code") == Exit.DENIED else "failed"


def _first_failure(context: RunContext, connection: Connection | None) -> dict[str, Any]:
    """Return what the first failure says, with its phase."""
    if connection is None:
        with context.ledger.store.reading() as opened:
            return _first_failure(context, opened)
    found = journal.said(connection, context.run_id, "orch.phase.failed")
    return {**found[0][2], "phase": found[0][0]} if found else {}


def _settled(context: RunContext, connection: Connection, now: Standing, verdict: _Verdict) -> str:
    """Append what follows, in the open transaction, and return the run's state."""
    context.lease.check()
    draft = context.journal.draft
    if verdict.state == "waiting" or verdict.undone.waiting_for:
        waits = list(verdict.undone.waiting_for) or _waits(connection, context, now)
        said = {"for": waits, "packs": policy_mark(context.settings)}
        append(context.ledger, connection, draft("orch.run.waiting", said))
        return "waiting"
    said = _said(context, connection, verdict)
    drafts = [*_leftovers(context, now, said), draft("orch.run.ended", said)]
    append_group(context.ledger, connection, drafts)
    return verdict.state


def _waits(connection: Connection, context: RunContext, now: Standing) -> list[Mapping[str, Any]]:
    found = journal.waits(connection, context.run_id)
    names = (phase.id for phase in context.plan.phases if phase.id in now.phases)
    return [one for name in names if now.phases[name].state == "waiting" for one in found.get(name, ())]


def _said(context: RunContext, connection: Connection, verdict: _Verdict) -> dict[str, Any]:
    """Return what the end of a run says."""
    reason, exit_code, phase = "", int(Exit.OK), ""
    if verdict.state == "cancelled":
        asked = journal.said(connection, context.run_id, "orch.run.cancelling")[0][2]
        reason, exit_code = asked["reason"] or f"cancelled by {asked['by']}", int(Exit.INTERRUPTED)
    elif verdict.state != "succeeded":
        first = _first_failure(context, connection)
        phase = str(first.get("phase", ""))
        reason = f"{phase}: {first.get('reason', '')}"
        exit_code = int(first.get("exit_code") or Exit.FAILED)
        reason += _AFTER_BUDGET if exit_code == Exit.BUDGET else ""
    said: dict[str, Any] = {"state": verdict.state, "reason": reason, "exit_code": exit_code}
    if phase:
        said["phase"] = phase
    if verdict.undone.results:
        said["compensation"] = [dict(one) for one in verdict.undone.results]
    return said


def _leftovers(context: RunContext, now: Standing, said: Mapping[str, Any]) -> list[Draft]:
    """Return how phases end that a run's end finds begun or not begun."""
    cause = "the run was cancelled" if said["state"] == "cancelled" else f"the run stopped: {said['reason']}"
    drafts = []
    for phase in context.plan.phases:
        row = now.phases.get(phase.id)
        payload = {"phase": phase.id, "reason": cause}
        if row is None:
            drafts.append(context.journal.draft("orch.phase.skipped", payload, phase.id))
        elif row.state in {"started", "waiting"}:
            payload |= {"error_class": "", "exit_code": said["exit_code"]}
            drafts.append(context.journal.draft("orch.phase.failed", payload, phase.id))
    return drafts
