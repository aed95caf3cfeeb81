"""Ticks are killed with SIGKILL at every state of the outbox: every effect once, none lost, the ledger verifies.

`python bench/kill.py --tick` does the same hundreds of times, at every state of every deed.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kill_points import server_trap
from kill_world import Kill
from tick_drill import drill
from tick_world import TickWorld, tick_world_in

from orchestrator.ledger.open import open_ledger

if TYPE_CHECKING:
    from postgres_server import Server

_AT_EVERY_STATE = (
    Kill(step="mail", verb="dispatching"),
    Kill(step="chat", verb="delivered", is_done=False),
    Kill(step="hook", verb="retryable"),
    Kill(step="letter.anna", verb="planned"),
    Kill(step="letter.anna", verb="dispatching"),
    Kill(step="letter.ben", verb="delivered", is_done=False),
    Kill(step="append", verb="delivered", is_done=False),
    Kill(step="again", verb="unknown"),
    Kill(step="refused", verb="permanent"),
    Kill(step="file", verb="dispatching"),
    Kill(step="issue", verb="delivered", is_done=False),
    Kill(step="push", verb="delivered", is_done=False),
)
_EVERY_STATE = {
    "dispatching, not done|mail",
    "unknown|mail",
    "dispatching, done|chat",
    "unknown|chat",
    "retryable|hook",
    "planned|letter.anna",
    "planned|letter.ben",
    "dispatching, not done|letter.anna",
    "unknown|letter.anna",
    "dispatching, done|letter.ben",
    "unknown|letter.ben",
    "dispatching, done|append",
    "unknown|append",
    "unknown|again",
    "permanent|refused",
    "dispatching, not done|file",
    "dispatching, done|issue",
    "dispatching, done|push",
}
_SETTLED_BY_HAND = 5
"""Mail, chat and command, of which nobody outside can be asked; of the letters one arrived and the other did not."""


@pytest.fixture(params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TickWorld]:
    """Return a world whose ledger is in a folder, or on a server behind a trap."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            yield stack.enter_context(tick_world_in(tmp_path))
            return
        postgres: Server = request.getfixturevalue("postgres")
        database = postgres.database()
        stack.callback(postgres.drop, database)
        open_ledger(postgres.url(database), as_owner=True).close()
        trap = stack.enter_context(server_trap(postgres.folder))
        yield stack.enter_context(tick_world_in(tmp_path, ledger=postgres.url(database), trap=trap))


def test_a_cycle_that_is_killed_at_every_state_of_the_outbox_has_every_effect_once(world: TickWorld) -> None:
    tally = drill(world, [_AT_EVERY_STATE])

    assert tally.wrong == []
    assert set(tally.met) == _EVERY_STATE
    assert (tally.kills, tally.held, tally.resent, tally.verified) == (len(_AT_EVERY_STATE), _SETTLED_BY_HAND, 1, 1)
