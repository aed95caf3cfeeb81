"""ssh-agent: the real one of this machine, and servers that answer as no agent should."""

import contextlib
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator import keys, sshagent
from orchestrator.errors import UsageError


@pytest.fixture
def agent() -> Iterator[dict[str, str]]:
    """Start an agent of the test's own."""
    with tempfile.TemporaryDirectory(prefix="a", dir="/tmp") as folder:
        path = f"{folder}/s"
        with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL) as process:
            try:
                while not Path(path).exists():
                    assert process.poll() is None
                yield {"SSH_AUTH_SOCK": path}
            finally:
                process.terminate()


def _add(environ: dict[str, str], file: Path, kind: str = "ed25519", passphrase: str = "") -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", file.name, "-f", file], check=True)
    subprocess.run(["ssh-add", "-q", file], check=True, env={**os.environ, **environ})


def test_an_agent_lists_and_signs(agent: dict[str, str], tmp_path: Path) -> None:
    _add(agent, tmp_path / "first")
    _add(agent, tmp_path / "second")
    _add(agent, tmp_path / "other", "ecdsa")

    found = sshagent.agent_keys(agent)

    assert [key.comment for key in found] == ["first", "second"]
    assert keys.ssh_line(found[0].public, "first") == (tmp_path / "first.pub").read_text().strip()
    for key in found:
        assert keys.verifies(key.public, key.sign(b"data" * 500), b"data" * 500)


def test_a_key_that_the_agent_has_lost_does_not_sign(agent: dict[str, str], tmp_path: Path) -> None:
    _add(agent, tmp_path / "first")
    key = sshagent.agent_keys(agent)[0]
    subprocess.run(["ssh-add", "-q", "-D"], check=True, env={**os.environ, **agent}, stderr=subprocess.DEVNULL)

    with pytest.raises(UsageError, match="did not sign"):
        key.sign(b"data")
    assert sshagent.agent_keys(agent) == []


def test_no_agent_is_told() -> None:
    with pytest.raises(UsageError, match="SSH_AUTH_SOCK is not set"):
        sshagent.agent_keys({})
    with pytest.raises(UsageError, match="cannot be asked"):
        sshagent.agent_keys({"SSH_AUTH_SOCK": "/nowhere/at/all"})


@contextmanager
def _answering(answer: bytes) -> Iterator[dict[str, str]]:
    """Give an agent that says one thing to everybody."""
    with tempfile.TemporaryDirectory(prefix="a", dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/s")
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield {"SSH_AUTH_SOCK": f"{folder}/s"}
        finally:
            thread.join()


def test_an_agent_that_answers_byte_by_byte_has_no_more_time_than_another() -> None:
    with tempfile.TemporaryDirectory(prefix="a", dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/s")
        server.listen()
        is_over = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall((1000).to_bytes(4, "big"))
                while not is_over.wait(0.1):
                    connection.sendall(b"\x0c")

        thread = threading.Thread(target=drip)
        thread.start()
        begun_s = time.monotonic()
        try:
            with pytest.raises(UsageError, match="did not answer in time"):
                sshagent.agent_keys({"SSH_AUTH_SOCK": f"{folder}/s"}, timeout_s=0.5)
            assert time.monotonic() - begun_s < 3
        finally:
            is_over.set()
            thread.join()


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


_SHORT_KEY = _string(_string(b"ssh-ed25519") + _string(b"short")) + _string(b"c")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\0",
        bytes(4),
        b"\xff\xff\xff\xff" + b"x" * 100,
        b"\0\0\0\x20\x0c",
        _string(b"\x05"),
        _string(b"\x0c"),
        _string(b"\x0c\xff\xff\xff\xff"),
        _string(b"\x0c\0\0\0\x01"),
        _string(b"\x0c\0\0\0\x01\xff\xff\xff\xff"),
        _string(b"\x0c\0\0\0\x01" + _SHORT_KEY),
    ],
)
def test_a_hostile_agent_is_refused(answer: bytes) -> None:
    with _answering(answer) as environ, pytest.raises(UsageError, match="ssh-agent answered with"):
        sshagent.agent_keys(environ)


@pytest.mark.parametrize(
    "answer",
    [
        _string(b"\x0e"),
        _string(b"\x0e" + _string(_string(b"ssh-rsa") + _string(bytes(64)))),
        _string(b"\x0e" + _string(_string(b"ssh-ed25519") + _string(bytes(63)))),
    ],
)
def test_a_signature_of_another_form_is_refused(answer: bytes) -> None:
    with _answering(answer) as environ:
        key = sshagent.AgentKey(bytes(32), "", environ["SSH_AUTH_SOCK"])
        with pytest.raises(UsageError, match="ssh-agent answered with"):
            key.sign(b"data")
