"""Approvals through the real engine: what counts, and everything that must not."""

import multiprocessing
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import voting
from voting import FILES, HEADER, World, part, policy_of, request_of, text, votes_met, why

from orchestrator import approvals, ballot, keys, known
from orchestrator.ballot import Ballot
from orchestrator.change import contributor_names, read_change
from orchestrator.decide import Policy
from orchestrator.decision import Decision
from orchestrator.errors import LedgerError, UsageError
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import Ledger


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, keys.KeyFile]:
    return voting.new_signers(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def policies(
    tmp_path_factory: pytest.TempPathFactory, signers: dict[str, keys.KeyFile]
) -> Iterator[tuple[Policy, Policy]]:
    """Give two policies, the second with one rule more."""
    folder = tmp_path_factory.mktemp("policies")
    with pytest.MonkeyPatch.context() as patched:
        for name in ("CACHE", "STATE", "CONFIG"):
            patched.setenv(f"XDG_{name}_HOME", str(folder / name))
        first = voting.write_packs(folder / "first", signers)
        more = "  - {id: more, effect: deny, actions: push_branch}\n"
        second = voting.write_packs(folder / "second", signers, more)
        yield policy_of(first), policy_of(second)


@pytest.fixture
def world(sqlite_ledger: Ledger, policies: tuple[Policy, Policy], signers: dict[str, keys.KeyFile]) -> World:
    return World(sqlite_ledger, policies[0], signers)


@pytest.fixture
def either(ledger: Ledger, policies: tuple[Policy, Policy], signers: dict[str, keys.KeyFile]) -> World:
    """Give a world on each kind of ledger."""
    return World(ledger, policies[0], signers)


def test_a_vote_by_the_roster_lets_the_action_pass(either: World) -> None:
    request = either.wait()

    either.vote(request, "user:alice")

    decision = either.ask()
    assert (decision.outcome, votes_met(decision), why(decision)) == ("allow", 1, [])
    assert decision.obligations[0].proof == ("user:alice",)


def test_the_same_question_waits_in_the_same_request(either: World) -> None:
    request = either.wait()

    assert either.wait() == request
    other = request_of(files=[{**FILES[0], "blob": "b" * 40}])
    assert either.wait(other).id != request.id


@pytest.mark.parametrize(
    ("asked", "facts"),
    [
        (request_of(on_behalf_of="user:alice"), {}),
        (request_of(on_behalf_of=["user:x", "alice"]), {}),
        (None, {"delegation": ["user:alice"]}),
        (None, {"contributors": ["user:zoe", "user:alice"]}),
        (None, {"trigger": "user:alice"}),
    ],
    ids=["on behalf of", "on behalf of several", "delegator", "author, committer, pusher or opener", "trigger"],
)
def test_who_had_a_hand_in_it_cannot_approve(world: World, asked: dict[str, Any] | None, facts: dict[str, Any]) -> None:
    request = world.wait(asked, facts)

    world.vote(request, "user:alice")

    decision = world.ask(asked, facts=facts)
    assert (decision.outcome, votes_met(decision)) == ("pending", 0)
    assert why(decision) == [
        "a vote by 'user:alice' does not count: who had a hand in the request or the change cannot approve it"
    ]
    assert "user:alice" in request.involved


def test_the_agent_cannot_approve_itself(world: World) -> None:
    world.vote(world.wait(), "agent:fixer")

    assert world.ask().outcome == "pending"


def test_an_approver_who_commits_later_no_longer_counts(world: World) -> None:
    world.vote(world.wait(), "user:alice")

    assert world.ask().outcome == "allow"
    assert world.ask(facts={"contributors": ["user:alice"]}).outcome == "pending"


def test_one_person_fills_one_slot(world: World) -> None:
    asked = request_of("merge_pr")
    request = world.wait(asked)
    world.vote(request, "user:bob", "sre")
    world.vote(request, "user:bob", "lead")

    decision = world.ask(asked)

    assert (decision.outcome, votes_met(decision, "lead"), votes_met(decision, "sre")) == ("pending", 1, 0)
    world.vote(request, "user:dave", "sre")
    assert world.ask(asked).outcome == "allow"


_NOT_SIGNED = "no key that the roster gives this person has signed it"
_HEADER = "its header is not that of a vote"


@pytest.mark.parametrize(
    ("claims", "signer", "reason"),
    [
        ({}, "nobody", _NOT_SIGNED),
        ({}, "user:bob", _NOT_SIGNED),
        ({"iss": "user:zoe"}, "user:alice", _NOT_SIGNED),
        ({"iss": "left out"}, "user:alice", _NOT_SIGNED),
        ({"role": "lead"}, "user:alice", "the roster does not give this person the role"),
        ({"roles": ["sre"], "role": "admin"}, "user:alice", "the roster does not give this person the role"),
        ({"aud": "0" * 32}, "user:alice", "it was given for another ledger"),
        ({"req": "aaaaaaaaaa"}, "user:alice", "it was given for another request"),
        ({"pol": "sha256:older"}, "user:alice", "the policy has changed since"),
        ({"act": "sha256:x", "chg": "sha256:y"}, "user:alice", "it is about another change or action"),
        ({"exp": 1_700_000_000}, "user:alice", "it has expired"),
        ({"iat": 3_999_999_999}, "user:alice", "its time has not come"),
        ({"exp": "left out"}, "user:alice", "it lacks something that a vote says"),
        ({"dec": "maybe"}, "user:alice", "it lacks something that a vote says"),
        ({"iat": True}, "user:alice", "it lacks something that a vote says"),
        ({"jti": ""}, "user:alice", "it lacks something that a vote says"),
    ],
)  # fmt: skip
def test_a_vote_out_of_order_counts_for_nothing(world: World, claims: dict[str, Any], signer: str, reason: str) -> None:
    request = world.wait()
    forged = world.token(world.claims(request, "user:alice", **claims), signer)

    decision = world.ask(None, forged)

    assert (decision.outcome, votes_met(decision)) == ("pending", 0)
    assert [line.partition(": ")[2] for line in why(decision)] == [reason]


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "typ": "orch-vote+jwt"},
        {"alg": "HS256", "typ": "orch-vote+jwt"},
        {"alg": "EDDSA", "typ": "orch-vote+jwt"},
        {"typ": "orch-vote+jwt"},
        {"alg": "EdDSA"},
        {"alg": "EdDSA", "typ": "JWT"},
        {**HEADER, "crit": ["exp"]},
        {**HEADER, "jwk": {"kty": "OKP"}},
        {**HEADER, "cty": "JWT"},
        {},
    ],
)
def test_a_header_that_is_not_a_votes_counts_for_nothing_although_the_signature_is_good(
    world: World, header: dict[str, Any]
) -> None:
    """The engine's own check of a signature ignores the header."""
    claims = world.claims(world.wait(), "user:alice")
    well_signed = world.token(claims, "user:alice", header)
    unsigned = f"{part(header)}.{part(claims)}."

    decision = world.ask(None, well_signed, unsigned)

    assert decision.outcome == "pending"
    assert sorted(line.partition(": ")[2] for line in why(decision)) == ["it is no signed vote", _HEADER]


