"""Erasing: the payload goes, from every byte of the ledger's files; what others rest on stays; an event says so."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from ledger_history import BLOB, CANARY, DIGEST, record

from orchestrator.errors import LedgerError, UsageError
from orchestrator.ledger import read
from orchestrator.ledger.append import append_all
from orchestrator.ledger.erase import KEPT, erase, erase_artifact, finish
from orchestrator.ledger.event import Draft, Event
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.project import TABLES
from orchestrator.ledger.rebuild import differences, rebuild
from orchestrator.ledger.store import Ledger

BY = "user:ann"


def dump(ledger: Ledger) -> str:
    with ledger.store.reading() as connection:
        rows = [connection.execute(f"SELECT * FROM {table}") for table in TABLES]  # noqa: S608  # constants
    return repr([sorted(map(repr, one)) for one in rows])


def with_text(text: str, folder: Path) -> list[str]:
    """Return the files below a folder that hold a text."""
    return [file.name for file in folder.rglob("*") if file.is_file() and text.encode() in file.read_bytes()]


def all_that_people_wrote(events: list[Event]) -> list[Event]:
    return [one for one in events if CANARY in json.dumps(one.payload)]


def test_an_erased_payload_is_gone_and_an_event_says_by_whom_and_why(ledger: Ledger) -> None:
    event = record(ledger)[2]

    done = erase(ledger, event.id[:13], "  asked for\nby a customer ", BY)

    with ledger.store.reading() as connection:
        seen = read.find(connection, event.id)
        around = read.around(connection, seen)
    assert (event.header, None) == (seen.header, seen.payload)
    assert {
        "event": event.id,
        "datahash": event.fields["datahash"],
        "reason": "asked for by a customer",
    } == done.event.payload
    assert ("orch.ledger.erased", "ledger:", BY, event.id) == tuple(
        done.event.fields[name] for name in ("type", "runid", "actor", "causeid")
    )
    assert around.erasure is not None
    assert done.event.id == around.erasure.id


def test_no_byte_of_what_was_erased_is_left_in_any_file(sqlite_ledger: Ledger) -> None:
    folder = sqlite_ledger.folder
    events = all_that_people_wrote(record(sqlite_ledger))
    assert with_text(CANARY, folder)

    for event in events:
        erase(sqlite_ledger, event.id, "asked for", BY)

    assert {str(one.fields["type"]) for one in events} == set(KEPT)
    assert with_text(CANARY, folder) == []


def test_the_tables_keep_what_counts_and_nothing_that_was_erased(ledger: Ledger) -> None:
    events = all_that_people_wrote(record(ledger))

    for event in events:
        erase(ledger, event.id, "asked for", BY)

    after = dump(ledger)
    rebuild(ledger)
    with ledger.store.reading() as connection:
        told = list(differences(ledger, connection))
        request = connection.execute("SELECT state, action, summary FROM requests")
        evidence = connection.execute("SELECT type, result, claimed FROM evidence")
        spent = connection.execute("SELECT spent, reserved FROM budgets")
    assert CANARY not in after
    assert (after, []) == (dump(ledger), told)
    assert request == [("consumed", "open_pr", "{}")]
    assert evidence == [("tests", "pass", 1)]
    assert spent == [(2_250_000, 0)]


def test_an_artifact_goes_with_its_file_and_its_row(sqlite_ledger: Ledger) -> None:
    record(sqlite_ledger)
    value = DIGEST.removeprefix("sha256:")
    blob = sqlite_ledger.folder / "artifacts" / "sha256" / value[:2] / value
    blob.parent.mkdir(parents=True)
    blob.write_bytes(BLOB)

    done = erase_artifact(sqlite_ledger, DIGEST, "a secret was in it", BY)

    with sqlite_ledger.store.reading() as connection:
        rows = connection.execute("SELECT * FROM artifacts")
    assert (blob.exists(), rows) == (False, [])
    assert done.event.payload is not None
    assert done.event.payload["artifact"] == DIGEST
    blob.write_bytes(BLOB)  # as if its removal had been cut short
    finish(sqlite_ledger)
    assert not blob.exists()


@pytest.mark.parametrize(
    "kind", ["orch.approval.voted", "orch.budget.settled", "orch.policy.loaded", "orch.approval.consumed"]
)
def test_what_others_rest_on_is_not_erased(ledger: Ledger, kind: str) -> None:
    event = next(one for one in record(ledger) if one.fields["type"] == kind)

    with pytest.raises(UsageError, match="is not erased"):
        erase(ledger, event.id, "x", BY)


def test_nothing_is_erased_without_a_reason_or_twice(ledger: Ledger) -> None:
    event = record(ledger)[2]

    with pytest.raises(UsageError, match="without a reason"):
        erase(ledger, event.id, " \n", BY)
    erase(ledger, event.id, "x", BY)
    with pytest.raises(UsageError, match="was erased already"):
        erase(ledger, event.id, "x", BY)
    with pytest.raises(UsageError, match="no event stores"):
        erase_artifact(ledger, "sha256:../../x", "x", BY)


def test_a_reader_in_the_way_is_told_and_it_can_be_finished_later(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    event = append_all(sqlite_ledger, [Draft("orch.decision", "r", "user:a", {"text": CANARY})])[0]
    with closing(sqlite3.connect(sqlite_ledger.folder / "ledger.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchall()

        with pytest.raises(LedgerError, match="its bytes may still lie in") as caught:
            erase(sqlite_ledger, event.id, "x", BY)

    assert "--finish" in caught.value.advice
    with open_ledger(str(sqlite_ledger.folder)) as again:
        finish(again)
    assert with_text(CANARY, sqlite_ledger.folder) == []
