"""Which stage an escalation goes to, by where it stands and the clock. Pure; `rego/orch/stages` says the same.

A stage is due from its threshold on, that moment included. It only goes forward: next = max(current, target), one
step at a time where it walks.
"""

from enum import StrEnum
from typing import NamedTuple

from orchestrator.clock import SECOND_NS
from orchestrator.escalations.model import CatchUp, Escalation, Standing


class Why(StrEnum):
    """Why an escalation goes on, or stays."""

    DUE = "due"
    """The next stage can be entered now."""
    EARLY = "early"
    """No further stage is due."""
    DWELL = "dwell"
    """It has not stood here for long enough."""
    UNDELIVERED = "undelivered"
    """A notice that must have arrived first has not."""
    LAST = "last"
    """There is no further stage."""
    DISARMED = "disarmed"
    """No deadline counts."""


class Advance(NamedTuple):
    """What the clock says."""

    target: int
    """The highest stage that is due, and never one before the current."""
    next: int
    """The stage to enter now; the current one where it stays."""
    why: Why
    until_ns: int | None = None
    """When that may change by the clock alone, nanoseconds since 1970; None where it never does."""


def due_ns(escalation: Escalation, stage: int, deadline_ns: int) -> int:
    """Return from when on a stage is due, nanoseconds since 1970; the first always was."""
    at_s = escalation.stages[stage].at_s
    if at_s is None:
        return -(2**63)
    return deadline_ns + (at_s + (escalation.grace_s if at_s >= 0 else 0)) * SECOND_NS


def advance(escalation: Escalation, standing: Standing, now_ns: int) -> Advance:
    """Return where an escalation goes at a moment.

    What arrived meanwhile is in `standing.delivered`; a stage that was entered is entered by the caller, which then
    asks again.
    """
    here, deadline = standing.stage, standing.deadline_ns
    if not standing.is_armed or deadline is None:
        return Advance(here, here, Why.DISARMED)
    if here == len(escalation.stages) - 1:
        return Advance(here, here, Why.LAST)
    due = [place for place in range(here + 1, len(escalation.stages)) if due_ns(escalation, place, deadline) <= now_ns]
    if not due:
        wake = max(due_ns(escalation, here + 1, deadline), _free_ns(escalation, standing))
        return Advance(here, here, Why.EARLY, wake)
    target = due[-1]
    is_jump = escalation.catch_up is CatchUp.JUMP
    chosen = target if is_jump else here + 1
    why, until = _hindrance(escalation, standing, chosen, now_ns)
    if is_jump and why is not Why.DUE and target < len(escalation.stages) - 1:  # the next may be free earlier
        further = due_ns(escalation, target + 1, deadline)
        until = further if until is None else min(until, further)
    return Advance(target, chosen if why is Why.DUE else here, why, until)


def _hindrance(escalation: Escalation, standing: Standing, chosen: int, now_ns: int) -> tuple[Why, int | None]:
    """Return what keeps a stage that is due from being entered, and until when; DUE where nothing does."""
    assert standing.deadline_ns is not None  # noqa: S101  # the caller looked
    free = _free_ns(escalation, standing)
    if now_ns < free:
        return Why.DWELL, free
    wanted = escalation.stages[chosen]
    if set(wanted.delivered) <= standing.delivered:
        return Why.DUE, None
    if wanted.max_wait_s is None:
        return Why.UNDELIVERED, None
    patience = max(due_ns(escalation, chosen, standing.deadline_ns), free) + wanted.max_wait_s * SECOND_NS
    return (Why.UNDELIVERED, patience) if now_ns < patience else (Why.DUE, None)


def _free_ns(escalation: Escalation, standing: Standing) -> int:
    """Return when it has stood where it stands for long enough."""
    return standing.stage_at_ns + escalation.stages[standing.stage].min_dwell_s * SECOND_NS
