"""What `validate` says about packs that load: each with its place, and a witness where a rule is without effect."""

import itertools
import random
import re

import pytest

from orchestrator.clock import parse_time
from orchestrator.errors import Problem
from orchestrator.glob import Kind, to_regex
from orchestrator.link import empty, link
from orchestrator.model import Layer
from orchestrator.overlap import may_overlap, sample
from orchestrator.pack import load_documents
from orchestrator.validate import validate

HEAD = "apiVersion: orch/v1\nkind: PolicyPack\nmetadata: {name: p}\ndefault: deny\n"
LOOSE = HEAD.replace("default: deny", "default: inherit")
NOW = parse_time("2026-01-10T00:00:00Z")
PEOPLE = "apiVersion: orch/v1\nkind: Roster\nmetadata: {name: r}\nsubjects:\n  user:a: {roles: [sre]}\n  user:b: {roles: [sre]}\n  user:c: {roles: dev}\n"


def found(org: str, repo: str = "", run: str = "", repository: str | None = "acme/web") -> list[Problem]:
    loaded = [
        load_documents([(f"{layer}.yaml", text.encode())], layer) if text else empty(layer)
        for layer, text in ((Layer.ORG, org), (Layer.REPO, repo), (Layer.RUN, run))
    ]
    return validate(link(loaded[0], loaded[1], loaded[2:], repository=repository, is_claimed=False), NOW)


ALLOW = "rules: {id: r, effect: allow, actions: open_pr, branches: 'release/**', file_globs: 'src/*.py'}\n"


def test_a_repositorys_allow_without_a_delegate_is_reported_with_a_witness() -> None:
    (problem,) = found(HEAD, LOOSE + ALLOW)

    assert not problem.is_warning
    assert str(problem).startswith("repo.yaml:5:8: the allow `repo:p/r`, which could only matter by weakening the org")
    assert "for example `open_pr` in `acme/web` onto `release/x` with the file `src/x.py`: the org decides it" in str(
        problem
    )


def test_a_runs_allow_is_reported_even_with_a_delegate() -> None:
    delegate = "rules: {id: d, effect: delegate, actions: open_pr}\n"

    (problem,) = found(HEAD + delegate, run=LOOSE + ALLOW)

    assert "run:p/r" in problem.seen


@pytest.mark.parametrize(
    ("delegate", "is_reported"),
    [
        ("actions: open_pr", False),
        ("actions: '*'", False),
        ("actions: comment", True),
        ("actions: open_pr, branches: main", True),
        ("actions: open_pr, branches: 'release/1.*'", False),
        ("actions: open_pr, file_globs: '**/*.md'", True),
        ("actions: open_pr, file_globs: '**/*.py'", False),
        ("actions: open_pr, repositories: 'acme/*'", False),
        ("actions: open_pr, repositories: 'other/*'", True),
        ("actions: open_pr, roles: dev", False),
    ],
)
def test_a_delegate_hands_down_what_it_shares_with_the_allow(delegate: str, is_reported: bool) -> None:  # noqa: FBT001
    problems = found(HEAD + f"rules: {{id: d, effect: delegate, {delegate}}}\n", LOOSE + ALLOW)

    assert [problem.is_warning for problem in problems if "weakening" in problem.seen] == [False] * is_reported


def test_an_allow_that_narrows_is_not_reported() -> None:
    budget = "rules: {id: r, effect: allow, actions: open_pr, budgets: {meter: usd, per: run, limit: 1}}\n"

    assert found(HEAD, HEAD + ALLOW) == []
    assert found(HEAD, LOOSE + budget) == []
    assert found(HEAD, run=HEAD + ALLOW) == []


