"""Which file of a command line is a program's text, and how exactly the text that was hashed comes to run.

A script is read once. The text is hashed, and that very text is run: by Python out of memory, by a shell out of a
sealed file in memory. Where that cannot be, because a script looks for its own place or another interpreter wants a
real path, it is run by its path, and looked at again when it has ended.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from orchestrator.beneath import is_same

MOST_BYTES = 64 * 1024 * 1024
"""A longer script is refused; a program may be of any size."""

_READ_BYTES = 1024 * 1024
_READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_MARK = b"#!"
_SHEBANG_BYTES = 256
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "rbash"})
_PYTHON = re.compile(r"(?:python|pypy)(?:\d+(?:\.\d+)*)?")
_LOOKS_FOR_ITSELF = re.compile(rb"\$\{?#?0(?![0-9])|BASH_SOURCE|BASH_ARGV0|ZSH_ARGZERO|\$\{\(%\)|\$_(?![A-Za-z0-9_])")
"""What a shell's script says that wants to know where it lies; it then depends on what else lies there."""
_SEALS_WITH = "memfd_create"
_OPEN_FILE = "/proc/self/fd/"
_FROM_MEMORY = (
    "import os,sys\n"
    "f=int(sys.argv[1]);p=sys.argv[2];del sys.argv[:2]\n"
    "sys.argv[0]=p\n"
    "if sys.path and sys.path[0]=='':sys.path[0]=os.path.dirname(os.path.realpath(p))\n"
    "with os.fdopen(f,'rb') as s:c=s.read()\n"
    "__file__=p\n"
    "c=compile(c,p,'exec')\n"
    "del f,p,s,os,sys\n"
    "exec(c)\n"
)
"""Runs an open file's text as Python runs a script: the same `__file__`, `sys.argv` and `sys.path`."""


class Way(StrEnum):
    """How a text comes to run."""

    PYTHON = "python"
    """Out of memory, as if from its path."""
    SEALED = "sealed"
    """From a file in memory that nobody can change."""
    OPEN = "open"
    """A program, from the open file that was hashed; a change of that file is noticed afterwards."""
    PATH = "path"
    """From its path; a change is noticed afterwards."""


class _Options(NamedTuple):
    """How an interpreter's options are read."""

    literal: str
    """Letters after which a text, a module or standard input is run, and no file."""
    valued: str = ""
    """Letters with a value: the rest of the word, else the next word."""
    long_literal: tuple[str, ...] = ()
    long_valued: tuple[str, ...] = ()
    is_apart: bool = False
    """The value is always the next word."""


_INTERPRETERS = {
    "shell": _Options("cs", "oO", (), ("--rcfile", "--init-file"), is_apart=True),
    "python": _Options("cm", "WX", (), ("--check-hash-based-pycs",)),
    "perl": _Options("eE", "I"),
    "ruby": _Options("e", "IrCEF"),
    "node": _Options("ep", "rC", ("--eval", "--print"), ("--require", "--import", "--loader", "--conditions")),
    "nodejs": _Options("ep", "rC", ("--eval", "--print"), ("--require", "--import", "--loader", "--conditions")),
    "lua": _Options("e", "l"),
    "Rscript": _Options("e"),
}


class Text(NamedTuple):
    """A program's text, open and hashed."""

    path: Path
    """Where it lies."""
    digest: str
    opened: int
    """The open file that was hashed."""
    data: bytes
    """All of a script; of a program nothing."""
    seen: os.stat_result
    """When it had been read."""

    def is_unchanged(self, way: Way) -> bool:
        """Say whether the file that ran is still what was hashed, as far as its times tell."""
        with suppress(OSError):
            return is_same(os.fstat(self.opened) if way is Way.OPEN else self.path.stat(), self.seen)
        return False


def kind_of(program: str) -> str:
    """Return which interpreter a program is by its name: `shell`, `python`, `perl`...; "" where it is none we know."""
    name = program.rpartition("/")[2]
    if name in _SHELLS:
        return "shell"
    return "python" if _PYTHON.fullmatch(name) else name if name in _INTERPRETERS else ""


