"""What happens beside a tick: another one, a renewal, a signal; and the heartbeat that ends it."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from escalation_world import NAME, OPERATOR, TEXT
from http_server import Fault, HttpServer, Reply, http_server
from ticking import Stalling, Ticking, place_of, stalling, ticking

from orchestrator.errors import Exit
from orchestrator.escalations import state
from orchestrator.escalations.carry import Stop
from orchestrator.escalations.tick import Ticked
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import Ledger
from orchestrator.order import State
from orchestrator.runs.executors import executors_of
from orchestrator.runs.lease import new_name, open_lease

ALL = "{id: open, effect: allow, actions: '*'}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticking]:
    with ticking(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def slow(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Ticking, Stalling]]:
    """A world on each kind of ledger, in which mail is taken slowly."""
    with stalling() as server, ticking(tmp_path, monkeypatch, ledger=place_of(ledger)) as made:
        channel = {"adapter": "mail", "host": "127.0.0.1", "port": server.port, "security": "none"}
        made.world.configure(channels={"mail": {**channel, "from": "orch@acme.example"}})
        yield made, server


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Ticking, HttpServer]]:
    """A world with a watcher who hears of every tick."""
    with http_server() as server:
        text = TEXT.replace("routes:", f"heartbeat: {{url: '{server.url}/beat'}}\nroutes:", 1)
        server.answer("/beat", Reply(200))
        with ticking(tmp_path, monkeypatch, text=text) as made:
            yield made, server


class Beside:
    """A tick in a thread of its own."""

    def __init__(self, here: Ticking, when: str, **manner: Any) -> None:  # noqa: ANN401  # of Manner
        self.made: list[Ticked] = []
        self._thread = threading.Thread(target=lambda: self.made.append(here.at(when, **manner)))
        self._thread.start()

    def ended(self) -> Ticked:
        """Return what came of it, once it is over."""
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.made[0]


# -- another tick


def test_of_two_ticks_at_once_one_acts_and_the_other_says_busy(slow: tuple[Ticking, Stalling]) -> None:
    here, server = slow
    first = Beside(here, "06:00")
    assert server.is_reached.wait(30)

    second = here.at("06:00")
    server.goes_on.set()

    assert (second.why, second.exit_code, second.done) == ("busy", Exit.FAILED, ())
    assert "another tick is at it" in second.detail
    assert first.ended().entered == ("remind_6h",)
    assert server.kept == [OPERATOR]


def test_a_tick_that_ended_without_a_word_is_gone_on_with_at_once(here: Ticking) -> None:
    with open_ledger(here.world.ledger) as ledger, open_lease(ledger) as lease, ledger.store.writing() as connection:
        state.ticking(ledger, connection, here.record, lease=lease, now_ns=here.record.deadline)

    made = here.at("06:00")

    assert here.payloads("orch.escalation.ticking")[0]["executor"] == lease.id
    assert made.entered == ("remind_6h",)


def test_a_tick_of_a_process_that_lives_is_not_interfered_with(here: Ticking) -> None:
    with open_ledger(here.world.ledger) as ledger, open_lease(ledger) as lease:
        with ledger.store.writing() as connection:
            state.ticking(ledger, connection, here.record, lease=lease, now_ns=here.record.deadline)

        assert here.at("06:00").why == "busy"


def test_a_tick_of_a_process_that_hangs_is_taken_from_it(here: Ticking) -> None:
    with open_ledger(here.world.ledger) as ledger:
        register = executors_of(ledger)
        name = new_name()
        register.enter(name)  # holds its lock, and beats never more
        with ledger.store.writing() as connection:
            state.say(ledger, connection, NAME, "ticking", {"executor": name, "tick": 1}, "user:ann")
        register._raw.execute("UPDATE executors SET beat = beat - 60000")  # type: ignore[attr-defined]  # of a folder

        made = here.at("06:00")

        assert (register.is_dead(name), made.entered) == (False, ("remind_6h",))
        register.close()


# -- a renewal


def test_a_renewal_wins_against_what_has_not_been_sent(slow: tuple[Ticking, Stalling]) -> None:
    here, server = slow
    ticked = Beside(here, "06:00")
    assert server.is_reached.wait(30)

    here.renew("06:00:30")
    server.goes_on.set()
    made = ticked.ended()

    assert (made.why, made.exit_code) == ("renewed", Exit.OK)
    assert server.kept == []
    assert (here.record.cycle, here.record.stage, here.record.ticker) == (2, "ok", "")


def test_of_what_was_sent_before_a_renewal_the_receipt_is_kept(slow: tuple[Ticking, Stalling]) -> None:
    here, server = slow
    server.at = "DOT"
    ticked = Beside(here, "06:00")
    assert server.is_reached.wait(30)

    here.renew("06:00:30")
    server.goes_on.set()

    assert ticked.ended().why == "renewed"
    assert server.kept == [OPERATOR]
    assert here.types(f"{NAME}-c1")[-1] == "delivered"


def test_what_a_renewed_cycle_owed_is_not_sent_any_more(here: Ticking) -> None:
    from smtp_server import Stage

    here.world.mail.fail(Stage.RCPT, "451 later")
    here.at("06:00")
    here.renew("06:05")

    made = here.at("06:10")

    assert (made.cycle, made.done, made.owed, here.subjects()) == (2, (), (), [])


def test_each_cycle_sends_its_own(here: Ticking) -> None:
    here.at("06:00")
    here.renew("06:05")

    here.at("2026-11-22T00:05:00Z")

    assert len(here.subjects()) == 2


def test_disarming_holds_back_what_has_not_been_sent(slow: tuple[Ticking, Stalling]) -> None:
    here, server = slow
    ticked = Beside(here, "06:00")
    assert server.is_reached.wait(30)

    here.disarm()
    server.goes_on.set()
    made = ticked.ended()

    assert (made.why, server.kept) == ("disarmed", [])
    assert [one.name for one in made.owed] == ["remind_6h/mail"]


# -- a signal


def test_told_to_stop_it_ends_after_the_order_that_it_is_at(slow: tuple[Ticking, Stalling]) -> None:
    """What can be withheld still is; the tick is recorded as over, and the next one goes on."""
    here, server = slow
    stop = Stop()
    ticked = Beside(here, "12:00", stop=stop)
    assert server.is_reached.wait(30)

    stop.tell()
    server.goes_on.set()
    made = ticked.ended()
    server.at = ""
    after = here.at("12:00")

    assert (made.why, made.exit_code, made.entered) == ("stopped", Exit.INTERRUPTED, ("remind_6h",))
    assert after.entered == ("remind_1h", "pre_release")
    assert len(server.kept) == 3


def test_told_twice_it_stops_at_once() -> None:
    stop = Stop()
    stop.tell()

    with pytest.raises(KeyboardInterrupt):
        stop.tell()


def test_told_while_a_plan_is_carried_out_it_stops_at_once() -> None:
    stop = Stop()

    with stop.interrupting(), pytest.raises(KeyboardInterrupt):
        stop.tell()


# -- the heartbeat


def test_a_tick_ends_with_a_heartbeat(watched: tuple[Ticking, HttpServer]) -> None:
    here, server = watched

    made = here.at("06:00")

    assert made.heartbeat.state == "delivered"
    assert [one.method for one in server.seen] == ["POST"]
    assert server.seen[0].json == {
        "escalation": NAME, "tick": "1", "stage": "remind_6h", "owed": 0, "at": "2026-11-21T06:00:00Z",
    }  # fmt: skip
    assert here.payloads("orch.escalation.ticked")[0]["heartbeat"] == "delivered"


def test_every_tick_has_a_heartbeat_of_its_own(watched: tuple[Ticking, HttpServer]) -> None:
    here, server = watched

    for when in ("05:00", "05:30", "06:00"):
        here.at(when)

    assert [one.json["tick"] for one in server.seen] == ["1", "2", "3"]
    assert len({one.headers["idempotency-key"] for one in server.seen}) == 3


@pytest.mark.parametrize("reply", [Reply(500), Reply(404), Reply(fault=Fault.CLOSE_LATE)], ids=str)
def test_a_heartbeat_that_fails_is_told_and_changes_no_exit_code(
    watched: tuple[Ticking, HttpServer], reply: Reply
) -> None:
    here, server = watched
    server.answer("/beat", reply)

    made = here.at("06:00")

    assert made.heartbeat.state in {"unknown", "permanent"}
    assert made.heartbeat.detail
    assert made.exit_code is Exit.OK
    assert made.owed == here.at("06:05").owed == ()


def test_a_heartbeat_that_the_policy_denies_is_told_only(watched: tuple[Ticking, HttpServer]) -> None:
    here, server = watched
    here.world.rules(ALL, "{id: no-web, effect: deny, actions: call_webhook}")

    made = here.at("06:00")

    assert (made.heartbeat.state, made.exit_code) == (State.DENIED.value, Exit.OK)
    assert "acme/no-web" in made.heartbeat.detail
    assert server.seen == []


def test_a_tick_that_was_refused_has_no_heartbeat(watched: tuple[Ticking, HttpServer]) -> None:
    here, server = watched
    here.at("06:00")

    assert here.at("05:00").why == "clock"
    assert len(server.seen) == 1


def test_the_heartbeat_says_how_much_is_owed(watched: tuple[Ticking, HttpServer]) -> None:
    from smtp_server import Stage

    here, server = watched
    here.world.mail.fail(Stage.RCPT, "451 later")

    here.at("06:00")

    assert server.seen[0].json["owed"] == 1


def test_a_watcher_may_be_asked_with_get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with http_server() as server:
        server.answer("/ping", Reply(200))
        text = TEXT.replace("routes:", f"heartbeat: {{url: '{server.url}/ping', method: GET}}\nroutes:", 1)
        with ticking(tmp_path, monkeypatch, text=text) as made:
            assert made.at("06:00").heartbeat.state == "delivered"
            assert [(one.method, one.body) for one in server.seen] == [("GET", b"")]


# -- what is only said


def test_a_dry_run_says_what_would_be_and_changes_nothing(watched: tuple[Ticking, HttpServer]) -> None:
    here, server = watched
    before = here.types()

    made = here.at("12:00", is_dry=True)

    assert made.entered == ("remind_6h", "remind_1h", "pre_release")
    assert [(one.name, one.outcome) for one in made.would] == [
        ("tick", "allow"),
        ("enter/remind_6h", "allow"), ("remind_6h/mail", "allow"),
        ("enter/remind_1h", "allow"), ("remind_1h/mail", "allow"),
        ("enter/pre_release", "allow"), ("pre_release/mail", "allow"),
    ]  # fmt: skip
    assert (here.types(), here.subjects(), server.seen) == (before, [], [])


def test_a_dry_run_says_what_would_be_denied(here: Ticking) -> None:
    here.world.rules(ALL, "{id: quiet, effect: deny, actions: send_message, message: 'no messages'}")

    made = here.at("06:00", is_dry=True)

    assert (made.would[-1].outcome, made.exit_code) == ("deny", Exit.DENIED)
    assert "acme/quiet: no messages" in made.would[-1].detail


def test_a_dry_run_before_an_earlier_tick_is_refused_too(here: Ticking) -> None:
    here.at("06:00")

    made = here.at("05:00", is_dry=True)

    assert (made.why, made.exit_code, made.is_dry) == ("clock", Exit.UNDECIDABLE, True)


def test_without_a_ledger_a_dry_run_says_that_nothing_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ticking(tmp_path, monkeypatch, begins=False) as made:
        assert made.at("06:00", is_dry=True).why == "unbegun"
        assert not (tmp_path / "ledger").exists()
