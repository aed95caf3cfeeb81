"""Budgets: what was spent and is reserved, and room that is taken before an action and settled after it.

reserved -> started -> settled | released | expired. Counters change only in transactions that append the event of the
change, after a guarding UPDATE that locks them; so no two processes, and no two machines, ever overspend.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.digest import MAX_INTEGER
from orchestrator.meters import Counter, counter_of, scope_ids

if TYPE_CHECKING:
    from orchestrator.ledger.store import Connection

_COUNTER = "meter = ? AND scope = ? AND scope_id = ? AND time_window = ? AND window_start = ?"
_READ = f"SELECT spent, reserved FROM budgets WHERE {_COUNTER}"  # noqa: S608  # constants
_DUE = """
SELECT r.id, c.meter, c.scope, c.scope_id, c.time_window, c.window_start, r.state, c.estimate
FROM reservations r JOIN reservation_counters c ON c.reservation_id = r.id
WHERE r.state IN ('reserved', 'started') AND r.expires_at <= ?"""


def facts_for(
    connection: "Connection",
    keys: Sequence[tuple[str, str, str | None]],
    *,
    run_id: str,
    session: str | None,
    repository: str | None,
    now: str,
    estimates: Mapping[str, int],
) -> list[dict[str, Any]]:
    """Return the counters of these (meter, per, window) as facts: `{meter, per, window, spent, reserved, estimate}`.

    Amounts are micro-units; zeros where nothing was counted yet. Reservations that lapsed do not count; those that
    started and were not settled in time count as spent in full. `now` is RFC 3339, UTC. A key that nothing can be
    counted for (a repository's, where nobody knows which) is left out, so the decision is undecidable.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    ids = scope_ids(run_id=run_id, session=session, repository=repository)
    late = due(connection, now)
    facts: list[dict[str, Any]] = []
    for meter, per, window in keys:
        counter = counter_of(meter, per, window, ids, now)
        if counter is None:
            continue
        spent, reserved = standing_of(connection, counter, late)
        amounts = {"spent": spent, "reserved": reserved, "estimate": estimates.get(meter, 0)}
        key = {"meter": meter, "per": per, "window": window}
        facts.append(key | {name: min(micro, MAX_INTEGER) for name, micro in amounts.items()})
    return facts


class Due(NamedTuple):
    """A part of a reservation that is past its time and still open."""

    reservation_id: str
    counter: Counter
    state: str
    """`reserved` lapses, `started` is charged in full."""
    estimate: int


def due(connection: "Connection", now: str) -> list[Due]:
    """Return what is open past its time (RFC 3339, UTC)."""
    rows = connection.execute(_DUE, (whole_second(now),))
    return [Due(name, Counter(*counter), state, estimate) for name, *counter, state, estimate in rows]


def standing_of(connection: "Connection", counter: Counter, late: Iterable[Due]) -> tuple[int, int]:
    """Return what is spent and reserved of a counter, as if what is due had been expired already."""
    rows = connection.execute(_READ, counter)
    spent, reserved = rows[0] if rows else (0, 0)
    for one in late:
        if one.counter == counter:
            reserved -= one.estimate
            spent += one.estimate if one.state == "started" else 0
    return spent, reserved


def whole_second(time: str) -> str:
    """Return an RFC 3339 time in UTC without its fraction, so that times compare as texts."""
    return f"{time[:19]}Z"
