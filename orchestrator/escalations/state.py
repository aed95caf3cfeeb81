"""Where an escalation stands in the ledger, and how that changes: one event and its row, in the caller's transaction.

Whoever changes it locks the chain of the cycle's run first, then the escalation's own; then it looks again, so nothing
is changed that is not as it was read. Asks no policy.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator import record as recording
from orchestrator.clock import format_time
from orchestrator.errors import Exit, LedgerError, UsageError
from orchestrator.escalations.kept import (
    PLANS,
    REBUILD,
    Owed,
    Record,
    body_of,
    orders_in,
    owed_in,
    plans_in,
    record_of,
    standing_of,
)
from orchestrator.escalations.model import Escalation
from orchestrator.ledger.append import append, append_group
from orchestrator.ledger.event import Draft, Event
from orchestrator.ledger.project_escalations import ORDERS_AT_ONCE
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.names import run_problem, shown
from orchestrator.order import ESCALATION, Lease, Order
from orchestrator.performing import Changed
from orchestrator.record import GOING_ON
from orchestrator.runs import journal

__all__ = [
    "TICKER", "BusyError", "Changed", "Owed", "Record", "began", "chain_of", "entered", "is_same", "lock", "lock_run",
    "locked", "orders_in", "owed_in", "plans_in", "record_of", "say", "standing_of", "ticked", "ticking",
]  # fmt: skip

TICKER = "service:tick"
"""Who acts where nobody else is named."""
_LOCK_CHAIN = "UPDATE chains SET next_seq = next_seq WHERE run_id = ?"
_ENDED_AS = {"renew": "renewed", "reset": "reset", "set_deadline": "replaced", "arm": "replaced"}
_MOST_REASON_CHARS, _MOST_DETAIL_CHARS = 200, 1_000
_MICROSECOND_NS = 1_000


class BusyError(UsageError):
    """Another process is at a tick of the same escalation."""

    exit_code = Exit.FAILED

    def __init__(self, by: str) -> None:
        super().__init__(f"another tick is at it ({by})", advice="it goes on; the next tick does what is left")
        self.by = by
        """The executor's id."""


def is_same(connection: Connection, record: Record) -> bool:
    """Return whether a cycle goes on as it was read: nobody renewed or reset it, moved its deadline or disarmed it."""
    now = record_of(connection, record.name)
    return now is not None and _clocked(now) == _clocked(record)


def chain_of(name: str) -> str:
    """Return the chain of an escalation's own events."""
    return f"escalation:{name}"


def lock(connection: Connection, name: str) -> None:
    """Lock an escalation until the transaction ends; the chain of its run comes before."""
    connection.change(_LOCK_CHAIN, (chain_of(name),))


def lock_run(connection: Connection, run_id: str) -> None:
    """Lock the chain of a cycle's run until the transaction ends: nothing of it is begun meanwhile."""
    connection.change(_LOCK_CHAIN, (run_id,))


def locked(connection: Connection, record: Record) -> Record:
    """Lock a cycle and its escalation, and return how that stands now.

    Raises:
        Changed: another cycle has begun.
    """
    lock_run(connection, record.run_id)
    lock(connection, record.name)
    now = record_of(connection, record.name)
    if now is None or (now.cycle, now.run_id) != (record.cycle, record.run_id):
        raise Changed(f"the escalation {record.name} has begun another cycle")
    return now


def say(  # noqa: PLR0917  # an event's parts
    ledger: Ledger, connection: Connection, name: str, kind: str, payload: Mapping[str, Any], by: str
) -> Event:
    """Append an event `orch.escalation.<kind>`; members `x_ns`, nanoseconds since 1970, are recorded as times `x`.

    Of 0 there is no time, which is "". A machine's own clock, `boot_ns`, is recorded in microseconds.

    Raises:
        UsageError: it holds a secret, which the ledger would hide.
        LedgerError: it cannot be recorded.
    """
    said = {"name": name}
    for key, value in payload.items():
        if key == "boot_ns":
            said["boot_us"] = value // _MICROSECOND_NS
        elif key.endswith("_ns"):
            said[key.removesuffix("_ns")] = format_time(value) if value else ""
        else:
            said[key] = value
    _must_be_kept(ledger, f"what is recorded of the escalation {shown(name)}", said)
    return append(ledger, connection, Draft(f"orch.escalation.{kind}", chain_of(name), by, said, subject=name))


