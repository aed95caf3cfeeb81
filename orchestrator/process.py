"""Whose process is this, how large is it, and how is it ended without ever ending another. Not in the hot path."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from orchestrator.seat import Seat, facts, is_alive


def serves(pid: int, seat: Seat) -> bool:
    """Return whether this process is an OPA on the seat's socket, by its command line. A recycled id is not."""
    return pid > 1 and f"--addr=unix://{seat.key}.sock" in _command_line(pid).split("\0")


def memory_bytes(pid: int) -> int:
    """Return the resident memory of a process, 0 where it cannot be seen."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 1024 * int(_ps(pid, "rss=").strip() or 0)


def end_watcher(pid: int, seat: Seat) -> None:
    """Ask the seat's watcher to end its OPA and itself; does nothing if it no longer holds the seat's lock."""
    _signal(pid, signal.SIGTERM, lambda: is_alive(seat))


def kill_left_over(seat: Seat) -> None:
    """Kill an OPA of the seat whose watcher is gone."""
    known = facts(seat)
    if known is not None and serves(known.pid, seat):
        _signal(known.pid, signal.SIGKILL, lambda: serves(known.pid, seat))


def _signal(pid: int, number: signal.Signals, still_holds: Callable[[], bool]) -> None:
    """Signal a process; where Linux' process descriptors exist, its id cannot change hands after the check."""
    try:
        if hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal"):
            descriptor = os.pidfd_open(pid)
            try:
                if still_holds():
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)
        elif still_holds():
            os.kill(pid, number)
    except ProcessLookupError:
        return


def _command_line(pid: int) -> str:
    """Return the arguments of a process, each ended by NUL; where there is no /proc, by what `ps` knows."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return "" if Path("/proc/self").exists() else _ps(pid, "args=").replace(" ", "\0")


def _ps(pid: int, column: str) -> str:
    try:
        asked = ["/bin/ps", "-o", column, "-p", str(pid)]
        found = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=5)  # noqa: S603  # no shell
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout
