"""When ticks come is drawn from a seed: the same again, with the percentiles that were asked for."""

import random

import pytest
from countdowns import CRON, DAY, HOUR, MINUTE, at

from orchestrator.errors import UsageError
from orchestrator.escalations.timetable import Gaps, Rhythm


def test_ticks_that_are_missed_are_known() -> None:
    found = Rhythm(MINUTE, misses=0.25, seed=3).between(at(0), at(1_000 * MINUTE))

    assert sorted([*found.ticks, *found.missed]) == [at(number * MINUTE) for number in range(1_001)]
    assert 200 < len(found.missed) < 300


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    rhythm = Rhythm(gaps=CRON, seed=1)

    assert rhythm.between(at(0), at(30 * DAY)) == rhythm.between(at(0), at(30 * DAY))
    assert rhythm.between(at(0), at(DAY)) != rhythm._replace(seed=2).between(at(0), at(DAY))


def test_gaps_have_the_percentiles_that_they_were_given() -> None:
    source = CRON.draw(random.Random(5))  # noqa: S311  # drawn again
    drawn = sorted(next(source) for _ in range(20_000))

    assert drawn[10_000] == pytest.approx(53 * MINUTE, rel=0.02)
    assert drawn[19_000] == pytest.approx(130 * MINUTE, rel=0.03)
    assert drawn[-1] == 475 * MINUTE


@pytest.mark.parametrize(
    ("text", "gaps"),
    [
        ("53,130,475", CRON),
        ("53m, 130m, 475m", CRON),
        ("30s,1m,1h", Gaps(30, MINUTE, HOUR)),
        ("5,5,5", Gaps(5 * MINUTE, 5 * MINUTE, 5 * MINUTE)),
    ],
)
def test_gaps_are_read_in_minutes_unless_a_unit_is_given(text: str, gaps: Gaps) -> None:
    assert Gaps.of(text) == gaps


@pytest.mark.parametrize(
    "text", ["", "53", "53,130", "130,53,475", "0,1,2", "a,b,c", "53,130,475,500", "-1,2,3", "1.5,2,3"]
)
def test_gaps_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected the median, the 95th percentile and the longest gap"):
        Gaps.of(text)


def test_gaps_that_never_differ_are_drawn_too() -> None:
    found = Rhythm(gaps=Gaps(60, 60, 60)).between(at(0), at(10 * MINUTE))

    assert list(found.ticks) == [at(number * MINUTE) for number in range(11)]


def test_more_ticks_than_anybody_waits_for_are_refused() -> None:
    with pytest.raises(UsageError, match="more than 20,000,000 ticks"):
        Rhythm(1).between(at(0), at(3_650 * DAY))