def began(
    ledger: Ledger,
    connection: Connection,
    record: Record | None,
    escalation: Escalation,
    *,
    now_ns: int,
    deadline_ns: int,
    why: str,
    by: str,
    is_armed: bool,
    repository: str = "",
    **more: Any,  # noqa: ANN401  # JSON
) -> Record:
    """Begin a cycle at the first stage, and end the one before with its plans' runs; return how it stands then.

    `why` is set_deadline, renew, reset or arm. `more` may say of a renewal: `counter` of a signed file; `code_id`, used
    up unless `is_main`; `source`, whose wrong codes are forgotten; `seal`.

    Raises:
        Changed: another cycle has begun meanwhile.
        UsageError: what is recorded holds a secret, or the name gives no name of a run.
        LedgerError: it cannot be recorded.
    """
    name = escalation.name
    if record is None:
        lock(connection, name)
        if record_of(connection, name) is not None:
            raise Changed(f"the escalation {name} has begun meanwhile")
    else:
        locked(connection, record)
        earlier = _ended(ledger, connection, record, why, by)
        repository = repository or earlier
    cycle, run_id = _next_cycle(connection, name, record)
    start = Draft("orch.run.started", run_id, by, repository=repository.lower())
    _start(ledger, connection, escalation, start, cycle)
    said = {"cycle": cycle, "run_id": run_id, "mode": escalation.mode.value, "stage": escalation.stages[0].name}
    said |= {"deadline_ns": deadline_ns, "at_ns": now_ns, "is_armed": is_armed, "why": why, "by": by}
    say(ledger, connection, name, "began", said | more, by)
    return _found(connection, name)


def entered(
    ledger: Ledger,
    connection: Connection,
    record: Record,
    stage: str,
    *,
    at_ns: int,
    orders: Sequence[Order] = (),
    plan_run_id: str = "",
    evaluation_id: str = "",
    by: str = TICKER,
) -> Record:
    """Enter a stage with everything that it orders; return how the escalation stands then.

    Raises:
        Changed: the cycle is another, its run has ended, or stage, deadline, arming or ticker are not as in `record`.
        UsageError: an order holds a secret, which the ledger would hide.
        LedgerError: it cannot be recorded.
    """
    now = locked(connection, record)
    if _clocked(now) != _clocked(record) or now.ticker != record.ticker:
        raise Changed(f"the escalation {record.name} is not as it was")
    if not _goes_on(connection, record.run_id):
        raise Changed(f"the run {record.run_id} has ended")
    if len(orders) >= ORDERS_AT_ONCE:
        raise UsageError(f"the stage {shown(stage)} brings {len(orders):,} orders; expected below {ORDERS_AT_ONCE:,}")
    said = {"cycle": record.cycle, "run_id": record.run_id, "stage": stage, "from": record.stage, "at_ns": at_ns}
    said |= {"orders": [body_of(order) for order in orders], "plan_run_id": plan_run_id, "evaluation_id": evaluation_id}
    say(ledger, connection, record.name, "stage", said, by)
    return _found(connection, record.name)


def ticking(
    ledger: Ledger, connection: Connection, record: Record, *, lease: Lease, now_ns: int, by: str = TICKER
) -> Record:
    """Begin a tick, and return how the escalation stands: `ticker` is this process, `tick` its number.

    Raises:
        BusyError: another process that lives is at one.
        LedgerError: it cannot be recorded.
    """
    lock(connection, record.name)
    now = _found(connection, record.name)
    others = now.ticker if now.ticker != lease.id else ""
    if others and not (lease.is_dead(others) or lease.is_replaced(others)):
        raise BusyError(others)
    payload = {"executor": lease.id, "tick": now.tick + 1, "now_ns": now_ns}
    say(ledger, connection, record.name, "ticking", payload, by)
    return _found(connection, record.name)


def ticked(
    ledger: Ledger,
    connection: Connection,
    record: Record,
    *,
    now_ns: int,
    boot: str = "",
    boot_ns: int = 0,
    target: str = "",
    owed: Iterable[str] = (),
    heartbeat: str = "",
    why: str = "",
    detail: str = "",
    exit_code: int = 0,
    by: str = TICKER,
) -> Record:
    """End a tick that `ticking` began, whatever became of the cycle; return how the escalation stands then.

    `now_ns` is the time it went by. Where that is the highest so far, it is the mark that no later tick may lie before,
    and `boot` and `boot_ns` are the machine's own clock at it. `why`, `detail` and `exit_code` say what came of it.

    Raises:
        Changed: another process has taken the tick over.
        LedgerError: it cannot be recorded.
    """
    lock(connection, record.name)
    now = _found(connection, record.name)
    if (now.ticker, now.tick) != (record.ticker, record.tick):
        raise Changed(f"another tick of {record.name} has begun")
    said = {"tick": record.tick, "now_ns": now_ns, "boot": boot, "boot_ns": boot_ns, "stage": now.stage}
    said |= {"target": target, "owed": list(owed), "heartbeat": heartbeat, "executor": record.ticker}
    said |= {"why": why, "detail": kept_text(ledger, detail), "exit_code": exit_code}
    say(ledger, connection, record.name, "ticked", said, by)
    return _found(connection, record.name)


