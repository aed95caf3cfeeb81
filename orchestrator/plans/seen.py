"""What a place in a plan may refer to, and what is wrong with what it does refer to. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from orchestrator.document import shown
from orchestrator.plans.schema import Input
from orchestrator.plans.spot import Spot
from orchestrator.plans.values import ROOTS, RUN_NAMES, Reference, references
from orchestrator.shape import NAME
from orchestrator.words import did_you_mean, listing

Wrong: TypeAlias = tuple[str, str, str]
"""Seen, expected, advice."""

_SECRET = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IF_ROOTS = ("inputs", "phases", "run", "steps")
_INSTEAD = {
    "env": "inputs",
    "input": "inputs",
    "step": "steps",
    "secret": "secrets",
    "vars": "inputs",
    "needs": "steps",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What may be referred to at one place."""

    inputs: Mapping[str, Input]
    owners: Mapping[str, str]
    """Every step of the plan to its phase."""
    phase: str = ""
    """Where this is."""
    steps: frozenset[str] = frozenset()
    """Steps that are over when this comes."""
    phases: frozenset[str] = frozenset()
    """Phases that are over when this comes."""
    all_phases: frozenset[str] = frozenset()
    roots: tuple[str, ...] = ROOTS

    def after(self, *steps: str) -> "Seen":
        """Return what may be referred to once these steps are over, too."""
        return replace(self, steps=self.steps | set(steps))

    def only(self, *roots: str) -> "Seen":
        """Return the same with fewer roots."""
        return replace(self, roots=roots)

    def in_conditions(self) -> "Seen":
        """Return what a condition may look at."""
        return replace(self, roots=tuple(root for root in _IF_ROOTS if root == "phases" or root in self.roots))

    def wrong(self, names: tuple[str, ...]) -> Wrong | None:
        """Return what is wrong with a path; None where it may be something."""
        root = names[0]
        path = shown(".".join(names))
        if root not in self.roots:
            near = did_you_mean(root, self.roots) or (f"did you mean `{_INSTEAD[root]}`?" if root in _INSTEAD else "")
            return path, f"a path that begins with {listing(self.roots)}", near
        match root:
            case "inputs":
                return self._input(path, names)
            case "steps":
                return self._step(path, names)
            case "phases":
                return self._phase(path, names)
            case "secrets":
                is_fine = len(names) == 2 and bool(_SECRET.fullmatch(names[1]))  # noqa: PLR2004  # root and name
                return None if is_fine else (path, "`secrets.NAME`", "the operator's file names them")
        is_fine = len(names) == 2 and names[1] in RUN_NAMES  # noqa: PLR2004  # root and name
        near = did_you_mean(names[1], RUN_NAMES) if len(names) > 1 else ""
        return None if is_fine else (path, listing(f"`run.{name}`" for name in RUN_NAMES), near)

    def _input(self, path: str, names: tuple[str, ...]) -> Wrong | None:
        if len(names) == 1:
            return path, "`inputs.NAME`", ""
        name = names[1].removesuffix("[]")
        if name not in self.inputs:
            known = f"an input of the plan: {listing(self.inputs)}" if self.inputs else "an input named under `inputs:`"
            return f"the input {shown(name)}, which the plan does not have", known, did_you_mean(name, self.inputs)
        kind = self.inputs[name].type
        if kind != "json" and (len(names) > 2 or names[1].endswith("[]")):  # noqa: PLR2004  # root and name
            return path, f"`inputs.{name}` alone", f"it is of the type {kind}; only json has something below it"
        return None

    def _step(self, path: str, names: tuple[str, ...]) -> Wrong | None:
        if len(names) == 1 or not re.fullmatch(NAME[1:-1], names[1]):
            return path, "`steps.ID.outputs.NAME`", ""
        step = names[1]
        if step not in self.owners:
            return f"the step {shown(step)}, which is not there", "a step of the plan", did_you_mean(step, self.owners)
        if step not in self.steps:
            owner = self.owners[step]
            seen = f"the step {shown(step)}, which is not over when this is looked at"
            if owner == self.phase or owner in self.phases:
                return seen, f"a step done before: {listing(sorted(self.steps))}" if self.steps else "a step before", ""
            return seen, "a step of this phase before, or of a phase that it needs", f"let the phase need `{owner}`"
        if len(names) < 3 or names[2].removesuffix("[]") != "outputs":  # noqa: PLR2004  # steps, ID, outputs
            rest = ".".join(names[2:]) or "NAME"
            return path, f"`steps.{step}.outputs.{rest}`", ""
        return None

    def _phase(self, path: str, names: tuple[str, ...]) -> Wrong | None:
        if len(names) != 3 or names[2] != "state":  # noqa: PLR2004  # phases, ID, state
            return path, "`phases.ID.state`", ""
        if names[1] not in self.all_phases:
            return f"the phase {shown(names[1])}, which is not there", "a phase of the plan", ""
        if names[1] not in self.phases:
            seen = f"the phase {shown(names[1])}, which may not be over when this is looked at"
            return seen, "a phase that this one needs", f"add `{names[1]}` to its `needs`"
        return None


def check_references(spot: Spot, seen: Seen) -> None:
    """Note every reference below a place that is malformed or cannot lead anywhere."""
    for reference in references(spot.value):
        if wrong := _wrong(reference, seen):
            path = (*spot.path, *reference.where)
            spot.notes.error(spot.document.place(path, of_key=reference.is_key), *wrong)


def _wrong(reference: Reference, seen: Seen) -> Wrong | None:
    if not reference.is_wellformed:
        return f"the reference {shown(reference.path)}", "`${{ PATH }}`", "PATH is names joined by `.`: inputs.env"
    if reference.is_key:
        return f"the reference {shown(reference.path)} in a key", "references in values only", ""
    return seen.wrong(reference.steps)
