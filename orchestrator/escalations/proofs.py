"""What can be proven of an escalation before it is used, with the same pure model that a tick follows. Does nothing."""

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from orchestrator.clock import SECOND_NS
from orchestrator.escalations.advance import Why, advance, due_ns
from orchestrator.escalations.durations import said
from orchestrator.escalations.model import CatchUp, Deed, Escalation, Mode, Stage, Standing
from orchestrator.escalations.reach import MESSAGE, OPERATOR
from orchestrator.escalations.texts import in_words

_DEADLINE_NS = 1_900_000_000 * SECOND_NS
_TEN_YEARS_NS = 3_653 * 86_400 * SECOND_NS
_MOST_STEPS = 8


class Proof(NamedTuple):
    """One thing that has to be true of every escalation."""

    name: str
    """silence, reachable, forward, notice, windows, lock or renewed."""
    holds: bool
    said: str
    """What was found, as a sentence without a full stop."""
    stage: str = ""
    """The stage that is to blame, where one is."""
    expected: str = ""
    """What would hold, where this does not."""


class _Walk(NamedTuple):
    """What follows where nobody renews."""

    visited: tuple[int, ...]
    end_ns: int
    is_over: bool
    """The last stage was reached."""


def proofs(escalation: Escalation) -> list[Proof]:
    """Return what is proven, in a fixed order; where one does not hold, the escalation must not be used."""
    return [
        _silence(escalation),
        _reachable(escalation),
        _forward(escalation),
        *_told(
            chain(_without_notice(escalation), _untold(escalation), _jumped_to(escalation)),
            "notice",
            "the operator hears of it before anybody else, and it stands so",
        ),
        *_told(_narrow(escalation), "windows", _windows_said(escalation)),
        _lock(escalation),
        _renewed(escalation),
    ]


def outward_gap_s(escalation: Escalation) -> int | None:
    """Return the shortest time from a stage of the operator's alone to an outward one after it, in seconds.

    It is the shorter of the time between their thresholds and of how long it stands at the first at least. None where
    no stage is outward.
    """
    gaps = [
        min(_gap_s(escalation, place), stage.min_dwell_s)
        for place, stage in enumerate(escalation.stages)
        if place and not stage.is_outward and _next(escalation, place) and escalation.stages[place + 1].is_outward
    ]
    return min(gaps, default=None)


def _told(wrong: Iterator[Proof], name: str, good: str) -> list[Proof]:
    return list(wrong) or [Proof(name, holds=True, said=good)]


def _silence(escalation: Escalation) -> Proof:
    """Prove that waiting for ever ends at the last stage, whatever arrives and whenever the first tick comes."""
    last = escalation.stages[-1].name
    ends = {}
    for is_delivered in (True, False):
        for late_ns in (0, _TEN_YEARS_NS):
            walk = _waited(escalation, _start_ns(escalation) + late_ns, is_delivered=is_delivered)
            if not walk.is_over:
                stage = escalation.stages[walk.visited[-1]].name
                seen = f"nobody renews, and it stays at {stage} for ever"
                return Proof("silence", False, seen, stage, f"that it reaches {last}")
            ends[is_delivered, late_ns] = walk.end_ns
    on_time, at_worst = ends[True, 0], ends[False, 0]
    text = f"where nobody renews, {last} is entered {_after(on_time)}"
    if at_worst != on_time:
        text += f"; {_after(at_worst)} where no notice ever arrives"
    return Proof("silence", holds=True, said=text)


def _after(moment_ns: int) -> str:
    lapse_s = (moment_ns - _DEADLINE_NS) // SECOND_NS
    if lapse_s == 0:
        return "at the deadline"
    return f"{in_words(abs(lapse_s))} {'after' if lapse_s > 0 else 'before'} the deadline"


def _reachable(escalation: Escalation) -> Proof:
    """Prove that every stage is entered by somebody's silence alone, as long as ticks come in time."""
    walks = (_waited(escalation, _start_ns(escalation), is_delivered=each) for each in (True, False))
    visited = {place for walk in walks for place in walk.visited}
    for place, stage in enumerate(escalation.stages):
        if place not in visited:
            seen = f"the stage {stage.name} is passed over, however often a tick comes"
            expected = "a later threshold, or a shorter `min_dwell` before it"
            return Proof("reachable", False, seen, stage.name, expected)
    count = len(escalation.stages)
    return Proof("reachable", holds=True, said=f"each of the {count} stages is reached where ticks come in time")


