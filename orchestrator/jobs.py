"""Jobs: named commands of the operator's file, and each as the plan with one step that it is. Runs nothing.

Source: 003, "user-defined jobs".
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator import clock
from orchestrator.errors import UsageError
from orchestrator.names import shown
from orchestrator.settings import DEFAULT, Settings
from orchestrator.words import near_miss

if TYPE_CHECKING:
    from orchestrator.plans.model import Plan, Retry

STEP = "command"
"""What the only step of a job is called."""
PHASE = "job"
"""What its only phase is called."""
_TIMEOUT = "1h"


class Job(NamedTuple):
    """One named command."""

    name: str
    argv: tuple[str, ...]
    cwd: str = ""
    """The folder it runs in, absolute; "" for the one in which `orch run` was called."""
    env: Mapping[str, str] = {}
    """Variables beside the usual ones; secrets as references."""
    timeout_s: float = 3_600.0
    description: str = ""
    retry: Mapping[str, Any] = {}
    """`attempts`, `wait`, `factor`, `most`, `errors`, as far as they were said."""
    errors: Mapping[str, str] = {}
    """Exit code to error class."""
    replayable: bool = False
    source: str = ""
    """The file that names it."""


def listed(settings: Settings) -> tuple[Job, ...]:
    """Return the operator's jobs, by name."""
    return tuple(_job(name, said, settings) for name, said in sorted(settings.jobs.items()))


def is_job(settings: Settings, name: str) -> bool:
    """Return whether the operator's file has a job of this name."""
    return name in settings.jobs


def named(settings: Settings, name: str) -> Job:
    """Return a job.

    Raises:
        UsageError: the operator's file names none such.
    """
    if name in settings.jobs:
        return _job(name, settings.jobs[name], settings)
    there = f"; there is: {', '.join(sorted(settings.jobs)[:20])}" if settings.jobs else ", and no job at all"
    raise UsageError(
        f"the operator's file has no job {shown(name)}{there}{near_miss(name, settings.jobs)}",
        advice="add it below `jobs:` of the operator's file; orch doctor says where that lies",
    )


def plan_of(settings: Settings, name: str) -> "Plan":
    """Return the plan that a job is: one phase with one step.

    Raises:
        UsageError: there is no such job.
    """
    from orchestrator.adapter import ErrorClass
    from orchestrator.plans.model import ONCE, Phase, Plan, Step

    job = named(settings, name)
    step = Step(
        id=STEP,
        action="run_command",
        parameters={"argv": list(job.argv)} | ({"env": dict(job.env)} if job.env else {}),
        adapter="command",
        timeout_s=job.timeout_s,
        retry=_retry(job.retry),
        is_replayable=job.replayable or None,
        codes={int(code): ErrorClass(each) for code, each in job.errors.items()},
    )
    phase = Phase(id=PHASE, title=job.description, timeout_s=_longest_s(step), retry=ONCE, gate="none", steps=(step,))
    return Plan(name=job.name, title=job.description, phases=(phase,), source=job.source)


def _job(name: str, said: Mapping[str, Any], settings: Settings) -> Job:
    source = settings.origin("jobs")
    return Job(
        name=name,
        argv=tuple(said["argv"]),
        cwd=said.get("cwd", ""),
        env=said.get("env", {}),
        timeout_s=clock.parse_seconds(said.get("timeout", _TIMEOUT)),
        description=said.get("description", ""),
        retry=said.get("retry", {}),
        errors=said.get("errors", {}),
        replayable=said.get("replayable", False),
        source="" if source == DEFAULT else source,
    )


def _retry(said: Mapping[str, Any]) -> "Retry":
    from orchestrator.adapter import ErrorClass
    from orchestrator.plans.model import ONCE, Retry

    if not said:
        return ONCE
    usual = Retry()
    return Retry(
        attempts=said.get("attempts", usual.attempts),
        wait_s=clock.parse_seconds(said["wait"]) if "wait" in said else usual.wait_s,
        factor=float(said.get("factor", usual.factor)),
        most_s=clock.parse_seconds(said["most"]) if "most" in said else usual.most_s,
        errors=frozenset(map(ErrorClass, said["errors"])) if "errors" in said else usual.errors,
    )


def _longest_s(step: Any) -> float:  # noqa: ANN401  # a Step, imported late
    """Return how long all attempts of a step may take, the waits between them counted."""
    attempts = range(1, step.retry.attempts + 1)
    return float(sum(step.timeout_s + step.retry.wait_before_s(attempt) for attempt in attempts))
