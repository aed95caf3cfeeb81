"""What git says of a change, on real repositories."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import request
from orchestrator.change import Change, read_change, read_file_at, read_packs_at
from orchestrator.errors import PackError, UsageError

Git = Callable[..., str]

IDENTITY = {
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "Ann@Acme.com",
    "GIT_COMMITTER_NAME": "Bot",
    "GIT_COMMITTER_EMAIL": "bot@acme.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A checkout with one commit on `main`."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    run(folder, "init", "-q", "-b", "main")
    write(folder, "a.txt", "1\n")
    write(folder, "b.txt", "1\n")
    commit(folder, "first")
    return folder


def run(folder: Path, *arguments: str, given: bytes | None = None, environ: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=os.environ | IDENTITY | (environ or {}),
        input=given,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def commit(folder: Path, message: str, **environ: str) -> str:
    run(folder, "add", "-A")
    run(folder, "commit", "-q", "--allow-empty", "-m", message, environ=environ)
    return run(folder, "rev-parse", "HEAD")


def listing(change: Change) -> dict[str, tuple[str, str]]:
    return {file["path"]: (file["status"], file["mode"]) for file in change.files}


def test_every_kind_of_file_is_told_with_status_and_mode(repository: Path) -> None:
    run(repository, "switch", "-q", "-c", "agent/fix")
    run(repository, "mv", "b.txt", "moved.txt")
    write(repository, "a.txt", "2\n")
    write(repository, "dir/with space\nand line", "x")
    (repository / "link").symlink_to("/etc/passwd")
    write(repository, "run.sh", "#!/bin/sh\n")
    (repository / "run.sh").chmod(0o755)
    commit(repository, "second")
    run(repository, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub")
    run(repository, "commit", "-q", "-m", "third")

    change = read_change("main..HEAD", repository)

    assert listing(change) == {
        "a.txt": ("M", "100644"),
        "b.txt": ("D", "000000"),
        "dir/with space\nand line": ("A", "100644"),
        "link": ("A", "120000"),
        "moved.txt": ("A", "100644"),
        "run.sh": ("A", "100755"),
        "sub": ("A", "160000"),
    }
    assert {file["path"]: file["blob"] for file in change.files}["a.txt"] == run(repository, "rev-parse", "HEAD:a.txt")
    assert (change.base_branch, change.head_branch) == ("main", "agent/fix")
    assert change.tree == run(repository, "rev-parse", "HEAD^{tree}")
    assert change.contributors == ("ann@acme.com", "bot@acme.com")


def test_a_change_makes_a_valid_request(repository: Path) -> None:
    run(repository, "switch", "-q", "-c", "agent/fix")
    run(repository, "mv", "b.txt", "moved.txt")
    commit(repository, "second")
    change = read_change("main..HEAD", repository)

    asked = request.build(
        request.Flags(
            "open_pr", "agent:fixer", "acme/web", branch="main", head_branch=change.head_branch, files=change.files
        )
    )

    assert request.problems(asked) == []


def test_the_bases_own_progress_is_not_part_of_the_change(repository: Path) -> None:
    run(repository, "switch", "-q", "-c", "topic")
    write(repository, "topic.txt", "x")
    commit(repository, "topic")
    run(repository, "switch", "-q", "main")
    write(repository, "main.txt", "x")
    commit(repository, "main", GIT_AUTHOR_EMAIL="other@acme.com")

    two, three = read_change("main..topic", repository), read_change("main...topic", repository)

    assert listing(two) == {"topic.txt": ("A", "100644")}
    assert two == three
    assert "other@acme.com" not in two.contributors


def test_a_criss_cross_merge_hides_no_file(repository: Path) -> None:
    """With two merge bases a file counts if it differs from either; one alone would hide a revert."""
    run(repository, "switch", "-q", "-c", "one")
    write(repository, "one.txt", "x")
    first = commit(repository, "one")
    run(repository, "switch", "-q", "-c", "two", "main")
    write(repository, "two.txt", "x")
    second = commit(repository, "two")
    run(repository, "merge", "-q", "--no-edit", "-s", "ours", first)
    run(repository, "switch", "-q", "one")
    run(repository, "merge", "-q", "--no-edit", "-s", "ours", second)

    change = read_change("two..one", repository)

    assert listing(change) == {"one.txt": ("A", "100644"), "two.txt": ("D", "000000")}


def test_everyone_behind_a_commit_is_a_contributor(repository: Path) -> None:
    run(repository, "switch", "-q", "-c", "topic")
    write(repository, ".mailmap", "Nobody <nobody@acme.com> <ann@acme.com>\n")
    text = "fix\n\nCo-Authored-By: Cleo <Cleo@acme.com>\n\nco-authored-by: Dan <dan@acme.com>\nmore text\n"
    commit(repository, text, GIT_COMMITTER_EMAIL="web@acme.com")

    assert read_change("main..HEAD", repository).contributors == (
        "ann@acme.com",
        "cleo@acme.com",
        "dan@acme.com",
        "web@acme.com",
    )


def test_a_changed_gitmodules_hides_no_submodule(repository: Path) -> None:
    run(repository, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub")
    run(repository, "commit", "-q", "-m", "sub")
    run(repository, "switch", "-q", "-c", "topic")
    write(repository, ".gitmodules", '[submodule "sub"]\n\tpath = sub\n\turl = ./x\n\tignore = all\n')
    run(repository, "update-index", "--cacheinfo", f"160000,{'2' * 40},sub")
    run(repository, "add", ".gitmodules")
    run(repository, "commit", "-q", "-m", "hide")

    assert listing(read_change("main..HEAD", repository))["sub"] == ("M", "160000")


def test_nothing_that_a_hostile_checkout_configures_is_run(repository: Path, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    program = tmp_path / "evil.sh"
    program.write_text(f"#!/bin/sh\ntouch {trace}\n")
    program.chmod(0o755)
    run(repository, "switch", "-q", "-c", "topic")
    write(repository, ".gitattributes", "*.txt diff=evil filter=evil\n")
    write(repository, "a.txt", "2\n")
    commit(repository, "x")
    for name in (
        "core.fsmonitor",
        "diff.external",
        "diff.evil.textconv",
        "diff.evil.command",
        "core.pager",
        "core.sshCommand",
    ):
        run(repository, "config", name, str(program))
    for name in ("diff.relative", "diff.noprefix", "log.showSignature"):
        run(repository, "config", name, "true")
    run(repository, "config", "diff.renames", "copies")

    change = read_change("main..HEAD", repository)

    assert set(listing(change)) == {".gitattributes", "a.txt"}
    assert not trace.exists()


def test_replaced_objects_are_not_believed(repository: Path) -> None:
    innocent = run(repository, "rev-parse", "HEAD")
    run(repository, "switch", "-q", "-c", "topic")
    write(repository, "evil.txt", "x")
    evil = commit(repository, "x")
    run(repository, "replace", evil, innocent)

    assert listing(read_change(f"main..{evil}", repository)) == {"evil.txt": ("A", "100644")}


def test_a_root_commit_is_judged_against_nothing(repository: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_change("HEAD~1..HEAD", repository)
    assert "empty..HEAD" in caught.value.advice

    change = read_change("empty..HEAD", repository)

    assert listing(change) == {"a.txt": ("A", "100644"), "b.txt": ("A", "100644")}
    assert change.base == ""
    assert change.contributors == ("ann@acme.com", "bot@acme.com")


def test_repositories_with_sha256_work(tmp_path: Path) -> None:
    run(tmp_path, "init", "-q", "-b", "main", "--object-format=sha256")
    write(tmp_path, "a.txt", "1\n")
    commit(tmp_path, "first")

    (file,) = (file for file in read_change("empty..HEAD", tmp_path).files if file["path"] == "a.txt")

    assert len(file["blob"]) == 64


def test_a_path_that_is_not_utf8_is_named_not_dropped(repository: Path) -> None:
    run(repository, "switch", "-q", "-c", "topic")
    Path(os.fsdecode(bytes(repository) + b"/caf\xe9.txt")).write_text("x")
    commit(repository, "x")

    with pytest.raises(UsageError, match=r"'caf\\xe9.txt'"):
        read_change("main..HEAD", repository)


@pytest.mark.parametrize(
    ("range_text", "said"),
    [
        ("main", "expected BASE..HEAD"),
        ("..HEAD", "expected BASE..HEAD"),
        ("", "expected BASE..HEAD"),
        ("main....HEAD", "expected BASE..HEAD"),
        ("main..HEAD..x", "expected BASE..HEAD"),
        ("nowhere..HEAD", "no commit 'nowhere'"),
        ("main..nowhere", "no commit 'nowhere'"),
        ("--output=/tmp/x..HEAD", "no name of a commit"),
        ("main..--help", "no name of a commit"),
        ("main\0x..HEAD", "no name of a commit"),
        ("main^{tree}..HEAD", "no commit"),
        ("$(touch x)..HEAD", "no commit"),
    ],
)
def test_a_wrong_range_is_a_clear_usage_error(repository: Path, range_text: str, said: str) -> None:
    with pytest.raises(UsageError, match=r"(?s).*") as caught:
        read_change(range_text, repository)

    assert said in str(caught.value)


def test_a_tag_that_is_called_like_a_branch_is_refused(repository: Path) -> None:
    """Git would silently take the tag."""
    run(repository, "tag", "main")

    with pytest.raises(UsageError, match="a tag and a branch"):
        read_change("main..HEAD", repository)

    assert read_change("refs/heads/main..HEAD", repository).files == ()


def test_an_empty_head_means_head(repository: Path) -> None:
    assert read_change("main..", repository).head == run(repository, "rev-parse", "HEAD")


def test_outside_a_checkout_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not in a git checkout"):
        read_change("main..HEAD", tmp_path)


def test_without_git_it_says_so(repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UsageError, match="git is not installed"):
        read_change("main..HEAD", repository)


def test_unrelated_histories_have_no_merge_base(repository: Path) -> None:
    run(repository, "switch", "-q", "--orphan", "other")
    commit(repository, "other")

    with pytest.raises(UsageError, match="no commit in common"):
        read_change("main..other", repository)


def shallow_clone(repository: Path, tmp_path: Path, depth: int) -> Path:
    clone = tmp_path / "clone"
    run(tmp_path, "clone", "-q", "--no-single-branch", f"--depth={depth}", f"file://{repository}", str(clone))
    return clone


def test_a_shallow_clone_without_the_merge_base_says_how_to_deepen(repository: Path, tmp_path: Path) -> None:
    run(repository, "switch", "-q", "-c", "topic")
    for number in range(3):
        commit(repository, f"t{number}")
    run(repository, "switch", "-q", "main")
    commit(repository, "m")
    clone = shallow_clone(repository, tmp_path, 1)

    for range_text in ("origin/main..origin/topic", "origin/main~1..origin/topic"):
        with pytest.raises(UsageError) as caught:
            read_change(range_text, clone)
        assert "fetch-depth: 0" in caught.value.advice


def test_a_shallow_clone_with_enough_history_works(repository: Path, tmp_path: Path) -> None:
    run(repository, "switch", "-q", "-c", "topic")
    write(repository, "t.txt", "x")
    commit(repository, "t")
    clone = shallow_clone(repository, tmp_path, 2)

    change = read_change("origin/main..origin/topic", clone)

    assert listing(change) == {"t.txt": ("A", "100644")}
    assert (change.base_branch, change.head_branch) == ("main", "topic")


def test_packs_are_read_at_a_commit_not_from_the_working_tree(repository: Path) -> None:
    write(repository, ".orch/packs/b.yaml", "b: 1\n")
    write(repository, ".orch/packs/a.yml", "a: 1\n")
    write(repository, ".orch/packs/.hidden.yaml", "x")
    write(repository, ".orch/packs/readme.md", "x")
    write(repository, ".orch/packs/below/c.yaml", "x")
    first = commit(repository, "packs")
    write(repository, ".orch/packs/b.yaml", "changed\n")

    assert read_packs_at(first, ".orch/packs", repository / ".orch") == [("a.yml", b"a: 1\n"), ("b.yaml", b"b: 1\n")]
    assert read_packs_at(first, "nowhere", repository) == []
    assert read_packs_at(first, "a.txt", repository) == []
    assert read_file_at(first, "a.txt", repository) == b"1\n"
    assert read_file_at(first, ".orch/packs/b.yaml", repository) == b"b: 1\n"
    assert read_file_at(first, "nowhere/x", repository) is None


@pytest.mark.parametrize("link", [".orch/packs/link.yaml", ".orch/more"], ids=["a pack", "the folder"])
def test_a_symlink_at_the_base_takes_no_pack_away_quietly(repository: Path, link: str) -> None:
    write(repository, ".orch/packs/b.yaml", "b: 1\n")
    (repository / link).symlink_to("packs")
    first = commit(repository, "packs")

    with pytest.raises(PackError, match="a symlink"):
        read_packs_at(first, ".orch/more" if link.endswith("more") else ".orch/packs", repository)


def test_a_hundred_thousand_files_take_seconds(repository: Path) -> None:
    blob = run(repository, "rev-parse", "HEAD:a.txt")
    index = "".join(f"100644 {blob}\td{number % 100}/f{number}.txt\n" for number in range(100_000))
    run(repository, "switch", "-q", "-c", "topic")
    run(repository, "update-index", "--index-info", given=index.encode())
    run(repository, "commit", "-q", "-m", "many")
    started = time.monotonic()

    change = read_change("main..HEAD", repository)

    assert len(change.files) == 100_000
    assert time.monotonic() - started < 10
