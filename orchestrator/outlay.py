"""What one order takes of budgets: room before it begins, settled or given back with its end, in its transactions."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import NamedTuple

from orchestrator import clock, limits, spend
from orchestrator.adapter import Delivery
from orchestrator.budgets import whole_second
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.meters import usual_estimates
from orchestrator.order import Order
from orchestrator.reservation import OPEN, By, Reservation, found, id_of, locked, settled, step
from orchestrator.spend import EXPIRES_S, Call

_MOST_MICRO = 10**15
_MARGIN_S = 600


class Spender(NamedTuple):
    """Who takes room, for which order."""

    run_id: str
    actor: str
    key: str
    """The order's."""

    def number(self, attempt: int, repeat: int) -> str:
        """Return the key of a reservation: each attempt has its own, and one more where an earlier one is closed."""
        return f"{self.key}#{attempt}.{repeat}"


def estimates_of(order: Order) -> dict[str, int]:
    """Return what an order is expected to use, micro-units by meter."""
    return {**usual_estimates(order.action), **order.estimates}


def open_one(connection: Connection, spender: Spender, attempt: int) -> Reservation | None:
    """Return the room that an attempt holds already, or that the one before it left open for it."""
    now = whole_second(clock.format_time(clock.now_ns()))
    for number in (attempt, attempt - 1):
        for one in _made(connection, spender, number):
            if one.state in OPEN and one.expires_at > now:
                return one
    return None


def taken(ledger: Ledger, spender: Spender, order: Order, evaluation_id: str, attempt: int) -> Reservation:
    """Return the room that an attempt under a recorded decision holds in every budget; taken now where it is not.

    Raises:
        BudgetError: there is too little.
        UsageError: nobody said how much it may use of a limited meter.
        LedgerError: it cannot be recorded.
    """
    with ledger.store.reading() as connection:
        decided = limits.decided(connection, evaluation_id, run_id=spender.run_id)
        earlier = open_one(connection, spender, attempt)
        repeat = sum(1 for _ in _made(connection, spender, attempt))
    if earlier is not None and (earlier.state == "started" or earlier.evaluation_id == evaluation_id):
        return earlier
    if earlier is not None:
        dropped(ledger, earlier.id, spender.actor)  # of an earlier decision's terms, unless it was begun just now
    expires_s = min(spend.MAX_EXPIRES_S, max(EXPIRES_S, round(order.timeout_s) + _MARGIN_S))
    call = Call(spender.run_id, evaluation_id, spender.actor, key=spender.number(attempt, repeat))
    return spend.reserve(ledger, call, decided.limits, estimates_of(order), expires_s=expires_s)


def _made(connection: Connection, spender: Spender, attempt: int) -> Iterator[Reservation]:
    """Yield every reservation that an attempt made, in order."""
    for repeat in count():
        one = found(connection, id_of(spender.run_id, spender.number(attempt, repeat)))
        if one is None:
            return
        yield one


def begun(ledger: Ledger, connection: Connection, reservation_id: str, actor: str) -> bool:
    """Start a reservation in the transaction that records the start of its action; its row is locked first of all.

    Returns False where it lapsed, or was closed by another process that was at the same order.
    """
    now = clock.format_time(clock.now_ns())
    one = locked(connection, reservation_id)
    if one.state == "reserved" and one.expires_at > whole_second(now):
        step(ledger, connection, one, "started", {}, by=By(actor, now))
        return True
    return one.state == "started"


def dropped(ledger: Ledger, reservation_id: str, actor: str) -> None:
    """Give room back that was taken for something that was not begun."""
    with ledger.store.writing() as connection:
        one = locked(connection, reservation_id)
        if one.state == "reserved":
            step(ledger, connection, one, "released", {}, by=By(actor, clock.format_time(clock.now_ns())))


class Used(NamedTuple):
    """How one target ended, and what that used."""

    delivery: Delivery
    used: Mapping[str, int]


def ended(
    ledger: Ledger, connection: Connection, reservation_id: str, order: Order, many: Iterable[Used], *, actor: str
) -> None:
    """Settle what was used, or give the room back, in the transaction that records an end.

    What nobody knows stays started: it is charged in full when its time is over. What was refused outside used up its
    attempt and no money, unless the adapter says what it used.
    """
    one = locked(connection, reservation_id)
    ends = list(many)
    deliveries = {end.delivery for end in ends}
    if one.state not in OPEN or Delivery.UNKNOWN in deliveries:
        return
    by = By(actor, clock.format_time(clock.now_ns()))
    used: dict[str, int] = {}
    for end in ends:
        for meter, micro in end.used.items():
            if type(micro) is int and 0 <= micro < _MOST_MICRO:
                used[meter] = used.get(meter, 0) + micro
    if Delivery.DELIVERED not in deliveries:
        usual = usual_estimates(order.action) if Delivery.PERMANENT in deliveries else {}
        used = {meter: used.get(meter, usual.get(meter, 0)) for meter in one.estimates}
    if one.state == "started" and (Delivery.DELIVERED in deliveries or any(used.values())):
        settled(ledger, connection, one, used, by)
    else:
        step(ledger, connection, one, "released", {}, by=by)
