"""Reads a file that somebody named, and nothing that would be waited for: no pipe, no device, no endless one."""

import errno
import os
import stat
from pathlib import Path

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def read(file: str | Path, most: int) -> bytes:
    """Return what a plain file holds, of a longer one the first `most` bytes.

    Raises:
        OSError: it is not there, no plain file, or cannot be read.
        ValueError: what was named can be no file.
    """
    descriptor = os.open(file, _FLAGS)  # a pipe without a writer must not hang
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no plain file")
        return opened.read(most)
