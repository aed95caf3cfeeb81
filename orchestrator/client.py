"""The thin client of a sidecar: HTTP/1.1 by hand on one kept unix socket. Starts nothing; decides nothing.

Part of the hot path: each microsecond here is paid per decision. It uses `_socket`, because importing `socket` takes
longer than most answers do.
"""

import _socket
import json
import os
import time
from _socket import SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET
from _socket import socket as Socket  # noqa: N812  # the class is lower-case there
from _thread import allocate_lock
from collections.abc import Callable
from struct import pack, unpack
from typing import Any, Self

from orchestrator.engine import DEADLINE_S, UNDEFINED_ADVICE, listed
from orchestrator.errors import DecisionError

ANSWER_BYTES = 512 * 2**20
"""A longer answer is refused."""

_RECEIVE = 1 << 16
_OK = 200
_USUAL, _LENGTH = b"HTTP/1.1 200 OK\r\n", b"\r\nContent-Length: "
_DYING_S = 2.0
"""How long a killed process may still accept connections that it never answers."""
_PEER = getattr(_socket, "SO_PEERCRED", None)
_TOUCH_S = 0.2
"""How often the mark that keeps a sidecar alive is renewed at most."""
_HEAD = b" HTTP/1.1\r\nHost: orch\r\nContent-Type: application/json\r\nContent-Length: "
_ASK = b"POST /v1/data/orch/answer" + _HEAD
_EXPLAIN = b"POST /v1/data/orch/explanation" + _HEAD


class Lost(Exception):  # noqa: N818  # never leaves this package
    """The other side hung up before its answer was complete."""


class Connection:
    """A kept connection to one sidecar. Threads share it in turn; a forked child opens its own."""

    def __init__(self, connect: Callable[[], Socket], *, used: str = "", deadline_s: float = DEADLINE_S) -> None:
        """Take how to reach the sidecar (called again after it died), and the file to touch whenever it is asked."""
        self._connect = connect
        self._used = used
        self._deadline_s = deadline_s
        self._socket: Socket | None = None
        self._owner = 0
        self._touched_s = 0.0
        self._lock = allocate_lock()

    def open(self) -> Self:
        """Return itself, connected.

        Raises:
            DecisionError: the sidecar cannot be reached or started.
        """
        with self._lock:
            self._opened()
        return self

    def close(self) -> None:
        """Hang up. The sidecar lives on; asking again opens a new connection."""
        if self._socket is not None:
            if self._owner == os.getpid():
                self._socket.close()
            else:
                os.close(self._socket.detach())
            self._socket = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def ask(self, batch: bytes) -> list[Any]:
        """Return the answers to `{"batch": [INPUT, ...]}`; see `Engine.ask`.

        A sidecar that dies over the question is asked again once, on a new process: a decision depends on its input
        alone.

        Raises:
            DecisionError: there is no answer that may be trusted.
        """
        return self._result(_ASK, batch)

    def explain(self, batch: bytes) -> list[Any]:
        """Return the candidate rules of each item of the batch; see `Engine.explain`.

        Raises:
            DecisionError: there is no answer that may be trusted.
        """
        return self._result(_EXPLAIN, batch)

    def _result(self, head: bytes, batch: bytes) -> list[Any]:
        message = b'%b%d\r\n\r\n{"input":%b}' % (head, len(batch) + 10, batch)
        with self._lock:
            try:
                status, body = self._answered(message)
            except BaseException:  # an answer that was not read must never be taken for the next one
                self.close()
                raise
        return listed(_parsed(status, body).get("result"))

    def _answered(self, message: bytes) -> tuple[int, bytes]:
        lost: list[int] = []
        until_s = 0.0
        while True:
            connection = self._opened()
            self._touch()
            try:
                return exchange(connection, message, self._deadline_s)
            except Lost as error:
                process = _peer(connection)
                self.close()
                if not lost:
                    until_s = time.monotonic() + _DYING_S
                if process not in lost:
                    lost.append(process)
                elif time.monotonic() < until_s:  # a killed process accepts until it is gone; that is no second try
                    time.sleep(0.001)
                    continue
                if len(lost) > 1 or time.monotonic() >= until_s:
                    raise DecisionError(
                        "OPA ended twice while it was asked", advice="`orch doctor` shows its log; it may lack memory"
                    ) from error

    def _opened(self) -> Socket:
        """Return the socket; a child process must not share its parent's, or each would read the other's answers."""
        if self._socket is not None and self._owner == os.getpid():
            return self._socket
        self.close()
        self._socket = self._connect()
        limit(self._socket, self._deadline_s)
        self._owner = os.getpid()
        return self._socket

    def _touch(self) -> None:
        now = time.monotonic()
        if now - self._touched_s >= _TOUCH_S and self._used:
            self._touched_s = now
            try:
                os.utime(self._used)
            except OSError:  # without its mark a sidecar only ends sooner, and is started again
                return


def version(connection: Socket) -> str:
    """Return the version of the OPA on this connection, and hang up; empty when it does not say within a second."""
    query = b'{"query":"version := opa.runtime().version"}'
    limit(connection, 1.0)
    try:
        body = exchange(connection, b"POST /v1/query%b%d\r\n\r\n%b" % (_HEAD, len(query), query), 1.0)[1]
        return str(json.loads(body)["result"][0]["version"])
    except (DecisionError, Lost, ValueError, LookupError, TypeError):
        return ""
    finally:
        connection.close()


