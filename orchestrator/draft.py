"""Packs being written: read from where somebody works on them, checked on the engine, not yet trusted by anybody.

Serves `orch policy validate`, `test` and `build`. Which layer a path belongs to is seen from where it lies
(`.orch/packs` is a repository's), or said by the caller; that decides how it is read, never what is enforced.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from orchestrator import bundle, place
from orchestrator.compile import Compiled, compile_packs
from orchestrator.errors import Exit, PackError, Problem, UsageError
from orchestrator.link import empty, link
from orchestrator.model import Default, Effect, EscalationRow, Layer, Pack, PackSet, RosterEntry, Rule, Severity, Source
from orchestrator.module import read_module_file
from orchestrator.opa import Complaint, Opa
from orchestrator.pack import Loaded, TestCase, load_documents
from orchestrator.packfiles import SUFFIXES, File, read_files
from orchestrator.policycase import REPOSITORY
from orchestrator.settings import REPOSITORY_PACKS, Settings, repository_root
from orchestrator.validate import validate
from orchestrator.words import counted

if TYPE_CHECKING:
    from orchestrator.escalations.model import Escalation

_TESTS = "tests"
_STAND_IN = "stand-in"
_MOST_VOTES, _MOST_NAMED = 20, 5
_ADVICE = "name a folder with a pack, or run `orch policy new NAME`"


@dataclass(frozen=True)
class Draft:
    """Packs of some paths with their tests, linked with the packs of the organisation they are to live with."""

    path: str
    """As the user typed it; several with a space between."""
    pack_set: PackSet
    own_files: frozenset[str]
    cases: tuple[TestCase, ...]
    rego_tests: tuple[Path, ...]
    warnings: tuple[Problem, ...]
    """What lint found in the documents."""

    @property
    def own_packs(self) -> tuple[Pack, ...]:
        """The packs of the paths themselves."""
        return tuple(pack for pack in self.pack_set.packs if pack.source.file in self.own_files)

    @property
    def own_escalations(self) -> tuple[EscalationRow, ...]:
        """The escalations of the paths themselves."""
        return tuple(one for one in self.pack_set.escalations if one.source.file in self.own_files)

    @property
    def declared(self) -> frozenset[str]:
        """The actions that packs declare."""
        return frozenset(action for pack in self.pack_set.packs for action in pack.declared_actions)

    @property
    def roster(self) -> Mapping[str, Mapping[str, Any]]:
        """Subject name to roles and attributes."""
        people = self.pack_set.roster
        return {one.name: {"roles": list(one.roles), "attributes": dict(one.attributes)} for one in people}

    @property
    def summary(self) -> str:
        """What there is, for people."""
        packs, escalations = self.own_packs, self.own_escalations
        rules = sum(len(pack.rules) for pack in packs)
        said = f"{counted(len(packs), 'pack')} with {counted(rules, 'rule')}"
        if not escalations:
            return said
        stages = sum(len(one.stages) for one in escalations)
        more = f"{counted(len(escalations), 'escalation')} with {counted(stages, 'stage')}"
        return f"{said}, {more}" if packs else more

    @cached_property
    def compiled(self) -> Compiled:
        """What the bundle is built from."""
        return compile_packs(self.pack_set)

    def bundle(self) -> bundle.Built:
        """Return the unsigned bundle, the same bytes for the same packs."""
        return bundle.build(self.compiled.data, self.compiled.modules)


def read_draft(paths: Sequence[str], *, layer: Layer | None = None, org: Sequence[str] = ()) -> Draft:
    """Return the packs and tests of `paths` (files and folders), read as one, below the organisation's in `org`.

    Packs are the YAML files of a folder itself, as everywhere; tests may also lie in its folder `tests` and below. No
    path means the packs of the repository one stands in. A repository's or run's pack without `org` is read below a
    stand-in that allows and delegates everything, and where each role has holders: only what the pack asks for is seen.

    Raises:
        UsageError: a path is not there, or none is given and this is no repository with packs.
        PackError: a document is wrong, or there is no pack.
    """
    roots = [_root(path) for path in paths or _default()]
    by_layer: dict[Layer, list[File]] = {each: [] for each in Layer}
    for root in roots:
        by_layer[layer or _layer(root)] += read_files(str(root), root)
    own = frozenset(name for files in by_layer.values() for name, _ in files)
    companions = [file for path in org for file in read_files(path, _root(path)) if file[0] not in own]
    loaded = load_documents([*by_layer[Layer.ORG], *companions], Layer.ORG, read_module=read_module_file)
    repo = load_documents(by_layer[Layer.REPO], Layer.REPO) if by_layer[Layer.REPO] else empty(Layer.REPO)
    runs = [load_documents([file], Layer.RUN) for file in by_layer[Layer.RUN]]
    layers = (loaded, repo, *runs)
    beside = load_documents([file for root in roots for file in _test_files(root)], Layer.RUN)
    tests = [*(test for each in layers for test in each.tests if test.source.file in own), *beside.tests]
    cases = tuple(case for test in tests for case in test.cases)
    own_packs = [pack for each in layers for pack in each.packs if pack.source.file in own]
    shown = " ".join(paths) or " ".join(map(str, roots))
    if not own_packs and not any(one.source.file in own for one in loaded.escalations):
        expected = "at least one document of `kind: PolicyPack` or `kind: Escalation`"
        raise PackError([Problem(shown, 0, 0, "no pack", expected, _ADVICE)])
    pack_set = link(_with_stand_in(loaded, layers), repo, runs, repository=_repository(cases), is_claimed=False)
    others = frozenset(name for name, _ in companions)  # what lies beside a pack, such as a plan, is its own
    warnings = tuple(warning for each in layers for warning in each.warnings if warning.file not in others)
    return Draft(shown, pack_set, own, cases, tuple(_rego_tests(roots, own_packs)), warnings)


def read_drafts(paths: Sequence[str], *, layer: Layer | None = None, org: Sequence[str] = ()) -> list[Draft]:
    """Return one draft for each path, as `read_draft` does: in tests, packs of different paths do not meet.

    Raises:
        As `read_draft`.
    """
    return [read_draft(each, layer=layer, org=org) for each in ([path] for path in paths or _default())]


def problems(draft: Draft, opa: Opa, now_ns: int) -> list[Problem]:
    """Return all that is wrong or doubtful: lint, what the engine says to patterns and modules, rules without effect.

    Raises:
        DecisionError: OPA gave no answer.
    """
    said = (each for each in validate(draft.pack_set, now_ns) if each.file in draft.own_files)
    found = [*draft.warnings, *said, *_patterns(draft, opa), *module_problems(draft, opa), *_asked(draft, opa)]
    unique = {(each.file, each.line, each.column, each.seen): each for each in found}
    return [unique[key] for key in sorted(unique)]


def module_problems(draft: Draft, opa: Opa) -> Iterator[Problem]:
    """Give what OPA, under our capabilities, says to the hand-written modules beside the library.

    Raises:
        DecisionError: OPA gave no answer.
    """
    files = {
        f"packs/{pack.name}/{module.path}": str(Path(pack.source.file).parent / module.path)
        for pack in draft.own_packs
        for module in pack.modules
    }
    if not files:
        return
    with tempfile.NamedTemporaryFile(prefix="orch-", suffix=".tar.gz") as out:
        out.write(draft.bundle().data)
        out.flush()
        complaints = opa.check([Path(out.name)], is_bundle=True)
    for complaint in complaints:
        yield _problem(complaint, files, draft)


def _asked(draft: Draft, opa: Opa) -> Iterator[Problem]:
    """Give what the engine says to escalations: texts that would be denied, and what packs keep from being reached."""
    if not draft.own_escalations:
        return
    from orchestrator.escalations.model import Escalation

    escalations = [Escalation.of(one.row) for one in draft.own_escalations]
    with tempfile.NamedTemporaryFile(prefix="orch-", suffix=".tar.gz") as out:
        out.write(draft.bundle().data)
        out.flush()
        yield from _ways_in(draft, escalations, Path(out.name), opa)
        yield from _gates(draft, escalations, Path(out.name), opa)


def _ways_in(draft: Draft, escalations: Sequence["Escalation"], bundle: Path, opa: Opa) -> Iterator[Problem]:
    """Give the texts for operators that would be denied when they are due, because they carry a way in."""
    from orchestrator.escalations.reminders import refused

    known = {one.name: one.source for one in draft.own_escalations}
    for one in refused(escalations, bundle, opa):
        source = known[one.escalation]
        seen = f"{one.escalation}: {one.stage}/{one.deed} would be denied when it is due: {one.why}"
        expected = "a text that leads nowhere"
        yield Problem(source.file, source.line, source.column, seen, expected, "who may renew knows how")


def _gates(draft: Draft, escalations: Sequence["Escalation"], bundle: Path, opa: Opa) -> Iterator[Problem]:
    """Give what of escalations waits for people or is denied, so that silence alone does not bring it about."""
    from orchestrator.escalations.gates import gates

    known = {one.name: one.source for one in draft.own_escalations}
    rules = {f"{pack.prefix}/{rule.id}": rule.source for pack in draft.pack_set.packs for rule in pack.rules}
    names: dict[tuple[str, str, str], list[str]] = {}
    for one in gates(escalations, draft.pack_set, bundle, opa):
        names.setdefault((one.escalation, one.rule, one.why), []).append(one.name)
    for (escalation, rule, why), kept in names.items():
        source = rules.get(rule, known[escalation])
        source = source if source.file in draft.own_files else known[escalation]
        what = ", ".join(f"{escalation}: {name}" for name in kept[:_MOST_NAMED])
        what += f" and {len(kept) - _MOST_NAMED} more" if len(kept) > _MOST_NAMED else ""
        verb = why.replace("is ", "are ", 1).replace("waits", "wait", 1) if len(kept) > 1 else why
        seen = f"{what} {verb}" + (f" by {rule}" if rule and "denied" in why else f" ({rule})" if rule else "")
        them = "them" if len(kept) > 1 else "it"
        yield Problem(
            source.file,
            source.line,
            source.column,
            f"{seen}: silence alone does not reach {them}",
            "what follows from silence without a person",
            "keep it where that is meant; `orch simulate` shows where it stops",
            is_warning=True,
        )


@dataclass(frozen=True, slots=True)
class Checked:
    """What `orch policy validate` found."""

    summary: str
    """What was looked at; "" where it could not be read."""
    problems: tuple[Problem, ...]
    proofs: tuple[tuple[str, str, str], ...] = ()
    """What was proven of escalations: the escalation, what kind of proof, what was found."""

    def exit_code(self, *, strict: bool = False) -> Exit:
        """Return 0, or 7 where something is wrong; warnings count only if `strict`."""
        is_wrong = any(strict or not problem.is_warning for problem in self.problems)
        return Exit.PACK if is_wrong else Exit.OK


def check(
    paths: Sequence[str],
    opa: Opa,
    now_ns: int,
    *,
    layer: Layer | None = None,
    org: Sequence[str] = (),
) -> Checked:
    """Return all problems of packs, whether they can be read or not.

    Raises:
        UsageError: as `read_draft`.
        DecisionError: OPA gave no answer.
    """
    try:
        draft = read_draft(paths, layer=layer, org=org)
    except PackError as error:
        return Checked("", error.problems)
    return Checked(draft.summary, tuple(problems(draft, opa, now_ns)), tuple(_proven(draft)))


def _proven(draft: Draft) -> Iterator[tuple[str, str, str]]:
    for one in draft.own_escalations:
        from orchestrator.escalations.model import Escalation
        from orchestrator.escalations.proofs import proofs

        for proof in proofs(Escalation.of(one.row)):
            yield one.name, proof.name, proof.said


def _default() -> list[str]:
    folder = _repository_folder()
    if folder is not None:
        return [os.path.relpath(folder)]
    message = f"no path is given, and there is no {REPOSITORY_PACKS} here"
    raise UsageError(message, advice=_ADVICE)


def _repository_folder() -> Path | None:
    """Return the folder of packs of the repository one stands in, by its `orch.yaml`."""
    root = repository_root(place.here()) or place.here()
    folder = root / Settings.load().repository_packs
    return folder if folder.is_dir() else None


def _root(path: str) -> Path:
    """Return the folder or file to read: of a whole repository, its packs."""
    root = Path(path)
    try:
        if (root / REPOSITORY_PACKS).is_dir():
            return root / REPOSITORY_PACKS
        exists = root.exists()
    except (OSError, ValueError):
        exists = False
    if not exists:
        message = f"{path} is not there"
        raise UsageError(message, advice=_ADVICE)
    if root.is_file() and root.suffix not in SUFFIXES:
        message = f"{path} is no YAML file; expected a pack's file, or a folder of packs"
        raise UsageError(message, advice="a bundle is checked with `orch policy verify`")
    return root


def _layer(root: Path) -> Layer:
    parts = root.absolute().parts
    marked = PurePath(REPOSITORY_PACKS).parts
    if any(parts[at : at + len(marked)] == marked for at in range(len(parts))):
        return Layer.REPO
    folder = _repository_folder()
    is_repo = folder is not None and root.resolve().is_relative_to(folder.resolve())
    return Layer.REPO if is_repo else Layer.ORG


def _test_files(root: Path) -> list[File]:
    """Return the YAML files below a folder's `tests`; those beside the packs are read with them."""
    found = _files_below(_folder(root) / _TESTS) if root.is_dir() else ()
    return [file for path in found if path.suffix in SUFFIXES for file in read_files(str(path), path)]


