"""How an escalation stands, as one value: by the ledger, the policy and a moment. Looks; changes nothing."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from orchestrator import clock, outbox
from orchestrator.clock import SECOND_NS, format_time
from orchestrator.escalations import seal, timekeeping
from orchestrator.escalations.advance import Why, advance, due_ns
from orchestrator.escalations.ahead import DETAIL
from orchestrator.escalations.kept import (
    Last,
    Owed,
    Record,
    last_of,
    orders_in,
    owed_in,
    plans_in,
    standing_of,
)
from orchestrator.escalations.model import CatchUp, Escalation, Standing
from orchestrator.escalations.opened import Opened, opened
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.outbox import Standing as Sent
from orchestrator.settings import Settings

_CODES = "SELECT count(*) FROM renewal_codes WHERE escalation = ? AND state = 'active'"
_NO_SPARES = 2
"""Of the codes that count: the main one, and the one in the place of a duress code."""
_ASKED = """SELECT a.name, r.id FROM actions a
JOIN requests r ON r.run_id = a.run_id AND r.action_digest = a.action_digest AND r.state = 'open'
WHERE a.chain = ? AND a.state = 'planned' ORDER BY a.name, r.id"""
_PLAN = "SELECT state FROM runs WHERE id = ?"


class Next(NamedTuple):
    """Which stage comes next."""

    stage: str
    audience: str
    at_ns: int | None
    """From when on it can be entered, nanoseconds since 1970; None where that is not a matter of time alone."""
    why: str
    """A value of `advance.Why`: due, or what is waited for."""


class Came(NamedTuple):
    """What became of one order that a stage brought."""

    name: str
    stage: str
    receipts: tuple[dict[str, Any], ...]
    """As `Done.receipts`, and `is_settled`: whether nobody tries it again; one for each recipient, empty where nothing
    of it was begun."""


class Status(NamedTuple):
    """An escalation at a moment; times are nanoseconds since 1970."""

    escalation: Escalation
    record: Record | None
    """None where it never began."""
    now_ns: int
    next: Next | None = None
    """None where there is none any more, none counts, or it never began."""
    owed: tuple[Owed, ...] = ()
    came: tuple[Came, ...] = ()
    """Every order of this cycle, in the order of the stages."""
    plans: tuple[tuple[str, str, str], ...] = ()
    """Of each stage with a plan: the stage, the plan's run and its state, "" where it has not begun."""
    codes: int = 0
    """How many codes are stored that count: the main one, as many that work once as are left, and one in the place of
    a duress code."""
    notes: tuple[str, ...] = ()
    last: Last | None = None
    """What came of the newest tick; None where there was none in this cycle."""
    asked: tuple[tuple[str, str], ...] = ()
    """Each order that waits for votes, with the request that they are for."""

    @property
    def left_s(self) -> int | None:
        """Seconds until the deadline, negative once it has passed; None where none counts."""
        if self.record is None or not self.record.deadline or not self.record.is_armed:
            return None
        return (self.record.deadline - self.now_ns) // SECOND_NS

    @property
    def spare_codes(self) -> int | None:
        """How many codes are left that renew once; None where there are no codes."""
        return max(0, self.codes - _NO_SPARES) if self.codes else None

    @property
    def refused(self) -> tuple[tuple[str, str], ...]:
        """Each order that was refused for good, with the recipient: nobody tries it again."""
        return tuple(
            (one.name, str(receipt["target"]))
            for one in self.came
            for receipt in one.receipts
            if receipt["delivery"] == Sent.PERMANENT.value and receipt["is_settled"]
        )

    @property
    def ticked_ago_s(self) -> int | None:
        """Seconds since the last whole tick; None where there was none."""
        if self.record is None or not self.record.ticked_at:
            return None
        return max(0, (self.now_ns - self.record.ticked_at) // SECOND_NS)

    @property
    def is_overdue(self) -> bool:
        """Whether the last tick is longer ago than the policy says that ticks are apart."""
        every_s, ago_s = max(self.escalation.every_s, self.escalation.p95_gap_s), self.ticked_ago_s
        return bool(every_s) and self.record is not None and (ago_s is None or ago_s > 2 * every_s)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON; times as RFC 3339, null where there is none."""
        one, record = self.escalation, self.record
        said: dict[str, Any] = {"name": one.name, "version": one.version, "mode": record.mode if record else one.mode}
        said |= {"has_begun": record is not None, "now": format_time(self.now_ns)}
        said |= {"cycle": record.cycle if record else 0, "run_id": record.run_id if record else None}
        said |= {"stage": record.stage if record else None, "audience": self._audience()}
        said |= {"stage_at": _time(record.stage_at if record else 0)}
        said |= {"is_armed": bool(record and record.is_armed), "is_triggered": bool(record and record.is_triggered)}
        said |= {"deadline": _time(record.deadline if record else 0), "left_s": self.left_s}
        said["next"] = self.next and {
            "stage": self.next.stage,
            "audience": self.next.audience,
            "at": None if self.next.at_ns is None else format_time(self.next.at_ns),
            "why": self.next.why,
        }
        said |= {"owed": [item._asdict() for item in self.owed], "actions": [_came(item) for item in self.came]}
        said["refused"] = [{"name": name, "target": target} for name, target in self.refused]
        said["plans"] = [{"stage": stage, "run_id": run, "state": how or "new"} for stage, run, how in self.plans]
        said |= {"tick": record.tick if record else 0, "ticker": (record.ticker if record else "") or None}
        said |= {"ticked_at": _time(record.ticked_at if record else 0), "ticked_ago_s": self.ticked_ago_s}
        said |= {"last_tick": self.last.to_json() if self.last else None}
        said["waiting_for"] = [
            {"name": name, "request_id": request, "command": f"orch approve {request}"} for name, request in self.asked
        ]
        said |= {"is_overdue": self.is_overdue, "has_codes": self.codes > 0, "spare_codes": self.spare_codes}
        return said | {"notes": list(self.notes)}

    def _audience(self) -> str | None:
        names = {one.name: one.audience.value for one in self.escalation.stages}
        return names.get(self.record.stage) if self.record else None


def statuses(settings: Settings, name: str | None = None, *, now_ns: int | None = None) -> list[Status]:
    """Return how the escalation of a name stands, or each that the policy has; makes no ledger, and changes none.

    Raises:
        As `opened.opened`.
    """
    from orchestrator.ledger.look import looking

    with looking(settings.ledger) as ledger:
        found = opened(settings, name=name, ledger=ledger, lease=None, may_have_ended=True, may_be_nowhere=True)
        moment = clock.now_ns() if now_ns is None else now_ns
        return [status(one, ledger, moment) for one in found]


def status(one: Opened, ledger: Ledger | None, now_ns: int) -> Status:
    """Return how an escalation stands at a moment.

    Raises:
        LedgerError: the ledger cannot be read.

    Source: 000, "Check status".
    """
    escalation, record = one.escalation, one.record
    if ledger is None:
        return Status(escalation, None, now_ns, notes=one.notes)
    shown = None if record is None else seal.shown(escalation, record, ledger, now_ns)
    found = _Sealed() if record is None else _sealed(record, ledger)
    with ledger.store.reading() as connection:
        codes = int(connection.execute(_CODES, (escalation.name,))[0][0])
        if record is None or shown is None:
            return Status(escalation, None, now_ns, codes=codes, notes=one.notes)
        coming = None
        if escalation.has_stage(shown.stage):
            coming = _next(escalation, standing_of(connection, shown, escalation), now_ns)
        notes = (*one.notes, *_trouble(escalation, record, now_ns), *found.notes)
        made = Status(
            escalation, shown, now_ns, coming, codes=codes, notes=notes, last=last_of(connection, record.name)
        )
        if found.is_kept and made.last is not None:  # what is shown goes by another deadline than the tick did
            made = made._replace(last=Last(Why.EARLY.value, DETAIL[Why.EARLY], 0, made.last.at))
        if shown != record:
            return made
        return made._replace(
            asked=tuple((str(name), str(request)) for name, request in connection.execute(_ASKED, (record.run_id,))),
            owed=tuple(owed_in(connection, record)),
            came=tuple(_all_that_came(connection, record)),
            plans=tuple(_plans(connection, record)),
        )


class _Sealed(NamedTuple):
    """What the seal of a cycle does to what is shown."""

    is_kept: bool = False
    notes: tuple[str, ...] = ()


def _sealed(record: Record, ledger: Ledger) -> _Sealed:
    try:
        return _Sealed(seal.real(record, ledger).is_kept)
    except seal.SealError as error:
        return _Sealed(notes=(f"nothing is done: {error} ({error.advice})",))


def _trouble(escalation: Escalation, record: Record, now_ns: int) -> Iterator[str]:
    """Yield why no tick does anything, whatever the newest one said."""
    mark = timekeeping.Mark(record.clock, record.boot, record.boot_at)
    if record.clock > now_ns + timekeeping.SLACK_NS and not mark.is_given:
        ahead = timekeeping.span((record.clock - now_ns) // SECOND_NS)
        yield (
            f"the ledger's clock stands at {timekeeping.told(record.clock)}, {ahead} ahead: until then every tick is "
            "refused. Set the machine's clock right"
        )
    if not escalation.has_stage(record.stage):
        yield (
            f"it stands at {record.stage}, which is no stage of it any more, so no tick does anything: give the stage "
            f"back its name, or `orch reset {record.name}`"
        )


def _next(escalation: Escalation, standing: Standing, now_ns: int) -> Next | None:
    ahead = advance(escalation, standing, now_ns)
    if ahead.why in {Why.LAST, Why.DISARMED}:
        return None
    is_jump = escalation.catch_up is CatchUp.JUMP and ahead.why is not Why.EARLY
    place = ahead.target if is_jump else standing.stage + 1
    stage, at_ns = escalation.stages[place], ahead.until_ns
    if ahead.why is Why.DUE:
        assert standing.deadline_ns is not None  # noqa: S101  # else it were disarmed
        at_ns = due_ns(escalation, place, standing.deadline_ns)
    return Next(stage.name, stage.audience.value, at_ns, ahead.why.value)


def _all_that_came(connection: Connection, record: Record) -> Iterator[Came]:
    for order in orders_in(connection, record):
        rows = outbox.rows_of(connection, record.run_id, order.name).values()
        yield Came(order.name, order.name.partition("/")[0], tuple(_receipt(row) for row in rows))


def _receipt(row: outbox.Row) -> dict[str, Any]:
    return row.receipt | {"at": row.at, "is_settled": row.is_settled}


def _plans(connection: Connection, record: Record) -> Iterator[tuple[str, str, str]]:
    for stage, run_id in plans_in(connection, record).items():
        rows = connection.execute(_PLAN, (run_id,))
        yield stage, run_id, str(rows[0][0]) if rows else ""


def _came(one: Came) -> dict[str, Any]:
    return {"name": one.name, "stage": one.stage, "receipts": [dict(receipt) for receipt in one.receipts]}


def _time(ns: int) -> str | None:
    return format_time(ns) if ns else None
