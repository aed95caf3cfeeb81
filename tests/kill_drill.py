"""Kills `orch run` with SIGKILL and goes on, again and again; then counts every outward effect of every run.

    with world_in(folder) as world:                            # kill_world
        tally = drill(world, at_random(50, seed=1))
        assert tally.wrong == []

Four ways to die: where an event about an action is recorded, so that every state of the outbox is met; at the n-th
point within the process where something becomes durable or leaves it; at the n-th COMMIT of its server, before or after
it is done; at a random instant. Whatever is held as unknown is settled as a person would: by a look at the servers.
"""

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from kill_world import NEVER, RESENT, STEPS, TROUBLE, Kill, World

from orchestrator.ledger.open import open_ledger
from orchestrator.runs.state import Snapshot

PATIENCE_S = 180.0
"""For one run, all of its kills included."""
_ENDS = frozenset({"delivered", "permanent"})
_OPEN = "SELECT name, target, state FROM actions WHERE run_id = ? AND state NOT IN ('delivered', 'permanent')"
_BEGUN = "SELECT run_id, name, state FROM actions WHERE state IN ('dispatching', 'unknown', 'planned')"


@dataclass
class Tally:
    """What came of a drill."""

    runs: int = 0
    kills: int = 0
    delivered: int = 0
    """Effects that were there once."""
    held: int = 0
    """Effects that were held as unknown and settled by a look at the servers."""
    resent: int = 0
    """Effects that were there more than once, where the plan allows it."""
    verified: int = 0
    """Ledgers that were verified in the end."""
    ways: Counter[str] = field(default_factory=Counter)
    """How often a kill came in which way."""
    met: Counter[str] = field(default_factory=Counter)
    """State and step of each action that a kill left begun and not over."""
    twice: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    """Runs that did not end well, and what was said."""
    odd: list[str] = field(default_factory=list)
    """What nobody expected: another exit code, an unknown that could have been looked up, a damaged ledger."""

    @property
    def wrong(self) -> list[str]:
        """Everything that must not be."""
        return [f"{what}: {one}" for what in ("twice", "lost", "open", "odd") for one in getattr(self, what)]

    def add(self, other: Self) -> None:
        """Count another drill to this one."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return vars(self) | {"met": dict(self.met), "ways": dict(self.ways)}

    @classmethod
    def of(cls, said: dict[str, Any]) -> Self:
        """Return what `to_json` gave."""
        return cls(**said | {"met": Counter(said["met"]), "ways": Counter(said["ways"])})


def at_states(steps: Iterable[str] = STEPS) -> list[Kill]:
    """Return the kills right before and right after what is recorded of every step, trouble included."""
    kills = []
    for step in steps:
        end = {"refused": "permanent"}.get(step, "delivered")
        kills += [Kill(step=step, verb=verb) for verb in ("planned", "dispatching", end)]
        kills += [Kill(step=step, verb=verb, is_done=False) for verb in ("dispatching", end)]
    troubles = (("hook", "retryable"), (RESENT, "unknown"))
    return kills + [Kill(step=step, verb=verb, is_done=done) for step, verb in troubles for done in (True, False)]


def needs_trouble(kill: Kill) -> bool:
    """Return whether only a run with trouble comes to this."""
    return kill.verb in {"retryable", "unknown"}


def at_each(first: Iterable[Kill], *, seed: int, most: int = 2) -> Iterator[tuple[Kill, ...]]:
    """Yield how runs are killed: each first as given, and then up to so often at random in all."""
    chance = random.Random(seed)  # noqa: S311  # a drill that can be run again
    for one in first:
        yield (one, *(random_kill(chance) for _ in range(chance.randint(0, most - 1))))


def at_random(count: int, *, seed: int, most: int = 3) -> Iterator[tuple[Kill, ...]]:
    """Yield how so many runs are killed at random, each up to so often."""
    chance = random.Random(seed)  # noqa: S311  # a drill that can be run again
    for _ in range(count):
        yield tuple(random_kill(chance) for _ in range(chance.randint(1, most)))


def random_kill(chance: random.Random, *, points: int = 60, longest_s: float = 2.5) -> Kill:
    """Return a kill at some point, of so many, or at some instant."""
    if chance.random() < 0.5:
        return Kill(point=chance.randint(1, points))
    return Kill(after_s=chance.uniform(0.2 * longest_s, longest_s))


def drill(
    world: World,
    runs: Iterable[Sequence[Kill]],
    *,
    prefix: str = "r",
    enough: int = 1_000_000,
    plan: Path | None = None,
    tell: Callable[[Tally], None] = lambda _: None,
) -> Tally:
    """Begin runs, kill each in turn and go on with it, until they are over or there were enough kills; count effects.

    Every third run has trouble, every fourth is followed by an issue; with a plan of one's own none is followed. `tell`
    is given the tally after each run, but for its effects, which are counted at the end.
    """
    tally, tracked = Tally(), []
    names = []
    for number, kills in enumerate(runs):
        has_trouble = number % 3 == 2 or any(map(needs_trouble, kills))
        names.append(f"{prefix}{number:04}{TROUBLE if has_trouble else ''}")
        if plan is None and number % 4 == 3:
            tracked.append(names[-1])
        tally.runs += 1
        usual = world.tracked if names[-1] in tracked else world.plan
        _Run(world, names[-1], tally).drill(kills, plan or usual)
        tell(tally)
        if tally.kills >= enough:
            break
    counted(world, names, tally, tracked=tracked)
    verify(world, tally)
    return tally


class Carried:
    """One run of a drill."""

    usual = frozenset({0, 4})
    """How a process ends that nobody killed: done, or it waits for a person."""

    def __init__(self, world: World, name: str, tally: Tally) -> None:
        self.world, self.name, self.tally = world, name, tally

    def one(self, arguments: tuple[object, ...], kill: Kill, until_s: float) -> tuple[bool, str]:
        """Carry one process to its end, and return whether that was a kill, and what it said."""
        process = self.world.begin(*arguments, kill=kill)
        limit_s = kill.after_s or max(1.0, until_s - time.monotonic())
        try:
            said, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
        text = said.decode(errors="replace")
        was_killed = process.returncode < 0
        if was_killed:
            self.tally.kills += 1
            self.tally.ways[kill.way] += 1
            self._note(kill)
        elif process.returncode not in self.usual or "Traceback" in text:
            self.tally.odd.append(f"{self.name} {arguments[0]} {kill}: exit {process.returncode}: {text[-600:]}")
        return was_killed, text

    def _note(self, kill: Kill) -> None:
        """Note which states a kill left, and of what was begun whether it is done."""
        world = self.world
        with open_ledger(world.ledger, must_exist=True) as ledger, ledger.store.reading() as connection:
            rows = [tuple(map(str, row)) for row in connection.execute(_OPEN, (self.name,))]
        effects = world.effects() if any(state == "dispatching" for *_, state in rows) else Counter()
        met = [f"{kill.verb}|{kill.step}"] if kill.is_done and kill.verb in _ENDS else []
        for name, target, state in rows:
            phase, _, step = name.partition("/")
            step = (step if phase in world.steps.values() else phase).partition(".")[0]
            effect = world.effect_of(step, target)
            told = ", done" * bool(effects[f"{effect} {self.name}"]) or ", not done"
            is_seen = effect in {*world.once, RESENT}
            met.append(f"{state}{told if state == 'dispatching' and is_seen else ''}|{effect}")
        self.tally.met.update(met or ["none in hand|"])


class _Run(Carried):
    """One run of a plan."""

    def drill(self, kills: Sequence[Kill], plan: Path) -> None:
        """Go on until the run ends and all is told of it."""
        until_s = time.monotonic() + PATIENCE_S
        arguments: tuple[object, ...] = ("run", plan, "--run", self.name)
        left, said, odd = [*kills], "", len(self.tally.odd)
        is_over, seen = False, None
        while time.monotonic() < until_s:
            kill = left[0] if left else NEVER
            was_killed, said = self.one(arguments, kill, until_s)
            is_over, seen = self.world.is_over(self.name), self.world.look(self.name)
            if kill.step and not was_killed and is_over:
                self.tally.odd.append(f"{self.name} never came to {kill}: {said[-600:]}")
            if is_over or len(self.tally.odd) > odd:
                break
            if was_killed or not kill.step:  # one that waits comes there later
                left = left[1:]
            arguments = self._next(seen) if seen is not None else arguments
        if seen is None or seen.state != "succeeded" or not is_over:
            state = "it never began" if seen is None else f"{seen.state} {seen.reason} {seen.waiting_for}"
            self.tally.open.append(f"{self.name} after {kills}: {state}; {said[-600:]}")

    def _next(self, seen: Snapshot) -> tuple[object, ...]:
        """Return how to go on: with a word on what is held as unknown, after a look at the servers."""
        for one in seen.waiting_for if seen.state == "waiting" else ():
            if one["type"] != "unknown":
                continue
            step = one["step"].rpartition("/")[2]
            if step not in self.world.held:
                self.tally.odd.append(f"{self.name}: {one['step']} is held as unknown")
                continue
            self.tally.held += 1
            flag = "--delivered" if self.world.happened(step, self.name) else "--resend"
            return ("resume", self.name, flag, one["step"])
        return ("resume", self.name)


def counted(world: World, names: Sequence[str], tally: Tally, *, tracked: Sequence[str]) -> None:
    """Count the effects of runs; `tracked` are those that an issue follows."""
    effects = world.effects()
    wanted = {f"{step} {name}" for name in names for step in world.once} | {f"follow {name}" for name in tracked}
    comments = {one for one in effects if one.startswith("comment ")}
    resent = [f"{RESENT} {name}" for name in names]
    tally.twice = sorted(f"{one} ({effects[one]})" for one in wanted | comments if effects[one] > 1)
    tally.lost = sorted(one for one in (*wanted, *resent) if not effects[one])
    tally.resent = sum(effects[one] > 1 for one in resent)
    tally.delivered = sum(effects[one] == 1 for one in (*wanted, *comments, *resent))


def verify(world: World, tally: Tally) -> None:
    """Look whether the ledger is whole, and nothing is left of those that were killed."""
    done = world.place.orch("ledger", "verify")
    if done.returncode or not done.stdout.startswith("verified"):
        tally.odd.append(f"orch ledger verify: exit {done.returncode}: {done.stdout[-600:]}{done.stderr[-600:]}")
    else:
        tally.verified += 1
    with open_ledger(world.ledger, must_exist=True) as ledger, ledger.store.reading() as connection:
        rows = connection.execute(_BEGUN)
    tally.odd += [f"{run} {name} is {state} after the end" for run, name, state in rows]
