"""A plan of sixteen phases runs to its end against real servers: each outward effect once, and the ledger tells the story."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import clean
from sixteen import EFFECTS, World, world_in

from orchestrator.ledger.store import Ledger


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as made:
        yield made


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Return every file below a folder with its size and time of change."""
    found = {}
    for at, _, names in os.walk(folder):
        for name in names:
            status = Path(at, name).lstat()
            found[str(Path(at, name))] = (status.st_size, status.st_mtime_ns)
    return found


def test_a_plan_of_sixteen_phases_has_each_effect_once(world: World) -> None:
    waits = world.orch("run", world.plan, "--run", "r1")

    assert waits.returncode == 4, clean(waits)
    assert "orch approve" in clean(world.orch("runs", "r1"))
    assert world.github.effects["pull.opened"] == 0
    world.approve()
    done = world.orch("resume", "r1")
    assert done.returncode == 0, clean(done)
    assert world.effects() == EFFECTS

    again = world.orch("run", world.plan, "--run", "r1")
    assert again.returncode == 2, clean(again)
    assert world.effects() == EFFECTS


def test_what_happened_is_told_and_verified(world: World) -> None:
    world.orch("run", world.plan, "--run", "r1")
    world.approve()
    assert world.orch("resume", "r1").returncode == 0

    assert world.orch("ledger", "verify").stdout.startswith("verified")
    shown = json.loads(world.orch("runs", "r1", "-o", "json").stdout)
    assert (shown["state"], shown["progress"]["percent"]) == ("succeeded", 100)
    assert {phase["state"] for phase in shown["phases"]} == {"passed"}
    story = clean(world.orch("ledger", "show", "--run", "r1", "-n", 0))
    for word in ("p09", "approval", "open_pr", "it answers 503", "ada@acme.example"):
        assert word in story
    reports = sorted((world.checkout / "consolidation/reports").glob("status_report_*.json"))
    assert json.loads(reports[-1].read_text())["state"] == "succeeded"
    assert json.loads((world.checkout / "consolidation/execution_state.json").read_text())["state"] == "succeeded"
    issue = world.github.issues[0]
    assert issue["state"] == "closed"
    said = [one["body"] for one in world.github.comments if one["issue_number"] == issue["number"]]
    assert len(said) == len(set(said))
    for secret in ("GITHUB_SECRET", "HOOK_SECRET", "CHAT_URL"):
        assert world.place.environ[secret] not in clean(
            world.orch("ledger", "show", "--run", "r1", "-n", 0, "-o", "json")
        )


def test_the_same_on_postgresql(tmp_path: Path, postgres_ledger: Ledger) -> None:
    url = postgres_ledger.store.url  # type: ignore[attr-defined]  # a PostgresStore
    with world_in(tmp_path, ORCH_LEDGER=url) as world:
        assert world.orch("run", world.plan, "--run", "r1", "--detach").returncode == 0
        assert world.orch("worker", "--once").returncode == 0
        world.approve()
        assert world.orch("worker", "--once").returncode == 0

        assert world.effects() == EFFECTS
        assert world.orch("ledger", "verify").stdout.startswith("verified")


def test_a_dry_run_makes_no_file_no_call_and_no_state(world: World) -> None:
    world.orch("sidecar", "status")  # what any command may leave in the cache is there before
    world.orch("run", world.plan, "--mode", "dry-run")
    before = tree(world.place.folder)

    done = world.orch("run", world.plan, "--mode", "dry-run")

    assert "p09" in clean(done)
    assert tree(world.place.folder) == before
    assert (world.github.requests, world.hooks.seen, world.mail.mails, world.net.seen) == ([], [], [], [])
    assert not list(world.place.folder.rglob("ledger.db"))
    assert not list(world.place.folder.rglob("engine.db"))
