"""Reading events back: filters, order, one event and what stands around it."""

import pytest
from ledger_history import CANARY, RUN, record

from orchestrator import clock
from orchestrator.errors import LedgerError, UsageError
from orchestrator.ledger import read
from orchestrator.ledger.append import append_all
from orchestrator.ledger.event import Draft, Event
from orchestrator.ledger.read import Filter
from orchestrator.ledger.store import Ledger


def found(ledger: Ledger, **wanted: object) -> list[Event]:
    with ledger.store.reading() as connection:
        return list(read.events(connection, Filter(**wanted)))  # type: ignore[arg-type]  # as each test names them


def test_without_a_filter_every_event_comes_as_it_was_appended(ledger: Ledger) -> None:
    appended = record(ledger)

    actual = found(ledger)

    assert [(one.header, one.fields, one.payload) for one in appended] == [
        (one.header, one.fields, one.payload) for one in actual
    ]


def test_the_newest_come_last_first(ledger: Ledger) -> None:
    appended = record(ledger)

    actual = found(ledger, newest=True, limit=3)

    assert [one.id for one in appended[:-4:-1]] == [one.id for one in actual]


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"type": "orch.decision"}, 4),
        ({"type": "decision"}, 4),
        ({"type": "budget"}, 9),
        ({"type": "budget.exceeded"}, 1),
        ({"type": "bud"}, 0),
        ({"outcome": "pending"}, 1),
        ({"actor": "user:bob"}, 1),
        ({"actor": "user:*"}, 20),
        ({"repository": "ACME/app"}, 1),
        ({"repository": "acme/*", "action": "comment"}, 1),
        ({"run": "adhoc:1"}, 1),
        ({"type": "decision", "limit": 2}, 2),
        ({"limit": 0}, 0),
        ({"actor": "user_bob"}, 0),
        ({"actor": "user:%*"}, 0),
    ],
    ids=str,
)
def test_filters_leave_only_what_matches(ledger: Ledger, wanted: dict[str, object], count: int) -> None:
    record(ledger)

    actual = found(ledger, **wanted)

    assert count == len(actual)


def test_a_run_comes_with_its_approval_requests(ledger: Ledger) -> None:
    appended = record(ledger)

    actual = found(ledger, run=RUN)

    assert [one.id for one in appended if one.fields["runid"] not in {"adhoc:1", "escalation:calm"}] == [
        one.id for one in actual
    ]


def test_times_are_compared_to_the_nanosecond_whatever_the_length_of_their_fraction(ledger: Ledger) -> None:
    times = ("2026-11-21T05:00:00Z", "2026-11-21T05:00:00.1Z", "2026-11-21T05:00:00.15Z", "2026-11-21T05:00:01Z")
    append_all(ledger, [Draft("orch.test", "r", "user:a", time=time) for time in times])

    actual = found(ledger, since_ns=clock.parse_time("2026-11-21T05:00:00.05Z"), until_ns=clock.parse_time(times[2]))

    assert [times[1]] == [one.fields["time"] for one in actual]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-21T05:00:00Z", "2026-11-21T05:00:00Z"),
        ("2026-11-21", "2026-11-21T00:00:00Z"),
        ("2h", "2026-11-21T10:00:00Z"),
        ("3d", "2026-11-18T12:00:00Z"),
    ],
)
def test_times_are_given_as_a_moment_a_day_or_how_long_ago(text: str, expected: str) -> None:
    now = clock.parse_time("2026-11-21T12:00:00Z")

    assert expected == clock.format_time(read.since_text(text, now))


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01", "-2h", "0h", "2026-11-21T05:00:00"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no time"):
        read.since_text(text, 0)


def test_an_event_is_found_by_how_its_id_begins(ledger: Ledger) -> None:
    appended = record(ledger)

    with ledger.store.reading() as connection:
        actual = [read.find(connection, one.id[:13]).id for one in appended]

    assert [one.id for one in appended] == actual


@pytest.mark.parametrize("name", ["", "%", "____________", "abc", "no-such-event"])
def test_what_begins_no_id_finds_nothing(ledger: Ledger, name: str) -> None:
    record(ledger)

    with ledger.store.reading() as connection, pytest.raises(UsageError, match="there is no event"):
        read.find(connection, name)


def test_an_id_that_begins_several_events_is_refused(ledger: Ledger) -> None:
    ids = [f"aaaaaaaa-0000-4000-8000-00000000000{number}" for number in range(2)]
    append_all(ledger, [Draft("orch.test", "r", "user:a", id=one) for one in ids])

    with ledger.store.reading() as connection, pytest.raises(UsageError, match="several events begin with"):
        read.find(connection, "aaaaaaaa")


def test_around_an_event_stand_its_neighbours_cause_and_consequences(ledger: Ledger) -> None:
    appended = record(ledger)
    asked, request = appended[4], appended[5]

    with ledger.store.reading() as connection:
        actual = read.around(connection, read.find(connection, asked.id))

    assert actual.previous is not None
    assert actual.cause is not None
    assert (appended[3].id, appended[2].id) == (actual.previous.id, actual.cause.id)
    assert [request.id] == [one.id for one in actual.consequences]
    assert actual.erasure is None


def test_a_damaged_event_is_told_of_with_its_place(sqlite_ledger: Ledger) -> None:
    record(sqlite_ledger)
    with sqlite_ledger.store.writing() as connection:
        connection.execute("DROP TRIGGER events_stay")
        connection.execute("UPDATE events SET header = ? WHERE n = 3", (b"{}",))

    with pytest.raises(LedgerError, match=r"number 3\) is damaged") as caught:
        found(sqlite_ledger)

    assert "orch ledger verify" in caught.value.advice
    assert CANARY not in str(caught.value)


def test_what_no_event_has_is_told_with_what_there_is(ledger: Ledger) -> None:
    record(ledger)

    with ledger.store.reading() as connection:
        said = list(read.unknown(connection, Filter(run="nope", type="budget", repository="acme/*", actor="user:x")))

    assert said[0].startswith(f"no event has the run 'nope'; there is: {RUN}, adhoc:1")
    assert [one.partition(";")[0] for one in said[1:]] == ["no event has the actor 'user:x'"]
