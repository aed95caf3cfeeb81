"""Carries one run out in this process, in sight of whoever started it, until it ends or waits."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

from orchestrator.errors import Exit, LedgerError, OrchError
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import Ledger
from orchestrator.runs import walk
from orchestrator.runs.engine import HELD, QUEUE, Engine, Note, Options, end_now, launched, own_queue
from orchestrator.runs.lease import open_lease
from orchestrator.runs.reaper import reaping
from orchestrator.runs.state import Snapshot, snapshot
from orchestrator.runs.takeup import BusyError, begin_first, begin_segment, take_up
from orchestrator.settings import Settings

_LOOK_S = 0.2
_WAKE_S = 2.0
_NOBODY_S = 5.0
_HEAD = "SELECT next_seq FROM chains WHERE run_id = ?"


class Sight(NamedTuple):
    """How somebody looks on."""

    show: Callable[[Snapshot], None] = lambda _: None
    """Given the run whenever something happened to it."""
    say: Callable[[str], None] = lambda _: None
    """Given a sentence for people."""
    note: Note = lambda _event, _fields: None


class Manner(NamedTuple):
    """How a run is carried out here."""

    concurrency: int = 4
    root: Path | None = None
    """The folder of the run's files here; None for where it was begun."""
    waits: bool = False
    """Whether to stay while the run waits."""
    is_new: bool = True
    """Whether it was just begun; else it is taken up."""
    by: str = ""
    """Who takes it up."""


def detach(settings: Settings, run_id: str, manner: Manner) -> None:
    """Leave a run to the workers: hand its first phases out, carry nothing out here.

    Raises:
        LedgerError: as `carry_out`.
    """
    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger(settings.ledger))
        lease = stack.enter_context(open_lease(ledger))
        engine = stack.enter_context(launched(settings, ledger, lease, Options(None, 1, manner.root)))
        if manner.is_new:
            begin_first(engine, ledger, run_id)
        else:
            take_up(engine, ledger, run_id, by=manner.by)


def carry_out(settings: Settings, run_id: str, manner: Manner, sight: Sight) -> Snapshot:
    """Return how a run stands after it was carried out here as far as it goes.

    Interrupted once, the steps under way are finished and the run can be resumed; twice, this process ends at once.

    Raises:
        UsageError: another process carries it out.
        KeyboardInterrupt: it was interrupted, and stopped.
        OrchError: a phase could not be carried out here at all; the run can be resumed.
    """
    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger(settings.ledger))
        lease = stack.enter_context(open_lease(ledger))
        options = Options(own_queue(lease.id), manner.concurrency, manner.root, sight.note)
        engine = stack.enter_context(launched(settings, ledger, lease, options))
        lease.on_loss = partial(_lost, engine, sight)
        stack.enter_context(reaping(engine))
        engine.rest = HELD  # whoever stopped it does not want a worker to go on
        try:
            if manner.is_new:
                begin_first(engine, ledger, run_id)
            else:
                take_up(engine, ledger, run_id, by=manner.by)
            seen = _Watch(engine, ledger, run_id, manner, sight).to_the_end()
            engine.drain()
        except KeyboardInterrupt:
            sight.say("stopping after the steps that are under way; interrupt again to end at once")
            _stop(engine)
            raise
        except OrchError:
            _stop(engine)
            raise
        engine.rest = QUEUE
        return seen


def cancel(settings: Settings, run_id: str, manner: Manner, reason: str) -> str:
    """Return the state of a run that is to end: whoever carries it out ends it, and where nobody does, this process.

    Raises:
        UsageError: there is no such run, or it has ended.
    """
    with open_ledger(settings.ledger, must_exist=True) as ledger:
        state = walk.cancel(ledger, run_id, manner.by, reason)
    try:
        return carry_out(settings, run_id, manner, Sight()).state
    except BusyError:
        return state


class _Watch:
    """Looks on while a run is carried out."""

    def __init__(self, engine: Engine, ledger: Ledger, run_id: str, manner: Manner, sight: Sight) -> None:
        self._engine = engine
        self._ledger = ledger
        self._run_id = run_id
        self._manner = manner
        self._sight = sight
        self._head = -1
        self._seen: Snapshot | None = None

    def to_the_end(self) -> Snapshot:
        """Return the run once it ended, or waits and nobody stays for that."""
        idle_since = time.monotonic()
        while True:
            seen = self._look()
            if self._engine.failures:
                raise self._engine.failures[-1]
            if self._engine.is_stopping:
                self._engine.lease.check()
                raise KeyboardInterrupt
            if seen.has_ended:
                return seen
            if seen.state == "waiting":
                if not self._manner.waits:
                    return seen
                self._wake()
            elif self._engine.active(self._run_id):
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > _NOBODY_S:
                raise LedgerError(
                    f"the run {self._run_id} has not ended, and nobody works on it",
                    advice=f"go on with `orch resume {self._run_id}`",
                )
            self._engine.wait(_LOOK_S)

    def _look(self) -> Snapshot:
        with self._ledger.store.reading() as connection:
            rows = connection.execute(_HEAD, (self._run_id,))
        head = int(rows[0][0]) if rows else 0
        if self._seen is None or head != self._head:
            self._head, self._seen = head, snapshot(self._ledger, self._run_id)
            self._sight.show(self._seen)
        return self._seen

    def _wake(self) -> None:
        """Wait a little, and go on where the run can."""
        self._engine.wait(_WAKE_S)
        if walk.due(self._ledger, self._run_id, walk.policy_mark(self._engine.settings)):
            begin_segment(self._engine, self._ledger, self._run_id, by=self._manner.by)


def _lost(engine: Engine, sight: Sight) -> None:
    """End at once: what is under way here, a command for example, is another process's by now."""
    sight.say(engine.lease.reason)
    end_now(Exit.UNDECIDABLE)


def _stop(engine: Engine) -> None:
    engine.stop()
    try:
        engine.drain()
    except KeyboardInterrupt:
        end_now(Exit.INTERRUPTED)
