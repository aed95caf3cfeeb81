"""What this installation can do: which action by which adapter. Asks the installed adapters; does nothing with them."""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from orchestrator import adapter
from orchestrator.catalogue import CATALOGUE
from orchestrator.errors import OrchError
from orchestrator.rule import METERS


class Abilities(NamedTuple):
    """Actions, adapters and meters that a plan may name."""

    adapters: Mapping[str, frozenset[str]]
    """Adapter to the actions it does."""
    broken: frozenset[str] = frozenset()
    """Adapters that are installed and cannot be loaded."""
    declared: frozenset[str] | None = None
    """Actions that packs declare; None where nobody looked."""
    meters: frozenset[str] | None = None
    """Meters that packs declare; None where nobody looked."""

    def doing(self, action: str) -> tuple[str, ...]:
        """Return the adapters that do an action."""
        return tuple(sorted(name for name, actions in self.adapters.items() if action in actions))

    def actions(self) -> frozenset[str]:
        """Return every action that some adapter does."""
        return frozenset().union(*self.adapters.values())

    def is_permitted(self, action: str) -> bool | None:
        """Return whether packs can speak of an action; None where that depends on packs nobody looked at."""
        if action in CATALOGUE:
            return True
        return None if self.declared is None else action in self.declared

    def is_meter(self, name: str) -> bool | None:
        """Return whether a budget can count in a meter; None as above."""
        if name in METERS:
            return True
        return None if self.meters is None else name in self.meters


def abilities() -> Abilities:
    """Return what can be done here; `plans.permitted` adds what packs declare."""
    return Abilities(*_installed())


@cache
def _installed() -> tuple[dict[str, frozenset[str]], frozenset[str]]:
    found, broken = {}, set()
    for name in adapter.installed():
        try:
            found[name] = adapter.named(name).actions
        except OrchError:  # told by whoever needs it
            broken.add(name)
    return found, frozenset(broken)
