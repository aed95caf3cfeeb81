"""Ten thousand guesses, and how long a refusal takes."""

import time
from collections.abc import Callable

import pytest
from renewals import ELSEWHERE, HERE, Countdown, countdown, refusals

from orchestrator import keys
from orchestrator.clock import SECOND_NS
from orchestrator.escalations import codes
from orchestrator.escalations.codes import new_code
from orchestrator.escalations.model import Escalation, Lockout, Renewal
from orchestrator.escalations.renewal import NotRenewedError, Who
from orchestrator.ledger.store import Ledger

WRONG = new_code()


# -- many guesses


def unhurried(ledger: Ledger) -> Ledger:
    """Return a ledger that waits for no disk: what is counted here is not what survives a power cut."""
    ledger.store._connection.raw.execute("PRAGMA synchronous=OFF")  # type: ignore[attr-defined]  # SQLite's own
    return ledger


def test_ten_thousand_guesses_from_one_source_are_looked_at_a_few_times(sqlite_ledger: Ledger) -> None:
    """Ten a second for 1,000 s: all but a few fall into a lock, and the right code works within the longest lock after."""
    made = countdown(unhurried(sqlite_ledger))
    drawn = made.codes()
    tenth = SECOND_NS // 10
    for _ in range(10_000):
        made.now_ns += tenth
        assert not made.is_renewed(WRONG, ELSEWHERE)

    looked_at = sum(not said["is_locked"] for said in made.said("attempt"))
    made.later(600)

    assert looked_at == 5 + 6
    assert made.is_renewed(drawn.main, ELSEWHERE)


def test_ten_thousand_guesses_from_many_sources_hinder_nobody_else(sqlite_ledger: Ledger) -> None:
    made = countdown(unhurried(sqlite_ledger))
    drawn = made.codes()
    for number in range(10_000):
        assert not made.is_renewed(WRONG, Who("user:eve", f"uid 0 at host from 10.0.{number // 250}.{number % 250}"))

    assert made.is_renewed(drawn.main)


def test_a_guess_costs_the_real_hash(sqlite_ledger: Ledger) -> None:
    """Of a sample: each refusal takes at least what one hash takes, whatever the reason."""
    made = countdown(sqlite_ledger)
    drawn = made.codes(cost=codes.Cost(), spare=1)
    made.renew(drawn.spare[0])
    began = time.process_time()
    codes.Known().match(WRONG)
    one_hash = time.process_time() - began

    for refused in refusals(made, drawn, WRONG).values():
        began = time.process_time()
        assert not refused()
        assert time.process_time() - began > one_hash / 3


def test_every_refusal_takes_about_as_long(sqlite_ledger: Ledger) -> None:
    """Medians against each other: wrong, used, locked and wrong, locked and right, and where there are no codes."""
    made = countdown(sqlite_ledger, renewal=Renewal(86_400, Lockout(after=10_000)))
    drawn = made.codes(cost=codes.Cost(), spare=1)
    made.renew(drawn.spare[0])
    locked = made.escalation._replace(renewal=Renewal(86_400, Lockout(after=0, first_s=600)))
    other = Countdown(sqlite_ledger, made.escalation._replace(name="other"))
    other.begin()
    free = made.escalation
    made.escalation = locked
    made.is_renewed(WRONG, ELSEWHERE)

    def attempt(escalation: Escalation, code: str, who: Who) -> float:
        made.escalation = escalation
        began = time.perf_counter()
        assert not made.is_renewed(code, who)
        return time.perf_counter() - began

    ways: dict[str, Callable[[], float]] = {
        "wrong": lambda: attempt(free, WRONG, HERE),
        "used": lambda: attempt(free, drawn.spare[0], HERE),
        "locked": lambda: attempt(locked, WRONG, ELSEWHERE),
        "locked, right": lambda: attempt(locked, drawn.main, ELSEWHERE),
        "no codes": lambda: attempt(other.escalation, WRONG, HERE),
        "file": lambda: attempt_file(made, free),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(9):
        for name, way in ways.items():
            took[name].append(way())

    medians = {name: sorted(each)[len(each) // 2] for name, each in took.items()}
    assert max(medians.values()) < 3 * min(medians.values()), medians


def attempt_file(made: Countdown, escalation: Escalation) -> float:
    """Try a file that is none."""
    made.escalation = escalation._replace(renewal=escalation.renewal._replace(keys=(keys.jwk(b"\x05" * 32),)))
    began = time.perf_counter()
    with pytest.raises(NotRenewedError):
        made.by_file("a.b.c")
    return time.perf_counter() - began
