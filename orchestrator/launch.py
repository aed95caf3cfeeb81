"""Starts the sidecar of a seat: its watcher, which starts OPA. Imported only when one has to be started."""

import os
import sys
import time
from _socket import socket as Socket  # noqa: N812  # the class is lower-case there
from pathlib import Path

from orchestrator import client, process
from orchestrator.errors import DecisionError
from orchestrator.seat import LOCK_FLAGS, Seat, alone, clear, connected, is_alive, log_tail, pause, seconds

IDLE_S = 900.0
"""After so long without a request a sidecar ends; also the most that ORCH_SIDECAR_IDLE may say."""
START_S = 60.0
"""How long a start may take; a bundle of 10,000 rules takes about two seconds."""

_LOG_KEEP_BYTES = 32_768
_KEEP_S = 7 * 86_400
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""What the watcher's interpreter may need; credentials do not outlive the command they were given to."""
_MEMORY = {"GOGC": "50"}
"""Go then holds less of what it no longer needs: 281 MB instead of 356 MB at 100,000 files, for no measurable time."""


def started(seat: Seat, bundle_file: Path, digest: str) -> Socket:
    """Return a connection to a sidecar that was started here, or meanwhile by another command.

    Raises:
        DecisionError: it does not start; the message holds OPA's own words.
        UsageError: ORCH_SIDECAR_IDLE is no number of seconds.
    """
    until_s = time.monotonic() + START_S
    try:
        with alone(seat, until_s):
            while (made := connected(seat)) is None and is_alive(seat):  # one is starting, or ending
                pause(seat, until_s)
            return made or _start(seat, bundle_file, digest, until_s)
    except OSError as error:
        raise DecisionError(
            f"cannot start a sidecar in {seat.folder}: {error.strerror or error}",
            advice="make room there and writable, or set XDG_RUNTIME_DIR to another folder",
        ) from error


def _start(seat: Seat, bundle_file: Path, digest: str, until_s: float) -> Socket:
    """Start a sidecar and return a connection to it once it has answered. Needs to be alone."""
    _sweep(seat)
    process.kill_left_over(seat)
    for kind in ("sock", "state"):
        Path(seat.file(kind)).unlink(missing_ok=True)
    said_before = _new_mark_and_log(seat)
    _spawn(seat, bundle_file, digest)
    while (made := connected(seat)) is None:
        if not is_alive(seat):
            words = log_tail(seat, said_before)
            raise DecisionError(f"OPA did not start: {words or 'it said nothing'}", advice="`orch doctor` checks OPA")
        pause(seat, until_s)
    client.limit(made, max(1.0, until_s - time.monotonic()))
    try:
        client.exchange(made, b"GET /health HTTP/1.1\r\nHost: orch\r\n\r\n", START_S)
    except BaseException as error:
        made.close()
        if isinstance(error, client.Lost):
            raise DecisionError(f"OPA ended while it started: {log_tail(seat, said_before)}") from error
        raise
    return made


def _sweep(seat: Seat) -> None:
    """Remove what sidecars of old bundles left behind: each change of a pack is a bundle of its own."""
    oldest = time.time() - _KEEP_S
    for mark in seat.folder.glob("*.used"):
        try:
            if mark.stat().st_mtime < oldest:
                clear(Seat(seat.folder, mark.stem))
        except OSError:  # another command sweeps too
            continue


def _new_mark_and_log(seat: Seat) -> int:
    """Renew the mark of use, begin a paragraph of the log, and return where that begins."""
    os.close(os.open(seat.file("used"), LOCK_FLAGS, 0o600))
    os.utime(seat.file("used"))
    log = os.open(seat.file("log"), LOCK_FLAGS | os.O_APPEND, 0o600)
    try:
        if os.fstat(log).st_size > _LOG_KEEP_BYTES:
            os.ftruncate(log, 0)
        os.write(
            log, f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} started by process {os.getpid()}\n".encode()
        )
        return os.fstat(log).st_size
    finally:
        os.close(log)


def _spawn(seat: Seat, bundle_file: Path, digest: str) -> None:
    """Start the watcher, which starts OPA, and return when it holds its lock or has failed."""
    from orchestrator import opa

    binary, interpreter = os.path.abspath(opa.find()), sys.executable  # noqa: PTH100  # may be a path-like of ours
    if not interpreter:
        raise DecisionError("cannot start a sidecar: this interpreter does not know its own path")
    bundle = bundle_file.absolute()
    serve = ["run", "--server", "--skip-version-check", "--skip-verify", "--log-level=error", "--log-format=text"]
    serve.append("--optimize-store-for-read-speed")  # a fifth faster at 1,000 rules; the bundle is never written to
    serve += [f"--addr=unix://{seat.key}.sock", "--unix-socket-perm=0600", "--shutdown-grace-period=2", "--bundle"]
    serve.append(bundle.as_uri() if ":" in str(bundle) else str(bundle))
    watcher = [interpreter, "-I", "-S", str(Path(__file__).with_name("watch.py").resolve())]
    watcher += [str(seat.folder), seat.key, f"{seconds('ORCH_SIDECAR_IDLE', IDLE_S, IDLE_S):g}", digest, binary, *serve]
    log = os.open(seat.file("log"), os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        pid = os.posix_spawn(
            interpreter,
            watcher,
            {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _MEMORY,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
            setsigmask=(),
        )
        os.waitpid(pid, 0)
    except ChildProcessError:  # the host program reaps its children itself
        return
    finally:
        os.close(log)
