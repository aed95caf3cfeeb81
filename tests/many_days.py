"""Many days of an escalation, one real tick after the other: late ones, renewals, silences, a mail server that fails.

    course = drawn(90, seed=1)
    with days(tmp_path, monkeypatch) as made:
        story = made.lived(course)
    assert story.wrong == []

What must not be is judged by what the mail server took and when, not by what the ticks say of themselves.
"""

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest
from countdowns import CRON
from escalation_world import ANNA, BEN, CLARA, HOUR_NS, MINUTE_NS, NAME, OPERATOR, TEXT, World
from renewals import CHEAP, HERE
from smtp_server import Stage
from ticking import ticking

from orchestrator.clock import parse_time
from orchestrator.escalations import codes, renewal
from orchestrator.escalations.model import Escalation
from orchestrator.escalations.opened import opened
from orchestrator.escalations.simulate import Scenario, Window
from orchestrator.escalations.tick import Ticked, tick
from orchestrator.escalations.timekeeping import Reading
from orchestrator.escalations.timetable import Rhythm

START_NS = parse_time("2026-11-20T12:00:00Z")
_DAY_NS = 24 * HOUR_NS
DUE_NS = {
    "remind_6h": -6 * HOUR_NS,
    "remind_1h": -HOUR_NS,
    "pre_release": -15 * MINUTE_NS,
    "partial": MINUTE_NS,
    "full": 2 * HOUR_NS,
}
"""When each stage is due, from the deadline."""
_NOTICES = ("remind_6h", "remind_1h", "pre_release")
_DWELL_NS, _MAX_WAIT_NS = 15 * MINUTE_NS, 6 * HOUR_NS
DOCUMENT = (
    TEXT.replace("template: reminder.j2", 'text: {subject: "{{ cycle }} {{ stage }}", body: "{{ time_left }} left"}')
    .replace('subject: "{{ constants.organisation }}: your part"', 'subject: "{{ cycle }} {{ stage }}"')
    .replace("with: {path: released.txt, content: released}", 'text: {path: "{{ cycle }}.txt", content: released}')
)
_FAILURES = ((Stage.RCPT, "451 later"), (Stage.GREETING, None), (Stage.MAIL, "421 too busy"))
"""How a mail server refuses, one after the other: each is surely not sent."""
_ALWAYS = 1_000_000


class Course(NamedTuple):
    """What happens in these days. Times are nanoseconds since 1970."""

    scenario: Scenario
    ticks: tuple[int, ...]


def drawn(days: int, seed: int) -> Course:
    """Return days with ticks as late as real ones, most cycles renewed in time, and mail that fails for hours."""
    chance = random.Random(seed)  # noqa: S311  # days that can be lived again
    end_ns = START_NS + days * _DAY_NS
    renewals, down, number = [], [], 0
    deadline_ns = START_NS + _DAY_NS
    while deadline_ns < end_ns:
        number += 1
        is_silent = number % 9 == 4
        if is_silent and number % 2:  # no notice arrives: only patience ends
            down.append(Window(deadline_ns - 2 * HOUR_NS, deadline_ns + 11 * HOUR_NS))
        elif number % 3 == 0:
            from_ns = deadline_ns - chance.randint(0, 20) * HOUR_NS
            down.append(Window(from_ns, from_ns + chance.randint(1, 9) * HOUR_NS))
        left_ns = chance.choice((12 * HOUR_NS, 4 * HOUR_NS, 40 * MINUTE_NS, 5 * MINUTE_NS)) - chance.randrange(
            MINUTE_NS
        )
        at_ns = deadline_ns + 32 * HOUR_NS if is_silent else deadline_ns - left_ns
        renewals.append(at_ns)
        deadline_ns = at_ns + _DAY_NS
    rhythm = Rhythm(gaps=CRON, seed=seed)
    renewed, failing = tuple(one for one in renewals if one < end_ns), tuple(down)
    scenario = Scenario(START_NS, end_ns, START_NS + _DAY_NS, rhythm, renewed, failing)
    return Course(scenario, tuple(rhythm.between(START_NS, end_ns).ticks))


@dataclass
class Story:
    """What came of it."""

    entered: list[tuple[int, str, int]] = field(default_factory=list)
    """Cycle, stage, and when, in order."""
    notices: int = 0
    letters: int = 0
    patience: int = 0
    """Cycles whose first outward stage was entered without a notice, because it had waited for long enough."""
    ticks_s: list[float] = field(default_factory=list)
    """How long each tick took."""
    wrong: list[str] = field(default_factory=list)


