"""Runs as a person reads them, and as JSON: the newest first, or one with phases, steps, receipts and what it needs."""

import shlex
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from orchestrator.runs import awaited
from orchestrator.runs.attendance import UNSEEN, Attendance, shown
from orchestrator.runs.listing import ORDERING, Found, Listed, Ordered
from orchestrator.runs.reports import seconds_of
from orchestrator.runs.state import PhaseState, Snapshot, StepState
from orchestrator.show.escape import json_text
from orchestrator.show.execution import criteria_met, criterion
from orchestrator.show.timeline import Page, ago, wrapped
from orchestrator.words import counted

_TONES = {
    "succeeded": "good",
    "passed": "good",
    "delivered": "good",
    "failed": "bad",
    "denied": "bad",
    "permanent": "bad",
    "unknown": "bad",
    "waiting": "wait",
    "stopped": "wait",
    "new": "wait",
    "queued": "wait",
    "hindered": "bad",
    "cancelling": "wait",
    "cancelled": "wait",
    "retryable": "wait",
    "compensated": "wait",
}
_GOING = frozenset({"running", "cancelling"})
_LABEL = 10
_STATE = 11
_MOST_WAITS = 3
_FOLLOWS = "it goes on by itself where a worker runs; else: orch resume"


def json_of(found: Found) -> dict[str, Any]:
    """Return one run as JSON: a record of it that can be kept as a file."""
    assert found.run is not None  # noqa: S101  # the caller looked
    seen = found.run
    waits = [
        {**one, "text": awaited.told(one), "commands": list(awaited.openers(one, seen.run_id))}
        for one in seen.waiting_for
    ]
    tracking = [{"name": name, "state": state, "about": about} for name, state, about in found.tracked]
    attended = _attendance(found, seen.run_id).to_json()
    orders = {"orders": [one._asdict() for one in found.orders]} if seen.kind in ORDERING else {}
    return {**seen.to_json(), **attended, "waiting_for": waits, "tracking": tracking, **orders}


def write(found: Found, out: TextIO, output: str, page: Page) -> None:
    """Write one run, or several, as `text` or `json`.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    if output == "json":
        listed = [{**one.to_json(), **_attendance(found, one.run_id).to_json()} for one in found.runs]
        said = json_of(found) if found.run is not None else listed
        out.write(json_text(said, indent=2) + "\n")
        return
    lines = _one(found, found.run, page) if found.run is not None else _list(found, page)
    out.writelines(f"{line.rstrip()}\n" for line in lines)


def _attendance(found: Found, run_id: str) -> Attendance:
    return found.attended.get(run_id, UNSEEN)


def _state(state: str, attended: Attendance) -> str:
    """Return a run's state as people are told it: what only the record says goes on is stopped, or queued."""
    if state not in _GOING or attended.is_worked_on is not False:
        return state
    return "queued" if attended.is_queued else "stopped"


def _absence(state: str, attended: Attendance, run_id: str, page: Page, *, width: int = _STATE) -> Iterator[str]:
    """Yield why nobody goes on with a run, and what does."""
    for one in attended.hindrances[:_MOST_WAITS]:
        when = ago(one.at, page.now_ns)
        text = f"{shown(one.executor)}{f', {when}' if when else ''}: {one.reason}"
        yield from _labelled("hindered", page.say(text), page, width=width)
    if state in _GOING and attended.is_worked_on is False:
        is_queued = attended.is_queued or bool(attended.hindrances)
        why = "a worker takes it: orch worker" if is_queued else "nobody works on it"
        yield from _labelled("next", page.say(f"{why}; orch resume {shlex.quote(run_id)} goes on"), page, width=width)


def _list(found: Found, page: Page) -> Iterator[str]:
    if not found.runs:
        yield "no runs; orch run begins one"
    for number, run in enumerate(found.runs):
        if number:
            yield ""
        yield from _listed(run, _attendance(found, run.run_id), page)


