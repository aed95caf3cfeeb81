"""Rehearses a plan: what each step would be decided now. No ledger, no file, no call.

Source: 002, "Dry-run (validate without execution)".
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator import record
from orchestrator.act import Executor
from orchestrator.errors import AdapterError, Exit, OrchError, UsageError
from orchestrator.explain import objections
from orchestrator.order import Order
from orchestrator.plans.model import Phase, Plan, Step
from orchestrator.plans.order import levels
from orchestrator.plans.values import filled, holds, references
from orchestrator.runs.begin import pack_of, real_root
from orchestrator.runs.context import gate_pack
from orchestrator.runs.gate import APPROVE, BY_ITSELF, counts, gate_order, has_gate
from orchestrator.runs.step import order_of
from orchestrator.settings import Settings

_RANK = (Exit.OK, Exit.FAILED, Exit.PENDING, Exit.BUDGET, Exit.DENIED, Exit.UNDECIDABLE, Exit.PACK)
_ONLY_LATER = ("steps", "phases")
"""What a scope cannot hold before anything was done."""


class Trial(NamedTuple):
    """One step of a rehearsal."""

    phase: str
    step: str
    """Its id; `success.N` for a criterion that is a command, `gate` for the phase's gate."""
    action: str
    outcome: str
    """`allow`, `deny`, `pending`, `skipped` (its `if` is false), `unknown` (it depends on what is not known yet) or
    `error`."""
    detail: str
    """Why, for people; may be empty."""
    exit_code: int
    """As of design section 9."""
    only_if: str = ""
    """When it is done at all: `make fails`, `the run fails later`; "" where it is done in any case."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return self._asdict()


class Rehearsal(NamedTuple):
    """What would become of a plan."""

    plan: str
    digest: str
    levels: tuple[tuple[str, ...], ...]
    """Phases that can go side by side, first to last."""
    trials: tuple[Trial, ...]
    """In the order of the levels."""

    @property
    def exit_code(self) -> Exit:
        """The worst of the steps'; of what cannot be known nothing is said, nor of what is done after a failure."""
        codes = (Exit(one.exit_code) for one in self.trials if not one.only_if)
        return max(codes, key=_RANK.index, default=Exit.OK)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        trials = [one.to_json() for one in self.trials]
        return {
            "plan": self.plan,
            "digest": self.digest,
            "levels": [list(level) for level in self.levels],
            "trials": trials,
            "exit_code": int(self.exit_code),
        }


def rehearse(
    plan: Plan,
    *,
    inputs: Mapping[str, Any],
    root: Path,
    settings: Settings,
    run: record.Run,
    run_packs: Sequence[str] = (),
    mode: str = "automated",
    facts: Mapping[str, Any] | None = None,
) -> Rehearsal:
    """Return what each step would be decided now, in the order of the levels; `run_packs` are paths.

    Raises:
        UsageError: the folder is not there, or no packs are.
        PackError: a pack is wrong.
        DecisionError: there is no engine to trust.
    """
    place = real_root(root)
    packs = [pack_of(path) for path in dict.fromkeys((*settings.run_packs, *run_packs))]
    settings = settings._replace(run_packs=())

    def opened(packs: Sequence[Mapping[str, str]]) -> Executor:
        return Executor.open(settings, run, root=place, ledger=None, lease=None, facts=facts or {}, run_packs=packs)

    told = {"id": run.id or "", "mode": mode, "name": plan.name, "repository": run.repository or ""}
    stage = _Stage(
        plan, mode, {"inputs": dict(inputs), "run": told}, opened(packs), opened((*packs, gate_pack(plan.approvals)))
    )
    order = levels(plan)
    trials = (trial for level in order for name in level for trial in _phase(stage, plan.phase(name)))
    return Rehearsal(plan.name, plan.digest, order, tuple(trials))


class _Stage(NamedTuple):
    plan: Plan
    mode: str
    scope: Mapping[str, Any]
    executor: Executor
    gate: Executor

    def trial(self, phase: Phase, name: str, order: Order, executor: Executor | None = None) -> Trial:
        """Return what an order would be decided."""
        try:
            decision = (executor or self.executor).would(order)
        except OrchError as error:
            return _wrong(phase.id, name, order.action, error)
        detail = objections(decision)
        return Trial(phase.id, name, order.action, decision.outcome.value, detail, int(decision.exit_code))


def _phase(stage: _Stage, phase: Phase) -> Iterator[Trial]:
    wanted = holds(phase.when, stage.scope)
    if wanted is False:
        yield from (
            Trial(phase.id, step.id, step.action, "skipped", "the phase's `if` is false", 0) for step in phase.steps
        )
        return
    for step in phase.steps:
        yield from _step(stage, phase, step)
    for criterion in phase.success:
        if criterion.kind == "command_succeeds":
            given = {name: value for name, value in criterion.parameters.items() if name != "timeout_s"}
            step = Step(criterion.name.partition("/")[2], "run_command", given, "command")
            yield _tried(stage, phase, step)
    if has_gate(phase, stage.mode):
        yield _gate(stage, phase)
    for step in phase.compensate:
        yield from _step(stage, phase, step, "the run fails later")


def _step(stage: _Stage, phase: Phase, step: Step, only_if: str = "") -> Iterator[Trial]:
    yield _tried(stage, phase, step)._replace(only_if=only_if)
    if not isinstance(step.on_failure, str):
        for other in step.on_failure:
            yield from _step(stage, phase, other, only_if or f"{step.id} fails")


def _tried(stage: _Stage, phase: Phase, step: Step) -> Trial:
    wanted = holds(step.when, stage.scope)
    if wanted is not True:
        outcome, detail = (
            ("unknown", "its `if` asks for what is not known yet")
            if wanted is None
            else ("skipped", "its `if` is false")
        )
        return Trial(phase.id, step.id, step.action, outcome, detail, 0)
    later = [one.path for one in references(step.parameters) if one.steps[0] in _ONLY_LATER]
    if later:
        detail = f"it depends on {', '.join(dict.fromkeys(later))}, which is not known yet"
        return Trial(phase.id, step.id, step.action, "unknown", detail, 0)
    try:
        order = order_of(step, f"{phase.id}/{step.id}", filled(step.parameters, stage.scope), phase.timeout_s)
    except OrchError as error:
        return _wrong(phase.id, step.id, step.action, error)
    return stage.trial(phase, step.id, order)


def _gate(stage: _Stage, phase: Phase) -> Trial:
    """Return whether the phase would be approved once its criteria are met."""
    met = len(phase.success)
    by_people = stage.mode == "manual" or phase.gate == "manual"
    if not by_people and not met:
        itself = gate_order(phase.id, stage.plan.name, stage.mode, 0, BY_ITSELF)
        try:
            decision = stage.executor.would(itself)
        except OrchError as error:
            return _wrong(phase.id, "gate", BY_ITSELF, error)
        by_people = not (decision.is_allowed and counts(decision.context))
    order = gate_order(phase.id, stage.plan.name, stage.mode, met, APPROVE)
    return stage.trial(phase, "gate", order, stage.gate if by_people else stage.executor)


def _wrong(phase: str, step: str, action: str, error: OrchError) -> Trial:
    exit_code = error.exit_code
    if isinstance(error, UsageError) or (isinstance(error, AdapterError) and error.error_class == "configuration"):
        exit_code = Exit.PACK
    detail = f"{error} ({error.advice})" if error.advice else str(error)
    return Trial(phase, step, action, "error", detail, int(exit_code))
