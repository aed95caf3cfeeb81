"""One attempt: an adapter is called within its time, and whatever it does there becomes a receipt. Records nothing.

An adapter is other people's code: it may hang, raise what it likes, or answer nonsense. What may have happened is
unknown then, never a guess.
"""

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from orchestrator.adapter import Action, Adapter, Delivery, Effect, ErrorClass, Receipt, failure
from orchestrator.errors import AdapterError, OrchError

_INTERRUPT_S = 10.0
"""How long an adapter has to end what it does, after somebody interrupted it."""
_STEP_S = 0.5
_MOST_MICRO = 10**15
"""More than this nobody uses in one action."""
_MOST_CHARS = 1_000
_in_flight: Counter[str] = Counter()
"""How many threads of this process are at an attempt, abandoned ones included; by its key."""
_TURN = threading.Lock()


class Attempted(NamedTuple):
    """What came of an attempt."""

    receipt: Receipt
    is_over: bool = True
    """False where the adapter has not come back: it may still be at it."""
    interrupt: BaseException | None = None
    """Who waited was interrupted."""


class Call(NamedTuple):
    """How an adapter is called."""

    adapter: Adapter
    effect: Effect
    key: str
    grace_s: float
    """How long it may take beyond its time before it is given up."""


@contextmanager
def in_flight(key: str) -> Iterator[None]:
    """Count this thread among those that are at an attempt."""
    with _TURN:
        _in_flight[key] += 1
    try:
        yield
    finally:
        with _TURN:
            _in_flight[key] -= 1
            if not _in_flight[key]:
                del _in_flight[key]


def is_in_flight(key: str) -> bool:
    """Return whether a thread of this process is still at an attempt; one that only looks for its effect is not."""
    return _in_flight[key] > 0


def performed(call: Call, action: Action) -> Attempted:
    """Return what came of performing an action: its receipt, or what the lack of one means."""
    watch = _Watch(action)
    watched = action._replace(recheck=watch.recheck, is_cancelled=watch.is_cancelled)

    def perform() -> Receipt:
        with in_flight(call.key):
            return call.adapter.perform(watched, call.key)

    return _run(call, watch, perform, action.timeout_s)


def reconciled(call: Call, action: Action) -> Receipt | None:
    """Return what an adapter finds outside of an earlier attempt; None where it cannot say, or fails to.

    An error says how the look went, not what became of the attempt: a server that cannot be reached knows it still.
    """

    def look() -> Receipt:
        try:
            return call.adapter.reconcile(action, call.key) or _NOTHING
        except AdapterError as error:
            return Receipt(Delivery.UNKNOWN, detail=_said(error))

    found = _run(call, _Watch(action), look, action.timeout_s)
    if found.interrupt is not None:
        raise found.interrupt
    return found.receipt if found.receipt.delivery in {Delivery.DELIVERED, Delivery.RETRYABLE} else None


_NOTHING = Receipt(Delivery.UNKNOWN, detail="nobody can know")


class _Watch:
    """What stands between an attempt and the world: once it is given up, nothing more may be sent."""

    def __init__(self, action: Action) -> None:
        self._action = action
        self._is_given_up = False

    def give_up(self) -> None:
        self._is_given_up = True

    def is_cancelled(self) -> bool:
        return self._is_given_up or self._action.is_cancelled()

    def recheck(self) -> None:
        if self._is_given_up:
            raise failure("it took too long and was given up", delivery=Delivery.RETRYABLE)
        self._action.recheck()


def _run(call: Call, watch: _Watch, work: Callable[[], object], timeout_s: float) -> Attempted:
    """Run an adapter in a thread of its own, so that one that hangs holds up nobody for ever."""
    answers: list[object] = []
    has_ended = threading.Event()  # an interrupted `join` would take the thread for ended

    def run() -> None:
        try:
            answers.append(work())
        except BaseException as error:  # noqa: BLE001  # all of it is the adapter's, and becomes a receipt
            answers.append(error)
        finally:
            has_ended.set()

    thread = threading.Thread(target=run, name=f"orch-{call.adapter.name}", daemon=True)
    interrupt: BaseException | None = None
    try:
        thread.start()
        _wait(has_ended, timeout_s + call.grace_s)
    except BaseException as error:  # noqa: BLE001  # Ctrl-C, or the end of the process: what was begun is told first
        interrupt = error
        watch.give_up()
        with suppress(BaseException):
            _wait(has_ended, _INTERRUPT_S)
    if answers:
        return Attempted(_receipt(answers[0], call), interrupt=interrupt)
    watch.give_up()
    why = "it was interrupted" if interrupt else f"it did not come back within {timeout_s:g} s"
    return Attempted(
        Receipt(Delivery.UNKNOWN, detail=f"{call.adapter.name}: {why}"), is_over=False, interrupt=interrupt
    )


