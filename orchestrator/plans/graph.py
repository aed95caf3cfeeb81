"""Whether the names of a plan fit together: ids that stand once, needs that exist, no circle. Only notes."""

from collections.abc import Iterator

from orchestrator.document import shown
from orchestrator.plans import schema
from orchestrator.plans.order import cycle
from orchestrator.plans.spot import Spot
from orchestrator.words import did_you_mean


def check(model: schema.Plan, spot: Spot) -> None:
    """Note ids that stand twice, needs that nobody is, and phases that need one another in a circle."""
    phases = spot.items("phases")
    _check_once("phase", phases)
    _check_once("step", [step for phase in phases for step in all_steps(phase, "steps", "compensate")])
    known = [phase.id for phase in model.phases]
    for phase in phases:
        for need in phase.items("needs"):
            if need.value not in known:
                advice = did_you_mean(str(need.value), known)
                need.error(f"the need {shown(need.value)}, which is no phase", "a phase of this plan", advice)
    needs = {phase.id: phase.needs for phase in model.phases}
    at = {phase.id: spot for phase, spot in zip(model.phases, phases, strict=True)}
    while circle := cycle(needs):
        seen = f"phases that need one another: {' -> '.join(circle)}"
        if len(set(circle)) == 1:
            seen = f"the phase {shown(circle[0])}, which needs itself"
        at[circle[0]].key_error("needs", seen, "phases without a circle", "take one of these needs away")
        needs = {name: each for name, each in needs.items() if name not in circle}


def all_steps(phase: Spot, *keys: str) -> Iterator[Spot]:
    """Yield every step below keys of a phase, those done instead of others, too."""
    for key in keys:
        for step in phase.items(key):
            yield from _with_others(step)


def _with_others(step: Spot) -> Iterator[Spot]:
    yield step
    for other in step.below("on_failure").items("steps"):
        yield from _with_others(other)


def _check_once(what: str, spots: list[Spot]) -> None:
    first: dict[str, int] = {}
    for spot in spots:
        at = spot.below("id")
        if at.value in first:
            advice = f"the first is on line {first[at.value]}"
            at.error(f"a second {what} {shown(at.value)}", f"each {what}'s id once in a plan", advice)
        first.setdefault(at.value, at.place[0])
