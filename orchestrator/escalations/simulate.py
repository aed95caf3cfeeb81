"""Simulates an escalation: what its ticks would enter and send, over hours or years. Pure: asks nobody, sends nothing.

A tick here is what a real one is: what is owed is tried first, in the order of the stages; then stages are entered as
`advance` says, of those that reach further than the operator one in a tick; and each deed is tried once a tick.
Between two ticks that matter it goes straight from one to the next.
"""

import random
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from orchestrator.clock import SECOND_NS
from orchestrator.escalations.advance import Why, advance, due_ns
from orchestrator.escalations.model import Deed, Escalation, Mode, Stage, Standing
from orchestrator.escalations.timetable import Rhythm, Timetable

PLAN = "(plan)"
"""What the plan of a stage is called among its deeds; no action has such an id."""
_MESSAGE = "send_message"


class Window(NamedTuple):
    """A time during which something is down."""

    from_ns: int
    to_ns: int
    """From then on it works again."""


class Scenario(NamedTuple):
    """What is played."""

    start_ns: int
    end_ns: int
    deadline_ns: int | None
    rhythm: Rhythm = Rhythm()
    renewals: tuple[int, ...] = ()
    """When somebody renews, nanoseconds since 1970, in order."""
    mail_down: tuple[Window, ...] = ()
    """While no message reaches anybody."""
    fails: float = 0.0
    """Of so many attempts, 0 to 1, each fails and is tried again by the next tick."""
    is_armed: bool = True
    standing: Standing | None = None
    """Where it begins; None is at the first stage, with `deadline_ns` and `is_armed`."""
    owed: frozenset[str] = frozenset()
    """`stage/action` that was begun and has not arrived, where it begins further on."""


class Held(StrEnum):
    """Why a stage was not entered when it was due."""

    NOTHING = ""
    """It was."""
    TICK = "tick"
    """No tick came sooner."""
    WALK = "walk"
    """The tick before entered another outward stage."""
    DWELL = "dwell"
    """It had not stood for long enough where it was."""
    NOTICE = "notice"
    """A notice had not arrived."""


class Entry(NamedTuple):
    """A stage that was entered."""

    cycle: int
    stage: str
    at_ns: int
    due_ns: int
    """From when on it was due by the clock, grace included."""
    deadline_ns: int
    """The cycle's."""
    tick: int
    """The how manieth of all ticks that came, from 1."""
    held: Held
    missing: tuple[str, ...] = ()
    """`stage/action` that had not arrived, and was no longer waited for."""
    passed: tuple[str, ...] = ()
    """Stages that were passed over."""

    @property
    def late_s(self) -> int:
        """So many whole seconds after it was due."""
        return (self.at_ns - self.due_ns) // SECOND_NS


class Sent(NamedTuple):
    """One deed for one recipient."""

    cycle: int
    stage: str
    deed: str
    """Its id, `(plan)` for the plan of a stage."""
    target: str
    """As written; "" where there are no recipients."""
    first_ns: int
    """When it was tried first."""
    attempts: int
    at_ns: int | None
    """When it succeeded; None where it never did."""


class Turn(NamedTuple):
    """A cycle that began."""

    cycle: int
    at_ns: int
    deadline_ns: int | None
    is_armed: bool


class Simulation(NamedTuple):
    """What happened."""

    scenario: Scenario
    timetable: Timetable
    turns: tuple[Turn, ...]
    entries: tuple[Entry, ...]
    sent: tuple[Sent, ...]
    stage: str
    """Where it stands in the end."""
    why: Why
    """Why it stays there."""
    refused: int
    """So many renewals were refused: a fuse takes none."""

    @property
    def undelivered(self) -> tuple[Sent, ...]:
        """What had not succeeded when its cycle, or the simulation, ended."""
        return tuple(one for one in self.sent if one.at_ns is None)


