"""Orders and what became of them, as values: what somebody wants done, and the answer. Does nothing itself."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, Self

from orchestrator.adapter import ErrorClass
from orchestrator.errors import Exit

TRACKING = "tracking."
"""How the names of orders begin that tell of a run: they alone are carried out once it has ended."""
ESCALATION = "escalation"
"""Kind of a run that is a cycle of an escalation: its stages alone give orders in it."""
_NONE: Mapping[str, Any] = MappingProxyType({})


class OnUnknown(StrEnum):
    """What follows where nobody can say whether an action happened."""

    HOLD = "hold"
    """A person has to look."""
    RESEND = "resend"
    """It is done again; twice is better than never."""


class Order(NamedTuple):
    """One action that somebody wants done."""

    name: str
    """Its place, unique in the run: `phase/step`, `tracking.issue`, or what `--key` says."""
    action: str
    parameters: Mapping[str, Any]
    """Interpolated; secrets are references."""
    adapter: str | None = None
    """None takes the only adapter that can."""
    on_unknown: OnUnknown = OnUnknown.HOLD
    timeout_s: float = 300.0
    is_replayable: bool | None = None
    """What the plan's author says of a command; None leaves it to the adapter."""
    estimates: Mapping[str, int] = MappingProxyType({})
    """Micro-units by meter, beside what the action is known to use."""
    codes: Mapping[int, ErrorClass] = MappingProxyType({})
    """What exit codes and HTTP statuses mean."""


class State(StrEnum):
    """How an order stands."""

    DELIVERED = "delivered"
    DENIED = "denied"
    WAITING = "waiting"
    BUDGET = "budget"
    """A budget has no room for it."""
    UNDECIDABLE = "undecidable"
    """There is no decision to trust."""
    PERMANENT = "permanent"
    RETRYABLE = "retryable"
    UNKNOWN = "unknown"
    """It may have happened, and is held."""
    CANCELLED = "cancelled"


_EXITS = {
    State.DELIVERED: Exit.OK,
    State.DENIED: Exit.DENIED,
    State.WAITING: Exit.PENDING,
    State.BUDGET: Exit.BUDGET,
    State.UNDECIDABLE: Exit.UNDECIDABLE,
    State.PERMANENT: Exit.FAILED,
    State.RETRYABLE: Exit.FAILED,
    State.UNKNOWN: Exit.FAILED,
    State.CANCELLED: Exit.INTERRUPTED,
}


class Done(NamedTuple):
    """What became of an order."""

    state: State
    key: str = ""
    """64 hex digits: the order's; each further recipient has one of its own, see `receipts`."""
    evaluation_id: str = ""
    """The decision it was done, or not done, under; "" where there is none."""
    outputs: Mapping[str, Any] = _NONE
    """JSON for later steps, secrets masked. Of several recipients: `{"targets": {name: outputs}}`."""
    detail: str = ""
    """Why, for people."""
    error_class: ErrorClass | None = None
    retry_after_s: float | None = None
    waiting_for: tuple[Mapping[str, Any], ...] = ()
    """`{type: approval, request_id, role, missing}`, `{type: evidence, evidence}`, `{type: stage, stage}` or
    `{type: unknown, key, step}`."""
    receipts: tuple[Mapping[str, Any], ...] = ()
    """`{target, key, delivery, reference, detail, attempt}`, one for each recipient that was tried."""
    warned: tuple[str, ...] = ()
    """Rules that only warned."""

    @property
    def exit_code(self) -> Exit:
        """The exit code that follows."""
        if self.error_class is ErrorClass.CONFIGURATION and not self.receipts:
            return Exit.PACK
        return _EXITS[self.state]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON; `of` is the way back."""
        said = self._asdict() | {"state": self.state.value}
        said["error_class"] = self.error_class.value if self.error_class else None
        said["outputs"] = dict(self.outputs)
        for name in ("waiting_for", "receipts"):
            said[name] = [dict(one) for one in said[name]]
        return said | {"warned": list(self.warned)}

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """Return what `to_json` gave."""
        value = cls(**said)
        return value._replace(
            state=State(value.state),
            error_class=ErrorClass(value.error_class) if value.error_class else None,
            waiting_for=tuple(value.waiting_for),
            receipts=tuple(value.receipts),
            warned=tuple(value.warned),
        )


class Lease(Protocol):
    """Proof that a process lives; `orchestrator.runs.lease` gives one."""

    id: str
    """The executor's id, unique for each process."""

    def check(self) -> None:
        """Return where this process is surely still the one.

        Raises:
            LedgerError: it may have been taken for dead, and taken over from.
        """

    def is_dead(self, other: str) -> bool:
        """Return whether an executor has certainly ended; one that hangs has not."""

    def is_replaced(self, other: str) -> bool:
        """Return whether an executor's work was given to others: it may still hang, but begins nothing more."""
