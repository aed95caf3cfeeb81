"""What is typed for a simulation becomes a scenario, or an error that says what was expected."""

import pytest
from countdowns import CRON, DAY, HOUR, MINUTE, default, strict

from orchestrator.clock import SECOND_NS, parse_time
from orchestrator.errors import UsageError
from orchestrator.escalations.model import Renewal
from orchestrator.escalations.simulate import Scenario, Window
from orchestrator.escalations.timeline import Asked, scenario_of

START = parse_time("2026-11-20T12:00:00Z")
SAID = Asked(start="2026-11-20T12:00:00Z")


def typed(**more: object) -> Scenario:
    """Return the scenario that is typed like this, for an escalation that is renewed for 24 hours."""
    return scenario_of(SAID._replace(**more), default(), 0)  # type: ignore[arg-type]


def after(seconds: int) -> int:
    return START + seconds * SECOND_NS


def test_of_nothing_typed_it_goes_from_now_until_two_hours_after_the_last_stage() -> None:
    now = after(0) + 7

    found = scenario_of(Asked(), default(), now)

    assert (found.start_ns, found.deadline_ns, found.end_ns) == (START, after(DAY), after(DAY + 4 * HOUR))
    assert found.rhythm.every_s == 5 * MINUTE


def test_it_goes_on_for_as_long_as_dwells_may_delay_it() -> None:
    assert scenario_of(SAID, strict(), 0).end_ns == after(DAY + 4 * HOUR + 75 * MINUTE)


def test_the_documents_interval_is_the_usual_one() -> None:
    assert scenario_of(SAID, default(every_s=600), 0).rhythm.every_s == 600
    assert scenario_of(SAID._replace(every="90s"), default(every_s=600), 0).rhythm.every_s == 90


def test_a_deadline_is_a_time_or_a_duration() -> None:
    assert typed(deadline="36h").deadline_ns == after(36 * HOUR)
    assert typed(deadline="2026-11-21T00:00:00Z").deadline_ns == after(12 * HOUR)
    assert scenario_of(SAID, default(renewal=Renewal(HOUR)), 0).deadline_ns == after(HOUR)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30h", 30 * HOUR), ("90d", 90 * DAY), ("10y", 3_650 * DAY), ("45s", 45)]
)
def test_it_goes_on_for_hours_or_years(text: str, seconds: int) -> None:
    assert typed(length=text).end_ns == after(seconds)


@pytest.mark.parametrize(("text", "share"), [("20%", 0.2), ("20", 0.2), ("0%", 0.0), ("100%", 1.0), ("0.5%", 0.005)])
def test_shares_are_percent(text: str, share: float) -> None:
    assert typed(miss=text).rhythm.misses == share
    assert typed(fail=text).fails == share


def test_gaps_and_a_seed_make_the_rhythm() -> None:
    found = typed(gaps="53,130,475", seed=3).rhythm

    assert (found.gaps, found.seed) == (CRON, 3)


def test_mail_is_down_in_windows_from_the_start() -> None:
    assert typed(mail_down=("2h..5h", "0..10m")).mail_down == (
        Window(after(2 * HOUR), after(5 * HOUR)),
        Window(after(0), after(10 * MINUTE)),
    )


def test_renewals_come_as_often_as_was_said_and_not_at_the_start() -> None:
    assert typed(length="3d", renew_every="20h").renewals == tuple(after(20 * HOUR * number) for number in (1, 2, 3))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"start": "yesterday"}, "--from: 'yesterday' is no time"),
        ({"length": "ever"}, "--for is 'ever'; expected a duration"),
        ({"length": "101y"}, "--for is '101y'; expected a duration"),
        ({"length": "0h"}, "--for is '0h'; expected a duration"),
        ({"every": "0s"}, "--every is '0s'; expected a duration"),
        ({"deadline": "soon"}, "--deadline is 'soon'; expected a duration"),
        ({"deadline": "2026-13-01T00:00:00Z"}, "--deadline: '2026-13-01T00:00:00Z' is no time"),
        ({"miss": "101%"}, "--miss is '101%'; expected percent from 0 to 100"),
        ({"miss": "many"}, "--miss is 'many'; expected percent"),
        ({"fail": "-1%"}, "--fail is '-1%'; expected percent"),
        ({"gaps": "1"}, "--gaps is '1'; expected the median"),
        ({"every": "5m", "gaps": "1,2,3"}, "--every and --gaps are both given"),
        ({"mail_down": ("5h..2h",)}, "--mail-down is '5h..2h'; expected two durations"),
        ({"mail_down": ("5h",)}, "--mail-down is '5h'; expected two durations"),
        ({"mail_down": ("a..b",)}, "--mail-down is 'a'; expected a duration"),
        ({"renew_every": "1s", "length": "10y"}, "more than 100,000 renewals"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_makes_no_sense_says_what_was_expected(more: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        typed(**more)

    assert message in str(caught.value)
