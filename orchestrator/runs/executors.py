"""Who executes: a row and a lock for every process that holds a lease. They lie beside the engine's tables.

The lock goes with the process at once; the row tells that it hung. On SQLite: files and a small database in the
ledger's folder; on PostgreSQL: a session's advisory lock and a table in the schema `orch_engine`.
"""

import errno
import fcntl
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from orchestrator import clock
from orchestrator.digest import sha256
from orchestrator.errors import LedgerError
from orchestrator.ledger.store import Ledger

if TYPE_CHECKING:
    import psycopg

SCHEMA = "orch_engine"
"""Of the engine's tables on PostgreSQL."""
FOLDER = "executors"
"""Of the locks, within a ledger's folder."""
FILE = "executors.db"
_ID = re.compile(r"[a-z0-9][a-z0-9.-]{0,180}")
_WAIT_S = 10.0
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
"""What SQLite says of a file that is none of its own, or not as it was made."""
_NO_FILE = frozenset({errno.EISDIR, errno.ELOOP})
_LIVE, _LOST = "live", "lost"
_TABLES = (
    "CREATE TABLE IF NOT EXISTS executors (id TEXT PRIMARY KEY, beat BIGINT NOT NULL, state TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS hindrances (
    run_id TEXT NOT NULL, executor TEXT NOT NULL, at TEXT NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (run_id, executor))""",
)
_HINDER = """INSERT INTO hindrances (run_id, executor, at, reason) VALUES (?, ?, ?, ?)
ON CONFLICT (run_id, executor) DO UPDATE SET at = excluded.at, reason = excluded.reason"""
_MOST_REASON = 1_000
_SESSION = """
SELECT set_config('search_path', 'orch_engine, pg_temp', false), set_config('synchronous_commit', 'off', false),
       set_config('tcp_keepalives_idle', '3', false), set_config('tcp_keepalives_interval', '2', false),
       set_config('tcp_keepalives_count', '3', false), set_config('lock_timeout', '5000', false),
       set_config('tcp_user_timeout', '9000', false),
       CASE WHEN current_setting('idle_session_timeout', true) IS NOT NULL
       THEN set_config('idle_session_timeout', '0', false) END"""
"""By the server's own probes a host that vanished is noticed within 10 s."""
_NOW = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
IS_LOCKED = """
SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND classid::bigint = %s AND objid::bigint = %s)"""
"""Given `keys_of` an executor: whether a session holds its lock."""


class Beat(NamedTuple):
    """One executor as others see it."""

    id: str
    at: int
    """What it wrote last; changes with every beat."""
    age_s: float
    """How long ago that was; a wait of the whole machine counts, too."""
    is_lost: bool
    """Its work was given to others; it may do nothing more."""


def advice_on(error: OSError | sqlite3.Error, name: str) -> str:
    """Return what to do about a file beside the ledger that cannot be used; none of them holds any record."""
    is_damaged = getattr(error, "sqlite_errorcode", None) in _DAMAGED or getattr(error, "errno", None) in _NO_FILE
    if is_damaged:
        return f"end every worker and move {name}, {name}-wal and {name}-shm away: runs go on by what the ledger says"
    return "see that the ledger's folder can be written and has room"


class Executors(Protocol):
    """The register of executors of one ledger."""

    def enter(self, name: str) -> None:
        """Take the lock of this process and write its row.

        Raises:
            LedgerError: the place cannot be written.
        """

    def beat(self, name: str) -> bool:
        """Write that it lives; False where its work was given to others.

        Raises:
            LedgerError: it cannot be written, so nothing is known.
        """

    def is_live(self, name: str) -> bool:
        """Return whether its work is its own still; writes nothing.

        Raises:
            LedgerError: it cannot be read, so nothing is known.
        """

    def leave(self, name: str) -> None:
        """Give the lock back and remove the row."""

    def is_dead(self, name: str) -> bool:
        """Return whether nobody holds the lock of this executor."""

    def beats(self) -> list[Beat]:
        """Return every row."""

    def lose(self, name: str, at: int | None = None) -> bool:
        """Take the right to go on from an executor; False where it has beaten since `at`, or lost it before."""

    def forget(self, name: str) -> None:
        """Remove what is left of a dead executor."""

    def hinder(self, name: str, run_id: str, reason: str) -> None:
        """Write why an executor cannot go on with a run; of each pair the newest reason is kept."""

    def unhinder(self, run_id: str) -> None:
        """Remove what hindered a run: somebody goes on with it."""

    def close(self) -> None:
        """Let go of the register."""


def executors_of(ledger: Ledger) -> Executors:
    """Return the register that belongs to a ledger.

    Raises:
        LedgerError: it cannot be opened.
    """
    url = getattr(ledger.store, "url", None)
    return ServerExecutors(url) if url else FolderExecutors(ledger.folder)


