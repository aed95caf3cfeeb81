"""The ledger in PostgreSQL 13 or newer, for many machines: writers that can only add, an owner that can migrate.

Events get their leaves later, from whoever calls `sequence`: a tree that every append had to touch would make all
writers wait for one another. The tables lie in the schema `orch`; who owns them is `postgres_setup`'s concern.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from orchestrator import place
from orchestrator.errors import DecisionError, LedgerError, UsageError
from orchestrator.ledger import postgres_setup
from orchestrator.ledger.mask import Mask
from orchestrator.ledger.psql import PostgresConnection, connected, reason, sequence, shown, translated
from orchestrator.ledger.store import Connection, Ledger

_IDLE_MS = 60_000
"""How long a writer may hang within its transaction; then the server ends it, for others wait."""
_BEGIN_WRITING = (
    f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL idle_in_transaction_session_timeout = {_IDLE_MS}"
)
_BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresStore:
    """One database."""

    gives_leaves = False

    def __init__(self, url: str) -> None:
        self.url = url
        self.where = shown(url)
        self._raw = connected(url)
        self._ledger_id = ""

    def ready(self, *, as_owner: bool) -> str:
        """Return the ledger's id, after a look that its tables are there and of this version.

        Raises:
            LedgerError: they are not; an owner makes or migrates them.
        """
        with translated(self.url):
            self._ledger_id = postgres_setup.ready(self._raw, self.where, as_owner=as_owner)
        return self._ledger_id

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a transaction that may write; rows that another writer holds are waited for."""
        with translated(self.url):
            raw = self._live()
            raw.execute(_BEGIN_WRITING, prepare=False)
            try:
                yield PostgresConnection(raw)
                self._commit(raw)
            except BaseException:
                with suppress(psycopg.Error):
                    raw.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a transaction that sees one state of the ledger."""
        with translated(self.url):
            raw = self._live()
            raw.execute(_BEGIN_READING)
            try:
                yield PostgresConnection(raw)
            finally:
                with suppress(psycopg.Error):
                    raw.execute("ROLLBACK")

    def sequence(self, connection: Connection) -> int:
        """As the function `sequence`."""
        return sequence(connection)

    def close(self) -> None:
        """Let go of the database."""
        self._raw.close()

    def _live(self) -> "psycopg.Connection[Any]":
        """Return the connection, or a new one where the server ended it."""
        if self._raw.closed:
            raw = connected(self.url)
            if postgres_setup.ready(raw, self.where, as_owner=False) != self._ledger_id:
                raw.close()
                raise LedgerError(
                    f"{self.where} holds another ledger than before", advice="see who moved or replaced the database"
                )
            self._raw = raw
        return self._raw

    def _commit(self, raw: "psycopg.Connection[Any]") -> None:
        try:
            done = raw.execute("COMMIT").statusmessage
        except psycopg.OperationalError as error:
            raise LedgerError(
                f"the ledger at {self.where} went away while it was recording: {reason(error, self.url)}",
                advice="it is recorded whole or not at all: look with `orch ledger show` before trying again",
            ) from error
        if done != "COMMIT":  # an error was caught within the transaction: the server then answers ROLLBACK
            said = f"the ledger at {self.where} recorded nothing: a statement of this transaction had failed before"
            raise LedgerError(said)


def open_postgres(
    url: str, folder_of: Callable[[str], Path], mask: Mask, *, must_exist: bool = False, as_owner: bool = False
) -> Ledger:
    """Return the ledger at `url`; `folder_of` gives where artifacts and the head's key lie for a ledger's id.

    Tables are made, or brought to this version, only `as_owner` and unless `must_exist`.

    Raises:
        LedgerError: it cannot be reached, is not there, is older or newer than this orch, or `as_owner` is not true.
        UsageError: the URL cannot be read.
    """
    with translated(url):
        store = PostgresStore(url)
        try:
            ledger_id = store.ready(as_owner=as_owner and not must_exist)
            if as_owner:
                postgres_setup.check_owner(store._raw, store.where)  # noqa: SLF001  # the same seam
            folder = private_folder(folder_of(ledger_id))
        except BaseException:
            store.close()
            raise
    return Ledger(store, ledger_id, folder, mask, gives_leaves=False)


def private_folder(folder: Path) -> Path:
    """Return the folder for artifacts and keys, made where it is missing.

    Raises:
        LedgerError: it cannot be made or trusted.
    """
    try:
        return place.private_dir(folder)
    except DecisionError as error:
        writable = "name a folder that you can write with ORCH_ARTIFACTS"
        advice = writable if isinstance(error.__cause__, OSError) else error.advice
        raise LedgerError(f"there is no place for artifacts and keys: {error}", advice=advice) from error


def work_on(store: Any) -> "psycopg.Connection[Any]":  # noqa: ANN401  # any store
    """Return the connection of a PostgreSQL ledger, for what only an owner does.

    Raises:
        UsageError: the ledger is not on PostgreSQL.
    """
    if not isinstance(store, PostgresStore):
        raise UsageError(
            "this is for a ledger on PostgreSQL; a folder needs no preparation", advice="name it with --ledger"
        )
    return store._live()  # noqa: SLF001  # the same seam
