"""Whoever is killed, and whatever stops: what was acknowledged is there, groups are whole, and the next one goes on."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import Server, server

from orchestrator.errors import LedgerError
from orchestrator.ledger import artifacts
from orchestrator.ledger.append import append, append_all
from orchestrator.ledger.event import Draft
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.psql import sequence
from orchestrator.ledger.store import Ledger
from orchestrator.ledger.verify import Options, verify
from orchestrator.ledger.verify_report import State

CHECKOUT = Path(__file__).parents[2]
DRAFT = Draft("orch.decision", "run-1", "agent:fixer", {"label": "x"}, repository="acme/web")
HANGING = """
import os, sys, time
from orchestrator.ledger import artifacts
from orchestrator.ledger.append import append
from orchestrator.ledger.event import Draft
from orchestrator.ledger.open import open_ledger

what, place = sys.argv[1:]
with open_ledger(place) as ledger:
    if what == "blob":
        print(artifacts.put(ledger, b"report " * 1000, name="report", media_type="text/plain").digest, flush=True)
        time.sleep(60)
    with ledger.store.writing() as connection:
        if what == "sequence":
            ledger.store.sequence(connection)
        else:
            append(ledger, connection, Draft("orch.decision", "run-1", "agent:fixer", {"label": "never"}))
        print("within", flush=True)
        time.sleep(60)
"""


def place_of(ledger: Ledger) -> str:
    """Return what names a ledger on a command line."""
    return str(getattr(ledger.store, "url", ledger.folder))


def killed_within(what: str, ledger: Ledger) -> str:
    """Kill a process that stands between two steps of `what`, and return what it said before."""
    command = [sys.executable, "-c", HANGING, what, place_of(ledger)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout
        said = process.stdout.readline().strip()
        process.kill()
    return said


def is_whole(ledger: Ledger) -> bool:
    if not ledger.gives_leaves:
        with ledger.store.writing() as connection:
            sequence(connection)
    report = verify(ledger, Options(deep=True, remembers=False))
    assert (report.findings, report.doubts) == ((), ())
    return report.state is State.VERIFIED


@pytest.fixture
def durable(postgres: Server, home: Path) -> Iterator[Server]:
    """Return a server that waits for the disk."""
    with server(is_durable=True) as running:
        yield running


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_nothing_that_was_acknowledged_is_lost_to_kill_9(kind: str, request: pytest.FixtureRequest) -> None:
    """`bench/crash.py` does it a thousand times."""
    more = []
    if kind == "postgres":
        request.getfixturevalue("postgres")
        more = ["--postgres"]
    command = [sys.executable, str(CHECKOUT / "bench" / "crash.py"), "--count", "30", *more]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200, env=dict(os.environ))

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["acknowledged"] > 10
    assert found["recorded"] >= found["acknowledged"]


def test_a_writer_killed_within_its_transaction_leaves_nothing(ledger: Ledger) -> None:
    append_all(ledger, [DRAFT])

    assert killed_within("append", ledger) == "within"

    assert append_all(ledger, [DRAFT])[0].fields["runseq"] == 2
    assert is_whole(ledger)


def test_a_blob_without_its_event_harms_nobody(ledger: Ledger) -> None:
    digest = killed_within("blob", ledger)

    assert [orphan.digest for orphan in artifacts.orphans(ledger)] == [digest]
    kept = artifacts.put(ledger, b"report " * 1000, name="report", media_type="text/plain")
    with ledger.store.writing() as connection:
        assert artifacts.stored(ledger, connection, kept, "run-1", "agent:a")
    assert kept.digest == digest
    assert artifacts.orphans(ledger) == []
    assert is_whole(ledger)


def test_a_sequencer_that_was_killed_makes_room_for_the_next(postgres_ledger: Ledger) -> None:
    append_all(postgres_ledger, [DRAFT] * 3)

    assert killed_within("sequence", postgres_ledger) == "within"

    with postgres_ledger.store.writing() as connection:
        assert sequence(connection) == 3
    assert is_whole(postgres_ledger)


def test_a_server_that_dies_keeps_what_it_acknowledged(durable: Server) -> None:
    with open_ledger(durable.url(durable.database()), as_owner=True) as ledger:
        kept = append_all(ledger, [DRAFT] * 3)
        with pytest.raises(LedgerError) as failure:
            _append_while_the_server_dies(ledger, durable)
        durable.start()

        with ledger.store.reading() as connection:
            assert connection.execute("SELECT id FROM events ORDER BY n") == [(event.id,) for event in kept]
        assert append_all(ledger, [DRAFT])[0].fields["runseq"] == 4
        assert is_whole(ledger)
    assert "cannot be used" in str(failure.value)
    assert failure.value.advice


def _append_while_the_server_dies(ledger: Ledger, durable: Server) -> None:
    with ledger.store.writing() as connection:
        append(ledger, connection, DRAFT)
        durable.stop(signal.SIGQUIT)
        append(ledger, connection, DRAFT)


def test_a_server_that_is_down_is_told(durable: Server) -> None:
    url = durable.url(durable.database())
    open_ledger(url, as_owner=True).close()
    durable.stop()

    with pytest.raises(LedgerError, match="cannot be used") as failure:
        open_ledger(url)

    assert "see that the server runs" in failure.value.advice
