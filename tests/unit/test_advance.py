"""The stage that an escalation goes to follows from where it stands and the clock: to the nanosecond, and only forward."""

from dataclasses import dataclass

import pytest
from countdowns import DAY, DEADLINE, HOUR, MINUTE, at, default, standing, strict
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.clock import SECOND_NS
from orchestrator.escalations.advance import Advance, Why, advance, due_ns
from orchestrator.escalations.model import Audience, CatchUp, Escalation, Mode, Renewal, Stage, Standing

NAMES = ["ok", "remind_6h", "remind_1h", "pre_release", "partial", "full"]
EDGES = [
    ("remind_6h", -6 * HOUR),
    ("remind_1h", -HOUR),
    ("pre_release", -15 * MINUTE),
    ("partial", MINUTE),
    ("full", 2 * HOUR),
]
"""Each stage and from when on it is due, in seconds after the deadline."""
GRACE = 10 * MINUTE
WITH_GRACE = [*EDGES[:3], ("partial", 11 * MINUTE), ("full", 130 * MINUTE)]
ROUNDS = {"a nanosecond": 1, "a second": SECOND_NS, "a minute": 60 * SECOND_NS}


def name_of(escalation: Escalation, now_ns: int, where: Standing | None = None) -> str:
    """Return the stage that is due."""
    return escalation.stages[advance(escalation, where or standing(), now_ns).target].name


def settled(escalation: Escalation, where: Standing, now_ns: int) -> Standing:
    """Return where it stands once it goes no further at this moment."""
    while (step := advance(escalation, where, now_ns)).next != where.stage:
        where = where._replace(stage=step.next, stage_at_ns=now_ns)
    return where


# -- the table


@pytest.mark.parametrize(("grace_s", "edges"), [(0, EDGES), (GRACE, WITH_GRACE)], ids=["without grace", "with grace"])
@pytest.mark.parametrize("place", range(5), ids=NAMES[1:])
@pytest.mark.parametrize("before", ROUNDS.values(), ids=ROUNDS)
def test_a_stage_is_due_from_its_threshold_on_and_not_before(
    grace_s: int, edges: list[tuple[str, int]], place: int, before: int
) -> None:
    escalation, (name, seconds) = default(grace_s=grace_s), edges[place]

    assert name_of(escalation, at(seconds) - before) == NAMES[place]
    assert name_of(escalation, at(seconds)) == name
    assert name_of(escalation, at(seconds) + before) == name


@pytest.mark.parametrize(("grace_s", "edges"), [(0, EDGES), (GRACE, WITH_GRACE)], ids=["without grace", "with grace"])
@pytest.mark.parametrize("catch_up", CatchUp)
def test_the_stage_of_every_minute_around_the_deadline_is_the_tables(
    grace_s: int, edges: list[tuple[str, int]], catch_up: CatchUp
) -> None:
    escalation = default(grace_s=grace_s, catch_up=catch_up)
    minutes = range(-7 * 60, 3 * 60)

    found = {minute: settled(escalation, standing(), at(minute * MINUTE)).stage for minute in minutes}

    assert found == {minute: sum(seconds <= minute * MINUTE for _, seconds in edges) for minute in minutes}


def test_grace_delays_what_lies_at_or_after_the_deadline_and_nothing_before_it() -> None:
    stages = (
        Stage("ok", None),
        Stage("early", -1),
        Stage("there", 0, Audience.PUBLIC),
        Stage("late", 1, Audience.PUBLIC),
    )
    escalation = default(stages=stages, grace_s=GRACE)

    assert [due_ns(escalation, place, DEADLINE) - DEADLINE for place in (1, 2, 3)] == [
        -SECOND_NS,
        GRACE * SECOND_NS,
        (GRACE + 1) * SECOND_NS,
    ]


def test_the_first_stage_always_was_due() -> None:
    assert advance(default(), standing(), -(2**63)) == Advance(0, 0, Why.EARLY, at(-6 * HOUR))


# -- renewal, and deadlines that are moved


