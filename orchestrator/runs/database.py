"""The engine's own database: beside a ledger in a folder, or in a schema of its own on the ledger's server.

It holds queues and checkpoints, never the record: without it a run goes on from what the ledger says.
"""

import json
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy
from dbos import Serializer, _serialization
from dbos._utils import GlobalParams

from orchestrator.errors import LedgerError
from orchestrator.ledger.store import Ledger
from orchestrator.runs.executors import SCHEMA, advice_on, make_table

if TYPE_CHECKING:
    import psycopg

FILE = "engine.db"
VERSION = "1"
"""Of the workflows, by our own count: an engine's guess from their source would strand runs with every release."""
_LOGGER = logging.getLogger("dbos")
_LOGGER.addHandler(logging.NullHandler())  # else it adds a handler that writes to stderr
_LOGGER.propagate = False
_WAIT_S = 30.0


class JsonSerializer(Serializer):
    """Writes checkpoints as JSON: what can be written to the database must never become code here."""

    def serialize(self, data: Any) -> str:  # noqa: ANN401  # JSON
        """Return a value as JSON; of an error its type and text."""
        if isinstance(data, BaseException):
            data = {"error": type(data).__name__, "text": str(data)}
        return json.dumps(data)

    def deserialize(self, serialized_data: str) -> Any:  # noqa: ANN401  # JSON
        """Return what was written; an error becomes one again."""
        value = json.loads(serialized_data)
        if isinstance(value, dict) and value.keys() == {"error", "text"}:
            return RuntimeError(f"{value['error']}: {value['text']}")
        return value

    def name(self) -> str:
        """Return the form's name."""
        return "orch_json"


def _refuse(_: str) -> Any:  # noqa: ANN401  # never returns
    raise LedgerError("the engine's database holds a pickled value, which is never read: it could be anybody's code")


_serialization.DBOSDefaultSerializer.deserialize = _refuse  # type: ignore[method-assign, assignment]  # whoever wrote a row
GlobalParams.dbos_cloud = False


def connect(ledger: Ledger, most: int) -> sqlalchemy.Engine:
    """Return the engine's database, with at most so many connections; made where it is missing.

    Raises:
        LedgerError: it cannot be made.
    """
    url = getattr(ledger.store, "url", None)
    if url:
        return _server(url, most)
    file = ledger.folder / FILE
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        raw = sqlite3.connect(file, timeout=_WAIT_S)
        raw.execute("PRAGMA journal_mode=WAL")
        raw.close()
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(
            f"the engine's database {str(file)!r} cannot be used: {error}", advice=advice_on(error, FILE)
        ) from error
    return sqlalchemy.create_engine(
        "sqlite://", creator=lambda: _opened(file), poolclass=sqlalchemy.QueuePool, pool_size=most, max_overflow=0
    )


def _opened(file: Path) -> sqlite3.Connection:
    raw = sqlite3.connect(file, timeout=_WAIT_S, isolation_level="IMMEDIATE", check_same_thread=False)
    for setting in ("busy_timeout=30000", "foreign_keys=ON", "synchronous=NORMAL"):
        raw.execute(f"PRAGMA {setting}")
    return raw


def _server(url: str, most: int) -> sqlalchemy.Engine:
    import psycopg

    def opened() -> "psycopg.Connection[Any]":
        raw = psycopg.connect(
            url,
            connect_timeout=5,
            application_name="orch",
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=30_000,
        )
        raw.execute("SET idle_in_transaction_session_timeout = 60000")
        raw.commit()
        return raw

    return sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=opened,
        poolclass=sqlalchemy.QueuePool,
        pool_size=most,
        max_overflow=0,
        pool_pre_ping=True,
    )


def configuration(database: sqlalchemy.Engine, executor: str, *, threads: int) -> dict[str, Any]:
    """Return how the engine is set up: quiet, on its own, under this executor's name."""
    return {
        "name": "orch",
        "system_database_engine": database,
        "dbos_system_schema": SCHEMA,
        "application_version": VERSION,
        "executor_id": executor,
        "enable_otlp": False,
        "log_level": "CRITICAL",
        "use_listen_notify": False,
        "scheduler_polling_interval_sec": 3600.0,
        "notification_listener_polling_interval_sec": 0.1,  # nobody listens; it delays the end of the process
        "max_executor_threads": threads,
        "serializer": JsonSerializer(),
    }


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn what the engine or its database raises into an error of ours."""
    try:
        yield
    except sqlalchemy.exc.DBAPIError as error:
        raise unusable(what, error) from error


def unusable(what: str, error: sqlalchemy.exc.DBAPIError) -> LedgerError:
    """Return what its database raised as an error of ours."""
    text = " ".join(str(error.orig).split())
    if isinstance(error.orig, sqlite3.Error):
        advice = advice_on(error.orig, FILE)
    elif "permission denied" in text:
        advice = "run `orch ledger init` with the owner's URL, naming this role with --writer"
    else:
        advice = "see that the ledger's place can be reached and written"
    return LedgerError(f"{what}: the engine's database cannot be used: {text}", advice=advice)


def prepare_at(url: str | None, writers: Sequence[str]) -> None:
    """Do as `prepare` for the ledger at a place, as its owner.

    Raises:
        LedgerError: it cannot be opened, or this role may not.
    """
    from orchestrator.ledger.open import open_ledger

    with open_ledger(url, as_owner=True) as ledger:
        prepare(ledger, writers)


def prepare(ledger: Ledger, writers: Sequence[str]) -> None:
    """Make the engine's tables on a ledger's server, or bring them to this version, and let the writers use them.

    For the owner of the ledger, as `orch ledger init`. The roles must exist.

    Raises:
        LedgerError: this role may not.
    """
    from dbos._sys_db import SystemDatabase

    database = connect(ledger, 4)
    try:
        with told("the engine cannot be prepared"):
            made = SystemDatabase.create(
                system_database_url="postgresql://engine",
                engine_kwargs={},
                engine=database,
                schema=SCHEMA,
                serializer=JsonSerializer(),
                executor_id=None,
                use_listen_notify=False,
            )
            made.run_migrations()
            with database.connect() as pooled:
                raw: Any = pooled.connection.driver_connection
                make_table(raw)
                for role in writers:
                    _grant(raw, role)
                raw.commit()
    finally:
        database.dispose()


def _grant(raw: "psycopg.Connection[Any]", role: str) -> None:
    """Let a role use the engine's tables: they are tools, not the record, so it may change and delete there."""
    from psycopg import sql

    for grant in (
        "GRANT USAGE ON SCHEMA {} TO {}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {} TO {}",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA {} TO {}",
    ):
        raw.execute(sql.SQL(grant).format(sql.Identifier(SCHEMA), sql.Identifier(role)))