def exchange(connection: Socket, message: bytes, deadline_s: float) -> tuple[int, bytes]:
    """Send one HTTP request and return status and body of the response.

    The limit that `limit` has set holds for each step; `deadline_s` holds for all of them.

    Raises:
        Lost: the other side hung up before the response was complete.
        DecisionError: no response in time, or one that is no HTTP.
    """
    until_s = time.monotonic() + deadline_s
    try:
        connection.sendall(message)
        data = connection.recv(_RECEIVE)
        if data.startswith(_USUAL):  # the short way for what OPA nearly always says
            end = data.find(b"\r\n\r\n")
            at = data.find(_LENGTH, 0, end)
            if at > 0 and data[at + len(_LENGTH) : data.find(b"\r", at + 2)] == b"%d" % (len(data) - end - 4):
                return _OK, data[end + 4 :]
        return _response(connection, data, until_s)
    except (TimeoutError, BlockingIOError) as error:
        raise DecisionError(
            f"OPA gave no answer within {deadline_s:g} s",
            advice="`orch sidecar stop --all` ends a process that hangs; ORCH_DEADLINE grants more seconds",
        ) from error
    except OSError as error:
        raise Lost from error


def _peer(connection: Socket) -> int:
    """Return the id of the process on the other side, 0 where the system does not say."""
    if _PEER is None:
        return 0
    return int(unpack("3i", connection.getsockopt(SOL_SOCKET, _PEER, 12))[0])


def limit(connection: Socket, step_s: float) -> None:
    """Limit how long one step (connect, send, receive) may take.

    By the kernel, not by `settimeout`: that polls before each step, which took 40 us of 160 on a busy machine.
    """
    step = pack(
        "ll", int(step_s), max(int(step_s % 1 * 1_000_000), 0 if step_s >= 1 else 1)
    )  # nothing at all is forever
    connection.setsockopt(SOL_SOCKET, SO_RCVTIMEO, step)
    connection.setsockopt(SOL_SOCKET, SO_SNDTIMEO, step)


def _response(connection: Socket, data: bytes, until_s: float) -> tuple[int, bytes]:
    if not data:
        raise Lost
    while (end := data.find(b"\r\n\r\n")) < 0 and len(data) < _RECEIVE:
        data += _more(connection, until_s)
    head = data[: end + 2].lower()
    status = head[9:12]
    if end < 0 or not head.startswith(b"http/1.1 ") or not status.isdigit():
        raise DecisionError("what answered on the sidecar's socket does not speak HTTP", advice=UNDEFINED_ADVICE)
    at = head.find(b"\r\ncontent-length: ")
    if at < 0:
        return int(status), _unchunked(connection, head, data[end + 4 :], until_s)
    length = head[at + 18 : head.find(b"\r\n", at + 18)]
    if not length.isdigit() or int(length) > ANSWER_BYTES:
        raise DecisionError(f"OPA announced an answer of {length[:40]!r} bytes; expected at most {ANSWER_BYTES}")
    body = data[end + 4 :]
    if len(body) < int(length):
        body = bytes(_filled(connection, bytearray(body), int(length), until_s))
    if len(body) > int(length):
        raise DecisionError("OPA sent more than it announced", advice=UNDEFINED_ADVICE)
    return int(status), body


def _more(connection: Socket, until_s: float) -> bytes:
    if time.monotonic() > until_s:
        raise TimeoutError
    data = connection.recv(_RECEIVE)
    if not data:
        raise Lost
    return data


def _filled(connection: Socket, have: bytearray, size: int, until_s: float) -> bytearray:
    """Return `have`, read on until it is at least `size` long."""
    while len(have) < size:
        have += _more(connection, until_s)
    return have


def _unchunked(connection: Socket, head: bytes, rest: bytes, until_s: float) -> bytes:
    """Return a chunked body; OPA sends large answers so."""
    if b"\r\ntransfer-encoding: chunked\r\n" not in head:
        raise DecisionError("OPA's answer has no length", advice=UNDEFINED_ADVICE)
    have, body, at = bytearray(rest), bytearray(), 0
    while True:
        while (end := have.find(b"\r\n", at)) < 0:
            have += _more(connection, until_s)
        size = _chunk_size(bytes(have[at:end]))
        _filled(connection, have, end + 2 + size + 2, until_s)
        if have[end + 2 + size : end + 4 + size] != b"\r\n" or len(body) + size > ANSWER_BYTES:
            raise DecisionError("OPA's answer is not chunked as HTTP says, or too long", advice=UNDEFINED_ADVICE)
        if size == 0:
            break
        body += have[end + 2 : end + 2 + size]
        del have[: end + 4 + size]
    if len(have) != end + 4:
        raise DecisionError("OPA sent more than it announced", advice=UNDEFINED_ADVICE)
    return bytes(body)


def _chunk_size(line: bytes) -> int:
    try:
        size = int(line, 16)
    except ValueError:
        size = -1
    if not 0 <= size <= ANSWER_BYTES:
        raise DecisionError(f"OPA announced a chunk of {line[:40]!r} bytes", advice=UNDEFINED_ADVICE)
    return size


def _parsed(status: int, body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(str(body, "utf-8"))
    except (ValueError, RecursionError) as error:
        raise DecisionError(f"OPA's answer (HTTP {status}) is no JSON: {error}", advice=UNDEFINED_ADVICE) from error
    if not isinstance(answer, dict):
        raise DecisionError(f"OPA's answer (HTTP {status}) is no JSON object", advice=UNDEFINED_ADVICE)
    if status != _OK:
        raise DecisionError(f"OPA refused the question (HTTP {status}): {_words(answer)}", advice=UNDEFINED_ADVICE)
    return answer


def _words(answer: dict[str, Any]) -> str:
    """Return what an error of OPA says, in a line or two."""
    errors = answer.get("errors")
    inner = [one.get("message") for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    words = "; ".join(str(text) for text in (answer.get("message"), *inner) if text)
    return " ".join(words.split())[:1_000] or "without a reason"
