"""A glob's parts: literals, prefixes, suffixes and one RE2 for the rest, with the meaning of docs/decision.md, "Globs".

Pure text in, data out; never matches anything itself: matching is the engine's.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from typing import Any

from orchestrator.errors import Exit, OrchError

MAX_LENGTH = 1024
"""Characters of one pattern as written."""
MAX_ALTERNATIVES = 256
"""Patterns that one pattern may expand to."""

DEEP = "**/"
"""Token: any number of whole segments, none included."""
ALL = "**"
"""Token: anything."""
STAR = "*"
"""Token: anything inside one segment."""
ONE = "?"
"""Token: one character inside a segment."""

_QUOTED = str.maketrans({character: "\\" + character for character in "\\.+*?()|[]{}^$"})
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_MAX_DEPTH = 16
_WILD = frozenset("*?{}")


class GlobError(OrchError):
    """A pattern that means nothing: unbalanced, empty, too long or too many."""

    exit_code = Exit.PACK


class Kind(StrEnum):
    """What a pattern is compared with, and so its separator and whether case counts."""

    PATH = "path"
    TOOL = "tool"
    HOST = "host"
    REPOSITORY = "repository"
    SUBJECT = "subject"

    @property
    def separator(self) -> str:
        """The character that `*` and `?` never match; "" where they match everything."""
        return _SEPARATORS[self]

    @property
    def folds_case(self) -> bool:
        """Whether patterns and values are compared lower-cased."""
        return self is Kind.HOST or self is Kind.REPOSITORY


_SEPARATORS = {Kind.PATH: "/", Kind.TOOL: ":", Kind.HOST: ".", Kind.REPOSITORY: "/", Kind.SUBJECT: ""}


class Token(str):
    """A wildcard; plain `str` tokens are literal text."""

    __slots__ = ()


def expand(pattern: str) -> list[str]:
    """Return the patterns that a pattern with `{a,b}` stands for, in the order written; without braces itself.

    Raises:
        GlobError: the pattern is empty, too long, unbalanced, has a control character or stands for too many.
    """
    _check(pattern)
    if "{" not in pattern and "}" not in pattern:
        return [pattern]
    results, end = _alternatives(pattern, 0, depth=0)
    if end != len(pattern):
        message = f"`{pattern}` has a `}}` without its `{{`"
        raise GlobError(message, advice="braces come in pairs: {a,b}")
    return results


def _check(pattern: str) -> None:
    if not pattern:
        message = "the pattern is empty"
        raise GlobError(message, advice="`**` matches everything")
    if len(pattern) > MAX_LENGTH:
        message = f"the pattern has {len(pattern)} characters; at most {MAX_LENGTH} are read"
        raise GlobError(message)
    if not pattern.isprintable() and (bad := _CONTROL.search(pattern)):
        message = f"the pattern holds the control character U+{ord(bad.group()):04X}"
        raise GlobError(message)


def _alternatives(pattern: str, start: int, depth: int) -> tuple[list[str], int]:
    """Read from `start` to the `}` that closes this level, or to the end; return what it stands for and that place."""
    if depth > _MAX_DEPTH:
        message = f"`{pattern}` nests braces deeper than {_MAX_DEPTH}"
        raise GlobError(message)
    done: list[str] = []
    current = [""]
    at = start
    while at < len(pattern):
        character = pattern[at]
        if character == "{":
            inner, at = _alternatives(pattern, at + 1, depth + 1)
            if at == len(pattern):
                message = f"`{pattern}` has a `{{` without its `}}`"
                raise GlobError(message, advice="braces come in pairs: {a,b}")
            _limit(pattern, len(done) + len(current) * len(inner))
            current = [left + right for left in current for right in inner]
        elif character == "}":
            break
        elif character == "," and depth:
            done, current = done + current, [""]
        else:
            stop = at + 1
            while stop < len(pattern) and pattern[stop] not in "{},":
                stop += 1
            text = pattern[at:stop]
            current = [left + text for left in current]
            at = stop - 1
        at += 1
    _limit(pattern, len(done) + len(current))
    return done + current, at


def _limit(pattern: str, count: int) -> None:
    if count > MAX_ALTERNATIVES:
        message = f"`{pattern}` stands for more than {MAX_ALTERNATIVES} patterns"
        raise GlobError(message, advice="write it as several items")


def tokens(pattern: str, kind: Kind) -> list[str]:
    """Return an expanded pattern as literal texts and wildcard `Token`s, joined to their simplest form."""
    if kind.folds_case:
        pattern = pattern.lower()
    separator = kind.separator
    found: list[str] = []
    at = 0
    while at < len(pattern):
        if pattern.startswith("**", at):
            at_segment = bool(separator) and (at == 0 or pattern[at - 1] == separator)
            if at_segment and pattern.startswith(separator, at + 2):
                _push(found, Token(DEEP))
                at += 3
                continue
            _push(found, Token(ALL))
            at += 2
        elif pattern[at] == "*":
            _push(found, Token(STAR if separator else ALL))
            at += 1
        elif pattern[at] == "?":
            found.append(Token(ONE))
            at += 1
        else:
            stop = at + 1
            while stop < len(pattern) and pattern[stop] not in "*?":
                stop += 1
            found.append(pattern[at:stop])
            at = stop
    return found


def _push(found: list[str], token: Token) -> None:
    """Append a wildcard, joining it with the one before where both together are one: `**/` and `*` match anything."""
    last = found[-1] if found and isinstance(found[-1], Token) and found[-1] != ONE else None
    if last is None:
        found.append(token)
    elif (ALL in (last, token) and token != DEEP) or (last == DEEP and token == STAR):
        found[-1] = Token(ALL)
    elif last != token:
        found.append(token)


def _body(found: Iterable[str], kind: Kind) -> str:
    separator = kind.separator.translate(_QUOTED)
    one = f"[^{kind.separator}]" if separator else "."
    wild = {DEEP: f"(?:.*{separator})?", ALL: ".*", STAR: f"{one}*", ONE: one}
    return "".join(wild[token] if isinstance(token, Token) else token.translate(_QUOTED) for token in found)


def to_regex(pattern: str, kind: Kind) -> str:
    """Return one anchored RE2 for the pattern, alternatives included.

    The text is for the engine, where `$` is the very end; in Python, where it is not, use `re.fullmatch`.

    Raises:
        GlobError: as `expand`.
    """
    return _anchored(_body(tokens(each, kind), kind) for each in expand(pattern))


def _anchored(bodies: Iterable[str]) -> str:
    return "^(?s:" + "|".join(bodies) + ")$"


def parts(patterns: Iterable[str], kind: Kind) -> dict[str, Any]:
    """Return the GLOBS of docs/architecture.md that match what any of the patterns matches; the same for any order.

    Raises:
        GlobError: as `expand`.
    """
    literals: dict[str, bool] = {}
    affixes: dict[str, set[str]] = {"prefixes": set(), "suffixes": set()}
    rest: set[str] = set()
    for pattern in patterns:
        for sort, text in _split(pattern, kind):
            if sort == "any":
                return {"any": True}
            if sort == "literals":
                literals[text] = True
            elif sort == "regex":
                rest.add(text)
            else:
                affixes[sort].add(text)
    result: dict[str, Any] = {}
    if literals:
        result["literals"] = dict.fromkeys(sorted(literals), True)
    result |= {name: sorted(texts) for name, texts in affixes.items() if texts}
    if rest:
        result["regex"] = _anchored(sorted(rest))
    return result


@lru_cache(maxsize=65_536)
def _split(pattern: str, kind: Kind) -> tuple[tuple[str, str], ...]:
    return tuple(part for each in expand(pattern) for part in _sorts(tokens(each, kind), kind))


def _sorts(found: list[str], kind: Kind) -> list[tuple[str, str]]:  # noqa: PLR0911  # one return per form
    """Return which members of GLOBS one expanded pattern becomes: pairs of member and text."""
    match found:
        case []:
            return [("literals", "")]
        case [Token() as only] if only == ALL:
            return [("any", "")]
        case [str() as text] if not isinstance(text, Token):
            return [("literals", text)]
        case [str() as text, Token() as last] if last == ALL and not isinstance(text, Token):
            return [("prefixes", text)]
        case [Token() as first, str() as text] if first == ALL and not isinstance(text, Token):
            return [("suffixes", text)]
        case [Token() as first, str() as text] if first == DEEP and not isinstance(text, Token):
            return [("literals", text), ("suffixes", kind.separator + text)]
        case _:
            return [("regex", _body(found, kind))]


def regexes(globs: dict[str, Any]) -> list[str]:
    """Return what of GLOBS must be tried on the engine."""
    return [globs["regex"]] if "regex" in globs else []


def has_wildcard(pattern: str) -> bool:
    """Return whether the pattern can match more than itself."""
    return not _WILD.isdisjoint(pattern)
