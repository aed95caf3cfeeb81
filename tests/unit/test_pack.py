"""Packs load strictly, with defaults and lists resolved; every problem is told with its place."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import PackError
from orchestrator.link import empty, link
from orchestrator.model import (
    Approval,
    Budget,
    Default,
    Effect,
    Evidence,
    Layer,
    Level,
    Mode,
    Pack,
    Point,
    Rule,
    Severity,
)
from orchestrator.pack import Loaded, load_documents

HEAD = "apiVersion: orch/v1\nkind: PolicyPack\nmetadata: {name: p}\ndefault: deny\n"
WHOLE = (
    HEAD.replace("{name: p}", '{name: acme-baseline, version: 1.4.0, owners: ["@acme/security"]}')
    + """repositories: ["acme/*"]
enforcement: {ci: warn, tick: enforce, agent: enforce}
declares: {actions: [rotate_key], stages: [dev, staging, production]}
lists: {payees: [GB33BUKB20201555555555, GB29NWBK60161331926819], everyone: [$payees, DE89370400440532013000]}
rules:
  - id: no-push-protected
    title: Agents never push to protected branches
    effect: deny
    level: hard
    severity: high
    actions: [push_branch]
    subjects: ["agent:*"]
    branches: [main, "release/**"]
    message: "push to {branch} is not allowed; open a pull request"
    fix: "orch act open_pr --base {branch}"
  - id: infra-needs-sre
    effect: require
    level: soft
    actions: [open_pr, merge_pr]
    file_globs: ["infra/**", "**/*.tf"]
    approvals: [{role: sre, count: 2}]
    evidence: [tests, provenance]
  - {id: staged-first, effect: require, actions: [publish_release], stage: staging}
  - id: agent-actions
    effect: allow
    actions: [open_pr, comment, create_issue]
    budgets: [{meter: usd, per: run, limit: 5.00, warn_at: 80%}, {meter: pr_attempts, per: run, limit: 2}]
  - id: pay-known-people
    effect: allow
    actions: [call_tool]
    tools: ["bank:send_money"]
    when: {action.properties.recipient: {in: $everyone}, action.properties.amount: {min: 0, max: 100}}
  - id: repo-tools
    effect: delegate
    actions: [call_tool]
    tools: ["github:get_*", "sentry:*"]
