"""Looks what of all that could be secret a text seems to hold. Pure; on the hot path: searches once, walks nothing."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.ledger.credentials import KEYS, MARKS, NAMED, WORDS, Form, compiled
from orchestrator.ledger.needles import Needle, has_spelling, needles, plain

_QUOTE = "\0"
"""Stands for an escaped quote while JSON is cut at its quotes; raw it cannot be in JSON."""
_BLOB, _HEX = 40, "0123456789abcdef"
"""A git object's name, of which a change has many."""


class Hits(NamedTuple):
    """What of all that could be secret a text seems to hold."""

    literal: tuple[Needle, ...] = ()
    plain: tuple[tuple[str, str], ...] = ()
    forms: tuple[Form, ...] = ()
    has_keys: bool = False
    """Whether a member is named like a secret."""

    def __bool__(self) -> bool:
        return any(self)


class _Text(NamedTuple):
    """What is searched of a text; of JSON each different string once."""

    whole: str
    strings: str
    """Where a secret may stand as it is."""
    lower: str
    """Where a mark of a form may stand."""
    spelled: str
    """Where `plain` could change something."""
    is_json: bool


def _read_json(text: str) -> _Text:
    """Return JSON for searching: the keys and values that many files of a change share are looked at once."""
    parts = set((text.replace('\\"', _QUOTE) if "\\" in text else text).split('"'))
    lower = "\n".join([part for part in parts if len(part) != _BLOB or part.strip(_HEX)]).lower()
    spelled = ""
    if has_spelling(text):
        spelled = " ".join([part for part in parts if has_spelling(part) or _QUOTE in part]).replace(_QUOTE, '\\"')
    return _Text(text, "\n".join(parts), lower, spelled, is_json=True)


def hits_in_text(text: str, secrets: tuple[str, ...]) -> Hits:
    """Return what a text seems to hold."""
    return _hits(_Text(text, text, text.lower(), text if has_spelling(text) else "", is_json=False), secrets)


def hits_in_value(value: object, secrets: tuple[str, ...]) -> Hits:
    """Return what a JSON value seems to hold.

    Raises:
        TypeError, ValueError, RecursionError: it cannot be written as JSON.
    """
    return _hits(_read_json(written(value)), secrets)


def _hits(text: _Text, secrets: tuple[str, ...]) -> Hits:
    """Return what a text seems to hold. Errs on the side of too much."""
    literal: tuple[Needle, ...] = ()
    spelled: tuple[tuple[str, str], ...] = ()
    if secrets:
        looked_for, strings = needles(secrets), text.strings
        literal = tuple([needle for needle, written in looked_for.literal if written in strings])
        if text.spelled:
            undone = plain(text.spelled)
            spelled = tuple([needle for needle in looked_for.plain if needle[0] in undone])
    lower = text.lower
    seen = dict.fromkeys([form for mark, form in MARKS if mark in lower])
    if words := [word for word in WORDS if word in lower]:
        followers = _followers(lower, words)
        seen |= dict.fromkeys([form for form in NAMED if not followers.isdisjoint(form.marks)])
    forms: list[Form] = []
    if seen:
        unescaped = _unescaped(text.whole) if text.is_json else text.whole
        forms = [form for form in seen if compiled(form.pattern).search(unescaped)]
    return Hits(literal, spelled, tuple(forms), text.is_json and _has_keys(text.whole, lower))


def _unescaped(text: str) -> str:
    """Return JSON with its strings nearly as they are, so that a form is found in it that is in one of them."""
    if "\\" not in text:
        return text
    return text.replace('\\"', '"').replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t").replace("\\\\", "\\")


def _followers(lower: str, words: list[str]) -> set[str]:
    """Return the characters that stand behind the words, or behind their plural."""
    found: set[str] = set()
    for word in words:
        at = lower.find(word)
        while at >= 0:
            end = at + len(word)
            found.add(lower[end : end + 1])
            if lower[end : end + 1] == "s":
                found.add(lower[end + 1 : end + 2])
            at = lower.find(word, end)
    return found


def _has_keys(text: str, lower: str) -> bool:
    """Say whether JSON names a member, or a flag in a list, like a secret; `lower` is where its name stands."""
    keys = [key for key in KEYS if key in lower]
    if not keys:
        return False
    lower = text.lower()
    if [key for key in keys if f'{key}":' in lower]:
        return True
    return '"-' in lower and any(f'{key}","' in lower for key in keys)


def concerned(text: str, hits: Hits) -> bool:
    """Say whether a part of what was searched, as JSON, could hold any of what was found in the whole."""
    lower = text.lower()
    if (
        any(needle.text in text for needle in hits.literal)
        or any(mark in lower or mark == _QUOTE for form in hits.forms for mark in form.marks)
        or (hits.has_keys and _has_keys(lower, lower))
    ):
        return True
    return bool(hits.plain) and has_spelling(text) and any(needle in plain(text) for needle, _ in hits.plain)


def written(value: object) -> str:
    """Return a value as JSON; only for searching."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), check_circular=True, default=_plain_type)


def _plain_type(value: object) -> object:
    """Return what `canonical` makes of a type that the encoder does not know."""
    if isinstance(value, Mapping):
        return dict(value)
    from decimal import Decimal

    if isinstance(value, Decimal):
        return str(value)
    raise TypeError
