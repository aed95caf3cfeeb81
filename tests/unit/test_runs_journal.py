"""What is recorded of a run is not guessed at: where it does not fit together nothing is done, and that is said."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from run_world import DIAMOND, REVIEWED, WAITS, Hurried, World, world_in

from orchestrator.errors import LedgerError
from orchestrator.ledger import erase
from orchestrator.ledger.append import append
from orchestrator.ledger.event import Draft
from orchestrator.ledger.store import Ledger
from orchestrator.runs.lease import open_lease
from orchestrator.runs.phase import run_phase


@pytest.fixture
def world(tmp_path: Path, ledger: Ledger) -> Iterator[World]:
    with world_in(tmp_path / "world", ledger) as made:
        yield made


@pytest.fixture
def local(tmp_path: Path, sqlite_ledger: Ledger) -> Iterator[World]:
    """Give a world on SQLite, for what is the same in every database."""
    with world_in(tmp_path / "world", sqlite_ledger) as made:
        yield made


def test_a_run_whose_start_was_erased_is_not_gone_on_with(local: World) -> None:
    local.packs(REVIEWED)
    local.begin(WAITS)
    local.go()
    with local.ledger.store.reading() as connection:
        [(event,)] = connection.execute("SELECT id FROM events WHERE type = 'orch.run.started'")
    erase.erase(local.ledger, event, "somebody asked", "user:ada")

    with pytest.raises(LedgerError, match="was erased"):
        local.go()
    assert local.snapshot().state == "waiting"


def test_a_phase_that_the_plan_does_not_have_is_told_of(local: World) -> None:
    local.begin(DIAMOND)
    with local.ledger.store.writing() as connection:
        draft = Draft("orch.phase.started", "r1", "agent:fixer", {"phase": "foreign", "attempt": 1}, subject="foreign")
        append(local.ledger, connection, draft)

    with pytest.raises(LedgerError, match=r"'foreign'.*does not have"):
        local.go()
    with pytest.raises(LedgerError, match="'foreign'"):
        local.snapshot()


def test_a_phase_by_a_name_that_the_plan_does_not_have_is_refused(local: World) -> None:
    local.begin(DIAMOND)

    with local.context() as context, pytest.raises(LedgerError, match="no phase 'foreign'"):
        run_phase(context, "foreign", Hurried())


def test_a_plan_that_does_not_have_the_recorded_digest_is_refused(local: World) -> None:
    local.begin(DIAMOND)
    with local.ledger.store.writing() as connection:
        connection.execute("UPDATE runs SET plan_digest = 'sha256:00'")

    with pytest.raises(LedgerError, match="digest"):
        local.go()


def test_a_process_that_was_taken_over_records_nothing(local: World) -> None:
    local.begin(DIAMOND)
    with local.context() as context, open_lease(local.ledger) as other:
        other.executors.lose(context.lease.id)

        with pytest.raises(LedgerError, match="taken over"):
            run_phase(context, "base", Hurried())

    assert local.order() == []
