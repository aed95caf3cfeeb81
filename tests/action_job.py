"""A GitHub job in a temporary folder: a pull request checked out, the environment that GitHub sets, stand-ins for `orch`."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACK = """\
apiVersion: orch/v1
kind: PolicyPack
metadata: {name: acme, version: 1.0.0}
default: allow
enforcement: {ci: MODE}
rules:
  - {id: no-secrets, effect: deny, actions: open_pr, file_globs: "secrets/**", message: "secrets stay out of {branch}", fix: "git rm {paths}"}
"""


@dataclass(frozen=True)
class Job:
    """A job's folders, as a runner lays them out, with a pull request checked out."""

    workspace: Path
    temp: Path
    canary: Path
    environ: dict[str, str]

    def run(self, *command: str | Path, **inputs: str) -> subprocess.CompletedProcess[str]:
        """Run one script of the action with these inputs."""
        environ = self.environ | {f"INPUT_{name.upper()}": value for name, value in inputs.items()}
        return subprocess.run(
            command, cwd=self.workspace, env=environ, capture_output=True, text=True, check=False, timeout=280
        )

    def evaluate(self, **inputs: str) -> subprocess.CompletedProcess[str]:
        """Run the action's last step."""
        given = {"packs": "packs", "python": sys.executable, "mode": "as-packs-say", "point": "ci"} | inputs
        return self.run(ROOT / "ci" / "evaluate.sh", **given)

    @property
    def outputs(self) -> dict[str, str]:
        """What the step handed on."""
        lines = Path(self.environ["GITHUB_OUTPUT"]).read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines)

    @property
    def summary(self) -> str:
        """The job summary."""
        return Path(self.environ["GITHUB_STEP_SUMMARY"]).read_text(encoding="utf-8")


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@acme.test", "-c", "commit.gpgsign=false")
    done = subprocess.run(("git", *who, *arguments), cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _commit(folder: Path, files: dict[str, str], message: str) -> str:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD")


def _script(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def make_job(
    tmp_path: Path,
    *,
    files: dict[str, str],
    branch: str = "fix",
    mode: str = "enforce",
    base: dict[str, str] | None = None,
    before: dict[str, str] | None = None,
) -> Job:
    """Lay out a job for the pull request `branch` onto main: the merge commit is checked out, as actions/checkout does.

    The change starts from main as it is, or, where `before` says what main once was, from there.
    """
    workspace, temp = tmp_path / "work", tmp_path / "temp"
    workspace.mkdir()
    temp.mkdir()
    git(workspace, "init", "--quiet", "--initial-branch=main")
    start = _commit(workspace, before, "before") if before else ""
    tip = _commit(workspace, {"packs/acme.yaml": PACK.replace("MODE", mode)} | (base or {}), "base")
    git(workspace, "checkout", "--quiet", "-b", "change", start or tip)
    head = _commit(workspace, files, "change")
    git(workspace, "checkout", "--quiet", "--detach", tip)
    git(workspace, "merge", "--quiet", "--no-ff", "--no-edit", head)
    environ = _environ(tmp_path, _event(base=tip, head=head, branch=branch), branch)
    environ["GITHUB_SHA"] = git(workspace, "rev-parse", "HEAD")
    return Job(workspace, temp, workspace / "canary", environ)


def _event(*, base: str, head: str, branch: str) -> dict[str, Any]:
    """Return what GitHub writes for a pull request, as far as anybody reads it."""
    repository = {
        "full_name": "acme/web",
        "name": "web",
        "owner": {"login": "acme"},
        "default_branch": "main",
        "fork": False,
    }
    ada = {"login": "ada", "type": "User", "id": 1}
    return {
        "action": "synchronize",
        "number": 7,
        "pull_request": {
            "number": 7,
            "title": "Fix $(touch canary) ::error::x",
            "body": None,
            "draft": False,
            "user": ada,
            "base": {"ref": "main", "sha": base, "repo": repository},
            "head": {"ref": branch, "sha": head, "repo": repository},
        },
        "repository": repository,
        "sender": ada,
    }


def _environ(tmp_path: Path, event: dict[str, Any], branch: str) -> dict[str, str]:
    (tmp_path / "event.json").write_text(json.dumps(event), encoding="utf-8")
    for name in ("output", "summary"):
        (tmp_path / name).touch()
    orch = (
        f"#!{sys.executable}\nimport sys\nsys.path[:0] = [{str(ROOT)!r}]\nfrom orchestrator.cli import main\nmain()\n"
    )
    return dict(os.environ) | {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_ACTOR": "ada",
        "GITHUB_TRIGGERING_ACTOR": "ada",
        "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_BASE_REF": "main",
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
        "GITHUB_HEAD_REF": branch,
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_REF": "refs/pull/7/merge",
        "GITHUB_REPOSITORY": "acme/web",
        "GITHUB_REPOSITORY_OWNER": "acme",
        "GITHUB_RUN_ID": "1",
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GITHUB_WORKSPACE": str(tmp_path / "work"),
        "RUNNER_TEMP": str(tmp_path / "temp"),
        "ORCH_COMMAND": str(_script(tmp_path / "orch", orch)),
    }


def record_calls(job: Job, *, answer: object = None, stderr: str = "", status: int = 0) -> Path:
    """Put a program in orch's place that notes how it was called; return where it notes it."""
    calls = job.temp / "calls"
    stand_in = f"""#!{sys.executable}
import json, os, sys
with open({str(calls)!r}, "w") as calls:
    json.dump({{"argv": sys.argv[1:], "environ": dict(os.environ), "cwd": os.getcwd()}}, calls)
for argument in sys.argv:
    if argument.startswith("--output=json="):
        with open(argument.removeprefix("--output=json="), "w") as answer:
            json.dump({answer!r}, answer)
sys.stderr.write({stderr!r})
sys.exit({status})
"""
    _script(Path(job.environ["ORCH_COMMAND"]), stand_in)
    return calls


def obeyed_commands(stdout: str) -> list[str]:
    """Return the workflow commands a runner would obey, with those switched off in between left out."""
    obeyed, pause = [], ""
    for line in re.split(r"\r\n|\r|\n", stdout):
        text = line.strip()
        if pause:
            pause = "" if text == f"::{pause}::" else pause
        elif text.startswith("::stop-commands::"):
            pause = text.removeprefix("::stop-commands::")
        elif text.startswith("::") or re.search(r"##\[", text):
            obeyed.append(text)
    return obeyed
