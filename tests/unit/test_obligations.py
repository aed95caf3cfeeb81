"""What is recorded of obligations: each change of their status once, and what a run still owes."""

from typing import Any

import pytest

from orchestrator import obligations, settling
from orchestrator.decision import Decision
from orchestrator.digest import new_id
from orchestrator.ledger.append import append
from orchestrator.ledger.event import Draft
from orchestrator.ledger.store import Ledger
from orchestrator.settling import Proof

ACTION, OTHER, CHANGE = ("sha256:" + letter * 64 for letter in "abc")
RUN = "r1"
FACTS: dict[str, Any] = {"run": {"id": RUN}, "time": "2026-03-01T12:00:00Z", "repository": "acme/web"}


def evidence(
    status: str = "unmet", *, phase: str = "before", mode: str = "enforce", proof: tuple[str, ...] = ()
) -> dict[str, Any]:
    return {
        "id": "evidence:tests", "type": "evidence", "phase": phase, "mode": mode, "status": status,
        "properties": {"evidence": "tests"}, "proof": list(proof),
    }  # fmt: skip


def approval(status: str, *by: str) -> dict[str, Any]:
    given = {"role": "sre", "count": 1, "bind": "changes", "expires_s": 3600, "votes": len(by)}
    return {
        "id": "approval:sre", "type": "approval", "phase": "before", "mode": "enforce", "status": status,
        "properties": given, "proof": list(by),
    }  # fmt: skip


def decided(
    *owed: dict[str, Any],
    outcome: str = "pending",
    action: str = ACTION,
    change: str | None = CHANGE,
    claimed: bool = False,
) -> Decision:
    request = {
        "subject": {"type": "agent", "id": "agent:fixer"},
        "action": {"name": "open_pr"},
        "resource": {"type": "repository", "id": "acme/web"},
    }
    context = {
        "outcome": outcome, "claimed": claimed, "obligations": list(owed), "evaluation_id": new_id(), "action_digest": action,
        "change_digest": change, "policy": {"digest": "sha256:" + "d" * 64}, "evaluated_at": FACTS["time"],
    }  # fmt: skip
    return Decision(request, context)


def note(ledger: Ledger, decision: Decision, chain: str = RUN, **facts: object) -> None:
    """Record a decision as its recorder does."""
    context = decision.context
    with ledger.store.writing() as connection:
        draft = Draft(
            "orch.decision",
            chain,
            "agent:fixer",
            {"decision": context},
            id=context["evaluation_id"],
            repository="acme/web",
        )
        append(ledger, connection, draft)
        obligations.note(ledger, connection, decision, FACTS | facts, chain)


def told(ledger: Ledger) -> list[tuple[str, str, str]]:
    """Return the obligations' events: what became of which action's what."""
    sql = """SELECT e.type, e.run_id, o.obligation FROM events e JOIN obligations o ON o.chain = e.run_id
             WHERE e.type LIKE 'orch.obligation.%' ORDER BY e.run_id, e.run_seq"""
    with ledger.store.reading() as connection:
        return [(kind.removeprefix("orch.obligation."), run, name) for kind, run, name in connection.execute(sql)]


def statuses(ledger: Ledger) -> list[str]:
    return [status for status, _, _ in told(ledger)]


def owed(ledger: Ledger, run: str = RUN) -> list[dict[str, str]]:
    with ledger.store.reading() as connection:
        return obligations.owed_for(connection, run)


def settle(ledger: Ledger, result: str = "pass", **more: str) -> list[str]:
    """Record evidence as its adder does, and return what it settled."""
    given = {
        "type": "tests",
        "artifact": "sha256:" + "1" * 64,
        "repository": "acme/web",
        "change_digest": CHANGE,
        "action_digest": "",
    }
    proof = Proof(**{**given, **more}, result=result, event_id=new_id(), actor="user:alice")
    with ledger.store.writing() as connection:
        return [one.status for one in settling.settle(ledger, connection, proof)]


def test_what_is_first_seen_is_recorded_and_the_same_again_is_not(ledger: Ledger) -> None:
    note(ledger, decided(evidence()))
    note(ledger, decided(evidence()))

    assert told(ledger) == [("unmet", RUN, "evidence:tests")]


def test_outside_of_runs_the_same_again_is_not_recorded_either(ledger: Ledger) -> None:
    failed = evidence() | {"properties": {"evidence": "tests", "failed": ["sha256:1"]}}

    for number, owing in enumerate(
        (evidence(), evidence(), failed, failed, evidence("met"), evidence("met"), evidence())
    ):
        note(ledger, decided(owing), f"adhoc:{number}", run=None)

    assert statuses(ledger) == ["unmet", "failed", "met", "unmet"]


