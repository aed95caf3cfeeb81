"""Kills `orch run` and `orch worker` with SIGKILL, hundreds of times, and counts what happened on real servers.

    python bench/kill.py [--tick] [--kills 300] [--postgres] [--seed 1] [--drills 3] [--write]

Several drills side by side, each with servers, a ledger and a checkout of its own. A run is killed where an event of
one of its actions is recorded, right before and right after, so that every state of the outbox is met at every step;
then at points spread over all at which something becomes durable or leaves the process; then at random instants; and
often once more while somebody goes on with it. At last workers: one is killed in mid-step, one is stopped and goes on
when another has taken over. The exit code is 1 if an effect was there twice that must not be, or is missing, if a run
did not end, a ledger does not verify, or a take-over came too late.

With `--tick` it is `orch tick` that is killed, cycle after cycle of an escalation, and ticked again.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import tick_drill
import worker_drill
from kill_drill import Tally, at_each, at_random, at_states, drill
from kill_points import server_trap
from kill_world import NEVER, Kill, World, world_in
from postgres_server import binaries, server
from report import table, with_section
from tick_world import TickWorld, tick_world_in

from orchestrator.ledger.open import open_ledger

TITLE, TITLE_OF_TICKS = "Kill drill", "Kill drill of ticks"
"""Of `report.APART`."""
_RESULTS = Path(__file__).resolve().with_name("RESULTS.md")
_LOOK_S = 15.0
_GOALS = {"killed": 15.0, "stopped": 60.0}
"""Until another worker has taken over, seconds."""
_WAYS = {
    "state": "where an event of an action is recorded",
    "point": "at a point within the process",
    "commit": "at a COMMIT on the server, before or after it",
    "instant": "at a random instant",
}
_STATES = (
    "none in hand", "planned", "dispatching, not done", "dispatching, done", "dispatching", "unknown", "retryable",
    "permanent", "delivered",
)  # fmt: skip


# -- one drill, a process of its own


def one(given: argparse.Namespace) -> None:
    """Run one drill and tell what comes of it in JSON Lines."""
    share, drills = map(int, given.share.split("/"))
    seed, most = given.seed * 1000 + share, -(-given.kills // drills)
    with ExitStack() as stack:
        short = tempfile.TemporaryDirectory(prefix="okd", dir="/tmp")  # sockets want short paths
        folder, ledger, trap = Path(stack.enter_context(short)), "", None
        if given.postgres:
            on = stack.enter_context(server())
            ledger, trap = on.url(on.database()), stack.enter_context(server_trap(on.folder))
            open_ledger(ledger, as_owner=True).close()
        if given.tick:
            _tick(stack.enter_context(tick_world_in(folder, ledger=ledger, trap=trap)), share, drills, seed, most)
            return
        world = stack.enter_context(world_in(folder, ledger=ledger, trap=trap))
        states, points = at_states()[share::drills], _points(world, seed, most // 4)
        ways = chain(at_each(states, seed=seed), at_each(points, seed=seed + 1), at_random(most, seed=seed))
        tally = drill(world, ways, prefix=f"d{share}-", enough=most, tell=_tell)
        _tell(tally)
        if trap is not None:
            trap.arm()
        _work(world, share)


def _tick(world: TickWorld, share: int, drills: int, seed: int, most: int) -> None:
    """Run one drill of ticks: at every state, at points of one of a cycle's first ticks, at random."""
    chance = random.Random(seed)  # noqa: S311  # a drill that can be run again
    points = ((*[NEVER] * chance.randint(0, 2), one) for one in _points(world, seed, most // 4))
    states = tick_drill.at_each(tick_drill.at_states()[share::drills], seed=seed)
    ways = chain(states, points, tick_drill.at_random(most, seed=seed))
    _tell(tick_drill.drill(world, ways, enough=most, seed=seed, tell=_tell))


def _points(world: World, seed: int, most: int) -> list[Kill]:
    """Return some of the points that a run has, picked at random."""
    world.points("warm")
    last = world.points("count")
    every = [Kill(point=number) for number in range(1, last.point + 1)]
    every += [Kill(commit=number) for number in range(1, last.commit + 1)]
    return random.Random(seed).sample(every, min(most, len(every)))  # noqa: S311  # a drill that can be run again


def _work(world: World, share: int) -> None:
    """Spoil workers, and tell what comes of each time."""
    drills = [("killed", worker_drill.killed), ("killed", worker_drill.killed_and_stopped)]
    drills.append(("stopped", (worker_drill.stopped, worker_drill.stopped_before)[share % 2]))
    for number, (how, spoil) in enumerate(drills):
        name = f"w{share}-{number}"
        try:
            print(json.dumps({"how": how, "outcome": spoil(world, name)._asdict()}), flush=True)
        except AssertionError as error:
            print(json.dumps({"how": how, "failed": f"{name} {spoil.__name__}: {error}"}), flush=True)


def _tell(tally: Tally) -> None:
    print(json.dumps({"tally": tally.to_json()}), flush=True)


# -- all drills on one kind of ledger


class Drills:
    """Several drills side by side on one kind of ledger."""

    def __init__(self, given: argparse.Namespace, *, is_postgres: bool) -> None:
        self.what = "PostgreSQL" if is_postgres else "SQLite"
        self.count, self.asked, self.is_tick = given.drills, given.kills, given.tick
        self.tallies: dict[int, Tally] = {}
        self.workers: list[tuple[str, dict[str, Any]]] = []
        self.failures: list[str] = []
        self.seconds = 0.0
        self._threads = [
            threading.Thread(target=self._follow, args=(share, self._command(given, share)))
            for share in range(given.drills)
        ]

    def run(self) -> None:
        """Carry them out, and tell now and then how far they are."""
        began = time.monotonic()
        for thread in self._threads:
            thread.start()
        while any(thread.is_alive() for thread in self._threads):
            until_s = time.monotonic() + _LOOK_S
            for thread in self._threads:
                thread.join(max(0.0, until_s - time.monotonic()))
            self.seconds = time.monotonic() - began
            tally = self.tally
            told = f"{tally.runs} runs, {tally.kills} kills, {len(self.workers)} workers, {len(self.wrong)} wrong"
            print(f"{self.what} {self.seconds:5.0f} s: {told}", file=sys.stderr, flush=True)

    @property
    def tally(self) -> Tally:
        """What was told of runs so far."""
        total = Tally()
        for tally in list(self.tallies.values()):
            total.add(tally)
        return total

    @property
    def wrong(self) -> list[str]:
        """Everything that must not be."""
        said = [*self.failures, *self.tally.wrong]
        for how, outcome in list(self.workers):
            said += [f"{how}: {one}" for one in outcome["wrong"]]
        said += [
            f"{how}: taken over after {max(self.times(how)):.1f} s, goal {goal:.0f} s"
            for how, goal in _GOALS.items()
            if max(self.times(how), default=0.0) > goal
        ]
        return said

    def times(self, how: str) -> list[float]:
        """Return how long it took to take over from the workers that were killed, or stopped; seconds."""
        return [outcome["taken_over_s"] for one, outcome in list(self.workers) if one == how]

    def _command(self, given: argparse.Namespace, share: int) -> list[str]:
        command = [sys.executable, __file__, "--share", f"{share}/{given.drills}", "--seed", str(given.seed)]
        command += ["--tick"] * given.tick
        return [*command, "--kills", str(given.kills), *["--postgres"] * (self.what == "PostgreSQL")]

    def _follow(self, share: int, command: list[str]) -> None:
        errors: deque[str] = deque(maxlen=30)  # servers tell of every client that was killed
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            threading.Thread(target=errors.extend, args=(process.stderr,), daemon=True).start()
            for line in process.stdout or ():
                self._hear(share, json.loads(line))
        if process.returncode:
            self.failures.append(f"drill {share} itself failed: exit {process.returncode}: {''.join(errors)}")

    def _hear(self, share: int, said: dict[str, Any]) -> None:
        if "tally" in said:
            self.tallies[share] = Tally.of(said["tally"])
        elif "failed" in said:
            self.failures.append(said["failed"])
        else:
            self.workers.append((said["how"], said["outcome"]))


# -- what is printed


def section(drills: Sequence[Drills], date: str) -> str:
    """Return the section of `RESULTS.md`."""
    is_tick = drills[0].is_tick
    lines = [f"## {TITLE_OF_TICKS if is_tick else TITLE}", "", _about(drills, date)]
    ways = [(said, *(str(one.tally.ways[way]) for one in drills)) for way, said in _WAYS.items()]
    kills = ("all", *(str(one.tally.kills) for one in drills))
    lines += [
        "",
        *table([(f"`orch {'tick' if is_tick else 'run'}` was killed", *(one.what for one in drills)), *ways, kills]),
    ]
    lines += ["", *table([("outbox state that a kill left", "ledger", "actions", "steps"), *_left(drills)])]
    lines += ["", *table([("what came of it", *(one.what for one in drills)), *_came(drills)])]
    lines += [f"\nWRONG ({one.what}): {wrong}" for one in drills for wrong in one.wrong]
    return "\n".join(lines) + "\n"


def _about(drills: Sequence[Drills], date: str) -> str:
    kills = sum(one.asked for one in drills)
    how = f"{' --tick' * drills[0].is_tick} --kills {kills}{' --postgres' * (len(drills) > 1)}"
    called = f"`python bench/kill.py{how}`"
    if drills[0].is_tick:
        return f"""{called} on {date}.
Every cycle has twelve deeds in three stages, by every adapter: a mail and a message by Apprise to the operator, a
webhook; a mail to two custodians, a command, webhooks (one refused for good, one that may be resent); a file, a GitHub
issue, a branch, a commit, a push. In every third cycle one webhook is first refused for now and the first reply of one
is lost; in every fourth the command that begins it is killed, too. Effects are counted by the servers. After a kill
comes the next tick, and is often killed, too; what is held as unknown is settled by a look at the server."""
    return f"""{called} on {date}.
Every run has ten actions in three phases: a file, a command, webhooks (one refused for good, one that may be resent;
in every third run one that is first refused for now and one whose first reply is lost), a mail, a GitHub issue, a
branch, a commit, a push; every fourth run is followed by an issue. Effects are counted by the servers. After a kill
somebody goes on with `orch resume`, and is often killed, too; what is held as unknown is settled by a look at the
server."""


def _left(drills: Sequence[Drills]) -> Iterator[tuple[str, ...]]:
    for state in _STATES:
        for one in drills:
            steps = Counter(
                {met.partition("|")[2]: count for met, count in one.tally.met.items() if met.partition("|")[0] == state}
            )
            shown = ", ".join(f"{step} {count}" for step, count in steps.most_common() if step)
            if steps:
                yield state, one.what, str(steps.total()), shown or "-"


def _came(drills: Sequence[Drills]) -> Iterator[tuple[str, ...]]:
    def row(what: str, cells: Sequence[object]) -> tuple[str, ...]:
        return (what, *map(str, cells))

    tallies = [one.tally for one in drills]
    is_tick = drills[0].is_tick
    yield row(
        "cycles, ended" if is_tick else "runs, ended", [f"{one.runs}, {one.runs - len(one.open)}" for one in tallies]
    )
    yield row("effects that were there once", [one.delivered for one in tallies])
    yield row("more than once, as `on_unknown: resend` says", [one.resent for one in tallies])
    yield row("held as unknown, settled by a look", [one.held for one in tallies])
    yield row("twice that must not be", [len(one.twice) for one in tallies])
    yield row("lost", [len(one.lost) for one in tallies])
    yield row("anything else unexpected", [len(one.odd) + len(all_.failures) for one, all_ in _both(tallies, drills)])
    yield row("ledgers, verified", [f"{all_.count}, {one.verified}" for one, all_ in _both(tallies, drills)])
    if not is_tick:
        for how, goal in _GOALS.items():
            said = f"workers {how} in mid-step, until another had taken over (goal {goal:.0f} s)"
            yield row(said, [_times(one.times(how)) for one in drills])
        yield row("runs of workers, twice or lost or not ended", [_of_workers(one) for one in drills])
    yield row("seconds in all", [round(one.seconds) for one in drills])


def _both(tallies: Sequence[Tally], drills: Sequence[Drills]) -> Iterator[tuple[Tally, Drills]]:
    return zip(tallies, drills, strict=True)


def _times(times: Sequence[float]) -> str:
    if not times:
        return "none"
    return f"{len(times)}: median {statistics.median(times):.1f} s, worst {max(times):.1f} s"


def _of_workers(one: Drills) -> str:
    outcomes = [outcome for _, outcome in one.workers]
    return f"{sum(outcome['runs'] for outcome in outcomes)}, {sum(len(outcome['wrong']) for outcome in outcomes)}"


def main() -> int:
    """Run the drills on one kind of ledger after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tick", action="store_true", help="kill ticks of an escalation, and not runs and workers")
    parser.add_argument("--kills", type=int, default=300, help="of runs in all (300); workers come on top")
    parser.add_argument("--postgres", action="store_true", help="half of them on a throw-away PostgreSQL server")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--drills", type=int, default=3, help="side by side (3)")
    parser.add_argument("--write", action="store_true", help=f"put what is printed into bench/{_RESULTS.name}, too")
    parser.add_argument("--share", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.share:
        one(given)
        return 0
    if given.postgres and binaries() is None:
        parser.error("PostgreSQL is not installed")
    given.kills = -(-given.kills // (1 + given.postgres))
    all_drills = []
    for on_server in (False, True)[: 1 + given.postgres]:
        all_drills.append(Drills(given, is_postgres=on_server))
        all_drills[-1].run()
    text = section(all_drills, time.strftime("%Y-%m-%d", time.gmtime()))
    print(text)
    if given.write and not any(drills.failures for drills in all_drills):  # one that itself failed shows nothing
        title = TITLE_OF_TICKS if given.tick else TITLE
        _RESULTS.write_text(with_section(_RESULTS.read_text(encoding="utf-8"), title, text), encoding="utf-8")
    return int(any(drills.wrong for drills in all_drills))


if __name__ == "__main__":
    sys.exit(main())
