"""Reads the newest events in the order they were written, and then what is added, by asking again and again."""

import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from types import TracebackType
from typing import NamedTuple, Self

from orchestrator.ledger.event import Event
from orchestrator.ledger.read import Filter, numbered
from orchestrator.ledger.store import Ledger

POLL_S = 0.5
_LOOK_BACK = 1_000
"""On PostgreSQL an event with a lower number may come later, from a transaction that took longer."""


class Seen(NamedTuple):
    """How far a reader has come."""

    last_n: int
    ids: "OrderedDict[str, None]"
    """The newest events that were given."""

    def with_(self, n: int, event_id: str) -> "Seen":
        """Return this, one event later."""
        self.ids[event_id] = None
        while len(self.ids) > 2 * _LOOK_BACK:
            self.ids.popitem(last=False)
        return self._replace(last_n=max(n, self.last_n))


class Window:
    """The events that match, oldest first; with `newest` and a limit, the newest of them. Use it in a `with` block."""

    def __init__(self, ledger: Ledger, wanted: Filter) -> None:
        self._ledger = ledger
        self._wanted = wanted
        self._open = ExitStack()
        self.has_more = False
        """Whether there are older ones that match."""
        self.seen = Seen(0, OrderedDict())

    def __enter__(self) -> Self:
        with ExitStack() as opening:  # an error here leaves through the store, which says what it means
            self._connection = opening.enter_context(self._ledger.store.reading())
            newest = self._connection.execute("SELECT n, id FROM events ORDER BY n DESC LIMIT ?", (_LOOK_BACK,))
            for n, event_id in reversed(newest):
                self.seen = self.seen.with_(n, event_id)
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def __iter__(self) -> Iterator[Event]:
        rows = numbered(self._connection, self._wanted)
        if self._wanted.newest and self._wanted.limit is not None:
            newest = list(islice(numbered(self._connection, self._wanted._replace(limit=None)), self._wanted.limit + 1))
            self.has_more = len(newest) > self._wanted.limit
            rows = iter(newest[: self._wanted.limit][::-1])
        for n, event in rows:
            self.seen = self.seen.with_(n, event.id)
            yield event


def followed(ledger: Ledger, wanted: Filter, seen: Seen) -> Iterator[Event]:
    """Yield what is added after what was seen, for ever.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    wanted = wanted._replace(limit=None, newest=False)
    while True:
        begin = max(0, seen.last_n - _LOOK_BACK) if not ledger.gives_leaves else seen.last_n
        with ledger.store.reading() as connection:
            added = [row for row in numbered(connection, wanted._replace(after_n=begin)) if row[1].id not in seen.ids]
        for n, event in added:
            seen = seen.with_(n, event.id)
            yield event
        if not added:
            time.sleep(POLL_S)
