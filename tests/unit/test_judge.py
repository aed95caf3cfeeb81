"""Which commit a checkout's packs are read from, and whether they changed."""

import subprocess
from pathlib import Path

import pytest
from command_line import HEAD

from orchestrator.errors import UsageError
from orchestrator.judge import Judge, base_commit, contributors
from orchestrator.record import Run
from orchestrator.settings import Settings


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    folder = tmp_path / "remote"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    return folder


def test_outside_of_a_checkout_there_is_no_base(tmp_path: Path) -> None:
    assert base_commit(tmp_path) is None


def test_before_the_first_commit_the_base_is_empty(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")

    assert base_commit(tmp_path) == ""


def test_without_a_remote_the_base_is_the_head(remote: Path) -> None:
    assert base_commit(remote) == git(remote, "rev-parse", "HEAD")


def test_with_a_remote_no_local_commit_moves_the_base(remote: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(remote), str(clone))
    before = base_commit(clone)

    git(clone, "commit", "-q", "--allow-empty", "-m", "mine")

    assert base_commit(clone) == before == git(remote, "rev-parse", "main")


def test_a_branch_that_is_called_like_the_remotes_is_not_taken_for_it(remote: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(remote), str(clone))
    git(clone, "checkout", "-q", "-b", "origin/main")
    git(clone, "commit", "-q", "--allow-empty", "-m", "mine")

    assert base_commit(clone) == git(remote, "rev-parse", "main")


def test_who_wrote_a_commit_is_known_by_the_roster(remote: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(remote), str(clone))
    git(clone, "commit", "-q", "--allow-empty", "-m", "mine")
    roster = {"user:ada": {"roles": [], "attributes": {"mail": "test@example.com"}}}

    assert contributors(clone, "HEAD", roster) == ["user:ada"]
    assert contributors(clone, "0" * 40, roster) is None


def test_packs_that_change_are_noticed_and_loaded_anew(tmp_path: Path) -> None:
    pack = tmp_path / "packs" / "acme.yaml"
    pack.parent.mkdir()
    pack.write_text(HEAD)
    settings = Settings.load({"packs": (str(pack.parent),)}, cwd=tmp_path, environ={})
    judge = Judge(settings, Run(subject="user:ada"), tmp_path, {})
    before = judge.policy.digest

    pack.write_text(HEAD.replace("deny", "allow"))
    was_current, has_changed, again = judge.is_current(), judge.renew(), judge.renew()

    assert (was_current, has_changed, again) == (False, True, False)
    assert judge.policy.digest != before


def test_packs_that_are_gone_are_an_error_and_never_an_answer(tmp_path: Path) -> None:
    (tmp_path / "acme.yaml").write_text(HEAD)
    settings = Settings.load({"packs": (str(tmp_path / "acme.yaml"),)}, cwd=tmp_path, environ={})
    judge = Judge(settings, Run(subject="user:ada"), tmp_path, {})

    (tmp_path / "acme.yaml").unlink()

    with pytest.raises(UsageError):
        judge.renew()
