"""What an engine gives to a run: steps that are checkpointed, and a timer."""

import time
from collections.abc import Callable
from typing import Any, Protocol


class Durable(Protocol):
    """Remembers what was done."""

    def step(self, name: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401  # JSON
        """Return what `work` gives, JSON; from the checkpoint where it was done. It may run again if killed inside."""

    def sleep(self, seconds: float) -> None:
        """Wait, at most 60 s; what is left of it after a crash."""


class Plain:
    """Remembers nothing: everything is done anew, and comes to the same, because the ledger remembers."""

    def step(self, name: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401, ARG002  # JSON; the Protocol's
        """Do it."""
        return work()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
