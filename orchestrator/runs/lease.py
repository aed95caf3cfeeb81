"""Proof that this process lives, and may still act: a lock that goes with it, and a heartbeat that shows when it hangs.

Whoever executes holds one lease. Where others have given its work away, `check` refuses from then on, for good.
"""

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.errors import LedgerError
from orchestrator.ledger.store import Ledger
from orchestrator.runs.executors import Beat, Executors, boot_ms, executors_of, quiet_close

BEAT_S = 5.0
"""Between two heartbeats."""
LIFE_S = 30.0
"""After so long without a heartbeat an executor counts as hung."""
_FRESH_S = 1.0
"""A heartbeat that is no older proves as much as a new one, where nobody has taken the lease since."""
_HOST_CHARS = 60
_LOST = "another process has taken over the work of this one, because it was not seen to live for a while"


class LeaseLost(LedgerError):  # noqa: N818  # what happened, not what is wrong with a call
    """This process may have been taken over: it must not act, and not record."""


class HeldLease:
    """The lease of this process."""

    def __init__(self, executors: Executors, name: str) -> None:
        self.id = name
        self.executors = executors
        self.on_loss: Callable[[], None] = lambda: None
        """Called once, from any thread, when the lease is lost."""
        self._turn = threading.RLock()
        self._ended = threading.Event()
        self._reason = ""
        self._beaten_ms = boot_ms()
        self._thread = threading.Thread(target=self._keep_on, name="orch-lease", daemon=True)

    @property
    def is_lost(self) -> bool:
        """Whether this process must not act any more."""
        return bool(self._reason)

    @property
    def reason(self) -> str:
        """Why it is lost; "" where it is held."""
        return self._reason

    def check(self) -> None:
        """Return where this process may act now; nobody takes it over within the next half of a lease's life.

        Raises:
            LeaseLost: it may have been taken over.
        """
        self._beat(fresh_s=_FRESH_S)
        if self._reason:
            raise LeaseLost(self._reason, advice="see `orch runs`; whoever took over goes on")
        if boot_ms() - self._beaten_ms > LIFE_S * 500:
            raise LeaseLost("this process was stopped for so long that it may have been taken over")

    def is_dead(self, other: str) -> bool:
        """Return whether another executor has certainly ended; one that hangs is not dead."""
        if other == self.id:
            return False
        with self._turn:
            return self.executors.is_dead(other)

    def is_replaced(self, other: str) -> bool:
        """Return whether another executor's work was given to others: nothing more comes of what it began."""
        return any(beat.is_lost for beat in self.beats() if beat.id == other)

    def beats(self) -> list[Beat]:
        """Return how every executor of the ledger was last seen."""
        with self._turn:
            return self.executors.beats()

    def lose(self, other: str, at: int | None = None) -> bool:
        """Take the right to go on from another executor; False where it has beaten since `at`, or lost it before."""
        with self._turn:
            return self.executors.lose(other, at)

    def outlives(self, other: str) -> bool:
        """Take the right to go on from an executor that hangs, and return whether it did.

        It has not beaten for a life, and not while this looks on: where the whole machine slept, everybody's last beat
        is old, and who wakes up gets the time to beat again.
        """
        first = next((beat for beat in self.beats() if beat.id == other), None)
        if first is None or first.age_s <= LIFE_S or other == self.id:
            return False
        self._ended.wait(BEAT_S + 1)
        return self.lose(other, first.at)

    def forget(self, other: str) -> None:
        """Remove what is left of an executor that has ended."""
        with self._turn:
            self.executors.forget(other)

    def hinder(self, run_id: str, reason: str) -> None:
        """Let others see why this process cannot go on with a run; where that cannot be written, it is not seen."""
        with self._turn, suppress(LedgerError):
            self.executors.hinder(self.id, run_id, reason)

    def unhinder(self, run_id: str) -> None:
        """Take back what hindered a run: this process goes on with it."""
        with self._turn, suppress(LedgerError):
            self.executors.unhinder(run_id)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def end(self) -> None:
        """Stop beating and give the lease back."""
        self._ended.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(BEAT_S)
        with self._turn:
            quiet_close(self.executors, self.id)

    def _keep_on(self) -> None:
        while not self._ended.wait(BEAT_S) and not self._reason:
            self._beat()

    def _beat(self, *, fresh_s: float = 0.0) -> None:
        """Write the heartbeat, or where it is fresh, look that it still counts.

        What cannot be written or seen proves nothing, so then the lease is lost.
        """
        with self._turn:
            if self._reason or self._ended.is_set():
                return
            try:
                began = boot_ms()
                if began - self._beaten_ms < fresh_s * 1000:
                    if self.executors.is_live(self.id):
                        return
                elif self.executors.beat(self.id):
                    self._beaten_ms = began
                    return
                self._reason = _LOST
            except LedgerError as error:
                self._reason = f"the lease of this process is gone: {error}"
        self.on_loss()


@contextmanager
def open_lease(ledger: Ledger) -> Iterator[HeldLease]:
    """Give a lease of this process on executing for a ledger; it ends with the block, or with the process.

    Raises:
        LedgerError: it cannot be taken.
    """
    executors = executors_of(ledger)
    lease = HeldLease(executors, new_name())
    try:
        executors.enter(lease.id)
        lease.start()
        yield lease
    finally:
        lease.end()


def new_name() -> str:
    """Return a name for an executor: host, start of the machine, process, start of the process, and chance."""
    host = re.sub(r"[^a-z0-9.-]+", "-", socket.gethostname().lower()).strip(".-")[:_HOST_CHARS] or "host"
    return f"{host}-{_boot_id()}-{os.getpid()}-{_process_start()}-{os.urandom(8).hex()}"


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:
        return "unknown"


def _process_start() -> str:
    """Return when this process began, in clock ticks since the machine started; "0" where that is not to be seen."""
    try:
        return Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "0"
