"""Projections of budgets: counters, reservations and the alerts that were given. Pure, as `project`.

Sums are the same in whatever order the chains are read; of one reservation, all events lie in one chain.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.ledger.event import Statement

_RESERVATION = """
INSERT INTO reservations (id, chain, run_id, evaluation_id, actor, state, opened_at, expires_at, closed_at)
VALUES (?, ?, ?, ?, ?, 'reserved', ?, ?, '') ON CONFLICT (id) DO UPDATE SET chain = excluded.chain,
run_id = excluded.run_id, evaluation_id = excluded.evaluation_id, actor = excluded.actor, state = excluded.state,
opened_at = excluded.opened_at, expires_at = excluded.expires_at, closed_at = excluded.closed_at"""
_RESERVED_COUNTER = """
INSERT INTO reservation_counters
(reservation_id, meter, scope, scope_id, time_window, window_start, limit_micro, warn_at, estimate, charged)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"""
_RESERVE = """
INSERT INTO budgets (meter, scope, scope_id, time_window, window_start, spent, reserved) VALUES (?, ?, ?, ?, ?, 0, ?)
ON CONFLICT (meter, scope, scope_id, time_window, window_start) DO UPDATE
SET reserved = budgets.reserved + excluded.reserved"""
_CHARGE = "UPDATE reservation_counters SET charged = ? WHERE reservation_id = ? AND meter = ?"
_CLOSE = "UPDATE reservations SET state = ?, closed_at = ? WHERE id = ?"
_GIVE_BACK = """
UPDATE budgets SET spent = budgets.spent + c.charged, reserved = budgets.reserved - c.estimate
FROM reservation_counters AS c
WHERE c.reservation_id = ? AND budgets.meter = c.meter AND budgets.scope = c.scope AND budgets.scope_id = c.scope_id
AND budgets.time_window = c.time_window AND budgets.window_start = c.window_start"""
_ALERT = """
INSERT INTO budget_alerts (meter, scope, scope_id, time_window, window_start, kind, limit_micro)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING"""
_KEY = ("meter", "scope", "scope_id", "window", "window_start")


def project(fields: Mapping[str, Any], payload: Mapping[str, Any]) -> Iterator[Statement]:
    """Yield what follows from an event of the family `orch.budget`."""
    kind = str(fields["type"]).removeprefix("orch.budget.")
    match kind:
        case "reserved":
            yield from _reserved(fields, payload)
        case "started":
            yield _CLOSE, ("started", "", payload["reservation_id"])
        case "settled" | "released" | "expired":
            yield from _closed(kind, fields, payload)
        case "warned" | "exceeded":
            yield _ALERT, (*(payload[name] for name in _KEY), kind, payload["limit"])


def _reserved(fields: Mapping[str, Any], payload: Mapping[str, Any]) -> Iterator[Statement]:
    reservation = payload["reservation_id"]
    said = (payload["run_id"], payload["evaluation_id"], fields["actor"], fields["time"], payload["expires_at"])
    yield _RESERVATION, (reservation, fields["runid"], *said)
    for counter in payload["counters"]:
        key = tuple(counter[name] for name in _KEY)
        yield _RESERVED_COUNTER, (reservation, *key, counter["limit"], counter["warn_at"], counter["estimate"])
        yield _RESERVE, (*key, counter["estimate"])


def _closed(state: str, fields: Mapping[str, Any], payload: Mapping[str, Any]) -> Iterator[Statement]:
    reservation = payload["reservation_id"]
    for meter, charged in sorted(payload["charged"].items()):
        yield _CHARGE, (charged, reservation, meter)
    yield _GIVE_BACK, (reservation,)
    yield _CLOSE, (state, fields["time"], reservation)
