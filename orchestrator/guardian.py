"""Watches over one child process; runs as a process of its own, started by `child` as a bare script.

On Linux it is the reaper of everything that the child leaves behind, so no descendant gets out of its sight, whatever
session or group it made for itself; all of them end with the child, and with whoever started this: a line that closes
means that nobody waits any more. Imports only what the interpreter brings along: it must start within milliseconds.

Told over the line: a length and a marshalled order; then `T` (end it in good time) or nothing more. It answers with
`S pid` (started), `F stage errno` (could not be) and at last `X status left` (the wait status; processes still there).
"""

import _signal as signal  # type: ignore[import-not-found,unused-ignore]
import marshal
import os
import select
import sys
import time
from typing import Any, NamedTuple

IS_LINUX = sys.platform == "linux"
GIVE_UP_S = 10.0
"""So long is killed again what does not go; then it is counted and left."""

_SET_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36
_READ_BYTES = 65_536
_LENGTH_BYTES = 8
_PAUSE_S = 0.002
_FREEZES = 20


class _Order(NamedTuple):
    """What to start."""

    program: bytes
    """A path; `/proc/self/fd/N` for an open file."""
    argv: list[bytes]
    environ: dict[bytes, bytes]
    folder: int
    """The open folder to stand in."""
    grace_s: float
    """Between asking processes to end and killing them."""


class _Watch:
    """The child as it is seen from here."""

    def __init__(self, line: int, pid: int, grace_s: float) -> None:
        self.line, self.pid, self.grace_s = line, pid, grace_s
        self.status: int | None = None
        """The child's wait status once it ended."""
        self.is_alone = False
        """Nothing that came of the child is left."""
        self.is_closed = False
        """Nobody is there any more to wait for it."""
        self.is_asked = False
        """It was told to end."""
        self._signals, self._waker = os.pipe()
        for end in (self._signals, self._waker):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, _nothing)

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.is_alone = True
                return
            if not pid:
                return
            if pid == self.pid:
                self.status = status

    def listen(self, until: float | None) -> None:
        """Wait for a signal, a word on the line, or the time."""
        lines = [self._signals] if self.is_closed else [self._signals, self.line]
        poll = select.poll()  # select() knows no descriptor above 1023
        for each in lines:
            poll.register(each, select.POLLIN)
        ready = {each for each, _ in poll.poll(None if until is None else max(0.0, until - time.monotonic()) * 1000)}
        if self._signals in ready and os.read(self._signals, _READ_BYTES).strip(bytes([signal.SIGCHLD])):
            self.is_closed = True
        if self.line in ready:
            self.is_asked = True
            self.is_closed = not os.read(self.line, _READ_BYTES)

    def tell_all(self, number: int) -> None:
        """Send a signal to everything that came of the child."""
        if not IS_LINUX:
            _kill_group(self.pid, number)
        for pid, since in descendants().items():
            _send(pid, since, number)

    def wait(self) -> None:
        """Return when the child ended; when it was told to, not later than its grace allows."""
        until = None
        self.reap()
        while self.status is None and not self.is_closed and (until is None or time.monotonic() < until):
            self.listen(until)
            if self.is_asked and until is None:
                until = time.monotonic() + self.grace_s
                self.tell_all(signal.SIGTERM)
            self.reap()

    def _is_waited_for(self) -> bool:
        return not self.is_alone and not self.is_closed

    def clear(self) -> int:
        """End what is left, and return how many would not go."""
        until = time.monotonic() + min(self.grace_s, 1.0)
        if not self.is_alone and self.status is not None:
            self.tell_all(signal.SIGTERM)
            self.reap()
            while self._is_waited_for() and time.monotonic() < until:
                self.listen(min(until, time.monotonic() + 0.05))
                self.reap()
        if not self.is_alone:
            _freeze()
        until = time.monotonic() + GIVE_UP_S
        while not self.is_alone and time.monotonic() < until:
            self.tell_all(signal.SIGKILL)
            time.sleep(_PAUSE_S)
            self.reap()
        return 0 if self.is_alone else max(1, len(descendants()))


