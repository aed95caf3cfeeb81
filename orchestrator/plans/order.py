"""In which order the phases of a plan can go: levels, what can begin now, what never will. Pure."""

from collections.abc import Iterable, Mapping

from orchestrator.plans.model import Plan

DONE = frozenset({"passed", "skipped"})
"""States of a phase after which those that need it may begin."""
LOST = frozenset({"failed", "compensated"})
"""States of a phase after which those that need it never begin."""


def levels(plan: Plan) -> tuple[tuple[str, ...], ...]:
    """Return the phases by level, in the plan's order: what is on one level needs only what is on levels before."""
    at: dict[str, int] = {}
    left = list(plan.phases)
    while left:
        later = []
        for phase in left:
            if all(need in at for need in phase.needs):
                at[phase.id] = 1 + max((at[need] for need in phase.needs), default=-1)
            else:
                later.append(phase)
        if len(later) == len(left):
            raise ValueError("a plan whose phases wait for one another; expected one that was read")
        left = later
    found: list[list[str]] = [[] for _ in range(1 + max(at.values(), default=-1))]
    for phase in plan.phases:
        found[at[phase.id]].append(phase.id)
    return tuple(map(tuple, found))


def ready(plan: Plan, states: Mapping[str, str]) -> tuple[str, ...]:
    """Return the phases that can begin now, in the plan's order; `states` is phase to state, none for not begun.

    After a failed phase none can, unless the plan goes on after failures.
    """
    if plan.on_failure != "continue" and not LOST.isdisjoint(states.values()):
        return ()
    return tuple(
        phase.id
        for phase in plan.phases
        if phase.id not in states and all(states.get(need) in DONE for need in phase.needs)
    )


def blocked(plan: Plan, states: Mapping[str, str]) -> tuple[str, ...]:
    """Return the phases not begun that never can, because something they need, directly or not, failed."""
    lost = {name for name, state in states.items() if state in LOST}
    found = set()
    for level in levels(plan):
        for name in level:
            if name not in states and not lost.isdisjoint(plan.phase(name).needs):
                lost.add(name)
                found.add(name)
    return tuple(phase.id for phase in plan.phases if phase.id in found)


def before(plan: Plan, name: str) -> frozenset[str]:
    """Return the phases that are over when a phase begins: all that it needs, directly or not."""
    return ancestors({phase.id: phase.needs for phase in plan.phases}, name)


def ancestors(needs: Mapping[str, Iterable[str]], name: str) -> frozenset[str]:
    """Return all that a name needs, directly or not; names that nobody has are left out."""
    found: set[str] = set()
    waiting = list(needs.get(name, ()))
    while waiting:
        one = waiting.pop()
        if one in needs and one not in found:
            found.add(one)
            waiting.extend(needs[one])
    return frozenset(found)


def cycle(needs: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Return names that need one another in a circle, the first again at the end; () where there is no circle."""
    done: set[str] = set()
    for start in needs:
        trail: list[str] = []
        waiting = [(start, iter(needs[start]))] if start not in done else []
        trail.extend(name for name, _ in waiting)
        while waiting:
            name, rest = waiting[-1]
            following = next((each for each in rest if each in needs and each not in done), None)
            if following is None:
                done.add(name)
                waiting.pop()
                trail.pop()
            elif following in trail:
                return (*trail[trail.index(following) :], following)
            else:
                trail.append(following)
                waiting.append((following, iter(needs[following])))
    return ()
