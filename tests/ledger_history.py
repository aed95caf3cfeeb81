"""A ledger with a history in it: every type of event, with the payloads that docs/ledger.md gives them."""

from collections.abc import Mapping
from typing import Any

from orchestrator.digest import sha256
from orchestrator.ledger.append import append_all
from orchestrator.ledger.event import Draft, Event
from orchestrator.ledger.store import Ledger

CANARY = "Kanarienvogel-4711"
"""A text that people wrote; it stands in every payload where such a text may stand."""
RUN = "run-7f3a"
POLICY, ACTION, CHANGE, TREE = (sha256(name) for name in (b"policy", b"action", b"change", b"tree"))
BLOB = b"<testsuite tests='3'/>"
DIGEST = sha256(BLOB)

_COUNTER = {"meter": "usd", "scope": "run", "scope_id": RUN, "window": "", "window_start": "", "limit": 5_000_000}


def decision(outcome: str = "deny", **more: object) -> dict[str, Any]:
    """Return the payload of a decision."""
    finding: dict[str, object] = {
        "rule": "acme/no-push",
        "effect": "deny" if outcome == "deny" else "require",
        "level": "hard",
        "severity": "high",
        "mode": "enforce",
        "waived": False,
        "message": f"push to main is not allowed ({CANARY})",
        "fix": "",
        "source": "packs/acme.yaml:12",
        "paths": [],
        "path_count": 0,
        "asks": [],
    }
    owed = {
        "id": "approval:sre",
        "type": "approval",
        "phase": "before",
        "mode": "enforce",
        "status": "unmet",
        "properties": {"role": "sre", "count": 2, "votes": 1},
        "proof": ["user:bob"],
    }
    context = {
        "outcome": outcome,
        "would": outcome,
        "reason": "denied",
        "claimed": False,
        "findings": [finding] if outcome != "allow" else [],
        "obligations": [owed] if outcome == "pending" else [],
        **more,
    }
    request = {
        "subject": {"type": "agent", "id": "agent:fixer"},
        "action": {"name": "open_pr", "properties": {"title": CANARY}},
        "resource": {
            "type": "repository",
            "id": "acme/web",
            "properties": {"branch": "main", "files": [{"path": "a"}]},
        },
        "context": {},
    }
    return {"request": request, "facts": {"point": "run"}, "decision": context, "claims": [], "label": ""}


def _decided(outcome: str, cause_id: str = "") -> Draft:
    about = {"subject": "acme/web", "repository": "acme/web", "action": "open_pr", "outcome": outcome}
    return Draft("orch.decision", RUN, "agent:fixer", decision(outcome), cause_id=cause_id, **about)


def _said(kind: str, payload: Mapping[str, Any], *, run: str = RUN, actor: str = "agent:fixer", **more: str) -> Draft:
    return Draft(f"orch.{kind}", run, actor, payload, **more)


def _beginning() -> list[Draft]:
    started = {
        "kind": "task",
        "repository": "acme/web",
        "session": "s1",
        "trigger": CANARY,
        "event": {"title": CANARY},
        "config_digest": "",
    }
    pack = {"name": "acme", "version": "1.0.0", "layer": "org", "digest": POLICY}
    return [
        _said("run.started", started, repository="acme/web"),
        _said("policy.loaded", {"digest": POLICY, "packs": [pack]}),
        _decided("deny"),
        _decided("allow"),
    ]