def test_what_is_no_token_counts_for_nothing_and_hides_nothing(world: World) -> None:
    request = world.wait()
    good = world.token(world.claims(request, "user:alice"), "user:alice")
    head, body, signature = good.split(".")
    other = part({**world.claims(request, "user:alice"), "iss": "user:bob"})
    broken: list[Any] = [
        "", "garbage", "..", f"{head}.{body}", f"{head}.{body}.", f"{head}.{body}.{text(bytes(64))}", f"{good}.x", good + "\n", 5,
        None, {}, [], f"{head}.{other}.{signature}", f"{part([])}.{body}.{signature}", f"{head}.{part(5)}.{signature}", "x" * 5000,
    ]  # fmt: skip

    assert world.ask(None, *broken).outcome == "pending"
    assert world.ask(None, *broken, good).outcome == "allow"


def test_a_key_identifier_may_stand_in_the_header(world: World) -> None:
    claims = world.claims(world.wait(), "user:alice")

    assert world.ask(None, world.token(claims, "user:alice", {**HEADER, "kid": "laptop"})).outcome == "allow"


def test_a_vote_ends_with_the_asks_expiry_and_with_its_own(world: World) -> None:
    request = world.wait()
    hour = 3600 * 10**9
    world.vote(request, "user:alice", expires_s=2 * 3600)
    at_ns = 10**9 * int(world.claims(request, "user:alice")["iat"])

    assert world.ask(now_ns=at_ns + hour).outcome == "allow"
    assert world.ask(now_ns=at_ns + 3 * hour).outcome == "pending"
    world.vote(request, "user:dave", expires_s=30 * 86_400)
    assert world.ask(now_ns=at_ns + 3 * hour).outcome == "allow"
    assert world.ask(now_ns=at_ns + 25 * hour).outcome == "pending"


