"""Projections of escalations, made of `orch.escalation.*`. All events of one escalation lie in one chain.

Where a countdown stands, what its stages brought, the codes that renew it, and how often somebody guessed.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.clock import parse_time
from orchestrator.digest import canonical
from orchestrator.ledger.event import Statement

ORDERS_AT_ONCE = 1_000
"""A stage brings fewer orders than this."""
_MICROSECOND_NS = 1_000
_BEGAN = """
INSERT INTO escalations (name, cycle, run_id, mode, is_armed, stage, stage_at, deadline, tick, clock, boot, boot_at,
  ticker, ticked_at, is_triggered, counter, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, '', 0, '', 0, 0, ?, ?)
ON CONFLICT (name) DO UPDATE SET cycle = excluded.cycle, run_id = excluded.run_id, mode = excluded.mode,
  is_armed = excluded.is_armed, stage = excluded.stage, stage_at = excluded.stage_at, deadline = excluded.deadline,
  is_triggered = 0, updated_at = excluded.updated_at,
  counter = CASE WHEN excluded.counter > escalations.counter THEN excluded.counter ELSE escalations.counter END"""
_DEADLINE = "UPDATE escalations SET deadline = ?, is_triggered = ?, updated_at = ? WHERE name = ?"
_MARK = "UPDATE escalations SET clock = ? WHERE name = ? AND boot = 'given' AND clock > ?"
_ARMED = "UPDATE escalations SET is_armed = 1, deadline = ?, updated_at = ? WHERE name = ?"
_DISARMED = "UPDATE escalations SET is_armed = 0, updated_at = ? WHERE name = ?"
_TICKING = "UPDATE escalations SET ticker = ?, tick = ?, updated_at = ? WHERE name = ?"
_STAGE = "UPDATE escalations SET stage = ?, stage_at = ?, updated_at = ? WHERE name = ?"
_TICKED = """
UPDATE escalations SET ticker = '', ticked_at = ?, updated_at = ?,
  boot = CASE WHEN ? >= clock OR boot = 'given' THEN ? ELSE boot END,
  boot_at = CASE WHEN ? >= clock OR boot = 'given' THEN ? ELSE boot_at END,
  clock = CASE WHEN ? >= clock OR boot = 'given' THEN ? ELSE clock END
WHERE name = ?"""
_ORDER = "INSERT INTO escalation_orders (run_id, name, stage, position, body) VALUES (?, ?, ?, ?, ?)"
_PLAN = "INSERT INTO escalation_plans (run_id, stage, plan_run_id) VALUES (?, ?, ?)"
_REVOKED = "UPDATE renewal_codes SET state = 'revoked' WHERE escalation = ? AND state = 'active'"
_CODE = """
INSERT INTO renewal_codes (id, escalation, salt, hash, seal, state, created_at, used_at)
VALUES (?, ?, ?, ?, ?, 'active', ?, 0)"""
_USED = "UPDATE renewal_codes SET state = 'used', used_at = ? WHERE id = ? AND escalation = ?"
_TRIED = """
INSERT INTO renewal_attempts (escalation, source, failures, last_at, locked_until) VALUES (?, ?, ?, ?, 0)
ON CONFLICT (escalation, source) DO UPDATE SET failures = renewal_attempts.failures + excluded.failures,
  last_at = excluded.last_at"""
_WRONG = "UPDATE renewal_attempts SET failures = ?, locked_until = ? WHERE escalation = ? AND source = ?"
_COUNTED = """
INSERT INTO renewal_counters (escalation, key, counter) VALUES (?, ?, ?)
ON CONFLICT (escalation, key) DO UPDATE SET counter = excluded.counter"""
_RIGHT = "UPDATE renewal_attempts SET failures = 0, locked_until = 0 WHERE escalation = ? AND source = ?"


def project(fields: Mapping[str, Any], payload: Mapping[str, Any]) -> Iterator[Statement]:
    """Yield the statements that follow from one event about an escalation."""
    name, at = payload["name"], _ns(fields["time"])
    kind = str(fields["type"]).removeprefix("orch.escalation.")
    if kind in {"codes", "attempt", "wrong"}:
        yield from _renewal(kind, name, at, payload)
    elif kind == "began":
        yield from _began(name, at, payload)
    elif kind == "stage":
        yield from _entered(name, at, fields, payload)
    else:
        yield from _clock(kind, name, at, payload)


def _clock(kind: str, name: str, at: int, payload: Mapping[str, Any]) -> Iterator[Statement]:
    match kind:
        case "deadline":
            yield _DEADLINE, (_ns(payload["deadline"]), int(bool(payload["is_triggered"])), at, name)
            yield from _followed(name, payload)
        case "armed":
            yield _ARMED, (_ns(payload["deadline"]), at, name)
            yield from _followed(name, payload)
        case "disarmed":
            yield _DISARMED, (at, name)
        case "ticking":
            yield _TICKING, (payload["executor"], payload["tick"], at, name)
        case "ticked":
            now, boot, boot_at = _ns(payload["now"]), payload["boot"], payload["boot_us"] * _MICROSECOND_NS
            yield _TICKED, (now, at, now, boot, now, boot_at, now, now, name)


def _followed(name: str, payload: Mapping[str, Any]) -> Iterator[Statement]:
    """Yield what brings a mark that somebody gave back to the time by which something was done since."""
    if now := _ns(payload.get("at") or ""):
        yield _MARK, (now, name, now)


def _renewal(kind: str, name: str, at: int, payload: Mapping[str, Any]) -> Iterator[Statement]:
    match kind:
        case "codes":
            yield _REVOKED, (name,)
            for code in payload["codes"]:
                yield _CODE, (code["id"], name, code["salt"], code["hash"], code["seal"], at)
        case "attempt":
            yield _TRIED, (name, payload["source"], int(not payload["is_locked"]), _ns(payload["at"]))
        case "wrong":
            said = (payload["failures"], _ns(payload["locked_until"]))
            yield _WRONG, (*said, name, payload["source"])


def _began(name: str, at: int, payload: Mapping[str, Any]) -> Iterator[Statement]:
    said = (payload["cycle"], payload["run_id"], payload["mode"], int(bool(payload["is_armed"])), payload["stage"])
    when = (_ns(payload["at"]), _ns(payload["deadline"]))
    yield _BEGAN, (name, *said, *when, payload.get("counter") or 0, at)
    yield from _followed(name, payload)
    if payload.get("code_id") and not payload.get("is_main"):
        yield _USED, (_ns(payload["at"]), payload["code_id"], name)
    if payload.get("key"):
        yield _COUNTED, (name, payload["key"], payload["counter"])
    if payload.get("source"):
        yield _RIGHT, (name, payload["source"])


def _entered(name: str, at: int, fields: Mapping[str, Any], payload: Mapping[str, Any]) -> Iterator[Statement]:
    run_id, stage = payload["run_id"], payload["stage"]
    yield _STAGE, (stage, _ns(payload["at"]), at, name)
    first = fields["runseq"] * ORDERS_AT_ONCE
    for place, order in enumerate(payload.get("orders") or []):  # erased orders are none
        yield _ORDER, (run_id, order["name"], stage, first + place, canonical(order).decode())
    if payload.get("plan_run_id"):
        yield _PLAN, (run_id, stage, payload["plan_run_id"])


def _ns(time: str) -> int:
    """Return a time in nanoseconds since 1970; 0 for none."""
    return parse_time(time) if time else 0
