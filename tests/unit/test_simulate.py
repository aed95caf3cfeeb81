"""A simulation does what ticks would: each stage in time, nothing outward too soon, nothing lost, nothing twice."""

import random
from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from countdowns import CRON, DAY, DEADLINE, HOUR, MINUTE, at, default, mail, standing, strict
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.clock import SECOND_NS
from orchestrator.escalations.advance import Why, advance, due_ns
from orchestrator.escalations.model import CatchUp, Deed, Escalation, Mode, Planned, Stage
from orchestrator.escalations.simulate import (
    Held,
    Scenario,
    Sent,
    Simulation,
    Window,
    deeds_of,
    route_of,
    simulate,
    targets_of,
)
from orchestrator.escalations.timetable import Rhythm


def scenario(from_s: int = -24 * HOUR, to_s: int = 4 * HOUR, every_s: int = 5 * MINUTE, **more: object) -> Scenario:
    """Return a scenario between two moments, in seconds after the deadline."""
    return Scenario(at(from_s), at(to_s), DEADLINE, Rhythm(every_s))._replace(**more)  # type: ignore[arg-type]


def entered(found: Simulation) -> dict[str, int]:
    """Return when each stage was entered, in seconds after the deadline."""
    return {one.stage: (one.at_ns - one.deadline_ns) // SECOND_NS for one in found.entries}


# -- in time


def test_ticks_every_minute_enter_every_stage_at_its_threshold() -> None:
    found = simulate(default(), scenario(every_s=MINUTE))

    assert entered(found) == {
        "remind_6h": -6 * HOUR,
        "remind_1h": -HOUR,
        "pre_release": -15 * MINUTE,
        "partial": MINUTE,
        "full": 2 * HOUR,
    }
    assert {one.held for one in found.entries} == {Held.NOTHING}
    assert (found.stage, found.why) == ("full", Why.LAST)
    assert found.undelivered == ()


def test_a_stage_between_two_ticks_is_entered_by_the_next() -> None:
    found = simulate(default(), scenario(every_s=5 * MINUTE))

    partial = found.entries[3]
    assert (partial.stage, partial.late_s, partial.held) == ("partial", 4 * MINUTE, Held.TICK)


def test_every_recipient_is_sent_to_once() -> None:
    found = simulate(default(), scenario(every_s=MINUTE))

    letters = [one for one in found.sent if one.stage == "partial"]
    assert letters == [
        Sent(1, "partial", "letter", f"${{{{ secrets.{name}_MAIL }}}}", at(MINUTE), 1, at(MINUTE))
        for name in ("ANNA", "BEN", "CLEO")
    ]
    assert len(found.sent) == 7


def test_ticks_are_counted_although_most_are_not_looked_at() -> None:
    found = simulate(default(), scenario(every_s=MINUTE))

    assert len(found.timetable.ticks) == 28 * 60 + 1
    assert [one.tick for one in found.entries] == [18 * 60 + 1, 23 * 60 + 1, 23 * 60 + 46, 24 * 60 + 2, 26 * 60 + 1]


def test_disarmed_nothing_happens() -> None:
    found = simulate(default(), scenario(is_armed=False))

    assert (found.entries, found.stage, found.why) == ((), "ok", Why.DISARMED)


# -- silence


def test_ten_years_of_silence_and_then_ticks_walk_every_stage_with_its_dwell() -> None:
    start = 3_652 * DAY
    found = simulate(strict(), scenario(start, start + DAY, every_s=MINUTE))

    after = {one.stage: (one.at_ns - at(start)) // SECOND_NS for one in found.entries}
    assert after == {"remind_6h": 0, "remind_1h": 0, "pre_release": 0, "partial": 15 * MINUTE, "full": 75 * MINUTE}
    assert [one.held for one in found.entries] == [Held.TICK] * 3 + [Held.DWELL] * 2


def test_ten_years_of_silence_and_then_one_tick_enter_no_outward_stage() -> None:
    found = simulate(strict(), scenario(3_652 * DAY, 3_652 * DAY))

    assert [one.stage for one in found.entries] == ["remind_6h", "remind_1h", "pre_release"]
    assert (found.stage, found.why) == ("pre_release", Why.DWELL)


def test_outward_stages_without_dwell_are_entered_one_by_a_tick() -> None:
    found = simulate(default(), scenario(3_652 * DAY, 3_652 * DAY + DAY))

    assert [(one.stage, one.tick, one.held) for one in found.entries] == [
        ("remind_6h", 1, Held.TICK),
        ("remind_1h", 1, Held.TICK),
        ("pre_release", 1, Held.TICK),
        ("partial", 1, Held.TICK),
        ("full", 2, Held.WALK),
    ]


def test_a_jump_says_what_it_passed_over() -> None:
    found = simulate(default(catch_up=CatchUp.JUMP), scenario(3 * HOUR, 4 * HOUR))

    (entry,) = found.entries
    assert (entry.stage, entry.passed) == ("full", ("remind_6h", "remind_1h", "pre_release", "partial"))
    assert {one.stage for one in found.sent} == {"full"}


# -- what fails


def test_while_mail_is_down_each_tick_tries_again() -> None:
    down = (Window(at(-6 * HOUR), at(-4 * HOUR)),)
    found = simulate(default(), scenario(every_s=30 * MINUTE, mail_down=down))

    notice = found.sent[0]
    assert (notice.stage, notice.first_ns, notice.attempts, notice.at_ns) == (
        "remind_6h",
        at(-6 * HOUR),
        5,
        at(-4 * HOUR),
    )


def test_each_tick_that_fails_counts_although_it_is_not_looked_at() -> None:
    played = scenario(to_s=DAY, every_s=MINUTE)
    of_a_year = Window(at(-DAY), at(365 * DAY))

    one = simulate(strict(), played._replace(mail_down=(of_a_year,)))
    each = simulate(strict(), played._replace(fails=1.0))

    assert one.sent[:3] == each.sent[:3]
    assert one.sent[0].attempts == 30 * 60 + 1


def test_an_outward_stage_waits_for_a_notice_that_does_not_arrive_and_then_goes_on() -> None:
    found = simulate(strict(), scenario(to_s=DAY, mail_down=(Window(at(-HOUR), at(3 * DAY)),)))

    partial = next(one for one in found.entries if one.stage == "partial")
    assert partial.at_ns == at(6 * HOUR + 5 * MINUTE)  # the first tick after 6 h and a minute
    assert (partial.held, partial.missing) == (Held.NOTICE, ("pre_release/mail",))
    assert {one.stage for one in found.undelivered} == {"remind_1h", "pre_release", "partial"}


def test_an_outward_stage_follows_its_notice_at_once_when_that_arrives() -> None:
    found = simulate(strict(), scenario(every_s=MINUTE, mail_down=(Window(at(-HOUR), at(2 * HOUR)),)))

    partial = next(one for one in found.entries if one.stage == "partial")
    assert (partial.at_ns, partial.held, partial.missing) == (at(2 * HOUR), Held.NOTICE, ())


def test_only_messages_are_kept_back_by_mail_that_is_down() -> None:
    found = simulate(default(), scenario(mail_down=(Window(at(-DAY), at(DAY)),)))

    assert [one.deed for one in found.sent if one.at_ns is not None] == ["page"]


# -- people


def test_whoever_renews_in_time_is_reminded_of_nothing() -> None:
    every = tuple(at(-24 * HOUR + hours * HOUR) for hours in range(12, 24 * 30, 12))
    found = simulate(strict(), scenario(to_s=29 * DAY, renewals=every))

    assert found.entries == ()
    assert len(found.turns) == len(every) + 1
    assert found.turns[-1].deadline_ns == every[-1] + 24 * HOUR * SECOND_NS


def test_a_renewal_ends_what_the_old_cycle_owed() -> None:
    renewed = at(-5 * HOUR)
    down = (Window(at(-7 * HOUR), at(-4 * HOUR)),)
    found = simulate(strict(), scenario(to_s=0, renewals=(renewed,), mail_down=down))

    (notice,) = found.sent
    assert (notice.at_ns, notice.cycle) == (None, 1)
    assert found.stage == "ok"


def test_a_renewal_at_the_moment_of_a_tick_comes_first() -> None:
    found = simulate(default(), scenario(to_s=2 * HOUR, renewals=(at(-6 * HOUR),)))

    assert found.entries == ()


def test_a_fuse_takes_no_renewal() -> None:
    found = simulate(default(mode=Mode.FUSE), scenario(renewals=(at(-7 * HOUR), at(-HOUR))))

    assert (found.refused, found.stage, len(found.turns)) == (2, "full", 1)


def test_what_is_armed_by_hand_waits_for_that_again_after_a_renewal() -> None:
    found = simulate(default(mode=Mode.MANUAL), scenario(to_s=10 * DAY, renewals=(at(-HOUR),)))

    assert (found.stage, found.why, found.turns[-1].is_armed) == ("ok", Why.DISARMED, False)


# -- beginning further on


def test_it_can_begin_where_one_stands_already_with_what_is_owed() -> None:
    where = standing(3, since_s=-15 * MINUTE, delivered=frozenset({"remind_6h/mail", "remind_1h/mail"}))
    owed = frozenset({"pre_release/mail"})
    found = simulate(strict(), scenario(from_s=-10 * MINUTE, every_s=MINUTE, standing=where, owed=owed))

    assert [one.stage for one in found.entries] == ["partial", "full"]
    assert next((one.stage, one.deed, one.at_ns) for one in found.sent) == ("pre_release", "mail", at(-10 * MINUTE))


# -- ninety days of a late cron


def months(seed: int) -> Simulation:
    """Return 90 days of a cron that is late: renewed for a while by somebody who sometimes forgets, mail that fails."""
    source = random.Random(seed)  # noqa: S311  # drawn again
    start, day = at(-24 * HOUR), DAY * SECOND_NS
    renewals, moment = [], start
    while moment < start + 90 * day:
        moment += round(source.choice([10, 16, 20, 30, 70]) * HOUR * SECOND_NS)
        renewals.append(moment)
    return simulate(
        strict(), Scenario(start, start + 90 * day, DEADLINE, Rhythm(gaps=CRON, seed=seed), tuple(renewals), fails=0.3)
    )


@pytest.fixture(scope="module", params=range(5), ids="season {}".format)
def season(request: pytest.FixtureRequest) -> Simulation:
    return months(request.param)


def test_a_season_really_has_late_ticks_and_every_stage(season: Simulation) -> None:
    gaps = sorted((later - one) // SECOND_NS for one, later in pairwise(season.timetable.ticks))

    assert 48 * MINUTE < gaps[len(gaps) // 2] < 58 * MINUTE
    assert 110 * MINUTE < gaps[len(gaps) * 95 // 100] < 150 * MINUTE
    assert gaps[-1] == 475 * MINUTE
    assert set(entered(season)) == {one.name for one in strict().stages[1:]}


def test_no_operator_notice_is_lost_in_a_season(season: Simulation) -> None:
    """Whatever was entered is sent, unless somebody renewed before it could be."""
    ends = {turn.cycle: later.at_ns for turn, later in pairwise(season.turns)}
    wanted = {(one.cycle, one.stage) for one in season.entries}

    assert wanted == {(one.cycle, one.stage) for one in season.sent}
    for one in season.undelivered:
        later = [tick for tick in season.timetable.ticks if one.first_ns <= tick < ends.get(one.cycle, 2**63)]
        assert len(later) == one.attempts  # each tick that came tried it


def test_nothing_is_sent_twice_in_a_season(season: Simulation) -> None:
    counted = Counter((one.cycle, one.stage, one.deed, one.target) for one in season.sent)

    assert set(counted.values()) == {1}


def test_no_outward_stage_comes_before_its_dwell_and_its_notice_in_a_season(season: Simulation) -> None:
    escalation, before = strict(), defaultdict[int, list[tuple[str, int]]](list)
    arrived = {(one.cycle, f"{one.stage}/{one.deed}"): one.at_ns for one in season.sent if one.at_ns is not None}
    for entry in season.entries:
        stage = escalation.stages[escalation.place_of(entry.stage)]
        last, since = before[entry.cycle][-1] if before[entry.cycle] else ("ok", entry.at_ns - DAY * SECOND_NS)
        before[entry.cycle].append((entry.stage, entry.at_ns))
        dwell = escalation.stages[escalation.place_of(last)].min_dwell_s * SECOND_NS
        assert entry.at_ns >= since + dwell
        assert entry.at_ns >= entry.due_ns
        assert escalation.place_of(entry.stage) == escalation.place_of(last) + 1
        for notice in stage.delivered:
            waited = max(entry.due_ns, since + dwell) + (stage.max_wait_s or 0) * SECOND_NS
            assert arrived.get((entry.cycle, notice), 2**63) <= entry.at_ns or waited <= entry.at_ns


def test_of_a_season_every_attempt_happens_at_a_tick(season: Simulation) -> None:
    ticks = set(season.timetable.ticks)

    assert {one.at_ns for one in season.entries} <= ticks
    assert {one.at_ns for one in season.sent if one.at_ns is not None} <= ticks


def test_a_season_is_the_same_again() -> None:
    assert months(7) == months(7)


# -- against every tick walked by hand


def by_hand(escalation: Escalation, played: Scenario) -> list[tuple[int, str, int]]:
    """Return the entries that follow where each single tick is walked, and everything arrives at once."""
    found, cycle, left = [], 1, list(played.renewals)
    where = standing(stage_at_ns=played.start_ns, deadline_ns=played.deadline_ns)
    for tick in played.rhythm.between(played.start_ns, played.end_ns).ticks:
        while left and left[0] <= tick:
            renewed, cycle = left.pop(0), cycle + 1
            where = standing(stage_at_ns=renewed, deadline_ns=renewed + escalation.renewal.extends_s * SECOND_NS)
        while (step := advance(escalation, where, tick)).next != where.stage:
            stage = escalation.stages[step.next]
            found.append((cycle, stage.name, tick))
            ids = {f"{stage.name}/{deed.id}" for deed in stage.deeds}
            where = where._replace(stage=step.next, stage_at_ns=tick, delivered=where.delivered | ids)
            if stage.is_outward:
                break
    return found


@given(
    every_s=st.integers(MINUTE, 3 * HOUR),
    misses=st.sampled_from([0.0, 0.2, 0.9]),
    seed=st.integers(0, 100),
    hours=st.sets(st.integers(1, 60), max_size=3),
    catch_up=st.sampled_from(CatchUp),
)
def test_skipping_gives_what_walking_every_tick_gives(
    every_s: int, misses: float, seed: int, hours: set[int], catch_up: CatchUp
) -> None:
    renewals = tuple(at(-24 * HOUR + one * HOUR) for one in sorted(hours))
    rhythm = Rhythm(every_s, misses, seed=seed)
    played = scenario(to_s=3 * DAY, rhythm=rhythm, renewals=renewals)
    escalation = strict(catch_up=catch_up)

    found = simulate(escalation, played)

    assert [(one.cycle, one.stage, one.at_ns) for one in found.entries] == by_hand(escalation, played)
    assert all(
        one.at_ns >= due_ns(escalation, escalation.place_of(one.stage), one.deadline_ns) for one in found.entries
    )


# -- what is sent to whom


def test_a_plan_counts_as_a_deed() -> None:
    stage = Stage("full", 0, deeds=(mail("mail", {"to": "a@b.example"}),), planned=Planned({}))

    assert [deed.id for deed in deeds_of(stage)] == ["mail", "(plan)"]


@pytest.mark.parametrize(
    ("parameters", "targets"),
    [
        ({"to": ["a", "b", "a"]}, ("a", "b")),
        ({"to": "a"}, ("a",)),
        ({"to": []}, ("",)),
        ({}, ("",)),
    ],
)
def test_recipients_are_named_once(parameters: dict[str, object], targets: tuple[str, ...]) -> None:
    assert targets_of(Deed("a", "send_message", parameters)) == targets


def test_a_route_is_known_by_its_parameters() -> None:
    escalation = default()

    assert [route_of(deed, escalation.routes) for stage in escalation.stages for deed in stage.deeds] == [
        "operator",
        "operator",
        "operator",
        "custodians",
        "",
    ]
