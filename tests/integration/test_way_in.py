"""Reminders never carry a way in: real texts, the real engine, and what is executed."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from act_world import World, order, world_in
from engine import Engine, running
from way_in_texts import BAD, GOOD

from orchestrator.act import Done, Order, State
from orchestrator.choices import Mode
from orchestrator.clock import parse_time
from orchestrator.compile import compile_packs
from orchestrator.decide import Circumstances, Policy, Question
from orchestrator.decision import Decision
from orchestrator.ledger.store import Ledger
from orchestrator.model import Default, Layer, Pack, PackSet, Source

KNOWN = {"name": "continuity", "stage": "remind", "of_stage": "remind", "audience": "operator"}
MODES = (None, Mode.WARN)


class Library:
    """The engine under one pack that allows everything; asked as `decide` asks."""

    def __init__(self, engine: Engine) -> None:
        pack = Pack("acme", "1.0.0", Layer.ORG, Default.ALLOW, Source("acme.yaml", 1), "sha256:p")
        self._policy = {**compile_packs(PackSet((pack,))).data, "digest": "sha256:d"}
        self._engine = engine

    def ask(self, batch: bytes) -> list[Any]:
        return self._engine.answers_of(self._policy, json.loads(batch)["batch"])

    def explain(self, batch: bytes) -> list[Any]:
        raise NotImplementedError


@pytest.fixture(scope="module")
def policy(opa_binary: Path) -> Iterator[Policy]:
    with running(opa_binary) as engine:
        yield Policy(Library(engine), "sha256:d")


def message(**texts: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
    return {
        "subject": {"type": "job", "id": "job:tick"},
        "action": {"name": "send_message", "properties": {"channel": "mail", "to": ["ann@acme.example"], **texts}},
        "resource": {"type": "channel", "id": "mail"},
        "context": {},
    }


def decided(policy: Policy, mode: Mode | None = None, known: Mapping[str, Any] = KNOWN, **texts: Any) -> Decision:  # noqa: ANN401  # JSON
    question = Question(message(**texts), {"stage": "remind", "escalation": known})
    return next(iter(policy.decide_many([question], Circumstances(override=mode))))


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_way_in_is_denied_in_every_mode(policy: Policy, text: str, mode: Mode | None) -> None:
    decision = decided(policy, mode, body=f"Hello.\n{text}\nBye.")

    assert (decision.outcome, decision.would, decision.reason) == ("deny", "deny", "denied")
    assert [one.rule for one in decision.findings if one.effect == "deny"] == ["orch/way-in"]


@pytest.mark.parametrize("text", GOOD)
def test_plain_words_are_allowed(policy: Policy, text: str) -> None:
    decision = decided(policy, subject=text.partition("\n")[0], body=f"Hello. {text}")

    assert [one.message for one in decision.findings if one.effect == "deny"] == []
    assert decision.outcome == "allow"


@pytest.mark.parametrize("name", ["subject", "body", "html"])
def test_every_text_of_a_message_is_looked_at(policy: Policy, name: str) -> None:
    texts: dict[str, Any] = {"body": "Hello", name: "acme&#46;example"}

    assert decided(policy, **texts).reason == "denied"


@pytest.mark.parametrize("audience", ["custodians", "public"])
def test_others_may_be_shown_where_to_go(policy: Policy, audience: str) -> None:
    known = KNOWN | {"of_stage": "full", "audience": audience}

    assert decided(policy, known=known, body="https://acme.example").outcome == "allow"


def test_an_audience_that_nobody_knows_is_the_operator(policy: Policy) -> None:
    known = {name: value for name, value in KNOWN.items() if name != "audience"}

    assert decided(policy, known=known, body="https://acme.example").outcome == "deny"


def test_a_code_that_was_found_is_not_told(policy: Policy) -> None:
    decision = decided(policy, body="K7QF-9MZX-2ABC-D3EF, {subject} at https://acme.example/K7QF-9MZX?code=9MZX")

    (message,) = [one.message for one in decision.findings if one.rule == "orch/way-in"]
    assert "9MZX" not in message
    assert "acme.example" in message


def test_outside_of_escalations_any_text_may_be_sent(policy: Policy) -> None:
    decision = next(iter(policy.decide_many([Question(message(body="https://acme.example"))])))

    assert (decision.outcome, "escalation" in decision.facts) == ("allow", False)


# -- where it is executed

ESCALATION = """
apiVersion: orch/v1
kind: Escalation
metadata: {name: continuity, version: 1.0.0}
renewal: {extends: 24h, lockout: {after: 5, first: 1s, longest: 10s}}
routes:
  operator: {channel: mail, to: ["${{ secrets.NOTE }}"]}
