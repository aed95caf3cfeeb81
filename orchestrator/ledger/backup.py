"""Copies a ledger into a folder of its own, and makes a ledger out of such a copy. Never overwrites anything.

A backup is a ledger: `ledger.db` and `artifacts/`, so it can be looked at and verified where it lies. The keys that
sign tree heads and open the seals of renewals are not in it: a backup lies in more places than the ledger does, and
with them anybody who finds it could sign another history, and tell which renewal was none.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator import place
from orchestrator.digest import new_id
from orchestrator.errors import DecisionError, LedgerError, OrchError, UsageError
from orchestrator.ledger.mask import Mask
from orchestrator.ledger.sqlite import FILE, open_sqlite, translated
from orchestrator.ledger.store import Ledger

KEY, SEAL_KEY = "head.key", "seal.key"
"""In the ledger's folder and never in a backup: what signs tree heads, and what opens the seals of renewals."""
_HAS_CODES = "SELECT 1 FROM renewal_codes LIMIT 1"
_ARTIFACTS = "artifacts"
_MODE = 0o600


class Backup(NamedTuple):
    """A copy of a ledger."""

    folder: Path
    ledger_id: str
    size_bytes: int
    """Of the database and the artifacts."""
    events: int
    artifacts: int
    head: str | None
    """The newest signed tree head in it: a note to keep somewhere else."""
    missing: tuple[str, ...]
    """Artifacts that the ledger speaks of and that were not there, or not what they should be."""


class Restored(NamedTuple):
    """A ledger that was made out of a backup."""

    backup: Backup
    folder: Path
    kept: Path | None
    """Where the ledger lies that was there before."""
    has_key: bool
    """Whether it can sign heads: the key was beside the ledger that was there before."""
    lacks_seal_key: bool
    """Whether escalations in it have codes, and the key of their seals was not there: their ticks need it."""


def backup(ledger: Ledger, folder: Path) -> Backup:
    """Copy the ledger as it stands now into a new folder, while others go on writing.

    It appears under its name only when it is whole and on the disk.

    Raises:
        UsageError: something is there already, or the ledger is not in SQLite.
        LedgerError: it cannot be read or written; nothing is left behind.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  # a link is renamed, not what it leads to
    file = getattr(ledger.store, "file", None)
    if not isinstance(file, Path):
        raise UsageError(
            "a ledger on PostgreSQL is not copied by orch", advice="use pg_dump, and copy the artifacts' folder"
        )
    _must_be_free(folder)
    with _emerging(folder) as made:
        with translated(file):
            _copy_database(file, made / FILE, is_in_use=True)
            wanted = _artifacts_in(made / FILE)
        missing = copy_artifacts(wanted, ledger.folder, made)
        found = _look(made)
    return found._replace(folder=folder, missing=missing)


def restore(source: Path, folder: Path, *, is_replacing: bool = False) -> Restored:
    """Make the ledger in `folder` out of a backup; what was there is kept beside it, and its keys are taken along.

    Nobody may use the ledger meanwhile.

    Raises:
        UsageError: there is no backup at `source`, or there is a ledger and it was not said that it be replaced.
        LedgerError: the backup is damaged, or it cannot be written; nothing was changed.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  # a link is renamed, not what it leads to
    if not (source / FILE).is_file():
        raise UsageError(f"there is no backup in {str(source)!r}: expected a folder with {FILE}")
    if folder.resolve() == source.resolve() or folder.resolve() in source.resolve().parents:
        raise UsageError(
            f"the backup {str(source)!r} lies where the ledger is to be", advice="move it somewhere else first"
        )
    is_taken = os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir()))
    if is_taken and not is_replacing:
        raise UsageError(
            f"there is something in {str(folder)!r} already", advice="--replace keeps it beside, under another name"
        )
    kept = folder.with_name(f"{folder.name}.before-{new_id()[:8]}") if is_taken else None
    with _emerging(folder, aside=kept) as made:
        with translated(source / FILE):
            _copy_database(source / FILE, made / FILE, is_in_use=os.path.lexists(source / f"{FILE}-wal"))
            wanted = _artifacts_in(made / FILE)
        missing = copy_artifacts(wanted, source, made)
        found = _look(made)
        taken = _take_keys(folder, made, found.ledger_id)
        lacks_seal_key = SEAL_KEY not in taken and _has_codes(made / FILE)
    return Restored(found._replace(folder=source, missing=missing), folder, kept, KEY in taken, lacks_seal_key)


