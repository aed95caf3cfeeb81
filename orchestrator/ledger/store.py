"""Where a ledger is kept: the seam between the record and its database. `sqlite` and `postgres` implement it.

SQL is written once, with `?` for parameters, in what both databases understand.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

from orchestrator.ledger.mask import Mask

SCHEMA_VERSION = 3
"""The number of the newest SQL file; a ledger with a higher one was written by a newer orch."""


class Connection(Protocol):
    """An open connection, mostly within a transaction."""

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return all of its rows."""

    def stream(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Run one query and yield its rows without holding them all."""

    def change(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement and return how many rows it changed."""

    def run(self, work: Iterable[tuple[str, Sequence[Sequence[Any]]]]) -> None:
        """Run statements that change, in order, each once for each of its rows."""


class Store(Protocol):
    """A database that holds a ledger. Every error of the database leaves it as a LedgerError."""

    gives_leaves: bool
    """Whether an event gets its leaf in the transaction that appends it; else a sequencer gives it later."""

    def writing(self) -> AbstractContextManager[Connection]:
        """Return a transaction that may write; it commits at the end, and rolls back on an error."""

    def reading(self) -> AbstractContextManager[Connection]:
        """Return a transaction that sees one state of the ledger and never writes."""

    def close(self) -> None:
        """Let go of the database."""


class Ledger(NamedTuple):
    """An open ledger."""

    store: Store
    id: str
    """32 hex digits, drawn when the ledger was made."""
    folder: Path
    """Where `artifacts/` and `head.key` lie."""
    mask: Mask
    """What hides secrets before anything is hashed."""
    gives_leaves: bool = True
    """As the store's."""

    def close(self) -> None:
        """Let go of the database."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
