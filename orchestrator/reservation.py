"""Reservations as values, and what becomes of one inside an open transaction. `spend` gives the transactions.

Whoever changes a reservation locks its row, then its counters in their one order, then claims alerts, then appends to
one chain: so PostgreSQL never sees a deadlock. Nothing here reads a policy.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from orchestrator.digest import new_id, sha256
from orchestrator.errors import UsageError
from orchestrator.ledger.append import append_group
from orchestrator.ledger.event import Draft
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.meters import Counter, amount

OPEN = ("reserved", "started")
"""The states in which a reservation holds room."""
WARN_AT_PERCENT = 80
COUNTER = "meter = ? AND scope = ? AND scope_id = ? AND time_window = ? AND window_start = ?"
LOCK_COUNTER = f"UPDATE budgets SET spent = spent WHERE {COUNTER}"  # noqa: S608  # constants
READ_COUNTER = f"SELECT spent, reserved FROM budgets WHERE {COUNTER}"  # noqa: S608  # constants
_CLAIM_ALERT = """
INSERT INTO budget_alerts (meter, scope, scope_id, time_window, window_start, kind, limit_micro)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING"""
_LOCK = "UPDATE reservations SET state = state WHERE id = ?"
_ROW = "SELECT id, state, chain, run_id, evaluation_id, actor, opened_at, expires_at FROM reservations WHERE id = ?"
_HELD = """
SELECT meter, scope, scope_id, time_window, window_start, limit_micro, warn_at, estimate, charged
FROM reservation_counters WHERE reservation_id = ?"""
_FULL = 100


class Limit(NamedTuple):
    """What a policy says of one counter; of several on one counter the lowest counts."""

    meter: str
    scope: str
    """`run`, `session`, `repo` or `org`."""
    scope_id: str
    window: str
    """`day` or `month` of repo and org, else ""."""
    limit_micro: int
    warn_at_percent: int = WARN_AT_PERCENT
    is_enforced: bool = True
    """False where only warning packs ask for it: nothing is reserved or charged, and what would stop is answered."""


def priced(limits: Iterable[Limit], amounts: Mapping[str, int], advice: str) -> list[Limit]:
    """Return the limits, each of a meter of which `amounts` says something; `advice` takes the meter.

    Raises:
        UsageError: nobody said how much may be used of one.
    """
    found = list(limits)
    for one in found:
        if one.meter not in amounts:
            raise UsageError(
                f"the budget of {one.meter} per {one.scope} needs to know how much this may use; nobody said",
                advice=advice.format(one.meter),
            )
    return found


class Held(NamedTuple):
    """What a reservation holds of one counter, in micro-units."""

    counter: Counter
    limit: int
    warn_at: int
    """Percent of the limit."""
    estimate: int
    charged: int = 0
    """0 until it is settled."""


class Standing(NamedTuple):
    """How a counter stood when somebody asked for more of it, in micro-units."""

    counter: Counter
    limit: int
    spent: int
    reserved: int
    asked: int

    @property
    def used(self) -> int:
        """What is used of the counter if what was asked is given."""
        return self.spent + self.reserved + self.asked

    def __str__(self) -> str:
        counter = self.counter
        window = f" and {counter.window}" if counter.window else ""
        held = f", {amount(self.reserved)} reserved" if self.reserved else ""
        return (
            f"{counter.meter} per {counter.scope}{window} ({counter.scope_id}): "
            f"{amount(self.spent)} of {amount(self.limit)} spent{held}, {amount(self.asked)} asked"
        )


class Reservation(NamedTuple):
    """Room that is held, or was."""

    id: str
    """A UUID, the same for every retry; "" where no enforced budget applies, so nothing is held."""
    state: str
    """`reserved`, `started`, `settled`, `released` or `expired`; `none` where nothing is held."""
    chain: str
    run_id: str
    evaluation_id: str
    actor: str
    opened_at: str
    expires_at: str
    held: tuple[Held, ...] = ()
    is_new: bool = False
    """Whether this call changed anything; False for a retry."""
    warned: tuple[Standing, ...] = ()
    """Counters that this brought near to their limit for the first time."""
    exceeded: tuple[Standing, ...] = ()
    """Counters whose limit this passed for the first time: what was used is charged, come what may."""
    would_stop: tuple[Standing, ...] = ()
    """Counters of warning packs that have no room."""
    uncounted: tuple[str, ...] = ()
    """Meters given that no budget here counts."""
    is_over: bool = False
    """Whether this charged what was used already past a limit."""

    @property
    def estimates(self) -> dict[str, int]:
        """What was reserved, by meter, in micro-units."""
        return {held.counter.meter: held.estimate for held in self.held}

    @property
    def charged(self) -> dict[str, int]:
        """What was charged, by meter, in micro-units."""
        return {held.counter.meter: held.charged for held in self.held}


class By(NamedTuple):
    """Who changes a reservation, and when."""

    actor: str
    """"" for whoever made it."""
    now: str
    """RFC 3339, UTC."""


def id_of(run_id: str, key: str) -> str:
    """Return the id that a reservation has in a run by its key: the same for every retry."""
    digest = sha256(f"orch.reservation\0{run_id}\0{key}".encode())[7:]
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"


def found(connection: Connection, reservation_id: str) -> Reservation | None:
    """Return a reservation as it is recorded, or None."""
    rows = connection.execute(_ROW, (reservation_id,))
    if not rows:
        return None
    held = (Held(Counter(*one[:5]), *one[5:]) for one in connection.execute(_HELD, (reservation_id,)))
    return Reservation(*rows[0])._replace(held=tuple(sorted(held)))


def locked(connection: Connection, reservation_id: str) -> Reservation:
    """Return a reservation that nobody else can change before this transaction ends.

    Raises:
        UsageError: there is none of that name.
    """
    there = found(connection, reservation_id) if connection.change(_LOCK, (reservation_id,)) else None
    if there is None:
        raise UsageError(
            f"there is no reservation {reservation_id!r:.60}", advice="take the id that `orch budget reserve` printed"
        )
    return there


def step(
    ledger: Ledger, connection: Connection, one: Reservation, state: str, charged: Mapping[str, int], *, by: By
) -> Reservation:
    """Append the event that brings a locked reservation into a state, and return it as it is then.

    `charged` is micro-units by meter. What it brings near to a limit, or past it, is recorded with it, once.
    """
    close = state not in OPEN
    after = tuple(line._replace(charged=charged.get(line.counter.meter, 0)) for line in one.held) if close else one.held
    near: list[Standing] = []
    past: list[Standing] = []
    if close:
        for line, standing in zip(after, _after(connection, after), strict=True):
            if line.charged > line.estimate:  # else it was judged when it was reserved
                near += [standing] if is_near(standing, line.warn_at) else []
                past += [standing] if standing.used > line.limit else []
    warned, exceeded = claimed(connection, "warned", near), claimed(connection, "exceeded", past)
    payload = {"reservation_id": one.id, "charged": dict(charged)}
    by = by._replace(actor=by.actor or one.actor)
    draft = Draft(f"orch.budget.{state}", one.chain, by.actor, payload, time=by.now, cause_id=one.evaluation_id)
    append_group(ledger, connection, with_alerts(draft, warned, exceeded))
    return one._replace(state=state, held=after, is_new=True, warned=tuple(warned), exceeded=tuple(exceeded))


def _after(connection: Connection, held: Iterable[Held]) -> Iterator[Standing]:
    """Lock counters, in order, and yield how each stands beside what this reservation holds and is charged."""
    for line in held:
        connection.change(LOCK_COUNTER, line.counter)
        spent, reserved = connection.execute(READ_COUNTER, line.counter)[0]
        yield Standing(line.counter, line.limit, spent, reserved - line.estimate, line.charged)


def settled(
    ledger: Ledger, connection: Connection, one: Reservation, charged: Mapping[str, int], by: By
) -> Reservation:
    """Return a locked reservation, settled; a meter that is not named is charged with its estimate.

    Raises:
        UsageError: it is not started, or it was closed with other amounts.
    """
    amounts = {meter: charged.get(meter, estimate) for meter, estimate in one.estimates.items()}
    uncounted = tuple(sorted(charged.keys() - amounts.keys()))
    if one.state == "started":
        return step(ledger, connection, one, "settled", amounts, by=by)._replace(uncounted=uncounted)
    if one.state == "reserved":
        raise UsageError(f"the reservation {one.id} was not started", advice=f"first `orch budget start {one.id}`")
    if one.state == "released" or one.charged != amounts:
        said = ", ".join(f"{meter} {amount(micro)}" for meter, micro in sorted(one.charged.items()))
        raise UsageError(
            f"the reservation {one.id} is {one.state} already, charged with {said}",
            advice="charge what it does not cover with `orch budget charge --used` and a new --attempt",
        )
    return one._replace(uncounted=uncounted)


def is_near(standing: Standing, warn_at: int) -> bool:
    """Return whether a counter has reached so many percent of its limit."""
    return standing.used * _FULL >= standing.limit * warn_at


def claimed(connection: Connection, kind: str, standings: Iterable[Standing]) -> list[Standing]:
    """Return those counters that nobody has been told of yet; whoever gets one records it in this transaction."""
    return [one for one in sorted(standings) if connection.change(_CLAIM_ALERT, (*one.counter, kind, one.limit))]


def with_alerts(draft: Draft, warned: Iterable[Standing], exceeded: Iterable[Standing]) -> list[Draft]:
    """Return an event followed by those that say what it brought near to a limit, or past it."""
    cause = draft._replace(id=new_id())
    by = By(draft.actor, draft.time)
    told = (("warned", warned), ("exceeded", exceeded))
    return [cause, *(alert(kind, one, draft.run_id, by, cause.id) for kind, many in told for one in many)]


def alert(kind: str, standing: Standing, chain: str, by: By, cause: str) -> Draft:
    """Return the event that says that a counter came near to a limit, or met it."""
    counter = standing.counter
    payload = {**key_of(counter), "limit": standing.limit}
    payload |= {"spent": standing.spent, "reserved": standing.reserved, "asked": standing.asked}
    return Draft(f"orch.budget.{kind}", chain, by.actor, payload, time=by.now, cause_id=cause)


def key_of(counter: Counter) -> dict[str, str]:
    """Return a counter as events name it."""
    return dict(zip(("meter", "scope", "scope_id", "window", "window_start"), counter, strict=True))
