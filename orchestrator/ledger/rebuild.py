"""Makes the projections again out of the events, and says where the tables differ from what that would give.

After `append`, whose tables it judges. Changes projections alone, never the record.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.errors import LedgerError
from orchestrator.ledger.project import TABLES, of_repository, statements
from orchestrator.ledger.store import SCHEMA_VERSION, Connection, Ledger

Progress = Callable[[int], None]
"""Told now and then how many events were read."""

_SCHEMA = Path(__file__).parent / "sql" / "sqlite"
_EVERY = 1_000
_DECIDED = "SELECT DISTINCT repository FROM events WHERE type = 'orch.decision' ORDER BY repository"
"""Decisions are most of a ledger, and no table comes of them but for their repositories: they are not gone through."""
_WITH_LEAF = """
SELECT e.id, e.header, p.body FROM events e JOIN leaves l ON l.event_id = e.id
LEFT JOIN payloads p ON p.event_id = e.id WHERE e.type <> 'orch.decision' ORDER BY l.idx"""
_WITHOUT_LEAF = """
SELECT e.id, e.header, p.body FROM events e LEFT JOIN payloads p ON p.event_id = e.id
WHERE e.type <> 'orch.decision' AND NOT EXISTS (SELECT 1 FROM leaves l WHERE l.event_id = e.id) ORDER BY e.n"""
_ERASURES = """
SELECT p.body FROM events e JOIN payloads p ON p.event_id = e.id WHERE e.type = 'orch.ledger.erased' ORDER BY e.n"""
_GONE = """
SELECT (SELECT count(*) FROM leaves WHERE NOT EXISTS (SELECT 1 FROM events WHERE events.id = leaves.event_id)),
       (SELECT coalesce(max(size), 0) FROM heads) - (SELECT count(*) FROM leaves)"""
_SHOWN_CHARS = 60
_ONCE = "ON CONFLICT DO NOTHING"
_MOST_REMEMBERED = 10_000


class _Table(NamedTuple):
    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    @property
    def listed(self) -> str:
        return ", ".join(self.columns)


def rebuild(ledger: Ledger, progress: Progress | None = None) -> int:
    """Make every projection again, in one transaction, and return of how many events, decisions aside.

    Raises:
        LedgerError: an event is damaged, or its payload gives no row; nothing was changed.
    """
    with ledger.store.writing() as connection:
        return rebuild_in(connection, progress)


def rebuild_in(connection: Connection, progress: Progress | None = None) -> int:
    """Do what `rebuild` does inside an open transaction.

    Raises:
        LedgerError: as `rebuild`.
    """
    for table in reversed(TABLES):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608  # of constants
    count = 0
    for row in _replayed(connection):
        if isinstance(row.said, str):
            raise LedgerError(
                f"the tables cannot be made again: {row.said}", advice="orch ledger verify says what is damaged"
            )
        for sql, parameters in row.said:
            connection.execute(sql, parameters)
        count += bool(row.event_id)
        if progress is not None and count % _EVERY == 0:
            progress(count)
    return count


def gone(ledger: Ledger) -> int:
    """Return how many events the tree or its last head speaks of that are not there, so that no table has them."""
    with ledger.store.reading() as connection:
        without_event, without_leaf = connection.execute(_GONE)[0]
    return int(without_event) + max(0, int(without_leaf))


def differences(ledger: Ledger, connection: Connection) -> Iterator[str]:
    """Yield each way in which the projections differ from what `rebuild` would make; the ledger is only read.

    The tables are made in a temporary database on the disk, so memory stays bounded. Of a ledger of an older format
    those columns are compared that it has.
    """
    known = _columns_of_older(ledger, connection)
    with _scratch() as raw:
        for row in _replayed(connection):
            yield from _applied(raw, row)
        for name in TABLES:
            table = _table(raw, name)
            if known is not None:
                table = table._replace(columns=tuple(one for one in table.columns if one in known.get(name, ())))
            if table.columns:
                yield from _compared(connection, raw, table)


def _columns_of_older(ledger: Ledger, connection: Connection) -> dict[str, set[str]] | None:
    """Return the columns of each table where the file is of an older format; None where it has every one.

    Only SQLite opens such a ledger without bringing it up to date: to read it.
    """
    if not ledger.gives_leaves or connection.execute("PRAGMA user_version")[0][0] == SCHEMA_VERSION:
        return None
    return {name: {row[1] for row in connection.execute(f"PRAGMA table_info({name})")} for name in TABLES}


class _Row(NamedTuple):
    event_id: str
    said: list[tuple[str, tuple[Any, ...]]] | str
    """The statements that follow from an event, or why there can be none."""


def _replayed(connection: Connection) -> Iterator[_Row]:
    """Yield what follows from each event, in the order of the leaves, then of writing.

    Of an erased payload what its erasure kept stands in its place.
    """
    kept, done = _kept(connection), set[tuple[str, tuple[Any, ...]]]()
    for (repository,) in connection.stream(_DECIDED):
        yield _Row("", list(_new(of_repository(str(repository)), done)))
    for event_id, header, body in chain(connection.stream(_WITH_LEAF), connection.stream(_WITHOUT_LEAF)):
        try:
            payload = kept.get(event_id, {}) if body is None else json.loads(bytes(body))
            said: list[tuple[str, tuple[Any, ...]]] | str = list(
                _new(statements(json.loads(bytes(header)), payload), done)
            )
        except Exception as error:  # noqa: BLE001  # whatever is wrong with it is told
            said = f"event {str(event_id)[:40]} is damaged: {type(error).__name__}: {error}"
        yield _Row(str(event_id), said)


def _new(
    said: Iterator[tuple[str, tuple[Any, ...]]], done: set[tuple[str, tuple[Any, ...]]]
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield statements without those that were given before and would do nothing: no projection deletes a row."""
    for statement in said:
        if statement[0].endswith(_ONCE):
            if statement in done:
                continue
            if len(done) < _MOST_REMEMBERED:
                done.add(statement)
        yield statement


