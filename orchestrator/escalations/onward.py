"""Carries one escalation onward at one moment: what is owed, the stages that are due, what each of them brings.

Decides nothing itself: `advance` says what the clock wants, the policy whether that may be, the outbox what was done.
Whatever changes meanwhile (a renewal, another deadline, another tick) is seen before each step, and before each send.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from orchestrator.act import Executor
from orchestrator.adapter import ErrorClass
from orchestrator.decision import digest_of
from orchestrator.errors import Exit, LedgerError, OrchError, UsageError
from orchestrator.escalations import carry, seal, state
from orchestrator.escalations.advance import Advance, Why, advance
from orchestrator.escalations.ahead import orders_of
from orchestrator.escalations.carry import Carry
from orchestrator.escalations.kept import Owed, Record, orders_in, owed_in, plans_in, record_of, standing_of
from orchestrator.escalations.model import Escalation, Stage, Standing
from orchestrator.escalations.opened import facts_of
from orchestrator.escalations.ticked import Acted, Decided
from orchestrator.ledger.store import Ledger
from orchestrator.order import Done, Order, State
from orchestrator.performing import Changed
from orchestrator.record import GOING_ON
from orchestrator.runs import begin
from orchestrator.settings import Settings

_WHY_OF = {
    State.DENIED: "denied",
    State.WAITING: "waiting",
    State.BUDGET: "budget",
    State.UNDECIDABLE: "undecidable",
    State.CANCELLED: "stopped",
}
_RUN = "SELECT state FROM runs WHERE id = ?"


class Ended(Exception):  # noqa: N818  # no failure: somebody renewed
    """The cycle is over: nothing more of it is done."""


class Host(NamedTuple):
    """What a tick works with."""

    settings: Settings
    ledger: Ledger
    executor: Executor
    escalation: Escalation
    root: Path
    """Where the escalation's plans work."""
    carry: Carry
    is_stopping: Callable[[], bool]
    """Whether this process was told to stop."""
    has_witness: Callable[[], str]
    """Asks a witness whether the clock may be gone by in front of others: "" where it may, else why not."""
    is_time_given: bool = False


