"""Kills `orch tick` with SIGKILL and ticks again, cycle after cycle; then counts every outward effect of every cycle.

    with tick_world_in(folder) as world:                       # tick_world
        tally = drill(world, at_random(50, seed=1))
        assert tally.wrong == []

A cycle is begun, ticked at the time of each stage, killed on the way, and ticked again a minute later while anything is
owed. What is held as unknown is settled as a person would: by a look at the servers, and by `orch resume`.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from kill_drill import PATIENCE_S, Carried, Tally, counted, needs_trouble, verify
from kill_drill import at_states as states_of
from kill_drill import random_kill as kill_of
from kill_world import NEVER, RESENT, Kill
from tick_world import CUSTODIANS, NAME, STAGES, TickWorld, due_ns

from orchestrator.clock import SECOND_NS, format_time
from orchestrator.escalations.kept import Record

_MINUTE_NS = 60 * SECOND_NS
_KEY_CHARS = 12
_POINTS, _LONGEST_S = 35, 1.5
"""How many points a tick has, and how long it takes, about."""


def at_states() -> list[Kill]:
    """Return the kills right before and right after what is recorded of every deed for every recipient."""
    letters = [f"letter.{name.lower()}" for name in CUSTODIANS]
    return states_of([*(step for step in TickWorld.steps if step != "letter"), *letters])


def at_each(first: Iterable[Kill], *, seed: int) -> Iterator[tuple[Kill, ...]]:
    """Yield how cycles are killed: each first as given, and perhaps once more at random."""
    chance = random.Random(seed)  # noqa: S311  # a drill that can be run again
    for one in first:
        yield (one, *(_random_kill(chance) for _ in range(chance.randint(0, 1))))


def at_random(count: int, *, seed: int) -> Iterator[tuple[Kill, ...]]:
    """Yield how so many cycles are killed at random: of the first five processes each may be."""
    chance = random.Random(seed)  # noqa: S311  # a drill that can be run again
    for _ in range(count):
        yield tuple(_random_kill(chance) if chance.random() < 0.5 else NEVER for _ in range(5))


def _random_kill(chance: random.Random) -> Kill:
    return kill_of(chance, points=_POINTS, longest_s=_LONGEST_S)


def drill(
    world: TickWorld,
    cycles: Iterable[Sequence[Kill]],
    *,
    enough: int = 1_000_000,
    seed: int = 0,
    tell: Callable[[Tally], None] = lambda _: None,
) -> Tally:
    """Begin cycles, kill their ticks in turn until they are over or there were enough kills; count effects.

    Every third cycle has trouble, and in every fourth the command that begins it is killed, too. `tell` is given the
    tally after each cycle, but for its effects, which are counted at the end.
    """
    tally, names = Tally(), []
    chance = random.Random(seed)  # noqa: S311  # a drill that can be run again
    first = world.record.cycle + 1 if world.record is not None else 1
    for number, kills in enumerate(cycles, first):
        names.append(f"{NAME}-c{number}")
        if number % 3 == 0 or any(map(needs_trouble, kills)):
            world.hooks.troubled.add(names[-1])
        tally.runs += 1
        cycle = _Cycle(world, names[-1], tally)
        if cycle.begin(number, _random_kill(chance) if number % 4 == 0 else NEVER):
            cycle.drill(kills)
        tell(tally)
        if tally.kills >= enough:
            break
    counted(world, names, tally, tracked=())
    verify(world, tally)
    return tally


class _Cycle(Carried):
    """One cycle of the escalation."""

    usual = frozenset({0, 1})
    """Nothing is owed, or something is, or was refused for good."""
    world: TickWorld
    _at_ns = 0
    """When the last tick was."""

    def begin(self, number: int, kill: Kill) -> bool:
        """Begin it, and again where whoever does it is killed; return whether it has begun."""
        until_s = time.monotonic() + PATIENCE_S
        arguments = self.world.beginning()
        while (record := self.world.record) is None or record.cycle < number:
            _, said = self.one(arguments, kill, until_s)
            kill = NEVER
            if time.monotonic() > until_s or self.tally.odd:
                self.tally.open.append(f"{self.name} never began: {said[-600:]}")
                return False
        return record.cycle == number

    def drill(self, kills: Sequence[Kill]) -> None:
        """Tick until it stands at its end and nothing is owed."""
        until_s = time.monotonic() + PATIENCE_S
        left, said, odd = [*kills], "", len(self.tally.odd)
        while time.monotonic() < until_s:
            kill = left[0] if left else NEVER
            was_killed, said = self.one(self._next(), kill, until_s)
            if was_killed or not kill.step:  # a later tick comes there
                left = left[1:]
            is_over = self._is_over(self._record)
            if is_over and kill.step and not was_killed:
                self.tally.odd.append(f"{self.name} never came to {kill}: {said[-600:]}")
            if is_over or len(self.tally.odd) > odd:
                return
        record = self._record
        self.tally.open.append(f"{self.name} after {kills}: {record}, {self.world.owed(record)}; {said[-600:]}")

    @property
    def _record(self) -> Record:
        record = self.world.record
        assert record is not None
        return record

    def _is_over(self, record: Record) -> bool:
        return record.stage == STAGES[-1] and not record.ticker and not self.world.owed(record)

    def _next(self) -> tuple[object, ...]:
        """Return how to go on: with a word on what is held as unknown, else with the next tick."""
        record = self._record
        owed = self.world.owed(record)
        for one in owed:
            step = one.name.rpartition("/")[2]
            if one.state != "unknown" or step == RESENT:
                continue
            if step not in self.world.held:
                self.tally.odd.append(f"{self.name}: {one.name} is held as unknown")
                continue
            self.tally.held += 1
            effect, key = min(self.world.unknown(record, one.name).items())  # one recipient after the other
            flag = "--delivered" if self.world.happened(effect, self.name) else "--resend"
            return ("resume", self.name, flag, key[:_KEY_CHARS])
        place = STAGES.index(record.stage) + 1
        if self._at_ns and (owed or record.ticker or place == len(STAGES)):
            self._at_ns += _MINUTE_NS
        else:
            self._at_ns = max(self._at_ns, due_ns(record, STAGES[place]))
        return ("tick", NAME, "--now", format_time(self._at_ns))
