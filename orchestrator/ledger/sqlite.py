"""The ledger in SQLite: one file in a private folder, WAL, synchronous=FULL. Nothing to start, one machine."""

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator import place
from orchestrator.digest import new_id
from orchestrator.errors import DecisionError, LedgerError
from orchestrator.ledger.mask import Mask
from orchestrator.ledger.store import SCHEMA_VERSION, Connection, Ledger

if TYPE_CHECKING:
    import sqlite3
else:
    import _sqlite3 as sqlite3  # the package around it loads datetime, which every decision would pay for

FILE, KEY = "ledger.db", "head.key"
_SCHEMA = Path(__file__).parent / "sql" / "sqlite"
_WAIT_S = 10.0
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs"}
)
_BUSY = ("database is locked", "database table is locked", "database schema is locked", "locking protocol")
"""Also what a reader meets for a moment while another one clears up after a writer that was killed."""
_FOUND = "SELECT user_version, (SELECT count(*) FROM sqlite_master) FROM pragma_user_version"
"""In one statement: between two, another process may have made the tables."""
_OTHERS_WRITE = 0o022
_T = TypeVar("_T")


class SqliteConnection:
    """A connection of sqlite3 as ours."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return all of its rows."""
        return self.raw.execute(sql, parameters).fetchall()

    def stream(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Run one query and yield its rows without holding them all."""
        yield from self.raw.execute(sql, parameters)

    def change(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement and return how many rows it changed."""
        return self.raw.execute(sql, parameters).rowcount

    def run(self, work: Iterable[tuple[str, Sequence[Sequence[Any]]]]) -> None:
        """Run statements in order, each once for each of its rows."""
        for sql, rows in work:
            self.raw.executemany(sql, rows)


class SqliteStore:
    """One SQLite file."""

    gives_leaves = True
    wait_s = _WAIT_S
    """How long a writer waits for its turn."""

    def __init__(self, file: Path, raw: sqlite3.Connection) -> None:
        self.file = file
        self._connection = SqliteConnection(raw)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a transaction that may write; waits its turn with jitter, which is fairer than SQLite's own waiting."""
        raw = self._connection.raw
        with translated(self.file):
            _begin(raw, self.wait_s)
            try:
                yield self._connection
                raw.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    raw.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a transaction that sees one state of the ledger."""
        raw = self._connection.raw
        with translated(self.file):
            raw.execute("BEGIN")
            try:
                _wait(lambda: raw.execute("SELECT 1 FROM meta"), self.wait_s)
                yield self._connection
            finally:
                with suppress(sqlite3.Error):
                    raw.execute("ROLLBACK")

    def close(self) -> None:
        """Let go of the file."""
        self._connection.raw.close()


def open_sqlite(folder: Path, mask: Mask, *, must_exist: bool = False, is_default: bool = False) -> Ledger:
    """Return the ledger in `folder`, made first where there is none.

    Raises:
        LedgerError: the folder or file cannot be opened, is open to others, lies on a network file system, is no
            ledger, is damaged, or was written by a newer orch.
    """
    file = folder / FILE
    is_new = not file.exists()
    if is_new and must_exist:
        where = "" if is_default else f" in {str(folder)!r}"
        advice = "what records makes one, such as orch evaluate or orch set-deadline; or name another with ORCH_LEDGER"
        raise LedgerError(f"there is no ledger yet{where}", advice=advice)
    if is_new:
        _prepare(folder)
    else:
        _look_at(file)
    if is_new or not file.stat().st_size:
        _refuse_successor(folder)
    if is_new:
        _create(file)
    with translated(file):
        raw = _connect(file)
        try:
            ledger_id = _ready(raw, file, is_new=is_new)
        except BaseException:
            raw.close()
            raise
    return Ledger(SqliteStore(file, raw), ledger_id, folder, mask)


@contextmanager
def translated(file: Path) -> Iterator[None]:
    """Turn every error of SQLite into one of the ledger, with what to do."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise LedgerError(f"the ledger {str(file)!r} refuses this: {error}") from error
    except sqlite3.Error as error:
        raise LedgerError(f"the ledger {str(file)!r} {_reason(error)}", advice=_advice(error)) from error


def _reason(error: sqlite3.Error) -> str:
    text = str(error)
    if text in _BUSY:
        return "is busy: another process has been writing for too long"
    if isinstance(error, sqlite3.OperationalError):
        return f"cannot be used: {text}"
    return f"is damaged or no ledger: {text}"


def _advice(error: sqlite3.Error) -> str:
    text = str(error)
    if text in _BUSY:
        return "try again; see with `fuser` who holds the file"
    if "full" in text:
        return "free some space; nothing was lost, and nothing was recorded"
    if "readonly" in text or "unable to open" in text:
        return "see that the folder and the file can be written, or name another ledger with ORCH_LEDGER"
    return "run `orch ledger verify`; docs/ledger-use.md describes how to restore a backup"


def _connect(file: Path) -> sqlite3.Connection:
    raw = sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False)
    _wait(lambda: raw.execute("PRAGMA synchronous=FULL"))  # reads the file, which the last to close it may hold
    raw.execute("PRAGMA trusted_schema=OFF")
    return raw


