"""Carries one phase of one segment of a run out, as a durable workflow. None waits for another: the last one settles.

The ledger decides what is done; a checkpoint only saves asking it again.
"""

from dbos import DBOS
from dbos._error import DBOSStepNondeterminismError, DBOSUnexpectedStepError

from orchestrator.ledger.store import Ledger
from orchestrator.runs import walk
from orchestrator.runs.checkpoints import Steps
from orchestrator.runs.context import RunContext, open_context
from orchestrator.runs.durable import Durable, Plain
from orchestrator.runs.engine import Engine, current, work_id
from orchestrator.runs.phase import run_phase
from orchestrator.runs.telling import ElsewhereError, follow, tell

_AT_WORK = frozenset({"running", "cancelling"})
_MOST_TRIES = 6


@DBOS.workflow(name="orch_phase", max_recovery_attempts=None)
def carry_out(run_id: str, segment: int, phase: str, again: int = 0) -> str:
    """Return the state of a phase after it ran as far as it can, and hand out what can follow.

    Of a run that waits or has ended no phase is carried out; what is told of it is brought up to date.

    Where checkpoints no longer fit what has to be done, the phase is handed out once more without them: `again` counts.
    """
    engine = current()
    with engine.at_work(work_id(run_id, segment, phase, again)), engine.ledger() as ledger:
        state, latest = _standing(ledger, run_id)
        if state not in _AT_WORK:
            _tell(engine, ledger, run_id, work_id(run_id, segment, phase, again))
            return "over"
        if latest != segment:
            return "stale"
        context = open_context(engine.settings, run_id, ledger=ledger, lease=engine.lease, root=engine.options.root)
        engine.lease.unhinder(run_id)
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


def _tell(engine: Engine, ledger: Ledger, run_id: str, work: str) -> None:
    """Tell of a run that is over: whoever settled it may have ended before that.

    Where its folder is on another machine, the work goes back to the queue a few times, for that one to take it.
    """
    try:
        tell(engine, ledger, run_id)
    except ElsewhereError as error:
        if engine.tries(work) < _MOST_TRIES:
            raise
        engine.note("cannot be told of", run=run_id, reason=str(error))


def _standing(ledger: Ledger, run_id: str) -> tuple[str, int]:
    """Return a run's state, "" where there is none, and its newest segment."""
    with ledger.store.reading() as connection:
        rows = connection.execute("SELECT state, segment FROM runs WHERE id = ?", (run_id,))
    return (str(rows[0][0]), int(rows[0][1])) if rows else ("", 0)
