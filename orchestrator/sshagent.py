"""A small client of ssh-agent: its Ed25519 keys, and a raw signature by one. Trusts no length that it is told.

Source: draft-ietf-sshm-ssh-agent.
"""

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from orchestrator.errors import UsageError

VARIABLE = "SSH_AUTH_SOCK"
_LIST, _LISTED, _SIGN, _SIGNED = 11, 12, 13, 14
_MAX_ANSWER = 256 * 1024
_MAX_KEYS = 1000
_LIST_TIMEOUT_S = 5.0
_SIGN_TIMEOUT_S = 60.0
"""An agent may ask its user first."""
_TYPE = b"ssh-ed25519"
_KEY_BYTES, _SIGNATURE_BYTES = 32, 64


class AgentKey(NamedTuple):
    """An Ed25519 key that an agent holds."""

    public: bytes
    """32 bytes."""
    comment: str
    socket: str
    """The agent's."""

    def sign(self, data: bytes) -> bytes:
        """Return the agent's raw Ed25519 signature, 64 bytes.

        Raises:
            UsageError: the agent does not sign, or gives something else.
        """
        message = bytes([_SIGN]) + _string(_blob(self.public)) + _string(data) + bytes(4)
        with _connected(self.socket, _SIGN_TIMEOUT_S) as agent:
            answer = _asked(agent, message, _SIGN_TIMEOUT_S)
        if answer[:1] != bytes([_SIGNED]):
            raise UsageError("ssh-agent did not sign; it may have asked and been refused", advice="see `ssh-add -L`")
        try:
            signature, _ = _take(answer[1:])
            kind, rest = _take(signature)
            raw, _ = _take(rest)
        except ValueError as error:
            raise _odd(str(error)) from error
        if kind != _TYPE or len(raw) != _SIGNATURE_BYTES:
            raise _odd("a signature of another kind")
        return raw


def agent_keys(environ: Mapping[str, str] | None = None, *, timeout_s: float = _LIST_TIMEOUT_S) -> list[AgentKey]:
    """Return the Ed25519 keys of the agent that `SSH_AUTH_SOCK` names, in its order; keys of other kinds are left out.

    Raises:
        UsageError: there is no agent, it does not answer, or not as an agent does.
    """
    path = (os.environ if environ is None else environ).get(VARIABLE, "")
    if not path:
        raise UsageError(f"there is no ssh-agent: {VARIABLE} is not set", advice="eval $(ssh-agent); ssh-add")
    with _connected(path, timeout_s) as agent:
        answer = _asked(agent, bytes([_LIST]), timeout_s)
    if answer[:1] != bytes([_LISTED]):
        raise _odd("no list of keys")
    try:
        return list(_listed(answer[1:], path))
    except ValueError as error:
        raise _odd(str(error)) from error


def _listed(rest: bytes, path: str) -> Iterator[AgentKey]:
    count, rest = _number(rest)
    if count > _MAX_KEYS:
        raise ValueError(f"{count} keys")
    for _ in range(count):
        blob, rest = _take(rest)
        comment, rest = _take(rest)
        kind, key = _take(blob)
        if kind == _TYPE:
            public, left = _take(key)
            if left or len(public) != _KEY_BYTES:
                raise ValueError("an Ed25519 key of another length")
            yield AgentKey(public, comment.decode("utf-8", "replace"), path)


@contextmanager
def _connected(path: str, timeout_s: float) -> Iterator[socket.socket]:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
            agent.settimeout(timeout_s)
            agent.connect(path)
            yield agent
    except OSError as error:
        why = "it did not answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise UsageError(
            f"ssh-agent cannot be asked at {path!r}: {why}", advice=f"see that {VARIABLE} is right"
        ) from error


def _asked(agent: socket.socket, message: bytes, timeout_s: float) -> bytes:
    """Return the answer to a message; the time is that of the whole answer, since it may come byte by byte."""
    end_s = time.monotonic() + timeout_s
    agent.sendall(_string(message))
    size = int.from_bytes(_received(agent, 4, end_s), "big")
    if not 0 < size <= _MAX_ANSWER:
        raise _odd(f"{size} bytes")
    return _received(agent, size, end_s)


def _received(agent: socket.socket, size: int, end_s: float) -> bytes:
    data = b""
    while len(data) < size:
        if (left_s := end_s - time.monotonic()) <= 0:
            raise TimeoutError
        agent.settimeout(left_s)
        piece = agent.recv(size - len(data))
        if not piece:
            raise _odd("nothing more")
        data += piece
    return data


def _odd(what: str) -> UsageError:
    return UsageError(f"ssh-agent answered with {what}, not as an agent does", advice=f"see that {VARIABLE} is right")


def _blob(public: bytes) -> bytes:
    return _string(_TYPE) + _string(public)


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _number(data: bytes) -> tuple[int, bytes]:
    if len(data) < 4:  # noqa: PLR2004  # a number's bytes
        raise ValueError("an end in the middle")
    return int.from_bytes(data[:4], "big"), data[4:]


def _take(data: bytes) -> tuple[bytes, bytes]:
    size, rest = _number(data)
    if size > len(rest):
        raise ValueError("an end in the middle")
    return rest[:size], rest[size:]
