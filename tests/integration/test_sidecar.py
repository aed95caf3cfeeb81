"""The sidecar against the real OPA: started once, shared, replaced when it dies, ended when idle, never a stranger's."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import bundle, sidecar
from orchestrator.client import Connection
from orchestrator.errors import DecisionError, UsageError
from orchestrator.seat import Seat, seat_of

_LIBRARY = """package orch

answer := [{"digest": data.policy.digest, "name": data.policy.name, "echo": item} | some item in input.batch]

explanation := [{"rules": item} | some item in input.batch]
"""
_SLOW = """package orch

answer := [count([1 | some x in numbers.range(1, item); some y in numbers.range(1, 1000); x * y == 0]) |
	some item in input.batch
]
"""
_QUESTION = b'{"batch":[1]}'


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the test a folder of its own for sockets, short as sockets need it, and end every sidecar in it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        monkeypatch.setenv("ORCH_SIDECAR_IDLE", "60")
        try:
            yield Path(folder, "orch")
        finally:
            place = Path(folder, "orch")
            if place.is_dir() and not place.is_symlink():
                place.chmod(0o700)
                sidecar.stop()


class _Bundles:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str = "first", library: str = _LIBRARY) -> tuple[Path, str]:
        rego = self.folder / name / "orch"
        rego.mkdir(parents=True, exist_ok=True)
        (rego / "orch.rego").write_text(library)
        built = bundle.build({"name": name}, {}, library=rego.parent)
        file = self.folder / f"{name}.tar.gz"
        file.write_bytes(built.data)
        return file, built.digest


@pytest.fixture
def bundles(tmp_path: Path) -> _Bundles:
    return _Bundles(tmp_path)


def _until(condition: Any, seconds: float = 10.0) -> None:  # noqa: ANN401  # a lambda
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.01)


def _stop(pid: int) -> None:
    """Stop a process, all of its threads: on another processor one may go on for a moment."""
    os.kill(pid, signal.SIGSTOP)
    threads = list(Path(f"/proc/{pid}/task").iterdir())
    _until(lambda: all((one / "stat").read_text().rpartition(") ")[2].startswith("T") for one in threads))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_answers_and_is_reused(bundles: _Bundles) -> None:
    file, digest = bundles.write()

    with sidecar.ensure(file, digest) as first:
        answers = first.ask(b'{"batch":[1,{"a":"\xc3\xa9"}]}')
    before = sidecar.status()
    with sidecar.ensure(file, digest) as second:
        explained = second.explain(_QUESTION)

    assert [
        {"digest": digest, "name": "first", "echo": 1},
        {"digest": digest, "name": "first", "echo": {"a": "é"}},
    ] == answers
    assert explained == [{"rules": 1}]
    assert [before[0].pid] == [state.pid for state in sidecar.status()]


def test_the_state_says_what_a_person_wants_to_know(bundles: _Bundles) -> None:
    file, digest = bundles.write()
    sidecar.ensure(file, digest).close()

    (state,) = sidecar.status()

    assert (state.digest, state.opa_version, state.idle_limit_s) == (digest, "1.22.0", 60)
    assert state.memory_bytes > 2**20
    assert 0 <= state.idle_s <= state.uptime_s + 1 <= 5
    assert (_lives(state.pid), _lives(state.watcher_pid)) == (True, True)


def test_the_folder_is_private_and_no_port_listens(bundles: _Bundles, runtime: Path) -> None:
    file, digest = bundles.write()
    sidecar.ensure(file, digest).close()
    (state,) = sidecar.status()

    inodes = {str(link.readlink()) for link in Path(f"/proc/{state.pid}/fd").iterdir() if link.is_symlink()}
    tables = [Path(f"/proc/{state.pid}/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6", "udp")]
    sockets = {f"socket:[{row.split()[9]}]" for table in tables for row in table}

    assert not inodes & sockets
    assert runtime.stat().st_mode & 0o777 == 0o700
    assert all(file.lstat().st_mode & 0o077 == 0 for file in runtime.iterdir())


def test_settings_of_opa_in_the_environment_are_not_seen(bundles: _Bundles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPA_RUN_DIAGNOSTIC_ADDR", "127.0.0.1:0")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for long-lived processes")
    file, digest = bundles.write()

    sidecar.ensure(file, digest).close()

    (state,) = sidecar.status()
    for pid in (state.pid, state.watcher_pid):
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"AWS" not in environment
        assert b"OPA_RUN" not in environment


_PROGRAM = """
import sys
from pathlib import Path
from orchestrator import sidecar
print(sidecar.ensure(Path(sys.argv[1]), sys.argv[2]).ask(b'{"batch":[1]}')[0]["digest"])
"""


def test_commands_that_start_at_once_share_one(bundles: _Bundles) -> None:
    file, digest = bundles.write()

    commands = [
        subprocess.Popen([sys.executable, "-c", _PROGRAM, file, digest], stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    printed = [command.communicate(timeout=60)[0].strip() for command in commands]

    assert [digest] * 6 == printed
    assert len(sidecar.status()) == 1
    assert sidecar.log_text(digest).count("started by") == 1


def test_a_caller_whose_output_is_read_is_not_held_up(bundles: _Bundles) -> None:
    """A daemon that keeps a pipe of its caller open would make this wait for the idle end."""
    file, digest = bundles.write()
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)  # positional only

    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, file, digest],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[writer],
    ) as command:
        printed, _ = command.communicate(timeout=20)
    os.close(writer)

    assert digest.encode() in printed
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_it_lives_in_a_session_of_its_own(bundles: _Bundles) -> None:
    file, digest = bundles.write()

    sidecar.ensure(file, digest).close()

    (state,) = sidecar.status()
    assert os.getsid(state.pid) == os.getsid(state.watcher_pid) != os.getsid(0)


def test_killed_between_two_questions_it_is_started_again(bundles: _Bundles) -> None:
    file, digest = bundles.write()
    with sidecar.ensure(file, digest) as connection:
        connection.ask(_QUESTION)
        (state,) = sidecar.status()
        os.kill(state.pid, signal.SIGKILL)

        answer = connection.ask(_QUESTION)

    assert answer[0]["digest"] == digest
    assert [state.pid] != [later.pid for later in sidecar.status()]
    assert "ended by itself: killed by signal 9" in sidecar.log_text(digest)


def test_killed_in_mid_request_the_question_is_asked_again(bundles: _Bundles) -> None:
    file, digest = bundles.write(library=_SLOW)
    with sidecar.ensure(file, digest, deadline_s=60) as connection:
        (state,) = sidecar.status()
        killer = threading.Timer(0.2, os.kill, (state.pid, signal.SIGKILL))
        killer.start()
        began = time.monotonic()
        answer = connection.ask(b'{"batch":[2000]}')
        took = time.monotonic() - began
        killer.join()

    assert answer == [0]
    assert took > 0.3, "the first process was not killed in mid-request"


def test_killed_twice_in_mid_request_there_is_no_answer(bundles: _Bundles) -> None:
    file, digest = bundles.write(library=_SLOW)
    stopped = threading.Event()

    def kill_all() -> None:
        while not stopped.wait(0.3):
            for state in sidecar.status():
                os.kill(state.pid, signal.SIGKILL)

    with sidecar.ensure(file, digest, deadline_s=60) as connection:
        killer = threading.Thread(target=kill_all)
        killer.start()
        try:
            with pytest.raises(DecisionError, match="ended twice"):
                connection.ask(b'{"batch":[100000]}')
        finally:
            stopped.set()
            killer.join()


def test_opa_dies_with_its_watcher_and_both_are_replaced(bundles: _Bundles) -> None:
    file, digest = bundles.write()
    with sidecar.ensure(file, digest) as connection:
        (state,) = sidecar.status()
        os.kill(state.watcher_pid, signal.SIGKILL)
        _until(lambda: not _lives(state.pid))

        answer = connection.ask(_QUESTION)

    assert answer[0]["digest"] == digest
    assert state.watcher_pid != sidecar.status()[0].watcher_pid


def test_a_stale_socket_is_cleaned_up(bundles: _Bundles, runtime: Path) -> None:
    file, digest = bundles.write()
    runtime.mkdir(mode=0o700)
    path = seat_of(digest).file("sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)

    with sidecar.ensure(file, digest) as connection:
        answer = connection.ask(_QUESTION)

    assert answer[0]["digest"] == digest


def _make_file(seat: Seat) -> None:
    Path(seat.file("sock")).write_text("x")


def _make_link(seat: Seat) -> None:
    other = socket.socket(socket.AF_UNIX)
    other.bind(f"{seat.folder}/other")
    other.close()
    Path(seat.file("sock")).symlink_to(f"{seat.folder}/other")


@pytest.mark.parametrize("make", [_make_file, _make_link])
def test_what_is_no_socket_of_ours_is_refused(bundles: _Bundles, runtime: Path, make: Any) -> None:  # noqa: ANN401
    file, digest = bundles.write()
    runtime.mkdir(mode=0o700)
    make(seat_of(digest))

    with pytest.raises(DecisionError, match="not a socket of yours") as raised:
        sidecar.ensure(file, digest)

    assert raised.value.advice


def test_a_state_that_is_a_symlink_is_not_ours(bundles: _Bundles, runtime: Path) -> None:
    file, digest = bundles.write()
    runtime.mkdir(mode=0o700)
    state = Path(seat_of(digest).file("state"))
    state.symlink_to(state.name)

    with pytest.raises(DecisionError, match="is a symlink") as raised:
        sidecar.ensure(file, digest)

    assert raised.value.advice
    assert (sidecar.status(), sidecar.stop()) == ([], [])
    assert state.is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("kind", ["sock", ""])
def test_a_foreign_socket_or_folder_is_refused(bundles: _Bundles, runtime: Path, kind: str) -> None:
    file, digest = bundles.write()
    runtime.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(seat_of(digest).file("sock"))
    os.chown(seat_of(digest).file(kind) if kind else runtime, 12345, 12345)

    try:
        with pytest.raises(DecisionError):
            sidecar.ensure(file, digest)
    finally:
        os.chown(runtime, 0, 0)


def test_a_folder_open_to_others_is_refused(bundles: _Bundles, runtime: Path) -> None:
    file, digest = bundles.write()
    runtime.mkdir()
    runtime.chmod(0o755)

    with pytest.raises(DecisionError, match="cannot be trusted"):
        sidecar.ensure(file, digest)


def test_a_folder_that_is_a_symlink_is_refused(bundles: _Bundles, runtime: Path, tmp_path: Path) -> None:
    file, digest = bundles.write()
    (tmp_path / "real").mkdir(mode=0o700)
    runtime.symlink_to(tmp_path / "real")

    with pytest.raises(DecisionError, match="symlink"):
        sidecar.ensure(file, digest)


def test_idle_it_ends_and_says_by_whom(bundles: _Bundles, monkeypatch: pytest.MonkeyPatch, runtime: Path) -> None:
    monkeypatch.setenv("ORCH_SIDECAR_IDLE", "1")
    file, digest = bundles.write()
    with sidecar.ensure(file, digest) as connection:
        (state,) = sidecar.status()
        _until(lambda: not _lives(state.watcher_pid))

        assert not _lives(state.pid)
        assert sidecar.log_text(digest).endswith("ended by its watcher after 1 s without a request")
        assert sidecar.status() == []
        assert not list(runtime.glob("*.sock"))
        assert connection.ask(_QUESTION)[0]["digest"] == digest


def test_used_it_does_not_end(bundles: _Bundles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_SIDECAR_IDLE", "1")
    file, digest = bundles.write()
    with sidecar.ensure(file, digest) as connection:
        (state,) = sidecar.status()
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            connection.ask(_QUESTION)
            time.sleep(0.1)

        assert [state.pid] == [later.pid for later in sidecar.status()]


def test_no_answer_is_lost_while_sidecars_end_idle(bundles: _Bundles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions that come just when a sidecar ends are answered by the next."""
    monkeypatch.setenv("ORCH_SIDECAR_IDLE", "0.4")
    file, digest = bundles.write()
    with sidecar.ensure(file, digest) as connection:
        for step in range(24):
            assert connection.ask(_QUESTION)[0]["digest"] == digest
            time.sleep(0.28 + step * 0.01)

    assert sidecar.log_text(digest).count("started by") > 1


