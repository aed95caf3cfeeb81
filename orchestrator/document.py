"""Strict YAML with positions: documents as plain values, each of which knows its line and column.

Reads text; knows no kind of document and no file. What YAML versions read differently is refused, not guessed.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

import yaml

from orchestrator.errors import Problem
from orchestrator.model import Scalar

MAX_BYTES = 16 * 1024 * 1024
"""Largest file that is read."""
MAX_DEPTH = 40
"""Deepest nesting of lists and mappings."""
MAX_VALUES = 1_000_000
"""Most values and keys in one file."""
MAX_PROBLEMS = 100
"""Most problems reported of one file."""

Place: TypeAlias = tuple[int, int]
"""Line and column, both 1-based."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]"
)
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)")
_LOOKS_LIKE_NUMBER = re.compile(
    r"[-+]?(?:0[0-9_]+(?:\.[0-9_]*)?|0[oObB][0-9_]+|0[xX][0-9a-fA-F_]+|[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"
    r"|[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?|(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))"
)
_INDICATOR = re.compile(r"(?:^|(?<=[\s\[{,]))[*&!%@`]\S*")
"""A word that begins with a character YAML keeps for itself."""
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "": None}
_SURPRISES = frozenset(
    form for word in ("y", "n", "yes", "no", "on", "off") for form in (word, word.capitalize(), word.upper())
) | {"True", "TRUE", "False", "FALSE", "Null", "NULL", "~"}
_CODED = "errors"
"""Under this key lie exit codes and HTTP statuses: nobody takes `75` for anything else."""
_MAX_DIGITS = 30
_SHOWN = 60
_SAY_ONCE = "use `lists:` and `$name` to say a thing once"


class Map(dict[str, Any]):
    """A mapping that knows where it and each of its keys and values stand."""

    __slots__ = ("at", "marks")

    def __init__(self, at: Place) -> None:
        super().__init__()
        self.at = at
        self.marks: dict[str, tuple[int, int, int, int]] = {}
        """Key to the key's line and column and the value's."""

    def key_at(self, key: str) -> Place:
        """Return where the key stands; where the mapping stands if it has no such key."""
        mark = self.marks.get(key)
        return mark[:2] if mark else self.at

    def value_at(self, key: str) -> Place:
        """Return where the key's value stands; where the mapping stands if it has no such key."""
        mark = self.marks.get(key)
        return mark[2:] if mark else self.at


