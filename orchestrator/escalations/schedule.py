"""Ticks every so often inside a worker, beside what it does otherwise; one at a time.

A tick that another process is at, or that fails, is noted, and the next one comes all the same.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.choices import Point
from orchestrator.errors import OrchError
from orchestrator.escalations.carry import Stop, by_workers
from orchestrator.escalations.meant import Manner, folder, said
from orchestrator.escalations.tick import Place, tick_in
from orchestrator.escalations.ticked import Ticked
from orchestrator.order import State
from orchestrator.runs.engine import Engine

_LOOK_S = 0.5
_REFUSED = frozenset({State.DENIED, State.WAITING, State.BUDGET, State.UNDECIDABLE, State.PERMANENT})


@contextmanager
def ticking(engine: Engine, every_s: float, root: Path | None = None) -> Iterator[None]:
    """Tick every escalation every so often, for as long as the block lasts; the first time at once.

    At the end the action that is under way is finished.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_loop, args=(engine, every_s, root, ended), name="orch-tick", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        while thread.is_alive() and not engine.lease.is_lost:
            thread.join(_LOOK_S)


def _loop(engine: Engine, every_s: float, root: Path | None, ended: threading.Event) -> None:
    due_s = time.monotonic()
    while not _is_over(engine, ended):
        _pass(engine, root)
        due_s = max(due_s + every_s, time.monotonic())
        while not _is_over(engine, ended) and (left_s := due_s - time.monotonic()) > 0:
            ended.wait(min(_LOOK_S, left_s))


def _is_over(engine: Engine, ended: threading.Event) -> bool:
    return ended.is_set() or engine.is_stopping


def _done(made: Ticked) -> dict[str, list[str]]:
    """Return what arrived and what was refused, by name."""
    ours = {"tick", "enter_stage"}
    delivered = [one.name for one in made.done if one.done.state is State.DELIVERED and one.action not in ours]
    refused = [f"{one.name} ({one.done.state})" for one in made.done if one.done.state in _REFUSED]
    return {"delivered": delivered, "refused": refused}


def _pass(engine: Engine, root: Path | None) -> None:
    """Make one tick of each escalation, a line in the log for each."""
    settings = engine.settings._replace(point=Point.TICK, run=None, session=None)
    try:
        with engine.ledger() as ledger:
            place = Place(ledger, engine.lease, by_workers(engine), lambda: engine.is_stopping, root or folder())
            for made in tick_in(settings, None, Manner(Stop()), place):
                engine.note("tick", **made.to_line(), **_done(made))
    except OrchError as error:
        engine.note("cannot tick", reason=said(error))
    except Exception as error:  # noqa: BLE001  # whatever it is, the next tick comes
        engine.note("cannot tick", reason=f"unexpected {type(error).__name__}: {error}")