def _listed(run: Listed, attended: Attendance, page: Page) -> Iterator[str]:
    yield from (page.paint("bold", line) for line in wrapped(page.say(run.run_id), page.width, 0, 2))
    parts = [
        f"{run.done} of {run.total} ({run.percent} %)" if run.total else "",
        run.kind if run.kind != "plan" else "",
        f"{run.delivered} of {run.ordered} delivered" if run.ordered else "",
    ]
    parts += [f"mode {run.mode}" if run.mode else "", run.repository, run.actor, ago(run.started_at, page.now_ns)]
    state = _state(run.state, attended)
    yield from _labelled(state, page.dot.join(page.say(part) for part in parts if part), page, width=_STATE)
    waits = awaited.at_once(run.waiting_for)
    for one in waits[:_MOST_WAITS]:
        yield from _wait(one, run.run_id, page)
    if len(waits) > _MOST_WAITS:
        yield from _labelled("", f"and {len(waits) - _MOST_WAITS:,} more", page, width=_STATE)
    yield from _absence(run.state, attended, run.run_id, page)


def _one(found: Found, seen: Snapshot, page: Page) -> Iterator[str]:
    attended = _attendance(found, seen.run_id)
    state = _state(seen.state, attended)
    yield from (page.paint("bold", line) for line in wrapped(page.say(seen.run_id), page.width, 0, 2))
    said = page.paint(_TONES.get(state, "plain"), page.say(state))
    by = page.say(f"by {shown(attended.by)}") if attended.by else ""
    yield from _labelled("state", f"{said} {by}".rstrip(), page)
    yield from _absence(seen.state, attended, seen.run_id, page, width=_LABEL)
    for name, text in _facts(seen, page):
        if text:
            yield from _labelled(name, page.say(text), page)
    for one in awaited.at_once(seen.waiting_for):
        yield from _wait(one, seen.run_id, page, width=_LABEL)
    for tracked in found.tracked:
        yield from _labelled("tracking", page.say(" ".join(filter(None, tracked))), page)
    if seen.kind == "escalation":
        stands = f"orch status {shlex.quote(seen.name)} says where it stands and what is owed"
        yield from _labelled("stage", page.say(stands), page)
    yield ""
    for order in found.orders:
        yield from _order(order, page)
    for phase in seen.phases:
        yield from _phase(phase, page)


def _facts(seen: Snapshot, page: Page) -> Iterable[tuple[str, str]]:
    when = ago(seen.started_at, page.now_ns)
    title = f", {seen.title}" if seen.title else ""
    inputs = ", ".join(
        f"{name}={value if isinstance(value, str) else json_text(value)}" for name, value in seen.inputs.items()
    )
    return (
        (seen.kind, f"{seen.name}{title}"),
        ("why", seen.reason),
        ("cancelled", f"by {seen.cancelled_by}" if seen.cancelled_by else ""),
        ("mode", f"{seen.mode}, segment {seen.segment}" if seen.segment else seen.mode),
        ("by", seen.actor),
        ("repository", seen.repository),
        ("began", f"{_second(seen.started_at)}" + (f", {when}" if when else "")),
        ("ended", _ended(seen.started_at, seen.ended_at)),
        ("inputs", inputs),
        ("root", seen.root),
        ("reports", seen.reports or ""),
        (
            "progress",
            ""
            if seen.kind in ORDERING
            else f"{seen.done} of {counted(seen.total, 'phase')}, {min(100, seen.percent)} %",
        ),
    )


