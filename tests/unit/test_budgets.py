"""Budgets: facts for the engine, and reservations through their states, on both kinds of ledger."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator import budgets, spend
from orchestrator.clock import SECOND_NS, format_time, parse_time
from orchestrator.errors import BudgetError, LedgerError, UsageError
from orchestrator.ledger.append import append_all
from orchestrator.ledger.event import Draft
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.project import TABLES
from orchestrator.ledger.rebuild import rebuild
from orchestrator.ledger.store import Ledger
from orchestrator.reservation import Limit, Reservation
from orchestrator.spend import Call

M = 1_000_000
NOW_NS = parse_time("2026-11-21T23:50:00.5Z")
USD = Limit("usd", "run", "r1", "", 5 * M)
DAY = Limit("usd", "org", "acme", "day", 20 * M)
CALL = Call("r1", "e1", "agent:fixer")


def rows(ledger: Ledger, sql: str) -> list[tuple[Any, ...]]:
    with ledger.store.reading() as connection:
        return connection.execute(sql)


def counters(ledger: Ledger) -> list[tuple[Any, ...]]:
    """Return (scope, spent, reserved) in whole units."""
    found = rows(ledger, "SELECT scope, spent, reserved FROM budgets ORDER BY scope, scope_id, window_start")
    return [(scope, spent / M, reserved / M) for scope, spent, reserved in found]


def types(ledger: Ledger) -> list[str]:
    found = rows(ledger, "SELECT type FROM events WHERE type LIKE 'orch.budget.%' ORDER BY run_id, run_seq")
    return [str(one[0]).removeprefix("orch.budget.") for one in found]


def reserve(ledger: Ledger, usd: float = 1, *limits: Limit, attempt: int = 1, **more: Any) -> Reservation:  # noqa: ANN401  # passed on
    call = CALL._replace(attempt=attempt)
    return spend.reserve(ledger, call, limits or (USD, DAY), {"usd": int(usd * M)}, **{"now_ns": NOW_NS, **more})


def test_room_is_taken_in_every_scope(ledger: Ledger) -> None:
    taken = reserve(ledger, 1.5)

    assert (taken.state, taken.is_new, taken.expires_at) == ("reserved", True, "2026-11-22T00:05:01Z")
    assert counters(ledger) == [("org", 0, 1.5), ("run", 0, 1.5)]


def test_too_little_room_in_one_scope_takes_none_and_is_recorded_once(ledger: Ledger) -> None:
    for _ in range(2):
        with pytest.raises(BudgetError, match=r"usd per run \(r1\): 0 of 5 spent, 5.5 asked"):
            reserve(ledger, 5.5)

    assert (counters(ledger), types(ledger)) == ([], ["exceeded"])
    assert reserve(ledger, 5).state == "reserved"


def test_the_last_bit_of_room_can_be_taken_and_no_more(ledger: Ledger) -> None:
    reserve(ledger, 5)

    with pytest.raises(BudgetError, match=r"5 reserved, 0\.000001 asked"):
        reserve(ledger, 0.000001, attempt=2)
    assert reserve(ledger, 0, attempt=3).state == "reserved"


def test_nothing_not_even_a_free_call_fits_a_spent_budget(ledger: Ledger) -> None:
    spend.charge(ledger, CALL, [USD], {"usd": 5 * M}, now_ns=NOW_NS)

    with pytest.raises(BudgetError, match="5 of 5 spent"):
        reserve(ledger, 0, attempt=2)


def test_of_several_limits_on_one_counter_the_lowest_counts(ledger: Ledger) -> None:
    lower = USD._replace(limit_micro=2 * M)

    with pytest.raises(BudgetError, match="0 of 2 spent"):
        reserve(ledger, 3, USD, lower)


def test_a_settlement_charges_what_was_used(ledger: Ledger) -> None:
    taken = reserve(ledger, 2)
    spend.start(ledger, taken.id, now_ns=NOW_NS)

    done = spend.settle(ledger, taken.id, {"usd": M // 2}, now_ns=NOW_NS)

    assert (done.state, done.charged, counters(ledger)) == (
        "settled",
        {"usd": M // 2},
        [("org", 0.5, 0), ("run", 0.5, 0)],
    )
    assert types(ledger) == ["reserved", "started", "settled"]


def test_a_meter_that_is_not_named_is_charged_with_its_estimate(ledger: Ledger) -> None:
    taken = reserve(ledger, 2)
    spend.start(ledger, taken.id, now_ns=NOW_NS)

    done = spend.settle(ledger, taken.id, {"tokens": 7}, now_ns=NOW_NS)

    assert (done.charged, done.uncounted) == ({"usd": 2 * M}, ("tokens",))


def test_more_than_the_estimate_is_charged_in_full_and_stops_what_comes_next(ledger: Ledger) -> None:
    taken = reserve(ledger, 1)
    spend.start(ledger, taken.id, now_ns=NOW_NS)

    done = spend.settle(ledger, taken.id, {"usd": 6 * M}, now_ns=NOW_NS)

    assert [one.counter.scope for one in done.exceeded] == ["run"]
    assert counters(ledger) == [("org", 6, 0), ("run", 6, 0)]
    assert types(ledger) == ["reserved", "started", "settled", "warned", "exceeded"]
    with pytest.raises(BudgetError):
        reserve(ledger, 0, attempt=2)
    assert types(ledger).count("exceeded") == 1


def test_at_80_percent_it_warns_once(ledger: Ledger) -> None:
    warned = [len(reserve(ledger, usd, attempt=at).warned) for at, usd in enumerate((3.9, 0.1, 0.2), 1)]

    assert (warned, types(ledger).count("warned")) == ([0, 1, 0], 1)


def test_retries_change_nothing(ledger: Ledger) -> None:
    steps: list[Callable[[], Reservation]] = [
        lambda: reserve(ledger, 2),
        lambda: spend.start(ledger, taken.id, now_ns=NOW_NS),
        lambda: spend.settle(ledger, taken.id, {"usd": M}, now_ns=NOW_NS),
    ]
    taken = reserve(ledger, 2)
    for step in steps:
        first = step()
        again = step()
        assert again._replace(is_new=first.is_new) == first
        assert not again.is_new

    assert counters(ledger) == [("org", 1, 0), ("run", 1, 0)]
    assert types(ledger) == ["reserved", "started", "settled"]


def test_a_retry_with_other_amounts_is_an_error(ledger: Ledger) -> None:
    taken = reserve(ledger, 2)

    with pytest.raises(UsageError, match="other amounts"):
        reserve(ledger, 3)
    spend.start(ledger, taken.id, now_ns=NOW_NS)
    spend.settle(ledger, taken.id, {"usd": M}, now_ns=NOW_NS)
    with pytest.raises(UsageError, match="is settled already, charged with usd 1"):
        spend.settle(ledger, taken.id, {"usd": 2 * M}, now_ns=NOW_NS)


def test_a_key_of_one_action_charges_no_other(ledger: Ledger) -> None:
    for name in ("e1", "e2"):
        draft = Draft("orch.decision", "r1", "agent:fixer", {}, id=name, action_digest=f"sha256:{name}")
        append_all(ledger, [draft])
    spend.reserve(ledger, CALL._replace(key="k"), [USD], {"usd": M}, now_ns=NOW_NS)

    with pytest.raises(UsageError, match="for another action"):
        spend.reserve(ledger, CALL._replace(key="k", evaluation_id="e2"), [USD], {"usd": M}, now_ns=NOW_NS)


def test_a_retry_after_midnight_finds_the_first(ledger: Ledger) -> None:
    taken = reserve(ledger, 2)

    again = reserve(ledger, 2, now_ns=NOW_NS + 700 * SECOND_NS)

    assert (again.id, again.is_new, again.held) == (taken.id, False, taken.held)


def test_what_is_released_is_free_again(ledger: Ledger) -> None:
    taken = reserve(ledger, 5)
    for _ in range(2):
        assert spend.release(ledger, taken.id, now_ns=NOW_NS).state == "released"

    assert counters(ledger) == [("org", 0, 0), ("run", 0, 0)]
    with pytest.raises(UsageError, match="is released already"):
        spend.start(ledger, taken.id, now_ns=NOW_NS)


@pytest.mark.parametrize("is_started", [False, True], ids=["unstarted", "started"])
def test_past_its_time_an_unstarted_one_lapses_and_a_started_one_is_charged(
    ledger: Ledger, *, is_started: bool
) -> None:
    taken = reserve(ledger, 2)
    if is_started:
        spend.start(ledger, taken.id, now_ns=NOW_NS)
    later = NOW_NS + 901 * SECOND_NS

    assert spend.expire(ledger, now_ns=later - 2 * SECOND_NS) == []
    closed = [spend.expire(ledger, actor="user:ops", now_ns=later) for _ in range(2)]

    spent = 2 if is_started else 0
    assert [len(one) for one in closed] == [1, 0]
    assert counters(ledger) == [("org", spent, 0), ("run", spent, 0)]
    if is_started:
        assert spend.settle(ledger, taken.id, {"usd": 2 * M}).state == "expired"
        with pytest.raises(UsageError, match="is expired already"):
            spend.settle(ledger, taken.id, {"usd": M})
    else:
        with pytest.raises(BudgetError, match="lapsed"):
            spend.start(ledger, taken.id, now_ns=later)


def test_a_reservation_takes_back_what_lapsed_before_it(ledger: Ledger) -> None:
    reserve(ledger, 5)

    taken = reserve(ledger, 5, attempt=2, now_ns=NOW_NS + 901 * SECOND_NS)

    assert taken.state == "reserved"
    assert types(ledger) == ["reserved", "warned", "expired", "reserved"]


def test_starting_what_has_lapsed_closes_it(ledger: Ledger) -> None:
    taken = reserve(ledger, 5)

    with pytest.raises(BudgetError, match="before it was started"):
        spend.start(ledger, taken.id, now_ns=NOW_NS + 901 * SECOND_NS)
    assert counters(ledger) == [("org", 0, 0), ("run", 0, 0)]


def test_a_window_begins_anew_and_a_settlement_belongs_to_the_old_one(ledger: Ledger) -> None:
    taken = reserve(ledger, 5, DAY._replace(limit_micro=5 * M))
    spend.start(ledger, taken.id, now_ns=NOW_NS)
    with pytest.raises(BudgetError, match="per org and day") as caught:
        reserve(ledger, 1, DAY._replace(limit_micro=5 * M), attempt=2)
    tomorrow = NOW_NS + 660 * SECOND_NS
    reserve(ledger, 1, DAY._replace(limit_micro=5 * M), attempt=3, now_ns=tomorrow)
    spend.settle(ledger, taken.id, {}, now_ns=tomorrow)

    assert "2026-11-22 (UTC)" in caught.value.advice
    assert counters(ledger) == [("org", 5, 0), ("org", 0, 1)]


def test_a_meter_without_estimate_takes_its_cap_or_is_refused(ledger: Ledger) -> None:
    tokens = Limit("tokens", "run", "r1", "", 100 * M)

    with pytest.raises(UsageError, match="budget of tokens per run needs to know"):
        reserve(ledger, 1, tokens)
    assert reserve(ledger, 1, tokens, caps={"tokens": 60 * M}).estimates == {"tokens": 60 * M}


def test_what_only_warns_is_answered_and_nothing_is_recorded(ledger: Ledger) -> None:
    warning = USD._replace(is_enforced=False, limit_micro=M)

    taken = reserve(ledger, 2, warning)

    assert (taken.id, taken.state) == ("", "none")
    assert [str(one) for one in taken.would_stop] == ["usd per run (r1): 0 of 1 spent, 2 asked"]
    assert types(ledger) == []


def test_a_stricter_warning_limit_beside_an_enforced_one_is_answered(ledger: Ledger) -> None:
    taken = reserve(ledger, 2, USD, USD._replace(is_enforced=False, limit_micro=M))

    assert (taken.state, len(taken.would_stop), counters(ledger)) == ("reserved", 1, [("run", 0, 2)])


@pytest.mark.parametrize("amount", [-1, 10**15, 1.5, True], ids=str)
def test_amounts_that_are_none_are_refused(ledger: Ledger, amount: int) -> None:
    with pytest.raises(UsageError, match="expected micro-units"):
        spend.reserve(ledger, CALL, [USD], {"usd": amount})


def test_nobody_settles_what_is_unknown_or_not_started(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="no reservation 'x'"):
        spend.settle(ledger, "x", {})
    with pytest.raises(UsageError, match="was not started"):
        spend.settle(ledger, reserve(ledger).id, {})


def test_a_charge_is_one_step_and_a_retry_charges_once(ledger: Ledger) -> None:
    done = [spend.charge(ledger, CALL, [USD, DAY], {"usd": M}, now_ns=NOW_NS) for _ in range(2)]

    assert [(one.state, one.is_new) for one in done] == [("settled", True), ("settled", False)]
    assert (counters(ledger), types(ledger)) == ([("org", 1, 0), ("run", 1, 0)], ["reserved", "started", "settled"])


def test_a_charge_without_room_charges_nothing_but_what_was_used_is_charged(ledger: Ledger) -> None:
    with pytest.raises(BudgetError):
        spend.charge(ledger, CALL, [USD], {"usd": 6 * M}, now_ns=NOW_NS)
    assert counters(ledger) == []

    done = spend.charge(ledger, CALL, [USD], {"usd": 6 * M}, is_used=True, now_ns=NOW_NS)

    assert (done.state, counters(ledger)) == ("settled", [("run", 6, 0)])
    assert types(ledger) == ["exceeded", "reserved", "warned", "started", "settled"]


def test_a_charge_goes_on_where_its_retry_was_cut_off(ledger: Ledger) -> None:
    taken = reserve(ledger, 1)

    done = spend.charge(ledger, CALL, [USD, DAY], {"usd": M}, now_ns=NOW_NS)

    assert (done.id, done.state, done.is_new) == (taken.id, "settled", True)


def test_rebuilding_gives_the_same_tables(ledger: Ledger) -> None:
    for attempt, closing in enumerate(("settle", "release", "expire", ""), 1):
        taken = reserve(ledger, 1.1, attempt=attempt)
        if closing == "settle":
            spend.start(ledger, taken.id, now_ns=NOW_NS)
            spend.settle(ledger, taken.id, {"usd": 3 * M}, now_ns=NOW_NS)
        if closing == "release":
            spend.release(ledger, taken.id, now_ns=NOW_NS)
        if closing == "expire":
            spend.expire(ledger, now_ns=NOW_NS + 901 * SECOND_NS)
    with pytest.raises(BudgetError):
        reserve(ledger, 4, attempt=9)
    tables = [name for name in TABLES if name.startswith(("budget", "reserv"))]
    before = {name: sorted(rows(ledger, f"SELECT * FROM {name}")) for name in tables}  # noqa: S608  # our tables

    rebuild(ledger)

    after = {name: sorted(rows(ledger, f"SELECT * FROM {name}")) for name in tables}  # noqa: S608  # our tables
    assert before == after
    assert all(before.values())


def facts(ledger: Ledger, *keys: tuple[str, str, str | None], **more: Any) -> list[dict[str, Any]]:  # noqa: ANN401  # passed on
    given: dict[str, Any] = {
        "run_id": "r1",
        "session": None,
        "repository": "Acme/web",
        "now": format_time(NOW_NS),
        "estimates": {},
    }
    with ledger.store.reading() as connection:
        return budgets.facts_for(connection, keys, **(given | more))


def test_facts_are_zeros_where_nothing_was_counted(ledger: Ledger) -> None:
    found = facts(ledger, ("usd", "run", None), ("tokens", "repo", "day"), estimates={"tokens": 5})

    assert found == [
        {"meter": "usd", "per": "run", "window": None, "spent": 0, "reserved": 0, "estimate": 0},
        {"meter": "tokens", "per": "repo", "window": "day", "spent": 0, "reserved": 0, "estimate": 5},
    ]


def test_facts_see_what_lapsed_as_free_and_what_started_as_spent(ledger: Ledger) -> None:
    reserve(ledger, 1)
    spend.start(ledger, reserve(ledger, 2, attempt=2).id, now_ns=NOW_NS)
    later = format_time(NOW_NS + 901 * SECOND_NS)

    keys = (("usd", "run", None), ("usd", "org", "day"))
    standing = [
        (one["spent"] / M, one["reserved"] / M) for one in (*facts(ledger, *keys), *facts(ledger, keys[0], now=later))
    ]

    assert standing == [(0, 3), (0, 3), (2, 0)]


@pytest.mark.parametrize(
    ("key", "repository", "is_known"),
    [
        (("usd", "repo", "day"), None, False),
        (("usd", "org", "month"), None, False),
        (("usd", "repo", "day"), "none", True),
        (("usd", "org", None), "acme/web", False),
        (("usd", "run", "day"), "acme/web", False),
        (("usd", "org", "week"), "acme/web", False),
        (("usd", "planet", None), "acme/web", False),
        (("usd", "session", None), None, True),
    ],
    ids=str,
)
def test_what_cannot_be_counted_has_no_counter(
    ledger: Ledger, key: tuple[str, str, str | None], repository: str | None, *, is_known: bool
) -> None:
    assert bool(facts(ledger, key, repository=repository)) is is_known


def test_a_run_without_session_is_a_session_of_its_own(ledger: Ledger) -> None:
    limit = Limit("usd", "session", "r1", "", M)
    reserve(ledger, 1, limit)

    assert [one["reserved"] for one in facts(ledger, ("usd", "session", None))] == [M]
    assert [one["reserved"] for one in facts(ledger, ("usd", "session", None), session="s1")] == [0]


def test_two_clients_of_a_server_never_overspend(postgres_ledger: Ledger) -> None:
    """Between connections to PostgreSQL nothing but the guarding UPDATE stands."""
    errors: list[LedgerError] = []

    def spender(number: int) -> None:
        with open_ledger(getattr(postgres_ledger.store, "url")) as own:  # noqa: B009  # this store alone has one
            for at in range(20):
                try:
                    spend.charge(
                        own, Call(f"r{number}", f"e{at}", "agent:a"), [DAY, DAY._replace(scope="repo")], {"usd": M}
                    )
                except BudgetError:
                    pass
                except LedgerError as error:
                    errors.append(error)

    threads = [threading.Thread(target=spender, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert counters(postgres_ledger) == [("org", 20, 0), ("repo", 20, 0)]
    assert types(postgres_ledger).count("exceeded") == 2
