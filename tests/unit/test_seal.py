"""Seals: what a renewal really does lies under a key of the ledger's folder, and cannot be moved elsewhere."""

import stat
from pathlib import Path

import pytest
from renewals import DAY_NS, NAME, START, countdown

from orchestrator.errors import LedgerError
from orchestrator.escalations import seal, state
from orchestrator.escalations.model import Audience, Mode
from orchestrator.escalations.seal import FILE, SIZE_BYTES, Real, Sealer
from orchestrator.ledger.store import Ledger

ABOUT = ("renewal", NAME, "2026-11-20T12:00:00Z")


@pytest.fixture
def sealer(sqlite_ledger: Ledger) -> Sealer:
    return Sealer.of(sqlite_ledger, may_make=True)


def test_a_seal_opens_for_what_it_is_about(sealer: Sealer) -> None:
    sealed = sealer.seal(ABOUT, 1, 0, START)

    assert sealer.opened(ABOUT, sealed) == (1, 0, START)
    assert len(sealed) == 2 * SIZE_BYTES
    assert len(sealer.seal(ABOUT, 0, 1, 0)) == len(sealed)


@pytest.mark.parametrize("about", [(*ABOUT[:2], "2026-11-20T12:00:01Z"), ("code", *ABOUT[1:]), ABOUT[:2], ()])
def test_a_seal_does_not_open_for_anything_else(sealer: Sealer, about: tuple[str, ...]) -> None:
    sealed = sealer.seal(ABOUT, 1, 0, START)

    with pytest.raises(LedgerError, match="does not open"):
        sealer.opened(about, sealed)


@pytest.mark.parametrize("place", range(0, 2 * SIZE_BYTES, 5))
def test_a_seal_with_any_digit_changed_does_not_open(sealer: Sealer, place: int) -> None:
    sealed = sealer.seal(ABOUT, 1, 0, START)
    other = "0" if sealed[place] != "0" else "1"

    with pytest.raises(LedgerError, match="does not open"):
        sealer.opened(ABOUT, sealed[:place] + other + sealed[place + 1 :])


@pytest.mark.parametrize("sealed", ["", "zz", "00", "00" * SIZE_BYTES])
def test_what_is_no_seal_does_not_open(sealer: Sealer, sealed: str) -> None:
    with pytest.raises(LedgerError, match="does not open"):
        sealer.opened(ABOUT, sealed)


def test_two_seals_of_the_same_are_not_alike(sealer: Sealer) -> None:
    assert sealer.seal(ABOUT, 1, 0, START) != sealer.seal(ABOUT, 1, 0, START)


def test_a_seal_of_another_ledger_does_not_open(sealer: Sealer) -> None:
    sealed = sealer.seal(ABOUT, 1, 0, START)

    with pytest.raises(LedgerError, match="does not open"):
        sealer._replace(ledger_id="0" * 32).opened(ABOUT, sealed)


def test_the_key_is_the_owners_alone_and_made_once(sqlite_ledger: Ledger, sealer: Sealer) -> None:
    file = sqlite_ledger.folder / FILE

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Sealer.of(sqlite_ledger, may_make=True) == sealer
    assert [one.name for one in sqlite_ledger.folder.iterdir() if "seal" in one.name] == [FILE]


def test_the_key_shows_in_no_text(sealer: Sealer) -> None:
    assert sealer.key.hex() not in repr(sealer)
    assert repr(sealer.key) not in repr(sealer)


def test_without_the_key_it_is_said_where_to_get_it(sqlite_ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="is not here") as caught:
        Sealer.of(sqlite_ledger)

    assert "copy seal.key" in caught.value.advice


def led_elsewhere(file: Path) -> None:
    """Let a symlink stand for the key."""
    file.symlink_to(file.rename(f"{file}.old"))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda file: file.chmod(0o644), "is not safe"),
        (lambda file: file.write_text("00"), "is damaged"),
        (lambda file: file.write_text("no hex at all"), "is damaged"),
        (lambda file: file.write_bytes(b"\xff" * 64), "is damaged"),
        (led_elsewhere, "cannot be read"),
        (lambda file: (file.unlink(), file.mkdir()), "cannot be read"),
    ],
    ids=["open to others", "short", "no hex", "no text", "symlink", "folder"],
)
def test_a_key_that_is_not_to_be_trusted_is_refused(
    sqlite_ledger: Ledger, sealer: Sealer, spoil: object, why: str
) -> None:
    file: Path = sqlite_ledger.folder / FILE
    assert callable(spoil)
    spoil(file)

    with pytest.raises(LedgerError, match=why):
        Sealer.of(sqlite_ledger)


def test_what_was_begun_by_hand_is_what_it_looks_like(ledger: Ledger) -> None:
    made = countdown(ledger)

    assert seal.real(made.record, ledger) == Real(START + DAY_NS, is_armed=True)
    assert seal.real(made.record, ledger).deadline_ns == START + DAY_NS