def _approval(cause: Event) -> list[Draft]:
    request = {
        "request_id": "k3fq7x2m9a",
        "request_key": sha256(b"key"),
        "evaluation_id": cause.id,
        "run_id": RUN,
        "subject": "agent:fixer",
        "action": "open_pr",
        "repository": "acme/web",
        "resource": "acme/web",
        "branch": "main",
        "action_digest": ACTION,
        "change_digest": CHANGE,
        "policy_digest": POLICY,
        "asks": [{"role": "sre", "count": 2, "votes": 0, "expires_s": 86_400, "bind": "changes"}],
        "summary": {"title": CANARY},
        "claimed": False,
    }
    vote = {
        "vote_id": "v1",
        "request_id": "k3fq7x2m9a",
        "by": "user:bob",
        "role": "sre",
        "decision": "approve",
        "token": "a.b.c",
        "via": "key",
        "at": "2026-11-21T05:00:00Z",
        "expires_at": "2026-11-22T05:00:00Z",
        "digest": CHANGE,
        "action_digest": ACTION,
        "change_digest": CHANGE,
    }
    chain = "request:k3fq7x2m9a"
    return [
        _said("approval.requested", request, run=chain, cause_id=cause.id, repository="acme/web", action="open_pr"),
        _said("approval.voted", vote, run=chain, actor="user:bob"),
        _said(
            "approval.voted",
            {**vote, "vote_id": "v2", "decision": "reject", "by": "user:eve"},
            run=chain,
            actor="user:eve",
        ),
        _said(
            "approval.revoked",
            {"vote_id": "v2", "request_id": "k3fq7x2m9a", "by": "user:eve", "token": "d.e.f"},
            run=chain,
        ),
        _said("approval.consumed", {"request_id": "k3fq7x2m9a", "evaluation_id": cause.id}, run=chain),
    ]


def _proof(cause: Event) -> list[Draft]:
    evidence = {
        "type": "tests",
        "result": "pass",
        "artifact": DIGEST,
        "change_digest": CHANGE,
        "action_digest": "",
        "tree": TREE,
        "commit": "",
        "run_id": RUN,
        "summary": {"tests": 3, "note": CANARY, "claimed": True},
        "tool": "pytest",
        "signed_by": "",
    }
    obligation = {
        "obligation": "evidence:tests",
        "type": "evidence",
        "phase": "after",
        "mode": "enforce",
        "evaluation_id": cause.id,
        "run_id": RUN,
        "action_digest": ACTION,
        "change_digest": CHANGE,
        "proof": [DIGEST],
    }
    stored = {"digest": DIGEST, "size": len(BLOB), "media_type": "application/xml", "name": f"{CANARY}.xml"}
    states = ("unmet", "met", "failed", "expired")
    return [
        _said("artifact.stored", stored),
        _said("evidence.added", evidence, repository="acme/web"),
        *(_said(f"obligation.{state}", obligation) for state in states),
    ]


def _money(cause: Event) -> list[Draft]:
    def reserved(name: str) -> Draft:
        counter = {**_COUNTER, "estimate": 1_250_000, "warn_at": 80}
        said = {"reservation_id": name, "evaluation_id": cause.id, "run_id": RUN, "expires_at": "2026-11-21T05:15:00Z"}
        return _said("budget.reserved", {**said, "counters": [counter]})

    def closed(state: str, name: str, charged: int | None) -> Draft:
        return _said(
            f"budget.{state}", {"reservation_id": name, "charged": {} if charged is None else {"usd": charged}}
        )

    alert = {**_COUNTER, "spent": 4_000_000, "reserved": 0, "asked": 2_000_000}
    return [
        *(reserved(name) for name in ("r1", "r2", "r3")),
        closed("started", "r1", None),
        closed("settled", "r1", 1_000_000),
        closed("released", "r2", 0),
        closed("expired", "r3", 1_250_000),
        _said("budget.warned", alert),
        _said("budget.exceeded", alert),
    ]


def _acts(cause: Event) -> list[Draft]:
    def about(verb: str, key: str, **more: object) -> Draft:
        return _said(f"action.{verb}", {"key": key * 64, **more}, action="comment")

    def planned(key: str) -> Draft:
        said = {"run_id": RUN, "name": f"tell/{key}", "target": "", "adapter": "mail", "effect": "outward"}
        return about("planned", key, **said, replayable=False, asked_digest=ACTION, evaluation_id=cause.id)

    def begun(key: str, attempt: int = 1) -> Draft:
        said = {"executor": "host-1", "request_id": "", "reservation_id": ""}
        return about("dispatching", key, attempt=attempt, **said)

    def ended(verb: str, key: str, error_class: str = "", attempt: int = 1) -> Draft:
        receipt: dict[str, object] = {
            "reference": "<1@acme>",
            "detail": CANARY,
            "outputs": {"id": CANARY},
            "retry_after_s": None,
        }
        receipt |= {"artifacts": [], "used": {}}
        return about(verb, key, attempt=attempt, receipt=receipt, error_class=error_class, executor="")

    return [
        *(planned(key) for key in "abcd"),
        *(begun(key) for key in "abc"),
        ended("delivered", "a"),
        ended("permanent", "b", "permanent"),
        ended("unknown", "c"),
        about("resolved", "c", state="retryable", by="user:ann", note="looked"),
        begun("c", 2),
        ended("retryable", "c", "transient", 2),
    ]


