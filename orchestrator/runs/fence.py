"""A ledger that only the holder of a lease can write: what a process records after it was taken over is rolled back."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from orchestrator.ledger.store import Connection, Ledger, Store
from orchestrator.order import Lease


class FencedStore:
    """A store whose every write looks at the lease right before it commits."""

    def __init__(self, store: Store, lease: Lease, turn: AbstractContextManager[Any] | None = None) -> None:
        """Take what threads of this process that write in turn share; they would wait for the file in sleeps else."""
        self._store = store
        self._lease = lease
        self._turn = turn or nullcontext()
        self.gives_leaves = store.gives_leaves

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a transaction that may write.

        Raises:
            LedgerError: this process may have been taken over; nothing was recorded.
        """
        with self._turn, self._store.writing() as connection:
            yield connection
            self._lease.check()

    def reading(self) -> AbstractContextManager[Connection]:
        """Give a transaction that reads."""
        return self._store.reading()

    def close(self) -> None:
        """Let go of the database."""
        self._store.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever the store has beside
        return getattr(self._store, name)


def fenced(ledger: Ledger, lease: Lease, turn: AbstractContextManager[Any] | None = None) -> Ledger:
    """Return a ledger that is written only while the lease is held, and in `turn` where there is one."""
    return ledger._replace(store=FencedStore(ledger.store, lease, turn))
