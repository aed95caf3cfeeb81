"""What is found by whoever works: runs that ended before all was told of them. By the real engine, in this process."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from github_rest import Fault
from github_server import GitHubServer
from run_world import World, does, one, world_in

from orchestrator.errors import UsageError
from orchestrator.ledger.store import Ledger
from orchestrator.runs.engine import QUEUE, Engine, Options, launched
from orchestrator.runs.lease import open_lease
from orchestrator.runs.reaper import reaping
from orchestrator.runs.takeup import Teller, begin_segment, take_up
from orchestrator.runs.telling import ElsewhereError, is_untold, tell
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
        made.settings = made.settings._replace(
            adapters={"github": hub}, secrets={"HUB": {"env": "HUB_TOKEN"}}, ledger=place
        )
        made.begin(one(does("a")), plan=PLAN)
        assert made.go() == "succeeded"
        assert github.issues == []
        yield made


@contextmanager
def engine_of(world: World, notes: list[str] | None = None) -> Iterator[Engine]:
    noted = [] if notes is None else notes
    options = Options(QUEUE, 2, note=lambda event, _: noted.append(event))
    with open_lease(world.ledger) as lease, launched(world.settings, world.ledger, lease, options) as engine:
        yield engine


def until(is_met: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_met():
        assert time.monotonic() < end
        time.sleep(0.02)


def until_idle(engine: Engine) -> None:
    until(lambda: not engine.active())


def events(world: World) -> int:
    with world.ledger.store.reading() as connection:
        return int(connection.execute("SELECT count(*) FROM events", ())[0][0])


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


def test_what_cannot_be_told_now_is_told_later(world: World, github: GitHubServer) -> None:
    github.fault(r"/issues", Fault.BEFORE, times=100)
    with engine_of(world) as engine:
        teller = Teller(engine, grace_s=0)
        assert (teller.look(world.ledger), teller.look(world.ledger)) == (1, 0)
        until_idle(engine)
        assert (final(world).is_file(), github.effects) == (True, {})

        github.spare()
        tell(engine, world.ledger, "r1")

    assert (github.effects, github.issues[0]["state"]) == (ONCE, "closed")


@pytest.mark.parametrize("why", ["denied", "unknown"])
def test_trying_to_tell_again_and_again_adds_nothing_to_the_record(
    world: World, github: GitHubServer, why: str
) -> None:
    if why == "denied":
        world.packs("  - {id: quiet, effect: deny, actions: create_issue}\n")
    github.fault(r"/issues$", Fault.DROP, times=100)
    with engine_of(world) as engine:
        tell(engine, world.ledger, "r1")
        before = events(world)

        for _ in range(3):
            tell(engine, world.ledger, "r1")

        assert (events(world), is_untold(world.ledger, "r1")) == (before, True)


def test_of_two_who_tell_at_once_one_does(world: World, github: GitHubServer) -> None:
    def told(engine: Engine) -> None:
        with engine.ledger() as ledger:
            tell(engine, ledger, "r1")

    with engine_of(world) as engine:
        threads = [threading.Thread(target=told, args=(engine,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)

    assert (github.effects, github.issues[0]["state"]) == (ONCE, "closed")


def test_a_worker_without_the_folder_leaves_it_to_another(world: World, github: GitHubServer) -> None:
    notes: list[str] = []
    world.root.rename(world.folder / "elsewhere")
    with engine_of(world, notes) as engine:
        assert Teller(engine, grace_s=0).look(world.ledger) == 0
        with pytest.raises(ElsewhereError, match="there is no folder"):
            tell(engine, world.ledger, "r1")
        engine.enqueue(carry_out, "r1", 1, ["told"], again=7)
        until(lambda: "postponed" in notes)

        (world.folder / "elsewhere").rename(world.root)
        with reaping(engine):
            until_idle(engine)

    assert (github.effects, final(world).is_file()) == (ONCE, True)


def test_the_end_is_told_by_a_later_report_than_one_whose_answer_was_lost(world: World, github: GitHubServer) -> None:
    github.fault(r"/issues/\d+$", Fault.LOSE, method="PATCH")
    with engine_of(world) as engine:
        tell(engine, world.ledger, "r1")
        assert is_untold(world.ledger, "r1")

        tell(engine, world.ledger, "r1")

    assert (github.effects, is_untold(world.ledger, "r1")) == (ONCE, False)


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
