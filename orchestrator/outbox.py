"""The outbox: how each action stands, as rows that are read and events that change them. Performs nothing.

planned -> dispatching -> delivered | permanent | retryable | unknown; each state is durable before what follows it.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from orchestrator.adapter import Delivery, ErrorClass, Prepared, Receipt
from orchestrator.digest import sha256
from orchestrator.errors import LedgerError, UsageError
from orchestrator.ledger.append import append
from orchestrator.ledger.event import Draft, Event
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.names import shown

OUTSIDE = "adhoc:"
"""What a chain outside of runs begins with."""
_MOST_OUTPUT_BYTES = 256 * 1024
_MOST_DETAIL_CHARS = 2_000
_YEAR_S = 365 * 86_400
_ROW = (
    "key", "chain", "run_id", "name", "target", "action", "adapter", "effect", "replayable", "asked_digest",
    "action_digest", "evaluation_id", "reservation_id", "request_id", "state", "attempt", "executor", "at", "reference",
    "detail", "error_class", "outputs",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(_ROW)} FROM actions WHERE "  # noqa: S608  # constants
_LOCK_CHAIN = "UPDATE chains SET head = head WHERE run_id = ?"
_LOCK_ROW = "UPDATE actions SET state = state WHERE key = ? AND state = ? AND attempt = ?"


class Standing(StrEnum):
    """How an action stands."""

    PLANNED = "planned"
    DISPATCHING = "dispatching"
    DELIVERED = "delivered"
    PERMANENT = "permanent"
    RETRYABLE = "retryable"
    UNKNOWN = "unknown"


class Row(NamedTuple):
    """One action for one target, as it stands."""

    key: str
    chain: str
    run_id: str
    """"" outside of a run."""
    name: str
    """The order's."""
    target: str
    action: str
    adapter: str
    effect: str
    is_replayable: bool
    asked_digest: str
    """Of action and parameters as they were asked for."""
    action_digest: str
    evaluation_id: str
    """The newest decision about it."""
    reservation_id: str
    request_id: str
    """The approval request that it used up; "" where it needed none."""
    state: Standing
    attempt: int
    """How often it was begun."""
    executor: str
    """Who is at it; "" where nobody is."""
    at: str
    reference: str
    detail: str
    error_class: str
    outputs: Mapping[str, Any]

    @property
    def is_open(self) -> bool:
        """Whether it was begun, and nobody knows how it ended."""
        return self.state in {Standing.DISPATCHING, Standing.UNKNOWN}

    @property
    def is_settled(self) -> bool:
        """Whether nothing more is done of it unless somebody says so: it was delivered, or refused outside.

        What failed for want of configuration was never sent: it is done once that is mended.
        """
        return is_settled(self.state, self.error_class)

    @property
    def receipt(self) -> dict[str, Any]:
        """What `Done.receipts` says of it."""
        return {
            "target": self.target,
            "key": self.key,
            "delivery": self.state.value,
            "reference": self.reference,
            "detail": self.detail,
            "attempt": self.attempt,
        }


class Plan(NamedTuple):
    """What the rows of one order have in common."""

    chain: str
    run_id: str
    name: str
    action: str
    adapter: str
    asked_digest: str
    actor: str

    def draft(self, verb: str, payload: Mapping[str, Any], **more: str) -> Draft:
        """Return the draft of an event about one of its actions."""
        return Draft(f"orch.action.{verb}", self.chain, self.actor, payload, action=self.action, **more)


def are_settled(rows: Iterable[Row], *, again: bool) -> bool:
    """Return whether nothing is left to do: all delivered, or refused outside and not to be tried `again`."""
    return all(row.state is Standing.DELIVERED or (row.is_settled and not again) for row in rows)


def is_settled(state: str, error_class: str) -> bool:
    """Return whether nothing more is done of an action that stands like this, as `Row.is_settled`."""
    if state == Standing.PERMANENT:
        return error_class != ErrorClass.CONFIGURATION
    return state == Standing.DELIVERED


