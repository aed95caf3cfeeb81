"""Many processes spend one budget while some of them are killed: run by a test for seconds, by `bench/overspend.py` for long.

Each worker writes into a journal what it is about to do, and what was acknowledged; whoever takes its place after a
kill does the last thing again, as a retry. What the ledger says in the end is held against these journals.
"""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from orchestrator import spend
from orchestrator.errors import BudgetError, LedgerError, UsageError
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import Ledger
from orchestrator.meters import SCOPES
from orchestrator.reservation import Limit
from orchestrator.spend import Call

M = 1_000_000
EXPIRES_S = 1
_KILLED = 0.03
"""How likely a worker is killed at one look, some thirty milliseconds after the last: most live for a second."""


@dataclass
class Outcome:
    """What a drill came to; amounts in whole units."""

    cap: int
    highest: float = 0
    """The most that was ever spent and reserved at once, as somebody outside saw it."""
    looks: int = 0
    kills: int = 0
    acknowledged: int = 0
    """Settlements that a worker was told of."""
    retried: int = 0
    refused: int = 0
    spent: float = 0
    reserved: float = 0
    wrong: list[str] = field(default_factory=list)
    """What should not be; empty is good."""


def limits(cap: int, worker: int) -> list[Limit]:
    """Return what a worker's calls count against: two shared counters, and one of its own that never fills."""
    shared = [Limit("usd", "org", "acme", "month", cap * M), Limit("usd", "repo", "acme/web", "month", cap * M)]
    return [*shared, Limit("usd", "run", f"w{worker}", "", 2 * cap * M)]


class Worker:
    """One process that spends."""

    def __init__(self, ledger: Ledger, number: int, log: TextIO, cap: int) -> None:
        self.ledger, self.number, self.log = ledger, number, log
        self.limits = limits(cap, number)

    def spend(self, key: str, estimate: int, actual: int) -> None:
        """Reserve, start and settle, and write down what came of it."""
        call = Call(f"w{self.number}", "", "agent:fixer", key=key)
        try:
            taken = spend.reserve(self.ledger, call, self.limits, {"usd": estimate * M}, expires_s=EXPIRES_S)
            if taken.state != "settled":
                spend.start(self.ledger, taken.id)
                for _ in range(2 if actual % 2 else 1):  # now and then the answer got lost
                    spend.settle(self.ledger, taken.id, {"usd": actual * M})
            self.log.write(f"done {taken.id} {actual}\n")
        except BudgetError:
            self.log.write("refused\n")
            time.sleep(0.02)
        except UsageError as error:  # it was charged in full when it expired
            self.log.write(f"late {error}\n")
        except LedgerError as error:
            self.log.write(f"error {error}\n")


def work(place: str, number: int, journal: Path, cap: int) -> None:
    """Spend until killed, doing the last thing of the journal first."""
    drawn = random.Random()  # noqa: S311  # spreads the load
    with open_ledger(place) as ledger, journal.open("a", buffering=1, encoding="utf-8") as log:
        worker = Worker(ledger, number, log, cap)
        lines = journal.read_text(encoding="utf-8").splitlines()
        last = next((line.split() for line in reversed(lines) if line.startswith("try ")), None)
        if last:
            log.write("retry\n")
            worker.spend(last[1], int(last[2]), int(last[3]))
        while True:
            estimate = drawn.randint(1, 5)
            key, actual = f"{os.getpid()}-{time.monotonic_ns()}", drawn.randint(0, estimate)
            log.write(f"try {key} {estimate} {actual}\n")
            worker.spend(key, estimate, actual)


