"""How the GitHub adapter speaks: one connection for one action, no retries, no redirects, and what each answer means.

A write whose answer did not arrive, or makes no sense, may have happened: it is UNKNOWN, never tried again here.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

from orchestrator import githubrest
from orchestrator.adapter import Action, Delivery, ErrorClass, Place, Receipt, unconfigured
from orchestrator.errors import AdapterError, UsageError
from orchestrator.names import shown
from orchestrator_adapters.deadline import Deadline
from orchestrator_adapters.parameters import refuse_unknown, setting

if TYPE_CHECKING:
    import ssl

    import httpx

MAX_PAGES = 50
"""Of a list; what is further back is not looked at, and so not known."""
_PAGE = 100
_MAX_BYTES = 16 * 1024 * 1024
_MAX_SAID = 500
_REQUEST_S, _SETTLE_S, _SETTLE_LOOPBACK_S, _STEP_S = 30.0, 12.0, 1.0, 0.2
_WAIT_S = 60.0
"""After a rate limit that does not say how long."""
_SETTINGS = "api token login settle_s timeout_s remote"
_TEAM = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})
_LIMITED = frozenset({403, 429})


class ApiError(AdapterError):
    """A request that did not end well."""

    def __init__(self, message: str, receipt: Receipt, status: int = 0) -> None:
        super().__init__(message, delivery=receipt.delivery, error_class=receipt.error_class)
        self.receipt = receipt
        """What this says of an action that has done nothing before."""
        self.status = status
        """Of HTTP; 0 where there was no answer."""


class UnknowableError(AdapterError):
    """There is more than can be looked through."""


class Answer(NamedTuple):
    """What GitHub said."""

    status: int
    body: Any
    """JSON; None where there was none."""


class Api:
    """A connection to one repository, for one action."""

    def __init__(self, client: "httpx.Client", base: str, action: Action, deadline: Deadline) -> None:
        self._client, self._base = client, base
        self._place = f"/repos/{quote(str(action.resource['id']))}"
        self._action, self._deadline = action, deadline
        self._login: str | None = None

    def get(self, path: str, /, **query: str | int) -> Any:  # noqa: ANN401  # JSON
        """Return what lies at a path below the repository, None where nothing does.

        Raises:
            ApiError: GitHub does not answer, or refuses.
        """
        try:
            return self._ask(_Way(self._deadline), "GET", self._place + path, query=query).body
        except ApiError as error:
            if error.status == 404:  # noqa: PLR2004  # HTTP
                return None
            raise

    def rows(
        self, path: str, name: str = "", /, *, pages: int = MAX_PAGES, **query: str | int
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows of a list, page by page; `name` is the key they lie under, where the answer is no list.

        Raises:
            UnknowableError: there are more pages.
            ApiError: as `get`.
        """
        for page in range(1, pages + 1):
            found = self._listed(path, {**query, "per_page": _PAGE, "page": page})
            rows = found.get(name) if name and isinstance(found, dict) else found
            if not isinstance(rows, list):
                raise _odd("no list")
            yield from (row for row in rows if isinstance(row, dict))
            if len(rows) < _PAGE:
                return
        raise UnknowableError(f"there are more than {pages * _PAGE} rows of {path}")

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, is_first: bool = True) -> Answer:
        """Write, after a last look whether it may be; `is_first` says that nothing was written before.

        Raises:
            ApiError: it was refused, or nobody knows whether it was done.
        """
        content = b"" if body is None else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if content else {}
        way = _Way(self._deadline, self._action.recheck if is_first else None, is_write=True)
        return self._ask(way, method, self._place + path, content=content, headers=kind)

    def upload(self, url: str, name: str, content: Iterator[bytes], size: int) -> Answer:
        """Upload a file to where a release says that its files go.

        Raises:
            ApiError: as `send`, or the address is not GitHub's.
        """
        own, other = urlsplit(self._base), urlsplit(url)
        hosts = {own.netloc, f"uploads.{str(own.hostname).removeprefix('api.')}"}
        if other.scheme != own.scheme or other.netloc not in hosts:
            raise _odd(f"an upload address elsewhere: {shown(url)}")
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        way = _Way(self._deadline, is_write=True)
        return self._ask(way, "POST", url, query={"name": name}, content=content, headers=headers)

    def login(self) -> str:
        """Return who the token belongs to; "" where GitHub does not say, as for an app."""
        if self._login is None:
            self._login = setting(self._action.place.settings, "github", "login") or self._asked_login()
        return self._login

    def _asked_login(self) -> str:
        try:
            user = self._ask(_Way(self._deadline), "GET", "/user").body
        except ApiError as error:
            if error.status not in {403, 404} or error.receipt.delivery is Delivery.RETRYABLE:
                raise
            return ""
        return str(user.get("login") or "") if isinstance(user, dict) else ""

    def is_ours(self, row: Mapping[str, Any], marker: str) -> bool:
        """Say whether a row carries a marker, and was written by us: a stranger's copy of it counts for nothing."""
        if marker not in str(row.get("body") or ""):
            return False
        user = row.get("user") or row.get("author")
        login, kind = (user.get("login"), user.get("type")) if isinstance(user, dict) else ("", "")
        if own := self.login():
            return str(login).lower() == own.lower()
        return kind == "Bot" or row.get("author_association") in _TEAM

    def settle(self) -> None:
        """Wait as long as GitHub may still be at a request whose answer was lost."""
        settings = self._action.place.settings
        usual = _SETTLE_LOOPBACK_S if githubrest.is_loopback(self._base) else _SETTLE_S
        ends_at = time.monotonic() + _seconds(settings, "settle_s", usual)
        while (left_s := ends_at - time.monotonic()) > 0 and not self._deadline.is_over:
            if self._action.is_cancelled():
                break
            time.sleep(min(left_s, _STEP_S))

    def _listed(self, path: str, query: Mapping[str, str | int]) -> Any:  # noqa: ANN401  # JSON
        return self._ask(_Way(self._deadline), "GET", self._place + path, query=query).body

    def _ask(
        self,
        way: "_Way",
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        content: bytes | Iterator[bytes] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        import httpx

        limit_s = min(_seconds(self._action.place.settings, "timeout_s", _REQUEST_S), self._deadline.left_s())
        url = path if "://" in path else self._base + path
        try:
            with self._client.stream(
                method,
                url,
                params=query or None,
                content=content or None,
                headers=headers,
                timeout=limit_s,
                extensions={"trace": way.trace},
            ) as response:
                data = _limited(response)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            raise _lost(error, is_in_doubt=way.is_in_doubt) from error
        return _judged(response, data, is_write=way.is_write)


class _Way:
    """How far one request has come."""

    def __init__(self, deadline: Deadline, before: Callable[[], None] | None = None, *, is_write: bool = False) -> None:
        self._deadline, self._before = deadline, before
        self.is_write = is_write
        self.is_in_doubt = False
        """Whether it may have had its effect: a write whose first byte was sent."""

    def trace(self, name: str, info: Mapping[str, Any]) -> None:
        """Look at each step as the connection takes it."""
        step = name.partition(".")[2]
        if step == "connect_tcp.complete":
            self._deadline.watch(info["return_value"].get_extra_info("socket"))
        elif step == "send_request_headers.started" and info["request"].method != b"CONNECT":
            if self._before is not None:
                self._before()
            self.is_in_doubt = self.is_write


@contextmanager
def api_for(action: Action) -> Iterator[Api]:
    """Give a connection to the action's repository.

    Raises:
        AdapterError: the settings are not as they must be, or there is no token.
    """
    import httpx

    place = action.place
    base = address(place)
    token = place.reveal(setting(place.settings, "github", "token"))
    if not token.strip() or not token.isascii() or not token.isprintable():
        raise unconfigured(
            "there is no token for GitHub", advice='set adapters: {github: {token: "${{ secrets.GITHUB_TOKEN }}"}}'
        )
    verified_by = _certificates(os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", ""))
    deadline = Deadline(action.timeout_s)
    with (
        deadline.running(),
        httpx.Client(
            headers=githubrest.headers(token.strip()),
            verify=verified_by,
            trust_env=not githubrest.is_loopback(base),
            follow_redirects=False,
        ) as client,
    ):
        yield Api(client, base, action, deadline)


@lru_cache(maxsize=2)
def _certificates(_file: str, _folder: str) -> "ssl.SSLContext":
    """Return the certificates that httpx trusts by these variables; reading them takes longer than a request."""
    import httpx

    return httpx.create_ssl_context()


def address(place: Place) -> str:
    """Return the API's address, after a look at all settings.

    Raises:
        AdapterError: a setting is wrong.
    """
    refuse_unknown(place.settings, "github", _SETTINGS)
    if not setting(place.settings, "github", "token"):
        raise unconfigured(
            "there is no token for GitHub", advice='set adapters: {github: {token: "${{ secrets.GITHUB_TOKEN }}"}}'
        )
    try:
        return githubrest.checked(setting(place.settings, "github", "api", githubrest.API))
    except UsageError as error:
        raise unconfigured(str(error), advice=error.advice) from error


def settled(api: Api, look: Callable[[], Receipt | None], absent: str) -> Receipt | None:
    """Look for what an attempt made; where it is not there, look again when nothing can be on its way any more."""
    if found := look():
        return found
    api.settle()
    return look() or Receipt(Delivery.RETRYABLE, detail=absent, error_class=ErrorClass.TRANSIENT)


def _seconds(settings: Mapping[str, Any], name: str, default: float) -> float:
    value = settings.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 3600:  # noqa: PLR2004  # an hour
        raise unconfigured(f"`{name}` of adapters.github is {shown(value)}; expected seconds")
    return float(value)


def _limited(response: "httpx.Response") -> bytes:
    data = b""
    for part in response.iter_bytes():
        data += part
        if len(data) > _MAX_BYTES:
            break  # too much to be what was asked for: it is no JSON then
    return data


def _judged(response: "httpx.Response", data: bytes, *, is_write: bool) -> Answer:
    """Return a good answer, and raise what any other means."""
    status = response.status_code
    body = _json(data)
    if 200 <= status < 300:  # noqa: PLR2004  # HTTP
        if status != 204 and body is None:  # noqa: PLR2004  # HTTP
            raise _odd("no JSON", is_write=is_write)
        return Answer(status, body)
    said = f"GitHub answered {status} to {response.request.method} {response.request.url.path}{_words(body)}"
    if status >= 500:  # noqa: PLR2004  # HTTP
        delivery = Delivery.UNKNOWN if is_write else Delivery.RETRYABLE
        raise _error(said, delivery, None if is_write else ErrorClass.TRANSIENT, status)
    if 300 <= status < 400:  # noqa: PLR2004  # HTTP
        raise _error(f"{said}; redirects are not followed: was it renamed?", Delivery.PERMANENT, None, status)
    if _is_limited(response, body):
        raise _error(said, Delivery.RETRYABLE, ErrorClass.TRANSIENT, status, _wait_s(response))
    is_access = status in {401, 403}
    kind = ErrorClass.CONFIGURATION if is_access else ErrorClass.PERMANENT
    raise _error(f"{said} (see what the token may do)" if is_access else said, Delivery.PERMANENT, kind, status)


def _is_limited(response: "httpx.Response", body: object) -> bool:
    if response.status_code not in _LIMITED:
        return False
    is_spent = response.headers.get("X-RateLimit-Remaining") == "0"
    is_told = "Retry-After" in response.headers or "rate limit" in _words(body).lower()
    return response.status_code == 429 or is_spent or is_told  # noqa: PLR2004  # HTTP


def _wait_s(response: "httpx.Response") -> float:
    after, reset = response.headers.get("Retry-After", ""), response.headers.get("X-RateLimit-Reset", "")
    if after.isdigit():
        return float(after[:6])
    if reset.isdigit():
        return max(1.0, float(reset[:12]) - time.time())
    return _WAIT_S


def _words(body: object) -> str:
    """Return what GitHub says went wrong, as the end of a sentence."""
    if not isinstance(body, dict):
        return ""
    errors = body.get("errors")
    more = [
        str(one.get("message") or f"{one.get('field', '')} {one.get('code', '')}")
        if isinstance(one, dict)
        else str(one)
        for one in (errors if isinstance(errors, list) else [])
    ]
    text = "; ".join([str(body.get("message", "")), *more])
    return ": " + "".join(char if char.isprintable() else " " for char in text[:_MAX_SAID])


def _json(data: bytes) -> Any:  # noqa: ANN401  # JSON
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _lost(error: Exception, *, is_in_doubt: bool) -> ApiError:
    """Say what a failed exchange means: only one that never reached GitHub certainly did nothing."""
    import httpx

    said = f"{type(error).__name__}: {error}"
    if is_in_doubt:
        return _error(f"the connection was lost after the request was sent: {said}", Delivery.UNKNOWN, None)
    if "CERTIFICATE_VERIFY_FAILED" in said or isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return _error(f"GitHub cannot be asked: {said}", Delivery.PERMANENT, ErrorClass.CONFIGURATION)
    return _error(f"GitHub cannot be reached: {said}", Delivery.RETRYABLE, ErrorClass.TRANSIENT)


def _odd(what: str, *, is_write: bool = False) -> ApiError:
    message = f"GitHub answered with {what}; see that adapters.github.api is its API"
    return _error(message, Delivery.UNKNOWN if is_write else Delivery.PERMANENT, None)


def _error(
    message: str, delivery: Delivery, kind: ErrorClass | None, status: int = 0, retry_after_s: float | None = None
) -> ApiError:
    if delivery is Delivery.PERMANENT:
        kind = kind or ErrorClass.PERMANENT
    return ApiError(message, Receipt(delivery, detail=message, error_class=kind, retry_after_s=retry_after_s), status)
