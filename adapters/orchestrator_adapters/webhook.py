"""call_webhook: one HTTP request to an address or to an endpoint of the operator's file. `docs/adapters-send.md`.

Never follows a redirect and never sends twice. Signs as Standard Webhooks says where the endpoint has a secret.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from orchestrator.adapter import (
    Action,
    Delivery,
    Effect,
    ErrorClass,
    Place,
    Prepared,
    Receipt,
    Wanted,
    failure,
    unconfigured,
)
from orchestrator.digest import canonical
from orchestrator.errors import AdapterError, UsageError
from orchestrator.names import shown
from orchestrator.secret import REFERENCE
from orchestrator_adapters import endpoint as endpoints
from orchestrator_adapters.endpoint import READS, Endpoint
from orchestrator_adapters.exchange import Answer, Asked, ask
from orchestrator_adapters.parameters import Parameters, refuse_unknown

MAX_BODY_BYTES = 1024 * 1024
"""Largest body of a request."""
MAX_OUTPUT_BYTES = 64 * 1024
"""Largest body of an answer that becomes an output; a larger one is an artifact alone."""

_REPLAYABLE = READS | {"PUT", "DELETE"}
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,60}")
_MAX_WAIT_S = 86_400.0
_FAILED = 300
_CLIENT_ERROR = 400
_SERVER_ERROR = 500
_NOT_MODIFIED = 304
_OK = 200
_NOT_FOUND = 404
_SURELY_NOT_DONE = frozenset({425, 429})
_NO_TELLING = frozenset({408})
_UNAVAILABLE = 503


class Webhook:
    """Sends HTTP requests."""

    name = "webhook"
    actions = frozenset({"call_webhook"})

    def prepare(self, wanted: Wanted, place: Place) -> Prepared:
        """Return the request as it will be sent, secrets as references.

        Raises:
            UsageError: a parameter is missing, unknown or cannot be.
            AdapterError: there is no such endpoint, or it is not set up well.
        """
        given = wanted.parameters
        Parameters(wanted, "endpoint url method headers query body json key")
        refuse_unknown(place.settings, self.name, "endpoints")
        endpoint = _endpoint(given, place.settings)
        method = _method(given.get("method"), endpoint)
        properties: dict[str, Any] = {"url": endpoint.url, "method": method}
        if endpoint.name:
            properties["endpoint"] = endpoint.name
        for name, read in (("headers", endpoints.check_headers), ("query", _query)):
            if given.get(name) is not None and (said := read(given[name])):
                properties[name] = said
        if given.get("key") is not None:
            properties["key"] = given["key"]
        properties |= _body(given, method)
        endpoints.check_url(endpoint.url, is_operators=bool(endpoint.name))
        resource = {"type": "endpoint", "id": endpoint.name or endpoint.url.partition("?")[0][:1000]}
        effect = Effect.READ if method in READS else Effect.OUTWARD
        is_replayable = method in _REPLAYABLE or endpoint.is_idempotent
        return Prepared(resource, properties, effect, is_replayable)

    def perform(self, action: Action, key: str) -> Receipt:
        """Send the request once."""
        endpoint, asked = _asked(action, key)
        try:
            answer = ask(asked, action.timeout_s, action.recheck)
        except AdapterError as error:
            if asked.method in READS and error.delivery == Delivery.UNKNOWN:  # a read changes nothing anywhere
                raise failure(str(error), delivery=Delivery.RETRYABLE) from error
            raise
        return _receipt(answer, action, endpoint)

    def reconcile(self, action: Action, key: str) -> Receipt | None:
        """Ask the endpoint's lookup for the key, or look whether a document lies there as it was put."""
        endpoint, asked = _asked(action, key)
        if endpoint.lookup:
            url = endpoint.lookup.replace("{key}", quote(key, safe=""))
            return _looked_up(_got(action, endpoint, url), url)
        is_conditional = {"if-match", "if-none-match"} & asked.headers.keys()
        if asked.method != "PUT" or not is_conditional:
            return None
        answer = _got(action, endpoint, action.properties["url"], with_query=True)
        if answer is not None and answer.status == _OK and _is_same(answer.body, asked.content or b""):
            return _receipt(answer, action, endpoint)
        return None


class _Body(NamedTuple):
    content: bytes
    media_type: str


def _endpoint(given: Mapping[str, Any], settings: Mapping[str, Any]) -> Endpoint:
    url, key = given.get("url"), given.get("key")
    if key is not None and not isinstance(key, str):
        raise UsageError(f"key is {shown(key)}; expected a text")
    if given.get("endpoint") is not None:
        if url is not None:
            raise UsageError("both endpoint and url are given; expected one of them")
        endpoint = endpoints.endpoint_named(given["endpoint"], settings)
        if ("{key}" in endpoint.url) != (key is not None):
            raise UsageError(
                f"the endpoint {endpoint.name} {'needs a' if key is None else 'takes no'} key",
                advice="give `key`, what `{key}` of its url stands for" if key is None else "leave `key` out",
            )
        if not isinstance(key, str):
            return endpoint
        return endpoint._replace(url=endpoints.filled(endpoint.url, key))
    if not isinstance(url, str) or not url:
        raise UsageError(f"url is {shown(url)}; expected an address, or `endpoint` with a name of the operator's file")
    if key is not None:
        raise UsageError("key is given without endpoint; expected it for an endpoint with {key} in its url alone")
    return Endpoint("", url)


