"""What a tick could not do for want of something that a person mends, and what is said of it until then."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from escalation_world import ANNA, BEN, CLARA, HOUR_NS, NAME, OPERATOR, TEXT
from smtp_server import Stage
from ticking import Ticking, moment, ticking

from orchestrator import outbox
from orchestrator.adapter import Delivery
from orchestrator.errors import Exit, UsageError
from orchestrator.escalations.status import Status, statuses
from orchestrator.escalations.tick import Ticked
from orchestrator.show import status as show_status
from orchestrator.show import tick as show_tick

CLARAS = "${{ secrets.CLARA_MAIL }}"
ALL = "{id: open, effect: allow, actions: '*'}"
VOTE = "{id: vote, effect: require, actions: %s, approvals: {role: operator, count: 1}}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticking]:
    with ticking(tmp_path, monkeypatch) as made:
        yield made


def status_at(here: Ticking, when: str) -> Status:
    return statuses(here.world.settings(), NAME, now_ns=moment(when))[0]


def shown(one: Status) -> str:
    out = io.StringIO()
    show_status.write_text([one], out)
    return out.getvalue()


def told(made: Ticked) -> str:
    out = io.StringIO()
    show_tick.write_text(made, out)
    return out.getvalue()


def to_partial(here: Ticking) -> None:
    for when in ("06:00", "11:00", "11:45"):
        here.at(when)


# -- configuration


def test_a_recipient_whose_secret_is_not_set_is_owed_until_it_is(
    here: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_partial(here)
    monkeypatch.delenv("CLARA_MAIL")
    first, second = here.at("12:01"), here.at("12:05")
    status = status_at(here, "12:06")
    monkeypatch.setenv("CLARA_MAIL", CLARA)
    third, fourth = here.at("12:10"), here.at("12:15")

    assert [one.exit_code for one in (first, second, third, fourth)] == [Exit.PACK, Exit.PACK, Exit.OK, Exit.OK]
    assert [(one.name, one.state) for one in second.owed] == [("partial/letter", "unconfigured")]
    assert "mend that, and the next tick tries it again" in told(first)
    assert (status.refused, [one.state for one in status.owed]) == ((), ["unconfigured"])
    assert sorted(here.told()[3:]) == [ANNA, BEN, CLARA]
    assert fourth.done == ()


def test_a_login_that_is_not_offered_is_owed_until_the_channel_is_mended(here: Ticking) -> None:
    channel = {"adapter": "mail", "host": "127.0.0.1", "port": here.world.mail.port, "security": "none"}
    channel["from"] = "orch@acme.example"
    here.world.configure(channels={"mail": channel | {"username": "orch", "password": "not-the-right-one"}})
    first = here.at("06:00")
    here.world.configure(channels={"mail": channel})
    second = here.at("06:10")

    assert (first.exit_code, [one.state for one in first.owed]) == (Exit.PACK, ["unconfigured"])
    assert (second.exit_code, second.owed, here.told()) == (Exit.OK, (), [OPERATOR])


def test_what_was_refused_for_good_is_sent_again_by_a_persons_word(here: Ticking) -> None:
    to_partial(here)
    here.world.mail.fail(Stage.RCPT, "550 no such user", to=BEN)
    here.at("12:01")
    assert here.at("12:05").done == ()
    with here.world.opened() as ledger:
        settled = outbox.resolve(ledger, f"{NAME}-c1", "partial/letter", Delivery.RETRYABLE, by="user:ann")

    made = here.at("12:10")

    assert [row.target for row in settled] == ["${{ secrets.BEN_MAIL }}"]
    assert (made.exit_code, sorted(here.told()[3:])) == (Exit.OK, [ANNA, BEN, CLARA])
    assert here.payloads("orch.action.resolved", f"{NAME}-c1")[0]["by"] == "user:ann"


def test_what_was_refused_for_good_cannot_be_said_to_have_arrived(here: Ticking) -> None:
    here.world.mail.fail(Stage.RCPT, "550 no such user")
    here.at("06:00")

    with here.world.opened() as ledger, pytest.raises(UsageError, match="nothing is unknown of 'remind_6h/mail'"):
        outbox.resolve(ledger, f"{NAME}-c1", "remind_6h/mail", Delivery.DELIVERED, by="user:ann")


# -- documents that are others by now


def test_one_that_counts_down_and_that_the_packs_lost_is_no_success(here: Ticking) -> None:
    here.at("06:00")
    here.world.document(TEXT.replace("name: continuity", "name: another"))

    another, lost = here.all_at("06:30")

    assert (another.name, another.why) == ("another", "unbegun")
    assert (lost.name, lost.stage, lost.exit_code) == (NAME, "remind_6h", Exit.PACK)
    assert "these packs do not have it" in lost.detail


def test_one_that_is_disarmed_and_that_the_packs_lost_is_none_of_a_ticks_business(here: Ticking) -> None:
    here.disarm()
    here.world.document(TEXT.replace("name: continuity", "name: another"))

    assert [one.name for one in here.all_at("06:30")] == ["another"]


def test_one_that_is_over_and_that_the_packs_lost_is_none_of_a_ticks_business(here: Ticking) -> None:
    to_partial(here)
    here.at("12:01")
    here.at("14:00")
    here.world.document(TEXT.replace("name: continuity", "name: another"))

    assert [one.name for one in here.all_at("15:00")] == ["another"]


def test_where_its_stage_is_gone_status_and_reset_work_and_say_so(here: Ticking) -> None:
    here.at("06:00")
    here.world.document(TEXT.replace("remind_6h", "remind_six"))

    one = status_at(here, "06:30")
    disarmed = here.world.orch("disarm", NAME)
    ticked = here.world.orch("tick", NAME, "--now", "2026-11-21T06:30:00Z")
    reset = here.world.orch("reset", NAME, "--now", "2026-11-21T06:40:00Z")

    assert (one.next, any("no stage of it any more" in note for note in one.notes)) == (None, True)
    assert (disarmed.returncode, ticked.returncode, reset.returncode) == (0, 7, 0)
    assert f"orch reset {NAME}" in ticked.stderr
    assert here.record.stage == "ok"


# -- what status says of the newest tick


def test_status_says_what_the_last_tick_waits_for(here: Ticking) -> None:
    here.world.rules(ALL, VOTE % "enter_stage")
    made = here.at("06:00")

    one = status_at(here, "06:01")

    assert (made.exit_code, one.last and one.last.why) == (Exit.PENDING, "waiting")
    assert one.to_json()["last_tick"]["exit_code"] == int(Exit.PENDING)
    assert "waiting: enter_stage: " in shown(one)
    assert "orch approve " in shown(one)


def test_status_says_that_the_tick_was_denied(here: Ticking) -> None:
    here.world.rules(ALL, "{id: still, effect: deny, actions: tick}")
    here.at("06:00")

    text = shown(status_at(here, "06:01"))

    assert "denied: tick: acme/still" in text
    assert "(exit code 3)" in text


def test_status_says_that_the_clock_was_refused(here: Ticking) -> None:
    here.at("06:00")
    here.at("05:00")

    one = status_at(here, "05:01")

    assert "refused: the clock: the clock says 2026-11-21T05:00:00Z" in shown(one)


def test_status_says_that_the_ledgers_clock_stands_ahead(here: Ticking) -> None:
    here.seen(ago_ns=0, counted_ns=0)

    one = statuses(here.world.settings(), NAME, now_ns=here.record.clock - HOUR_NS)[0]

    assert any("the ledger's clock stands at" in note and "1 h ahead" in note for note in one.notes)


def test_a_send_that_waits_for_a_vote_shows_the_command(here: Ticking) -> None:
    here.world.rules(ALL, VOTE % "send_message")
    here.at("06:00")

    one = status_at(here, "06:01")
    [said] = one.to_json()["waiting_for"]

    assert said["name"] == "remind_6h/mail"
    assert f"waiting    remind_6h/mail: {said['command']}\n" in shown(one)
    assert said["command"] == f"orch approve {said['request_id']}"


def test_a_plain_tick_leaves_no_line_of_its_own(here: Ticking) -> None:
    here.at("06:00")

    one = status_at(here, "06:01")

    assert (one.last and one.last.why, one.notes) == ("early", ())
    assert "exit code" not in shown(one)


# -- an idle tick


def test_an_idle_tick_is_begun_decided_and_over(here: Ticking) -> None:
    here.at("00:00")
    chains = (f"escalation:{NAME}", f"{NAME}-c1")
    before = [len(here.types(chain)) for chain in chains]

    here.at("00:05")

    after = [here.types(chain)[had:] for chain, had in zip(chains, before, strict=True)]
    assert after == [["ticking", "ticked"], ["decision"]]


def test_an_approval_of_ticks_counts_for_each_tick_at_that_stage(here: Ticking) -> None:
    """It is bound to cycle and stage, and not used up."""
    here.world.rules(ALL, VOTE % "tick")
    first, second = here.at("00:00"), here.at("00:05")

    requests = [one.done[0].done.waiting_for[0]["request_id"] for one in (first, second)]

    assert (first.why, first.exit_code, len(set(requests))) == ("waiting", Exit.PENDING, 1)
    assert f"orch approve {requests[0]}" in first.detail


# -- what was typed


@pytest.mark.parametrize("content", [None, "garbage", "e30.e30.e30"])
def test_a_time_file_that_is_none_is_an_error_though_nobody_asks_for_it(
    here: Ticking, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "now.jwt"
    if content is not None:
        file.write_text(content)

    with pytest.raises(UsageError):
        here.tick(time_file=file)

    assert here.record.tick == 0


def test_what_may_have_arrived_is_told_with_both_commands(here: Ticking) -> None:
    here.world.mail.fail(Stage.DOT)

    text = told(here.at("06:00"))

    assert f"orch resume {NAME}-c1 --delivered remind_6h/mail" in text
    assert f"orch resume {NAME}-c1 --resend remind_6h/mail" in text
    assert "goes on with it" not in text


def test_a_time_ahead_of_the_clock_is_said_to_stay(here: Ticking) -> None:
    done = here.world.orch("tick", "--now", "2099-01-01T00:00:00Z")

    assert "2099-01-01T00:00:00Z lies ahead of the clock: what was entered then stays entered" in done.stderr
    assert "rehearse with another --ledger" in done.stderr
