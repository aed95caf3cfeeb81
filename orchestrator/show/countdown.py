"""Escalations of the record in a person's words: deadlines, stages, ticks, codes, and who changed what."""

from collections.abc import Callable
from typing import Any

from orchestrator.ledger.event import Event
from orchestrator.show.told import Happening, mappings, number, text, who
from orchestrator.words import counted

_WHYS = {"set_deadline": "a first deadline", "renew": "renewed", "reset": "reset", "arm": "armed"}
_MOST = 5


def _until(payload: dict[str, Any]) -> str:
    return f"deadline {text(payload.get('deadline'))}" if text(payload.get("deadline")) else ""


def _began(event: Event, payload: dict[str, Any]) -> Happening:
    cycle, why = number(payload.get("cycle")), text(payload.get("why"))
    parts = (f"cycle {cycle}" if cycle is not None else "a cycle", _WHYS.get(why, why), _until(payload))
    armed = "" if payload.get("is_armed", True) else "not armed"
    return Happening("BEGINS", "good" if why == "renew" else "plain", who(event), (*parts, armed))


def _deadline(event: Event, payload: dict[str, Any]) -> Happening:
    is_released = payload.get("is_triggered") is True
    parts = ("released by hand" if is_released else "the deadline is moved", _until(payload))
    return Happening("RELEASED" if is_released else "DEADLINE", "wait" if is_released else "plain", who(event), parts)


def _armed(event: Event, payload: dict[str, Any]) -> Happening:
    return Happening("ARMED", "plain", who(event), ("its deadline counts", _until(payload)))


def _disarmed(event: Event, _: dict[str, Any]) -> Happening:
    return Happening("DISARMED", "wait", who(event), ("no deadline counts",))


def _ticking(event: Event, payload: dict[str, Any]) -> Happening:
    return Happening("TICK", "plain", who(event), (_tick(payload), f"by {text(payload.get('now'))}"))


def _ticked(event: Event, payload: dict[str, Any]) -> Happening:
    said = payload.get("owed")
    owed = [one for one in said if isinstance(one, str)] if isinstance(said, list) else []
    parts = (_tick(payload), f"at {text(payload.get('stage'))}", f"owed: {', '.join(owed[:_MOST])}" if owed else "")
    return Happening("TICKED", "wait" if owed else "plain", who(event), parts)


def _tick(payload: dict[str, Any]) -> str:
    tick = number(payload.get("tick"))
    return f"tick {tick}" if tick is not None else "a tick"


def _stage(event: Event, payload: dict[str, Any]) -> Happening:
    orders = [text(one.get("name")) for one in mappings(payload.get("orders"))]
    plan = text(payload.get("plan_run_id"))
    before = f"after {text(payload.get('from'))}" if text(payload.get("from")) else ""
    brought = f"it brings {', '.join(orders[:_MOST])}" if orders else ""
    if len(orders) > _MOST:
        brought += f" and {len(orders) - _MOST} more"
    details = tuple(filter(None, (brought, f"its plan is the run {plan}" if plan else "")))
    return Happening("STAGE", "wait", who(event), (text(payload.get("stage")), before), details)


def _refused(event: Event, payload: dict[str, Any]) -> Happening:
    return Happening("REFUSED", "bad", who(event), (text(payload.get("what")), text(payload.get("detail"))))


def _codes(event: Event, payload: dict[str, Any]) -> Happening:
    count = max(len(mappings(payload.get("codes"))) - 1, 0)  # one row more than codes always, so that it tells nothing
    return Happening("CODES", "plain", who(event), (counted(count, "code"), "older ones count no longer"))


def _attempt(event: Event, payload: dict[str, Any]) -> Happening:
    locked = "which is locked" if payload.get("is_locked") is True else ""
    return Happening("TRIED", "plain", who(event), (f"a code, from {text(payload.get('source'))}", locked))


def _wrong(event: Event, payload: dict[str, Any]) -> Happening:
    failures, until = number(payload.get("failures")), text(payload.get("locked_until"))
    parts = (
        f"a wrong code, from {text(payload.get('source'))}",
        f"{failures} in a row" if failures is not None and failures > 1 else "",
        f"locked until {until}" if until else "",
    )
    return Happening("WRONG", "bad", who(event), parts)


TELLERS: dict[str, Callable[[Event, dict[str, Any]], Happening]] = {
    "orch.escalation.began": _began,
    "orch.escalation.deadline": _deadline,
    "orch.escalation.armed": _armed,
    "orch.escalation.disarmed": _disarmed,
    "orch.escalation.ticking": _ticking,
    "orch.escalation.ticked": _ticked,
    "orch.escalation.stage": _stage,
    "orch.escalation.refused": _refused,
    "orch.escalation.codes": _codes,
    "orch.escalation.attempt": _attempt,
    "orch.escalation.wrong": _wrong,
}
