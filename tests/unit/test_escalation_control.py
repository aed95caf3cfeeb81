"""What an operator does to an escalation by hand: each once policy allows it, in one transaction, or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from act_world import World, world_in
from escalation_world import ESCALATION, HOUR_NS, MINUTE_NS, NAME, NOON_NS

from orchestrator import approvals, clock
from orchestrator.clock import format_time
from orchestrator.errors import DecisionError, UsageError
from orchestrator.escalations import control, state
from orchestrator.escalations.control import Controlled, Operation
from orchestrator.escalations.model import Escalation, Mode
from orchestrator.escalations.opened import Opened, facts_of
from orchestrator.escalations.state import Record
from orchestrator.escalations.timekeeping import GIVEN
from orchestrator.ledger.store import Ledger
from orchestrator.order import State

DAY_NS = 24 * HOUR_NS
ALLOWED = "{id: open, effect: allow, actions: '*'}"
FUSE, MANUAL = ESCALATION._replace(mode=Mode.FUSE), ESCALATION._replace(mode=Mode.MANUAL)


@pytest.fixture
def world(tmp_path: Path, sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world_in(tmp_path, sqlite_ledger, monkeypatch) as made:
        yield made


@pytest.fixture
def server_world(tmp_path: Path, postgres_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world_in(tmp_path, postgres_ledger, monkeypatch) as made:
        yield made


def record(world: World) -> Record | None:
    with world.ledger.store.reading() as connection:
        return state.record_of(connection, NAME)


@contextmanager
def opened(world: World, escalation: Escalation = ESCALATION) -> Iterator[Opened]:
    """Give an escalation as a command opens it."""
    now = record(world)
    with world.executor(now.run_id if now else None, facts=facts_of(escalation, now, None)) as executor:
        yield Opened(escalation, now, executor)


def did(
    world: World, operation: str, *given: str, escalation: Escalation = ESCALATION, now_ns: int = NOON_NS
) -> Controlled:
    with opened(world, escalation) as one:
        done: Controlled = getattr(control, operation)(one, *given, now_ns=now_ns)
        return done


def stood(world: World) -> tuple[Any, ...]:
    """Return cycle, stage, whether it is armed, and hours until the deadline at noon."""
    now = record(world)
    assert now is not None
    return now.cycle, now.stage, now.is_armed, (now.deadline - NOON_NS) / HOUR_NS


def enter(world: World, stage: str) -> None:
    """Let the cycle that goes on enter a stage."""
    now = record(world)
    assert now is not None
    with world.ledger.store.writing() as connection:
        state.entered(world.ledger, connection, now, stage, at_ns=NOON_NS)


def tick(world: World, now_ns: int, boot: str = "") -> None:
    """Let a tick have been, at a time."""
    with world.executor(None) as executor, world.ledger.store.writing() as connection:
        now = state.record_of(connection, NAME)
        assert now is not None
        now = state.ticking(world.ledger, connection, now, lease=executor.lease, now_ns=now_ns)
        state.ticked(world.ledger, connection, now, now_ns=now_ns, boot=boot)


@pytest.mark.parametrize(
    ("said", "hours"),
    [("24h", 24), ("90m", 1.5), ("2026-11-21T20:00:00Z", 8), ("2026-11-21T20:00:00+02:00", 6)],
    ids=["hours", "minutes", "a time", "elsewhere"],
)
def test_a_first_deadline_begins_the_countdown(world: World, said: str, hours: float) -> None:
    done = did(world, "set_deadline", said)

    assert (done.is_changed, done.refused, done.record) == (True, None, record(world))
    assert stood(world) == (1, "ok", True, hours)


@pytest.mark.parametrize(
    ("first", "then", "is_earlier"),
    [("24h", "1s", True), ("24h", "25h", False), ("1h", "2h", False), (None, "1h", True), (None, "24h", False)],
)
def test_policy_is_told_whether_a_deadline_is_earlier_than_the_one_that_counts(
    world: World,
    first: str | None,
    then: str,
    is_earlier: bool,  # noqa: FBT001  # a table
) -> None:
    if first is not None:
        did(world, "set_deadline", first)
    world.rules(
        ALLOWED,
        "{id: two, effect: require, actions: control_escalation, approvals: {role: guest}, "
        "when: {action.properties.is_earlier: true}}",
    )

    done = did(world, "set_deadline", then)

    assert (done.refused is not None) is is_earlier


def test_disarming_first_makes_no_deadline_a_later_one(world: World) -> None:
    did(world, "set_deadline", "24h")
    did(world, "disarm")
    world.rules(
        ALLOWED, "{id: two, effect: deny, actions: control_escalation, when: {action.properties.is_earlier: true}}"
    )

    assert did(world, "set_deadline", "1h").refused is not None


def test_a_time_ahead_that_a_tick_was_given_hinders_no_remedy(world: World) -> None:
    did(world, "set_deadline", "24h")
    tick(world, NOON_NS + 9_000 * HOUR_NS, boot=GIVEN)

    with opened(world) as one:
        done = control.reset(one)

    assert done.is_changed
    after = record(world)
    assert after is not None
    assert abs(after.clock - clock.now_ns()) < HOUR_NS


def test_a_deadline_is_a_whole_second_and_never_too_early(world: World) -> None:
    done = did(world, "set_deadline", "1h", now_ns=NOON_NS + 1)

    assert done.record is not None
    assert format_time(done.record.deadline) == "2026-11-21T13:00:01Z"


def test_in_manual_mode_a_deadline_counts_only_once_it_is_armed(world: World) -> None:
    did(world, "set_deadline", "24h", escalation=MANUAL)
    before = stood(world)

    did(world, "arm", escalation=MANUAL)

    assert (before, stood(world)) == ((1, "ok", False, 24), (1, "ok", True, 24))


def test_a_deadline_that_is_moved_leaves_the_stage_and_the_cycle_as_they_are(world: World) -> None:
    did(world, "set_deadline", "1h")
    enter(world, "remind_1h")

    did(world, "set_deadline", "12h")

    assert stood(world) == (1, "remind_1h", True, 12)


@pytest.mark.parametrize("said", ["2026-11-21T11:59:59Z", "2026-11-21T12:00:00Z", "9999999d", "2200-01-01T00:00:00Z"])
def test_a_deadline_lies_ahead_and_within_a_century(world: World, said: str) -> None:
    with pytest.raises(UsageError, match="expected one ahead"):
        did(world, "set_deadline", said)

    assert record(world) is None


@pytest.mark.parametrize("said", ["", "soon", "-1h", "0h", "2026-11-22", "2026-11-22T05:00:00"])
def test_what_is_neither_a_time_nor_a_duration_is_no_deadline(world: World, said: str) -> None:
    with pytest.raises(UsageError, match=r"the deadline .* is no time") as failure:
        did(world, "set_deadline", said)

    assert "--in 24h" in failure.value.advice


def test_a_reset_begins_anew_and_keeps_a_deadline_that_lies_ahead(world: World) -> None:
    did(world, "set_deadline", "3h")
    enter(world, "remind_6h")

    did(world, "reset")

    assert stood(world) == (2, "ok", True, 3)


def test_a_reset_after_the_deadline_puts_it_off_as_a_renewal_would(world: World) -> None:
    did(world, "set_deadline", "1h")

    did(world, "reset", now_ns=NOON_NS + 2 * HOUR_NS)

    assert stood(world) == (2, "ok", True, 26)


def test_a_reset_does_not_keep_the_deadline_of_a_release(world: World) -> None:
    did(world, "set_deadline", "3h")
    did(world, "trigger", "15m")

    did(world, "reset")

    assert stood(world) == (2, "ok", True, 24)


def test_a_reset_in_manual_mode_disarms(world: World) -> None:
    did(world, "arm", escalation=MANUAL)

    did(world, "reset", escalation=MANUAL)

    assert stood(world) == (2, "ok", False, 24)


def test_what_is_disarmed_keeps_its_stage_and_is_armed_again_with_its_deadline(world: World) -> None:
    did(world, "set_deadline", "3h")
    enter(world, "remind_6h")
    did(world, "disarm")
    between = stood(world)

    did(world, "arm")

    assert (between, stood(world)) == ((1, "remind_6h", False, 3), (1, "remind_6h", True, 3))


def test_arming_after_the_deadline_puts_it_off(world: World) -> None:
    did(world, "set_deadline", "1h")
    did(world, "disarm")

    did(world, "arm", now_ns=NOON_NS + 5 * HOUR_NS)

    assert stood(world) == (1, "ok", True, 29)


def test_arming_begins_what_never_began(world: World) -> None:
    did(world, "arm", escalation=MANUAL)

    assert stood(world) == (1, "ok", True, 24)


@pytest.mark.parametrize(("first", "second"), [("arm", "arm"), ("disarm", "disarm")])
def test_what_is_so_already_is_not_asked_for(world: World, first: str, second: str) -> None:
    did(world, "set_deadline", "3h")
    did(world, first)
    decisions = world.decisions()

    done = did(world, second)

    assert (done.is_changed, done.refused, world.decisions()) == (False, None, decisions)


@pytest.mark.parametrize("operation", ["reset", "disarm", "trigger"])
def test_what_never_began_can_only_be_begun(world: World, operation: str) -> None:
    with pytest.raises(UsageError, match="has not begun") as failure:
        did(world, operation)

    assert "set-deadline" in failure.value.advice


def test_a_release_brings_the_deadline_near_and_says_so(world: World) -> None:
    did(world, "set_deadline", "24h")

    done = did(world, "trigger", "30m")

    assert stood(world) == (1, "ok", True, 0.5)
    assert done.record is not None
    assert done.record.is_triggered


def test_a_deadline_that_is_set_again_is_no_release_any_more(world: World) -> None:
    did(world, "set_deadline", "24h")
    did(world, "trigger")

    done = did(world, "set_deadline", "12h")

    assert done.record is not None
    assert not done.record.is_triggered


@pytest.mark.parametrize("now_ns", [NOON_NS, NOON_NS + 5 * HOUR_NS], ids=["before", "after"])
def test_a_release_never_puts_a_deadline_off(world: World, now_ns: int) -> None:
    did(world, "set_deadline", "10m")

    with pytest.raises(UsageError, match=r"is 2026-11-21T12:10:00Z, no later than"):
        did(world, "trigger", "15m", now_ns=now_ns)


def test_what_is_disarmed_is_not_released(world: World) -> None:
    did(world, "set_deadline", "24h")
    did(world, "disarm")

    with pytest.raises(UsageError, match="disarmed"):
        did(world, "trigger")


@pytest.mark.parametrize(
    "given", [("reset",), ("disarm",), ("set_deadline", "48h"), ("set_deadline", "1h")], ids=" ".join
)
def test_a_fuse_that_burns_cannot_be_turned_back(world: World, given: tuple[str, ...]) -> None:
    did(world, "set_deadline", "24h", escalation=FUSE)

    with pytest.raises(UsageError, match="is a fuse and has begun"):
        did(world, *given, escalation=FUSE)
    assert stood(world) == (1, "ok", True, 24)


def test_a_fuse_stays_one_whatever_its_document_says_by_now(world: World) -> None:
    did(world, "set_deadline", "24h", escalation=FUSE)

    with pytest.raises(UsageError, match="is a fuse"):
        did(world, "reset", escalation=ESCALATION)


def test_a_fuse_can_be_released_sooner(world: World) -> None:
    did(world, "set_deadline", "24h", escalation=FUSE)

    did(world, "trigger", "15m", escalation=FUSE)

    assert stood(world) == (1, "ok", True, 0.25)
    with pytest.raises(UsageError, match="no later than"):
        did(world, "trigger", "15m", escalation=FUSE)


def test_what_policy_denies_is_not_done_and_the_decision_is_recorded(world: World) -> None:
    did(world, "set_deadline", "24h")
    denied = (
        "{id: not-so, effect: deny, actions: control_escalation, when: {action.properties.operation: {equals: reset}}}"
    )
    world.rules(ALLOWED, denied)
    decisions = world.decisions()

    done = did(world, "reset")

    assert done.refused is not None
    assert (done.refused.state, done.is_changed) == (State.DENIED, False)
    assert (stood(world)[0], world.decisions()) == (1, decisions + 1)


def test_what_needs_an_approval_waits_and_is_done_once_it_is_there(world: World) -> None:
    world.rules(ALLOWED, "{id: two, effect: require, actions: control_escalation, approvals: {role: sre}}")
    waits = did(world, "set_deadline", "24h", now_ns=clock.now_ns())
    [request] = approvals.waiting(world.ledger)
    world.approve(request.id)

    done = did(world, "set_deadline", "24h", now_ns=clock.now_ns() + MINUTE_NS)

    assert waits.refused is not None
    assert waits.refused.state is State.WAITING
    assert waits.refused.waiting_for[0]["request_id"] == request.id
    assert done.is_changed
    assert approvals.waiting(world.ledger) == []


def test_an_approval_is_for_one_cycle(world: World) -> None:
    did(world, "set_deadline", "24h")
    world.rules(ALLOWED, "{id: two, effect: require, actions: control_escalation, approvals: {role: sre}}")
    did(world, "trigger")
    [request] = approvals.waiting(world.ledger)
    world.approve(request.id)
    with world.ledger.store.writing() as connection:
        now = state.record_of(connection, NAME)
        more: dict[str, Any] = {"deadline_ns": NOON_NS + DAY_NS, "why": "renew", "by": "user:ann", "is_armed": True}
        state.began(world.ledger, connection, now, ESCALATION, now_ns=NOON_NS, **more)

    done = did(world, "trigger")

    assert done.refused is not None
    assert done.refused.state is State.WAITING


def test_a_cycle_that_was_renewed_meanwhile_is_left_alone(world: World) -> None:
    did(world, "set_deadline", "24h")
    with opened(world) as one:
        did(world, "reset")

        with pytest.raises(UsageError, match=r"has begun another cycle; nothing was changed|has ended"):
            control.trigger(one, now_ns=NOON_NS)

    assert stood(world) == (2, "ok", True, 24)


@pytest.mark.parametrize("operation", ["set_deadline", "reset", "arm", "trigger"])
def test_a_clock_that_was_set_back_changes_nothing(world: World, operation: str) -> None:
    did(world, "set_deadline", "24h")
    tick(world, NOON_NS + HOUR_NS)
    if operation == "arm":
        did(world, "disarm", now_ns=NOON_NS + HOUR_NS)

    with pytest.raises(DecisionError, match="which it was already; nothing was changed"):
        did(world, operation, *(["24h"] if operation == "set_deadline" else []))


def test_to_disarm_needs_no_clock(world: World) -> None:
    did(world, "set_deadline", "24h")
    tick(world, NOON_NS + HOUR_NS)

    assert did(world, "disarm").is_changed


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("24", None, None), "86400s"),
        (("0.5", None, None), "1800s"),
        ((None, "7d", None), "7d"),
        ((None, None, "T"), "T"),
    ],
    ids=["hours", "half an hour", "in", "at"],
)
def test_a_deadline_is_typed_in_one_of_three_ways(given: tuple[str | None, ...], expected: str) -> None:
    assert control.deadline_of(*given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((None, None, None), "no deadline"),
        (("24", "24h", None), "several deadlines"),
        (("0", None, None), "--hours is '0'"),
        (("-1", None, None), "--hours is '-1'"),
        (("soon", None, None), "--hours is 'soon'"),
    ],
    ids=["none", "two", "zero", "negative", "a word"],
)
def test_a_deadline_is_typed_once_and_above_0(given: tuple[str | None, ...], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        control.deadline_of(*given)


def test_on_a_server_it_is_the_same(server_world: World) -> None:
    did(server_world, "set_deadline", "24h")
    did(server_world, "disarm")
    did(server_world, "arm")
    did(server_world, "trigger", "15m")
    released = stood(server_world)

    did(server_world, "reset")

    assert (released, stood(server_world)) == ((1, "ok", True, 0.25), (2, "ok", True, 24))


def test_every_operation_has_its_command() -> None:
    assert {one.value for one in Operation} == {"set_deadline", "reset", "arm", "disarm", "trigger"}