class Seq(list[Any]):
    """A list that knows where it and each of its items stand."""

    __slots__ = ("at", "marks")

    def __init__(self, at: Place) -> None:
        super().__init__()
        self.at = at
        self.marks: list[Place] = []


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file."""

    file: str
    root: Any
    """A `Map`, a `Seq` or a scalar."""
    at: Place
    digest: str
    """`sha256:` and the hex of the document's bytes, from the end of the one before on."""

    def place(self, path: tuple[str | int, ...], *, of_key: bool = False) -> Place:
        """Return where the value at a path, or its key, stands; the deepest place there is if it leads nowhere."""
        place, value = self.at, self.root
        for index, step in enumerate(path):
            if isinstance(value, Map) and step in value:
                wants_key = of_key and index == len(path) - 1
                place = value.key_at(str(step)) if wants_key else value.value_at(str(step))
                value = value[str(step)]
            elif isinstance(value, Seq) and isinstance(step, int) and 0 <= step < len(value):
                place, value = value.marks[step], value[step]
            elif step != 0 or isinstance(value, Seq):  # one item without a list is what stands at 0
                break
        return place


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file holds, and everything wrong with it as YAML."""

    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]


class _TooManyError(Exception):
    """Stops reading a file in which nothing more is worth saying."""


def shown(value: object) -> str:
    """Return a value as a message may show it: in backticks, on one line, shortened, control characters escaped."""
    match value:
        case None:
            return "nothing"
        case bool():
            text = str(value).lower()
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list" if value else "an empty list"
        case int() | Decimal():
            return f"the number `{value}`"
        case _:
            text = str(value)
    if text == "":
        return "an empty text"
    cut = text[:_SHOWN] + ("..." if len(text) > _SHOWN else "")
    return "`" + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut) + "`"


def read(data: bytes, file: str) -> Reading:
    """Return the documents of a file and all its problems; documents with problems are there as far as understood.

    Never raises. Nothing is resolved but YAML 1.2's null, true, false, decimal integers (`int`) and decimal fractions
    (`Decimal`, digits kept); all else is text.
    """
    problem, text = readable(data, file)
    if problem is not None:
        return Reading((), (problem,))
    builder = _Builder(file)
    documents: list[Document] = []
    try:
        for root, at, start, end in builder.documents(text):
            body = text[start:end].encode()
            documents.append(Document(file, root, at, "sha256:" + hashlib.sha256(body).hexdigest()))
    except _TooManyError:
        pass
    except yaml.YAMLError as error:
        builder.problems.append(_syntax(error, text, file))
    if len(documents) == 1:
        only = documents[0]
        documents = [Document(file, only.root, only.at, "sha256:" + hashlib.sha256(data).hexdigest())]
    if not documents and not builder.problems:
        builder.problems.append(Problem(file, 0, 0, "a file without a document", "at least one document"))
    return Reading(tuple(documents), tuple(builder.problems))


def readable(data: bytes, file: str) -> tuple[Problem | None, str]:
    """Return the text of a file, or what makes it unreadable before its syntax is looked at."""
    if len(data) > MAX_BYTES:
        size = f"a file of {len(data) / 1024 / 1024:.1f} MB"
        return Problem(file, 0, 0, size, f"at most {MAX_BYTES // 1024 // 1024} MB", "split it into several files"), ""
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return Problem(
            file, 1, 1, "a byte order mark", "UTF-8 without one", "save the file as `UTF-8`, not `UTF-8 with BOM`"
        ), ""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        return Problem(file, line, column, f"the byte 0x{data[error.start]:02x}", "UTF-8 text"), ""
    if bad := _CONTROL.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        column = bad.start() - text.rfind("\n", 0, bad.start())
        seen = f"the invisible character U+{ord(bad.group()):04X}"
        return Problem(file, line, column, seen, "text that shows as it is"), ""
    return None, text


def _syntax(error: yaml.YAMLError, text: str, file: str) -> Problem:
    mark = getattr(error, "problem_mark", None)
    what = str(getattr(error, "problem", None) or "unreadable text")
    if mark is None:
        return Problem(file, 0, 0, f"YAML that cannot be read: {what}", "")
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        column = line.index("\t") + 1
        return Problem(
            file, mark.line + 1, column, "a tab in the indentation", "spaces", "YAML does not indent with tabs"
        )
    for found in _INDICATOR.finditer(line):
        if found.start() <= mark.column <= found.end():
            return _unquoted(found, file, mark.line + 1)
    advice = ""
    if "cannot start any token" in what or "mapping values" in what:
        advice = "quote text that holds `: ` or begins with a special character"
    return Problem(file, mark.line + 1, mark.column + 1, f"YAML that cannot be read: {what}", "", advice)


def _unquoted(found: re.Match[str], file: str, line: int) -> Problem:
    """Return what is wrong with a word that begins with a character YAML keeps for itself."""
    text = found.group().rstrip(",]")
    if text.count("}") > text.count("{"):
        text = text.rstrip("}")
    seen = f"a value that begins with {shown(text[0]) if text[0] != '`' else 'a backtick'}"
    return Problem(file, line, found.start() + 1, seen, "it in quotes", f'write "{text[:_SHOWN]}"')


class _Builder:
    """Turns the parser's events into values, and says what is wrong with them."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._stack: list[Map | Seq] = []
        self._key: tuple[str, Place] | None = None
        """The key whose value comes next; None where a key comes next."""
        self._coded: Map | None = None
        """The mapping whose keys are codes, so that they may be whole numbers."""
        self._root: Any = None
        self._at: Place = (1, 1)
        self._values = 0

    def documents(self, text: str) -> Iterator[tuple[Any, Place, int, int]]:
        """Yield each document's value, its place, and where its text begins and ends."""
        start = 0
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.DocumentEndEvent):
                if self._root is None:
                    self._refuse(event, "an empty document", "a document", "remove the `---` that nothing follows")
                else:
                    yield self._root, self._at, start, _end(event)
                start = _end(event)
            else:
                self._take(event)

    def _take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.MappingStartEvent):
            self._open(event, Map(_place(event)))
        elif isinstance(event, yaml.SequenceStartEvent):
            self._open(event, Seq(_place(event)))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._stack.pop()
        elif isinstance(event, yaml.AliasEvent):
            self._refuse(event, f"the alias `*{event.anchor}`", "the value itself", _meant(f"*{event.anchor}"))
            self._add(None, _place(event))
        elif isinstance(event, yaml.DocumentStartEvent):
            if getattr(event, "version", None) or getattr(event, "tags", None):
                self._refuse(event, "a `%` directive", "none")
            self._root = None

    def _refuse(self, event: yaml.Event, seen: str, expected: str, advice: str = "") -> None:
        line, column = _place(event)
        self.problems.append(Problem(self.file, line, column, seen, expected, advice))
        if len(self.problems) >= MAX_PROBLEMS:
            self.problems.append(Problem(self.file, 0, 0, f"more than {MAX_PROBLEMS} problems", "fewer"))
            raise _TooManyError

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, value: Map | Seq) -> None:
        self._check_node(event)
        if len(self._stack) >= MAX_DEPTH:
            self._refuse(event, f"values nested deeper than {MAX_DEPTH}", "a flatter document")
            raise _TooManyError
        top = self._stack[-1] if self._stack else None
        if isinstance(top, Map) and self._key is None:
            self._refuse(event, "a key that is not text", "a key of text")
            raise _TooManyError
        if isinstance(value, Map) and self._key is not None and self._key[0] == _CODED:
            self._coded = value
        self._add(value, value.at)
        self._stack.append(value)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        if event.anchor is not None or event.tag is not None:
            self._check_node(event)
        text: str = event.value
        is_plain = event.implicit[0]
        value = self._plain(event, text) if is_plain else text
        if not is_plain and event.style == '"' and (bad := _CONTROL.search(text)):
            self._refuse(event, f"the invisible character U+{ord(bad.group()):04X}", "text that shows as it is")
            value = "?"
        top = self._stack[-1] if self._stack else None
        if type(top) is Map and self._key is None:
            if type(value) is not str and not (top is self._coded and text == str(value) and text.isdigit()):
                self._refuse(
                    event,
                    f"the key {shown(text)}, which is not text",
                    "a key of text",
                    f'write "{text[:40]}" in quotes',
                )
            elif text == "<<" and is_plain:
                self._refuse(event, "the merge key `<<`", "the keys themselves")
            self._begin_key(event, text, top)
        else:
            self._add(value, _place(event))

    def _begin_key(self, event: yaml.ScalarEvent, key: str, top: Map) -> None:
        if key in top:
            first = top.key_at(key)[0]
            self._refuse(event, f"the key {shown(key)} a second time", "each key once", f"the first is on line {first}")
        self._key = (key, _place(event))

    def _plain(self, event: yaml.ScalarEvent, text: str) -> Scalar | None:
        """Return what unquoted text stands for in YAML 1.2; refuse what another reader takes for something else."""
        if text in _WORDS:
            return _WORDS[text]
        if text in _SURPRISES:
            self._refuse(
                event,
                f"{shown(text)} without quotes",
                "true, false, null or text in quotes",
                f'write "{text}" if text is meant',
            )
            return text
        if text[0] not in "+-.0123456789":
            return text
        if _NUMBER.fullmatch(text):
            if sum(map(str.isdigit, text)) > _MAX_DIGITS:
                self._refuse(event, "a number of more than 30 digits", "a shorter number", "quote it if text is meant")
                return text
            return int(text) if _INTEGER.fullmatch(text) else Decimal(text)
        if _LOOKS_LIKE_NUMBER.fullmatch(text):
            self._refuse(
                event,
                f"{shown(text)}, which readers take for different numbers",
                "a plain decimal number",
                "quote it if text is meant",
            )
        return text

    def _check_node(self, event: yaml.NodeEvent) -> None:
        if event.anchor is not None:
            self._refuse(event, f"the anchor `&{event.anchor}`", "no anchors", _meant(f"&{event.anchor}"))
        tag = getattr(event, "tag", None)  # aliases have none
        if tag is not None:
            advice = f'write "{tag[:_SHOWN]}" if text is meant' if tag.startswith("!") else ""
            self._refuse(event, f"the tag {shown(tag)}", "no tags", advice)

    def _add(self, value: Map | Seq | Scalar | None, at: Place) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            self.problems.append(
                Problem(self.file, *at, f"more than {MAX_VALUES} values", "a smaller file", "split it")
            )
            raise _TooManyError
        if not self._stack:
            self._root, self._at = value, at
            return
        top = self._stack[-1]
        if type(top) is Seq:
            top.append(value)
            top.marks.append(at)
        elif self._key is None:
            self._key = ("?", at)
        else:
            key, key_at = self._key
            top[key] = value  # type: ignore[call-overload]  # the stack holds maps and lists only
            top.marks[key] = (*key_at, *at)  # type: ignore[call-overload]  # as above
            self._key = None


def _meant(text: str) -> str:
    return f'write "{text[:_SHOWN]}" if text is meant; else {_SAY_ONCE}'


def _place(event: yaml.Event) -> Place:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _end(event: yaml.Event) -> int:
    return event.end_mark.index if event.end_mark else 0
