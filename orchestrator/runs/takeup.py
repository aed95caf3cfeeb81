"""Takes runs up: begins their next segment, hands their phases out, finds those that nobody works on. Runs no phase."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from orchestrator import clock
from orchestrator.errors import OrchError, UsageError
from orchestrator.ledger.store import Ledger
from orchestrator.runs import walk
from orchestrator.runs.attendance import shown
from orchestrator.runs.context import open_context
from orchestrator.runs.engine import Engine, Work, own_queue
from orchestrator.runs.journal import GOES_ON
from orchestrator.runs.reaper import Reaper
from orchestrator.runs.telling import is_untold, tell
from orchestrator.runs.workflow import carry_out, hand_out

BATCH = 50
"""So many waiting runs are looked at in one go."""
_ORPHANED_S = 4.0
"""A run that has nothing queued for so long is nobody's."""
_HANDED_OUT_S = 1.0
"""So long whoever began a segment may take to hand its phases out."""
_FIRST_GAP_S, _MOST_GAP_S = 1.0, 60.0
_WAITING = "SELECT id FROM runs WHERE state = 'waiting' AND id > ? ORDER BY id LIMIT ?"
_OVER = "SELECT count(*) FROM phases WHERE run_id = ? AND state IN ('passed', 'failed', 'skipped', 'compensated')"
_STANDING = "SELECT state, segment FROM runs WHERE id = ?"
_GOING = "SELECT id, segment FROM runs WHERE state IN ('running', 'cancelling') AND plan_digest <> ''"
_ENDED = """SELECT id, segment, ended_at FROM runs
WHERE plan_digest <> '' AND state NOT IN ('running', 'waiting', 'cancelling') AND ended_at > ? ORDER BY id"""
_LOOKED_BACK_S = 86_400.0
"""So long a worker tries to tell of a run that ended."""
_OVERLAP_S = 600.0
"""So much clocks may differ, and events may be late."""
_FIRST_TELL_S, _MOST_TELL_S = 60.0, 3600.0


class BusyError(UsageError):
    """Another process is carrying the run out."""


def begin_segment(engine: Engine, ledger: Ledger, run_id: str, *, by: str, left: int | None = None) -> None:
    """Begin a waiting run's next segment and hand its phases out; two at once hand out the same.

    `left` is the number of a segment that nobody works on: it is followed by another one even if the run counts as
    running, unless somebody did that before.

    Raises:
        UsageError: the run has ended.
        LedgerError, PackError, DecisionError: it cannot be opened here.
    """
    context = open_context(engine.settings, run_id, ledger=ledger, lease=engine.lease, root=engine.options.root)
    if left is not None:
        context = context._replace(segment=left)
    segment = walk.start_segment(context, by=by, is_abandoned=left is not None)
    hand_out(engine, context._replace(segment=segment))


def begin_first(engine: Engine, ledger: Ledger, run_id: str) -> None:
    """Hand out the first phases of a run that was just begun."""
    context = open_context(engine.settings, run_id, ledger=ledger, lease=engine.lease, root=engine.options.root)
    hand_out(engine, context)


def take_up(engine: Engine, ledger: Ledger, run_id: str, *, by: str) -> None:
    """Go on with a run in this process: what is queued is moved here, what waits becomes due, what was left is redone.

    Of a run that ended before all was told of it the rest is told. A run that cannot be opened here is left to others.

    Raises:
        UsageError: the run has ended, or its folder is not there.
        BusyError: another process is carrying it out.
        LedgerError, PackError, DecisionError: it cannot be opened here.
    """
    Reaper(engine).sweep()
    if _standing(ledger, run_id).has_ended and is_untold(ledger, run_id, engine.options.root):
        tell(engine, ledger, run_id)
        return
    before = None
    while True:
        now, work = _standing(ledger, run_id), engine.active(run_id)  # in this order: phases follow their segment
        _must_be_free(engine, run_id, work)
        if work:
            _claim(engine, ledger, run_id)
        if not now.is_at_work:
            begin_segment(engine, ledger, run_id, by=by)
            return
        if any(one.segment == now.segment for one in work):  # what is left of earlier ones ends by itself
            return
        if now == before:
            begin_segment(engine, ledger, run_id, by=by, left=now.segment)
            return
        before = now
        time.sleep(_HANDED_OUT_S)


def _claim(engine: Engine, ledger: Ledger, run_id: str) -> None:
    """Move what is queued of a run to this process's queue, if it can be carried out here; else nothing is moved."""
    if engine.options.queue is not None:  # else it goes to the workers, who may have its folder
        open_context(engine.settings, run_id, ledger=ledger, lease=engine.lease, root=engine.options.root)
    engine.claim(run_id)


def _must_be_free(engine: Engine, run_id: str, work: Sequence[Work]) -> None:
    others = sorted({_holder(one) for one in work} - {"", engine.lease.id})
    if others:
        raise BusyError(
            f"the run {run_id} is being carried out by {shown(others[0])}",
            advice="`orch runs` shows how it stands; `orch cancel` ends it; where that process is gone, try again in a"
            " minute",
        )


class _Standing(NamedTuple):
    """How a run stood at one look."""

    state: str = ""
    segment: int = 0

    @property
    def is_at_work(self) -> bool:
        return self.state in {"running", "cancelling"}

    @property
    def has_ended(self) -> bool:
        return bool(self.state) and self.state not in GOES_ON


def _standing(ledger: Ledger, run_id: str) -> _Standing:
    with ledger.store.reading() as connection:
        rows = connection.execute(_STANDING, (run_id,))
    return _Standing(*rows[0]) if rows else _Standing()


class _Take(NamedTuple):
    """When a run was taken up last."""

    not_before: float
    """When it may be taken up again, by the monotonic clock."""
    gap_s: float
    over: str
    """How many of its phases were over."""


