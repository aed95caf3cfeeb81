"""How an escalation stands at a moment: what comes next and when, what is owed, how long ago the last tick was."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from act_world import World, world_in
from escalation_world import ESCALATION, HOUR_NS, MINUTE_NS, NAME, NOON, NOON_NS

from orchestrator.escalations import state
from orchestrator.escalations.model import CatchUp, Escalation, Mode
from orchestrator.escalations.opened import Opened
from orchestrator.escalations.status import Came, Status, status
from orchestrator.ledger.store import Ledger
from orchestrator.order import Order
from orchestrator.show.status import Look, write_text


@pytest.fixture
def world(tmp_path: Any, sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:  # noqa: ANN401  # a Path
    with world_in(tmp_path, sqlite_ledger, monkeypatch) as made:
        yield made


def begin(
    world: World, stage: str = "", *orders: Order, escalation: Escalation = ESCALATION, is_armed: bool = True
) -> None:
    """Begin with a deadline at noon, six hours before, and enter a stage at noon."""
    with world.ledger.store.writing() as connection:
        now = state.began(world.ledger, connection, None, escalation, now_ns=NOON_NS - 6 * HOUR_NS, deadline_ns=NOON_NS, why="set_deadline", by="user:ann", is_armed=is_armed)  # fmt: skip
        if stage:
            state.entered(world.ledger, connection, now, stage, at_ns=NOON_NS, orders=orders)


def tick(world: World, now_ns: int) -> None:
    with world.executor(None) as executor, world.ledger.store.writing() as connection:
        now = state.record_of(connection, NAME)
        assert now is not None
        now = state.ticking(world.ledger, connection, now, lease=executor.lease, now_ns=now_ns)
        state.ticked(world.ledger, connection, now, now_ns=now_ns)


def seen(world: World, now_ns: int, escalation: Escalation = ESCALATION) -> Status:
    with world.executor(None) as executor, world.ledger.store.reading() as connection:
        one = Opened(escalation, state.record_of(connection, NAME), executor)
    return status(one, world.ledger, now_ns)


def text(one: Status) -> str:
    out = io.StringIO()
    write_text([one], out)
    return out.getvalue()


def test_before_a_ledger_is_made_nothing_has_begun(world: World) -> None:
    with world.executor(None) as executor:
        one = status(Opened(ESCALATION, None, executor), None, NOON_NS)

    assert (one.to_json()["has_begun"], one.left_s, one.next) == (False, None, None)
    assert "it has not begun" in text(one)


@pytest.mark.parametrize(
    ("stage", "after_ns", "catch_up", "expected"),
    [
        ("", -7 * HOUR_NS, CatchUp.WALK, ("remind_6h", "operator", NOON_NS - 6 * HOUR_NS, "early")),
        ("", -2 * HOUR_NS, CatchUp.WALK, ("remind_6h", "operator", NOON_NS - 6 * HOUR_NS, "due")),
        ("", -10 * MINUTE_NS, CatchUp.JUMP, ("pre_release", "operator", NOON_NS - 15 * MINUTE_NS, "due")),
        ("pre_release", 10 * MINUTE_NS, CatchUp.WALK, ("partial", "custodians", NOON_NS + 15 * MINUTE_NS, "dwell")),
        (
            "pre_release",
            20 * MINUTE_NS,
            CatchUp.WALK,
            ("partial", "custodians", NOON_NS + 375 * MINUTE_NS, "undelivered"),
        ),
        ("partial", HOUR_NS, CatchUp.WALK, ("full", "public", NOON_NS + 2 * HOUR_NS, "early")),
        ("full", 3 * HOUR_NS, CatchUp.WALK, None),
    ],
    ids=["early", "due", "passed over", "it dwells", "not delivered", "outward", "the last"],
)
def test_next_is_the_stage_that_the_next_tick_could_enter(
    world: World, stage: str, after_ns: int, catch_up: CatchUp, expected: tuple[object, ...] | None
) -> None:
    escalation = ESCALATION._replace(catch_up=catch_up)
    begin(world, stage, escalation=escalation)

    assert seen(world, NOON_NS + after_ns, escalation).next == expected


def test_while_it_is_disarmed_nothing_comes_next(world: World) -> None:
    manual = ESCALATION._replace(mode=Mode.MANUAL)
    begin(world, escalation=manual, is_armed=False)

    one = seen(world, NOON_NS, manual)

    assert (one.next, one.left_s, one.to_json()["mode"], one.to_json()["deadline"]) == (None, None, "manual", NOON)
    assert "next       nothing while it is disarmed" in text(one)


def test_time_left_is_less_than_none_after_the_deadline(world: World) -> None:
    begin(world)

    assert (seen(world, NOON_NS - MINUTE_NS).left_s, seen(world, NOON_NS + MINUTE_NS).left_s) == (60, -60)


def test_what_was_never_begun_is_owed_and_shown(world: World) -> None:
    begin(world, "remind_6h", Order("remind_6h/mail", "send_message", {"channel": "mail"}))

    one = seen(world, NOON_NS)

    assert [item.name for item in one.owed] == ["remind_6h/mail"]
    assert "order      remind_6h/mail: nothing of it was begun\nowed       remind_6h/mail (new)" in text(one)


@pytest.mark.parametrize(("later_ns", "is_late"), [(9 * MINUTE_NS, False), (11 * MINUTE_NS, True)])
def test_ticks_that_stay_away_are_told_where_somebody_said_how_often_they_come(
    world: World, later_ns: int, *, is_late: bool
) -> None:
    escalation = ESCALATION._replace(every_s=300)
    begin(world)
    tick(world, NOON_NS - 5 * HOUR_NS)

    one = seen(world, NOON_NS - 5 * HOUR_NS + later_ns, escalation)

    assert (one.is_overdue, one.ticked_ago_s) == (is_late, later_ns // 10**9)
    assert ("expected every 5 min" in text(one)) is is_late


def test_one_that_was_never_ticked_says_so(world: World) -> None:
    begin(world)

    one = seen(world, NOON_NS)

    assert (one.ticked_ago_s, one.to_json()["ticked_at"]) == (None, None)
    assert "last tick  there was none" in text(one)


def test_colours_are_for_terminals(world: World) -> None:
    begin(world, "partial")
    out = io.StringIO()

    write_text([seen(world, NOON_NS)], out, Look(has_color=True))

    assert "\x1b[31mpartial (custodians)" in out.getvalue()


def test_what_was_refused_for_good_stays_in_sight(world: World) -> None:
    begin(world, "remind_6h")
    refused = {"target": "ben@else.example", "key": "k", "delivery": "permanent", "reference": "", "detail": "550 no"}
    came = Came("remind_6h/mail", "remind_6h", (refused | {"attempt": 1, "at": "", "is_settled": True},))

    one = seen(world, NOON_NS)._replace(came=(came,))

    assert one.to_json()["refused"] == [{"name": "remind_6h/mail", "target": "ben@else.example"}]
    assert "order      remind_6h/mail to ben@else.example: refused for good - 550 no\n" in text(one)
    assert "refused    for good: remind_6h/mail; no tick tries again" in text(one)


@pytest.mark.parametrize(
    ("count", "spare", "expected"),
    [
        (0, None, "none is set: orch code new makes them"),
        (2, 0, "no spare code is left"),
        (3, 1, "1 spare code left"),
        (7, 5, "5 spare codes left"),
    ],
)
def test_it_says_how_many_spare_codes_are_left(world: World, count: int, spare: int | None, expected: str) -> None:
    begin(world)

    one = seen(world, NOON_NS)._replace(codes=count)

    assert (one.to_json()["spare_codes"], one.to_json()["has_codes"]) == (spare, count > 0)
    assert f"codes      {expected}\n" in text(one)
