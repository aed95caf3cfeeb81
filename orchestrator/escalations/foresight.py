"""What the packs would decide of everything that a stage does, at the moment when it is entered. Asks; does nothing."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from orchestrator.act import Executor
from orchestrator.errors import AdapterError, Exit, OrchError, UsageError
from orchestrator.escalations import ahead, texts
from orchestrator.escalations.kept import Record
from orchestrator.escalations.model import Deed, Escalation, Planned, Standing
from orchestrator.escalations.needs import Needs
from orchestrator.escalations.opened import facts_of
from orchestrator.escalations.simulate import PLAN
from orchestrator.escalations.ticked import Would
from orchestrator.explain import objections
from orchestrator.order import Order
from orchestrator.settings import Settings

ENTERING = "enter_stage"
"""The action of entering a stage."""
MISSING = "missing on this machine"
"""What precedes the secrets that are not here."""


class Moment(NamedTuple):
    """A stage that is entered."""

    place: int
    """Which of the stages."""
    cycle: int
    deadline_ns: int
    at_ns: int
    """When, nanoseconds since 1970."""
    before: int
    """The stage that it stands at until then."""
    before_ns: int
    """Since when."""
    delivered: frozenset[str] = frozenset()
    is_drill: bool = False


def foreseen(executor: Executor, settings: Settings, root: Path, escalation: Escalation, at: Moment) -> Iterator[Would]:
    """Yield what would be decided of entering a stage, of each of its actions, and of each step of its plan."""
    stage, before, needs = escalation.stages[at.place], escalation.stages[at.before], Needs(settings)
    arguments = {"from": before.name, "stage": stage.name, "audience": stage.audience.value}
    stand(executor, escalation, at, is_entered=False)
    given = {"resource": escalation.name, "cycle": at.cycle, **arguments}
    yield would(executor, Order(f"enter/{stage.name}", ENTERING, given))
    stand(executor, escalation, at)
    for deed in stage.deeds:
        yield equipped(
            decided(executor, escalation, at, deed), needs.lacking(deed.action, deed.parameters, deed.adapter)
        )
    if stage.planned is not None:
        yield from _planned(executor, settings, root, stage.planned, stage.name)


def decided(executor: Executor, escalation: Escalation, at: Moment, deed: Deed) -> Would:
    """Return what would be decided of one action; the executor has the facts of the moment already."""
    try:
        order = order_of(escalation, at, deed)
    except UsageError as error:
        return _wrong(f"{escalation.stages[at.place].name}/{deed.id}", deed.action, error)
    return would(executor, order)


def equipped(one: Would, lacks: Sequence[str]) -> Would:
    """Return what would be decided, and beside it which secrets this machine lacks: without them it is not done."""
    if not lacks:
        return one
    said = f"{MISSING}: {'; '.join(lacks)}"
    code = Exit.PACK if one.exit_code is Exit.OK else one.exit_code
    return one._replace(detail="; ".join(filter(None, (said, one.detail))), exit_code=code)


def order_of(escalation: Escalation, at: Moment, deed: Deed) -> Order:
    """Return an action of a stage as it is ordered, its texts rendered.

    Raises:
        UsageError: a template cannot be rendered.
    """
    situation = texts.situation_of(
        escalation,
        at.place,
        cycle=at.cycle,
        deadline_ns=at.deadline_ns,
        entered_at_ns=at.at_ns,
        is_drill=at.is_drill,
    )
    return ahead.order_of(escalation, escalation.stages[at.place], deed, situation)


def stand(executor: Executor, escalation: Escalation, at: Moment, *, is_entered: bool = True) -> None:
    """Let what is decided next be of this stage, at its moment: it stands there, or right before."""
    here, since_ns = (at.place, at.at_ns) if is_entered else (at.before, at.before_ns)
    standing = Standing(
        is_armed=True, stage=here, stage_at_ns=since_ns, deadline_ns=at.deadline_ns, delivered=at.delivered
    )
    record = Record(
        name=escalation.name,
        cycle=at.cycle,
        run_id=executor.run.id or "",
        mode=escalation.mode.value,
        is_armed=True,
        stage=escalation.stages[here].name,
        stage_at=since_ns,
        deadline=at.deadline_ns,
        tick=0,
        clock=0,
        boot="",
        boot_at=0,
        ticker="",
        ticked_at=0,
        is_triggered=False,
        counter=0,
        updated_at=0,
    )
    of_stage = escalation.stages[at.place].name if is_entered else record.stage
    judge = executor.judge
    judge.now_ns = at.at_ns
    judge.facts = {**judge.facts, **facts_of(escalation, record, standing, of_stage, is_drill=at.is_drill)}


def would(executor: Executor, order: Order) -> Would:
    """Return what an order would be decided now; of what cannot be prepared here, why."""
    try:
        decision = executor.would(order)
    except OrchError as error:
        return _wrong(order.name, order.action, error)
    return Would(order.name, order.action, decision.outcome.value, objections(decision), decision.exit_code)


def _planned(executor: Executor, settings: Settings, root: Path, planned: Planned, stage: str) -> Iterator[Would]:
    """Yield what each step of a plan would be decided, as a rehearsal says it."""
    from orchestrator.plans.model import Plan
    from orchestrator.runs.dry import rehearse

    judge, plan, needs = executor.judge, Plan.of(planned.plan), Needs(settings)
    try:
        found = rehearse(
            plan,
            inputs=planned.inputs,
            root=root,
            settings=settings,
            run=executor.run._replace(id=None),
            facts=judge.facts,
        )
    except OrchError as error:
        yield _wrong(f"{stage}/{PLAN}", PLAN, error)
        return
    steps = {(phase.id, step.id): step for phase, step in plan.steps()}
    for one in found.trials:
        detail = f"only if {one.only_if}; {one.detail}".rstrip("; ") if one.only_if else one.detail
        name, code = f"{stage}/{PLAN}/{one.phase}/{one.step}", Exit.OK if one.only_if else Exit(one.exit_code)
        said = Would(name, one.action, "" if one.outcome == "error" else one.outcome, detail, code)
        step = steps.get((one.phase, one.step))
        lacks = needs.lacking(step.action, step.parameters, step.adapter) if step and said.outcome == "allow" else ()
        yield equipped(said, lacks)


def _wrong(name: str, action: str, error: OrchError) -> Would:
    """Return that something cannot be decided here."""
    is_ours = isinstance(error, UsageError) or (
        isinstance(error, AdapterError) and error.error_class == "configuration"
    )
    detail = f"{error} ({error.advice})" if error.advice else str(error)
    return Would(name, action, "", detail, Exit.PACK if is_ours else error.exit_code)
