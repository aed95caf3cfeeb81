"""Puts whole files into their places: no symlink on the way is followed, and nothing is there half written."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from orchestrator import beneath
from orchestrator.adapter import Delivery, ErrorClass, failure
from orchestrator.errors import AdapterError, UsageError
from orchestrator.names import shown

MOST_BYTES = 64 * 1024 * 1024
"""No file may be larger, nor all of one action together."""
PLAIN, EXECUTABLE = "100644", "100755"
"""Modes, as git writes them."""

_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OWNER_RUNS = 0o100
_ANYBODY_RUNS = 0o111
_MAY_PASS = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
_IN_THE_WAY = {errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK}

_WRITE_ADVICE = "nothing is written through it; remove it, or name another path"
_READ_ADVICE = "nothing is read from it; name a plain file, by folders that are no symlinks"


class File(NamedTuple):
    """One file to be written."""

    path: str
    mode: str
    data: bytes
    blob: str
    before: str
    """The blob that lay there when it was prepared; "" where there was none."""
    source: str
    """Where its content is read from; "" where it was given."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Its folders and its name."""
        return tuple(self.path.split("/"))

    def request(self) -> dict[str, str]:
        """Return it as a request shows it."""
        return {"path": self.path, "status": "M" if self.before else "A", "mode": self.mode, "blob": self.blob}


class There(NamedTuple):
    """What lies at a path."""

    blob: str
    """Empty where nothing does."""
    mode: str = PLAIN
    bits: int = 0
    """Its permissions."""


class Spot(NamedTuple):
    """A file whose new content lies beside it, not yet under its name."""

    file: File
    folder: int
    """The open folder."""
    draft: str


def blob_of(data: bytes) -> str:
    """Return the id that git gives a content."""
    import hashlib

    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def read(source: str, root: Path) -> bytes:
    """Return the content of a file below the root.

    Raises:
        AdapterError: it is missing, a symlink or no plain file, or cannot be read.
        UsageError: it is larger than `MOST_BYTES`.
    """
    with _explained(source, _READ_ADVICE), beneath.folder(root, source.split("/")[:-1]) as folder:
        opened = beneath.file_in(folder, source.rpartition("/")[2])
        if opened is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        with os.fdopen(opened, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UsageError(f"{shown(source)} is larger than {MOST_BYTES:,} bytes")
    return data


def looked_at(path: str, root: Path) -> There:
    """Return what lies at a path; nothing where a folder on the way is missing, too.

    Raises:
        AdapterError: something else than a plain file, or a symlink, lies there or on the way.
    """
    with _explained(path), suppress(FileNotFoundError), beneath.folder(root, path.split("/")[:-1]) as folder:
        return _there(folder, path.rpartition("/")[2])
    return There("")


def _there(folder: int, name: str) -> There:
    opened = beneath.file_in(folder, name)
    if opened is None:
        return There("")
    with os.fdopen(opened, "rb") as file:
        seen = os.fstat(file.fileno())
        if seen.st_size > MOST_BYTES:
            raise OSError(errno.EFBIG, f"it is larger than {MOST_BYTES:,} bytes")
        mode = EXECUTABLE if seen.st_mode & _OWNER_RUNS else PLAIN
        return There(blob_of(file.read()), mode, stat.S_IMODE(seen.st_mode) & 0o777)


def is_there(file: File, root: Path) -> bool:
    """Say whether a file has its content already.

    Raises:
        AdapterError: it has neither that, nor the one it had when it was prepared.
    """
    return _compared(file, looked_at(file.path, root))


def _compared(file: File, there: There) -> bool:
    if (there.blob, there.mode) == (file.blob, file.mode):
        return True
    if there.blob != file.before:
        what = "was changed" if there.blob and file.before else "was removed" if file.before else "was made by others"
        raise failure(
            f"{shown(file.path)} {what} since it was decided about; nothing was written over it",
            advice="look at what changed; then ask anew",
            error_class=ErrorClass.PERMANENT,
        )
    return False


@contextmanager
def drafted(file: File, root: Path, draft: str, made: list[tuple[int, str]]) -> Iterator[Spot]:
    """Give a file's new content, durable beside its place; what was not put into its place is removed."""
    with _explained(file.path), beneath.folder(root, file.parts[:-1], made=made) as folder:
        there = _there(folder, file.parts[-1])
        _compared(file, there)
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=folder)  # of an attempt of the same key that was killed
        bits = 0o777 if file.mode == EXECUTABLE else 0o666
        try:
            with os.fdopen(os.open(draft, _WRITE_FLAGS, bits, dir_fd=folder), "wb") as new:
                new.write(file.data)
                if there.blob:
                    os.fchmod(new.fileno(), _bits(there.bits, file.mode))
                new.flush()
                os.fsync(new.fileno())
            yield Spot(file, folder, draft)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=folder)


def _bits(bits: int, mode: str) -> int:
    """Return permissions as they were, with those to run it set or not."""
    return bits | (bits & 0o444) >> 2 if mode == EXECUTABLE else bits & ~_ANYBODY_RUNS


def put_all(spots: Sequence[Spot], root: Path) -> None:
    """Put files into their places.

    Raises:
        AdapterError: something else lies there now; unknown where something was put into its place already.
    """
    done: list[str] = []
    for spot in spots:
        try:
            with _explained(spot.file.path):
                _look_at_folder(spot, root)
                _compared(spot.file, _there(spot.folder, spot.file.parts[-1]))
                _put(spot)
                done.append(spot.file.path)
                os.fsync(spot.folder)
        except AdapterError as error:
            if not done:
                raise
            raise failure(
                f"{error}; written before that: {', '.join(map(shown, done[:3]))}",
                advice=error.advice,
                delivery=Delivery.UNKNOWN,
            ) from error


def _put(spot: Spot) -> None:
    name, folder = spot.file.parts[-1], spot.folder
    if not spot.file.before:  # a link fails where somebody was faster
        try:
            os.link(spot.draft, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:  # this file system has no links
                raise
        else:
            return
    os.rename(spot.draft, name, src_dir_fd=folder, dst_dir_fd=folder)


def _look_at_folder(spot: Spot, root: Path) -> None:
    """See that the open folder is still the one at its path."""
    with beneath.folder(root, spot.file.parts[:-1]) as now:
        if not os.path.samestat(os.fstat(now), os.fstat(spot.folder)):
            raise failure(f"the folder of {shown(spot.file.path)} was moved while it was written", advice="ask anew")


def forget(made: Sequence[tuple[int, str]]) -> None:
    """Remove the folders that were made and stayed empty."""
    for above, name in reversed(made):
        with suppress(OSError):
            os.rmdir(name, dir_fd=above)
        os.close(above)


@contextmanager
def _explained(path: str, advice: str = _WRITE_ADVICE) -> Iterator[None]:
    """Turn what the system says into what became of the file."""
    try:
        yield
    except FileExistsError as error:
        raise failure(f"{shown(path)} was made by others meanwhile; nothing was written", advice="ask anew") from error
    except OSError as error:
        if error.errno in _IN_THE_WAY or error.errno is None:
            raise failure(
                f"at {shown(path)}, or on the way to it, lies a symlink or something that is no plain file",
                advice=advice,
            ) from error
        may_pass = error.errno in _MAY_PASS
        kind = ErrorClass.CONFIGURATION if error.errno in _NOT_ALLOWED else ErrorClass.PERMANENT
        raise failure(
            f"{shown(path)}: {error.strerror}",
            delivery=Delivery.RETRYABLE if may_pass else Delivery.PERMANENT,
            error_class=ErrorClass.TRANSIENT if may_pass else kind,
        ) from error
