"""Runs one program to its end and leaves nothing of it behind. The one place that starts what others ask for.

Arguments are a list and no shell is ever asked. The program stands in an open folder, reads nothing, and has the
environment it is given and no other. A guardian (`guardian`) watches over it: on Linux every descendant ends with it,
also one that made a session of its own and ignores signals; elsewhere its process group does. Should this process be
killed, the guardian ends them, too.
"""

import errno
import marshal
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from orchestrator.errors import UsageError
from orchestrator.names import shown

KEEP_BYTES = 8 * 1024 * 1024
"""So much of each stream is kept unless the caller says otherwise: half from its beginning, half from its end."""
GRACE_S = 5.0
"""Between asking a program to end (SIGTERM) and killing it."""

_GUARDIAN = Path(__file__).with_name("guardian.py")
_READ_BYTES = 65_536
_POLL_S = 0.2
"""How often somebody is asked whether it is cancelled."""
_AFTER_S = 20.0
"""How long the guardian may take beyond the grace."""
_DRAIN_S = 2.0
"""How long output is still read after everything ended, where a process that could not be ended holds the pipe."""
_TRIES = 20
_LINE_BYTES = 64 * 1024
"""A cut is moved to the end of a line, if that is not further away."""
_LENGTH_BYTES = 8
_SIGNALLED = 128


class Why(StrEnum):
    """How a program came to its end."""

    ENDED = "ended"
    """By itself, or by a signal that was not ours."""
    NOT_STARTED = "not_started"
    """It certainly never ran."""
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"
    """What watched over it was killed; nobody knows how it ended."""


class Command(NamedTuple):
    """A program to run."""

    program: str
    """The file to execute: an absolute path, or `/proc/self/fd/N` of an open one."""
    argv: Sequence[str]
    """Its arguments, its own name first."""
    folder: int
    """The open folder that it stands in."""
    environ: Mapping[str, str]
    """All of its environment."""
    timeout_s: float
    grace_s: float = GRACE_S
    keep_bytes: int = KEEP_BYTES
    """Of each stream."""
    files: tuple[int, ...] = ()
    """Open files that it is given under the same numbers."""


class Output(NamedTuple):
    """What a program wrote to one stream; of much, the beginning and the end."""

    head: bytes
    tail: bytes
    """Empty where nothing was left out."""
    size: int
    """Bytes that were written."""

    @property
    def is_cut(self) -> bool:
        """Whether bytes were left out."""
        return self.size > len(self.head) + len(self.tail)

    @property
    def data(self) -> bytes:
        """Everything that was kept; a line in between says how much was left out."""
        if not self.is_cut:
            return self.head + self.tail
        left_out = self.size - len(self.head) - len(self.tail)
        return b"%s\n[... %d bytes left out ...]\n%s" % (self.head, left_out, self.tail)


class Ended(NamedTuple):
    """What became of a program."""

    why: Why
    code: int | None = None
    """Its exit code, 128 and the signal's number where one ended it; None where it has none."""
    signal: str = ""
    """`SIGSEGV`, where one ended it."""
    stdout: Output = Output(b"", b"", 0)
    stderr: Output = Output(b"", b"", 0)
    problem: str = ""
    """Why it could not be started, or was lost."""
    left: int = 0
    """Processes that would not end: those of another user."""
    duration_s: float = 0.0


def run(command: Command, *, is_cancelled: Callable[[], bool] = lambda: False) -> Ended:
    """Run a program until it ends, its time is over, or somebody cancels it; then nothing of it is left.

    Output is read as it comes and kept up to `keep_bytes` a stream, so memory does not grow with it. What runs in the
    background ends with the program: within a second, or it is killed.
    """
    order = _written(command)
    began = time.monotonic()
    with _guarded(command) as guarded:
        if guarded.problem:
            return Ended(Why.NOT_STARTED, problem=guarded.problem)
        ended = _Watching(guarded, command, is_cancelled).until_it_ends(order)
    return ended._replace(duration_s=time.monotonic() - began)


