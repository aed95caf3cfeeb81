"""Files below a folder, read without following a symlink anywhere on the way."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from orchestrator import beneath
from orchestrator.errors import UsageError
from orchestrator.names import path_problem, shown

MAX_BYTES = 64 * 1024 * 1024
"""No file that is taken into memory may be larger."""
_READ_BYTES = 1024 * 1024


@contextmanager
def opened(root: Path, path: str) -> Iterator[BinaryIO]:
    """Give a plain file below `root`, open for reading.

    Raises:
        UsageError: there is none, a symlink is on the way, or it cannot be read.
    """
    if expected := path_problem(path):
        raise UsageError(f"the file is {shown(path)}; expected {expected}")
    *folders, name = path.split("/")
    try:
        with beneath.folder(root, folders) as at:
            descriptor = beneath.file_in(at, name)
    except OSError as error:
        raise UsageError(
            f"the file {shown(path)} cannot be read: {error.strerror or 'it is no plain file'}",
            advice="name a plain file below the root; symlinks are not followed",
        ) from error
    if descriptor is None:
        raise UsageError(f"there is no file {shown(path)} below {shown(str(root))}")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def read(root: Path, path: str) -> tuple[bytes, bool]:
    """Return a file's content, and whether it may be executed.

    Raises:
        UsageError: as `opened`, or it is too large.
    """
    with opened(root, path) as file:
        is_program = bool(os.fstat(file.fileno()).st_mode & stat.S_IXUSR)
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UsageError(f"{shown(path)} is larger than {MAX_BYTES:,} bytes")
    return data, is_program


def digest(root: Path, path: str) -> tuple[str, int]:
    """Return the SHA-256 of a file, in hex, and its size in bytes.

    Raises:
        UsageError: as `opened`.
    """
    hashed, size = hashlib.sha256(), 0
    with opened(root, path) as file:
        while part := file.read(_READ_BYTES):
            hashed.update(part)
            size += len(part)
    return hashed.hexdigest(), size
