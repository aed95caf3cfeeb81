"""One program, run to its end: what it is given, what is kept of it, and that nothing of it is left."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from orchestrator import beneath, child
from orchestrator.child import Command, Ended, Why
from orchestrator.errors import UsageError
from orchestrator.process import memory_bytes

_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of every descendant")
_KEEP_BYTES = 8 * 1024 * 1024
_STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(2):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
        open(os.path.join(sys.argv[1], str(os.getpid())), "w").close()
        time.sleep(600)
open(os.path.join(sys.argv[1], str(os.getpid())), "w").close()
while sys.argv[2:] or len(os.listdir(sys.argv[1])) < 5: time.sleep(0.01)
"""
"""A program whose descendants leave its group and its session; each ignores SIGTERM and notes its own id.

It ends when all have; with one more argument, never.
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path, os.O_RDONLY)
    yield opened
    os.close(opened)


def python(text: str, *more: str) -> tuple[str, ...]:
    return (sys.executable, "-c", text, *more)


def ran(folder: int, *argv: str, timeout_s: float = 20, grace_s: float = 0.3, files: tuple[int, ...] = ()) -> Ended:
    environ = {"PATH": os.defpath, "A": "1"}
    return child.run(Command(argv[0], argv, folder, environ, timeout_s, grace_s, _KEEP_BYTES, files))


def is_gone(pid: int) -> bool:
    """Say whether a process has ended, whether or not its parent has asked how."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True


def are_gone_soon(pids: Iterable[int]) -> bool:
    until, left = time.monotonic() + 10, list(pids)
    while left and time.monotonic() < until:
        left = [pid for pid in left if not is_gone(pid)]
        time.sleep(0.01)
    return not left


def noted(folder: Path, count: int) -> list[int]:
    until = time.monotonic() + 20
    while len(found := list(folder.iterdir())) < count and time.monotonic() < until:
        time.sleep(0.01)
    return [int(each.name) for each in found]


def test_output_and_exit_code_are_told(folder: int) -> None:
    ended = ran(folder, *python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"))

    assert (ended.why, ended.code, ended.signal) == (Why.ENDED, 3, "")
    assert (ended.stdout.data, ended.stderr.data) == (b"out\n", b"err\n")


def test_no_shell_ever_reads_an_argument(folder: int, tmp_path: Path) -> None:
    hostile = ["$(touch evil)", "`touch evil`", "; touch evil", "| touch evil", "a'b\"c", "-n", "../../evil", "*", "\n"]

    ended = ran(folder, *python("import sys; print(sys.argv[1:])", *hostile))

    assert ended.stdout.data.decode() == f"{hostile}\n"
    assert list(tmp_path.iterdir()) == [tmp_path / "home"]


def test_it_has_the_given_environment_and_folder_no_input_and_a_session_of_its_own(folder: int, tmp_path: Path) -> None:
    text = "import os, sys; print(sorted(os.environ), os.getcwd(), sys.stdin.read() == '', os.getsid(0) == os.getpid())"

    ended = ran(folder, *python(text))

    assert ended.stdout.data.decode() == f"['A', 'LC_CTYPE', 'PATH'] {tmp_path} True True\n"


def test_it_inherits_no_open_file_but_those_it_is_given(folder: int, tmp_path: Path) -> None:
    with (tmp_path / "given").open("w+") as given, (tmp_path / "kept").open("w") as kept:
        os.set_inheritable(kept.fileno(), True)
        ended = ran(folder, "/bin/ls", "/proc/self/fd", files=(given.fileno(),))

        numbers = {int(each) for each in ended.stdout.data.split()}
        assert given.fileno() in numbers
        assert kept.fileno() not in numbers


def test_a_signal_that_ended_it_is_named(folder: int) -> None:
    ended = ran(folder, "/bin/sh", "-c", "kill -SEGV $$")

    assert (ended.why, ended.code, ended.signal) == (Why.ENDED, 139, "SIGSEGV")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("/no/such/program",), "is not there"),
        (("/bin/echo", "x" * 300_000), "too long"),
        (("/bin/echo", *(["x" * 1000] * 10_000)), "too long"),
    ],
    ids=["missing", "one huge argument", "many arguments"],
)
def test_what_cannot_be_started_is_said_and_certain(folder: int, argv: tuple[str, ...], said: str) -> None:
    ended = ran(folder, *argv)

    assert ended.why is Why.NOT_STARTED
    assert said in ended.problem


