"""One rule: short forms, lists and conditions are read as meant; what makes no sense is refused with its place."""

from dataclasses import replace
from decimal import Decimal

import pytest

from orchestrator.errors import PackError
from orchestrator.model import Layer, Rule
from orchestrator.pack import load_documents

HEAD = "apiVersion: orch/v1\nkind: PolicyPack\nmetadata: {name: p}\ndefault: deny\n"


def rule(text: str, head: str = HEAD) -> Rule:
    return load_documents([("f.yaml", (head + "rules: " + text).encode())], Layer.ORG).packs[0].rules[0]


def rule_problem(text: str) -> str:
    with pytest.raises(PackError) as caught:
        rule("\n  - {id: r, " + text + "}\n")
    (problem,) = caught.value.problems
    return str(problem)


def test_one_item_needs_no_list() -> None:
    long = rule(
        "[{id: r, effect: require, actions: [open_pr], branches: [main], roles: [dev], approvals: [{role: sre}], evidence: [{type: tests}]}]"
    )
    short = rule(
        "{id: r, effect: require, actions: open_pr, branches: main, roles: dev, approvals: sre, evidence: tests}"
    )

    assert replace(long, source=short.source, selector_sources={}) == replace(short, selector_sources={})


def test_short_conditions_are_equals_and_in() -> None:
    found = rule(
        "{id: r, effect: deny, actions: '*', when: {context.a: x, context.b: [1, 2], context.c: $l, context.d: $$l, context.e: true}}",
        HEAD + "lists: {l: [p, 5.00]}\n",
    )

    assert [(each.path, each.operators[0].name, each.operators[0].values) for each in found.when] == [
        ("context.a", "equals", ("x",)),
        ("context.b", "in", (1, 2)),
        ("context.c", "in", ("p", Decimal("5.00"))),
        ("context.d", "equals", ("$l",)),
        ("context.e", "equals", (True,)),
    ]


def test_lists_nest_and_each_value_stays_once() -> None:
    lists = "lists: {a: [x, $b], b: [w, $c, x], c: ['$$z', 1, true]}\n"
    found = rule("{id: r, effect: deny, actions: '*', when: {context.a: [$a, w]}, branches: [main]}", HEAD + lists)

    assert found.when[0].operators[0].values == ("x", "w", "$z", 1, True)


def test_lists_serve_selectors_too() -> None:
    found = rule(
        "{id: r, effect: deny, actions: push_branch, branches: [dev, $protected]}",
        HEAD + "lists: {protected: [main, 'release/**']}\n",
    )

    assert found.selectors["branches"] == ("dev", "main", "release/**")