def script_at(argv: Sequence[str]) -> int | None:
    """Return which argument is the file that an interpreter is given; None where it runs none, or is none we know."""
    options = _INTERPRETERS.get(kind_of(argv[0]))
    if options is None:
        return None
    at = 1
    while at < len(argv):
        word = argv[at]
        if word == "--":
            return at + 1 if at + 1 < len(argv) else None
        if not word.startswith(("-", "+") if options.is_apart else "-"):
            return at
        skipped = _skipped(word, options)
        if skipped is None:
            return None
        at += 1 + skipped
    return None


def _skipped(word: str, options: _Options) -> int | None:
    """Return how many words an option takes beside its own; None where after it no file is run."""
    if word == "-":
        return None
    if word.startswith("--"):
        name, equals, _ = word.partition("=")
        if name in options.long_literal:
            return None
        return 1 if name in options.long_valued and not equals else 0
    skipped = 0
    for at, letter in enumerate(word[1:], start=1):
        if letter in options.literal:
            return None
        if letter in options.valued:
            if not options.is_apart:
                return 1 if at == len(word) - 1 else 0
            skipped += 1
    return skipped


@contextmanager
def opened(path: Path, *, is_program: bool = False) -> Iterator[Text | None]:
    """Give a file, read and hashed; None where there is no regular file.

    Raises:
        OSError: it cannot be read, or a script is longer than `MOST_BYTES`.
    """
    try:
        file = os.open(path, _READ_FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            yield None
            return
        yield _hashed(path, file, is_program=is_program)
    finally:
        os.close(file)


def _hashed(path: Path, file: int, *, is_program: bool) -> Text:
    """Return a text; what it is, is told from the very bytes that are hashed."""
    import hashlib

    part = os.read(file, _READ_BYTES)
    is_script = not is_program or part.startswith(_MARK)
    found, kept = hashlib.sha256(), []
    size = 0
    while part:
        found.update(part)
        size += len(part)
        if is_script:
            kept.append(part)
            if size > MOST_BYTES:
                raise OSError(errno.EFBIG, "a script this large cannot be")
        part = os.read(file, _READ_BYTES)
    return Text(path, f"sha256:{found.hexdigest()}", file, b"".join(kept), os.fstat(file))


def shebang(data: bytes) -> list[str]:
    """Return the interpreter that a script's first line names, and its one argument; [] where it names none."""
    if not data.startswith(_MARK):
        return []
    line = data[2:_SHEBANG_BYTES].partition(b"\n")[0].strip(b" \t\r")
    return [os.fsdecode(word) for word in line.replace(b"\t", b" ").split(b" ", 1) if word]


def way_of(text: Text, interpreter: Sequence[str]) -> Way:
    """Return how a text is run by an interpreter (`python3`, or `env` and `python3`); [] where it is a program."""
    can_seal = hasattr(os, _SEALS_WITH) and os.path.isdir(_OPEN_FILE)  # noqa: PTH112  # a text is at hand
    if not can_seal:
        return Way.PATH
    if not interpreter:
        return Way.OPEN
    words = interpreter[1:] if interpreter[0].endswith("/env") else interpreter
    kind = kind_of(words[-1].split()[0] if interpreter[0].endswith("/env") and words else interpreter[0])
    if kind == "python" and b"\0" not in text.data:
        return Way.PYTHON
    return Way.SEALED if kind == "shell" and not _LOOKS_FOR_ITSELF.search(text.data) else Way.PATH


def words_for(way: Way, text: Text, shown: str, copy: int) -> list[str]:
    """Return what an interpreter is given instead of a script's path, which is `shown`."""
    match way:
        case Way.PYTHON:
            return ["-c", _FROM_MEMORY, str(copy), shown]
        case Way.SEALED:
            return [f"{_OPEN_FILE}{copy}"]
        case Way.OPEN:
            return [f"{_OPEN_FILE}{text.opened}"]
        case Way.PATH:
            return [shown]


def sealed_copy(data: bytes) -> int:
    """Return an open file in memory with a text that nobody can change any more."""
    import fcntl

    copy = os.memfd_create("script", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(os.dup(copy), "wb") as file:
            file.write(data)
        os.lseek(copy, 0, os.SEEK_SET)
        fcntl.fcntl(
            copy, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        )
    except BaseException:
        os.close(copy)
        raise
    return copy
