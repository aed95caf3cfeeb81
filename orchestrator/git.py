"""Git, asked safely: plumbing alone, no hooks, filters, file monitor, pager, network or questions.

At the edge of the flow; reads and never writes. What a hostile checkout contains is data here, never a program.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.names import branch_problem, shown

TIMEOUT_S = 300
"""No question to git may take longer."""

_OPTIONS = (
    "--no-pager",
    "--literal-pathspecs",
    "--no-replace-objects",
    "--no-optional-locks",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "safe.bareRepository=explicit",
    "-c",
    "protocol.allow=never",
)
_SETTINGS = {
    "LC_ALL": "C",
    "LANGUAGE": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
}
_NOT_PASSED_ON = (
    "GIT_EXTERNAL_DIFF",
    "GIT_DIFF_OPTS",
    "GIT_PAGER",
    "GIT_TRACE",
    "GIT_ASKPASS",
    "GIT_SSH",
    "GIT_GRAFT_FILE",
)
_MAX_SAID = 200


class GitError(UsageError):
    """Git refused; `said` holds its words."""

    def __init__(self, message: str, *, advice: str = "", said: str = "") -> None:
        super().__init__(message, advice=advice)
        self.said = said


def git(arguments: Sequence[str], cwd: Path, *, given: bytes = b"") -> bytes:
    """Return what git answers to a command of its plumbing.

    Raises:
        GitError: there is no git, no repository, no trust in it, or git failed; the message says what to do.
    """
    command = ["git", *_OPTIONS, *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}
    try:
        done = subprocess.run(  # noqa: S603  # a list, no shell; values come after --end-of-options
            command, cwd=cwd, env=kept | _SETTINGS, input=given, capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except FileNotFoundError as error:
        if not cwd.is_dir():
            message = f"there is no folder {shown(str(cwd))}"
            raise GitError(message) from error
        message = "git is not installed, or not on PATH"
        raise GitError(message, advice="install git, or describe the change with --file or --files-from") from error
    except (OSError, ValueError) as error:
        message = f"git cannot be started: {error}"
        raise GitError(message) from error
    except subprocess.TimeoutExpired as error:
        message = f"git {arguments[0]} took longer than {TIMEOUT_S} s"
        raise GitError(message) from error
    if done.returncode != 0:
        raise _error(arguments[0], cwd, done.stderr.decode("utf-8", "replace"), done.returncode)
    return done.stdout


def resolve(name: str, cwd: Path, *, otherwise: str = "`git log` shows how far it goes") -> str:
    """Return the commit id that a name (branch, tag, id, `HEAD~2`) stands for.

    `otherwise` advises whoever goes back further than the history does.

    Raises:
        GitError: there is no such commit here.
    """
    if name.startswith("-") or not name or "\0" in name:
        message = f"{shown(name)} is no name of a commit"
        raise GitError(message, advice="name a branch, a tag or a commit id")
    _refuse_ambiguous(name, cwd)
    try:
        answer = git(["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"], cwd)
    except GitError as error:
        if error.advice:
            raise
        message = f"there is no commit {shown(name)} in {shown(str(cwd))}"
        raise GitError(message, advice=_missing_advice(name, cwd, otherwise)) from error
    return answer.decode("ascii").split()[-1]


def _refuse_ambiguous(name: str, cwd: Path) -> None:
    """Refuse a name that is a tag and a branch: git takes the tag, which whoever pushed it chose."""
    if branch_problem(name):
        return
    found = git(["for-each-ref", "--format=%(refname)", f"refs/tags/{name}", f"refs/heads/{name}"], cwd)
    if {b"refs/tags/" + name.encode(), b"refs/heads/" + name.encode()} <= set(found.split(b"\n")):
        message = f"{shown(name)} is a tag and a branch"
        raise GitError(message, advice=f"say refs/heads/{name} or refs/tags/{name}")


def is_shallow(cwd: Path) -> bool:
    """Say whether the clone's history is cut off."""
    return git(["rev-parse", "--is-shallow-repository"], cwd).strip() == b"true"


DEEPEN = "fetch more history: `git fetch --unshallow`, in GitHub Actions `fetch-depth: 0`, in GitLab CI `GIT_DEPTH: 0`"
"""What to do about a shallow clone."""


def _missing_advice(name: str, cwd: Path, otherwise: str) -> str:
    if is_shallow(cwd):
        return f"the clone is shallow; {DEEPEN}"
    if name.startswith(("HEAD~", "HEAD^")):
        return f"the history does not go back that far; {otherwise}"
    return "look with `git log --all`; a branch of the remote is `origin/NAME` and may have to be fetched"


def _error(command: str, cwd: Path, stderr: str, code: int) -> GitError:
    said = stderr.strip()
    place = shown(str(cwd))
    if "dubious ownership" in said:
        message = f"git does not trust the repository at {place}: it belongs to another user"
        advice = f"if you trust it: git config --global --add safe.directory {place}"
        return GitError(message, advice=advice, said=said)
    if "not a git repository" in said or "safe.bareRepository" in said:
        message = f"{place} is not in a git checkout"
        return GitError(message, advice="run the command inside the checkout whose change is meant", said=said)
    if "promisor" in said or "lazy fetching" in said:
        message = "the clone lacks objects that are needed (a partial clone)"
        return GitError(message, advice="clone without --filter; nothing is fetched while deciding", said=said)
    first = said.splitlines()[0] if said else f"it ended with {code}"
    return GitError(f"git {command} failed: {shown(first[:_MAX_SAID])}", said=said)
