"""The thin client against a server that speaks HTTP well, badly, or not at all."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import client
from orchestrator.client import Connection, exchange
from orchestrator.errors import DecisionError

_OK = b"HTTP/1.1 200 OK\r\n"


def _sized(body: bytes) -> bytes:
    return _OK + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def _chunked(*chunks: bytes) -> bytes:
    return _OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in (*chunks, b""))


@contextmanager
def _answering(*parts: bytes, hangs: bool = False) -> Iterator[socket.socket]:
    """Give the client's end of a pair whose other end sends these parts and hangs up."""
    mine, its = socket.socketpair()

    def serve() -> None:
        its.recv(100)
        for part in parts:
            its.sendall(part)
            time.sleep(0.001 if len(parts) < 100 else 0)
        if not hangs:
            its.close()

    server = threading.Thread(target=serve)
    server.start()
    client.limit(mine, 5)
    try:
        yield mine
    finally:
        server.join()
        mine.close()
        its.close()


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([_sized(b"{}")], (200, b"{}")),
        ([_sized(b"")], (200, b"")),
        ([_sized(b"x" * 200_000)], (200, b"x" * 200_000)),
        ([_sized(b"{}")[:-1], b"}"], (200, b"{}")),
        ([b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}"], (404, b"{}")),
        ([_chunked()], (200, b"")),
        ([_chunked(b"a", b"bc", b"d" * 70_000)], (200, b"abc" + b"d" * 70_000)),
        ([bytes([byte]) for byte in _chunked(b"abc", b"d")], (200, b"abcd")),
        ([bytes([byte]) for byte in _sized(b"abc")], (200, b"abc")),
        ([_OK + b"TRANSFER-ENCODING: chunked\r\n\r\nA;x=y\r\n", b"0123456789\r\n0\r\n\r\n"], None),
    ],
    ids=range(10),
)
def test_a_response_is_read_however_it_comes(parts: list[bytes], expected: tuple[int, bytes] | None) -> None:
    with _answering(*parts) as connection:
        if expected is None:
            with pytest.raises(DecisionError):
                exchange(connection, b"?", 5)
        else:
            assert expected == exchange(connection, b"?", 5)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=50), max_size=4), st.lists(st.integers(1, 40), max_size=8))
def test_a_chunked_body_is_whole_however_it_is_cut(chunks: list[bytes], cuts: list[int]) -> None:
    message, parts = _chunked(*chunks), []
    for cut in cuts:
        parts.append(message[:cut])
        message = message[cut:]

    with _answering(*filter(None, [*parts, message])) as connection:
        assert exchange(connection, b"?", 5) == (200, b"".join(chunks))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"HTTP/1.1 20",
        _OK,
        _sized(b"{}")[:-1],
        _chunked(b"abc")[:-1],
        _chunked(b"abc")[:-8],
        _chunked(b"x" * 1000)[:-500],
    ],
)
def test_a_response_cut_short_is_lost(message: bytes) -> None:
    with _answering(message) as connection, pytest.raises(client.Lost):
        exchange(connection, b"?", 5)


@pytest.mark.parametrize(
    "message",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"x" * 100_000,
        _OK + b"\r\n",
        _OK + b"Content-Length: -1\r\n\r\n",
        _OK + b"Content-Length: 1e3\r\n\r\n",
        _OK + b"Content-Length: 99999999999999\r\n\r\n",
        _sized(b"{}") + b"HTTP/1.1 200 OK\r\n",
        _chunked(b"{}") + b"x",
        _OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        _OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        _OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffff\r\n",
        _OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        _OK + b"Transfer-Encoding: gzip\r\n\r\n",
    ],
    ids=range(15),
)
def test_what_is_not_http_is_no_answer(message: bytes) -> None:
    with _answering(message) as connection, pytest.raises(DecisionError):
        exchange(connection, b"?", 5)


@pytest.mark.parametrize("parts", [[], [_OK], [_sized(b"{}")[:-1]], [_chunked(b"x")[:-3]]], ids=range(4))
def test_silence_ends_at_the_deadline(parts: list[bytes]) -> None:
    with _answering(*parts, hangs=True) as connection:
        client.limit(connection, 0.1)
        began = time.monotonic()

        with pytest.raises(DecisionError, match="no answer within"):
            exchange(connection, b"?", 0.1)

        assert time.monotonic() - began < 2


def test_a_trickle_ends_at_the_deadline() -> None:
    with (
        _answering(_OK, *[b"x"] * 90, hangs=True) as connection,
        pytest.raises(DecisionError, match="no answer within"),
    ):
        exchange(connection, b"?", 0.05)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 1e-9, 10.0])
def test_no_limit_is_ever_forever(seconds: float) -> None:
    mine, its = socket.socketpair()

    client.limit(mine, seconds)

    assert any(mine.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16))
    mine.close()
    its.close()


