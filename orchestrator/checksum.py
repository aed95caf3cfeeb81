"""SHA-256 of files, as `orch hash` prints it. Reads; decides and records nothing.

Source: 003, "Usage": a file hashing command for integrity checks.
"""

import hashlib
import os
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import BinaryIO, NamedTuple

from orchestrator.errors import UsageError
from orchestrator.names import shown

STDIN = "-"
"""Names standard input."""

_PREFIX = "sha256:"
_HEX = 64
_READ_BYTES = 1024 * 1024


class Checksum(NamedTuple):
    """One file's digest."""

    path: str
    """As it was given."""
    digest: str
    """`sha256:` and 64 hex digits."""
    size: int
    """Bytes."""
    is_expected: bool | None = None
    """Whether it is the digest that was expected; None where none was."""


def checksums(paths: Sequence[str], *, expected: str | None = None) -> tuple[Checksum, ...]:
    """Return the digests of files in their order; symlinks are followed, and memory does not grow with a file.

    Raises:
        UsageError: there is none, one cannot be read, standard input is named twice, or `expected` is no digest.
    """
    if not paths:
        raise UsageError("no file is named", advice="orch hash FILE, or orch hash - for standard input")
    if paths.count(STDIN) > 1:
        raise UsageError("standard input is named twice; it can be read once")
    wanted = None if expected is None else _digest(expected)
    found = [_checksum(path) for path in paths]
    return tuple(each._replace(is_expected=None if wanted is None else each.digest == wanted) for each in found)


def _digest(text: str) -> str:
    digits = text.strip().lower().removeprefix(_PREFIX)
    if len(digits) != _HEX or digits.strip("0123456789abcdef"):
        raise UsageError(f"{shown(text)} is no SHA-256", advice="give it as sha256: and 64 hex digits")
    return _PREFIX + digits


def _checksum(path: str) -> Checksum:
    if path == STDIN:
        return _read(sys.stdin.buffer, "standard input", path)
    try:
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe without a writer must not hang
    except (OSError, ValueError) as error:
        raise _unreadable(path, getattr(error, "strerror", None) or "it holds a NUL byte") from error
    mode = os.fstat(opened).st_mode
    if not stat.S_ISREG(mode):
        os.close(opened)
        raise _unreadable(path, "it is a folder" if stat.S_ISDIR(mode) else "it is no plain file")
    with os.fdopen(opened, "rb", buffering=0) as file:
        with suppress(AttributeError, OSError):
            os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        return _read(file, shown(path), path)


def _read(stream: BinaryIO, name: str, path: str) -> Checksum:
    found, size = hashlib.sha256(), 0
    try:
        while part := stream.read(_READ_BYTES):
            found.update(part)
            size += len(part)
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}") from error
    return Checksum(path, _PREFIX + found.hexdigest(), size)


def _unreadable(path: str, why: str) -> UsageError:
    return UsageError(f"cannot read {shown(path)}: {why}", advice="name a file that can be read")
