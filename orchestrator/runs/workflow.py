"""Carries one phase of one segment of a run out, as a durable workflow. None waits for another: the last one settles.

The ledger decides what is done; a checkpoint only saves asking it again.
"""

from collections.abc import Callable
from typing import Any

from dbos import DBOS
from dbos._error import DBOSStepNondeterminismError, DBOSUnexpectedStepError

from orchestrator.errors import OrchError
from orchestrator.ledger.store import Ledger
from orchestrator.runs import walk
from orchestrator.runs.checkpoints import Steps
from orchestrator.runs.context import RunContext, open_context
from orchestrator.runs.durable import Durable, Plain
from orchestrator.runs.engine import Engine, current, work_id
from orchestrator.runs.lease import LeaseLost
from orchestrator.runs.phase import run_phase


@DBOS.workflow(name="orch_phase", max_recovery_attempts=None)
def carry_out(run_id: str, segment: int, phase: str, again: int = 0) -> str:
    """Return the state of a phase after it ran as far as it can, and hand out what can follow.

    Where checkpoints no longer fit what has to be done, the phase is handed out once more without them: `again` counts.
    """
    engine = current()
    with engine.at_work(work_id(run_id, segment, phase, again)), engine.ledger() as ledger:
        if not _is_current(ledger, run_id, segment):
            return "stale"
        context = open_context(engine.settings, run_id, ledger=ledger, lease=engine.lease, root=engine.options.root)
        engine.note("phase begins", run=run_id, phase=phase, segment=segment)
        steps = Steps(engine)
        try:
            state = run_phase(context, phase, steps)
            steps.step("follow", lambda: follow(engine, context))
            hand_out(engine, context, steps)
        except (DBOSUnexpectedStepError, DBOSStepNondeterminismError):
            engine.enqueue(carry_out, run_id, segment, [phase], again=again + 1)
            return "begun anew"
        engine.note("phase ends", run=run_id, phase=phase, segment=segment, state=state)
        return state


def hand_out(engine: Engine, context: RunContext, durable: Durable | None = None) -> None:
    """Enqueue the phases that can begin now; where there are none and nothing runs, let the run end or wait."""
    durable = durable or Plain()
    phases = durable.step("ready", lambda: list(walk.ready(context)))
    engine.enqueue(carry_out, context.run_id, context.segment, phases)
    state = walk.settle(context, durable)
    if state is not None:
        engine.note("run settled", run=context.run_id, segment=context.segment, state=state)
        follow(engine, context)  # no step: what comes before it differs once the run is settled


def _is_current(ledger: Ledger, run_id: str, segment: int) -> bool:
    """Return whether a run goes on, and no later segment has begun."""
    with ledger.store.reading() as connection:
        rows = connection.execute("SELECT state, segment FROM runs WHERE id = ?", (run_id,))
    return bool(rows) and rows[0][0] in {"running", "cancelling"} and rows[0][1] == segment


def follow(engine: Engine, context: RunContext) -> None:
    """Tell where the plan asks for it how the run stands: an issue, status reports. A failure is noted, no more."""
    from orchestrator.runs import reports, tracking

    told: list[tuple[str, Callable[[], Any]]] = []
    if context.plan.tracking:
        told.append(("tracking", lambda: tracking.follow(context)))
    if context.plan.reports:
        told.append(("reports", lambda: reports.write(context.ledger, context.run_id, context.root)))
    for what, work in told:
        try:
            work()
        except LeaseLost:
            raise
        except (OrchError, OSError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError) as error:
            engine.note(f"{what} failed", run=context.run_id, reason=f"{type(error).__name__}: {error}")