"""
)


def load(text: str, layer: Layer = Layer.ORG) -> Loaded:
    return load_documents([("f.yaml", text.encode())], layer)


def linked(text: str) -> Pack:
    return link(load(text), empty(Layer.REPO), [], repository=None, is_claimed=False).packs[0]


def rule(text: str, head: str = HEAD) -> Rule:
    return load(head + "rules: " + text).packs[0].rules[0]


def problems(text: str, layer: Layer = Layer.ORG) -> list[str]:
    with pytest.raises(PackError) as caught:
        load(text, layer)
    return [str(problem) for problem in caught.value.problems]


def rule_problem(text: str, head: str = HEAD) -> str:
    found = problems(head + "rules:\n  - {id: r, " + text + "}\n")
    assert len(found) == 1
    return found[0]


def link_problems(text: str, repo: str = "", runs: tuple[str, ...] = (), repository: str | None = None) -> list[str]:
    below = load(repo, Layer.REPO) if repo else empty(Layer.REPO)
    attached = [load(run, Layer.RUN) for run in runs]
    with pytest.raises(PackError) as caught:
        link(load(text), below, attached, repository=repository, is_claimed=False)
    return [str(problem) for problem in caught.value.problems]


def test_a_first_pack_is_short() -> None:
    pack = load(
        'apiVersion: orch/v1\nkind: PolicyPack\nmetadata: {name: first, version: 1.0.0}\ndefault: allow\nrules:\n  - {id: infra-needs-sre, effect: require, actions: "*", file_globs: "infra/**", approvals: {role: sre}}\n'
    ).packs[0]

    assert (pack.name, pack.version, pack.default, pack.repositories) == ("first", "1.0.0", Default.ALLOW, None)
    found = pack.rules[0]
    assert (found.actions, found.level, found.severity) == (("*",), Level.HARD, Severity.HIGH)
    assert found.selectors == {"file_globs": ("infra/**",)}
    assert found.approvals == (Approval("sre", 1, "changes", 86_400),)


def test_the_whole_format_is_read() -> None:
    pack = linked(WHOLE)
    rules = {each.id: each for each in pack.rules}

    assert pack.enforcement == {Point.CI: Mode.WARN, Point.TICK: Mode.ENFORCE, Point.AGENT: Mode.ENFORCE}
    assert (pack.declared_actions, pack.declared_stages) == (("rotate_key",), ("dev", "staging", "production"))
    assert (pack.repositories, pack.owners) == (("acme/*",), ("@acme/security",))
    assert rules["infra-needs-sre"].evidence == (Evidence("tests"), Evidence("provenance"))
    assert rules["infra-needs-sre"].severity is Severity.MEDIUM
    assert rules["staged-first"].stage == "staging"
    assert rules["agent-actions"].budgets == (Budget("usd", "run", 5_000_000), Budget("pr_attempts", "run", 2_000_000))
    paid, amount = rules["pay-known-people"].when
    assert paid.operators[0].values == ("GB33BUKB20201555555555", "GB29NWBK60161331926819", "DE89370400440532013000")
    assert [(each.name, each.values) for each in amount.operators] == [("min", (0,)), ("max", (100,))]
    assert rules["repo-tools"].effect is Effect.DELEGATE
    assert str(rules["no-push-protected"].source) == "f.yaml:10"
    assert str(rules["no-push-protected"].selector_sources["branches"]) == "f.yaml:17"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("[]", "f.yaml:1:1: an empty list; expected a mapping"),
        ("hello", "expected a mapping"),
        ("a: 1", "a document without `kind`; expected `kind: PolicyPack, Waiver, Roster, PolicyTest or Escalation`"),
        ("kind: PolicyPak", "did you mean `PolicyPack`?"),
        ("kind: [x]", "the kind a list"),
        (HEAD.replace("orch/v1", "orch/v2"), "`orch/v2`; expected `orch/v1`"),
        (HEAD.replace("default: deny\n", ""), "a key is missing; expected `default` here"),
        (HEAD.replace("name: p", "name: P"), "a name of lowercase letters"),
        (HEAD.replace("name: p", "name: p, version: 1.0"), 'the number `1.0`; expected text (write "1.0" in quotes)'),
        (HEAD.replace("name: p", "name: p, version: v1"), "a version such as 1.4.0"),
        (HEAD + "rules: []\n", "f.yaml:5:8: an empty list"),
        (HEAD + "foo: 1\n", "the unknown key `foo`"),
        (HEAD + "enforcement: {prod: warn}\n", "f.yaml:5:15: `prod`; expected `ci`"),
        (HEAD + "declares: {actions: [open_pr]}\n", "`open_pr`, which is built in"),
        (HEAD + "declares: {stages: [a, a]}\n", "`a` a second time"),
        (HEAD + "declares: {meters: [usd]}\n", "`usd`, which is built in"),
        (HEAD + "lists: {a: [$b], b: [$a]}\n", "lists that hold each other: a -> b -> a"),
        (HEAD + "lists: {a: [$a]}\n", "lists that hold each other: a -> a"),
        (HEAD + "lists: {a: [$ab], abc: [x]}\n", "did you mean `$abc`?"),
        (HEAD + "lists: {a: []}\n", "an empty list"),
        (HEAD + "lists: {a: [[x]]}\n", "expected text, a number, true or false"),
        (HEAD + "lists: {a: [null]}\n", "expected text, a number, true or false"),
        (HEAD + "lists: {a: [1]}\nrules: {id: r, effect: deny, actions: open_pr, branches: $a}\n", "f.yaml:6:58: the number `1`; expected text"),
        (HEAD + "rules:\n  - {id: r, effect: deny, actions: open_pr}\n  - {id: r, effect: deny, actions: open_pr}\n", "f.yaml:7:10: a second rule `r`; expected each id once in a pack (the first is on line 6)"),
        (HEAD + "---\n" + HEAD, "a second pack `p`"),
        (HEAD + "default: allow\n", "the key `default` a second time"),
        (HEAD + "rego: x.rego\n", "they cannot be read from here"),
    ],
)  # fmt: skip
def test_a_pack_that_makes_no_sense_is_refused(text: str, seen: str) -> None:
    found = problems(text)

    assert seen in "\n".join(found)
    assert len(found) == 1


def test_what_is_expected_is_not_said_twice() -> None:
    assert problems(HEAD.replace("orch/v1", "orch/v2")) == ["f.yaml:1:13: `orch/v2`; expected `orch/v1`"]


def test_all_problems_of_all_files_are_told_in_file_order() -> None:
    bad = (
        HEAD
        + "rules:\n  - {id: r, effect: allow, actions: open_pr, level: hard}\n  - {id: s, effect: deny, actions: call_tool, branches: no}\n"
    )

    with pytest.raises(PackError) as caught:
        load_documents([("b.yaml", bad.encode()), ("a.yaml", b"kind: x"), ("c.yaml", b"\xff")], Layer.ORG)

    assert [str(problem).split(": ")[0] for problem in caught.value.problems] == [
        "b.yaml:6:46",
        "b.yaml:7:47",
        "b.yaml:7:57",
        "a.yaml:1:7",
        "c.yaml:1:1",
    ]
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("layer", [Layer.REPO, Layer.RUN])
@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (HEAD.replace("deny", "allow"), "`default: allow` from a"),
        (HEAD + "rego: x.rego\n", "`rego` from a"),
        (HEAD + "rules: {id: r, effect: delegate, actions: open_pr}\n", "a delegate from a"),
        (HEAD + "declares: {stages: [a]}\n", "stages from a"),
        ("apiVersion: orch/v1\nkind: Waiver\n", "a Waiver from a"),
        ("apiVersion: orch/v1\nkind: Roster\n", "a Roster from a"),
    ],
)
def test_only_the_operator_may_say_what_is_trusted(text: str, seen: str, layer: Layer) -> None:
    (found,) = problems(text, layer)

    assert seen in found


def test_a_repository_speaks_of_itself_only() -> None:
    own = HEAD + "repositories: Acme/Web\n"

    link(load(HEAD), load(own, Layer.REPO), [], repository="acme/web", is_claimed=False)
    assert "no other repository" in link_problems(HEAD, own, repository="acme/api")[0]
    assert "no other repository" in link_problems(HEAD, own)[0]
    assert "no other repository" in link_problems(HEAD, own.replace("Acme/Web", "'acme/*'"), repository="acme/web")[0]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (
            "rules: {id: r, effect: deny, actions: [open_rp]}\n",
            "f.yaml:5:40: the unknown action `open_rp`; expected one of approve_phase, auto_approve, call_tool, ",
        ),
        (
            "rules: {id: r, effect: deny, actions: rotate_keys}\ndeclares: {actions: other}\n",
            "a new name is declared under declares.actions",
        ),
        (
            "rules: {id: r, effect: require, actions: open_pr, stage: prod}\n",
            "the unknown stage `prod`; expected a stage that is declared",
        ),
        (
            "rules: {id: r, effect: deny, actions: open_pr, stages: prd}\ndeclares: {stages: [dev, prod]}\n",
            "did you mean `prod`?",
        ),
        (
            "rules: {id: r, effect: allow, actions: open_pr, budgets: {meter: usdd, per: run, limit: 1}}\n",
            "did you mean `usd`?",
        ),
    ],
)
def test_a_name_nobody_declares_is_an_error(text: str, seen: str) -> None:
    (found,) = link_problems(HEAD + text)

    assert seen in found


def test_declared_names_serve_all_layers() -> None:
    org = HEAD + "declares: {actions: rotate_key, stages: [dev, prod], meters: cpu}\n"
    repo = (
        HEAD
        + "rules: {id: r, effect: require, actions: [rotate_key, own], stages: dev, branches: x, budgets: {meter: cpu, per: run, limit: 1}}\ndeclares: {actions: own}\n"
    )

    pack_set = link(load(org), load(repo, Layer.REPO), [load(repo, Layer.RUN)], repository="a/b", is_claimed=True)

    assert [(pack.layer, pack.prefix) for pack in pack_set.packs] == [
        (Layer.ORG, "p"),
        (Layer.REPO, "repo:p"),
        (Layer.RUN, "run:p"),
    ]
    assert pack_set.is_claimed


def test_stages_are_declared_once_and_run_packs_differ_in_name() -> None:
    declares = HEAD + "declares: {stages: [a]}\n"

    assert "stages a second time" in problems(declares + "---\n" + declares.replace("{name: p}", "{name: q}"))[0]
    assert "a second run pack `p`" in link_problems(HEAD, runs=(HEAD, HEAD))[0]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (HEAD.replace("deny", "allow"), "`default: allow`"),
        (HEAD + "lists: {a: [x]}\n", "the list `a`, which no rule uses"),
        (
            HEAD + "rules: {id: r, effect: allow, actions: call_tool, when: {action.properties.n: {max: 5}}}\n",
            "`max` without `min`",
        ),
        (
            HEAD
            + "rules: {id: r, effect: deny, actions: call_tool, when: {action.properties.n: {glob: 'https://x/**'}}}\n",
            "the URL",
        ),
    ],
)
def test_what_is_likely_not_meant_is_a_warning(text: str, seen: str) -> None:
    (warning,) = load(text).warnings

    assert warning.is_warning
    assert seen in str(warning)


def test_a_policy_test_is_handed_on() -> None:
    text = "apiVersion: orch/v1\nkind: PolicyTest\nmetadata: {name: t}\ntests:\n  - {name: one, action: push_branch, branch: main, files: [a, {path: b, status: D}], args: {force: true}, facts: {stage: null}, expect: {outcome: deny, findings: p/r, obligations: {'approval:sre': unmet}}}\n"

    (test,) = load(text, Layer.REPO).tests

    assert (test.name, test.cases[0].name, str(test.cases[0].source)) == ("t", "one", "f.yaml:5")
    assert test.cases[0].values == {
        "name": "one",
        "action": "push_branch",
        "branch": "main",
        "files": [{"path": "a"}, {"path": "b", "status": "D"}],
        "args": {"force": True},
        "facts": {"stage": None},
        "expect": {"outcome": "deny", "findings": ("p/r",), "obligations": {"approval:sre": "unmet"}},
    }


@pytest.mark.parametrize(
    ("case", "seen"),
    [
        ("{name: a, expect: {outcome: deny}}", "neither `request` nor `action`"),
        ("{name: a, action: x, request: {a: 1}, expect: {outcome: deny}}", "both `request` and `action`"),
        ("{name: a, action: x, expect: {}}", "an expectation of nothing"),
        ("{name: a, action: x, expect: {outcome: denied}}", "did you mean `deny`?"),
        (
            "[{name: a, action: x, expect: {outcome: deny}}, {name: a, action: x, expect: {outcome: deny}}]",
            "a second case `a`",
        ),
    ],
)
def test_a_policy_test_that_tests_nothing_is_refused(case: str, seen: str) -> None:
    (found,) = problems(f"apiVersion: orch/v1\nkind: PolicyTest\nmetadata: {{name: t}}\ntests: {case}\n")

    assert seen in found


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(list(Layer)))
def test_loading_raises_pack_errors_only(data: st.DataObject, layer: Layer) -> None:
    text = bytearray(WHOLE.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        length = data.draw(st.integers(0, 12))
        piece = data.draw(
            st.sampled_from(
                [
                    b"",
                    b"[]",
                    b"{}",
                    b"null",
                    b"no",
                    b"1",
                    b"-5.5",
                    b"'",
                    b"$x",
                    b"\n",
                    b"  ",
                    b": ",
                    b"*",
                    b"- ",
                    b"\xff",
                    b"\0",
                    b"&a",
                    b"{a",
                ]
            )
        )
        text[at : at + length] = piece
    with suppress(PackError):
        load_documents([("f.yaml", bytes(text))], layer)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_value_at_any_key_raises_pack_errors_only(data: st.DataObject) -> None:
    values = st.sampled_from(
        [
            "null",
            "5",
            "5.5",
            "true",
            "x",
            "[]",
            "{}",
            "[x]",
            "[[x]]",
            "{x: y}",
            "[1]",
            "[null]",
            "[{}]",
            "$x",
            "'*'",
            "''",
            "{a: [b]}",
        ]
    )
    lines = WHOLE.splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        head, colon, _ = lines[at].partition(": ")
        if colon:
            lines[at] = f"{head}: {data.draw(values)}"
    with suppress(PackError):
        linked("\n".join(lines))
