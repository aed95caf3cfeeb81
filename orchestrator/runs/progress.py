"""A run as it goes: a live picture in a terminal, and quiet JSON lines where there is none. Reads nothing itself.

Whoever carries the run out gives a snapshot whenever something happened; the clock of the picture ticks between them.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TextIO

from orchestrator import clock
from orchestrator.runs import awaited
from orchestrator.runs.state import PhaseState, Snapshot, StepState
from orchestrator.show.escape import json_text, terminal
from orchestrator.words import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

_SIGNS = {
    "pending": (".", "dim"),
    "started": (">", "bold cyan"),
    "passed": ("+", "green"),
    "failed": ("x", "bold red"),
    "waiting": ("?", "yellow"),
    "skipped": ("-", "dim"),
    "compensated": ("<", "yellow"),
}
_LIVELY = ("failed", "waiting", "started")
"""What is shown first where there is no room for all."""
_TICK_S = 1.0
_MIN_ROWS, _OTHER_ROWS = 5, 6
_MOST_WAITS = 3
_MOST_NAME = 28


class Progress:
    """Shows a run. Use it in a `with` block, so that the terminal is left as it was found."""

    def __init__(self, stream: TextIO, is_terminal: bool, *, now_ns: Callable[[], int] = clock.now_ns) -> None:  # noqa: FBT001  # there are two kinds
        self._stream = stream
        self._now_ns = now_ns
        self._lines = None if is_terminal else _Lines(stream)
        self._picture = _Picture(stream, now_ns) if is_terminal else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def show(self, snapshot: Snapshot) -> None:
        """Show how the run stands now. A reader that has gone is no reason to stop a run."""
        with suppress(BrokenPipeError):
            if self._lines is not None:
                self._lines.show(snapshot)
            elif self._picture is not None:
                self._picture.show(snapshot)

    def note(self, run_id: str, about: str, why: str) -> None:
        """Tell what is no part of the run but belongs to it: an issue that could not be written. From any thread."""
        with suppress(BrokenPipeError):
            if self._lines is not None:
                self._lines.write([{"type": "note", "run": run_id, "about": about, "reason": why}])
            elif self._picture is not None:
                self._picture.note(f"note: {about}: {why}")

    def close(self) -> None:
        """Leave the last picture standing; nothing is shown any more."""
        if self._picture is not None:
            self._picture.close()
            self._picture = None


class _Lines:
    """Writes one JSON object to a line for whatever changed: `run`, `phase` or `step`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told: dict[tuple[str, ...], Any] = {}
        self._turn = threading.Lock()

    def show(self, seen: Snapshot) -> None:
        self.write(list(self._changes(seen)))

    def write(self, lines: list[dict[str, Any]]) -> None:
        if lines:
            with self._turn:
                self._stream.write("".join(f"{json_text(one)}\n" for one in lines))
                self._stream.flush()

    def _changes(self, seen: Snapshot) -> Iterator[dict[str, Any]]:
        for phase in seen.phases:
            for step in phase.steps:
                if step.state != "pending":
                    yield from self._change(("step", phase.id, step.id), _step(seen, phase, step))
            if phase.state != "pending":
                yield from self._change(("phase", phase.id), _phase(seen, phase))
        yield from self._change(("run",), _run(seen))

    def _change(self, key: tuple[str, ...], said: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if self._told.get(key) != said:
            self._told[key] = said
            yield said


def _run(seen: Snapshot) -> dict[str, Any]:
    return {
        "type": "run",
        "run": seen.run_id,
        "name": seen.name,
        "state": seen.state,
        "reason": seen.reason,
        "segment": seen.segment,
        "progress": {"done": seen.done, "total": seen.total, "percent": seen.percent},
        "waiting_for": [
            {**one, "commands": list(awaited.openers(one, seen.run_id))} for one in awaited.at_once(seen.waiting_for)
        ],
        "exit_code": seen.exit_code,
    }


def _phase(seen: Snapshot, phase: PhaseState) -> dict[str, Any]:
    return {
        "type": "phase",
        "run": seen.run_id,
        "phase": phase.id,
        "state": phase.state,
        "attempt": phase.attempt,
        "error_class": phase.error_class,
        "reason": phase.reason,
        "at": phase.ended_at or phase.started_at,
    }


def _step(seen: Snapshot, phase: PhaseState, step: StepState) -> dict[str, Any]:
    return {
        "type": "step",
        "run": seen.run_id,
        "phase": phase.id,
        "step": step.id,
        "action": step.action,
        "state": step.state,
        "attempt": step.attempts,
        "reference": step.reference,
        "detail": step.detail,
        "at": step.at,
    }


class _Picture:
    """Draws the phases, and draws them again every second."""

    def __init__(self, stream: TextIO, now_ns: Callable[[], int]) -> None:
        from rich.console import Console
        from rich.live import Live

        self._now_ns = now_ns
        self._console: Console = Console(file=stream, force_terminal=True, highlight=False, emoji=False, markup=False)
        self._live = Live(
            console=self._console, auto_refresh=False, redirect_stdout=False, transient=False, vertical_overflow="crop"
        )
        self._seen: Snapshot | None = None
        self._turn = threading.Lock()
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="orch-progress", daemon=True)

    def show(self, seen: Snapshot) -> None:
        with self._turn:
            is_first = self._seen is None
            self._seen = seen
            if is_first:
                self._live.start()
            self._draw()
        if is_first:
            self._ticker.start()

    def note(self, text: str) -> None:
        """Print a line above the picture."""
        with self._turn:
            self._console.print(terminal(text), style="yellow", soft_wrap=True)

    def close(self) -> None:
        self._ended.set()
        if self._ticker.is_alive():
            self._ticker.join()
        with self._turn, suppress(BrokenPipeError):
            if self._seen is not None:
                self._draw()
                self._live.stop()

    def _tick(self) -> None:
        while not self._ended.wait(_TICK_S):
            with self._turn, suppress(BrokenPipeError, ValueError):
                self._draw()

    def _draw(self) -> None:
        if self._seen is not None:
            height = max(_MIN_ROWS, self._console.size.height - _OTHER_ROWS)
            self._live.update(drawn(self._seen, self._now_ns(), height), refresh=True)


