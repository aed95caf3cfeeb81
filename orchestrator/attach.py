"""Attaches packs of a run to a compiled bundle: what comes out is what the same packs give from folders.

The bundle was verified before. Nothing of it changes: packs of a run are layers of their own below it, so their rows
are put behind its own, and what they may name is what it declares. Finds no packs; trusts no text of a run pack.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator import place
from orchestrator.bundle import BundleContents, library_in
from orchestrator.compile import Compiled, compile_packs
from orchestrator.errors import DecisionError
from orchestrator.link import empty, link
from orchestrator.model import Default, Layer, Pack, PackSet, Source
from orchestrator.pack import Loaded
from orchestrator.rule import METERS

_SOURCE = Source("the bundle", 0)


@dataclass(frozen=True, slots=True)
class Attached:
    """A bundle's policy and packs of a run as one."""

    compiled: Compiled
    """Its patterns are those of the run packs alone: those of the bundle were tried when it was built."""
    warnings: tuple[str, ...]
    """What lint found in the run packs; one line each."""


def attached(contents: BundleContents, runs: Sequence[Loaded]) -> Attached:
    """Return the policy of a bundle with packs of a run beside it.

    Raises:
        PackError: a run pack names what neither the bundle nor it declares, or its name is taken.
        DecisionError: the bundle was built by another version of this program, whose rules may read data otherwise.
    """
    org, policy = _declaring(contents.policy), contents.policy
    inside = [Loaded(Layer.RUN, (_pack(one["name"], Layer.RUN),)) for one in policy["packs"] if one["layer"] == "run"]
    linked = link(org, empty(Layer.REPO), [*inside, *runs], repository=None, is_claimed=False)
    own = {id(pack) for run in runs for pack in run.packs}
    added = compile_packs(PackSet(tuple(pack for pack in linked.packs if id(pack) in own)))
    if added.data["actions"] != policy["actions"] or library_in(place.resource("rego")) != contents.library:
        raise DecisionError(
            "the bundle was built by another version of orch, so packs of a run cannot be put beside it",
            advice="build it again with `orch policy build`, and sign it again",
        )
    return Attached(Compiled(_joined(policy, added.data), dict(contents.own_modules), added.patterns), linked.warnings)


def _declaring(policy: Mapping[str, Any]) -> Loaded:
    """Return a layer that declares what a bundle declares, and says nothing else."""
    declaring = replace(
        _pack("bundle", Layer.ORG),
        declared_actions=tuple(policy["declared"]),
        declared_stages=tuple(policy["stages"]),
        declared_meters=tuple(_meters(policy)),
    )
    return Loaded(Layer.ORG, (declaring,))


def _pack(name: str, layer: Layer) -> Pack:
    return Pack(name, "0.0.0", layer, Default.INHERIT, _SOURCE, "")


def _meters(policy: Mapping[str, Any]) -> Iterable[str]:
    """Return the meters that a bundle declares; one built before it said so tells those that its rules use."""
    used = (one["meter"] for rule in policy["rules"] for one in rule.get("budgets", ()))
    return policy["meters"] if "meters" in policy else sorted({*used} - {*METERS})


def _joined(policy: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of both: rows of the second behind those of the first, every number of a row following them."""
    packs, rules = len(policy["packs"]), len(policy["rules"])
    return {
        **policy,
        "digest": "",
        "packs": [*policy["packs"], *added["packs"]],
        "rules": [*policy["rules"], *({**rule, "pack": rule["pack"] + packs} for rule in added["rules"])],
        "pack_index": _tables(policy["pack_index"], added["pack_index"], packs),
        "index": _tables(policy["index"], added["index"], rules),
        "declared": sorted({*policy["declared"], *added["declared"]}),
        "meters": sorted({*_meters(policy), *added["meters"]}),
    }


def _tables(first: Any, second: Any, shift: int) -> Any:  # noqa: ANN401  # lists of numbers, at any depth
    """Return an index over both, the second's numbers shifted."""
    if isinstance(first, list) or isinstance(second, list):
        return [*(first or ()), *(number + shift for number in second or ())]
    first, second = first or {}, second or {}
    return {key: _tables(first.get(key), second.get(key), shift) for key in sorted({*first, *second})}
