# ruff: noqa: INP001  # a script
"""Servers for `scripts/demo_escalation.sh`: mail, SMS, posts and web hooks arrive on loopback, and are shown.

    python scripts/demo_escalation_servers.py FOLDER

Writes FOLDER/ports (`SMTP HTTP`) once it listens, appends what arrives to FOLDER/arrived, and ends with SIGTERM. The
first message to ben@ is put off once, as a busy mailbox does it.
"""

import asyncio
import json
import logging
import signal
import sys
import textwrap
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from aiosmtpd.smtp import SMTP, Envelope, Session

_BUSY = "ben@"
_WIDTH = 92

logging.getLogger("mail.log").setLevel(logging.ERROR)  # it warns of what itself does


class Arrivals:
    """What arrived, as people read it, one after the other."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    def show(self, head: str, body: str = "") -> None:
        """Append one message."""
        lines = [f"    >> {head}", *(f"       | {line}" for line in _wrapped(body))]
        with self._lock, self._file.open("a", encoding="utf-8") as out:
            out.write("\n".join(lines) + "\n")


def _wrapped(text: str) -> Iterator[str]:
    for line in text.strip().splitlines():
        yield from textwrap.wrap(line, _WIDTH) or [""]


class Mailboxes:
    """Takes every mail; the first one to a busy mailbox is put off."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._is_busy = True

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take a recipient, or put it off."""
        if address.startswith(_BUSY) and self._is_busy:
            self._is_busy = False
            self._arrivals.show(f"mailbox of {address}: 450, come back later")
            return "450 4.2.1 the mailbox is busy"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's
        """Take a message."""
        message = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        assert isinstance(message, EmailMessage)  # noqa: S101  # that policy gives nothing else
        part = message.get_body(("plain",))
        text = part.get_content() if part is not None else ""
        for to in envelope.rcpt_tos:
            self._arrivals.show(f"mail to {to}: {message['Subject']}", str(text))
        return "250 2.0.0 queued"


class Receiver(BaseHTTPRequestHandler):
    """Takes SMS, posts, web hooks and heartbeats."""

    protocol_version = "HTTP/1.1"
    arrivals: Arrivals

    def do_POST(self) -> None:  # the library's
        """Take one, and say so."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            said = json.loads(body)
        except ValueError:
            said = {}
        said = said if isinstance(said, dict) else {}
        self._show(unquote(self.path).strip("/"), said)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _show(self, path: str, said: dict[str, object]) -> None:
        kind, _, to = path.partition("/")
        match kind:
            case "sms":
                self.arrivals.show(f"SMS to {to}", str(said.get("message", "")))
            case "announcements":
                self.arrivals.show(f"public post: {said.get('title', '')}", str(said.get("message", "")))
            case "watcher":
                stage, owed = said.get("stage"), said.get("owed")
                self.arrivals.show(f"heartbeat to the watcher: tick {said.get('tick')}, stage {stage}, {owed} owed")
            case _:
                self.arrivals.show(f"web hook to {path}: {json.dumps(said)}")

    def log_message(self, *_: object) -> None:
        """Write no log."""


async def _serve_mail(arrivals: Arrivals, folder: Path, http_port: int) -> None:
    loop, mailboxes = asyncio.get_running_loop(), Mailboxes(arrivals)
    server = await loop.create_server(lambda: SMTP(mailboxes, hostname="mail.example"), "127.0.0.1", 0)
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    draft = folder / "ports.new"
    draft.write_text(f"{server.sockets[0].getsockname()[1]} {http_port}\n", encoding="ascii")
    draft.rename(folder / "ports")
    await end.wait()
    server.close()


def main() -> None:
    """Serve until somebody ends it."""
    folder = Path(sys.argv[1])
    arrivals = Arrivals(folder / "arrived")
    arrivals.show("servers for mail, SMS, posts and web hooks listen on this machine")
    Receiver.arrivals = arrivals
    http = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        asyncio.run(_serve_mail(arrivals, folder, http.server_address[1]))
    finally:
        http.shutdown()
        http.server_close()


if __name__ == "__main__":
    main()