class _Tell(NamedTuple):
    """A run that ended, of which perhaps not all is told."""

    segment: int
    not_before: float
    """When it is looked at, by the monotonic clock."""
    gap_s: float
    give_up: float
    """By the monotonic clock."""


class Teller:
    """Finds runs that ended while what is told of them was left behind, and has them told of by whoever works."""

    def __init__(self, engine: Engine, *, grace_s: float = 15.0) -> None:
        """Begin; `grace_s` is how long whoever ended a run has for telling of it."""
        self._engine, self._grace_s = engine, grace_s
        self._since_ns = clock.now_ns() - int(_LOOKED_BACK_S * clock.SECOND_NS)
        self._seen: set[str] = set()
        self._open: dict[str, _Tell] = {}

    def look(self, ledger: Ledger) -> int:
        """Hand out what is to be told now, and return of how many runs."""
        self._find(ledger)
        now = time.monotonic()
        return sum(self._tell(ledger, run_id, one) for run_id, one in [*self._open.items()] if one.not_before <= now)

    def _find(self, ledger: Ledger) -> None:
        now_ns, now = clock.now_ns(), time.monotonic()
        with ledger.store.reading() as connection:
            rows = connection.execute(_ENDED, (clock.format_time(self._since_ns),))
        for run_id, segment, ended_at in rows:
            if run_id not in self._seen:
                age_s = (now_ns - clock.parse_time(ended_at)) / clock.SECOND_NS
                wait_s = min(self._grace_s, max(0.0, self._grace_s - age_s))
                self._open[run_id] = _Tell(int(segment), now + wait_s, _FIRST_TELL_S, now + _LOOKED_BACK_S)
        self._seen = {str(run_id) for run_id, *_ in rows}
        self._since_ns = now_ns - int(_OVERLAP_S * clock.SECOND_NS)

    def _tell(self, ledger: Ledger, run_id: str, one: _Tell) -> bool:
        now = time.monotonic()
        try:
            if now > one.give_up or not is_untold(ledger, run_id, self._engine.options.root):
                del self._open[run_id]
                return False
        except OrchError as error:
            self._engine.note("cannot be told of", run=run_id, reason=str(error))
        gap_s = min(2 * one.gap_s, _MOST_TELL_S)
        self._open[run_id] = one._replace(not_before=now + one.gap_s, gap_s=gap_s)
        minute = int(clock.now_ns() // (60 * clock.SECOND_NS))  # of several workers one is enough
        self._engine.enqueue(carry_out, run_id, one.segment + 1, ["told"], again=minute)
        return True


class Waker:
    """Looks after the runs that wait, and after those that nobody works on, a few at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._after = ""
        self._orphans: dict[tuple[str, int], float] = {}
        self._takes: dict[str, _Take] = {}
        self._teller = Teller(engine)

    def look(self) -> int:
        """Take up what can go on now, and return how many runs that were; and have told of what ended untold."""
        with self._engine.ledger() as ledger:
            woken = sum(self._take(ledger, run_id) for run_id in self._due(ledger))
            left = sum(self._take(ledger, run_id, segment) for run_id, segment in self._orphaned(ledger))
            return woken + left + self._teller.look(ledger)

    def _due(self, ledger: Ledger) -> Iterator[str]:
        rows = self._rows(ledger, _WAITING, (self._after, BATCH))
        self._after = rows[-1] if len(rows) == BATCH else ""
        mark = walk.policy_mark(self._engine.settings) if rows else ""
        for run_id in rows:
            if self._may_be_taken(run_id) and walk.due(ledger, run_id, mark):
                yield run_id

    def _orphaned(self, ledger: Ledger) -> Iterator[tuple[str, int]]:
        """Yield runs that go on by the ledger with their segment, of which nothing was queued on two looks."""
        with ledger.store.reading() as connection:
            going = [(str(run_id), int(segment)) for run_id, segment in connection.execute(_GOING, ())]
        busy = {one.id.partition("/")[0] for one in self._engine.active()}
        now = time.monotonic()
        self._orphans = {one: self._orphans.get(one, now) for one in going if one[0] not in busy}
        for one, since in list(self._orphans.items()):
            if now - since >= _ORPHANED_S and self._may_be_taken(one[0]):
                del self._orphans[one]
                yield one

    def _may_be_taken(self, run_id: str) -> bool:
        return run_id not in self._takes or time.monotonic() >= self._takes[run_id].not_before

    def _take(self, ledger: Ledger, run_id: str, left: int | None = None) -> bool:
        """Take a run up; one that gets no further by that waits longer each time, lest it keep everybody busy."""
        [over] = self._rows(ledger, _OVER, (run_id,))
        last = self._takes.get(run_id)
        gap_s = min(2 * last.gap_s, _MOST_GAP_S) if last is not None and last.over == over else _FIRST_GAP_S
        self._takes[run_id] = _Take(time.monotonic() + gap_s, gap_s, over)
        try:
            begin_segment(self._engine, ledger, run_id, by=self._engine.lease.id, left=left)
        except OrchError as error:
            self._engine.hinder(run_id, error)
            self._engine.note("cannot be taken up", run=run_id, reason=str(error))
            return False
        self._engine.note("taken up", run=run_id, was="waiting" if left is None else "left")
        return True

    def _rows(self, ledger: Ledger, statement: str, given: tuple[Any, ...]) -> list[str]:
        with ledger.store.reading() as connection:
            return [str(run_id) for (run_id,) in connection.execute(statement, given)]


def _holder(work: Work) -> str:
    if work.is_running:
        return work.executor
    return work.queue.partition("@")[2] if work.queue == own_queue(work.queue.partition("@")[2]) else ""
