"""Where the packs keep a simulated escalation back, in words for the pictures and the table. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from orchestrator.escalations.model import CatchUp, Escalation
from orchestrator.escalations.simulate import Simulation
from orchestrator.escalations.ticked import Would

_ENTERING = "enter_stage"
_SAID = {"deny": "denied by the packs", "pending": "waits: the packs ask for more", "": "cannot be decided here"}
_DEEDS = {"deny": "denied", "pending": "waits", "": "cannot be decided here"}


class Stop(NamedTuple):
    """A stage that the packs keep it from."""

    said: str
    """Why, in a few words."""
    is_first: bool
    """Whether it is this stage itself, not one before it."""


def stops(escalation: Escalation, would: Mapping[str, Sequence[Would]]) -> dict[str, Stop]:
    """Return the stages that are not entered because packs deny it or wait, and those that only follow such a one."""
    found: dict[str, Stop] = {}
    first = ""
    for stage in escalation.stages[1:]:
        entering = next((one for one in would.get(stage.name, ()) if one.action == _ENTERING), None)
        if entering is not None and entering.outcome in _SAID:
            found[stage.name] = Stop(_SAID[entering.outcome], is_first=True)
            first = first or stage.name
        elif first and escalation.catch_up is CatchUp.WALK:
            found[stage.name] = Stop(f"not reached: the packs stop it at {first}", is_first=False)
    return found


def marks(escalation: Escalation, would: Mapping[str, Sequence[Would]]) -> dict[str, str]:
    """Return what the packs object to, by stage, in a few words: the stage itself, or else what it does."""
    said = {name: stop.said for name, stop in stops(escalation, would).items()}
    for stage, answers in would.items():
        kept = [one for one in answers if one.outcome in _DEEDS and one.action != _ENTERING]
        if kept and stage not in said:
            name = kept[0].name.partition("/")[2]
            more = f" and {len(kept) - 1} more" if len(kept) > 1 else ""
            said[stage] = f"{name} {_DEEDS[kept[0].outcome]}{more}"
    return said


def ending(escalation: Escalation, found: Simulation, would: Mapping[str, Sequence[Would]]) -> str:
    """Return where it stands in the end: by the clock, and where the packs stop it before that."""
    entered = {one.stage for one in found.entries}
    at = next((name for name, stop in stops(escalation, would).items() if stop.is_first and name in entered), "")
    if not at:
        return f"In the end it stands at {found.stage}."
    before = escalation.stages[escalation.place_of(at) - 1].name
    stop = stops(escalation, would)[at]
    return (
        f"THE PACKS STOP IT at {before}: entering {at} is not allowed ({stop.said})."
        f" By the clock alone it would stand at {found.stage} in the end."
    )
