"""How budgets stand: limit, spent, reserved and left of each counter, and by whom. Only reads."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from orchestrator import clock
from orchestrator.budgets import Due, due, standing_of, whole_second
from orchestrator.ledger.store import Connection
from orchestrator.meters import SCOPES, Counter, window_end, window_start
from orchestrator.reservation import WARN_AT_PERCENT

RECENT_S = 86_400
"""Runs and sessions that nobody named are shown if somebody reserved something for them so lately."""
_KEY = "meter, scope, scope_id, time_window, window_start"
_OF = "meter = ? AND scope = ? AND scope_id = ? AND time_window = ? AND window_start = ?"
_COUNTERS = f"SELECT {_KEY} FROM budgets WHERE scope = ?"  # noqa: S608  # constants
_REFUSED = f"SELECT {_KEY} FROM budget_alerts WHERE scope = ?"  # noqa: S608  # constants
_RECENT = f"""
SELECT DISTINCT {_KEY} FROM reservation_counters c JOIN reservations r ON r.id = c.reservation_id
WHERE c.scope = ? AND r.opened_at >= ?"""  # noqa: S608  # constants
_LIMIT = f"""
SELECT c.limit_micro, c.warn_at FROM reservation_counters c JOIN reservations r ON r.id = c.reservation_id
WHERE {_OF} ORDER BY r.opened_at DESC, c.limit_micro LIMIT 1"""  # noqa: S608  # constants
_MET = f"SELECT limit_micro FROM budget_alerts WHERE {_OF} ORDER BY limit_micro LIMIT 1"  # noqa: S608  # constants
_SHARES = f"""
SELECT r.actor, sum(CASE WHEN r.state = 'started' AND r.expires_at <= ? THEN c.estimate ELSE c.charged END),
sum(CASE WHEN r.state IN ('reserved', 'started') AND r.expires_at > ? THEN c.estimate ELSE 0 END)
FROM reservation_counters c JOIN reservations r ON r.id = c.reservation_id WHERE {_OF} GROUP BY r.actor
ORDER BY 2 DESC, 3 DESC, r.actor"""  # noqa: S608  # constants


class Share(NamedTuple):
    """What somebody used of a counter, in micro-units."""

    actor: str
    spent: int
    reserved: int


class Balance(NamedTuple):
    """How a counter stands, in micro-units."""

    counter: Counter
    limit: int | None
    """The last that a reservation was made under; None where nobody knows."""
    warn_at: int
    spent: int
    reserved: int
    shares: tuple[Share, ...] = ()

    @property
    def left(self) -> int | None:
        """What there is still room for; 0 where it is overdrawn."""
        return None if self.limit is None else max(0, self.limit - self.spent - self.reserved)

    @property
    def state(self) -> str:
        """`spent`, `low` (at its warning mark) or `ok`."""
        if self.limit is None:
            return "ok"
        used = self.spent + self.reserved
        if self.spent >= self.limit or used > self.limit:
            return "spent"
        return "low" if used * 100 >= self.limit * self.warn_at else "ok"

    @property
    def until(self) -> str:
        """The day on which it begins anew; "" where it never does."""
        return window_end(self.counter)


def balances(
    connection: Connection, named: Mapping[str, str], *, has_past: bool = False, now_ns: int | None = None
) -> list[Balance]:
    """Return the counters of `named` (scope to id), or, where none is, all that are in use now; sorted, wide to narrow.

    In use are the present windows of repositories and organizations, and the runs and sessions of the last day. Past
    windows come with `has_past`. What lapsed, or is past its time, is counted as if it had been expired.
    """
    at_ns = clock.now_ns() if now_ns is None else now_ns
    now = clock.format_time(at_ns)
    late = due(connection, now)
    found = _named(connection, named) if named else _in_use(connection, at_ns)
    kept = {one for one in found if has_past or one.window_start == window_start(one.window, now)}
    return [_balance(connection, one, late, whole_second(now)) for one in sorted(kept, key=_order)]


def _named(connection: Connection, named: Mapping[str, str]) -> Iterable[Counter]:
    for scope, name in named.items():
        for sql in (_COUNTERS, _REFUSED):
            yield from (Counter(*row) for row in connection.execute(f"{sql} AND scope_id = ?", (scope, name)))


def _in_use(connection: Connection, at_ns: int) -> Iterable[Counter]:
    since = clock.format_time(at_ns - RECENT_S * clock.SECOND_NS)
    for scope in SCOPES:
        if scope in {"run", "session"}:
            yield from (Counter(*row) for row in connection.execute(_RECENT, (scope, since)))
        else:
            for sql in (_COUNTERS, _REFUSED):
                yield from (Counter(*row) for row in connection.execute(sql, (scope,)))


def _balance(connection: Connection, counter: Counter, late: Iterable[Due], now: str) -> Balance:
    spent, reserved = standing_of(connection, counter, late)
    limits = connection.execute(_LIMIT, counter)
    if limits:
        limit, warn_at = limits[0]
    else:
        met = connection.execute(_MET, counter)
        limit, warn_at = (met[0][0] if met else None), WARN_AT_PERCENT
    rows = connection.execute(_SHARES, (now, now, *counter))
    shares = (Share(actor, int(charged), int(held)) for actor, charged, held in rows)
    return Balance(counter, limit, warn_at, spent, reserved, tuple(one for one in shares if one.spent or one.reserved))


def _order(counter: Counter) -> tuple[object, ...]:
    return (-SCOPES.index(counter.scope) if counter.scope in SCOPES else 0, *counter)
