"""Changes an escalation by hand: its deadline, a new cycle, armed or not, released. Policy is asked first, then one
transaction changes it, if it still is the cycle that policy was asked about. Renews nothing: that takes a code.
"""

from collections.abc import Callable
from contextlib import ExitStack
from enum import StrEnum
from typing import NamedTuple

from orchestrator.clock import SECOND_NS, format_time, parse_duration, parse_seconds, parse_time
from orchestrator.digest import new_id
from orchestrator.errors import DecisionError, LedgerError, UsageError
from orchestrator.escalations import seal, state, timekeeping
from orchestrator.escalations.kept import Record
from orchestrator.escalations.model import Escalation, Mode
from orchestrator.escalations.opened import Opened, only, opened
from orchestrator.escalations.timekeeping import Judged, Mark, Reading, Trust
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.names import shown
from orchestrator.order import Done, Order
from orchestrator.performing import Changed
from orchestrator.settings import Settings

ACTION = "control_escalation"
RELEASED_IN = "15m"
"""The delay of a release by hand where nobody says another."""
_ROOM = "see that there is room where the ledger lies, and that it can be written"
_MOST_S = 100 * 366 * 86_400
"""A deadline lies in the next hundred years."""


class Operation(StrEnum):
    """What is done by hand."""

    SET_DEADLINE = "set_deadline"
    RESET = "reset"
    ARM = "arm"
    DISARM = "disarm"
    TRIGGER = "trigger"


class Wanted(NamedTuple):
    """What somebody wants."""

    operation: Operation
    deadline: str = ""
    """Of set_deadline: a time, or a duration from now."""
    delay: str = ""
    """Of trigger: a duration from now."""


class Controlled(NamedTuple):
    """What became of it."""

    name: str
    operation: Operation
    now_ns: int
    """The time that it was done by, nanoseconds since 1970."""
    record: Record | None
    """How the escalation stands now; None where it never began."""
    is_changed: bool
    """Whether anything is other than before."""
    refused: Done | None = None
    """Why it was not done, where policy does not allow it, or not yet."""


def set_deadline(one: Opened, deadline: str, *, now_ns: int | None = None) -> Controlled:
    """Move the deadline of a cycle, which stays at its stage; or begin the first. `deadline` is a time or a duration.

    Raises:
        UsageError: it is none, lies behind or too far ahead, or the escalation is a fuse that burns.
        DecisionError: the clock cannot be trusted.
        LedgerError: it cannot be recorded.

    Source: 000, "Set deadline".
    """
    return control(one, Wanted(Operation.SET_DEADLINE, deadline=deadline), now_ns=now_ns)


def reset(one: Opened, *, now_ns: int | None = None) -> Controlled:
    """Begin a new cycle at the first stage; its deadline is kept where it lies ahead and nobody released it.

    Raises:
        As `set_deadline`.

    Source: 000, "Reset to OK".
    """
    return control(one, Wanted(Operation.RESET), now_ns=now_ns)


def arm(one: Opened, *, now_ns: int | None = None) -> Controlled:
    """Let the deadline count; one that has passed is put off by as much as a renewal would.

    Raises:
        As `set_deadline`.
    """
    return control(one, Wanted(Operation.ARM), now_ns=now_ns)


def disarm(one: Opened, *, now_ns: int | None = None) -> Controlled:
    """Let no deadline count until it is armed again.

    Raises:
        As `set_deadline`.
    """
    return control(one, Wanted(Operation.DISARM), now_ns=now_ns)


def trigger(one: Opened, delay: str = RELEASED_IN, *, now_ns: int | None = None) -> Controlled:
    """Bring the deadline near; until the end it can still be renewed.

    Raises:
        As `set_deadline`.
    """
    return control(one, Wanted(Operation.TRIGGER, delay=delay), now_ns=now_ns)


