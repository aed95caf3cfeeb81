"""Times contenders in turns, so that a noisy machine is as noisy for each of them."""

import gc
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles


@dataclass(frozen=True, slots=True)
class Timing:
    """What one contender took, in seconds, in the order of the rounds."""

    values: tuple[float, ...]

    @property
    def p50(self) -> float:
        """The median."""
        return median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third."""
        return quartiles(self.values)


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """Return the first and the third quartile."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = quantiles(values, n=4, method="inclusive")
    return first, third


@dataclass(frozen=True, slots=True)
class Ratio:
    """How one contender compares with another of the same rounds."""

    value: float
    """Median over median."""
    quartiles: tuple[float, float]
    """Of the ratios round by round."""


def ratio(ours: Timing, theirs: Timing) -> Ratio:
    """Return ours over theirs."""
    rounds = [mine / other for mine, other in zip(ours.values, theirs.values, strict=True)]
    return Ratio(ours.p50 / theirs.p50, quartiles(rounds))


def in_turns(
    contenders: Mapping[str, Callable[[], float | None]], rounds: int, *, warm_up: int = 3
) -> dict[str, Timing]:
    """Return the timing of each contender: ABC, CBA, ABC, ... so that neither place nor drift favours one.

    A contender that returns seconds is taken at its word; of the others the clock is read.
    """
    names = list(contenders)
    taken: dict[str, list[float]] = {name: [] for name in names}
    gc.collect()
    for number in range(-warm_up, rounds):
        for name in names if number % 2 else reversed(names):
            begun = time.perf_counter()
            said = contenders[name]()
            ended = time.perf_counter()
            if number >= 0:
                taken[name].append(ended - begun if said is None else said)
    return {name: Timing(tuple(values)) for name, values in taken.items()}


def process(command: Sequence[str], environment: Mapping[str, str], exit_code: int) -> Callable[[], None]:
    """Return what runs a command to its end, its output thrown away; it must end with this exit code."""
    silent = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]

    def run() -> None:
        pid = os.posix_spawn(command[0], list(command), dict(environment), file_actions=silent)
        _, status = os.waitpid(pid, 0)
        if os.waitstatus_to_exitcode(status) != exit_code:
            message = f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}; expected {exit_code}"
            raise RuntimeError(message)

    return run