def test_a_list_bomb_is_small() -> None:
    lists = "lists:\n  l0: [x]\n" + "".join(f"  l{n + 1}: [{', '.join([f'$l{n}'] * 20)}]\n" for n in range(100))

    found = rule("{id: r, effect: deny, actions: '*', when: {context.a: $l100}}", HEAD + lists)

    assert found.when[0].operators[0].values == ("x",)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("effect: deny, actions: push_branch, branches: []", "f.yaml:6:59: an empty list; expected at least one item"),
        ("effect: deni, actions: open_pr", "(did you mean `deny`?)"),
        ("effect: deny, actions: open_pr, branchs: main", "f.yaml:6:45: the unknown key `branchs`; expected `branches`"),
        ("effect: deny, actions: ['*', open_pr]", "`*` alone"),
        ("effect: deny, actions: []", "an empty list"),
        ("effect: deny", "a key is missing; expected `actions` here"),
        ("effect: deny, actions: open_pr, level: firm", "`hard`, `soft` or `advisory`"),
        ("effect: allow, actions: open_pr, level: soft", "f.yaml:6:46: `level` on an allow"),
        ("effect: delegate, actions: open_pr, severity: low", "`severity` on a delegate"),
        ("effect: allow, actions: open_pr, approvals: sre", "`approvals` on an allow; expected `approvals` on a require only"),
        ("effect: allow, actions: open_pr, evidence: tests", "`evidence` on an allow"),
        ("effect: allow, actions: open_pr, stage: dev", "`stage` on an allow"),
        ("effect: deny, actions: open_pr, approvals: sre", "`approvals` on a deny"),
        ("effect: deny, actions: open_pr, budgets: {meter: usd, per: run, limit: 1}", "`budgets` on a deny"),
        ("effect: require, actions: open_pr", "f.yaml:6:5: a require that requires nothing"),
        ("effect: deny, actions: call_tool, branches: main", "`branches` on call_tool, which cannot have `branch`"),
        ("effect: deny, actions: comment, file_globs: x", "`file_globs` on comment, which cannot have `files`"),
        ("effect: deny, actions: open_pr, tools: 'a:b'", "`tools` on open_pr, which act on no tool"),
        ("effect: deny, actions: delete_branch, head_branches: x", "`head_branches` on delete_branch"),
        ("effect: deny, actions: open_pr, when: {action.properties.titel: x}", "`action.properties.titel`, which open_pr cannot have; expected one of assignees, body, commit, draft, labels, number, reviewers or title (did you mean `title`?)"),
        ("effect: deny, actions: call_tool, when: {resource.properties.branch: x}", "`resource.properties.branch`, which call_tool cannot have"),
        ("effect: deny, actions: open_pr, when: {subject.roles: sre}", "the roster says them, use `roles:` or facts.subject.roles"),
        ("effect: deny, actions: open_pr, when: {subject.name: x}", "the path `subject.name`"),
        ("effect: deny, actions: open_pr, when: {subjct.id: x}", "did you mean `subject`?"),
        ("effect: deny, actions: open_pr, when: {facts.stag: x}", "did you mean `facts.stage`?"),
        ("effect: deny, actions: open_pr, when: {facts.override: x}", "the path `facts.override`"),
        ("effect: deny, actions: open_pr, when: {facts.subject.mail: x}", "did you mean `facts.subject.attributes.mail`?"),
        ("effect: deny, actions: open_pr, when: {action.title: x}", "did you mean `action.properties.title`?"),
        ("effect: deny, actions: open_pr, when: {action: x}", "a path below it"),
        ("effect: deny, actions: open_pr, when: {context..x: x}", "names joined by `.`"),
        ("effect: deny, actions: open_pr, when: {context.x: {}}", "at least one operator"),
        ("effect: deny, actions: open_pr, when: {context.x: null}", "write `{exists: true}`"),
        ("effect: deny, actions: open_pr, when: {context.x: {equals: null}}", "write `{exists: true}`"),
        ("effect: deny, actions: open_pr, when: {context.x: {equals: [a]}}", "expected text, a number, true or false"),
        ("effect: deny, actions: open_pr, when: {context.x: {in: []}}", "an empty list"),
        ("effect: deny, actions: open_pr, when: {context.x: []}", "an empty list"),
        ("effect: deny, actions: open_pr, when: {context.x: {min: '5'}}", "`5`; expected a number (write the number without quotes)"),
        ("effect: deny, actions: open_pr, when: {context.x: {max: true}}", "`true`; expected a number"),
        ("effect: deny, actions: open_pr, when: {context.x: {exists: 1}}", "the number `1`; expected true or false"),
        ("effect: deny, actions: open_pr, when: {context.x: {glob: 5}}", "the number `5`; expected text"),
        ("effect: deny, actions: open_pr, when: {context.x: {glob: '{a'}}", "without its `}`"),
        ("effect: deny, actions: open_pr, when: {context.x: {host: 'https://a.b/c'}}", "a host alone"),
        ("effect: deny, actions: open_pr, when: {context.x: {same_as: foo.bar}}", "the path `foo.bar`"),
        ("effect: deny, actions: open_pr, when: {context.x: {same_as: 'context.a[].b'}}", "a path without `[]`"),
        ("effect: deny, actions: open_pr, when: {context.x: {equals: $a}}", "use `in`"),
        ("effect: deny, actions: open_pr, when: {context.x: {exist: true}}", "the unknown key `exist`; expected `exists`"),
        ("effect: deny, actions: open_pr, when: {}", "at least one entry"),
        ("effect: deny, actions: open_pr, branches: [1.0]", 'the number `1.0`; expected text (write "1.0" in quotes)'),
        ("effect: deny, actions: open_pr, branches: refs/heads/main", "a branch without `refs/`"),
        ("effect: deny, actions: open_pr, file_globs: /etc/**", "a glob below the repository's root"),
        ("effect: deny, actions: open_pr, file_globs: '{a,b'", "f.yaml:6:57: `{a,b` has a `{` without its `}`"),
        ("effect: deny, actions: open_pr, repositories: web", "expected `owner/name`"),
        ("effect: deny, actions: open_pr, repositories: 'https://x/y/z'", "without scheme"),
        ("effect: deny, actions: call_tool, tools: 'bank*'", "`server:tool`"),
        ("effect: deny, actions: open_pr, subjects: alice", "`type:id`"),
        ("effect: deny, actions: open_pr, subjects: 'agent*'", "`agent*`; expected a subject as `type:id`, such as `agent:fixer` or `agent:*`"),
        ("effect: deny, actions: open_pr, subjects: ['user:*', '*fixer']", "`*fixer`; expected a subject as `type:id`"),
        ("effect: deny, actions: open_pr, subjects: '{alice,agent:*}'", "a subject as `type:id`"),
        ("effect: deny, actions: open_pr, file_globs: infra/", "the folder `infra/`; expected a glob of files (paths are files; write `infra/**`)"),
        ("effect: deny, actions: open_pr, file_globs: '{src/**,infra/}'", "paths are files; write `infra/**`"),
        ("effect: deny, actions: open_pr, file_globs: '**/'", "paths are files; write `**/**`"),
        ("effect: deny, actions: open_pr, branches: '{main,refs/heads/x}'", "a branch without `refs/`"),
        ("effect: deny, actions: open_pr, colour: x", "the unknown key `colour`; expected one of the keys actions, approvals, branches"),
        ("effect: deny, actions: open_pr, roles: '*'", "leave the key out"),
        ("effect: deny, actions: open_pr, message: 'on {brnch}'", "did you mean `{branch}`?"),
        ("effect: deny, actions: open_pr, fix: 'a { b'", "a single `{`"),
        ("effect: deny, actions: open_pr, message: no", "`no` without quotes"),
        ("effect: require, actions: open_pr, approvals: {role: sre, count: 0}", "at least 1"),
        ("effect: require, actions: open_pr, approvals: {role: sre, count: 21}", "at most 20"),
        ("effect: require, actions: open_pr, approvals: {role: sre, count: 1.5}", "a whole number"),
        ("effect: require, actions: open_pr, approvals: {role: sre, bind: x}", "`changes` or `action`"),
        ("effect: require, actions: open_pr, approvals: {role: sre, expires: 1w}", "a duration"),
        ("effect: require, actions: open_pr, approvals: {role: sre, expires: 400d}", "at most 366d"),
        ("effect: require, actions: open_pr, approvals: SRE", "a name of lowercase"),
        ("effect: require, actions: open_pr, evidence: {type: t, phase: during}", "`before` or `after`"),
        ("effect: allow, actions: open_pr, budgets: {meter: usd, per: run, limit: -1}", "a limit from 0"),
        ("effect: allow, actions: open_pr, budgets: {meter: usd, per: run, limit: 0.0000001}", "at most 6 digits"),
        ("effect: allow, actions: open_pr, budgets: {meter: usd, per: run, limit: 1, window: day}", "`window` on a budget per run"),
        ("effect: allow, actions: open_pr, budgets: {meter: usd, per: org, limit: 1}", "a budget per org without `window`"),
        ("effect: allow, actions: open_pr, budgets: {meter: usd, per: year, limit: 1}", "`run`, `session`, `repo` or `org`"),
        ("effect: allow, actions: open_pr, budgets: {meter: usd, per: run, limit: 1, warn_at: 80}", "a share of the limit"),
        ("effect: allow, actions: open_pr, budgets: {meter: usd, per: run, limit: 1, warn_at: 101%}", "a share of the limit"),
    ],
)  # fmt: skip
def test_a_rule_that_makes_no_sense_is_refused(text: str, seen: str) -> None:
    assert seen in rule_problem(text)


