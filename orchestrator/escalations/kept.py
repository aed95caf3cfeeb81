"""What the ledger keeps of an escalation: where it stands, what its stages brought, what is owed. Reads alone."""

import json
from typing import Any, NamedTuple

from orchestrator import outbox
from orchestrator.errors import LedgerError, PackError, Problem
from orchestrator.escalations.model import Escalation, Standing
from orchestrator.ledger.store import Connection
from orchestrator.names import shown
from orchestrator.order import OnUnknown, Order
from orchestrator.record import GOING_ON

_COLUMNS = (
    "name", "cycle", "run_id", "mode", "is_armed", "stage", "stage_at", "deadline", "tick", "clock", "boot", "boot_at",
    "ticker", "ticked_at", "is_triggered", "counter", "updated_at",
)  # fmt: skip
_RECORD = f"SELECT {', '.join(_COLUMNS)} FROM escalations"  # noqa: S608  # constants
_ORDERS = "SELECT name, stage, body FROM escalation_orders WHERE run_id = ? ORDER BY position"
_ACTIONS = """SELECT a.name, a.state, a.error_class, a.replayable, a.detail FROM escalation_orders o
JOIN actions a ON a.chain = o.run_id AND a.name = o.name WHERE o.run_id = ? ORDER BY a.name, a.target"""
"""Of what its stages brought alone: ticks and heartbeats are actions of the same run."""
PLANS = """SELECT p.stage, p.plan_run_id, coalesce(r.state, '') FROM escalation_plans p
LEFT JOIN runs r ON r.id = p.plan_run_id WHERE p.run_id = ? ORDER BY p.plan_run_id"""
UNCONFIGURED = "unconfigured"
"""State of an order that was not sent for want of configuration: it is tried again, and a person has to mend that."""
_RANK = ("unknown", "dispatching", UNCONFIGURED, "retryable", "planned", "permanent", "delivered")
"""Of several recipients the first of these that any has says how an order stands."""
_SETTLED = frozenset({"permanent", "delivered"})
_TOLD = ("orch.escalation.began", "orch.escalation.ticked", "orch.escalation.refused")
_NEWEST = """SELECT e.type, e.time, p.body FROM events e LEFT JOIN payloads p ON p.event_id = e.id
WHERE e.run_id = ? AND e.type IN (?, ?, ?) ORDER BY e.run_seq DESC LIMIT 1"""
REBUILD = "`orch ledger verify` says what else is damaged; `orch ledger rebuild` makes the tables again"


class Record(NamedTuple):
    """An escalation as it stands; times are nanoseconds since 1970, 0 for none."""

    name: str
    cycle: int
    """From 1."""
    run_id: str
    """Of the cycle."""
    mode: str
    """As it was when the cycle began."""
    is_armed: bool
    stage: str
    stage_at: int
    deadline: int
    tick: int
    """How many ticks there were, in all cycles."""
    clock: int
    """The highest time that a tick went by."""
    boot: str
    """The machine's start in which that was; "" where nobody looked."""
    boot_at: int
    """What the machine's own clock said then, nanoseconds."""
    ticker: str
    """The executor that is at a tick, or was when it ended without a word; "" where none is."""
    ticked_at: int
    """The time that the last whole tick went by."""
    is_triggered: bool
    """Whether somebody set this deadline to release it."""
    counter: int
    """The highest of a renewal file."""
    updated_at: int


class Owed(NamedTuple):
    """What a stage brought and is not done."""

    name: str
    """`stage/action`, or the stage of a plan."""
    stage: str
    state: str
    """Of the worst recipient: unknown, dispatching, unconfigured, retryable, planned, or new where nothing of it was
    begun; of a plan its run's state."""
    detail: str
    is_held: bool = False
    """Whether a person has to say what became of it: no tick sends it again."""


def record_of(connection: Connection, name: str) -> Record | None:
    """Return how an escalation stands, None where it never began."""
    rows = connection.execute(f"{_RECORD} WHERE name = ?", (name,))
    if not rows:
        return None
    said = Record(*rows[0])
    return said._replace(is_armed=bool(said.is_armed), is_triggered=bool(said.is_triggered))


def standing_of(connection: Connection, record: Record, escalation: Escalation) -> Standing:
    """Return a record as `advance` takes it, with what reached every recipient in this cycle.

    Raises:
        PackError: it stands at a stage that the policy does not have.
    """
    try:
        place = escalation.place_of(record.stage)
    except KeyError:
        file, _, line = escalation.source.rpartition(":")
        seen = f"the escalation {shown(record.name)} stands at {shown(record.stage)}, which is no stage of it any more"
        problem = Problem(
            file or escalation.source, int(line) if line.isdigit() else 0, 0, seen, "a stage of that name"
        )
        raise PackError([problem], advice=f"give the stage back its name, or `orch reset {record.name}`") from None
    states = _states(connection, record.run_id)
    delivered = frozenset(name for name, each in states.items() if all(one.state == "delivered" for one in each))
    return Standing(record.is_armed, place, record.stage_at, record.deadline or None, delivered)


