"""JSON from outside, strictly read: UTF-8 alone, no key twice, no NaN, no number beyond a double, no deep nesting.

Early in the flow and on the hot path: imports nothing heavy. Refuses rather than repairs, and says where.
"""

import json
import re
from collections.abc import Iterator
from typing import BinaryIO, NoReturn

from orchestrator.digest import MAX_INTEGER
from orchestrator.errors import UsageError
from orchestrator.names import is_text, shown

MAX_BYTES = 64 * 1024 * 1024
"""No document and no line may be longer."""
MAX_DEPTH = 64
"""Objects and lists inside one another, the outermost counted."""
MAX_DIGITS = 400
"""A number's text may not be longer."""
MAX_TEXT = 4 * 1024 * 1024
"""Longest text in a checked value, in characters."""
MAX_VALUES = 2_000_000
"""Most values in a checked value."""

_SHOWN_DIGITS = 20
_SHOWN_KEY = 40

_LEXEME = (  # compiled when it is needed: that takes longer than most requests
    r"(?P<key>\"(?:[^\"\\]|\\.)*+\"(?=\s*+:))|(?P<text>\"(?:[^\"\\]|\\.)*+\")"
    r"|(?P<open>[\[{])|(?P<close>[\]}])|(?P<number>-?\d[\d.eE+-]*+)|(?P<word>-?[A-Za-z]++)"
)


class _RefusedError(Exception):
    """Raised inside the decoder; the caller finds out where."""


def parse(data: bytes, *, name: str = "request", first_line: int = 1) -> object:
    """Return the one JSON value that `data` holds.

    `name` and `first_line` are for messages. Numbers with a point or an exponent become floats, others integers.

    Raises:
        UsageError: the bytes are not strict JSON; the message names line and column.
    """
    if len(data) > MAX_BYTES:
        message = f"{name}: {len(data):,} bytes; expected at most {MAX_BYTES:,}"
        raise UsageError(message)
    text = _decoded(data, name, first_line)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        offence = _offence(text[: error.pos]) or (error.pos, f"this is not JSON: {error.msg}")
        _refuse(text, offence, name, first_line, error)
    except (_RefusedError, ValueError, RecursionError) as error:
        _refuse(text, _offence(text) or (0, "this cannot be read as JSON"), name, first_line, error)
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deep(value):
        _refuse(text, _offence(text) or (0, _TOO_DEEP), name, first_line, None)
    return value


def read_lines(stream: BinaryIO, *, name: str = "requests", limit: int = MAX_BYTES) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, the line's bytes) of JSON Lines, in constant memory; blank lines are left out.

    Raises:
        UsageError: a line is longer than `limit` bytes.
    """
    number = 0
    while line := stream.readline(limit + 2):
        number += 1
        line = line.rstrip(b"\r\n")
        if len(line) > limit:
            message = f"{name}:{number}: this line has more than {limit:,} bytes"
            raise UsageError(message, advice="write one request on each line")
        if not line.isspace() and line:
            yield number, line


_TOO_DEEP = f"more than {MAX_DEPTH} objects and lists inside one another"


def _decoded(data: bytes, name: str, first_line: int) -> str:
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        message = f"{name}:{first_line}:1: a byte order mark; expected UTF-8 without one"
        raise UsageError(message)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _place(data[: error.start].decode("utf-8"), error.start, first_line)
        message = f"{name}:{line}:{column}: byte 0x{data[error.start]:02x} is not UTF-8; expected JSON in UTF-8"
        raise UsageError(message) from error
    if not text or text.isspace():
        message = f"{name}: nothing in it; expected a JSON object"
        raise UsageError(message)
    return text


def _place(text: str, position: int, first_line: int) -> tuple[int, int]:
    position = min(position, len(text))
    return first_line + text.count("\n", 0, position), position - text.rfind("\n", 0, position)


def _refuse(text: str, offence: tuple[int, str], name: str, first_line: int, cause: Exception | None) -> NoReturn:
    line, column = _place(text, offence[0], first_line)
    message = f"{name}:{line}:{column}: {offence[1]}"
    raise UsageError(message) from cause


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _RefusedError
    return value


def _float(text: str) -> float:
    value = float(text)
    if value in (_INFINITY, -_INFINITY) or len(text) > MAX_DIGITS:
        raise _RefusedError
    return value


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise _RefusedError
    return int(text)


def _constant(_: str) -> NoReturn:
    raise _RefusedError


_INFINITY = float("inf")
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_int=_int, parse_constant=_constant)


def _is_deep(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            below
            for container in level
            for below in (
                container.values() if type(container) is dict else container if type(container) is list else ()
            )
            if type(below) is dict or type(below) is list
        ]
        if not level:
            return False
    return True


def _offence(text: str) -> tuple[int, str] | None:
    """Return where the first thing stands that is JSON's form but not ours, and what it is; slow, for messages only."""
    scopes: list[set[str] | None] = []
    for token in re.finditer(_LEXEME, text):
        kind, seen, at = token.lastgroup, token.group(), token.start()
        if kind == "open":
            scopes.append(set() if seen == "{" else None)
            if len(scopes) > MAX_DEPTH:
                return at, _TOO_DEEP
        elif kind == "close" and scopes:
            scopes.pop()
        elif kind == "number" and (len(seen) > MAX_DIGITS or _is_endless(seen)):
            cut = "..." if len(seen) > _SHOWN_DIGITS else ""
            return at, f"the number {seen[:_SHOWN_DIGITS]}{cut} is too large or too long"
        elif kind == "word" and seen.lstrip("-") in {"NaN", "Infinity"}:
            return at, f"{seen} is not JSON; expected a number"
        elif kind == "key" and scopes and (names := scopes[-1]) is not None:
            key = _unquoted(seen)
            if key in names:
                return at, f"the key {shown(key)} stands twice in one object; expected it once"
            names.add(key)
    return None


