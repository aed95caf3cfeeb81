"""Wrong codes: of none of them anything is learned, and their source is slowed down, over processes and in parallel."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from renewals import DAY_NS, ELSEWHERE, HERE, NAME, START, Countdown, countdown, refusals

from orchestrator.clock import SECOND_NS, parse_time
from orchestrator.errors import DecisionError
from orchestrator.escalations import codes, renewal
from orchestrator.escalations.codes import new_code
from orchestrator.escalations.model import Escalation, Lockout, Renewal
from orchestrator.escalations.renewal import NotRenewedError, Who
from orchestrator.escalations.timekeeping import Reading
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import Ledger

WRONG = new_code()


# -- wrong codes


def test_whatever_is_wrong_there_is_one_reply_and_events_of_one_form(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes(spare=1)
    made.renew(drawn.spare[0])
    before = len(made.kinds())

    assert not any(refused() for refused in refusals(made, drawn, WRONG).values())
    assert made.replies == {("not renewed", "", 3)}

    assert made.kinds()[before:] == ["attempt", "wrong"] * 6


def test_without_any_codes_it_is_the_same_reply(ledger: Ledger) -> None:
    made = countdown(ledger)

    assert not made.is_renewed(WRONG)
    assert made.kinds() == ["began", "attempt", "wrong"]


def test_an_attempt_is_recorded_before_it_is_looked_at(ledger: Ledger) -> None:
    """A code whose hash cannot be computed at all was tried nevertheless, and counts."""
    made = countdown(ledger)
    drawn = made.codes()
    with ledger.store.writing() as connection:
        connection.change("UPDATE renewal_codes SET hash = replace(hash, 't=1', 't=0')")

    with pytest.raises(DecisionError, match="Argon2id is not to be had"):
        made.renew(drawn.main)

    assert made.kinds()[-1] == "attempt"
    with ledger.store.reading() as connection:
        assert connection.execute("SELECT failures FROM renewal_attempts") == [(1,)]


def test_the_right_code_is_refused_in_a_lock_and_works_after_it(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes()
    for _ in range(6):
        assert not made.is_renewed(WRONG)

    inside = made.is_renewed(drawn.main)
    made.later(29)
    still_inside = made.is_renewed(drawn.main)
    made.later(1)
    after = made.is_renewed(drawn.main)

    assert (inside, still_inside, after) == (False, False, True)
    assert made.replies == {("not renewed", "", 3)}


def test_in_a_lock_right_and_wrong_leave_the_same_behind(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes()
    for _ in range(6):
        made.is_renewed(WRONG)

    made.is_renewed(WRONG)
    made.is_renewed(drawn.main)

    attempts, wrong = made.said("attempt")[-2:], made.said("wrong")[-2:]
    assert attempts[0] == attempts[1]
    assert wrong[0] == wrong[1]


def test_hammering_does_not_prolong_a_lock(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes()
    for _ in range(6):
        made.is_renewed(WRONG)
    for _ in range(29):
        made.later(1)
        assert not made.is_renewed(WRONG)

    made.later(1)

    assert made.is_renewed(drawn.main)


def test_locks_double_and_never_last_longer_than_the_longest(ledger: Ledger) -> None:
    made = countdown(ledger)
    lasted = []
    for _ in range(14):
        made.is_renewed(WRONG)
        until = made.said("wrong")[-1]["locked_until"]
        lasted.append((parse_time(until) - made.now_ns) // SECOND_NS if until else 0)
        made.later(lasted[-1])

    assert lasted == [0, 0, 0, 0, 0, 30, 60, 120, 240, 480, 600, 600, 600, 600]


def test_a_lock_from_a_clock_that_was_years_ahead_does_not_last(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes()
    made.now_ns += 3_650 * DAY_NS
    for _ in range(6):
        made.is_renewed(WRONG)
    made.now_ns = START

    assert made.is_renewed(drawn.main)


def test_guesses_of_one_source_never_lock_another(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes()
    for _ in range(50):
        assert not made.is_renewed(WRONG, ELSEWHERE)

    assert made.is_renewed(drawn.main, HERE)
    assert not made.is_renewed(drawn.main, ELSEWHERE)


def test_a_renewal_forgets_the_wrong_codes_of_its_own_source_alone(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes()
    for who in (HERE, ELSEWHERE):
        for _ in range(3):
            made.is_renewed(WRONG, who)

    made.renew(drawn.main, HERE)

    with ledger.store.reading() as connection:
        rows = connection.execute("SELECT source, failures FROM renewal_attempts ORDER BY source")
    assert rows == [(HERE.source, 0), (ELSEWHERE.source, 3)]


def test_a_lock_outlives_the_process(sqlite_ledger: Ledger) -> None:
    """Each guess in a process of its own; the right code in yet another."""
    made = countdown(sqlite_ledger)
    drawn = made.codes()
    program = (
        "import sys; from renewals import Countdown; from countdowns import default; "
        "from orchestrator.ledger.open import open_ledger\n"
        "with open_ledger(sys.argv[1], must_exist=True) as ledger:\n"
        "    made = Countdown(ledger, default(), int(sys.argv[2]))\n"
        "    print(*(made.is_renewed(line) for line in sys.stdin.read().split()))"
    )

    def process(seconds: int, *given: str) -> list[str]:
        now = str(made.now_ns + seconds * SECOND_NS)
        done = subprocess.run(
            [sys.executable, "-c", program, str(sqlite_ledger.folder), now],
            input="\n".join(given), capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        return done.stdout.split()

    assert process(0, *[WRONG] * 3) + process(0, *[WRONG] * 3) == ["False"] * 6
    assert process(0, drawn.main) == ["False"]
    assert process(30, drawn.main) == ["True"]


def test_a_killed_attempt_counts_as_wrong(sqlite_ledger: Ledger) -> None:
    """Attempts that end between their record and their reply are not free."""
    made = countdown(sqlite_ledger)
    drawn = made.codes()
    for _ in range(7):
        renewal._tried(sqlite_ledger, made.escalation, HERE, renewal.ready(
            sqlite_ledger, made.escalation, reading=Reading(made.now_ns))[1])  # fmt: skip

    assert not made.is_renewed(WRONG)
    assert made.said("wrong")[-1]["failures"] == 8
    assert not made.is_renewed(drawn.main)


# -- two at once


def at_once(folder: Path, escalation: Escalation, *codes: str) -> list[bool]:
    """Try codes at the same time, each with a connection of its own."""
    gate, found = threading.Barrier(len(codes)), dict[int, bool]()

    def work(number: int, code: str) -> None:
        with open_ledger(str(folder), must_exist=True) as opened:
            gate.wait()
            found[number] = Countdown(opened, escalation).is_renewed(code, Who("user:ann", f"source {number}"))

    threads = [threading.Thread(target=work, args=(number, code)) for number, code in enumerate(codes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[number] for number in range(len(codes))]


def test_two_right_codes_at_once_both_renew(sqlite_ledger: Ledger) -> None:
    made = countdown(sqlite_ledger)
    drawn = made.codes()

    both = at_once(sqlite_ledger.folder, made.escalation, drawn.main, drawn.main, drawn.spare[0], drawn.spare[1])

    assert both == [True] * 4
    assert made.record.cycle == 5
    with sqlite_ledger.store.reading() as connection:
        states = sorted(row[0] for row in connection.execute("SELECT state FROM runs"))
    assert states == ["renewed"] * 4 + ["running"]


def test_a_spare_code_given_four_times_at_once_renews_once(sqlite_ledger: Ledger) -> None:
    made = countdown(sqlite_ledger)
    drawn = made.codes()

    tried = at_once(sqlite_ledger.folder, made.escalation, *[drawn.spare[0]] * 4)

    assert sorted(tried) == [False, False, False, True]
    assert made.record.cycle == 2
    assert sorted(made.kinds()[2:]) == ["attempt"] * 4 + ["began"] + ["wrong"] * 3


def test_two_at_once_on_a_server_both_renew(postgres_ledger: Ledger) -> None:
    made = countdown(postgres_ledger)
    drawn = made.codes()
    url = str(getattr(postgres_ledger.store, "url", ""))
    gate, found = threading.Barrier(3), list[bool]()

    def work(code: str, source: str) -> None:
        with open_ledger(url, must_exist=True) as opened:
            gate.wait()
            found.append(Countdown(opened, made.escalation).is_renewed(code, Who("user:ann", source)))

    tried = [drawn.main, drawn.spare[0], drawn.spare[0]]
    threads = [threading.Thread(target=work, args=(code, str(place))) for place, code in enumerate(tried)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == [False, True, True]
    assert made.record.cycle == 3


def test_many_guesses_at_once_from_one_source_are_no_way_around_the_lock(sqlite_ledger: Ledger) -> None:
    """The right one among them is refused once the others have locked the source, or was in time; nothing else renews."""
    made = countdown(sqlite_ledger, renewal=Renewal(86_400, Lockout(after=0, first_s=600)))
    gate = threading.Barrier(8)

    def work() -> None:
        with open_ledger(str(sqlite_ledger.folder), must_exist=True) as opened:
            gate.wait()
            Countdown(opened, made.escalation).is_renewed(WRONG)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    drawn = made.codes()

    assert not made.is_renewed(drawn.main)
    assert len(made.said("wrong")) == 8 + 1


def test_a_right_code_that_others_guesses_overtook_is_refused(sqlite_ledger: Ledger) -> None:
    """It was begun before the lock, and ends in it."""
    made = countdown(sqlite_ledger, renewal=Renewal(86_400, Lockout(after=0, first_s=600)))
    drawn = made.codes()
    judged = renewal.ready(sqlite_ledger, made.escalation, reading=Reading(made.now_ns))[1]
    with sqlite_ledger.store.reading() as connection:
        found = codes.active_in(connection, NAME).match(drawn.main)

    attempt = renewal._tried(sqlite_ledger, made.escalation, HERE, judged)
    made.is_renewed(WRONG)

    with pytest.raises(NotRenewedError):
        renewal._ended(attempt, found)
    assert made.record.cycle == 1
