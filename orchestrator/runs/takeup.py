"""Takes runs up: begins their next segment, hands their phases out, finds those that nobody works on. Runs no phase."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from orchestrator.errors import OrchError, UsageError
from orchestrator.ledger.store import Ledger
from orchestrator.runs import walk
from orchestrator.runs.context import open_context
from orchestrator.runs.engine import Engine, Work, own_queue
from orchestrator.runs.reaper import Reaper
from orchestrator.runs.workflow import hand_out

BATCH = 50
"""So many waiting runs are looked at in one go."""
_ORPHANED_S = 4.0
"""A run that has nothing queued for so long is nobody's."""
_FIRST_GAP_S, _MOST_GAP_S = 1.0, 60.0
_WAITING = "SELECT id FROM runs WHERE state = 'waiting' AND id > ? ORDER BY id LIMIT ?"
_OVER = "SELECT count(*) FROM phases WHERE run_id = ? AND state IN ('passed', 'failed', 'skipped', 'compensated')"
_GOING = "SELECT id FROM runs WHERE state IN ('running', 'cancelling') AND plan_digest <> ''"


class BusyError(UsageError):
    """Another process is carrying the run out."""


def begin_segment(engine: Engine, ledger: Ledger, run_id: str, *, by: str, is_abandoned: bool = False) -> None:
    """Begin a run's next segment and hand its phases out; two at once hand out the same.

    Raises:
        UsageError: the run has ended.
        LedgerError, PackError, DecisionError: it cannot be opened here.
    """
    context = open_context(engine.settings, run_id, ledger=ledger, lease=engine.lease, root=engine.options.root)
    segment = walk.start_segment(context, by=by, is_abandoned=is_abandoned)
    hand_out(engine, context._replace(segment=segment))


def begin_first(engine: Engine, ledger: Ledger, run_id: str) -> None:
    """Hand out the first phases of a run that was just begun."""
    context = open_context(engine.settings, run_id, ledger=ledger, lease=engine.lease, root=engine.options.root)
    hand_out(engine, context)


def take_up(engine: Engine, ledger: Ledger, run_id: str, *, by: str) -> None:
    """Go on with a run in this process: what is queued is moved here, what waits becomes due, what was left is redone.

    Raises:
        UsageError: the run has ended.
        BusyError: another process is carrying it out.
    """
    Reaper(engine).sweep()
    work = engine.active(run_id)
    others = sorted({_holder(one) for one in work} - {"", engine.lease.id})
    if others:
        raise BusyError(
            f"the run {run_id} is being carried out by {_shown(others[0])}",
            advice="`orch runs` shows how it stands; `orch cancel` ends it; where that process is gone, try again in a"
            " minute",
        )
    if work:
        engine.claim(run_id)
        return
    begin_segment(engine, ledger, run_id, by=by, is_abandoned=True)


class _Take(NamedTuple):
    """When a run was taken up last."""

    not_before: float
    """When it may be taken up again, by the monotonic clock."""
    gap_s: float
    over: str
    """How many of its phases were over."""


class Waker:
    """Looks after the runs that wait, and after those that nobody works on, a few at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._after = ""
        self._orphans: dict[str, float] = {}
        self._takes: dict[str, _Take] = {}

    def look(self) -> int:
        """Take up what can go on now, and return how many runs that were."""
        with self._engine.ledger() as ledger:
            return sum(self._take(ledger, run_id, is_abandoned=False) for run_id in self._due(ledger)) + sum(
                self._take(ledger, run_id, is_abandoned=True) for run_id in self._orphaned(ledger)
            )

    def _due(self, ledger: Ledger) -> Iterator[str]:
        rows = self._rows(ledger, _WAITING, (self._after, BATCH))
        self._after = rows[-1] if len(rows) == BATCH else ""
        mark = walk.policy_mark(self._engine.settings) if rows else ""
        for run_id in rows:
            if self._may_be_taken(run_id) and walk.due(ledger, run_id, mark):
                yield run_id

    def _orphaned(self, ledger: Ledger) -> Iterator[str]:
        """Yield runs that go on by the ledger, and of which nothing was queued on two looks."""
        busy = {one.id.partition("/")[0] for one in self._engine.active()}
        now = time.monotonic()
        idle = {one for one in self._rows(ledger, _GOING, ()) if one not in busy}
        self._orphans = {one: self._orphans.get(one, now) for one in idle}
        for one, since in list(self._orphans.items()):
            if now - since >= _ORPHANED_S and self._may_be_taken(one):
                del self._orphans[one]
                yield one

    def _may_be_taken(self, run_id: str) -> bool:
        return run_id not in self._takes or time.monotonic() >= self._takes[run_id].not_before

    def _take(self, ledger: Ledger, run_id: str, *, is_abandoned: bool) -> bool:
        """Take a run up; one that gets no further by that waits longer each time, lest it keep everybody busy."""
        [over] = self._rows(ledger, _OVER, (run_id,))
        last = self._takes.get(run_id)
        gap_s = min(2 * last.gap_s, _MOST_GAP_S) if last is not None and last.over == over else _FIRST_GAP_S
        self._takes[run_id] = _Take(time.monotonic() + gap_s, gap_s, over)
        try:
            begin_segment(self._engine, ledger, run_id, by=self._engine.lease.id, is_abandoned=is_abandoned)
        except OrchError as error:
            self._engine.note("cannot be taken up", run=run_id, reason=str(error))
            return False
        self._engine.note("taken up", run=run_id, was="left" if is_abandoned else "waiting")
        return True

    def _rows(self, ledger: Ledger, statement: str, given: tuple[Any, ...]) -> list[str]:
        with ledger.store.reading() as connection:
            return [str(run_id) for (run_id,) in connection.execute(statement, given)]


def _holder(work: Work) -> str:
    if work.is_running:
        return work.executor
    return work.queue.partition("@")[2] if work.queue == own_queue(work.queue.partition("@")[2]) else ""


def _shown(executor: str) -> str:
    """Return an executor's name for people: host and process."""
    parts = executor.rsplit("-", 4)
    return f"process {parts[2]} on {parts[0]}" if len(parts) == 5 else executor  # noqa: PLR2004  # as `lease.new_name` makes it
