"""What the pictures of a simulation have in common: which time they show, and where a moment lies. Pure."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from orchestrator.clock import SECOND_NS, format_time
from orchestrator.escalations.model import Escalation
from orchestrator.escalations.simulate import Entry, Simulation
from orchestrator.escalations.timekeeping import span
from orchestrator.words import counted

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400
_STEPS_S = tuple(
    number * unit
    for unit, numbers in (
        (1, (1, 2, 5, 10, 15, 30)),
        (_MINUTE_S, (1, 2, 5, 10, 15, 30)),
        (_HOUR_S, (1, 2, 3, 6, 12)),
        (_DAY_S, (1, 2, 7, 14, 30, 90, 182, 365, 730, 1_825, 3_650)),
    )
    for number in numbers
)
_LEAST_NS = 600 * SECOND_NS
_PAD = 0.12
_TIME = slice(11, 16)
_MINUS = "\N{MINUS SIGN}"


class Band(NamedTuple):
    """A time for which it stands at a stage."""

    stage: str
    from_ns: int
    to_ns: int


class Scale(NamedTuple):
    """Where a moment lies."""

    from_ns: int
    to_ns: int
    left: float
    width: float

    def x(self, ns: int) -> float:
        """Return where a moment lies; what is outside lies at the edge."""
        inside = min(max(ns, self.from_ns), self.to_ns)
        return self.left + self.width * (inside - self.from_ns) / (self.to_ns - self.from_ns)

    def holds(self, ns: int) -> bool:
        """Return whether a moment is shown."""
        return self.from_ns <= ns <= self.to_ns

    def marks(self, origin_ns: int, most: int) -> list[int]:
        """Return at most so many moments at round distances from another one."""
        length_s = (self.to_ns - self.from_ns) / SECOND_NS
        step_s = next((step for step in _STEPS_S if length_s / step <= most - 1), _STEPS_S[-1])
        step_ns = step_s * SECOND_NS
        first = origin_ns - (origin_ns - self.from_ns) // step_ns * step_ns
        return list(range(first, self.to_ns + 1, step_ns))


def shown_time(found: Simulation) -> tuple[int, int]:
    """Return which part of the time is worth a picture: where something happens, and a little before and after it."""
    start, end = found.scenario.start_ns, max(found.scenario.end_ns, found.scenario.start_ns + 1)
    moments = [moment for one in found.entries for moment in (one.at_ns, max(one.due_ns, start))]
    moments += [
        one.deadline_ns for one in found.turns if one.deadline_ns is not None and start <= one.deadline_ns <= end
    ]
    moments += [one.at_ns for one in found.sent if one.at_ns is not None]
    if not found.entries:
        return start, end
    if len(found.turns) > 1:
        moments += [one.at_ns for one in found.turns]
    length = max(moments) - min(moments)
    pad = max(int(length * _PAD), SECOND_NS) if length else _LEAST_NS
    return max(start, min(moments) - pad), min(end, max(moments) + pad)


def bands(escalation: Escalation, found: Simulation) -> Iterator[Band]:
    """Yield where it stands, from the start to the end."""
    first = escalation.stages[0].name
    begins = found.scenario.standing
    stood = [(one.at_ns, number, first) for number, one in enumerate(found.turns)]
    if begins is not None:
        stood[0] = (found.scenario.start_ns, 0, escalation.stages[begins.stage].name)
    stood += [(one.at_ns, one.cycle - 1, one.stage) for one in found.entries]
    stood.sort(key=lambda one: one[:2])
    ends = [*(one[0] for one in stood), max(found.scenario.end_ns, stood[-1][0])]
    for (_, _, stage), (since, until) in zip(stood, pairwise(ends), strict=True):
        yield Band(stage, since, until)


def relative(seconds: int) -> str:
    """Return a distance from the deadline: `-6 h`, `0`, `+1 min`, with a real minus sign."""
    if not seconds:
        return "0"
    return f"{_MINUS if seconds < 0 else '+'}{span(abs(seconds))}"


def clock_text(ns: int, *, with_day: bool = True) -> str:
    """Return a moment as people read it: `2026-11-21 12:00`, or `12:00`, UTC; seconds where there are any."""
    text = format_time(ns // SECOND_NS * SECOND_NS)
    time = text[11:19] if not text.endswith("00Z") else text[_TIME]
    return f"{text[:10]} {time}" if with_day else time


def distance(entry: Entry) -> str:
    """Return how far from its cycle's deadline a stage was entered."""
    said = relative((entry.at_ns - entry.deadline_ns) // SECOND_NS)
    return "at the deadline" if said == "0" else said


def _rhythm(found: Simulation) -> str:
    """Return how ticks come, in words."""
    rhythm = found.scenario.rhythm
    if rhythm.gaps is None:
        return f"a tick every {span(rhythm.every_s)}"
    gaps = rhythm.gaps
    return f"gaps of {span(gaps.median_s)} (median), {span(gaps.p95_s)} (p95), {span(gaps.longest_s)} (longest)"


def subtitle(found: Simulation) -> str:
    """Return what was played: from when to when, how ticks come, how many there were."""
    ticks, missed = found.timetable.ticks, found.timetable.missed
    said = [f"{clock_text(found.scenario.start_ns)} to {clock_text(found.scenario.end_ns)} UTC", _rhythm(found)]
    said.append(counted(len(ticks), "tick") + (f", {len(missed):,} missed" if missed else ""))
    if len(found.turns) > 1:
        said.append(counted(len(found.turns) - 1, "renewal"))
    return " \N{MIDDLE DOT} ".join(said)
