"""Runs one phase of a plan: its steps in order, its criteria, its gate. Knows no engine; idempotent at every point.

Nothing here looks at the ledger or the clock outside of a durable step: an engine that goes through a phase again from
its checkpoints comes the same way.
"""

from dataclasses import replace
from functools import partial
from typing import Any

from orchestrator.adapter import ErrorClass
from orchestrator.errors import Exit, LedgerError
from orchestrator.order import Done, Order, State
from orchestrator.plans.checks import check
from orchestrator.plans.model import Criterion, Phase, Retry
from orchestrator.plans.values import filled_criterion, holds
from orchestrator.runs.context import RunContext
from orchestrator.runs.durable import Durable, Plain
from orchestrator.runs.ended import (
    LONGEST_SLEEP_S,
    PASSED,
    Ended,
    Tries,
    Way,
    ended_of,
    ended_of_error,
    failed,
    timer,
    wait_s,
)
from orchestrator.runs.gate import pass_gate
from orchestrator.runs.journal import VERIFY
from orchestrator.runs.scope import scope_of
from orchestrator.runs.step import EXPECTED, Walk, repeated, run_steps

__all__ = ["Durable", "Plain", "run_phase"]

_USUAL = Retry()
_GRAVEST = tuple(
    each.value for each in (ErrorClass.CONFIGURATION, ErrorClass.PERMANENT, ErrorClass.DEPENDENCY, ErrorClass.TRANSIENT)
)
"""Of several unmet criteria the first in this order says whether another attempt is of use."""


def run_phase(context: RunContext, phase_id: str, durable: Durable) -> str:
    """Return the state of a phase after it ran as far as it can: passed, failed, waiting or skipped.

    What is over is given back. Run again after a crash at whatever point, it gives the same effects once.

    Raises:
        LedgerError: what is recorded of the run cannot be trusted, or nothing can be recorded.

    Source: 002, "Execution Flow".
    """
    try:
        phase = context.plan.phase(phase_id)
    except KeyError:
        raise LedgerError(
            f"the plan of the run {context.run_id} has no phase {phase_id!r:.60}", advice=VERIFY
        ) from None
    begun = durable.step(f"{phase_id} begins", lambda: _begin(context, phase))
    if begun["state"] != "started":
        return str(begun["state"])
    walk = Walk(context, phase, int(begun["attempt"]), durable, memo={})
    while True:
        ended, criteria = _attempt(walk)
        if not _is_worth_another(walk, ended):
            return _finish(walk, ended, criteria)
        walk = _another(walk, ended)
        pause = wait_s(_tries(walk, walk.attempt - 1))
        if pause > LONGEST_SLEEP_S:
            return _finish(walk, Ended(Way.WAITING, ended.reason, wait_s=pause), ())
        durable.sleep(pause)


def _begin(context: RunContext, phase: Phase) -> dict[str, Any]:
    """Record that the phase starts, or that it does not; what is over stays as it is."""
    journal = context.journal
    now = journal.standing()
    row = now.phases.get(phase.id)
    if row is not None and row.state not in {"started", "waiting"}:
        return {"state": row.state}
    if now.state != "running":
        return {"state": row.state if row else "pending"}
    if row is None:
        wanted = holds(phase.when, scope_of(context, phase.id))
        if wanted is False:
            return {"state": journal.end(phase.id, "skipped", {"reason": "its `if` is false"})}
        if wanted is None:
            reason = "its `if` asks for what is not known"
            said = {"error_class": ErrorClass.CONFIGURATION.value, "reason": reason, "exit_code": int(Exit.PACK)}
            return {"state": journal.end(phase.id, "failed", said)}
    row = journal.start(phase.id)
    return {"state": row.state, "attempt": row.attempt}


