"""Where the sidecar of one bundle sits: its socket, its locks, its log. Starts and ends nothing.

Part of the hot path. The only sign of a sidecar's life is the lock that its watcher holds on the seat's state.
"""

import errno
import fcntl
import os
import stat
import time
from _socket import AF_UNIX, SOCK_STREAM
from _socket import socket as Socket  # noqa: N812  # the class is lower-case there
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from orchestrator import place
from orchestrator.client import limit
from orchestrator.engine import DEADLINE_S
from orchestrator.errors import DecisionError, UsageError

LOCK_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC

_KEY_LENGTH = 24
_SOCKET_BYTES = 103
_POLL_S = 0.001
_LOG_READ_BYTES = 131_072


class Seat(NamedTuple):
    """Where one sidecar sits: files that begin with the key of its bundle."""

    folder: Path
    key: str
    """The first hex digits of the policy digest."""

    def file(self, kind: str) -> str:
        """Return the path of the seat's `sock`, `lock`, `state`, `used` or `log`."""
        return f"{self.folder}/{self.key}.{kind}"


class Facts(NamedTuple):
    """What a watcher wrote down about its sidecar."""

    watcher_pid: int
    pid: int
    """OPA's process."""
    started: int
    """Seconds since 1970."""
    idle_limit_s: float
    digest: str


def seat_of(digest: str) -> Seat:
    """Return the seat for the bundle of this policy digest.

    Raises:
        DecisionError: it is no digest, or the socket's path is longer than a kernel takes.
    """
    key = digest.removeprefix("sha256:")[:_KEY_LENGTH]
    if len(key) != _KEY_LENGTH or not set(key) <= set("0123456789abcdef"):
        raise DecisionError(f"{digest!r:.100} is no policy digest; expected sha256: and 64 hex digits")
    seat = Seat(place.runtime_dir(), key)
    if len(os.fsencode(seat.file("sock"))) > _SOCKET_BYTES:
        raise DecisionError(
            f"the socket's path is too long: {seat.file('sock')}", advice="set XDG_RUNTIME_DIR to a shorter folder"
        )
    return seat


def seats() -> Iterator[Seat]:
    """Yield every seat that somebody took and did not clean up, by key. What is no plain file was not put by us.

    Raises:
        DecisionError: the folder of the sockets is someone else's or cannot be read.
    """
    folder = place.runtime_dir()
    if os.path.lexists(folder):
        for path in sorted(place.private_dir(folder).glob("*.state")):
            if path.is_file() and not path.is_symlink():
                yield Seat(folder, path.name.removesuffix(".state"))


def seconds(variable: str, default: float, most: float) -> float:
    """Return a number of seconds from the environment, at most `most`.

    Raises:
        UsageError: it is no positive number.
    """
    text = os.environ.get(variable, "")
    if not text:
        return default
    try:
        given = float(text)
    except ValueError:
        given = 0.0
    if not given > 0:
        raise UsageError(f"{variable} is {text!r:.100}; expected a number of seconds", advice=f"{variable}={default:g}")
    return min(given, most)


def connected(seat: Seat) -> Socket | None:
    """Return a connection to the seat's socket, or None where nobody listens.

    Raises:
        DecisionError: what lies there is no socket of this user, or does not accept.
    """
    path = seat.file("sock")
    try:
        seen = os.lstat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISSOCK(seen.st_mode) or seen.st_uid != os.geteuid():
        raise DecisionError(
            f"{path} is not a socket of yours", advice="look who put it there; then remove it, and ask again"
        )
    made = Socket(AF_UNIX, SOCK_STREAM)
    try:
        limit(made, DEADLINE_S)
        made.connect(path)
    except (ConnectionRefusedError, FileNotFoundError):
        made.close()
        return None
    except OSError as error:
        made.close()
        raise DecisionError(f"cannot connect to {path}: {error}", advice="`orch sidecar stop --all` ends it") from error
    return made


@contextmanager
def alone(seat: Seat, until_s: float) -> Iterator[None]:
    """Keep other commands from starting the same sidecar.

    Raises:
        DecisionError: another command has kept the lock until `until_s` (monotonic).
        OSError: the lock's file cannot be made.
    """
    while (lock := _locked(seat)) is None:
        pause(seat, until_s)
    try:
        yield
    finally:
        os.close(lock)


def clear(seat: Seat) -> None:
    """Remove the files of a seat that nobody sits on, unless a command is about to; what is not ours stays.

    Raises:
        OSError: they cannot be removed.
    """
    lock = _locked(seat)
    if lock is None:
        return
    try:
        if not is_alive(seat):
            for kind in ("sock", "state", "used", "log", "lock"):
                Path(seat.file(kind)).unlink(missing_ok=True)
    except DecisionError:  # whoever asks for this seat is told
        return
    finally:
        os.close(lock)


def _locked(seat: Seat) -> int | None:
    """Return the seat's lock, held, or None while another command has it."""
    lock = os.open(seat.file("lock"), LOCK_FLAGS, 0o600)
    try:
        if _try_lock(lock, fcntl.LOCK_EX) and os.fstat(lock).st_ino == Path(seat.file("lock")).stat().st_ino:
            return lock
    except FileNotFoundError:  # `clear` took it away meanwhile
        pass
    os.close(lock)
    return None


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def pause(seat: Seat, until_s: float) -> None:
    """Wait for a moment.

    Raises:
        DecisionError: it is later than `until_s` (monotonic).
    """
    if time.monotonic() > until_s:
        raise DecisionError(
            f"the sidecar in {seat.folder} does not get ready: {log_tail(seat, 0)[-500:] or 'it says nothing'}",
            advice="end it with `orch sidecar stop --all`, and ask again",
        )
    time.sleep(_POLL_S)


def is_alive(seat: Seat) -> bool:
    """Return whether a watcher holds the lock on the seat's state.

    Raises:
        DecisionError: the state is a symlink or cannot be opened.
    """
    path = seat.file("state")
    try:
        state = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError as error:
        is_link = error.errno == errno.ELOOP
        raise DecisionError(
            f"{path} " + ("is a symlink" if is_link else f"cannot be opened: {error.strerror}"),
            advice="look who put it there; then remove it, and ask again",
        ) from error
    try:
        return not _try_lock(state, fcntl.LOCK_SH)
    finally:
        os.close(state)


def log_tail(seat: Seat, start: int) -> str:
    """Return the last words of the seat's log, read from byte `start`; never fails."""
    try:
        with Path(seat.file("log")).open("rb") as log:
            log.seek(start)
            return log.read(_LOG_READ_BYTES).decode("utf-8", "replace").strip()[-2_000:]
    except OSError as error:
        return f"(its log cannot be read: {error.strerror})"


def facts(seat: Seat) -> Facts | None:
    """Return what the seat's watcher wrote down, be it alive or not; None where it has not, or not yet."""
    try:
        watcher, pid, started, idle_s, digest, _ = Path(seat.file("state")).read_text("utf-8").split("\0")
        return Facts(int(watcher), int(pid), int(started), float(idle_s), digest)
    except (OSError, ValueError):
        return None