def by_hand(
    settings: Settings,
    name: str | None,
    wanted: Wanted,
    *,
    now_ns: int | None = None,
    told: Callable[[tuple[str, ...]], None] = lambda _: None,
) -> Controlled:
    """Do what somebody typed; where the policy has one escalation, it need not be named. `told` is given notes.

    Raises:
        UsageError: the policy has no such escalation, or several and none is named; or as `set_deadline`.
        PackError: a document is wrong.
        DecisionError: there is no engine to trust, or no clock.
        LedgerError: it cannot be recorded.
    """
    from orchestrator.ledger.open import open_ledger
    from orchestrator.runs.lease import open_lease

    done: Controlled | None = None
    try:
        with ExitStack() as stack:
            ledger = stack.enter_context(open_ledger(settings.ledger))
            lease = stack.enter_context(open_lease(ledger))
            each = opened(settings, name=name, ledger=ledger, lease=lease, may_have_ended=True, may_be_nowhere=True)
            found = only(each)
            told((*found.notes, *_clock_notes(found, now_ns)))
            done = control(found, wanted, now_ns=now_ns)
    except OSError as error:  # a full disk, say, below the ledger's own errors
        if done is None:
            why = error.strerror or str(error)
            raise LedgerError(f"it cannot be recorded: {why}; nothing was changed", advice=_ROOM) from error
    return done


def deadline_of(hours: str | None, after: str | None, at: str | None) -> str:
    """Return the deadline that was typed in one of three ways: hours from now, a duration from now, a time.

    Raises:
        UsageError: none is given, or several, or hours are no number above 0.
    """
    given = [one for one in (hours, after, at) if one is not None]
    if len(given) != 1:
        seen = "no deadline" if not given else "several deadlines"
        raise UsageError(f"{seen}; expected one", advice="--hours 24, --in 24h or --at 2026-11-21T05:00:00Z")
    if hours is None:
        return given[0]
    try:
        return f"{round(parse_seconds(f'{hours}h'))}s"
    except ValueError:
        raise UsageError(f"--hours is {shown(hours)}; expected a number above 0", advice="--hours 24") from None


def control(one: Opened, wanted: Wanted, *, now_ns: int | None = None) -> Controlled:
    """Do what is wanted, if policy allows it; raises as `set_deadline`."""
    record, name = one.record, one.escalation.name
    now = time_of(one, now_ns, is_any=wanted.operation is Operation.DISARM)
    if _change(one, record, wanted, now) is None:
        return Controlled(name, wanted.operation, now, _shown(one, record, now), is_changed=False)
    said = _said(one, record, wanted, now)
    is_given = now_ns is not None
    refused = asked(one, wanted.operation, now_ns=now, is_time_given=is_given, **said)
    if refused is not None:
        return Controlled(name, wanted.operation, now, record, is_changed=False, refused=refused)
    ledger = _ledger(one)
    try:
        with ledger.store.writing() as connection:
            fresh = None if record is None else state.locked(connection, record)
            change = _change(one, fresh, wanted, now)
            _must_say(said, _said(one, fresh, wanted, now))
            after = fresh if change is None else _applied(ledger, connection, one, fresh, change._replace(at_ns=now))
    except Changed as error:
        raise UsageError(
            f"{error}; nothing was changed", advice=f"look with `orch status {name}`, then again"
        ) from None
    return Controlled(name, wanted.operation, now, after, is_changed=change is not None)


def asked(
    one: Opened, operation: str, *, now_ns: int | None = None, is_time_given: bool = False, **said: object
) -> Done | None:
    """Ask policy whether somebody may do this to an escalation, and record that; return None where it is allowed.

    What was said is asked as it was said, so that an approval of it still counts a minute later.

    Raises:
        UsageError: the decision would rest on a claim.
        LedgerError: it cannot be recorded.
    """
    judge = one.executor.judge
    judge.now_ns = now_ns
    judge.facts = {**judge.facts, "escalation": {**judge.facts["escalation"], "is_time_given": is_time_given}}
    parameters: dict[str, object] = {"resource": one.escalation.name, "operation": str(operation), **said}
    parameters["cycle"] = one.record.cycle if one.record else 0
    return one.executor.decide(Order(f"control/{operation}/{new_id()}", ACTION, parameters))


