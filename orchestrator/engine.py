"""Who answers: the seam between a decision and OPA, and OPA as one process for one question. Decides nothing itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from orchestrator.errors import DecisionError

if TYPE_CHECKING:
    from orchestrator.opa import Opa

DEADLINE_S = 10.0
"""How long an engine may take for one question unless told otherwise."""
UNDEFINED_ADVICE = "the engine runs another bundle than it should, or one that conflicts with itself: `orch doctor`"


class Engine(Protocol):
    """Whoever runs the Rego library: a sidecar, a remote server, or a process for one question."""

    def ask(self, batch: bytes) -> list[Any]:
        """Return the answers to `{"batch": [INPUT, ...]}` (JSON).

        The list may be shorter than the batch: whoever reads it counts.

        Raises:
            DecisionError: there is no answer that may be trusted.
        """
        ...

    def explain(self, batch: bytes) -> list[Any]:
        """Return for each INPUT of the batch its candidate rules with the truth of their parts.

        Raises:
            DecisionError: there is no answer that may be trusted.
        """
        ...


class OneShotEngine(NamedTuple):
    """A new OPA process for each question: slow, leaves nothing behind.

    `opa eval` looks at no signature: verify the bundle first.
    """

    bundle: Path
    opa: "Opa"

    def ask(self, batch: bytes) -> list[Any]:
        """Return the answers to the batch; see `Engine.ask`."""
        return listed(self.opa.evaluate(self.bundle, batch, entrypoint="data.orch.answer"))

    def explain(self, batch: bytes) -> list[Any]:
        """Return the explanations of the batch; see `Engine.explain`."""
        return listed(self.opa.evaluate(self.bundle, batch, entrypoint="data.orch.explanation"))


def listed(result: object) -> list[Any]:
    """Return OPA's result, which must be an array.

    Raises:
        DecisionError: it is something else.
    """
    if not isinstance(result, list):
        raise DecisionError(f"the engine's answer is {_kind(result)}; expected an array", advice=UNDEFINED_ADVICE)
    return result


def _kind(result: object) -> str:
    return "undefined" if result is None else f"a {type(result).__name__}"