class Onward:
    """One escalation at one moment. `record` and what else it says are as they stand after the last step.

    What the ledger shows is recorded and told; what counts (`seal.meant`) is gone by.
    """

    def __init__(self, host: Host, record: Record, now_ns: int) -> None:
        """Take a record that `state.ticking` gave.

        Raises:
            LedgerError: nobody can tell which deadline counts.
        """
        self._host, self.now_ns = host, now_ns
        self._take(record)
        self.done: list[Acted] = []
        self.decisions: list[Decided] = []
        """What everything was decided by, its own actions included, in order."""
        self.entered: list[str] = []
        self.step: Advance | None = None
        """What the clock said last, by what counts; at the end by what the ledger shows."""
        self.why = ""
        """What ended it, where that is not what the clock said."""
        self.detail = ""
        self.codes: list[Exit] = []
        """Exit codes beside those of what was done."""

    def go(self) -> None:
        """Do all that can be done now.

        Raises:
            Ended: the cycle is over meanwhile.
            LedgerError: it cannot be recorded, or this process may have been taken over.
        """
        self._do_owed()
        if self._may_tick():
            self._walk()
        self._look()
        self.step = advance(self._host.escalation, self._standing(self.record), self.now_ns)
        if self.why == "outward" and self.step.why is not Why.DUE:
            self.why, self.detail = "", ""

    def owed(self) -> tuple[Owed, ...]:
        """Return what a stage brought and has not arrived, and can still."""
        with self._host.ledger.store.reading() as connection:
            return tuple(owed_in(connection, self.record))

    def standing(self) -> Standing:
        """Return where it stands, by what counts."""
        return self._standing(self._meant)

    def _standing(self, record: Record) -> Standing:
        with self._host.ledger.store.reading() as connection:
            return standing_of(connection, record, self._host.escalation)

    def is_cancelled(self) -> bool:
        """Return whether nothing more may be sent: the cycle is over, it is disarmed, or the process is to stop."""
        if self._host.is_stopping():
            return True
        try:
            now = self._now()
            return now is None or not seal.meant(self._host.escalation, now, self._host.ledger)[1].is_armed
        except LedgerError:
            return True  # what cannot be looked up may have been renewed

    def set_facts(self, of_stage: str) -> None:
        """Let what is decided next be of a stage, as it stands now."""
        judge = self._host.executor.judge
        judge.now_ns = self.now_ns
        judge.facts = {**judge.facts, **self._facts(of_stage, self._meant)}

    def say(self, why: str, detail: str, code: Exit = Exit.OK) -> None:
        """Note what ended it."""
        self.why, self.detail = why, detail
        self.codes.append(code)

    # -- what is owed

    def _do_owed(self) -> None:
        """Try everything once that earlier stages brought and that has not arrived."""
        with self._host.ledger.store.reading() as connection:
            orders = orders_in(connection, self.record)
            owed = {one.name: one for one in owed_in(connection, self.record)}
            plans = plans_in(connection, self.record)
        for stage in dict.fromkeys(one.name.partition("/")[0] for one in owed.values()):
            for order in orders:
                if order.name in owed and order.name.partition("/")[0] == stage:
                    self._act(order)
            if stage in owed:
                self._carry(plans[stage], is_new=False)

    # -- stages

    def _walk(self) -> None:
        """Enter the stages that are due, until it stays; of those that reach others than the operator one."""
        for _ in range(2 * len(self._host.escalation.stages)):
            self._look()
            escalation = self._escalation
            step = self.step = advance(escalation, self.standing(), self.now_ns)
            if step.why is not Why.DUE or not self._may_go_on():
                return
            stage = escalation.stages[step.next]
            if not self._enter(stage):
                return
            if self.entered[-1:] == [stage.name] and stage.is_outward:
                self.say("outward", "of the stages that reach others one is entered in a tick")
                return

    def _may_go_on(self) -> bool:
        if self._host.is_stopping():
            self.say("stopped", "this process was told to stop", Exit.INTERRUPTED)
            return False
        return True

    def _enter(self, stage: Stage) -> bool:
        """Enter a stage and do what it brings; return whether to go on to the next, or to look again."""
        if stage.is_outward and (problem := self._host.has_witness()):
            self.say("witness", f"{stage.name} is not entered: {problem}", Exit.UNDECIDABLE)
            return False
        try:
            orders = self._orders(stage)
        except UsageError as error:
            self.say("configuration", f"{stage.name} is not entered: {error}", Exit.PACK)
            return False
        arguments = {"from": self.record.stage, "stage": stage.name, "audience": stage.audience.value}
        evaluation_id = self._may("enter_stage", arguments, self._here().name)
        if not evaluation_id:
            return False
        try:
            plan_run_id = self._record_entry(stage, orders, evaluation_id)
        except Changed as change:
            self._look()
            self.detail = str(change)
            return True
        except OrchError as error:
            if isinstance(error, LedgerError):
                raise
            self.say("configuration", f"{stage.name} is not entered: {error}", Exit.PACK)
            return False
        self.entered.append(stage.name)
        for order in orders:
            self._act(order)
        if plan_run_id:
            self._carry(plan_run_id, is_new=True)
        return True

    def _record_entry(self, stage: Stage, orders: Sequence[Order], evaluation_id: str) -> str:
        """Record that a stage is entered, with everything that it brings; return the id of its plan's run, or "".

        Raises:
            Changed: it does not stand as it was read; nothing was recorded.
            UsageError, PackError: its plan cannot be begun, or it holds a secret.
        """
        host, run = self._host, self._host.executor.run
        host.executor.lease.check()
        with host.ledger.store.reading() as connection:
            plan_run_id = carry.free_id(connection, self.record.run_id, stage.name) if stage.planned else ""
        draft = None
        if stage.planned is not None:
            draft = carry.drafted(
                host.ledger,
                stage.planned,
                settings=host.settings,
                run=run._replace(id=plan_run_id),
                root=host.root,
                facts=self._facts(stage.name, self._meant._replace(stage=stage.name, stage_at=self.now_ns)),
            )
        with host.ledger.store.writing() as connection:
            record = state.entered(
                host.ledger,
                connection,
                self.record,
                stage.name,
                at_ns=self.now_ns,
                orders=orders,
                plan_run_id=plan_run_id,
                evaluation_id=evaluation_id,
                by=run.subject,
            )
            if draft is not None:
                begin.start(host.ledger, connection, draft)
        self._take(record)
        return plan_run_id

    def _orders(self, stage: Stage) -> list[Order]:
        """Return what a stage brings, its texts rendered as of now.

        Raises:
            UsageError: a template cannot be rendered.
        """
        cycle, deadline_ns = self._meant.cycle, self._meant.deadline
        return list(orders_of(self._escalation, stage, cycle=cycle, deadline_ns=deadline_ns, entered_at_ns=self.now_ns))

    # -- one order

    def _may_tick(self) -> bool:
        """Return whether the tick itself is allowed: asked each time, for cycle and stage; nothing is used up."""
        order = Order(
            "tick", "tick", {"resource": self.record.name, "cycle": self.record.cycle, "stage": self.record.stage}
        )
        self.set_facts(self._here().name)
        try:
            refused = self._host.executor.ask(order)
        except UsageError as error:
            self._look()
            refused = _wrong(error)
        if refused is not None:
            self._refused(order, refused)
        return refused is None

    def _refused(self, order: Order, refused: Done) -> None:
        self._look()
        self.done.append(Acted(order.name, order.action, refused))
        self.say(_WHY_OF.get(refused.state, "configuration"), f"{order.action}: {refused.detail}{_commands(refused)}")

    def _may(self, action: str, arguments: Mapping[str, object], of_stage: str) -> str:
        """Return the id of the decision that allows an action of the escalation itself; "" where there is none."""
        order = self._own_order(action, arguments)
        self.set_facts(of_stage)
        try:
            refused = self._host.executor.decide(order)
        except UsageError as error:
            self._look()
            refused = _wrong(error)
        evaluation_id = self._decided(order)
        if refused is not None:
            self._refused(order, refused)
            return ""
        return evaluation_id or "erased"

    def _decided(self, order: Order) -> str:
        """Note the decision that an order was done, or not done, under; return its id, "" where there is none."""
        context = self._host.executor.decision_of(order)
        if context is None:
            return ""
        self.decisions.append(Decided(order.name, str(context["evaluation_id"]), digest_of(context)))
        return self.decisions[-1].evaluation_id

    def _own_order(self, action: str, arguments: Mapping[str, object]) -> Order:
        """Return the order of an action of the escalation itself.

        A stage whose entry was allowed and not recorded (the process was ended) is entered under that decision, unless
        the packs are others by now.
        """
        parameters = {"resource": self.record.name, "cycle": self.record.cycle, **arguments}
        order = Order(f"enter/{arguments['stage']}", action, parameters)
        executor = self._host.executor
        try:
            earlier = executor.look(order)
            context = executor.decision_of(order) or {}
        except UsageError:  # it was asked for from another stage
            earlier, context = Done(State.DELIVERED), {}
        executor.judge.renew()
        is_other = context.get("policy", {}).get("digest") != executor.judge.policy.digest
        if earlier is not None and earlier.state is State.DELIVERED and is_other:
            return order._replace(name=f"{order.name}/{self.record.tick}")
        return order

    def _act(self, order: Order) -> None:
        """Do an order once, unless it is settled or nothing more may be done."""
        self._look()
        if not self._meant.is_armed:
            self.say("disarmed", "what is owed is held back while it is disarmed")
            return
        if not self._may_go_on():
            return
        stage = order.name.partition("/")[0]
        if stage not in {one.name for one in self._host.escalation.stages}:
            self.say("configuration", f"{order.name} is held back: the policy has no such stage any more", Exit.PACK)
            return
        self.set_facts(stage)
        try:
            done = self._host.executor.act(order, is_cancelled=self.is_cancelled)
        except UsageError as error:
            self._look()
            done = _wrong(error)
        self._decided(order)
        self._look()
        if done.state is State.CANCELLED and not done.receipts:
            self._may_go_on()
            return
        self.done.append(Acted(order.name, order.action, done))

    def _carry(self, run_id: str, *, is_new: bool) -> None:
        self._look()
        if not self._meant.is_armed or not self._may_go_on():
            return
        carried = self._host.carry(run_id, is_new=is_new)
        delivered = carried.state == "succeeded"
        left = State.RETRYABLE if carried.is_owed else State.PERMANENT
        done = Done(State.DELIVERED if delivered else left, detail=carried.detail)
        self.done.append(Acted(run_id, "plan", done))
        self.codes.append(Exit.OK if delivered else carried.exit_code)
        self._look()

    # -- where it stands

    def _here(self) -> Stage:
        return self._host.escalation.stages[self.standing().stage]

    def _now(self) -> Record | None:
        """Return how the cycle stands now; None where it is over."""
        with self._host.ledger.store.reading() as connection:
            now = record_of(connection, self.record.name)
            rows = connection.execute(_RUN, (self.record.run_id,))
        is_on = now is not None and now.run_id == self.record.run_id and bool(rows) and rows[0][0] in GOING_ON
        return now if is_on else None

    def _look(self) -> None:
        """See how it stands now.

        Raises:
            Ended: the cycle is over.
        """
        now = self._now()
        if now is None:
            raise Ended
        self._take(now)

    def _take(self, record: Record) -> None:
        """Go on by a record, and by what of it counts; not within a transaction."""
        self.record = record
        self._escalation, self._meant = seal.meant(self._host.escalation, record, self._host.ledger)

    def _facts(self, of_stage: str, record: Record) -> dict[str, object]:
        is_given = self._host.is_time_given
        return facts_of(self._host.escalation, record, self.standing(), of_stage, is_time_given=is_given)


def _commands(refused: Done) -> str:
    """Return the commands that help where something is waited for, as a part of a sentence."""
    named = [f"orch approve {one['request_id']}" for one in refused.waiting_for if one["type"] == "approval"]
    missing = [command for command in dict.fromkeys(named) if command not in refused.detail]
    return f": {', '.join(missing)}" if missing else ""


def _wrong(error: UsageError) -> Done:
    detail = f"{error} ({error.advice})" if error.advice else str(error)
    return Done(State.PERMANENT, detail=detail, error_class=ErrorClass.CONFIGURATION)
