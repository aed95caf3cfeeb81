"""The tests of packs: YAML cases and `*_test.rego`, in one run, and whether each rule is shown to match and not to.

Asks the pinned OPA in batches, one process for each; no sidecar. Decides nothing that anybody enforces.
"""

import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

from orchestrator import policycase
from orchestrator.decide import BATCH, Circumstances, Policy, Question
from orchestrator.decision import Decision
from orchestrator.draft import Draft, module_problems
from orchestrator.errors import DecisionError, Exit, OrchError, PackError, Problem
from orchestrator.model import Pack, Rule, Source
from orchestrator.opa import Opa, RegoTest
from orchestrator.pack import TestCase
from orchestrator.policycase import Mismatch

_BOTH = '{"answers": data.orch.answer, "explanations": data.orch.explanation}'
_PATIENCE = 3
"""How many cases may go without an answer before it is the engine that is taken to be at fault."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of one case."""

    name: str
    source: Source
    mismatches: tuple[Mismatch, ...]
    """How the decision differs from what was expected; empty when it does not."""
    matched: frozenset[str] = frozenset()
    """The rules that matched."""
    action: str = ""
    """The action asked for; "" where the request was invalid or nothing was decided, which shows nothing of a rule."""

    @property
    def is_passed(self) -> bool:
        """Whether the decision was as expected."""
        return not self.mismatches


@dataclass(frozen=True, slots=True)
class RuleResult:
    """Which cases show what one rule does."""

    name: str
    """As findings name it."""
    effect: str
    source: Source
    matching: tuple[str, ...]
    """Cases that make it match."""
    sparing: tuple[str, ...]
    """Cases of its actions that do not; of a rule that looks at the action alone, cases of other actions."""
    is_total: bool = False
    """It looks at nothing, so that no case could be spared."""

    @property
    def is_tested(self) -> bool:
        """Whether both are there."""
        return bool(self.matching) and (self.is_total or bool(self.sparing))

    @property
    def gap(self) -> str:
        """What is missing, as a clause; "" where nothing is."""
        if self.is_tested:
            return ""
        if self.matching:
            return "no case asks its action without making it match"
        is_spared = self.sparing or self.is_total
        return "no case makes it match" + ("" if is_spared else ", and none asks its action without")


@dataclass(frozen=True, slots=True)
class Suite:
    """What came of the tests of one path."""

    path: str
    packs: tuple[str, ...]
    cases: tuple[CaseResult, ...] = ()
    rego: tuple[RegoTest, ...] = ()
    """Files as the user would type them."""
    rules: tuple[RuleResult, ...] = ()
    untested_modules: tuple[str, ...] = ()
    """Hand-written modules of packs that have no Rego test."""

    @property
    def failed(self) -> int:
        """How many cases and Rego tests failed."""
        cases = sum(not case.is_passed for case in self.cases)
        return cases + sum(test.outcome in {"fail", "error"} for test in self.rego)

    @property
    def untested(self) -> tuple[RuleResult, ...]:
        """Rules of which cases do not show both sides."""
        return tuple(rule for rule in self.rules if not rule.is_tested)

    @property
    def is_empty(self) -> bool:
        """Whether there was no test at all; skipped ones do not count."""
        return not self.cases and all(test.outcome == "skip" for test in self.rego)

    @property
    def is_complete(self) -> bool:
        """Whether there are tests, and of every rule and module."""
        return not self.is_empty and not self.untested and not self.untested_modules


@dataclass(frozen=True, slots=True)
class Report:
    """What came of all tests."""

    suites: tuple[Suite, ...]
    allow_untested: bool = False
    """Gaps are told and do not fail."""

    @property
    def is_ok(self) -> bool:
        """Whether nothing failed and, unless gaps are allowed, nothing is untested."""
        return not any(suite.failed for suite in self.suites) and (
            self.allow_untested or all(suite.is_complete for suite in self.suites)
        )

    @property
    def exit_code(self) -> Exit:
        """0, or 7: the pack is wrong, or nobody shows that it is right."""
        return Exit.OK if self.is_ok else Exit.PACK


def run_tests(drafts: Iterable[Draft], opa: Opa, *, allow_untested: bool = False) -> Report:
    """Return what came of the cases and Rego tests of drafts, each tested by itself.

    A case without a decision that can be trusted has failed; the others still run.

    Raises:
        PackError: a case's time is none, or a module or Rego test does not compile.
        DecisionError: OPA does not run, or several cases get no answer.
    """
    return Report(tuple(_suite(draft, opa) for draft in drafts), allow_untested)


def _suite(draft: Draft, opa: Opa) -> Suite:
    if wrong := list(module_problems(draft, opa)):
        raise PackError(wrong)
    with tempfile.TemporaryDirectory(prefix="orch-test-") as folder:
        built = draft.bundle()
        path = Path(folder, "bundle.tar.gz")
        path.write_bytes(built.data)
        engine = _Engine(opa, path)
        policy = Policy(engine, built.digest, draft.declared, draft.roster)
        cases = tuple(_results(draft.cases, policy, engine))
        rego = _run_rego(draft, built.data, Path(folder, "rego"), opa)
    rules = tuple(_rule_result(pack, rule, cases) for pack in draft.own_packs for rule in pack.rules)
    has_modules = [pack.name for pack in draft.own_packs if pack.modules]
    return Suite(
        draft.path,
        tuple(pack.prefix for pack in draft.own_packs),
        cases,
        rego,
        rules,
        tuple(has_modules) if all(test.outcome == "skip" for test in rego) else (),
    )


