"""The engine over real processes: who shares a queue, who takes over from the killed and the hung, who may go on."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from engine_process import STEPS, drill

from orchestrator.errors import LedgerError, UsageError
from orchestrator.ledger.init import grant
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.postgres_setup import Role
from orchestrator.ledger.store import Ledger
from orchestrator.runs.database import prepare
from orchestrator.runs.engine import HELD, POLL_S, QUEUE, Engine, Options, launched, own_queue
from orchestrator.runs.lease import open_lease
from orchestrator.runs.reaper import Reaper
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from postgres_server import Server

PROCESS = Path(__file__).parents[1] / "engine_process.py"
PATIENCE_S = 60.0


def place_of(ledger: Ledger) -> str:
    return getattr(ledger.store, "url", None) or str(ledger.folder)


class Drill:
    """A ledger, a journal, and processes that work."""

    def __init__(self, ledger: Ledger, journal: Path, stack: ExitStack) -> None:
        self.ledger = ledger
        self.journal = journal
        self._stack = stack
        journal.touch()

    def worker(self, concurrency: int = 4) -> "subprocess.Popen[str]":
        """Return a process that takes part, once it does."""
        command = [sys.executable, str(PROCESS), place_of(self.ledger), str(self.journal), str(concurrency)]
        started = self._stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        self._stack.callback(started.kill)
        assert started.stdout is not None
        assert started.stdout.readline().strip()
        return started

    def lines(self, beginning: str = "") -> list[list[str]]:
        """Return the journal's lines that begin so, as words."""
        return [line.split() for line in self.journal.read_text().splitlines() if line.startswith(beginning)]

    def until(self, met: Callable[[], object]) -> float:
        """Return how many seconds it took until something became true."""
        start = time.monotonic()
        while not met():
            assert time.monotonic() - start < PATIENCE_S, self.journal.read_text()
            time.sleep(0.02)
        return time.monotonic() - start

    def began_by(self, process: "subprocess.Popen[str]") -> bool:
        """Return whether a process began a step."""
        return any(words[4] == str(process.pid) for words in self.lines("began"))


@pytest.fixture
def crew(ledger: Ledger, tmp_path: Path) -> Iterator[Drill]:
    with ExitStack() as stack:
        yield Drill(ledger, tmp_path / "journal", stack)


@contextmanager
def engine_of(ledger: Ledger, *, takes: bool = False, queue: str | None = None) -> Iterator[Engine]:
    """Give an engine in this process; one that only hands out, unless it `takes` from a queue of its own."""
    with open_lease(ledger) as lease:
        options = Options(own_queue(lease.id) if takes else queue, 2)
        with launched(Settings.load({"ledger": place_of(ledger)}), ledger, lease, options) as engine:
            yield engine


def test_three_workers_do_each_step_of_sixty_runs_once(crew: Drill) -> None:
    workers = [crew.worker() for _ in range(3)]
    with engine_of(crew.ledger) as engine:
        for number in range(60):
            engine.enqueue(drill, f"run{number}", 0, ["a"])
        crew.until(lambda: not engine.active())

    done = Counter(tuple(words[1:4]) for words in crew.lines("ended"))
    assert len(done) == 60 * STEPS
    assert set(done.values()) == {1}
    assert len({words[4] for words in crew.lines("ended")} & {str(worker.pid) for worker in workers}) > 1


def test_an_engine_takes_nothing_from_the_queue_of_one_before_it_in_its_process(crew: Drill) -> None:
    with engine_of(crew.ledger, queue=QUEUE):
        pass
    with engine_of(crew.ledger) as engine:
        engine.enqueue(drill, "run", 0, ["a"])
        time.sleep(5 * POLL_S)

        assert [(work.is_running, work.queue) for work in engine.active()] == [(False, QUEUE)]


def test_a_phase_that_is_handed_out_twice_is_carried_out_once(crew: Drill) -> None:
    crew.worker()
    with engine_of(crew.ledger) as engine:
        for _ in range(2):
            engine.enqueue(drill, "run", 0, ["a"])
        crew.until(lambda: not engine.active())
        engine.enqueue(drill, "run", 0, ["a"])

        assert engine.active() == []
    assert len(crew.lines("began")) == STEPS


def test_a_killed_worker_is_taken_over_within_seconds(crew: Drill) -> None:
    first = crew.worker()
    with engine_of(crew.ledger) as engine:
        engine.enqueue(drill, "run", 0, ["slow"])
        crew.until(lambda: crew.began_by(first))
        second = crew.worker()

        first.kill()
        took_s = crew.until(lambda: crew.began_by(second))

        assert took_s < 15
        assert [words[1] for words in crew.lines("note")] == ["taken-over"]