def key_of(ledger_id: str, run_id: str, name: str, target: str) -> str:
    """Return the idempotency key: 64 hex digits, the same for every attempt, another in every ledger."""
    parts = (ledger_id, run_id, name, target)
    text = "".join(f"{len(part)}:{part}" for part in ("orch.action", *parts))
    return sha256(text.encode("utf-8", "surrogatepass")).removeprefix("sha256:")


def chain_of(run_id: str | None, name: str, ledger_id: str) -> str:
    """Return the chain of an order: the run's, and outside of runs one of its own, which a name finds again."""
    return run_id or f"{OUTSIDE}{key_of(ledger_id, '', name, 'chain')[:32]}"


def rows_of(connection: Connection, chain: str, name: str) -> dict[str, Row]:
    """Return the rows of an order by target."""
    rows = map(_row, connection.execute(f"{_SELECT} chain = ? AND name = ? ORDER BY target", (chain, name)))
    return {row.target: row for row in rows}


def row_of(connection: Connection, key: str) -> Row | None:
    """Return the row of a key, None where there is none."""
    rows = connection.execute(f"{_SELECT} key = ?", (key,))
    return _row(rows[0]) if rows else None


def decision_in(connection: Connection, evaluation_id: str) -> dict[str, Any] | None:
    """Return a recorded decision, as `Decision.context` is; None where there is none, or it was erased."""
    rows = connection.execute("SELECT body FROM payloads WHERE event_id = ?", (evaluation_id,))
    if not rows:
        return None
    try:
        context = json.loads(bytes(rows[0][0]))["decision"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return context if isinstance(context, dict) else None


def rows_in(connection: Connection, states: Iterable[Standing], run_id: str | None = None) -> list[Row]:
    """Return every row in one of these states, oldest first; of one run, where it is named."""
    wanted = [state.value for state in states]
    where = f"state IN ({', '.join('?' * len(wanted))})" + ("" if run_id is None else " AND run_id = ?")
    given = (*wanted, *(() if run_id is None else (run_id,)))
    return [_row(row) for row in connection.execute(f"{_SELECT} {where} ORDER BY at, key", given)]


def lock_chain(connection: Connection, chain: str) -> None:
    """Lock a chain, which comes before the rows of its actions, so that two never wait for each other."""
    connection.change(_LOCK_CHAIN, (chain,))


def lock(connection: Connection, row: Row) -> bool:
    """Lock a row, and return whether it still stands as it was read."""
    return bool(connection.change(_LOCK_ROW, (row.key, row.state.value, row.attempt)))


def planned(ledger: Ledger, connection: Connection, plan: Plan, prepared: Prepared, context: Mapping[str, Any]) -> None:
    """Append that an action is wanted for each of its targets, under the decision of which this is the context."""
    for target in prepared.targets:
        key = key_of(ledger.id, plan.run_id, plan.name, target)
        payload = {
            "key": key,
            "run_id": plan.run_id,
            "name": plan.name,
            "target": target,
            "adapter": plan.adapter,
            "effect": prepared.effect.value,
            "replayable": prepared.is_replayable,
            "asked_digest": plan.asked_digest,
            "evaluation_id": context["evaluation_id"],
        }
        about = {"action_digest": context["action_digest"] or "", "policy_digest": context["policy"]["digest"]}
        draft = plan.draft("planned", payload, cause_id=context["evaluation_id"], **about)
        append(ledger, connection, draft._replace(subject=str(prepared.resource.get("id", ""))))


def dispatching(ledger: Ledger, connection: Connection, plan: Plan, row: Row, said: Mapping[str, str]) -> None:
    """Append that an attempt begins; `said` has `executor`, `request_id`, `reservation_id`."""
    payload = {"key": row.key, "attempt": row.attempt + 1, **said}
    append(ledger, connection, plan.draft("dispatching", payload, cause_id=row.evaluation_id))


def ended(
    ledger: Ledger, connection: Connection, plan: Plan, row: Row, receipt: Receipt, *, executor: str = ""
) -> Event:
    """Append what became of an attempt; `executor` is who may still be at it."""
    payload = {
        "key": row.key,
        "attempt": row.attempt,
        "receipt": _receipt(receipt),
        "error_class": receipt.error_class.value if receipt.error_class else "",
        "executor": executor,
    }
    return append(ledger, connection, plan.draft(receipt.delivery.value, payload, cause_id=row.evaluation_id))


def resolve(
    ledger: Ledger,
    run_id: str,
    name: str,
    state: Delivery,
    *,
    by: str,
    note: str = "",
    keys: Collection[str] = (),
) -> list[Row]:
    """Settle by a person's word what nobody knows of an order, and return the rows that were settled.

    `state` is DELIVERED, or RETRYABLE: it will be done again, what was refused for good, too. `keys` are those of the
    recipients that are meant; none means each of whom nobody knows, and where there is none, each that was refused.

    Raises:
        UsageError: nothing of that name is unknown in this run, or refused.
        LedgerError: it cannot be recorded.
    """
    if state not in {Delivery.DELIVERED, Delivery.RETRYABLE}:
        raise UsageError(f"a person can say delivered or retryable, not {state}")
    chain = chain_of(run_id, name, ledger.id)
    with ledger.store.writing() as connection:
        lock_chain(connection, chain)
        rows = [row for row in rows_of(connection, chain, name).values() if not keys or row.key in keys]
        refused = [row for row in rows if row.state is Standing.PERMANENT and state is Delivery.RETRYABLE]
        rows = [row for row in rows if row.is_open] or refused
        if not rows:
            where = f" in run {shown(run_id)}" if run_id else ""
            looks = "`orch runs RUN` shows what is" if run_id else "`orch act` without --resolve says how it stands"
            what = "unknown or refused" if state is Delivery.RETRYABLE else "unknown"
            raise UsageError(f"nothing is {what} of {shown(name)}{where}", advice=looks)
        for row in rows:
            payload = {"key": row.key, "state": state.value, "by": by, "note": note[:_MOST_DETAIL_CHARS]}
            append(ledger, connection, Draft("orch.action.resolved", chain, by, payload, action=row.action))
    return rows


def _receipt(receipt: Receipt) -> dict[str, Any]:
    """Return a receipt as it is recorded; what is too large or no JSON is left out, and that is said."""
    outputs, detail = dict(receipt.outputs), _short(receipt.detail)
    if problem := _outputs_problem(outputs):
        outputs, detail = {}, f"{detail}; its outputs were not kept: {problem}".lstrip("; ")
    return {
        "reference": _short(receipt.reference),
        "detail": detail,
        "outputs": outputs,
        "retry_after_s": None if receipt.retry_after_s is None else int(max(0, min(receipt.retry_after_s, _YEAR_S))),
        "artifacts": [str(one) for one in receipt.artifacts],
        "used": {str(meter): micro for meter, micro in receipt.used.items() if type(micro) is int},
    }


def _short(text: object) -> str:
    """Return a text of an adapter's as it can be written down."""
    return str(text)[:_MOST_DETAIL_CHARS].encode("utf-8", "backslashreplace").decode()


def _outputs_problem(outputs: Mapping[str, Any]) -> str:
    from orchestrator.digest import canonical

    try:
        size = len(canonical(outputs))
    except (ValueError, TypeError) as error:
        return f"they are no JSON ({error})"
    return "" if size <= _MOST_OUTPUT_BYTES else f"they have {size:,} bytes, and {_MOST_OUTPUT_BYTES:,} is the most"


def _row(row: tuple[Any, ...]) -> Row:
    said = dict(zip(_ROW, row, strict=True))
    said["is_replayable"] = bool(said.pop("replayable"))
    try:
        said |= {"state": Standing(said["state"]), "outputs": json.loads(said["outputs"])}
    except (ValueError, TypeError, RecursionError):
        raise LedgerError(
            f"what the ledger keeps of {shown(said['name'])} is damaged",
            advice="`orch ledger verify` says what else is; `orch ledger rebuild` makes it again from the events",
        ) from None
    return Row(**said)


def error_class_of(row: Row) -> ErrorClass | None:
    """Return who can mend what a row says failed."""
    return ErrorClass(row.error_class) if row.error_class else None
