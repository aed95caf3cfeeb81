"""The projections: made again to the byte, and compared with what they should be."""

import pytest
from ledger_history import RUN, record

from orchestrator.errors import LedgerError
from orchestrator.ledger import heads
from orchestrator.ledger.append import append_all
from orchestrator.ledger.event import Draft
from orchestrator.ledger.project import TABLES, statements
from orchestrator.ledger.rebuild import differences, gone, rebuild
from orchestrator.ledger.store import Ledger


def dump(ledger: Ledger) -> dict[str, list[str]]:
    """Return every row of every projection."""
    with ledger.store.reading() as connection:
        return {table: sorted(map(repr, connection.execute(f"SELECT * FROM {table}"))) for table in TABLES}  # noqa: S608  # constants


def told(ledger: Ledger) -> list[str]:
    with ledger.store.reading() as connection:
        return list(differences(ledger, connection))


def change(ledger: Ledger, sql: str) -> None:
    with ledger.store.writing() as connection:
        assert connection.change(sql)


def test_the_tables_are_made_again_to_the_byte(ledger: Ledger) -> None:
    appended = record(ledger)
    before = dump(ledger)

    count = rebuild(ledger)

    assert before == dump(ledger)
    assert len([event for event in appended if event.fields["type"] != "orch.decision"]) == count
    assert [table for table in TABLES if not before[table] and table != "erasures"] == []


def test_what_was_changed_by_hand_is_mended(ledger: Ledger) -> None:
    record(ledger)
    before = dump(ledger)
    change(ledger, "UPDATE budgets SET spent = 0")
    change(ledger, "DELETE FROM votes")

    rebuild(ledger)

    assert before == dump(ledger)


def test_a_ledger_as_it_should_be_shows_no_difference(ledger: Ledger) -> None:
    record(ledger)

    assert told(ledger) == []


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("UPDATE budgets SET spent = 1 WHERE meter = 'usd'", "budgets: spent of 'usd', 'run', 'run-7f3a', '', '' is 1; the events give 2250000"),
        ("DELETE FROM votes WHERE id = 'v2'", "votes: the row 'v2' is missing"),
        ("INSERT INTO organizations (name) VALUES ('evil')", "organizations: the row 'evil' follows from no event"),
        ("UPDATE requests SET state = 'open'", "requests: state of 'k3fq7x2m9a' is 'open'; the events give 'consumed'"),
        ("UPDATE runs SET id = 'other'", "runs: the row 'other' follows from no event"),
    ],
)  # fmt: skip
def test_each_difference_is_named_and_nothing_is_changed(ledger: Ledger, sql: str, expected: str) -> None:
    record(ledger)
    change(ledger, sql)
    before = dump(ledger)

    actual = told(ledger)

    assert expected == actual[0]
    assert before == dump(ledger)


def test_an_event_whose_payload_gives_no_row_stops_a_rebuild_and_is_a_difference(ledger: Ledger) -> None:
    record(ledger)
    before = dump(ledger)
    with ledger.store.writing() as connection:  # as a tampered payload would
        connection.execute("INSERT INTO erasures (event_id, erased_by, reason) SELECT event_id, 'x', 'x' FROM payloads")
        row = connection.execute(
            "SELECT p.event_id FROM payloads p JOIN events e ON e.id = p.event_id WHERE e.type = 'orch.budget.settled'"
        )[0]
        connection.execute("DELETE FROM payloads WHERE event_id = ?", row)
        connection.execute("INSERT INTO payloads (event_id, salt, body) VALUES (?, ?, ?)", (*row, b"s", b"[1]"))
        connection.execute("DELETE FROM erasures")

    with pytest.raises(LedgerError, match="cannot be made again"):
        rebuild(ledger)

    assert before == dump(ledger)
    assert any(f"event {row[0]} is damaged" in one for one in told(ledger))


def test_of_a_decision_no_row_needs_what_its_payload_says(sqlite_ledger: Ledger) -> None:
    for event in record(sqlite_ledger):
        if event.fields["type"] == "orch.decision":
            assert list(statements(event.fields, event.payload or {})) == list(statements(event.fields, {}))


def test_events_that_are_gone_are_counted(sqlite_ledger: Ledger) -> None:
    record(sqlite_ledger)
    heads.sign(sqlite_ledger)

    none = gone(sqlite_ledger)
    with sqlite_ledger.store.writing() as connection:
        connection.execute("DROP TRIGGER events_last")
        connection.execute("DROP TRIGGER leaves_last")
        connection.execute("DELETE FROM events WHERE n > 20")
        connection.execute("DELETE FROM leaves WHERE idx > 22")

    assert (none, gone(sqlite_ledger)) == (0, heads.newest(sqlite_ledger).size - 20)


def test_progress_is_told(ledger: Ledger) -> None:
    append_all(ledger, [Draft("orch.test", RUN, "user:a")] * 1_001)
    seen: list[int] = []

    rebuild(ledger, seen.append)

    assert seen == [1_000]
