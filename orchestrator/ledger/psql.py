"""Talks to PostgreSQL: connections with our settings, our SQL in its spelling, its errors in our words, the sequencer.

Knows the tables' schema, not who owns it.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import count
from typing import Any
from urllib.parse import quote, unquote

import psycopg
from psycopg import errors
from psycopg.adapt import Dumper
from psycopg.conninfo import conninfo_to_dict

from orchestrator.errors import LedgerError, UsageError
from orchestrator.ledger.store import Connection

SCHEMA = "orch"
OLDEST_SERVER = 130_000
"""As the server counts: 13.0."""
_CONNECT_S = 5
_WAIT_MS = 10_000
"""How long a writer waits for another one's row, as on SQLite."""
_FETCHED_AT_ONCE = 256
_SETTINGS = f"""
SELECT set_config('search_path', '{SCHEMA}, pg_temp', false), set_config('lock_timeout', '{_WAIT_MS}', false),
       CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END"""
_SEQUENCERS_TURN = 0x6F72_6368_0001
"""The key of the advisory lock; a ledger's database is its own, so nobody else's."""
_GIVE_LEAVES = r"""
INSERT INTO leaves (idx, event_id, hash)
SELECT (SELECT coalesce(max(idx), -1) FROM leaves) + row_number() OVER (ORDER BY n), id, sha256('\x00'::bytea || header)
FROM events
WHERE n > ? AND NOT EXISTS (SELECT 1 FROM leaves WHERE leaves.event_id = events.id)"""
_names = count(1)
logging.getLogger("psycopg").addHandler(logging.NullHandler())  # else a lost connection is told on stderr, twice
_ADVICE: tuple[tuple[tuple[type[psycopg.Error], ...], str], ...] = (
    (
        (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure),
        "nothing was recorded; try again",
    ),
    (
        (errors.InsufficientPrivilege, errors.InvalidSchemaName),
        "what only the owner may do needs the owner's URL; `orch ledger init --writer ROLE` grants what a writer needs",
    ),
    ((errors.UndefinedTable, errors.UndefinedColumn), "run `orch ledger init` with the owner's URL"),
    ((errors.DiskFull,), "free some space on the server; nothing was lost, and nothing was recorded"),
    (
        (errors.ReadOnlySqlTransaction,),
        "this server only reads (a standby?); name the one that writes with ORCH_LEDGER",
    ),
    ((psycopg.IntegrityError, psycopg.DataError), "nothing was recorded"),
    (
        (psycopg.OperationalError, psycopg.InterfaceError),
        "see that the server runs, and that host, user, database and password in the ledger's URL are right",
    ),
)
"""The first that fits counts."""
_PREPARE = "docs/ledger-postgres.md, Prepare, makes roles and database; or name another in the ledger's URL"


class _Truth(Dumper):
    """Writes True and False as 1 and 0, as SQLite does: no column of ours is a boolean."""

    oid = psycopg.adapters.types["int8"].oid

    def dump(self, obj: bool) -> bytes:  # noqa: FBT001  # psycopg's signature
        return b"1" if obj else b"0"


