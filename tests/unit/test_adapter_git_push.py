"""The git adapter and a remote over file://: what is pushed, and what never runs."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from git_server import GitServer
from git_world import KEY, action_of, checkout_of, done, place, prepared, program, remote_in, save, sh

from orchestrator.adapter import Delivery, ErrorClass, Place, failure
from orchestrator.errors import AdapterError
from orchestrator_adapters.git import Git


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return remote_in(tmp_path)


@pytest.fixture
def root(tmp_path: Path, remote: Path) -> Path:
    return checkout_of(remote, tmp_path / "checkout")


def test_the_commit_that_was_decided_is_pushed_though_the_branch_moved(root: Path, remote: Path) -> None:
    where = place(root)
    sh(root, "switch", "-qc", "agent/x")
    decided = save(root, "src/a.py", "a = 1\n")
    found = prepared(where, "push_branch", branch="agent/x")
    save(root, "infra/evil.tf", "boo\n")

    receipt = Git().perform(action_of(where, "push_branch", found), KEY)

    assert (receipt.delivery, sh(remote, "rev-parse", "agent/x")) == (Delivery.DELIVERED, decided)
    assert [file["path"] for file in found.resource["properties"]["files"]] == ["src/a.py"]
    assert found.properties == {"commit": decided, "remote": f"file://{remote}"}
    assert sh(root, "rev-parse", "refs/remotes/origin/agent/x") == decided


def test_a_remote_that_moved_since_is_refused(root: Path, remote: Path, tmp_path: Path) -> None:
    where = place(root)
    save(root, "a.txt", "a")
    found = prepared(where, "push_branch", branch="main")
    sh(tmp_path, "clone", "-q", str(remote), "other")
    theirs = save(tmp_path / "other", "b.txt", "b")
    sh(tmp_path / "other", "push", "-q", "origin", "main")

    receipt = Git().perform(action_of(where, "push_branch", found), KEY)

    assert (receipt.delivery, sh(remote, "rev-parse", "main")) == (Delivery.PERMANENT, theirs)
    assert "fetch it" in receipt.detail


def test_a_remote_that_moves_in_the_last_moment_is_refused_by_the_push_itself(
    root: Path, remote: Path, tmp_path: Path
) -> None:
    where = place(root)
    save(root, "a.txt", "a")
    found = prepared(where, "push_branch", branch="main")
    sh(tmp_path, "clone", "-q", str(remote), "other")
    theirs = save(tmp_path / "other", "b.txt", "b")

    receipt = Git().perform(
        action_of(where, "push_branch", found, recheck=lambda: sh(tmp_path / "other", "push", "-q", "origin", "main")),
        KEY,
    )

    assert (receipt.delivery, sh(remote, "rev-parse", "main")) == (Delivery.PERMANENT, theirs)
    assert "moved since" in receipt.detail


def test_a_push_that_would_lose_commits_is_refused_unless_force_is_decided(root: Path, remote: Path) -> None:
    where = place(root)
    save(root, "infra/a.tf", "a")
    sh(root, "push", "-q", "origin", "main")
    sh(root, "reset", "-q", "--hard", "HEAD~1")
    ours = save(root, "b.txt", "b")
    with pytest.raises(AdapterError, match="does not contain"):
        prepared(where, "push_branch", branch="main")

    found = prepared(where, "push_branch", branch="main", force=True)
    receipt = Git().perform(action_of(where, "push_branch", found), KEY)

    files = [(file["path"], file["status"]) for file in found.resource["properties"]["files"]]
    assert (receipt.delivery, sh(remote, "rev-parse", "main")) == (Delivery.DELIVERED, ours)
    assert (files, found.properties["force"]) == ([("b.txt", "A"), ("infra/a.tf", "D")], True)


def test_what_the_checkout_says_of_the_remote_is_not_believed(root: Path) -> None:
    """A main branch of the remote that was made up here would hide every file of a new branch."""
    where = place(root)
    sh(root, "switch", "-qc", "agent/x")
    head = save(root, "infra/evil.tf", "boo\n")
    sh(root, "update-ref", "refs/remotes/origin/main", head)
    found = prepared(where, "push_branch", branch="agent/x")

    receipt = Git().perform(action_of(where, "push_branch", found), KEY)

    assert found.resource["properties"]["files"] == []
    assert receipt.delivery is Delivery.PERMANENT
    assert "does not contain" in receipt.detail


def test_reconcile_asks_the_remote(root: Path, remote: Path) -> None:
    where = place(root)
    sh(root, "switch", "-qc", "agent/x")
    decided = save(root, "a.txt", "a")
    asked = action_of(where, "push_branch", prepared(where, "push_branch", branch="agent/x"))

    before = Git().reconcile(asked, KEY)
    save(root, "b.txt", "b")
    sh(root, "push", "-q", str(remote), "agent/x")
    after = Git().reconcile(asked, KEY)

    assert before is not None
    assert after is not None
    assert (before.delivery, after.delivery, after.reference) == (Delivery.RETRYABLE, Delivery.DELIVERED, decided)


def test_a_push_that_was_done_is_done_again_without_harm(root: Path, remote: Path) -> None:
    where = place(root)
    decided = save(root, "a.txt", "a")
    asked = action_of(where, "push_branch", prepared(where, "push_branch", branch="main"))

    first, second = Git().perform(asked, KEY), Git().perform(asked._replace(attempt=2), KEY)

    assert (first.delivery, second.delivery) == (Delivery.DELIVERED, Delivery.DELIVERED)
    assert sh(remote, "rev-parse", "main") == decided


def test_a_hook_of_the_remote_that_refuses_is_permanent_and_says_why(root: Path, remote: Path) -> None:
    where = place(root, url=f"file://{remote}")
    program(remote / "hooks" / "pre-receive", "echo no pushes on Friday >&2; exit 1")
    save(root, "a.txt", "a")

    receipt = Git().perform(action_of(where, "push_branch", prepared(where, "push_branch", branch="main")), KEY)

    assert receipt.delivery is Delivery.PERMANENT
    assert "pre-receive hook declined" in receipt.detail


def test_a_remote_that_is_not_there_is_no_unknown(root: Path, tmp_path: Path) -> None:
    where = place(root, url=f"file://{tmp_path}/nothing.git")
    save(root, "a.txt", "a")
    asked = action_of(where, "push_branch", prepared(where, "push_branch", branch="main"))

    with pytest.raises(AdapterError, match="is not there") as caught:
        Git().perform(asked, KEY)

    assert caught.value.delivery == Delivery.PERMANENT


def test_nothing_is_pushed_where_the_last_look_says_no(root: Path, remote: Path) -> None:
    where, before = place(root), sh(remote, "rev-parse", "main")
    save(root, "a.txt", "a")

    def refuse() -> None:
        raise failure("the lease is lost")

    with pytest.raises(AdapterError, match="the lease is lost"):
        Git().perform(
            action_of(where, "push_branch", prepared(where, "push_branch", branch="main"), recheck=refuse), KEY
        )

    assert sh(remote, "rev-parse", "main") == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"remote.origin.pushurl": "file:///tmp/other.git"}, "git would push to"),
        ({"url.file:///tmp/evil/.insteadOf": "file://"}, "git would push to"),
        ({"remote.origin.url": "ext::sh -c touch% x"}, "expected https://"),
        ({"remote.origin.url": "http://example.com/acme/web.git"}, "expected https://"),
        ({"remote.origin.url": "https://user:geheim@example.com/acme/web.git"}, "carries a name or password"),
        ({"remote.origin.url": "https://example.com/evil/web.git"}, "which is not"),
        ({"remote.origin.url": "git@example.com:evil/web.git"}, "which is not"),
    ],
    ids=["pushurl", "insteadOf", "ext", "http", "password", "other", "other-ssh"],
)
def test_an_address_that_is_not_the_one_meant_is_refused(root: Path, settings: dict[str, str], message: str) -> None:
    for name, value in settings.items():
        sh(root, "config", name, value)

    with pytest.raises(AdapterError, match=message) as caught:
        prepared(place(root), "push_branch", branch="main")

    assert caught.value.error_class == ErrorClass.CONFIGURATION
    assert "geheim" not in str(caught.value)


def test_nothing_that_the_checkout_or_its_remote_configures_runs(root: Path, remote: Path, tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    evil = program(tmp_path / "evil", f'echo "$0" "$@" >> {witness}; exec cat')
    for folder in (root / ".git", remote):
        (folder / "hooks").mkdir(exist_ok=True)
        for hook in ("pre-push", "reference-transaction", "post-index-change", "pre-receive", "update", "post-receive"):
            program(folder / "hooks" / hook, f"echo {hook} >> {witness}")
    for name, value in {
        "core.fsmonitor": evil,
        "core.sshCommand": evil,
        "core.pager": evil,
        "core.askPass": evil,
        "credential.helper": f"!{evil}",
        "diff.external": evil,
        "filter.evil.clean": evil,
        "diff.evil.textconv": evil,
        "remote.origin.receivepack": f"{evil}; git-receive-pack",
        "remote.origin.uploadpack": f"{evil}; git-upload-pack",
        "push.gpgSign": "true",
        "commit.gpgSign": "true",
        "tag.gpgSign": "true",
        "gpg.program": evil,
        "gpg.ssh.program": evil,
    }.items():
        sh(root, "config", name, value)
    sh(remote, "config", "core.alternateRefsCommand", evil)
    where = place(root)
    (root / "a.txt").write_text("a\n")

    done(where, "create_branch", branch="x")
    done(where, "create_tag", tag="v1", message="one")
    done(where, "write_document", source="a.txt")
    done(where, "write_document", branch="x", path="b.md", content="b")
    done(where, "push_branch", branch="main")
    done(where, "delete_branch", branch="x")

    assert not witness.exists()
    assert sh(remote, "rev-parse", "main") == sh(root, "rev-parse", "main")


def test_a_token_goes_to_git_by_its_environment_alone(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "seen"
    folder = tmp_path / "bin"
    folder.mkdir()
    real = subprocess.run(["which", "git"], capture_output=True, check=True, text=True).stdout.strip()
    program(folder / "git", f'echo "$@|$GIT_CONFIG_KEY_0|$GIT_CONFIG_VALUE_0" >> {seen}\nexec {real} "$@"')
    where = place(root, url="https://127.0.0.1:1/acme/web.git", token="${{ secrets.GIT }}")
    where = where._replace(environ={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"})
    save(root, "a.txt", "a")
    asked = action_of(where, "push_branch", prepared(where, "push_branch", branch="main"))

    with pytest.raises(AdapterError) as caught:
        Git().perform(asked, KEY)

    arguments, key, value = seen.read_text().splitlines()[0].split("|")
    assert caught.value.delivery == Delivery.RETRYABLE
    assert (key, value) == (
        "http.https://127.0.0.1:1/.extraHeader",
        "Authorization: Basic eC1hY2Nlc3MtdG9rZW46Z2VoZWlt",
    )
    assert "eC1hY2" not in arguments + str(caught.value)


def test_a_remote_that_takes_too_long_is_unknown_and_nothing_of_the_push_is_left(root: Path, remote: Path) -> None:
    where = place(root, url=f"file://{remote}")
    before = sh(remote, "rev-parse", "main")
    program(remote / "hooks" / "pre-receive", "sleep 60")
    save(root, "a.txt", "a")
    asked = action_of(where, "push_branch", prepared(where, "push_branch", branch="main"))

    receipt = Git().perform(asked._replace(timeout_s=1.5), KEY)
    found = Git().reconcile(asked, KEY)

    assert (receipt.delivery, sh(remote, "rev-parse", "main")) == (Delivery.UNKNOWN, before)
    assert found is not None
    assert found.delivery is Delivery.RETRYABLE


# Over https


@pytest.fixture
def server(remote: Path, tmp_path: Path) -> Iterator[GitServer]:
    sh(remote, "config", "http.receivepack", "true")
    with GitServer(tmp_path) as running:
        yield running


def far(root: Path, server: GitServer, **settings: object) -> Place:
    """Return a place whose remote is the server; the checkout says so itself."""
    sh(root, "config", "remote.origin.url", server.url("acme/web.git"))
    where = place(root, **settings)
    return where._replace(environ={**where.environ, **server.environ})


def test_a_commit_is_pushed_over_https_with_the_operators_token(root: Path, remote: Path, server: GitServer) -> None:
    where = far(root, server, token="${{ secrets.GIT }}")
    decided = save(root, "a.txt", "a")

    outputs = done(where, "push_branch", branch="main")

    assert (outputs["commit"], sh(remote, "rev-parse", "main")) == (decided, decided)


def test_without_credentials_of_the_operator_no_other_is_asked_for(
    root: Path, remote: Path, server: GitServer, tmp_path: Path
) -> None:
    where, witness = far(root, server), tmp_path / "ran"
    sh(root, "config", "credential.helper", f"!touch {witness}; echo username=x-access-token; echo password=geheim")
    save(root, "a.txt", "a")
    asked = action_of(where, "push_branch", prepared(where, "push_branch", branch="main"))

    with pytest.raises(AdapterError, match="no access") as caught:
        Git().perform(asked, KEY)

    assert (caught.value.error_class, witness.exists()) == (ErrorClass.CONFIGURATION, False)


def test_a_push_whose_reply_is_lost_is_unknown_then_found_and_one_that_is_not_there_is_not_known(
    root: Path, remote: Path, server: GitServer
) -> None:
    where = far(root, server, token="${{ secrets.GIT }}")
    save(root, "a.txt", "a")
    asked = action_of(where, "push_branch", prepared(where, "push_branch", branch="main"))
    before = Git().reconcile(asked, KEY)
    server.is_losing_replies = True

    receipt = Git().perform(asked, KEY)
    found = Git().reconcile(asked, KEY)

    assert (before, receipt.delivery) == (None, Delivery.UNKNOWN)
    assert found is not None
    assert (found.delivery, sh(root, "rev-parse", "origin/main")) == (
        Delivery.DELIVERED,
        sh(remote, "rev-parse", "main"),
    )
