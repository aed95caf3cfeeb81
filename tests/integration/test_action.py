"""The GitHub Action: its scripts with the environment that GitHub sets, on a small repository with hostile names."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from action_job import PACK, ROOT, git, make_job, obeyed_commands, record_calls

ACTION = ROOT / "action.yml"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
REPOSITORY_PACK = """\
apiVersion: orch/v1
kind: PolicyPack
metadata: {name: web, version: 1.0.0}
default: inherit
rules:
  - {id: no-python, effect: deny, actions: open_pr, file_globs: "**/*.py"}
"""
HOSTILE_BRANCHES = {
    "substitution": "x$(touch${IFS}canary)",
    "backticks": "x`touch${IFS}canary`",
    "semicolon": "a;touch${IFS}canary",
    "quotes": "a'b\"c",
    "command": "%0A::error",
    "dash": "x--output=github",
}
HOSTILE_FILES = {
    "command": "secrets/::error::x",
    "set-output": "secrets/##[set-output name=outcome]allow",
    "line break": "secrets/a\n::error::owned",
    "markup": "secrets/<img src=x>[bold]",
    "substitution": "secrets/$(touch canary)",
}


def test_each_input_is_one_argument(tmp_path: Path) -> None:
    job = make_job(tmp_path, files={"a": "b"})
    calls = record_calls(job)
    packs = "  packs\n\n$(touch canary)\n'a b';touch canary\n--enforce"

    done = job.evaluate(packs=packs, point="tick`touch canary`", base="-x$(touch canary)", mode="warn-only")

    argv = json.loads(calls.read_text())["argv"]
    outputs = [argument for argument in argv if argument.startswith("--output=")]
    rest = [argument for argument in argv if argument not in outputs]
    assert rest == [
        "evaluate",
        "--one-shot",
        "--point=tick`touch canary`",
        "--warn-only",
        "--packs=packs",
        "--packs=$(touch canary)",
        "--packs='a b';touch canary",
        "--packs=--enforce",
        "--from-git=-x$(touch canary)..HEAD",
    ]
    assert [argument.split("=")[1] for argument in outputs] == ["github", "json"]
    assert done.returncode == 0
    assert not job.canary.exists()


@pytest.mark.parametrize(
    "inputs",
    [
        {"mode": "off"},
        {"mode": "warn-only enforce"},
        {"formats": "github *"},
        {"formats": "text"},
        {"directory": "none"},
    ],
    ids=str,
)
def test_an_input_that_means_nothing_stops_themake_job(tmp_path: Path, inputs: dict[str, str]) -> None:
    job = make_job(tmp_path, files={"a": "b"})
    calls = record_calls(job)

    done = job.evaluate(**inputs)

    assert done.returncode == 2
    assert done.stdout.startswith("::error title=orch::the input ")
    assert job.outputs == {"exit-code": "2"}
    assert not calls.exists()


def test_python_of_the_change_is_not_imported(tmp_path: Path) -> None:
    job = make_job(tmp_path, files={"click.py": "open('canary', 'w')\n"})
    calls = record_calls(job)
    job.environ.update(PYTHONPATH=str(job.workspace), PYTHONSTARTUP="click.py", PYTHONHOME="")

    job.evaluate()

    environ = json.loads(calls.read_text())["environ"]
    assert {"PYTHONSAFEPATH", "PYTHONNOUSERSITE"} <= environ.keys()
    assert not {"PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME"} & environ.keys()
    assert not job.canary.exists()


def test_what_orch_says_on_stderr_is_no_command(tmp_path: Path) -> None:
    job = make_job(tmp_path, files={"a": "b"})
    record_calls(job, stderr="orch: talk\n::error::owned\n::stop-commands::x\n::x::\n", status=6)

    first, second = job.evaluate(), job.evaluate()

    assert first.returncode == 6
    assert "::error::owned" in first.stdout
    assert not obeyed_commands(first.stdout)
    assert first.stdout.splitlines()[0] != second.stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("answer", "outcome", "would"),
    [
        ({"context": {"outcome": "allow", "would": "deny"}}, "allow", "deny"),
        (
            [{"context": {"outcome": o, "would": w}} for o, w in (("allow", "pending"), ("pending", "deny"))],
            "pending",
            "deny",
        ),
        ({"context": {"outcome": "allow\nexit-code=9", "would": ["deny"]}}, "", ""),
        ({"context": 5}, "", ""),
        ("text", "", ""),
        (None, "", ""),
    ],
    ids=["one", "gravest", "hostile", "no context", "no object", "null"],
)
def test_outputs_are_words_of_ours(tmp_path: Path, answer: object, outcome: str, would: str) -> None:
    job = make_job(tmp_path, files={"a": "b"})
    record_calls(job, answer=answer, status=3)

    done = job.evaluate()

    assert {"exit-code": "3", "outcome": outcome, "would": would, "sarif": "", "junit": ""} == job.outputs
    assert done.returncode == 3


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    job = make_job(tmp_path, files={"a": "b"})
    calls = record_calls(job)

    job.evaluate()

    environ = json.loads(calls.read_text())["environ"]
    assert environ["XDG_RUNTIME_DIR"].startswith("/tmp/orch.")
    assert not Path(environ["XDG_RUNTIME_DIR"]).parent.exists()
    assert not git(job.workspace, "status", "--porcelain")


@pytest.mark.parametrize(
    ("pack_mode", "mode", "status", "outcome"),
    [
        ("enforce", "as-packs-say", 3, "deny"),
        ("warn", "as-packs-say", 0, "allow"),
        ("enforce", "warn-only", 0, "allow"),
        ("warn", "enforce", 3, "deny"),
    ],
)
def test_a_denied_change_warns_or_stops(tmp_path: Path, pack_mode: str, mode: str, status: int, outcome: str) -> None:
    job = make_job(tmp_path, files={"secrets/key": "s"}, mode=pack_mode)

    done = job.evaluate(mode=mode, formats="github sarif junit")

    assert status == done.returncode, done.stdout + done.stderr
    outputs = job.outputs
    assert (str(status), outcome, "deny") == (outputs["exit-code"], outputs["outcome"], outputs["would"])
    command = "::error " if status else "::warning "
    assert [command] == [shown[: len(command)] for shown in obeyed_commands(done.stdout)]
    assert "acme/no-secrets" in job.summary
    assert json.loads(Path(outputs["sarif"]).read_text())["version"] == "2.1.0"
    assert "<testsuite" in Path(outputs["junit"]).read_text()


def test_an_allowed_change_passes(tmp_path: Path) -> None:
    job = make_job(tmp_path, files={"src/a.py": "a = 1\n"})

    done = job.evaluate(mode="enforce")

    assert done.returncode == 0, done.stdout + done.stderr
    assert (job.outputs["outcome"], job.outputs["would"]) == ("allow", "allow")


@pytest.mark.parametrize("branch", HOSTILE_BRANCHES.values(), ids=HOSTILE_BRANCHES)
def test_a_hostile_branch_name_is_only_shown(tmp_path: Path, branch: str) -> None:
    job = make_job(tmp_path, files={"secrets/key": "s"}, branch=branch)

    done = job.evaluate()

    assert done.returncode == 3, done.stdout + done.stderr
    assert len(obeyed_commands(done.stdout)) == 1
    assert {"exit-code", "outcome", "would", "sarif", "junit"} == job.outputs.keys()
    assert not job.canary.exists()


@pytest.mark.parametrize("name", HOSTILE_FILES.values(), ids=HOSTILE_FILES)
def test_a_hostile_file_name_is_only_shown(tmp_path: Path, name: str) -> None:
    job = make_job(tmp_path, files={name: "s"})

    done = job.evaluate()

    assert done.returncode == 3, done.stdout + done.stderr
    (command,) = obeyed_commands(done.stdout)
    assert command.startswith("::error file=secrets/")
    assert "<img" not in re.sub(r"`[^`]*`", "", job.summary)
    assert not job.canary.exists()


def test_a_change_cannot_edit_the_packs_that_judge_it(tmp_path: Path) -> None:
    job = make_job(
        tmp_path,
        files={"secrets/key": "s", "packs/acme.yaml": PACK.split("rules:", maxsplit=1)[0].replace("MODE", "warn")},
    )

    done = job.evaluate()

    assert done.returncode == 3, done.stdout + done.stderr
    assert job.outputs["outcome"] == "deny"


def test_a_change_cannot_take_its_repositorys_packs_away(tmp_path: Path) -> None:
    job = make_job(
        tmp_path,
        files={"src/a.py": "a\n", "orch.yaml": "packs: elsewhere\n"},
        base={".orch/packs/web.yaml": REPOSITORY_PACK},
    )

    done = job.evaluate()

    assert done.returncode == 3, done.stdout + done.stderr
    assert "repo:web/no-python" in job.summary


def test_a_change_cannot_choose_an_older_judge(tmp_path: Path) -> None:
    lax = {"packs/acme.yaml": PACK.replace("MODE", "warn")}
    job = make_job(tmp_path, files={"secrets/key": "s"}, before=lax)

    done = job.evaluate()

    assert done.returncode == 3, done.stdout + done.stderr


def test_a_change_cannot_go_back_before_there_were_packs(tmp_path: Path) -> None:
    job = make_job(tmp_path, files={"secrets/key": "s"}, before={"README.md": "web\n"})

    done = job.evaluate()

    assert done.returncode == 3, done.stdout + done.stderr


def test_without_history_the_job_says_how_to_get_it(tmp_path: Path) -> None:
    job = make_job(tmp_path, files={"a": "b"})
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", job.workspace.as_uri(), str(shallow))
    job.environ["GITHUB_WORKSPACE"] = str(shallow)

    done = job.evaluate(mode="warn-only")

    assert done.returncode not in {0, 3}
    assert "fetch-depth: 0" in done.stdout
    assert job.outputs["outcome"] == ""


def test_the_key_follows_what_the_wheel_is_made_of(tmp_path: Path) -> None:
    job = make_job(tmp_path, files={"a": "b"})
    del job.environ["ORCH_COMMAND"]
    sources = tmp_path / "action"
    (sources / "opa" / "bin").mkdir(parents=True)
    (sources / "opa" / "go.sum").write_text("one")
    job.environ["GITHUB_ACTION_PATH"] = str(sources)
    keys = []

    for name, text in (("README.md", "x"), ("opa/bin/opa", "x"), ("docs.md", "x"), ("opa/go.sum", "two")):
        (sources / name).write_text(text)
        keys.append(job.run(sys.executable, "-I", ROOT / "ci" / "key.py").stdout)

    assert keys[0] == keys[1] == keys[2]
    assert keys[2] != keys[3]
    assert re.fullmatch(rf"key=orch-[0-9a-f]{{64}}\nwheels={re.escape(str(job.temp))}/orch/wheels\n", keys[0])


def test_an_installed_orch_needs_no_wheel(tmp_path: Path) -> None:
    job = make_job(tmp_path, files={"a": "b"})

    done = job.run(sys.executable, "-I", ROOT / "ci" / "key.py")

    assert (done.returncode, done.stdout) == (0, "")


def _steps() -> list[tuple[str, dict[str, Any]]]:
    found = [("action.yml", step) for step in yaml.safe_load(ACTION.read_text())["runs"]["steps"]]
    for workflow in WORKFLOWS:
        for job in yaml.safe_load(workflow.read_text())["jobs"].values():
            found += [(workflow.name, step) for step in job.get("steps", [])]
    return found


def test_no_value_enters_a_script_as_text() -> None:
    scripts = [step["run"] for _, step in _steps() if "run" in step]

    assert scripts
    assert not [script for script in scripts if "${{" in script]


def test_foreign_actions_are_pinned_by_commit() -> None:
    uses = [step["uses"] for _, step in _steps() if "uses" in step]

    foreign = [name for name in uses if not name.startswith("./")]

    assert foreign
    assert not [name for name in foreign if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name)]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_only_read(workflow: Path) -> None:
    text = workflow.read_text(encoding="utf-8")

    document = yaml.safe_load(text)

    assert document["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in text
    checkouts = [step for name, step in _steps() if name == workflow.name and "checkout@" in step.get("uses", "")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_the_hooks_call_commands_that_exist(tmp_path: Path) -> None:
    job = make_job(tmp_path, files={"a": "b"})
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())

    calls = [job.run(job.environ["ORCH_COMMAND"], *hook["entry"].split()[1:], "--help") for hook in hooks]

    assert [hook["id"] for hook in hooks] == ["orch-policy-validate", "orch-policy-test"]
    assert [call.returncode for call in calls] == [0, 0], [call.stderr for call in calls]


@pytest.fixture(scope="module")
def runner_temp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a job's temporary folder after the action's first steps; made before a test hides the user's Go cache."""
    folder = tmp_path_factory.mktemp("runner")
    shutil.copytree(
        ROOT, folder / "action", ignore=shutil.ignore_patterns(".*", "__pycache__", "bench", "bin", "tests")
    )
    environ = os.environ | {
        "GITHUB_ACTION_PATH": str(folder / "action"),
        "RUNNER_TEMP": str(folder),
        "INPUT_PYTHON": sys.executable,
    }
    for name in ("build.sh", "install.sh"):
        subprocess.run([folder / "action" / "ci" / name], cwd=folder, env=environ, check=True)
    return folder


@pytest.mark.wheel
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("wheel")
def test_the_action_builds_installs_and_asks(runner_temp: Path, tmp_path: Path) -> None:
    job = make_job(tmp_path, files={"secrets/key": "s", "click.py": "open('canary', 'w')\n"})
    del job.environ["ORCH_COMMAND"]
    job.environ["RUNNER_TEMP"] = str(runner_temp)

    done = job.evaluate()

    assert done.returncode == 3, done.stdout + done.stderr
    assert job.outputs["outcome"] == "deny"
    assert not job.canary.exists()