def kept_text(ledger: Ledger, text: str) -> str:
    """Return a text for people as it can be recorded: in short, and without secrets."""
    short = text[:_MOST_DETAIL_CHARS].encode("utf-8", "backslashreplace").decode()
    return str(ledger.mask.value(short))


# -- within


def _found(connection: Connection, name: str) -> Record:
    found = record_of(connection, name)
    if found is None:
        raise LedgerError(f"the ledger has no escalation {shown(name)} any more", advice=REBUILD)
    return found


def _clocked(record: Record) -> tuple[object, ...]:
    """Return what says which stage is due."""
    return (record.cycle, record.run_id, record.stage, record.deadline, record.is_armed)


def _goes_on(connection: Connection, run_id: str) -> bool:
    rows = connection.execute("SELECT state FROM runs WHERE id = ?", (run_id,))
    return bool(rows) and rows[0][0] in GOING_ON


def _start(ledger: Ledger, connection: Connection, escalation: Escalation, start: Draft, cycle: int) -> None:
    """Begin the run of a cycle; `start` is its first event without what that says."""
    what = {"kind": ESCALATION, "name": escalation.name, "mode": escalation.mode.value, "version": escalation.version}
    more: dict[str, Any] = {"session": "", "trigger": "", "event": None, "digest": escalation.digest}
    more |= {"cycle": cycle, "repository": start.repository}
    payload = {**what, **more, "config_digest": recording._config_digest()}  # noqa: SLF001  # what every start of a run says
    _must_be_kept(ledger, f"the start of the escalation {shown(escalation.name)}", payload)
    if append(ledger, connection, start._replace(payload=payload)).fields["runseq"] != 1:
        raise Changed(f"the run {start.run_id} has begun meanwhile")


def _next_cycle(connection: Connection, name: str, record: Record | None) -> tuple[int, str]:
    """Return the number and the run of the next cycle; one whose name somebody took for another run is passed over."""
    cycle = 1 if record is None else record.cycle + 1
    while connection.execute("SELECT 1 FROM chains WHERE run_id = ?", (f"{name}-c{cycle}",)):
        cycle += 1
    run_id = f"{name}-c{cycle}"
    if problem := run_problem(run_id):
        raise UsageError(f"the run {shown(run_id)} of an escalation's cycle; expected {problem}")
    return cycle, run_id


def _ended(ledger: Ledger, connection: Connection, record: Record, why: str, by: str) -> str:
    """End a cycle's run, ask its plans' runs to end, and return its repository, "" where it has none."""
    rows = connection.execute("SELECT state, repository FROM runs WHERE id = ?", (record.run_id,))
    state, repository = rows[0] if rows else ("", "")
    reason = f"{why} by {by}"[:_MOST_REASON_CHARS]
    drafts = []
    if state in GOING_ON:
        said: dict[str, Any] = {"state": _ENDED_AS.get(why, "ended"), "reason": reason, "exit_code": 0}
        drafts.append(Draft("orch.run.ended", record.run_id, by, said, repository=repository))
    for _, plan_run_id, plan_state in connection.execute(PLANS, (record.run_id,)):
        if plan_state in GOING_ON - {"cancelling"} and journal.lock(connection, plan_run_id):
            drafts.append(Draft("orch.run.cancelling", plan_run_id, by, {"by": by, "reason": reason}))
    if drafts:
        append_group(ledger, connection, drafts)
    return str(repository)


def _must_be_kept(ledger: Ledger, what: str, payload: Mapping[str, Any]) -> None:
    """Refuse what the ledger would hide: it could not be gone by afterwards."""
    if ledger.mask.value(payload) != payload:
        raise UsageError(
            f"{what} holds a secret, which the ledger would hide",
            advice="name it under `secrets:` of the operator's file, and write ${{ secrets.NAME }} in its place",
        )
