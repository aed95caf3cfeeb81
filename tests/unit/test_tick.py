"""One tick after the other: stages by the clock, what they bring sent once, what is owed tried again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from escalation_world import ANNA, BEN, CLARA, ESCALATION, NAME, NOON_NS, OPERATOR, TEXT
from smtp_server import Stage
from ticking import Ticking, place_of, ticking

from orchestrator.errors import Exit
from orchestrator.escalations.model import Mode
from orchestrator.escalations.tick import Ticked
from orchestrator.ledger.rebuild import differences
from orchestrator.ledger.store import Ledger
from orchestrator.ledger.verify import verify
from orchestrator.order import State

ANNAS, BENS, CLARAS = "${{ secrets.ANNA_MAIL }}", "${{ secrets.BEN_MAIL }}", "${{ secrets.CLARA_MAIL }}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticking]:
    with ticking(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def both(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticking]:
    """A world on each kind of ledger."""
    with ticking(tmp_path, monkeypatch, ledger=place_of(ledger)) as made:
        yield made


def states(made: Ticked) -> dict[str, str]:
    """Return how each recipient of the last that was done stands."""
    return {one["target"]: one["delivery"] for one in made.done[-1].done.receipts}


# -- the clock


def test_the_whole_story_is_told_once_in_its_order(both: Ticking) -> None:
    times = ("05:59:59", "06:00", "06:30", "11:00", "11:45", "12:00:59", "12:01", "12:30", "14:00", "15:00")
    entered = [both.at(when).entered for when in times]

    assert entered == [
        (), ("remind_6h",), (), ("remind_1h",), ("pre_release",), (), ("partial",), (), ("full",), (),
    ]  # fmt: skip
    assert both.subjects() == ["6 hours left", "1 hour left", "15 minutes left"]
    assert both.told() == [OPERATOR, OPERATOR, OPERATOR, ANNA, BEN, CLARA]
    assert (both.world.work / "released.txt").read_text() == "released"


def test_what_a_tick_did_verifies_and_can_be_made_again_from_the_events(both: Ticking) -> None:
    for when in ("06:00", "11:00", "11:45", "12:01", "14:00"):
        both.at(when)

    with both.world.opened() as ledger:
        assert str(verify(ledger).state) == "verified"
        with ledger.store.reading() as connection:
            assert list(differences(ledger, connection)) == []


def test_the_same_tick_again_does_nothing_more(here: Ticking) -> None:
    first, second = here.at("06:00"), here.at("06:00")

    assert (first.entered, second.entered, second.done) == (("remind_6h",), (), ())
    assert (first.tick, second.tick) == (1, 2)
    assert len(here.subjects()) == 1


def test_it_says_where_it_stands_and_when_it_goes_on(here: Ticking) -> None:
    made = here.at("06:00")

    assert (made.stage, made.target, made.why, made.next_stage) == ("remind_6h", "remind_6h", "early", "remind_1h")
    assert made.to_json()["until"] == "2026-11-21T11:00:00Z"
    assert made.exit_code is Exit.OK


def test_ten_years_of_silence_then_ticks(here: Ticking) -> None:
    """Every reminder is sent, the last notice has its quarter of an hour, and others hear one stage after the other."""
    ticks = [here.at(f"2036-11-21T{when}Z") for when in ("12:00:00", "12:14:59", "12:15:00", "12:15:01")]

    assert [one.entered for one in ticks] == [
        ("remind_6h", "remind_1h", "pre_release"), (), ("partial",), ("full",),
    ]  # fmt: skip
    assert [one.why for one in ticks] == ["dwell", "dwell", "outward", "last"]
    assert len(here.subjects()) == 3


def test_with_jump_what_lies_between_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notice = "requires: {delivered: [pre_release/mail], max_wait: 6h}"
    text = TEXT.replace("mode: countdown", "mode: countdown\ncatch_up: jump")
    text = text.replace("    audience: public\n", f"    audience: public\n    {notice}\n")
    with ticking(tmp_path, monkeypatch, text=text) as made:
        assert made.at("11:50").entered == ("pre_release",)
        assert made.subjects() == ["10 minutes left"]


def test_an_escalation_that_never_began_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ticking(tmp_path, monkeypatch, begins=False) as made:
        with made.world.opened():
            pass
        told = made.at("12:00")

    assert (told.why, told.stage, told.exit_code) == ("unbegun", "ok", Exit.OK)
    assert f"orch set-deadline {NAME}" in told.detail


def test_disarmed_nothing_goes_on(here: Ticking) -> None:
    here.disarm()

    made = here.at("2036-11-21T12:00:00Z")

    assert (made.entered, made.why, made.stage) == ((), "disarmed", "ok")


def test_every_escalation_of_the_packs_is_ticked_by_name(here: Ticking) -> None:
    here.world.document(TEXT.replace("name: continuity", "name: another"), "another")

    made = here.at("06:00", None)
    names = [one.name for one in here.all_at("06:00")]

    assert made.name == "another"
    assert names == ["another", NAME]


def test_a_stage_that_the_policy_does_not_have_any_more_stops_that_escalation_alone(here: Ticking) -> None:
    here.world.document(TEXT.replace("name: continuity", "name: another"), "another")
    here.at("06:00")
    here.world.document(TEXT.replace("remind_6h", "remind_six"))

    another, broken = here.all_at("06:30")

    assert (another.name, another.why) == ("another", "unbegun")
    assert (broken.name, broken.exit_code) == (NAME, Exit.PACK)
    assert "'remind_6h', which is no stage of it any more" in broken.detail


# -- what is owed


def test_a_reminder_that_cannot_be_sent_is_owed_until_it_is(both: Ticking) -> None:
    both.world.mail.fail(Stage.RCPT, "451 later")

    first, second, third = both.at("06:00"), both.at("06:10"), both.at("06:20")

    assert (first.exit_code, [one.name for one in first.owed]) == (Exit.FAILED, ["remind_6h/mail"])
    assert (second.exit_code, second.owed, third.done) == (Exit.OK, (), ())
    assert second.done[0].done.state is State.DELIVERED
    assert both.subjects() == ["6 hours left"]


def test_what_is_sent_late_says_what_it_said_when_its_stage_was_entered(here: Ticking) -> None:
    here.world.mail.fail(Stage.RCPT, "451 later", times=2)
    here.at("06:00")
    here.at("06:30")
    here.world.document(TEXT.replace("template: reminder.j2", 'text: {subject: "other", body: "text"}'))

    here.at("10:00")

    assert here.subjects() == ["6 hours left"]


def test_each_owed_order_is_tried_once_in_a_tick(here: Ticking) -> None:
    here.world.mail.fail(Stage.RCPT, "451 later", times=2)

    here.at("06:00")
    here.at("06:10")

    assert here.world.mail.reached.count(Stage.RCPT) == 2


def test_receipts_are_per_person_and_only_who_may_still_be_reached_is_tried_again(both: Ticking) -> None:
    """Of three custodians one mailbox refuses for good, and one for now."""
    for when in ("06:00", "11:00", "11:45"):
        both.at(when)
    both.world.mail.fail(Stage.RCPT, "550 no such user", to=ANNA)
    both.world.mail.fail(Stage.RCPT, "451 later", to=BEN)

    first = both.at("12:01")
    reached = both.world.mail.reached.count(Stage.RCPT)
    second, third = both.at("12:10"), both.at("12:20")

    assert states(first) == {ANNAS: "permanent", BENS: "retryable", CLARAS: "delivered"}
    assert (first.exit_code, [one.name for one in first.owed]) == (Exit.FAILED, ["partial/letter"])
    assert states(second) == {ANNAS: "permanent", BENS: "delivered", CLARAS: "delivered"}
    assert both.world.mail.reached.count(Stage.RCPT) == reached + 1
    assert (third.done, third.owed, third.exit_code) == ((), (), Exit.OK)
    assert sorted(both.told()[3:]) == [BEN, CLARA]


def test_nothing_goes_to_others_until_the_last_notice_arrived_or_was_waited_for(here: Ticking) -> None:
    here.at("06:00")
    here.at("11:00")
    here.world.mail.fail(Stage.RCPT, "451 later", times=99)
    here.at("11:45")

    waiting, still, after = here.at("12:30"), here.at("18:00:59"), here.at("18:01")

    assert (waiting.why, waiting.next_stage) == ("undelivered", "partial")
    assert waiting.to_json()["until"] == "2026-11-21T18:01:00Z"
    assert (still.entered, after.entered) == ((), ("partial",))


def test_a_notice_that_arrives_late_lets_it_go_on_in_the_same_tick(here: Ticking) -> None:
    here.at("06:00")
    here.at("11:00")
    here.world.mail.fail(Stage.RCPT, "451 later", times=2)
    here.at("11:45")
    here.at("12:30")

    assert here.at("12:40").entered == ("partial",)


def test_what_may_have_arrived_is_not_sent_again_and_stays_owed(here: Ticking) -> None:
    here.world.mail.fail(Stage.DOT)

    first, second = here.at("06:00"), here.at("06:10")

    assert first.done[-1].done.state is second.done[-1].done.state is State.UNKNOWN
    assert (second.exit_code, second.owed[0].state) == (Exit.FAILED, "unknown")
    assert here.subjects() == ["6 hours left"]


def test_with_resend_what_may_have_arrived_is_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TEXT.replace("template: reminder.j2}", "template: reminder.j2, on_unknown: resend}")
    with ticking(tmp_path, monkeypatch, text=text) as made:
        made.world.mail.fail(Stage.DOT)

        first, second = made.at("06:00"), made.at("06:10")

        assert (first.exit_code, second.exit_code) == (Exit.FAILED, Exit.OK)
        assert made.subjects() == ["6 hours left", "6 hours left"]


def test_what_is_owed_is_held_back_while_it_is_disarmed(here: Ticking) -> None:
    here.world.mail.fail(Stage.RCPT, "451 later")
    here.at("06:00")
    here.disarm()

    made = here.at("06:10")

    assert (made.why, made.done, [one.name for one in made.owed]) == ("disarmed", (), ["remind_6h/mail"])
    assert here.subjects() == []


def test_what_a_stage_owes_that_the_policy_does_not_have_any_more_is_kept(here: Ticking) -> None:
    here.world.mail.fail(Stage.RCPT, "451 later", times=3)
    here.at("06:00")
    here.at("11:00")
    here.world.document(TEXT.replace("remind_6h", "remind_six"))

    made = here.at("11:10")

    assert [one.name for one in made.owed] == ["remind_6h/mail"]
    assert here.subjects() == ["1 hour left"]
    assert made.exit_code is Exit.PACK


# -- policy


def test_a_pack_that_denies_the_tick_lets_no_stage_be_entered(here: Ticking) -> None:
    here.world.rules("{id: open, effect: allow, actions: '*'}", "{id: still, effect: deny, actions: tick}")

    made = here.at("12:00")

    assert (made.entered, made.why, made.exit_code) == ((), "denied", Exit.DENIED)
    assert "acme/still" in made.detail


def test_a_pack_that_denies_a_stage_stops_there_until_it_does_not(here: Ticking) -> None:
    rule = "{id: not-yet, effect: deny, actions: enter_stage, when: {action.properties.audience: {in: [custodians]}}}"
    for when in ("06:00", "11:00", "11:45"):
        here.at(when)
    here.world.rules("{id: open, effect: allow, actions: '*'}", rule)
    denied, again = here.at("12:01"), here.at("12:10")
    here.world.rules("{id: open, effect: allow, actions: '*'}")

    allowed = here.at("12:20")

    assert (denied.why, denied.exit_code, denied.entered) == ("denied", Exit.DENIED, ())
    assert again.stage == "pre_release"
    assert allowed.entered == ("partial",)


def test_an_action_that_a_pack_denies_is_owed_and_done_once_it_is_allowed(here: Ticking) -> None:
    here.world.rules(
        "{id: open, effect: allow, actions: '*'}",
        "{id: quiet, effect: deny, actions: send_message, stages: [remind_6h]}",
    )
    denied = here.at("06:00")
    here.world.rules("{id: open, effect: allow, actions: '*'}")

    allowed = here.at("06:10")

    assert (denied.entered, denied.exit_code) == (("remind_6h",), Exit.DENIED)
    assert [one.name for one in denied.owed] == ["remind_6h/mail"]
    assert (allowed.exit_code, here.subjects()) == (Exit.OK, ["6 hours left"])


def test_no_pack_that_allows_means_no(here: Ticking) -> None:
    here.world.rules("{id: read, effect: allow, actions: [send_message]}")

    assert here.at("12:00").exit_code is Exit.DENIED


def test_a_fuse_ticks_as_a_countdown_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TEXT.replace("mode: countdown", "mode: fuse")
    with ticking(tmp_path, monkeypatch, text=text, begins=False) as made:
        made.begin(NOON_NS, ESCALATION._replace(mode=Mode.FUSE))

        assert made.at("06:00").entered == ("remind_6h",)
