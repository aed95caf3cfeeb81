"""How escalations stand, for people and programs: stage, deadline, what comes next, what is owed and to whom."""

import os
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self, TextIO

from orchestrator.clock import SECOND_NS, format_time
from orchestrator.escalations.control import Controlled, Operation
from orchestrator.escalations.kept import Record
from orchestrator.escalations.status import Came, Next, Status
from orchestrator.escalations.timekeeping import span
from orchestrator.show.done import Sheet
from orchestrator.show.done import write_text as write_refused
from orchestrator.show.escape import json_text, terminal
from orchestrator.show.held import UNKNOWN, ways
from orchestrator.words import counted

_WAITS = {
    "dwell": "it stands at this stage for a while first",
    "undelivered": "what must arrive first has not yet",
    "due": "due now: the next tick enters it",
}
_DONE = {
    Operation.SET_DEADLINE: "the deadline is set",
    Operation.RESET: "a new cycle has begun",
    Operation.ARM: "it is armed",
    Operation.DISARM: "it is disarmed",
    Operation.TRIGGER: "it will be released",
}
_MODES = {"countdown": "a countdown", "fuse": "a fuse", "manual": "armed by hand"}
_CALM = frozenset({"", "early", "dwell", "undelivered", "last", "disarmed", "due"})
"""Why it stays while nothing hinders it; the lines above say as much."""
_WHYS = {
    "waiting": "waiting",
    "budget": "a budget is spent",
    "clock": "refused: the clock",
    "seal": "refused: the key of seals",
    "witness": "no witness",
    "configuration": "not configured",
    "outward": "one stage in a tick",
}
_BAD, _WAIT = "31", "33"
_HOW = {"delivered": ("delivered", ""), "permanent": ("refused for good", _BAD)}
"""What became of an order, as people are told it, and its style."""


class Look(NamedTuple):
    """How it is written."""

    has_color: bool = False

    @classmethod
    def of(cls, out: TextIO) -> Self:
        """Return how it is written there: a terminal has colours, unless NO_COLOR is set."""
        return cls(out.isatty() and "NO_COLOR" not in os.environ)


def write_json(each: Sequence[Status], out: TextIO, *, is_single: bool) -> None:
    """Write one object where one was asked for, else a list of them."""
    said = [one.to_json() for one in each]
    out.write(json_text(said[0] if is_single else said) + "\n")


def write_text(each: Sequence[Status], out: TextIO, look: Look | None = None) -> None:
    """Write each as a few lines of name and value."""
    look = look or Look()
    for number, one in enumerate(each):
        out.write("\n" if number else "")
        for name, value, style in _lines(one):
            text = terminal(value)
            painted = f"\x1b[{style}m{text}\x1b[0m" if look.has_color and style else text
            out.write(f"{terminal(name):<11}{painted}".rstrip() + "\n")


def write_controlled(done: Controlled, out: TextIO, output: str, *, width: int = 80) -> None:
    """Write what somebody changed by hand: `{name, operation, is_changed, cycle, stage, is_armed, deadline, ...}`."""
    if output == "json":
        out.write(json_text(controlled_json(done)) + "\n")
        return
    if done.refused is not None:
        write_refused(done.refused, Sheet(f"{done.operation.value} {done.name}", width=width), out)
        return
    record = done.record
    said = _DONE[done.operation] if done.is_changed else "nothing had to be changed"
    out.write(terminal(f"{done.name}: {said}") + "\n")
    if record is None:
        return
    out.write(f"{'stage':<11}{terminal(record.stage)} of cycle {record.cycle}\n")
    out.writelines(f"{name:<11}{terminal(value)}\n" for name, value, _ in _deadline(record, done.now_ns))
    if not record.is_armed and done.operation is not Operation.DISARM:
        out.write(f"{'next':<11}{terminal(f'orch arm {shlex.quote(done.name)}')}\n")


def controlled_json(done: Controlled) -> dict[str, Any]:
    """Return what somebody changed by hand as plain JSON."""
    record = done.record
    said: dict[str, Any] = {"name": done.name, "operation": done.operation.value, "is_changed": done.is_changed}
    if record is not None:
        said |= {"cycle": record.cycle, "run_id": record.run_id, "stage": record.stage, "is_armed": record.is_armed}
        said |= {"is_triggered": record.is_triggered}
        said["deadline"] = format_time(record.deadline) if record.deadline else None
    if done.refused is not None:
        said |= {"refused": done.refused.to_json(), "exit_code": int(done.refused.exit_code)}
    return said


_Line = tuple[str, str, str]
"""Name, value and style."""