def _kept(connection: Connection) -> dict[str, dict[str, Any]]:
    found = {}
    for (body,) in connection.stream(_ERASURES):
        try:
            payload = json.loads(bytes(body))
            kept = payload.get("kept")
            if isinstance(kept, dict):
                found[payload["event"]] = kept
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            continue  # the event itself is told of when it is read
    return found


def _scratch() -> "_Scratch":
    return _Scratch()


class _Scratch:
    """A temporary database with the projections' tables; gone at the end."""

    def __enter__(self) -> sqlite3.Connection:
        self._raw = sqlite3.connect("", isolation_level=None)  # a file without a name, beside what fits into the cache
        self._raw.execute("PRAGMA journal_mode=OFF")
        self._raw.execute("PRAGMA synchronous=OFF")
        for script in sorted(_SCHEMA.glob("*.sql")):
            self._raw.executescript(script.read_text(encoding="utf-8"))
        self._raw.execute("BEGIN")
        return self._raw

    def __exit__(self, *_: object) -> None:
        self._raw.close()


def _applied(raw: sqlite3.Connection, row: _Row) -> Iterator[str]:
    if isinstance(row.said, str):
        yield row.said
        return
    for sql, parameters in row.said:
        try:
            raw.execute(sql, parameters)
        except (sqlite3.Error, OverflowError) as error:
            yield f"event {row.event_id[:40]} gives no row: {error}"


def _table(raw: sqlite3.Connection, name: str) -> _Table:
    listed = raw.execute(f"PRAGMA table_info({name})").fetchall()
    key = sorted((at, column) for _, column, _, _, _, at in listed if at)
    return _Table(name, tuple(column for _, column, *_ in listed), tuple(column for _, column in key))


def _compared(connection: Connection, raw: sqlite3.Connection, table: _Table) -> Iterator[str]:
    """Take each row that is there away from those that should be; what is left over is missing."""
    place = tuple(table.columns.index(column) for column in table.key)
    condition = " AND ".join(f"{column} = ?" for column in table.key)
    take = f"DELETE FROM {table.name} WHERE {condition} RETURNING {table.listed}"  # noqa: S608  # of the schema
    for row in connection.stream(f"SELECT {table.listed} FROM {table.name}"):  # noqa: S608  # of the schema
        key = tuple(row[at] for at in place)
        try:
            expected = raw.execute(take, key).fetchall()
        except (sqlite3.Error, OverflowError) as error:
            yield f"{table.name}: a row {_shown(key)} cannot be read: {error}"
            continue
        if not expected:
            yield f"{table.name}: the row {_shown(key)} follows from no event"
        elif expected[0] != row:
            yield from (
                f"{table.name}: {column} of {_shown(key)} is {_text(seen)}; the events give {_text(wanted)}"
                for column, seen, wanted in zip(table.columns, row, expected[0], strict=True)
                if seen != wanted
            )
    for row in raw.execute(f"SELECT {', '.join(table.key)} FROM {table.name}"):  # noqa: S608  # of the schema
        yield f"{table.name}: the row {_shown(row)} is missing"


def _shown(key: Sequence[Any]) -> str:
    return ", ".join(map(_text, key))


def _text(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 3]}..."