def _method(given: object, endpoint: Endpoint) -> str:
    method = str(given).upper() if given is not None else endpoint.methods[0]
    if method not in endpoint.methods:
        where = f"the endpoint {endpoint.name} allows" if endpoint.name else "expected one of"
        raise UsageError(f"method is {shown(given)}; {where} {', '.join(endpoint.methods)}")
    return method


def _query(query: object) -> dict[str, str]:
    if not isinstance(query, Mapping):
        raise UsageError(f"query is {shown(query)}; expected an object of names and texts")
    read: dict[str, str] = {}
    for name, value in query.items():
        if not isinstance(value, str | int) or not isinstance(name, str) or not name:
            raise UsageError(f"query has {shown(name)}: {shown(value)}; expected a name and a text or whole number")
        read[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return read


def _body(given: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Return the body's property: `json` for JSON, `body` for text; none where there is none."""
    has = [name for name in ("body", "json") if given.get(name) is not None]
    if not has:
        return {}
    if len(has) > 1 or method in READS:
        raise UsageError(
            f"{method} is given {' and '.join(has)}; expected {'no body' if method in READS else 'one of them'}"
        )
    value = given[has[0]]
    named = {"body": value} if has == ["body"] and isinstance(value, str) else {"json": value}
    content = _content(named).content
    if len(content) > MAX_BODY_BYTES:
        raise UsageError(f"the body has {len(content):,} bytes; expected at most {MAX_BODY_BYTES:,}")
    return named


def _content(properties: Mapping[str, Any]) -> _Body:
    try:
        if "json" in properties:
            text = json.dumps(properties["json"], ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            return _Body(text.encode(), "application/json")
        return _Body(properties["body"].encode(), "text/plain; charset=utf-8")
    except (ValueError, TypeError, RecursionError) as error:
        raise UsageError(f"the body cannot be written as UTF-8 or JSON: {type(error).__name__}") from error


def _asked(action: Action, key: str) -> tuple[Endpoint, Asked]:
    """Return the request with its secrets revealed, and the endpoint it goes to."""
    properties, place = action.properties, action.place
    endpoint = Endpoint("", properties["url"])
    if name := properties.get("endpoint"):
        endpoint = endpoints.endpoint_named(name, place.settings)
    method = properties["method"]
    headers = {name: _header(name, value, place) for name, value in endpoint.headers.items()}
    for name, value in properties.get("headers", {}).items():
        headers.setdefault(name, _header(name, value, place))
    content = None
    if "json" in properties or "body" in properties:
        revealed = {"json": _revealed(properties["json"], place)} if "json" in properties else properties
        content, media_type = _content(revealed)
        headers.setdefault("content-type", media_type)
    if method not in READS:
        headers["idempotency-key"] = key
        headers |= _signature(endpoint, place, key, content or b"")
    url = _whole_url(properties["url"], properties.get("query", {}), place, is_operators=bool(endpoint.name))
    return endpoint, Asked(method, url, headers, content, endpoint.ca_file, bool(endpoint.name))


def _whole_url(url: str, query: Mapping[str, str], place: Place, *, is_operators: bool) -> str:
    """Return the address to call, its secrets revealed; an error never shows them."""
    revealed = place.reveal(url)
    try:
        endpoints.check_url(revealed, is_operators=is_operators)
    except UsageError as error:
        if revealed == url:
            raise failure(str(error), advice=error.advice, error_class=ErrorClass.CONFIGURATION) from error
        raise unconfigured(f"what {shown(url)} stands for is no address that may be called") from None
    if not query:
        return revealed
    values = {name: place.reveal(value) for name, value in query.items()}
    return revealed + ("&" if "?" in revealed else "?") + urlencode(values, quote_via=quote)


def _header(name: str, value: str, place: Place) -> str:
    revealed = place.reveal(value)
    if not endpoints.is_header_value(revealed):
        raise unconfigured(f"the header {name} would hold what no header can", advice="look at the secret it refers to")
    return revealed


def _revealed(value: Any, place: Place) -> Any:  # noqa: ANN401  # JSON
    """Return JSON in which texts that are one reference and nothing else are revealed."""
    match value:
        case str():
            return place.reveal(value) if REFERENCE.fullmatch(value) else value
        case Mapping():
            return {name: _revealed(one, place) for name, one in value.items()}
        case list() | tuple():
            return [_revealed(one, place) for one in value]
    return value


def _signature(endpoint: Endpoint, place: Place, key: str, content: bytes) -> dict[str, str]:
    """Return the headers of Standard Webhooks; none where there is no secret.

    Raises:
        AdapterError: a secret is none.
    """
    if not endpoint.secrets:
        return {}
    from datetime import UTC, datetime

    from standardwebhooks.webhooks import Webhook as Signer

    now = datetime.now(UTC)
    signatures = []
    for secret in endpoint.secrets:
        try:
            raw = base64.b64decode(place.reveal(secret).removeprefix("whsec_"), validate=True)
            signatures.append(Signer(raw).sign(key, now, content.decode()))
        except (binascii.Error, ValueError, RuntimeError) as error:
            raise unconfigured(
                f"the secret of the endpoint {endpoint.name} is not one of Standard Webhooks",
                advice="expected whsec_ and base64, such as whsec_$(openssl rand -base64 32)",
            ) from error
    return {
        "webhook-id": key,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _got(action: Action, endpoint: Endpoint, url: str, *, with_query: bool = False) -> Answer | None:
    """Return what an address answers to GET, None where it does not."""
    place = action.place
    query = action.properties.get("query", {}) if with_query else {}
    try:
        headers = {name: _header(name, value, place) for name, value in endpoint.headers.items()}
        if with_query and (own := action.properties.get("headers", {}).get("authorization")):
            headers.setdefault("authorization", _header("authorization", own, place))
        whole = _whole_url(url, query, place, is_operators=bool(endpoint.name))
        return ask(Asked("GET", whole, headers, None, endpoint.ca_file, bool(endpoint.name)), action.timeout_s)
    except AdapterError:
        return None


def _looked_up(answer: Answer | None, url: str) -> Receipt | None:
    if answer is not None and answer.status == _OK:
        return Receipt(Delivery.DELIVERED, url, "its lookup knows the key")
    if answer is not None and answer.status == _NOT_FOUND:
        detail = "its lookup does not know the key"
        return Receipt(Delivery.RETRYABLE, detail=detail, error_class=ErrorClass.TRANSIENT)
    return None


def _is_same(one: bytes, other: bytes) -> bool:
    """Say whether two bodies are the same, as bytes or as JSON."""
    try:
        return one == other or canonical(json.loads(one)) == canonical(json.loads(other))
    except (ValueError, RecursionError):
        return False


def _receipt(answer: Answer, action: Action, endpoint: Endpoint) -> Receipt:
    delivery, error_class, detail = _judged(answer, is_read=action.properties["method"] in READS)
    kept: tuple[str, ...] = ()
    if answer.body:
        media_type = answer.header("content-type").partition(";")[0].strip().lower()
        media_type = media_type if _MEDIA_TYPE.fullmatch(media_type) else "application/octet-stream"
        kept = (action.place.keep(BytesIO(answer.body), "response", media_type),)
    url = endpoint.name or action.properties["url"].partition("?")[0]
    location = answer.header("location") if delivery is Delivery.DELIVERED else ""
    return Receipt(
        delivery,
        location or url,
        detail,
        _outputs(answer),
        error_class,
        _wait_s(answer) if delivery is Delivery.RETRYABLE else None,
        kept,
    )


def _judged(answer: Answer, *, is_read: bool) -> tuple[Delivery, ErrorClass | None, str]:
    """Return what a status says of what happened. Errs on the side of: it may have."""
    status = answer.status
    said = f"it answers {status}"
    if _OK <= status < _FAILED or (is_read and status == _NOT_MODIFIED):
        return Delivery.DELIVERED, None, said if answer.is_whole else f"{said}; its body was cut"
    if status < _CLIENT_ERROR:
        detail = f"{said}: it is elsewhere ({shown(answer.header('location'))}); redirects are not followed"
        return Delivery.PERMANENT, ErrorClass.CONFIGURATION, detail
    is_certain = status in _SURELY_NOT_DONE or (status == _UNAVAILABLE and _wait_s(answer) is not None)
    if is_certain or (is_read and (status >= _SERVER_ERROR or status in _NO_TELLING)):
        return Delivery.RETRYABLE, ErrorClass.TRANSIENT, f"{said}: not now"
    if status >= _SERVER_ERROR or status in _NO_TELLING:
        return Delivery.UNKNOWN, None, f"{said}: whether it did anything cannot be told"
    return Delivery.PERMANENT, ErrorClass.PERMANENT, f"{said}: it refuses"


def _wait_s(answer: Answer) -> float | None:
    """Return what `Retry-After` asks for, in seconds; None where nothing is asked."""
    value = answer.header("retry-after").strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), _MAX_WAIT_S)
    if not value:
        return None
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    wait = (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(wait, 0.0), _MAX_WAIT_S)


def _outputs(answer: Answer) -> dict[str, Any]:
    """Return what later steps can use: `status`, `json` or `text`, `etag`, `location`; `is_cut` where no body fits."""
    outputs: dict[str, Any] = {"status": answer.status}
    for name in ("etag", "location"):
        if value := answer.header(name):
            outputs[name] = value
    if not answer.body:
        return outputs
    if not answer.is_whole or len(answer.body) > MAX_OUTPUT_BYTES:
        return outputs | {"is_cut": True}
    try:
        text = answer.body.decode()
    except UnicodeDecodeError:
        return outputs | {"is_cut": True}
    try:
        value = json.loads(text)
        canonical(value)  # what has no canonical form cannot be recorded
    except (ValueError, RecursionError):
        return outputs | {"text": text}
    return outputs | {"json": value}