def _lines(one: Status) -> Iterator[_Line]:
    escalation, record = one.escalation, one.record
    mode, run_id = (record.mode, record.run_id) if record else (escalation.mode.value, "")
    yield escalation.name, f"{escalation.version}, {_MODES.get(mode, mode)}", ""
    if record is None:
        yield "stage", "it has not begun: orch set-deadline begins it", _WAIT
    else:
        audience = next((stage.audience.value for stage in escalation.stages if stage.name == record.stage), "")
        style = "" if audience == "operator" else _BAD
        since = f"for {span(max(0, (one.now_ns - record.stage_at) // SECOND_NS))}"
        yield "stage", f"{record.stage} ({audience}), {since}, in cycle {record.cycle}", style
        yield from _deadline(record, one.now_ns)
        yield from _next(one)
        yield from _tick(one, record)
    yield _codes(one)
    for came in one.came:
        yield from _came(came)
    for stage, run_id, how in one.plans:
        yield "plan", f"{stage}: run {run_id}, {how or 'not begun yet'}", "" if how == "succeeded" else _WAIT
    if one.owed:
        yield "owed", ", ".join(f"{item.name} ({item.state})" for item in one.owed), _BAD
        yield from (("", text, "") for item in one.owed if item.state in UNKNOWN for text in _ways(one, item.name))
    for name, request_id in one.asked:
        yield "waiting", f"{name}: orch approve {request_id}", _WAIT
    if one.refused:
        names = list(dict.fromkeys(name for name, _ in one.refused))
        yield "refused", f"for good: {', '.join(names)}; no tick tries again: tell whom it was for another way", _BAD
        yield from (
            ("", f"or, once they would take it, orch resume {shlex.quote(run_id)} --resend {shlex.quote(name)}", "")
            for name in names
        )
    for note in one.notes:
        yield "note", note, ""


def _codes(one: Status) -> _Line:
    spare = one.spare_codes
    if spare is None:
        return "codes", "none is set: orch code new makes them", _WAIT
    left = f"{counted(spare, 'spare code')} left" if spare else "no spare code is left"
    return "codes", left, "" if spare else _WAIT


def _deadline(record: Record, now_ns: int) -> Iterator[_Line]:
    if not record.is_armed:
        until = f"{_shown(record.deadline)}, but " if record.deadline else ""
        yield "deadline", f"{until}none counts: it is disarmed", _WAIT
        return
    left_s = (record.deadline - now_ns) // SECOND_NS
    when = f"in {span(left_s)}" if left_s >= 0 else f"{span(-left_s)} ago"
    by_hand = ", released by hand" if record.is_triggered else ""
    yield "deadline", f"{_shown(record.deadline)}, {when}{by_hand}", _BAD if left_s < 0 else ""


def _next(one: Status) -> Iterator[_Line]:
    coming: Next | None = one.next
    if coming is None:
        is_last = one.record is not None and one.record.stage == one.escalation.stages[-1].name
        yield "next", "nothing: this is the last stage" if is_last else "nothing while it is disarmed", ""
        return
    said = f"{coming.stage} ({coming.audience})"
    if coming.why != "due" and coming.at_ns is not None:
        left_s = max(0, (coming.at_ns - one.now_ns) // SECOND_NS)
        said += f" from {_shown(coming.at_ns)}, in {span(left_s)}"
    why = _WAITS.get(coming.why, "")
    yield "next", f"{said}{'; ' if why else ''}{why}", "" if coming.audience == "operator" else _WAIT


def _tick(one: Status, record: Record) -> Iterator[_Line]:
    if record.ticker:
        yield "ticking", f"tick {record.tick}, by {record.ticker}", _WAIT
    if not record.ticked_at:
        yield "last tick", "there was none", _BAD
        yield from _result(one)
        return
    ago = span(one.ticked_ago_s or 0)
    late = f"; expected every {span(one.escalation.every_s)}" if one.is_overdue and one.escalation.every_s else ""
    yield "last tick", f"{_shown(record.ticked_at)}, {ago} ago{late}", _BAD if one.is_overdue else ""
    yield from _result(one)


def _result(one: Status) -> Iterator[_Line]:
    """Yield what came of the newest tick, where there is more to say than that it stays until later."""
    last = one.last
    if last is None or (not last.exit_code and last.why in _CALM):
        return
    if last.why in _CALM:
        said = "the worst of what it tried is above"
    else:
        said = ": ".join(filter(None, (_WHYS.get(last.why, last.why), last.detail)))
    code = f" (exit code {last.exit_code})" if last.exit_code else ""
    yield "", f"{said}{code}", _BAD if last.exit_code else ""


def _came(came: Came) -> Iterator[_Line]:
    if not came.receipts:
        yield "order", f"{came.name}: nothing of it was begun", _WAIT
    for receipt in came.receipts:
        tries = f", attempt {receipt['attempt']}" if receipt["attempt"] > 1 else ""
        to = f" to {receipt['target']}" if receipt["target"] else ""
        detail = f" - {receipt['detail']}" if receipt["detail"] and receipt["delivery"] != "delivered" else ""
        how, style = _HOW.get(receipt["delivery"], (receipt["delivery"], _WAIT))
        if receipt["delivery"] == "permanent" and not receipt["is_settled"]:
            how = "not configured, so not sent; each tick tries again"
        yield "order", f"{came.name}{to}: {how}{tries}{detail}", style


def _ways(one: Status, name: str) -> Iterator[str]:
    receipts = [each for came in one.came if came.name == name for each in came.receipts]
    yield from ways(one.record.run_id if one.record else "", name, receipts)


def _shown(ns: int) -> str:
    return format_time(ns // SECOND_NS * SECOND_NS)
