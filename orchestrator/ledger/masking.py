"""Hides what was found suspicious: walks through a value, replaces in each text. Imported only where there is some."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any

from orchestrator.ledger.credentials import (
    BASIC,
    MARK,
    NUMBERS,
    Form,
    compiled,
    is_basic,
    is_kept,
    is_secret_key,
    is_vote,
)
from orchestrator.ledger.needles import Needle, bytes_of, plain
from orchestrator.ledger.search import Hits, concerned, written

_BREAK = r"(?:\\+[nr]?|[\r\n])*"
"""What may stand between two characters of a secret: a line break, an escape."""
_STRETCH = 64
"""Items of a list that are looked at together."""
_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}


def masked_value(value: Any, hits: Hits) -> Any:  # noqa: ANN401  # JSON
    """Return a JSON value with what `hits` names hidden."""
    return _walked(value, hits, is_secret=False)


def masked_text(text: str, hits: Hits) -> str:
    """Return a text with what `hits` names hidden."""
    hidden = text
    if hits.literal:
        hidden = _literal_pattern(hits.literal).sub(MARK, hidden)
    if hits.plain:
        hidden = _without_spelled(hidden, hits.plain)
    if hits.forms and not is_vote(hidden):
        for form in hits.forms:
            hidden = compiled(form.pattern).sub(partial(_without_value, form), hidden)
    while hidden is not text and MARK + MARK in hidden:
        hidden = hidden.replace(MARK + MARK, MARK)
    return hidden


def masked_wide(data: bytes, secrets: Iterable[str]) -> bytes:
    """Return bytes without the secrets that stand in them as UTF-16."""
    for secret in secrets:
        for encoding in ("utf-16-le", "utf-16-be"):
            data = data.replace(secret.encode(encoding, "surrogatepass"), MARK.encode(encoding))
    return data


def seen_as_bytes(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """Return secrets, and how they look where each byte is read as one character."""
    return (*secrets, *(bytes_of(secret).decode("latin-1") for secret in secrets if not secret.isascii()))


def _walked(value: Any, hits: Hits, *, is_secret: bool) -> Any:  # noqa: ANN401  # JSON
    kind = type(value)
    if kind is str or isinstance(value, str):
        return MARK if is_secret and not is_kept(value) else masked_text(value, hits)
    if kind is dict or isinstance(value, Mapping):
        return _walked_members(value, hits, is_secret=is_secret)
    if value is None or kind is bool:
        return value
    if isinstance(value, int | float | Decimal):
        digits = str(value)
        return MARK if is_secret or any(needle.text in digits for needle in hits.literal) else value
    return _walked_items(value, hits, is_secret=is_secret)


def _walked_members(members: Mapping[Any, Any], hits: Hits, *, is_secret: bool) -> dict[Any, Any]:
    hidden: dict[Any, Any] = {}
    for key, member in members.items():
        name = masked_text(key, hits) if isinstance(key, str) else key
        if name != key:
            name = _free(name, hidden.keys() | members.keys())
        is_named = hits.has_keys and isinstance(key, str) and is_secret_key(key)
        hidden[name] = _walked(member, hits, is_secret=is_secret or is_named)
    return hidden


def _walked_items(items: Sequence[Any], hits: Hits, *, is_secret: bool) -> list[Any]:
    """Return a list's items hidden; of a long one only the stretches that are concerned are walked through."""
    hidden: list[Any] = []
    for at in range(0, len(items), _STRETCH):
        stretch = items[at : at + _STRETCH]
        follows = at > 0 and _is_flag(items[at - 1], hits)
        if len(items) <= _STRETCH or is_secret or follows or concerned(written(stretch), hits):
            hidden.extend(_walked_stretch(stretch, hits, is_secret=is_secret, follows=follows))
        else:
            hidden.extend(stretch)
    return hidden


def _walked_stretch(items: Sequence[Any], hits: Hits, *, is_secret: bool, follows: bool) -> Iterator[Any]:
    """Yield items hidden; in a list of arguments what follows `--password` is secret."""
    for item in items:
        is_flagged = follows and not str(item).startswith("-")
        yield _walked(item, hits, is_secret=is_secret or is_flagged)
        follows = _is_flag(item, hits)


def _is_flag(item: object, hits: Hits) -> bool:
    return hits.has_keys and isinstance(item, str) and item.startswith("-") and is_secret_key(item)


def _free(name: str, taken: Iterable[str]) -> str:
    """Return a masked key that no other member has."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} {number}"
    return free


def _without_value(form: Form, found: re.Match[str]) -> str:
    value = found["v"]
    if is_kept(value) or (form is BASIC and not is_basic(value)):
        return found[0]
    start, end = found.start("v") - found.start(), found.end("v") - found.start()
    mark = f"{found['q']}{MARK}{found['q']}" if form is NUMBERS else MARK
    return found[0][:start] + mark + found[0][end:]


def _without_spelled(text: str, spelled: tuple[tuple[str, str], ...]) -> str:
    """Return a text without secrets in any spelling; a line that keeps one goes as a whole, and so does a text."""
    if not _holds(text, spelled):
        return text
    hidden = _spelled_pattern(spelled).sub(MARK, text)
    if not _holds(hidden, spelled):
        return hidden
    lines = [MARK if _holds(line, spelled) else line for line in hidden.split("\n")]
    hidden = "\n".join(lines)
    return MARK if _holds(hidden, spelled) else hidden


def _holds(text: str, spelled: tuple[tuple[str, str], ...]) -> bool:
    undone = plain(text)
    return any(needle in undone for needle, _ in spelled)


@lru_cache(maxsize=32)
def _literal_pattern(found: tuple[Needle, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(_literal, sorted(found, key=lambda needle: -len(needle.text)))))


def _literal(needle: Needle) -> str:
    text = re.escape(needle.text)
    if needle.is_word:
        return f"(?<![A-Za-z0-9]){text}(?![A-Za-z0-9])"
    before = "[A-Za-z0-9+/_-]?" if needle.begins_within else ""
    return before + text + (("[A-Za-z0-9+/_-]?" if needle.ends_within else "") + "={0,2}") * needle.is_base64


@lru_cache(maxsize=32)
def _spelled_pattern(spelled: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    longest_first = sorted({text for both in spelled for text in both}, key=len, reverse=True)
    return re.compile("|".join(_BREAK.join(map(_spelling, needle)) for needle in longest_first))


def _spelling(character: str) -> str:
    """Return a pattern of one character as it is, percent-encoded, escaped, or as an entity."""
    forms: list[str] = [re.escape(character)]
    encoded = bytes_of(character)
    forms.append("(?i:" + "".join(f"%(?:25)*{byte:02x}" for byte in encoded) + ")")
    number = ord(character)
    forms.append(f"(?i:\\\\+u{number:04x})" if number <= 0xFFFF else _pair(character))  # noqa: PLR2004  # one UTF-16 unit
    forms.append(f"(?i:\\\\+x{number:02x}|&(?:amp;)*#(?:{number}|x0*{number:x});)")
    if name := _ENTITIES.get(character):
        forms.append(f"&(?:amp;)*{name};")
    return "(?:" + "|".join(forms) + ")"


def _pair(character: str) -> str:
    high, low = character.encode("utf-16-be").hex()[:4], character.encode("utf-16-be").hex()[4:]
    return f"(?i:\\\\+u{high}\\\\+u{low})"
