"""Signed votes out of chance: good ones, and ones that are wrong in each way there is."""

# ruff: noqa: ANN401  # values here are JSON of any kind

import base64
import hashlib
import json
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

import words
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from votes import POLICY_DIGEST

from orchestrator.model import RosterEntry

LEDGER, REQUEST = "ledger-1", "request-1"
NOW_S = words.NOW_NS // 1_000_000_000
_HEADER = {"alg": "EdDSA", "typ": "orch-vote+jwt"}


def roster(chance: Random) -> tuple[RosterEntry, ...]:
    """Return most people, with most of their roles and keys."""
    entries = []
    for name in words.PEOPLE:
        if chance.random() < 0.85:
            roles = tuple(sorted(chance.sample(words.ROLES, chance.choice((2, 4, 4, 4)))))
            keys = {0: (), 1: (public(name),), 2: tuple(sorted((public(name), public(name + "2"))))}
            entries.append(RosterEntry(name, roles, {}, keys[chance.choice((0, 1, 1, 1, 1, 1, 2, 2))]))
    return tuple(entries)


def tokens(chance: Random, digests: tuple[str, str]) -> list[Any]:
    """Return some votes on an action and its change, some of them revoked."""
    if chance.random() < 0.3:
        return _of_everybody(chance, digests)
    made: list[Any] = []
    for at in range(chance.choice((0, 1, 2, 3, 5))):
        claims = _claims(chance, at, digests)
        made.append(_token(chance, claims))
        if chance.random() < 0.15:
            by = str(claims["iss"]) if chance.random() < 0.7 else chance.choice(words.PEOPLE)
            aud = LEDGER if chance.random() < 0.8 else "other"
            made.append(_signed(_HEADER, {"iss": by, "aud": aud, "dec": "revoke", "rev": claims["jti"]}, by))
    return chance.sample(made, len(made))


def _of_everybody(chance: Random, digests: tuple[str, str]) -> list[Any]:
    """Return good votes of most people, with at most one claim of one of them out of order."""
    odd = chance.choice((None, None, *_ODD))
    made = []
    for at, by in enumerate(chance.sample(words.PEOPLE, chance.choice((1, 3, len(words.PEOPLE))))):
        claims = {**_claims(chance, at, digests), "iss": by, "aud": LEDGER, "req": REQUEST, "pol": POLICY_DIGEST}
        claims |= {"role": chance.choice(words.ASKED_ROLES), "act": digests[0], "chg": digests[1], "exp": NOW_S + 3600}
        claims |= {"dec": "reject" if chance.random() < 0.05 else "approve", "iat": NOW_S - 60}
        if at == 0 and odd is not None:
            claims[odd] = chance.choice(_ODD[odd])
        made.append(_signed(_HEADER, claims, by))
    return made


@cache
def public(name: str) -> str:
    """Return somebody's public key as OpenSSH writes it."""
    return _key(name).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


@cache
def _key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def _claims(chance: Random, at: int, digests: tuple[str, str]) -> dict[str, Any]:
    action, change = digests
    claims: dict[str, Any] = {
        "jti": f"v{at}",
        "iss": chance.choice(words.PEOPLE),
        "aud": LEDGER,
        "req": REQUEST,
        "act": chance.choice((action, action, action, "sha256:other")),
        "chg": chance.choice((change, change, change, "sha256:other", None)),
        "pol": POLICY_DIGEST,
        "role": chance.choice((*words.ASKED_ROLES, *words.ASKED_ROLES, *words.ROLES)),
        "dec": chance.choice(("approve", "approve", "approve", "reject")),
        "iat": NOW_S - chance.choice((0, 60, 60, 3599, 3600, 86_399, 86_400)),
        "exp": NOW_S + 3600,
    }
    if chance.random() < 0.25:
        name, values = chance.choice(tuple(_ODD.items()))
        claims[name] = chance.choice(values)
    if chance.random() < 0.05:
        del claims[chance.choice(tuple(name for name in claims if name != "jti"))]
    return {"iss": "", **claims}


_ODD: dict[str, tuple[Any, ...]] = {
    "iss": ("user:nobody", 5, None),
    "aud": ("other", None),
    "req": ("other", 5, ""),
    "pol": ("sha256:older", ""),
    "role": ("dev", "moon", None),
    "dec": ("abstain", None, True),
    "iat": (NOW_S + 1, NOW_S, NOW_S - 0.5, -1, "now", 10**12, True),
    "exp": (NOW_S, NOW_S + 1, NOW_S - 1, None, 10**12),
    "act": ("", None),
    "chg": (5,),
}


def _token(chance: Random, claims: dict[str, Any]) -> Any:
    by = str(claims["iss"])
    if chance.random() < 0.85:
        return _signed(_HEADER, claims, by if chance.random() < 0.95 else by + "2")
    return chance.choice(_BROKEN)(claims, by)


def _without_signature(header: Any) -> Callable[[Any, str], str]:
    return lambda claims, _: f"{_part(header)}.{_part(claims)}."


def _with_header(header: Any) -> Callable[[Any, str], str]:
    return lambda claims, by: _signed(header, claims, by)


_BROKEN: tuple[Callable[[Any, str], Any], ...] = (
    *map(_without_signature, (_HEADER, {"alg": "none"}, {"alg": "none", "typ": "orch-vote+jwt"})),
    *map(_with_header, ({"alg": "none", "typ": "orch-vote+jwt"}, {"alg": "HS256", "typ": "orch-vote+jwt"}, {"alg": "EdDSA"})),
    *map(_with_header, ({"typ": "orch-vote+jwt"}, {"alg": "EdDSA", "typ": "JWT"}, {**_HEADER, "crit": ["b64"]}, {**_HEADER, "kid": "k"})),
    *map(_with_header, ({**_HEADER, "cty": "JWT"}, [], "x", {**_HEADER, "alg": "eddsa"})),
    lambda claims, _: _signed(_HEADER, claims, "somebody else"),
    lambda claims, by: _signed(_HEADER, claims, by)[:-4] + "AAAA",
    lambda claims, by: _signed(_HEADER, {**claims, "role": "none"}, by).replace(_part({**claims, "role": "none"}), _part(claims)),
    lambda claims, by: _signed(_HEADER, claims, by) + "\n",
    lambda claims, by: _signed(_HEADER, claims, by) + ".x",
    lambda claims, by: _signed(_HEADER, [claims], by),
    lambda *_: "garbage",
    lambda *_: f"{_part(_HEADER)}.e30.{'A' * 86}",
    lambda *_: f"!!.!!.{'A' * 86}",
    lambda *_: 5,
    lambda *_: None,
)  # fmt: skip


def _signed(header: Any, claims: Any, by: str) -> str:
    data = f"{_part(header)}.{_part(claims)}"
    return f"{data}.{_text(_key(by).sign(data.encode()))}"


def _part(value: Any) -> str:
    return _text(json.dumps(value).encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
