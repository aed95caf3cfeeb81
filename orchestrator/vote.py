"""Votes as signed tokens: what a vote says, its bytes, its signature. Decides nothing: the engine verifies anew.

A vote is a compact JWS (RFC 7515) by the voter's Ed25519 key. Its meaning is in docs/decision.md.
"""

import base64
import binascii
import json
from typing import Any, NamedTuple, Protocol

from orchestrator.digest import canonical
from orchestrator.errors import UsageError

TYPE = "orch-vote+jwt"
"""The header's `typ`: no other token that the key ever signed can pass for a vote."""
HEADER = {"alg": "EdDSA", "typ": TYPE}
APPROVE, REJECT, REVOKE = "approve", "reject", "revoke"
_SIGNATURE_BYTES = 64
_LONGEST = 4096


class Signer(Protocol):
    """Who holds a private Ed25519 key: a file, or an ssh-agent."""

    @property
    def public(self) -> bytes:
        """The 32 bytes of the public key."""

    def sign(self, data: bytes) -> bytes:
        """Return the raw signature, 64 bytes."""


class Claims(NamedTuple):
    """What a vote says."""

    jti: str
    """The vote's id."""
    iss: str
    """Who votes: `user:alice`."""
    aud: str
    """The ledger's id."""
    req: str
    """The request's id."""
    act: str
    """The action digest."""
    chg: str | None
    """The change digest; None where there is no change."""
    pol: str
    """The policy digest."""
    role: str
    dec: str
    """`approve`, `reject` or `revoke`."""
    iat: int
    """When, seconds since 1970."""
    exp: int
    """From when it no longer counts, seconds since 1970."""
    rev: str | None = None
    """The id of the vote that is revoked."""


def signed(claims: Claims, signer: Signer) -> str:
    """Return a vote as a token.

    Raises:
        UsageError: the signer gave no signature, or the token is too long to be read again.
    """
    said = {name: value for name, value in claims._asdict().items() if name != "rev" or value is not None}
    data = f"{_text(canonical(HEADER))}.{_text(canonical(said))}"
    signature = signer.sign(data.encode())
    token = f"{data}.{_text(signature)}"
    if not verifies(token, signer.public):
        raise UsageError(
            "the key gave a signature that does not verify with its own public half", advice="use another key"
        )
    if len(token) > _LONGEST:
        raise UsageError(f"the vote takes {len(token)} characters; expected at most {_LONGEST}")
    return token


def claims_of(token: str) -> dict[str, Any]:
    """Return what a token says, its signature not looked at.

    Raises:
        ValueError: it is no token.
    """
    try:
        claims = json.loads(_bytes(token.split(".")[1]))
    except (IndexError, binascii.Error, RecursionError) as error:
        raise ValueError("no token") from error
    if not isinstance(claims, dict):
        raise ValueError("a token that says nothing")  # noqa: TRY004  # what is wrong is the value
    return claims


def verifies(token: str, public: bytes) -> bool:
    """Return whether a token is signed by this key, whatever it says."""
    from orchestrator.keys import verifies as is_signed

    data, _, signature = token.rpartition(".")
    try:
        raw = _bytes(signature)
    except binascii.Error:
        return False
    return len(raw) == _SIGNATURE_BYTES and is_signed(public, raw, data.encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
