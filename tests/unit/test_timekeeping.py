"""Which time it is, judged from what the clocks say: a table, and two laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.clock import SECOND_NS, parse_time
from orchestrator.escalations import timekeeping
from orchestrator.escalations.model import Clock
from orchestrator.escalations.timekeeping import GIVEN, Judged, Mark, Reading, Trust, agrees, confirmed, judge, span

NOON = parse_time("2026-11-21T12:00:00Z")
MINUTE, HOUR = 60 * SECOND_NS, 3_600 * SECOND_NS
BOOT = 1_000 * HOUR
MARK = Mark(NOON, "one", BOOT)
ASKS = Clock(("https://a.example/", "https://b.example/"))


def judged(after: int, counted: int | None = None, *, boot: str = "one", mark: Mark = MARK) -> Judged:
    """Judge a clock that says so much after noon, and a machine that counted so much since then."""
    return judge(Reading(NOON + after, boot, BOOT + (after if counted is None else counted)), mark, ASKS)


@pytest.mark.parametrize(
    ("after", "counted", "trust", "now"),
    [
        (0, 0, Trust.GOOD, 0),
        (30 * MINUTE, 30 * MINUTE, Trust.GOOD, 30 * MINUTE),
        (31 * MINUTE, 30 * MINUTE, Trust.GOOD, 31 * MINUTE),
        (31 * MINUTE + 1, 30 * MINUTE, Trust.AHEAD, 30 * MINUTE),
        (9_000 * HOUR, 30 * MINUTE, Trust.AHEAD, 30 * MINUTE),
        (29 * MINUTE, 30 * MINUTE, Trust.GOOD, 29 * MINUTE),
        (29 * MINUTE - 1, 30 * MINUTE, Trust.BEHIND, 29 * MINUTE - 1),
        (-MINUTE, 0, Trust.GOOD, 0),
        (-MINUTE - 1, 0, Trust.BACK, 0),
        (-MINUTE - 1, 30 * MINUTE, Trust.BACK, 0),
        (-10 * HOUR, 10 * HOUR, Trust.BACK, 0),
    ],
)
def test_the_earlier_of_clock_and_count_is_gone_by(after: int, counted: int, trust: Trust, now: int) -> None:
    found = judged(after, counted)

    assert (found.trust, found.now_ns - NOON) == (trust, now)


def test_what_is_wrong_with_the_clock_is_told_in_times() -> None:
    ahead, back = judged(20 * HOUR, 30 * MINUTE), judged(-2 * HOUR, HOUR)

    assert ahead.detail == (
        "the clock says 2026-11-22T08:00:00Z, 19 h 30 min more than this machine counted since the last tick; "
        "going by its count: 2026-11-21T12:30:00Z"
    )
    assert back.detail == ("the clock says 2026-11-21T10:00:00Z, 2 h before 2026-11-21T12:00:00Z, which it was already")


@pytest.mark.parametrize(
    ("after", "boot", "mark", "why"),
    [
        (5 * MINUTE, "one", MARK, ""),
        (2 * HOUR, "one", MARK, ""),
        (2 * HOUR + SECOND_NS, "one", MARK, "nobody looked for 2 h"),
        (5 * MINUTE, "two", MARK, "the machine started anew, or is another one"),
        (5 * MINUTE, "", MARK, "the machine started anew, or is another one"),
        (5 * MINUTE, "one", Mark(), "nothing was ever seen of this clock"),
        (
            5 * MINUTE,
            "one",
            MARK._replace(boot="one?"),
            "no witness has confirmed the clock since it was last unknown",
        ),
    ],
)
def test_a_witness_is_wanted_after_a_gap_and_after_a_start(after: int, boot: str, mark: Mark, why: str) -> None:
    found = judged(after, boot=boot, mark=mark)

    assert (found.is_unseen, found.why_unseen) == (bool(why), why)


def test_a_time_that_somebody_gave_is_held_against_the_mark_and_a_witness() -> None:
    later = judge(Reading(NOON + 9_000 * HOUR, is_given=True), MARK, ASKS)
    earlier = judge(Reading(NOON - HOUR, is_given=True), MARK, ASKS)

    assert (later.trust, later.now_ns, later.is_unseen) == (Trust.GOOD, NOON + 9_000 * HOUR, True)
    assert earlier.trust is Trust.BACK


def test_a_mark_that_somebody_gave_binds_other_given_times_alone() -> None:
    mark = Mark(NOON + 9_000 * HOUR, GIVEN)

    wall, given = judge(Reading(NOON, "boot", 5), mark, ASKS), judge(Reading(NOON, is_given=True), mark, ASKS)

    assert (wall.trust, wall.now_ns, wall.is_unseen) == (Trust.GOOD, NOON, True)
    assert "as somebody said" in wall.detail
    assert given.trust is Trust.BACK


def test_a_witness_that_agrees_makes_the_wall_clock_count() -> None:
    found = confirmed(judged(20 * HOUR, 30 * MINUTE))

    assert (found.trust, found.now_ns, found.detail, found.is_unseen) == (Trust.GOOD, NOON + 20 * HOUR, "", False)


def test_a_witness_agrees_within_what_the_policy_tolerates() -> None:
    assert agrees(NOON + 300 * SECOND_NS, NOON, ASKS)
    assert not agrees(NOON - 301 * SECOND_NS, NOON, ASKS)


@given(
    st.integers(-10 * HOUR, 10 * HOUR),
    st.integers(0, 10 * HOUR),
    st.sampled_from(["one", "two", ""]),
    st.booleans(),
)
def test_time_never_goes_back_and_never_beyond_the_clock_in_doubt(
    after: int,
    counted: int,
    boot: str,
    is_given: bool,  # noqa: FBT001  # drawn
) -> None:
    found = judge(Reading(NOON + after, boot, BOOT + counted, is_given), MARK, ASKS)

    assert found.now_ns >= NOON
    if found.trust is not Trust.BACK:
        assert found.now_ns <= max(NOON + after, NOON)


def test_the_machine_says_which_time_it_is() -> None:
    first, second = timekeeping.read(), timekeeping.read()

    assert first.boot_id == second.boot_id
    assert first.boot_ns <= second.boot_ns
    assert not first.is_given


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (45, "45 s"),
        (60, "1 min"),
        (3_661, "1 h 1 min"),
        (86_400, "1 d"),
        (90_061, "1 d 1 h"),
        (3_605, "1 h"),
    ],
)
def test_spans_are_told_in_two_units(seconds: int, text: str) -> None:
    assert span(seconds) == text
