"""What lies ahead of an escalation: what a stage brings when it is entered, which comes next and when. Pure.

Ticks, rehearsals and simulations ask it alike.
"""

from collections.abc import Iterator

from orchestrator.escalations import texts
from orchestrator.escalations.advance import Advance, Why, due_ns
from orchestrator.escalations.kept import Record
from orchestrator.escalations.model import CatchUp, Deed, Escalation, Stage
from orchestrator.order import OnUnknown, Order

DETAIL = {
    Why.DUE: "the next stage is due",
    Why.EARLY: "no further stage is due",
    Why.DWELL: "it has not stood here for long enough",
    Why.UNDELIVERED: "what has to be delivered first is not yet",
    Why.LAST: "there is no further stage",
    Why.DISARMED: "no deadline counts",
}
"""Why it goes on or stays, for people."""


def orders_of(
    escalation: Escalation, stage: Stage, *, cycle: int, deadline_ns: int, entered_at_ns: int
) -> Iterator[Order]:
    """Yield what a stage brings, its texts rendered as of the moment that it is entered.

    Raises:
        UsageError: a template cannot be rendered.
    """
    situation = texts.situation_of(
        escalation,
        escalation.place_of(stage.name),
        cycle=cycle,
        deadline_ns=deadline_ns,
        entered_at_ns=entered_at_ns,
    )
    for deed in stage.deeds:
        yield order_of(escalation, stage, deed, situation)


def order_of(escalation: Escalation, stage: Stage, deed: Deed, situation: texts.Situation) -> Order:
    """Return the order of one action of a stage.

    Raises:
        UsageError: a template cannot be rendered.
    """
    return Order(
        f"{stage.name}/{deed.id}",
        deed.action,
        {**deed.parameters, **texts.rendered(deed, situation, escalation.constants)},
        deed.adapter,
        OnUnknown(deed.on_unknown),
        deed.timeout_s,
        estimates=deed.estimates,
    )


def next_stage(escalation: Escalation, record: Record, step: Advance) -> str:
    """Return the stage that an escalation goes to when it goes on, "" where there is none."""
    here = escalation.place_of(record.stage)
    is_jump = escalation.catch_up is CatchUp.JUMP and step.target > here
    following = step.target if is_jump else here + 1
    return escalation.stages[following].name if following < len(escalation.stages) else ""


def until_ns(escalation: Escalation, record: Record, step: Advance) -> int | None:
    """Return when an escalation goes on by the clock alone; where the next stage is not asked for yet, its time."""
    if step.until_ns is not None or step.why is not Why.DUE:
        return step.until_ns
    return due_ns(escalation, min(step.next, len(escalation.stages) - 1), record.deadline)
