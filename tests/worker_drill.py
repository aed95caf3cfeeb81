"""Several `orch worker` on one ledger, of which one is killed or stopped in mid-step; another must go on in good time.

    with world_in(folder) as world:                                    # kill_world
        outcome = killed(world, "k1")
        assert outcome.wrong == []

The step is a webhook that answers late, so that nobody can know what became of it: it is held, and settled by a look.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from command_line import clean, command
from kill_drill import Tally, counted
from kill_world import SLOW_S, World

from orchestrator import clock
from orchestrator.ledger.open import open_ledger

_PATIENCE_S = 180.0
_HOLDER = "SELECT executor FROM actions WHERE run_id = ? AND name = 'first/hook' AND state = 'dispatching'"


class Outcome(NamedTuple):
    """What came of one drill."""

    taken_over_s: float
    """From the signal until another worker had the phase."""
    gone_on_s: float
    """From the signal until it had gone on as far as anybody can: the step is held as unknown."""
    runs: int
    wrong: list[str]


class Crew:
    """Workers on one ledger."""

    def __init__(self, world: World, stack: ExitStack) -> None:
        self.world = world
        self._stack = stack
        self._told: list[Path] = []
        self.workers: list[subprocess.Popen[bytes]] = []

    def hire(self, count: int = 1, **environ: str) -> "subprocess.Popen[bytes]":
        """Take so many workers on; return the last of them, when all have begun to work."""
        for _ in range(count):
            told = self.world.place.folder / f"worker-{time.monotonic_ns()}"
            with told.open("wb") as file:
                worker = subprocess.Popen(
                    command("worker", "--poll", "0.5"),
                    cwd=self.world.checkout,
                    env=self.world.place.environ | environ,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                )
            self._stack.callback(_end, worker)
            self._told.append(told)
            self.workers.append(worker)
        self.until(lambda: all(b'"started"' in told.read_bytes() for told in self._told), "the workers start")
        return self.workers[-1]

    def leave(self, *names: str) -> None:
        """Begin runs and leave them to the workers."""
        world = self.world
        for name in names:
            done = world.place.orch("run", world.plan, "--run", name, "--detach", cwd=world.checkout)
            assert done.returncode == 0, clean(done)

    def until(self, met: Callable[[], object], what: str) -> None:
        """Wait until something became true."""
        end_s = time.monotonic() + _PATIENCE_S
        while not met():
            assert time.monotonic() < end_s, f"{what}: not within {_PATIENCE_S} s\n{self.said()}"
            time.sleep(0.05)

    def holder(self, name: str) -> int:
        """Return the process that is at the webhook of a run."""
        with open_ledger(self.world.ledger, must_exist=True) as ledger, ledger.store.reading() as connection:
            rows = connection.execute(_HOLDER, (name,))
        assert rows, "nobody is at the webhook any more"
        return int(str(rows[0][0]).rsplit("-", 4)[2])

    def is_held(self, name: str) -> bool:
        """Return whether a run waits for a word on its webhook."""
        seen = self.world.look(name)
        return (
            seen is not None and seen.state == "waiting" and any(one["type"] == "unknown" for one in seen.waiting_for)
        )

    def settle(self, name: str) -> None:
        """Say what became of a webhook, after a look at its server."""
        flag = "--delivered" if self.world.happened("hook", name) else "--resend"
        done = self.world.place.orch("resume", name, flag, "first/hook", "--detach", cwd=self.world.checkout)
        assert done.returncode == 0, clean(done)

    def taken_over_s(self, since: float) -> float:
        """Return how many seconds after a moment somebody took over first."""
        events = [json.loads(line) for line in self.said().splitlines() if line.startswith("{")]
        at = [clock.parse_time(one["at"]) / clock.SECOND_NS for one in events if one["event"] == "taken over"]
        return min(at, default=float("inf")) - since

    def said(self) -> str:
        """Return what all workers told."""
        return "\n".join(told.read_text(errors="replace") for told in self._told)


def _end(worker: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        worker.kill()
    worker.wait()


@contextmanager
def _crew_of(world: World, slow: str = "") -> Iterator[Crew]:
    """Give a crew without workers; the webhook of the run `slow` answers late."""
    world.hooks.slow = slow
    with ExitStack() as stack:
        yield Crew(world, stack)


def killed(world: World, name: str, *, workers: int = 3) -> Outcome:
    """Kill the worker that is at the webhook of a run."""
    with _crew_of(world, name) as crew:
        crew.hire(workers)
        names, holder = _begun(crew, name)
        os.kill(holder, signal.SIGKILL)
        return _outcome(crew, names, time.time())


def killed_and_stopped(world: World, name: str) -> Outcome:
    """Of two workers, kill the one that is at the webhook of a run while the other is stopped; that one goes on then."""
    with _crew_of(world, name) as crew:
        crew.hire(2)
        names, holder = _begun(crew, name)
        other = next(worker.pid for worker in crew.workers if worker.pid != holder)
        os.kill(other, signal.SIGSTOP)
        os.kill(holder, signal.SIGKILL)
        start = time.time()
        time.sleep(SLOW_S / 2)
        os.kill(other, signal.SIGCONT)
        return _outcome(crew, names, start)


def stopped(world: World, name: str) -> Outcome:
    """Of two workers, stop the one that is at the webhook of a run; it goes on when the other has taken over."""
    with _crew_of(world, name) as crew:
        crew.hire(2)
        names, holder = _begun(crew, name)
        os.kill(holder, signal.SIGSTOP)
        start = time.time()

        def go_on() -> None:
            os.kill(holder, signal.SIGCONT)

        return _outcome(crew, names, start, woken=holder, settled=go_on)


def stopped_before(world: World, name: str) -> Outcome:
    """Stop a worker right before it connects; another does the step, and only when the run is over it goes on."""
    with _crew_of(world) as crew:
        first = crew.hire(DRILL_POINT=f"port {world.hooks.server.port}", DRILL_SIGNAL=str(int(signal.SIGSTOP)))
        crew.leave(name)
        crew.until(lambda: _is_stopped(first.pid), "the worker stops")
        start = time.time()
        crew.hire()

        def go_on() -> None:
            os.kill(first.pid, signal.SIGCONT)

        return _outcome(crew, [name], start, woken=first.pid, ended=go_on)


def _begun(crew: Crew, name: str) -> tuple[list[str], int]:
    """Begin two runs, return their names, that of the one to spoil first, and who is at its webhook."""
    names = [name, f"{name}-beside"]
    crew.leave(*reversed(names))
    crew.until(lambda: crew.world.happened("hook", name), "the webhook is called")
    return names, crew.holder(name)


def _outcome(
    crew: Crew,
    names: Sequence[str],
    start: float,
    *,
    woken: int = 0,
    settled: Callable[[], None] = lambda: None,
    ended: Callable[[], None] = lambda: None,
) -> Outcome:
    """See that another takes over, settle what nobody knows, and wait until all runs and who was woken have ended."""
    crew.until(lambda: crew.is_held(names[0]), "another worker takes over")
    gone_on_s = time.time() - start
    settled()
    crew.settle(names[0])
    crew.until(lambda: all(map(crew.world.is_over, names)), "the runs end")
    ended()
    if woken:
        worker = next(one for one in crew.workers if one.pid == woken)
        crew.until(lambda: worker.poll() is not None, "who was taken over from ends")
    return Outcome(crew.taken_over_s(start), gone_on_s, len(names), _wrong(crew, names))


def _wrong(crew: Crew, names: Sequence[str]) -> list[str]:
    """Return what must not be: of the effects, the runs, the ledger, the workers."""
    world, tally = crew.world, Tally()
    counted(world, names, tally, tracked=())
    for name in names:
        seen = world.look(name)
        if seen is None or seen.state != "succeeded":
            tally.open.append(f"{name}: {seen.state if seen else 'never began'}")
    said = crew.said()
    if "Traceback" in said or "unexpected" in said:
        tally.odd.append(said[-2000:])
    done = world.place.orch("ledger", "verify")
    if not done.stdout.startswith("verified"):
        tally.odd.append(done.stdout + done.stderr)
    return tally.wrong


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
