"""`orch run`, `orch resume` and `orch cancel` as whole commands, over real processes."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from command_line import clean, place_in
from run_processes import PACK, PATIENCE_S, SLOW, SMALL, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with place_in(tmp_path) as place, ExitStack() as stack:
        yield World(place, stack)


def test_a_plan_runs_to_its_end(world: World) -> None:
    done = world.place.orch("run", world.plan(SMALL), "--input", "word=hi", "--run", "r1")

    assert done.returncode == 0, clean(done)
    assert done.stdout == "run r1 succeeded (2 of 2 phases)\n"
    assert world.words() == ["hi", "again"]
    assert [json.loads(line)["type"] for line in done.stderr.splitlines()][-1] == "run"
    assert world.place.orch("ledger", "verify").returncode == 0


def test_jsonl_goes_to_standard_output(world: World) -> None:
    done = world.place.orch("run", world.plan(SMALL), "-o", "jsonl")

    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["type"], last["state"], last["exit_code"]) == ("run", "succeeded", 0)
    assert done.stderr == ""


def test_a_dry_run_leaves_nothing(world: World) -> None:
    plan = world.plan(SMALL)

    def seen() -> set[Path]:
        return {one for one in world.folder.rglob("*") if "own-home" not in one.parts}

    before = seen()
    done = world.place.orch("run", plan, "--mode", "dry-run")

    assert done.returncode == 0, clean(done)
    assert "first/say (run_command): allowed" in done.stdout
    assert seen() == before


def test_a_denied_step_ends_with_exit_code_3(world: World) -> None:
    (world.folder / "packs" / "a.yaml").write_text(PACK + "  - {id: never, effect: deny, actions: [run_command]}\n")

    done = world.place.orch("run", world.plan(SMALL))

    assert done.returncode == 3, clean(done)
    assert world.words() == []


def test_a_detached_run_can_be_taken_into_sight(world: World) -> None:
    world.place.orch("run", world.plan(SMALL), "--detach", "--run", "r1")

    done = world.place.orch("resume", "r1")

    assert done.stdout == "run r1 succeeded (2 of 2 phases)\n", clean(done)


def test_a_run_that_still_waits_is_left_waiting(world: World) -> None:
    world.place.orch("run", world.plan(SMALL), "--mode", "manual", "--run", "r1")

    done = world.place.orch("resume", "r1")

    assert done.returncode == 4, clean(done)
    assert world.words() == ["hello"]


def test_a_waiting_run_is_cancelled_at_once(world: World) -> None:
    world.place.orch("run", world.plan(SMALL), "--mode", "manual", "--run", "r1")

    done = world.place.orch("cancel", "r1", "--reason", "no longer needed")

    assert done.returncode == 0, clean(done)
    assert done.stdout == "run r1 cancelled\n"
    assert world.runs() == [("r1", "cancelled")]


def test_a_running_run_ends_when_somebody_cancels_it(world: World) -> None:
    running = world.start("run", world.plan(SLOW), "--run", "r1")
    world.until(lambda: world.words("slowly"))

    done = world.place.orch("cancel", "r1")

    assert done.stdout.startswith("run r1 cancel"), clean(done)
    running.communicate(timeout=PATIENCE_S)
    assert world.runs() == [("r1", "cancelled")]
    assert world.words() == ["one"]


def test_an_interrupted_run_finishes_its_step_and_can_be_resumed(world: World) -> None:
    plan = world.plan(SLOW)
    running = world.start("run", plan, "--run", "r1")
    world.until(lambda: world.words("slowly"))

    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=PATIENCE_S)

    assert running.returncode == 130, said
    assert "stopping after the steps that are under way" in said
    assert (world.words("slowly"), world.words()) == (["began", "ended"], ["one"])
    assert world.place.orch("worker", "--once").returncode == 0
    assert world.words() == ["one"]  # no worker goes on with what somebody stopped

    resumed = world.place.orch("run", plan, "--resume")

    assert resumed.stdout == "run r1 succeeded (3 of 3 phases)\n", clean(resumed)
    assert (world.words("slowly"), world.words()) == (["began", "ended"], ["one", "last"])


def test_one_that_was_interrupted_twice_ends_at_once(world: World) -> None:
    running = world.start("run", world.plan(SLOW))
    world.until(lambda: world.words("slowly"))
    for _ in range(2):
        running.send_signal(signal.SIGINT)
        time.sleep(0.5)

    assert running.wait(1) == 130


def test_a_killed_run_is_resumed(world: World) -> None:
    plan = world.plan(SLOW)
    running = world.start("run", plan, "--run", "r1")
    world.until(lambda: world.words("slowly"))
    running.kill()
    running.wait()

    resumed = world.place.orch("run", plan, "--resume")

    assert resumed.stdout == "run r1 succeeded (3 of 3 phases)\n", clean(resumed)
    assert world.words() == ["one", "last"]


def test_a_run_of_a_live_process_is_not_taken(world: World) -> None:
    running = world.start("run", world.plan(SLOW), "--run", "r1")
    world.until(lambda: world.words("slowly"))

    refused = world.place.orch("resume", "r1")

    assert refused.returncode == 2
    assert f"being carried out by process {running.pid} on " in clean(refused)


def test_of_two_runs_with_one_id_one_begins(world: World) -> None:
    plan = world.plan(SMALL)
    both = [world.start("run", plan, "--run", "r1") for _ in range(2)]

    said = [one.communicate(timeout=PATIENCE_S)[1] for one in both]

    assert sorted(one.returncode for one in both) == [0, 2]
    assert sum("the run r1 exists already" in text for text in said) == 1
    assert world.words() == ["hello", "again"]


def test_nothing_unfinished_cannot_be_resumed(world: World) -> None:
    plan = world.plan(SMALL)
    world.place.orch("run", plan, "--run", "r1")

    for arguments in (("run", plan, "--resume"), ("resume", "r1"), ("resume", "r2"), ("cancel", "r1")):
        done = world.place.orch(*arguments)
        assert (done.returncode, clean(done).count("orch: ")) == (2, 1), clean(done)


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (("run", "nowhere.yaml"), "nowhere.yaml"),
        (("run", "nightly"), "no job"),
        (("run", "plan.yaml", "--input", "word"), "NAME=VALUE"),
        (("run", "plan.yaml", "--input", "word=a", "--input", "word=b"), "given twice"),
        (("run", "plan.yaml", "--input", "other=a"), "other"),
        (("run", "plan.yaml", "--root", "nowhere"), "no folder"),
        (("run", "plan.yaml", "--run", "../x"), "../x"),
        (("resume", "r1", "--resend", "a", "--delivered", "b"), "at once"),
    ],
)
def test_what_cannot_be_is_told(world: World, arguments: tuple[str, ...], seen: str) -> None:
    world.plan(SMALL)

    done = world.place.orch(*arguments)

    assert done.returncode == 2, clean(done)
    assert seen in clean(done)