class Days:
    """An escalation that lives through them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.settings = world.settings()
        """The operator's."""
        self._code = ""
        self._failed = 0
        self._seen: list[str] = []
        """What arrived, in order."""

    @property
    def escalation(self) -> Escalation:
        """What the policy says of it."""
        return opened(self.settings, name=NAME, ledger=None, lease=None)[0].escalation

    def lived(self, course: Course) -> Story:
        """Begin, tick, renew, and look at the servers after every tick."""
        story, scenario = Story(), course.scenario
        self._begin(scenario)
        renewals, escalation = [*scenario.renewals], self.escalation
        for now_ns in course.ticks:
            while renewals and renewals[0] <= now_ns:
                self._renew(escalation, renewals.pop(0))
            is_down = any(one.from_ns <= now_ns < one.to_ns for one in scenario.mail_down)
            self._set(is_down=is_down)
            began_s = time.perf_counter()
            made = tick(self.settings, NAME, now_ns=now_ns)
            story.ticks_s.append(time.perf_counter() - began_s)
            self._look(story, made, is_down=is_down)
        for sent, count in self._arrived().items():
            story.wrong += [f"{sent} arrived {count} times"] * (count > 1)
            story.notices += sent.startswith(OPERATOR)
            story.letters += not sent.startswith(OPERATOR)
        return story

    def _begin(self, scenario: Scenario) -> None:
        from orchestrator.escalations.control import Operation, Wanted, by_hand

        wanted = Wanted(Operation.SET_DEADLINE, deadline="24h")
        assert by_hand(self.settings, NAME, wanted, now_ns=scenario.start_ns).is_changed
        with self.world.opened() as ledger:
            drawn_codes = codes.draw(ledger, NAME, cost=CHEAP)
            codes.issue(ledger, NAME, drawn_codes, HERE.by)
        self._code = drawn_codes.main

    def _renew(self, escalation: Escalation, at_ns: int) -> None:
        with self.world.opened() as ledger:
            renewal.renew(ledger, escalation, self._code, HERE, reading=Reading(at_ns, is_given=True))

    def _set(self, *, is_down: bool) -> None:
        self.world.mail.mend()
        if is_down:
            self._failed += 1
            stage, reply = _FAILURES[self._failed % len(_FAILURES)]
            self.world.mail.fail(stage, reply, times=_ALWAYS)

    def _arrived(self) -> Counter[str]:
        self._seen += [f"{one.to} {one.message['Subject']}" for one in self.world.mail.mails[len(self._seen) :]]
        return Counter(self._seen)

    def _look(self, story: Story, made: Ticked, *, is_down: bool) -> None:
        """Judge one tick by the clock and by what arrived."""
        cycle, now_ns, arrived = made.cycle, made.now_ns, self._arrived()
        for stage in _NOTICES:
            is_due = now_ns >= made.deadline_ns + DUE_NS[stage]
            count = arrived[f"{OPERATOR} {cycle} {stage}"]
            if count > is_due or (is_due and not is_down and count != 1):
                story.wrong.append(f"{cycle} {stage}: {count} notices at {now_ns}, due: {is_due}, down: {is_down}")
        for stage in made.entered:
            story.entered.append((cycle, stage, now_ns))
            if stage in {"partial", "full"}:
                self._look_outward(story, made, stage)
        letters = [arrived[f"{to} {cycle} partial"] for to in (ANNA, BEN, CLARA)]
        has_entered = (cycle, "partial") in {(number, stage) for number, stage, _ in story.entered}
        if any(count > has_entered for count in letters) or (has_entered and not is_down and letters != [1, 1, 1]):
            story.wrong.append(f"{cycle} letters {letters} at {now_ns}")

    def _look_outward(self, story: Story, made: Ticked, stage: str) -> None:
        when = {entered: at_ns for cycle, entered, at_ns in story.entered if cycle == made.cycle}
        due_ns = made.deadline_ns + DUE_NS[stage]
        wrong = [] if made.now_ns >= due_ns else ["too early"]
        if stage == "full":
            wrong += [] if when.get("partial", made.now_ns) < made.now_ns else ["in the tick of the one before"]
            wrong += [] if (self.world.work / f"{made.cycle}.txt").is_file() else ["nothing was published"]
        else:
            free_ns = when["pre_release"] + _DWELL_NS
            wrong += [] if made.now_ns >= free_ns else ["before its dwell"]
            if not self._has_notice_first(made.cycle):
                story.patience += 1
                wrong += [] if made.now_ns >= max(due_ns, free_ns) + _MAX_WAIT_NS else ["without a notice"]
        story.wrong += [f"{made.cycle} {stage} at {made.now_ns}: {one}" for one in wrong]

    def _has_notice_first(self, cycle: int) -> bool:
        """Return whether the last notice reached the operator before any letter reached a custodian."""
        notice = f"{OPERATOR} {cycle} pre_release"
        letters = [place for place, one in enumerate(self._seen) if one.endswith(f" {cycle} partial")]
        return notice in self._seen and all(self._seen.index(notice) < place for place in letters)


@contextmanager
def days(folder: Path, monkeypatch: pytest.MonkeyPatch, *, text: str = DOCUMENT) -> Iterator[Days]:
    """Give an escalation that has not begun, in a world where this process is the operator's command."""
    with ticking(folder, monkeypatch, text=text, begins=False) as made:
        yield Days(made.world)