def test_a_swapped_change_is_not_what_was_approved(world: World) -> None:
    request = world.wait()
    cast = world.vote(request, "user:alice")
    swapped = request_of(files=[{**FILES[0], "blob": "b" * 40}])

    decision = world.ask(swapped)
    assert decision.outcome == "pending"
    replayed = world.ask(swapped, cast.token)
    assert (replayed.outcome, len(why(replayed))) == ("pending", 1)


def test_another_argument_needs_another_vote_where_the_action_is_bound(world: World) -> None:
    first, second = request_of("comment"), request_of("comment")
    second["action"]["properties"] = {"body": "other words"}
    cast = world.vote(world.wait(first), "user:alice")

    assert world.ask(first).outcome == "allow"
    assert world.ask(second, cast.token).outcome == "pending"


def test_another_title_keeps_the_vote_where_the_change_is_bound(world: World) -> None:
    request = world.wait()
    world.vote(request, "user:alice")
    asked = request_of()
    asked["action"]["properties"] = {"title": "Other words"}

    decision = world.ask(asked)

    assert decision.outcome == "allow"
    assert decision.context["action_digest"] != request.action_digest


def test_another_policy_ends_every_approval(either: World, policies: tuple[Policy, Policy]) -> None:
    request = either.wait()
    either.vote(request, "user:alice")
    changed = replace(either, policy=policies[1])

    decision = changed.ask()

    assert decision.outcome == "pending"
    assert why(decision) == ["a vote by 'user:alice' does not count: the policy has changed since"]
    again = changed.opened(decision)
    assert (again.id, again.policy_digest) == (request.id, policies[1].digest)
    changed.vote(again, "user:alice")
    assert changed.ask().outcome == "allow"


def test_a_rejection_holds_and_outlives_policy_and_request(either: World, policies: tuple[Policy, Policy]) -> None:
    request = either.wait()
    either.vote(request, "user:alice")
    either.vote(request, "user:dave", decision="reject")

    held = either.ask()
    assert held.outcome == "pending"
    assert next(owed.properties["rejected_by"] for owed in held.obligations) == ["user:dave"]
    assert held.context["next_action"] == (
        "user:dave has to take the rejection as sre back (orch revoke), or wait until it lapses"
    )
    assert replace(either, policy=policies[1]).ask().outcome == "pending"
    merge = request_of("merge_pr")
    either.vote(either.wait(merge), "user:bob", "lead")
    either.vote(approvals.find(either.ledger, either.wait(merge).id), "user:alice", "sre")
    assert either.ask(merge).outcome == "pending"


def test_a_rejection_can_be_taken_back_by_who_gave_it(world: World) -> None:
    request = world.wait()
    world.vote(request, "user:alice")
    cast = world.vote(request, "user:dave", decision="reject")

    foreign = world.token(world.claims(request, "user:bob", dec="revoke", rev=cast.id), "user:bob")
    assert world.ask(None, foreign).outcome == "pending"
    ballot.revoke(world.ledger, request, cast, world.signers["user:dave"])
    assert world.ask().outcome == "allow"


def test_an_approval_is_revoked_until_it_is_used(either: World) -> None:
    request = either.wait()
    cast = either.vote(request, "user:alice")

    ballot.revoke(either.ledger, request, cast, either.signers["user:alice"])

    decision = either.ask()
    assert (decision.outcome, why(decision)) == ("pending", [])
    with pytest.raises(UsageError, match="revoked before"):
        ballot.revoke(
            either.ledger, request, approvals.find(either.ledger, request.id).votes[0], either.signers["user:alice"]
        )
    second = either.vote(request, "user:alice")
    _consume(either, request.id, "e1")
    with pytest.raises(UsageError, match="used meanwhile"):
        ballot.revoke(either.ledger, request, second, either.signers["user:alice"])


def test_an_approval_is_used_once(either: World) -> None:
    request = either.wait()
    cast = either.vote(request, "user:alice")
    assert either.ask().outcome == "allow"

    _consume(either, request.id, "e1")

    with pytest.raises(LedgerError, match="used already"):
        _consume(either, request.id, "e2")
    replayed = either.ask(None, cast.token)
    assert (replayed.outcome, len(why(replayed))) == ("pending", 1)
    again = either.opened(replayed)
    assert again.id != request.id
    assert either.ask(None, cast.token).outcome == "pending"
    with pytest.raises(UsageError, match="used meanwhile"):
        either.vote(request, "user:alice")
    used = approvals.find(either.ledger, request.id)
    assert (used.state, used.consumed_by) == ("consumed", "e1")


def _consume(world: World, request_id: str, evaluation_id: str) -> None:
    with world.ledger.store.writing() as connection:
        approvals.consume(world.ledger, connection, request_id, evaluation_id)


