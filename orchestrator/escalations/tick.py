"""`orch tick` as functions: one pass over escalations, by a clock that is judged first. Shows nothing.

One process ticks an escalation at a time. What it was at when it ended, however it ended, the next tick takes up.

Source: 000, "How It Works": each run is a discrete tick.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from orchestrator.choices import Point
from orchestrator.errors import Exit, LedgerError, OrchError
from orchestrator.escalations import beat, beheld, meant, seal, state, timekeeping, whole, witness
from orchestrator.escalations.ahead import DETAIL, next_stage, until_ns
from orchestrator.escalations.carry import Carry, Stop, in_sight
from orchestrator.escalations.kept import Owed, Record
from orchestrator.escalations.meant import Manner
from orchestrator.escalations.onward import Ended, Host, Onward
from orchestrator.escalations.opened import Opened
from orchestrator.escalations.ticked import Ticked, code_of, worst
from orchestrator.escalations.timekeeping import Judged, Trust
from orchestrator.escalations.watchful import Watchful
from orchestrator.ledger.store import Ledger
from orchestrator.performing import Changed
from orchestrator.runs.lease import HeldLease
from orchestrator.settings import Settings

__all__ = ["Manner", "Place", "Stop", "Ticked", "tick", "tick_in", "ticks"]

_RENEWED = "the cycle was renewed, or ended otherwise, meanwhile: nothing more of it is done"


class Place(NamedTuple):
    """Where a tick is made: this process's ledger, lease, and way to carry out plans."""

    ledger: Ledger
    lease: HeldLease
    carry: Carry
    is_stopping: Callable[[], bool]
    root: Path
    """Where files of escalations lie."""


def tick(settings: Settings, name: str, *, now_ns: int | None = None, is_dry: bool = False) -> Ticked:
    """Return what came of a tick of one escalation.

    Raises:
        As `ticks`.
    """
    return ticks(settings, name, Manner(Stop(), now_ns, is_dry=is_dry))[0]


def ticks(settings: Settings, name: str | None, manner: Manner) -> list[Ticked]:
    """Return what came of a tick of the escalation of this name, or of each of the policy, in the order of their names.

    Raises:
        UsageError: the policy has none, or none of that name.
        PackError: a document is wrong.
        DecisionError: there is no engine to trust.
        LedgerError: the ledger cannot be used, or the record of what was done cannot be written.
    """
    from orchestrator.ledger.look import looking
    from orchestrator.ledger.open import open_ledger
    from orchestrator.runs.lease import open_lease

    settings = settings._replace(point=Point.TICK, run=None, session=None)
    if manner.time_file is not None:
        witness.must_be_token(manner.time_file)
    with ExitStack() as stack:
        if manner.is_dry:
            from orchestrator.escalations.dry import dry_in

            return list(dry_in(settings, name, manner, stack.enter_context(looking(settings.ledger))))
        ledger = stack.enter_context(open_ledger(settings.ledger, must_exist=True))
        lease = stack.enter_context(open_lease(ledger))
        carry = in_sight(settings, manner.stop, lease.id)
        place = Place(ledger, lease, carry, lambda: manner.stop.is_set, meant.folder())
        return list(tick_in(settings, name, manner, place))


def tick_in(settings: Settings, name: str | None, manner: Manner, place: Place) -> Iterator[Ticked]:
    """Yield what came of a tick of each escalation that is meant, as `ticks`."""
    for one in meant.found(settings, name, place.ledger, place.lease, place.root):
        if place.is_stopping():
            return
        made = one if isinstance(one, Ticked) else _ticked(one, settings, manner, place)
        manner.told(made)
        yield made


class _RefusedError(Exception):
    """The clock lies before what it was already."""

    def __init__(self, judged: Judged) -> None:
        super().__init__(judged.detail)
        self.judged = judged


def _ticked(one: Opened, settings: Settings, manner: Manner, place: Place) -> Ticked:
    """Return what came of a tick of an open escalation."""
    record = one.record
    if record is None or one.executor.run.id is None:
        return meant.unbegun(one)
    try:
        with place.ledger.store.reading() as connection:
            whole.must_be_whole(connection, record.name)
        seal.real(record, place.ledger)
    except (seal.SealError, whole.DamagedError) as error:
        return _unsealed(one, record, error, place)
    try:
        begun, judged = _begun_beside(one, record, manner, place)
    except state.BusyError as error:
        return Ticked(
            record.name,
            record.cycle,
            deadline_ns=record.deadline,
            stage=record.stage,
            why="busy",
            detail=str(error),
            exit_code=Exit.FAILED,
        )
    except _RefusedError as refused:
        return _refused(one, record, refused.judged, place)
    about = witness.About(place.ledger.id, begun.name, str(record.tick))
    clock = Watchful(judged, one.escalation.clock, about, manner.time_file)
    return _Tick(one, settings, place, clock).made(begun)


def _begun_beside(one: Opened, record: Record, manner: Manner, place: Place) -> tuple[Record, Judged]:
    """Do as `_begun`; what a process had that hangs (it was stopped, its machine sleeps) is taken from it."""
    try:
        return _begun(one, record, meant.reading_of(manner), place)
    except state.BusyError as busy:
        if not place.lease.outlives(busy.by):
            raise
    return _begun(one, record, meant.reading_of(manner), place)


