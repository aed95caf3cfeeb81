"""What the references and conditions of a plan see: inputs, what steps gave, how phases ended. Out of the ledger alone.

So a run that is gone on with, on whichever machine, sees the same.
"""

import json
from typing import Any

from orchestrator.errors import LedgerError
from orchestrator.plans.order import before
from orchestrator.runs.context import RunContext
from orchestrator.runs.journal import VERIFY

_GIVEN = "SELECT name, target, outputs FROM actions WHERE chain = ? ORDER BY name, target"


def scope_of(context: RunContext, phase: str | None = None) -> dict[str, Any]:
    """Return the scope of a phase: `{inputs, steps, phases, run}`; None sees every phase.

    Raises:
        LedgerError: what is recorded cannot be read.
    """
    names = before(context.plan, phase) if phase is not None else {one.id for one in context.plan.phases}
    with context.ledger.store.reading() as connection:
        given = connection.execute(_GIVEN, (context.run_id,))
        rows = connection.execute("SELECT phase, state FROM phases WHERE run_id = ?", (context.run_id,))
    return {
        "inputs": dict(context.inputs),
        "steps": _steps(context, given),
        "phases": {name: {"state": state} for name, state in rows if name in names},
        "run": context.facts_of_run,
    }


def _steps(context: RunContext, given: list[tuple[Any, ...]]) -> dict[str, Any]:
    names = {f"{phase.id}/{step.id}": step.id for phase, step in context.plan.steps()}
    found: dict[str, dict[str, Any]] = {}
    for name, target, text in given:
        if name not in names:
            continue
        try:
            outputs = json.loads(text or "{}")
        except ValueError as error:
            raise LedgerError(f"the outputs of {name} are damaged", advice=VERIFY) from error
        found.setdefault(names[name], {})[target] = outputs
    return {step: {"outputs": _joined(by_target)} for step, by_target in found.items()}


def _joined(by_target: dict[str, Any]) -> dict[str, Any]:
    """Return the outputs of one action; where it has several recipients, each one's below its name."""
    if len(by_target) > 1:
        return {"targets": by_target}
    [only] = by_target.values()
    return dict(only)
