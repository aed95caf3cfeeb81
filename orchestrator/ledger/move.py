"""Moves a ledger from a folder into an empty database: the same events, leaves, heads and id, to the byte.

So every chain, head and export stays valid. The projections are made again there.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator import place
from orchestrator.errors import LedgerError, UsageError
from orchestrator.ledger.backup import KEY, SEAL_KEY, copy_artifacts
from orchestrator.ledger.event import COLUMNS
from orchestrator.ledger.rebuild import rebuild_in
from orchestrator.ledger.store import Connection, Ledger

_BATCH = 500
_EVENT = ("id", *COLUMNS, "header")
_HEAD = ("size", "root", "note", "signed_at", "frontier")
_CHAIN = ("run_id", "next_seq", "head")
_ROWS = f"""
SELECT {", ".join(f"e.{name}" for name in _EVENT)}, l.idx, l.hash, p.salt, p.body FROM leaves l
JOIN events e ON e.id = l.event_id LEFT JOIN payloads p ON p.event_id = e.id ORDER BY l.idx"""  # noqa: S608  # of constants


class Moved(NamedTuple):
    """What was moved."""

    events: int
    artifacts: int
    missing: tuple[str, ...]
    """Artifacts that were not there, or not what they should be."""
    folder: Path
    """Where artifacts lie now, and the key that signs heads belongs."""
    has_key: bool
    """Whether a key lies there."""
    lacks_seal_key: bool
    """Whether escalations in it have codes, and the key of their seals does not lie there."""


def move(source: Ledger, target: Ledger) -> Moved:
    """Copy a ledger into a store in which nothing was recorded yet, opened by its owner; the source stays as it is.

    Open the target again afterwards: it has the source's id then. Nobody may write to the source meanwhile.

    Raises:
        UsageError: something is recorded there already.
        LedgerError: the source is damaged, or the target cannot be written; nothing was moved.
    """
    with source.store.reading() as read:
        with target.store.writing() as write:
            if write.execute("SELECT 1 FROM events LIMIT 1"):
                raise UsageError("the ledger there holds events already", advice="name an empty database")
            if not target.gives_leaves:
                target.store.sequence(write)  # type: ignore[attr-defined]  # of stores that need one; takes its turn
            count = _copy(read, write)
            if count != read.execute("SELECT count(*) FROM events")[0][0]:
                raise LedgerError(
                    "an event has no leaf, or a leaf no event", advice="run orch ledger verify on what is moved"
                )
            write.execute("UPDATE meta SET value = ? WHERE name = 'ledger_id'", (source.id,))
            rebuild_in(write)
        has_codes = bool(read.execute("SELECT 1 FROM renewal_codes LIMIT 1"))
        artifacts = read.execute("SELECT digest, size FROM artifacts ORDER BY digest")
    folder = _renamed(target, source.id)
    missing = copy_artifacts(artifacts, source.folder, folder)
    lacks_seal_key = has_codes and not (folder / SEAL_KEY).is_file()
    return Moved(count, len(artifacts), missing, folder, (folder / KEY).is_file(), lacks_seal_key)


def _renamed(target: Ledger, ledger_id: str) -> Path:
    """Return the folder of the ledger that the target is now; one that was named stays what it is."""
    if target.folder.name != target.id:
        return target.folder
    with suppress(OSError):
        target.folder.rmdir()
    return place.private_dir(target.folder.with_name(ledger_id))


def _copy(read: Connection, write: Connection) -> int:
    count, width = 0, len(_EVENT)
    for rows in _batches(read.stream(_ROWS)):
        _insert(write, "events", _EVENT, (row[:width] for row in rows))
        _insert(write, "leaves", ("idx", "event_id", "hash"), ((row[width], row[0], row[width + 1]) for row in rows))
        said = ((row[0], *row[width + 2 :]) for row in rows if row[width + 2] is not None)
        _insert(write, "payloads", ("event_id", "salt", "body"), said)
        count += len(rows)
    for table, columns in (("heads", _HEAD), ("chains", _CHAIN)):
        for rows in _batches(read.stream(f"SELECT {', '.join(columns)} FROM {table}")):  # noqa: S608  # of constants
            _insert(write, table, columns, rows)
    return count


def _insert(write: Connection, table: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608  # of constants
    if given := list(rows):
        write.run([(sql, given)])


def _batches(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch
