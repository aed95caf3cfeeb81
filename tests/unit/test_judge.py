"""Which commit a checkout's packs are read from, and whether they changed."""

import os
import subprocess
import time
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


def test_a_pack_that_is_changed_again_at_once_is_noticed_each_time(tmp_path: Path) -> None:
    pack = tmp_path / "acme.yaml"
    pack.write_text(HEAD)
    settings = Settings.load({"packs": (str(pack),)}, cwd=tmp_path, environ={})
    judge = Judge(settings, Run(subject="user:ada"), tmp_path, {})

    for version in ("1.0.1", "1.0.2", "1.0.3"):  # of one size, within one tick of the system's clock
        pack.write_text(HEAD.replace("1.0.0", version))
        assert judge.renew()


def test_a_pack_is_noticed_that_is_put_back_in_time(tmp_path: Path) -> None:
    pack = tmp_path / "acme.yaml"
    pack.write_text(HEAD)
    settings = Settings.load({"packs": (str(pack),)}, cwd=tmp_path, environ={})
    judge = Judge(settings, Run(subject="user:ada"), tmp_path, {})
    time.sleep(0.15)
    assert judge.is_current()
    before = pack.stat()

    pack.write_text(HEAD.replace("1.0.0", "1.0.1"))
    os.utime(pack, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert not judge.is_current()


def test_a_module_that_a_pack_names_is_noticed(tmp_path: Path) -> None:
    packs = tmp_path / "packs"
    packs.mkdir()
    module = packs / "size.rego"
    (packs / "acme.yaml").write_text(HEAD + "rego: size.rego\n")
    module.write_text("package packs.acme\n")
    settings = Settings.load({"packs": (str(packs),)}, cwd=tmp_path, environ={})
    judge = Judge(settings, Run(subject="user:ada"), tmp_path, {})
    time.sleep(0.15)
    assert judge.is_current()

    module.write_text("package packs.acme # changed\n")

    assert not judge.is_current()


def test_a_commit_that_moves_the_base_is_noticed(remote: Path) -> None:
    own = remote / ".orch" / "packs" / "own.yaml"
    org = remote.parent / "acme.yaml"
    org.write_text(HEAD)
    settings = Settings.load({"packs": (str(org),)}, cwd=remote, environ={})
    judge = Judge(settings, Run(subject="user:ada"), remote, {})
    time.sleep(0.15)
    assert judge.is_current()

    own.parent.mkdir(parents=True)
    own.write_text(HEAD.replace("acme", "own"))
    git(remote, "add", ".")
    git(remote, "commit", "-q", "-m", "packs of its own")
    was_current, has_changed = judge.is_current(), judge.renew()
    git(remote, "pack-refs", "--all")

    assert (was_current, has_changed, judge.is_current()) == (False, True, True)


def test_a_base_that_moves_among_packed_refs_is_noticed(remote: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(remote), str(clone))
    git(clone, "pack-refs", "--all")
    (tmp_path / "acme.yaml").write_text(HEAD)
    settings = Settings.load({"packs": (str(tmp_path / "acme.yaml"),)}, cwd=clone, environ={})
    judge = Judge(settings, Run(subject="user:ada"), clone, {})
    time.sleep(0.15)
    assert judge.is_current()

    (remote / ".orch" / "packs").mkdir(parents=True)
    (remote / ".orch" / "packs" / "own.yaml").write_text(HEAD.replace("acme", "own"))
    git(remote, "add", ".")
    git(remote, "commit", "-q", "-m", "packs of its own")
    git(clone, "fetch", "-q")
    git(clone, "pack-refs", "--all")

    assert not judge.is_current()


def test_in_a_worktree_of_its_own_the_head_is_that_of_the_worktree(remote: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    git(remote, "worktree", "add", "-q", "-b", "side", str(tree))
    (tmp_path / "acme.yaml").write_text(HEAD)
    settings = Settings.load({"packs": (str(tmp_path / "acme.yaml"),)}, cwd=tree, environ={})
    judge = Judge(settings, Run(subject="user:ada"), tree, {})
    (tree / ".orch" / "packs").mkdir(parents=True)
    (tree / ".orch" / "packs" / "own.yaml").write_text(HEAD.replace("acme", "own"))
    assert judge.is_current()

    git(tree, "add", ".")
    git(tree, "commit", "-q", "-m", "packs of its own")

    assert not judge.is_current()
