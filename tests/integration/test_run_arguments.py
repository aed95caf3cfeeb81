"""`orch run`, `resume`, `cancel` and `runs` as whole commands: arguments that name nothing, and runs without phases."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from command_line import clean, place_in
from run_processes import SMALL, World

ODD = os.fsdecode(b"\xff")
"""No UTF-8."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with place_in(tmp_path) as place, ExitStack() as stack:
        made = World(place, stack)
        made.plan(SMALL)
        yield made


def in_its_own_folder(world: World) -> Path:
    """Leave a run to the workers whose folder is then away; return where it was."""
    folder = world.folder / "away"
    folder.mkdir()
    (folder / "say").write_text((world.folder / "say").read_text())
    left = world.place.orch("run", "plan.yaml", "--root", folder, "--run", "r1", "--detach")
    assert left.returncode == 0, clean(left)
    folder.rename(world.folder / "moved")
    return folder


def test_a_run_that_cannot_be_resumed_here_stays_with_the_workers(world: World) -> None:
    folder = in_its_own_folder(world)

    refused = world.place.orch("resume", "r1")

    assert (refused.returncode, refused.stdout) == (2, ""), clean(refused)
    assert refused.stderr.startswith("orch: there is no folder"), clean(refused)
    (world.folder / "moved").rename(folder)
    worked = world.place.orch("worker", "--once")
    assert worked.returncode == 0, clean(worked)
    assert world.runs() == [("r1", "succeeded")]


def test_a_run_can_be_left_to_workers_elsewhere_without_its_folder(world: World) -> None:
    in_its_own_folder(world)

    left = world.place.orch("resume", "r1", "--detach")

    assert (left.returncode, left.stdout) == (0, "run r1 is left to the workers\n"), clean(left)


def test_a_cancellation_that_cannot_be_finished_here_says_that_it_is_recorded(world: World) -> None:
    in_its_own_folder(world)

    done = world.place.orch("cancel", "r1")

    assert done.returncode == 2, clean(done)
    assert "that the run r1 is to end is recorded" in clean(done)
    assert world.runs() == [("r1", "cancelling")]


def test_a_run_of_single_actions_is_ended(world: World) -> None:
    act = ("act", "run_command", "--adapter", "command", "--arg", 'argv:=["sh", "say", "one"]', "--run", "live")
    assert world.place.orch(*act).returncode == 0

    ended = world.place.orch("cancel", "live", "--reason", "enough")

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "run live cancelled\n", ""), clean(ended)
    assert world.runs() == [("live", "cancelled")]
    again = world.place.orch("cancel", "live")
    assert again.returncode == 2
    assert "the run live has ended (cancelled)" in clean(again)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("run", "plan.yaml", "--input", f"word={ODD}"), "--input"),
        (("run", "plan.yaml", "--resume", "--run", ODD), "--run"),
        (("resume", ODD), "RUN"),
        (("resume", "r1", "--delivered", ODD), "--delivered"),
        (("resume", "r1", "--resend", ODD), "--resend"),
        (("cancel", ODD), "RUN"),
        (("cancel", "r1", "--reason", ODD), "--reason"),
        (("runs", ODD), "RUN|JOB|PLAN"),
    ],
)
def test_text_that_is_no_utf_8_is_refused_by_its_argument(world: World, arguments: tuple[str, ...], named: str) -> None:
    done = world.place.orch(*arguments)

    assert done.returncode == 2, clean(done)
    assert done.stderr.startswith(f"orch: {named} is '"), clean(done)
    assert "which is no UTF-8; expected text in UTF-8" in done.stderr
    assert "\n  next: " in done.stderr


@pytest.mark.parametrize("what", ["plan's file", "run's folder"])
def test_a_path_that_cannot_be_recorded_begins_no_run(world: World, what: str) -> None:
    (world.folder / f"{ODD}.yaml").write_bytes((world.folder / "plan.yaml").read_bytes())
    (world.folder / ODD).mkdir()

    given = (f"{ODD}.yaml",) if what == "plan's file" else ("plan.yaml", "--root", ODD)
    done = world.place.orch("run", *given)

    assert done.returncode == 2, clean(done)
    assert f"the {what} has the path" in clean(done)
    assert world.runs() == []


@pytest.mark.parametrize(
    ("what", "seen"),
    [
        ("folder", "'folder' is a folder"),
        ("pipe", "'pipe' is a pipe, a device or a socket"),
        ("socket", "'socket' is a pipe, a device or a socket"),
        ("-", "`-` is standard input"),
        ("", "an empty name"),
    ],
)
def test_what_is_no_file_is_called_what_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch, what: str, seen: str
) -> None:
    (world.folder / "folder").mkdir()
    os.mkfifo(world.folder / "pipe")
    monkeypatch.chdir(world.folder)  # a socket's path has to be short
    with closing(socket.socket(socket.AF_UNIX)) as opened:
        opened.bind("socket")
        done = world.place.orch("run", what)

    assert done.returncode == 2, clean(done)
    assert done.stderr.startswith(f"orch: {seen}"), clean(done)
    assert "expected the file of a plan, or a job's name\n  next: " in done.stderr
