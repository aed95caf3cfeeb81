"""What the references and conditions of a plan see: inputs, what steps gave, how phases ended. Out of the ledger alone.

So a run that is gone on with, on whichever machine, sees the same.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.errors import LedgerError
from orchestrator.plans.order import before
from orchestrator.runs.context import RunContext
from orchestrator.runs.journal import VERIFY

_NAMES = "SELECT DISTINCT name FROM actions WHERE chain = ?"
_GIVEN = "SELECT target, outputs FROM actions WHERE chain = ? AND name = ? ORDER BY target"


def scope_of(context: RunContext, phase: str | None = None) -> dict[str, Any]:
    """Return the scope of a phase: `{inputs, steps, phases, run}`; None sees every phase.

    What a step gave is read when it is asked for: a long run has far more of it than one step refers to.

    Raises:
        LedgerError: what is recorded cannot be read; also where it is asked for later.
    """
    names = before(context.plan, phase) if phase is not None else {one.id for one in context.plan.phases}
    with context.ledger.store.reading() as connection:
        rows = connection.execute("SELECT phase, state FROM phases WHERE run_id = ?", (context.run_id,))
    return {
        "inputs": dict(context.inputs),
        "steps": _Given(context),
        "phases": {name: {"state": state} for name, state in rows if name in names},
        "run": context.facts_of_run,
    }


class _Given(Mapping[str, Any]):
    """What steps gave: `{outputs}` by the step's id, of those that were begun."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._known: dict[str, Any] = {}

    def __getitem__(self, step: str) -> Any:  # noqa: ANN401  # JSON
        if step not in self._known:
            self._known[step] = {"outputs": self._outputs(step)}
        return self._known[step]

    def __iter__(self) -> Iterator[str]:
        with self._context.ledger.store.reading() as connection:
            begun = {name for (name,) in connection.execute(_NAMES, (self._context.run_id,))}
        return (step.id for phase, step in self._context.plan.steps() if f"{phase.id}/{step.id}" in begun)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _outputs(self, step: str) -> dict[str, Any]:
        names = [f"{phase.id}/{one.id}" for phase, one in self._context.plan.steps() if one.id == step]
        if not names:
            raise KeyError(step)
        with self._context.ledger.store.reading() as connection:
            rows = connection.execute(_GIVEN, (self._context.run_id, names[0]))
        if not rows:
            raise KeyError(step)
        try:
            return _joined({target: json.loads(text or "{}") for target, text in rows})
        except ValueError as error:
            raise LedgerError(f"the outputs of {names[0]} are damaged", advice=VERIFY) from error


def _joined(by_target: dict[str, Any]) -> dict[str, Any]:
    """Return the outputs of one action; where it has several recipients, each one's below its name."""
    if len(by_target) > 1:
        return {"targets": by_target}
    [only] = by_target.values()
    return dict(only)
