"""Performs an allowed task: dispatching is durable before the call, what became of it right after. Decides nothing.

Whoever changes a reservation locks its row first, then the chain of the order, then the rows of its actions, then the
request for approvals; so no two processes wait for each other.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from orchestrator import approvals, outbox, outlay, verdict
from orchestrator.adapter import Action, Delivery, ErrorClass, Receipt, failure
from orchestrator.attempt import Attempted, Call, in_flight, is_in_flight, performed, reconciled
from orchestrator.decision import Decision
from orchestrator.errors import LedgerError, UnrecordedError
from orchestrator.judge import Judge, is_same
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.names import shown
from orchestrator.order import TRACKING, Done, Lease, OnUnknown, State
from orchestrator.outbox import Plan, Row, Standing
from orchestrator.outlay import Spender, Used
from orchestrator.record import GOING_ON, Beside, Recorder
from orchestrator.task import Task, keeper

_STATUS = ("exit_code", "status")
"""Outputs whose number a plan can give a meaning."""
_COME_BETWEEN = frozenset({"approval", "budget"})
"""Obligations that need something done between a decision and its attempt."""


class Changed(Exception):  # noqa: N818  # no failure: the order is decided anew
    """Something that the decision rests on is not what it was."""


class Over(Changed):
    """The run of the order has ended, so nothing more is done of it."""


class Verdict(NamedTuple):
    """A recorded decision that holds now."""

    context: Mapping[str, Any]
    """As it was recorded."""
    now: Decision
    """The same, with the facts of this moment."""
    request_id: str
    """The request whose approvals count; "" where there is none."""
    used: str
    """The request that an earlier attempt of this very order used up."""

    @property
    def needs_approval(self) -> bool:
        """Whether it is allowed because people approved it."""
        return any(
            one["type"] == "approval" and one["mode"] == "enforce" and one["status"] == "met"
            for one in self.now.context["obligations"]
        )


@dataclass
class Performing:
    """One call of `act`, once its task is prepared."""

    task: Task
    ledger: Ledger
    recorder: Recorder
    judge: Judge
    lease: Lease
    plan: Plan
    spender: Spender
    is_cancelled: Callable[[], bool]
    grace_s: float
    why_changed: str = ""
    lost: LedgerError | None = None
    """Set where this process may have been taken over."""
    ends: dict[str, Used] = field(default_factory=dict)
    """How targets ended in this call."""
    retry_after_s: float | None = None
    begun: Row | None = None
    """What was begun with its decision, in one transaction."""
    marks: ExitStack = field(default_factory=ExitStack)
    """That this process is at it."""

    # -- what earlier attempts left

    def reconciled(self, rows: Mapping[str, Row]) -> frozenset[str]:
        """Look outside for what became of attempts that nobody knows the end of; return what may be done again.

        Whoever began it and has not certainly ended may still be at it: then only what is found there, or may be
        repeated at will, goes on.
        """
        free = set()
        for target, row in rows.items():
            if not row.is_open:
                continue
            is_gone = self._is_gone(row)
            may_repeat = self.task.prepared.is_replayable
            receipt = reconciled(self._call(row.key), self._action(target, row))
            if receipt is not None and receipt.delivery is Delivery.RETRYABLE and not (is_gone or may_repeat):
                receipt = None
            if receipt is not None:
                self._found(row, receipt)
            elif may_repeat or (is_gone and self.task.order.on_unknown is OnUnknown.RESEND):
                free.add(target)
            elif is_gone and row.state is Standing.DISPATCHING:
                self._found(row, Receipt(Delivery.UNKNOWN, detail="it was begun, and nobody knows how it ended"))
        return frozenset(free)

    def _found(self, row: Row, receipt: Receipt) -> None:
        used = Used(receipt.delivery, receipt.used)
        with self.ledger.store.writing() as connection:
            if row.reservation_id:
                order, actor = self.task.order, self.spender.actor
                outlay.ended(self.ledger, connection, row.reservation_id, order, [used], actor=actor)
            outbox.lock_chain(connection, self.plan.chain)
            if outbox.lock(connection, row):
                outbox.ended(self.ledger, connection, self.plan, row, receipt)

    def _is_gone(self, row: Row) -> bool:
        """Return whether nobody can be at an attempt any more."""
        if not row.executor:
            return True
        if row.executor == self.lease.id:
            return not is_in_flight(row.key)
        return self.lease.is_dead(row.executor)

    # -- the attempt

    def may_begin(self, decision: Decision, todo: Sequence[str]) -> bool:
        """Return whether an attempt can begin in the transaction that records its decision.

        It cannot where room in a budget is taken or approvals are used up in between, nor for several recipients, each
        of which is begun on its own.
        """
        owed = decision.context["obligations"]
        is_free = decision.context["outcome"] == "allow" and len(todo) == 1
        return is_free and not any(one["type"] in _COME_BETWEEN for one in owed) and not self.is_cancelled()

    def begin(self, connection: Connection, found: Verdict, target: str) -> None:
        """Begin an attempt in the transaction that records its decision.

        Raises:
            Changed: something is not as it was decided; the decision is not recorded then either.
        """
        self.begun = self._begun_in(connection, found, target, "", self.marks)

    def run(self, found: Verdict, todo: Sequence[str]) -> Done:
        """Perform what is allowed for each of these targets, and return how the order stands then.

        Raises:
            BudgetError: a budget has no room.
            Changed: something is not as it was decided.
            LedgerError: it cannot be recorded, or this process may have been taken over.
        """
        if self.begun is None:
            self.lease.check()
        reservation_id, rows = self._reserved(found), dict[str, Row]()
        for number, target in enumerate(todo):
            if self.begun is None and self.is_cancelled():
                return self._cancelled()
            with ExitStack() as marks:
                marks.push(self.marks.pop_all())
                row = self.begun or self._dispatched(found, target, reservation_id, marks)
                found = found._replace(used=row.request_id)
                self.lease.check()
                attempted = performed(self._call(row.key), self._action(target, row, found))
                rows = self._kept(row, attempted, is_last=number == len(todo) - 1)
            if attempted.interrupt is not None:
                raise attempted.interrupt
            if self.lost is not None:
                raise self.lost
            if self.why_changed:
                raise Changed(self.why_changed)
        return self.done(rows, verdict.warned(found.context))

    def done(self, rows: Mapping[str, Row], warned: tuple[str, ...] = ()) -> Done:
        """Return how the order stands."""
        done = verdict.done_of(rows, self.spender.key, self.task.order.name, warned)
        if self.is_cancelled() and done.state in {State.RETRYABLE, State.PERMANENT}:
            done = done._replace(state=State.CANCELLED)
        return done._replace(retry_after_s=self.retry_after_s)

    def _reserved(self, found: Verdict) -> str:
        """Return the id of the room that is taken for this attempt, "" where no budget is enforced."""
        owed = found.now.context["obligations"]
        if not self.spender.run_id or not any(one["type"] == "budget" for one in owed):
            return ""
        attempt = next_attempt(self._rows())
        evaluation_id = str(found.context["evaluation_id"])
        return outlay.taken(self.ledger, self.spender, self.task.order, evaluation_id, attempt).id

    def _dispatched(self, found: Verdict, target: str, reservation_id: str, marks: ExitStack) -> Row:
        """Record durably that an attempt begins: its approval is used up and its room charged from now on."""
        try:
            return self._begun(found, target, reservation_id, marks)
        except Changed:
            if reservation_id:
                outlay.dropped(self.ledger, reservation_id, self.spender.actor)
            raise

    def _begun(self, found: Verdict, target: str, reservation_id: str, marks: ExitStack) -> Row:
        with self.ledger.store.writing() as connection:
            if reservation_id and not outlay.begun(self.ledger, connection, reservation_id, self.spender.actor):
                raise Changed("its room in a budget was given back")
            outbox.lock_chain(connection, self.plan.chain)
            return self._begun_in(connection, found, target, reservation_id, marks)

    def _begun_in(
        self, connection: Connection, found: Verdict, target: str, reservation_id: str, marks: ExitStack
    ) -> Row:
        """Begin an attempt in a transaction that has locked its chain."""
        self._must_go_on(connection)
        row = outbox.rows_of(connection, self.plan.chain, self.plan.name)[target]
        is_free = row.state is not Standing.DELIVERED and (row.state is not Standing.DISPATCHING or self._is_gone(row))
        if not (is_free and outbox.lock(connection, row)):
            raise Changed("another process is at it")
        self._must_hold(connection, found)
        marks.enter_context(in_flight(row.key))  # before others can see that it was begun
        request_id = self._consumed(connection, found)
        said = {"executor": self.lease.id, "request_id": request_id, "reservation_id": reservation_id}
        outbox.dispatching(self.ledger, connection, self.plan, row, said)
        begun = outbox.row_of(connection, row.key)
        assert begun is not None  # noqa: S101  # it was locked
        return begun

    def _must_go_on(self, connection: Connection) -> None:
        """Refuse where the run has ended; its chain is locked, so it cannot end before this attempt is recorded."""
        if not self.plan.run_id or self.plan.name.startswith(TRACKING):
            return
        rows = connection.execute("SELECT state FROM runs WHERE id = ?", (self.plan.run_id,))
        if rows and rows[0][0] not in GOING_ON:
            raise Over(f"the run {self.plan.run_id} has ended ({rows[0][0]})")

    def _must_hold(self, connection: Connection, found: Verdict) -> None:
        facts = found.now.facts
        known = self.recorder.known_in(connection, self.task.request, facts, Beside(request_id=found.used))
        if not is_same(known, facts):
            raise Changed("votes or evidence are not what they were")

    def _consumed(self, connection: Connection, found: Verdict) -> str:
        """Use the approvals up that count, once for all attempts and targets of an order, and return their request."""
        if not found.needs_approval:
            return found.used
        if found.request_id != found.used:
            if not connection.change(approvals.LOCK, (found.request_id,)):
                raise Changed("its approvals were used meanwhile")
            approvals.consume(self.ledger, connection, found.request_id, str(found.context["evaluation_id"]))
        return found.request_id

    def _kept(self, row: Row, attempted: Attempted, *, is_last: bool) -> dict[str, Row]:
        try:
            return self._ended(row, attempted, is_last=is_last)
        except LedgerError as error:
            if type(error) is not LedgerError:  # it was taken over, and whoever did that looks
                raise
            name = shown(self.task.order.name)
            raise UnrecordedError(
                f"{name} was begun and is {attempted.receipt.delivery}, which could not be recorded: {error}",
                advice=f"mend that, then the same with the key {name}: it looks outside before it does anything again",
            ) from error

    def _ended(self, row: Row, attempted: Attempted, *, is_last: bool) -> dict[str, Row]:
        """Record what became of an attempt, unless another process recorded that already; return the order's rows."""
        receipt = self._with_codes(attempted.receipt)
        self.retry_after_s = receipt.retry_after_s
        self.ends[row.target] = Used(receipt.delivery, receipt.used)
        is_last = is_last or self._is_stopped(attempted)
        with self.ledger.store.writing() as connection:
            if is_last and row.reservation_id:
                self._settled(connection, row.reservation_id)
            outbox.lock_chain(connection, self.plan.chain)
            now = outbox.row_of(connection, row.key)
            mine = (row.state, row.attempt, row.executor)
            is_ours = now is not None and (now.state, now.attempt, now.executor) == mine
            is_news = receipt.delivery is Delivery.DELIVERED and now is not None and now.state is not Standing.DELIVERED
            if is_ours or is_news:
                executor = "" if attempted.is_over else self.lease.id
                outbox.ended(self.ledger, connection, self.plan, row, receipt, executor=executor)
            return outbox.rows_of(connection, self.plan.chain, self.plan.name)

    def _is_stopped(self, attempted: Attempted) -> bool:
        return bool(attempted.interrupt or self.lost or self.why_changed)

    def _settled(self, connection: Connection, reservation_id: str) -> None:
        rows = outbox.rows_of(connection, self.plan.chain, self.plan.name)
        earlier = [
            Used(Delivery(row.state), {}) for row in rows.values() if row.target not in self.ends and _is_end(row)
        ]
        ends = [*self.ends.values(), *earlier]
        outlay.ended(self.ledger, connection, reservation_id, self.task.order, ends, actor=self.spender.actor)

    def given_up(self, rows: Mapping[str, Row]) -> None:
        """Give back, or settle, what an order holds of budgets that is not carried on."""
        if not self.spender.run_id:
            return
        with self.ledger.store.reading() as connection:
            one = outlay.open_one(connection, self.spender, next_attempt(rows))
        if one is None or any(row.is_open for row in rows.values()):
            return
        ends = [Used(Delivery(row.state), {}) for row in rows.values() if _is_end(row)]
        with self.ledger.store.writing() as connection:
            outlay.ended(self.ledger, connection, one.id, self.task.order, ends, actor=self.spender.actor)

    def _cancelled(self) -> Done:
        rows = self._rows()
        self.given_up(rows)
        known = tuple(row.receipt for row in rows.values() if row.state is not Standing.PLANNED)
        return Done(State.CANCELLED, self.spender.key, detail="it was cancelled before it began", receipts=known)

    # -- what the adapter is given

    def _call(self, key: str) -> Call:
        return Call(self.task.adapter, self.task.prepared.effect, key, self.grace_s)

    def _action(self, target: str, row: Row, found: Verdict | None = None) -> Action:
        prepared, request = self.task.prepared, self.task.request
        return Action(
            name=self.task.order.action,
            resource=request["resource"],
            properties=request["action"]["properties"],
            target=target,
            fixed=prepared.fixed,
            place=self.task.place._replace(keep=keeper(self.ledger, self.plan.chain, self.plan.actor)),
            timeout_s=self.task.order.timeout_s,
            attempt=row.attempt,
            recheck=lambda: self._recheck(found),
            is_cancelled=self.is_cancelled,
        )

    def _recheck(self, found: Verdict | None) -> None:
        """Refuse, right before what cannot be called back, where something is not as it was decided."""
        try:
            self.lease.check()
        except LedgerError as error:
            self.lost = error
            raise _withheld(str(error)) from error
        if self.is_cancelled():
            raise _withheld("it was cancelled")
        if found is None:
            return
        if not self.judge.is_current():
            self.why_changed = "the packs are not what they were"
            raise _withheld(self.why_changed)
        with self.ledger.store.reading() as connection:
            try:
                self._must_hold(connection, found)
            except Changed as change:
                self.why_changed = str(change)
                raise _withheld(self.why_changed) from change

    def _with_codes(self, receipt: Receipt) -> Receipt:
        """Return a receipt with the class that the plan gives its exit code or HTTP status."""
        if receipt.delivery is Delivery.DELIVERED:
            return receipt
        code = next((receipt.outputs[name] for name in _STATUS if name in receipt.outputs), None)
        said = self.task.order.codes.get(code) if isinstance(code, int) else None
        return receipt if said is None else receipt._replace(error_class=said)

    def _rows(self) -> dict[str, Row]:
        with self.ledger.store.reading() as connection:
            return outbox.rows_of(connection, self.plan.chain, self.plan.name)


