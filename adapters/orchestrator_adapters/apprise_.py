"""send_message through Apprise, on channels with `adapter: apprise`: SMS, X, Reddit, Slack and many more services.

Each recipient is a call of its own, to one address of one service, in a child process (`apprise_child`) that watches
what really goes over HTTP: the library alone cannot tell a refusal from a lost reply. Nothing is delivered without a
2xx that was seen. `docs/adapters-send.md` has the tables.
"""

import base64
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from orchestrator.adapter import Action, Delivery, ErrorClass, Place, Prepared, Receipt, Wanted, failure, unconfigured
from orchestrator.errors import UsageError
from orchestrator.names import shown
from orchestrator.words import near_miss
from orchestrator_adapters.deadline import Deadline
from orchestrator_adapters.message import Kind, attached, channel_of, prepared
from orchestrator_adapters.recipient import revealed

_CHANNEL = "url urls to format templates"
_FORMATS = ("text", "markdown", "html")
_CHILD = Path(__file__).with_name("apprise_child.py")
_PASSED = frozenset({"PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}) | {
    each for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY") for each in (name, name.lower())
}
_MAX_RECIPIENT = 254
_MAX_ANSWER = 1024 * 1024
_END_S = 5.0
_OK, _FAILED, _CLIENT_ERROR, _SERVER_ERROR = 200, 300, 400, 500
_TOO_MANY, _REQUEST_TIMEOUT = 429, 408


class Apprise:
    """Sends messages by the services of Apprise."""

    name = "apprise"
    actions = frozenset({"send_message"})

    def prepare(self, wanted: Wanted, place: Place) -> Prepared:
        """Return the message as it will be sent, one target for each recipient.

        Raises:
            UsageError: a parameter is missing, unknown or cannot be.
            AdapterError: there is no such channel, or it is not set up well.
        """
        name = wanted.parameters.get("channel")
        if not isinstance(name, str) or not name:
            raise UsageError("send_message needs `channel`, which is missing", advice="name one of the operator's file")
        channel = _channel(place, name)
        kind = Kind(self.name, _recipient, has_html=False, needs_recipient="urls" in channel)
        message = prepared(wanted, place, kind, channel)
        for target in message.targets if "urls" in channel else ():
            if target not in channel["urls"]:
                raise UsageError(f"the channel {name} knows no {shown(target)}{near_miss(target, channel['urls'])}")
        return message

    def perform(self, action: Action, key: str) -> Receipt:  # noqa: ARG002  # these services know no keys
        """Send the message to one recipient."""
        properties, place = action.properties, action.place
        channel = _channel(place, properties["channel"])
        order = {
            "url": _url(channel, properties["channel"], action.target, place),
            "title": properties.get("subject", ""),
            "body": properties["body"],
            "format": channel.get("format", "text"),
            "attachments": [
                [one.name, one.media_type, base64.b64encode(one.content).decode()]
                for one in attached(properties, place.root)
            ],
            "path": [one for one in sys.path if one],
        }
        deadline = Deadline(action.timeout_s)
        with _child(place.environ) as child:
            ready = child.ask(order | {"timeout_s": deadline.left_s()}, deadline)
            if ready is None:
                what = "did not get ready in time" if child.is_late else "ended before anything was sent"
                raise failure(f"Apprise {what}", delivery=Delivery.RETRYABLE, error_class=ErrorClass.TRANSIENT)
            if problem := ready.get("problem"):
                raise unconfigured(f"the channel {properties['channel']}: {problem}; nothing was sent")
            action.recheck()
            said = child.ask("go", deadline)
        service = str(ready.get("service") or "the service")
        if said is None:
            what = "no answer in time" if child.is_late else "its process was lost"
            return Receipt(Delivery.UNKNOWN, detail=f"{service}: {what}; the message may have been sent")
        return judged(Said.of(said, has_attachments=bool(order["attachments"])), service)

    def reconcile(self, action: Action, key: str) -> Receipt | None:  # noqa: ARG002  # the Protocol's
        """Return None: these services cannot be asked for a message by a key of ours."""
        return None


class Said(NamedTuple):
    """What a child saw of one message."""

    is_success: bool
    """What the library answers."""
    requests: int
    """HTTP requests of which a first byte was sent."""
    answers: tuple[tuple[str, int, int], ...]
    """Of each answer the method, the status, and a number that stands for its host and path."""
    is_tried: bool
    """Whether any host was looked up or connected to."""
    is_untrusted: bool
    """A certificate did not fit."""
    error: str
    """The type of what the library raised; "" for nothing."""
    has_attachments: bool

    @classmethod
    def of(cls, said: Mapping[str, Any], *, has_attachments: bool) -> "Said":
        """Return what a child wrote."""
        answers = tuple((str(method), int(status), int(place)) for method, status, place in said["answers"])
        return cls(
            said["ok"] is True,
            int(said["requests"]),
            answers,
            bool(said["tried"]),
            bool(said["untrusted"]),
            str(said["error"]),
            has_attachments,
        )


def judged(said: Said, service: str) -> Receipt:
    """Return what became of a message, by what really went over HTTP. Errs on the side of: it may have been sent."""
    status = said.answers[-1][1] if said.answers else 0
    seen = f"{service} answers {status}" if status else f"{service} does not answer"
    is_all_answered = said.requests == len(said.answers)
    if said.is_success and is_all_answered and _OK <= status < _FAILED:
        return Receipt(Delivery.DELIVERED, detail=seen, outputs={"service": service, "status": status})
    if not said.requests:
        return _not_sent(said, service)
    is_refused = _FAILED <= status < _SERVER_ERROR and status != _REQUEST_TIMEOUT
    if said.is_success or said.error or not is_all_answered or not is_refused or _may_be_a_part(said):
        return Receipt(Delivery.UNKNOWN, detail=f"{seen}: whether it took the message cannot be told")
    if status < _CLIENT_ERROR:
        detail = f"{seen}: it is elsewhere; redirects are not followed"
        return Receipt(Delivery.PERMANENT, detail=detail, error_class=ErrorClass.CONFIGURATION)
    if status == _TOO_MANY:
        return Receipt(Delivery.RETRYABLE, detail=f"{seen}: not now", error_class=ErrorClass.TRANSIENT)
    return Receipt(Delivery.PERMANENT, detail=f"{seen}: it refuses", error_class=ErrorClass.PERMANENT)


def _not_sent(said: Said, service: str) -> Receipt:
    if said.is_success:
        return Receipt(Delivery.UNKNOWN, detail=f"{service}: success was said, and no HTTP was seen")
    if said.is_untrusted:
        detail = f"{service} shows a certificate that is not trusted; nothing was sent"
        return Receipt(Delivery.PERMANENT, detail=detail, error_class=ErrorClass.CONFIGURATION)
    if not said.is_tried:
        detail = f"{service}: the library gave up before it called anybody; look at the channel's address"
        return Receipt(Delivery.PERMANENT, detail=detail, error_class=ErrorClass.CONFIGURATION)
    detail = f"{service} cannot be reached; nothing was sent"
    return Receipt(Delivery.RETRYABLE, detail=detail, error_class=ErrorClass.TRANSIENT)


def _may_be_a_part(said: Said) -> bool:
    """Say whether an earlier request may have brought (a part of) the message, so that the refusal is not all of it."""
    *earlier, (_, _, place) = said.answers
    is_taken = [each for method, status, each in earlier if method != "GET" and _OK <= status < _FAILED]
    return bool(is_taken) and (said.has_attachments or place in is_taken)


def _recipient(text: str, what: str) -> str:
    if not text or len(text) > _MAX_RECIPIENT or not text.isprintable() or text != text.strip():
        raise UsageError(f"{what} {shown(text)} is none; expected one line, at most {_MAX_RECIPIENT} characters")
    return text


def _channel(place: Place, name: str) -> Mapping[str, Any]:
    channel = channel_of(place, name, Apprise.name, _CHANNEL)
    urls = channel.get("urls")
    if ("url" in channel) == ("urls" in channel):
        raise unconfigured(f"the channel {name} needs url or urls, one of both")
    if "url" in channel and not (isinstance(channel["url"], str) and channel["url"]):
        raise unconfigured(f"the channel {name} has no good url", advice='give it one: "${{ secrets.CHAT_URL }}"')
    if "urls" in channel and not (
        isinstance(urls, Mapping) and urls and all(isinstance(u, str) for u in urls.values())
    ):
        raise unconfigured(f"the channel {name} has no good urls", advice="give names: urls: {NAME: address}")
    if channel.get("format", "text") not in _FORMATS:
        raise unconfigured(
            f"the channel {name} has the format {shown(channel['format'])}; expected {', '.join(_FORMATS)}"
        )
    return channel


def _url(channel: Mapping[str, Any], name: str, to: str, place: Place) -> str:
    """Return the one address of one recipient, its secrets revealed; never shown."""
    if "urls" in channel:
        if to not in channel["urls"]:
            raise unconfigured(f"the channel {name} knows no {shown(to)} any more")
        return place.reveal(channel["urls"][to])
    url = place.reveal(channel["url"])
    if ("{to}" in url) != bool(to):
        what = "has no {to} for a recipient" if to else "has {to}, and no recipient is given"
        raise unconfigured(f"the address of the channel {name} {what}", advice="see docs/adapters-send.md")
    return url.replace("{to}", quote(revealed(to, "the recipient", _recipient, place), safe=""))


class _Child:
    """The process that sends: told one line at a time, answers one line at a time."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._read = b""
        self.is_late = False

    def ask(self, words: object, deadline: Deadline) -> dict[str, Any] | None:
        """Say a line and return the answer; None where there is none, in time or at all."""
        try:
            self._write(json.dumps(words).encode() + b"\n", deadline)
            line = self._line(deadline)
            said = json.loads(line) if line else None
        except (OSError, ValueError):
            return None
        return said if isinstance(said, dict) else None

    def _write(self, data: bytes, deadline: Deadline) -> None:
        assert self._process.stdin is not None  # noqa: S101  # it was asked for
        descriptor = self._process.stdin.fileno()
        os.set_blocking(descriptor, False)
        while data:
            if not select.select([], [descriptor], [], deadline.left_s())[1]:
                self.is_late = True
                raise TimeoutError
            data = data[os.write(descriptor, data) :]

    def _line(self, deadline: Deadline) -> bytes:
        assert self._process.stdout is not None  # noqa: S101  # it was asked for
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._read and len(self._read) < _MAX_ANSWER:
            if not select.select([descriptor], [], [], deadline.left_s())[0]:
                self.is_late = True
                return b""
            part = os.read(descriptor, 65_536)
            if not part:
                return b""
            self._read += part
        line, _, self._read = self._read.partition(b"\n")
        return line


@contextmanager
def _child(environ: Mapping[str, str]) -> Iterator[_Child]:
    """Give a child that waits for its order; when this is left, its whole group is gone."""
    own = {"LC_ALL": "C.UTF-8", "HOME": "/nonexistent", "NETRC": os.devnull}
    process = subprocess.Popen(  # noqa: S603  # our own file
        [sys.executable, "-I", str(_CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={name: value for name, value in environ.items() if name in _PASSED} | own,
        cwd="/",
        start_new_session=True,
    )
    try:
        yield _Child(process)
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
