"""A worker: takes phases from the shared queue, wakes runs that can go on, and takes over from executors that ended."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

from orchestrator.errors import Exit, LedgerError
from orchestrator.ledger.open import open_ledger
from orchestrator.runs.engine import QUEUE, Engine, Note, Options, Work, end_now, launched
from orchestrator.runs.lease import open_lease
from orchestrator.runs.reaper import reaping
from orchestrator.runs.takeup import Waker
from orchestrator.settings import Settings

_ONCE_POLL_S = 0.2
_QUIET_LOOKS = 3
"""After so many looks without anything to do, all is done."""


class Duty(NamedTuple):
    """How a worker works."""

    concurrency: int = 4
    """Phases at a time."""
    poll_s: float = 2.0
    """Between two looks at the runs that wait."""
    root: Path | None = None
    """The folder of every run's files on this machine; None for where each was begun."""
    is_once: bool = False
    """Whether it ends when nothing is left to do."""


def work(
    settings: Settings,
    duty: Duty,
    note: Note,
    on_start: Callable[[Engine], None] = lambda _: None,
    beside: Callable[[Engine], AbstractContextManager[None]] = lambda _: nullcontext(),
) -> None:
    """Work until the engine is stopped, or until nothing is left to do; steps under way are finished first.

    What is done `beside` lasts as long as that. Where others took over, the process ends at once, with exit code 6.

    Raises:
        LedgerError: the ledger or the engine's database cannot be used.
    """
    options = Options(QUEUE, duty.concurrency, duty.root, note)
    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger(settings.ledger))
        lease = stack.enter_context(open_lease(ledger))
        engine = stack.enter_context(launched(settings, ledger, lease, options))
        lease.on_loss = partial(_lost, engine)
        stack.enter_context(reaping(engine))
        on_start(engine)
        engine.note("started", executor=lease.id, concurrency=duty.concurrency)
        stack.enter_context(beside(engine))
        _watch(engine, duty)
        engine.stop()
        engine.drain()
        if not lease.is_lost:
            engine.note("ended", executor=lease.id)


def _lost(engine: Engine) -> None:
    """End at once: what is under way here, a command for example, is another process's by now."""
    engine.note("lost", executor=engine.lease.id, reason=engine.lease.reason)
    end_now(Exit.UNDECIDABLE)


def _watch(engine: Engine, duty: Duty) -> None:
    waker, quiet = Waker(engine), 0
    while not engine.is_stopping:
        try:
            taken = waker.look()
        except LedgerError as error:
            engine.note("cannot look", reason=str(error))
            taken = 0
        is_idle = not taken and not any(_is_ours(engine, one) for one in engine.active())
        quiet = quiet + 1 if is_idle else 0
        if duty.is_once and quiet >= _QUIET_LOOKS:
            return
        engine.wait(_ONCE_POLL_S if duty.is_once else duty.poll_s)


def _is_ours(engine: Engine, one: Work) -> bool:
    return one.executor == engine.lease.id if one.is_running else one.queue == QUEUE
