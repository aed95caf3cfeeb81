"""Opens a ledger to be verified: only to read, and whatever lies there, which may be anything."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.errors import LedgerError
from orchestrator.ledger import verify_postgres
from orchestrator.ledger.mask import Mask
from orchestrator.ledger.open import default_folder, is_url, open_ledger
from orchestrator.ledger.sqlite import FILE, SqliteStore
from orchestrator.ledger.store import SCHEMA_VERSION, Connection, Ledger
from orchestrator.ledger.verify_report import Finding, Findings

_SCHEMA = Path(__file__).parent / "sql" / "sqlite"
_OBJECTS = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
_CACHE_KIB = 65_536
_BACKUP = "restore a backup; docs/ledger-use.md says how"


@contextmanager
def opened(place: Ledger | str | None) -> Iterator[Ledger]:
    """Give the ledger at a place, to read only; one that is open already is given as it is.

    Raises:
        LedgerError: there is none, it is no ledger, cannot be read, or was written by a newer orch.
        UsageError: the place is none.
        sqlite3.Error: the file is damaged.
    """
    if isinstance(place, Ledger):
        yield place
    elif place and is_url(place):
        with open_ledger(place, must_exist=True) as ledger:
            yield ledger
    else:
        folder = Path(place) if place else default_folder()
        raw = _connected(folder / FILE)
        try:
            yield Ledger(SqliteStore(folder / FILE, raw), _identity(raw, folder / FILE), folder, Mask())
        finally:
            raw.close()


def _connected(file: Path) -> sqlite3.Connection:
    if not file.exists():
        raise LedgerError(
            f"there is no ledger in {str(file.parent)!r}", advice="name its folder with --ledger or ORCH_LEDGER"
        )
    if not file.is_file():  # a pipe would be waited for
        raise LedgerError(f"the ledger {str(file)!r} is no plain file", advice=_BACKUP)
    raw = _connect(file, "mode=ro")
    try:
        raw.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        raw.close()
        if _has_log(file):
            raise
        raw = _connect(file, "mode=ro&immutable=1")  # a folder that cannot be written, and nothing waits in its log
    return raw


def _connect(file: Path, mode: str) -> sqlite3.Connection:
    raw = sqlite3.connect(f"{file.absolute().as_uri()}?{mode}", uri=True, timeout=10, isolation_level=None)
    raw.execute("PRAGMA trusted_schema=OFF")
    raw.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    return raw


def _has_log(file: Path) -> bool:
    with suppress(OSError):
        return os.stat(f"{file}-wal").st_size > 0  # noqa: PTH116  # a name beside the file's
    return False


def _identity(raw: sqlite3.Connection, file: Path) -> str:
    version = raw.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"the ledger {str(file)!r} has format {version}; this orch knows formats up to {SCHEMA_VERSION}",
            advice="use the newer orch that wrote it",
        )
    if version < 1:
        raise LedgerError(
            f"{str(file)!r} says that it has format {version}; expected {SCHEMA_VERSION}: it is no ledger, or damaged",
            advice=_BACKUP,
        )
    found = raw.execute("SELECT value FROM meta WHERE name = 'ledger_id'").fetchone()
    if found is None or not isinstance(found[0], str):
        raise LedgerError(f"the ledger {str(file)!r} has lost its name", advice=_BACKUP)
    return found[0]


def check_database(ledger: Ledger, connection: Connection, findings: Findings, *, is_quick: bool) -> None:
    """Add what is wrong with the schema: a missing trigger, a view where a table should be; on SQLite with pages, too.

    Quickly means without comparing each index with its table.
    """
    if not isinstance(ledger.store, SqliteStore):
        verify_postgres.check_schema(connection, findings)
        return
    for (problem,) in connection.execute(f"PRAGMA {'quick' if is_quick else 'integrity'}_check(20)"):
        if problem != "ok":
            findings.doubt(f"the database is damaged: {'; '.join(str(problem).splitlines())}")
    seen = _objects(connection.execute(_OBJECTS))
    version = connection.execute("PRAGMA user_version")[0][0]  # an older one is as it was made then
    with sqlite3.connect(":memory:") as fresh:
        for script in sorted(_SCHEMA.glob("*.sql"))[:version]:
            fresh.executescript(script.read_text(encoding="utf-8"))
        expected = _objects(fresh.execute(_OBJECTS).fetchall())
    fresh.close()
    for key in sorted(expected.keys() | seen.keys()):
        kind, name = key
        if key not in seen:
            findings.add(Finding("schema", f"the {kind} {name} is missing", "nothing", "what orch made"))
        elif key not in expected:
            if kind in {"trigger", "view"}:
                findings.add(Finding("schema", f"there is a {kind} {name} that orch did not make", "", "nothing"))
        elif seen[key] != expected[key]:
            findings.add(Finding("schema", f"the {kind} {name} is not as orch made it"))


def _objects(rows: list[tuple[object, ...]]) -> dict[tuple[str, str], tuple[object, ...]]:
    return {(str(kind), str(name)): (table, sql) for kind, name, table, sql in rows}
