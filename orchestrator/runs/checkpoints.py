"""Durable steps: what one gave is kept by the engine, and given back where the same workflow runs again."""

import time
from collections.abc import Callable
from typing import Any

from dbos import DBOS

from orchestrator.runs.engine import Engine, Stopped


class _Unrecorded(BaseException):
    """Carries an error past the engine, which would keep it as the step's result for good."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class Steps:
    """Durable steps of the workflow that runs in this thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def step(self, name: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401  # JSON
        """Return what `work` gives, from the checkpoint where it was done; an error is never kept.

        Raises:
            Stopped: no step begins here any more.
        """
        if self._engine.is_stopping:
            raise Stopped

        def attempt() -> Any:  # noqa: ANN401  # JSON
            try:
                self._engine.lease.check()
                return work()
            except Exception as error:
                raise _Unrecorded(error) from error

        try:
            return DBOS.run_step({"name": name}, attempt)
        except _Unrecorded as carried:
            raise carried.error from carried.error.__cause__

    def sleep(self, seconds: float) -> None:
        """Wait, what is left of it after a crash.

        Raises:
            Stopped: nothing goes on here any more.
        """
        until = self.step("sleep", lambda: time.time() + seconds)
        while (rest_s := min(until - time.time(), seconds)) > 0:  # a clock that was set back makes it no longer
            self._engine.wait(rest_s)
            if self._engine.is_stopping:
                raise Stopped
