"""`orch`: policy-as-code for what agents, CI jobs and scheduled jobs do. The names below are the Python API."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.decide import Circumstances, Policy, Question
    from orchestrator.decision import Decision, Finding, Obligation
    from orchestrator.errors import DecisionError, OrchError, PackError, UsageError

__version__ = "0.1.0"

__all__ = [
    "Circumstances",
    "Decision",
    "DecisionError",
    "Finding",
    "Obligation",
    "OrchError",
    "PackError",
    "Policy",
    "Question",
    "UsageError",
    "__version__",
]

_HOME = {
    "Circumstances": "decide",
    "Decision": "decision",
    "DecisionError": "errors",
    "Finding": "decision",
    "Obligation": "decision",
    "OrchError": "errors",
    "PackError": "errors",
    "Policy": "decide",
    "Question": "decide",
    "UsageError": "errors",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  # a module's attribute
    """Import a public name when it is first asked for; the command line needs few of them."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
