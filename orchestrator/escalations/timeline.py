"""`orch simulate` as a function: what was asked for, played on the escalations, and what the packs say to it.

Sends and records nothing; the ledger is read only where it is to begin from how things stand.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from orchestrator import clock
from orchestrator.choices import Point
from orchestrator.clock import SECOND_NS
from orchestrator.errors import UsageError
from orchestrator.escalations import seal
from orchestrator.escalations.advance import due_ns
from orchestrator.escalations.deeds import WEBHOOK
from orchestrator.escalations.foresight import MISSING, Moment, foreseen
from orchestrator.escalations.kept import owed_in, standing_of
from orchestrator.escalations.model import Escalation
from orchestrator.escalations.needs import Needs
from orchestrator.escalations.opened import LATEST_NS, Opened, opened
from orchestrator.escalations.simulate import Entry, Scenario, Simulation, Window, simulate
from orchestrator.escalations.ticked import Would
from orchestrator.escalations.timetable import Gaps, Rhythm
from orchestrator.ledger.store import Ledger
from orchestrator.names import shown
from orchestrator.place import here
from orchestrator.settings import Settings, repository_root

_YEAR_S = 365 * 86_400
_LONGEST_S = 100 * _YEAR_S
_USUAL_S = 300
_AFTER_S = 2 * 3_600
_MOST_RENEWALS = 100_000
_HUNDRED = 100.0


class Asked(NamedTuple):
    """What somebody typed."""

    start: str | None = None
    """A time; None is now."""
    length: str | None = None
    """How long; None is until two hours after the last stage could be entered."""
    every: str | None = None
    """None is what the document declares."""
    deadline: str | None = None
    """A time, or how long after the start; None is what a renewal gives."""
    miss: str | None = None
    """Percent of ticks that do not come."""
    gaps: str | None = None
    seed: int = 0
    renew_every: str | None = None
    fail: str | None = None
    """Percent of attempts that fail."""
    mail_down: tuple[str, ...] = ()
    """`2h..5h`, from the start."""
    is_now: bool = False
    """Whether it begins from how it stands in the ledger."""


class Timeline(NamedTuple):
    """One escalation, played."""

    escalation: Escalation
    found: Simulation
    would: Mapping[str, tuple[Would, ...]]
    """What the packs would decide, by the stage: of entering it, then of what it does."""
    notes: tuple[str, ...] = ()
    subject: str = ""
    """On whose behalf the packs were asked."""


def timelines(asked: Asked, settings: Settings, name: str | None = None) -> list[Timeline]:
    """Return what would happen to the escalation of a name, or to each of the policy.

    Raises:
        UsageError: it cannot be asked for like this, or the policy has no such escalation.
        PackError: a document is wrong.
        DecisionError: there is no engine to trust.
        LedgerError: the ledger cannot be read.
    """
    from orchestrator.ledger.look import looking

    settings = settings._replace(point=Point.TICK)
    if not asked.is_now:
        return [_timeline(one, asked, settings, None) for one in opened(settings, name=name, ledger=None, lease=None)]
    with looking(settings.ledger) as ledger:
        found = opened(settings, name=name, ledger=ledger, lease=None)
        return [_timeline(one, asked, settings, ledger) for one in found]


def scenario_of(asked: Asked, escalation: Escalation, now_ns: int) -> Scenario:
    """Return the scenario that was typed, from the escalation's first stage.

    Raises:
        UsageError: something is wrong in it.
    """
    start_ns = now_ns // SECOND_NS * SECOND_NS if asked.start is None else _time(asked.start, "--from")
    deadline_ns = start_ns + escalation.renewal.extends_s * SECOND_NS
    if asked.deadline is not None:
        deadline_ns = _moment(asked.deadline, start_ns, "--deadline")
    end_ns = _end(asked, escalation, start_ns, deadline_ns)
    rhythm = Rhythm(
        _length(asked.every, "--every") if asked.every else escalation.every_s or _USUAL_S,
        _share(asked.miss, "--miss"),
        Gaps.of(asked.gaps) if asked.gaps is not None else None,
        asked.seed,
    )
    if asked.every is not None and asked.gaps is not None:
        raise UsageError("--every and --gaps are both given", advice="leave one out: gaps say how far apart ticks come")
    return Scenario(
        start_ns,
        end_ns,
        deadline_ns,
        rhythm,
        _renewals(asked.renew_every, start_ns, end_ns),
        tuple(_window(text, start_ns) for text in asked.mail_down),
        _share(asked.fail, "--fail"),
    )


def _timeline(one: Opened, asked: Asked, settings: Settings, ledger: Ledger | None) -> Timeline:
    escalation = one.escalation
    scenario = scenario_of(asked, escalation, clock.now_ns())
    if ledger is not None or asked.is_now:
        scenario = _from_now(one, asked, scenario, ledger)
    found = simulate(escalation, scenario)
    cwd = here()
    root = (repository_root(cwd) or cwd).resolve()
    would = {
        escalation.stages[at.place].name: tuple(foreseen(one.executor, settings, root, escalation, at))
        for at in _moments(escalation, found)
    }
    notes = list(one.notes)
    if escalation.heartbeat and (lacks := Needs(settings).lacking(WEBHOOK, escalation.heartbeat)):
        notes.append(f"heartbeat: {MISSING}: {'; '.join(lacks)}")
    return Timeline(escalation, found, would, tuple(notes), one.executor.run.subject)


def _from_now(one: Opened, asked: Asked, scenario: Scenario, ledger: Ledger | None) -> Scenario:
    """Return a scenario that begins from how the escalation stands in the ledger."""
    if asked.deadline is not None:
        raise UsageError("--now and --deadline are both given", advice="leave one out: --now goes by the recorded one")
    if ledger is None or one.record is None:
        name = one.escalation.name
        advice = f"leave --now out, or begin it: orch set-deadline {name} --in 24h"
        raise UsageError(f"{name} has not begun, so there is no state to go on from", advice=advice)
    record = seal.shown(one.escalation, one.record, ledger, max(scenario.start_ns, one.record.clock))
    with ledger.store.reading() as connection:
        standing = standing_of(connection, record, one.escalation)
        owed = frozenset(each.name for each in owed_in(connection, record) if record == one.record)
    start_ns = max(scenario.start_ns, record.clock, record.stage_at)
    deadline_ns = standing.deadline_ns or start_ns
    end_ns = _end(asked, one.escalation, start_ns, deadline_ns)
    moved = start_ns - scenario.start_ns
    return scenario._replace(
        start_ns=start_ns,
        end_ns=end_ns,
        deadline_ns=standing.deadline_ns,
        standing=standing,
        owed=owed,
        renewals=_renewals(asked.renew_every, start_ns, end_ns),
        mail_down=tuple(Window(each.from_ns + moved, each.to_ns + moved) for each in scenario.mail_down),
    )


def _moments(escalation: Escalation, found: Simulation) -> Iterator[Moment]:
    """Yield when each stage is entered first; one that is not is asked about as of when it is due."""
    turn, begins = found.turns[0], found.scenario.standing
    first_ns, deadline_ns = turn.at_ns, turn.deadline_ns or turn.at_ns
    for place, stage in enumerate(escalation.stages[1:], 1):
        entry = next((one for one in found.entries if one.stage == stage.name), None)
        if entry is None:
            delivered = frozenset(stage.delivered)
            at_ns = max(due_ns(escalation, place, deadline_ns), first_ns)
            yield Moment(place, turn.cycle, deadline_ns, at_ns, place - 1, first_ns - _YEAR_S * SECOND_NS, delivered)
            continue
        earlier = [one for one in found.entries[: found.entries.index(entry)] if one.cycle == entry.cycle]
        before, before_ns = (0 if begins is None else begins.stage), found.turns[entry.cycle - 1].at_ns
        if earlier:
            before, before_ns = escalation.place_of(earlier[-1].stage), earlier[-1].at_ns
        elif begins is not None:
            before_ns = begins.stage_at_ns
        delivered = _delivered(found, entry)
        yield Moment(place, entry.cycle, entry.deadline_ns, entry.at_ns, before, before_ns, delivered)


def _delivered(found: Simulation, entry: Entry) -> frozenset[str]:
    """Return what had reached every recipient when a stage was entered."""
    mine = [one for one in found.sent if one.cycle == entry.cycle]
    arrived = {f"{one.stage}/{one.deed}" for one in mine if one.at_ns is not None and one.at_ns <= entry.at_ns}
    missing = {f"{one.stage}/{one.deed}" for one in mine if one.at_ns is None or one.at_ns > entry.at_ns}
    begins = found.scenario.standing if entry.cycle == 1 else None
    return (frozenset() if begins is None else begins.delivered) | (arrived - missing)


# -- what was typed


def _end(asked: Asked, escalation: Escalation, start_ns: int, deadline_ns: int) -> int:
    if asked.length is not None:
        return start_ns + _length(asked.length, "--for") * SECOND_NS
    last = due_ns(escalation, len(escalation.stages) - 1, deadline_ns)
    waits = sum(stage.min_dwell_s for stage in escalation.stages) + _AFTER_S
    return max(last, start_ns) + waits * SECOND_NS


def _length(text: str, option: str) -> int:
    """Return a duration in seconds; `y` is a year of 365 days."""
    try:
        years = re.fullmatch(r"([0-9]{1,3})y", text)
        seconds = int(years[1]) * _YEAR_S if years else clock.parse_duration(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= _LONGEST_S:
        expected = "a duration such as 5m, 30h, 90d or 10y, at most 100y"
        raise UsageError(f"{option} is {shown(text)}; expected {expected}", advice=f"{option} 30h")
    return seconds


def _time(text: str, option: str) -> int:
    try:
        return _bounded(clock.parse_time(text), text, option)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def _bounded(ns: int, text: str, option: str) -> int:
    if not 0 < ns < LATEST_NS:
        seen = f"{option} is {shown(text)}; expected a time after 1970 and before {clock.format_time(LATEST_NS)[:4]}"
        raise UsageError(seen, advice=f"{option} 2026-11-21T05:00:00Z")
    return ns


def _moment(text: str, start_ns: int, option: str) -> int:
    """Return a time, or one so long after the start."""
    return _time(text, option) if "T" in text else _bounded(start_ns + _length(text, option) * SECOND_NS, text, option)


def _share(text: str | None, option: str) -> float:
    """Return percent as a part of one."""
    if text is None:
        return 0.0
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%?", text.strip())
    if found is None or float(found[1]) > _HUNDRED:
        raise UsageError(f"{option} is {shown(text)}; expected percent from 0 to 100", advice=f"{option} 20%")
    return float(found[1]) / _HUNDRED


def _window(text: str, start_ns: int) -> Window:
    """Return a time from the start, such as `2h..5h`; `0` is the start itself."""
    first, found, second = text.partition("..")
    begin, end = (0 if part.strip() == "0" else _length(part.strip(), "--mail-down") for part in (first, second or "0"))
    if not found or begin >= end:
        expected = "two durations from the start, the second longer"
        raise UsageError(f"--mail-down is {shown(text)}; expected {expected}", advice="--mail-down 2h..5h")
    return Window(start_ns + begin * SECOND_NS, start_ns + end * SECOND_NS)


def _renewals(every: str | None, start_ns: int, end_ns: int) -> tuple[int, ...]:
    if every is None:
        return ()
    step_ns = _length(every, "--renew-every") * SECOND_NS
    if (end_ns - start_ns) // step_ns > _MOST_RENEWALS:
        raise UsageError(f"that would be more than {_MOST_RENEWALS:,} renewals", advice="renew less often")
    return tuple(range(start_ns + step_ns, end_ns + 1, step_ns))
