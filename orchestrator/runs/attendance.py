"""Who works on runs, for whoever looks on: from the engine's tables and the executors' locks. Changes nothing.

What the record says goes on may have nobody who goes on with it: its process ended, or was stopped.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator import clock
from orchestrator.errors import LedgerError
from orchestrator.ledger.store import Ledger
from orchestrator.runs import executors

ENGINE = "engine.db"
"""The engine's database, within a ledger's folder."""
_QUEUE = "orch"
"""What every worker takes from; `orch@EXECUTOR` is one process's own."""
_WORK = (
    "SELECT workflow_uuid, status, executor_id, queue_name FROM {} WHERE status IN ('ENQUEUED', 'DELAYED', 'PENDING')"
)
_HINDERED = "SELECT run_id, executor, at, reason FROM {} ORDER BY at DESC, executor"
_LAST = "SELECT time FROM events WHERE run_id = ? ORDER BY run_seq DESC LIMIT 1"
_BEGINS_S = 5.0
"""So long whoever began a run, or a segment of it, may take to hand its phases out."""
_WAIT_S = 1.0
_GOING = frozenset({"running", "cancelling"})


class Hindrance(NamedTuple):
    """Why one process does not go on with a run."""

    executor: str
    at: str
    """When it tried last, RFC 3339."""
    reason: str


class Attendance(NamedTuple):
    """Who works on one run."""

    is_worked_on: bool | None
    """None where that cannot be seen."""
    by: str = ""
    """A process that does."""
    is_queued: bool = False
    """Whether a worker would take it."""
    hindrances: tuple[Hindrance, ...] = ()
    """Why processes that live do not go on with it, newest first; none while it is worked on."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "is_worked_on": self.is_worked_on,
            "worked_on_by": self.by,
            "hindrances": [one._asdict() for one in self.hindrances],
        }


NOBODY = Attendance(False)
"""Of a run that has ended, or waits and is not hindered."""
UNSEEN = Attendance(None)
"""Where nobody can see it, or nobody can work on the run."""


class _Seen(NamedTuple):
    """What the engine's tables say."""

    work: Sequence[tuple[Any, ...]]
    hindrances: Sequence[tuple[Any, ...]]


def attendance(ledger: Ledger, states: Mapping[str, str]) -> dict[str, Attendance]:
    """Return who works on each run; `states` gives each run's state by its id."""
    found = dict.fromkeys(states, NOBODY)
    open_ones = {name for name, state in states.items() if state in _GOING or state == "waiting"}
    if not open_ones:
        return found
    try:
        seen = _on_server(ledger) if hasattr(ledger.store, "url") else _in_folder(ledger.folder)
        living = _Living(ledger)
        return found | {name: _of(ledger, name, states[name], seen, living) for name in open_ones}
    except (LedgerError, OSError, sqlite3.Error):  # no part of the record: what that says is shown all the same
        return found | dict.fromkeys(open_ones, UNSEEN)


def shown(executor: str) -> str:
    """Return an executor's name for people: host and process."""
    parts = executor.rsplit("-", 4)
    return f"process {parts[2]} on {parts[0]}" if len(parts) == 5 else executor  # noqa: PLR2004  # as `lease.new_name` makes it


def _of(ledger: Ledger, run_id: str, state: str, seen: _Seen, living: "_Living") -> Attendance:
    work = [row for row in seen.work if str(row[0]).startswith(f"{run_id}/")]
    why = [Hindrance(*map(str, row[1:])) for row in seen.hindrances if row[0] == run_id]
    if state in _GOING:
        held = Counter(_holder(*row[1:]) for row in work)
        held.subtract(one.executor for one in why)  # what it could not open it still holds, to try it again
        holder = living.first(name for name, number in held.items() if number > 0)
        if holder or (not work and not why and _is_young(ledger, run_id)):
            return Attendance(True, holder)
    is_queued = any(row[3] == _QUEUE and row[1] != "PENDING" for row in work)
    return Attendance(False, "", is_queued, tuple(one for one in why if living.first([one.executor])))


def _holder(status: str, executor: str | None, queue: str | None) -> str:
    if status == "PENDING":
        return executor or ""
    name, _, owner = (queue or "").partition("@")
    return owner if name == _QUEUE else ""


def _is_young(ledger: Ledger, run_id: str) -> bool:
    with ledger.store.reading() as connection:
        rows = connection.execute(_LAST, (run_id,))
    return bool(rows) and clock.now_ns() - clock.parse_time(str(rows[0][0])) < _BEGINS_S * clock.SECOND_NS


class _Living:
    """Knows which executors live, each looked up once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: dict[str, bool] = {"": False}

    def first(self, names: Iterable[str]) -> str:
        """Return the first of these that lives; "" where none does."""
        for name in names:
            if name not in self._known:
                self._known[name] = self._lives(name)
            if self._known[name]:
                return name
        return ""

    def _lives(self, name: str) -> bool:
        if not executors.is_name(name):
            return False
        if hasattr(self._ledger.store, "url"):
            sql = executors.IS_LOCKED.replace("%s", "?")
            with self._ledger.store.reading() as connection:
                return bool(connection.execute(sql, executors.keys_of(name))[0][0])
        return not executors.is_free(self._ledger.folder / executors.FOLDER / f"{name}.lock")


def _on_server(ledger: Ledger) -> _Seen:
    tables = [f"{executors.SCHEMA}.{name}" for name in ("workflow_status", "hindrances")]
    with ledger.store.reading() as connection:
        there = [bool(connection.execute("SELECT to_regclass(?) IS NOT NULL", (name,))[0][0]) for name in tables]
        work, why = (
            connection.execute(sql.format(name)) if is_there else []
            for sql, name, is_there in zip((_WORK, _HINDERED), tables, there, strict=True)
        )
    return _Seen(work, why)


def _in_folder(folder: Path) -> _Seen:
    work = _rows(folder / ENGINE, "workflow_status", _WORK)
    return _Seen(work, _rows(folder / executors.FILE, "hindrances", _HINDERED))


def _rows(file: Path, table: str, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a table in a file; none where there is no such file or table, as before the first run."""
    if not file.exists():
        return []
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=_WAIT_S)) as raw:
        if not raw.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchall():
            return []
        return raw.execute(sql.format(table)).fetchall()
