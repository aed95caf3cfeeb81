"""Times and durations read and write as documented, and nothing else is taken."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import clock

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        pytest.param("1970-01-01T00:00:00Z", 0, id="epoch"),
        pytest.param("2026-11-21T05:00:00Z", 1_795_237_200 * SECOND, id="utc"),
        pytest.param("2026-11-21T06:30:00+01:30", 1_795_237_200 * SECOND, id="east"),
        pytest.param("2026-11-20T21:00:00-08:00", 1_795_237_200 * SECOND, id="west"),
        pytest.param("1970-01-01T00:00:00.000000001Z", 1, id="nanosecond"),
        pytest.param("1969-12-31T23:59:59.5Z", -SECOND // 2, id="before 1970"),
    ],
)
def test_a_time_becomes_nanoseconds(text: str, ns: int) -> None:
    assert clock.parse_time(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-21",
        "2026-11-21T05:00:00",
        "2026-11-21t05:00:00z",
        "2026-11-21 05:00:00Z",
        "2026-02-30T05:00:00Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T05:00:60Z",
        "2026-11-21T05:00:00+24:00",
        "2026-11-21T05:00:00+01:60",
        "2026-11-21T05:00:00.Z",
        "2026-11-21T05:00:00.1234567891Z",
        "0000-01-01T00:00:00Z",
        "1677-01-01T00:00:00Z",
        "2263-01-01T00:00:00Z",
        "2026-11-21T05:00:00Z\n",
        "\u0662\u0660\u0662\u0666-11-21T05:00:00Z",
        "x" * 10_000,
    ],
    ids=repr,
)
def test_what_is_no_time_says_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match="expected RFC 3339 with an offset") as caught:
        clock.parse_time(text)

    assert len(str(caught.value)) < 400


@given(st.integers(-(2**63), 2**63 - 1))
def test_writing_a_time_and_reading_it_gives_the_same(ns: int) -> None:
    assert clock.parse_time(clock.format_time(ns)) == ns


def test_a_fraction_is_written_only_where_there_is_one() -> None:
    written = [clock.format_time(ns) for ns in (0, SECOND // 4, -1)]

    assert written == ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00.25Z", "1969-12-31T23:59:59.999999999Z"]


def test_a_time_beyond_the_year_9999_is_not_written() -> None:
    with pytest.raises(ValueError, match="1 to 9999"):
        clock.format_time(10**24)


def test_now_is_now() -> None:
    seen = datetime.fromisoformat(clock.format_time(clock.now_ns())[:19] + "+00:00")

    assert abs(seen.timestamp() - clock.now_ns() / SECOND) < 5


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800)])
def test_a_duration_becomes_seconds(text: str, seconds: int) -> None:
    assert clock.parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("0.5s", 0.5), ("1.5h", 5400.0), ("30s", 30.0), ("2d", 172_800.0), ("1ms", 0.001)],
)
def test_a_wait_may_be_a_fraction(text: str, seconds: float) -> None:
    assert clock.parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "0.0s", "0ms", ".5s", "1.s", "-1s", "1.2345s", "1e3s", "5", "nan s", "1w"])
def test_what_is_no_wait_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a number above 0"):
        clock.parse_seconds(text)


@pytest.mark.parametrize(
    "text", ["", "0s", "5", "h", "-1h", "1.5h", "1w", "1h30m", "1 h", "1H", "\u0661h", "9" * 5_000 + "s"]
)
def test_what_is_no_duration_says_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match="expected a whole number"):
        clock.parse_duration(text)
