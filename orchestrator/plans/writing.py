"""Writes a plan as YAML with comments, in a form that is read back as the same values. Pure."""

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from orchestrator.document import read

_WIDTH = 110
_PLAIN = re.compile(r"[A-Za-z_.][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./-]+)*|[0-9]{1,9}[smhd]")


class Noted(NamedTuple):
    """A value with lines of comment above it."""

    value: Any
    comments: tuple[str, ...]


def yaml(value: Mapping[str, Any]) -> str:
    """Return a mapping as YAML; `Noted` may stand for any value that is a mapping's or a list's."""
    return "\n".join(_block(value, "")) + "\n"


def comment(text: str, indent: str = "") -> Iterator[str]:
    """Yield a text as lines of comment."""
    width = _WIDTH - len(indent)
    for part in text.splitlines():
        line = "#"
        for word in part.split():
            if len(line) > 1 and len(line) + 1 + len(word) > width:
                yield indent + line
                line = "#"
            line += " " + word
        if len(line) > 1:
            yield indent + line


def _block(value: Any, indent: str) -> Iterator[str]:  # noqa: ANN401  # JSON
    if isinstance(value, Mapping):
        for name, given in value.items():
            each, comments = given if isinstance(given, Noted) else (given, ())
            for text in comments:
                yield from comment(text, indent)
            yield from _member(f"{indent}{scalar(name)}:", each, indent + "  ")
        return
    for given in value:
        each, comments = given if isinstance(given, Noted) else (given, ())
        for text in comments:
            yield from comment(text, indent)
        lines = [_flow(each)] if _is_short(each, len(indent) + 2) else list(_block(each, ""))
        yield f"{indent}- {lines[0]}"
        yield from (f"{indent}  {line}" if line else "" for line in lines[1:])


def _member(head: str, value: Any, indent: str) -> Iterator[str]:  # noqa: ANN401  # JSON
    if _is_short(value, len(head) + 1):
        yield f"{head} {_flow(value)}"
    else:
        yield head
        yield from _block(value, indent)


def _is_short(value: Any, used: int) -> bool:  # noqa: ANN401  # JSON
    if not isinstance(value, Mapping | list) or not value:
        return True
    inner = value.values() if isinstance(value, Mapping) else value
    is_flat = not any(isinstance(each, Noted) or (isinstance(each, Mapping) and each) for each in inner)
    return is_flat and all(not _has_noted(each) for each in inner) and used + len(_flow(value)) <= _WIDTH


def _has_noted(value: Any) -> bool:  # noqa: ANN401  # JSON
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return isinstance(value, Noted) or any(_has_noted(each) for each in inner)


def _flow(value: Any) -> str:  # noqa: ANN401  # JSON
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(name)}: {_flow(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return scalar(value)


def scalar(value: Any) -> str:  # noqa: ANN401  # JSON
    """Return a scalar as YAML that every reader takes for the same."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return format(Decimal(repr(value)), "f").removesuffix(".0")
    text = str(value)
    return text if _PLAIN.fullmatch(text) and _is_itself(text) else json.dumps(text, ensure_ascii=False)


@lru_cache(maxsize=4096)
def _is_itself(text: str) -> bool:
    """Return whether a text without quotes is read as the same text."""
    reading = read(f"- {text}".encode(), "")
    return not reading.problems and reading.documents[0].root == [text]
