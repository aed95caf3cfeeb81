"""Runs, phases and actions of the record in a person's words: what began, what was done, what is waited for."""

from collections.abc import Callable, Iterator
from typing import Any

from orchestrator.ledger.event import Event
from orchestrator.runs import awaited
from orchestrator.show.told import Happening, mapping, mappings, number, subject, text, who
from orchestrator.words import counted

_MOST = 3
_KEY_CHARS = 8
_RUN_TONES = {"succeeded": "good", "failed": "bad", "denied": "bad", "cancelled": "wait"}
_DELIVERIES = {
    "delivered": ("DONE", "good"),
    "permanent": ("REFUSED", "bad"),
    "retryable": ("FAILED", "wait"),
    "unknown": ("UNKNOWN", "bad"),
}
_PHASES = {
    "started": ("PHASE", "plain"),
    "passed": ("PASSED", "good"),
    "failed": ("FAILED", "bad"),
    "waiting": ("WAITS", "wait"),
    "skipped": ("SKIPPED", "plain"),
    "compensated": ("UNDONE", "wait"),
}


def _kind_of(event: Event) -> str:
    return str(event.fields["type"]).rpartition(".")[2]


def _awaited(value: object) -> tuple[str, ...]:
    found = [awaited.told(one) for one in mappings(value)]
    more = (f"and {len(found) - _MOST} more",) if len(found) > _MOST else ()
    return tuple(f"for {one}" for one in found[:_MOST]) + more


def _begins(event: Event, payload: dict[str, Any]) -> Happening:
    name = text(payload.get("name"))
    kind = " ".join(filter(None, (text(payload.get("kind")), name)))
    mode = text(payload.get("mode"))
    parts = (kind, f"mode {mode}" if mode else "", text(payload.get("repository")), text(payload.get("trigger")))
    inputs = ", ".join(f"{key}={_brief(value)}" for key, value in mapping(payload.get("inputs")).items())
    return Happening("BEGINS", "plain", who(event), parts, (f"inputs: {inputs}",) if inputs else ())


def _brief(value: object) -> str:
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool | int | float) else "..."


def _ends(event: Event, payload: dict[str, Any]) -> Happening:
    state = text(payload.get("state")) or "ended"
    return Happening("ENDS", _RUN_TONES.get(state, "plain"), who(event), (state, text(payload.get("reason"))))


def _waits(event: Event, payload: dict[str, Any]) -> Happening:
    waits = mappings(payload.get("for"))
    phases = ", ".join(dict.fromkeys(text(one["phase"]) for one in waits if one.get("phase")))
    rest = _awaited([one for one in waits if not one.get("phase")])  # what a phase waits for is told by its own event
    return Happening("WAITS", "wait", who(event), ("the run", f"at {phases}" if phases else ""), rest)


def _resumes(event: Event, payload: dict[str, Any]) -> Happening:
    segment, by = number(payload.get("segment")), text(payload.get("by"))
    parts = ("the run goes on", f"segment {segment}" if segment is not None else "", f"by {by}" if by else "")
    return Happening("RESUMES", "plain", who(event), parts)


def _cancels(event: Event, payload: dict[str, Any]) -> Happening:
    by = text(payload.get("by")) or who(event)
    return Happening("CANCELS", "wait", by, ("the run, before its next action", text(payload.get("reason"))))


def _phase(event: Event, payload: dict[str, Any]) -> Happening:
    word, tone = _PHASES.get(_kind_of(event), ("PHASE", "plain"))
    name = f"phase {text(payload.get('phase')) or subject(event)}".rstrip()
    attempt = number(payload.get("attempt"))
    parts = (
        f"{name} begins" if word == "PHASE" else name,
        f"attempt {attempt}" if attempt is not None and attempt > 1 else "",
        text(payload.get("error_class")),
        text(payload.get("reason")),
    )
    return Happening(word, tone, who(event), parts, tuple(_of_phase(payload)))


def _noted(event: Event, payload: dict[str, Any]) -> Happening:
    state = text(payload.get("state"))
    word, tone = {
        "skipped": ("SKIPPED", "plain"),
        "continued": ("GOES ON", "wait"),
        "replaced": ("INSTEAD", "wait"),
    }.get(state, ("NOTED", "plain"))
    step = "/".join(filter(None, (text(payload.get("phase")), text(payload.get("step"))))) or subject(event)
    return Happening(word, tone, who(event), (f"step {step}", text(payload.get("reason"))))


