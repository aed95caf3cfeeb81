"""Runs and workers are killed with SIGKILL: every effect once, none lost, every run ends, the ledger verifies.

`python bench/kill.py` does the same hundreds of times, at every point.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kill_drill import at_random, drill
from kill_points import server_trap
from kill_world import Kill, World, world_in
from worker_drill import killed_and_stopped

from orchestrator.ledger.open import open_ledger

if TYPE_CHECKING:
    from postgres_server import Server

_AT_EVERY_STATE = (
    Kill(step="hook", verb="retryable"),
    Kill(step="hook", verb="delivered", is_done=False),
    Kill(step="mail", verb="planned"),
    Kill(step="mail", verb="delivered"),
    Kill(step="again", verb="unknown"),
    Kill(step="refused", verb="permanent"),
    Kill(step="issue", verb="dispatching"),
)
_EVERY_STATE = {
    "retryable|hook",
    "dispatching, done|hook",
    "planned|mail",
    "delivered|mail",
    "unknown|again",
    "permanent|refused",
    "dispatching, not done|issue",
}


@pytest.fixture(params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Return a world whose ledger is in a folder, or on a server behind a trap."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            yield stack.enter_context(world_in(tmp_path))
            return
        postgres: Server = request.getfixturevalue("postgres")
        database = postgres.database()
        stack.callback(postgres.drop, database)
        open_ledger(postgres.url(database), as_owner=True).close()
        trap = stack.enter_context(server_trap(postgres.folder))
        yield stack.enter_context(world_in(tmp_path, ledger=postgres.url(database), trap=trap))


@pytest.fixture
def sqlite_world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as made:
        yield made


def test_a_run_that_is_killed_at_every_state_of_the_outbox_ends_with_every_effect_once(world: World) -> None:
    tally = drill(world, [_AT_EVERY_STATE], plan=world.line)

    assert tally.wrong == []
    assert set(tally.met) == _EVERY_STATE
    assert (tally.kills, tally.held, tally.resent, tally.verified) == (len(_AT_EVERY_STATE), 1, 1, 1)


def test_a_run_that_is_killed_at_random_ends_with_every_effect_once(world: World) -> None:
    tally = drill(world, at_random(1, seed=0))

    assert tally.wrong == []
    assert tally.verified == 1


def test_a_worker_that_was_stopped_goes_on_for_one_that_was_killed(sqlite_world: World) -> None:
    outcome = killed_and_stopped(sqlite_world, "spoiled")

    assert outcome.wrong == []
