"""The gate of a phase: it is opened by a decision, which the packs alone give or people's votes. Decides nothing."""

from collections.abc import Mapping
from typing import Any

from orchestrator.act import Executor
from orchestrator.choices import Outcome
from orchestrator.order import Done, Order, State
from orchestrator.plans.model import Phase
from orchestrator.runs import due
from orchestrator.runs.ended import PASSED, Ended, Tries, ended_of, ended_of_error
from orchestrator.runs.step import EXPECTED, Walk, repeated

APPROVE, BY_ITSELF = "approve_phase", "auto_approve"
"""The actions that are asked for."""


def pass_gate(walk: Walk, met: int) -> Ended:
    """Return whether a phase may count as passed; `met` is how many criteria it has, all of them met.

    Source: 002, "Success Criteria-Based Approvals".
    """
    if not has_gate(walk.phase, walk.context.mode):
        return PASSED
    return repeated(walk, walk.name("gate"), lambda tried: _asked(walk, met, tried))


def has_gate(phase: Phase, mode: str) -> bool:
    """Return whether anybody is asked before a phase counts as passed; for a job's nobody is, but in manual mode."""
    return phase.gate != "none" or mode == "manual"


def gate_order(phase: str, plan: str, mode: str, met: int, action: str = APPROVE, *, attempt: int = 1) -> Order:
    """Return the order by which a phase is approved."""
    name = f"{phase}/gate.{action}" + (f".{attempt}" if attempt > 1 else "")
    return Order(name, action, {"resource": f"{plan}:{phase}", "criteria": met, "met": met, "mode": mode})


def _order(walk: Walk, met: int, action: str = APPROVE) -> Order:
    context = walk.context
    return gate_order(walk.phase.id, context.plan.name, context.mode, met, action, attempt=walk.attempt)


def is_manual(walk: Walk) -> bool:
    """Return whether people open this gate whatever the packs say."""
    return walk.context.mode == "manual" or walk.phase.gate == "manual"


def _asked(walk: Walk, met: int, tried: int) -> Ended:
    halted = walk.halted()
    if halted is not None:
        return halted
    context = walk.context
    order = _order(walk, met)
    tries = walk.tries(order.name, walk.phase.retry, tried)
    try:
        by_people = is_manual(walk) or (not met and not _goes_by_itself(walk))
        executor = context.gate if by_people else context.executor
        places = due.places(context.ledger)
        done = executor.decide(order)
        return _ended(done and places.seen(done), executor, order, tries)
    except EXPECTED as error:
        return ended_of_error(error, tries)


def _ended(done: Done | None, executor: Executor, order: Order, tries: Tries) -> Ended:
    if done is None:
        return PASSED
    ended = ended_of(done, tries)
    if done.state is State.DENIED:
        why = _why(executor.decision_of(order))
        return ended._replace(reason=f"the phase is not approved: {why or done.detail}")
    return ended


def _goes_by_itself(walk: Walk) -> bool:
    """Return whether a pack lets a phase without criteria pass: by a rule of its own, not by a default.

    Where packs only warn it passes, too. What would wait is not asked for: the gate is there for that.
    """
    context = walk.context
    order = _order(walk, 0, BY_ITSELF)
    if context.executor.decision_of(order) is None and context.executor.would(order).outcome is Outcome.PENDING:
        return False
    if context.executor.decide(order) is not None:
        return False
    return counts(context.executor.decision_of(order))


def counts(decision: Mapping[str, Any] | None) -> bool:
    """Return whether an allowed `auto_approve` rests on a rule, or on packs that only warn."""
    if decision is None:
        return False
    named = any(one["effect"] in {"allow", "delegate"} and ":" in one["source"] for one in decision["findings"])
    return bool(named or decision["mode"] == "warn")


def _why(decision: Mapping[str, Any] | None) -> str:
    if decision is None:
        return ""
    said = (one for one in decision["findings"] if one["effect"] in {"deny", "require"} and not one["waived"])
    return "; ".join(f"{one['rule']}: {one['message']}" if one["message"] else str(one["rule"]) for one in said)
