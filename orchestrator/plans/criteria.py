"""The success criteria of a plan: from their model to `Criterion`; what could never be judged is noted."""

import re
from typing import Any

from orchestrator.document import shown
from orchestrator.names import path_problem
from orchestrator.plans import schema
from orchestrator.plans.model import Criterion
from orchestrator.plans.seen import Seen, check_references
from orchestrator.plans.spot import Spot
from orchestrator.plans.steps import timeout_s
from orchestrator.words import listing

_FILES = ("file_exists", "file_not_empty", "json_valid")
"""Kinds whose value is the file alone."""
_LIMITS = ("min", "max", "exact")
_REFERENCE = re.compile(r"\$\{\{.*?\}\}", re.DOTALL)


def read_criteria(
    models: tuple[schema.Criterion, ...], phase: Spot, seen: Seen, longest_s: float
) -> tuple[Criterion, ...]:
    """Return the criteria of a phase, in order; `phase` is the phase's mapping."""
    found = []
    for number, (model, spot) in enumerate(zip(models, phase.items("success"), strict=True), 1):
        kinds = [kind for kind in schema.KINDS_OF_CHECK if kind in model.model_fields_set]
        if len(kinds) != 1:
            many = f"{listing(kinds)} in one criterion" if kinds else "a criterion of nothing"
            spot.error(many, "one key each", "write each as an item of its own")
        if kinds:
            parameters = _parameters(kinds[0], model, spot.below(kinds[0]), seen, longest_s)
            found.append(Criterion(f"{seen.phase}/success.{number}", kinds[0], parameters))
    return tuple(found)


def _parameters(kind: str, model: schema.Criterion, spot: Spot, seen: Seen, longest_s: float) -> dict[str, Any]:
    check_references(spot, seen.only("inputs", "run", "steps"))
    if kind in _FILES:
        check_path(spot)
        return {"file": spot.value}
    if kind == "command_succeeds":
        return _command(spot, longest_s)
    value = spot.json()
    parameters: dict[str, Any] = {"file": value} if isinstance(value, str) else value
    check_path(spot if isinstance(value, str) else spot.below("file"))
    match kind:
        case "json_schema":
            check_path(spot.below("schema"))
        case "metric_exists" | "metric_threshold":
            _check_metric_path(spot.below("path"))
        case "tests_reported":
            parameters.setdefault("format", "junit")
    if kind == "metric_threshold":
        _check_limits(model.metric_threshold, spot)
    return parameters


def check_path(spot: Spot) -> None:
    """Note a path that is not one below the run's root; what references stand for is looked at when it is known."""
    text = str(spot.value)
    plain = _REFERENCE.sub("x", text)
    if expected := path_problem(plain.removeprefix("./")):
        advice = "it is looked for below the run's root"
        spot.error(f"the path {shown(text)}", expected, advice)


def _check_metric_path(spot: Spot) -> None:
    text = _REFERENCE.sub("x", str(spot.value))
    if "" in text.split("."):
        spot.error(
            f"the path {shown(spot.value)}", "keys and positions joined by `.`, such as coverage.total or runs.0.ok"
        )


def _check_limits(model: schema.Threshold, spot: Spot) -> None:
    said = [name for name in _LIMITS if name in model.model_fields_set]
    if not said:
        spot.error("a threshold of nothing", "`min`, `max` or `exact`")
    elif "exact" in said and len(said) > 1:
        spot.below("exact").error(f"`exact` beside {listing(said[:-1])}", "`exact` alone, or `min` and `max`")
    elif "exact" in said and not isinstance(spot.below("exact").json(), str | int | float):
        spot.below("exact").error(shown(model.exact), "text, a number, true or false")
    elif len(said) == 2 and model.min > model.max:  # noqa: PLR2004  # min and max
        spot.below("max").error(shown(model.max), f"at least {model.min}, which is `min`", "nothing could ever be both")


def _command(spot: Spot, longest_s: float) -> dict[str, Any]:
    argv = [item.json() for item in spot.items("argv")]
    parameters: dict[str, Any] = {"argv": argv, "timeout_s": timeout_s(spot, longest_s)}
    if spot.below("cwd").value is not None:
        check_path(spot.below("cwd"))
        parameters["cwd"] = spot.below("cwd").value
    return parameters
