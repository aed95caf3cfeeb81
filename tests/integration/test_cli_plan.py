"""`orch plan` as a person runs it: what it prints, what it writes, and its exit codes."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Place, clean, place_in

FOLDER = Path(__file__).parents[1] / "plans_002"
BAD = """\
apiVersion: orch/v1
kind: Plan
metadata: {name: bad}
phases:
  - {id: a, needs: b, gate: manual}
  - {id: b, needs: a, steps: {id: s, action: run_comand}}
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with place_in(tmp_path) as found:
        yield found


def test_from_nothing_to_a_plan_that_is_right(place: Place) -> None:
    made = place.orch("plan", "new", "first")
    checked = place.orch("plan", "validate", "first.yaml")
    again = place.orch("plan", "new", "first")

    assert (made.returncode, made.stdout) == (0, "first.yaml\n")
    assert made.stderr == "next: orch plan validate first.yaml && orch run first.yaml --mode dry-run\n"
    assert (checked.returncode, checked.stdout) == (0, "1 plan with 2 phases and 3 steps: ok\n")
    assert again.returncode == 2
    assert "nothing is overwritten" in clean(again)


def test_all_that_is_wrong_is_told_with_its_place(place: Place) -> None:
    (place.folder / "bad.yaml").write_text(BAD)

    text = place.orch("plan", "validate", "bad.yaml")
    program = place.orch("plan", "validate", "bad.yaml", "-o", "json")
    ci = place.orch("plan", "validate", "bad.yaml", "-o", "github")

    assert [text.returncode, program.returncode, ci.returncode] == [7, 7, 7]
    assert text.stdout.startswith("bad.yaml:5:13: error: phases that need one another: a -> b -> a; expected")
    assert "bad.yaml:6:46: error: the unknown action `run_comand`" in text.stdout
    assert text.stdout.endswith("2 errors\n")
    assert [(row["line"], row["column"]) for row in json.loads(program.stdout)["problems"]] == [(5, 13), (6, 46)]
    assert ci.stdout.startswith("::error file=bad.yaml,line=5,col=13,title=orch plan validate::")


def test_a_warning_fails_where_that_is_asked_for(place: Place) -> None:
    (place.folder / "p.yaml").write_text("apiVersion: orch/v1\nkind: Plan\nmetadata: {name: p}\nphases: [{id: a}]\n")

    assert place.orch("plan", "validate", "p.yaml").returncode == 0
    assert place.orch("plan", "validate", "p.yaml", "--strict").returncode == 7


def test_a_file_that_is_not_there_is_told(place: Place) -> None:
    done = place.orch("plan", "validate", "gone.yaml")

    assert done.returncode == 2
    assert "cannot read gone.yaml" in clean(done)


def test_a_plan_is_shown_in_every_form(place: Place) -> None:
    place.orch("plan", "new", "first")

    text, mermaid, svg, whole = (
        place.orch("plan", "show", "first.yaml", "-o", form) for form in ("text", "mermaid", "svg", "json")
    )

    assert text.stdout.splitlines()[:3] == ["first 0.1.0", "level 1 of 2", "└─ prepare: Write a report"]
    assert mermaid.stdout.startswith("flowchart TD\n")
    assert svg.stdout.startswith("<svg ")
    assert json.loads(whole.stdout)["levels"] == [["prepare"], ["publish"]]
    assert json.loads(whole.stdout)["digest"].startswith("sha256:")


def test_what_a_title_holds_does_not_reach_the_terminal_raw(place: Place) -> None:
    title = '"::error::x ##[group]"'
    (place.folder / "p.yaml").write_text(
        f"apiVersion: orch/v1\nkind: Plan\nmetadata: {{name: p, title: {title}}}\nphases: [{{id: a, gate: manual}}]\n"
    )

    shown = place.orch("plan", "show", "p.yaml").stdout

    assert "##[" not in shown


def test_the_files_of_another_orchestrator_become_a_plan_that_is_right(place: Place) -> None:
    shutil.copytree(FOLDER, place.folder / "config")

    done = place.orch("plan", "import", "config", "-o", "plan.yaml")
    checked = place.orch("plan", "validate", "plan.yaml")
    again = place.orch("plan", "import", "config", "-o", "plan.yaml")
    forced = place.orch("plan", "import", "config", "-o", "plan.yaml", "--force", "--name", "mine")

    assert (done.returncode, done.stdout) == (0, "")
    assert "phases.13.executor not used: it is a part of the old program" in clean(done)
    assert max(map(len, done.stderr.splitlines())) <= 80
    assert checked.returncode == 0
    assert "1 plan with 16 phases and 20 steps" in checked.stdout
    assert again.returncode == 2
    assert "nothing is overwritten" in again.stderr
    assert "next: choose another file, or write over it with --force" in again.stderr
    assert forced.returncode == 0
    assert "name: mine" in (place.folder / "plan.yaml").read_text()


def test_an_import_without_a_file_writes_nothing_but_its_output(place: Place) -> None:
    before = sorted(place.folder.rglob("*"))

    done = place.orch("plan", "import", FOLDER, "--report", "json")

    assert done.stdout.startswith("# Made by `orch plan import`")
    assert {row["file"] for row in json.loads(done.stderr)["fields"]} == {str(path) for path in FOLDER.glob("*.json")}
    assert sorted(place.folder.rglob("*")) == before


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_a_plan_can_be_looked_at_before_it_is_written(place: Place, name: str) -> None:
    made = place.orch("plan", "import", FOLDER).stdout.encode()

    checked = place.orch("plan", "validate", name, given=made)
    shown = place.orch("plan", "show", name, given=made)
    wrong = place.orch("plan", "validate", name, given=BAD.encode())

    assert checked.returncode == 0
    assert "1 plan with 16 phases and 20 steps" in checked.stdout
    assert shown.stdout.startswith("unified-consolidation 1.2.0: ")
    assert wrong.returncode == 7
    assert wrong.stdout.startswith(f"{'stdin' if name == '-' else name}:5:13: error: phases that need one another")


@pytest.mark.parametrize("name", ["gone", "gone/phase_config.json"])
def test_a_place_to_import_that_is_not_there_is_told_as_such(place: Place, name: str) -> None:
    done = place.orch("plan", "import", name)

    assert done.returncode == 2
    assert f"cannot read '{name}': No such file or directory" in clean(done)


def test_a_pipe_in_the_place_of_a_plan_is_not_waited_for(place: Place) -> None:
    os.mkfifo(place.folder / "plan.yaml")

    done = place.orch("plan", "validate", "plan.yaml")

    assert done.returncode == 2
    assert "plan.yaml is no file" in clean(done)


def test_json_that_is_none_is_told_with_its_place_and_nothing_is_written(place: Place) -> None:
    (place.folder / "phase_config.json").write_text('{"phases": [}')

    done = place.orch("plan", "import", "phase_config.json", "-o", "plan.yaml")

    assert done.returncode == 7
    assert "phase_config.json:1:13: this is not JSON" in clean(done)
    assert not (place.folder / "plan.yaml").exists()


def test_the_schema_of_a_plan_is_printed_for_editors(place: Place) -> None:
    done = place.orch("policy", "schema", "Plan")

    assert json.loads(done.stdout)["properties"]["kind"]["const"] == "Plan"


def test_help_tells_each_command_in_one_whole_line(place: Place) -> None:
    listed = place.orch("plan", "--help").stdout.partition("Commands:\n")[2].splitlines()

    assert len(listed) == 4
    assert all(line.endswith(".") and not line.endswith("...") and len(line) <= 80 for line in listed)