def _is_endless(number: str) -> bool:
    try:
        return float(number) in (_INFINITY, -_INFINITY)
    except ValueError:
        return False


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def value_problems(root: object, *, skipped: object = None, most: int = 20) -> list[str]:
    """Return what in a value is not the JSON we accept: nesting, unwritable or long text, large numbers, other types.

    The list `skipped` (found by identity) is not looked into. At most `most` lines.
    """
    return [] if _is_clean(root, skipped) else _value_problems(root, skipped, most)


def _is_clean(root: object, skipped: object) -> bool:
    """Say whether all is well, level by level; fast, since every request pays for it."""
    level = [root]
    texts: list[str] = []
    total = 0
    for _ in range(MAX_DEPTH + 1):
        below: list[object] = []
        for value in level:
            kind = type(value)
            if kind is str:
                texts.append(value)  # type: ignore[arg-type]  # kind is str
            elif kind is dict:
                texts += value  # type: ignore[arg-type]  # keys; one that is no text is found when they are joined
                below += value.values()  # type: ignore[attr-defined]  # kind is dict
            elif kind is list:
                if value is not skipped:
                    below += value  # type: ignore[arg-type]  # kind is list
            elif _objection(value):
                return False
        if not below:
            return _are_texts(texts)
        total += len(below)
        if total > MAX_VALUES:
            return False
        level = below
    return False


def _are_texts(texts: list[str]) -> bool:
    try:
        joined = "".join(texts)
    except TypeError:
        return False
    is_short = len(joined) <= MAX_TEXT or max(map(len, texts)) <= MAX_TEXT
    return is_short and "\0" not in joined and is_text(joined)


def _value_problems(root: object, skipped: object, most: int) -> list[str]:
    """Say where what `_is_clean` found is; slow, for messages only."""
    told: list[str] = []
    left: list[tuple[object, str, int]] = [(root, "", 1)]
    total = 0
    while left and len(told) < most:
        value, where, depth = left.pop()
        total += 1
        if total > MAX_VALUES:
            return [*told, f"the request holds more than {MAX_VALUES:,} values; expected fewer"]
        if expected := _objection(value):
            told.append(f"{where or 'the request'} is {shown(value)}; expected {expected}")
        if value is skipped or not isinstance(value, dict | list):
            continue
        if depth > MAX_DEPTH:
            return [
                *told,
                f"{where[:80]}... lies deeper than {MAX_DEPTH} objects and lists; expected a flatter request",
            ]
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in reversed(list(items)):
            if isinstance(value, dict) and (not isinstance(key, str) or _objection(key)):
                owner = where or "the request"
                told.append(f"{owner} has the key {shown(key)}; expected a text without NUL or lone surrogates")
            else:
                left.append((item, _step(where, key), depth + 1))
    return told[:most]


def _step(where: str, key: str | int) -> str:
    if isinstance(key, int):
        return f"{where}[{key}]"
    name = key if key.isascii() and key.isidentifier() and len(key) <= _SHOWN_KEY else shown(key)
    return f"{where}.{name}" if where else name


def _objection(value: object) -> str:
    """Return what was expected instead of a value, or "" where it is fine."""
    kind = type(value)
    if kind is str:
        text: str = value  # type: ignore[assignment]  # kind is str
        is_fine = len(text) <= MAX_TEXT and "\0" not in text and is_text(text)
        return "" if is_fine else f"a text without NUL or lone surrogates, of at most {MAX_TEXT:,} characters"
    if value is None or kind is bool or kind is dict or kind is list:
        return ""
    if kind is int:
        is_fine = -MAX_INTEGER <= value <= MAX_INTEGER  # type: ignore[operator]  # kind is int
        return "" if is_fine else f"a number from -{MAX_INTEGER} to {MAX_INTEGER}"
    if kind is float:
        is_fine = value - value == 0  # type: ignore[operator]  # neither NaN nor infinite
        return "" if is_fine else "a finite number"
    return "a value that JSON knows"
