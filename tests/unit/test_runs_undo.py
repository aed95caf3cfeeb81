"""What passed is undone where the plan says so: last first, once, under policy like everything else."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_world import FAILS, MET, REVIEWED, Hurried, World, does, world_in

from orchestrator.ledger.store import Ledger
from orchestrator.runs.phase import run_phase
from orchestrator.runs.walk import cancel, settle

UNDOES = f"""on_failure: compensate
phases:
  - {{id: one, steps: [{does("a")}], {MET}, compensate: [{does("un-a")}]}}
  - {{id: two, needs: one, steps: [{does("b")}], {MET}, compensate: [{does("un-b")}]}}
  - {{id: three, needs: two, steps: [{does("c")}], {MET}}}
  - {{id: four, needs: three, steps: [{FAILS}], {MET}, compensate: [{does("never")}]}}
"""


@pytest.fixture
def world(tmp_path: Path, ledger: Ledger) -> Iterator[World]:
    with world_in(tmp_path / "world", ledger) as made:
        yield made


@pytest.fixture
def local(tmp_path: Path, sqlite_ledger: Ledger) -> Iterator[World]:
    """Give a world on SQLite, for what is the same in every database."""
    with world_in(tmp_path / "world", sqlite_ledger) as made:
        yield made


def test_what_passed_is_undone_last_first(world: World) -> None:
    world.begin(UNDOES)

    state = world.go()
    again = world.events("orch.run.ended")

    assert state == "failed"
    assert world.order() == ["a", "b", "c", "un-b", "un-a"]
    assert world.states() == {"one": "compensated", "two": "compensated", "three": "passed", "four": "failed"}
    [ended] = again
    assert [one["phase"] for one in ended["compensation"]] == ["two", "one"]


def test_what_undoes_may_have_to_wait_for_an_approval(local: World) -> None:
    local.packs(REVIEWED)
    undo = "{id: restore, action: write_file, adapter: files, with: {path: out.txt, content: old}}"
    local.begin(UNDOES.replace(does("un-b"), undo))

    waiting = local.go()
    local.vote()
    state = local.go()

    assert (waiting, state) == ("waiting", "failed")
    assert local.order() == ["a", "b", "c", "un-a"]
    assert (local.root / "out.txt").read_text() == "old"


def test_a_cancelled_run_undoes_what_it_did_where_the_plan_says_so(local: World) -> None:
    local.begin(UNDOES)
    with local.context() as context:
        run_phase(context, "one", Hurried())
    cancel(local.ledger, "r1", "user:ada", "")

    state = local.go()

    assert state == "cancelled"
    assert local.order() == ["a", "un-a"]


def test_two_who_undo_at_once_do_it_once(local: World) -> None:
    local.begin(UNDOES)
    with local.context() as context:
        for name in ("one", "two", "three", "four"):
            run_phase(context, name, Hurried())

    def settles() -> None:
        with local.elsewhere() as ledger, local.context(ledger=ledger) as context:
            settle(context, Hurried())

    threads = [threading.Thread(target=settles) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert local.snapshot().state == "failed"
    assert local.order() == ["a", "b", "c", "un-b", "un-a"]