def test_a_renewed_cycle_is_at_its_first_stage_until_the_new_deadline_is_near() -> None:
    now = at(3 * HOUR)
    renewed = Standing(is_armed=True, stage=0, stage_at_ns=now, deadline_ns=now + 24 * HOUR * SECOND_NS)

    assert advance(default(), renewed, now) == Advance(0, 0, Why.EARLY, now + 18 * HOUR * SECOND_NS)
    assert name_of(default(), now + 18 * HOUR * SECOND_NS, renewed) == "remind_6h"


def test_a_renewal_that_extends_by_less_than_a_reminder_is_reminded_of_at_once() -> None:
    now = at(-2 * HOUR)
    escalation = default(renewal=Renewal(5 * HOUR))
    renewed = Standing(is_armed=True, stage=0, stage_at_ns=now, deadline_ns=now + 5 * HOUR * SECOND_NS)

    assert advance(escalation, renewed, now) == Advance(1, 1, Why.DUE)


@pytest.mark.parametrize("stage", range(5))
def test_a_deadline_that_is_put_off_keeps_the_stage(stage: int) -> None:
    put_off = standing(stage, deadline_ns=at(30 * DAY))

    assert advance(default(), put_off, at(2 * HOUR)) == Advance(
        stage, stage, Why.EARLY, due_ns(default(), stage + 1, at(30 * DAY))
    )


def test_a_deadline_that_is_brought_forward_makes_stages_due() -> None:
    sooner = standing(deadline_ns=at(-5 * HOUR))

    assert name_of(default(), at(-5 * HOUR - 15 * MINUTE), sooner) == "pre_release"


def test_a_manual_release_goes_by_its_delay() -> None:
    now = at(-20 * HOUR)
    triggered = standing(deadline_ns=now + 15 * MINUTE * SECOND_NS)

    assert name_of(default(), now, triggered) == "pre_release"
    assert name_of(default(), now + 16 * MINUTE * SECOND_NS - 1, triggered) == "pre_release"
    assert name_of(default(), now + 16 * MINUTE * SECOND_NS, triggered) == "partial"
    assert name_of(default(), now + 135 * MINUTE * SECOND_NS, triggered) == "full"


def test_a_manual_release_without_delay_walks_every_stage() -> None:
    now = at(-20 * HOUR)
    where = standing(deadline_ns=now)

    steps = [
        (where := where._replace(stage=advance(default(), where, now).next, stage_at_ns=now)).stage for _ in range(5)
    ]

    assert steps == [1, 2, 3, 3, 3]
    assert advance(default(), where, now) == Advance(3, 3, Why.EARLY, now + MINUTE * SECOND_NS)


# -- what does not count


@pytest.mark.parametrize("stage", range(6))
@pytest.mark.parametrize("now_s", [-HOUR, 0, 10 * 365 * DAY])
def test_disarmed_it_stays_where_it_is(stage: int, now_s: int) -> None:
    assert advance(default(), standing(stage, is_armed=False), at(now_s)) == Advance(stage, stage, Why.DISARMED)


def test_without_a_deadline_it_stays_where_it_is() -> None:
    assert advance(default(), standing(2, deadline_ns=None), at(DAY)) == Advance(2, 2, Why.DISARMED)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("minute", range(-400, 150, 7))
def test_the_clock_says_the_same_in_every_mode(mode: Mode, minute: int) -> None:
    """A fuse differs in what people may do to it, a manual one in that somebody armed it; not in its stages."""
    assert advance(default(mode=mode), standing(), at(minute * MINUTE)) == advance(
        default(), standing(), at(minute * MINUTE)
    )


def test_at_the_last_stage_nothing_follows() -> None:
    assert advance(default(), standing(5), at(100 * DAY)) == Advance(5, 5, Why.LAST)


# -- several that are due


def test_a_walk_takes_each_stage_in_its_order() -> None:
    assert advance(default(), standing(), at(3 * HOUR)) == Advance(5, 1, Why.DUE)
    assert advance(default(), standing(3), at(3 * HOUR)) == Advance(5, 4, Why.DUE)


