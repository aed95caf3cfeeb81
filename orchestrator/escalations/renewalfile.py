"""Signed renewal files: what one says, its bytes, its signature, and whether it counts. Renews nothing.

A compact JWS (RFC 7515) by an Ed25519 key whose public half the Escalation names under `renewal.keys`. Each has a
counter; one that is not higher than the last that renewed by the same key counts no more.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import Any, NamedTuple

from orchestrator import keys, strictjson
from orchestrator.clock import SECOND_NS
from orchestrator.digest import MAX_INTEGER, canonical
from orchestrator.errors import UsageError
from orchestrator.vote import Signer

TYPE = "orch-renewal+jwt"
"""The header's `typ`: no other token that the key ever signed can pass for a renewal."""
MOST_BYTES = 4_096
"""No file is longer."""
_HEADER = {"alg": "EdDSA", "typ": TYPE}
MOST_LASTING_S = 366 * 86_400
"""No file counts for longer, whatever it says."""
_SIGNATURE_BYTES = 64
_SLACK_S = 60
"""So far the clocks of whoever signs and of this machine may be apart."""


class Claims(NamedTuple):
    """What a file says."""

    escalation: str
    ledger: str
    """The ledger's id."""
    counter: int
    """From 1; higher than that of every file by the same key that renewed before."""
    iat: int
    """When, seconds since 1970."""
    exp: int
    """From when it no longer counts, seconds since 1970."""


class Proof(NamedTuple):
    """A file that counts as far as its signature goes."""

    claims: Claims
    key: str
    """The thumbprint of the key that signed it."""


def signed(claims: Claims, signer: Signer) -> str:
    """Return a file's one line.

    Raises:
        UsageError: the claims cannot be, or the signer's signature does not verify.
    """
    if not 1 <= claims.counter <= MAX_INTEGER:
        raise UsageError(f"a counter of {claims.counter}; expected 1 to {MAX_INTEGER}")
    data = f"{_text(canonical(_HEADER))}.{_text(canonical(claims._asdict()))}"
    token = f"{data}.{_text(signer.sign(data.encode()))}"
    if len(token) > MOST_BYTES:
        raise UsageError(f"the file takes {len(token)} characters; expected at most {MOST_BYTES}")
    if verified(token, [signer.public]) != claims:
        raise UsageError(
            "the key gave a signature that does not verify with its own public half", advice="use another key"
        )
    return token


def verified(token: str, public: Iterable[bytes]) -> Claims | None:
    """Return what a file says that one of these keys signed; None for anything else, whatever is wrong with it."""
    proven = proof(token, public)
    return proven and proven.claims


def proof(token: str, public: Iterable[bytes]) -> Proof | None:
    """Return the same, with the key that signed it."""
    try:
        header, said, signature = map(_bytes, parts) if len(parts := token.split(".")) == 3 else (b"", b"", b"")  # noqa: PLR2004  # a JWS has three
        if strictjson.parse(header) != _HEADER or len(signature) != _SIGNATURE_BYTES:
            return None
        claims = _claims(strictjson.parse(said))
    except (ValueError, UsageError):
        return None
    data = token.rpartition(".")[0].encode()
    known = list(public)
    is_signed = [keys.verifies(key, signature, data) for key in known]
    return Proof(claims, thumbprint(known[is_signed.index(True)])) if claims is not None and any(is_signed) else None


def thumbprint(public: bytes) -> str:
    """Return what names a public key in the ledger (RFC 7638): each has a counter of its own."""
    import hashlib

    digest = hashlib.sha256(canonical({"crv": "Ed25519", "kty": "OKP", "x": _text(public)})).digest()
    return _text(digest)


def public_keys(jwks: Iterable[str]) -> list[bytes]:
    """Return the keys of an Escalation, 32 bytes each; what is none of ours is left out."""
    found = []
    for jwk in jwks:
        try:
            found.append(keys.from_jwk(jwk))
        except ValueError:
            continue
    return found


def counts(claims: Claims, escalation: str, ledger_id: str, now_ns: int) -> bool:
    """Return whether a file is for this escalation of this ledger, and its time is now; the counter is not judged."""
    now_s = now_ns // SECOND_NS
    is_time = claims.iat <= now_s + _SLACK_S and now_s < claims.exp <= claims.iat + MOST_LASTING_S
    return (claims.escalation, claims.ledger) == (escalation, ledger_id) and is_time


def _claims(said: Any) -> Claims | None:  # noqa: ANN401  # JSON
    if not isinstance(said, dict) or said.keys() != set(Claims._fields):
        return None
    claims = Claims(**said)
    are_right = all(type(value) is str for value in claims[:2]) and all(type(value) is int for value in claims[2:])
    return claims if are_right and 1 <= claims.counter <= MAX_INTEGER else None


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """Return what is written in base64, in the one way in which it is written.

    Raises:
        ValueError: it is not.
    """
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("no base64") from None
    if _text(data) != text:
        raise ValueError("base64 in another writing")
    return data
