"""The sidecar: one OPA process for each bundle, on a unix socket that only its user can reach.

Comes after `bundle`. Starts a sidecar when it is first asked for, shares it among all later commands, replaces it when
it died, and shows and ends those there are. Keeps no list of processes: the lock of a seat tells who lives.
"""

import time
from _socket import socket as Socket  # noqa: N812  # the class is lower-case there
from pathlib import Path
from typing import NamedTuple

from orchestrator import place
from orchestrator.client import Connection, version
from orchestrator.engine import DEADLINE_S
from orchestrator.errors import DecisionError
from orchestrator.seat import Seat, connected, facts, is_alive, log_tail, seat_of, seats, seconds

_STOP_S = 10.0
_DAY_S = 86_400.0


class SidecarState(NamedTuple):
    """One sidecar that lives."""

    digest: str
    """The policy digest of its bundle."""
    pid: int
    """OPA's process."""
    watcher_pid: int
    """The process that ends it; 0 when that is gone and OPA was left over."""
    uptime_s: int
    idle_s: int
    """Since the last request."""
    idle_limit_s: float
    """After so long without a request it ends."""
    socket: Path
    memory_bytes: int
    """Resident; 0 where that cannot be seen."""
    opa_version: str
    """Empty when it does not answer within a second."""


def ensure(bundle_file: Path, digest: str, *, deadline_s: float | None = None) -> Connection:
    """Return a connection to the sidecar of this bundle, started if it does not run yet.

    Nothing here looks into the bundle: its digest and signature were checked before. `deadline_s` is for each question;
    None takes ORCH_DEADLINE, else 10 seconds.

    Raises:
        DecisionError: it cannot be started or reached, or what is found in its place may be someone else's.
        UsageError: ORCH_DEADLINE or ORCH_SIDECAR_IDLE is no number of seconds.
    """
    seat = seat_of(digest)
    limit_s = seconds("ORCH_DEADLINE", DEADLINE_S, _DAY_S) if deadline_s is None else deadline_s

    def connect() -> Socket:
        place.private_dir(seat.folder)
        made = connected(seat)
        if made is None:
            from orchestrator.launch import started

            made = started(seat, bundle_file, digest)
        return made

    return Connection(connect, used=seat.file("used"), deadline_s=limit_s).open()


def status() -> list[SidecarState]:
    """Return the sidecars of this user that live, by digest. Looking does not keep them alive.

    Raises:
        DecisionError: the folder of the sockets is someone else's or cannot be read.
    """
    return [state for seat in seats() if (state := _state(seat)) is not None]


def stop(digest: str | None = None) -> list[SidecarState]:
    """End the sidecar of this digest (its first hex digits do), or all of them, and return those that were ended.

    Only a process that holds the lock of its seat, or whose command line names its socket, is ended: a process id that
    was given to another program since then never is.

    Raises:
        DecisionError: one did not end within 10 seconds, or the folder is someone else's.
    """
    wanted = None if digest is None else digest.removeprefix("sha256:")
    found = [state for state in status() if wanted is None or (wanted and _hex(state).startswith(wanted))]
    for state in found:
        _stop(seat_of(state.digest), state)
    return found


def log_text(digest: str) -> str:
    """Return the last words of this bundle's sidecars: by whom each was started and ended, and OPA's errors."""
    return log_tail(seat_of(digest), 0)


def _state(seat: Seat) -> SidecarState | None:
    """Return what is known of a sidecar, or None where neither it nor its watcher lives."""
    from orchestrator import process

    is_watched, known = is_alive(seat), facts(seat)
    if known is None or not (is_watched or process.serves(known.pid, seat)):
        return None
    try:
        used = Path(seat.file("used")).stat().st_mtime
    except OSError:
        used = known.started
    return SidecarState(
        digest=known.digest,
        pid=known.pid,
        watcher_pid=known.watcher_pid if is_watched else 0,
        uptime_s=max(0, int(time.time() - known.started)),
        idle_s=max(0, int(time.time() - used)),
        idle_limit_s=known.idle_limit_s,
        socket=Path(seat.file("sock")),
        memory_bytes=process.memory_bytes(known.pid),
        opa_version=_version(seat),
    )


def _version(seat: Seat) -> str:
    try:
        made = connected(seat)
        return "" if made is None else version(made)
    except DecisionError:
        return ""


def _hex(state: SidecarState) -> str:
    return state.digest.removeprefix("sha256:")


def _stop(seat: Seat, state: SidecarState) -> None:
    from orchestrator import process

    until_s = time.monotonic() + _STOP_S
    if state.watcher_pid:
        process.end_watcher(state.watcher_pid, seat)
    else:
        process.kill_left_over(seat)
    while is_alive(seat) or process.serves(state.pid, seat):
        if time.monotonic() > until_s:
            raise DecisionError(
                f"the sidecar of {state.digest} did not end within {_STOP_S:g} s", advice=f"end process {state.pid}"
            )
        time.sleep(0.005)