def boot_ms() -> int:
    """Return milliseconds since the machine started, sleep included."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) // 1_000_000


class FolderExecutors:
    """Files with locks, and one small SQLite database: one machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._file = folder / FILE
        self._locks: dict[str, int] = {}
        with self._told():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._raw = sqlite3.connect(self._file, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
            self._file.chmod(0o600)
            self._raw.execute("PRAGMA journal_mode=WAL")
            self._raw.execute("PRAGMA synchronous=NORMAL")
            for table in _TABLES:
                self._raw.execute(table)

    def enter(self, name: str) -> None:
        """Take the lock and write the row."""
        with self._told():
            descriptor = os.open(self._lock(name), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._locks[name] = descriptor
            self._raw.execute("INSERT INTO executors (id, beat, state) VALUES (?, ?, ?)", (name, boot_ms(), _LIVE))

    def beat(self, name: str) -> bool:
        """Write that it lives."""
        with self._told():
            sql = "UPDATE executors SET beat = ? WHERE id = ? AND state = ?"
            return self._raw.execute(sql, (boot_ms(), name, _LIVE)).rowcount == 1

    def is_live(self, name: str) -> bool:
        """Return whether its work is its own still."""
        with self._told():
            sql = "SELECT 1 FROM executors WHERE id = ? AND state = ?"
            return bool(self._raw.execute(sql, (name, _LIVE)).fetchall())

    def leave(self, name: str) -> None:
        """Give the lock back and remove the row."""
        if name in self._locks:
            self.forget(name)
            os.close(self._locks.pop(name))

    def is_dead(self, name: str) -> bool:
        """Return whether nobody holds the lock of this executor; of what is no executor's name nothing is known."""
        if not is_name(name):
            return False
        return is_free(self._lock(name))

    def beats(self) -> list[Beat]:
        """Return every row; one of an earlier start of the machine is younger than now only by accident."""
        now = boot_ms()
        with self._told():
            rows = self._raw.execute("SELECT id, beat, state FROM executors ORDER BY id").fetchall()
        return [Beat(name, beat, (now - beat) / 1000, state == _LOST) for name, beat, state in rows]

    def lose(self, name: str, at: int | None = None) -> bool:
        """Take the right to go on from an executor."""
        with self._told():
            sql = "UPDATE executors SET state = ? WHERE id = ? AND state = ? AND beat = coalesce(?, beat)"
            return self._raw.execute(sql, (_LOST, name, _LIVE, at)).rowcount == 1

    def forget(self, name: str) -> None:
        """Remove what is left of an executor."""
        with self._told():
            self._raw.execute("DELETE FROM hindrances WHERE executor = ?", (name,))
            self._raw.execute("DELETE FROM executors WHERE id = ?", (name,))
            self._lock(name).unlink(missing_ok=True)

    def hinder(self, name: str, run_id: str, reason: str) -> None:
        """Write why an executor cannot go on with a run."""
        with self._told():
            self._raw.execute(_HINDER, (run_id, name, clock.format_time(clock.now_ns()), reason[:_MOST_REASON]))

    def unhinder(self, run_id: str) -> None:
        """Remove what hindered a run."""
        with self._told():
            self._raw.execute("DELETE FROM hindrances WHERE run_id = ?", (run_id,))

    def close(self) -> None:
        """Let go of the register."""
        for name in list(self._locks):
            self.leave(name)
        self._raw.close()

    def _lock(self, name: str) -> Path:
        return self._folder / f"{name}.lock"

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise LedgerError(
                f"the register of executors {str(self._file)!r} cannot be used: {error}", advice=advice_on(error, FILE)
            ) from error


class ServerExecutors:
    """A session of its own on the ledger's server: advisory locks and a table, for many machines."""

    def __init__(self, url: str) -> None:
        from orchestrator.ledger.psql import connected

        self._url = url
        with self._told():
            self._raw = connected(url)
            try:
                self._begin()
            except BaseException:
                self._raw.close()
                raise

    def enter(self, name: str) -> None:
        """Take the lock and write the row."""
        with self._told():
            self._raw.execute("SELECT pg_advisory_lock(%s, %s)", _signed(keys_of(name)))
            self._raw.execute(f"INSERT INTO executors (id, beat, state) VALUES (%s, {_NOW}, %s)", (name, _LIVE))  # noqa: S608  # constants

    def beat(self, name: str) -> bool:
        """Write that it lives, in the session that holds the lock."""
        with self._told():
            sql = f"UPDATE executors SET beat = {_NOW} WHERE id = %s AND state = %s"  # noqa: S608  # constants
            return self._raw.execute(sql, (name, _LIVE)).rowcount == 1

    def is_live(self, name: str) -> bool:
        """Return whether its work is its own still: asked in the session that holds the lock, which lives by that."""
        with self._told():
            sql = "SELECT 1 FROM executors WHERE id = %s AND state = %s"
            return bool(self._raw.execute(sql, (name, _LIVE)).fetchall())

    def leave(self, name: str) -> None:
        """Remove the row and give the lock back."""
        self.forget(name)
        with self._told():
            self._raw.execute("SELECT pg_advisory_unlock(%s, %s)", _signed(keys_of(name)))

    def is_dead(self, name: str) -> bool:
        """Return whether no session holds the lock of this executor."""
        if not is_name(name):
            return False
        with self._told():
            return not self._raw.execute(IS_LOCKED, keys_of(name)).fetchall()[0][0]

    def beats(self) -> list[Beat]:
        """Return every row; ages are by the server's clock."""
        with self._told():
            sql = f"SELECT id, beat, {_NOW} - beat, state FROM executors ORDER BY id"  # noqa: S608  # constants
            rows = self._raw.execute(sql).fetchall()
        return [Beat(name, beat, age / 1000, state == _LOST) for name, beat, age, state in rows]

    def lose(self, name: str, at: int | None = None) -> bool:
        """Take the right to go on from an executor."""
        with self._told():
            sql = "UPDATE executors SET state = %s WHERE id = %s AND state = %s AND beat = coalesce(%s::bigint, beat)"
            return self._raw.execute(sql, (_LOST, name, _LIVE, at)).rowcount == 1

    def forget(self, name: str) -> None:
        """Remove what is left of an executor."""
        with self._told():
            self._raw.execute("DELETE FROM hindrances WHERE executor = %s", (name,))
            self._raw.execute("DELETE FROM executors WHERE id = %s", (name,))

    def hinder(self, name: str, run_id: str, reason: str) -> None:
        """Write why an executor cannot go on with a run."""
        with self._told():
            said = (run_id, name, clock.format_time(clock.now_ns()), reason[:_MOST_REASON])
            self._raw.execute(_HINDER.replace("?", "%s"), said)

    def unhinder(self, run_id: str) -> None:
        """Remove what hindered a run."""
        with self._told():
            self._raw.execute("DELETE FROM hindrances WHERE run_id = %s", (run_id,))

    def close(self) -> None:
        """End the session, and with it its lock."""
        self._raw.close()

    def _begin(self) -> None:
        self._raw.execute(_SESSION)
        if not self._raw.execute("SELECT to_regclass('orch_engine.hindrances') IS NOT NULL").fetchall()[0][0]:
            make_table(self._raw)

    @contextmanager
    def _told(self) -> Iterator[None]:
        from orchestrator.ledger.psql import translated

        with translated(self._url):
            yield


def make_table(raw: "psycopg.Connection[Any]") -> None:
    """Make the schema of the engine and the register's tables, where they are missing; two at once do no harm.

    Raises:
        LedgerError: this role may not, so the owner has to prepare them.
    """
    import psycopg

    try:
        with raw.transaction():
            raw.execute("SELECT pg_advisory_xact_lock(%s::bigint)", (0x6F72_6368_0003,))
            found = raw.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (SCHEMA,)).fetchall()
            if not found:
                raw.execute(f"CREATE SCHEMA {SCHEMA}")
            for table in _TABLES:
                raw.execute(table.replace("EXISTS ", f"EXISTS {SCHEMA}.", 1))
    except psycopg.errors.InsufficientPrivilege as error:
        raise LedgerError(
            "the engine's tables are missing from the ledger's database, and this role may not make them",
            advice="run `orch ledger init` with the owner's URL, naming this role with --writer",
        ) from error


def is_name(text: str) -> bool:
    """Return whether a text can be an executor's name."""
    return bool(_ID.fullmatch(text))


def is_free(lock: Path) -> bool:
    """Return whether nobody holds the lock in a file, so that its executor has ended; where that is unclear, False."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def keys_of(name: str) -> tuple[int, int]:
    """Return the two halves of an executor's lock, as the server shows them."""
    digest = sha256(name.encode()).removeprefix("sha256:")
    return int(digest[:8], 16), int(digest[8:16], 16)


def _signed(keys: tuple[int, int]) -> tuple[int, int]:
    first, second = (key - 2**32 if key >= 2**31 else key for key in keys)
    return first, second


def quiet_close(executors: Executors, name: str) -> None:
    """Leave and close, whatever became of the place meanwhile: the lock ends with the process at the latest."""
    with suppress(LedgerError):
        executors.leave(name)
    with suppress(LedgerError):
        executors.close()