@pytest.mark.parametrize(
    ("minute", "stage"), [(-361, 0), (-360, 1), (-60, 2), (-15, 3), (0, 3), (1, 4), (119, 4), (120, 5)]
)
def test_a_jump_takes_the_last_that_is_due(minute: int, stage: int) -> None:
    assert advance(default(catch_up=CatchUp.JUMP), standing(), at(minute * MINUTE)).next == stage


def test_a_jump_waits_for_what_its_own_stage_requires_and_not_for_what_it_passes_over() -> None:
    stages = list(default().stages)
    stages[4] = stages[4]._replace(delivered=("pre_release/mail",), max_wait_s=6 * HOUR)
    over = default(stages=tuple(stages), catch_up=CatchUp.JUMP)

    assert advance(over, standing(), at(90 * MINUTE)) == Advance(4, 0, Why.UNDELIVERED, at(2 * HOUR))
    assert advance(over, standing(), at(3 * HOUR)) == Advance(5, 5, Why.DUE)


# -- dwell, and notices


def test_a_stage_is_left_only_after_its_dwell_to_the_nanosecond() -> None:
    late = standing(3, since_s=0, delivered=frozenset({"pre_release/mail"}))

    assert advance(strict(), late, at(15 * MINUTE, ns=-1)) == Advance(4, 3, Why.DWELL, at(15 * MINUTE))
    assert advance(strict(), late, at(15 * MINUTE)) == Advance(4, 4, Why.DUE)


def test_a_dwell_that_outlasts_the_next_threshold_is_when_to_look_again() -> None:
    assert advance(strict(), standing(3, since_s=0), at(0)) == Advance(3, 3, Why.EARLY, at(15 * MINUTE))


def test_an_outward_stage_waits_for_its_notice_and_not_longer_than_said() -> None:
    unheard = standing(3, since_s=-15 * MINUTE)
    patience = at(MINUTE + 6 * HOUR)

    assert advance(strict(), unheard, at(MINUTE)) == Advance(4, 3, Why.UNDELIVERED, patience)
    assert advance(strict(), unheard, patience - 1) == Advance(5, 3, Why.UNDELIVERED, patience)
    assert advance(strict(), unheard, patience) == Advance(5, 4, Why.DUE)


def test_the_wait_for_a_notice_begins_when_the_dwell_is_over() -> None:
    late = standing(3, since_s=HOUR)
    patience = at(HOUR + 15 * MINUTE + 6 * HOUR)

    assert advance(strict(), late, at(2 * HOUR, ns=-1)) == Advance(4, 3, Why.UNDELIVERED, patience)
    assert advance(strict(), late, patience) == Advance(5, 4, Why.DUE)


def test_grace_delays_the_wait_for_a_notice_too() -> None:
    unheard = standing(3, since_s=-15 * MINUTE)

    assert advance(strict(grace_s=GRACE), unheard, at(HOUR)).until_ns == at(MINUTE + GRACE + 6 * HOUR)


def test_a_notice_that_is_waited_for_without_end_is_waited_for_without_end() -> None:
    stages = list(strict().stages)
    stages[4] = stages[4]._replace(max_wait_s=None)

    assert advance(strict(stages=tuple(stages)), standing(3), at(3_650 * DAY)) == Advance(5, 3, Why.UNDELIVERED)


def test_of_several_notices_each_must_have_arrived() -> None:
    stages = list(strict().stages)
    stages[4] = stages[4]._replace(delivered=("remind_1h/mail", "pre_release/mail"))
    escalation, now = strict(stages=tuple(stages)), at(HOUR)

    one = standing(3, delivered=frozenset({"pre_release/mail"}))
    both = standing(3, delivered=frozenset({"pre_release/mail", "remind_1h/mail", "remind_6h/mail"}))

    assert advance(escalation, one, now).why is Why.UNDELIVERED
    assert advance(escalation, both, now).why is Why.DUE


# -- ten years of silence