def _attempt(walk: Walk) -> tuple[Ended, tuple[dict[str, Any], ...]]:
    """Return how one attempt came out: steps, then criteria, then the gate."""
    ended = run_steps(walk, walk.phase.steps)
    if ended.way is not Way.PASSED:
        return ended, ()
    results: list[dict[str, Any]] = []
    for criterion in walk.phase.success:
        ended = repeated(walk, criterion.name, partial(_check, walk, criterion))
        if ended.result is None:
            return ended, tuple(results)
        results.append(dict(ended.result))
    unmet = [one for one in results if not one["passed"]]
    if unmet:
        reason = "; ".join(
            f"{one['kind']} {one['subject']}: {one['seen']}, expected {one['expected']}" for one in unmet
        )
        kind = min((one["error"] for one in unmet), key=_GRAVEST.index)
        return failed(f"criteria not met: {reason}", ErrorClass(kind)), tuple(results)
    return pass_gate(walk, len(results)), tuple(results)


def _check(walk: Walk, criterion: Criterion, tried: int) -> Ended:
    """Return what a criterion saw as `result` of PASSED; anything else where that is not known."""
    halted = walk.halted()
    if halted is not None:
        return halted
    name = criterion.name + (f".{walk.attempt}" if walk.attempt > 1 else "")
    tries = walk.tries(name, _USUAL, tried, is_repeatable=True)
    ordered: list[Done] = []

    def run(order: Order) -> Done:
        done = walk.act(order._replace(name=name, timeout_s=min(order.timeout_s, walk.left_s())), again=tries.tried > 1)
        ordered.append(done)
        return done

    try:
        wanted = replace(filled_criterion(criterion, scope_of(walk.context, walk.phase.id)), name=name)
        seen = check(wanted, walk.context.root, run)
    except EXPECTED as error:
        return ended_of_error(error, tries)
    for done in ordered:
        if done.state not in {State.DELIVERED, State.PERMANENT}:
            return ended_of(done, tries)
    return PASSED._replace(
        result={
            "name": criterion.name,
            "kind": seen.kind,
            "subject": seen.subject,
            "passed": seen.passed,
            "seen": seen.seen,
            "expected": seen.expected,
            "error": seen.error.value if seen.error else "",
        }
    )


def _is_worth_another(walk: Walk, ended: Ended) -> bool:
    retry = walk.phase.retry
    is_failure = ended.way is Way.FAILED and ended.error_class in set(retry.errors)
    return is_failure and walk.attempt < retry.attempts


def _tries(walk: Walk, tried: int) -> Tries:
    return Tries(walk.context.run_id, walk.phase.id, walk.phase.retry, tried)


def _another(walk: Walk, ended: Ended) -> Walk:
    """Record the next attempt at the phase before it is waited for, so that it is not counted twice."""
    attempt = walk.attempt + 1
    name = f"{walk.phase.id} begins attempt {attempt}"

    def start() -> None:
        walk.context.journal.start(walk.phase.id, attempt, ended.reason)

    walk.durable.step(name, start)
    return walk._replace(attempt=attempt)


def _finish(walk: Walk, ended: Ended, criteria: tuple[dict[str, Any], ...]) -> str:
    def end() -> str:
        return walk.context.journal.end(walk.phase.id, *_said(walk, ended, criteria))

    state: str = walk.durable.step(f"{walk.phase.id} ends", end)
    return state


def _said(walk: Walk, ended: Ended, criteria: tuple[dict[str, Any], ...]) -> tuple[str, dict[str, Any]]:
    """Return the phase's state and what its event says."""
    match ended.way:
        case Way.PASSED:
            return "passed", {"criteria": list(criteria)}
        case Way.WAITING:
            waits = ended.waiting_for or (timer(ended.wait_s, _tries(walk, walk.attempt)),)
            mine = {"phase": walk.phase.id, "attempt": walk.attempt}
            return "waiting", {"for": [{**one, **mine} for one in waits], "reason": ended.reason}
        case _:
            said = {"error_class": ended.error_class, "reason": ended.reason, "exit_code": ended.exit_code}
            return "failed", {**said, "criteria": list(criteria)}