class PostgresConnection:
    """A connection of psycopg as ours."""

    def __init__(self, raw: "psycopg.Connection[Any]") -> None:
        self.raw = raw

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return all of its rows."""
        with self._cursor() as cursor:
            cursor.execute(native(sql), parameters)
            return cursor.fetchall() if cursor.description else []

    def stream(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Run one query and yield its rows without holding them all."""
        with self.raw.cursor(f"orch_{next(_names)}") as cursor:
            cursor.itersize = _FETCHED_AT_ONCE
            cursor.execute(native(sql), parameters)
            yield from cursor

    def change(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement and return how many rows it changed."""
        with self._cursor() as cursor:
            return cursor.execute(native(sql), parameters).rowcount

    def run(self, work: Iterable[tuple[str, Sequence[Sequence[Any]]]]) -> None:
        """Run statements in order, each once for each of its rows; all are sent before the first answer is read."""
        with self.raw.pipeline(), self._cursor() as cursor:
            for sql, rows in work:
                cursor.executemany(native(sql), rows)

    def _cursor(self) -> "psycopg.Cursor[Any]":
        cursor = self.raw.cursor()
        cursor.adapters.register_dumper(bool, _Truth)
        return cursor


def sequence(connection: Connection) -> int:
    """Give every committed event that has none its leaf, and return how many got one; one sequencer at a time.

    Events of a chain come in its order: each drew its `n` while it held the chain's row. Call it first in a transaction
    of its own; only then can it also learn how far the next call need not look back.

    Raises:
        LedgerError: another sequencer has been at it for too long, or this role may not.
    """
    connection.execute("SELECT pg_advisory_xact_lock(?::bigint)", (_SEQUENCERS_TURN,))
    [(newest, is_first)] = connection.execute(
        "SELECT last_value, pg_current_xact_id_if_assigned() IS NULL FROM events_n_seq"
    )
    [(now,)] = connection.execute("SELECT pg_current_xact_id()::text::bigint")
    [(floor, has_settled)] = connection.execute(
        "SELECT floor, pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= horizon FROM sequencer"
    )
    given = connection.change(_GIVE_LEAVES, (floor,))
    if has_settled and is_first:
        connection.execute("UPDATE sequencer SET floor = candidate, candidate = ?, horizon = ?", (newest, now))
    return given


@lru_cache(maxsize=512)
def native(sql: str) -> str:
    """Return a statement with psycopg's placeholders; what stands in quotes stays."""
    parts = sql.replace("%", "%%").split("'")
    return "'".join(part if at % 2 else part.replace("?", "%s") for at, part in enumerate(parts))


def connected(url: str) -> "psycopg.Connection[Any]":
    """Return a new connection with our settings; psycopg's errors pass through."""
    raw = psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=_CONNECT_S,
        application_name="orch",
        client_encoding="utf8",
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=30_000,
    )
    try:
        raw.execute(_SETTINGS)
    except BaseException:
        raw.close()
        raise
    return raw


def shown(url: str) -> str:
    """Return where a ledger is, without its password: `postgresql://user@host:port/database`, or with `?host=FOLDER`.

    Raises:
        UsageError: the URL cannot be read; it is not repeated, for it may hold a password.
    """
    try:
        said = conninfo_to_dict(url)
    except psycopg.Error as error:
        raise UsageError(
            "the ledger's URL cannot be read; expected postgresql://user@host:port/database",
            advice="in a password, write every special character as %XX",
        ) from error
    user, host, port = (f"{said.get(name) or ''}" for name in ("user", "host", "port"))
    who = f"{user}@" if user else ""
    at = f":{port}" if port else ""
    if host.startswith("/"):
        socket = f"?host={quote(host)}" + (f"&port={port}" if port else "")
        return f"postgresql://{who}/{said.get('dbname') or ''}{socket}"
    return f"postgresql://{who}{host}{at}/{said.get('dbname') or ''}"


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn every error of PostgreSQL into one of the ledger, with what to do and without a password."""
    try:
        yield
    except psycopg.Error as error:
        raise LedgerError(f"the ledger at {shown(url)} {reason(error, url)}", advice=_advice(error)) from error


def reason(error: "psycopg.Error", url: str) -> str:
    """Return what a database's error says, as one line without the URL's password."""
    text = " ".join((error.diag.message_primary or str(error)).split())
    secret = _password(url)
    for form in {secret, unquote(secret)} - {""}:
        text = text.replace(form, "***")
    match error:
        case errors.LockNotAvailable() | errors.DeadlockDetected():
            return f"is busy: {text}"
        case errors.InsufficientPrivilege():
            return f"does not let this role do that: {text}"
        case psycopg.IntegrityError() | psycopg.DataError():
            return f"refuses this: {text}"
        case _:
            return f"cannot be used: {text}"


def _password(url: str) -> str:
    try:
        return str(conninfo_to_dict(url).get("password") or "")
    except psycopg.Error:
        return ""


def _advice(error: "psycopg.Error") -> str:
    if type(error) is psycopg.OperationalError and "does not exist" in str(error):  # of connecting: without a code
        return _PREPARE
    for kinds, advice in _ADVICE:
        if isinstance(error, kinds):
            return advice
    return "run `orch ledger verify`; docs/ledger-postgres.md describes how to restore a backup"
