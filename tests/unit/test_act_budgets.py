"""Orders that cost: room is taken before they are sent, and charged or given back after."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from act_world import World, acted, order, world_in

from orchestrator import outbox, outlay
from orchestrator.act import Done, Order, State
from orchestrator.adapter import ErrorClass
from orchestrator.ledger.store import Ledger


@pytest.fixture
def world(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world_in(tmp_path, ledger, monkeypatch) as made:
        yield made


BUDGET = "{id: open, effect: allow, actions: '*', budgets: [{meter: coins, per: run, limit: 3}]}"


def coins(world: World) -> tuple[int, int]:
    with world.ledger.store.reading() as connection:
        rows = connection.execute("SELECT spent, reserved FROM budgets WHERE meter = 'coins'")
    return (rows[0][0] // 10**6, rows[0][1] // 10**6) if rows else (0, 0)


def priced(name: str, amount: int = 2, **more: object) -> Order:
    return order(name, **more)._replace(estimates={"coins": amount * 10**6})


def test_what_is_done_is_charged_and_what_has_no_room_is_not_done(world: World) -> None:
    world.rules(BUDGET)

    first, second = acted(world, priced("a")), acted(world, priced("b"))

    assert (first.state, second.state, int(second.exit_code)) == (State.DELIVERED, State.BUDGET, 5)
    assert coins(world) == (2, 0)
    assert world.effects() == ["hello"]


def test_what_an_adapter_says_it_used_is_charged(world: World) -> None:
    world.rules(BUDGET)

    acted(world, priced("a", used={"coins": 10**6}))

    assert coins(world) == (1, 0)


@pytest.mark.parametrize(
    ("how", "expected"), [("busy", (0, 0)), ("refuse", (0, 0)), ("lose", (0, 2))], ids=["busy", "refused", "unknown"]
)
def test_room_is_given_back_unless_it_may_have_happened(world: World, how: str, expected: tuple[int, int]) -> None:
    world.rules(BUDGET)

    acted(world, priced("a", how=how, blind=True))

    assert coins(world) == expected


def test_what_is_found_to_have_happened_is_charged_after_all(world: World) -> None:
    world.rules(BUDGET)
    lost = acted(world, priced("a", how="lose"))

    found = acted(world, priced("a", how="lose"))

    assert (lost.state, found.state) == (State.UNKNOWN, State.DELIVERED)
    assert coins(world) == (2, 0)


def test_a_meter_that_nobody_prices_is_configuration(world: World) -> None:
    world.rules(BUDGET)

    done = acted(world, order())

    assert (done.state, done.error_class) == (State.PERMANENT, ErrorClass.CONFIGURATION)
    assert world.calls() == 0


def test_room_taken_before_a_crash_is_used_and_not_taken_twice(world: World) -> None:
    """A limit of 3 has no room for 2 and 2."""
    world.rules(BUDGET)
    with world.executor() as executor:
        executor.decide(priced("a"))
        context = executor.decision_of(priced("a"))
        key = outbox.key_of(world.ledger.id, "r1", "a", "")
        assert context is not None
        spender = outlay.Spender("r1", "agent:fixer", key)
        outlay.taken(world.ledger, spender, priced("a"), str(context["evaluation_id"]), 1)

    done = acted(world, priced("a"))

    assert done.state is State.DELIVERED
    assert coins(world) == (2, 0)


def test_several_at_the_same_orders_act_and_are_charged_once_each(world: World) -> None:
    world.rules(BUDGET.replace("limit: 3", "limit: 1000"))
    names = [f"a{number}" for number in range(6)]

    def act(first: int) -> list[Done]:
        with world.elsewhere() as ledger, world.executor(ledger=ledger) as executor:
            return [executor.act(priced(name, 1)) for name in (*names[first:], *names[:first])]

    with ThreadPoolExecutor(4) as pool:
        done = [one for many in pool.map(act, range(4)) for one in many]

    assert {one.state for one in done} == {State.DELIVERED}, [one.detail for one in done]
    assert (len(world.effects()), coins(world)) == (6, (6, 0))