def test_after_ten_years_of_silence_the_next_is_still_the_first_reminder() -> None:
    assert advance(strict(), standing(), at(3_652 * DAY)) == Advance(5, 1, Why.DUE)


def test_after_ten_years_of_silence_no_outward_stage_comes_before_its_notice_stood() -> None:
    found = settled(strict(), standing(), at(3_652 * DAY))

    assert found.stage == NAMES.index("pre_release")
    assert advance(strict(), found, at(3_652 * DAY)) == Advance(5, 3, Why.DWELL, at(3_652 * DAY + 15 * MINUTE))


# -- laws


@dataclass(frozen=True)
class Case:
    """An escalation, where it stands, and a moment."""

    escalation: Escalation
    where: Standing
    now_ns: int


seconds = st.integers(-10 * HOUR, 10 * HOUR)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw any escalation of two to six stages, anywhere, at any time."""
    thresholds = sorted(draw(st.sets(seconds, min_size=1, max_size=5)))
    names = ["ok", *(f"s{number}" for number in range(len(thresholds)))]
    stages = [Stage("ok", None, min_dwell_s=draw(st.integers(0, HOUR)))]
    for place, threshold in enumerate(thresholds):
        wants = draw(st.sets(st.sampled_from([f"{name}/a" for name in names[: place + 1]]), max_size=2))
        wait = draw(st.none() | st.integers(0, 5 * HOUR))
        dwell = draw(st.integers(0, HOUR))
        stages.append(Stage(names[place + 1], threshold, Audience.PUBLIC, dwell, tuple(wants), wait))
    escalation = default(
        stages=tuple(stages), grace_s=draw(st.integers(0, HOUR)), catch_up=draw(st.sampled_from(CatchUp))
    )
    delivered = draw(st.frozensets(st.sampled_from([f"{name}/a" for name in names])))
    stage, since = draw(st.integers(0, len(thresholds))), draw(seconds)
    where = standing(stage, since_s=since, is_armed=draw(st.booleans()), delivered=delivered)
    return Case(escalation, where, at(draw(seconds), ns=draw(st.integers(-1, 1))))


@given(cases())
def test_it_never_goes_back(case: Case) -> None:
    step = advance(case.escalation, case.where, case.now_ns)

    assert case.where.stage <= step.next <= step.target < len(case.escalation.stages)


@given(cases())
def test_it_goes_on_if_and_only_if_it_is_due(case: Case) -> None:
    step = advance(case.escalation, case.where, case.now_ns)

    assert (step.next > case.where.stage) == (step.why is Why.DUE)


@given(cases())
def test_a_stage_that_is_entered_is_due_and_the_one_before_has_stood(case: Case) -> None:
    step = advance(case.escalation, case.where, case.now_ns)

    if step.next > case.where.stage:
        stood = case.now_ns - case.where.stage_at_ns
        assert due_ns(case.escalation, step.next, DEADLINE) <= case.now_ns
        assert stood >= case.escalation.stages[case.where.stage].min_dwell_s * SECOND_NS


@given(cases())
def test_until_it_says_so_nothing_changes_and_then_something_does(case: Case) -> None:
    step = advance(case.escalation, case.where, case.now_ns)

    if step.until_ns is not None:
        assert step.until_ns > case.now_ns
        before = advance(case.escalation, case.where, step.until_ns - 1)
        then = advance(case.escalation, case.where, step.until_ns)
        assert before.next == case.where.stage
        assert case.escalation.catch_up is CatchUp.JUMP or then.why is not step.why or then.until_ns != step.until_ns


@given(cases(), seconds)
def test_later_never_makes_less_due(case: Case, later_s: int) -> None:
    now, then = sorted((case.now_ns, case.now_ns + later_s * SECOND_NS))

    assert advance(case.escalation, case.where, now).target <= advance(case.escalation, case.where, then).target


@given(cases())
def test_a_walk_takes_one_step(case: Case) -> None:
    step = advance(case.escalation._replace(catch_up=CatchUp.WALK), case.where, case.now_ns)

    assert step.next - case.where.stage in {0, 1}
