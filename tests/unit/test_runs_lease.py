"""A lease: it goes with its process at once, shows when it hangs, and cannot be held again once others took over."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from orchestrator.errors import LedgerError
from orchestrator.ledger.store import Ledger
from orchestrator.runs.executors import Beat, executors_of
from orchestrator.runs.fence import fenced
from orchestrator.runs.lease import HeldLease, LeaseLost, new_name, open_lease

HOLDER = """
import sys, time
from orchestrator.ledger.open import open_ledger
from orchestrator.runs.lease import open_lease
with open_ledger(sys.argv[1]) as ledger, open_lease(ledger) as lease:
    print(lease.id, flush=True)
    for line in sys.stdin:
        try:
            lease.check()
            print("fine", flush=True)
        except Exception as error:
            print(type(error).__name__, flush=True)
"""


@contextmanager
def holder(ledger: Ledger) -> Iterator["tuple[subprocess.Popen[str], str]"]:
    """Give another process that holds a lease, and the lease's name."""
    place = getattr(ledger.store, "url", None) or str(ledger.folder)
    command = [sys.executable, "-c", HOLDER, place]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def asked(process: "subprocess.Popen[str]") -> str:
    """Return what the other process says when it looks at its lease."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("look\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def until(met: Callable[[], bool]) -> bool:
    """Return whether something becomes true within five seconds."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if met():
            return True
        time.sleep(0.02)
    return False


def beat_of(lease: HeldLease, name: str) -> Beat:
    [found] = [one for one in lease.beats() if one.id == name]
    return found


def write_while(ledger: Ledger, happens: Callable[[], object]) -> None:
    with ledger.store.writing() as connection:
        connection.execute("INSERT INTO organizations (name) VALUES (?)", ("acme",))
        happens()


def test_a_lease_names_its_process_and_no_two_are_alike() -> None:
    first, second = new_name(), new_name()

    assert first != second
    assert f"-{os.getpid()}-" in first


def test_whoever_holds_a_lease_may_act(ledger: Ledger) -> None:
    with open_lease(ledger) as lease:
        lease.check()

        assert not lease.is_lost


def test_another_one_in_the_same_process_is_seen_to_live(ledger: Ledger) -> None:
    with open_lease(ledger) as one, open_lease(ledger) as other:
        assert not one.is_dead(other.id)
        assert not other.is_dead(one.id)


def test_one_that_was_given_back_is_dead_and_forgotten(ledger: Ledger) -> None:
    with open_lease(ledger) as one:
        with open_lease(ledger) as other:
            pass

        assert one.is_dead(other.id)
        assert [beat.id for beat in one.beats()] == [one.id]


def test_a_killed_process_is_dead_at_once(ledger: Ledger) -> None:
    with open_lease(ledger) as lease, holder(ledger) as (process, name):
        assert not lease.is_dead(name)

        process.kill()
        process.wait()

        assert until(lambda: lease.is_dead(name))
        assert not beat_of(lease, name).is_lost


def test_a_stopped_process_is_not_dead(ledger: Ledger) -> None:
    with open_lease(ledger) as lease, holder(ledger) as (process, name):
        process.send_signal(signal.SIGSTOP)

        assert not lease.is_dead(name)

        process.send_signal(signal.SIGCONT)


def test_a_process_that_was_taken_over_may_not_act(ledger: Ledger) -> None:
    with open_lease(ledger) as lease, holder(ledger) as (process, name):
        assert asked(process) == "fine"

        assert lease.lose(name)

        assert asked(process) == "LeaseLost"


def test_one_that_has_beaten_since_is_not_taken_over(ledger: Ledger) -> None:
    with open_lease(ledger) as one, open_lease(ledger) as other:
        seen = beat_of(one, other.id)
        time.sleep(0.01)
        other.executors.beat(other.id)

        assert not one.lose(other.id, seen.at)
        other.check()


def test_of_two_that_take_over_one_does(ledger: Ledger) -> None:
    with open_lease(ledger) as one, open_lease(ledger) as other, open_lease(ledger) as hung:
        assert [one.lose(hung.id), other.lose(hung.id)] == [True, False]


def test_a_lost_lease_stays_lost(ledger: Ledger) -> None:
    told = []
    with open_lease(ledger) as one, open_lease(ledger) as other:
        other.on_loss = lambda: told.append(True)
        one.lose(other.id)

        for _ in range(2):
            with pytest.raises(LeaseLost, match="taken over"):
                other.check()

        assert other.is_lost
        assert told == [True]


def test_what_is_no_name_of_an_executor_is_not_called_dead(ledger: Ledger) -> None:
    with open_lease(ledger) as lease:
        assert not lease.is_dead("../../etc/passwd")


def test_a_name_that_nobody_has_is_dead(ledger: Ledger) -> None:
    with open_lease(ledger) as lease:
        assert lease.is_dead(new_name())


def test_nobody_declares_itself_dead(ledger: Ledger) -> None:
    with open_lease(ledger) as lease:
        assert not lease.is_dead(lease.id)


def test_a_session_that_the_server_ends_loses_the_lease(postgres_ledger: Ledger) -> None:
    with open_lease(postgres_ledger) as lease:
        with postgres_ledger.store.reading() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2"
            )

        with pytest.raises(LeaseLost, match="is gone"):
            lease.check()


def test_a_register_that_cannot_be_written_loses_the_lease(sqlite_ledger: Ledger) -> None:
    with open_lease(sqlite_ledger) as lease:
        executors_of(sqlite_ledger).close()
        lease.executors.close()

        with pytest.raises(LeaseLost):
            lease.check()


def test_the_register_is_its_owners_alone(sqlite_ledger: Ledger) -> None:
    with open_lease(sqlite_ledger):
        for name in ("executors", "executors.db"):
            assert not (sqlite_ledger.folder / name).stat().st_mode & 0o077


def test_what_is_written_while_the_lease_is_held_is_kept(ledger: Ledger) -> None:
    with open_lease(ledger) as lease:
        write_while(fenced(ledger, lease), lambda: None)

        with ledger.store.reading() as connection:
            assert connection.execute("SELECT name FROM organizations") == [("acme",)]


def test_what_is_written_after_others_took_over_is_rolled_back(ledger: Ledger) -> None:
    with open_lease(ledger) as lease, open_lease(ledger) as other:
        with pytest.raises(LedgerError, match="taken over"):
            write_while(fenced(ledger, lease), lambda: other.lose(lease.id))

        with ledger.store.reading() as connection:
            assert connection.execute("SELECT name FROM organizations") == []
