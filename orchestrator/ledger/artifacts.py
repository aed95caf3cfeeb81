"""Artifacts: blobs named by their SHA-256, beside the ledger. First the blob, durably; then the event that names it.

A blob that no event speaks of, because a process ended between the two, harms nobody; `sweep` removes it after a day.
Secrets are masked before anything is hashed or written, so the digest is that of what is kept.
"""

import fcntl
import hashlib
import io
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from orchestrator import place
from orchestrator.digest import new_id
from orchestrator.errors import DecisionError, LedgerError, OrchError, UsageError
from orchestrator.ledger.append import append
from orchestrator.ledger.event import Draft, Event
from orchestrator.ledger.store import Connection, Ledger

LIMIT_BYTES = 64 * 1024 * 1024
"""The largest artifact, unless the caller says otherwise."""
KEEP_S = 86_400
"""How long a blob may wait for its event."""

_FOLDERS = ("artifacts", "sha256")
_PREFIX = "sha256:"
_HEX = 64
_READ_BYTES = 1024 * 1024
_NEW = "new-"
"""How the name of a blob begins that is being written."""
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS = 0o077


class Artifact(NamedTuple):
    """A blob that is kept."""

    digest: str
    """`sha256:` and 64 hex digits, of what is kept."""
    size: int
    """Bytes."""
    media_type: str
    name: str
    """What its giver calls it; never a path of the store."""
    was_masked: bool
    """Whether secrets were hidden in it, so that it is not what was given."""


class Orphan(NamedTuple):
    """A file of the store that no event speaks of."""

    name: str
    """Below the folder of artifacts: `sha256/ab/<hex>`."""
    digest: str
    """Empty where it is the rest of a write that never ended."""
    size: int
    """Bytes."""
    age_s: float
    """Since it was last put."""


def put(
    ledger: Ledger, source: bytes | Path | BinaryIO, *, name: str, media_type: str, limit_bytes: int = LIMIT_BYTES
) -> Artifact:
    """Return `source` as a blob that is kept durably, its secrets masked; the same content is the same blob.

    A path that is a symlink is refused: what it points to may be what nobody meant to record.

    Raises:
        UsageError: the file cannot be read, or there is more than `limit_bytes` of it.
        LedgerError: it cannot be masked or written, or the blob that is there was changed.

    Source: 001, "Artifact store".
    """
    data = _read(source, limit_bytes, name)
    hidden = ledger.mask.data(data)
    digest = _PREFIX + hashlib.sha256(hidden).hexdigest()
    try:
        with _folder(ledger, digest, is_made=True) as folder, _alone(folder, fcntl.LOCK_SH):
            _keep(folder, digest.removeprefix(_PREFIX), hidden)
    except OSError as error:
        raise LedgerError(
            f"the artifact {name!r} cannot be kept in {str(_root(ledger))!r}: {error.strerror or error}",
            advice="see that the folder can be written and has room; nothing was recorded",
        ) from error
    mask = ledger.mask
    return Artifact(digest, len(hidden), mask.text(media_type), mask.text(name), was_masked=hidden != data)


def stored(ledger: Ledger, connection: Connection, artifact: Artifact, chain: str, actor: str) -> Event | None:
    """Append `orch.artifact.stored` to an open transaction; None where an event spoke of this digest before.

    Raises:
        LedgerError: it cannot be written.
    """
    row = (artifact.digest, artifact.size, artifact.media_type, artifact.name)
    # The row is the guard: of two writers at once the second waits here and then finds it.
    insert = "INSERT INTO artifacts (digest, size, media_type, name) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
    if not connection.change(insert, row):
        return None
    payload = dict(zip(("digest", "size", "media_type", "name"), row, strict=True))
    return append(ledger, connection, Draft("orch.artifact.stored", chain, actor, payload))


def open(ledger: Ledger, digest: str) -> bytes:  # noqa: A001  # read as artifacts.open
    """Return a blob, after a look that it is the one of this digest.

    Raises:
        LedgerError: it is missing, cannot be read, or was changed.
    """
    problem, data = _verified(ledger, digest)
    if problem:
        raise LedgerError(
            f"the artifact {digest} {problem}", advice="run `orch ledger verify --deep`; restore a backup"
        )
    return data


