"""Which values of the environment are secret, and in which spellings they are looked for. Pure; part of the hot path.

A value is a secret by the name of its variable. It is looked for as it is, in lower case, as base64 (both alphabets, at
each of the three places it may begin at), and as hex; `plain` undoes percent-encoding, escapes and line breaks first.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

SHORTEST, SHORTEST_NAMED = 8, 4
"""Characters that a secret needs, found by its variable's name, and named in ORCH_MASK; less would tear text."""
PIECE = 64
"""Longer secrets are looked for in pieces of about this many characters, so that a part of one is found, too."""
WORD = 16
"""Values of letters alone that are shorter than this count where they stand as a word: `postgres`, not `postgresql`."""

_SAYS_SECRET = (
    "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "PASSCODE", "CREDENTIAL", "API_KEY", "APIKEY", "ACCESS_KEY",
    "ACCESSKEY", "PRIVATE_KEY", "SIGNING_KEY", "ENCRYPTION_KEY", "MASTER_KEY", "SSH_KEY", "DEPLOY_KEY", "COOKIE",
)  # fmt: skip
_WORDS = frozenset({"AUTH", "AUTHORIZATION", "PASS", "PWD", "PAT", "JWT", "OTP", "KEY", "PRIVATE", "WEBHOOK"})
"""Words between underscores that say secret; within a longer word (AUTHOR, PATH, KEYBOARD) they say nothing."""
_SAYS_OTHER = (
    "_TYPE", "_METHOD", "_MODE", "_NAME", "_USER", "_USERNAME", "_HOST", "_PORT", "_FILE", "_PATH", "_DIR", "_SOCK",
    "_TTL", "_TIMEOUT", "_ENABLED", "_EXPIRY", "_LENGTH", "_LIMIT", "_COUNT", "_BACKEND", "_PROVIDER", "_DOMAIN",
    "_ISSUER", "_AUDIENCE", "_SCOPE", "_SCOPES", "_REGION", "_ALGORITHM", "_VERSION", "_TOKENS", "_PUBLIC_KEY",
    "_VERIFICATION_KEY",
)  # fmt: skip
"""Endings of names whose values are about a secret, and none."""
_NAMES_OTHER = frozenset({"PWD", "OLDPWD", "ORCH_MASK", "SSH_AUTH_SOCK", "ORCH_VERIFICATION_KEY", "XAUTHORITY"})
_HARMLESS = frozenset(
    {
        "password", "postgres", "changeme", "disabled", "required", "optional", "username", "anonymous", "undefined",
        "inherited", "external", "internal", "kerberos", "[masked]",
    }
)  # fmt: skip
"""What is guessed first is no secret, and hiding it everywhere would tear text."""
_UNSPELLED = (
    r"[%\\&](?:(?<=%)[0-9A-Fa-f]{2}(?:%[0-9A-Fa-f]{2})*|(?<=\\)\\*(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[nrt]?)"
    r"|(?<=&)(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});)"
)
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_ROUNDS = 4
"""How often a text may have been encoded and escaped over and over."""
_ALIGNMENTS = 3


class Needle(NamedTuple):
    """One spelling of one secret."""

    text: str
    is_word: bool = False
    """Whether it counts only where no letter or digit stands beside it."""
    is_base64: bool = False
    begins_within: bool = False
    """Whether the character before it holds some bits of the secret, too."""
    ends_within: bool = False
    """Whether the character behind it does."""


Plain = tuple[str, str]
"""A spelling as it is found in what `plain` gives, and as it was."""