def orders_in(connection: Connection, record: Record) -> list[Order]:
    """Return every order that a stage of this cycle brought, in the order of the stages.

    Raises:
        LedgerError: the table is damaged.
    """
    return [order for _, order in _orders(connection, record.run_id)]


def owed_in(connection: Connection, record: Record) -> list[Owed]:
    """Return what is neither delivered nor refused for good of this cycle's orders, and plans that are not over.

    Raises:
        LedgerError: the table is damaged.
    """
    states, owed = _states(connection, record.run_id), []
    for stage, order in _orders(connection, record.run_id):
        each = states.get(order.name, [])
        worst = min(each, key=lambda one: _RANK.index(one.state)) if each else _State("new", "")
        if worst.state not in _SETTLED:
            is_held = order.on_unknown is OnUnknown.HOLD and any(one.is_held for one in each)
            owed.append(Owed(order.name, stage, worst.state, worst.detail, is_held))
    for stage, plan_run_id, state in connection.execute(PLANS, (record.run_id,)):
        if not state or state in GOING_ON:
            owed.append(Owed(str(stage), str(stage), str(state) or "new", f"run {plan_run_id}"))
    return owed


class Last(NamedTuple):
    """What came of the newest tick, as it is recorded."""

    why: str
    """What ended it: as of `Ticked`; "" where it was recorded without."""
    detail: str
    """The same for people, with the command that helps where there is one."""
    exit_code: int
    at: str
    """RFC 3339: when that was recorded."""
    owed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return self._asdict() | {"owed": list(self.owed)}


def last_of(connection: Connection, name: str) -> Last | None:
    """Return what came of an escalation's newest tick; None where no tick has ended since its cycle began."""
    rows = connection.execute(_NEWEST, (f"escalation:{name}", *_TOLD))
    if not rows or rows[0][0] == _TOLD[0]:
        return None
    kind, time, body = rows[0]
    said = json.loads(bytes(body)) if body is not None else {}
    why = str(said.get("why", said.get("what", "") if kind == _TOLD[2] else ""))
    code = said.get("exit_code", 6 if kind == _TOLD[2] else 0)
    return Last(why, str(said.get("detail", "")), int(code), str(time), tuple(map(str, said.get("owed", ()))))


def begun_in(connection: Connection) -> list[str]:
    """Return the names of the escalations that ever began."""
    return [str(name) for (name,) in connection.execute("SELECT name FROM escalations ORDER BY name")]


def plans_in(connection: Connection, record: Record) -> dict[str, str]:
    """Return the id of the run of each stage's plan in this cycle, by the stage."""
    return {str(stage): str(run) for stage, run, _ in connection.execute(PLANS, (record.run_id,))}


class _State(NamedTuple):
    """How one recipient of an order stands."""

    state: str
    detail: str
    is_held: bool = False
    """Whether nobody knows, and it may not be repeated at will."""


def _states(connection: Connection, run_id: str) -> dict[str, list[_State]]:
    """Return how each recipient stands, by the order's name."""
    states: dict[str, list[_State]] = {}
    for name, state, error_class, is_replayable, detail in connection.execute(_ACTIONS, (run_id,)):
        is_unsent = state == "permanent" and not outbox.is_settled(str(state), str(error_class))
        found = _State(UNCONFIGURED if is_unsent else str(state), str(detail), state == "unknown" and not is_replayable)
        states.setdefault(str(name), []).append(found)
    return states


def _orders(connection: Connection, run_id: str) -> list[tuple[str, Order]]:
    return [(str(stage), _order(str(name), body)) for name, stage, body in connection.execute(_ORDERS, (run_id,))]


def _order(name: str, body: str) -> Order:
    try:
        said = json.loads(body)
        return Order(**said | {"on_unknown": OnUnknown(said["on_unknown"])})
    except (ValueError, TypeError, KeyError, RecursionError):
        raise LedgerError(f"what the ledger keeps of the order {shown(name)} is damaged", advice=REBUILD) from None


def body_of(order: Order) -> dict[str, Any]:
    """Return an order as it is recorded."""
    return {
        "name": order.name,
        "action": order.action,
        "parameters": dict(order.parameters),
        "adapter": order.adapter,
        "on_unknown": order.on_unknown.value,
        "timeout_s": order.timeout_s,
        "estimates": dict(order.estimates),
    }
