"""Endpoints of the operator's file, and which addresses may be called at all. Sends nothing.

An address that only the machine itself should see (link-local, the metadata service of a cloud) is refused, by name
before and by the address that was really reached after, unless the operator's own endpoint names it.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from orchestrator.adapter import unconfigured
from orchestrator.errors import UsageError
from orchestrator.names import shown
from orchestrator.secret import REFERENCE
from orchestrator.words import near_miss

METHODS = ("POST", "GET", "HEAD", "PUT", "PATCH", "DELETE")
"""Methods of requests, the usual one first."""
READS = frozenset({"GET", "HEAD"})
_MAX_HOST, _MAX_LABEL = 253, 63
MAX_URL = 8192
"""Longest address, in characters."""

_KEYS = frozenset({"url", "secret", "headers", "method", "lookup", "idempotent", "ca_file"})
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_UNCLEAN = re.compile(r"[^\x21-\x7e]|[\\<>\"^`{|}]")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_METADATA_HOSTS = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})
_METADATA = frozenset(
    ipaddress.ip_address(one) for one in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_OUR_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade"}) | {
    *("expect", "keep-alive", "proxy-authorization", "accept-encoding", "idempotency-key"),
    *("webhook-id", "webhook-timestamp", "webhook-signature"),
}

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Endpoint(NamedTuple):
    """Where requests go, and how; everything may hold references to secrets."""

    name: str
    """The operator's name for it; "" where somebody gave an address."""
    url: str
    secrets: tuple[str, ...] = ()
    """What requests are signed with: Standard Webhooks secrets, the newest first."""
    headers: Mapping[str, str] = {}
    methods: tuple[str, ...] = METHODS
    """Those allowed, the usual one first."""
    lookup: str = ""
    """An address with `{key}` that answers 200 where a request with that key arrived, 404 where none did."""
    is_idempotent: bool = False
    """It does a request once however often it comes, by its `Idempotency-Key`."""
    ca_file: str = ""
    """PEM of whom to trust instead of the well-known authorities."""


class Url(NamedTuple):
    """An address that is one, as far as it can be seen."""

    scheme: str
    host: str
    """Lower case, without brackets."""
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether it says this machine itself."""
        return self.host == "localhost" or ((address := _literal(self.host)) is not None and address.is_loopback)


def endpoint_named(name: object, settings: Mapping[str, Any]) -> Endpoint:
    """Return an endpoint of the operator's file.

    Raises:
        AdapterError: there is none of that name, or it is not set up well.
    """
    known = settings.get("endpoints") or {}
    if not isinstance(known, Mapping):
        raise unconfigured("adapters.webhook.endpoints is no mapping", advice="write endpoints: {NAME: {url: ...}}")
    if not isinstance(name, str) or name not in known:
        raise unconfigured(
            f"there is no endpoint {shown(name)}{near_miss(str(name), known)}",
            advice="name it in the operator's file: adapters: {webhook: {endpoints: {NAME: {url: https://...}}}}",
        )
    said = known[name]
    where = f"the endpoint {name}"
    if not isinstance(said, Mapping) or not isinstance(said.get("url"), str):
        raise unconfigured(f"{where} has no url", advice="give it one: {url: https://...}")
    if unknown := sorted(str(key) for key in said if key not in _KEYS):
        hint = near_miss(unknown[0], _KEYS)
        raise unconfigured(f"{where} has the unknown key {shown(unknown[0])}{hint}")
    return Endpoint(
        name,
        said["url"],
        _texts(said.get("secret"), f"{where}: secret"),
        _headers_of(said.get("headers") or {}, where),
        _methods(said.get("method"), where),
        "".join(_texts(said.get("lookup"), f"{where}: lookup")[:1]),
        said.get("idempotent") is True,
        "".join(_texts(said.get("ca_file"), f"{where}: ca_file")[:1]),
    )


def filled(url: str, key: str) -> str:
    """Return an address with `{key}` replaced by a key whose parts are percent-encoded; `/` parts them.

    Raises:
        UsageError: the key leaves the address it is put into.
    """
    parts = key.split("/")
    if "" in parts or "." in parts or ".." in parts:
        raise UsageError(f"the key is {shown(key)}; expected parts between `/` that are neither empty nor dots")
    return url.replace("{key}", "/".join(quote(one, safe="") for one in parts))


def read_url(url: str) -> Url:
    """Return what an address says.

    Raises:
        UsageError: it is no absolute https address, or one of http that leaves this machine, or it can be read in two
            ways.
    """
    expected = "https://host[:port]/path, with printable ASCII characters only, percent-encoded where need be"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise UsageError(f"the address {_told(url)} is none; expected {expected}") from None
    location = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc.rstrip(":")
    if len(url) > MAX_URL or _UNCLEAN.search(url) or parts.fragment or not _HOST.fullmatch(location):
        advice = "credentials belong into a header, as a secret" if "@" in parts.netloc else ""
        raise UsageError(f"the address {_told(url)} cannot be called; expected {expected}", advice=advice)
    read = Url(parts.scheme, host.lower().rstrip("."), port or (443 if parts.scheme == "https" else 80))
    if not _is_possible(read.host):
        raise UsageError(
            f"the address {_told(url)} names a host that cannot be; expected a name that a server can have",
            advice="parts of 1 to 63 characters between dots; one that begins with xn-- is Punycode",
        )
    if read.scheme != "https" and not (read.scheme == "http" and read.is_loopback):
        raise UsageError(
            f"the address {_told(url)} is not encrypted; expected https://, or http:// of this machine alone"
        )
    return read


def _is_possible(host: str) -> bool:
    """Say whether a name can be looked up at all, or is an address."""
    if _literal(host) is not None:
        return True
    if len(host) > _MAX_HOST or not all(0 < len(label) <= _MAX_LABEL for label in host.split(".")):
        return False
    if host.startswith("xn--"):
        import idna

        try:
            idna.decode(host)
        except (idna.IDNAError, UnicodeError):
            return False
    return True


def check_url(url: str, *, is_operators: bool) -> None:
    """Judge an address as far as it can be seen while its secrets are references.

    Raises:
        UsageError: as `read_url`, or it belongs to the machine's own surroundings.
    """
    plain = REFERENCE.sub("0", url)
    if REFERENCE.match(url):  # all of it may be a secret: seen when it is revealed
        return
    read = read_url(plain)
    if not is_operators and is_private_to_host(read.host):
        raise UsageError(
            f"the address {_told(url)} belongs to this machine's own surroundings (link-local, metadata)",
            advice="only an endpoint of the operator's file can name it",
        )


def is_private_to_host(host: str) -> bool:
    """Say whether a host or an address is link-local, a cloud's metadata service, or none that can be called."""
    address = _literal(host)
    if address is None:
        return host.lower().rstrip(".") in _METADATA_HOSTS
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None and is_private_to_host(str(inner)):
            return True
    return address.is_link_local or address.is_multicast or address.is_unspecified or address in _METADATA


