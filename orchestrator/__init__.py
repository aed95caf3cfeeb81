"""`orch`: policy-as-code for what agents, CI jobs and scheduled jobs do. The names below are the Python API."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.decide import Circumstances, Policy, Question
    from orchestrator.decision import Decision, Finding, Obligation
    from orchestrator.errors import BudgetError, DecisionError, LedgerError, OrchError, PackError, UsageError
    from orchestrator.ledger.append import append
    from orchestrator.ledger.event import Draft, Event
    from orchestrator.ledger.open import open_ledger
    from orchestrator.ledger.store import Ledger
    from orchestrator.ledger.verify import verify
    from orchestrator.record import Recorder, Run

__version__ = "0.1.0"

__all__ = [
    "BudgetError",
    "Circumstances",
    "Decision",
    "DecisionError",
    "Draft",
    "Event",
    "Finding",
    "Ledger",
    "LedgerError",
    "Obligation",
    "OrchError",
    "PackError",
    "Policy",
    "Question",
    "Recorder",
    "Run",
    "UsageError",
    "__version__",
    "append",
    "open_ledger",
    "verify",
]

_HOME = {
    "BudgetError": "errors",
    "Circumstances": "decide",
    "Decision": "decision",
    "DecisionError": "errors",
    "Draft": "ledger.event",
    "Event": "ledger.event",
    "Finding": "decision",
    "Ledger": "ledger.store",
    "LedgerError": "errors",
    "Obligation": "decision",
    "OrchError": "errors",
    "PackError": "errors",
    "Policy": "decide",
    "Question": "decide",
    "Recorder": "record",
    "Run": "record",
    "UsageError": "errors",
    "append": "ledger.append",
    "open_ledger": "ledger.open",
    "verify": "ledger.verify",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  # a module's attribute
    """Import a public name when it is first asked for; the command line needs few of them."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
