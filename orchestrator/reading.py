"""Reads what a caller names: requests, lists of paths, facts; from files or standard input. Judges none of it."""

import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.errors import UsageError


def requests(source: str) -> tuple[Iterator[tuple[str, Any]], bool]:
    """Return (label, request or the error it met) of a file, and whether it holds exactly one request.

    A file whose first line is a whole JSON value, and which has more lines, is JSON Lines and is read as a stream.
    """
    from orchestrator import strictjson

    name = "standard input" if source == "-" else source
    stream = _opened(source)
    lines = strictjson.read_lines(stream, name=name)
    first = next(lines, None)
    if first is None:
        raise UsageError(f"{name} is empty; expected a request", advice="see `orch evaluate --help` for the shape")
    second = None if source.endswith(".json") else next(lines, None)
    if source.endswith(".jsonl") or (second is not None and _is_whole(first[1])):
        return _stream(name, first, second, lines), False
    value = strictjson.parse(
        _joined(name, chain([first], [second] if second else [], lines)), name=name, first_line=first[0]
    )
    if value == []:
        raise UsageError(f"{name} holds an empty list; expected at least one request")
    if isinstance(value, list):
        return iter([(f"{name}[{index}]", one) for index, one in enumerate(value)]), False
    return iter([("", value)]), True


def _joined(name: str, lines: Iterable[tuple[int, bytes]]) -> bytes:
    """Return the lines of one JSON value; what is piped in may never end."""
    from orchestrator.strictjson import MAX_BYTES

    data, size = [], 0
    for _, line in lines:
        data.append(line)
        size += len(line) + 1
        if size > MAX_BYTES:
            raise _too_large(name, MAX_BYTES)
    return b"\n".join(data)


def _within_limit(stream: BinaryIO, name: str) -> bytes:
    from orchestrator.strictjson import MAX_BYTES

    data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise _too_large(name, MAX_BYTES)
    return data


def _too_large(name: str, limit: int) -> UsageError:
    return UsageError(
        f"{name} has more than {limit:,} bytes", advice="give large input as JSON Lines, one request a line"
    )


def _stream(
    name: str, first: tuple[int, bytes], second: tuple[int, bytes] | None, lines: Iterator[tuple[int, bytes]]
) -> Iterator[tuple[str, Any]]:
    yield _line(name, *first)
    if second is not None:
        yield _line(name, *second)
    for number, line in lines:
        yield _line(name, number, line)


def _line(name: str, number: int, line: bytes) -> tuple[str, Any]:
    """A line that is no JSON is answered too: as an invalid request, so that no other line is lost."""
    from orchestrator import strictjson

    try:
        return f"{name}:{number}", strictjson.parse(line, name=name, first_line=number)
    except UsageError as error:
        return f"{name}:{number}", error


def _is_whole(line: bytes) -> bool:
    from orchestrator import strictjson

    try:
        strictjson.parse(line)
    except UsageError:
        return False
    return True


def _opened(source: str, what: str = "requests") -> BinaryIO:
    if source == "-":
        if sys.stdin is None:
            raise UsageError("standard input is closed; expected " + what, advice="name a file, or open standard input")
        return sys.stdin.buffer
    try:
        return Path(source).open("rb")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"cannot read {source!r}: {why}", advice=f"name a file of {what}, or - for standard input"
        ) from error


def paths(source: str) -> list[str]:
    """Return the paths that a file (`-`: standard input) lists, one a line or ended by NUL.

    Raises:
        UsageError: it cannot be read, or is not UTF-8.
    """
    with _opened(source, "paths") as stream:
        data = _within_limit(stream, source)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{source}: a path that is not UTF-8; expected UTF-8 text") from error
    return [path for path in text.split("\0" if "\0" in text else "\n") if path]


def facts(name: str) -> dict[str, Any]:
    """Return the facts of a JSON or YAML file.

    Raises:
        UsageError: it cannot be read, or holds no object.
        PackError: it is YAML that is not read here; with line and column.
    """
    from orchestrator import strictjson

    with _opened(name, "facts") as stream:
        data = _within_limit(stream, name)
    is_yaml = name.endswith((".yaml", ".yml"))
    value = _yaml(data, name) if is_yaml else strictjson.parse(data, name=name)
    if not isinstance(value, dict):
        raise UsageError(f"{name}: expected an object of facts", advice='for example {"stage": "staging"}')
    return value


def _yaml(data: bytes, name: str) -> object:
    from orchestrator.document import read
    from orchestrator.errors import PackError

    reading = read(data, name)
    if reading.problems:
        raise PackError(reading.problems)
    return reading.documents[0].root if len(reading.documents) == 1 else None