def _phases() -> list[Draft]:
    return [
        _said("phase.started", {"phase": "tell", "attempt": 1}),
        _said("phase.passed", {"phase": "tell", "criteria": []}),
    ]


def _countdown() -> list[Draft]:
    """Return a countdown: codes, a deadline, a tick with a stage, guesses, a renewal, and what an operator can do."""
    at, later = "2026-11-21T05:00:00Z", "2026-11-22T05:00:00.000000007Z"

    def about(kind: str, **said: object) -> Draft:
        return _said(f"escalation.{kind}", {"name": "calm", **said}, run="escalation:calm", actor="user:ann")

    def code(name: str) -> dict[str, str]:
        return {"id": f"code-{name}", "salt": "5a" * 16, "hash": "c0" * 32, "seal": ""}

    def began(cycle: int, **said: object) -> Draft:
        more = {"run_id": f"calm-c{cycle}", "mode": "countdown", "stage": "ok", "deadline": later, "at": at}
        return about("began", cycle=cycle, **more, is_armed=True, by="user:ann", **said)

    order: dict[str, object] = {
        "name": "remind/mail",
        "action": "send_message",
        "parameters": {"channel": "mail", "body": CANARY},
    }
    order |= {"adapter": None, "on_unknown": "hold", "timeout_s": 300.0}
    entered = {"cycle": 1, "run_id": "calm-c1", "stage": "remind", "from": "ok", "at": at, "evaluation_id": ""}
    return [
        about("codes", codes=[code("old")]),
        about("codes", codes=[code("main"), code("spare")]),
        began(1, why="set_deadline"),
        about("deadline", deadline=later, why="trigger", by="user:ann", is_triggered=True),
        about("disarmed", by="user:ann"),
        about("armed", deadline=later, by="user:ann"),
        about("ticking", executor="host-1", tick=1, now=at),
        about("stage", **entered, orders=[order], plan_run_id="calm-c1-remind"),
        about("refused", what="clock", detail="it was set back"),
        about("ticked", tick=1, now=at, boot="b0", boot_us=7, stage="remind", target="remind", owed=["remind/mail"], heartbeat="delivered", executor="host-1"),
        *(about("attempt", source=one, at=at, is_locked=False) for one in ("tty", "tty", "10.0.0.1")),
        about("attempt", source="tty", at=later, is_locked=True),
        about("wrong", source="tty", failures=2, locked_until=later),
        about("wrong", source="10.0.0.1", failures=1, locked_until=""),
        began(2, why="renew", code_id="code-spare", is_main=False, source="10.0.0.1", counter=4, key="thumb", seal=""),
    ]  # fmt: skip


def record(ledger: Ledger) -> list[Event]:
    """Append one event of every type but the ledger's own two, and return them."""
    begun = append_all(ledger, _beginning())
    asked = append_all(ledger, [_decided("pending", cause_id=begun[2].id)])[0]
    rest = append_all(
        ledger, [*_approval(asked), *_proof(asked), *_money(asked), *_acts(asked), *_phases(), *_countdown()]
    )
    alone = Draft("orch.decision", "adhoc:1", "user:ann", decision("allow"), subject="acme/app", repository="acme/app", action="comment", outcome="allow")  # fmt: skip
    more = append_all(ledger, [alone, _said("run.ended", {"state": "done", "reason": CANARY})])
    return [*begun, asked, *rest, *more]