def test_under_duress_the_old_deadline_is_the_real_one(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes(has_duress=True)
    made.later(3_600)

    renewed = made.renew(drawn.duress)

    assert renewed.deadline_ns == made.record.deadline == made.now_ns + DAY_NS
    assert seal.real(made.record, ledger) == Real(START + DAY_NS, is_armed=True, is_kept=True)


def test_under_duress_again_it_is_still_the_first(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes(has_duress=True)

    for _ in range(3):
        made.later(3_600)
        made.renew(drawn.duress)

    assert seal.real(made.record, ledger).deadline_ns == START + DAY_NS


def test_a_real_renewal_ends_it(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes(has_duress=True)
    made.renew(drawn.duress)
    made.later(3_600)

    made.renew(drawn.main)

    assert seal.real(made.record, ledger) == Real(made.now_ns + DAY_NS, is_armed=True)


def test_a_deadline_set_by_hand_ends_it(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes(has_duress=True)
    made.renew(drawn.duress)

    with ledger.store.writing() as connection:
        payload = {"deadline_ns": START + 5, "why": "set_deadline", "by": "user:ann", "is_triggered": False}
        state.say(ledger, connection, NAME, "deadline", payload, "user:ann")

    assert seal.real(made.record, ledger) == Real(START + 5, is_armed=True)


def test_what_was_disarmed_and_armed_again_is_what_it_looks_like(ledger: Ledger) -> None:
    made = countdown(ledger)
    made.renew(made.codes(has_duress=True).duress)
    shown = made.record.deadline

    with ledger.store.writing() as connection:
        state.say(ledger, connection, NAME, "disarmed", {"by": "user:ann"}, "user:ann")
        state.say(ledger, connection, NAME, "armed", {"deadline_ns": shown, "by": "user:ann"}, "user:ann")

    assert seal.real(made.record, ledger) == Real(shown, is_armed=True)


def test_a_duress_code_keeps_what_is_armed_by_hand_armed(ledger: Ledger) -> None:
    made = countdown(ledger, mode=Mode.MANUAL)
    drawn = made.codes(has_duress=True)

    renewed = made.renew(drawn.duress)

    assert not renewed.is_armed
    assert seal.real(made.record, ledger) == Real(START + DAY_NS, is_armed=True, is_kept=True)


def test_without_the_key_nobody_says_what_counts(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes()
    made.renew(drawn.main)
    (ledger.folder / FILE).unlink()

    with pytest.raises(LedgerError, match="is not here"):
        seal.real(made.record, ledger)


def test_a_tick_goes_by_both_as_they_are_where_nothing_is_kept(ledger: Ledger) -> None:
    made = countdown(ledger)
    made.renew(made.codes().main)

    assert seal.meant(made.escalation, made.record, ledger) == (made.escalation, made.record)
    assert seal.shown(made.escalation, made.record, ledger, made.now_ns) == made.record


def test_under_duress_a_tick_goes_by_the_old_deadline_and_tells_the_operator_nothing(ledger: Ledger) -> None:
    made = countdown(ledger)
    made.renew(made.codes(has_duress=True).duress)

    escalation, record = seal.meant(made.escalation, made.record, ledger)

    assert record == made.record._replace(deadline=START + DAY_NS)
    assert [bool(stage.deeds) for stage in escalation.stages] == [False, False, False, False, True, True]
    assert [stage.audience for stage in escalation.stages][-2:] == [Audience.CUSTODIANS, Audience.PUBLIC]


def test_under_duress_it_is_shown_where_the_shown_deadline_would_have_it(ledger: Ledger) -> None:
    """Five hours before the old deadline, a reminder's stage was entered, which nobody is shown."""
    made = countdown(ledger)
    made.later(19 * 3_600)
    made.renew(made.codes(has_duress=True).duress)
    at_ns = made.now_ns
    record = made.record
    with ledger.store.writing() as connection:
        state.entered(ledger, connection, record, "remind_6h", at_ns=at_ns)

    soon = seal.shown(made.escalation, made.record, ledger, at_ns + 1)
    late = seal.shown(made.escalation, made.record, ledger, at_ns + 19 * 3_600 * 10**9)

    assert made.record.stage == "remind_6h"
    assert (soon.stage, soon.stage_at, soon.deadline) == ("ok", at_ns, at_ns + DAY_NS)
    assert (late.stage, late.stage_at) == ("remind_6h", at_ns + 18 * 3_600 * 10**9)


def test_whoever_cannot_open_the_seal_is_shown_what_the_ledger_says(ledger: Ledger) -> None:
    made = countdown(ledger)
    made.renew(made.codes(has_duress=True).duress)
    (ledger.folder / FILE).unlink()

    assert seal.shown(made.escalation, made.record, ledger, made.now_ns) == made.record