def check_headers(headers: object) -> dict[str, str]:
    """Return the headers that a caller gives, names in lower case.

    Raises:
        UsageError: one is no header, is said twice, or is not the caller's to say.
    """
    if not isinstance(headers, Mapping):
        raise UsageError(f"headers is {shown(headers)}; expected an object of names and texts")
    checked: dict[str, str] = {}
    for name, value in headers.items():
        lowered = str(name).lower()
        if not _HEADER_NAME.fullmatch(str(name)) or not isinstance(value, str) or not is_header_value(value):
            raise UsageError(f"the header {shown(name)} is none; expected a name and one line of ASCII text")
        if lowered in _OUR_HEADERS:
            raise UsageError(f"the header {lowered} is set by orch, not by the caller", advice="leave it out")
        if lowered in checked:
            raise UsageError(f"the header {lowered} is there twice; expected each once")
        checked[lowered] = value
    return checked


def is_header_value(value: str) -> bool:
    """Say whether a text can be a header's value."""
    return _HEADER_VALUE.fullmatch(value) is not None


def _literal(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def _told(url: str) -> str:
    """Return an address as an error may show it: what follows the path can hold credentials."""
    return shown(url.partition("?")[0]) if "@" not in url else shown(url.partition(":")[0] + "://...")


def _texts(value: object, where: str) -> tuple[str, ...]:
    several = value if isinstance(value, list | tuple) else [] if value is None else [value]
    if not all(isinstance(one, str) and one for one in several):
        raise unconfigured(f"{where} is {shown(value)}; expected a text")
    return tuple(several)


def _headers_of(headers: object, where: str) -> Mapping[str, str]:
    try:
        return check_headers(headers)
    except UsageError as error:
        raise unconfigured(f"{where}: {error}", advice=error.advice) from error


def _methods(value: object, where: str) -> tuple[str, ...]:
    methods = tuple(one.upper() for one in _texts(value, f"{where}: method"))
    if unknown := [one for one in methods if one not in METHODS]:
        raise unconfigured(f"{where}: method is {shown(unknown[0])}; expected one of {', '.join(METHODS)}")
    return methods or METHODS
