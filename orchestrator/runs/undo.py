"""Undoes what passed phases did, last first, where a plan asks for that: by orders like any other, under policy."""

import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

from orchestrator.ledger.append import append
from orchestrator.runs import journal
from orchestrator.runs.context import RunContext
from orchestrator.runs.durable import Durable
from orchestrator.runs.ended import Way
from orchestrator.runs.step import Walk, run_steps

_AT_WORK: set[tuple[str, str]] = set()
_TURN = threading.Lock()
_CLAIM = """SELECT e.run_seq, e.header, p.salt, p.body FROM events e JOIN payloads p ON p.event_id = e.id
WHERE e.run_id = ? AND e.type = 'orch.run.compensating' ORDER BY e.run_seq DESC LIMIT 1"""


class Undone(NamedTuple):
    """How far it came."""

    is_ours: bool = True
    """False where somebody else is at it."""
    results: tuple[Mapping[str, Any], ...] = ()
    """`{phase, state, reason}` in the order done; state is `compensated` or `failed`."""
    waiting_for: tuple[Mapping[str, Any], ...] = ()


def is_wanted(context: RunContext, states: Mapping[str, str]) -> bool:
    """Return whether there is something to undo."""
    phases = (phase for phase in context.plan.phases if phase.compensate)
    return context.plan.on_failure == "compensate" and any(states.get(phase.id) == "passed" for phase in phases)


def undo(context: RunContext, durable: Durable) -> Undone:
    """Undo passed phases in the reverse order of their completion; a step that fails does not hold back the rest."""
    mine = (context.ledger.id, context.run_id)
    with _TURN:
        if mine in _AT_WORK:
            return Undone(is_ours=False)
        _AT_WORK.add(mine)
    try:
        if not _claim(context):
            return Undone(is_ours=False)
        return _undo(context, durable)
    finally:
        with _TURN:
            _AT_WORK.discard(mine)


def _undo(context: RunContext, durable: Durable) -> Undone:
    with context.ledger.store.reading() as connection:
        passed = [phase for phase, _, _ in journal.said(connection, context.run_id, "orch.phase.passed")]
    results: list[Mapping[str, Any]] = []
    for name in reversed(passed):
        phase = context.plan.phase(name)
        if not phase.compensate:
            continue
        ended = run_steps(Walk(context, phase, 1, durable, is_undoing=True), phase.compensate)
        if ended.way is Way.WAITING:
            return Undone(
                results=tuple(results), waiting_for=tuple({**one, "phase": name} for one in ended.waiting_for)
            )
        is_undone = ended.way is Way.PASSED
        if is_undone:
            context.journal.end(name, "compensated", {})
        results.append({"phase": name, "state": "compensated" if is_undone else "failed", "reason": ended.reason})
    return Undone(results=tuple(results))


def _claim(context: RunContext) -> bool:
    """Record who undoes it in this segment; False where another process that lives has done so."""
    with context.ledger.store.writing() as connection:
        journal.lock(connection, context.run_id)
        now = journal.standing(connection, context.run_id, context.journal.phases)
        rows = connection.execute(_CLAIM, (context.run_id,))
        if rows and int(rows[0][0]) > now.resumed_place:
            claimed_by = str(journal.payload_of(*rows[0][1:]).get("executor"))
            if claimed_by == context.lease.id:
                return True
            if not context.lease.is_dead(claimed_by):
                return False
        context.lease.check()
        draft = context.journal.draft("orch.run.compensating", {"executor": context.lease.id})
        append(context.ledger, connection, draft)
        return True
