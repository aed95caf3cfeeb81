"""How an escalation stands, as one value: by the ledger, the policy and a moment. Looks; changes nothing."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from orchestrator import clock, outbox
from orchestrator.clock import SECOND_NS, format_time
from orchestrator.escalations import seal
from orchestrator.escalations.advance import Why, advance, due_ns
from orchestrator.escalations.kept import Owed, Record, orders_in, owed_in, plans_in, standing_of
from orchestrator.escalations.model import CatchUp, Escalation, Standing
from orchestrator.escalations.opened import Opened, opened
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.outbox import Standing as Sent
from orchestrator.settings import Settings

_CODES = "SELECT count(*) FROM renewal_codes WHERE escalation = ? AND state = 'active'"
_NO_SPARES = 2
"""Of the codes that count: the main one, and the one in the place of a duress code."""
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
    """As `Done.receipts`, one for each recipient; empty where nothing of it was begun."""


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
            if receipt["delivery"] == Sent.PERMANENT.value
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
        found = opened(settings, name=name, ledger=ledger, lease=None, may_have_ended=True)
        moment = clock.now_ns() if now_ns is None else now_ns
        return [status(one, ledger, moment) for one in found]


def status(one: Opened, ledger: Ledger | None, now_ns: int) -> Status:
    """Return how an escalation stands at a moment.

    Raises:
        PackError: the policy has no stage where it stands.
        LedgerError: the ledger cannot be read.

    Source: 000, "Check status".
    """
    escalation, record = one.escalation, one.record
    if ledger is None:
        return Status(escalation, None, now_ns, notes=one.notes)
    shown = None if record is None else seal.shown(escalation, record, ledger, now_ns)
    with ledger.store.reading() as connection:
        codes = int(connection.execute(_CODES, (escalation.name,))[0][0])
        if record is None or shown is None:
            return Status(escalation, None, now_ns, codes=codes, notes=one.notes)
        made = Status(
            escalation,
            shown,
            now_ns,
            _next(escalation, standing_of(connection, shown, escalation), now_ns),
            codes=codes,
            notes=one.notes,
        )
        if shown != record:  # what came goes by another deadline than the one that is shown
            return made
        return made._replace(
            owed=tuple(owed_in(connection, record)),
            came=tuple(_all_that_came(connection, record)),
            plans=tuple(_plans(connection, record)),
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
        yield Came(order.name, order.name.partition("/")[0], tuple(row.receipt | {"at": row.at} for row in rows))


def _plans(connection: Connection, record: Record) -> Iterator[tuple[str, str, str]]:
    for stage, run_id in plans_in(connection, record).items():
        rows = connection.execute(_PLAN, (run_id,))
        yield stage, run_id, str(rows[0][0]) if rows else ""


def _came(one: Came) -> dict[str, Any]:
    return {"name": one.name, "stage": one.stage, "receipts": [dict(receipt) for receipt in one.receipts]}


def _time(ns: int) -> str | None:
    return format_time(ns) if ns else None
