"""What a person meets who votes in a terminal: questions, wrong passphrases, packs that changed meanwhile."""

import json
import os
import pty
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import voting
from command_line import Place, clean, command, place_in
from voting import World, policy_of, request_of

from orchestrator import approvals, clock, keys
from orchestrator.ledger.store import Ledger
from orchestrator.tally import Electorate, tally


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with place_in(tmp_path) as made:
        yield made


@pytest.fixture
def world(sqlite_ledger: Ledger, tmp_path: Path) -> World:
    signers = voting.new_signers(tmp_path / "keys")
    return World(sqlite_ledger, policy_of(voting.write_packs(tmp_path / "packs", signers)), signers)


def typed(place: Place, arguments: Sequence[object], answers: Sequence[str]) -> tuple[int, str]:
    """Run `orch` on a terminal, answer its questions one by one, and return its exit code and all that was seen."""
    ours, theirs = pty.openpty()
    seen, waiting = b"", list(answers)
    environ = {**place.environ, "COLUMNS": "200"}
    with subprocess.Popen(
        command(*arguments),
        cwd=place.folder,
        env=environ,
        start_new_session=True,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        while data := _read(ours):
            seen += data
            if seen.endswith((b": ", b"]: ")) and waiting:
                os.write(ours, waiting.pop(0).encode() + b"\n")
        process.wait(timeout=60)
    os.close(ours)
    return process.returncode, seen.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # whoever wrote has gone
        return b""


def test_no_is_no_interruption(place: Place, world: World) -> None:
    request = world.wait()
    where = ("--ledger", world.ledger.folder, "--packs", "packs", "--key", "keys/user-alice")

    code, seen = typed(place, ("approve", request.id, *where), ["n"])

    assert (code, "orch: nothing was recorded" in seen, "interrupted" in seen) == (1, True, False), seen
    assert approvals.find(world.ledger, request.id).votes == ()


def test_a_wrong_passphrase_may_be_typed_again(place: Place, world: World) -> None:
    request = world.wait()
    keys.new_key(place.folder / "locked", b"right words")
    voted = ("approve", request.id, "--ledger", world.ledger.folder, "--key", "locked", "--as", "user:alice", "-y")

    code, seen = typed(place, voted, ["wrong words", "right words"])
    assert (code, seen.count("try again")) == (0, 1), seen
    code, seen = typed(place, voted, ["wrong words"] * 4)
    assert (code, seen.count("Passphrase of")) == (2, 3), seen


def test_a_vote_on_what_was_asked_under_other_packs_is_refused(place: Place, tmp_path: Path) -> None:
    signers = voting.new_signers(tmp_path / "keys")
    people = voting.write_packs(place.folder / "packs", signers) / "people.yaml"
    (place.folder / "request.json").write_text(json.dumps(request_of()))
    place.environ.update(ORCH_SUBJECT="agent:fixer", ORCH_PACKS="packs")
    asked = ("evaluate", "request.json", "--one-shot", "-o", "json")
    as_alice = ("--key", "keys/user-alice", "--yes")
    as_dave = ("--key", "keys/user-dave", "--yes")

    first = json.loads(place.orch(*asked).stdout)["context"]
    people.write_text(people.read_text().replace("user:carol", "user:caroline"))
    refused = place.orch("approve", first["request_id"], *as_alice)
    assert refused.returncode == 2
    assert "the packs have changed since this was asked" in clean(refused)
    assert "run the `orch evaluate` again, then approve" in clean(refused)
    assert "outdated" in clean(place.orch("approvals"))
    assert place.orch("reject", first["request_id"], *as_dave).returncode == 0
    assert place.orch("revoke", first["request_id"], *as_dave).returncode == 0
    assert place.orch("approve", first["request_id"], *as_alice, "--anyway").returncode == 0
    assert place.orch(*asked).returncode == 4
    listed = clean(place.orch("approvals"))
    assert "does not count: given under policy" in listed
    assert "outdated" not in listed
    assert place.orch("approve", first["request_id"], *as_alice).returncode == 0
    assert "ready, not used yet" in clean(place.orch("approvals"))
    assert place.orch(*asked).returncode == 0


def test_the_packs_of_another_checkout_only_make_a_note(place: Place, tmp_path: Path) -> None:
    """Who votes in a repository with packs of its own cannot tell whether the others have changed."""
    signers = voting.new_signers(tmp_path / "keys")
    voting.write_packs(place.folder / "packs", signers)
    (place.folder / "request.json").write_text(json.dumps(request_of()))
    place.environ.update(ORCH_SUBJECT="agent:fixer", ORCH_PACKS=str(place.folder / "packs"))
    first = json.loads(place.orch("evaluate", "request.json", "--one-shot", "-o", "json").stdout)["context"]
    own = place.folder / "checkout"
    (own / ".orch" / "packs").mkdir(parents=True)
    (own / ".orch" / "packs" / "own.yaml").write_text(
        "apiVersion: orch/v1\nkind: PolicyPack\nmetadata: {name: own, version: 1.0.0}\n"
        "default: inherit\nrules: [{id: a, effect: deny, actions: comment}]\n"
    )
    subprocess.run(["git", "init", "-q", own], check=True)

    done = place.orch("approve", first["request_id"], "--key", place.folder / "keys" / "user-alice", "--yes", cwd=own)

    assert done.returncode == 0, clean(done)
    assert "the packs have changed since this was asked" in done.stderr


def test_revoking_leaves_nothing_that_counts_again(place: Place, world: World) -> None:
    request = world.wait()
    world.vote(request, "user:alice")
    world.vote(request, "user:alice", decision="reject")
    where = ("--ledger", world.ledger.folder, "--packs", "packs", "--key", "keys/user-alice", "--yes")

    done = place.orch("revoke", request.id, *where)

    assert done.stdout.startswith("revoked the approval as sre and the rejection as sre of user:alice"), clean(done)
    assert world.ask().outcome == "pending"
    assert all(cast.revocation for cast in approvals.find(world.ledger, request.id).votes)


@pytest.mark.parametrize(
    "votes",
    [
        (),
        (("user:alice", "sre", "approve"),),
        (("user:alice", "sre", "approve"), ("user:carol", "lead", "approve")),
        (("user:bob", "sre", "approve"), ("user:bob", "lead", "approve")),
        (("user:bob", "sre", "approve"), ("user:bob", "lead", "approve"), ("user:dave", "sre", "approve")),
        (("user:alice", "sre", "approve"), ("user:carol", "lead", "reject")),
        (("user:carol", "sre", "approve"), ("agent:fixer", "sre", "approve"), ("user:carol", "lead", "approve")),
    ],
)
def test_what_is_counted_for_people_is_what_the_engine_counts(
    world: World, votes: Sequence[tuple[str, str, str]]
) -> None:
    merge = request_of("merge_pr")
    request = world.wait(merge)
    for by, role, word in votes:
        world.vote(request, by, role, decision=word)

    voters = Electorate(world.policy.roster, world.policy.digest)
    counted = tally(approvals.find(world.ledger, request.id), voters, clock.now_ns())
    decision = world.ask(merge)

    owed = {one.properties["role"]: one for one in decision.obligations if one.type == "approval"}
    for one in counted.standings:
        said = owed[one.ask.role].properties
        assert (len(one.given), list(one.rejected_by)) == (said["votes"], said.get("rejected_by", []))
        assert sorted(one.given) == sorted(owed[one.ask.role].proof)
    assert counted.is_ready == decision.is_allowed


def test_a_rejection_of_the_same_change_elsewhere_is_shown(world: World, place: Place) -> None:
    """Who rejected that the change is proposed holds its merge back, too."""
    other = world.wait()
    world.vote(other, "user:dave", decision="reject")
    request = world.wait(request_of("merge_pr"))

    shown = clean(
        place.orch("approvals", request.id, "--ledger", world.ledger.folder, "--packs", "packs", COLUMNS="200")
    )

    assert "held back  by user:dave, who rejected it as sre" in shown
    assert f"user:dave rejected as sre on request {other.id}, until" in shown
    assert approvals.find(world.ledger, request.id).votes == ()