def test_what_ended_before_the_kill_is_not_done_again(crew: Drill) -> None:
    first = crew.worker()
    with engine_of(crew.ledger) as engine:
        engine.enqueue(drill, "run", 0, ["slow"])
        crew.until(lambda: len(crew.lines("began")) == 2)
        first.kill()
        crew.worker()
        crew.until(lambda: not engine.active())

    assert Counter(words[3] for words in crew.lines("ended")) == {"0": 1, "1": 1, "2": 1}
    assert Counter(words[3] for words in crew.lines("began")) == {"0": 1, "1": 2, "2": 1}


def test_a_hung_worker_is_taken_over_and_does_nothing_more(
    sqlite_ledger: Ledger, postgres_ledger: Ledger, tmp_path: Path
) -> None:
    """On both kinds of ledger at once, for it takes half a minute."""
    with ExitStack() as stack:
        crews = [
            Drill(ledger, tmp_path / str(number), stack)
            for number, ledger in enumerate((sqlite_ledger, postgres_ledger))
        ]
        hung = [crew.worker() for crew in crews]
        for crew, first in zip(crews, hung, strict=True):
            with engine_of(crew.ledger) as engine:
                engine.enqueue(drill, "run", 0, ["slow"])
            crew.until(lambda: crew.began_by(first))  # noqa: B023  # asked at once
        others = [crew.worker() for crew in crews]
        for first in hung:
            first.send_signal(signal.SIGSTOP)
        start, stopped_at = time.monotonic(), time.time()

        for crew, other in zip(crews, others, strict=True):
            crew.until(lambda: crew.began_by(other))  # noqa: B023  # asked at once
        assert 20 < time.monotonic() - start < 60

        for crew, first, other in zip(crews, hung, others, strict=True):
            first.send_signal(signal.SIGCONT)
            first.wait(PATIENCE_S)
            with engine_of(crew.ledger) as engine:
                crew.until(lambda: not engine.active())
            late = {words[4] for words in crew.lines("ended") if float(words[5]) > stopped_at}
            assert late == {str(other.pid)}
            assert ["left", str(first.pid), "lost"] in [words[:3] for words in crew.lines("left")]
            assert len(read(crew.ledger, "SELECT name FROM organizations")) == STEPS


def test_a_stopped_worker_that_wakes_up_in_time_goes_on(crew: Drill) -> None:
    worker = crew.worker()
    with engine_of(crew.ledger) as engine:
        engine.enqueue(drill, "run", 0, ["slow"])
        crew.until(lambda: crew.began_by(worker))
        worker.send_signal(signal.SIGSTOP)
        time.sleep(2)
        worker.send_signal(signal.SIGCONT)
        crew.until(lambda: not engine.active())

    assert {words[4] for words in crew.lines("ended")} == {str(worker.pid)}


def test_a_worker_that_is_asked_to_end_finishes_its_step_and_gives_the_rest_back(crew: Drill) -> None:
    first = crew.worker()
    with engine_of(crew.ledger) as engine:
        engine.enqueue(drill, "run", 0, ["slow"])
        crew.until(lambda: crew.began_by(first))
        first.terminate()

        assert first.wait(PATIENCE_S) == 0
        assert [(work.is_running, work.queue) for work in engine.active()] == [(False, "orch")]
        assert [words[3] for words in crew.lines("ended")] == ["0"]

        crew.worker()
        crew.until(lambda: not engine.active())
    assert Counter(words[3] for words in crew.lines("ended")) == {"0": 1, "1": 1, "2": 1}


def test_work_of_one_that_ended_is_given_away_once(ledger: Ledger) -> None:
    with open_lease(ledger) as gone, engine_of(ledger) as engine:
        engine.enqueue(drill, "run", 0, ["a", "b"])
        queue = own_queue(gone.id)
        engine._change(f"UPDATE {engine._table} SET queue_name = :queue", {"queue": queue})  # noqa: S608  # as that one would have
        assert Reaper(engine).sweep() == []
        gone.end()

        assert Reaper(engine).sweep() == [gone.id]
        assert Reaper(engine).sweep() == []
        assert {work.queue for work in engine.active()} == {"orch"}


