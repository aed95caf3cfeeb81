"""Runs the durable engine in this process: queues, checkpoints, and what other executors left. Knows no plan.

One at a time in a process. What it hands out survives any process; who may go on is the lease's to say.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy
from dbos import DBOS, SetWorkflowID
from dbos._error import DBOSWorkflowConflictIDError

from orchestrator.errors import Exit, LedgerError, OrchError, UsageError
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import Ledger
from orchestrator.runs import database
from orchestrator.runs.executors import SCHEMA
from orchestrator.runs.fence import fenced
from orchestrator.runs.lease import HeldLease, LeaseLost
from orchestrator.settings import Settings

QUEUE = "orch"
"""What every worker takes from."""
HELD = "orch-held"
"""What nobody takes from: phases of runs that somebody stopped, until they are resumed."""
POLL_S = 0.1
"""Between two looks into a queue."""
_DRAIN_S = 0.05
_RETRY_S = (2.0, 5.0, 15.0, 60.0)
"""Before a phase that could not even be opened is tried again."""
_ACTIVE = "status IN ('ENQUEUED', 'DELAYED', 'PENDING')"
_OVER = "status IN ('SUCCESS', 'ERROR', 'CANCELLED')"
_KEPT_S = 3 * 86_400.0
_AGAIN = "status = 'ENQUEUED', owner_xid = NULL, started_at_epoch_ms = NULL"
Note = Callable[[str, dict[str, Any]], None]


class Stopped(BaseException):
    """Leaves a phase as it is, to be gone on with by whoever takes it; no error that anybody may catch."""


class Work(NamedTuple):
    """One phase that is queued or being carried out."""

    id: str
    """`work_id`."""
    is_running: bool
    executor: str
    """Whose it is, or was; "" while it waits in a queue."""
    queue: str

    @property
    def segment(self) -> int:
        """Of the run, from 0."""
        return int(self.id.split("/")[1])


class Options(NamedTuple):
    """How this process takes part."""

    queue: str | None = QUEUE
    """What it takes from; None only enqueues."""
    concurrency: int = 4
    """Phases at a time."""
    root: Path | None = None
    """The folder of every run's files here; None for where each was begun."""
    note: Note = lambda _event, _fields: None
    """Told of what happens, from any thread."""


