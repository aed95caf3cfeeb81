"""The steps of a plan: from their model to `Step`, defaults filled in; what cannot be is noted."""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from pathlib import PurePosixPath
from typing import Any

from orchestrator.adapter import ErrorClass
from orchestrator.catalogue import CATALOGUE
from orchestrator.choices import MICRO
from orchestrator.document import shown
from orchestrator.plans import schema
from orchestrator.plans.abilities import Abilities
from orchestrator.plans.model import OnFailure, Retry, Step
from orchestrator.plans.seen import Seen, check_references
from orchestrator.plans.spot import Spot
from orchestrator.plans.when import read_when
from orchestrator.rule import METERS
from orchestrator.words import did_you_mean, listing

_MOST_FACTOR = 100
_MOST_AMOUNT = 10**9
_PATHS = {"run_command": ("cwd",), "write_file": ("path",), "write_document": ("path",)}
"""Parameters that name something below the run's root."""


class Steps:
    """Reads the steps of one plan."""

    def __init__(self, can: Abilities, retry: Retry) -> None:
        self._can = can
        self._retry = retry
        """What a step has that says nothing."""

    def read(
        self, models: Sequence[schema.Step], spots: Sequence[Spot], seen: Seen, longest_s: float
    ) -> tuple[Step, ...]:
        """Return steps that are done one after the other; each may refer to those before it."""
        found = []
        for model, spot in zip(models, spots, strict=True):
            step = self._step(model, spot, seen, longest_s)
            seen = seen.after(*(each.id for each in step.all_steps()))
            found.append(step)
        return tuple(found)

    def _step(self, model: schema.Step, spot: Spot, seen: Seen, longest_s: float) -> Step:
        said = model.model_fields_set
        self._check_action(model, spot)
        parameters = spot.below("with").json() if "with_" in said else {}
        check_references(spot.below("with"), seen)
        _check_paths(model.action, parameters, spot.below("with"))
        return Step(
            id=model.id,
            action=model.action,
            parameters=parameters,
            adapter=model.adapter or None,
            when=read_when(model.if_, spot.below("if"), seen),
            on_failure=self._on_failure(model, spot, seen, longest_s),
            on_unknown=model.on_unknown,
            timeout_s=timeout_s(spot, longest_s),
            retry=read_retry(model.retry, spot.below("retry"), self._retry) if "retry" in said else self._retry,
            is_replayable=model.replayable if "replayable" in said else None,
            estimates=self._estimates(model, spot.below("estimates")),
            codes={int(code): ErrorClass(name) for code, name in model.errors.items()},
        )

    def _on_failure(self, model: schema.Step, spot: Spot, seen: Seen, longest_s: float) -> OnFailure:
        if "on_failure" not in model.model_fields_set:
            return "stop"
        otherwise, under = model.on_failure, spot.below("on_failure")
        if not otherwise.steps:
            return otherwise.then
        if "then" in otherwise.model_fields_set:
            under.error("both `then` and `steps`", "one of them", "steps done instead decide by themselves")
        return self.read(otherwise.steps, under.items("steps"), seen.after(model.id), longest_s)

    def _check_action(self, model: schema.Step, spot: Spot) -> None:
        action, adapter, can = model.action, model.adapter, self._can
        if adapter in can.broken:
            return
        if adapter and adapter not in can.adapters:
            known = listing(sorted(can.adapters)) or "one that is installed"
            near = did_you_mean(adapter, can.adapters) or "install the package that brings it"
            spot.below("adapter").error(f"the adapter {shown(adapter)}, which is not installed", known, near)
            return
        able = can.doing(action)
        at = spot.below("action")
        if not able and can.broken:
            at.warning(
                f"the action {shown(action)}, which no adapter that can be loaded does", "an adapter that does it"
            )
        elif not able:
            self._refuse_action(action, at)
        elif adapter and adapter not in able and action in can.actions():
            expected = listing(able)
            spot.below("adapter").error(f"the adapter {shown(adapter)}, which cannot do {action}", expected)
        elif len(able) > 1 and not adapter and action != "send_message":  # of a message the channel says it
            at.warning(f"{action}, which {listing(able)} can do", f"`adapter: {able[0]}`, or another of them")
        if able and can.is_permitted(action) is None:
            at.warning(f"the action {shown(action)}, which is not built in", "a pack that declares it", "see --packs")
        elif able and not can.is_permitted(action):
            near = did_you_mean(action, {*CATALOGUE, *(can.declared or ())})
            at.error(f"the action {shown(action)}, which no pack declares", "a built-in or declared action", near)

    def _refuse_action(self, action: str, at: Spot) -> None:
        doable = sorted(self._can.actions())
        if action in CATALOGUE or action in (self._can.declared or ()):
            at.error(f"the action {shown(action)}, which no installed adapter does", listing(doable) if doable else "")
            return
        near = did_you_mean(action, {*doable, *(self._can.declared or ())})
        at.error(
            f"the unknown action {shown(action)}", "one that an installed adapter does", near or "see docs/actions.md"
        )

    def _estimates(self, model: schema.Step, spot: Spot) -> dict[str, int]:
        found = {}
        for meter, amount in model.estimates.items():
            at = spot.below(meter)
            if self._can.is_meter(meter) is False:
                spot.key_error(meter, f"the meter {shown(meter)}, which no pack declares", listing(METERS))
            elif self._can.is_meter(meter) is None:
                near = did_you_mean(meter, METERS)
                at.warning(f"the meter {shown(meter)}, which is not built in", "a pack that declares it", near)
            found[meter] = micro_units(amount, at)
        return found


