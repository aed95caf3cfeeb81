"""The git adapter in a checkout: branches, tags and documents."""

import subprocess
from pathlib import Path

import pytest
from git_world import AUTHOR, KEY, OTHER, action_of, checkout_of, done, place, prepared, remote_in, save, sh

from orchestrator.adapter import Delivery, Effect, ErrorClass
from orchestrator.errors import AdapterError, UsageError
from orchestrator_adapters.git import Git


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return remote_in(tmp_path)


@pytest.fixture
def root(tmp_path: Path, remote: Path) -> Path:
    return checkout_of(remote, tmp_path / "checkout")


# Branches and tags


def test_a_branch_is_created_at_the_commit_that_was_decided(root: Path) -> None:
    first, where = sh(root, "rev-parse", "HEAD"), place(root)
    found = prepared(where, "create_branch", branch="agent/x")
    save(root, "later.txt", "later")

    receipt = Git().perform(action_of(where, "create_branch", found), KEY)

    assert (receipt.delivery, sh(root, "rev-parse", "agent/x")) == (Delivery.DELIVERED, first)
    assert found.properties == {"commit": first}
    assert found.effect is Effect.WRITE


def test_a_branch_that_is_there_as_another_commit_is_left_alone(root: Path) -> None:
    first, where = sh(root, "rev-parse", "HEAD"), place(root)
    sh(root, "branch", "agent/x")
    save(root, "later.txt", "later")

    receipt = Git().perform(action_of(where, "create_branch", prepared(where, "create_branch", branch="agent/x")), KEY)

    assert (receipt.delivery, sh(root, "rev-parse", "agent/x")) == (Delivery.PERMANENT, first)


def test_reconcile_tells_a_branch_that_is_there_from_one_that_is_not(root: Path) -> None:
    where = place(root)
    asked = action_of(where, "create_branch", prepared(where, "create_branch", branch="agent/x"))

    before = Git().reconcile(asked, KEY)
    Git().perform(asked, KEY)
    after = Git().reconcile(asked, KEY)

    assert before is not None
    assert after is not None
    assert (before.delivery, after.delivery) == (Delivery.RETRYABLE, Delivery.DELIVERED)


def test_a_branch_is_deleted_only_where_it_was_decided_to_be(root: Path) -> None:
    where = place(root)
    sh(root, "branch", "old")
    found = prepared(where, "delete_branch", branch="old")
    sh(root, "branch", "-f", "old", save(root, "later.txt", "later"))

    receipt = Git().perform(action_of(where, "delete_branch", found), KEY)

    assert receipt.delivery is Delivery.PERMANENT
    done(where, "delete_branch", branch="old")
    assert sh(root, "branch", "--list", "old") == ""


def test_after_a_deletion_reconcile_finds_nothing_and_that_is_delivered(root: Path) -> None:
    where = place(root)
    found = prepared(where, "delete_branch", branch="gone")

    receipt = Git().reconcile(action_of(where, "delete_branch", found), KEY)

    assert receipt is not None
    assert receipt.delivery is Delivery.DELIVERED


def test_the_branch_that_is_checked_out_is_not_deleted(root: Path) -> None:
    where = place(root)

    receipt = Git().perform(action_of(where, "delete_branch", prepared(where, "delete_branch", branch="main")), KEY)

    assert receipt.delivery is Delivery.PERMANENT
    assert "checked out" in receipt.detail


def test_a_tag_with_a_message_is_found_again_by_its_key(root: Path) -> None:
    where = place(root)
    asked = action_of(where, "create_tag", prepared(where, "create_tag", tag="v1.0.0", message="The first"))

    Git().perform(asked, KEY)

    ours, theirs = Git().reconcile(asked, KEY), Git().reconcile(asked, OTHER)
    assert ours is not None
    assert theirs is not None
    assert (ours.delivery, theirs.delivery) == (Delivery.DELIVERED, Delivery.RETRYABLE)
    assert AUTHOR in sh(root, "cat-file", "-p", "v1.0.0")