def simulate(escalation: Escalation, scenario: Scenario) -> Simulation:
    """Return what an escalation does in a scenario; of a renewal and a tick at one moment the renewal comes first.

    Raises:
        UsageError: there would be too many ticks.
    """
    timetable = scenario.rhythm.between(scenario.start_ns, scenario.end_ns)
    world = _World(escalation, scenario)
    renewals = deque(one for one in scenario.renewals if scenario.start_ns <= one <= scenario.end_ns)
    ticks, place = timetable.ticks, 0
    while place < len(ticks):
        while renewals and renewals[0] <= ticks[place]:
            world.renew(renewals.popleft())
        wake = world.tick(ticks[place], place + 1, before_ns=ticks[place - 1] if place else None)
        wake = _first(wake, renewals[0] if renewals else None)
        later = len(ticks) if wake is None else bisect_left(ticks, wake, place + 1)
        world.fail_again(later - place - 1)
        place = later
    while renewals:
        world.renew(renewals.popleft())
    why = advance(escalation, world.standing, scenario.end_ns).why
    stage = escalation.stages[world.standing.stage].name
    sent = tuple(Sent(*one) for one in map(_said, world.all))
    return Simulation(
        scenario, timetable, tuple(world.turns), tuple(world.entries), sent, stage, why, refused=world.refused
    )


def deeds_of(stage: Stage) -> list[Deed]:
    """Return what a stage does, its plan last, as a deed of that name."""
    planned = [] if stage.planned is None else [Deed(PLAN, PLAN, {})]
    return [*stage.deeds, *planned]


def targets_of(deed: Deed) -> tuple[str, ...]:
    """Return the recipients that a deed names, as written; ("",) where it names none."""
    given: Any = deed.parameters.get("to") if deed.action == _MESSAGE else None
    if isinstance(given, str):
        return (given,)
    return tuple(dict.fromkeys(str(one) for one in given)) or ("",) if isinstance(given, list | tuple) else ("",)


