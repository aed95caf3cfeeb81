"""Events are appended whole or not at all, each chain in its order, and every writer waits its turn."""

import multiprocessing
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import LedgerError
from orchestrator.ledger.append import append, append_all, append_group, joined
from orchestrator.ledger.event import Draft, data_hash, first_head, head_of, leaf_hash, parse_header
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import Ledger


def draft(run_id: str = "run-1", **more: str) -> Draft:
    return Draft("orch.decision", run_id, "agent:fixer", {"label": "x"}, **more)


def place_of(ledger: Ledger) -> str:
    """Return what names a ledger on a command line."""
    return str(getattr(ledger.store, "url", ledger.folder))


def rows(ledger: Ledger, sql: str) -> list[tuple[Any, ...]]:
    with ledger.store.reading() as connection:
        return connection.execute(sql)


def test_an_event_is_read_back_as_its_header_says(ledger: Ledger) -> None:
    sent = draft(repository="Acme/Web", action="open_pr", outcome="allow", subject="acme/web")

    [event] = append_all(ledger, [sent])

    [(id_, run_id, run_seq, repository, header)] = rows(
        ledger, "SELECT id, run_id, run_seq, repository, header FROM events"
    )
    assert (id_, run_id, run_seq, repository, header) == (event.id, "run-1", 1, "acme/web", event.header)
    assert parse_header(header) == event.fields
    [(salt, body)] = rows(ledger, "SELECT salt, body FROM payloads")
    assert data_hash(salt, body) == event.fields["datahash"]
    assert rows(ledger, "SELECT id FROM repositories") == [("acme/web",)]


def test_each_chain_hangs_together(ledger: Ledger) -> None:
    events = append_all(ledger, [draft("a"), draft("b"), draft("a"), draft("a")])
    events += append_all(ledger, [draft("b")])

    for run_id in ("a", "b"):
        chain = [event for event in events if event.fields["runid"] == run_id]
        expected = [first_head(ledger.id, run_id), *(head_of(event.header) for event in chain)]
        assert [event.fields["prevhash"] for event in chain] == expected[:-1]
        assert [event.fields["runseq"] for event in chain] == list(range(1, len(chain) + 1))
        found = rows(ledger, "SELECT run_id, next_seq, head FROM chains")
        assert (run_id, len(chain) + 1, expected[-1]) in found


def test_a_group_records_what_its_events_one_by_one_would(ledger: Ledger, tmp_path: Path) -> None:
    drafts = [
        draft(f"run-{at % 3}", id=f"id-{at}", time="2026-01-01T00:00:00Z", repository=f"acme/{at % 2}")
        for at in range(40)
    ]

    grouped = append_all(ledger, drafts)
    with open_ledger(str(tmp_path / "other")) as other, other.store.writing() as connection:
        singly = [append(other, connection, one) for one in drafts]

    chained = {"source", "prevhash", "datahash"}
    kept = [
        [{k: v for k, v in event.fields.items() if k not in chained} for event in events]
        for events in (grouped, singly)
    ]
    assert kept[0] == kept[1]
    assert rows(ledger, "SELECT id FROM repositories ORDER BY id") == [("acme/0",), ("acme/1",)]


def test_nothing_of_a_group_is_recorded_when_one_event_cannot_be(ledger: Ledger) -> None:
    append_all(ledger, [draft(id="taken")])

    with pytest.raises(LedgerError) as failure:
        append_all(ledger, [draft("other"), draft("other", id="taken")])

    assert failure.value.exit_code == 6
    assert rows(ledger, "SELECT count(*) FROM events") == [(1,)]
    assert rows(ledger, "SELECT run_id FROM chains") == [("run-1",)]
    assert append_all(ledger, [draft("other")])[0].fields["runseq"] == 1


@pytest.mark.parametrize(
    "payload", [{"x": float("nan")}, {"x": 2**60}, {1: "x"}, {"x": "\ud800"}], ids=["nan", "large", "key", "surrogate"]
)
def test_a_payload_without_a_canonical_form_is_refused(ledger: Ledger, payload: dict[str, Any]) -> None:
    with pytest.raises(LedgerError, match="cannot be recorded"):
        append_all(ledger, [draft()._replace(payload=payload)])

    assert rows(ledger, "SELECT count(*) FROM chains") == [(0,)]


def test_an_error_within_a_transaction_takes_all_of_it_back(ledger: Ledger) -> None:
    with suppress(RuntimeError), ledger.store.writing() as connection:
        append(ledger, connection, draft())
        raise RuntimeError

    assert rows(ledger, "SELECT count(*) FROM events") == [(0,)]


def test_leaves_are_in_the_order_of_each_chain(ledger: Ledger) -> None:
    events = append_all(ledger, [draft("a"), draft("b"), draft("a")])
    if not ledger.gives_leaves:
        assert rows(ledger, "SELECT count(*) FROM leaves") == [(0,)]
        with ledger.store.writing() as connection:
            ledger.store.sequence(connection)  # type: ignore[attr-defined]  # of a store that gives no leaves

    found = rows(ledger, "SELECT event_id, hash FROM leaves ORDER BY idx")
    assert found == [(event.id, leaf_hash(event.header)) for event in events]


def test_what_joins_another_transaction_commits_with_it(ledger: Ledger) -> None:
    raw = getattr(ledger.store, "_raw", None) or ledger.store._connection.raw  # type: ignore[attr-defined]  # of both stores
    raw.execute("BEGIN")
    with joined(ledger, raw) as connection:
        append_group(ledger, connection, [draft()])
    raw.execute("ROLLBACK")

    assert rows(ledger, "SELECT count(*) FROM events") == [(0,)]


def test_appending_is_refused_while_reading(ledger: Ledger) -> None:
    if not ledger.gives_leaves:
        with pytest.raises(LedgerError, match="read-only"), ledger.store.reading() as connection:
            append(ledger, connection, draft())
    else:
        with ledger.store.reading() as connection:
            append(ledger, connection, draft())

    assert rows(ledger, "SELECT count(*) FROM events") == [(0,)]


def _write(place: str, chain: str, count: int) -> None:
    with open_ledger(place) as ledger:
        for _ in range(count):
            append_all(ledger, [draft(chain), draft("shared")])


def test_writers_at_once_leave_whole_chains(ledger: Ledger) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(place_of(ledger), f"own-{at}", 25)) for at in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)

    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert rows(ledger, "SELECT count(*), max(run_seq) FROM events WHERE run_id = 'shared'") == [(75, 75)]
    previous = first_head(ledger.id, "shared")
    for (header,) in rows(ledger, "SELECT header FROM events WHERE run_id = 'shared' ORDER BY run_seq"):
        assert parse_header(header)["prevhash"] == previous
        previous = head_of(header)
