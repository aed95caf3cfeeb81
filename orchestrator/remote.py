"""The same answers from an OPA server elsewhere, by opa-python-client. Imported only where an OPA's URL is configured.

Trusts the server's name only over TLS, sends its token nowhere else, and never follows a redirect. Which policy
answered, the answer itself says: it must carry the digest that is expected.
"""

import json
from collections.abc import Callable, Iterator
from http.client import HTTPException
from socket import gaierror
from ssl import SSLCertVerificationError, SSLError
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import SplitResult, urlsplit

from orchestrator.engine import DEADLINE_S, UNDEFINED_ADVICE, listed
from orchestrator.errors import DecisionError, UsageError

if TYPE_CHECKING:
    from opa_client.opa import OpaClient  # type: ignore[import-untyped]  # the package has no types

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_ADVICE = "check ORCH_OPA_URL, ORCH_OPA_CA_FILE and whether the server runs"
_DENIED = {401, 403}
_WORDS: dict[type[Exception], str] = {
    gaierror: "its name is not known (DNS)",
    ConnectionRefusedError: "nothing listens there",
    ConnectionResetError: "it hung up before it answered",
    BrokenPipeError: "it hung up before it answered",
    HTTPException: "it hung up before it answered, or does not speak HTTP",
}


class RemoteSettings(Protocol):
    """What of the settings says how to reach a server."""

    @property
    def opa_url(self) -> str | None:
        """`https://host[:port][/path]`."""
        ...

    @property
    def opa_token(self) -> str | None:
        """A bearer token."""
        ...

    @property
    def opa_ca_file(self) -> str | None:
        """A PEM file of the authorities to trust instead of the well-known ones."""
        ...

    @property
    def deadline_s(self) -> float | None:
        """How long a question may take."""
        ...


class RemoteEngine:
    """An OPA server that has loaded the same bundle."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        ca_file: str | None = None,
        client_cert: tuple[str, str] | None = None,
        digest: str | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """Take where the server is and how to know it; nothing is sent yet.

        `client_cert` is certificate and key, two PEM files. With `digest` every answer must carry it.

        Raises:
            UsageError: the URL is no plain `https://` one, or one of `http://` that leaves this machine, or the token
                is no token.
        """
        self._url = _checked(url)
        self._digest = digest
        self._deadline_s = deadline_s
        if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
            raise UsageError("the token for OPA holds what a header cannot carry", advice="set ORCH_OPA_TOKEN again")
        self._client = _client(url.rstrip("/"), self._url, token, deadline_s)
        session = self._client._session  # noqa: SLF001  # the one place where the library lets TLS be set
        session.verify = ca_file or True
        session.cert = client_cert

    @classmethod
    def of(cls, settings: RemoteSettings, digest: str | None = None) -> Self:
        """Return the engine the operator configured.

        Raises:
            As the class itself.
        """
        return cls(
            settings.opa_url or "",
            token=settings.opa_token,
            ca_file=settings.opa_ca_file,
            digest=digest,
            deadline_s=settings.deadline_s or DEADLINE_S,
        )

    def __repr__(self) -> str:
        """Return the server's address; never the token."""
        return f"RemoteEngine({self._url.geturl()!r})"

    def ask(self, batch: bytes) -> list[Any]:
        """Return the answers to the batch; see `Engine.ask`."""
        answers = self._result("answer", batch)
        if self._digest is not None:
            wrong = [one for one in answers if not isinstance(one, dict) or one.get("digest") != self._digest]
            if wrong:
                raise DecisionError(
                    f"the server at {self._url.netloc} answers by another policy than {self._digest}",
                    advice="load the bundle of `orch policy build` into that server",
                )
        return answers

    def explain(self, batch: bytes) -> list[Any]:
        """Return the candidate rules of each item of the batch; see `Engine.explain`."""
        return self._result("explanation", batch)

    def close(self) -> None:
        """Hang up."""
        self._client.close_connection()

    def _result(self, rule: str, batch: bytes) -> list[Any]:
        question = json.loads(batch)
        answer = self._in_time(lambda: self._client.query_rule(question, "orch", rule))
        if not isinstance(answer, dict):
            raise _no_opa(self._url.netloc)
        return listed(answer.get("result"))

    def _in_time(self, call: Callable[[], object]) -> object:
        """Return what `call` gives within the deadline; the library's own limit starts anew with every byte."""
        outcome: list[object] = []

        def run() -> None:
            try:
                outcome.append(call())
            except Exception as error:  # noqa: BLE001  # carried into the thread that waits, and translated there
                outcome.append(error)

        asking = Thread(target=run, daemon=True)
        asking.start()
        asking.join(self._deadline_s)
        if not outcome:
            raise DecisionError(f"{self._url.netloc} gave no answer within {self._deadline_s:g} s", advice=_ADVICE)
        if isinstance(outcome[0], Exception):
            raise self._translated(outcome[0]) from outcome[0]
        return outcome[0]

    def _translated(self, error: Exception) -> DecisionError:
        from requests.exceptions import HTTPError, JSONDecodeError, ProxyError, Timeout, TooManyRedirects
        from requests.exceptions import SSLError as NotTrusted

        where = self._url.netloc
        match error:
            case HTTPError(response=response) if response is not None:
                words = " ".join(response.text[:1_000].split())
                advice = "check ORCH_OPA_TOKEN" if response.status_code in _DENIED else UNDEFINED_ADVICE
                return DecisionError(
                    f"{where} refused the question (HTTP {response.status_code}): {words}", advice=advice
                )
            case JSONDecodeError():
                return _no_opa(where)
            case NotTrusted():
                said, advice = f"{where} cannot be trusted: {_cause(error)}", "check ORCH_OPA_CA_FILE and the name"
            case ProxyError():
                said = f"the proxy on the way to {where} does not let through: {_cause(error)}"
                advice = "check HTTPS_PROXY, or name the server in NO_PROXY"
            case TooManyRedirects():
                said, advice = f"{where} answers with a redirect, which is never followed", _ADVICE
            case Timeout():
                said, advice = f"{where} gave no answer within {self._deadline_s:g} s", _ADVICE
            case _:
                said, advice = f"no OPA server answers at {_address(self._url)}: {_cause(error)}", _ADVICE
        return DecisionError(said, advice=advice)


