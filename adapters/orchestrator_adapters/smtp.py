"""One SMTP transaction for one recipient, and what became of it by where it broke.

The message is sent without its end first; only its final dot makes the server take it. So everything before the dot
certainly did not happen, and everything after it without an answer is unknown.
"""

import os
import re
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from typing import NamedTuple

from orchestrator.adapter import Delivery, ErrorClass, Receipt, failure, unconfigured
from orchestrator.errors import AdapterError
from orchestrator.names import shown
from orchestrator_adapters.deadline import Deadline

_LINE_END = re.compile(rb"\r\n|\r|\n")
_DOT = re.compile(rb"(?m)^\.")
_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}\b")
"""An enhanced status code, RFC 3463."""
_GO_ON = 354
_ACCEPTED = range(250, 260)
_SHUTTING_DOWN = 421
_TRANSIENT = range(400, 500)
_REFUSED = range(500, 600)
_CREDENTIALS = frozenset({530, 534, 535, 538})


class Server(NamedTuple):
    """A server and how to speak to it, secrets revealed: never shown."""

    host: str
    port: int
    security: str
    """`starttls`, `tls` or `none`."""
    username: str
    password: str
    helo: str
    """Whom we say to be."""
    ca_file: str


class Letter(NamedTuple):
    """A message for one recipient."""

    sender: str
    to: str
    message: EmailMessage
    message_id: str
    is_secret: bool = False
    """Whom it is for must not be told: of what the server says only the codes are, since it may repeat the address."""


def deliver(letter: Letter, server: Server, timeout_s: float, before: Callable[[], None]) -> Receipt:
    """Hand a letter over and return what became of it; `before` is called right before its final dot.

    Raises:
        AdapterError: it was not taken: RETRYABLE or PERMANENT; UNKNOWN where nobody can tell. Whatever `before` raises:
            it was not taken.
    """
    transfer = _Transfer(letter, server, Deadline(timeout_s), before)
    with transfer.deadline.running():
        try:
            said = transfer.run()
        except AdapterError:
            raise
        except (smtplib.SMTPException, OSError, ValueError, EOFError) as error:
            raise transfer.judged(error) from error
    return Receipt(Delivery.DELIVERED, letter.message_id, f"accepted: {said}", {"message_id": letter.message_id})


class _Connection(smtplib.SMTP):
    """A connection that a deadline can cut, with TLS from its first byte where asked."""

    def __init__(self, server: Server, deadline: Deadline, context: ssl.SSLContext | None) -> None:
        self._server, self._deadline, self._context = server, deadline, context
        super().__init__(server.host, server.port, local_hostname=server.helo, timeout=deadline.left_s())

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = socket.create_connection((host, port), timeout)
        self._deadline.watch(plain)
        if self._server.security != "tls" or self._context is None:
            return plain
        try:
            return self._context.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise


