"""How one stretch of a phase came out, as a value, and when it is worth another attempt. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple, Self

from orchestrator import clock
from orchestrator.adapter import ErrorClass
from orchestrator.digest import sha256
from orchestrator.errors import AdapterError, BudgetError, DecisionError, Exit, OrchError
from orchestrator.order import Done, State
from orchestrator.plans.model import Retry

LONGEST_SLEEP_S = 60.0
"""Longer than this nobody waits in a process: the run itself does."""
_UNKNOWN_TRIES, _UNKNOWN_FIRST_S, _UNKNOWN_MOST_S = 12, 60.0, 3600.0
_DIGITS = 13
"""Hex digits of a digest that a double holds exactly."""
_SHARES = float(1 << 4 * _DIGITS)
_MOST_CHARS = 4_000
"""Longest reason."""


class Way(StrEnum):
    """What follows."""

    PASSED = "passed"
    FAILED = "failed"
    WAITING = "waiting"
    """For something from outside, or longer than a process waits."""
    SKIPPED = "skipped"
    AGAIN = "again"
    """The same once more, after `wait_s`."""
    CANCELLED = "cancelled"


class Ended(NamedTuple):
    """How it came out."""

    way: Way
    reason: str = ""
    """For people."""
    error_class: str = ""
    """A value of ErrorClass, where it failed."""
    exit_code: int = 0
    """As of design section 9, where it failed."""
    waiting_for: tuple[Mapping[str, Any], ...] = ()
    wait_s: float = 0.0
    result: Mapping[str, Any] | None = None
    """What a criterion saw, where this was one."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON; `of` is the way back."""
        return {**self._asdict(), "way": self.way.value, "waiting_for": [dict(one) for one in self.waiting_for]}

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """Return what `to_json` gave."""
        value = cls(**said)
        return value._replace(way=Way(value.way), waiting_for=tuple(value.waiting_for))


PASSED = Ended(Way.PASSED)
CANCELLED = Ended(Way.CANCELLED, "the run was cancelled", exit_code=int(Exit.INTERRUPTED))


class Tries(NamedTuple):
    """Which attempt at what this was."""

    run_id: str
    name: str
    """Of the order."""
    retry: Retry
    tried: int
    """How often it was tried by now, this time counted; in earlier segments, too."""
    is_repeatable: bool = False
    """The plan says that twice is no harm, or better than never: then nobody has to look at what is unknown."""


def failed(reason: str, error_class: ErrorClass, exit_code: Exit = Exit.FAILED) -> Ended:
    """Return a failure; its reason, which may be an adapter's, as it can be written down."""
    told = reason[:_MOST_CHARS].encode("utf-8", "backslashreplace").decode()
    return Ended(Way.FAILED, told, error_class.value, int(exit_code))


def ended_of(done: Done, tries: Tries) -> Ended:  # noqa: PLR0911  # one for each state
    """Return what follows from what became of an order. What is undecidable is never read as allowed."""
    match done.state:
        case State.DELIVERED:
            return PASSED
        case State.CANCELLED:
            return CANCELLED
        case State.WAITING:
            waits = tuple({**one, "step": tries.name} for one in done.waiting_for)
            return Ended(Way.WAITING, done.detail, waiting_for=waits)
        case State.UNKNOWN:
            return _unknown(done, tries)
        case State.DENIED:
            return failed(done.detail or "denied", ErrorClass.PERMANENT, Exit.DENIED)
        case State.BUDGET:
            return failed(f"budget: {done.detail}", ErrorClass.PERMANENT, Exit.BUDGET)
        case State.UNDECIDABLE:
            reason = done.detail or "there is no decision to trust"
            return _again_or(failed(reason, ErrorClass.DEPENDENCY, Exit.UNDECIDABLE), done, tries, is_worth=True)
        case State.RETRYABLE | State.PERMANENT:
            usual = ErrorClass.TRANSIENT if done.state is State.RETRYABLE else ErrorClass.PERMANENT
            kind = done.error_class or usual
            exit_code = done.exit_code if kind is ErrorClass.CONFIGURATION else Exit.FAILED
            return _again_or(failed(done.detail or done.state.value, kind, exit_code), done, tries)


