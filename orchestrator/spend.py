"""Spends budgets: takes room before an action, starts, settles, releases and expires it. Each call is one transaction.

reserved -> started -> settled | released | expired. Never runs an action, never reads a policy; `budgets` finds limits.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Self

from orchestrator import clock
from orchestrator.budgets import due, standing_of, whole_second
from orchestrator.digest import new_id
from orchestrator.errors import BudgetError, LedgerError, UsageError
from orchestrator.ledger.append import append_group
from orchestrator.ledger.event import Draft, parse_header
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.meters import Counter, window_end, window_start
from orchestrator.reservation import (
    LOCK_COUNTER,
    OPEN,
    READ_COUNTER,
    By,
    Held,
    Limit,
    Reservation,
    Standing,
    alert,
    claimed,
    found,
    id_of,
    is_near,
    key_of,
    locked,
    priced,
    settled,
    step,
    with_alerts,
)

MAX_EXPIRES_S = 365 * 86_400
EXPIRES_S = 900
"""How long a reservation waits for its start, and a started one for its settlement, both from when it was made."""
_ZERO = """INSERT INTO budgets (meter, scope, scope_id, time_window, window_start, spent, reserved)
VALUES (?, ?, ?, ?, ?, 0, 0) ON CONFLICT DO NOTHING"""
_TAKE_ROOM = f"{LOCK_COUNTER} AND spent < ? AND spent + reserved + ? <= ?"
_CLAIM = """
INSERT INTO reservations (id, chain, run_id, evaluation_id, actor, state, opened_at, expires_at, closed_at)
VALUES (?, ?, ?, ?, ?, 'reserved', ?, ?, '') ON CONFLICT DO NOTHING"""


class Call(NamedTuple):
    """Who takes room, for what. A retry with the same `key` gets the same reservation."""

    run_id: str
    evaluation_id: str
    actor: str
    attempt: int = 1
    """Counts the times that one decision is acted on."""
    key: str = ""
    """Instead of evaluation and attempt; without any of them every call reserves anew."""


def reserve(
    ledger: Ledger,
    call: Call,
    limits: Iterable[Limit],
    estimates: Mapping[str, int],
    *,
    caps: Mapping[str, int] | None = None,
    expires_s: int = EXPIRES_S,
    now_ns: int | None = None,
) -> Reservation:
    """Return room for an action in every counter that is limited, or in none.

    `estimates` are micro-units by meter. A limited meter without one takes what `caps` says of it, and without that
    the call is refused: what cannot be priced cannot be held. Too little room is recorded, once for each counter and
    limit, though nothing was reserved.

    Raises:
        BudgetError: a counter has too little room.
        UsageError: a limited meter has neither estimate nor cap, an amount is negative, it would wait for more than a
            year, or the key was used otherwise.
        LedgerError: it cannot be recorded.

    Source: 001, "Budgets + SLOs".
    """
    amounts = {**(caps or {}), **estimates}
    wanted = priced(limits, amounts, "add --estimate {0}=AMOUNT, or the most it can use: --cap {0}=AMOUNT")
    plan = _Plan.of(ledger, call, wanted, amounts, expires_s=expires_s, now_ns=now_ns)
    return _recorded(ledger, plan, lambda connection: _reserved(ledger, connection, plan))


def charge(
    ledger: Ledger,
    call: Call,
    limits: Iterable[Limit],
    used: Mapping[str, int],
    *,
    is_used: bool = False,
    now_ns: int | None = None,
) -> Reservation:
    """Reserve, start and settle in one transaction.

    With `is_used` it was used already, so it is charged even where it passes a limit (`exceeded` says so).

    Raises:
        As `reserve`; BudgetError, too, where an earlier reservation of this key has lapsed.
    """
    wanted = priced(limits, used, "say --meter {0}=AMOUNT")
    plan = _Plan.of(ledger, call, wanted, used, now_ns=now_ns)._replace(must_fit=not is_used)

    def charged(connection: Connection) -> Reservation:
        taken = _reserved(ledger, connection, plan)
        if not taken.id:
            return taken
        one = taken
        if taken.state == "reserved":
            if taken.expires_at <= whole_second(plan.now):
                raise _lapsed(taken)
            one = step(ledger, connection, taken, "started", {}, by=plan.by)
        done = settled(ledger, connection, one, plan.amounts, plan.by)
        return taken._replace(state=done.state, held=done.held, is_new=taken.is_new or done.is_new)

    return _recorded(ledger, plan, charged)


def start(ledger: Ledger, reservation_id: str, *, actor: str = "", now_ns: int | None = None) -> Reservation:
    """Return a reservation, started: from now on it is charged, at the latest when it expires. A retry changes nothing.

    Raises:
        BudgetError: it lapsed before.
        UsageError: there is none of that name, or it is closed.
        LedgerError: it cannot be recorded.
    """
    now = _now(now_ns)
    with ledger.store.writing() as connection:
        one = locked(connection, reservation_id)
        if one.state == "reserved":
            has_lapsed = one.expires_at <= whole_second(now)
            one = step(ledger, connection, one, "expired" if has_lapsed else "started", {}, by=By(actor, now))
    if one.state == "expired" and not any(one.charged.values()):
        raise _lapsed(one)
    if one.state != "started":
        raise UsageError(
            f"the reservation {one.id} is {one.state} already", advice="reserve again, with a new --attempt"
        )
    return one


def settle(
    ledger: Ledger, reservation_id: str, charged: Mapping[str, int], *, actor: str = "", now_ns: int | None = None
) -> Reservation:
    """Return a started reservation, charged with what was really used, even where that passes the estimate or a limit.

    `charged` is micro-units by meter; a meter that was reserved and is not named is charged with its estimate. A retry
    with the same amounts changes nothing.

    Raises:
        UsageError: there is none of that name, it is not started, or it is closed with other amounts.
        LedgerError: it cannot be recorded.
    """
    _check(charged)
    with ledger.store.writing() as connection:
        return settled(ledger, connection, locked(connection, reservation_id), charged, By(actor, _now(now_ns)))


def release(ledger: Ledger, reservation_id: str, *, actor: str = "", now_ns: int | None = None) -> Reservation:
    """Return a reservation whose room is free again: the action did not happen. A retry changes nothing.

    Raises:
        UsageError: there is none of that name, or it was charged.
        LedgerError: it cannot be recorded.
    """
    with ledger.store.writing() as connection:
        one = locked(connection, reservation_id)
        if one.state in OPEN:
            return step(ledger, connection, one, "released", {}, by=By(actor, _now(now_ns)))
    if one.state == "settled" or any(one.charged.values()):
        raise UsageError(f"the reservation {one.id} is {one.state} and charged; it cannot be released any more")
    return one


def expire(
    ledger: Ledger, *, actor: str = "", counters: Iterable[Counter] | None = None, now_ns: int | None = None
) -> list[Reservation]:
    """Close every reservation past its time and return them: unstarted ones lapse, started ones are charged in full.

    `counters` narrows it to those that hold room there. Safe to run anywhere, any number of times.

    Raises:
        LedgerError: it cannot be recorded.
    """
    now = _now(now_ns)
    with ledger.store.reading() as connection:
        late = due(connection, now)
    wanted = None if counters is None else set(counters)
    closed = []
    for reservation_id in sorted({one.reservation_id for one in late if wanted is None or one.counter in wanted}):
        with ledger.store.writing() as connection:
            one = locked(connection, reservation_id)
            if one.state in OPEN:
                charged = one.estimates if one.state == "started" else {}
                closed.append(step(ledger, connection, one, "expired", charged, by=By(actor, now)))
    return closed


class _Plan(NamedTuple):
    """What is to be reserved, masked as it will be recorded."""

    id: str
    run_id: str
    evaluation_id: str
    actor: str
    now: str
    expires_at: str
    lines: tuple[Held, ...]
    """What is enforced, in the order of locking."""
    advised: tuple[Held, ...]
    """What warning packs ask for beyond that."""
    amounts: Mapping[str, int]
    uncounted: tuple[str, ...]
    must_fit: bool = True

    @property
    def by(self) -> By:
        """Who asks, and when."""
        return By(self.actor, self.now)

    @classmethod
    def of(
        cls,
        ledger: Ledger,
        call: Call,
        limits: Iterable[Limit],
        amounts: Mapping[str, int],
        *,
        expires_s: int = EXPIRES_S,
        now_ns: int | None,
    ) -> Self:
        _check(amounts)
        if not 0 < expires_s <= MAX_EXPIRES_S:
            raise UsageError(f"a reservation of {expires_s:,} seconds; expected at most a year", advice="--expires 15m")
        at_ns = clock.now_ns() if now_ns is None else now_ns
        now, text = clock.format_time(at_ns), ledger.mask.text
        key = call.key or (f"{call.evaluation_id}#{call.attempt}" if call.evaluation_id else new_id())
        given = [one._replace(scope_id=text(one.scope_id)) for one in limits]
        lines = _lines((one for one in given if one.is_enforced), amounts, now)
        stricter = (one for one in _lines(given, amounts, now) if one not in lines)
        return cls(
            id_of(call.run_id, key),
            text(call.run_id),
            text(call.evaluation_id),
            text(call.actor),
            now,
            whole_second(clock.format_time(at_ns + (expires_s + 1) * clock.SECOND_NS - 1)),
            lines,
            tuple(stricter),
            amounts,
            tuple(sorted(amounts.keys() - {one.meter for one in given})),
        )


def _lines(limits: Iterable[Limit], amounts: Mapping[str, int], now: str) -> tuple[Held, ...]:
    """Return what is asked of each counter, sorted; of several limits on one the lowest, and the earliest warning."""
    lines: dict[Counter, Held] = {}
    for one in limits:
        counter = Counter(one.meter, one.scope, one.scope_id, one.window, window_start(one.window, now))
        line = Held(counter, one.limit_micro, one.warn_at_percent, amounts[one.meter])
        known = lines.get(counter, line)
        lines[counter] = line._replace(limit=min(line.limit, known.limit), warn_at=min(line.warn_at, known.warn_at))
    return tuple(sorted(lines.values()))


def _recorded(ledger: Ledger, plan: _Plan, change: Callable[[Connection], Reservation]) -> Reservation:
    """Run a change in a transaction; where there is no room, undo it all and record that there was none."""
    if plan.lines:
        expire(
            ledger, actor=plan.actor, counters=[one.counter for one in plan.lines], now_ns=clock.parse_time(plan.now)
        )
    try:
        with ledger.store.writing() as connection:
            return change(connection)
    except BudgetError as error:
        short = [one for one in error.short if isinstance(one, Standing)]
        with ledger.store.writing() as connection:
            told = claimed(connection, "exceeded", short)
            drafts = [alert("exceeded", one, plan.run_id, plan.by, plan.evaluation_id) for one in told]
            if drafts:
                append_group(ledger, connection, drafts)
        raise


def _reserved(ledger: Ledger, connection: Connection, plan: _Plan) -> Reservation:
    """Take room in every counter, or find that an earlier call did."""
    row = (plan.run_id, plan.run_id, plan.evaluation_id, plan.actor, plan.now, plan.expires_at)
    asked = Reservation(
        plan.id, "reserved", *row, plan.lines, would_stop=_without_room(connection, plan), uncounted=plan.uncounted
    )
    if not plan.lines:
        return asked._replace(id="", state="none")
    if not connection.change(_CLAIM, (plan.id, *row)):
        return _earlier(connection, asked)
    standings = [_taken(connection, line, must_fit=plan.must_fit) for line in plan.lines]
    if short := [one for one, fits in standings if not fits]:
        raise _no_room(short)
    near = [one for (one, _), line in zip(standings, plan.lines, strict=True) if is_near(one, line.warn_at)]
    past = [one for one, _ in standings if one.used > one.limit]  # only of what was used already
    warned, exceeded = claimed(connection, "warned", near), claimed(connection, "exceeded", past)
    append_group(ledger, connection, with_alerts(_draft(plan), warned, exceeded))
    return asked._replace(is_new=True, warned=tuple(warned), exceeded=tuple(exceeded), is_over=bool(past))


def _taken(connection: Connection, line: Held, *, must_fit: bool) -> tuple[Standing, bool]:
    """Lock a counter and return how it stands, and whether there is room."""
    connection.change(_ZERO, line.counter)
    if must_fit:
        fits = bool(connection.change(_TAKE_ROOM, (*line.counter, line.limit, line.estimate, line.limit)))
    else:
        fits = bool(connection.change(LOCK_COUNTER, line.counter))
    spent, reserved = connection.execute(READ_COUNTER, line.counter)[0]
    return Standing(line.counter, line.limit, spent, reserved, line.estimate), fits


def _without_room(connection: Connection, plan: _Plan) -> tuple[Standing, ...]:
    """Return the counters where warning packs would stop this."""
    late = due(connection, plan.now)
    standings = []
    for line in plan.advised:
        spent, reserved = standing_of(connection, line.counter, late)
        standing = Standing(line.counter, line.limit, spent, reserved, line.estimate)
        if spent >= line.limit or standing.used > line.limit:
            standings.append(standing)
    return tuple(standings)


def _earlier(connection: Connection, asked: Reservation) -> Reservation:
    """Return what an earlier call with this key reserved."""
    earlier = found(connection, asked.id)
    if earlier is None:
        raise LedgerError(f"the reservation {asked.id} is being made by another process", advice="try again")
    if _terms(earlier) != _terms(asked) or _action_of(connection, earlier) != _action_of(connection, asked):
        raise UsageError(
            f"the reservation {earlier.id} was made for another action, other amounts or budgets, under the same key",
            advice="a further call under one decision needs an --attempt or --key of its own",
        )
    return earlier._replace(would_stop=asked.would_stop, uncounted=asked.uncounted)


def _action_of(connection: Connection, one: Reservation) -> str:
    """Return the digest of the action that a reservation is for, "" where no recorded decision says."""
    rows = connection.execute("SELECT header FROM events WHERE id = ?", (one.evaluation_id,))
    return str(parse_header(bytes(rows[0][0])).get("actiondigest", "")) if rows else ""


def _terms(one: Reservation) -> set[tuple[object, ...]]:
    """Return what must be the same in a retry; it may come after midnight, when the limit has changed."""
    return {(*line.counter[:4], line.estimate) for line in one.held}


def _draft(plan: _Plan) -> Draft:
    payload = {
        "reservation_id": plan.id,
        "evaluation_id": plan.evaluation_id,
        "run_id": plan.run_id,
        "expires_at": plan.expires_at,
        "counters": [
            {**key_of(one.counter), "limit": one.limit, "warn_at": one.warn_at, "estimate": one.estimate}
            for one in plan.lines
        ],
    }
    return Draft("orch.budget.reserved", plan.run_id, plan.actor, payload, time=plan.now, cause_id=plan.evaluation_id)


def _no_room(short: list[Standing]) -> BudgetError:
    first = short[0].counter
    mend = f"`orch budget --{first.scope} {first.scope_id}` shows who spent it; "
    mend += f"it begins anew on {window_end(first)} (UTC)" if first.window else "a pack sets the limit"
    return BudgetError(
        f"there is no room in the budget of {'; and of '.join(map(str, short))}", advice=mend, short=short
    )


def _lapsed(one: Reservation) -> BudgetError:
    return BudgetError(
        f"the reservation {one.id} lapsed at {one.expires_at}, before it was started",
        advice="reserve again, with a new --attempt",
    )


def _check(amounts: Mapping[str, int]) -> None:
    for meter, micro in amounts.items():
        if type(micro) is not int or not 0 <= micro < _MOST:
            raise UsageError(f"an amount of {meter} is {micro!r:.40}; expected micro-units from 0, below {_MOST}")


_MOST = 10**15
"""Micro-units of one call, so that sums stay exact."""


def _now(now_ns: int | None) -> str:
    return clock.format_time(clock.now_ns() if now_ns is None else now_ns)
