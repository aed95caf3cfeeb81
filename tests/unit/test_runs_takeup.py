"""What is found by whoever works: runs that ended before all was told of them. By the real engine, in this process."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from github_server import GitHubServer
from run_world import World, does, one, world_in

from orchestrator.errors import UsageError
from orchestrator.ledger.store import Ledger
from orchestrator.runs.engine import QUEUE, Engine, Options, launched
from orchestrator.runs.lease import open_lease
from orchestrator.runs.takeup import Teller, begin_segment, take_up
from orchestrator.runs.workflow import carry_out

PLAN = """apiVersion: orch/v1
kind: Plan
metadata: {name: small, version: 1.0.0}
tracking: {github: {repository: acme/web}}
reports: out/reports
"""
PATIENCE_S = 30.0
ONCE = {"issue.created": 1, "issue.updated": 1, "comment.created": 1}


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        monkeypatch.setenv("HUB_TOKEN", server.token)
        yield server


@pytest.fixture
def world(tmp_path: Path, ledger: Ledger, github: GitHubServer) -> Iterator[World]:
    """A run that has ended, and whose process did before it told of it."""
    with world_in(tmp_path / "world", ledger) as made:
        hub = {"api": github.url, "token": "${{ secrets.HUB }}", "settle_s": 0}
        place = getattr(ledger.store, "url", None) or str(ledger.folder)
        given = {"adapters": {"github": hub}, "secrets": {"HUB": {"env": "HUB_TOKEN"}}, "ledger": place}
        made.settings = made.settings._replace(**given)
        made.begin(one(does("a")), plan=PLAN)
        assert made.go() == "succeeded"
        assert github.issues == []
        yield made


@contextmanager
def engine_of(world: World) -> Iterator[Engine]:
    with (
        open_lease(world.ledger) as lease,
        launched(world.settings, world.ledger, lease, Options(QUEUE, 2)) as engine,
    ):
        yield engine


def until_idle(engine: Engine) -> None:
    end = time.monotonic() + PATIENCE_S
    while engine.active():
        assert time.monotonic() < end
        time.sleep(0.02)


def final(world: World) -> Path:
    return world.root / "out" / "reports" / "final_report_r1.md"


def test_a_phase_that_is_recovered_after_its_run_ended_tells_of_it(world: World, github: GitHubServer) -> None:
    with engine_of(world) as engine:
        engine.enqueue(carry_out, "r1", 0, ["only"])
        until_idle(engine)

    assert (github.effects, github.issues[0]["state"], final(world).is_file()) == (ONCE, "closed", True)
    assert world.effects() == {"a": 1}


def test_a_worker_finds_what_ended_untold_and_tells_it_once(world: World, github: GitHubServer) -> None:
    with engine_of(world) as engine:
        teller = Teller(engine, grace_s=0)

        handed_out = teller.look(world.ledger), Teller(engine, grace_s=0).look(world.ledger)
        until_idle(engine)

        assert handed_out == (1, 1)
        assert (github.effects, github.issues[0]["state"], final(world).is_file()) == (ONCE, "closed", True)
        assert Teller(engine, grace_s=0).look(world.ledger) == teller.look(world.ledger) == 0


def test_whoever_ended_a_run_has_time_to_tell_of_it(world: World, github: GitHubServer) -> None:
    with engine_of(world) as engine:
        assert Teller(engine).look(world.ledger) == 0


def test_resuming_a_run_that_ended_untold_tells_of_it(world: World, github: GitHubServer) -> None:
    with engine_of(world) as engine:
        take_up(engine, world.ledger, "r1", by="user:ada")

        assert (github.effects, final(world).is_file()) == (ONCE, True)
        with pytest.raises(UsageError, match="has ended"):
            take_up(engine, world.ledger, "r1", by="user:ada")


def test_what_cannot_be_told_is_tried_again_later(world: World, github: GitHubServer) -> None:
    notes: list[str] = []
    options = Options(QUEUE, 2, note=lambda event, _: notes.append(event))
    github.close()
    with (
        open_lease(world.ledger) as lease,
        launched(world.settings, world.ledger, lease, options) as engine,
    ):
        teller = Teller(engine, grace_s=0)
        assert (teller.look(world.ledger), teller.look(world.ledger)) == (1, 0)
        until_idle(engine)

    assert final(world).is_file()
    assert world.snapshot().state == "succeeded"


def test_of_two_who_find_a_run_left_one_begins_the_next_segment(world: World) -> None:
    world.run = world.run._replace(id="r2")
    world.begin(one(does("b")))
    with engine_of(world) as engine:
        begin_segment(engine, world.ledger, "r2", by="user:ada", left=0)
        begin_segment(engine, world.ledger, "r2", by="user:bob", left=0)
        until_idle(engine)

    assert [said["by"] for said in world.events("orch.run.resumed", "r2")] == ["user:ada"]
    assert world.effects()["b"] == 1


def test_a_run_that_others_took_up_meanwhile_is_not_taken_up_again(world: World) -> None:
    world.run = world.run._replace(id="r2")
    world.begin(one(does("b")))
    with engine_of(world) as engine:
        begin_segment(engine, world.ledger, "r2", by="user:ada", left=0)
        take_up(engine, world.ledger, "r2", by="user:bob")
        until_idle(engine)

    assert [said["by"] for said in world.events("orch.run.resumed", "r2")] == ["user:ada"]
