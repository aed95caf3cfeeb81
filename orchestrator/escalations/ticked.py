"""What came of a tick, as values: for whoever shows it, and for programs. Does nothing itself."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from orchestrator.adapter import ErrorClass
from orchestrator.clock import format_time
from orchestrator.errors import Exit
from orchestrator.escalations.beat import Beat
from orchestrator.escalations.kept import UNCONFIGURED, Owed
from orchestrator.order import Done, State

RANK = (
    Exit.OK,
    Exit.FAILED,
    Exit.PENDING,
    Exit.BUDGET,
    Exit.DENIED,
    Exit.UNDECIDABLE,
    Exit.PACK,
    Exit.INTERRUPTED,
)
"""Of several exits the last in this order is the tick's."""


class Acted(NamedTuple):
    """What became of one order, or of a stage's plan."""

    name: str
    """`stage/action`, or `tick`, `enter`; of a plan the id of its run."""
    action: str
    done: Done

    @property
    def exit_code(self) -> Exit:
        """What this makes of the tick's exit code; what was held back is owed, which is told for itself."""
        if self.done.error_class is ErrorClass.CONFIGURATION:
            return Exit.PACK
        return Exit.OK if self.done.state is State.CANCELLED else self.done.exit_code

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {"name": self.name, "action": self.action, **self.done.to_json(), "exit_code": int(self.exit_code)}


class Decided(NamedTuple):
    """The decision that an order was done, or not done, under."""

    name: str
    """Of the order: `stage/action`, or `enter/<stage>`; that the tick itself may be is in the record alone."""
    evaluation_id: str
    digest: str
    """The decision's own: the same for the same packs, state and time, on any machine."""


class Would(NamedTuple):
    """What an order would be decided."""

    name: str
    action: str
    outcome: str
    """`allow`, `deny` or `pending`; "" where nothing could be decided."""
    detail: str
    """Why, and what else is needed."""
    exit_code: Exit

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {**self._asdict(), "exit_code": int(self.exit_code)}


class Ticked(NamedTuple):
    """One tick of one escalation. Times are nanoseconds since 1970, 0 for none."""

    name: str
    cycle: int = 0
    """From 1; 0 where it never began."""
    tick: int = 0
    """The tick's number; 0 where nothing was recorded of it as a tick."""
    now_ns: int = 0
    """The time that it went by."""
    deadline_ns: int = 0
    stage: str = ""
    """Where it stands now."""
    target: str = ""
    """The furthest stage that is due."""
    entered: tuple[str, ...] = ()
    """Stages that it entered, in order."""
    done: tuple[Acted, ...] = ()
    """What became of everything that was tried, in order; of a dry run nothing."""
    decisions: tuple[Decided, ...] = ()
    """What stages were entered by and all of that was done, or not done, by, in order; of a dry run nothing."""
    would: tuple[Would, ...] = ()
    """What would be decided; of a dry run alone."""
    owed: tuple[Owed, ...] = ()
    """What a stage brought and has not arrived, and can still."""
    why: str = ""
    """What ended it: a value of `advance.Why`, or busy, unbegun, clock, seal, renewed, denied, waiting, budget,
    undecidable, witness, configuration, outward, stopped, changed."""
    detail: str = ""
    """The same for people."""
    next_stage: str = ""
    """The stage that it goes to when it goes on; "" where there is none."""
    until_ns: int | None = None
    """When it goes on by the clock alone; None where it never does."""
    heartbeat: Beat = Beat("none")
    exit_code: Exit = Exit.OK
    notes: tuple[str, ...] = ()
    """What a person should know beside."""
    is_dry: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON, times as RFC 3339 or null."""
        said: dict[str, Any] = self._asdict()
        for name in ("now", "deadline", "until"):
            ns = said.pop(f"{name}_ns")
            said[name] = _written(ns)
        for name in ("done", "would"):
            said[name] = [one.to_json() for one in said[name]]
        for name in ("decisions", "owed"):
            said[name] = [one._asdict() for one in said[name]]
        said["heartbeat"] = self.heartbeat._asdict()
        return said | {"entered": list(self.entered), "notes": list(self.notes), "exit_code": int(self.exit_code)}

    def to_line(self) -> dict[str, Any]:
        """Return it as one line of a log."""
        return {
            "escalation": self.name,
            "tick": self.tick,
            "stage": self.stage,
            "entered": list(self.entered),
            "owed": [one.name for one in self.owed],
            "why": self.why,
            "detail": self.detail,
            "heartbeat": self.heartbeat.state,
            "exit_code": int(self.exit_code),
        }


def _written(ns: int | None) -> str | None:
    """Return a time as text; None for none, and for one that cannot be written."""
    try:
        return format_time(ns) if ns else None
    except ValueError:
        return None


def worst(codes: Iterable[Exit]) -> Exit:
    """Return the exit code that several make."""
    return max(codes, key=RANK.index, default=Exit.OK)


def code_of(owed: Owed) -> Exit:
    """Return the exit code of what is owed: what is not configured a person has to mend."""
    return Exit.PACK if owed.state == UNCONFIGURED else Exit.FAILED


def arrivals(done: Done) -> tuple[Mapping[str, Any], ...]:
    """Return what is known of each recipient, those first that are not served."""
    return tuple(sorted(done.receipts, key=lambda one: (one["delivery"] == State.DELIVERED.value, one["target"])))