def stream(ledger: Ledger, digest: str) -> BinaryIO:
    """Return a blob as a stream, verified before its first byte is given.

    Raises:
        LedgerError: as `open`.
    """
    return io.BytesIO(open(ledger, digest))


def check(ledger: Ledger, digest: str, size: int | None = None) -> str:
    """Return what is wrong with a blob, or ""; holds no more than a part of it in memory. Never raises."""
    try:
        with _folder(ledger, digest) as folder, _blob(folder, digest.removeprefix(_PREFIX)) as file:
            found, length = hashlib.sha256(), 0
            while part := file.read(_READ_BYTES):
                found.update(part)
                length += len(part)
    except FileNotFoundError:
        return "is missing"
    except (OSError, OrchError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if found.hexdigest() != digest.removeprefix(_PREFIX):
        return f"was changed: its content now has {_PREFIX}{found.hexdigest()}"
    return "" if size in {None, length} else f"has {length} bytes, and its event says {size}"


def orphans(ledger: Ledger, connection: Connection | None = None) -> list[Orphan]:
    """Return the files of the store that no event speaks of, by name; `connection` is one that is already reading.

    Raises:
        LedgerError: the ledger or the store cannot be read.
    """
    seen = _files(ledger)  # before the rows, or what is put in between would be taken for one
    if connection is None:
        with ledger.store.reading() as reading:
            known = {row[0] for row in reading.execute("SELECT digest FROM artifacts")}
    else:
        known = {row[0] for row in connection.execute("SELECT digest FROM artifacts")}
    return [file for file in seen if file.digest not in known]


def sweep(ledger: Ledger, older_than_s: float = KEEP_S) -> list[Orphan]:
    """Remove the orphans that are older, and return them; one that is being put again at this moment stays.

    Raises:
        LedgerError: the ledger cannot be read, or a file cannot be removed.
    """
    removed = [
        found for found in orphans(ledger) if found.age_s > older_than_s and _remove(ledger, found, older_than_s)
    ]
    return sorted(removed)


def _remove(ledger: Ledger, found: Orphan, older_than_s: float) -> bool:
    name = Path(found.name)
    try:
        with _folder(ledger, _PREFIX + name.parent.name + "0" * (_HEX - 2)) as folder, _alone(folder, fcntl.LOCK_EX):
            seen = os.stat(name.name, dir_fd=folder, follow_symlinks=False)
            if time.time() - seen.st_mtime <= older_than_s:  # somebody put it again: its event is on the way
                return False
            os.unlink(name.name, dir_fd=folder)
            os.fsync(folder)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise LedgerError(f"the artifact {found.name!r} cannot be removed: {error.strerror}") from error
    return True


def _files(ledger: Ledger) -> list[Orphan]:
    """Return every file of the store as if nobody spoke of it."""
    root, now = _root(ledger), time.time()
    found: list[Orphan] = []
    try:
        for folder in sorted((root / _FOLDERS[1]).glob("[0-9a-f][0-9a-f]")):
            for file in sorted(folder.iterdir()) if not folder.is_symlink() else ():
                with suppress(FileNotFoundError):
                    seen = file.lstat()
                    digest = "" if file.name.startswith(_NEW) else _PREFIX + file.name
                    found.append(Orphan(str(file.relative_to(root)), digest, seen.st_size, now - seen.st_mtime))
    except OSError as error:
        raise LedgerError(f"the artifacts in {str(root)!r} cannot be listed: {error.strerror}") from error
    return found


def _read(source: bytes | Path | BinaryIO, limit_bytes: int, name: str) -> bytes:
    if isinstance(source, bytes):
        data = source
    elif isinstance(source, Path):
        data = _read_file(source, limit_bytes)
    else:
        data = source.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise UsageError(
            f"the artifact {name!r} has more than {_mebi(limit_bytes)} MiB",
            advice="keep it elsewhere and record a smaller one that names its SHA-256",
        )
    return data


def _mebi(size_bytes: int) -> str:
    return f"{size_bytes / 1024 / 1024:.3g}"


def _read_file(path: Path, limit_bytes: int) -> bytes:
    try:
        with os.fdopen(os.open(path, _READ_FLAGS), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"{str(path)!r} is no plain file", advice="name a file to be recorded")
            return file.read(limit_bytes + 1)
    except (OSError, ValueError) as error:
        why = "it is a symlink" if path.is_symlink() else getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read {str(path)!r}: {why}", advice="name the file itself") from error


def _root(ledger: Ledger) -> Path:
    return ledger.folder / _FOLDERS[0]


def _is_digest(digest: str) -> bool:
    digits = digest.removeprefix(_PREFIX)
    return digest.startswith(_PREFIX) and len(digits) == _HEX and not digits.strip("0123456789abcdef")


@contextmanager
def _folder(ledger: Ledger, digest: str, *, is_made: bool = False) -> Iterator[int]:
    """Give the open folder of a digest; every step below the ledger's folder is ours alone, and no symlink.

    Raises:
        OSError: it is missing or cannot be opened.
        LedgerError: no digest, or a folder that somebody else could have written to.
    """
    if not _is_digest(digest):
        raise LedgerError(f"{digest[:80]!r} names no artifact", advice="name it as sha256: and 64 hex digits")
    if is_made and not ledger.folder.exists():
        try:
            place.private_dir(ledger.folder)
        except DecisionError as error:
            raise LedgerError(f"artifacts cannot be kept: {error}", advice=error.advice) from error
    at = os.open(ledger.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for step in (*_FOLDERS, digest[len(_PREFIX) : len(_PREFIX) + 2]):
            below = _step(ledger, at, step, is_made=is_made)
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)


def _step(ledger: Ledger, at: int, name: str, *, is_made: bool) -> int:
    if is_made:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=at)
            os.fsync(at)
    below = os.open(name, _FOLDER_FLAGS, dir_fd=at)
    seen = os.fstat(below)
    if seen.st_uid not in {os.geteuid(), 0} or seen.st_mode & _OTHERS:
        os.close(below)
        raise LedgerError(
            f"the folder {name!r} of artifacts in {str(ledger.folder)!r} is open to others",
            advice="chmod 700 it; then run `orch ledger verify --deep`",
        )
    return below


