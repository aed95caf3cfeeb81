"""Writes files below a run's folder: whole or not at all, through no symlink, nowhere else. Knows no content."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from orchestrator.errors import UsageError
from orchestrator.names import path_problem, shown

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DRAFT = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DRAWN_BYTES = 6
_MAX_BYTES = 64 * 1024 * 1024


def write(root: Path, path: str, data: bytes) -> None:
    """Write a file at a path below `root`, its folders made where they are missing; what was there is replaced.

    Raises:
        UsageError: the path leaves the folder, goes through a symlink, or leads to something that is no file.
        OSError: it cannot be written.
    """
    with _folder_of(root, path) as (folder, name):
        draft = f".{name[:100]}.{os.urandom(_DRAWN_BYTES).hex()}"
        try:
            with os.fdopen(os.open(draft, _DRAFT, 0o644, dir_fd=folder), "wb") as opened:
                opened.write(data)
                opened.flush()
                os.fsync(opened.fileno())
            os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(draft, dir_fd=folder)
            raise


def read(root: Path, path: str) -> bytes | None:
    """Return the bytes of a file below `root`; None where there is none, or what is there is no plain file of ours.

    Raises:
        UsageError: as `write`.
        OSError: it cannot be read.
    """
    with _folder_of(root, path) as (folder, name):
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as opened:
            return opened.read(_MAX_BYTES)


@contextmanager
def _folder_of(root: Path, path: str) -> Iterator[tuple[int, str]]:
    """Give the open folder that a path lies in, and its last part."""
    must_be_relative(path)
    *folders, name = PurePosixPath(path).parts
    descriptor = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
    try:
        for part in folders:
            inner = _opened(descriptor, part, path)
            os.close(descriptor)
            descriptor = inner
        yield descriptor, name
    finally:
        os.close(descriptor)


def must_be_relative(path: str) -> None:
    """Return where a path may be one below a folder, as far as it says itself.

    Raises:
        UsageError: it may not.
    """
    if problem := path_problem(path):
        raise UsageError(f"the file {shown(path)}; expected {problem}")


def _opened(descriptor: int, part: str, path: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(part, 0o755, dir_fd=descriptor)
    try:
        return os.open(part, _FOLDER, dir_fd=descriptor)
    except NotADirectoryError as error:  # what O_NOFOLLOW says to a symlink, too
        raise UsageError(
            f"{shown(path)} goes through {shown(part)}, which is a symlink or no folder", advice="name a plain folder"
        ) from error