def _forward(escalation: Escalation) -> Proof:
    """Prove that the clock alone never leads back, from any stage, at any edge, whatever arrived."""
    edges = [due_ns(escalation, place, _DEADLINE_NS) for place in range(1, len(escalation.stages))]
    moments = [edge + step for edge in edges for step in (-1, 0)] + [0, _DEADLINE_NS + _TEN_YEARS_NS]
    for here in range(len(escalation.stages)):
        for delivered in (frozenset[str](), _all(escalation)):
            standing = Standing(True, here, _start_ns(escalation), _DEADLINE_NS, delivered)  # armed
            for now in moments:
                found = advance(escalation, standing, now)
                is_step = found.next <= here + 1 or escalation.catch_up is CatchUp.JUMP
                if found.next < here or found.target < here or not is_step:
                    stage = escalation.stages[here].name
                    seen = f"from {stage} it goes to {escalation.stages[found.next].name}"
                    return Proof("forward", False, seen, stage, "a stage that is not before it")
    cases = len(escalation.stages) * 2 * len(moments)
    return Proof("forward", holds=True, said=f"no stage leads back, from any other and at any edge ({cases:,} cases)")


def _without_notice(escalation: Escalation) -> Iterator[Proof]:
    """Yield outward stages that come with no notice to the operator before, or with one that need not stand."""
    for place in range(len(escalation.stages) - 1):
        stage, following = escalation.stages[place], escalation.stages[place + 1]
        if not following.is_outward or stage.is_outward:
            continue
        if not place:
            seen = f"{following.name} reaches others before the operator hears of anything"
            expected = "a stage of the operator's before it"
            yield Proof("notice", False, seen, following.name, expected)
        elif not stage.min_dwell_s and escalation.mode is not Mode.FUSE:
            seen = f"{stage.name} may be left as soon as it is entered, and {following.name} reaches others"
            expected = "`min_dwell`, so that there is time to renew after a late tick"
            yield Proof("notice", False, seen, stage.name, expected)


def _untold(escalation: Escalation) -> Iterator[Proof]:
    """Yield the first outward stage where no message goes to the operator before it, or where it waits for none."""
    first = next((place for place, stage in enumerate(escalation.stages) if stage.is_outward), None)
    if not first or escalation.stages[first - 1].is_outward or first == 1:
        return
    notices = {
        f"{stage.name}/{deed.id}"
        for stage in escalation.stages[:first]
        for deed in stage.deeds
        if _is_notice(deed, escalation)
    }
    name, wanted = escalation.stages[first].name, escalation.stages[first].delivered
    if not notices:
        expected = "a `send_message` by the route `operator` in a stage before it"
        yield Proof("notice", False, f"{name} reaches others, and no message tells the operator before", name, expected)
    elif wanted and not notices & set(wanted):
        expected = f"`requires` with one of {', '.join(sorted(notices))}"
        yield Proof("notice", False, f"{name} requires no message that tells the operator", name, expected)


def _is_notice(deed: Deed, escalation: Escalation) -> bool:
    """Whether an action is a message by the route `operator`."""
    route = escalation.routes.get(OPERATOR, {})
    is_by_it = bool(route) and all(deed.parameters.get(name) == value for name, value in route.items())
    return deed.action == MESSAGE and is_by_it


def _jumped_to(escalation: Escalation) -> Iterator[Proof]:
    """Yield outward stages that a jump may lead to past every notice, with nothing of their own to wait for."""
    if escalation.catch_up is not CatchUp.JUMP:
        return
    for stage in escalation.stages:
        if stage.is_outward and not stage.delivered:
            seen = f"with `catch_up: jump` {stage.name} may be entered past every notice, and requires none itself"
            yield Proof("notice", False, seen, stage.name, "`requires` with a notice of an earlier stage, or `walk`")