class _Transfer:
    """A transaction under way."""

    def __init__(self, letter: Letter, server: Server, deadline: Deadline, before: Callable[[], None]) -> None:
        self.deadline = deadline
        self._letter, self._server, self._before = letter, server, before
        self._is_ended = False
        """The final dot may be on its way."""
        self._stage = "connecting"

    def run(self) -> str:
        """Go through the transaction and return what the server said in the end."""
        data = _on_the_wire(self._letter.message)
        with self._session() as smtp:
            self._stage = "the sender"
            size = [f"size={len(data)}"] if smtp.has_extn("size") else []
            self._expect(smtp.mail(self._letter.sender, size), _ACCEPTED)
            self._stage = "the recipient"
            self._expect(smtp.rcpt(self._letter.to), _ACCEPTED)
            self._stage = "the message"
            self._expect(smtp.docmd("DATA"), range(_GO_ON, _GO_ON + 1))
            smtp.send(data)
            self._before()
            if self.deadline.is_abandoned():
                raise smtplib.SMTPServerDisconnected("closed before the end of the message")
            self._is_ended = True
            self._stage = "the end of the message"
            smtp.send(b".\r\n")
            code, text = smtp.getreply()
            if code not in _ACCEPTED:
                raise smtplib.SMTPResponseException(code, text)
            return self._told(code, text)

    def judged(self, error: Exception) -> AdapterError:
        """Return what an error means for the letter."""
        where = f"{self._server.host}, at {self._stage}"
        match error:
            case smtplib.SMTPResponseException():
                return self._answered(error.smtp_code, f"{where}: {self._told(error.smtp_code, error.smtp_error)}")
            case _ if self._is_ended:
                what = "no answer in time" if self._is_late(error) else "the connection was lost"
                return failure(f"{where}: {what}; it may have been taken", delivery=Delivery.UNKNOWN)
            case smtplib.SMTPNotSupportedError():
                return unconfigured(
                    f"{where}: {_needed(self._server)} is not offered; nothing was sent",
                    advice="mend the server or the channel; orch never falls back to less",
                )
            case ssl.SSLCertVerificationError():
                return unconfigured(
                    f"{where}: its certificate is not trusted: {error.verify_message}; nothing was sent",
                    advice="mend it there, or name its authority in the channel's `ca_file`",
                )
        what = "no answer in time" if self._is_late(error) else _why(error)
        return _retryable(f"{where}: {what}; nothing was taken")

    def _answered(self, code: int, what: str) -> AdapterError:
        """Return what a reply means. After the dot, 421 may come of a relay that had passed the message on already."""
        is_told = code in _TRANSIENT or code in _REFUSED
        if self._is_ended and (not is_told or code == _SHUTTING_DOWN):
            return failure(f"{what}; it may have been taken", delivery=Delivery.UNKNOWN)
        if code in _REFUSED:
            is_ours = code in _CREDENTIALS and self._stage != "the end of the message"
            error_class = ErrorClass.CONFIGURATION if is_ours else ErrorClass.PERMANENT
            return failure(what, error_class=error_class)
        return _retryable(what)

    def _told(self, code: int, text: bytes | str) -> str:
        said = " ".join((text.decode("utf-8", "replace") if isinstance(text, bytes) else text).split())
        if not self._letter.is_secret:
            return f"{code} {shown(said)}"
        found = _ENHANCED.match(said)
        return f"{code} {found[0]}" if found else str(code)

    def _is_late(self, error: Exception) -> bool:
        return self.deadline.is_over or isinstance(error, TimeoutError) or "timed out" in str(error)

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        """Give a connection, encrypted and logged in as the channel says; closed without a word where it broke."""
        context = self._trust() if self._server.security != "none" else None
        smtp = _Connection(self._server, self.deadline, context)
        try:
            self._stage = "EHLO"
            smtp.ehlo_or_helo_if_needed()
            if self._server.security == "starttls":
                self._stage = "STARTTLS"
                self._expect(smtp.starttls(context=context), range(220, 221))
                smtp.ehlo_or_helo_if_needed()
            if self._server.username:
                self._stage = "the login"
                smtp.login(self._server.username, self._server.password)
            yield smtp
            if smtp.sock:
                smtp.sock.settimeout(1.0)
            with suppress(smtplib.SMTPException, OSError):  # it is taken already
                smtp.quit()
        finally:
            smtp.close()

    def _trust(self) -> ssl.SSLContext:
        file = os.path.expanduser(self._server.ca_file) or None  # noqa: PTH111  # text in, text out
        try:
            return ssl.create_default_context(cafile=file)
        except OSError as error:
            raise unconfigured(f"the certificates in {file!r:.200} cannot be read", advice="mend `ca_file`") from error

    def _expect(self, reply: tuple[int, bytes], codes: range) -> None:
        if reply[0] not in codes:
            raise smtplib.SMTPResponseException(*reply)


def _on_the_wire(message: EmailMessage) -> bytes:
    """Return a message's bytes without its end: every line ended by CRLF, no lone CR or LF, dots doubled."""
    data = _DOT.sub(b"..", _LINE_END.sub(b"\r\n", message.as_bytes()))
    return data if data.endswith(b"\r\n") else data + b"\r\n"


def _retryable(message: str) -> AdapterError:
    return failure(message, delivery=Delivery.RETRYABLE, error_class=ErrorClass.TRANSIENT)


def _needed(server: Server) -> str:
    return "a way to log in that we know" if server.security != "starttls" else "STARTTLS, or a way to log in,"


def _why(error: Exception) -> str:
    match error:
        case ConnectionRefusedError():
            return "nothing listens there"
        case socket.gaierror():
            return "its name is not known"
        case ssl.SSLError():
            return "TLS failed"
        case smtplib.SMTPServerDisconnected() | OSError():
            return "the connection was lost"
    return "it does not speak SMTP"
