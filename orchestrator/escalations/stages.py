"""The stages of an escalation: their order, thresholds, what they wait for and what they do. Notes what cannot be."""

from collections.abc import Mapping
from typing import Any

from orchestrator.catalogue import CATALOGUE
from orchestrator.document import shown
from orchestrator.escalations import shape
from orchestrator.escalations.beside import Beside
from orchestrator.escalations.deeds import Deeds
from orchestrator.escalations.durations import seconds, threshold
from orchestrator.notes import Use
from orchestrator.plans.abilities import Abilities
from orchestrator.plans.inputs import EXPECTED, is_of_type, is_same
from orchestrator.plans.model import Input, Plan
from orchestrator.plans.read import check_text
from orchestrator.plans.spot import Spot
from orchestrator.words import did_you_mean, listing

MOST = 50
"""Most stages of an escalation."""
_MOST_NAMED = 85
"""Longest name of an escalation and a stage together: the run of a stage's plan has both in its name."""
_OURS = frozenset({"tick", "enter", "heartbeat", "control", "drill"})
"""What the names of a cycle's own orders begin with; those of a stage begin with the stage's."""


class Stages:
    """Reads the stages of one escalation."""

    def __init__(self, model: shape.Escalation, spot: Spot, beside: Beside, can: Abilities, deeds: Deeds) -> None:
        self.uses: list[Use] = []
        """Actions of plans that a pack has to declare."""
        self.plans: list[Plan] = []
        self.plans_of: dict[str, Plan] = {}
        """By the name of their stage."""
        self._model, self._spots = model, spot.items("stages")
        self._beside, self._can, self._deeds = beside, can, deeds
        self._actions: dict[str, tuple[str, ...]] = {}
        """Stages that were read, to their actions as `stage/action`."""
        self._latest: tuple[int, int] | None = None
        """The latest threshold so far and its line."""

    def read(self) -> list[dict[str, Any]]:
        """Return the rows of the stages."""
        models, first = self._model.stages, self._spots[0]
        if len(models) < 2:  # noqa: PLR2004  # where all is well, and one more
            first.error("one stage alone", "at least two: where all is well, and what comes then")
        if len(models) > MOST:
            self._spots[MOST].error(f"{len(models)} stages", f"at most {MOST}")
            return []
        self._check_first(models[0], first)
        pairs = zip(models, self._spots, strict=True)
        return [self._row(place, *pair) for place, pair in enumerate(pairs)]

    def _check_first(self, model: shape.Stage, spot: Spot) -> None:
        refused = ("at", "actions", "plan", "requires", "audience", "min_dwell")
        for key in (key for key in refused if key in model.model_fields_set):
            spot.key_error(key, f"`{key}` of the first stage", "none: there it stands while all is well")

    def _row(self, place: int, model: shape.Stage, spot: Spot) -> dict[str, Any]:
        self._check_name(model.name, spot.below("name"))
        delivered, max_wait_s = self._requires(model, spot)
        deeds = self._deeds.read(model, spot, place)
        row = {
            "name": model.name,
            "at_s": self._threshold(model, spot) if place else None,
            "audience": model.audience,
            "min_dwell_s": seconds(spot.below("min_dwell"), 0, may_be_none=True),
            "delivered": delivered,
            "max_wait_s": max_wait_s,
            "deeds": deeds,
            "planned": self._planned(model, spot) if "plan" in model.model_fields_set else None,
        }
        self._actions.setdefault(model.name, tuple(f"{model.name}/{deed['id']}" for deed in deeds))
        return row

    def _check_name(self, name: str, spot: Spot) -> None:
        length = len(self._model.metadata.name) + len(name)
        if name in self._actions:
            spot.error(f"a second stage {shown(name)}", "each name once")
        elif name in _OURS:
            spot.error(f"a stage {shown(name)}", f"another name: orch's own orders are called {listing(sorted(_OURS))}")
        elif length > _MOST_NAMED:
            spot.error(
                f"names of {length} characters", f"at most {_MOST_NAMED} for the escalation and a stage together"
            )

    def _threshold(self, model: shape.Stage, spot: Spot) -> int | None:
        if "at" not in model.model_fields_set:
            spot.error(f"the stage {shown(model.name)} without `at`", "`at`: when it is due, such as -6h or 15m")
            return None
        at_s = threshold(spot.below("at"))
        if at_s is None:
            return None
        if self._latest is not None and at_s <= self._latest[0]:
            is_same_time = at_s == self._latest[0]
            seen = "the same as the stage before" if is_same_time else "earlier than a stage before"
            advice = f"that is on line {self._latest[1]}"
            spot.below("at").error(f"{shown(model.at)}, {seen}", "a later time: stages only go forward", advice)
            return at_s
        self._latest = (at_s, spot.below("at").place[0])
        return at_s

    def _requires(self, model: shape.Stage, spot: Spot) -> tuple[list[str], int | None]:
        if "requires" not in model.model_fields_set:
            return [], None
        under = spot.below("requires")
        found: dict[str, None] = {}
        for item in under.items("delivered"):
            found |= dict.fromkeys(self._wanted(str(item.value), model, item))
        return list(found), seconds(under.below("max_wait"), 0, may_be_none=True)

    def _wanted(self, text: str, model: shape.Stage, spot: Spot) -> tuple[str, ...]:
        stage, _, action = text.partition("/")
        if stage not in self._actions:
            names = [one.name for one in self._model.stages]
            advice = "" if stage in names else did_you_mean(stage, self._actions)
            later = "itself" if stage == model.name else "a later stage"
            seen = f"{shown(text)}, {later}" if stage in names else f"the unknown stage {shown(stage)}"
            spot.error(seen, f"a stage before this: {listing(self._actions)}", advice)
            return ()
        known = self._actions[stage]
        if not known:
            spot.error(f"the stage {shown(stage)}, which has no actions", "a stage with actions")
            return ()
        if not action and "/" not in text:
            return known
        if text not in known:
            spot.error(f"the unknown action {shown(text)}", f"one of {listing(known)}", did_you_mean(text, known))
            return ()
        return (text,)

    def _planned(self, model: shape.Stage, spot: Spot) -> dict[str, Any] | None:
        under = spot.below("plan")
        data = self._beside.read(under.below("file"), (".yaml", ".yml"))
        if data is None:
            return None
        name = self._beside.name(model.plan.file)
        checked = check_text(data, name, self._can._replace(declared=self._can.actions()))
        self._beside.tell(list(checked.problems))
        if checked.plan is None:
            return None
        at = spot.notes.source(under.below("file").place)
        for step in {step.action for _, step in checked.plan.steps()} - CATALOGUE.keys():
            self.uses.append(Use("action", step, at))
        self.plans.append(checked.plan)
        self.plans_of[str(spot.below("name").value)] = checked.plan
        return {"plan": checked.plan.to_json(), "inputs": _inputs(checked.plan.inputs, under)}


def _inputs(wanted: Mapping[str, Input], spot: Spot) -> dict[str, Any]:
    """Return every input of a plan, typed: those given, and the defaults of the others."""
    under = spot.below("inputs")
    given = under.json() if under.value is not None else {}
    for name in given:
        if name not in wanted:
            known = listing(sorted(wanted)) if wanted else "none: the plan has no inputs"
            under.key_error(name, f"the unknown input {shown(name)}", known, did_you_mean(name, wanted))
    found = {}
    for name, one in wanted.items():
        if name not in given:
            if one.is_required:
                spot.error(f"no value for the input {shown(name)}", f"`inputs: {{{name}: ...}}`", EXPECTED[one.type])
            found[name] = one.default
            continue
        value = found[name] = given[name]
        at = under.below(name)
        if not is_of_type(value, one.type):
            at.error(shown(at.value), EXPECTED[one.type], f"the input is of the type {one.type}")
        elif one.one_of and not any(is_same(value, each) for each in one.one_of):
            at.error(shown(at.value), listing(map(shown, one.one_of)))
        elif "${{" in str(value):
            at.error(shown(at.value), "a value without `${{`", "the plan's own steps name secrets")
    return found