def route_of(deed: Deed, routes: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the name of the route whose parameters a deed has, "" where it has none's."""
    for name, route in routes.items():
        if route and all(deed.parameters.get(key) == value for key, value in route.items()):
            return name
    return ""


@dataclass(slots=True)
class _Job:
    """A deed for one recipient, as it stands."""

    cycle: int
    stage: str
    deed: Deed
    target: str
    first_ns: int
    attempts: int = 0
    at_ns: int | None = None


def _said(job: _Job) -> tuple[int, str, str, str, int, int, int | None]:
    return job.cycle, job.stage, job.deed.id, job.target, job.first_ns, job.attempts, job.at_ns


@dataclass
class _World:
    """An escalation while it is played."""

    escalation: Escalation
    scenario: Scenario
    standing: Standing = field(init=False)
    turns: list[Turn] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    all: list[_Job] = field(default_factory=list)
    owed: list[_Job] = field(default_factory=list)
    """In the order of the stages."""
    refused: int = 0
    held: Held = Held.DWELL
    """What keeps the next stage back, where it is due."""

    def __post_init__(self) -> None:
        self._source = random.Random(f"attempts {self.scenario.rhythm.seed}")  # noqa: S311  # the same again
        scenario = self.scenario
        self._begin(scenario.start_ns, scenario.deadline_ns, is_armed=scenario.is_armed)
        if scenario.standing is not None:
            self.standing = scenario.standing
            self.turns[0] = Turn(1, scenario.start_ns, self.standing.deadline_ns, self.standing.is_armed)
        for stage in self.escalation.stages:
            self._owe(
                [deed for deed in deeds_of(stage) if f"{stage.name}/{deed.id}" in scenario.owed],
                stage,
                scenario.start_ns,
            )

    def _begin(self, at_ns: int, deadline_ns: int | None, *, is_armed: bool) -> None:
        self.owed.clear()
        self.standing = Standing(is_armed, 0, at_ns, deadline_ns)
        self.turns.append(Turn(len(self.turns) + 1, at_ns, deadline_ns, is_armed))

    def renew(self, at_ns: int) -> None:
        """Begin the next cycle, unless it cannot be renewed; one that is armed by hand waits for that again."""
        if self.escalation.mode is Mode.FUSE:
            self.refused += 1
            return
        deadline_ns = at_ns + self.escalation.renewal.extends_s * SECOND_NS
        self._begin(at_ns, deadline_ns, is_armed=self.escalation.mode is Mode.COUNTDOWN)

    def tick(self, now_ns: int, number: int, *, before_ns: int | None) -> int | None:
        """Do what is to be done now, and return when there may be something again; None where never by itself."""
        if self.standing.is_armed:
            self._try(list(self.owed), now_ns)
        step = advance(self.escalation, self.standing, now_ns)
        while step.next != self.standing.stage:
            entered = self._enter(step.next, now_ns, number, before_ns)
            step = advance(self.escalation, self.standing, now_ns)
            if entered.is_outward:
                break
        is_free = step.why is Why.DUE
        self.held = Held.WALK if is_free else _HELD.get(step.why, Held.DWELL)
        if is_free:
            return now_ns + 1
        is_trying = bool(self.owed) and self.standing.is_armed
        return _first(step.until_ns, self._down_until(now_ns) if is_trying else None)

    def fail_again(self, times: int) -> None:
        """Count the attempts of ticks that were not looked at, because each of them fails."""
        for job in self.owed if self.standing.is_armed else ():
            job.attempts += times

    def _down_until(self, now_ns: int) -> int:
        """Return until when every attempt at what is owed fails for certain."""
        if any(job.deed.action != _MESSAGE for job in self.owed):
            return now_ns + 1
        return max(
            (one.to_ns for one in self.scenario.mail_down if one.from_ns <= now_ns < one.to_ns), default=now_ns + 1
        )

    def _enter(self, place: int, now_ns: int, number: int, before_ns: int | None) -> Stage:
        deadline_ns = self.standing.deadline_ns
        assert deadline_ns is not None  # noqa: S101  # nothing is due without one
        stages, due = self.escalation.stages, due_ns(self.escalation, place, deadline_ns)
        stage, cycle = stages[place], len(self.turns)
        missing = tuple(one for one in stage.delivered if one not in self.standing.delivered)
        passed = tuple(one.name for one in stages[self.standing.stage + 1 : place])
        held = self._held(now_ns, due, before_ns)
        self.entries.append(Entry(cycle, stage.name, now_ns, due, deadline_ns, number, held, missing, passed))
        self.standing = self.standing._replace(stage=place, stage_at_ns=now_ns)
        self._try(self._owe(deeds_of(stage), stage, now_ns), now_ns)
        return stage

    def _owe(self, deeds: list[Deed], stage: Stage, now_ns: int) -> list[_Job]:
        cycle = len(self.turns)
        jobs = [_Job(cycle, stage.name, deed, target, now_ns) for deed in deeds for target in targets_of(deed)]
        self.all += jobs
        self.owed += jobs
        return jobs

    def _held(self, now_ns: int, due: int, before_ns: int | None) -> Held:
        if now_ns == due:
            return Held.NOTHING
        since = max(due, self.turns[-1].at_ns)
        return Held.TICK if before_ns is None or before_ns < since else self.held

    def _try(self, jobs: list[_Job], now_ns: int) -> None:
        """Try each of these once, and note which deeds have reached all their recipients."""
        arrived = set()
        for job in jobs:
            job.attempts += 1
            if not self._fails(job, now_ns):
                job.at_ns = now_ns
                arrived.add(f"{job.stage}/{job.deed.id}")
        if not arrived:
            return
        self.owed = [job for job in self.owed if job.at_ns is None]
        still = {f"{job.stage}/{job.deed.id}" for job in self.owed}
        self.standing = self.standing._replace(delivered=self.standing.delivered | (arrived - still))

    def _fails(self, job: _Job, now_ns: int) -> bool:
        if job.deed.action == _MESSAGE and any(one.from_ns <= now_ns < one.to_ns for one in self.scenario.mail_down):
            return True
        return bool(self.scenario.fails) and self._source.random() < self.scenario.fails


def _first(*moments: int | None) -> int | None:
    """Return the earliest of these; None where there is none."""
    return min((one for one in moments if one is not None), default=None)


_HELD = {Why.UNDELIVERED: Held.NOTICE, Why.DWELL: Held.DWELL}
