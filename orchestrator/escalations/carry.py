"""Carries out the plan of a stage: a run of its own, recorded with the stage and taken as far as it goes in a tick.

In `orch tick` that is done in sight, by an engine of its own; in a worker the run is left to the workers.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from orchestrator.errors import Exit, LedgerError, OrchError
from orchestrator.escalations.model import Planned
from orchestrator.ledger.event import Draft
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.plans.model import Plan
from orchestrator.record import GOING_ON, Run
from orchestrator.runs import begin
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.runs.engine import Engine
    from orchestrator.runs.state import Snapshot

_STATE = "SELECT state FROM runs WHERE id = ?"


class Carried(NamedTuple):
    """How a plan's run stands after a tick."""

    run_id: str
    state: str
    """Of the run; "" where nobody can say."""
    detail: str
    exit_code: Exit

    @property
    def is_owed(self) -> bool:
        """Whether a later tick goes on with it."""
        return is_owed(self.state)


class Carry(Protocol):
    """Takes a run as far as it goes now."""

    def __call__(self, run_id: str, *, is_new: bool) -> Carried:
        """Return how the run stands then; `is_new` says that nothing of it was handed out yet.

        Raises:
            LedgerError: nothing can be recorded.
            KeyboardInterrupt: the process was told to stop.
        """


class Stop:
    """Whether this process was told to stop, and whether that may interrupt what it is at."""

    def __init__(self) -> None:
        self.is_set = False
        self._interrupts = False

    def tell(self) -> None:
        """Stop after what is under way; told twice, or while a plan is carried out, at once.

        Raises:
            KeyboardInterrupt: at once is now.
        """
        was_set, self.is_set = self.is_set, True
        if was_set or self._interrupts:
            raise KeyboardInterrupt

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let being told interrupt what is done in the block, which ends what it is at by itself."""
        self._interrupts = True
        try:
            yield
        finally:
            self._interrupts = False


def is_owed(state: str) -> bool:
    """Return whether a plan's run in this state can still be gone on with; "" is one that has not begun."""
    return not state or state in GOING_ON


def free_id(connection: Connection, cycle_run: str, stage: str) -> str:
    """Return the id of the run of a stage's plan; a name that somebody took for something else is passed over."""
    name, number = f"{cycle_run}-{stage}", 1
    while connection.execute("SELECT 1 FROM chains WHERE run_id = ?", (name,)):
        number += 1
        name = f"{cycle_run}-{stage}-{number}"
    return name


def drafted(
    ledger: Ledger, planned: Planned, *, settings: Settings, run: Run, root: Path, facts: Mapping[str, Any]
) -> Draft:
    """Return the start of a plan's run, unrecorded; `run.id` names it.

    Raises:
        UsageError: plan or inputs hold a secret, or the folder is not there.
        PackError: a run pack cannot be read.
    """
    plan = Plan.of(planned.plan)
    return begin.drafted(
        ledger,
        plan,
        inputs=planned.inputs,
        mode="automated",
        root=root,
        settings=settings,
        run=run,
        facts=facts,
    )


def in_sight(settings: Settings, stop: Stop, by: str) -> Carry:
    """Return what carries runs out in this process, until they end or wait."""

    def carry(run_id: str, *, is_new: bool) -> Carried:
        from orchestrator.runs import foreground

        run: str | Callable[[Ledger], str] = (lambda _: run_id) if is_new else run_id
        try:
            with stop.interrupting():
                seen = foreground.carry_out(settings, run, foreground.Manner(by=by), foreground.Sight())
        except LedgerError:
            raise
        except OrchError as error:  # another process is at it, or it cannot be opened here
            return Carried(run_id, "running", _said(error), error.exit_code if _is_worse(error) else Exit.FAILED)
        return _seen(seen)

    return carry


def by_workers(engine: "Engine") -> Carry:
    """Return what leaves runs to the workers, of which this process is one."""

    def carry(run_id: str, *, is_new: bool) -> Carried:
        from orchestrator.runs.takeup import begin_first

        with engine.ledger() as ledger:
            if is_new:
                try:
                    begin_first(engine, ledger, run_id)
                except LedgerError:
                    raise
                except OrchError as error:  # whoever can go on with it takes it up
                    return Carried(run_id, "running", _said(error), Exit.FAILED)
            with ledger.store.reading() as connection:
                rows = connection.execute(_STATE, (run_id,))
        state = str(rows[0][0]) if rows else ""
        return Carried(run_id, state, "it is left to the workers", Exit.FAILED if is_owed(state) else Exit.OK)

    return carry


def _seen(seen: "Snapshot") -> Carried:
    exit_code = Exit(seen.exit_code) if seen.exit_code is not None else Exit.FAILED
    detail = seen.reason
    if not seen.has_ended:
        waits = ", ".join(sorted({str(one.get("type", "")) for one in seen.waiting_for}))
        detail = f"it waits for {waits}" if waits else "it is not over"
    return Carried(seen.run_id, seen.state, detail, exit_code)


def _is_worse(error: OrchError) -> bool:
    return error.exit_code in {Exit.UNDECIDABLE, Exit.PACK}


def _said(error: OrchError) -> str:
    return f"{error} ({error.advice})" if error.advice else str(error)