def _rego_tests(roots: Iterable[Path], packs: Iterable[Pack]) -> Iterator[Path]:
    """Give the `*_test.rego` beside packs and their modules, and in `tests`, each once."""
    folders = {_folder(root) for root in roots}
    folders |= {(Path(pack.source.file).parent / module.path).parent for pack in packs for module in pack.modules}
    tests = [path for folder in folders for path in (*folder.glob("*.rego"), *_files_below(folder / _TESTS))]
    yield from sorted({path for path in tests if path.name.endswith("_test.rego") and path.is_file()})


def _folder(root: Path) -> Path:
    return root.parent if root.is_file() else root


def _files_below(folder: Path) -> Iterator[Path]:
    """Give the files of a folder and below, sorted, without hidden ones and links that lead out of it."""
    if not folder.is_dir():
        return
    inside = folder.resolve()
    for path in sorted(folder.rglob("*")):
        is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not is_hidden and path.is_file() and path.resolve().is_relative_to(inside):
            yield path


def _repository(cases: Iterable[TestCase]) -> str:
    """Return which repository a repository's packs are tested as: the first that a case names."""
    return next((str(case.values["repository"]) for case in cases if "repository" in case.values), REPOSITORY)


def _with_stand_in(org: Loaded, layers: Sequence[Loaded]) -> Loaded:
    """Return the organisation's layer, or where it has no pack one that allows everything and hands everything down."""
    if org.packs:
        return org
    rules = [rule for each in layers for pack in each.packs for rule in pack.rules]
    roles = {role for rule in rules for role in rule.selectors.get("roles", ())}
    roles |= {approval.role for rule in rules for approval in rule.approvals}
    source = Source(f"<{_STAND_IN}>", 0)
    rule = Rule("everything", Effect.DELEGATE, ("*",), source, None, Severity.INFO)
    pack = Pack(_STAND_IN, "0.0.0", Layer.ORG, Default.ALLOW, source, "", rules=(rule,))
    people = tuple(RosterEntry(f"user:{_STAND_IN}-{number}", tuple(sorted(roles))) for number in range(_MOST_VOTES))
    return Loaded(Layer.ORG, packs=(pack,), roster=people, uses=org.uses, escalations=org.escalations)


def _patterns(draft: Draft, opa: Opa) -> Iterator[Problem]:
    for pattern, reason in opa.check_patterns(draft.compiled.patterns).items():
        seen = f"a glob that becomes the pattern {pattern!r:.200}: {reason}"
        yield Problem(draft.path, 0, 0, seen, "one the engine accepts")


def _problem(complaint: Complaint, files: Mapping[str, str], draft: Draft) -> Problem:
    file = next((files[name] for name in files if complaint.file.endswith(name)), draft.path)
    expected = "Rego that OPA accepts under our capabilities"
    return Problem(file, complaint.row, complaint.column, complaint.message, expected, complaint.code)
