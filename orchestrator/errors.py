"""The one tree of errors, split by who can mend them, and the reserved exit codes. First in the flow.

OrchError
  UsageError       the call is wrong: a flag, a file that cannot be read, JSON that is none          exit 2
  PackError        a pack, roster, waiver, test or configuration is wrong: file, line, column        exit 7
  DecisionError    no trustworthy answer: engine, trust, clock (never read as allow)                 exit 6
  AdapterError     the outside world failed: permanent, retryable or unknown                         exit 1
                   what an adapter needs is not configured                                           exit 7
  LedgerError      the record cannot be trusted or written                                           exit 6
  BudgetError      a budget has no room for this, or a reservation lapsed                            exit 5
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple


class Exit(IntEnum):
    """Exit codes of `orch`. Part of the API."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DENIED = 3
    PENDING = 4
    BUDGET = 5
    UNDECIDABLE = 6
    PACK = 7
    INTERRUPTED = 130


EXIT_RANK: tuple[Exit, ...] = (
    Exit.OK,
    Exit.PENDING,
    Exit.BUDGET,
    Exit.DENIED,
    Exit.UNDECIDABLE,
    Exit.PACK,
)
"""Of several exits the last in this order is the one given."""


class OrchError(Exception):
    """Base of every error that `orch` raises on purpose.

    `str(error)` is one paragraph: what was seen, what was expected. `error.advice` is the next step, or "".
    """

    exit_code = Exit.FAILED

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class UsageError(OrchError):
    """The call itself is wrong."""

    exit_code = Exit.USAGE


class Problem(NamedTuple):
    """One thing wrong at one place of a document."""

    file: str
    """As the user would type it."""
    line: int
    """1-based; 0 when the whole file is meant."""
    column: int
    """1-based; 0 when the whole line is meant."""
    seen: str
    expected: str
    """Empty where nothing more can be said."""
    advice: str = ""
    """The next step or the nearest valid word, as a sentence; may be empty."""
    is_warning: bool = False

    def __str__(self) -> str:
        where = self.file + (f":{self.line}:{self.column}" if self.line else "")
        advice = f" ({self.advice})" if self.advice else ""
        return f"{where}: {self.said}{advice}"

    @property
    def said(self) -> str:
        """What was seen and what was expected, as one sentence."""
        return f"{self.seen}; expected {self.expected}" if self.expected else self.seen


class PackError(OrchError):
    """A document is wrong. Carries every problem found, in file order."""

    exit_code = Exit.PACK

    def __init__(self, problems: Sequence[Problem], *, advice: str = "") -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)), advice=advice)


class DecisionError(OrchError):
    """There is no answer that may be trusted; nobody may read this as allow."""

    exit_code = Exit.UNDECIDABLE


class AdapterError(OrchError):
    """The outside world failed."""

    def __init__(
        self, message: str, *, advice: str = "", delivery: str = "permanent", error_class: str | None = None
    ) -> None:
        super().__init__(message, advice=advice)
        self.delivery = delivery
        """A value of `orchestrator.adapter.Delivery`: what this says of the attempt."""
        self.error_class = error_class
        """A value of `orchestrator.adapter.ErrorClass`; None where nobody said."""
        if error_class == "configuration":
            self.exit_code = Exit.PACK


class LedgerError(OrchError):
    """The record cannot be trusted or written."""

    exit_code = Exit.UNDECIDABLE


class UnrecordedError(LedgerError):
    """Something was done, and what became of it could not be recorded."""

    exit_code = Exit.FAILED


class BudgetError(OrchError):
    """A budget has no room, so nothing was reserved or charged; or a reservation lapsed before it was started."""

    exit_code = Exit.BUDGET

    def __init__(self, message: str, *, advice: str = "", short: Sequence[object] = ()) -> None:
        super().__init__(message, advice=advice)
        self.short = tuple(short)
        """`orchestrator.reservation.Standing` of each counter that has too little room."""