def test_declared_actions_can_have_everything() -> None:
    found = rule(
        "{id: r, effect: deny, actions: [comment, rotate_key], branches: main, tools: 'a:b', when: {action.properties.x: 1}}"
    )

    assert set(found.selectors) == {"branches", "tools"}


def warnings(text: str) -> tuple[str, ...]:
    data = f"{HEAD}rules: {{id: r, effect: deny, actions: open_pr, {text}}}\n".encode()
    return tuple(map(str, load_documents([("f.yaml", data)], Layer.ORG).warnings))


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("file_globs: 'src/[ab].py'", "the `[` in `src/[ab].py`, which stands for itself; expected globs of `*`, `**`, `?` and `{a,b}` (for one of several use `{a,b}`)"),
        ("file_globs: '!docs/**'", "the `!` in `!docs/**`, which stands for itself"),
        ("file_globs: 'src\\x.py'", "(folders are joined by `/`, and nothing needs escaping)"),
        ("branches: 'release-[0-9]'", "the `[` in `release-[0-9]`"),
        ("head_branches: '!main'", "the `!` in `!main`"),
        ("branches: origin/main", "(write `main`)"),
        ("branches: 'origin/release/**'", "(write `release/**`)"),
        ("file_globs: src", "`src`, which matches only a file named `src`; expected a glob of files (for a folder write `src/**`)"),
        ("file_globs: .github", "for a folder write `.github/**`"),
        ("file_globs: '{infra,docs/**}'", "for a folder write `infra/**`"),
    ],
)  # fmt: skip
def test_a_glob_that_likely_never_matches_is_told(text: str, seen: str) -> None:
    (warning,) = warnings(text)

    assert seen in warning


@pytest.mark.parametrize(
    "text",
    [
        "file_globs: [Makefile, Dockerfile, LICENSE, CODEOWNERS, gradlew, .gitignore, go.mod, 'src/**', 'a/b', '*', '**']",
        "file_globs: 'src{,/**}'",
        "branches: [main, 'release/**', '{dev,main}', 'a!b']",
        "subjects: ['*', '**', 'agent:*', '{agent,job}:*', '*:fixer', '{agent:a,job:*}', '{agent,job}*']",
    ],
)
def test_globs_that_can_match_are_not_told(text: str) -> None:
    assert warnings(text) == ()
