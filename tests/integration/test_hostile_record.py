"""Approvals, evidence, budgets and runs as somebody uses them who wants past them, or whose machine fails; through the real command."""

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import voting
from command_line import Place, clean, command, place_in
from voting import World, policy_of, request_of

from orchestrator import approvals, keys
from orchestrator.ledger.store import Ledger

TOOL = ("--action", "call_tool", "--tool", "llm:ask")
PACK = """\
apiVersion: orch/v1
kind: PolicyPack
metadata: {name: acme, version: 1.0.0}
default: deny
rules:
  - {id: tools, effect: allow, actions: [call_tool, comment], budgets: [{meter: usd, per: repo, window: day, limit: 5}]}
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with place_in(tmp_path, ORCH_SUBJECT="agent:fixer", ORCH_LEDGER=str(tmp_path / "ledger")) as made:
        (tmp_path / "pack.yaml").write_text(PACK)
        yield made


@pytest.fixture
def world(sqlite_ledger: Ledger, tmp_path: Path) -> World:
    signers = voting.new_signers(tmp_path / "keys")
    return World(sqlite_ledger, policy_of(voting.write_packs(tmp_path / "packs", signers)), signers)


def asked(place: Place, *arguments: object) -> dict[str, Any]:
    done = place.orch("evaluate", "--packs", "pack.yaml", *arguments, "-o", "json")
    clean(done)
    context: dict[str, Any] = json.loads(done.stdout)["context"]
    return context


def limited(place: Place, limits: str, *arguments: object, redirection: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command under limits of the shell, with its streams sent elsewhere."""
    line = f"{limits} exec {shlex.join(command(*arguments))} {redirection}"
    return subprocess.run(
        ["/bin/bash", "-c", line],
        cwd=place.folder,
        env=place.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


# -- runs


def test_a_request_about_another_repository_than_its_runs_is_claimed(place: Place) -> None:
    asked(place, *TOOL, "--repo", "acme/web", "--run", "r1")
    other = request_of("comment") | {"resource": {"type": "repository", "id": "evil/web", "properties": {}}}
    (place.folder / "other.json").write_text(json.dumps(other))

    said = asked(place, "other.json", "--run", "r1")

    assert said["claimed"] is True
    assert "claimed, so never executed: the request is about evil/web, and this is acme/web" in said["advice"]


def test_a_run_counts_for_its_repository_whether_or_not_it_is_named_again(place: Place) -> None:
    named, unnamed = (asked(place, *TOOL, *more, "--run", "r1") for more in (("--repo", "acme/web"), ()))

    assert (named["outcome"], unnamed["outcome"]) == ("allow", "allow")
    assert named["action_digest"] == unnamed["action_digest"]


@pytest.mark.parametrize("repository", ["acme/web", "none"])
def test_a_run_begun_without_a_repository_gets_none_later(place: Place, repository: str) -> None:
    """Else each call could count for the repository that has most room."""
    assert asked(place, *TOOL, "--run", "r1")["outcome"] == "deny"

    done = place.orch("evaluate", "--packs", "pack.yaml", *TOOL, "--repo", repository, "--run", "r1")

    assert done.returncode == 2
    assert f"the run r1 was begun without a repository, and this is '{repository}'" in clean(done)


# -- budgets


@pytest.mark.parametrize("time", ["366d", "90000d", "999999999d"])
def test_room_is_held_for_a_year_at_most(place: Place, time: str) -> None:
    decision = asked(place, *TOOL, "--repo", "acme/web", "--run", "r1")["evaluation_id"]

    done = place.orch("budget", "reserve", "--decision", decision, "--estimate", "usd=1", "--expires", time)

    assert (done.returncode, "expected at most a year" in clean(done)) == (2, True)
    assert "nothing was reserved" in clean(place.orch("budget"))


# -- votes


def test_a_vote_in_somebodys_name_is_shown_as_what_it_is(place: Place, world: World) -> None:
    request = world.wait()
    where = ("--packs", "packs", "--ledger", world.ledger.folder)
    forging = ("--as", "user:alice", "--key", place.folder / "keys" / "nobody", "--anyway", "--yes")
    for _ in range(2):
        assert place.orch("approve", request.id, *forging, *where).returncode == 0

    said = " ".join(clean(place.orch("approvals", request.id, *where)).split())

    assert "1 of role sre, 0 given" in said
    assert "ignored 2 votes in the name of user:alice, by no key that the roster gives them" in said
    assert "user:alice approved" not in said


def test_revoking_takes_every_own_vote_back_and_no_forged_one(place: Place, world: World) -> None:
    """A second vote, or one that somebody else recorded later in the same name, does not shield the first."""
    request = world.wait()
    for by in ("user:alice", "user:alice", "nobody"):
        voting_as = ("--as", "user:alice", "--key", place.folder / "keys" / by.replace(":", "-"))
        done = place.orch(
            "approve", request.id, *voting_as, "--anyway", "--yes", "--packs", "packs", "--ledger", world.ledger.folder
        )
        assert done.returncode == 0, clean(done)
    assert world.ask().outcome == "allow"

    revoked = place.orch(
        "revoke", request.id, "--key", place.folder / "keys" / "user-alice", "--yes", "--packs", "packs", "--ledger",
        world.ledger.folder,
    )  # fmt: skip

    assert revoked.stdout == f"revoked the approval as sre of user:alice on request {request.id}\n", clean(revoked)
    assert world.ask().outcome == "pending"
    votes = approvals.find(world.ledger, request.id).votes
    assert [bool(cast.revocation) for cast in votes if cast.note != "forged"].count(True) == 2


# -- files without an end, and disks without room


@pytest.mark.parametrize(
    "arguments",
    [
        ("key", "new", "other.key", "--passphrase-file", "/dev/zero"),
        ("key", "show", "locked.key", "--passphrase-file", "/dev/zero"),
        ("evidence", "add", "tests", "report.tap", "--action-digest", f"sha256:{'a' * 64}", "--subject", "/dev/zero"),
        ("evidence", "add", "provenance", "signed.json", "--action-digest", f"sha256:{'a' * 64}", "--key", "/dev/zero"),
        ("evaluate", "--packs", "pack.yaml", *TOOL, "--facts", "/dev/zero"),
        ("evaluate", "--packs", "pack.yaml", "--action", "open_pr", "--files-from", "/dev/zero"),
    ],
    ids=["new key", "locked key", "subject", "public key", "facts", "files"],
)
def test_a_file_without_an_end_is_refused(place: Place, arguments: tuple[str, ...]) -> None:
    keys.new_key(place.folder / "locked.key", b"correct horse")
    (place.folder / "report.tap").write_text("1..1\nok 1\n")
    subject = [{"name": "x", "digest": {"orch-action": "a" * 64}}]
    statement = {"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": "x", "predicate": {}}
    body = voting.text(json.dumps(statement).encode())
    envelope = {"payloadType": "application/vnd.in-toto+json", "payload": body, "signatures": [{"sig": "AAAA"}]}
    (place.folder / "signed.json").write_text(json.dumps(envelope))

    done = limited(place, "ulimit -v 4000000;", *arguments)

    assert done.returncode == 2, clean(done)
    clean(done)


def test_a_json_value_without_an_end_is_refused(place: Place) -> None:
    done = limited(place, "ulimit -v 4000000; yes '[' |", "evaluate", "--packs", "pack.yaml", "-")

    assert (done.returncode, "more than 67,108,864 bytes" in clean(done)) == (2, True)


def test_a_key_that_finds_no_room_leaves_nothing_behind(place: Place) -> None:
    full = limited(place, "ulimit -f 0;", "key", "new", "vote.key", "--no-passphrase", redirection="| cat")
    again = place.orch("key", "new", "vote.key", "--no-passphrase")

    assert "the key cannot be written to 'vote.key': File too large" in clean(full)
    assert again.returncode == 0, clean(again)


def test_an_answer_that_could_not_be_given_changes_nothing(place: Place) -> None:
    (place.folder / "report.tap").write_text("1..1\nok 1\n")
    adding = ("evidence", "add", "tests", "report.tap", "--action-digest", f"sha256:{'a' * 64}")

    done = limited(place, "", *adding, redirection=">&-")

    assert (done.returncode, "standard output is closed; nothing was done" in clean(done)) == (2, True)
    assert place.orch("evidence", "list", "-o", "json").returncode != 0  # no ledger was made


def test_what_git_is_told_not_to_look_at_is_no_checkout_of_the_change(place: Place) -> None:
    folder = place.folder / "checkout"
    folder.mkdir()
    (folder / "a").write_text("1\n")

    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=folder, env=place.environ, check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    git("add", "a")
    git("commit", "-qm", "a")
    (place.folder / "report.tap").write_text("1..1\nok 1\n")
    adding = ("evidence", "add", "tests", "../report.tap", "--from-git", "empty..HEAD")
    for flag in ("assume-unchanged", "skip-worktree"):
        git("update-index", f"--{flag}", "a")
        (folder / "a").write_text("another\n")
        done = place.orch(*adding, cwd=folder)
        assert (done.returncode, "git is told not to look for changes of 'a'" in clean(done)) == (2, True)
        git("update-index", f"--no-{flag}", "a")
        git("checkout", "-q", "a")
    assert place.orch(*adding, cwd=folder).returncode == 0