def test_a_changed_bundle_gets_a_process_of_its_own(bundles: _Bundles) -> None:
    """Under a loop of changes no answer is lost and none comes from another bundle."""
    wrong: list[str] = []
    made = [bundles.write(f"bundle{number}") for number in range(4)]

    def ask(offset: int) -> None:
        for step in range(12):
            file, digest = made[(step + offset) % len(made)]
            with sidecar.ensure(file, digest) as connection:
                answer = connection.ask(_QUESTION)
            if answer[0]["digest"] != digest or answer[0]["name"] != file.name.split(".")[0]:
                wrong.append(digest)

    threads = [threading.Thread(target=ask, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert {digest for _, digest in made} == {state.digest for state in sidecar.status()}


def test_threads_share_a_connection_without_mixing_answers(bundles: _Bundles) -> None:
    file, digest = bundles.write()
    mixed: list[object] = []
    with sidecar.ensure(file, digest) as connection:

        def ask(me: int) -> None:
            mixed.extend(got for _ in range(50) if (got := connection.ask(b'{"batch":[%d]}' % me)[0]["echo"]) != me)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert mixed == []


_FORK = (
    _PROGRAM
    + """
import os
connection = sidecar.ensure(Path(sys.argv[1]), sys.argv[2])
connection.ask(b'{"batch":[0]}')
child = os.fork()
mine = b'{"batch":["child"]}' if child == 0 else b'{"batch":["parent"]}'
expected = "child" if child == 0 else "parent"
for _ in range(200):
    assert connection.ask(mine)[0]["echo"] == expected
connection.close()
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
)


def test_a_forked_child_does_not_read_its_parents_answers(bundles: _Bundles) -> None:
    file, digest = bundles.write()

    done = subprocess.run([sys.executable, "-c", _FORK, file, digest], check=False, capture_output=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("size", [1_000, 150_000, 3_000_000])
def test_large_answers_come_whole(bundles: _Bundles, size: int) -> None:
    file, digest = bundles.write()

    with sidecar.ensure(file, digest) as connection:
        answers = [connection.ask(json.dumps({"batch": ["é" * size]}).encode())[0]["echo"] for _ in range(2)]

    assert ["é" * size] * 2 == answers


def test_an_opa_that_hangs_runs_into_the_deadline(bundles: _Bundles) -> None:
    file, digest = bundles.write()
    with sidecar.ensure(file, digest, deadline_s=0.5) as connection:
        (state,) = sidecar.status()
        _stop(state.pid)
        began = time.monotonic()

        with pytest.raises(DecisionError, match=r"no answer within 0\.5 s") as raised:
            connection.ask(_QUESTION)

        assert time.monotonic() - began < 2
        assert "orch sidecar stop" in raised.value.advice
        os.kill(state.pid, signal.SIGCONT)
        assert connection.ask(b'{"batch":[7]}')[0]["echo"] == 7, "the late answer was taken for the next one"


def test_a_hanging_opa_can_be_stopped(bundles: _Bundles) -> None:
    file, digest = bundles.write()
    sidecar.ensure(file, digest).close()
    (state,) = sidecar.status()
    _stop(state.pid)

    stopped = sidecar.stop()

    assert [state.pid] == [one.pid for one in stopped]
    assert not _lives(state.pid)


def test_a_question_to_a_hung_opa_that_is_long_runs_into_the_deadline_too(bundles: _Bundles) -> None:
    file, digest = bundles.write()
    with sidecar.ensure(file, digest, deadline_s=0.5) as connection:
        _stop(sidecar.status()[0].pid)

        with pytest.raises(DecisionError, match="no answer within"):
            connection.ask(b'{"batch":["%b"]}' % (b"x" * 5_000_000))


def test_stop_ends_only_what_was_named(bundles: _Bundles) -> None:
    made = [bundles.write(name) for name in ("first", "second")]
    for file, digest in made:
        sidecar.ensure(file, digest).close()

    stopped = sidecar.stop(made[0][1][: len("sha256:") + 10])

    assert [made[0][1]] == [state.digest for state in stopped]
    assert [made[1][1]] == [state.digest for state in sidecar.status()]
    assert sidecar.log_text(made[0][1]).endswith("ended by its watcher, which was told to stop (SIGTERM)")


def test_stop_never_ends_a_stranger_with_a_recycled_id(bundles: _Bundles, runtime: Path) -> None:
    _, digest = bundles.write()
    runtime.mkdir(mode=0o700)
    with subprocess.Popen(["sleep", "60"]) as stranger:
        facts = (stranger.pid, stranger.pid, int(time.time()), "60", digest, "opa")
        Path(seat_of(digest).file("state")).write_text("\0".join(map(str, facts)))

        stopped = sidecar.stop()

        assert stopped == []
        assert stranger.poll() is None
        stranger.kill()


def test_a_start_that_fails_shows_opas_own_words(bundles: _Bundles) -> None:
    file, digest = bundles.write(library="package orch\n\nanswer := nonsense(1)\n")

    with pytest.raises(DecisionError, match="nonsense"):
        sidecar.ensure(file, digest)

    assert sidecar.status() == []


def test_a_missing_bundle_is_said(tmp_path: Path) -> None:
    with pytest.raises(DecisionError, match=r"no such file"):
        sidecar.ensure(tmp_path / "gone.tar.gz", "sha256:" + "0" * 64)


def test_an_undefined_answer_is_no_answer(bundles: _Bundles) -> None:
    file, digest = bundles.write(library='package orch\n\nanswer := [1] if input.batch == ["yes"]\n')
    with sidecar.ensure(file, digest) as connection:
        with pytest.raises(DecisionError, match="undefined"):
            connection.ask(_QUESTION)

        assert connection.ask(b'{"batch":["yes"]}') == [1]


def test_an_error_of_opa_is_shown(bundles: _Bundles) -> None:
    library = "package orch\n\nanswer := [x] if some x in input.batch\n"
    file, digest = bundles.write(library=library)
    with (
        sidecar.ensure(file, digest) as connection,
        pytest.raises(DecisionError, match=r"HTTP 500.*conflicting values"),
    ):
        connection.ask(b'{"batch":[1,2]}')


def test_a_question_that_is_no_json_is_refused(bundles: _Bundles) -> None:
    file, digest = bundles.write()
    with sidecar.ensure(file, digest) as connection, pytest.raises(DecisionError, match="HTTP 400"):
        connection.ask(b"{")


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:../../../../etc/passwd/aaaaaaa", "sha256:" + "g" * 64])
def test_what_is_no_digest_is_refused(digest: str, tmp_path: Path) -> None:
    with pytest.raises(DecisionError, match="no policy digest"):
        sidecar.ensure(tmp_path, digest)


@pytest.mark.parametrize("variable", ["ORCH_SIDECAR_IDLE", "ORCH_DEADLINE"])
@pytest.mark.parametrize("value", ["soon", "-1", "0", "nan"])
def test_a_wrong_number_of_seconds_is_a_usage_error(
    bundles: _Bundles, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(UsageError, match=variable):
        sidecar.ensure(*bundles.write())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_said(bundles: _Bundles, runtime: Path) -> None:
    file, digest = bundles.write()
    runtime.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k,mode=0700", "tmpfs", runtime], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        (runtime / "filler").write_bytes(b"x" * 4096)

        with pytest.raises(DecisionError, match="No space left on device") as raised:
            sidecar.ensure(file, digest)

        assert "XDG_RUNTIME_DIR" in raised.value.advice
    finally:
        subprocess.run(["umount", runtime], check=True)


def test_a_long_home_path_is_no_hindrance(bundles: _Bundles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / ("deep/" * 30)
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    file, digest = bundles.write()
    far = home / "a:b" / "bundle.tar.gz"
    far.parent.mkdir()
    file.rename(far)

    with sidecar.ensure(far, digest) as connection:
        assert connection.ask(_QUESTION)[0]["digest"] == digest


def test_what_old_bundles_left_behind_is_removed(bundles: _Bundles, runtime: Path) -> None:
    made = [bundles.write(name) for name in ("old", "idle", "new")]
    for file, digest in made[:2]:
        sidecar.ensure(file, digest).close()
    sidecar.stop(made[0][1])
    for _, digest in made[:2]:
        os.utime(seat_of(digest).file("used"), (0, 0))

    sidecar.ensure(*made[2]).close()

    keys = {path.name.split(".")[0] for path in runtime.iterdir()}
    assert {seat_of(digest).key for _, digest in made[1:]} == keys, "a sidecar that lives keeps its files"


def test_policies_and_data_cannot_be_put(bundles: _Bundles) -> None:
    file, digest = bundles.write()
    sidecar.ensure(file, digest).close()
    path = str(sidecar.status()[0].socket)
    puts = {
        "/v1/policies/evil": b"package evil\n",
        "/v1/policies/orch": b"package orch\n\nanswer := 1\n",
        "/v1/data/policy": b"{}",
    }

    for target, body in puts.items():
        with socket.socket(socket.AF_UNIX) as made:
            made.connect(path)
            made.sendall(b"PUT %b HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (target.encode(), len(body), body))
            assert b" 400 " in made.recv(1000).split(b"\r\n")[0], target


def test_the_last_connection_hangs_up_quietly(bundles: _Bundles) -> None:
    connection: Connection | None = sidecar.ensure(*bundles.write())

    del connection

    assert len(sidecar.status()) == 1
