"""Jobs: named commands of the operator's file, and each as the plan with one step that it is. Runs nothing.

Source: 003, "user-defined jobs".
"""

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator import clock
from orchestrator.errors import UsageError
from orchestrator.names import shown
from orchestrator.settings import DEFAULT, Settings
from orchestrator.words import did_you_mean

if TYPE_CHECKING:
    from orchestrator.plans.model import Plan, Retry

STEP = "command"
"""What the only step of a job is called."""
PHASE = "job"
"""What its only phase is called."""
_TIMEOUT = "1h"
_MOST_OF_NAME = 60
_DRAWN_BYTES = 6
_NOT_IN_A_RUN = re.compile("[^A-Za-z0-9._-]")


class Job(NamedTuple):
    """One named command."""

    name: str
    argv: tuple[str, ...]
    cwd: str = ""
    """The folder it runs in, absolute; "" for the one in which `orch run` was called."""
    env: Mapping[str, str] = {}
    """Variables beside the usual ones; secrets as references."""
    timeout_s: int = 3_600
    description: str = ""
    retry: Mapping[str, Any] = {}
    """`attempts`, `wait`, `factor`, `most`, `on`, as far as they were said."""
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
    hint = did_you_mean(name, settings.jobs)
    there = f"; there is: {', '.join(sorted(settings.jobs)[:20])}" if settings.jobs else ", and no job at all"
    raise UsageError(
        f"the operator's file has no job {shown(name)}{there}" + (f"; {hint}" if hint else ""),
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
        timeout_s=float(job.timeout_s),
        retry=_retry(job.retry),
        is_replayable=job.replayable or None,
        codes={int(code): ErrorClass(each) for code, each in job.errors.items()},
    )
    phase = Phase(id=PHASE, title=job.description, timeout_s=_longest_s(step), retry=ONCE, gate="none", steps=(step,))
    return Plan(name=job.name, title=job.description, phases=(phase,), source=job.source)


def run_id(name: str, now_ns: int | None = None) -> str:
    """Return a new id for a run of a job or plan: `nightly-20261121T053012Z-4f1a90b2c37d`.

    However many start in one second, no two are alike.
    """
    at = clock.format_time(clock.now_ns() if now_ns is None else now_ns)[:19]
    plain = _NOT_IN_A_RUN.sub("-", name)[:_MOST_OF_NAME].lstrip(".-") or "run"
    return f"{plain}-{re.sub('[-:]', '', at)}Z-{os.urandom(_DRAWN_BYTES).hex()}"


def _job(name: str, said: Mapping[str, Any], settings: Settings) -> Job:
    source = settings.origin("jobs")
    return Job(
        name=name,
        argv=tuple(said["argv"]),
        cwd=said.get("cwd", ""),
        env=said.get("env", {}),
        timeout_s=clock.parse_duration(said.get("timeout", _TIMEOUT)),
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
        wait_s=float(clock.parse_duration(said["wait"])) if "wait" in said else usual.wait_s,
        factor=float(said.get("factor", usual.factor)),
        most_s=float(clock.parse_duration(said["most"])) if "most" in said else usual.most_s,
        on=frozenset(map(ErrorClass, said["on"])) if "on" in said else usual.on,
    )


def _longest_s(step: Any) -> float:  # noqa: ANN401  # a Step, imported late
    """Return how long all attempts of a step may take, the waits between them counted."""
    attempts = range(1, step.retry.attempts + 1)
    return float(sum(step.timeout_s + step.retry.wait_before_s(attempt) for attempt in attempts))
