"""Requests and votes in the ledger: how a request is named, found, told to the engine, and made again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator import approvals, ballot, keys, known, vote
from orchestrator.approvals import Request
from orchestrator.ballot import Ballot
from orchestrator.decision import Decision
from orchestrator.errors import LedgerError, UsageError
from orchestrator.ledger.rebuild import differences, rebuild
from orchestrator.ledger.store import Ledger

ASKED: dict[str, Any] = {
    "subject": {"type": "agent", "id": "fixer", "properties": {"on_behalf_of": "alice"}},
    "action": {"name": "open_pr", "properties": {"title": "Fix", "body": "x" * 500}},
    "resource": {
        "type": "repository",
        "id": "Acme/Web",
        "properties": {"branch": "main", "head_branch": "fix", "files": [{"path": "a.tf", "status": "M"}]},
    },
}
FACTS = {"delegation": ["user:dan"], "contributors": ["user:bob"], "trigger": "user:eve"}


def decision_of(**more: Any) -> Decision:  # noqa: ANN401  # fields of the context
    """Return a decision that waits for one of two."""
    properties = {"role": "sre", "count": 2, "bind": "changes", "expires_s": 3600, "votes": 1}
    owed = {"id": "approval:sre", "type": "approval", "phase": "before", "mode": "enforce", "status": "unmet"}
    context = {
        "evaluation_id": "11111111-2222-4333-8444-555555555555",
        "action_digest": "sha256:a",
        "change_digest": "sha256:c",
        "policy": {"digest": "sha256:p"},
        "claimed": False,
        "obligations": [{**owed, "properties": properties, "proof": []}],
        **more,
    }
    return Decision(ASKED, context)


def opened(
    ledger: Ledger, decision: Decision | None = None, key: str = "k", facts: Mapping[str, Any] = FACTS
) -> Request:
    with ledger.store.writing() as connection:
        found = approvals.open_request(ledger, connection, decision or decision_of(), facts, key, "run-1")
    return approvals.find(ledger, found)


@pytest.fixture
def signer(tmp_path: Path) -> keys.KeyFile:
    return keys.new_key(tmp_path / "vote.key", None)


def test_a_request_says_what_is_asked(ledger: Ledger) -> None:
    request = opened(ledger)

    assert len(request.id) == 10
    assert request.id.isalnum()
    assert (request.subject, request.action, request.repository, request.branch) == (
        "agent:fixer", "open_pr", "acme/web", "main",
    )  # fmt: skip
    assert request.asks == (approvals.Ask("sre", 2, 3600, "changes", 1),)
    assert request.involved == {"agent:fixer", "user:alice", "user:bob", "user:dan", "user:eve"}
    assert request.summary["paths"] == ["M a.tf"]
    assert len(request.summary["properties"]["body"]) == 203
    assert (request.run_id, request.state, request.is_claimed) == ("run-1", "open", False)


def test_what_is_asked_again_adds_nothing_and_what_changed_is_told(ledger: Ledger) -> None:
    first = opened(ledger)

    assert opened(ledger, decision_of(evaluation_id="other")) == first
    assert _events(ledger) == 1
    changed = opened(ledger, decision_of(policy={"digest": "sha256:q"}, evaluation_id="other"))
    assert (changed.id, changed.policy_digest, changed.evaluation_id) == (first.id, "sha256:q", "other")
    assert changed.opened_at == first.opened_at
    assert opened(ledger, decision_of(action_digest="sha256:b")).action_digest == "sha256:b"
    assert _events(ledger) == 3
    assert opened(ledger, key="other").id != first.id


def _events(ledger: Ledger) -> int:
    with ledger.store.reading() as connection:
        return int(connection.execute("SELECT count(*) FROM events")[0][0])


def test_the_key_is_about_who_what_where_and_the_change() -> None:
    def key(
        change: str | None = "sha256:c", action: str = "sha256:a", repository: str | None = None, **more: object
    ) -> str:
        return known.request_key({**ASKED, **more}, repository, action, change)

    assert key() == key(action="sha256:other")
    assert key() == key(context={"ticket": "T-1"})
    assert key() != key(change="sha256:d")
    assert key(change=None) != key(change=None, action="sha256:other")
    assert key() != key(subject={"type": "agent", "id": "other"})
    assert key() != key(resource={**ASKED["resource"], "properties": {"branch": "other"}})
    assert key(repository="acme/web") == key(repository="Acme/Web") != key()


def test_the_engine_is_told_of_votes_revocations_and_rejections(ledger: Ledger, signer: keys.KeyFile) -> None:
    request = opened(ledger)
    first = ballot.vote(ledger, request, signer, Ballot("user:alice", "sre"))
    ballot.revoke(ledger, request, first, signer)
    no = ballot.vote(ledger, request, signer, Ballot("user:bob", "sre", "reject"))
    review = ballot.review(request, Ballot("user:carol", "sre"), "github:1", "2026-11-21T05:00:00Z")
    ballot.record(ledger, request, [review])
    said = {
        "role": "sre",
        "by": "user:carol",
        "at": review.at,
        "digest": "sha256:c",
        "decision": "approve",
        "via": "github",
    }

    told = _told(ledger, "k", "sha256:a", "sha256:c")
    assert (told["ledger"], told["request_id"], told["approvals"]) == (ledger.id, request.id, [said])
    assert len(told["votes"]) == 3
    assert {vote.claims_of(token)["dec"] for token in told["votes"]} == {"approve", "reject", "revoke"}
    assert _told(ledger, "other", "sha256:a", None) == {"ledger": ledger.id, "votes": [no.token]}
    assert _told(ledger, "other", "sha256:z", "sha256:c") == {"ledger": ledger.id, "votes": [no.token]}
    assert _told(ledger, "other", "sha256:z", None) == {"ledger": ledger.id}
    ballot.withdraw(ledger, request, [review])
    assert "approvals" not in _told(ledger, "k", "sha256:a", "sha256:c")


def _told(ledger: Ledger, key: str, action: str, change: str | None) -> dict[str, Any]:
    with ledger.store.reading() as connection:
        return known.approval_facts(ledger, connection, key, action, change)


def test_everything_is_made_again_from_events(ledger: Ledger, signer: keys.KeyFile) -> None:
    request = opened(ledger)
    cast = ballot.vote(ledger, request, signer, Ballot("user:alice", "sre", note="fine"))
    ballot.vote(ledger, request, signer, Ballot("user:bob", "sre"))
    ballot.revoke(ledger, request, cast, signer)
    opened(ledger, decision_of(claimed=True))
    with ledger.store.writing() as connection:
        approvals.consume(ledger, connection, request.id, "e1")
    opened(ledger)
    before = approvals.waiting(ledger, is_all=True)

    with ledger.store.reading() as connection:
        assert list(differences(ledger, connection)) == []
    rebuild(ledger)

    assert approvals.waiting(ledger, is_all=True) == before
    assert [(one.state, len(one.votes)) for one in before] == [("consumed", 2), ("open", 0)]


def test_what_waits_is_listed_oldest_first(ledger: Ledger) -> None:
    first, second = opened(ledger, key="k1"), opened(ledger, key="k2")

    assert approvals.waiting(ledger) == [first, second]
    with ledger.store.writing() as connection:
        approvals.consume(ledger, connection, first.id, "e1")
    assert approvals.waiting(ledger) == [second]
    assert [one.id for one in approvals.waiting(ledger, is_all=True)] == [first.id, second.id]


def test_a_request_is_found_by_how_it_begins_and_by_its_decision(ledger: Ledger) -> None:
    request = opened(ledger)
    for number in range(40):
        opened(ledger, decision_of(evaluation_id=f"e{number}"), key=str(number))

    assert approvals.find(ledger, request.id.upper()) == request
    assert approvals.find(ledger, request.id[:8]) == request
    assert approvals.find(ledger, request.evaluation_id) == request
    with pytest.raises(UsageError, match="several requests begin with"):
        approvals.find(ledger, next(c for c in "abcdefghijklmnopqrstuvwxyz234567" if _count(ledger, c) > 1))
    for unknown in ("", "0", "é", "\U0010ffff", "%", "a\0b", "-"):
        with pytest.raises(UsageError, match="there is no request"):
            approvals.find(ledger, unknown)


def _count(ledger: Ledger, beginning: str) -> int:
    return sum(one.id.startswith(beginning) for one in approvals.waiting(ledger))


def test_consuming_what_nobody_asked_for_is_an_error(ledger: Ledger) -> None:
    with ledger.store.writing() as connection, pytest.raises(LedgerError, match="used already, or never asked for"):
        approvals.consume(ledger, connection, "nothing", "e1")


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (Ballot("user:alice", "sre", "maybe"), "expected approve or reject"),
        (Ballot("user:alice", "sre", expires_s=0), "expected at most a year"),
        (Ballot("user:alice", "sre", expires_s=10**9), "expected at most a year"),
    ],
)
def test_a_ballot_that_cannot_be_is_refused(ledger: Ledger, signer: keys.KeyFile, given: Ballot, seen: str) -> None:
    with pytest.raises(UsageError, match=seen):
        ballot.vote(ledger, opened(ledger), signer, given)


def test_who_could_vote_and_in_which_role(ledger: Ledger, signer: keys.KeyFile) -> None:
    request = opened(ledger)
    jwk = keys.jwk(signer.public)
    roster = {
        "user:alice": {"roles": ["sre"], "keys": [jwk]},
        "user:gus": {"roles": ["sre", "lead"], "keys": ["other"]},
        "user:hal": {"roles": ["sre"], "keys": []},
        "user:ida": {"roles": ["lead"], "keys": ["more"]},
    }

    assert ballot.could_vote(request, roster, "sre") == ["user:gus"]
    assert [ballot.concerns(request, name, roster) for name in roster] == [False, True, False, False]
    assert ballot.voter_of(signer.public, roster) == "user:alice"
    assert ballot.voter_of(bytes(32), roster) is None
    assert ballot.role_for(request, "user:gus", roster) == "sre"
    assert ballot.lasting(request, "sre") == 3600
    against = list(ballot.objections(request, Ballot("user:alice", "lead"), signer.public, roster))
    assert [text.partition("'")[0] for text in against] == [
        "the roster does not give ",
        "nobody asks for a vote of role ",
        "",
    ]
    assert list(ballot.objections(request, Ballot("user:gus", "sre"), signer.public, roster)) == [
        "the roster does not give this key to 'user:gus'"
    ]


def test_a_role_has_to_be_said_where_several_are_asked(ledger: Ledger, signer: keys.KeyFile) -> None:
    owed = decision_of().context["obligations"][0]
    lead = {**owed, "id": "approval:lead", "properties": {**owed["properties"], "role": "lead"}}
    request = opened(ledger, decision_of(obligations=[owed, lead]))

    assert ballot.role_for(request, "user:x", {"user:x": {"roles": ["lead", "dev"]}}) == "lead"
    both = {"user:x": {"roles": ["lead", "sre"]}}
    with pytest.raises(UsageError, match="asks for the roles sre, lead, of which 'user:x' has sre, lead"):
        ballot.role_for(request, "user:x", both)
    assert ballot.role_for(request, "user:x", both, ["lead"]) == "lead"
    voted = ballot.vote(ledger, request, signer, Ballot("user:x", "lead"))
    assert ballot.role_for(request._replace(votes=(voted,)), "user:x", both) == "sre"
