"""Carries one run out in this process, in sight of whoever started it, until it ends or waits."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

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


TOLD = frozenset({"tracking is behind", "tracking failed", "reports failed", "cannot be told of"})
"""What the engine notes of issues and reports that could not be brought up to date."""
Begin = Callable[[Ledger], str]
"""Records a run as begun, and gives its id."""


class Sight(NamedTuple):
    """How somebody looks on."""

    show: Callable[[Snapshot], None] = lambda _: None
    """Given the run whenever something happened to it."""
    say: Callable[[str], None] = lambda _: None
    """Given a sentence for people."""
    note: Callable[[str, str, str], None] = lambda _run, _about, _why: None
    """Given the run, which of `TOLD` is so, and why; each once, from any thread."""


class Manner(NamedTuple):
    """How a run is carried out here."""

    concurrency: int = 4
    root: Path | None = None
    """The folder of the run's files here; None for where it was begun."""
    waits: bool = False
    """Whether to stay while the run waits."""
    by: str = ""
    """Who takes it up."""


def detach(settings: Settings, run: str | Begin, manner: Manner) -> str:
    """Leave a run to the workers and return its id: hand its phases out, carry nothing out here.

    One of them may have it already. `run` as of `carry_out`.

    Raises:
        UsageError: it has ended, or one that is to be begun exists.
        LedgerError: the ledger or the engine's database cannot be used; then nothing is begun.
    """
    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger(settings.ledger))
        lease = stack.enter_context(open_lease(ledger))
        engine = stack.enter_context(launched(settings, ledger, lease, Options(None, 1, manner.root)))
        if not isinstance(run, str):
            return _begun(engine, ledger, run)
        with suppress(BusyError):
            take_up(engine, ledger, run, by=manner.by)
        return run


def carry_out(settings: Settings, run: str | Begin, manner: Manner, sight: Sight) -> Snapshot:
    """Return how a run stands after it was carried out here as far as it goes.

    `run` is the id of one to go on with, or what begins one: that is called once the engine runs, so that nothing is
    on record of a run that cannot go on. Interrupted once, the steps under way are finished and the run can be
    resumed; twice, this process ends at once.

    Raises:
        UsageError: another process carries it out, or one that is to be begun exists.
        KeyboardInterrupt: it was interrupted, and stopped.
        LedgerError: the ledger or the engine's database cannot be used; then nothing is begun.
        OrchError: a phase could not be carried out here at all; the run can be resumed.
    """
    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger(settings.ledger))
        lease = stack.enter_context(open_lease(ledger))
        options = Options(own_queue(lease.id), manner.concurrency, manner.root, _noting(sight))
        engine = stack.enter_context(launched(settings, ledger, lease, options))
        lease.on_loss = partial(_lost, engine, sight)
        stack.enter_context(reaping(engine))
        engine.rest = HELD  # whoever stopped it does not want a worker to go on
        try:
            if isinstance(run, str):
                run_id = run
                take_up(engine, ledger, run_id, by=manner.by)
            else:
                run_id = _begun(engine, ledger, run)
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

    A run without phases, of `orch act` or `orch evaluate`, ends at once.

    Raises:
        UsageError: there is no such run, or it has ended.
        OrchError: it cannot be gone on with here; that it is to end is recorded, and said so.
    """
    with open_ledger(settings.ledger, must_exist=True) as ledger:
        state = walk.cancel(ledger, run_id, manner.by, reason)
    if state != "cancelling":
        return state  # of `orch act` or `orch evaluate`: it has no phases, and has ended
    try:
        return carry_out(settings, run_id, manner, Sight()).state
    except BusyError:
        return state
    except OrchError as error:
        further = f"that the run {run_id} is to end is recorded: whoever goes on with it ends it"
        error.advice = f"{error.advice}; {further}" if error.advice else further
        raise


def _begun(engine: Engine, ledger: Ledger, begin: Begin) -> str:
    """Return the id of a run that is now on record, and handed out; what is wrong after the first says the second."""
    run_id = begin(ledger)
    try:
        begin_first(engine, ledger, run_id)
    except OrchError as error:
        further = f"the run {run_id} was begun; `orch resume {run_id}` goes on with it"
        error.advice = f"{error.advice}; {further}" if error.advice else further
        raise
    return run_id


def _noting(sight: Sight) -> Note:
    """Return what passes on what stands in the way of telling of a run, each thing once."""
    said: set[tuple[str, str]] = set()
    turn = threading.Lock()

    def note(event: str, fields: dict[str, Any]) -> None:
        why = str(fields.get("reason", ""))
        with turn:
            if event not in TOLD or (event, why) in said:
                return
            said.add((event, why))
        sight.note(str(fields.get("run", "")), event, why)

    return note


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