class Engine:
    """The engine of this process, launched."""

    def __init__(self, settings: Settings, ledger: Ledger, lease: HeldLease, options: Options) -> None:
        self.settings = settings
        self.lease = lease
        self.options = options
        self.failures: list[OrchError] = []
        """Why phases could not be carried out here, newest last."""
        self.rest = QUEUE
        """Where at the end goes what is left."""
        self._ledger = ledger
        self._stopping = threading.Event()
        self._turn = threading.Lock()
        self._writes = None if hasattr(ledger.store, "url") else threading.RLock()
        self._free: list[Ledger] = []
        self._working: set[str] = set()
        self._tries: dict[str, int] = {}
        self._postponed: dict[str, float] = {}
        self._queues: dict[str, Any] = {}
        """Those that DBOS takes from in this process."""
        self._database = database.connect(ledger, options.concurrency // 2 + 2)  # each is needed for moments
        self._table = f"{SCHEMA}.workflow_status" if hasattr(ledger.store, "url") else "workflow_status"

    @property
    def is_stopping(self) -> bool:
        """Whether no further step begins here."""
        return self._stopping.is_set() or self.lease.is_lost

    @property
    def working(self) -> int:
        """How many phases are being carried out here."""
        with self._turn:
            return len(self._working)

    def stop(self) -> None:
        """Begin no further step; what is under way is finished."""
        self._stopping.set()

    def drain(self) -> None:
        """Wait until what is being carried out here has ended; not where others took over."""
        while self.working and not self.lease.is_lost:
            time.sleep(_DRAIN_S)

    def wait(self, seconds: float) -> None:
        """Wait, or until the engine is stopped."""
        self._stopping.wait(seconds)

    def note(self, event: str, **fields: Any) -> None:  # noqa: ANN401  # JSON
        """Tell whoever listens."""
        self.options.note(event, fields)

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """Give a connection to the ledger for one thread; it is written only while the lease is held."""
        with self._turn:
            opened = self._free.pop() if self._free else None
        if opened is None:
            opened = fenced(open_ledger(self.settings.ledger, must_exist=True), self.lease, self._writes)
        try:
            yield opened
        except BaseException:
            opened.close()
            raise
        with self._turn:
            self._free.append(opened)

    @contextmanager
    def at_work(self, work_id: str) -> Iterator[None]:
        """Count a phase as being carried out here.

        Raises:
            Stopped: nothing begins here any more; or the phase has to be tried later.
        """
        if self.is_stopping:
            raise Stopped
        with self._turn:
            self._working.add(work_id)
        try:
            yield
        except (DBOSWorkflowConflictIDError, LeaseLost) as error:  # somebody else has it now
            raise Stopped from error
        except OrchError as error:
            self._later(work_id, error)
            raise Stopped from error
        except sqlalchemy.exc.DBAPIError as error:
            self._later(work_id, database.unusable("a phase cannot go on", error))
            raise Stopped from error
        except Exception as error:
            self._later(work_id, OrchError(f"unexpected {type(error).__name__}: {error}"))
            raise Stopped from error
        finally:
            with self._turn:
                self._working.discard(work_id)

    def enqueue(
        self, workflow: Callable[..., Any], run_id: str, segment: int, phases: Sequence[str], *, again: int = 0
    ) -> None:
        """Hand out phases of a run's segment; one that was handed out before stays as it is."""
        more = (again,) if again else ()
        for phase in phases:
            with SetWorkflowID(work_id(run_id, segment, phase, again)):
                DBOS.enqueue_workflow(self.options.queue or QUEUE, workflow, run_id, segment, phase, *more)

    def active(self, run_id: str | None = None) -> list[Work]:
        """Return what is queued or being carried out, of one run or of all."""
        where, given = self._of_run(run_id)
        sql = f"SELECT workflow_uuid, status, executor_id, queue_name FROM {self._table} WHERE {_ACTIVE}{where}"  # noqa: S608  # constants
        return [
            Work(one, state == "PENDING", who or "", queue or "") for one, state, who, queue in self._rows(sql, given)
        ]

    def claim(self, run_id: str) -> int:
        """Move what is queued of a run to this process's own queue, and return how much that was."""
        where, given = self._of_run(run_id)
        sql = f"UPDATE {self._table} SET queue_name = :queue WHERE status = 'ENQUEUED'{where}"  # noqa: S608  # constants
        return self._change(sql, {"queue": self.options.queue or QUEUE, **given})

    def give_away(self, executor: str, queue: str = QUEUE) -> int:
        """Put what an executor held back into a queue, and return how much; each phase is put back once.

        A phase that it was carrying out gets another owner, so that no checkpoint of the old one counts any more.
        """
        given = {"who": executor, "queue": queue, "own": own_queue(executor)}
        moved = f"UPDATE {self._table} SET queue_name = :queue WHERE queue_name = :own AND status = 'ENQUEUED'"  # noqa: S608  # constants
        put = f"UPDATE {self._table} SET {_AGAIN}, queue_name = :queue WHERE executor_id = :who AND status = 'PENDING'"  # noqa: S608  # constants
        return self._change(moved, given) + self._change(put, given)

    def owners(self) -> set[str]:
        """Return every executor that something is held by, this one left out."""
        held = {one.executor if one.is_running else _owner_of(one.queue) for one in self.active()}
        return held - {"", self.lease.id}

    def hinder(self, run_id: str, error: OrchError) -> None:
        """Let others see why a run is not gone on with here; the record is no place for that."""
        advice = f" ({error.advice})" if error.advice else ""
        with suppress(LedgerError):
            self.lease.hinder(run_id, self._ledger.mask.text(f"{error}{advice}"))

    def tries(self, work_id: str) -> int:
        """Return how often this process has tried a phase that it could not open."""
        return self._tries.get(work_id, 0)

    def retry_postponed(self) -> None:
        """Queue again what could not be opened a while ago."""
        now = time.monotonic()
        with self._turn:
            due = [one for one, at in self._postponed.items() if at <= now]
            for one in due:
                del self._postponed[one]
        for one in due:
            sql = f"UPDATE {self._table} SET {_AGAIN} WHERE workflow_uuid = :id AND executor_id = :who AND status = 'PENDING'"  # noqa: S608, E501  # constants
            self._change(sql, {"id": one, "who": self.lease.id})

    def tidy(self, kept_s: float = _KEPT_S) -> int:
        """Forget phases that ended a while ago, some at a time, and return how many; the ledger knows them."""
        old = f"SELECT workflow_uuid FROM {self._table} WHERE {_OVER} AND updated_at < :before LIMIT 1000"  # noqa: S608  # constants
        given = {"before": int((time.time() - kept_s) * 1000)}
        return self._change(f"DELETE FROM {self._table} WHERE workflow_uuid IN ({old})", given)  # noqa: S608  # constants

    def close(self) -> None:
        """End the engine; what it still holds goes to `rest`. Steps under way must have ended."""
        self._stopping.set()
        DBOS.destroy()
        if self.options.queue is not None:
            self._queues.pop(self.options.queue, None)  # else the next engine of this process takes from it
        if not self.lease.is_lost:
            with suppress(LedgerError):
                self.give_away(self.lease.id, self.rest)
        self._database.dispose()
        with self._turn:
            for opened in self._free:
                opened.close()
            self._free.clear()

    def launch(self) -> None:
        """Start it.

        Raises:
            LedgerError: its database cannot be used.
        """
        threads = self.options.concurrency + 4
        with database.told("the engine cannot start"):
            try:
                engine = DBOS(config=database.configuration(self._database, self.lease.id, threads=threads))  # type: ignore[arg-type]  # its TypedDict
                self._queues = engine._registry.internal_queue_map  # noqa: SLF001
                if self.options.queue is not None:
                    engine._registry._register_internal_queue(  # noqa: SLF001  # a queue of the database has one limit for all
                        self.options.queue, worker_concurrency=self.options.concurrency, polling_interval_sec=POLL_S
                    )
                DBOS.launch()
            except BaseException:
                DBOS.destroy()
                self._database.dispose()
                raise

    def _later(self, work_id: str, error: OrchError) -> None:
        tries = self._tries[work_id] = self._tries.get(work_id, 0) + 1
        wait_s = _RETRY_S[min(tries, len(_RETRY_S)) - 1]
        with self._turn:
            self._postponed[work_id] = time.monotonic() + wait_s
        self.failures.append(error)
        self.hinder(work_id.partition("/")[0], error)
        self.note("postponed", work=work_id, reason=str(error), seconds=wait_s)

    def _of_run(self, run_id: str | None) -> tuple[str, dict[str, Any]]:
        if run_id is None:
            return "", {}
        return " AND substr(workflow_uuid, 1, :length) = :run", {"run": f"{run_id}/", "length": len(run_id) + 1}

    def _rows(self, statement: str, given: dict[str, Any]) -> list[Any]:
        with database.told("the engine cannot be asked"), self._database.connect() as connection:
            return list(connection.execute(sqlalchemy.text(statement), given).fetchall())

    def _change(self, statement: str, given: dict[str, Any]) -> int:
        with database.told("the engine cannot be told"), self._database.begin() as connection:
            return int(connection.execute(sqlalchemy.text(statement), given).rowcount)


def work_id(run_id: str, segment: int, phase: str, again: int = 0) -> str:
    """Return the name of one phase of one segment, by which it is handed out once."""
    return f"{run_id}/{segment}/{phase}" + (f"/{again}" if again else "")


def own_queue(executor: str) -> str:
    """Return the name of the queue that only one executor takes from."""
    return f"{QUEUE}@{executor}"


def _owner_of(queue: str) -> str:
    name, _, owner = queue.partition("@")
    return owner if name == QUEUE else ""


def end_now(code: Exit) -> None:
    """End this process without waiting for a step that is under way: whoever takes over looks what became of it."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(int(code))


_current: Engine | None = None
_one = threading.Lock()


def current() -> Engine:
    """Return the engine of this process.

    Raises:
        LedgerError: there is none.
    """
    if _current is None:
        raise LedgerError("no engine runs in this process")
    return _current


@contextmanager
def launched(settings: Settings, ledger: Ledger, lease: HeldLease, options: Options) -> Iterator[Engine]:
    """Give the engine of this process, launched.

    Raises:
        UsageError: one runs already.
        LedgerError: its database cannot be used.
    """
    global _current  # noqa: PLW0603  # the library has one per process, too
    if not _one.acquire(blocking=False):
        raise UsageError("an engine runs in this process already")
    engine = Engine(settings, ledger, lease, options)
    try:
        engine.launch()
        _current = engine
        yield engine
    finally:
        _current = None
        engine.close()
        _one.release()
