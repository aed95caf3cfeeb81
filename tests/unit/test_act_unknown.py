"""Orders of which nobody knows what became: looked up, held, done again, or settled by a person."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from act_world import World, acted, order, world_in

from orchestrator import outbox
from orchestrator.act import OnUnknown, State
from orchestrator.adapter import Delivery
from orchestrator.errors import UsageError
from orchestrator.ledger.store import Ledger


@pytest.fixture
def world(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world_in(tmp_path, ledger, monkeypatch) as made:
        yield made


def test_a_lost_reply_is_looked_up_before_anything_is_sent_again(world: World) -> None:
    lost = acted(world, order(how="lose"))
    found = acted(world, order(how="lose"))

    assert (lost.state, found.state) == (State.UNKNOWN, State.DELIVERED)
    assert world.calls() == 1
    assert found.outputs == {"said": "found"}


def test_what_cannot_be_looked_up_is_held(world: World) -> None:
    first = acted(world, order(how="lose", blind=True))
    second = acted(world, order(how="lose", blind=True))

    assert first.state is second.state is State.UNKNOWN
    assert world.calls() == 1


def test_what_cannot_be_looked_up_is_done_again_where_that_was_asked_for(world: World) -> None:
    one = order(how="first-lose", blind=True)._replace(on_unknown=OnUnknown.RESEND)

    states = [acted(world, one).state, acted(world, one).state]

    assert states == [State.UNKNOWN, State.DELIVERED]
    assert world.calls() == 2


def test_what_may_be_repeated_at_will_is(world: World) -> None:
    one = order(how="first-lose", blind=True, replayable=True)

    assert [acted(world, one).state, acted(world, one).state] == [State.UNKNOWN, State.DELIVERED]


def test_the_author_of_a_plan_says_whether_it_may_be_repeated(world: World) -> None:
    one = order(how="first-lose", blind=True, replayable=True)._replace(is_replayable=False)

    assert [acted(world, one).state, acted(world, one).state] == [State.UNKNOWN, State.UNKNOWN]


@pytest.mark.parametrize(
    ("word", "expected", "effects"),
    [(Delivery.DELIVERED, State.DELIVERED, 1), (Delivery.RETRYABLE, State.DELIVERED, 2)],
    ids=["it happened", "send it again"],
)
def test_a_person_settles_what_nobody_knows(world: World, word: Delivery, expected: State, effects: int) -> None:
    one = order(how="first-lose", blind=True)
    acted(world, one)

    outbox.resolve(world.ledger, "r1", one.name, word, by="user:ada", note="I looked")

    assert acted(world, one).state is expected
    assert len(world.effects()) == effects
    with pytest.raises(UsageError, match="nothing is unknown"):
        outbox.resolve(world.ledger, "r1", one.name, word, by="user:ada")


def test_a_hung_process_is_not_overtaken_unless_it_is_found_or_may_be_repeated(world: World) -> None:
    """Who began it lives, so that it is not there yet proves nothing."""
    with world.executor() as hung, world.executor() as other:
        hung.decide(order())
        with world.ledger.store.writing() as connection:
            chain = outbox.chain_of("r1", "tell/ada", world.ledger.id)
            row = outbox.rows_of(connection, chain, "tell/ada")[""]
            plan = outbox.Plan(chain, "r1", "tell/ada", "post_note", "post", row.asked_digest, "agent:fixer")
            said = {"executor": hung.lease.id, "request_id": "", "reservation_id": ""}
            outbox.dispatching(world.ledger, connection, plan, row, said)

        done = other.act(order())

    assert done.state is State.UNKNOWN
    assert world.calls() == 0
    assert acted(world, order()).state is State.DELIVERED  # it has ended now, and left nothing
