"""Does one step of a phase: its `if`, its parameters, as many attempts as its policy has, what it says of a failure.

Everything that looks at the ledger, the clock or the world happens inside a durable step, so that an engine that goes
through a phase again takes the same way.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from orchestrator import clock, outbox
from orchestrator.adapter import ErrorClass
from orchestrator.errors import AdapterError, BudgetError, DecisionError, Exit, PackError, UsageError
from orchestrator.ledger.store import Connection
from orchestrator.order import Done, OnUnknown, Order
from orchestrator.plans.model import Phase, Retry, Step
from orchestrator.plans.values import filled, holds
from orchestrator.runs import due, journal
from orchestrator.runs.context import RunContext
from orchestrator.runs.durable import Durable
from orchestrator.runs.ended import CANCELLED, PASSED, Ended, Tries, Way, ended_of, ended_of_error, failed
from orchestrator.runs.scope import scope_of

_T = TypeVar("_T")
_LOOK_S = 1.0
EXPECTED = (UsageError, PackError, AdapterError, DecisionError, BudgetError)
"""What may be wrong with one order; anything else is wrong with the run."""


class Walk(NamedTuple):
    """One attempt at a phase."""

    context: RunContext
    phase: Phase
    attempt: int
    durable: Durable
    is_undoing: bool = False
    """It undoes what the phase did: neither the phase's timeout nor a cancellation ends it."""
    memo: dict[tuple[str, int], Any] | None = None
    """What this process read of the phase's attempts that nobody changes before the walk is over."""

    def name(self, what: str) -> str:
        """Return the place of something in the plan."""
        return f"{self.phase.id}/{what}"

    def left_s(self) -> float:
        """Return how much time the phase has."""
        if self.is_undoing:
            return float("inf")
        at = self._once(
            "started", lambda connection: journal.started_at(connection, self.context.run_id, self.phase.id)
        )
        spent = (clock.now_ns() - clock.parse_time(at)) / clock.SECOND_NS if at else 0.0
        return self.phase.timeout_s - spent

    def tries(self, name: str, retry: Retry, tried: int, *, is_repeatable: bool = False) -> Tries:
        """Return which attempt this is, those of earlier segments counted.

        Looks for what became of an unknown one are counted with it, until that is known.
        """
        waits = self._once("waits", self._waits)
        with self.context.ledger.store.reading() as connection:
            is_open = any(row.is_open for row in outbox.rows_of(connection, self.context.run_id, name).values())
        mine = [one for one in waits if one.get("step") == name and one.get("attempt") == self.attempt]
        if not is_open and any(one["type"] == "unknown" for one in mine):
            mine = []
        before = max((int(one.get("tries", 0)) for one in mine), default=0)
        return Tries(self.context.run_id, name, retry, before + tried, is_repeatable)

    def _waits(self, connection: Connection) -> tuple[Mapping[str, Any], ...]:
        return journal.waits(connection, self.context.run_id).get(self.phase.id, ())

    def _once(self, what: str, read: Callable[[Connection], _T]) -> _T:
        """Return what is read of this attempt, from memory the second time: it grows long with the run."""
        memo: dict[tuple[str, int], Any] = {} if self.memo is None else self.memo
        if (what, self.attempt) not in memo:
            with self.context.ledger.store.reading() as connection:
                memo[what, self.attempt] = read(connection)
        known: _T = memo[what, self.attempt]
        return known

    def act(self, order: Order, *, again: bool) -> Done:
        """Return what became of an order."""
        is_cancelled = (lambda: False) if self.is_undoing else Watch(self.context).is_cancelled
        places = due.places(self.context.ledger)
        return places.seen(self.context.executor.act(order, is_cancelled=is_cancelled, again=again))

    def halted(self) -> Ended | None:
        """Return why nothing more may begin: the run was cancelled, or the phase has no time left."""
        if self.is_undoing:
            return None
        if self.context.journal.state_of_run() == "cancelling":
            return CANCELLED
        if self.left_s() <= 0:
            reason = f"the phase took longer than its {self.phase.timeout_s:g} s"
            return failed(reason, ErrorClass.TRANSIENT)
        return None


