"""When ticks come, as far as one can say beforehand: on time, or as late as real ones do. Draws; does nothing.

The same numbers give the same times on every machine: a seed is drawn from, and times are whole seconds apart.
"""

import math
import random
from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

from orchestrator import clock
from orchestrator.clock import SECOND_NS
from orchestrator.errors import UsageError
from orchestrator.names import shown

MOST_TICKS = 20_000_000
"""So many can be asked for at once."""
_OF_95 = 1.6448536269514722
"""So many standard deviations above the mean lie 95 of 100 of a normal distribution."""
_LONGEST_ONE_IN = 500
_MINUTE_S = 60
_NUMBERS = 3


class Gaps(NamedTuple):
    """How far apart the ticks of a late schedule really come."""

    median_s: int
    p95_s: int
    longest_s: int
    """None is longer; one in 500 is as long as this."""

    @classmethod
    def of(cls, text: str) -> Self:
        """Return what `53,130,475` says: median, 95th percentile and longest gap, in minutes unless a unit is given.

        Raises:
            UsageError: it is anything else.
        """
        parts = [part.strip() for part in text.split(",")]
        try:
            numbers = [clock.parse_duration(part + "m" if part.isdecimal() else part) for part in parts]
        except ValueError:
            numbers = []
        if len(numbers) != _NUMBERS or not numbers[0] <= numbers[1] <= numbers[2]:
            expected = "the median, the 95th percentile and the longest gap, in minutes and none below the one before"
            raise UsageError(f"--gaps is {shown(text)}; expected {expected}", advice="--gaps 53,130,475")
        return cls(*numbers)

    def draw(self, source: random.Random) -> Iterator[int]:
        """Yield one gap after another, in seconds: a lognormal that has this median and this 95th percentile."""
        middle = math.log(self.median_s)
        spread = (math.log(self.p95_s) - middle) / _OF_95
        while True:
            if source.random() < 1 / _LONGEST_ONE_IN:
                yield self.longest_s
            else:
                yield max(1, min(self.longest_s, round(math.exp(source.gauss(middle, spread)))))


class Timetable(NamedTuple):
    """When ticks come."""

    ticks: Sequence[int]
    """Nanoseconds since 1970, each later than the one before."""
    missed: Sequence[int] = ()
    """When one should have come, and did not."""


class Rhythm(NamedTuple):
    """How ticks are meant to come, and how they do."""

    every_s: int = 300
    misses: float = 0.0
    """Of so many, 0 to 1, none comes of it."""
    gaps: Gaps | None = None
    """In place of `every_s`."""
    seed: int = 0

    def between(self, start_ns: int, end_ns: int) -> Timetable:
        """Return the ticks from one moment, at which the first would come, to another, that one included.

        Raises:
            UsageError: there would be more than anybody wants to wait for.
        """
        step_s = self.gaps.median_s if self.gaps is not None else self.every_s
        if (end_ns - start_ns) // (step_s * SECOND_NS) >= MOST_TICKS:
            raise UsageError(
                f"that would be more than {MOST_TICKS:,} ticks", advice="simulate a shorter time, or fewer ticks"
            )
        source = random.Random(self.seed)  # noqa: S311  # no secret: it has to be the same again
        planned: Sequence[int] = range(start_ns, end_ns + 1, self.every_s * SECOND_NS)
        if self.gaps is not None:
            planned = array("q", _at_gaps(self.gaps.draw(source), start_ns, end_ns))
        if not self.misses:
            return Timetable(planned)
        came, missed = array("q"), array("q")
        for moment in planned:
            (missed if source.random() < self.misses else came).append(moment)
        return Timetable(came, missed)


def _at_gaps(gaps: Iterator[int], start_ns: int, end_ns: int) -> Iterator[int]:
    at = start_ns
    while at <= end_ns:
        yield at
        at += next(gaps) * SECOND_NS