def _begun(one: Opened, record: Record, reading: timekeeping.Reading, place: Place) -> tuple[Record, Judged]:
    """Record that a tick begins, and return how the escalation stands and which time it is.

    Raises:
        BusyError: another process is at one.
        _RefusedError: the clock went back; nothing is begun then.
    """
    ledger = one.executor.ledger or place.ledger
    by = one.executor.run.subject
    with ledger.store.writing() as connection:
        begun = state.ticking(ledger, connection, record, lease=place.lease, now_ns=reading.wall_ns, by=by)
        judged = timekeeping.judge(reading, meant.mark_of(begun), one.escalation.clock)
        if judged.trust is Trust.BACK:
            raise _RefusedError(judged)  # which takes back that it began
    return begun, judged


def _refused(one: Opened, record: Record, judged: Judged, place: Place) -> Ticked:
    """Record that nothing is done at a time that was before."""
    ledger = one.executor.ledger or place.ledger
    said = {"what": "clock", "detail": judged.detail, "exit_code": int(Exit.UNDECIDABLE)}
    said |= {"wall_ns": judged.reading.wall_ns, "mark_ns": judged.now_ns}
    with ledger.store.writing() as connection:
        state.say(ledger, connection, record.name, "refused", said, one.executor.run.subject)
    return meant.refused(one, record, judged)


def _unsealed(one: Opened, record: Record, error: LedgerError, place: Place) -> Ticked:
    """Record that nothing is done where nobody can tell which deadline counts, or where it stands."""
    ledger, made = one.executor.ledger or place.ledger, meant.unsealed(one, record, error)
    with ledger.store.writing() as connection:
        said = {"what": made.why, "detail": made.detail, "exit_code": int(made.exit_code)}
        state.say(ledger, connection, record.name, "refused", said, one.executor.run.subject)
    return made


class _Tick:
    """One tick, once it is recorded as begun."""

    def __init__(self, one: Opened, settings: Settings, place: Place, clock: Watchful) -> None:
        self._one, self._settings, self._place, self._clock = one, settings, place, clock
        self._ledger = one.executor.ledger or place.ledger
        self._notes = list(one.notes)

    def made(self, record: Record) -> Ticked:
        """Return what came of it; it is recorded as over.

        Raises:
            LedgerError: that cannot be recorded.
        """
        self._clock.confirm()
        onward = Onward(self._host(), record, self._clock.judged.now_ns)
        if self._clock.is_doubtful:
            onward.codes.append(Exit.UNDECIDABLE)
        is_renewed = False
        try:
            onward.go()
        except Ended:
            is_renewed = True
        except LedgerError:
            raise
        except OrchError as error:
            onward.say("configuration", meant.said(error), error.exit_code)
        owed = () if is_renewed else onward.owed()
        beaten = beat.Beat("none") if is_renewed else self._beaten(onward, len(owed))
        made = self._result(onward, owed, beaten)
        if is_renewed:
            made = made._replace(why="renewed", detail=_RENEWED, target="", exit_code=Exit.OK, until_ns=None)
        else:
            made = beheld.as_shown(made, self._one.escalation, onward.record, self._ledger)
        self._record_end(onward, made)
        return made._replace(notes=(*self._notes, *self._clock.notes))

    def _host(self) -> Host:
        return Host(
            settings=self._settings,
            ledger=self._ledger,
            executor=self._one.executor,
            escalation=self._one.escalation,
            root=self._place.root,
            carry=self._place.carry,
            is_stopping=self._place.is_stopping,
            has_witness=self._clock.unwitnessed,
            is_time_given=self._clock.judged.reading.is_given,
        )

    def _beaten(self, onward: Onward, owed: int) -> beat.Beat:
        if self._place.is_stopping():
            return beat.Beat("none", "this process was told to stop")
        record = onward.record
        pulse = beat.Pulse(str(record.tick), record.stage, owed, onward.now_ns)
        onward.set_facts(record.stage)
        return beat.beat(self._one.executor, self._one.escalation, pulse, self._place.is_stopping)

    def _result(self, onward: Onward, owed: tuple[Owed, ...], beaten: beat.Beat) -> Ticked:
        record, escalation, step = onward.record, self._one.escalation, onward.step
        made = Ticked(
            name=record.name,
            cycle=record.cycle,
            tick=record.tick,
            now_ns=onward.now_ns,
            deadline_ns=record.deadline,
            stage=record.stage,
            entered=tuple(onward.entered),
            done=tuple(onward.done),
            decisions=tuple(onward.decisions),
            owed=owed,
            why=onward.why,
            detail=onward.detail,
            heartbeat=beaten,
            exit_code=worst([*(one.exit_code for one in onward.done), *onward.codes, *map(code_of, owed)]),
        )
        if step is None:
            return made
        made = made._replace(
            target=escalation.stages[step.target].name,
            next_stage=next_stage(escalation, record, step),
            until_ns=until_ns(escalation, record, step),
        )
        return made if made.why else made._replace(why=step.why.value, detail=DETAIL[step.why])

    def _record_end(self, onward: Onward, made: Ticked) -> None:
        """Record that the tick is over; where another one has begun meanwhile, that is only noted."""
        try:
            with self._ledger.store.writing() as connection:
                state.ticked(
                    self._ledger,
                    connection,
                    onward.record,
                    now_ns=onward.now_ns,
                    boot=self._clock.boot,
                    boot_ns=self._clock.boot_ns,
                    target=made.target,
                    owed=[one.name for one in made.owed],
                    heartbeat=made.heartbeat.state,
                    why=made.why,
                    detail=made.detail,
                    exit_code=int(made.exit_code),
                    by=self._one.executor.run.subject,
                )
        except Changed as change:
            self._notes.append(str(change))