def descendants() -> dict[int, bytes]:
    """Return every process that came of this one, with the time it began; none where there is no /proc."""
    if not IS_LINUX:
        return {}
    parents: dict[int, tuple[int, bytes]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  # pathlib takes 5 ms to import
        if name.isdigit() and (seen := _seen(int(name))):
            parents[int(name)] = seen
    found: dict[int, bytes] = {}
    wanted = {os.getpid()}
    while wanted:
        below = {pid: since for pid, (parent, since) in parents.items() if parent in wanted and pid not in found}
        found |= below
        wanted = set(below)
    return found


def _seen(pid: int) -> tuple[int, bytes] | None:
    """Return a process's parent and the time it began; None where it is gone or has ended already."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123  # as above
            rest = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if rest[0] in {b"Z", b"X"} else (int(rest[1]), rest[19])


def _send(pid: int, since: bytes, number: int) -> None:
    """Signal the process that began at that time; one that took over its id is left alone."""
    try:
        held = os.pidfd_open(pid)
    except (OSError, AttributeError):
        return
    try:
        seen = _seen(pid)
        if seen and seen[1] == since:
            signal.pidfd_send_signal(held, number)
    except OSError:
        return
    finally:
        os.close(held)


def _kill_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except OSError:
        return


def _freeze() -> None:
    """Stop every descendant, until none is left that could make another."""
    stopped: dict[int, bytes] = {}
    for _ in range(_FREEZES):
        new = {pid: since for pid, since in descendants().items() if stopped.get(pid) != since}
        if not new:
            return
        for pid, since in new.items():
            _send(pid, since, signal.SIGSTOP)
        stopped |= new


def _prctl(option: int, value: int) -> None:
    if IS_LINUX:
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _nothing(*_: object) -> None:
    """A signal only has to wake."""


def _start(order: _Order, line: int) -> int:
    """Start the child and return its id; 0 where it could not be started, which was told then."""
    answers, answer = os.pipe()
    guardian = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(answers)
        _become(order, answer, guardian)
    os.close(answer)
    said = b""
    while part := os.read(answers, 100):
        said += part
    os.close(answers)
    if said:
        os.waitpid(pid, 0)
        os.write(line, b"F " + said + b"\n")
        return 0
    os.write(line, b"S %d\n" % pid)
    return pid


def _become(order: _Order, answer: int, guardian: int) -> None:
    """Become the program; what goes wrong is said."""
    stage = 0
    try:
        os.setsid()
        if IS_LINUX:
            _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
            if os.getppid() != guardian:
                os._exit(127)
        _forbid_core_dumps()
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):  # which the interpreter changed for itself
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.fchdir(order.folder)
        stage = 1
        os.execve(order.program, order.argv, order.environ)  # noqa: S606  # no shell is meant
    except OSError as error:
        os.write(answer, b"%d %d" % (stage, error.errno or 0))
    except ValueError:
        os.write(answer, b"%d 0" % stage)
    os._exit(127)


def _forbid_core_dumps() -> None:
    """A dump would hold the secrets that the child was given."""
    import resource

    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        return


def _read_order(line: int) -> _Order:
    given = b""
    while len(given) < _LENGTH_BYTES or len(given) < _LENGTH_BYTES + int.from_bytes(given[:_LENGTH_BYTES], "big"):
        part = os.read(line, 1 << 20)
        if not part:
            os._exit(0)
        given += part
    value: Any = marshal.loads(given[_LENGTH_BYTES:])  # noqa: S302  # from the process that started this one
    return _Order(*value)


def _let_go_of_output() -> None:
    """Keep no end of the child's pipes: whoever reads them must see when it has ended."""
    nowhere = os.open("/dev/null", os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def main() -> None:
    """Start what the line says, and see to its end."""
    line = int(sys.argv[1])
    os.set_inheritable(line, False)
    order = _read_order(line)
    os.set_inheritable(order.folder, False)
    _prctl(_SET_CHILD_SUBREAPER, 1)
    pid = _start(order, line)
    _let_go_of_output()
    if not pid:
        return
    watch = _Watch(line, pid, order.grace_s)
    watch.wait()
    left = watch.clear()
    if not watch.is_closed:
        os.write(line, b"X %d %d\n" % (-1 if watch.status is None else watch.status, left))


if __name__ == "__main__":
    main()
