"""`orch tick` as a whole command, over real processes: what it says, who is at it, what a kill leaves, plans, workers."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import clean
from escalation_world import HOUR_NS, NAME, OPERATOR, TEXT
from smtp_server import Stage
from ticking import Stalling, Ticking, stalling, started, ticking, walked

from orchestrator import keys

ALL = "{id: open, effect: allow, actions: '*'}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticking]:
    with ticking(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Ticking, Stalling]]:
    """A world in which mail is taken slowly."""
    with stalling() as server, ticking(tmp_path, monkeypatch) as made:
        channel = {"adapter": "mail", "host": "127.0.0.1", "port": server.port, "security": "none"}
        made.world.configure(channels={"mail": {**channel, "from": "orch@acme.example"}})
        yield made, server


def at(when: str) -> tuple[str, str]:
    return "--now", f"2026-11-21T{when}:00Z"


# -- what it says


def test_it_tells_a_person_what_was_entered_and_what_went_to_whom(here: Ticking) -> None:
    done = here.world.orch("tick", *at("06:00"))

    assert done.returncode == 0, clean(done)
    assert done.stdout == (
        "continuity: entered remind_6h at 2026-11-21T06:00:00Z (cycle 1, the deadline is 2026-11-21T12:00:00Z)\n"
        "  remind_6h/mail (send_message): delivered to ${{ secrets.OPERATOR_MAIL }}: accepted: 250 2.0.0\n"
        "  no further stage is due; remind_1h at 2026-11-21T11:00:00Z (in 5 h) at the earliest\n"
    )
    assert done.stderr == ""


def test_it_tells_what_is_owed_and_why(here: Ticking) -> None:
    here.world.mail.fail(Stage.RCPT, "451 later")

    done = here.world.orch("tick", NAME, *at("06:00"))

    assert done.returncode == 1, clean(done)
    assert "remind_6h/mail (send_message): retryable to ${{ secrets.OPERATOR_MAIL }}: " in done.stdout
    assert "  owed: remind_6h/mail is retryable (" in done.stdout
    assert "at the recipient: 451" in done.stdout.partition("owed")[2]


def test_it_tells_what_became_of_each_recipient(here: Ticking) -> None:
    for when in ("06:00", "11:00", "11:45"):
        here.at(when)
    here.world.mail.fail(Stage.RCPT, "550 no such user", to="anna@else.example")

    done = here.world.orch("tick", *at("12:01"))

    assert "partial/letter (send_message): permanent, 2 of 3 arrived" in done.stdout
    assert "    ${{ secrets.ANNA_MAIL }}: permanent: " in done.stdout
    assert "    ${{ secrets.CLARA_MAIL }}: delivered: " in done.stdout


def test_a_program_reads_it_as_json(here: Ticking) -> None:
    [said] = here.world.asked("tick", *at("06:00"))

    assert (said["name"], said["stage"], said["entered"], said["exit_code"]) == (NAME, "remind_6h", ["remind_6h"], 0)
    assert (said["now"], said["until"]) == ("2026-11-21T06:00:00Z", "2026-11-21T11:00:00Z")
    assert said["done"][0]["receipts"][0]["delivery"] == "delivered"


def test_a_dry_run_says_so_and_does_nothing(here: Ticking) -> None:
    done = here.world.orch("tick", "--dry-run", *at("06:00"))

    assert done.returncode == 0, clean(done)
    assert done.stdout.startswith("continuity: a dry run at 2026-11-21T06:00:00Z: would enter remind_6h (cycle 1,")
    assert "  remind_6h/mail (send_message): allow\n" in done.stdout
    assert here.subjects() == []


def test_a_clock_that_went_back_is_told(here: Ticking) -> None:
    here.at("06:00")

    done = here.world.orch("tick", *at("05:00"))

    assert done.returncode == 6, clean(done)
    assert (
        "1 h before 2026-11-21T06:00:00Z, which it was already: nothing is done until the clock is right" in done.stdout
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--now", "yesterday"), "--now is no time"),
        (("--now", "2026-11-21T06:00:00"), "--now is no time"),
        (("contunity",), "these packs have no escalation 'contunity'"),
    ],
)
def test_what_was_typed_wrongly_is_told(here: Ticking, arguments: tuple[str, ...], said: str) -> None:
    done = here.world.orch("tick", *arguments)

    assert done.returncode == 2
    assert said in clean(done)


def test_packs_without_an_escalation_are_told(here: Ticking) -> None:
    (here.world.packs / f"{NAME}.yaml").unlink()

    done = here.world.orch("tick")

    assert done.returncode == 2
    assert "these packs have no escalation" in clean(done)


# -- processes


def test_of_two_commands_at_once_one_acts(slow: tuple[Ticking, Stalling]) -> None:
    here, server = slow
    with started(here, "tick", *at("06:00")) as first:
        assert server.is_reached.wait(60)

        second = here.world.orch("tick", *at("06:00"))
        server.goes_on.set()
        out, _ = first.communicate(timeout=60)

    assert second.returncode == 1, clean(second)
    assert "another tick is at it" in second.stdout
    assert (first.returncode, out.decode().count("delivered")) == (0, 1)
    assert server.kept == [OPERATOR]


def test_killed_before_the_message_was_taken_the_next_tick_sends_it(slow: tuple[Ticking, Stalling]) -> None:
    """It was begun, and nobody can say that nothing was sent: a person, or `on_unknown: resend`, has to."""
    here, server = slow
    with started(here, "tick", *at("06:00")) as process:
        assert server.is_reached.wait(60)
        process.kill()
    server.at = ""
    server.goes_on.set()

    began = time.monotonic()
    done = here.world.orch("tick", *at("06:01"))

    assert time.monotonic() - began < 10
    assert done.returncode == 1, clean(done)
    assert "owed: remind_6h/mail is unknown" in done.stdout
    assert server.kept == []


def test_killed_with_resend_the_next_tick_sends_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TEXT.replace("template: reminder.j2}", "template: reminder.j2, on_unknown: resend}")
    with stalling() as server, ticking(tmp_path, monkeypatch, text=text) as here:
        channel = {"adapter": "mail", "host": "127.0.0.1", "port": server.port, "security": "none"}
        here.world.configure(channels={"mail": {**channel, "from": "orch@acme.example"}})
        with started(here, "tick", *at("06:00")) as process:
            assert server.is_reached.wait(60)
            process.kill()
        server.at = ""
        server.goes_on.set()

        done = here.world.orch("tick", *at("06:01"))

        assert done.returncode == 0, clean(done)
        assert server.kept == [OPERATOR]


def test_a_signal_ends_it_after_the_order_that_it_is_at(slow: tuple[Ticking, Stalling]) -> None:
    here, server = slow
    server.at = "DOT"
    with started(here, "tick", *at("12:00")) as process:
        assert server.is_reached.wait(60)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        server.goes_on.set()
        out, err = process.communicate(timeout=60)

    assert (process.returncode, server.kept) == (130, [OPERATOR])
    assert "told to stop" in out.decode()
    assert err == b""
    assert here.record.ticker == ""


def test_a_renewal_by_command_wins_against_a_running_tick(slow: tuple[Ticking, Stalling]) -> None:
    here, server = slow
    with started(here, "tick", *at("06:00")) as process:
        assert server.is_reached.wait(60)
        here.renew("06:00:30")
        server.goes_on.set()
        out, _ = process.communicate(timeout=60)

    assert (process.returncode, server.kept) == (0, [])
    assert "the cycle was renewed" in out.decode()


# -- approvals


def test_a_stage_that_needs_an_approval_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ticking(tmp_path, monkeypatch, begins=False) as here:
        key = keys.new_key(tmp_path / "key", None)
        (here.world.packs / "people.yaml").write_text(
            "apiVersion: orch/v1\nkind: Roster\nmetadata: {name: people}\nsubjects:\n  user:ann: {roles: [operator]}\n"
            f'  user:bob: {{roles: [board], keys: ["{keys.ssh_line(key.public)}"]}}\n'
        )
        walked(here, 3 * HOUR_NS)
        outward = "when: {action.properties.audience: {in: [public]}}"
        here.world.rules(
            ALL, f"{{id: board, effect: require, actions: enter_stage, {outward}, approvals: {{role: board}}}}"
        )

        waiting = here.world.orch("tick", "-o", "json")
        [said] = json.loads(waiting.stdout)
        [one] = said["done"][-1]["waiting_for"]
        again = here.world.orch("tick")
        vote = here.world.orch("approve", one["request_id"], "--yes", "--key", tmp_path / "key", "--as", "user:bob")
        after = here.world.orch("tick")

        assert (waiting.returncode, said["why"], said["stage"]) == (4, "waiting", "partial")
        assert f"next: orch approve {one['request_id']}" in again.stdout
        assert vote.returncode == 0, clean(vote)
        assert after.returncode == 0, clean(after)
        assert (here.world.work / "released.txt").read_text() == "released"