stages:
  - {name: ok}
  - name: remind
    at: -15m
    min_dwell: 15m
    actions: [{id: mail, action: send_message, route: operator, text: {subject: Soon, body: Soon}}]
  - name: full
    at: 1m
    audience: public
    actions: [{id: note, action: post_note, adapter: post, with: {note: It is over}}]
"""
AT_A_TICK = {
    "name": "continuity",
    "mode": "countdown",
    "cycle": 1,
    "is_armed": True,
    "stage": "remind",
    "stage_at": "2026-11-21T04:45:00Z",
    "deadline": "2026-11-21T05:00:00Z",
    "delivered": [],
    "of_stage": "remind",
    "audience": "operator",
    "is_drill": False,
}
DUE = "2026-11-21T05:01:00Z"


@pytest.fixture
def world(tmp_path: Path, sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world_in(tmp_path, sqlite_ledger, monkeypatch) as made:
        (made.folder / "packs" / "continuity.yaml").write_text(ESCALATION)
        yield made


def ticked(world: World, one: Order, now: str = DUE, **known: Any) -> Done:  # noqa: ANN401  # JSON
    """Have an order carried out as a tick does: the host's facts and the time set, and set anew for each order."""
    with world.executor("continuity-c1") as executor:
        executor.judge.facts = {"stage": "remind", "escalation": AT_A_TICK | known}
        executor.judge.now_ns = parse_time(now)
        return executor.act(one)


def gate(action: str, **parameters: Any) -> Order:  # noqa: ANN401  # JSON
    return Order(f"{action}/1", action, {"resource": "continuity", "cycle": 1, **parameters})


def test_a_reminder_with_a_way_in_is_not_sent(world: World) -> None:
    done = ticked(world, order(note="renew at acme&#46;example"))

    assert (done.state, world.calls()) == (State.DENIED, 0)
    assert "orch/way-in" in done.detail


def test_a_plain_reminder_is_sent_and_what_was_read_in_it_is_recorded(world: World) -> None:
    done = ticked(world, order(note="It is&nbsp;soon"))

    assert (done.state, world.effects()) == (State.DELIVERED, ["It is&nbsp;soon"])
    (decision,) = world.events("decision")
    assert isinstance(decision.payload, dict)
    assert decision.payload["facts"]["escalation"]["texts"] == ["It is soon"]


def test_the_public_is_told_where_to_go(world: World) -> None:
    done = ticked(world, order(note="see acme.example"), of_stage="full", audience="public")

    assert done.state is State.DELIVERED


def test_what_the_policy_calls_the_operators_is_the_operators(world: World) -> None:
    done = ticked(world, order(note="see acme.example"), of_stage="remind", audience="public")

    assert done.state is State.DENIED


def test_a_tick_is_done_by_being_allowed(world: World) -> None:
    done = ticked(world, gate("tick", stage="remind"))

    assert (done.state, world.verbs()) == (State.DELIVERED, ["planned", "dispatching", "delivered"])


def test_a_stage_that_is_due_is_entered_by_being_allowed(world: World) -> None:
    done = ticked(world, gate("enter_stage", **{"from": "remind", "stage": "full", "audience": "public"}))

    assert (done.state, int(done.exit_code)) == (State.DELIVERED, 0)


def test_a_stage_that_is_not_due_waits_and_says_why(world: World) -> None:
    done = ticked(world, gate("enter_stage", stage="full"), now="2026-11-21T05:00:59.999999999Z")

    assert (done.state, int(done.exit_code)) == (State.WAITING, 4)
    assert done.detail == "wait: continuity stays at remind, because no further stage is due"
    assert done.waiting_for == ({"type": "stage", "stage": "remind"},)


def test_the_same_order_asked_again_later_is_decided_anew(world: World) -> None:
    enter = gate("enter_stage", stage="full")

    states = [ticked(world, enter, now=now).state for now in ("2026-11-21T05:00:59Z", DUE)]

    assert states == [State.WAITING, State.DELIVERED]


def test_an_escalation_that_is_not_the_policys_is_denied(world: World) -> None:
    done = ticked(world, Order("tick/1", "tick", {"resource": "another", "cycle": 1}))

    assert done.state is State.DENIED
    assert "the policy knows no escalation another" in done.detail


def test_a_tick_of_nothing_is_no_tick(world: World) -> None:
    done = ticked(world, Order("tick/1", "tick", {"cycle": 1}))

    assert (done.state, done.detail) == (State.PERMANENT, "tick needs `resource`: the escalation (resource: its name)")