def _phase(phase: PhaseState, page: Page) -> Iterator[str]:
    parts = [phase.id, f"attempt {phase.attempt}" if phase.attempt > 1 else "", _took(phase.started_at, phase.ended_at)]
    parts += [phase.title, f"after {', '.join(phase.needs)}" if phase.needs and phase.state == "pending" else ""]
    yield from _row(phase.state, page.dot.join(page.say(part) for part in parts if part), page, 0)
    if phase.reason:
        yield from _hung(
            " ".join(filter(None, (phase.error_class + ":" if phase.error_class else "", phase.reason))), page
        )
    for step in phase.steps:
        if step.state != "pending":
            yield from _step(step, page)
    missed = [one for one in phase.criteria if one.get("passed") is not True]
    for one in missed:
        yield from _hung(f"not met: {criterion(dict(one))}", page)
    if phase.criteria and not missed:
        yield from _hung(criteria_met(len(phase.criteria)), page)
    for wait in phase.waiting_for:
        yield from _hung(awaited.sentence({**wait, "phase": ""}), page)


def _step(step: StepState, page: Page) -> Iterator[str]:
    parts = [
        step.id,
        step.action,
        f"attempt {step.attempts}" if step.attempts > 1 else "",
        step.error_class,
        step.reference,
    ]
    yield from _row(step.state, page.dot.join(page.say(part) for part in parts if part), page, 2)
    if step.detail and step.state != "delivered":
        yield from _hung(step.detail, page, 4)


def _order(order: Ordered, page: Page) -> Iterator[str]:
    to = f"to {order.target}" if order.target else ""
    tries = f"attempt {order.attempt}" if order.attempt > 1 else ""
    parts = [order.name, order.action, to, tries, order.reference]
    yield from _row(order.state, page.dot.join(page.say(part) for part in parts if part), page, 0)
    told = {"new": "nothing of it was begun", "permanent": f"refused for good: {order.detail}"}
    detail = told.get(order.state, order.detail)
    if detail and order.state != "delivered":
        yield from _hung(detail, page)


def _wait(one: Any, run_id: str, page: Page, *, width: int = _STATE) -> Iterator[str]:  # noqa: ANN401  # JSON
    commands = awaited.openers(one, run_id)
    label, _, text = awaited.sentence(one).partition(" ")
    yield from _labelled(label, page.say(text), page, width=width)
    for number, command in enumerate(commands):
        yield from _labelled("or" if number else "next", page.say(command), page, width=width)
    if not commands and one.get("type") == "timer" and one.get("is_look") is not True:
        yield from _labelled("next", page.say(f"{_FOLLOWS} {run_id}"), page, width=width)


def _labelled(label: str, text: str, page: Page, *, width: int = _LABEL) -> Iterator[str]:
    """Yield a text behind its label; a long one goes on below itself."""
    begin = width + 3
    first, *rest = wrapped(text, page.width, begin, begin)
    tone = _TONES.get(label, "dim")
    yield f"  {page.paint(tone, page.say(label))}{' ' * max(1, width - len(label) + 1)}{first}"
    yield from (" " * begin + one for one in rest)


def _row(state: str, text: str, page: Page, indent: int) -> Iterator[str]:
    begin = indent + _STATE + 3
    first, *rest = wrapped(text, page.width, begin, begin)
    gap = " " * max(1, _STATE - len(state) + 1)
    yield f"{' ' * (indent + 2)}{page.paint(_TONES.get(state, 'plain'), page.say(state))}{gap}{first}"
    yield from (" " * begin + one for one in rest)


def _hung(text: str, page: Page, indent: int = 2) -> Iterator[str]:
    begin = indent + _STATE + 3
    for line in wrapped(page.say(text), page.width, begin, begin):
        yield " " * begin + page.paint("dim", line)


def _second(time: str) -> str:
    return time.partition(".")[0].removesuffix("Z") + "Z" if time else ""


def _ended(start: str, end: str) -> str:
    return ", ".join(filter(None, (_second(end), f"after {_took(start, end)}"))) if end else ""


def _took(start: str, end: str) -> str:
    """Return `0.4 s`, `12 s`, `3 min 5 s` or `2 h 10 min`; "" where it is not over."""
    seconds = seconds_of(start, end)
    if seconds is None:
        return ""
    if seconds < 10:  # noqa: PLR2004  # below that a tenth matters
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