def micro_units(amount: int | Decimal, spot: Spot) -> int:
    """Return an amount in millionths; one that cannot be is told at its place."""
    with localcontext() as context:
        context.prec = 60
        micro = Decimal(amount) * MICRO
        if amount < 0 or amount >= _MOST_AMOUNT:
            spot.error(shown(amount), f"an amount from 0 to below {_MOST_AMOUNT}")
            return 0
        if micro != micro.to_integral_value():
            spot.error(shown(amount), "an amount with at most 6 digits after the point")
        return int(micro)


def timeout_s(spot: Spot, longest_s: float) -> float:
    """Return the `timeout` of the mapping here, in seconds; the phase's where it has none."""
    under = spot.below("timeout")
    if under.value is None:
        return longest_s
    seconds = under.duration_s(longest_s)
    if seconds > longest_s:
        advice = "give the phase a longer `timeout`"
        under.error(f"{shown(under.value)}, longer than its phase may take", f"at most {longest_s:.0f}s", advice)
    return seconds


def read_retry(model: schema.Retry, spot: Spot, usual: Retry) -> Retry:
    """Return how often something is tried; what is not said is as usual."""
    said = model.model_fields_set
    wait_s = spot.below("wait").duration_s(usual.wait_s, may_be_none=True) if "wait" in said else usual.wait_s
    most_s = spot.below("most").duration_s(usual.most_s) if "most" in said else usual.most_s
    factor = float(model.factor) if "factor" in said else usual.factor
    if not 1 <= factor <= _MOST_FACTOR:
        spot.below("factor").error(shown(model.factor), f"a number from 1 to {_MOST_FACTOR}")
    if wait_s > most_s and {"wait", "most"} <= said:
        spot.below("most").error(f"{shown(model.most)}, less than the first wait", "at least as long as `wait`")
    return Retry(
        attempts=model.attempts if "attempts" in said else usual.attempts,
        wait_s=wait_s,
        factor=factor,
        most_s=max(most_s, wait_s),
        errors=frozenset(map(ErrorClass, model.errors)) if "errors" in said else usual.errors,
    )


def _check_paths(action: str, parameters: dict[str, Any], spot: Spot) -> None:
    for name in _PATHS.get(action, ()):
        text = parameters.get(name)
        if isinstance(text, str) and "${{" not in text:
            path = PurePosixPath(text)
            if path.is_absolute() or ".." in path.parts:
                spot.below(name).error(
                    f"the path {shown(text)}", "a path below the run's root", "leave out `/` and `..`"
                )
