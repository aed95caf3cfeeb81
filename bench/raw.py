"""The least a client can do: a unix socket, bytes that are ready, the parsed answer. No checks, no digest, no retry."""

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.engine import Engine

_HEAD_END = b"\r\n\r\n"
_RECEIVE = 1 << 16


@dataclass(slots=True)
class Overhearing:
    """An engine that keeps the bytes it was last asked, for asking the same again without us."""

    engine: Engine
    batch: bytes = field(default=b"", init=False)

    def ask(self, batch: bytes) -> list[Any]:
        """Return the engine's answers."""
        self.batch = batch
        return self.engine.ask(batch)

    def explain(self, batch: bytes) -> list[Any]:
        """Return the engine's explanations."""
        return self.engine.explain(batch)


def connect(path: str) -> socket.socket:
    """Return a connection to a sidecar's socket."""
    made = socket.socket(socket.AF_UNIX)
    made.connect(path)
    return made


def message(batch: bytes, *, metrics: bool = False) -> bytes:
    """Return the whole HTTP request for a batch."""
    return post(b"/v1/data/orch/answer" + (b"?metrics=true" if metrics else b""), b'{"input":' + batch + b"}")


def post(path: bytes, body: bytes) -> bytes:
    """Return a whole HTTP request with a JSON body."""
    head = b"POST %b HTTP/1.1\r\nHost: raw\r\nContent-Type: application/json\r\nContent-Length: %d" % (path, len(body))
    return head + _HEAD_END + body


def asker(connection: socket.socket, request: bytes) -> Callable[[], Any]:
    """Return what sends the request and gives the parsed answer."""

    def ask() -> Any:  # noqa: ANN401  # JSON
        connection.sendall(request)
        return json.loads(_body(connection))

    return ask


def _body(connection: socket.socket) -> bytes:
    data = connection.recv(_RECEIVE)
    while (end := data.find(_HEAD_END)) < 0:
        data += _more(connection)
    head, body = data[:end].lower(), data[end + 4 :]
    found = head.find(b"content-length: ")
    if found < 0:
        return _joined(connection, body)
    size = int(head[found + 16 :].split(b"\r\n", 1)[0])
    while len(body) < size:
        body += _more(connection)
    return body


def _joined(connection: socket.socket, body: bytes) -> bytes:
    """Return a chunked body in one piece."""
    while not body.endswith(b"0" + _HEAD_END):
        body += _more(connection)
    parts = []
    while (line := body.split(b"\r\n", 1)[0]) != b"0":
        start = len(line) + 2
        parts.append(body[start : start + int(line, 16)])
        body = body[start + int(line, 16) + 2 :]
    return b"".join(parts)


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(_RECEIVE)
    if not data:
        message = "the sidecar hung up"
        raise ConnectionError(message)
    return data
