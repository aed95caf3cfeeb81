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

from orchestrator.errors import OrchError
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import Ledger
from orchestrator.runs import foreground, start
from orchestrator.runs.state import snapshot
from orchestrator.settings import Settings


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
    assert json.loads(world.place.orch("runs", "r1", "-o", "json").stdout)["is_worked_on"] is True

    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=PATIENCE_S)

    assert running.returncode == 130, said
    shown = world.place.orch("runs", "r1").stdout
    assert "nobody works on it; orch resume r1 goes on" in shown, shown
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
    assert [one["is_worked_on"] for one in json.loads(world.place.orch("runs", "-o", "json").stdout)] == [False]

    resumed = world.place.orch("run", plan, "--resume")

    assert resumed.stdout == "run r1 succeeded (3 of 3 phases)\n", clean(resumed)
    assert world.words() == ["one", "last"]


def test_a_run_of_a_live_process_is_not_taken(world: World) -> None:
    (world.folder / "slow").write_text("echo began >> slowly; sleep 15\n")
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


def test_nothing_is_begun_where_the_engine_cannot_start(world: World) -> None:
    plan = world.plan(SMALL)
    in_the_way = world.folder / "ledger" / "engine.db"
    in_the_way.parent.mkdir(mode=0o700)
    in_the_way.mkdir()
    refused = [world.place.orch("run", plan, "--run", "r1", *more) for more in ((), ("--detach",))]
    assert world.runs() == []
    in_the_way.rmdir()

    done = world.place.orch("run", plan, "--run", "r1")

    assert [one.returncode for one in refused] == [6, 6], list(map(clean, refused))
    assert done.stdout == "run r1 succeeded (2 of 2 phases)\n", clean(done)


def test_what_went_wrong_after_a_run_was_begun_says_that_it_was(world: World) -> None:
    plan = world.plan(SMALL)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in world.place.environ.items():
            patched.setenv(name, value)
        settings = Settings.load({})
        asked = start.Asked(str(plan), {}, run="r1", root=world.folder)
        begin = start.prepared(start.source_of(asked, settings), asked, settings)

        def and_its_folder_goes(ledger: Ledger) -> str:
            run_id = begin(ledger)
            world.folder.joinpath("packs").rename(world.folder / "gone")
            return run_id

        with pytest.raises(OrchError) as raised:
            foreground.carry_out(settings, and_its_folder_goes, foreground.Manner(), foreground.Sight())

    assert "the run r1 was begun; `orch resume r1` goes on with it" in raised.value.advice
    with open_ledger(world.place.environ["ORCH_LEDGER"], must_exist=True) as ledger:
        assert snapshot(ledger, "r1").state == "running"


def test_tracking_that_cannot_be_is_told_once_and_shown(world: World) -> None:
    plan = world.plan("tracking: {github: {repository: acme/web}}\n" + SMALL)

    quiet = world.place.orch("run", plan, "--run", "r1")
    lines = world.place.orch("run", plan, "--run", "r2", "-o", "jsonl")

    why = "there is no token for GitHub"
    assert (quiet.returncode, lines.returncode) == (0, 0), clean(quiet) + clean(lines)
    for text in (quiet.stderr, lines.stdout):
        [note] = [one for one in map(json.loads, text.splitlines()) if one["type"] == "note"]
        assert note["about"] == "tracking is behind"
        assert why in note["reason"]
    assert lines.stderr.startswith("note: tracking is behind: tracking.issue: permanent: " + why)
    assert len(lines.stderr.splitlines()) == 1
    [shown] = json.loads(world.place.orch("runs", "r1", "-o", "json").stdout)["tracking"]
    assert (shown["name"], shown["state"]) == ("tracking.issue", "behind")
    assert why in " ".join(world.place.orch("runs", "r1").stdout.split())


def test_a_run_is_meant_by_how_its_id_begins(world: World) -> None:
    plan = world.plan(SMALL)
    for name in ("first-1", "second-1", "second-2"):
        world.place.orch("run", plan, "--mode", "manual", "--run", name)

    several = [world.place.orch(command, "second") for command in ("resume", "cancel")]
    resumed = world.place.orch("resume", "fir")
    ended = world.place.orch("cancel", "second-2")

    assert [one.returncode for one in several] == [2, 2]
    assert all("several runs begin with 'second': second-2, second-1" in clean(one) for one in several)
    assert resumed.stdout.startswith("run first-1 waiting (0 of 2 phases)"), clean(resumed)
    assert ended.stdout == "run second-2 cancelled\n", clean(ended)
    assert world.runs() == [("first-1", "waiting"), ("second-1", "waiting"), ("second-2", "cancelled")]


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
