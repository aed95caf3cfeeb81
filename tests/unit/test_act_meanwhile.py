"""What changes between a decision and what it allowed: packs, a cancelled run, another process."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from act_world import World, acted, meanwhile, needs_approval, order, world_in

from orchestrator.act import Done, State
from orchestrator.errors import LedgerError
from orchestrator.ledger.store import Ledger
from orchestrator.runs.executors import Executors, executors_of


@pytest.fixture
def world(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world_in(tmp_path, ledger, monkeypatch) as made:
        yield made


def test_a_pack_that_changes_while_it_waits_decides(world: World) -> None:
    world.rules(*needs_approval())
    with world.executor() as executor:
        waiting = executor.act(order())
        world.approve(waiting.waiting_for[0]["request_id"])
        world.rules("{id: none, effect: deny, actions: post_note}")

        done = executor.act(order())

    assert done.state is State.DENIED
    assert world.decisions() == 2


def test_a_pack_that_changes_after_the_decision_stops_what_was_not_sent(world: World) -> None:
    rule = "  - {id: none, effect: deny, actions: post_note}\n"
    done = acted(world, order(how="change-packs", packs=str(world.pack), rule=rule))

    assert done.state is State.DENIED
    assert world.effects() == []
    assert world.verbs() == ["planned", "dispatching", "retryable", "planned"]


def test_what_is_cancelled_before_it_is_sent_is_not_sent(world: World) -> None:
    before = acted(world, order(), is_cancelled=lambda: True)
    answers = iter([False, True, True, True])
    during = acted(world, order("b"), is_cancelled=lambda: next(answers, True))

    assert before.state is during.state is State.CANCELLED
    assert int(during.exit_code) == 130
    assert world.effects() == []


def test_two_at_once_act_once(world: World) -> None:
    def act(_: int) -> Done:
        with world.elsewhere() as ledger, world.executor(ledger=ledger) as executor:
            return executor.act(order())

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(act, range(4)))

    assert {one.state for one in done} == {State.DELIVERED}
    assert len(world.effects()) == 1


def test_who_was_taken_over_begins_nothing(world: World) -> None:
    with world.executor() as executor, executors(world) as register:
        register.lose(executor.lease.id)
        with pytest.raises(LedgerError):
            executor.act(order())

    assert world.calls() == 0


def test_who_was_taken_over_sends_nothing_and_another_does_it(world: World) -> None:
    def take_over(_: Ledger) -> None:
        with executors(world) as register:
            register.lose(executor.lease.id)

    with world.executor() as executor:
        thread = meanwhile(world, take_over)
        with pytest.raises(LedgerError, match="taken over"):
            executor.act(order(how="slow"))
        thread.join()
        assert world.effects() == []

        assert acted(world, order(how="slow")).state is State.DELIVERED
    assert world.effects() == ["hello"]


@contextmanager
def executors(world: World) -> Iterator[Executors]:
    with closing(executors_of(world.ledger)) as register:
        yield register