def time_of(one: Opened, now_ns: int | None = None, *, is_any: bool = False) -> int:
    """Return which time it is for an escalation, nanoseconds since 1970, by the clock or as it is given.

    With `is_any` a clock that was set back is no hindrance: to stop something needs no time.

    Raises:
        DecisionError: it lies before what a tick has gone by.
    """
    judged = _judged(one, now_ns)
    if judged.trust is Trust.BACK and not is_any:
        raise DecisionError(f"{judged.detail}; nothing was changed", advice="set the clock right, then again")
    return judged.now_ns


def _must_say(asked: dict[str, object], said: dict[str, object]) -> None:
    if asked != said:
        raise Changed("the deadline that counts was moved meanwhile")


def _judged(one: Opened, now_ns: int | None) -> Judged:
    reading = timekeeping.read() if now_ns is None else Reading(now_ns, is_given=True)
    record = one.record
    mark = Mark() if record is None else Mark(record.clock, record.boot, record.boot_at)
    return timekeeping.judge(reading, mark, one.escalation.clock)


def _clock_notes(one: Opened, now_ns: int | None) -> tuple[str, ...]:
    judged = _judged(one, now_ns)
    return (judged.detail,) if judged.detail and judged.trust is not Trust.BACK else ()


def _shown(one: Opened, record: Record | None, now_ns: int) -> Record | None:
    if record is None or not one.escalation.has_stage(record.stage):
        return record
    return seal.shown(one.escalation, record, _ledger(one), now_ns)


# -- what is to be changed


def _said(one: Opened, record: Record | None, wanted: Wanted, now_ns: int) -> dict[str, object]:
    """Return what policy is told of what is wanted, beside the operation.

    A deadline is earlier than the one that counts; where none counts, than the one that a renewal would set.
    """
    said: dict[str, object] = {"deadline": wanted.deadline} if wanted.deadline else {}
    if wanted.delay:
        said["delay"] = wanted.delay
    if wanted.operation is Operation.SET_DEADLINE:
        counts_ns = record.deadline if record is not None and record.is_armed else 0
        usual_ns = counts_ns or now_ns + one.escalation.renewal.extends_s * SECOND_NS
        said["is_earlier"] = _deadline(wanted.deadline, now_ns) < usual_ns
    return said


class _Change(NamedTuple):
    kind: str
    """began, deadline, armed or disarmed."""
    deadline_ns: int = 0
    is_armed: bool = True
    why: str = ""
    at_ns: int = 0


def _change(one: Opened, record: Record | None, wanted: Wanted, now_ns: int) -> _Change | None:
    """Return what is to be changed where an escalation stands like this; None where it is so already.

    Raises:
        UsageError: it cannot be wanted of this escalation now.
    """
    escalation, operation = one.escalation, wanted.operation
    if one.is_fuse and operation is not Operation.TRIGGER and operation is not Operation.ARM:
        raise UsageError(
            f"{escalation.name} is a fuse and has begun: it cannot be reset, disarmed or put off",
            advice=f"`orch status {escalation.name}` shows when it ends; `orch trigger` ends it sooner",
        )
    if operation is Operation.SET_DEADLINE:
        deadline_ns = _deadline(wanted.deadline, now_ns)
        if record is not None:
            return _Change("deadline", deadline_ns, why=operation.value)
        return _Change("began", deadline_ns, escalation.mode is not Mode.MANUAL, operation.value)
    if record is None:
        if operation is Operation.ARM:
            return _Change("began", _renewed(escalation, None, now_ns), why=operation.value)
        raise UsageError(
            f"{escalation.name} has not begun",
            advice=f"`orch set-deadline {escalation.name} --in 24h` begins it",
        )
    return _change_of(escalation, record, wanted, now_ns)


