"""The heartbeat of a tick: a webhook to a watcher that is somebody else's, so that a dead `orch` is noticed.

An order as any other. What becomes of it changes nothing of the tick: the watcher notices what does not arrive.

Source: 000, "Audit"; a tick that nobody hears of cannot be told from one that never came.
"""

from collections.abc import Callable
from typing import NamedTuple

from orchestrator import clock
from orchestrator.act import Executor
from orchestrator.errors import OrchError
from orchestrator.escalations.model import Escalation
from orchestrator.order import Done, OnUnknown, Order, State

_TIMEOUT_S = 30.0
_BODILESS = frozenset({"GET", "HEAD"})


class Pulse(NamedTuple):
    """What a heartbeat tells."""

    tick: str
    stage: str
    owed: int
    """How many deeds have not arrived."""
    now_ns: int


class Beat(NamedTuple):
    """What became of a heartbeat."""

    state: str
    """As of `State`; "none" where the escalation has no watcher, "failed" where it could not be tried."""
    detail: str = ""

    @property
    def is_well(self) -> bool:
        """Whether the watcher heard it, or there is none."""
        return self.state in {"none", State.DELIVERED.value}


def order_of(escalation: Escalation, pulse: Pulse) -> Order | None:
    """Return the order of a heartbeat, None where the escalation has no watcher."""
    if not escalation.heartbeat:
        return None
    parameters = {"method": "POST", **escalation.heartbeat}
    if str(parameters["method"]).upper() not in _BODILESS and not parameters.keys() & {"body", "json"}:
        parameters["json"] = {
            "escalation": escalation.name,
            "tick": pulse.tick,
            "stage": pulse.stage,
            "owed": pulse.owed,
            "at": clock.format_time(pulse.now_ns),
        }
    return Order(f"heartbeat/{pulse.tick}", "call_webhook", parameters, on_unknown=OnUnknown.HOLD, timeout_s=_TIMEOUT_S)


def beat(executor: Executor, escalation: Escalation, pulse: Pulse, is_cancelled: Callable[[], bool]) -> Beat:
    """Send a heartbeat once and return what became of it; whatever is wrong with it is told, never raised."""
    order = order_of(escalation, pulse)
    if order is None:
        return Beat("none")
    try:
        return _beat_of(executor.act(order, is_cancelled=is_cancelled))
    except OrchError as error:
        return Beat("failed", str(error))


def _beat_of(done: Done) -> Beat:
    return Beat(done.state.value, "" if done.state is State.DELIVERED else done.detail)
