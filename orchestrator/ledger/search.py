"""Looks what of all that could be secret a text seems to hold. Pure; on the hot path: searches once, walks nothing."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from orchestrator.ledger.credentials import KEYS, MARKS, NAMED, WORDS, Form, compiled
from orchestrator.ledger.needles import Needle, Plain, has_spelling, needles, plain

_QUOTE = "\0"
"""Stands for an escaped quote while JSON is cut at its quotes; raw it cannot be in JSON."""
_HEX, _DIGESTS = "0123456789abcdef-", frozenset({"", "sha256:"})
"""What digests, names of git objects and ids leave when their digits are stripped: in such no form can be."""
_LOOKED_FOR = tuple(dict.fromkeys((*(mark for mark, _ in MARKS), *KEYS)))
"""What a text holds in which anything could be secret by its form or name."""
_MOST_REMEMBERED, _LONGEST_REMEMBERED = 4_096, 128
"""Strings, and characters of one."""


class Hits(NamedTuple):
    """What of all that could be secret a text seems to hold."""

    literal: tuple[Needle, ...] = ()
    plain: tuple[Plain, ...] = ()
    forms: tuple[Form, ...] = ()
    has_keys: bool = False
    """Whether a member is named like a secret."""

    def __bool__(self) -> bool:
        return any(self)


def hits_in_text(text: str, secrets: tuple[str, ...]) -> Hits:
    """Return what a text seems to hold."""
    literal, spelled = _spellings(text, text if has_spelling(text) else "", secrets)
    lower = text.lower()
    marks = _marks(lower)
    return Hits(literal, spelled, _forms(text, lower, marks) if marks else ())


def hits_in_json(text: str, secrets: tuple[str, ...]) -> Hits:
    """Return what JSON seems to hold.

    It is cut at its quotes: the keys and values that many files of a change share are looked at once, and those that
    many decisions share once in a process.
    """
    harmless = _harmless(secrets)
    parts = set((text.replace('\\"', _QUOTE) if "\\" in text else text).split('"')) - harmless
    spelled = [part for part in parts if has_spelling(part) or _QUOTE in part] if has_spelling(text) else []
    found = _spellings("\n".join(parts), " ".join(spelled).replace(_QUOTE, '\\"'), secrets)
    kept = [part for part in parts if part.strip(_HEX) not in _DIGESTS]
    lower = "\n".join(kept).lower()
    marks = _marks(lower)
    hits = Hits(*found, *((_forms(_unescaped(text), lower, marks), _has_keys(text, marks)) if marks else ()))
    if not hits:
        _remember(harmless, set(kept).difference(spelled), marks)
    return hits


@lru_cache(maxsize=8)
def _harmless(secrets: tuple[str, ...]) -> set[str]:  # noqa: ARG001  # of other secrets others are harmless
    """Return the strings of JSON known to hold nothing that is looked for; it grows."""
    return set()


def _remember(harmless: set[str], parts: set[str], marks: list[str]) -> None:
    """Add what holds no mark, and no spelling that looks like another one together with what stands elsewhere."""
    if len(parts) > _MOST_REMEMBERED:
        return
    if len(harmless) + len(parts) > _MOST_REMEMBERED:
        harmless.clear()
    short = [part for part in parts if len(part) <= _LONGEST_REMEMBERED]
    if marks:
        short = [part for part in short if not _has_any(part.lower(), marks)]
    harmless.update(short)


def _marks(lower: str) -> list[str]:
    return [mark for mark in _LOOKED_FOR if mark in lower]


def _has_any(lower: str, marks: Iterable[str]) -> bool:
    return any(mark in lower for mark in marks)


def _spellings(strings: str, spelled: str, secrets: tuple[str, ...]) -> tuple[tuple[Needle, ...], tuple[Plain, ...]]:
    """Return what is found of secrets as they are, and in what `plain` makes of the texts that it could change."""
    if not secrets:
        return (), ()
    literal, plains = needles(secrets)
    undone = plain(spelled) if spelled else ""
    return (
        tuple([needle for needle in literal if needle[0] in strings]),
        tuple([needle for needle in plains if needle[0] in undone]) if undone else (),
    )


def _forms(text: str, lower: str, marks: list[str]) -> tuple[Form, ...]:
    """Return the forms of which a mark was seen, in `lower`, and that are in a text, as far as can be seen."""
    seen = dict.fromkeys([form for mark, form in MARKS if mark in marks])
    if words := [word for word in WORDS if word in marks]:
        followers = _followers(lower, words)
        seen |= dict.fromkeys([form for form in NAMED if not followers.isdisjoint(form.marks)])
    return tuple([form for form in seen if compiled(form.pattern).search(text)])


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


def _has_keys(text: str, marks: Iterable[str]) -> bool:
    """Say whether JSON names a member, or a flag in a list, like a secret; `marks` are in it."""
    keys = [key for key in KEYS if key in marks]
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
        or (hits.has_keys and _has_keys(lower, _marks(lower)))
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