def _change_of(escalation: Escalation, record: Record, wanted: Wanted, now_ns: int) -> _Change | None:
    """Return what is to be changed of a cycle that has begun."""
    match wanted.operation:
        case Operation.ARM:
            return None if record.is_armed else _Change("armed", _renewed(escalation, record, now_ns))
        case Operation.DISARM:
            return _Change("disarmed") if record.is_armed else None
        case Operation.RESET:
            is_armed = escalation.mode is not Mode.MANUAL
            return _Change("began", _renewed(escalation, record, now_ns), is_armed, wanted.operation.value)
        case Operation.TRIGGER:
            released_ns = _released(escalation, record, wanted.delay, now_ns)
            return _Change("deadline", released_ns, why=wanted.operation.value)
    raise UsageError(f"an escalation has no operation {wanted.operation!r}")


def _deadline(text: str, now_ns: int) -> int:
    """Return the deadline that somebody named, as a time or as a duration from now."""
    try:
        deadline_ns = timekeeping.ahead_ns(now_ns, parse_duration(text))
    except ValueError:
        try:
            deadline_ns = parse_time(text)
        except ValueError as error:
            raise UsageError(
                f"the deadline {error}", advice="--in 24h, --hours 24, or --at 2026-11-21T05:00:00Z"
            ) from None
    if not now_ns < deadline_ns <= now_ns + _MOST_S * SECOND_NS:
        raise UsageError(
            f"the deadline is {shown(text)}; expected one ahead, within a century",
            advice="`orch trigger` releases now; `orch disarm` lets no deadline count",
        )
    return deadline_ns


def _renewed(escalation: Escalation, record: Record | None, now_ns: int) -> int:
    """Return a deadline that lies ahead and was not set to release it, else one as far ahead as a renewal's."""
    if record is not None and record.deadline > now_ns and not record.is_triggered:
        return record.deadline
    return timekeeping.ahead_ns(now_ns, escalation.renewal.extends_s)


def _released(escalation: Escalation, record: Record, delay: str, now_ns: int) -> int:
    """Return the deadline of a release by hand; it never puts one off."""
    name = escalation.name
    try:
        deadline_ns = timekeeping.ahead_ns(now_ns, parse_duration(delay))
    except ValueError as error:
        raise UsageError(f"the delay {error}", advice="--delay 15m") from None
    if not record.is_armed:
        raise UsageError(f"{name} is disarmed: no deadline counts", advice=f"`orch arm {name}` first")
    if deadline_ns >= record.deadline:
        raise UsageError(
            f"the deadline of {name} is {format_time(record.deadline)}, no later than in {delay}",
            advice="nothing has to be done; or name a shorter --delay",
        )
    return deadline_ns


def _applied(ledger: Ledger, connection: Connection, one: Opened, record: Record | None, change: _Change) -> Record:
    by, name = one.executor.run.subject, one.escalation.name
    if change.kind == "began":
        return state.began(
            ledger,
            connection,
            record,
            one.escalation,
            now_ns=change.at_ns,
            deadline_ns=change.deadline_ns,
            why=change.why,
            by=by,
            is_armed=change.is_armed,
            repository=one.executor.run.repository or "",
        )
    said: dict[str, object] = {"by": by, "at_ns": change.at_ns}
    if change.deadline_ns:
        said["deadline_ns"] = change.deadline_ns
    if change.kind == "deadline":
        said |= {"why": change.why, "is_triggered": change.why == Operation.TRIGGER.value}
    state.say(ledger, connection, name, change.kind, said, by)
    after = state.record_of(connection, name)
    assert after is not None  # noqa: S101  # it was locked
    return after


def _ledger(one: Opened) -> Ledger:
    ledger = one.executor.ledger
    if ledger is None:
        raise LedgerError("nothing is changed without a ledger")
    return ledger