@pytest.mark.parametrize(
    ("when", "is_reported"),
    [
        ("{min: 5, max: 3}", True),
        ("{min: 5, max: 5}", False),
        ("{above: 5, max: 5}", True),
        ("{min: 5, below: 5.0}", True),
        ("{above: 4, below: 5}", False),
        ("{equals: a, in: [b]}", True),
        ("{equals: 1, in: [1.0]}", False),
        ("{equals: 1, in: [true]}", True),
        ("{equals: a, not_in: [a, b]}", True),
        ("{in: [a, c], not_in: [a, b]}", False),
        ("{exists: false, glob: x}", True),
        ("{exists: true, glob: x}", False),
    ],
)
def test_a_condition_nothing_can_meet_is_an_error(when: str, is_reported: bool) -> None:  # noqa: FBT001
    problems = found(
        HEAD + f"rules: {{id: r, effect: allow, actions: call_tool, when: {{action.properties.x: {when}}}}}\n"
    )

    assert [problem.is_warning for problem in problems] == [False] * is_reported


def test_waivers_that_ended_or_end_soon_are_mentioned() -> None:
    rule = "rules: {id: s, effect: deny, level: soft, actions: push_branch}\n---\n" + PEOPLE
    waiver = "---\napiVersion: orch/v1\nkind: Waiver\nmetadata: {{name: {}}}\nrules: p/s\nscope: {{branches: x}}\nreason: r\nticket: t\nrequested_by: user:c\napproved_by: [user:a, user:b]\nfrom: 2026-01-01T00:00:00Z\nexpires_at: {}\n"
    ends = {"old": "2026-01-09T00:00:00Z", "soon": "2026-01-16T00:00:00Z", "later": "2026-02-01T00:00:00Z"}

    problems = found(HEAD + rule + "".join(waiver.format(*each) for each in ends.items()))

    assert [problem.seen for problem in problems] == [
        "the waiver `old`, which ended 2026-01-09T00:00:00Z",
        "the waiver `soon`, which ends 2026-01-16T00:00:00Z",
    ]
    assert all(problem.is_warning for problem in problems)


@pytest.mark.parametrize(
    ("rule", "seen"),
    [
        (
            "effect: require, approvals: sr",
            "the role `sr`, which nobody has; expected a role of the roster (did you mean `sre`?)",
        ),
        ("effect: require, approvals: {role: sre, count: 3}", "3 approvals of `sre`, a role of 2 in the roster"),
        ("effect: deny, roles: boss", "the role `boss`, which nobody has"),
    ],
)
def test_roles_that_nobody_has_are_mentioned(rule: str, seen: str) -> None:
    (problem,) = found(HEAD + f"rules: {{id: r, actions: open_pr, {rule}}}\n---\n" + PEOPLE)

    assert problem.is_warning
    assert seen in str(problem)


def test_names_declared_for_nothing_are_mentioned() -> None:
    problems = found(HEAD + "declares: {actions: rotate, stages: [a, b], meters: cpu}\n")

    assert [problem.seen.split(",")[0] for problem in problems] == ["stages", "the action `rotate`", "the meter `cpu`"]


def test_a_pack_with_modules_is_marked() -> None:
    pack = HEAD + "rego: x.rego\n"
    org = load_documents([("p.yaml", pack.encode())], Layer.ORG, read_module=lambda *_: b"package packs.p\n")

    (problem,) = validate(link(org, empty(Layer.REPO), [], repository=None, is_claimed=False), NOW)

    assert "p is not fully analysable" in problem.seen


def test_overlap_agrees_with_trying_all_short_texts() -> None:
    dice = random.Random(3)  # noqa: S311
    texts = ["".join(each) for size in range(6) for each in itertools.product("ab/", repeat=size)]
    pieces = ["a", "b", "/", "*", "**", "**/", "?"]
    for _ in range(400):
        one, other = ("".join(dice.choices(pieces, k=dice.randint(1, 4))) for _ in range(2))
        expected = any(
            re.fullmatch(to_regex(one, Kind.PATH), t) and re.fullmatch(to_regex(other, Kind.PATH), t) for t in texts
        )

        if expected:
            assert may_overlap([one], [other], Kind.PATH), (one, other)
        elif len(one) + len(other) <= 4:
            assert not may_overlap([one], [other], Kind.PATH), (one, other)


@pytest.mark.parametrize("pattern", ["src/**", "**/*.tf", "a/**/b", "?x*", "{a,b}c", "main"])
def test_a_sample_matches_its_pattern(pattern: str) -> None:
    assert re.fullmatch(to_regex(pattern, Kind.PATH), sample(pattern, Kind.PATH))
