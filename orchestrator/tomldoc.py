"""Strict TOML as a document: the same plain values, with the same refusals, as strict YAML gives.

TOML's reader keeps no places, so a key's line is looked for in the text; where it is not found, only the file is named.
"""

import re
import tomllib
from decimal import Decimal
from typing import Any

from orchestrator.document import MAX_DEPTH, Document, Map, Place, Reading, Seq, readable, shown
from orchestrator.errors import Problem

_HEADER = re.compile(r"\s*\[\[?([^\[\]]+)\]\]?\s*(?:#.*)?$")
_KEY = re.compile(
    r"\s*((?:[A-Za-z0-9_-]+|\"[^\"\\]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"\\]*\"|'[^']*'))*)\s*="
)
_PART = re.compile(r"[A-Za-z0-9_-]+|\"[^\"\\]*\"|'[^']*'")
_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_MOST_DIGITS = 30
_TOO_LARGE: int = 10**_MOST_DIGITS


def read(data: bytes, file: str) -> Reading:
    """Return the file's one document, or what is wrong with it as TOML. Never raises.

    Whole numbers become `int`, fractions `Decimal`; dates, infinities and NaN are refused.
    """
    problem, text = readable(data, file)
    if problem is not None:
        return Reading((), (problem,))
    try:
        value = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        return Reading((), (_syntax(error, text, file),))
    except (RecursionError, ValueError, ArithmeticError):
        return Reading((), (Problem(file, 0, 0, "TOML that cannot be read", "shorter numbers, less nesting"),))
    builder = _Builder(file, _lines(text))
    root = builder.built(value, (), 0)
    from orchestrator.digest import sha256

    return Reading((Document(file, root, (1, 1), sha256(data)),), tuple(builder.problems))


class _Builder:
    """Gives values their places, as far as they are known."""

    def __init__(self, file: str, lines: dict[tuple[str, ...], int]) -> None:
        self.file = file
        self.lines = lines
        self.problems: list[Problem] = []

    def built(self, value: Any, path: tuple[str, ...], depth: int) -> Any:  # noqa: ANN401  # plain values
        at = self._at(path)
        if depth > MAX_DEPTH:
            self.problems.append(Problem(self.file, *at, f"more than {MAX_DEPTH} levels", "a flatter document"))
            return None
        match value:
            case dict():
                made = Map(at)
                for key, one in value.items():
                    place = self._at((*path, key))
                    made.marks[key] = (*place, *place)
                    made[key] = self.built(one, (*path, key), depth + 1)
                return made
            case list():
                listed = Seq(at)
                for one in value:
                    listed.marks.append(at)
                    listed.append(self.built(one, path, depth + 1))
                return listed
            case bool() | str():
                return value
            case int() | Decimal() if _is_plain(value):
                return value
        self.problems.append(
            Problem(
                self.file, *at, shown(str(value)), "text, a plain number, true or false", "quote it if text is meant"
            )
        )
        return None

    def _at(self, path: tuple[str, ...]) -> Place:
        line = 0
        while path and not line:
            line, path = self.lines.get(path, 0), path[:-1]
        return (line, 1) if line else (0, 0)


def _is_plain(value: int | Decimal) -> bool:
    if isinstance(value, Decimal):
        is_short = value.is_finite() and len(value.as_tuple().digits) <= _MOST_DIGITS
        return is_short and abs(value.adjusted()) <= _MOST_DIGITS
    return abs(value) < _TOO_LARGE


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line on which each key stands first; a line inside of a long text may be taken for one."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _parts(header[1])
            key = table
        elif named := _KEY.match(line):
            key = (*table, *_parts(named[1]))
        else:
            continue
        for end in range(1, len(key) + 1):
            found.setdefault(key[:end], number)
    return found


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(text))


def _syntax(error: tomllib.TOMLDecodeError, text: str, file: str) -> Problem:
    said = str(error)
    found = _AT.search(said)
    line, column = (int(found[1]), int(found[2])) if found and found[1] else (text.rstrip().count("\n") + 1, 1)
    what = _AT.sub("", said)
    return Problem(file, line if found else 0, column if found else 0, f"TOML that cannot be read: {what}", "")