def secrets_of(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the secrets in an environment, longest first: by name, in URLs, and what ORCH_MASK lists by name."""
    named = {name.strip() for name in environ.get("ORCH_MASK", "").split(",")} - {""}
    found: set[str] = set()
    for name, value in environ.items():
        if name in named:
            found.update(_parts(value, SHORTEST_NAMED))
        elif len(value) >= SHORTEST:
            if "://" in value or "password=" in value:
                found.update(_within(value))
            if _is_secret(name, value):
                found.update(_parts(value, SHORTEST))
    return _longest_first(found)


def with_values(secrets: tuple[str, ...], values: Iterable[str]) -> tuple[str, ...]:
    """Return secrets with further values that somebody named, each of which has at least `SHORTEST_NAMED` characters.

    Raises:
        ValueError: one is too short to be found without tearing other text.
    """
    found = set(secrets)
    for value in values:
        parts = list(_parts(value, SHORTEST_NAMED))
        if not parts:
            raise ValueError(f"a value of fewer than {SHORTEST_NAMED} characters")
        found.update(parts)
    return secrets if len(found) == len(secrets) else _longest_first(found)


def _longest_first(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(found, key=lambda secret: (-len(secret), secret)))


@lru_cache(maxsize=8)
def needles(secrets: tuple[str, ...]) -> tuple[tuple[Needle, ...], tuple[Plain, ...]]:
    """Return every spelling of `secrets`: to be found as it is, and in what `plain` gives. Made once."""
    literal: dict[Needle, None] = {}
    plains: dict[Plain, None] = {}
    for secret in secrets:
        is_word = secret.isalpha() and secret.isascii() and len(secret) < WORD
        for piece in _pieces(secret):
            # a form or a query writes `+` for a space
            texts = {text: None for one in (piece, piece.lower()) for text in (one, one.replace(" ", "+"))}
            literal |= dict.fromkeys(Needle(text, is_word) for text in texts)
            encoded = list(_encoded(bytes_of(piece))) if len(piece) >= SHORTEST else []
            literal |= dict.fromkeys(encoded)
            spelled = [] if is_word else [*texts, *(needle.text for needle in encoded if needle.is_base64)]
            plains |= dict.fromkeys((plain(text), text) for text in spelled if len(plain(text)) >= SHORTEST_NAMED)
    return tuple(literal), tuple(plains)


def plain(text: str) -> str:
    """Return a text without percent-encoding, escapes, entities and line breaks, however often they were applied."""
    for _ in range(_ROUNDS):
        if not has_spelling(text):
            break
        before = text
        text = re.sub(_UNSPELLED, _unspelled, text.replace("\n", "").replace("\r", ""))
        if text == before:
            break
    return _paired(text)


def has_spelling(text: str) -> bool:
    """Say whether `plain` could change a text."""
    return "%" in text or "\\" in text or "&" in text or "\n" in text or "\r" in text


def _unspelled(found: re.Match[str]) -> str:
    seen = found[0]
    match seen[0]:
        case "%":
            return bytes.fromhex(seen.replace("%", "")).decode("utf-8", "surrogateescape")
        case "&":
            name = seen[1:-1].replace("#x", "#0x")
            number = int(name[1:], 16 if "x" in name else 10) if name[0] == "#" else 0
            return _ENTITIES.get(name) or (chr(number) if number <= sys.maxunicode else "")
        case _:
            last = seen.lstrip("\\")
            return "\t" if last == "t" else chr(int(last[1:], 16)) if last[:1] in {"u", "x"} else ""


def _paired(text: str) -> str:
    """Return a text whose surrogates, which escapes leave, are joined to the characters they stand for."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return text


def bytes_of(text: str) -> bytes:
    """Return a text's UTF-8 bytes, of which a variable of the environment may hold any, right or wrong."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _is_secret(name: str, value: str) -> bool:
    name = name.upper()
    if name in _NAMES_OTHER or name.endswith(_SAYS_OTHER):
        return False
    if not any(word in name for word in _SAYS_SECRET) and _WORDS.isdisjoint(name.split("_")):
        return False
    return not _is_harmless(value)


def _is_harmless(value: str) -> bool:
    if value.lower() in _HARMLESS:
        return True
    if value.startswith(("http://", "https://")) and "@" not in value and "hook" not in value:
        return True  # an address; a secret in it is found by its own form
    return value.startswith("~/") or (value.startswith(("/", "./", "../")) and os.path.lexists(value))


def _within(value: str) -> Iterator[str]:
    """Yield the passwords in a URL, a list of URLs, or a connection string."""
    for found in re.finditer(r"://[^\s/?#:@]*:([^\s/?#]+)@|://[^\s/?#:@]*:([^\s@]+)@|\bpassword=([^\s;]+)", value):
        password = (found[1] or found[2] or found[3]).strip("'\"")
        if len(password) >= SHORTEST and not _is_harmless(password):
            yield password
            yield plain(password)


def _parts(value: str, shortest: int) -> Iterator[str]:
    """Yield a secret value, and of one with many lines each long line; of a JSON document its secret members."""
    value = value.strip()
    if len(value) < shortest or value == "[masked]":
        return
    yield value
    if value.startswith("{"):
        yield from _members(value)
    elif "\n" in value:
        yield from (line.strip() for line in value.splitlines() if len(line.strip()) >= 2 * SHORTEST)


def _members(value: str) -> Iterator[str]:
    import json

    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return
    for name, member in document.items() if isinstance(document, dict) else ():
        if isinstance(member, str) and len(member) >= SHORTEST and _is_secret(name, member):
            yield member


def _pieces(secret: str) -> list[str]:
    """Return a secret in pieces of about the same length, none of them short."""
    count = max(1, len(secret) // PIECE)
    size = -(-len(secret) // count)
    return [secret[at : at + size] for at in range(0, len(secret), size)]


def _encoded(data: bytes) -> Iterator[Needle]:
    from binascii import b2a_base64

    for before in range(_ALIGNMENTS):
        text = b2a_base64(bytes(before) + data, newline=False).decode()
        core = text[-(-8 * before // 6) : 8 * (before + len(data)) // 6]
        ends_within = (before + len(data)) % _ALIGNMENTS > 0
        for written in (core, core.replace("+", "-").replace("/", "_")):
            yield Needle(written, is_base64=True, begins_within=before > 0, ends_within=ends_within)
    yield Needle(data.hex())
    yield Needle(data.hex().upper())