class Watch:
    """Whether a run was cancelled; looks at most once a second."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._looked_s = time.monotonic()  # `halted` has looked
        self._is_cancelled = False

    def is_cancelled(self) -> bool:
        """Return whether somebody wants the run ended."""
        now = time.monotonic()
        if not self._is_cancelled and now - self._looked_s >= _LOOK_S:
            self._is_cancelled = self._context.journal.state_of_run() == "cancelling"
            self._looked_s = now
        return self._is_cancelled


def run_steps(walk: Walk, steps: tuple[Step, ...]) -> Ended:
    """Return how steps came out, done in order; the first that does not pass ends it."""
    for step in steps:
        ended = run_step(walk, step)
        if ended.way not in {Way.PASSED, Way.SKIPPED}:
            return ended
    return PASSED


def run_step(walk: Walk, step: Step) -> Ended:
    """Return how one step came out, after what the plan says of its failure."""
    ended = repeated(walk, walk.name(step.id), lambda tried: _attempt(walk, step, tried))
    if ended.way is Way.SKIPPED:
        _note(walk, step, "skipped", ended.reason)
    if ended.way is not Way.FAILED or step.on_failure == "stop":
        return ended
    if step.on_failure == "continue":
        _note(walk, step, "continued", ended.reason)
        return PASSED
    _note(walk, step, "replaced", ended.reason)
    return run_steps(walk, step.on_failure)


def repeated(walk: Walk, name: str, attempt: Callable[[int], Ended]) -> Ended:
    """Return how attempts came out at last; each is a durable step, with a durable pause before the next."""
    tried = 1
    while True:
        label = f"{name} #{walk.attempt}.{tried}"
        ended = Ended.of(walk.durable.step(label, lambda: attempt(tried).to_json()))  # noqa: B023  # done before the next round
        if ended.way is not Way.AGAIN:
            return ended
        walk.durable.sleep(ended.wait_s)
        tried += 1


def order_of(step: Step, name: str, parameters: dict[str, Any], left_s: float) -> Order:
    """Return the order that a step stands for."""
    return Order(
        name=name,
        action=step.action,
        parameters=parameters,
        adapter=step.adapter,
        on_unknown=OnUnknown(step.on_unknown),
        timeout_s=min(step.timeout_s, left_s),
        is_replayable=step.is_replayable,
        estimates=step.estimates,
        codes=step.codes,
    )


def _attempt(walk: Walk, step: Step, tried: int) -> Ended:
    name = walk.name(step.id)
    halted = walk.halted()
    if halted is not None:
        return halted
    scope = scope_of(walk.context, None if walk.is_undoing else walk.phase.id)
    wanted = holds(step.when, scope)
    if wanted is None:
        reason = f"the `if` of {name} asks for what is not known"
        return failed(reason, ErrorClass.CONFIGURATION, Exit.PACK)
    if not wanted:
        return Ended(Way.SKIPPED, "its `if` is false")
    is_repeatable = bool(step.is_replayable) or step.on_unknown == "resend"
    tries = walk.tries(name, step.retry, tried, is_repeatable=is_repeatable)
    try:
        order = order_of(step, name, filled(step.parameters, scope), walk.left_s())
        return ended_of(walk.act(order, again=tries.tried > 1 or walk.attempt > 1), tries)
    except EXPECTED as error:
        return ended_of_error(error, tries)


def _note(walk: Walk, step: Step, state: str, reason: str) -> None:
    def noted() -> None:
        walk.context.journal.note(walk.phase.id, step.id, state, reason)

    walk.durable.step(f"{walk.name(step.id)} {state}", noted)