def drawn(seen: Snapshot, now_ns: int, most_rows: int = 100) -> "RenderableType":
    """Return a run as rich draws it: its phases, how far it is, what it waits for and which command opens that."""
    from rich.console import Group
    from rich.text import Text

    shown = _rows(seen.phases, most_rows)
    widest = min(_MOST_NAME, max((len(terminal(phase.id)) for phase in shown), default=0))
    lines: list[RenderableType] = []
    for phase in shown:
        sign, style = _SIGNS.get(phase.state, (" ", ""))
        name = terminal(phase.id)
        name = name if len(name) <= widest else f"{name[: widest - 1]}~"
        line = Text(f"{sign} {name:<{widest}} {phase.state:<11} ", style=style, overflow="ellipsis", no_wrap=True)
        lines.append(line.append(f"{_elapsed(phase, now_ns):>7}  {terminal(_doing(phase))}", style="not bold dim"))
    if hidden := len(seen.phases) - len(shown):
        lines.append(Text(f"  and {counted(hidden, 'more phase')}", style="dim"))
    lines.append(Text(_footer(seen, now_ns), style="bold", overflow="ellipsis", no_wrap=True))
    lines += [Text(line, style="yellow", overflow="fold") for line in _waits(seen)]
    return Group(*lines)


def _rows(phases: tuple[PhaseState, ...], most: int) -> tuple[PhaseState, ...]:
    """Return the phases that are shown: all where there is room, else what is going on, then the rest in order."""
    if len(phases) <= most:
        return phases
    chosen = {phase.id for phase in [one for one in phases if one.state in _LIVELY][:most]}
    for phase in phases:
        if len(chosen) < most:
            chosen.add(phase.id)
    return tuple(phase for phase in phases if phase.id in chosen)


def _doing(phase: PhaseState) -> str:
    """Return what is said beside a phase: its attempt, what it does now, or why it ended as it did."""
    parts = [f"attempt {phase.attempt}"] if phase.attempt > 1 else []
    if phase.state == "started":
        parts += [
            f"{step.id} {step.state}" + (f" ({step.attempts})" if step.attempts > 1 else "")
            for step in phase.steps
            if step.state not in {"pending", "delivered", "skipped"}
        ][-1:]
    elif phase.state == "waiting":
        parts += [awaited.told({**one, "phase": ""}) for one in phase.waiting_for[:1]]
    elif phase.reason:
        parts.append(" ".join(phase.reason.split()))
    return ", ".join(parts)


def _footer(seen: Snapshot, now_ns: int) -> str:
    done = f"{seen.done} of {counted(seen.total, 'phase')}, {min(100, seen.percent)} %"
    reason = f": {' '.join(seen.reason.split())}" if seen.reason else ""
    span = _span(seen.started_at, seen.ended_at, now_ns)
    return terminal(f"{seen.run_id}  {seen.state}{reason}  {done}  {span}".rstrip())


def _waits(seen: Snapshot) -> Iterator[str]:
    waits = awaited.at_once(seen.waiting_for)
    for one in waits[:_MOST_WAITS]:
        commands = " or ".join(awaited.openers(one, seen.run_id))
        yield terminal(awaited.sentence(one) + (f"; next: {commands}" if commands else ""))
    if len(waits) > _MOST_WAITS:
        yield f"and {len(waits) - _MOST_WAITS:,} more; orch runs shows all"


def _elapsed(phase: PhaseState, now_ns: int) -> str:
    if phase.state == "waiting":
        return ""  # it stands still
    return _span(phase.started_at, phase.ended_at, now_ns)


def _span(start: str, end: str, now_ns: int) -> str:
    """Return `0:12`, `1:02:03`; "" where it never began."""
    try:
        began = clock.parse_time(start)
        seconds = max(0, (clock.parse_time(end) if end else now_ns) - began) // clock.SECOND_NS
    except ValueError:
        return ""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
