"""`orch status|set-deadline|reset|arm|disarm|trigger` as they are typed, with ticks between them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import clean
from escalation_world import BEN, NAME, OPERATOR, TEXT, World, world
from smtp_server import Stage

from orchestrator import approvals
from orchestrator.ledger import heads
from orchestrator.ledger.verify import verify

DEADLINE = "2030-01-02T12:00:00Z"
_DAY = "2030-01-02T"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as given:
        yield given


def tick(made: World, now: str) -> int:
    done = made.orch("tick", "--now", _DAY + now)
    clean(done)
    return done.returncode


def one(made: World, **more: Any) -> dict[str, Any]:  # noqa: ANN401  # variables
    """Return how the escalation stands."""
    found = made.asked("status", NAME, **more)
    assert isinstance(found, dict)
    return found


def mode(made: World, name: str) -> None:
    made.document(TEXT.replace("mode: countdown", f"mode: {name}"))


def refused(made: World, *arguments: object) -> str:
    """Return what a command says that is refused as wrong, exit code 2."""
    done = made.orch(*arguments)
    assert done.returncode == 2, clean(done)
    return clean(done)


def test_before_it_begins_status_says_how_to_and_makes_no_ledger(made: World) -> None:
    done = made.orch("status")

    assert done.returncode == 0
    assert clean(done).splitlines() == [
        "continuity 1.0.0, a countdown",
        "stage      it has not begun: orch set-deadline begins it",
        "codes      none is set: orch code new makes them",
    ]
    assert not Path(made.ledger).exists()


def test_hours_from_now_as_they_always_were(made: World) -> None:
    done = made.orch("set-deadline", "--hours", "24")

    assert done.returncode == 0
    assert clean(done).startswith("continuity: the deadline is set\nstage      ok of cycle 1\ndeadline   20")
    assert 86_000 < one(made)["left_s"] <= 86_400


def test_set_deadline_before_a_stage_puts_it_off(made: World) -> None:
    made.asked("set-deadline", "--at", DEADLINE)
    said = made.asked("set-deadline", "--at", "2030-01-03T12:00:00Z", "--now", _DAY + "05:00:00Z")

    assert tick(made, "06:00:00Z") == 0
    assert (said["stage"], said["cycle"], one(made)["stage"], made.subjects()) == ("ok", 1, "ok", [])


def test_set_deadline_after_a_stage_keeps_it_and_tells_nobody_twice(made: World) -> None:
    made.asked("set-deadline", "--at", DEADLINE)
    tick(made, "06:00:00Z")
    made.asked("set-deadline", "--at", _DAY + "18:00:00Z", "--now", _DAY + "06:01:00Z")

    tick(made, "12:30:00Z")

    assert (one(made)["stage"], len(made.subjects())) == ("remind_6h", 1)


def test_status_says_what_everybody_was_sent_and_what_is_owed(made: World) -> None:
    made.asked("set-deadline", "--at", DEADLINE)
    tick(made, "11:50:00Z")
    made.mail.fail(Stage.RCPT, "451 later", to=BEN)
    code = tick(made, "12:05:00Z")

    now = _DAY + "12:06:00Z"
    seen, said = made.asked("status", NAME, "--now", now), clean(made.orch("status", "--now", now))

    deliveries = [one["delivery"] for one in seen["actions"][-1]["receipts"]]
    assert (code, seen["stage"], sorted(deliveries)) == (1, "partial", ["delivered", "delivered", "retryable"])
    assert [(item["name"], item["state"]) for item in seen["owed"]] == [("partial/letter", "retryable")]
    assert (seen["ticked_ago_s"], seen["tick"], seen["left_s"]) == (60, 2, -360)
    assert seen["next"] == {"stage": "full", "audience": "public", "at": _DAY + "14:00:00Z", "why": "early"}
    assert "owed       partial/letter (retryable)" in said
    assert "deadline   2030-01-02T12:00:00Z, 6 min ago" in said
    assert "last tick  2030-01-02T12:05:00Z, 1 min ago" in said
    assert not any(secret in said + json.dumps(seen) for secret in (OPERATOR, BEN))


def test_what_nobody_knows_a_person_says_and_the_next_tick_goes_on_with_it(made: World) -> None:
    made.asked("set-deadline", "--at", DEADLINE)
    made.mail.fail(Stage.DOT, to=OPERATOR)
    codes = [tick(made, "06:00:00Z")]
    said = clean(made.orch("status", "--now", _DAY + "06:00:00Z"))

    settled = made.orch("resume", "continuity-c1", "--delivered", "remind_6h/mail")
    codes.append(tick(made, "06:05:00Z"))

    assert "look outside whether remind_6h/mail arrived; then orch resume continuity-c1 --delivered" in said
    assert "next: the next tick goes on with it" in clean(settled)
    assert (codes, one(made)["owed"], len(made.mail.mails)) == ([1, 0], [], 1)


def test_what_is_disarmed_stays_where_it_is(made: World) -> None:
    made.asked("set-deadline", "--at", DEADLINE)
    assert made.asked("disarm")["is_armed"] is False

    assert tick(made, "13:00:00Z") == 0

    seen = one(made)
    assert (seen["stage"], seen["next"], seen["left_s"], made.mail.mails) == ("ok", None, None, [])
    assert "deadline   2030-01-02T12:00:00Z, but none counts: it is disarmed" in clean(made.orch("status"))


def test_a_manual_one_counts_once_it_is_armed_and_each_cycle_anew(made: World) -> None:
    mode(made, "manual")
    first = made.asked("set-deadline", "--at", DEADLINE)
    tick(made, "07:00:00Z")
    before = one(made)["stage"]
    made.asked("arm", "--now", _DAY + "07:01:00Z")
    tick(made, "07:02:00Z")
    after = one(made)["stage"]

    again = made.asked("reset", "--now", _DAY + "07:03:00Z")

    assert (first["is_armed"], before, after) == (False, "ok", "remind_6h")
    assert (again["cycle"], again["stage"], again["is_armed"]) == (2, "ok", False)


def test_a_reset_ends_the_cycle_and_the_next_one_reminds_anew(made: World) -> None:
    made.asked("set-deadline", "--at", DEADLINE)
    tick(made, "06:00:00Z")
    said = made.asked("reset", "--now", _DAY + "06:01:00Z")
    tick(made, "06:02:00Z")

    seen = one(made)
    assert (said["cycle"], said["run_id"], said["deadline"]) == (2, "continuity-c2", DEADLINE)
    assert (seen["stage"], [item["name"] for item in seen["actions"]]) == ("remind_6h", ["remind_6h/mail"])
    assert len(made.subjects()) == 2


def test_a_release_by_hand_goes_through_every_stage(made: World) -> None:
    made.asked("set-deadline", "--at", "2030-02-01T12:00:00Z")
    said = made.asked("trigger", "--delay", "15m", "--now", _DAY + "12:00:00Z")
    tick(made, "12:00:30Z")
    early = one(made)["stage"]

    tick(made, "12:16:00Z")

    assert (said["deadline"], said["is_triggered"], early) == (_DAY + "12:15:00Z", True, "pre_release")
    assert (one(made)["stage"], len(made.subjects()), len(made.subjects(BEN))) == ("partial", 3, 1)


@pytest.mark.parametrize(
    "arguments",
    [("reset",), ("disarm",), ("set-deadline", "--at", "2031-01-01T00:00:00Z"), ("trigger", "--delay", "9000d")],
    ids=["reset", "disarm", "a later deadline", "a later release"],
)
def test_a_fuse_cannot_be_put_off(made: World, arguments: tuple[str, ...]) -> None:
    mode(made, "fuse")
    made.asked("set-deadline", "--at", DEADLINE)

    said = refused(made, *arguments)

    assert "is a fuse and has begun" in said or "no later than" in said
    assert (one(made)["deadline"], one(made)["cycle"], one(made)["is_armed"]) == (DEADLINE, 1, True)


def test_a_fuse_burns_to_its_end(made: World) -> None:
    mode(made, "fuse")
    made.asked("set-deadline", "--at", DEADLINE)
    made.asked("trigger", "--delay", "15m", "--now", _DAY + "06:00:00Z")

    codes = [tick(made, now) for now in ("06:00:00Z", "06:20:00Z", "08:20:00Z")]

    assert codes == [0, 0, 0]
    assert (one(made)["stage"], (made.work / "released.txt").read_text()) == ("full", "released")


@pytest.mark.parametrize("command", ["cancel", "act"])
def test_nothing_but_its_stages_acts_in_a_cycle_or_ends_it(made: World, command: str) -> None:
    made.asked("set-deadline", "--at", DEADLINE)
    run = f"{NAME}-c1"
    asked = ["send_message", "--run", run, "--key", "x", "--arg", "channel=mail"]

    said = refused(made, command, *([run] if command == "cancel" else asked))

    assert "is a cycle of an escalation" in said
    assert tick(made, "06:00:00Z") == 0


def test_what_policy_denies_exits_3(made: World) -> None:
    made.asked("set-deadline", "--at", DEADLINE)
    made.rules(
        "{id: open, effect: allow, actions: '*'}",
        "{id: no-reset, effect: deny, actions: control_escalation, when: {action.properties.operation: {equals: reset}},"
        " message: ask the board}",
    )

    done = made.orch("reset")

    assert done.returncode == 3
    assert "DENIED reset continuity" in clean(done)
    assert "ask the board" in done.stdout
    assert one(made)["cycle"] == 1


def test_what_needs_an_approval_exits_4_with_the_request(made: World) -> None:
    made.rules(
        "{id: open, effect: allow, actions: '*'}",
        "{id: two, effect: require, actions: control_escalation, approvals: {role: operator}}",
    )

    done = made.orch("set-deadline", "--in", "24h", "-o", "json")

    with made.opened() as ledger:
        [request] = approvals.waiting(ledger)
    said = json.loads(done.stdout)
    assert (done.returncode, said["is_changed"], said["exit_code"]) == (4, False, 4)
    assert said["refused"]["waiting_for"][0]["request_id"] == request.id
    assert f"orch approve {request.id}" in clean(made.orch("set-deadline", "--in", "24h"))
    assert one(made)["has_begun"] is False


def test_a_name_nobody_has_is_told_with_the_nearest(made: World) -> None:
    said = refused(made, "reset", "continuty")

    assert "these packs have no escalation 'continuty' (did you mean `continuity`?)" in said


def test_of_several_one_has_to_be_named(made: World) -> None:
    made.document(TEXT.replace("name: continuity", "name: second"), "second")

    said = refused(made, "set-deadline", "--hours", "24")
    done = made.asked("set-deadline", "second", "--hours", "24")

    assert "the policy has 2 escalations: continuity, second" in said
    assert (done["name"], done["run_id"]) == ("second", "second-c1")
    assert [row["has_begun"] for row in made.asked("status")] == [False, True]


def test_without_an_escalation_there_is_nothing_to_control(made: World) -> None:
    (made.packs / f"{NAME}.yaml").unlink()

    assert "these packs have no escalation" in refused(made, "set-deadline", "--hours", "24")


def test_one_that_began_and_that_the_packs_lost_is_told_of(made: World) -> None:
    made.asked("set-deadline", "--at", DEADLINE)
    (made.packs / f"{NAME}.yaml").unlink()
    made.document(TEXT.replace("name: continuity", "name: second"), "second")

    said = clean(made.orch("status"))

    assert "the ledger has an escalation 'continuity' that these packs do not have: nothing is done of it" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("set-deadline",),
        ("set-deadline", "--hours", "24", "--in", "24h"),
        ("set-deadline", "--hours", "-1"),
        ("set-deadline", "--at", "tomorrow"),
        ("set-deadline", "--at", "2001-01-01T00:00:00Z"),
        ("set-deadline", "--hours", "24", "--now", "noon"),
        ("trigger", "--delay", "soon"),
        ("reset",),
        ("disarm",),
    ],
    ids=" ".join,
)
def test_what_was_typed_wrongly_is_said_in_one_sentence(made: World, arguments: tuple[str, ...]) -> None:
    lines = refused(made, *arguments).splitlines()

    assert lines[0].startswith("orch: ")
    assert lines[1].startswith("  next: ")
    assert len(lines) == 2


def test_the_record_of_it_all_verifies(made: World) -> None:
    made.asked("set-deadline", "--at", DEADLINE)
    tick(made, "11:50:00Z")
    for arguments in (("disarm",), ("arm",), ("trigger", "--delay", "1m"), ("reset",)):
        made.asked(*arguments, "--now", _DAY + "11:51:00Z")
    with made.opened() as ledger:
        heads.sign(ledger)

    assert str(verify(made.ledger).state) == "verified"
