"""Ninety days of a countdown with real ticks, as late as those of a public CI service, and a mail server that fails.

Real engine, ledger and mail server; every tick is made. That the same is simulated says that `orch simulate` is right.
Usually the first thirty days; `--more 3` takes all, as `python bench/days.py` does.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from many_days import Days, days, drawn

from orchestrator.escalations.simulate import simulate
from orchestrator.ledger.rebuild import differences
from orchestrator.ledger.verify import verify

_DAYS, _SEED = 90, 3


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Days]:
    with days(tmp_path, monkeypatch) as made:
        yield made


def test_ninety_days_lose_no_notice_and_send_nothing_early_or_twice(here: Days, more: int) -> None:
    course = drawn(min(_DAYS, 30 * more), _SEED)

    story = here.lived(course)

    assert story.wrong == []
    simulated = simulate(here.escalation, course.scenario)
    assert story.entered == [(one.cycle, one.stage, one.at_ns) for one in simulated.entries]
    assert min(story.notices, story.letters, story.patience) > 0
    with here.world.opened() as ledger:
        assert str(verify(ledger).state) == "verified"
        with ledger.store.reading() as connection:
            assert list(differences(ledger, connection)) == []


def test_the_days_have_everything_that_goes_wrong() -> None:
    """Gaps as they were measured, silences to the end, and cycles whose last notice cannot arrive in time."""
    course = drawn(_DAYS, _SEED)
    gaps = sorted(later - earlier for earlier, later in zip(course.ticks, course.ticks[1:], strict=False))

    assert len(gaps) > 1_900
    assert [round(gaps[len(gaps) * part // 100] / 60e9) for part in (50, 95)] == [
        pytest.approx(53, abs=3),
        pytest.approx(130, abs=10),
    ]
    assert gaps[-1] == 475 * 60 * 10**9
    assert (len(course.scenario.renewals), len(course.scenario.mail_down)) == (90, 35)
