"""The layers together: what one document names and another must declare. Gives the `PackSet` that is compiled."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import islice, pairwise

from orchestrator.catalogue import CATALOGUE
from orchestrator.document import MAX_PROBLEMS, shown
from orchestrator.errors import PackError, Problem
from orchestrator.glob import has_wildcard
from orchestrator.model import Layer, PackSet, Source
from orchestrator.notes import Use
from orchestrator.pack import Loaded
from orchestrator.rule import METERS
from orchestrator.waiver import unknown_names
from orchestrator.words import did_you_mean, listing

_WHERE_DECLARED = {
    "action": "declares.actions",
    "stage": "declares.stages of an org pack, or an escalation",
    "meter": "declares.meters",
}


def link(org: Loaded, repo: Loaded, runs: Sequence[Loaded], *, repository: str | None, is_claimed: bool) -> PackSet:
    """Return everything that decides, each name looked up across the layers.

    Raises:
        PackError: a name is nowhere declared, a waiver lifts what it may not, a repository's pack speaks of another
            repository, or two run packs have one name; with every problem.
    """
    problems = _unknown_uses(org, [org, repo, *runs])
    problems += _foreign_repositories(repo, repository)
    problems += _waiver_problems(org)
    problems += _same_names(runs)
    stages, contradictions = _stages(org)
    problems += contradictions
    if problems:
        raise PackError(problems)
    org_packs, repo_packs = (sorted(layer.packs, key=lambda pack: pack.name) for layer in (org, repo))
    run_packs = sorted((pack for run in runs for pack in run.packs), key=lambda pack: pack.name)
    warnings = [str(warning) for layer in (org, repo, *runs) for warning in layer.warnings]
    return PackSet(
        packs=(*org_packs, *repo_packs, *run_packs),
        waivers=tuple(sorted(org.waivers, key=lambda waiver: waiver.name)),
        roster=org.roster,
        repository=repository,
        is_claimed=is_claimed,
        warnings=tuple(warnings),
        escalations=tuple(sorted(org.escalations, key=lambda one: one.name)),
        stages=stages if org.escalations else (),
    )


def _stages(org: Loaded) -> tuple[tuple[str, ...], list[Problem]]:
    """Return every stage after those that come before it somewhere, and who says the contrary of another.

    Of stages that nobody puts in an order, those of packs come first, then those of escalations by name.
    """
    orders = [(pack.declared_stages, pack.source) for pack in org.packs if pack.declared_stages]
    orders += [(one.stages, one.source) for one in sorted(org.escalations, key=lambda one: one.name)]
    before: dict[str, set[str]] = {}
    problems: list[Problem] = []
    for names, source in orders:
        added = {name: set(before.get(name, ())) for name in {*before, *names}}
        for earlier, later in pairwise(names):
            added[later].add(earlier)
        try:
            TopologicalSorter(added).prepare()
        except CycleError as error:
            circle = ", ".join(shown(name) for name in names if name in error.args[1])
            expected = "the order that packs and other escalations give them"
            problems.append(_problem(source, f"stages in another order than elsewhere: {circle}", expected))
            continue
        before = added
    return tuple(_in_order(before, [name for names, _ in orders for name in names])), problems


def _in_order(before: Mapping[str, set[str]], wished: Sequence[str]) -> Iterator[str]:
    """Yield names, each after those before it; where several can come, the one that was named first."""
    ranks: dict[str, int] = {}
    for name in wished:
        ranks.setdefault(name, len(ranks))
    sorter = TopologicalSorter(before)
    sorter.prepare()
    ready: list[str] = []
    while sorter.is_active():
        ready += sorter.get_ready()
        ready.sort(key=lambda name: ranks.get(name, len(ranks)))
        name = ready.pop(0)
        yield name
        sorter.done(name)


def _unknown_uses(org: Loaded, layers: Iterable[Loaded]) -> list[Problem]:
    """Return the actions, stages and meters that nobody declares."""
    known = {
        "action": {*CATALOGUE, *(name for pack in org.packs for name in pack.declared_actions)},
        "stage": {
            *(name for pack in org.packs for name in pack.declared_stages),
            *(name for escalation in org.escalations for name in escalation.stages),
        },
        "meter": {*METERS, *(name for pack in org.packs for name in pack.declared_meters)},
    }
    found = (
        _unknown(use, known[use.kind] | set(use.own))
        for layer in layers
        for use in layer.uses
        if use.kind in known and use.name not in known[use.kind] and use.name not in use.own
    )
    return list(islice(found, MAX_PROBLEMS))


def _unknown(use: Use, known: set[str]) -> Problem:
    expected = f"one of {listing(sorted(known))}" if known else f"a {use.kind} that is declared"
    advice = did_you_mean(use.name, known) or f"a new name is declared under {_WHERE_DECLARED[use.kind]}"
    return _problem(use.source, f"the unknown {use.kind} {shown(use.name)}", expected, advice)


def _problem(source: Source, seen: str, expected: str, advice: str = "") -> Problem:
    return Problem(source.file, source.line, source.column, seen, expected, advice)


def _foreign_repositories(repo: Loaded, repository: str | None) -> list[Problem]:
    """Return patterns by which a repository's pack speaks of anything but that repository."""
    advice = "its packs apply to that repository only: leave `repositories` out"
    return [
        _problem(use.source, f"the repository {shown(use.name)} in a repository's pack", "no other repository", advice)
        for use in repo.uses
        if use.kind == "repository" and (has_wildcard(use.name) or use.name.lower() != (repository or "").lower())
    ]


def _waiver_problems(org: Loaded) -> list[Problem]:
    rules = {f"{pack.name}/{rule.id}": rule for pack in org.packs for rule in pack.rules} if org.waivers else {}
    people = {entry.name for entry in org.roster}
    return [
        problem
        for waiver, document in zip(org.waivers, org.waiver_documents, strict=True)
        for problem in unknown_names(waiver, document, rules, people)
    ]


def _same_names(runs: Sequence[Loaded]) -> list[Problem]:
    found, seen = [], dict[str, Source]()
    for pack in (pack for run in runs for pack in run.packs):
        if pack.name in seen:
            advice = f"the first is at {seen[pack.name]}"
            found.append(
                _problem(pack.source, f"a second run pack {shown(pack.name)}", "run packs of different names", advice)
            )
        seen.setdefault(pack.name, pack.source)
    return found


def empty(layer: Layer) -> Loaded:
    """Return a layer without documents."""
    return Loaded(layer)