def test_a_file_that_may_not_be_executed_is_told(folder: int, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("#!/bin/sh\n")

    ended = ran(folder, str(tmp_path / "text"))

    assert ended.problem == "it may not be executed"


def test_a_file_without_a_first_line_is_no_program(folder: int, tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_text("echo hello\n")
    file.chmod(0o755)

    ended = ran(folder, str(file))

    assert "begins with #!" in ended.problem


def test_an_argument_with_nul_is_refused(folder: int) -> None:
    with pytest.raises(UsageError, match="NUL"):
        ran(folder, "/bin/echo", "a\0b")


def test_when_its_time_is_over_it_is_asked_to_end_first(folder: int) -> None:
    text = (
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(7)); print('up', flush=True); time.sleep(60)"
    )

    ended = ran(folder, *python(text), timeout_s=2, grace_s=10)

    assert (ended.why, ended.code) == (Why.TIMED_OUT, 7)
    assert ended.duration_s < 10


@_LINUX
def test_a_family_that_left_its_group_and_ignores_sigterm_is_gone(folder: int, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    argv = python(_STUBBORN, str(notes), "for ever")
    command = Command(argv[0], argv, folder, {}, 60, 0.3)

    ended = child.run(command, is_cancelled=lambda: len(list(notes.iterdir())) == 5)

    assert (ended.why, ended.signal, ended.left) == (Why.CANCELLED, "SIGKILL", 0)
    assert all(map(is_gone, noted(notes, 5)))


@_LINUX
def test_what_runs_in_the_background_ends_with_the_program(folder: int, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()

    ended = ran(folder, *python(_STUBBORN, str(notes)))

    assert (ended.why, ended.code) == (Why.ENDED, 0)
    assert len(list(notes.iterdir())) == 5
    assert all(map(is_gone, noted(notes, 5)))


@_LINUX
def test_a_fork_bomb_is_stopped(folder: int) -> None:
    text = "import os, time\nfor _ in range(7): os.fork()\nwhile True: time.sleep(0.1)"

    ended = ran(folder, *python(text), timeout_s=1, grace_s=0.1)

    assert ended.why is Why.TIMED_OUT
    assert ended.left == 0


def test_somebody_can_cancel_it(folder: int) -> None:
    wanted = threading.Event()
    threading.Timer(0.3, wanted.set).start()
    command = Command("/bin/sleep", ("sleep", "60"), folder, {}, 30)

    ended = child.run(command, is_cancelled=wanted.is_set)

    assert (ended.why, ended.signal) == (Why.CANCELLED, "SIGTERM")
    assert ended.duration_s < 5


@_LINUX
def test_where_the_one_who_waits_is_killed_the_family_goes_too(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    text = (
        "import os, sys; from orchestrator import child; at = os.open('/', os.O_RDONLY);"
        f"child.run(child.Command(sys.executable, (sys.executable, '-c', {_STUBBORN!r}, {str(notes)!r}, 'for ever'), at, {{}}, 600))"
    )
    waiting = subprocess.Popen([sys.executable, "-c", text])
    family = noted(notes, 5)

    waiting.kill()
    waiting.wait()

    assert are_gone_soon(family)


@_LINUX
def test_where_the_guardian_is_killed_nobody_knows_how_it_ended(folder: int, tmp_path: Path) -> None:
    text = (
        "import os, signal, sys\n"
        "if (pid := os.fork()) == 0: signal.pause()\n"
        "print(os.getpid(), pid, flush=True); os.kill(os.getppid(), signal.SIGKILL); signal.pause()"
    )

    ended = ran(folder, *python(text))

    assert ended.why is Why.LOST
    assert are_gone_soon(map(int, ended.stdout.data.split()))


def test_output_of_100_mb_is_read_in_memory_that_does_not_grow(folder: int) -> None:
    """Each line has a number, so that beginning and end can be told; what lies between is left out, and counted."""
    text = "import sys\nfor n in range(100_000): sys.stdout.write(f'{n:06}' + 'x' * 1041 + '\\n')"
    ran(folder, "/bin/echo")
    before, most = memory_bytes(os.getpid()), [0]
    is_over = threading.Event()

    def measure() -> None:
        while not is_over.wait(0.01):
            most[0] = max(most[0], memory_bytes(os.getpid()))

    watching = threading.Thread(target=measure)
    watching.start()
    ended = ran(folder, *python(text))
    is_over.set()
    watching.join()

    assert ended.stdout.size == 104_800_000
    assert ended.stdout.head.startswith(b"000000x")
    assert ended.stdout.tail.endswith(b"x\n")
    assert ended.stdout.tail[:6].isdigit()
    assert ended.stdout.head.endswith(b"x\n")
    assert len(ended.stdout.data) <= _KEEP_BYTES + 100
    assert b"bytes left out ...]\n" in ended.stdout.data
    assert most[0] - before < 40 * 1024 * 1024


def test_output_that_fits_is_whole(folder: int) -> None:
    ended = ran(folder, *python("print('y' * 70_000 + 'z' * 30_000)"))

    assert ended.stdout.data == b"y" * 70_000 + b"z" * 30_000 + b"\n"
    assert not ended.stdout.is_cut


def test_a_program_that_closes_its_output_is_waited_for(folder: int) -> None:
    ended = ran(folder, *python("import os, time; os.close(1); os.close(2); time.sleep(0.4); os._exit(5)"))

    assert (ended.why, ended.code) == (Why.ENDED, 5)


def test_it_works_in_a_process_with_many_open_files(folder: int) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limit[1]), limit[1]))
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
    try:
        ended = ran(folder, "/bin/echo", "x")
    finally:
        for each in opened:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)

    assert (ended.why, ended.stdout.data) == (Why.ENDED, b"x\n")