def next_attempt(rows: Mapping[str, Row]) -> int:
    """Return the number of an order's next attempt."""
    return 1 + max((row.attempt for row in rows.values()), default=0)


def is_to_do(row: Row | None, free: frozenset[str], *, again: bool) -> bool:
    """Return whether a target is to be attempted; `free` are those that may be done again."""
    if row is None or row.state in {Standing.PLANNED, Standing.RETRYABLE} or row.target in free:
        return True
    return row.state is Standing.PERMANENT and (again or not row.is_settled)


def stands(earlier: Mapping[str, Any], now: Decision, rows: Mapping[str, Row], todo: Sequence[str]) -> bool:
    """Return whether a recorded decision is what would be decided now, so that nothing new has to be recorded."""
    context = now.context
    is_same = all(earlier[name] == context[name] for name in ("outcome", "reason", "action_digest"))
    is_same = is_same and earlier["policy"]["digest"] == context["policy"]["digest"]
    waits = any(
        one["type"] == "approval" and one["status"] == "unmet" and one["mode"] == "enforce"
        for one in context["obligations"]
    )
    if context["outcome"] == "pending" and waits and not now.facts.get("request_id"):
        return False  # its request was used for something else: a new one has to be opened
    planned = {Standing.PLANNED, Standing.UNKNOWN, Standing.DISPATCHING}
    return is_same and all(
        target in rows and rows[target].evaluation_id == earlier["evaluation_id"] and rows[target].state in planned
        for target in todo
    )


def _is_end(row: Row) -> bool:
    return row.state not in {Standing.PLANNED, Standing.DISPATCHING}


def _withheld(why: str) -> Exception:
    return failure(f"nothing was sent: {why}", delivery=Delivery.RETRYABLE, error_class=ErrorClass.TRANSIENT)
