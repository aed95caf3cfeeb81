"""Ticks by the machine's own clock: set back, set forward, started anew, not looked at for long; and witnesses."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from date_server import DateServer, date_servers
from escalation_world import HOUR_NS, MINUTE_NS, NAME, OPERATOR, TEXT
from ticking import Ticking, moment, ticking

from orchestrator import keys
from orchestrator.clock import format_time, now_ns, parse_time
from orchestrator.errors import Exit
from orchestrator.escalations import timekeeping, witness
from orchestrator.escalations.model import Audience
from orchestrator.keys import KeyFile

MINUTES = 10 * MINUTE_NS


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticking]:
    """A world whose deadline was an hour ago by the machine's clock; the last notice was sent long before that."""
    with ticking(tmp_path, monkeypatch, begins=False) as made:
        yield notified(made)


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[DateServer]]:
    with date_servers(2) as running:
        monkeypatch.setenv("SSL_CERT_FILE", running[0].ca_file)
        yield running


@pytest.fixture
def key() -> KeyFile:
    private = Ed25519PrivateKey.generate()
    return KeyFile(private.public_key().public_bytes_raw(), private)


def notified(made: Ticking, text: str = "") -> Ticking:
    """Let it stand at the last notice; `text` adds to the document."""
    if text:
        made.world.document(TEXT.replace("routes:", f"{text}\nroutes:", 1))
    now = now_ns()
    made.begin(now - HOUR_NS)
    for hours in (7, 2):
        made.tick(now_ns=now - hours * HOUR_NS)
    made.tick(now_ns=now - HOUR_NS - MINUTES)
    assert made.record.stage == "pre_release"
    return made


def asking(*servers: DateServer) -> str:
    return f"clock: {{sources: [{', '.join(repr(one.url) for one in servers)}]}}"


# -- a time that is given


def test_a_time_before_that_of_an_earlier_tick_is_refused_and_recorded(here: Ticking) -> None:
    sent, before = here.subjects(), here.record

    made = here.tick(now_ns=now_ns() - 5 * HOUR_NS)

    assert (made.why, made.exit_code, made.done, made.tick) == ("clock", Exit.UNDECIDABLE, (), 0)
    assert "which it was already" in made.detail
    assert here.subjects() == sent
    assert here.payloads("orch.escalation.refused")[0]["what"] == "clock"
    assert here.record._replace(updated_at=0) == before._replace(updated_at=0)


def test_a_minute_back_is_gone_on_with_at_the_time_that_it_was_already(here: Ticking) -> None:
    mark = here.record.clock

    made = here.tick(now_ns=mark - 60 * 10**9)

    assert (made.now_ns, made.exit_code) == (mark, Exit.OK)


def test_a_time_that_is_given_leaves_no_mark_of_the_machine(here: Ticking) -> None:
    assert (here.record.boot, here.record.boot_at) == (timekeeping.GIVEN, 0)


def test_a_time_ahead_that_was_given_binds_no_tick_by_the_clock(here: Ticking) -> None:
    here.tick(now_ns=now_ns() + 400 * HOUR_NS)

    made = here.tick()

    assert (made.exit_code, abs(made.now_ns - now_ns()) < MINUTE_NS) == (Exit.OK, True)
    assert "as somebody said" in made.notes[-1]
    assert here.record.clock == made.now_ns
    assert here.record.boot == timekeeping.boot_id()


# -- the machine's own clock


def test_a_tick_leaves_what_the_machine_counted(here: Ticking) -> None:
    made = here.tick()

    reading = timekeeping.read()
    assert here.record.boot == reading.boot_id != ""
    assert 0 <= reading.boot_ns - here.record.boot_at < MINUTE_NS
    assert here.record.clock == made.now_ns
    assert made.entered == ("partial",)


def test_a_clock_set_forward_is_not_gone_by(here: Ticking) -> None:
    """It says that an hour has passed; the machine counted ten minutes."""
    here.seen(ago_ns=HOUR_NS, counted_ns=MINUTES)

    made = here.tick()

    assert made.exit_code is Exit.UNDECIDABLE
    assert abs(made.now_ns - (now_ns() - HOUR_NS + MINUTES)) < MINUTE_NS
    assert " more than this machine counted" in made.notes[-1]
    assert "orch tick --now TIME" in made.notes[-1]


def test_a_time_that_is_given_ends_the_doubt(here: Ticking) -> None:
    here.seen(ago_ns=HOUR_NS, counted_ns=MINUTES)
    here.tick()

    given, after = here.tick(now_ns=now_ns()), here.tick()

    assert (given.exit_code, after.exit_code, after.notes) == (Exit.OK, Exit.OK, ())


def test_a_clock_that_lost_time_is_gone_by_and_told(here: Ticking) -> None:
    here.seen(ago_ns=MINUTES, counted_ns=2 * HOUR_NS)

    made = here.tick()

    assert made.exit_code is Exit.UNDECIDABLE
    assert abs(made.now_ns - now_ns()) < MINUTE_NS
    assert "min less than this machine counted" in made.notes[-1]
    assert here.tick().exit_code is Exit.OK


def test_after_a_start_of_the_machine_the_clock_is_believed_where_nobody_is_asked(here: Ticking) -> None:
    here.seen(ago_ns=HOUR_NS, counted_ns=0, boot="another")

    assert here.tick().entered == ("partial",)


# -- witnesses