def _narrow(escalation: Escalation) -> Iterator[Proof]:
    """Yield windows between two stages that are shorter than ticks are apart."""
    gap_s, what = _declared_gap(escalation)
    for place in range(1, len(escalation.stages) - 1):
        window_s = _gap_s(escalation, place)
        if window_s < gap_s:
            first, second = escalation.stages[place].name, escalation.stages[place + 1].name
            seen = f"from {first} to {second} it is {said(window_s)}, less than `{what}`, {said(gap_s)}"
            expected = f"at least {said(gap_s)} between stages, or more frequent ticks"
            yield Proof("windows", False, seen, second, expected)


def _windows_said(escalation: Escalation) -> str:
    gap_s, what = _declared_gap(escalation)
    if not gap_s:
        return "nobody said how often a tick comes"
    return f"every window between two stages is as long as `{what}`, {said(gap_s)}, at least"


def _declared_gap(escalation: Escalation) -> tuple[int, str]:
    return max((escalation.p95_gap_s, "tick.p95_gap"), (escalation.every_s, "tick.every"))


def _lock(escalation: Escalation) -> Proof:
    """Prove that no lock after wrong codes lasts from a reminder until others are told."""
    longest_s, room_s = escalation.renewal.lockout.longest_s, outward_gap_s(escalation)
    if escalation.mode is Mode.FUSE:
        return Proof("lock", holds=True, said="a fuse is not renewed, so no lock can keep anybody from it")
    if room_s is None:
        return Proof("lock", holds=True, said="no stage reaches others than the operator, so no lock can force one")
    if longest_s >= room_s:
        seen = f"a lock of {said(longest_s)} can last from a reminder until others are told, {said(room_s)} later"
        expected = f"`longest` below {said(room_s)}"
        return Proof("lock", False, seen, "", expected)
    text = f"the longest lock, {said(longest_s)}, is shorter than the {said(room_s)} from a reminder to what is outward"
    return Proof("lock", holds=True, said=text)


def _renewed(escalation: Escalation) -> Proof:
    """Prove that a renewal ends at the first stage."""
    extends_s = escalation.renewal.extends_s
    first_s = (due_ns(escalation, 1, 0)) // SECOND_NS
    if extends_s + first_s <= 0:
        stage = escalation.stages[1].name
        seen = f"a renewal by {said(extends_s)} leads straight to {stage}, due {said(-first_s)} before the deadline"
        return Proof("renewed", False, seen, stage, f"more than {said(-first_s)}")
    rest = said(extends_s + first_s)
    return Proof("renewed", holds=True, said=f"a renewal gives {said(extends_s)}, and nothing happens for {rest}")


def _waited(escalation: Escalation, first_tick_ns: int, *, is_delivered: bool) -> _Walk:
    """Return what follows where nobody renews and a tick comes whenever something may change."""
    standing = Standing(True, 0, _start_ns(escalation), _DEADLINE_NS)  # armed
    now, visited = first_tick_ns, [0]
    for _ in range(_MOST_STEPS * len(escalation.stages)):
        found = advance(escalation, standing, now)
        if found.why is Why.LAST:
            return _Walk(tuple(visited), now, is_over=True)
        if found.next != standing.stage:
            stage = escalation.stages[found.next]
            arrived = standing.delivered | (_deeds(stage) if is_delivered else frozenset())
            standing = standing._replace(stage=found.next, stage_at_ns=now, delivered=arrived)
            visited.append(found.next)
        elif found.until_ns is not None and found.until_ns > now:
            now = found.until_ns
        else:
            break
    return _Walk(tuple(visited), now, is_over=False)


def _gap_s(escalation: Escalation, place: int) -> int:
    """Return the time from a stage's threshold to that of the next, in seconds."""
    return (due_ns(escalation, place + 1, 0) - due_ns(escalation, place, 0)) // SECOND_NS


def _next(escalation: Escalation, place: int) -> bool:
    return place + 1 < len(escalation.stages)


def _start_ns(escalation: Escalation) -> int:
    return _DEADLINE_NS - escalation.renewal.extends_s * SECOND_NS


def _all(escalation: Escalation) -> frozenset[str]:
    return frozenset(name for stage in escalation.stages for name in _deeds(stage))


def _deeds(stage: Stage) -> frozenset[str]:
    return frozenset(f"{stage.name}/{deed.id}" for deed in stage.deeds)
