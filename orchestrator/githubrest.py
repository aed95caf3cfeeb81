"""What everything that speaks to GitHub's REST API has in common: its headers, and an address that may be trusted."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from orchestrator.errors import UsageError
from orchestrator.names import shown

API = "https://api.github.com"
VERSION = "2022-11-28"
"""The version of the API that is asked for."""
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def is_loopback(url: str) -> bool:
    """Say whether an address is of this machine."""
    return urlsplit(url).hostname in _LOOPBACK


def checked(api: str) -> str:
    """Return the API's address without a trailing slash.

    Raises:
        UsageError: a token would travel unprotected, or the address carries a name or password.
    """
    url = urlsplit(api)
    is_safe = url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK)
    if not is_safe or not url.hostname or url.username is not None or url.query or url.fragment:
        raise UsageError(f"the API is {shown(api)}; expected https://", advice="leave it out for github.com")
    return api.rstrip("/")


def headers(token: str) -> Mapping[str, str]:
    """Return the headers of a request; without a token it is nobody's."""
    asked = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": VERSION, "User-Agent": "orch"}
    return asked | ({"Authorization": f"Bearer {token}"} if token else {})
