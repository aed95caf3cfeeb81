"""Says what a tick would do: which stages it would enter, and what everything would be decided. Changes nothing.

Nothing is recorded, sent, or asked for outside; so no witness is heard, and what would arrive is not foreseen.
"""

from collections.abc import Iterator

from orchestrator.errors import Exit, LedgerError, OrchError
from orchestrator.escalations import meant, seal, timekeeping
from orchestrator.escalations.advance import Why, advance
from orchestrator.escalations.ahead import DETAIL, next_stage, orders_of, until_ns
from orchestrator.escalations.kept import Owed, Record, orders_in, owed_in, standing_of
from orchestrator.escalations.meant import Manner
from orchestrator.escalations.model import Escalation, Stage, Standing
from orchestrator.escalations.opened import Opened, facts_of
from orchestrator.escalations.ticked import Ticked, Would, worst
from orchestrator.escalations.timekeeping import Judged, Trust
from orchestrator.explain import objections
from orchestrator.ledger.store import Ledger
from orchestrator.order import Order
from orchestrator.settings import Settings

_OUTCOMES = {Exit.OK: "allow", Exit.PENDING: "pending"}


def dry_in(settings: Settings, name: str | None, manner: Manner, ledger: Ledger | None) -> Iterator[Ticked]:
    """Yield what a tick of each escalation that is meant would come to. Raises as `meant.found`."""
    for one in meant.found(settings, name, ledger, None, meant.folder()):
        made = one if isinstance(one, Ticked) else _dry(one, manner)
        made = made._replace(is_dry=True)
        manner.told(made)
        yield made


def _dry(one: Opened, manner: Manner) -> Ticked:
    record = one.record
    if record is None or one.executor.run.id is None:
        return meant.unbegun(one)
    judged = timekeeping.judge(meant.reading_of(manner), meant.mark_of(record), one.escalation.clock)
    if judged.trust is Trust.BACK:
        return meant.refused(one, record, judged)
    try:
        return _Rehearsal(one, record, judged).made()
    except seal.SealError as error:
        return meant.unsealed(one, record, error)


class _Rehearsal:
    """One escalation, walked on paper: by what the ledger shows, also where a renewal was none."""

    def __init__(self, one: Opened, record: Record, judged: Judged) -> None:
        self._one, self._told, self._judged = one, record, judged
        ledger = one.executor.ledger
        assert ledger is not None  # noqa: S101  # the record came out of it
        if seal.real(record, ledger).is_kept:  # nothing is done here, so whoever looks on sees what is shown
            record = self._told = seal.shown(one.escalation, record, ledger, judged.now_ns)
            self._escalation, self._record, is_shown = one.escalation, record, False
        else:
            self._escalation, self._record, is_shown = one.escalation, record, True
        with ledger.store.reading() as connection:
            self._standing: Standing = standing_of(connection, self._record, one.escalation)
            self._owed: list[Owed] = owed_in(connection, record) if is_shown else []
            self._orders = orders_in(connection, record)
        self._would: list[Would] = []
        self._entered: list[str] = []

    def made(self) -> Ticked:
        """Return what the tick would come to."""
        escalation = self._one.escalation
        owed = {one.name for one in self._owed}
        for order in self._orders:
            if order.name in owed and order.name.partition("/")[0] in _names(escalation):
                self._ask(order, order.name.partition("/")[0])
        if self._may("tick", {"stage": self._record.stage}):
            self._walk()
        told = self._told._replace(stage=self._record.stage, stage_at=self._record.stage_at)
        standing = self._standing._replace(is_armed=told.is_armed, deadline_ns=told.deadline or None)
        step = advance(escalation, standing, self._judged.now_ns)
        notes = [*self._one.notes, *([self._judged.detail] if self._judged.detail else [])]
        codes = [one.exit_code for one in self._would]
        codes += [Exit.UNDECIDABLE] if self._judged.is_doubtful else []
        return Ticked(
            name=told.name,
            cycle=told.cycle,
            now_ns=self._judged.now_ns,
            deadline_ns=told.deadline,
            stage=told.stage,
            target=escalation.stages[step.target].name,
            entered=tuple(self._entered),
            would=tuple(self._would),
            owed=tuple(self._owed),
            why=step.why.value,
            detail=DETAIL[step.why],
            next_stage=next_stage(escalation, told, step),
            until_ns=until_ns(escalation, told, step),
            exit_code=worst(codes),
            notes=tuple(notes),
        )

    def _walk(self) -> None:
        escalation, now_ns = self._escalation, self._judged.now_ns
        while (step := advance(escalation, self._standing, now_ns)).why is Why.DUE:
            stage = escalation.stages[step.next]
            arguments = {"from": self._record.stage, "stage": stage.name, "audience": stage.audience.value}
            if not self._may("enter_stage", arguments):
                return
            self._enter(stage)
            if stage.is_outward:
                return

    def _enter(self, stage: Stage) -> None:
        escalation, now_ns = self._escalation, self._judged.now_ns
        place = escalation.place_of(stage.name)
        self._record = self._record._replace(stage=stage.name, stage_at=now_ns)
        self._standing = self._standing._replace(stage=place, stage_at_ns=now_ns)
        self._entered.append(stage.name)
        cycle, deadline = self._record.cycle, self._record.deadline
        try:
            orders = list(orders_of(escalation, stage, cycle=cycle, deadline_ns=deadline, entered_at_ns=now_ns))
        except OrchError as error:
            self._would.append(Would(stage.name, "enter_stage", "", meant.said(error), error.exit_code))
            return
        for order in orders:
            self._ask(order, stage.name)
        if stage.planned is not None:
            name = str(stage.planned.plan.get("name", ""))
            self._would.append(Would(stage.name, "plan", "", f"its plan {name} would be begun", Exit.OK))

    def _may(self, action: str, arguments: dict[str, str]) -> bool:
        parameters = {"resource": self._record.name, "cycle": self._record.cycle, **arguments}
        name = "tick" if action == "tick" else f"enter/{arguments['stage']}"
        return self._ask(Order(name, action, parameters), self._record.stage)

    def _facts(self, of_stage: str) -> dict[str, object]:
        is_given = self._judged.reading.is_given
        return facts_of(self._one.escalation, self._record, self._standing, of_stage, is_time_given=is_given)

    def _ask(self, order: Order, of_stage: str) -> bool:
        """Note what an order would be decided, and return whether it would be allowed."""
        judge = self._one.executor.judge
        judge.now_ns = self._judged.now_ns
        judge.facts = {**judge.facts, **self._facts(of_stage)}
        try:
            decision = self._one.executor.would(order)
        except LedgerError:
            raise
        except OrchError as error:
            self._would.append(Would(order.name, order.action, "", meant.said(error), error.exit_code))
            return False
        exit_code = decision.exit_code
        outcome = _OUTCOMES.get(exit_code, "deny")
        self._would.append(Would(order.name, order.action, outcome, objections(decision), exit_code))
        return outcome == "allow"


def _names(escalation: Escalation) -> set[str]:
    return {one.name for one in escalation.stages}
