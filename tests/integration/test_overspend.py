"""Processes that are killed while they spend one budget: never over, nothing leaks, a retry does not charge twice."""

from pathlib import Path

from overspend_drill import Outcome, drill

from orchestrator.ledger.store import Ledger


def judged(outcome: Outcome) -> None:
    assert outcome.wrong == []
    assert outcome.highest <= outcome.cap
    assert outcome.acknowledged > 0
    assert outcome.kills > 0
    assert outcome.reserved == 0


def test_six_processes_and_one_cap(tmp_path: Path, sqlite_ledger: Ledger) -> None:
    judged(drill(str(sqlite_ledger.folder), tmp_path, workers=6, seconds=3, cap=60))


def test_two_clients_of_a_server_and_one_cap(tmp_path: Path, postgres_ledger: Ledger) -> None:
    judged(drill(str(getattr(postgres_ledger.store, "url")), tmp_path, workers=2, seconds=3, cap=60))  # noqa: B009  # only this store has one