def test_who_asks_at_once_waits_in_one_request(either: World) -> None:
    decision = either.ask()
    said = (decision.request, decision.context, decision.facts)

    with multiprocessing.get_context("spawn").Pool(3) as pool:
        found = pool.starmap(_open_elsewhere, [(_where(either.ledger), *said)] * 6)

    assert len(set(found)) == 1
    assert [one.id for one in approvals.waiting(either.ledger)] == found[:1]


def _open_elsewhere(where: str, asked: dict[str, Any], context: dict[str, Any], facts: dict[str, Any]) -> str:
    key = known.request_key(asked, None, context["action_digest"], context["change_digest"])
    with open_ledger(where) as ledger, ledger.store.writing() as connection:
        return approvals.open_request(ledger, connection, Decision(asked, context), facts, key, None)


def _where(ledger: Ledger) -> str:
    """Return what `--ledger` would name it."""
    return str(getattr(ledger.store, "url", ledger.folder))


def test_what_waits_is_used_by_one_of_many(either: World) -> None:
    """Six processes start the same action at once: one may."""
    request = either.wait()
    either.vote(request, "user:alice")

    with multiprocessing.get_context("spawn").Pool(3) as pool:
        done = pool.starmap(_try_to_consume, [(_where(either.ledger), request.id, f"e{n}") for n in range(6)])

    assert sorted(done) == [False] * 5 + [True]


def _try_to_consume(folder: str, request_id: str, evaluation_id: str) -> bool:
    try:
        with open_ledger(folder) as ledger, ledger.store.writing() as connection:
            approvals.consume(ledger, connection, request_id, evaluation_id)
    except LedgerError:
        return False
    return True


def test_two_approvers_at_once_both_count(either: World, signers: dict[str, keys.KeyFile]) -> None:
    asked = request_of("merge_pr")
    request = either.wait(asked)
    seeds = {by: signers[by].private.private_bytes_raw() for by in ("user:alice", "user:carol")}

    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(
            _vote_elsewhere,
            [(_where(either.ledger), request.id, "user:alice", "sre", seeds["user:alice"]),
             (_where(either.ledger), request.id, "user:carol", "lead", seeds["user:carol"])],
        )  # fmt: skip

    decision = either.ask(asked)
    assert (decision.outcome, votes_met(decision, "sre"), votes_met(decision, "lead")) == ("allow", 1, 1)


def _vote_elsewhere(folder: str, request_id: str, by: str, role: str, seed: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(seed)
    signer = keys.KeyFile(private.public_key().public_bytes_raw(), private)
    with open_ledger(folder) as ledger:
        ballot.vote(ledger, approvals.find(ledger, request_id), signer, Ballot(by, role))


# -- real changes


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a repository whose branch `fix` changes infrastructure."""
    folder = tmp_path / "web"
    folder.mkdir()
    _git(folder, "init", "-q", "-b", "main")
    _write(folder, "infra/main.tf", "one\n")
    _write(folder, "README", "read\n")
    _git(folder, "switch", "-q", "-c", "fix")
    _write(folder, "infra/main.tf", "two\n")
    return folder


def _write(folder: Path, name: str, content: str, *, author: str = "Test <test@example.com>") -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    _git(folder, "add", ".")
    _git(folder, "commit", "-q", "-m", name, "--author", author)


def test_a_clean_rebase_keeps_an_approval_and_a_changed_line_ends_it(world: World, clone: Path) -> None:
    def asked() -> dict[str, Any]:
        return request_of(files=read_change("main..fix", clone).files)

    request = world.wait(asked())
    world.vote(request, "user:alice")
    before = _git(clone, "rev-parse", "fix")
    _git(clone, "switch", "-q", "main")
    _write(clone, "README", "read more\n")
    _git(clone, "switch", "-q", "fix")
    _git(clone, "rebase", "-q", "main")

    assert _git(clone, "rev-parse", "fix") != before
    assert world.ask(asked()).outcome == "allow"
    _write(clone, "infra/main.tf", "two!\n")
    assert world.ask(asked()).outcome == "pending"


def test_an_approver_who_is_author_of_a_commit_is_told_by_git(world: World, clone: Path) -> None:
    _write(clone, "infra/other.tf", "x\n", author="Alice <alice@acme.com>")
    change = read_change("main..fix", clone)
    facts = {"contributors": contributor_names(change.contributors, world.policy.roster)}
    asked = request_of(files=change.files)

    world.vote(world.wait(asked, facts), "user:alice")

    assert world.ask(asked, facts=facts).outcome == "pending"
