"""One HTTP request and its answer: no redirects, no retries, no cookies, within one limit of time and size.

Says of every failure whether anything was sent. Nothing can have happened outside before the first byte of the request;
after it nobody knows.
"""

import os
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from orchestrator import __version__
from orchestrator.adapter import Delivery, ErrorClass, failure, unconfigured
from orchestrator.errors import AdapterError, UsageError
from orchestrator_adapters.deadline import Deadline
from orchestrator_adapters.endpoint import Url, is_private_to_host, read_url

if TYPE_CHECKING:
    import httpx

MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""So much of an answer's body is read."""


class Asked(NamedTuple):
    """One request, all secrets revealed: never shown, never kept."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | None = None
    ca_file: str = ""
    is_operators: bool = False
    """The address is the operator's own, so that it may be one of the machine's surroundings."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    """As it was sent, up to `MAX_ANSWER_BYTES`."""
    is_whole: bool
    """False where it was too long, or the connection was lost meanwhile."""

    def header(self, name: str) -> str:
        """Return a header's value, "" where it was not sent or is not printable."""
        value = self.headers.get(name, "")
        return value if value.isprintable() else ""


def ask(asked: Asked, timeout_s: float, before: Callable[[], None] = lambda: None) -> Answer:
    """Send a request once and return the answer; `before` is called right before its first byte.

    Raises:
        AdapterError: no answer: RETRYABLE where nothing was sent, PERMANENT where it cannot work, else UNKNOWN.
        Whatever `before` raises: nothing was sent.
    """
    import httpx

    try:
        url = read_url(asked.url)
    except UsageError:  # what it says may hold secrets
        raise unconfigured("the address, its secrets filled in, cannot be called; nothing was sent") from None
    deadline = Deadline(timeout_s)
    sending = _Sending(asked, url, deadline, before)
    limits = httpx.Timeout(deadline.left_s())
    with deadline.running():
        try:
            with httpx.Client(
                verify=_trust(asked.ca_file), trust_env=not url.is_loopback, timeout=limits, follow_redirects=False
            ) as client:
                client.headers.clear()
                usual = {"accept": "*/*", "accept-encoding": "identity", "user-agent": f"orch/{__version__}"}
                with client.stream(
                    asked.method,
                    asked.url,
                    headers=usual | dict(asked.headers),
                    content=asked.content,
                    extensions={"trace": sending.trace},
                ) as response:
                    return _answer(response)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ImportError) as error:  # also of a bad proxy
            sending.fail(error)


class _Sending:
    """How far a request has come."""

    def __init__(self, asked: Asked, url: Url, deadline: Deadline, before: Callable[[], None]) -> None:
        self._asked, self._url, self._deadline, self._before = asked, url, deadline, before
        self._is_sent = False
        self._is_direct = True

    def trace(self, name: str, info: Mapping[str, Any]) -> None:
        """Look at each step as the connection takes it."""
        step = name.partition(".")[2]
        if step == "connect_tcp.started":
            self._is_direct = str(info["host"]).strip("[]").lower().rstrip(".") == self._url.host
        elif step == "connect_tcp.complete":
            connection = info["return_value"].get_extra_info("socket")
            self._deadline.watch(connection)
            if self._is_direct:
                self._check_peer(str(connection.getpeername()[0]))
        elif step == "send_request_headers.started" and info["request"].method != b"CONNECT":
            self._before()
            self._is_sent = True

    def _check_peer(self, address: str) -> None:
        """Refuse where a name led into the machine's surroundings, whatever it led to when somebody else looked."""
        is_meant = self._asked.is_operators and is_private_to_host(self._url.host)
        if is_private_to_host(address) and not is_meant:
            raise failure(
                f"{self._url.host} leads to {address}, one of this machine's own surroundings; nothing was sent",
                advice="only an endpoint of the operator's file can name such an address",
            )
        if self._url.scheme == "http" and not Url("http", address.partition("%")[0], 80).is_loopback:
            raise failure(f"{self._url.host} leads to {address}, off this machine, and is not encrypted")

    def fail(self, error: Exception) -> NoReturn:
        """Raise what an error means: nobody knows once the first byte was sent."""
        what = f"{self._url.host}: {_told(error, is_over=self._deadline.is_over)}"
        if self._is_sent:
            raise failure(f"{what}, after the request was sent", delivery=Delivery.UNKNOWN) from error
        if _is_of_certificate(error):
            raise unconfigured(
                f"{self._url.host} shows a certificate that is not trusted: {_why(error)}; nothing was sent",
                advice="mend it there, or name its authority in the endpoint's `ca_file`",
            ) from error
        raise _retryable(f"{what}; nothing was sent") from error


def _retryable(message: str) -> AdapterError:
    return failure(message, delivery=Delivery.RETRYABLE, error_class=ErrorClass.TRANSIENT)


def _answer(response: "httpx.Response") -> Answer:
    import httpx

    body, is_whole = bytearray(), True
    try:
        for part in response.iter_raw():
            body += part
            if len(body) > MAX_ANSWER_BYTES:
                is_whole = False
                break
    except (httpx.HTTPError, OSError):  # the status is known, and that is what counts
        is_whole = False
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, bytes(body[:MAX_ANSWER_BYTES]), is_whole)


def _trust(ca_file: str) -> "ssl.SSLContext | bool":
    if not ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=os.path.expanduser(ca_file))  # noqa: PTH111  # text in, text out
    except (OSError, ValueError) as error:
        raise unconfigured(f"the certificates in {ca_file!r:.200} cannot be read", advice="mend `ca_file`") from error


def _chain(error: BaseException | None) -> "list[BaseException]":
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _is_of_certificate(error: Exception) -> bool:
    return any(isinstance(one, ssl.SSLCertVerificationError) for one in _chain(error)) or (
        "CERTIFICATE_VERIFY_FAILED" in str(error)
    )


def _why(error: Exception) -> str:
    for one in _chain(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return str(one.verify_message)
    return "its chain or name does not fit"


def _told(error: Exception, *, is_over: bool) -> str:
    """Return what an error means in words of ours: a library's may hold addresses with secrets in them."""
    import httpx

    if is_over or isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.ProxyError):
        return "the proxy found no way there"
    if isinstance(error, httpx.ConnectError):
        return "no connection (its name is not known, nothing listens there, or TLS failed)"
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError):
        return "the connection was lost, or what came is not HTTP"
    return type(error).__name__