def drill(place: str, folder: Path, *, workers: int, seconds: float, cap: int, seed: int = 1) -> Outcome:
    """Run workers against one cap, kill them at random, and judge what is left."""
    drawn = random.Random(seed)  # noqa: S311  # repeats
    outcome = Outcome(cap)
    journals = [folder / f"journal-{number}" for number in range(workers)]
    with open_ledger(place) as ledger:
        running = [_started(place, number, journal, cap) for number, journal in enumerate(journals)]
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                time.sleep(drawn.uniform(0.01, 0.05))
                _look(ledger, outcome)
                if drawn.random() > _KILLED * workers:
                    continue
                number = drawn.randrange(workers)
                if running[number].poll() is not None:
                    outcome.wrong.append(f"worker {number} ended by itself: {(folder / 'errors').read_text()[-300:]}")
                if journals[number].stat().st_size:
                    _kill(running[number])
                    outcome.kills += 1
                    running[number] = _started(place, number, journals[number], cap)
        finally:
            for one in running:
                _kill(one)
        time.sleep(EXPIRES_S + 1.1)
        spend.expire(ledger)
        _look(ledger, outcome)
        _judge(ledger, journals, outcome)
    return outcome


def _started(place: str, number: int, journal: Path, cap: int) -> "subprocess.Popen[bytes]":
    journal.touch()
    with journal.with_name("errors").open("ab") as errors:
        return subprocess.Popen([sys.executable, __file__, place, str(number), str(journal), str(cap)], stderr=errors)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    process.wait()


def _look(ledger: Ledger, outcome: Outcome) -> None:
    with ledger.store.reading() as connection:
        rows = connection.execute("SELECT spent, reserved FROM budgets")
    for spent, reserved in rows:
        outcome.highest = max(outcome.highest, (spent + reserved) / M)
        if spent + reserved > outcome.cap * M or spent < 0 or reserved < 0:
            outcome.wrong.append(f"a counter stood at {spent / M} spent, {reserved / M} reserved")
    outcome.looks += 1


def _judge(ledger: Ledger, journals: list[Path], outcome: Outcome) -> None:
    with ledger.store.reading() as connection:
        counters = connection.execute("SELECT scope, spent, reserved FROM budgets")
        states = connection.execute("SELECT id, state FROM reservations")
        charged = connection.execute("SELECT reservation_id, scope, charged FROM reservation_counters")
        told = connection.execute("SELECT count(*) FROM events WHERE type = 'orch.budget.exceeded'")[0][0]
        closings = connection.execute(
            "SELECT count(*) FROM events WHERE type IN ('orch.budget.settled', 'orch.budget.released', 'orch.budget.expired')"
        )[0][0]
    state_of = {str(name): str(state) for name, state in states}
    by_scope = {scope: sum(amount for _, its, amount in charged if its == scope) for scope in SCOPES}
    for scope in ("org", "repo", "run"):
        spent = sum(one[1] for one in counters if one[0] == scope)
        if spent != by_scope[scope]:
            outcome.wrong.append(f"per {scope} {spent / M} are spent, and {by_scope[scope] / M} were charged")
        if any(one[2] for one in counters if one[0] == scope):
            outcome.wrong.append(f"per {scope} something is still reserved")
    if still := {state for state in state_of.values() if state in {"reserved", "started"}}:
        outcome.wrong.append(f"reservations are still {still}")
    if closings != len(state_of):
        outcome.wrong.append(f"{len(state_of)} reservations were closed {closings} times")
    per_reservation = {str(name): amount for name, scope, amount in charged if scope == "org"}
    lines = [
        line.split(maxsplit=1) for journal in journals for line in journal.read_text(encoding="utf-8").splitlines()
    ]
    for name, actual in dict(rest.split() for word, *more in lines if word == "done" for rest in more).items():
        outcome.acknowledged += 1
        if per_reservation.get(name) != int(actual) * M:
            outcome.wrong.append(f"{name} was acknowledged with {actual}, and charged with {per_reservation.get(name)}")
    outcome.wrong += [" ".join(line) for line in lines if line[0] == "error"]
    outcome.refused = sum(line[0] == "refused" for line in lines)
    outcome.retried = sum(line[0] == "retry" for line in lines)
    if told > 2:  # of the organization, and of the repository
        outcome.wrong.append(f"{told} events say that a limit was met")
    outcome.spent = next((one[1] / M for one in counters if one[0] == "org"), 0)
    outcome.reserved = next((one[2] / M for one in counters if one[0] == "org"), 0)


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
