"""Renewing: a right code begins a new cycle, at the first stage and with a new deadline; what cannot be renewed says so."""

from pathlib import Path

import pytest
from countdowns import default
from renewals import DAY_NS, HERE, NAME, START, Countdown, countdown

from orchestrator import keys
from orchestrator.clock import SECOND_NS
from orchestrator.errors import DecisionError, LedgerError, UsageError
from orchestrator.escalations import renewal, seal, state
from orchestrator.escalations.codes import new_code
from orchestrator.escalations.model import Mode, Renewal
from orchestrator.escalations.renewal import NotRenewedError, Renewed
from orchestrator.escalations.renewalfile import Claims, signed
from orchestrator.escalations.timekeeping import GIVEN, Reading
from orchestrator.keys import KeyFile
from orchestrator.ledger.store import Ledger
from orchestrator.runs.lease import open_lease

WRONG = new_code()


# -- a right code


def test_a_renewal_begins_a_cycle_at_the_first_stage_with_a_new_deadline(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes()
    made.later(7_200)

    renewed = made.renew(drawn.main)

    assert renewed == Renewed(NAME, 2, "ok", made.now_ns + DAY_NS, is_armed=True)
    record = made.record
    assert (record.cycle, record.run_id, record.stage, record.stage_at) == (2, f"{NAME}-c2", "ok", made.now_ns)
    assert record.deadline == renewed.deadline_ns


def test_a_renewal_ends_the_run_of_the_cycle_before_it(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes()

    made.renew(drawn.main)

    with ledger.store.reading() as connection:
        states = dict(connection.execute("SELECT id, state FROM runs"))
    assert states == {f"{NAME}-c1": "renewed", f"{NAME}-c2": "running"}


def test_the_main_code_renews_as_often_as_it_is_given(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes()

    assert [made.is_renewed(drawn.main) for _ in range(3)] == [True] * 3


def test_a_spare_code_renews_once(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes(spare=2)

    assert [made.is_renewed(code) for code in (*drawn.spare, *drawn.spare)] == [True, True, False, False]
    assert made.is_renewed(drawn.main)


def test_a_code_is_right_however_it_is_written(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes()

    assert made.is_renewed(f" {drawn.main.lower().replace('-', ' ')}\n")


def test_a_release_by_hand_can_be_renewed_until_its_end(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes()
    with ledger.store.writing() as connection:
        payload = {"deadline_ns": START + 900 * SECOND_NS, "why": "trigger", "by": "user:ann", "is_triggered": True}
        state.say(ledger, connection, NAME, "deadline", payload, "user:ann")

    assert made.is_renewed(drawn.main)
    assert not made.record.is_triggered


def test_what_is_armed_by_hand_is_armed_anew_each_cycle(ledger: Ledger) -> None:
    made = countdown(ledger, mode=Mode.MANUAL)
    drawn = made.codes()

    assert made.record.is_armed
    assert not made.renew(drawn.main).is_armed
    assert not made.record.is_armed


def test_what_was_disarmed_stays_so(ledger: Ledger) -> None:
    made = Countdown(ledger, default())
    made.begin(is_armed=False)
    drawn = made.codes()

    assert not made.renew(drawn.main).is_armed


def test_old_codes_end_with_new_ones(ledger: Ledger) -> None:
    made = countdown(ledger)
    old = made.codes(spare=1)
    made.codes()

    assert not made.is_renewed(old.main)
    assert not made.is_renewed(old.spare[0])


# -- what cannot be renewed, and says so before any code


def test_a_fuse_cannot_be_renewed(ledger: Ledger) -> None:
    made = countdown(ledger, mode=Mode.FUSE)

    with pytest.raises(UsageError, match="is a fuse"):
        made.renew(WRONG)

    assert "attempt" not in made.kinds()


def test_what_began_as_a_fuse_stays_one_whatever_its_document_says(ledger: Ledger) -> None:
    made = countdown(ledger, mode=Mode.FUSE)
    made.escalation = default()

    with pytest.raises(UsageError, match="is a fuse"):
        made.renew(WRONG)


def test_what_never_began_cannot_be_renewed(ledger: Ledger) -> None:
    made = Countdown(ledger, default())
    drawn = made.codes()

    with pytest.raises(UsageError, match="has not begun") as caught:
        made.renew(drawn.main)

    assert "orch set-deadline" in caught.value.advice


def test_without_the_key_of_seals_no_code_is_tried(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes()
    (ledger.folder / seal.FILE).unlink()

    with pytest.raises(LedgerError, match="is not here"):
        made.renew(drawn.main)

    assert "attempt" not in made.kinds()


# -- the clock


def ticked(made: Countdown, *, boot: str = "", boot_ns: int = 0) -> None:
    """Let a tick have gone by the time."""
    with made.ledger.store.writing() as connection:
        payload = {"tick": 1, "now_ns": made.now_ns, "boot": boot, "boot_ns": boot_ns, "stage": "ok", "target": "ok"}
        payload |= {"owed": [], "heartbeat": "", "executor": ""}
        state.say(made.ledger, connection, NAME, "ticked", payload, "service:tick")


def test_a_clock_that_went_back_refuses_before_a_code_is_tried(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes()
    ticked(made)
    made.later(-61)

    with pytest.raises(DecisionError) as caught:
        made.renew(drawn.main)

    assert int(caught.value.exit_code) == 6
    assert "attempt" not in made.kinds()


def test_a_clock_a_little_behind_goes_by_the_highest_time_so_far(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes()
    ticked(made)
    made.later(-59)

    assert made.renew(drawn.main).deadline_ns == START + DAY_NS


def test_a_clock_that_was_set_forward_does_not_put_the_deadline_off(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes()
    ticked(made, boot="boot-1", boot_ns=1_000 * SECOND_NS)
    ahead = Reading(START + 365 * DAY_NS, "boot-1", 1_600 * SECOND_NS)

    renewed = renewal.renew(ledger, made.escalation, drawn.main, HERE, reading=ahead)

    assert renewed.deadline_ns == START + 600 * SECOND_NS + DAY_NS
    assert "more than this machine counted" in renewed.note


# -- signed files


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    return keys.new_key(tmp_path / "renewal.key", None)


def with_key(ledger: Ledger, key: KeyFile) -> Countdown:
    """Return a countdown that this key's files renew."""
    return countdown(ledger, renewal=Renewal(86_400, keys=(keys.jwk(key.public),)))


def file_of(made: Countdown, key: KeyFile, counter: int) -> str:
    """Return a renewal file for now."""
    now_s = made.now_ns // SECOND_NS
    return signed(Claims(NAME, made.ledger.id, counter, now_s, now_s + 3_600), key)


def test_a_signed_file_renews_once(ledger: Ledger, key: KeyFile) -> None:
    made = with_key(ledger, key)
    token = file_of(made, key, 7)

    renewed = made.by_file(f"{token}\n")

    assert (renewed.cycle, made.record.counter) == (2, 7)
    with pytest.raises(NotRenewedError):
        made.by_file(token)
    assert made.kinds()[-2:] == ["attempt", "wrong"]


def test_a_counter_only_goes_up(ledger: Ledger, key: KeyFile) -> None:
    made = with_key(ledger, key)
    tokens = [file_of(made, key, counter) for counter in (5, 9, 8, 9, 10)]

    renewed = []
    for token in tokens:
        try:
            renewed.append(made.by_file(token).cycle)
        except NotRenewedError:
            renewed.append(0)

    assert renewed == [2, 3, 0, 0, 4]


def test_each_key_has_a_counter_of_its_own(ledger: Ledger, key: KeyFile, tmp_path: Path) -> None:
    other = keys.new_key(tmp_path / "other.key", None)
    made = countdown(ledger, renewal=Renewal(86_400, keys=(keys.jwk(key.public), keys.jwk(other.public))))

    made.by_file(file_of(made, other, 2**53 - 1))

    assert made.by_file(file_of(made, key, 7)).cycle == 3
    for again in (file_of(made, other, 2**53 - 1), file_of(made, key, 7)):
        with pytest.raises(NotRenewedError):
            made.by_file(again)


def test_a_file_that_would_last_for_years_does_not_count(ledger: Ledger, key: KeyFile) -> None:
    made, now_s = with_key(ledger, key), START // SECOND_NS
    token = signed(Claims(NAME, ledger.id, 1, now_s, now_s + 366 * 86_400 + 1), key)

    with pytest.raises(NotRenewedError):
        made.by_file(token)


def test_a_key_of_seals_that_is_another_ledgers_is_told_before_a_code_is_asked_for(ledger: Ledger) -> None:
    made = countdown(ledger)
    made.codes()
    (ledger.folder / seal.FILE).write_text("ab" * 32 + "\n")

    with pytest.raises(seal.SealError, match="does not open"):
        renewal.ready(ledger, made.escalation, reading=Reading(made.now_ns))


def test_a_time_ahead_that_somebody_gave_to_a_tick_does_not_keep_it_from_being_renewed(ledger: Ledger) -> None:
    made = countdown(ledger)
    code = made.codes().main
    ahead(made, START + 400 * DAY_NS)

    renewed = made.renew(code)

    assert renewed.deadline_ns == START + DAY_NS
    assert "as somebody said" in renewed.note
    assert made.record.clock == START


def ahead(made: Countdown, now_ns: int) -> None:
    """Let a tick have been at a time that somebody gave."""
    before = made.record
    with open_lease(made.ledger) as lease, made.ledger.store.writing() as connection:
        record = state.ticking(made.ledger, connection, before, lease=lease, now_ns=now_ns)
        state.ticked(made.ledger, connection, record, now_ns=now_ns, boot=GIVEN)


def test_a_file_that_is_locked_out_works_after_the_lock(ledger: Ledger, key: KeyFile) -> None:
    made = with_key(ledger, key)
    token = file_of(made, key, 1)
    for _ in range(6):
        assert not made.is_renewed(WRONG)

    with pytest.raises(NotRenewedError):
        made.by_file(token)
    made.later(30)

    assert made.by_file(token).cycle == 2


def test_files_need_a_key_that_the_policy_names(ledger: Ledger) -> None:
    made = countdown(ledger)

    with pytest.raises(UsageError, match="names no keys"):
        made.by_file("a.b.c")


def test_a_file_needs_no_codes_and_no_seal(ledger: Ledger, key: KeyFile) -> None:
    made = with_key(ledger, key)

    made.by_file(file_of(made, key, 1))

    assert not (ledger.folder / seal.FILE).exists()
    assert seal.real(made.record, ledger).deadline_ns == made.record.deadline