def test_each_change_is_recorded_with_its_proof(ledger: Ledger) -> None:
    note(ledger, decided(evidence()))
    note(ledger, decided(evidence("met", proof=("sha256:1",)), outcome="allow"))

    assert statuses(ledger) == ["unmet", "met"]
    with ledger.store.reading() as connection:
        rows = connection.execute("SELECT status, proof, run_id, change_digest FROM obligations")
    assert rows == [("met", '["sha256:1"]', RUN, CHANGE)]


@pytest.mark.parametrize(
    "decision",
    [
        decided(),
        decided(evidence(mode="warn")),
        decided(evidence(), claimed=True),
        decided(evidence(phase="after")),
        decided(evidence() | {"id": "owed:tests"}),
        decided(
            {
                "id": "budget:usd:run",
                "type": "budget",
                "phase": "during",
                "mode": "enforce",
                "status": "met",
                "properties": {},
                "proof": [],
            }
        ),
    ],
    ids=["nothing", "warns", "claimed", "after, not allowed", "an earlier debt", "budget"],
)
def test_what_is_not_followed(ledger: Ledger, decision: Decision) -> None:
    note(ledger, decision)

    assert told(ledger) == []


def test_evidence_that_failed_is_failed(ledger: Ledger) -> None:
    failed = evidence() | {"properties": {"evidence": "tests", "failed": ["sha256:1"]}}

    note(ledger, decided(evidence()))
    note(ledger, decided(failed))
    note(ledger, decided(failed))

    assert statuses(ledger) == ["unmet", "failed"]
    with ledger.store.reading() as connection:
        assert connection.execute("SELECT proof FROM obligations") == [('["sha256:1"]',)]


def vote(at: str) -> dict[str, str]:
    return {"by": "user:bob", "role": "sre", "at": at, "digest": CHANGE}


@pytest.mark.parametrize(
    ("votes", "status"),
    [
        ([vote("2026-03-01T10:30:00Z")], "expired"),
        ([vote("2026-03-01T11:30:00Z")], "unmet"),
        ([vote("2026-03-01T11:30:00Z") | {"digest": OTHER}], "unmet"),
        ([], "unmet"),
    ],
    ids=["over", "rejected meanwhile", "of something else", "taken back"],
)
def test_what_was_met_by_votes_that_ran_out_is_expired(
    ledger: Ledger, votes: list[dict[str, str]], status: str
) -> None:
    note(ledger, decided(approval("met", "user:bob"), outcome="allow"))
    note(ledger, decided(approval("unmet")), approvals=votes)
    note(ledger, decided(approval("unmet")), approvals=votes)

    assert statuses(ledger) == ["met", status]


def test_only_an_allowed_action_owes_what_is_due_after_it(ledger: Ledger) -> None:
    note(ledger, decided(evidence(phase="after"), outcome="deny", action=OTHER))
    note(ledger, decided(evidence(phase="after"), outcome="allow"))

    assert owed(ledger) == [{"evidence": "tests", "of": ACTION}]
    assert owed(ledger, "r2") == []


def test_evidence_settles_what_is_owed(ledger: Ledger) -> None:
    note(ledger, decided(evidence(phase="after"), outcome="allow"))

    assert settle(ledger) == ["met"]
    assert settle(ledger) == []
    assert owed(ledger) == []
    assert statuses(ledger) == ["unmet", "met"]


def test_a_failure_leaves_it_owed_until_a_pass(ledger: Ledger) -> None:
    note(ledger, decided(evidence(phase="after"), outcome="allow"))

    assert settle(ledger, "fail") == ["failed"]
    assert settle(ledger, "fail") == []
    assert owed(ledger) == [{"evidence": "tests", "of": ACTION}]
    assert settle(ledger) == ["met"]
    assert owed(ledger) == []


@pytest.mark.parametrize(
    "more",
    [
        {"type": "scan"},
        {"change_digest": OTHER},
        {"change_digest": "", "action_digest": ACTION},
        {"repository": "acme/fork"},
    ],
)
def test_evidence_of_something_else_settles_nothing(ledger: Ledger, more: dict[str, str]) -> None:
    note(ledger, decided(evidence(phase="after"), outcome="allow"))

    assert settle(ledger, **more) == []
    assert owed(ledger) == [{"evidence": "tests", "of": ACTION}]


def test_an_action_without_a_change_is_settled_by_its_own_digest(ledger: Ledger) -> None:
    note(ledger, decided(evidence(phase="after"), outcome="allow", change=None))

    assert settle(ledger, change_digest="", action_digest=ACTION, repository="") == ["met"]


def test_before_is_not_settled_by_evidence_alone(ledger: Ledger) -> None:
    """The next decision says it: an action that nobody asks for again needs nothing."""
    note(ledger, decided(evidence()))

    assert settle(ledger) == []