def test_a_name_that_is_no_branch_is_refused(root: Path) -> None:
    with pytest.raises(UsageError, match="expected a branch's name"):
        prepared(place(root), "create_branch", branch="--upload-pack=x")


@pytest.mark.parametrize(
    ("tag", "said"),
    [("-x", "expected a tag's name as git"), ("refs/tags/x", "without `refs/tags/`"), ("HEAD", "a tag's name, which")],
)
def test_a_name_that_is_no_tag_is_told_as_a_tags(root: Path, tag: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        prepared(place(root), "create_tag", tag=tag)


def test_a_commit_before_the_first_is_told_without_flags_of_other_commands(root: Path) -> None:
    with pytest.raises(UsageError, match="no commit 'HEAD~99'") as caught:
        prepared(place(root), "create_branch", branch="x", commit="HEAD~99")

    assert caught.value.advice == "the history does not go back that far; `git log` shows how far it goes"


def test_an_unknown_parameter_is_refused_with_the_nearest_one(root: Path) -> None:
    with pytest.raises(UsageError, match=r"did you mean `?branch"):
        prepared(place(root), "create_branch", brunch="x")


# Documents


def test_a_document_is_committed_onto_a_branch_that_is_not_checked_out(root: Path) -> None:
    where = place(root)
    sh(root, "branch", "docs")
    (root / "README.md").write_text("staged\n")
    sh(root, "add", "README.md")
    before = sh(root, "status", "--porcelain")

    outputs = done(where, "write_document", branch="docs", path="docs/a/state.md", content="# State\n", message="Say")

    assert sh(root, "show", "docs:docs/a/state.md") == "# State"
    assert sh(root, "show", "docs:README.md") == "hello"
    assert (
        sh(root, "log", "-1", "--format=%an <%ae>|%s|%(trailers:key=Orch-Key,valueonly)", "docs")
        == f"{AUTHOR}|Say|{KEY}"
    )
    assert (outputs["commit"], sh(root, "status", "--porcelain")) == (sh(root, "rev-parse", "docs"), before)


def test_the_decision_is_about_the_content(root: Path) -> None:
    sh(root, "branch", "docs")

    found = prepared(place(root), "write_document", branch="docs", path="README.md", content="new\n")

    blob = subprocess.run(["git", "hash-object", "--stdin"], input=b"new\n", cwd=root, capture_output=True, check=True)
    expected = {"path": "README.md", "status": "M", "mode": "100644", "blob": blob.stdout.decode().strip()}
    assert found.resource["properties"] == {"branch": "docs", "files": [expected]}


def test_a_file_of_the_working_tree_is_committed_without_what_else_is_staged(root: Path) -> None:
    where = place(root)
    (root / "report.md").write_text("report\n")
    (root / "mine.md").write_text("not yet\n")
    (root / "README.md").write_text("staged\n")
    sh(root, "add", "mine.md", "README.md")

    done(where, "write_document", source=["report.md"], message="Report")

    assert sh(root, "show", "--name-only", "--format=", "HEAD") == "report.md"
    assert sh(root, "status", "--porcelain").splitlines() == ["M  README.md", "A  mine.md"]


def test_what_the_user_staged_of_the_same_file_stays_staged(root: Path) -> None:
    where = place(root)
    (root / "README.md").write_text("staged\n")
    sh(root, "add", "README.md")
    (root / "README.md").write_text("in the working tree\n")

    done(where, "write_document", source="README.md")

    assert sh(root, "show", ":README.md") == "staged"
    assert sh(root, "show", "HEAD:README.md") == "in the working tree"


def test_a_file_that_changes_after_the_decision_is_not_committed(root: Path) -> None:
    where, before = place(root), sh(root, "rev-parse", "HEAD")
    (root / "report.md").write_text("decided\n")
    found = prepared(where, "write_document", source="report.md")
    (root / "report.md").write_text("other\n")

    receipt = Git().perform(action_of(where, "write_document", found), KEY)

    assert (receipt.delivery, sh(root, "rev-parse", "HEAD")) == (Delivery.PERMANENT, before)


def test_a_symlink_is_not_committed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    (root / "link").symlink_to(tmp_path / "secret")

    with pytest.raises(UsageError, match="cannot be read"):
        prepared(place(root), "write_document", source="link")


@pytest.mark.parametrize("path", ["../out.md", "/etc/x", ".git/config", "a/.GIT/hooks/x", "a//b"])
def test_a_document_stays_in_the_repository(root: Path, path: str) -> None:
    sh(root, "branch", "docs")

    with pytest.raises(UsageError, match="expected a"):
        prepared(place(root), "write_document", branch="docs", path=path, content="x")


def test_a_branch_that_moved_before_the_commit_is_tried_again_and_keeps_what_it_got(root: Path) -> None:
    where = place(root)
    sh(root, "branch", "docs")
    found = prepared(where, "write_document", branch="docs", path="a.md", content="a\n")
    moved = save(root, "later.txt", "later")
    sh(root, "branch", "-f", "docs", moved)

    receipt = Git().perform(action_of(where, "write_document", found), KEY)

    assert (receipt.delivery, sh(root, "rev-parse", "docs")) == (Delivery.RETRYABLE, moved)


def test_a_commit_whose_record_was_lost_is_found_by_its_key_and_not_made_twice(root: Path) -> None:
    where = place(root)
    sh(root, "branch", "docs")
    asked = action_of(
        where, "write_document", prepared(where, "write_document", branch="docs", path="a.md", content="a\n")
    )
    Git().perform(asked, KEY)
    again = action_of(
        where, "write_document", prepared(where, "write_document", branch="docs", path="a.md", content="a\n")
    )

    found, other = Git().reconcile(again, KEY), Git().reconcile(again, OTHER)
    second = Git().perform(asked._replace(attempt=2), KEY)

    assert found is not None
    assert other is not None
    assert (found.delivery, other.delivery) == (Delivery.DELIVERED, Delivery.RETRYABLE)
    assert second.reference == found.reference == sh(root, "rev-parse", "docs")
    assert sh(root, "rev-list", "--count", "docs") == "2"


def test_contents_for_the_branch_that_is_checked_out_are_refused(root: Path) -> None:
    with pytest.raises(UsageError, match="is checked out"):
        prepared(place(root), "write_document", branch="main", path="a.md", content="a")


def test_a_message_cannot_pretend_to_be_another_action(root: Path) -> None:
    sh(root, "branch", "docs")

    with pytest.raises(UsageError, match="Orch-Key"):
        prepared(place(root), "write_document", branch="docs", path="a", content="a", message=f"x\n\norch-key: {OTHER}")


def test_without_an_author_nothing_is_committed(root: Path) -> None:
    where = place(root)._replace(settings={})
    sh(root, "branch", "docs")
    sh(root, "config", "user.name", "Evil")
    sh(root, "config", "user.email", "evil@example.com")

    with pytest.raises(AdapterError, match="the author of commits") as caught:
        prepared(where, "write_document", branch="docs", path="a", content="a")

    assert caught.value.error_class == ErrorClass.CONFIGURATION


def test_a_file_is_not_put_below_a_file(root: Path) -> None:
    where = place(root)
    sh(root, "branch", "docs")
    found = prepared(where, "write_document", branch="docs", path="README.md/a", content="a")

    receipt = Git().perform(action_of(where, "write_document", found), KEY)

    assert receipt.delivery is Delivery.PERMANENT
    assert "is a file there" in receipt.detail


def test_a_file_that_goes_through_a_filter_is_left_to_git(root: Path) -> None:
    (root / ".gitattributes").write_text("*.bin filter=lfs\n")
    (root / "a.bin").write_text("big")

    with pytest.raises(UsageError, match="filter 'lfs'"):
        prepared(place(root), "write_document", source="a.bin")


def test_an_unknown_setting_is_told(root: Path) -> None:
    with pytest.raises(AdapterError, match=r"adapters\.git has 'remotes'"):
        prepared(place(root, remotes="origin"), "create_branch", branch="x")