@contextmanager
def _emerging(folder: Path, *, aside: Path | None = None) -> Iterator[Path]:
    """Give a private folder that takes its name, durably, at the end; what had that name goes aside first."""
    import shutil

    made = folder.with_name(f".{folder.name}.{new_id()}")
    try:
        try:
            place.private_dir(made)
        except DecisionError as error:
            raise LedgerError(f"{str(folder)!r} cannot be made: {error}", advice="name another place") from error
        yield made
        _sync_tree(made)
        if aside is not None:
            folder.rename(aside)
        elif folder.is_dir():
            folder.rmdir()
        made.rename(folder)
        _sync(folder.parent)
    except OSError as error:
        raise LedgerError(
            f"{str(folder)!r} cannot be written: {error.strerror or error}",
            advice="see that there is room, and who may write",
        ) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _must_be_free(folder: Path) -> None:
    if os.path.lexists(folder):
        raise UsageError(f"{str(folder)!r} is there already", advice="name a new folder; nothing is overwritten")


def _copy_database(source: Path, target: Path, *, is_in_use: bool) -> None:
    """Copy page by page through SQLite, which gives one state of the database whoever writes meanwhile."""
    os.close(_created(target))
    # A file at rest may lie where nothing can be written, not even what readers of a write-ahead log need.
    how = "mode=ro" if is_in_use else "immutable=1"
    with (
        closing(sqlite3.connect(f"{source.resolve().as_uri()}?{how}", uri=True, timeout=10)) as read,
        closing(sqlite3.connect(target)) as written,
    ):
        read.backup(written, pages=-1)
        written.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _artifacts_in(file: Path) -> list[tuple[str, int]]:
    """Return digest and size of every artifact that a database at rest speaks of."""
    with closing(sqlite3.connect(f"{file.as_uri()}?immutable=1", uri=True)) as raw:
        return raw.execute("SELECT digest, size FROM artifacts ORDER BY digest").fetchall()


def copy_artifacts(wanted: Iterable[tuple[Any, ...]], source: Path, target: Path) -> tuple[str, ...]:
    """Copy artifacts, given by digest and size, between ledgers' folders; return those not as they should be.

    Raises:
        OSError: they cannot be written.
    """
    missing = []
    for digest, size in wanted:
        value = str(digest).removeprefix("sha256:")
        below = Path(_ARTIFACTS) / "sha256" / value[:2] / value
        if not value.isalnum() or not _copy_blob(source / below, target / below, digest, size):
            missing.append(str(digest))
    return tuple(missing)


def _copy_blob(source: Path, target: Path, digest: str, size: int) -> bool:
    """Copy one artifact and say whether it was what its name says."""
    import hashlib

    for folder in reversed(target.parents[:3]):  # artifacts, the kind of digest, its first digits
        folder.mkdir(mode=0o700, exist_ok=True)
    if target.exists():  # the same content: a blob is named by it
        return True
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    hashed, count = hashlib.sha256(), 0
    with open(descriptor, "rb") as read, open(_created(target), "wb") as written:  # noqa: PTH123  # descriptors
        while chunk := read.read(1 << 20):
            hashed.update(chunk)
            count += len(chunk)
            written.write(chunk)
    return f"sha256:{hashed.hexdigest()}" == digest and count == size


def _created(file: Path) -> int:
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)


def _look(folder: Path) -> Backup:
    """Open a copy as a ledger, and return what it holds."""
    try:
        with open_sqlite(folder, Mask(), must_exist=True) as copy, copy.store.reading() as connection:
            events = connection.execute("SELECT count(*) FROM events")[0][0]
            heads = connection.execute("SELECT note FROM heads ORDER BY size DESC LIMIT 1")
            artifacts = connection.execute("SELECT count(*) FROM artifacts")[0][0]
            ledger_id = copy.id
    except OrchError as error:
        raise LedgerError(
            f"the copy cannot be used: {error}", advice="orch ledger verify says what is damaged"
        ) from error
    _sweep_log(folder / FILE)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Backup(folder, ledger_id, size, events, artifacts, heads[0][0] if heads else None, ())


def _sweep_log(file: Path) -> None:
    """Leave one file: closing the last connection takes the write-ahead log into it."""
    with translated(file), closing(sqlite3.connect(file)) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _has_codes(file: Path) -> bool:
    """Return whether codes renew an escalation of a ledger at rest."""
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?immutable=1", uri=True)) as raw:
        return bool(raw.execute(_HAS_CODES).fetchall())


def _take_keys(old: Path, made: Path, ledger_id: str) -> frozenset[str]:
    """Take the keys of the ledger that was there, if it is the same ledger's, and return which there were."""
    found = [name for name in (KEY, SEAL_KEY) if (old / name).is_file() and not (old / name).is_symlink()]
    if not found:
        return frozenset()
    try:
        with open_sqlite(old, Mask(), must_exist=True) as before:
            if before.id != ledger_id:
                return frozenset()
    except OrchError:  # too damaged to say: a wrong key is refused where it is used
        pass
    for name in found:
        with open(_created(made / name), "wb") as written:
            written.write((old / name).read_bytes())
    return frozenset(found)


def _sync_tree(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