def _no_opa(where: str) -> DecisionError:
    return DecisionError(f"the server at {where} does not answer as OPA does", advice=_ADVICE)


def _address(url: SplitResult) -> str:
    """Return host and port, the port also where the URL leaves it to the scheme."""
    return url.netloc if url.port else f"{url.netloc.rstrip(':')}:{_port(url)}"


def _port(url: SplitResult) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _cause(error: BaseException) -> str:
    """Return in plain words what lies under the layers of the libraries."""
    causes = list(_chain(error))
    for cause in reversed(causes):
        match cause:
            case SSLCertVerificationError():
                return cause.verify_message
            case SSLError():
                return f"TLS failed ({(cause.reason or 'for no stated reason').replace('_', ' ').lower()})"
            case gaierror() | ConnectionRefusedError() | ConnectionResetError() | BrokenPipeError() | HTTPException():
                return next(words for kind, words in _WORDS.items() if isinstance(cause, kind))
            case OSError(strerror=str() as words) if words:
                return words[0].lower() + words[1:]
    return " ".join(str(causes[0]).split())


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Give the error and what caused it, outermost first; the libraries hide causes in four ways."""
    seen: list[BaseException] = [error]
    for each in seen:
        yield each
        hidden = (getattr(each, "reason", None), each.__cause__, each.__context__, *each.args)
        seen += [one for one in hidden if isinstance(one, BaseException) and all(one is not old for old in seen)]


def _checked(url: str) -> SplitResult:
    """Return the parts of a URL that may be asked; http only where nobody can listen or answer in between."""
    try:
        parts = urlsplit(url)
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        is_plain = parts.hostname and parts.port != 0 and not (parts.username or parts.password)
    except ValueError as error:
        raise UsageError(f"the OPA server's URL cannot be read: {error}") from error
    if not is_plain or parts.query or parts.fragment or "@" in parts.netloc:
        raise UsageError(
            "the OPA server's URL is not of the form https://host[:port][/path]", advice="set ORCH_OPA_URL"
        )
    if not is_safe:
        raise UsageError(
            f"the OPA server's URL begins with {parts.scheme}://{parts.hostname}; expected https://",
            advice="http:// is for this machine only: anyone on the way could answer allow",
        )
    return parts


def _client(url: str, parts: SplitResult, token: str | None, deadline_s: float) -> "OpaClient":
    """Return the library's client, with what it lacks: no redirects, no .netrc, a path before `/v1`."""
    from opa_client.opa import OpaClient
    from requests.utils import get_environ_proxies

    client = OpaClient(
        host=parts.netloc, port=_port(parts), ssl=parts.scheme == "https", token=token, retries=1, timeout=deadline_s
    )
    client.root_url = f"{url}/v1"
    session = client._session  # noqa: SLF001  # the library has no other way to forbid redirects
    session.max_redirects = 0
    session.proxies = get_environ_proxies(url)
    session.trust_env = False  # .netrc would replace the token, and REQUESTS_CA_BUNDLE the authorities we were told
    return client
