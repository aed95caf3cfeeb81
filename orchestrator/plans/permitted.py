"""What this installation can do under packs: their own actions and meters count, too."""

from collections.abc import Iterable

from orchestrator.draft import read_drafts
from orchestrator.plans.abilities import Abilities, abilities


def abilities_under(packs: Iterable[str]) -> Abilities:
    """Return what can be done here; `packs` are paths of packs. Without any, nobody looked at what they declare.

    Raises:
        PackError: a pack is wrong.
        UsageError: a path leads nowhere.
    """
    paths = tuple(packs)
    if not paths:
        return abilities()
    own = [pack for draft in read_drafts(paths) for pack in draft.own_packs]
    declared = frozenset(name for pack in own for name in pack.declared_actions)
    meters = frozenset(name for pack in own for name in pack.declared_meters)
    return abilities()._replace(declared=declared, meters=meters)