def _of_phase(payload: dict[str, Any]) -> Iterator[str]:
    """Yield the criteria that were not met, else how many were, and what is waited for."""
    criteria = mappings(payload.get("criteria"))
    missed = [one for one in criteria if one.get("passed") is not True]
    for one in missed[:_MOST]:
        yield f"not met: {criterion(one)}"
    if len(missed) > _MOST:
        yield f"and {len(missed) - _MOST} more"
    if criteria and not missed:
        yield criteria_met(len(criteria))
    yield from _awaited(payload.get("for"))


def criteria_met(count: int) -> str:
    """Return that all criteria of a phase were met: `1 criterion met`, `all 3 criteria met`."""
    return ("" if count == 1 else "all ") + counted(count, "criterion", "criteria") + " met"


def criterion(one: dict[str, Any]) -> str:
    """Return a criterion as it was judged: `metric_threshold out/m.json: saw 71, expected at least 80`."""
    name = " ".join(filter(None, (text(one.get("kind")), text(one.get("subject")))))
    error = text(one.get("error"))
    seen, expected = (_seen(one.get(key)) for key in ("seen", "expected"))
    told = error or ", ".join(filter(None, (f"saw {seen}" if seen else "", f"expected {expected}" if expected else "")))
    return f"{name}: {told}" if told else name or "?"


def _seen(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else str(value)


def _step(event: Event, payload: dict[str, Any]) -> str:
    """Return which order an event is about: its name and target, or its key where nobody recalls them."""
    name, target = text(payload.get("name")), text(payload.get("target"))
    known = name or subject(event) or f"action {text(payload.get('key'))[:_KEY_CHARS] or '?'}"
    return " to ".join(filter(None, (known, target)))


def _planned(event: Event, payload: dict[str, Any]) -> Happening:
    by = f"by {text(payload.get('adapter'))}" if payload.get("adapter") else ""
    what = " ".join(filter(None, (str(event.fields.get("action", "")), by)))
    effect = "outward" if payload.get("effect") == "outward" else ""
    return Happening("PLANNED", "plain", who(event), (_step(event, payload), what, effect))


def _dispatching(event: Event, payload: dict[str, Any]) -> Happening:
    attempt = number(payload.get("attempt"))
    tried = f"attempt {attempt}" if attempt is not None and attempt > 1 else ""
    return Happening("ACTS", "plain", who(event), (_step(event, payload), tried))


def _outcome(event: Event, payload: dict[str, Any]) -> Happening:
    word, tone = _DELIVERIES.get(_kind_of(event), ("ACTION", "plain"))
    receipt = mapping(payload.get("receipt"))
    attempt = number(payload.get("attempt"))
    parts = (
        _step(event, payload),
        f"attempt {attempt}" if attempt is not None and attempt > 1 else "",
        text(payload.get("error_class")),
        text(receipt.get("reference")),
    )
    detail = " ".join(text(receipt.get("detail")).split())
    return Happening(word, tone, who(event), parts, (detail,) if detail else ())


def _resolved(event: Event, payload: dict[str, Any]) -> Happening:
    state = {"delivered": "it did happen", "retryable": "it did not happen; it is done again"}
    said = text(payload.get("state"))
    note = text(payload.get("note"))
    parts = (_step(event, payload), state.get(said, said))
    return Happening("RESOLVED", "wait", text(payload.get("by")) or who(event), parts, (note,) if note else ())


def _behind(event: Event, payload: dict[str, Any]) -> Happening:
    reason = " ".join(text(payload.get("reason")).split())
    return Happening("BEHIND", "wait", who(event), (_step(event, payload),), (reason,) if reason else ())


TELLERS: dict[str, Callable[[Event, dict[str, Any]], Happening]] = {
    "orch.run.started": _begins,
    "orch.run.waiting": _waits,
    "orch.run.resumed": _resumes,
    "orch.run.cancelling": _cancels,
    "orch.run.ended": _ends,
    **{f"orch.phase.{name}": _phase for name in _PHASES},
    "orch.phase.noted": _noted,
    "orch.action.planned": _planned,
    "orch.action.dispatching": _dispatching,
    **{f"orch.action.{name}": _outcome for name in _DELIVERIES},
    "orch.action.resolved": _resolved,
    "orch.tracking.behind": _behind,
}
"""Type of event to what tells it."""
