"""Orders that need somebody: what waits, what opens a gate, and what uses an approval up."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from act_world import World, acted, meanwhile, needs_approval, order, world_in

from orchestrator import approvals, ballot
from orchestrator.act import Order, State
from orchestrator.errors import UsageError
from orchestrator.ledger.store import Ledger


@pytest.fixture
def world(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world_in(tmp_path, ledger, monkeypatch) as made:
        yield made


def test_what_needs_an_approval_waits_is_done_and_uses_it_up(world: World) -> None:
    world.rules(*needs_approval())
    waiting = acted(world, order())
    request_id = waiting.waiting_for[0]["request_id"]
    world.approve(request_id)

    done, later = acted(world, order()), acted(world, order("tell/bob"))

    assert (waiting.state, int(waiting.exit_code)) == (State.WAITING, 4)
    assert waiting.waiting_for == ({"type": "approval", "request_id": request_id, "role": "sre", "missing": 1},)
    assert done.state is State.DELIVERED
    assert later.state is State.WAITING
    assert later.waiting_for[0]["request_id"] != request_id
    assert world.effects() == ["hello"]


def test_waiting_is_recorded_once_however_often_it_is_asked(world: World) -> None:
    world.rules(*needs_approval())

    first, second = acted(world, order()), acted(world, order())

    assert first == second
    assert world.decisions() == 1


def test_an_approval_that_was_revoked_before_its_use_counts_for_nothing(world: World) -> None:
    world.rules(*needs_approval())
    request_id = acted(world, order()).waiting_for[0]["request_id"]
    cast = world.approve(request_id)
    request = approvals.find(world.ledger, request_id)
    ballot.revoke(world.ledger, request, cast, world.signers["user:ada"])

    assert acted(world, order()).state is State.WAITING
    assert world.calls() == 0


def test_a_rejection_after_the_decision_stops_what_was_not_sent(world: World) -> None:
    """The adapter asks once more right before the byte that cannot be called back."""
    world.rules(*needs_approval())
    world.approve(acted(world, order("a", how="slow")).waiting_for[0]["request_id"])

    def reject(ledger: Ledger) -> None:
        with world.executor(ledger=ledger) as executor:
            request_id = executor.act(order("b", how="slow")).waiting_for[0]["request_id"]
        request = approvals.find(ledger, request_id)
        ballot.vote(ledger, request, world.signers["user:bob"], ballot.Ballot("user:bob", "sre", "reject"))

    thread = meanwhile(world, reject)
    done = acted(world, order("a", how="slow"))
    thread.join()

    assert done.state is State.WAITING
    assert "reject" in done.detail
    assert world.effects() == []


def test_a_vote_cannot_be_taken_back_once_the_action_began(world: World) -> None:
    world.rules(*needs_approval())
    request_id = acted(world, order(how="slow")).waiting_for[0]["request_id"]
    cast = world.approve(request_id)
    request = approvals.find(world.ledger, request_id)
    refused: list[str] = []

    def revoke(ledger: Ledger) -> None:
        try:
            ballot.revoke(ledger, request, cast, world.signers["user:ada"])
        except UsageError as error:
            refused.append(str(error))

    thread = meanwhile(world, revoke)
    done = acted(world, order(how="slow"))
    thread.join()

    assert "was used meanwhile" in refused[0]
    assert done.state is State.DELIVERED


def test_a_retry_of_the_same_order_needs_no_second_approval(world: World) -> None:
    world.rules(*needs_approval())
    world.approve(acted(world, order(how="first-busy")).waiting_for[0]["request_id"])

    busy = acted(world, order(how="first-busy"))
    done = acted(world, order(how="first-busy"))

    assert (busy.state, busy.retry_after_s) == (State.RETRYABLE, 7.5)
    assert done.state is State.DELIVERED
    assert len(world.events("approval.consumed")) == 1


def test_two_orders_that_wait_for_one_approval_are_not_both_done(world: World) -> None:
    world.rules(*needs_approval())
    request_id = acted(world, order("a")).waiting_for[0]["request_id"]
    same = acted(world, order("b"))
    world.approve(request_id)

    states = [acted(world, order("a")).state, acted(world, order("b")).state]

    assert same.waiting_for[0]["request_id"] == request_id
    assert states == [State.DELIVERED, State.WAITING]
    assert len(world.effects()) == 1


def gate(plan: str = "release:build", **more: object) -> Order:
    said = {"resource": plan, "criteria": [], "met": 0, "mode": "automated"}
    return Order("gate/build", "approve_phase", {**said, **more})


def test_a_gate_that_is_allowed_is_open_and_stays_open(world: World) -> None:
    with world.executor() as executor:
        first, second = executor.decide(gate()), executor.decide(gate())
        context = executor.decision_of(gate())

    assert first is second is None
    assert context is not None
    assert context["outcome"] == "allow"
    assert world.decisions() == 1


def test_a_gate_that_needs_an_approval_uses_it_up(world: World) -> None:
    world.rules(
        "{id: open, effect: allow, actions: '*'}",
        "{id: gate, effect: require, actions: approve_phase, approvals: {role: sre}}",
    )
    with world.executor() as executor:
        waiting = executor.decide(gate())
        assert waiting is not None
        world.approve(waiting.waiting_for[0]["request_id"])
        opened = executor.decide(gate())
    with world.executor(run="r2") as executor:
        other_run = executor.decide(gate())

    assert waiting.state is State.WAITING
    assert opened is None
    assert other_run is not None
    assert other_run.state is State.WAITING


def test_packs_of_a_run_narrow_it(world: World) -> None:
    text = "apiVersion: orch/v1\nkind: PolicyPack\nmetadata: {name: gate}\ndefault: inherit\nrules:\n"
    text += "  - {id: ask, effect: require, actions: approve_phase, approvals: {role: sre}}\n"
    with world.executor(run_packs=[{"name": "gate", "text": text}]) as executor:
        waiting = executor.decide(gate())

    assert waiting is not None
    assert waiting.state is State.WAITING


def test_deciding_performs_nothing(world: World) -> None:
    with world.executor() as executor:
        allowed = executor.decide(order())

    assert allowed is None
    assert world.verbs() == ["planned"]
    assert acted(world, order()).state is State.DELIVERED
    assert world.decisions() == 1
