"""State that was damaged, and processes that are at one run at once: it is told, nothing is lost or done twice."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import clean
from middle_world import MET, World, hook, phase, sh, world_in


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as made:
        yield made


def waits(world: World) -> None:
    """Leave a run that waits in its second phase."""
    world.rules("{id: reviewed, effect: require, actions: push_branch, approvals: {role: sre}}")
    push = "{id: push, action: push_branch, with: {branch: agent/fix}}"
    world.git("branch", "agent/fix")
    plan = phase("one", hook("first")) + phase("two", push, hook("second"), more=f"needs: one, {MET}")
    done = world.run(world.plan(plan))
    assert done.returncode == 4, clean(done)
    world.vote("alice")


def spoil(file: Path, how: str) -> None:
    """Put something else into a database's place."""
    away(file)
    if how == "garbage":
        file.write_bytes(os.urandom(8192))
        return
    made = sqlite3.connect(file)
    for table in ("executors", "workflow_status", "dbos_migrations"):
        made.execute(f"CREATE TABLE {table} (x)")
    made.close()


def away(file: Path) -> None:
    """Move a database away, as the error advises."""
    for ending in ("", "-wal", "-shm"):
        file.with_name(file.name + ending).unlink(missing_ok=True)


def test_a_damaged_database_beside_the_ledger_is_told_and_the_run_goes_on_without_it(world: World) -> None:
    waits(world)

    for name in ("engine.db", "executors.db"):
        for how in ("garbage", "other tables"):
            spoil(world.ledger / name, how)
            refused = world.resume()
            assert refused.returncode == 6, clean(refused)
            assert clean(refused).count("orch: ") == 1, (name, how)
            assert f"move {name}, {name}-wal and {name}-shm away" in refused.stderr
            assert world.record()["state"] == "waiting"
            away(world.ledger / name)
    is_whole = world.verified()
    done = world.resume()

    assert is_whole
    assert done.returncode == 0, clean(done)
    assert world.sent() == {"first": 1, "second": 1}
    assert world.verified()


DAMAGE = (
    "UPDATE phases SET phase = 'three' WHERE phase = 'one'",
    "UPDATE phases SET state = 'nonsense' WHERE phase = 'one'",
    "UPDATE actions SET state = 'nonsense' WHERE name = 'two/push'",
)


def test_damaged_rows_stop_the_run_until_they_are_made_again_and_nothing_is_done_twice(world: World) -> None:
    waits(world)

    for statement in DAMAGE:
        spoil_rows(world, statement)
        refused = world.resume()
        assert refused.returncode == 6, (statement, clean(refused))
        assert clean(refused).count("orch: ") == 1
        assert "orch ledger rebuild" in refused.stderr
        assert world.orch("ledger", "rebuild").returncode == 0
    done = world.resume()

    assert done.returncode == 0, clean(done)
    assert world.sent() == {"first": 1, "second": 1}
    assert world.verified()


def test_rows_that_are_gone_are_made_again_before_anything_is_done_twice(world: World) -> None:
    waits(world)
    spoil_rows(world, "DELETE FROM actions WHERE name = 'one/first'")
    spoil_rows(world, "DELETE FROM phases")
    spoil_rows(world, "UPDATE runs SET waiting_for = 'nonsense', state = 'running'")

    told = world.orch("ledger", "verify")
    clean(world.orch("runs", "r1"))
    rebuilt = world.orch("ledger", "rebuild")
    is_whole = world.verified()
    done = world.resume()

    assert told.returncode == 1
    assert "phases: the row 'r1', 'one' is missing" in " ".join(clean(told).split())
    assert rebuilt.returncode == 0, clean(rebuilt)
    assert is_whole
    assert done.returncode == 0, clean(done)
    assert world.sent() == {"first": 1, "second": 1}


def spoil_rows(world: World, statement: str) -> None:
    """Change tables behind the ledger's back."""
    opened = sqlite3.connect(world.ledger / "ledger.db")
    with opened:
        opened.execute(statement)
    opened.close()


def test_of_many_that_begin_one_run_at_once_one_does(world: World) -> None:
    plan = world.plan(phase("one", hook("first"), sh("slow", "sleep 1; echo slow >> seen")))
    both = [world.start("run", plan, "--run", "r1") for _ in range(3)]

    said = [one.communicate(timeout=60)[0] for one in both]

    codes = [one.returncode for one in both]
    assert sorted(codes) == [0, 2, 2], said
    for code, text in zip(codes, said, strict=True):
        assert text.count("orch: ") == (code == 2)
        assert "Traceback" not in text
    assert (world.sent(), world.lines("seen")) == ({"first": 1}, ["slow"])
    assert len(world.said("orch.run.started")) == 1
    assert world.verified()


def test_of_many_that_go_on_with_one_run_at_once_nothing_is_done_twice(world: World) -> None:
    waits(world)
    many = [world.start("resume", "r1") for _ in range(3)]

    said = [one.communicate(timeout=60)[0] for one in many]

    codes = {one.returncode for one in many}
    assert 0 in codes, said
    assert codes <= {0, 2}, said
    assert "Traceback" not in "".join(said)
    assert world.sent() == {"first": 1, "second": 1}
    assert world.record()["state"] == "succeeded"
    assert len(world.said("orch.run.resumed")) == 1
    assert world.verified()