@dataclass(slots=True)
class _Engine:
    """A one-shot engine that keeps, beside each answer, which rules matched."""

    opa: Opa
    bundle: Path
    rows: list[Any] = field(default_factory=list)

    def ask(self, question: bytes) -> list[Any]:
        both = self.opa.evaluate(self.bundle, question, entrypoint=_BOTH)
        self.rows += both["explanations"]
        answers: list[Any] = both["answers"]
        return answers

    def explain(self, question: bytes) -> list[Any]:
        found: list[Any] = self.opa.evaluate(self.bundle, question, entrypoint="data.orch.explanation")
        return found


def _results(cases: Sequence[TestCase], policy: Policy, engine: _Engine) -> Iterator[CaseResult]:
    """Give the results in the cases' order; those that share time, point and mode are asked together."""
    groups: dict[Circumstances, list[TestCase]] = {}
    for case in cases:
        groups.setdefault(policycase.circumstances(case), []).append(case)
    found: dict[int, CaseResult] = {}
    for shared, group in groups.items():
        for start in range(0, len(group), BATCH):
            batch = group[start : start + BATCH]
            for case, result in zip(batch, _batch(batch, shared, policy, engine), strict=True):
                found[id(case)] = result
    return (found[id(case)] for case in cases)


def _batch(batch: Sequence[TestCase], shared: Circumstances, policy: Policy, engine: _Engine) -> list[CaseResult]:
    questions = [policycase.question(case) for case in batch]
    try:
        answered = _asked(questions, shared, policy, engine)
    except OrchError:
        return _one_by_one(list(zip(batch, questions, strict=True)), shared, policy, engine)
    return [
        _result(case, asked, decision, rows)
        for case, asked, (decision, rows) in zip(batch, questions, answered, strict=True)
    ]


def _asked(
    questions: Sequence[Question], shared: Circumstances, policy: Policy, engine: _Engine
) -> list[tuple[Decision, list[dict[str, Any]]]]:
    engine.rows.clear()
    decisions = list(policy.decide_many(questions, shared))
    return list(zip(decisions, engine.rows, strict=True))


def _one_by_one(
    batch: Sequence[tuple[TestCase, Question]], shared: Circumstances, policy: Policy, engine: _Engine
) -> list[CaseResult]:
    """Ask the cases of a batch that got no answer by themselves: that shows which of them are to blame."""
    found, silent = [], 0
    for case, asked in batch:
        try:
            ((decision, rows),) = _asked([asked], shared, policy, engine)
        except OrchError as error:
            silent += isinstance(error, DecisionError)
            if silent == _PATIENCE:
                raise
            found.append(CaseResult(case.name, case.source, (Mismatch("error", "a decision", str(error)),)))
        else:
            found.append(_result(case, asked, decision, rows))
    return found


def _result(case: TestCase, asked: Question, decision: Decision, rows: list[dict[str, Any]]) -> CaseResult:
    mismatches = policycase.mismatches(case, decision)
    if decision.reason == "invalid_request":
        return CaseResult(case.name, case.source, mismatches)
    matched = frozenset(row["rule"] for row in rows if row["matches"])
    return CaseResult(case.name, case.source, mismatches, matched, policycase.action_of(asked))


def _rule_result(pack: Pack, rule: Rule, cases: Iterable[CaseResult]) -> RuleResult:
    name = f"{pack.prefix}/{rule.id}"
    is_any = rule.actions == ("*",)
    looks_further = bool(rule.selectors or rule.when or pack.repositories)
    asked = [case for case in cases if case.action]
    return RuleResult(
        name,
        rule.effect.value,
        rule.source,
        tuple(case.name for case in asked if name in case.matched),
        tuple(
            case.name
            for case in asked
            if name not in case.matched and (is_any or (case.action in rule.actions) == looks_further)
        ),
        is_total=is_any and not looks_further,
    )


def _run_rego(draft: Draft, built: bytes, folder: Path, opa: Opa) -> tuple[RegoTest, ...]:
    """Run the Rego tests over the very files of the bundle: library, data, and the packs' own modules."""
    if not draft.rego_tests:
        return ()
    with tarfile.open(fileobj=BytesIO(built)) as archive:
        archive.extractall(folder, filter="data")
    copies = (folder / "tests" / f"{number:04}_test.rego" for number, _ in enumerate(draft.rego_tests))
    written = {_copy(path, copy): path for path, copy in zip(draft.rego_tests, copies, strict=True)}
    try:
        tests = opa.test([folder])
    except DecisionError as error:
        _raise_complaints(opa, folder, lambda file: _typed(file, written), error)
        raise
    return tuple(replace(test, file=_typed(test.file, written)) for test in tests)


def _copy(path: Path, target: Path) -> str:
    target.parent.mkdir(exist_ok=True)
    try:
        target.write_bytes(path.read_bytes())
    except OSError as error:
        seen = f"the Rego test cannot be read: {error.strerror}"
        raise PackError([Problem(str(path), 0, 0, seen, "a file that can be read")]) from error
    return target.name


def _typed(file: str, written: dict[str, Path]) -> str:
    """Return a file of the temporary folder as the user would type it."""
    name = Path(file).name
    return str(written[name]) if name in written else file


def _raise_complaints(opa: Opa, folder: Path, typed: Callable[[str], str], error: DecisionError) -> None:
    problems = [
        Problem(typed(each.file), each.row, each.column, each.message, "Rego that compiles", each.code)
        for each in opa.check([folder])
    ]
    if problems:
        raise PackError(problems) from error