def test_two_servers_that_agree_confirm_a_clock_that_was_set_forward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: list[DateServer]
) -> None:
    with ticking(tmp_path, monkeypatch, begins=False) as made:
        notified(made, asking(*servers)).seen(ago_ns=HOUR_NS, counted_ns=MINUTES)

        ticked = made.tick()

        assert (ticked.exit_code, ticked.entered) == (Exit.OK, ("partial",))
        assert "confirmed the clock" in ticked.notes[-1]
        assert abs(ticked.now_ns - now_ns()) < MINUTE_NS


def test_after_a_start_of_the_machine_others_hear_nothing_without_a_witness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: list[DateServer]
) -> None:
    with ticking(tmp_path, monkeypatch, begins=False) as made:
        notified(made, asking(*servers)).seen(ago_ns=MINUTES, counted_ns=0, boot="another")
        for one in servers:
            one.says = now_ns() - 9 * HOUR_NS

        refused, again = made.tick(), made.tick()
        servers[0].says = servers[1].says = None
        allowed = made.tick()

        assert [one.exit_code for one in (refused, again, allowed)] == [Exit.UNDECIDABLE, Exit.UNDECIDABLE, Exit.OK]
        assert refused.why == again.why == "witness"
        assert "the machine started anew" in refused.detail
        assert "no witness has confirmed the clock since" in again.detail
        assert set(made.told()) - {OPERATOR}
        assert allowed.entered == ("partial",)


def test_a_witness_is_asked_for_nothing_but_an_outward_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: list[DateServer]
) -> None:
    with ticking(tmp_path, monkeypatch, begins=False) as made:
        made.world.document(TEXT.replace("routes:", f"{asking(*servers)}\nroutes:", 1))
        made.begin(now_ns() + HOUR_NS // 2)

        assert made.tick().entered == ("remind_6h", "remind_1h")
        assert servers[0].asked == servers[1].asked == []


def test_while_somebody_looks_often_no_witness_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: list[DateServer]
) -> None:
    with ticking(tmp_path, monkeypatch, begins=False) as made:
        notified(made, asking(*servers)).seen(ago_ns=MINUTES, counted_ns=MINUTES)

        assert made.tick().entered == ("partial",)
        assert servers[0].asked == []


def test_after_a_gap_a_witness_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: list[DateServer]
) -> None:
    with ticking(tmp_path, monkeypatch, begins=False) as made:
        asked = asking(*servers).replace("}", ", after_gap: 30m}")
        notified(made, asked).seen(ago_ns=HOUR_NS, counted_ns=HOUR_NS)

        assert made.tick().entered == ("partial",)
        assert servers[0].asked == servers[1].asked == ["HEAD"]


def test_a_signed_time_file_is_a_witness_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: KeyFile) -> None:
    with ticking(tmp_path, monkeypatch, begins=False) as made:
        notified(made, f"clock: {{keys: ['{keys.ssh_line(key.public)}']}}").seen(MINUTES, 0, boot="another")
        file = tmp_path / "time.jwt"
        file.write_text(
            witness.signed(witness.Claims(format_time(now_ns()), sub=NAME, after=str(made.record.tick)), key)
        )
        without = made.tick()
        stale = made.tick(time_file=file)
        file.write_text(
            witness.signed(witness.Claims(format_time(now_ns()), sub=NAME, after=str(made.record.tick)), key)
        )

        with_file = made.tick(time_file=file)

        assert without.why == stale.why == "witness"
        assert "its after is" in stale.detail
        assert with_file.entered == ("partial",)


def test_a_time_that_is_given_needs_a_witness_where_the_policy_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: list[DateServer]
) -> None:
    with ticking(tmp_path, monkeypatch, begins=False) as made:
        notified(made, asking(*servers))

        ahead, agreed = made.tick(now_ns=now_ns() + HOUR_NS), made.tick(now_ns=now_ns() + HOUR_NS + MINUTE_NS)

        assert (ahead.entered, ahead.why, ahead.exit_code) == ((), "witness", Exit.UNDECIDABLE)
        assert "somebody said which time it is" in ahead.detail
        assert agreed.entered == ()


def test_a_witness_that_agrees_with_a_time_that_is_given_lets_it_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: list[DateServer]
) -> None:
    with ticking(tmp_path, monkeypatch, begins=False) as made:
        notified(made, asking(*servers))

        assert made.tick(now_ns=now_ns()).entered == ("partial",)
        assert servers[0].asked != []


def test_the_facts_of_a_decision_say_when_and_of_which_stage(here: Ticking) -> None:
    made = here.tick(now_ns=now_ns())

    facts = next(
        one["facts"] for one in here.payloads("orch.decision", f"{NAME}-c1") if one["label"] == "" and _is_letter(one)
    )
    assert parse_time(facts["time"]) == made.now_ns
    assert facts["escalation"]["of_stage"] == "partial"
    assert facts["escalation"]["audience"] == Audience.CUSTODIANS
    assert facts["escalation"]["delivered"] == ["pre_release/mail", "remind_1h/mail", "remind_6h/mail"]


def _is_letter(payload: dict[str, object]) -> bool:
    facts = payload["facts"]
    assert isinstance(facts, dict)
    return facts.get("escalation", {}).get("of_stage") == "partial" and facts.get("stage") == "partial"


def test_moments_of_the_day() -> None:
    assert moment("06:00") == parse_time("2026-11-21T06:00:00Z")
