"""`orch jobs` and `orch runs` by the real command: jobs of the operator's file, one record per run, what a run waits for."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import HEAD, Place, clean, command, place_in
from run_history import RUN, History

from orchestrator.ledger.open import open_ledger

PACK = HEAD + "rules:\n  - {id: anything, effect: allow, actions: '*'}\n"
JOBS = """
packs = ["packs"]
subject = "user:ann"

[jobs.hello]
argv = ["sh", "-c", "echo $LEVEL >> said"]
env = { LEVEL = "3" }
cwd = "work"
description = "Says how it is"

[jobs.fails]
argv = ["sh", "-c", "exit 75"]
errors = { 75 = "configuration" }
"""
PLAN = """apiVersion: orch/v1
kind: Plan
metadata: {name: ship, version: 1.0.0}
reports: consolidation/reports
phases:
  - id: build
    steps: [{id: make, action: run_command, adapter: command, with: {argv: [sh, -c, "echo '{}' > made.json"]}}]
    success: [{json_valid: made.json}]
  - id: release
    needs: build
    gate: manual
    steps: [{id: tell, action: run_command, adapter: command, with: {argv: ["true"]}}]
    success: [{file_exists: made.json}]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place_in(tmp_path_factory.mktemp("runs")) as made:
        config = Path(made.environ["HOME"], ".config", "orch")
        (config / "packs").mkdir(parents=True)
        (config / "work").mkdir()
        (config / "packs" / "acme.yaml").write_text(PACK)
        (config / "config.toml").write_text(JOBS)
        yield made


def said(place: Place, *arguments: object) -> Any:  # noqa: ANN401  # JSON
    done = place.orch(*arguments, "-o", "json")
    clean(done)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_job_runs_and_leaves_one_record(place: Place) -> None:
    done = place.orch("run", "hello", "--run", "first")

    clean(done)
    assert done.returncode == 0, done.stderr
    assert Path(place.environ["HOME"], ".config/orch/work/said").read_text().splitlines()[0] == "3"
    record = said(place, "runs", "first")
    assert (record["kind"], record["name"], record["state"], record["exit_code"]) == ("job", "hello", "succeeded", 0)
    assert [(step["id"], step["state"]) for step in record["phases"][0]["steps"]] == [("command", "delivered")]
    (row,) = [one for one in said(place, "jobs") if one["name"] == "hello"]
    assert row["last"]["run_id"] == "first"
    assert row["argv"] == tomllib.loads(JOBS)["jobs"]["hello"]["argv"]


def test_where_there_is_no_terminal_progress_is_quiet_json_lines(place: Place) -> None:
    done = place.orch("run", "hello", "--run", "quiet", "-o", "jsonl")

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {one["type"] for one in lines} == {"run", "phase", "step"}
    assert (lines[-1]["type"], lines[-1]["state"], lines[-1]["exit_code"]) == ("run", "succeeded", 0)
    assert "\x1b" not in done.stdout + done.stderr


def test_jobs_that_start_at_once_have_a_record_each(place: Place) -> None:
    running = [
        subprocess.Popen(
            command("run", "fails"),
            cwd=place.folder,
            env=place.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )
        for _ in range(4)
    ]

    codes = [one.wait(timeout=60) for one in running]

    rows = said(place, "runs", "fails")
    assert len({one["run_id"] for one in rows}) == len(rows) == len(running)
    assert {one["state"] for one in rows} == {"failed"}
    assert 0 not in codes


def test_an_unknown_job_names_those_there_are(place: Place) -> None:
    done = place.orch("run", "helo")

    assert done.returncode == 2
    assert "no job 'helo'; there is: fails, hello (did you mean `hello`?)" in clean(done)


def test_a_run_that_waits_says_which_command_opens_it_and_writes_its_reports(place: Place) -> None:
    root = place.folder / "checkout"
    root.mkdir()
    (place.folder / "ship.yaml").write_text(PLAN)

    done = place.orch("run", "ship.yaml", "--run", "waits", "--root", root)

    assert done.returncode == 4, clean(done)
    record = said(place, "runs", "waits")
    (command_,) = record["waiting_for"][0]["commands"]
    assert command_.startswith("orch approve ")
    text = clean(place.orch("runs", "waits"))
    assert command_ in text
    assert max(map(len, text.splitlines())) <= 80
    state = json.loads((root / "consolidation/execution_state.json").read_text())
    assert (state["state"], state["progress"]["percent"]) == ("waiting", 50)
    assert len(list((root / "consolidation/reports").glob("status_report_*_waits_*.json"))) >= 2


@pytest.mark.parametrize("output", ["text", "json"])
def test_no_ledger_yet_is_told_and_jobs_are_listed_all_the_same(place: Place, tmp_path: Path, output: str) -> None:
    runs = place.orch("runs", "--ledger", tmp_path / "none", "-o", output)
    jobs = place.orch("jobs", "--ledger", tmp_path / "none", "-o", output)

    assert (runs.returncode, jobs.returncode) == (6, 0)
    assert "there is no ledger yet" in clean(runs)
    assert "hello" in clean(jobs)
    assert not (tmp_path / "none").exists()


def test_both_operators_files_are_an_error_of_configuration(place: Place, tmp_path: Path) -> None:
    for name in ("config.yaml", "config.toml"):
        (tmp_path / "orch").mkdir(exist_ok=True)
        (tmp_path / "orch" / name).write_text("")

    done = place.orch("jobs", XDG_CONFIG_HOME=str(tmp_path))

    assert done.returncode == 7
    assert "a config.toml beside it" in clean(done)


def test_a_list_is_cut_and_says_everything_with_zero(place: Place, tmp_path: Path) -> None:
    with open_ledger(str(tmp_path / "ledger")) as ledger:
        for number in range(25):
            History(ledger, f"{RUN}-{number}").begin()

    ledger_option = ("--ledger", tmp_path / "ledger")
    assert len(said(place, "runs", *ledger_option)) == 20
    assert len(said(place, "runs", "-n", "0", *ledger_option)) == 25


def test_without_a_reader_nothing_breaks(place: Place, tmp_path: Path) -> None:
    with open_ledger(str(tmp_path / "ledger")) as ledger:
        History(ledger).until_it_waits()
    program = [*command("runs", RUN, "--ledger", tmp_path / "ledger")]

    done = subprocess.run(
        ["sh", "-c", '"$@" | head -1', "sh", *program], env=place.environ, capture_output=True, text=True, check=False
    )

    assert done.stdout == f"{RUN}\n"
    assert "Traceback" not in done.stderr


def test_the_commands_import_no_engine() -> None:
    code = (
        "import sys; from orchestrator.cli import orch\n"
        "import orchestrator.cli.runs, orchestrator.cli.jobs, orchestrator.runs.listing, orchestrator.show.runs\n"
        "print(sorted({'dbos', 'sqlalchemy', 'httpx', 'rich', 'jinja2'} & sys.modules.keys()))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
