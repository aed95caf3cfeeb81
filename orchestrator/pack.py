"""Documents of one layer, checked and resolved: packs, waivers, roster, tests. `link` checks what needs other layers.

Trust goes by place: what only the operator may say is refused from a repository or a run, whatever a document claims.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator import schema
from orchestrator.catalogue import CATALOGUE
from orchestrator.document import Document, Map, Place, Seq, read, shown
from orchestrator.errors import PackError, Problem
from orchestrator.escalations.shape import Escalation
from orchestrator.lists import Lists, placed
from orchestrator.mismatch import validated
from orchestrator.model import (
    Default,
    EscalationRow,
    Layer,
    Mode,
    Module,
    Pack,
    Point,
    RosterEntry,
    Rule,
    Source,
    Waiver,
)
from orchestrator.module import ReadModule, load_module
from orchestrator.notes import Notes, Use
from orchestrator.roster import RosterReader
from orchestrator.rule import METERS, Rules
from orchestrator.waiver import read_waiver
from orchestrator.words import did_you_mean, listing

_FROM = {Layer.REPO: "from a repository", Layer.RUN: "from a pack of a run"}
_ADVICE = "the operator names what is trusted: put it among the org packs"
_OPERATORS = {"Waiver": "a", "Roster": "a", "Escalation": "an"}
"""Kinds that only the operator may say, with their article."""


@dataclass(frozen=True, slots=True)
class TestCase:
    """One case of a PolicyTest."""

    __test__ = False

    name: str
    source: Source
    values: dict[str, Any]
    """The keys that were written, as plain values: now, point, mode, facts, request, action, ..., expect.

    Each of `files` is an object."""


@dataclass(frozen=True, slots=True)
class TestDocument:
    """A PolicyTest document, for the test runner."""

    __test__ = False

    name: str
    source: Source
    cases: tuple[TestCase, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The documents of one layer."""

    layer: Layer
    packs: tuple[Pack, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    roster: tuple[RosterEntry, ...] = ()
    tests: tuple[TestDocument, ...] = ()
    warnings: tuple[Problem, ...] = ()
    uses: tuple[Use, ...] = ()
    """Names that another document may declare; for `link`."""
    waiver_documents: tuple[Document, ...] = ()
    """The document of each waiver; for `link`."""
    escalations: tuple[EscalationRow, ...] = ()


def load_documents(
    files: Sequence[tuple[str, bytes]], layer: Layer, *, read_module: ReadModule | None = None
) -> Loaded:
    """Return what the files of a layer say.

    `files` are names, as the user would type them, and contents. Modules that a pack names, and templates and plans of
    an escalation, are read with `read_module`.

    Raises:
        PackError: anything is wrong; with every problem, in file order.
    """
    loader = _Loader(layer, read_module)
    for name, data in files:
        loader.load(name, data)
    if loader.errors:
        raise PackError(loader.errors)
    return loader.loaded()


class _Loader:
    """Collects the documents of one layer."""

    def __init__(self, layer: Layer, read_module: ReadModule | None) -> None:
        self.errors: list[Problem] = []
        self._layer = layer
        self._read_module = read_module
        self._warnings: list[Problem] = []
        self._packs: dict[str, Pack] = {}
        self._waivers: dict[str, Waiver] = {}
        self._waiver_documents: list[Document] = []
        self._escalations: dict[str, EscalationRow] = {}
        self._roster = RosterReader()
        self._tests: list[TestDocument] = []
        self._uses: list[Use] = []
        self._stages_at: Source | None = None
        self._beside: list[Problem] = []
        """What is wrong in the files that a file's documents name."""

    def load(self, file: str, data: bytes) -> None:
        """Read one file."""
        reading = read(data, file)
        notes = Notes(file, list(reading.problems))
        taken = {(problem.line, problem.column) for problem in reading.problems}
        for document in reading.documents:
            for problem in self._document(document, notes):
                if (problem.line, problem.column) not in taken:
                    notes.errors.append(problem)
        by_place = {(each.line, each.column, each.seen, each.expected): each for each in notes.errors}
        self.errors += [by_place[key] for key in sorted(by_place, key=lambda key: (key[0] == 0, *key))]
        self.errors += [each for each in self._beside if not each.is_warning]
        self._warnings += [each for each in self._beside if each.is_warning]
        self._beside = []
        self._warnings += sorted(notes.warnings, key=lambda each: (each.line, each.column))

    def loaded(self) -> Loaded:
        """Return all that was read."""
        return Loaded(
            self._layer,
            tuple(self._packs.values()),
            tuple(self._waivers.values()),
            tuple(self._roster.entries[name] for name in sorted(self._roster.entries)),
            tuple(self._tests),
            tuple(self._warnings),
            tuple(self._uses),
            tuple(self._waiver_documents),
            tuple(self._escalations.values()),
        )

    def _document(self, document: Document, notes: Notes) -> list[Problem]:
        """Read one document by its kind; return how it does not fit its model."""
        root = document.root
        if not isinstance(root, Map):
            notes.error(document.at, shown(root), "a mapping with apiVersion, kind and metadata")
            return []
        kind = root.get("kind")
        model = schema.KINDS.get(kind) if isinstance(kind, str) else None
        if model is None:
            seen = f"the kind {shown(kind)}" if "kind" in root else "a document without `kind`"
            near = did_you_mean(str(kind), schema.KINDS) if "kind" in root else ""
            near = "plans lie in a folder of their own, below this one: plans/" if kind == "Plan" else near
            notes.error(root.value_at("kind"), seen, f"`kind: {listing(schema.KINDS)}`", near)
            return []
        if self._layer is not Layer.ORG and kind in _OPERATORS:
            seen = f"{_OPERATORS[str(kind)]} {kind} {_FROM[self._layer]}"
            notes.error(root.value_at("kind"), seen, "packs and tests only", _ADVICE)
            return []
        value, problems = validated(model, document)
        match value:
            case schema.PolicyPack():
                self._pack(value, document, notes)
            case schema.Waiver():
                self._waiver(value, document, notes)
            case schema.Roster():
                self._roster.read(value, root, notes)
            case schema.PolicyTest():
                self._test(value, document, notes)
            case Escalation():
                self._escalation(value, document, notes)
        return problems

    def _pack(self, model: schema.PolicyPack, document: Document, notes: Notes) -> None:
        raw: Map = document.root
        name = model.metadata.name
        place = raw["metadata"].value_at("name")
        if name in self._packs:
            first = self._packs[name].source
            notes.error(place, f"a second pack {shown(name)}", "pack names once in a layer", f"the first is at {first}")
        self._check_layer(model, raw, notes)
        self._check_declares(model, raw, notes)
        lists = Lists(model.lists, raw.get("lists"), notes)
        reader = Rules(lists, notes, model.declares)
        repositories = _selector(model, raw, reader)
        rules = _rules(model, raw, reader, notes)
        lists.check()
        self._uses += [use for use in reader.uses if use.kind != "repository" or self._layer is Layer.REPO]
        self._packs.setdefault(
            name,
            Pack(
                name=name,
                version=model.metadata.version,
                layer=self._layer,
                default=Default(model.default),
                source=notes.source(document.at),
                digest=document.digest,
                owners=model.metadata.owners,
                repositories=repositories,
                enforcement={Point(point): Mode(mode) for point, mode in sorted(model.enforcement.items())},
                declared_actions=model.declares.actions,
                declared_stages=model.declares.stages,
                declared_meters=model.declares.meters,
                rules=rules,
                modules=self._modules(model, raw, notes),
            ),
        )

    def _check_layer(self, model: schema.PolicyPack, raw: Map, notes: Notes) -> None:
        if self._layer is Layer.ORG:
            if model.default == "allow":
                advice = "whatever no rule denies is allowed; `deny` is safer"
                notes.warning(raw.value_at("default"), "`default: allow`", "`deny` or `inherit`", advice)
            return
        origin = _FROM[self._layer]
        if model.default == "allow":
            notes.error(
                raw.value_at("default"),
                f"`default: allow` {origin}",
                "`deny` or `inherit`",
                "only an org pack may allow by default",
            )
        if model.rego:
            notes.error(raw.key_at("rego"), f"`rego` {origin}", "no hand-written modules", _ADVICE)
        for rule, (_, place) in zip(model.rules, _written(raw, "rules"), strict=False):
            if rule.effect == "delegate":
                notes.error(place, f"a delegate {origin}", "deny, require or allow", "only an org pack may delegate")

    def _check_declares(self, model: schema.PolicyPack, raw: Map, notes: Notes) -> None:
        declares = model.declares
        if declares.stages:
            place = raw["declares"].key_at("stages")
            if self._layer is not Layer.ORG:
                notes.error(place, f"stages {_FROM[self._layer]}", "stages declared by one org pack", _ADVICE)
            elif self._stages_at:
                advice = f"the first are at {self._stages_at}"
                notes.error(place, "stages a second time", "stages declared by one org pack", advice)
            self._stages_at = self._stages_at or notes.source(place)
        for key, built_in in (("actions", CATALOGUE), ("stages", ()), ("meters", METERS)):
            names = getattr(declares, key)
            seen: set[str] = set()
            for name, place in zip(names, placed(raw["declares"], key) if names else (), strict=False):
                if name in built_in:
                    notes.error(
                        place,
                        f"{shown(name)}, which is built in",
                        "a new name",
                        "remove it: it is there without being declared",
                    )
                if name in seen:
                    notes.error(place, f"{shown(name)} a second time", "each name once")
                seen.add(name)

    def _modules(self, model: schema.PolicyPack, raw: Map, notes: Notes) -> tuple[Module, ...]:
        if self._layer is not Layer.ORG:
            return ()
        found: dict[str, Module] = {}
        for path, place in zip(model.rego, placed(raw, "rego"), strict=False):
            module = load_module(model.metadata.name, path, place, self._read_module, notes)
            if module and module.path in found:
                notes.error(place, f"the module {shown(path)} a second time", "each module once")
            elif module:
                found[module.path] = module
        return tuple(found[path] for path in sorted(found))

    def _waiver(self, model: schema.Waiver, document: Document, notes: Notes) -> None:
        waiver, reader = read_waiver(model, document, notes)
        self._uses += [use for use in reader.uses if use.kind != "repository"]
        if waiver.name in self._waivers:
            place = document.root["metadata"].value_at("name")
            advice = f"the first is at {self._waivers[waiver.name].source}"
            notes.error(place, f"a second waiver {shown(waiver.name)}", "each waiver's name once", advice)
            return
        self._waivers[waiver.name] = waiver
        self._waiver_documents.append(document)

    def _escalation(self, model: Escalation, document: Document, notes: Notes) -> None:
        from orchestrator.escalations.read import read_escalation

        found = read_escalation(model, document, notes, self._read_module)
        self._uses += found.uses
        self._beside += found.beside
        name = found.row.name
        if name in self._escalations:
            place = document.root["metadata"].value_at("name")
            advice = f"the first is at {self._escalations[name].source}"
            notes.error(place, f"a second escalation {shown(name)}", "each escalation's name once", advice)
        self._escalations.setdefault(name, found.row)

    def _test(self, model: schema.PolicyTest, document: Document, notes: Notes) -> None:
        cases: dict[str, TestCase] = {}
        for case, (raw, place) in zip(model.tests, _written(document.root, "tests"), strict=False):
            if case.name in cases:
                notes.error(raw.value_at("name"), f"a second case {shown(case.name)}", "each case's name once")
            if bool(case.request) == bool(case.action):
                notes.error(
                    place,
                    "both `request` and `action`" if case.action else "neither `request` nor `action`",
                    "one of them",
                )
            if not case.expect.model_fields_set:
                notes.error(
                    raw.value_at("expect"), "an expectation of nothing", "outcome, would, reason, findings, ..."
                )
            values = case.model_dump(exclude_unset=True)
            if "files" in values:
                values["files"] = list(values["files"])
            cases[case.name] = TestCase(case.name, notes.source(place), values)
        self._tests.append(TestDocument(model.metadata.name, notes.source(document.at), tuple(cases.values())))


def _selector(model: schema.PolicyPack, raw: Map, reader: Rules) -> tuple[str, ...] | None:
    """Return the pack's own `repositories`, or None where it has none."""
    if "repositories" not in model.model_fields_set:
        return None
    own = schema.Selectors.model_construct(_fields_set={"repositories"}, repositories=model.repositories)
    return reader.selectors(own, raw)[0]["repositories"]


def _rules(model: schema.PolicyPack, raw: Map, reader: Rules, notes: Notes) -> tuple[Rule, ...]:
    rules: dict[str, Rule] = {}
    for rule, (written, place) in zip(model.rules, _written(raw, "rules"), strict=False):
        if notes.is_full:
            break
        read_rule = reader.read(rule, written, place)
        if rule.id in rules:
            first = rules[rule.id].source.line
            notes.error(
                written.value_at("id"),
                f"a second rule {shown(rule.id)}",
                "each id once in a pack",
                f"the first is on line {first}",
            )
        rules.setdefault(rule.id, read_rule)
    return tuple(rules.values())


def _written(raw: Map, key: str) -> list[tuple[Map, Place]]:
    """Return the mappings under a key as written, each with its place; one without a list is the only one."""
    value = raw.get(key)
    if isinstance(value, Seq):
        return list(zip(value, value.marks, strict=True))
    return [(value, raw.value_at(key))] if isinstance(value, Map) else []
