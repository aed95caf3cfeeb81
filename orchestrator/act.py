"""Acts: one order is prepared, decided, held to its obligations, looked at once more, performed and recorded.

Everything that a caller needs for one action is here: `Executor`, and the values of `orchestrator.order`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from orchestrator import outbox, outlay, verdict
from orchestrator.adapter import ErrorClass
from orchestrator.attempt import is_in_flight
from orchestrator.decision import Decision
from orchestrator.errors import AdapterError, BudgetError, DecisionError, LedgerError, PackError, UsageError
from orchestrator.judge import Judge
from orchestrator.ledger.mask import Mask
from orchestrator.ledger.store import Ledger
from orchestrator.names import shown
from orchestrator.opening import is_opening
from orchestrator.order import Done, Lease, OnUnknown, Order, State
from orchestrator.outbox import Row, Standing
from orchestrator.performing import Changed, Over, Performing, Verdict, is_to_do, next_attempt, stands
from orchestrator.record import Beside, Recorder, Run
from orchestrator.secret import Secrets
from orchestrator.settings import Settings
from orchestrator.task import Task, Workshop, asked_digest, task_of
from orchestrator.verdict import RefusedError

__all__ = ["Done", "Executor", "Lease", "OnUnknown", "Order", "State"]

_ROUNDS = 8
"""How often an order is decided anew because something changed meanwhile."""
_PATIENCE_S, _STEP_S = 5.0, 0.05
"""How long another process that is at the same order is waited for."""


class Executor:
    """Carries out the orders of one run, under its policy. One for each thread: it has one connection to the ledger."""

    grace_s = 15.0
    """How long an adapter may take beyond an order's time before it is given up, seconds."""

    def __init__(self, judge: Judge, shop: Workshop, ledger: Ledger | None, lease: Lease | None) -> None:
        """Take what `open` makes; raises as that does."""
        self.judge = judge
        self._shop, self._ledger, self._lease = shop, ledger, lease
        self._recorders: dict[tuple[str, str], Recorder] = {}
        if ledger is not None and judge.run.id is not None:
            self._recorder(judge.run.id)  # refuses a run that has ended, before anything is asked

    @classmethod
    def open(
        cls,
        settings: Settings,
        run: Run,
        *,
        root: Path,
        ledger: Ledger | None,
        lease: Lease | None,
        facts: Mapping[str, Any] | None = None,
        run_packs: Sequence[Mapping[str, str]] = (),
        environ: Mapping[str, str] | None = None,
    ) -> Self:
        """Return the executor of a run whose files lie in `root`; without a ledger it can only say what `would` be.

        `run_packs` are `{name, text}` of packs that narrow this run, each a layer of its own, beside the settings' own.
        `run.subject` is who acts; `facts` are what else the host knows of the run (trigger, delegation, contributors).

        Raises:
            PackError: a pack is wrong.
            UsageError: no packs are named, or the run has ended.
            DecisionError: there is no engine to trust.
            LedgerError: the ledger cannot be read.
        """
        import os

        root = root.resolve()
        judge = Judge(settings, run, root, dict(facts or {}), run_packs)
        mask = ledger.mask if ledger is not None else Mask.of(os.environ if environ is None else environ)
        secrets = Secrets(settings.secrets, os.environ if environ is None else environ, mask)
        secrets.learn()
        return cls(judge, Workshop(settings, root, secrets), ledger, lease)

    @property
    def ledger(self) -> Ledger | None:
        """The ledger, its mask knowing every secret that is there."""
        if self._ledger is not None and self._ledger.mask is not self._shop.secrets.mask:
            self._ledger = self._ledger._replace(mask=self._shop.secrets.mask)
        return self._ledger

    @property
    def run(self) -> Run:
        """What the orders belong to; its repository and session as they were fixed when it began."""
        return self.judge.run

    @property
    def lease(self) -> Lease:
        """Proof that this process lives.

        Raises:
            LedgerError: it was opened without one, to say what `would` be.
        """
        if self._lease is None:
            raise LedgerError("nothing is executed without a lease")
        return self._lease

    # -- what is asked of it

    def check(self, order: Order) -> None:
        """Look whether an order can be prepared; changes nothing.

        Raises:
            UsageError: no adapter can do it, or a parameter is wrong.
            AdapterError: what it needs is not configured or cannot be read.
        """
        self._task(order, may_ask=False)

    def look(self, order: Order) -> Done | None:
        """Return what is recorded of an order, None where nothing is; asks nobody.

        Raises:
            UsageError: its name was used for another action.
            LedgerError: the ledger cannot be read.
        """
        rows = self._rows(order)
        if not rows:
            return None
        self._must_match(order, rows, again=False)
        context = self._recorded(rows)
        if any(row.state is Standing.PLANNED for row in rows.values()):
            return None if context is None else verdict.refused(context, self._key(order))
        return verdict.done_of(rows, self._key(order), order.name, verdict.warned(context) if context else ())

    def would(self, order: Order) -> Decision:
        """Return what an order would be decided now; nothing is recorded, and no ledger is made.

        Raises:
            UsageError, AdapterError: as `check`.
            DecisionError: there is no answer to trust.
        """
        self.judge.renew()
        task = self._task(order, may_ask=False)
        recorder = None if self._ledger is None else self._recorder(self._chain(order))
        also = Beside(outlay.estimates_of(order))
        return self.judge.decide(task.request, recorder, also, task.facts)

    def decide(self, order: Order) -> Done | None:
        """Record a decision under the order's key, once while it stays the same; None where it is allowed.

        An action that no adapter does (`approve_phase`) names its resource's id by the parameter `resource`. Allowed,
        it is done with that: the approvals that it had are used up.

        Raises:
            UsageError: the decision rests on a claim, or the name was used for another action.
            LedgerError: it cannot be recorded.
        """
        if is_opening(order.action):
            done = self.act(order)
            return None if done.state is State.DELIVERED else done
        return self._guarded(order, lambda: self._only_decided(order))

    def ask(self, order: Order) -> Done | None:
        """Record a decision and nothing else, each time anew; None where it is allowed. No approvals are used up.

        Raises as `decide`.
        """

        def asked() -> Done | None:
            decision = self.would(order)
            verdict.refuse_claims(decision, self.judge.policy.claims, order.action)
            context = self._recorder(self._chain(order)).record([decision])[0].context
            return verdict.refused(context, self._key(order))

        return self._guarded(order, asked)

    def decision_of(self, order: Order) -> Mapping[str, Any] | None:
        """Return the recorded decision of an order, as `Decision.context` is; None where there is none."""
        return self._recorded(self._rows(order))

    def act(self, order: Order, *, is_cancelled: Callable[[], bool] = lambda: False, again: bool = False) -> Done:
        """Return what became of an order, which is done first where it is not done yet.

        What was delivered is given back, and what was refused outside unless `again`; what was not configured is tried.

        Raises:
            UsageError: the decision rests on a claim, or the name was used for another action.
            LedgerError: it cannot be recorded, or this process may have been taken over.

        Source: 001, "Policy enforce"; 000, "Idempotent action execution".
        """
        done = self._guarded(order, lambda: self._in_rounds(order, is_cancelled, again=again))
        assert done is not None  # noqa: S101  # only `decide` gives nothing
        return done

    # -- rounds

    def _guarded(self, order: Order, work: Callable[[], Done | None]) -> Done | None:
        key = self._key(order)
        try:
            return work()
        except RefusedError:
            raise
        except BudgetError as error:
            return verdict.failed(error, State.BUDGET, key)
        except DecisionError as error:
            return verdict.failed(error, State.UNDECIDABLE, key)
        except (PackError, UsageError) as error:
            return verdict.failed(error, State.PERMANENT, key, ErrorClass.CONFIGURATION)
        except AdapterError as error:
            error_class = ErrorClass(error.error_class) if error.error_class else ErrorClass.PERMANENT
            state = State.RETRYABLE if error.delivery == "retryable" else State.PERMANENT
            return verdict.failed(error, state, key, error_class)

    def _in_rounds(self, order: Order, is_cancelled: Callable[[], bool], *, again: bool) -> Done:
        why = ""
        for _ in range(_ROUNDS):
            rows = self._patient_rows(order)
            self._must_match(order, rows, again=again)
            if rows and outbox.are_settled(rows.values(), again=again):
                context = self._recorded(rows)
                return verdict.done_of(rows, self._key(order), order.name, verdict.warned(context) if context else ())
            try:
                return self._round(order, rows, is_cancelled, again=again)
            except Over as over:
                raise RefusedError(str(over), advice="name a new run") from over
            except Changed as change:
                why = str(change)
        text = f"what {order.name} is decided by keeps changing: {why}"
        return Done(State.RETRYABLE, self._key(order), detail=text, error_class=ErrorClass.TRANSIENT)

    def _round(self, order: Order, rows: dict[str, Row], is_cancelled: Callable[[], bool], *, again: bool) -> Done:
        self.judge.renew()
        try:
            task = self._task(order)
        except (UsageError, AdapterError) as error:
            if any(row.is_open for row in rows.values()):
                done = verdict.done_of(rows, self._key(order), order.name)
                return done._replace(detail=f"it may have happened, and cannot be looked up: {error}")
            raise
        performing = self._performing(task, is_cancelled)
        free = performing.reconciled(rows)
        before, rows = rows, self._rows(order) if any(row.is_open for row in rows.values()) else rows
        if any(
            self._is_busy(row) and not (target in before and before[target].is_open) for target, row in rows.items()
        ):
            raise Changed("another process is at it")
        todo = [target for target in task.prepared.targets if is_to_do(rows.get(target), free, again=again)]
        if not todo:
            return performing.done(rows)
        with performing.marks:
            found = self._verdict(task, rows, todo, performing)
            if (refusal := verdict.refused(found.context, self._key(order), found.request_id)) is not None:
                performing.given_up(self._rows(order))
                known = [row.receipt for row in rows.values() if row.state is not Standing.PLANNED]
                return refusal._replace(receipts=tuple(known))
            return performing.run(found, todo)

    def _only_decided(self, order: Order) -> Done | None:
        rows = self._rows(order)
        self._must_match(order, rows, again=False)
        if rows and all(row.state is Standing.DELIVERED for row in rows.values()):
            return None
        self.judge.renew()
        task = self._task(order)
        todo = [target for target in task.prepared.targets if is_to_do(rows.get(target), frozenset(), again=True)]
        found = self._verdict(task, rows, todo)
        return verdict.refused(found.context, self._key(order), found.request_id)

    # -- decisions

    def _verdict(
        self, task: Task, rows: Mapping[str, Row], todo: Sequence[str], performing: Performing | None = None
    ) -> Verdict:
        """Return the decision that holds now: the recorded one where it still is the same, else a new one, recorded.

        With a new one the attempt is begun, where `performing` can do that at once.
        """
        order, ledger = task.order, self._book()
        recorder = self._recorder(self._chain(order))
        earlier = self._recorded(rows)
        is_begun = earlier is not None and earlier["outcome"] == "allow"
        used = next((row.request_id for row in rows.values() if row.request_id), "") if is_begun else ""
        also = Beside(outlay.estimates_of(order), used)
        if self.run.id is not None and rows:  # room is taken once it is planned
            with ledger.store.reading() as connection:
                if outlay.open_one(connection, self._spender(order), next_attempt(rows)):
                    also = also._replace(estimates={})  # its room is taken already
        decision = self.judge.decide(task.request, recorder, also, task.facts)
        verdict.refuse_claims(decision, self.judge.policy.claims, order.action)
        request_id = str(decision.facts.get("request_id", ""))
        if earlier is not None and stands(earlier, decision, rows, todo):
            return Verdict(earlier, decision, request_id, used)
        plan = self._plan(order, task)
        begins = performing is not None and not used and performing.may_begin(decision, todo)

        def then(connection: Any, recorded: Sequence[Decision]) -> None:  # noqa: ANN401  # a Connection
            for row in rows.values():
                if row.target in todo and not outbox.lock(connection, row):
                    raise Changed("another process is at it")
            prepared = task.prepared._replace(targets=tuple(todo))
            outbox.planned(ledger, connection, plan, prepared, recorded[0].context)
            if begins and performing is not None:
                performing.begin(connection, Verdict(recorded[0].context, recorded[0], request_id, ""), todo[0])

        recorded = recorder.record([decision], then)[0]
        return Verdict(recorded.context, recorded, request_id, used)

    def _recorded(self, rows: Mapping[str, Row]) -> Mapping[str, Any] | None:
        """Return the newest decision about an order as it was recorded; None where there is none, or it was erased."""
        newest = max(rows.values(), key=lambda row: row.at, default=None)
        if newest is None:
            return None
        with self._book().store.reading() as connection:
            return outbox.decision_in(connection, newest.evaluation_id)

    # -- what it stands on

    def _performing(self, task: Task, is_cancelled: Callable[[], bool]) -> Performing:
        order = task.order
        return Performing(
            task=task,
            ledger=self._book(),
            recorder=self._recorder(self._chain(order)),
            judge=self.judge,
            lease=self.lease,
            plan=self._plan(order, task),
            spender=self._spender(order),
            is_cancelled=is_cancelled,
            grace_s=self.grace_s,
        )

    def _book(self) -> Ledger:
        if (ledger := self.ledger) is None:
            raise LedgerError("nothing is executed without a ledger", advice="leave --dry-run out, or name a ledger")
        return ledger

    def _recorder(self, chain: str) -> Recorder:
        ledger = self._book()
        place = (chain, self.judge.policy.digest)
        if place not in self._recorders or self._recorders[place].ledger is not ledger:
            self._recorders[place] = self.judge.recorder(ledger, chain)
        return self._recorders[place]

    def _task(self, order: Order, *, may_ask: bool = True) -> Task:
        return task_of(order, self._shop, self.run, self.judge.policy.roster, may_ask=may_ask)

    def _rows(self, order: Order) -> dict[str, Row]:
        with self._book().store.reading() as connection:
            return outbox.rows_of(connection, self._chain(order), order.name)

    def _patient_rows(self, order: Order) -> dict[str, Row]:
        """Return the rows; where another process is at them, once it is done or has been waited for long enough."""
        until_s = time.monotonic() + _PATIENCE_S
        while True:
            rows = self._rows(order)
            if time.monotonic() > until_s or not any(map(self._is_busy, rows.values())):
                return rows
            time.sleep(_STEP_S)

    def _is_busy(self, row: Row) -> bool:
        """Return whether it is worth waiting for what somebody has begun."""
        if row.state is not Standing.DISPATCHING or not row.executor or self._lease is None:
            return False
        if row.executor == self._lease.id:
            return is_in_flight(row.key)
        return not (self._lease.is_dead(row.executor) or self._lease.is_replaced(row.executor))

    def _must_match(self, order: Order, rows: Mapping[str, Row], *, again: bool) -> None:
        digest = asked_digest(order)
        for row in rows.values():
            is_ended = row.is_open or outbox.are_settled([row], again=again)
            if row.action != order.action or (is_ended and row.asked_digest != digest):
                what = "other parameters" if row.action == order.action else row.action
                raise RefusedError(
                    f"{shown(order.name)} was used for {what} already",
                    advice="a key stands for one action with its parameters: name another one",
                )

    def _plan(self, order: Order, task: Task) -> outbox.Plan:
        run_id = self.run.id or ""
        return outbox.Plan(
            self._chain(order),
            run_id,
            order.name,
            order.action,
            task.adapter.name,
            asked_digest(order),
            self.run.subject,
        )

    def _spender(self, order: Order) -> outlay.Spender:
        return outlay.Spender(self.run.id or "", self.run.subject, self._key(order))

    def _chain(self, order: Order) -> str:
        return outbox.chain_of(self.run.id, order.name, "" if self._ledger is None else self._ledger.id)

    def _key(self, order: Order) -> str:
        ledger_id = "" if self._ledger is None else self._ledger.id
        return outbox.key_of(ledger_id, self.run.id or "", order.name, "")