class _Server:
    """Answers each connection with the next of the given responses, and counts."""

    def __init__(self, folder: Path, answers: list[bytes | None]) -> None:
        self.path = str(folder / "s")
        self.asked: list[bytes] = []
        self.connections = 0
        self._answers = answers
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):  # the test is over
            while self._answers:
                made, _ = self._listener.accept()
                self.connections += 1
                with made:
                    self._talk(made)

    def _talk(self, made: socket.socket) -> None:
        while self._answers and (asked := made.recv(65536)):
            self.asked.append(asked)
            answer = self._answers.pop(0)
            if answer is None:
                break
            made.sendall(answer)

    def connect(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.connect(self.path)
        return made


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., _Server]]:
    servers: list[_Server] = []
    monkeypatch.chdir(tmp_path)

    def make(*answers: bytes | None) -> _Server:
        servers.append(_Server(Path(), list(answers)))
        return servers[-1]

    yield make
    for server in servers:
        server._listener.close()


def _result(value: Any) -> bytes:  # noqa: ANN401  # JSON
    return _sized(json.dumps({"result": value}).encode())


def test_one_connection_is_kept_for_many_questions(serve: Callable[..., _Server]) -> None:
    server = serve(_result([1]), _result([2]))

    with Connection(server.connect) as connection:
        answers = [connection.ask(b'{"batch":[0]}'), connection.ask(b'{"batch":[0]}')]

    assert answers == [[1], [2]]
    assert server.connections == 1


def test_a_question_is_one_request(serve: Callable[..., _Server]) -> None:
    server = serve(_result([1]))

    with Connection(server.connect) as connection:
        connection.ask(b'{"batch":[0]}')

    head, body = server.asked[0].split(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/data/orch/answer HTTP/1.1\r\n")
    assert b"Content-Length: %d" % len(body) in head
    assert body == b'{"input":{"batch":[0]}}'


def test_a_kept_connection_that_was_closed_is_opened_again(serve: Callable[..., _Server]) -> None:
    server = serve(None, _result([2]))

    with Connection(server.connect) as connection:
        answer = connection.ask(b"{}")

    assert answer == [2]
    assert server.connections == 2


def test_one_that_never_answers_is_given_up(serve: Callable[..., _Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_DYING_S", 0.1)
    server = serve(*[None] * 1000)

    with Connection(server.connect) as connection, pytest.raises(DecisionError, match="ended twice"):
        connection.ask(b"{}")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (_sized(b"{}"), "undefined"),
        (_result(None), "undefined"),
        (_result({"a": 1}), "expected an array"),
        (_sized(b"[]"), "no JSON object"),
        (_sized(b"{"), "no JSON"),
        (_sized(b"\xff"), "no JSON"),
        (_sized(b"[" * 100_000), "no JSON"),
        (_sized(b'{"result":' + b"9" * 5_000 + b"}"), "no JSON"),
        (b'HTTP/1.1 500 X\r\nContent-Length: 33\r\n\r\n{"code":"x","message":"it broke"}\n'[:-1], "HTTP 500.*it broke"),
        (b"HTTP/1.1 403 X\r\nContent-Length: 2\r\n\r\n{}", "HTTP 403.*without a reason"),
    ],
    ids=range(10),
)
def test_a_bad_answer_is_no_answer_and_the_next_is_fresh(
    serve: Callable[..., _Server], answer: bytes, message: str
) -> None:
    server = serve(answer, _result([2]))
    with Connection(server.connect) as connection:
        with pytest.raises(DecisionError, match=message):
            connection.ask(b"{}")

        assert connection.ask(b"{}") == [2]


def test_being_used_is_marked(serve: Callable[..., _Server], tmp_path: Path) -> None:
    server = serve(_result([1]))
    mark = tmp_path / "used"
    mark.touch()
    mark.stat()
    before = mark.stat().st_mtime_ns
    time.sleep(0.01)

    with Connection(server.connect, used=str(mark)) as connection:
        connection.ask(b"{}")

    assert mark.stat().st_mtime_ns > before


def test_a_missing_mark_is_no_error(serve: Callable[..., _Server], tmp_path: Path) -> None:
    server = serve(_result([1]))

    with Connection(server.connect, used=str(tmp_path / "gone")) as connection:
        assert connection.ask(b"{}") == [1]


def test_closing_twice_is_fine(serve: Callable[..., _Server]) -> None:
    connection = Connection(serve(_result([1])).connect).open()

    connection.close()
    connection.close()


def test_the_client_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    program = "import sys, orchestrator.sidecar; print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    heavy = {"http.client", "urllib.request", "asyncio", "subprocess", "socket", "hashlib", "tarfile", "cryptography"}
    assert not heavy & set(printed)
    assert not {"pydantic", "requests", "httpx", "rich", "yaml", "orchestrator.opa", "orchestrator.launch"} & set(
        printed
    )