def find_program(name: str, path: str) -> str | None:
    """Return the file that a program's bare name stands for, by the absolute folders of a PATH; None where none is."""
    for each in path.split(os.pathsep):
        found = os.path.join(each, name)  # noqa: PTH118  # text in, text out
        if os.path.isabs(each) and os.path.isfile(found) and os.access(found, os.X_OK):  # noqa: PTH113, PTH117
            return found
    return None


class _Kept:
    """The beginning and the end of a stream."""

    def __init__(self, keep_bytes: int) -> None:
        self._half = max(1, keep_bytes // 2)
        self._head, self._tail = bytearray(), bytearray()
        self._size = 0

    def add(self, part: bytes) -> None:
        self._size += len(part)
        room = self._half - len(self._head)
        if room > 0:
            self._head += part[:room]
            part = part[room:]
        self._tail += part
        if len(self._tail) > 2 * self._half + _READ_BYTES:
            del self._tail[: -self._half]

    def output(self) -> Output:
        if self._size <= len(self._head) + self._half:
            return Output(bytes(self._head), bytes(self._tail), self._size)
        head, tail = bytes(self._head), bytes(self._tail[-self._half :])
        last, first = head.rfind(b"\n"), tail.find(b"\n")
        if len(head) - last <= _LINE_BYTES:
            head = head[: last + 1]
        if 0 <= first < _LINE_BYTES:
            tail = tail[first + 1 :]
        return Output(head, tail, self._size)


class _Guarded(NamedTuple):
    """A guardian that waits for its order."""

    line: int
    stdout: int
    stderr: int
    problem: str = ""


@contextmanager
def _guarded(command: Command) -> Iterator[_Guarded]:
    """Give a guardian and the ends of its pipes; when this is left it has ended, and so has what it watched over."""
    ours, theirs = socket.socketpair()
    pipes = [os.pipe(), os.pipe()]
    interpreter = [sys.executable, "-I", "-S", str(_GUARDIAN), str(theirs.fileno())]
    process = None
    try:
        try:
            process = subprocess.Popen(  # noqa: S603  # our own file
                interpreter,
                stdin=subprocess.DEVNULL,
                stdout=pipes[0][1],
                stderr=pipes[1][1],
                pass_fds=(theirs.fileno(), command.folder, *command.files),
                env={"LC_ALL": "C"},
                start_new_session=True,
            )
        except OSError as error:
            yield _Guarded(-1, -1, -1, f"no process can be started: {error.strerror or error}")
            return
        finally:
            theirs.close()
            for _, end in pipes:
                os.close(end)
        yield _Guarded(ours.fileno(), pipes[0][0], pipes[1][0])
    finally:
        ours.close()
        for end, _ in pipes:
            os.close(end)
        if process is not None:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(GRACE_S + _AFTER_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Watching:
    """A guardian at work, as it is seen from here."""

    def __init__(self, guarded: _Guarded, command: Command, is_cancelled: Callable[[], bool]) -> None:
        self._line, self._command, self._is_cancelled = guarded.line, command, is_cancelled
        self._kept = {each: _Kept(command.keep_bytes) for each in (guarded.stdout, guarded.stderr)}
        self._open = {guarded.line, guarded.stdout, guarded.stderr}
        self._said = b""
        self._why = Why.ENDED

    def until_it_ends(self, order: bytes) -> Ended:
        self._send(order)
        now = time.monotonic()
        until, asked_at = now + self._command.timeout_s, None
        next_look = now
        while self._line in self._open:
            self._read(min(_POLL_S, max(0.0, until - now)))
            now = time.monotonic()
            if asked_at is None and (why := self._reason(now, until, is_looked=now >= next_look)):
                self._why, asked_at = why, now
                until = now + self._command.grace_s + _AFTER_S
                self._send(b"T")
            elif asked_at is not None and now >= until:
                break
            next_look = now + _POLL_S if now >= next_look else next_look
        words = {line[:1]: line.split()[1:] for line in self._said.splitlines()}
        if b"S" in words and b"X" not in words:
            _end_session(int(words[b"S"][0]))
        drained_at = time.monotonic() + _DRAIN_S
        while self._open - {self._line} and time.monotonic() < drained_at:
            self._read(_POLL_S)
        return self._ended(words)

    def _reason(self, now: float, until: float, *, is_looked: bool) -> Why | None:
        if now >= until:
            return Why.TIMED_OUT
        return Why.CANCELLED if is_looked and self._is_cancelled() else None

    def _send(self, words: bytes) -> None:
        """Tell the guardian; one that is gone will be noticed when it is read from."""
        with suppress(OSError):
            while words:
                words = words[os.write(self._line, words) :]

    def _read(self, wait_s: float) -> None:
        poll = select.poll()  # select() knows no descriptor above 1023
        for each in self._open:
            poll.register(each, select.POLLIN)
        for each, _ in poll.poll(wait_s * 1000):
            try:
                part = os.read(each, _READ_BYTES)
            except OSError:
                part = b""
            if not part:
                self._open.discard(each)
            elif each == self._line:
                self._said += part
            else:
                self._kept[each].add(part)

    def _ended(self, words: Mapping[bytes, Sequence[bytes]]) -> Ended:
        stdout, stderr = (kept.output() for kept in self._kept.values())
        if failed := words.get(b"F"):
            return Ended(Why.NOT_STARTED, problem=_problem(int(failed[0]), int(failed[1]), self._command))
        if b"S" not in words:
            said = stderr.data.decode("utf-8", "replace").strip().splitlines()
            return Ended(Why.NOT_STARTED, problem=f"what watches over it did not start: {''.join(said[-1:])}")
        if (end := words.get(b"X")) is None:
            return Ended(Why.LOST, stdout=stdout, stderr=stderr, problem="what watched over it was killed")
        status, left = int(end[0]), int(end[1])
        code, name = _code(status)
        return Ended(self._why, code, name, stdout, stderr, left=left)


def _end_session(pid: int) -> None:
    """Kill what is left of a program's group, whose guardian was killed; the program went with the guardian."""
    for _ in range(_TRIES):
        if _is_over(pid):  # while somebody lives by this id it may be anybody
            with suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
            return
        time.sleep(_DRAIN_S / _TRIES)


def _is_over(pid: int) -> bool:
    try:
        os.getsid(pid)
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except ProcessLookupError:
        return True
    except (OSError, IndexError):
        return False


def _code(status: int) -> tuple[int | None, str]:
    if status < 0:
        return None, ""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code, ""
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return _SIGNALLED - code, name


def _problem(stage: int, number: int, command: Command) -> str:
    if stage == 0:
        return f"it cannot stand in its folder: {os.strerror(number)}"
    match number:
        case errno.E2BIG:
            size = sum(len(os.fsencode(each)) for each in command.argv)
            return f"its arguments and environment are too long for this system ({size:,} bytes of arguments)"
        case errno.ENOEXEC:
            return "it is neither a program for this machine nor a script that begins with #!"
        case errno.ENOENT:
            return "the file, or the interpreter that its first line names, is not there"
        case errno.EACCES:
            return "it may not be executed"
        case _:
            return os.strerror(number)


def _written(command: Command) -> bytes:
    """Return the order as the guardian reads it.

    Raises:
        UsageError: an argument or variable holds what no program can be given.
    """
    texts = (command.program, *command.argv, *command.environ, *command.environ.values())
    for text in texts:
        if "\0" in text:
            raise UsageError(f"{shown(text)} holds a NUL byte, which no program can be given")
    environ = {os.fsencode(name): os.fsencode(value) for name, value in command.environ.items()}
    argv = [os.fsencode(each) for each in command.argv]
    body = marshal.dumps((os.fsencode(command.program), argv, environ, command.folder, command.grace_s))
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body
