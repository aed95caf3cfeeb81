"""Where an escalation stands in the ledger: cycles, stages, ticks, what is owed; each change in one transaction."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from escalation_world import ESCALATION, HOUR_NS, MINUTE_NS, NAME, NOON_NS

from orchestrator.errors import PackError, UsageError
from orchestrator.escalations import state
from orchestrator.escalations.model import Mode
from orchestrator.escalations.state import BusyError, Changed, Record
from orchestrator.ledger.append import append_all
from orchestrator.ledger.event import Draft
from orchestrator.ledger.mask import Mask
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.rebuild import differences
from orchestrator.ledger.store import Ledger
from orchestrator.order import Order
from orchestrator.runs.lease import HeldLease, open_lease

DAY_NS = 24 * HOUR_NS
BY = "user:ann"
MAIL = Order("remind_6h/mail", "send_message", {"channel": "mail", "to": ["a", "b"], "body": "still there?"})
LATER = Order("remind_1h/mail", "send_message", {"channel": "mail", "to": ["a"], "body": "hurry"})


@pytest.fixture
def lease(ledger: Ledger) -> Iterator[HeldLease]:
    with open_lease(ledger) as held:
        yield held


def began(
    ledger: Ledger,
    record: Record | None = None,
    *,
    now_ns: int = NOON_NS,
    why: str = "set_deadline",
    **more: Any,  # noqa: ANN401  # of `began`
) -> Record:
    given = {"deadline_ns": now_ns + DAY_NS, "is_armed": True, **more}
    with ledger.store.writing() as connection:
        return state.began(ledger, connection, record, ESCALATION, now_ns=now_ns, why=why, by=BY, **given)


def entered(ledger: Ledger, record: Record, stage: str, *orders: Order, **more: Any) -> Record:  # noqa: ANN401  # of `entered`
    with ledger.store.writing() as connection:
        return state.entered(ledger, connection, record, stage, at_ns=NOON_NS + HOUR_NS, orders=orders, **more)


def ticking(ledger: Ledger, record: Record, lease: HeldLease) -> Record:
    with ledger.store.writing() as connection:
        return state.ticking(ledger, connection, record, lease=lease, now_ns=NOON_NS)


def ticked(ledger: Ledger, record: Record, now_ns: int = NOON_NS, **more: Any) -> Record:  # noqa: ANN401  # of `ticked`
    with ledger.store.writing() as connection:
        return state.ticked(ledger, connection, record, now_ns=now_ns, **more)


def now(ledger: Ledger) -> Record:
    with ledger.store.reading() as connection:
        found = state.record_of(connection, NAME)
    assert found is not None
    return found


def runs(ledger: Ledger) -> dict[str, str]:
    with ledger.store.reading() as connection:
        return {str(run): str(how) for run, how in connection.execute("SELECT id, state FROM runs ORDER BY id")}


def acted(ledger: Ledger, run_id: str, order: Order, **targets: str) -> None:
    """Record what became of an order for each of its targets."""
    drafts = []
    for target, outcome in targets.items():
        key = f"{run_id}/{order.name}/{target}"
        said = {"key": key, "run_id": run_id, "name": order.name, "target": target, "adapter": "mail"}
        drafts.append(Draft("orch.action.planned", run_id, BY, said, action=order.action))
        if outcome != "planned":
            receipt = {"detail": f"{target} said {outcome}"}
            drafts.append(Draft(f"orch.action.{outcome}", run_id, BY, {"key": key, "attempt": 1, "receipt": receipt}))
    append_all(ledger, drafts)


def owed(ledger: Ledger, record: Record) -> list[tuple[object, ...]]:
    with ledger.store.reading() as connection:
        return [tuple[object, ...](one) for one in state.owed_in(connection, record)]


def delivered(ledger: Ledger, record: Record) -> frozenset[str]:
    with ledger.store.reading() as connection:
        return state.standing_of(connection, record, ESCALATION).delivered


def test_what_never_began_has_no_record(ledger: Ledger) -> None:
    with ledger.store.reading() as connection:
        assert state.record_of(connection, NAME) is None


def test_a_first_cycle_is_a_run_of_its_own_at_the_first_stage(ledger: Ledger) -> None:
    record = began(ledger)

    expected = Record(NAME, 1, "continuity-c1", "countdown", True, "ok", NOON_NS, NOON_NS + DAY_NS, 0, 0, "", 0, "", 0, False, 0, record.updated_at)  # fmt: skip
    assert record == expected == now(ledger)
    assert runs(ledger) == {"continuity-c1": "running"}


def test_a_time_is_kept_to_the_nanosecond(ledger: Ledger) -> None:
    record = began(ledger, now_ns=NOON_NS + 123_456_789)

    assert (record.stage_at, record.deadline) == (NOON_NS + 123_456_789, NOON_NS + DAY_NS + 123_456_789)


def test_a_new_cycle_ends_the_run_of_the_one_before(ledger: Ledger) -> None:
    first = began(ledger)
    entered(ledger, first, "remind_6h", MAIL)

    second = began(ledger, now(ledger), now_ns=NOON_NS + HOUR_NS, why="renew", counter=3)

    assert (second.cycle, second.run_id, second.stage, second.counter) == (2, "continuity-c2", "ok", 3)
    assert runs(ledger) == {"continuity-c1": "renewed", "continuity-c2": "running"}
    assert owed(ledger, second) == []


def test_a_counter_never_goes_down(ledger: Ledger) -> None:
    began(ledger, began(ledger), why="renew", counter=7)

    assert began(ledger, now(ledger), why="reset").counter == 7


def test_a_new_cycle_keeps_the_repository_of_the_one_before(ledger: Ledger) -> None:
    began(ledger, began(ledger, repository="Acme/Web"), why="renew")

    with ledger.store.reading() as connection:
        rows = connection.execute("SELECT id, repository FROM runs ORDER BY id")
    assert rows == [("continuity-c1", "acme/web"), ("continuity-c2", "acme/web")]


def test_a_new_cycle_ends_the_one_before_also_where_its_repository_is_named_again(ledger: Ledger) -> None:
    began(ledger, began(ledger, repository="acme/web"), why="reset", repository="acme/web")

    assert runs(ledger) == {"continuity-c1": "reset", "continuity-c2": "running"}


def test_a_new_cycle_asks_the_plans_of_the_one_before_to_end(ledger: Ledger) -> None:
    entered(ledger, began(ledger), "remind_6h", plan_run_id="continuity-c1-remind_6h")
    started = {"kind": "plan", "name": "publish", "plan_digest": "sha256:0"}
    append_all(ledger, [Draft("orch.run.started", "continuity-c1-remind_6h", BY, started)])

    began(ledger, now(ledger), why="renew")

    assert runs(ledger)["continuity-c1-remind_6h"] == "cancelling"


def test_a_cycle_whose_name_somebody_took_for_another_run_is_passed_over(ledger: Ledger) -> None:
    append_all(ledger, [Draft("orch.run.started", "continuity-c2", "user:eve", {"kind": "task"})])

    record = began(ledger, began(ledger), why="renew")

    assert (record.cycle, record.run_id) == (3, "continuity-c3")


def test_of_two_that_begin_the_first_cycle_one_is_refused(ledger: Ledger) -> None:
    began(ledger)

    with pytest.raises(Changed, match="has begun meanwhile"):
        began(ledger)


def test_of_two_that_begin_the_next_cycle_one_is_refused(ledger: Ledger) -> None:
    first = began(ledger)
    began(ledger, first, why="renew")

    with pytest.raises(Changed, match="has begun another cycle"):
        began(ledger, first, why="reset")
    assert now(ledger).cycle == 2


def test_many_at_once_begin_one_cycle(ledger: Ledger) -> None:
    first, refused = began(ledger), []

    def renew() -> None:
        place = getattr(ledger.store, "url", None) or str(ledger.folder)
        with open_ledger(place) as other:
            try:
                began(other, first, why="renew")
            except Changed:
                refused.append(1)

    threads = [threading.Thread(target=renew) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (now(ledger).cycle, len(refused)) == (2, 3)


def test_an_entered_stage_brings_its_orders_in_order(ledger: Ledger) -> None:
    record = entered(
        ledger, began(ledger), "remind_6h", MAIL, Order("remind_6h/hook", "call_webhook", {"endpoint": "x"})
    )
    record = entered(ledger, record, "remind_1h", LATER)

    with ledger.store.reading() as connection:
        found = state.orders_in(connection, record)

    assert (record.stage, record.stage_at) == ("remind_1h", NOON_NS + HOUR_NS)
    assert [one.name for one in found] == ["remind_6h/mail", "remind_6h/hook", "remind_1h/mail"]
    assert found[0] == MAIL


@pytest.mark.parametrize("why", ["renew", "reset"])
def test_no_stage_of_an_older_cycle_is_entered(ledger: Ledger, why: str) -> None:
    old = began(ledger)
    began(ledger, old, why=why)

    with pytest.raises(Changed, match="another cycle"):
        entered(ledger, old, "remind_6h", MAIL)
    assert now(ledger).stage == "ok"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("deadline", {"deadline_ns": NOON_NS + 2 * DAY_NS, "why": "set_deadline", "by": BY, "is_triggered": False}),
        ("disarmed", {"by": BY}),
    ],
    ids=["put off", "disarmed"],
)
def test_no_stage_is_entered_that_may_not_be_due_any_more(ledger: Ledger, kind: str, said: dict[str, Any]) -> None:
    old = began(ledger)
    with ledger.store.writing() as connection:
        state.say(ledger, connection, NAME, kind, said, BY)

    with pytest.raises(Changed, match="not as it was"):
        entered(ledger, old, "remind_6h", MAIL)
    with ledger.store.reading() as connection:
        assert not state.is_same(connection, old)


def test_no_stage_is_entered_once_its_run_has_ended(ledger: Ledger) -> None:
    record = began(ledger)
    append_all(ledger, [Draft("orch.run.ended", record.run_id, "user:eve", {"state": "cancelled"})])

    with pytest.raises(Changed, match="has ended"):
        entered(ledger, record, "remind_6h", MAIL)


def test_an_order_that_holds_a_secret_is_refused_and_nothing_is_entered(ledger: Ledger) -> None:
    record = began(ledger)
    knowing = ledger._replace(mask=Mask(("still there?",)))

    with pytest.raises(UsageError, match="holds a secret") as failure:
        entered(knowing, record, "remind_6h", MAIL)

    assert "secrets.NAME" in failure.value.advice
    assert now(ledger).stage == "ok"


def test_an_escalation_that_is_named_like_a_secret_is_refused(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="holds a secret"):
        began(ledger._replace(mask=Mask((NAME,))))


def test_delivered_is_what_reached_every_recipient(ledger: Ledger) -> None:
    record = entered(ledger, began(ledger), "remind_6h", MAIL)
    seen = [delivered(ledger, record)]
    acted(ledger, record.run_id, MAIL, a="delivered", b="planned")
    seen.append(delivered(ledger, record))
    acted(ledger, record.run_id, MAIL, b="delivered")
    seen.append(delivered(ledger, record))

    assert seen == [frozenset(), frozenset(), frozenset({"remind_6h/mail"})]


def test_what_was_delivered_in_an_older_cycle_counts_for_nothing(ledger: Ledger) -> None:
    record = entered(ledger, began(ledger), "remind_6h", MAIL)
    acted(ledger, record.run_id, MAIL, a="delivered", b="delivered")

    assert delivered(ledger, began(ledger, record, why="renew")) == frozenset()


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ({}, [("new", "")]),
        ({"a": "planned", "b": "planned"}, [("planned", "")]),
        ({"a": "delivered", "b": "retryable"}, [("retryable", "b said retryable")]),
        ({"a": "unknown", "b": "retryable"}, [("unknown", "a said unknown")]),
        ({"a": "delivered", "b": "permanent"}, []),
        ({"a": "delivered", "b": "delivered"}, []),
    ],
    ids=["new", "not allowed yet", "one later", "one unknown", "one refused", "all there"],
)
def test_owed_is_what_may_still_arrive(
    ledger: Ledger, targets: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    record = entered(ledger, began(ledger), "remind_6h", MAIL)
    acted(ledger, record.run_id, MAIL, **targets)

    assert [one[:4] for one in owed(ledger, record)] == [("remind_6h/mail", "remind_6h", *one) for one in expected]


@pytest.mark.parametrize("how", ["", "running", "succeeded", "failed"])
def test_a_plan_is_owed_until_it_is_over(ledger: Ledger, how: str) -> None:
    record = entered(ledger, began(ledger), "remind_6h", plan_run_id="continuity-c1-remind_6h")
    started = {"kind": "plan", "name": "publish", "plan_digest": "sha256:0"}
    if how:
        append_all(ledger, [Draft("orch.run.started", "continuity-c1-remind_6h", BY, started)])
    if how not in {"", "running"}:
        append_all(ledger, [Draft("orch.run.ended", "continuity-c1-remind_6h", BY, {"state": how})])

    seen = owed(ledger, record)

    expected = [("remind_6h", "remind_6h", how or "new", "run continuity-c1-remind_6h")]
    assert [one[:4] for one in seen] == ([] if how in {"succeeded", "failed"} else expected)
    with ledger.store.reading() as connection:
        assert state.plans_in(connection, record) == {"remind_6h": "continuity-c1-remind_6h"}


def test_a_stage_that_the_policy_does_not_have_any_more_is_a_mistake_in_it(ledger: Ledger) -> None:
    record = entered(ledger, began(ledger), "gone")

    with ledger.store.reading() as connection, pytest.raises(PackError, match=r"continuity\.yaml:3.*'gone'"):
        state.standing_of(connection, record, ESCALATION)


def test_a_tick_is_numbered_and_leaves_the_high_water_mark(ledger: Ledger, lease: HeldLease) -> None:
    record = ticking(ledger, began(ledger), lease)

    after = ticked(ledger, record, boot="b1", boot_ns=7_000_001, target="ok", owed=["x/y"], heartbeat="delivered")

    assert (record.tick, record.ticker) == (1, lease.id)
    assert (after.tick, after.ticker, after.ticked_at) == (1, "", NOON_NS)
    assert (after.clock, after.boot, after.boot_at) == (NOON_NS, "b1", 7_000_000)


def test_the_high_water_mark_never_goes_down(ledger: Ledger, lease: HeldLease) -> None:
    record = ticked(ledger, ticking(ledger, began(ledger), lease), boot="b1", boot_ns=7_000)

    after = ticked(ledger, ticking(ledger, record, lease), NOON_NS - 30 * 10**9, boot="b2", boot_ns=1_000)

    assert (after.clock, after.boot, after.boot_at) == (NOON_NS, "b1", 7_000)
    assert after.ticked_at == NOON_NS - 30 * 10**9


def test_a_new_cycle_keeps_the_high_water_mark(ledger: Ledger, lease: HeldLease) -> None:
    record = ticked(ledger, ticking(ledger, began(ledger), lease), boot="b1", boot_ns=7_000)

    renewed = began(ledger, record, why="renew")

    assert (renewed.tick, renewed.clock, renewed.boot) == (1, NOON_NS, "b1")


def test_while_one_process_ticks_another_is_told_who(ledger: Ledger, lease: HeldLease) -> None:
    record = ticking(ledger, began(ledger), lease)

    with open_lease(ledger) as other, pytest.raises(BusyError) as failure:
        ticking(ledger, record, other)

    assert failure.value.by == lease.id
    assert int(failure.value.exit_code) == 1


def test_a_tick_of_a_process_that_is_gone_is_followed_by_another(ledger: Ledger, lease: HeldLease) -> None:
    with open_lease(ledger) as gone:
        record = ticking(ledger, began(ledger), gone)
    until = time.monotonic() + 5
    while not lease.is_dead(gone.id) and time.monotonic() < until:
        time.sleep(0.01)

    after = ticking(ledger, record, lease)

    assert (after.tick, after.ticker) == (2, lease.id)
    with pytest.raises(Changed, match="not as it was"):
        entered(ledger, record, "remind_6h", MAIL)
    with pytest.raises(Changed, match="another tick"):
        ticked(ledger, record)


def test_a_tick_ends_also_where_the_cycle_ended_meanwhile(ledger: Ledger, lease: HeldLease) -> None:
    record = ticking(ledger, began(ledger), lease)
    began(ledger, record, why="renew")

    after = ticked(ledger, record)

    assert (after.cycle, after.ticker) == (2, "")


def code(name: str) -> dict[str, str]:
    return {"id": name, "salt": "5a" * 16, "hash": f"argon2id$m=19456,t=2,p=1${'c0' * 32}", "seal": "5e" * 40}


def said(ledger: Ledger, kind: str, **payload: Any) -> None:  # noqa: ANN401  # JSON
    with ledger.store.writing() as connection:
        state.say(ledger, connection, NAME, kind, payload, BY)


def codes(ledger: Ledger) -> dict[str, str]:
    with ledger.store.reading() as connection:
        return {str(name): str(how) for name, how in connection.execute("SELECT id, state FROM renewal_codes")}


def test_new_codes_take_the_place_of_the_old_and_their_hashes_are_kept_as_they_are(ledger: Ledger) -> None:
    said(ledger, "codes", codes=[code("one")])
    said(ledger, "codes", codes=[code("two"), code("three")])

    with ledger.store.reading() as connection:
        rows = connection.execute("SELECT salt, hash, seal FROM renewal_codes WHERE id = 'two'")
    assert codes(ledger) == {"one": "revoked", "two": "active", "three": "active"}
    assert rows == [tuple(code("two")[name] for name in ("salt", "hash", "seal"))]


@pytest.mark.parametrize(("is_main", "expected"), [(False, "used"), (True, "active")], ids=["spare", "main"])
def test_a_code_that_renewed_is_used_up_unless_it_is_the_main_one(
    ledger: Ledger, expected: str, *, is_main: bool
) -> None:
    said(ledger, "codes", codes=[code("one"), code("two")])

    began(ledger, began(ledger), why="renew", code_id="two", is_main=is_main)

    assert codes(ledger) == {"one": "active", "two": expected}


def attempts(ledger: Ledger) -> list[tuple[Any, ...]]:
    sql = "SELECT source, failures, last_at, locked_until FROM renewal_attempts ORDER BY source"
    with ledger.store.reading() as connection:
        return [tuple(row) for row in connection.execute(sql)]


def test_an_attempt_counts_from_before_it_is_looked_at_unless_its_source_is_locked(ledger: Ledger) -> None:
    said(ledger, "attempt", source="tty", at_ns=NOON_NS, is_locked=False)
    said(ledger, "attempt", source="tty", at_ns=NOON_NS + MINUTE_NS, is_locked=True)

    assert attempts(ledger) == [("tty", 1, NOON_NS + MINUTE_NS, 0)]


def test_a_wrong_code_locks_its_source_alone_and_a_right_one_frees_it(ledger: Ledger) -> None:
    for source in ("tty", "ssh"):
        said(ledger, "attempt", source=source, at_ns=NOON_NS, is_locked=False)
    said(ledger, "wrong", source="tty", failures=6, locked_until_ns=NOON_NS + MINUTE_NS)
    wrong = attempts(ledger)

    began(ledger, began(ledger), why="renew", source="tty")

    assert wrong == [("ssh", 1, NOON_NS, 0), ("tty", 6, NOON_NS, NOON_NS + MINUTE_NS)]
    assert attempts(ledger) == [("ssh", 1, NOON_NS, 0), ("tty", 0, NOON_NS, 0)]


def test_the_tables_are_what_the_events_give(ledger: Ledger, lease: HeldLease) -> None:
    record = ticking(ledger, began(ledger), lease)
    record = ticked(ledger, entered(ledger, record, "remind_6h", MAIL, plan_run_id="p"), boot="b", boot_ns=5)
    said(ledger, "codes", codes=[code("one")])
    began(ledger, record, why="renew", code_id="one", source="tty", counter=2)

    with ledger.store.reading() as connection:
        assert list(differences(ledger, connection)) == []


def test_a_fuse_is_recorded_as_it_began(ledger: Ledger) -> None:
    with ledger.store.writing() as connection:
        fuse = ESCALATION._replace(mode=Mode.FUSE)
        record = state.began(
            ledger,
            connection,
            None,
            fuse,
            now_ns=NOON_NS,
            deadline_ns=NOON_NS + DAY_NS,
            why="arm",
            by=BY,
            is_armed=True,
        )

    assert record.mode == "fuse"
