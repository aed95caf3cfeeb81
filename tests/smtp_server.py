"""A real SMTP server on loopback (aiosmtpd) that keeps what it accepts and fails by script at any stage.

    with smtp_server() as server:                                   # STARTTLS with a certificate for localhost
        server.fail(Stage.RCPT, "550 no such user", to="bob@example.com")
        server.fail(Stage.DOT)                                      # accepted and kept, but the answer is lost
        ... localhost, server.port, trusting server.ca_file ...
        assert [mail.to for mail in server.mails] == [...]

`smtp_server(Security.TLS)` speaks TLS from the first byte, `Security.NONE` never. A login is asked for where `login` says
one. What is `fail`ed counts once unless `times` says otherwise; the server is gone when the block ends.
"""

# ruff: noqa: N802  # aiosmtpd looks for commands as SMTP spells them

import asyncio
import logging
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

logging.getLogger("mail.log").setLevel(logging.ERROR)  # it warns of what itself does


class Stage(StrEnum):
    """Where it fails."""

    GREETING = "greeting"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    """In answer to the command, before any of the message."""
    BODY = "body"
    """While the message comes, before its final dot."""
    DOT = "dot"
    """After the final dot. Without a reply: accepted and kept, the connection lost. With one: not kept."""


class Security(StrEnum):
    """How the server speaks."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True)
class Mail:
    """One message that was accepted."""

    sender: str
    to: str
    content: bytes
    is_encrypted: bool
    user: str
    """Who logged in; "" for nobody."""

    @property
    def message(self) -> EmailMessage:
        """The message, read."""
        read = message_from_bytes(self.content, policy=policy.default)
        assert isinstance(read, EmailMessage)
        return read


@dataclass
class _Failure:
    stage: Stage
    reply: str | None
    to: str | None
    left: int


class SmtpServer:
    """A running server."""

    host = "localhost"
    port: int
    ca_file: str
    """PEM of whom to trust."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        """Everything accepted, in order."""
        self.reached: list[str] = []
        """Every stage that every connection came to, in order."""
        self._failures: list[_Failure] = []

    def fail(self, stage: Stage, reply: str | None = None, *, to: str | None = None, times: int = 1) -> None:
        """Let a stage fail with a reply such as `451 later`; without one the connection is dropped.

        `to` limits it to one recipient, for RCPT and later.
        """
        self._failures.append(_Failure(stage, reply, to, times))

    def mend(self) -> None:
        """Let nothing fail any more."""
        self._failures.clear()

    def failure(self, stage: Stage, recipients: list[str]) -> _Failure | None:
        """Record that a stage is reached; return what fails there and use it up."""
        self.reached.append(stage)
        for one in self._failures:
            if one.stage is stage and one.left and (one.to is None or one.to in recipients):
                one.left -= 1
                return one
        return None


class _Connection(SMTP):
    def __init__(self, script: SmtpServer, **options: Any) -> None:  # noqa: ANN401  # as there
        self.script = script
        is_login_needed = options.pop("is_login_needed", False)
        super().__init__(self, hostname="mail.test", **options)
        self._auth_required = is_login_needed  # as an option it would warn where TLS is not its own STARTTLS

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        failure = self.script.failure(Stage.DOT, envelope.rcpt_tos)
        if failure and failure.reply:
            return failure.reply
        login: Any = session.auth_data
        user = login.login.decode() if isinstance(login, LoginPassword) else ""
        content = envelope.original_content or b""
        is_encrypted = self._writer.get_extra_info("sslcontext") is not None
        for to in envelope.rcpt_tos:
            self.script.mails.append(Mail(envelope.mail_from or "", to, content, is_encrypted, user))
        if failure:
            await self._fail(failure)
        return "250 2.0.0 queued"

    async def _fail(self, failure: _Failure) -> None:
        if failure.reply is None:
            self._writer.transport.abort()
            return
        with suppress(ConnectionError):
            await self.push(failure.reply)
        if failure.reply.startswith("421"):
            self._writer.close()

    async def _failed(self, stage: Stage, to: str | None = None) -> bool:
        recipients = list(self.envelope.rcpt_tos) if self.envelope else []
        failure = self.script.failure(stage, [*recipients, *([to] if to else [])])
        if failure:
            await self._fail(failure)
        return failure is not None

    async def _handle_client(self) -> None:
        failure = None if self._tls_protocol else self.script.failure(Stage.GREETING, [])
        if failure:
            await self._fail(failure)
            self._writer.close()
            return
        await super()._handle_client()

    async def smtp_EHLO(self, hostname: str) -> None:
        if not await self._failed(Stage.EHLO):
            await super().smtp_EHLO(hostname)

    async def smtp_STARTTLS(self, arg: str) -> None:
        if not await self._failed(Stage.STARTTLS):
            await super().smtp_STARTTLS(arg)

    async def smtp_AUTH(self, arg: str) -> None:
        if not await self._failed(Stage.AUTH):
            await super().smtp_AUTH(arg)

    async def smtp_MAIL(self, arg: str | None) -> None:
        if not await self._failed(Stage.MAIL):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str | None) -> None:
        address = (arg or "").partition("<")[2].partition(">")[0]
        if not await self._failed(Stage.RCPT, address):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:
        if await self._failed(Stage.DATA):
            return
        failure = self.script.failure(Stage.BODY, self.envelope.rcpt_tos if self.envelope else [])
        if failure:
            await self.push("354 go on")
            await self._reader.readuntil(b"\r\n")
            await self._fail(failure)
            return
        await super().smtp_DATA(arg)


def _options(security: Security, context: ssl.SSLContext, login: tuple[str, str] | None) -> dict[str, Any]:
    """Return what aiosmtpd is to be told."""
    options: dict[str, Any] = {"timeout": 20}
    if security is Security.STARTTLS:
        options["tls_context"] = context
    if login:
        wanted = LoginPassword(login[0].encode(), login[1].encode())

        def judged(_server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: object) -> AuthResult:
            return AuthResult(success=data == wanted, handled=False, auth_data=data)

        options |= {"authenticator": judged, "is_login_needed": True}
        options["auth_require_tls"] = security is Security.STARTTLS
    return options


@contextmanager
def smtp_server(
    security: Security = Security.STARTTLS, *, login: tuple[str, str] | None = None, names: tuple[str, ...] = ()
) -> Iterator[SmtpServer]:
    """Give a running server; `names` are those of its certificate, localhost and 127.0.0.1 unless said."""
    script = SmtpServer()
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(names or ("localhost", "127.0.0.1"))).configure_cert(context)
    options = _options(security, context, login)
    loop = asyncio.new_event_loop()
    listening = loop.run_until_complete(
        loop.create_server(
            lambda: _Connection(script, loop=loop, **options),
            "127.0.0.1",
            0,
            ssl=context if security is Security.TLS else None,
        )
    )
    script.port = listening.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    with TemporaryDirectory(prefix="osm") as folder:
        script.ca_file = str(Path(folder) / "ca.pem")
        authority.cert_pem.write_to_path(script.ca_file)
        try:
            yield script
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.run_until_complete(_end(listening))
            loop.close()


async def _end(listening: asyncio.Server) -> None:
    """Close the server and what is still connected."""
    listening.close()
    tasks = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
    for one in tasks:
        one.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.01)  # transports that were closed are let go of in the loop's next turns
