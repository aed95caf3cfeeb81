"""Which votes count, for the independent model: tokens read and verified by another library than the engine's."""

import base64
import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from reading import nanoseconds

from orchestrator.model import PackSet, RosterEntry

POLICY_DIGEST = "sha256:policy"
"""What the engine is told the policy's digest is."""
_SECOND_NS = 1_000_000_000
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Read:
    """A token, and why it is no vote on this request ("" where it is one)."""

    claims: dict[str, Any]
    why: str

    @property
    def by(self) -> str:
        """Who is said to have voted."""
        said = self.claims.get("iss")
        return said if isinstance(said, str) else ""


def all_votes(packs: PackSet, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was voted: what the facts state or the host vouches for, and what signed votes say, by each digest."""
    roles = {entry.name: entry.roles for entry in packs.roster}
    stated = [
        vote
        for vote in facts.get("approvals") or []
        if vote.get("via") != "github" or vote["role"] in roles.get(vote["by"], ())
    ]
    tokens = _read(packs, facts)
    revoked = _revoked(tokens)
    for token in tokens:
        said = token.claims
        if token.why or said["dec"] == "revoke" or (said["iss"], said["jti"]) in revoked:
            continue
        stated += [
            {
                "by": said["iss"],
                "role": said["role"],
                "decision": said["dec"],
                "at_ns": int(said["iat"] * _SECOND_NS),
                "digest": digest,
            }
            for digest in (said["act"], said.get("chg"))
            if digest is not None
        ]
    return stated


def ignored(packs: PackSet, facts: dict[str, Any], involved: set[Any], thing: str) -> set[tuple[str, str]]:
    """Return who is said to have voted in vain, and why."""
    tokens = _read(packs, facts)
    revoked = _revoked(tokens)
    found = set()
    for token in tokens:
        said, why = token.claims, token.why
        if not why and (said["dec"] == "revoke" or (said["iss"], said["jti"]) in revoked):
            continue
        if not why and said["iss"] in involved:
            why = "involved"
        if not why and said["act"] != facts["action_digest"] and said.get("chg") != thing:
            why = "digest"
        if why:
            found.add((token.by, why))
    return found


def _read(packs: PackSet, facts: dict[str, Any]) -> list[Read]:
    people = {entry.name: entry for entry in packs.roster}
    found = []
    for token in facts.get("votes") or []:
        parts = _parts(token)
        found.append(Read({}, "form") if parts is None else Read(parts[1], _why(token, *parts, people, facts)))
    return found


def _revoked(tokens: list[Read]) -> set[tuple[str, str]]:
    return {
        (each.claims["iss"], each.claims["rev"]) for each in tokens if not each.why and each.claims["dec"] == "revoke"
    }


def _parts(token: object) -> tuple[dict[str, Any], dict[str, Any]] | None:
    if not isinstance(token, str) or len(token) > 4096 or not _FORM.fullmatch(token):
        return None
    try:
        header, claims = (json.loads(_bytes(part)) for part in token.split(".")[:2])
    except ValueError:
        return None
    return (header, claims) if isinstance(header, dict) and isinstance(claims, dict) else None


def _why(  # noqa: PLR0911  # a line of the page each
    token: str, header: dict[str, Any], said: dict[str, Any], people: dict[str, RosterEntry], facts: dict[str, Any]
) -> str:
    if header.get("alg") != "EdDSA" or header.get("typ") != "orch-vote+jwt" or header.keys() - {"alg", "typ", "kid"}:
        return "header"
    person = people.get(said["iss"]) if isinstance(said.get("iss"), str) else None
    if person is None or not any(_is_signed(token, key) for key in person.keys):
        return "signature"
    if not _is_whole(said):
        return "claims"
    if facts.get("ledger") is None or said.get("aud") != facts["ledger"]:
        return "ledger"
    if said["dec"] == "revoke":
        return ""
    is_no = said["dec"] == "reject"
    now = nanoseconds(facts["time"])
    assert now is not None
    if not is_no and said["req"] != facts.get("request_id"):
        return "request"
    if not is_no and said["pol"] != POLICY_DIGEST:
        return "policy"
    if said["role"] not in person.roles:
        return "role"
    if said["iat"] * _SECOND_NS > now:
        return "future"
    return "expired" if not is_no and now >= said["exp"] * _SECOND_NS else ""


def _is_whole(said: dict[str, Any]) -> bool:
    def is_text(name: str) -> bool:
        return isinstance(said.get(name), str) and said[name] != ""

    if said.get("dec") == "revoke":
        return is_text("rev")
    if said.get("dec") not in ("approve", "reject") or not all(
        map(is_text, ("jti", "role", "act", "aud", "req", "pol"))
    ):
        return False
    seconds = (said.get("iat"), said.get("exp"))
    return all(map(_is_second, seconds)) and (said.get("chg") is None or isinstance(said["chg"], str))


def _is_second(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and value == int(value) and 0 <= value <= 9223372036  # type: ignore[operator,call-overload]  # looked at


def _is_signed(token: str, key: str) -> bool:
    data, _, signature = token.rpartition(".")
    try:
        _public(key).verify(_bytes(signature), data.encode())
    except InvalidSignature:
        return False
    return True


@cache
def _public(key: str) -> Ed25519PublicKey:
    public = load_ssh_public_key(key.encode())
    assert isinstance(public, Ed25519PublicKey)
    return public


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