def _prepare(folder: Path) -> None:
    try:
        place.private_dir(folder)
    except DecisionError as error:
        writable = "name a folder that you can write with ORCH_LEDGER or --ledger; by default it lies in XDG_STATE_HOME"
        advice = writable if isinstance(error.__cause__, OSError) else error.advice
        raise LedgerError(f"the ledger cannot be made: {error}", advice=advice) from error
    if kind := _network(folder):
        raise LedgerError(
            f"the ledger's folder {str(folder)!r} lies on a network file system ({kind}), where SQLite loses records",
            advice="name a local folder with ORCH_LEDGER, or use postgresql:// for many machines",
        )


def _create(file: Path) -> None:
    """Make the file for its owner alone; SQLite would let others read it, and makes its log with the same mode."""
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise LedgerError(
            f"the ledger {str(file)!r} cannot be made: {error.strerror}",
            advice="see that the folder can be written and has room, or name another ledger with ORCH_LEDGER",
        ) from error


def _refuse_successor(folder: Path) -> None:
    """Make no new ledger in the place of one that has gone: its heads would be signed with the key of that one."""
    if (folder / KEY).exists():
        raise LedgerError(
            f"the ledger in {str(folder)!r} is gone, and its key {KEY} is still there",
            advice="restore a backup (docs/ledger-use.md); or move the folder away, and a new ledger is made",
        )


def _look_at(file: Path) -> None:
    """Refuse a ledger that another user could have written."""
    try:
        for seen, what in ((file.lstat(), "the file"), (file.parent.stat(), "the folder")):
            name = str(file if what == "the file" else file.parent)
            if what == "the file" and not stat.S_ISREG(seen.st_mode):
                raise LedgerError(f"the ledger {name!r} is no plain file", advice="name its folder with ORCH_LEDGER")
            if seen.st_uid not in {os.geteuid(), 0}:
                raise LedgerError(
                    f"{what} {name!r} belongs to user {seen.st_uid}, not to user {os.geteuid()}",
                    advice="run as its owner, or name another ledger with ORCH_LEDGER",
                )
            if seen.st_mode & _OTHERS_WRITE:
                raise LedgerError(
                    f"{what} {name!r} can be written by others (mode {stat.S_IMODE(seen.st_mode):03o})",
                    advice=f"chmod go-w {name}; then run `orch ledger verify`",
                )
    except OSError as error:
        raise LedgerError(f"the ledger {str(file)!r} cannot be read: {error.strerror}") from error


def _network(folder: Path) -> str:
    """Return the kind of network file system that a folder lies on, or ""; known on Linux alone."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return network_kind(str(folder.resolve()), mounts)


def network_kind(folder: str, mounts: str) -> str:
    """Return the kind of network file system that a folder lies on by a table of mounts, or "" for a local one."""
    best, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        point = fields[1].replace("\\040", " ").rstrip("/") + "/"
        if f"{folder}/".startswith(point) and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind if kind in _NETWORK else ""


def _ready(raw: sqlite3.Connection, file: Path, *, is_new: bool) -> str:
    """Bring the file to this version and return the ledger's id."""
    version, tables = _wait(lambda: raw.execute(_FOUND).fetchone())
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"the ledger {str(file)!r} has format {version}; this orch knows formats up to {SCHEMA_VERSION}",
            advice="use the newer orch that wrote it",
        )
    if version < SCHEMA_VERSION:
        if not is_new and version == 0 and tables:
            advice = "name another folder with ORCH_LEDGER"
            raise LedgerError(f"{str(file)!r} is a database, but no ledger", advice=advice)
        _migrate(raw, version)
    found = _wait(lambda: raw.execute("SELECT value FROM meta WHERE name = 'ledger_id'").fetchone())
    if found is None:
        raise LedgerError(
            f"the ledger {str(file)!r} has lost its name", advice="restore a backup; see docs/ledger-use.md"
        )
    return str(found[0])


def _migrate(raw: sqlite3.Connection, version: int) -> None:
    """Run the SQL files that are missing, in one transaction; of two processes at once the second finds it done."""
    if version == 0:
        _wait(lambda: raw.execute("PRAGMA journal_mode=WAL"))
    _begin(raw)
    try:
        version = raw.execute("PRAGMA user_version").fetchone()[0]
        for script in sorted(_SCHEMA.glob("*.sql")):
            if int(script.name[:4]) > version:
                for statement in _statements(script.read_text(encoding="utf-8")):
                    raw.execute(statement)
        if version == 0:
            raw.execute("INSERT INTO meta (name, value) VALUES ('ledger_id', ?)", (new_id().replace("-", ""),))
        raw.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        raw.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            raw.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    gathered = ""
    for line in script.splitlines(keepends=True):
        gathered += line
        if sqlite3.complete_statement(gathered):
            yield gathered
            gathered = ""


def _begin(raw: sqlite3.Connection, wait_s: float = _WAIT_S) -> None:
    _wait(lambda: raw.execute("BEGIN IMMEDIATE"), wait_s)


def _wait(attempt: Callable[[], _T], wait_s: float = _WAIT_S) -> _T:
    """Return what `attempt` gives once nobody else holds the file."""
    end, step = time.monotonic() + wait_s, 0.0005
    while True:
        try:
            return attempt()
        except sqlite3.OperationalError as error:
            if str(error) not in _BUSY or time.monotonic() > end:
                raise
        time.sleep(step * (0.5 + os.urandom(1)[0] / 256))  # jitter; `random` is slow to import
        step = min(step * 1.5, 0.005)  # longer is unfair to who waits, shorter slows who writes