@contextmanager
def _alone(folder: int, kind: int) -> Iterator[None]:
    """Hold the folder's lock: shared by those who put, alone for who removes."""
    lock = os.open(".", _FOLDER_FLAGS, dir_fd=folder)
    try:
        fcntl.flock(lock, kind)
        yield
    finally:
        os.close(lock)


def _keep(folder: int, name: str, data: bytes) -> None:
    """Write a blob under its name unless it is there; a good one that is there becomes young again."""
    if _is_kept(folder, name, data):
        return
    draft = _NEW + new_id()
    with os.fdopen(os.open(draft, _WRITE_FLAGS, 0o600, dir_fd=folder), "wb") as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            with suppress(FileExistsError):  # somebody was faster
                os.link(draft, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        finally:
            os.unlink(draft, dir_fd=folder)
    os.fsync(folder)
    if not _is_kept(folder, name, data):
        raise FileNotFoundError(f"{name} vanished")


def _is_kept(folder: int, name: str, data: bytes) -> bool:
    try:
        with _blob(folder, name) as file:
            if file.read(len(data) + 1) != data:
                raise LedgerError(
                    f"the artifact {_PREFIX}{name} was changed where it is kept",
                    advice="run `orch ledger verify --deep`, and look at who could; nothing was written over it",
                )
            os.utime(file.fileno())
            os.fsync(folder)  # whoever linked it may not have come to this
            return True
    except FileNotFoundError:
        return False


@contextmanager
def _blob(folder: int, name: str) -> Iterator[BinaryIO]:
    with os.fdopen(os.open(name, _READ_FLAGS, dir_fd=folder), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise LedgerError(f"the artifact {_PREFIX}{name} is no plain file", advice="see what lies in its place")
        yield file


def _verified(ledger: Ledger, digest: str) -> tuple[str, bytes]:
    try:
        with _folder(ledger, digest) as folder, _blob(folder, digest.removeprefix(_PREFIX)) as file:
            data = file.read()
    except FileNotFoundError:
        return "is missing", b""
    except OSError as error:
        return f"cannot be read: {error.strerror or error}", b""
    found = _PREFIX + hashlib.sha256(data).hexdigest()
    return ("" if found == digest else f"was changed: its content now has {found}"), data