def test_a_writer_executes_once_the_owner_prepared_the_engine(postgres: "Server", postgres_ledger: Ledger) -> None:
    [(database,)] = read(postgres_ledger, "SELECT current_database()")
    grant(postgres_ledger, Role("writer", may_write=True))
    url = postgres.url(database, "writer")
    with open_ledger(url) as ledger:
        with pytest.raises(LedgerError, match="may not make them") as refused, engine_of(ledger):
            pass
        assert "orch ledger init" in refused.value.advice

        prepare(postgres_ledger, ["writer"])

        with engine_of(ledger, takes=True) as engine:
            engine.enqueue(drill, "run", 0, ["a"])
            end = time.monotonic() + PATIENCE_S
            while engine.active():
                assert time.monotonic() < end
                time.sleep(0.02)
    assert len(read(postgres_ledger, "SELECT name FROM organizations")) == STEPS


def read(ledger: Ledger, statement: str) -> list[tuple[str, ...]]:
    with ledger.store.reading() as connection:
        return connection.execute(statement)


def test_what_ended_long_ago_is_forgotten_and_what_did_not_is_kept(ledger: Ledger) -> None:
    with engine_of(ledger, takes=True) as engine:
        engine.enqueue(drill, "run", 0, ["a"])
        end = time.monotonic() + PATIENCE_S
        while engine.active():
            assert time.monotonic() < end
            time.sleep(0.02)
        engine.stop()
        engine.enqueue(drill, "other", 0, ["a"])

        assert engine.tidy() == 0
        assert engine.tidy(kept_s=-60) == 1
        assert [work.id for work in engine.active()] == ["other/0/a"]


def test_two_engines_in_one_process_are_refused(sqlite_ledger: Ledger) -> None:
    with engine_of(sqlite_ledger), pytest.raises(UsageError, match="runs in this process already"):
        engine_of(sqlite_ledger).__enter__()


def test_one_engine_after_another_in_one_process_works(ledger: Ledger) -> None:
    for number in range(2):
        with engine_of(ledger, takes=True) as engine:
            engine.enqueue(drill, f"run{number}", 0, ["a"])
            end = time.monotonic() + PATIENCE_S
            while engine.active():
                assert time.monotonic() < end
                time.sleep(0.02)


def test_the_engine_says_nothing(sqlite_ledger: Ledger, capfd: pytest.CaptureFixture[str]) -> None:
    with engine_of(sqlite_ledger, takes=True) as engine:
        engine.enqueue(drill, "run", 0, ["a"])
        while engine.active():
            time.sleep(0.02)

    assert tuple(capfd.readouterr()) == ("", "")


def test_what_is_left_of_a_stopped_engine_goes_where_it_said(sqlite_ledger: Ledger) -> None:
    with engine_of(sqlite_ledger, takes=True) as engine:
        engine.rest = HELD
        engine.stop()
        engine.enqueue(drill, "run", 0, ["a"])

    with engine_of(sqlite_ledger) as engine:
        assert [work.queue for work in engine.active()] == [HELD]


def test_what_is_queued_is_moved_to_who_claims_it(sqlite_ledger: Ledger) -> None:
    with engine_of(sqlite_ledger) as engine:
        for name in ("one", "one-more", "other"):
            engine.enqueue(drill, name, 0, ["a"])

    with open_lease(sqlite_ledger) as lease:
        settings = Settings.load({"ledger": place_of(sqlite_ledger)})
        with launched(settings, sqlite_ledger, lease, Options(own_queue("somebody"), 1)) as engine:
            engine.stop()

            assert engine.claim("one") == 1
            queues = {work.id: work.queue for work in engine.active()}
    assert queues["one-more/0/a"] == queues["other/0/a"] == "orch"


def test_a_pickled_value_in_the_engines_database_is_never_read(sqlite_ledger: Ledger) -> None:
    from dbos._serialization import DBOSDefaultSerializer

    with pytest.raises(LedgerError, match="pickled"):
        DBOSDefaultSerializer.deserialize("gASVAAAAAAAAAC4=")


def test_the_engines_database_is_its_owners_alone(sqlite_ledger: Ledger) -> None:
    with engine_of(sqlite_ledger):
        pass

    assert not (sqlite_ledger.folder / "engine.db").stat().st_mode & 0o077


def test_a_process_that_gave_its_work_back_ends_at_once(crew: Drill) -> None:
    worker = crew.worker()

    start = time.monotonic()
    worker.terminate()
    worker.wait(PATIENCE_S)

    assert time.monotonic() - start < 5
    assert os.WEXITSTATUS(0) == worker.returncode