def test_signals_have_their_usual_meaning_for_it(folder: int) -> None:
    """A shell whose `yes` is never told that its reader has gone would hang or complain."""
    handler = signal.getsignal(signal.SIGPIPE)
    assert handler is signal.SIG_IGN

    ended = ran(folder, "/bin/sh", "-c", "yes | head -n 1")

    assert (ended.stdout.data, ended.stderr.data) == (b"y\n", b"")


def test_programs_are_looked_for_in_absolute_folders_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ls").write_text("#!/bin/sh\n")
    (tmp_path / "ls").chmod(0o755)
    monkeypatch.chdir(tmp_path)

    found = child.find_program("ls", f".:{os.pathsep}/bin")

    assert found == "/bin/ls"
    assert child.find_program("no-such-program", "/bin") is None


def test_a_folder_is_opened_through_no_symlink(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("/etc")

    with beneath.folder(tmp_path, ("real",)) as opened:
        assert os.path.samestat(os.fstat(opened), (tmp_path / "real").stat())
    with pytest.raises(OSError), beneath.folder(tmp_path, ("link",)):  # noqa: PT011  # its number differs by system
        pass


@pytest.mark.parametrize("path", ["/etc", "..", "a/../..", "a//b", "", "a\0b", "../../evil"])
def test_a_path_that_leaves_the_root_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="expected a relative path"):
        beneath.steps(path, what="cwd")


@pytest.mark.parametrize(("path", "parts"), [(".", ()), ("./a/b", ("a", "b")), ("a/", ("a",))])
def test_usual_spellings_of_a_path_are_taken(path: str, parts: tuple[str, ...]) -> None:
    assert beneath.steps(path, what="cwd") == parts