def ended_of_error(error: OrchError, tries: Tries) -> Ended:
    """Return what follows from an error that was raised before anything was done."""
    state, kind = State.PERMANENT, ErrorClass.CONFIGURATION
    if isinstance(error, DecisionError):
        state, kind = State.UNDECIDABLE, ErrorClass.DEPENDENCY
    elif isinstance(error, BudgetError):
        state, kind = State.BUDGET, ErrorClass.PERMANENT
    elif isinstance(error, AdapterError):
        state = State(error.delivery) if error.delivery in set(State) else State.PERMANENT
        usual = ErrorClass.TRANSIENT if state is State.RETRYABLE else ErrorClass.PERMANENT
        kind = ErrorClass(error.error_class) if error.error_class else usual
    text = f"{error} ({error.advice})" if error.advice else str(error)
    found = ended_of(Done(state, detail=text, error_class=kind), tries)
    is_own = found.way is Way.FAILED and kind is ErrorClass.CONFIGURATION
    return found._replace(exit_code=int(error.exit_code)) if is_own else found


def wait_s(tries: Tries) -> float:
    """Return how long to wait before the next attempt: anything up to the policy's ceiling, the same each time asked.

    Source: 002, "Automatic retry with exponential backoff".
    """
    drawn = sha256(f"{tries.run_id}\0{tries.name}\0{tries.tried}".encode("utf-8", "surrogatepass"))
    share = int(drawn.removeprefix("sha256:")[:_DIGITS], 16) / _SHARES
    return tries.retry.wait_before_s(tries.tried + 1) * share


def timer(after_s: float, tries: Tries) -> dict[str, Any]:
    """Return what a run waits for where it waits for a time."""
    at = clock.format_time(clock.now_ns() + int(after_s * clock.SECOND_NS))
    return {"type": "timer", "at": at, "step": tries.name, "tries": tries.tried}


def _again_or(ended: Ended, done: Done, tries: Tries, *, is_worth: bool = False) -> Ended:
    """Return another attempt where the policy has one, after the wait that it or the other side asks for."""
    is_worth = is_worth or ErrorClass(ended.error_class) in tries.retry.errors
    if not is_worth or tries.tried >= tries.retry.attempts:
        return ended
    return _after(max(wait_s(tries), done.retry_after_s or 0.0), ended, tries)


def _after(pause_s: float, ended: Ended, tries: Tries) -> Ended:
    if pause_s <= LONGEST_SLEEP_S:
        return ended._replace(way=Way.AGAIN, wait_s=pause_s)
    return Ended(Way.WAITING, ended.reason, waiting_for=(timer(pause_s, tries),))


def _unknown(done: Done, tries: Tries) -> Ended:
    """Look again, at once and then ever later: what was on its way may have arrived. In the end a person has to."""
    if tries.is_repeatable and tries.tried >= tries.retry.attempts:
        return failed(done.detail or "nobody knows whether it was done", ErrorClass.TRANSIENT)
    if tries.tried < max(2, tries.retry.attempts):
        return Ended(Way.AGAIN, done.detail, wait_s=min(wait_s(tries), LONGEST_SLEEP_S))
    waits: tuple[Mapping[str, Any], ...] = tuple({**one, "step": tries.name} for one in done.waiting_for)
    waits = waits or ({"type": "unknown", "key": done.key, "step": tries.name},)
    if tries.tried < tries.retry.attempts + _UNKNOWN_TRIES:
        later = tries.tried - max(2, tries.retry.attempts)
        waits += ({**timer(min(_UNKNOWN_MOST_S, _UNKNOWN_FIRST_S * 2.0**later), tries), "is_look": True},)
    return Ended(Way.WAITING, done.detail, waiting_for=waits)