def _wait(end: threading.Event, limit_s: float) -> None:
    left = limit_s
    while left > 0 and not end.wait(min(_STEP_S, left)):  # in steps, so that a signal is seen at once
        left -= _STEP_S


def _receipt(answer: object, call: Call) -> Receipt:
    """Return what an adapter's answer means, whatever it is."""
    try:
        match answer:
            case Receipt(delivery=Delivery()):
                return _sound(answer, call.adapter.name)
            case AdapterError(delivery=str(said)) if said in set(Delivery):
                delivery = Delivery(said)
                is_known = answer.error_class in set(ErrorClass)
                error_class = ErrorClass(str(answer.error_class)) if is_known else _usual_class(delivery)
                return Receipt(delivery, detail=_said(answer), error_class=error_class)
            case BaseException():
                detail = f"the adapter {call.adapter.name} failed: {told(answer)}"
            case _:
                detail = f"the adapter {call.adapter.name} gave no receipt but a {type(answer).__name__}"
    except Exception as error:  # noqa: BLE001  # values of somebody else's code, which may raise wherever they are touched
        detail = f"what the adapter {call.adapter.name} gave cannot be read: {told(error)}"
    if call.effect is Effect.READ:
        return Receipt(Delivery.PERMANENT, detail=detail, error_class=ErrorClass.PERMANENT)
    return Receipt(Delivery.UNKNOWN, detail=detail)


def _sound(receipt: Receipt, adapter: str) -> Receipt:
    """Return a receipt of which nothing has another form than it should; what has is left out, and that is said."""
    given: Any = receipt
    is_right = {
        "reference": isinstance(given.reference, str),
        "detail": isinstance(given.detail, str),
        "outputs": isinstance(given.outputs, Mapping),
        "error_class": given.error_class is None or isinstance(given.error_class, ErrorClass),
        "retry_after_s": given.retry_after_s is None or _is_number(given.retry_after_s),
        "artifacts": isinstance(given.artifacts, list | tuple) and all(isinstance(one, str) for one in given.artifacts),
        "used": isinstance(given.used, Mapping) and all(map(_is_use, given.used.items())),
    }
    wrong = [name for name, is_so in is_right.items() if not is_so]
    kept = {name: getattr(receipt, name) for name in is_right if name not in wrong}
    kept |= {name: dict(kept[name]) for name in ("outputs", "used") if name in kept}
    if wrong:
        said = f"the adapter {adapter} gave no usable {', '.join(wrong)}"
        kept["detail"] = "; ".join(filter(None, (kept.get("detail"), said)))
    return Receipt(receipt.delivery, **kept)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_use(used: tuple[object, object]) -> bool:
    meter, micro = used
    return isinstance(meter, str) and type(micro) is int and 0 <= micro < _MOST_MICRO


def told(error: BaseException) -> str:
    """Return an error of somebody else's code as a text; one that has no words is told by its type."""
    try:
        text = str(error)[:_MOST_CHARS].encode("utf-8", "backslashreplace").decode()
        return f"{type(error).__name__}: {text}"
    except Exception:  # noqa: BLE001  # its own text may raise, too
        return type(error).__name__


def _usual_class(delivery: Delivery) -> ErrorClass | None:
    match delivery:
        case Delivery.RETRYABLE:
            return ErrorClass.TRANSIENT
        case Delivery.PERMANENT:
            return ErrorClass.PERMANENT
        case _:
            return None


def _said(error: OrchError) -> str:
    return f"{error} ({error.advice})" if error.advice else str(error)
