"""Folders and files below one folder, opened step by step: no symlink is followed, and nothing outside is reached.

What is checked and what is used are the same open folder, so nobody can put another in its place in between.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.names import path_problem, shown

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def steps(path: str, *, what: str) -> tuple[str, ...]:
    """Return the parts of a path below the root; () for the root itself, `.`. A leading `./` is no step.

    Raises:
        UsageError: it is absolute, leaves the root by `..`, or is no path at all; `what` names it.
    """
    plain = path.removesuffix("/") if path != "/" else path
    while plain.startswith("./"):
        plain = plain[2:]
    if plain == ".":
        return ()
    if expected := path_problem(plain) if path else "a relative path":
        raise UsageError(f"{what} is {shown(path)}; expected {expected}", advice="name what lies below the run's root")
    return tuple(plain.split("/"))


@contextmanager
def folder(root: Path, parts: Sequence[str], *, made: list[tuple[int, str]] | None = None) -> Iterator[int]:
    """Give the open folder of `parts` below `root`.

    With `made`, folders that are missing are created, and noted there as (open folder above, name); the caller closes
    those.

    Raises:
        OSError: a step is missing, no folder, a symlink, or may not be entered.
    """
    at = os.open(root, _FOLDER_FLAGS)
    try:
        for part in parts:
            if made is not None:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=at)
                    made.append((os.dup(at), part))
                    os.fsync(at)
            below = os.open(part, _FOLDER_FLAGS, dir_fd=at)
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)


def file_in(at: int, name: str) -> int | None:
    """Return an open regular file of an open folder; None where nothing has that name.

    Raises:
        OSError: it is a symlink or cannot be opened.
        IsADirectoryError: it is no regular file.
    """
    try:
        opened = os.open(name, _FILE_FLAGS, dir_fd=at)
    except FileNotFoundError:
        return None
    if stat.S_ISREG(os.fstat(opened).st_mode):
        return opened
    os.close(opened)
    raise IsADirectoryError(None, "it is no regular file")


def is_same(one: os.stat_result, other: os.stat_result) -> bool:
    """Say whether both are the same file, unchanged in between as far as its times tell."""
    seen = [(each.st_dev, each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns) for each in (one, other)]
    return seen[0] == seen[1]
