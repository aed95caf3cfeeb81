"""Finds executors that ended or hang, and gives what they held to others, once. Whoever executes does this."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.errors import LedgerError
from orchestrator.runs.engine import Engine
from orchestrator.runs.executors import Beat, boot_ms
from orchestrator.runs.lease import BEAT_S, LIFE_S

SWEEP_S = 2.0
"""Between two looks."""
_TIDY_S = 300


class Reaper:
    """Looks after the other executors of a ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._seen: dict[str, tuple[int, int]] = {}
        self._tidied = boot_ms()

    def sweep(self) -> list[str]:
        """Return the executors whose work was given to others now.

        Raises:
            LedgerError: the register or the engine's database cannot be used.
        """
        engine = self._engine
        engine.retry_postponed()
        beats = {beat.id: beat for beat in engine.lease.beats()}
        owners = engine.owners()
        taken = [one for one in sorted(owners) if self._take(one, beats.get(one))]
        for name in beats.keys() - owners - {engine.lease.id}:
            if engine.lease.is_dead(name):
                engine.lease.forget(name)
        self._seen = {name: seen for name, seen in self._seen.items() if name in beats}
        if boot_ms() - self._tidied > _TIDY_S * 1000:
            self._tidied = boot_ms()
            engine.tidy()
        return taken

    def _take(self, owner: str, beat: Beat | None) -> bool:
        lease = self._engine.lease
        if lease.is_dead(owner):
            why = "it ended"
            lease.lose(owner)
        elif beat is not None and (beat.is_lost or (self._hangs(beat) and lease.lose(owner, beat.at))):
            why = "it hangs"
        else:
            return False
        phases = self._engine.give_away(owner)
        if phases:
            self._engine.note("taken over", executor=owner, phases=phases, why=why)
        return bool(phases)

    def _hangs(self, beat: Beat) -> bool:
        """Return whether an executor has not beaten for a life, and not while we looked on.

        Where the whole machine slept, everybody's last beat is old; who wakes up must get the time to beat again.
        """
        now = boot_ms()
        at, since = self._seen.get(beat.id, (0, 0))
        if at != beat.at:
            self._seen[beat.id] = (beat.at, now)
            return False
        return beat.age_s > LIFE_S and now - since > (BEAT_S + 1) * 1000


@contextmanager
def reaping(engine: Engine) -> Iterator[Reaper]:
    """Look after the others, every few seconds, for as long as the block lasts."""
    reaper = Reaper(engine)
    ended = threading.Event()

    def loop() -> None:
        while not ended.wait(SWEEP_S) and not engine.lease.is_lost:
            try:
                reaper.sweep()
            except LedgerError as error:
                engine.note("cannot look after others", reason=str(error))

    thread = threading.Thread(target=loop, name="orch-reaper", daemon=True)
    thread.start()
    try:
        yield reaper
    finally:
        ended.set()
        thread.join(SWEEP_S)
