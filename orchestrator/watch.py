"""The watcher of one sidecar: OPA's parent, a process of its own. Ends OPA when nobody asks; does nothing else.

Run as a file by `sidecar` (`python -I -S watch.py FOLDER KEY IDLE_S DIGEST OPA ARGUMENT...`) and imported by nobody. It
imports nothing of ours and little else, to be small and quick. As long as it lives it holds the lock on KEY.state, so
whoever finds that lock free knows that watcher and OPA are gone. It lets go only after OPA is dead: OPA removes its
socket's path when it ends, which must not hit the socket of a successor.
"""

import fcntl
import os
import select
import sys
import time

LOG_BYTES = 65_536
"""What OPA says beyond this is dropped."""
GRACE_S = 2
"""How long OPA may finish what it is answering."""
POLL_S = 2.0
"""How often the mark of use is looked at, at most."""
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PR_SET_PDEATHSIG = 1
_SIGKILL = 9
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
"""All that OPA sees: no credentials, and no OPA_RUN_* variables, which would act as flags."""


def main(folder: str, key: str, idle_s: float, digest: str, command: list[str]) -> None:
    """Detach, start OPA, watch it, end it. The calling process sees this one exit as soon as the lock is held."""
    os.chdir(folder)
    _detach()
    state = os.open(f"{key}.state", _CREATE, 0o600)
    fcntl.flock(state, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if os.fork():
        os._exit(0)
    opa, words = _start(command)
    facts = (os.getpid(), opa, int(time.time()), f"{idle_s:g}", digest, command[0])
    _say(state, "\0".join(map(str, facts)).encode())
    reason = _watch(key, idle_s, opa, words)
    _unlink(f"{key}.state")
    _log(f"{reason}\n".encode())


def _detach() -> None:
    """Leave the caller's session, and let go of every descriptor of its: one kept open would hang who reads from it."""
    os.umask(0o077)
    if os.getpid() != os.getsid(0):
        os.setsid()
    try:
        kept_open = [int(name) for name in os.listdir("/dev/fd")]  # noqa: PTH208  # pathlib is slow to import
    except OSError:  # a container without /proc
        kept_open = list(range(1024))
    for descriptor in kept_open:
        if descriptor > 2:  # noqa: PLR2004  # stderr
            try:
                os.close(descriptor)
            except OSError:  # the one that listed the folder
                continue


def _start(command: list[str]) -> tuple[int, int]:
    """Start OPA as a child that dies with this process, and return its id and the pipe it talks to."""
    mine, its = os.pipe()
    watcher = os.getpid()
    opa = os.fork()
    if opa == 0:
        try:
            os.dup2(its, 1)
            os.dup2(its, 2)
            _die_with(watcher)
            os.execve(command[0], command, _ENVIRONMENT)  # noqa: S606  # the operator's path or our own
        except OSError as error:
            _say(2, f"cannot start {command[0]}: {error}\n".encode())
        finally:
            os._exit(127)
    os.close(its)
    return opa, mine


def _die_with(parent: int) -> None:
    """Ask Linux to kill this process when its parent dies; elsewhere `orch sidecar stop` finds an OPA left over."""
    if sys.platform == "linux":
        try:
            import ctypes
        except ImportError:
            return
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL)
        if os.getppid() != parent:
            os._exit(127)


def _watch(key: str, idle_s: float, opa: int, words: int) -> str:
    """Wait until OPA is dead, having ended it if that was due, and return by whom and why it ended."""
    woken, asked_to_stop = _wake_on_signals()
    pause_s = min(POLL_S, idle_s / 4)
    mark, used_s = _mark(key), time.monotonic()
    was_there = False
    while True:
        ready, _, _ = select.select([words, woken], [], [], pause_s)
        _drain(ready, words, woken)
        pid, status = os.waitpid(opa, os.WNOHANG)
        if pid:
            _drain(select.select([words], [], [], 0)[0], words, woken)
            return f"ended by itself: {_ending(status)}"
        if asked_to_stop:
            _end(key, opa)
            return "ended by its watcher, which was told to stop (SIGTERM)"
        if was_there and not os.path.lexists(f"{key}.sock"):
            _end(key, opa)
            return "ended by its watcher: its socket was gone"
        was_there = was_there or os.path.lexists(f"{key}.sock")
        now_s = time.monotonic()
        if (seen := _mark(key)) != mark:
            mark, used_s = seen, now_s
        if now_s - used_s >= idle_s - pause_s:
            _end(key, opa)
            return f"ended by its watcher after {idle_s:g} s without a request"


def _wake_on_signals() -> tuple[int, list[int]]:
    """Return a descriptor that is readable after a signal, and a list that fills when one asks to stop."""
    import signal

    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    stops: list[int] = []
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda number, _: stops.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return woken, stops


def _drain(ready: list[int], words: int, woken: int) -> None:
    if woken in ready:
        os.read(woken, 4096)
    if words in ready:
        text = os.read(words, 4096)
        if text:
            _log(text)
        else:  # OPA is ending; its exit comes as a signal
            time.sleep(0.01)


def _mark(key: str) -> int:
    """Return when the sidecar was last used; compared only with itself, so that a clock that jumps ends nothing."""
    try:
        return os.stat(f"{key}.used").st_mtime_ns  # noqa: PTH116  # pathlib is slow to import
    except OSError:
        return 0


def _end(key: str, opa: int) -> None:
    """End OPA and wait for it; its socket goes first, so that nobody comes new."""
    _unlink(f"{key}.sock")
    os.kill(opa, 15)
    until_s = time.monotonic() + GRACE_S + 1
    while time.monotonic() < until_s:
        if os.waitpid(opa, os.WNOHANG)[0]:
            return
        time.sleep(0.005)
    os.kill(opa, _SIGKILL)
    os.waitpid(opa, 0)


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"killed by signal {-code}" if code < 0 else f"exit {code}"


def _unlink(name: str) -> None:
    try:
        os.unlink(name)  # noqa: PTH108  # pathlib is slow to import
    except OSError:
        return


def _log(text: bytes) -> None:
    """Add to the log, which is this process's stderr."""
    room = LOG_BYTES - os.fstat(2).st_size
    if room > 0:
        _say(2, text[:room])


def _say(descriptor: int, text: bytes) -> None:
    try:
        os.write(descriptor, text)
    except OSError:  # a full disk must not end a sidecar that answers
        return


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4], sys.argv[5:])
