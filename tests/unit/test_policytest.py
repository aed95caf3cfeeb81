"""The test runner: what a case asks and expects, when a rule counts as tested, and what the reports say."""

import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from orchestrator import opa
from orchestrator.draft import read_draft
from orchestrator.errors import Exit, PackError
from orchestrator.model import Layer, Source
from orchestrator.pack import TestCase
from orchestrator.policycase import circumstances, question
from orchestrator.policytest import Report, run_tests
from orchestrator.show import testreport

HEAD = "apiVersion: orch/v1\nkind: {kind}\nmetadata: {{name: p}}\n"
PACK = HEAD.format(kind="PolicyPack") + "default: deny\nrules:\n"
TESTS = HEAD.format(kind="PolicyTest") + "tests:\n"
ALLOW = "  - {id: a, effect: allow, actions: open_pr, branches: main}\n"
ON_MAIN = "  - {name: on main, action: open_pr, branch: main, expect: {outcome: allow}}\n"
ELSEWHERE = "  - {name: elsewhere, action: open_pr, branch: dev, expect: {outcome: deny}}\n"


def case(**values: object) -> TestCase:
    return TestCase("case", Source("t.yaml", 1), {"name": "case", **values})


def report(folder: Path, pack: str, tests: str = "", *, layer: Layer | None = None, **more: str) -> Report:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pack.yaml").write_text(pack)
    if tests:
        (folder / "tests.yaml").write_text(tests)
    for name, text in more.items():
        (folder / f"{name}.rego").write_text(text)
    return run_tests([read_draft([str(folder)], layer=layer)], opa.find())


def shown(of: Report, output_format: str = "text", *, is_full: bool = False) -> str:
    out = io.StringIO()
    testreport.write(of, out, output_format, is_full=is_full)
    return out.getvalue()


def test_a_case_is_filled_in_to_a_whole_request() -> None:
    asked = question(case(action="open_pr", branch="main", files=[{"path": "a"}], args={"title": "x"}))

    assert asked.request == {
        "subject": {"type": "agent", "id": "agent:tester"},
        "action": {"name": "open_pr", "properties": {"title": "x"}},
        "resource": {
            "type": "repository",
            "id": "acme/app",
            "properties": {"branch": "main", "files": [{"path": "a"}]},
        },
        "context": {},
    }


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"action": "call_tool", "tool": "a:b"}, {"type": "tool", "id": "a:b"}),
        ({"action": "send_message", "args": {"channel": "mail"}}, {"type": "channel", "id": "mail"}),
        ({"action": "call_webhook", "args": {"url": "https://x.y/"}}, {"type": "endpoint", "id": "https://x.y/"}),
        ({"action": "run_command", "args": {"argv": ["ls", "-l"]}}, {"type": "command", "id": "ls"}),
        ({"action": "tick", "facts": {"escalation": {"name": "c"}}}, {"type": "escalation", "id": "c"}),
        ({"action": "tick"}, {"type": "escalation", "id": "escalation"}),
        ({"action": "own", "tool": "a:b"}, {"type": "tool", "id": "a:b"}),
        ({"action": "own", "repository": "x/y"}, {"type": "repository", "id": "x/y"}),
    ],
    ids=["tool", "channel", "endpoint", "command", "tick", "tick of any", "declared with a tool", "declared"],
)
def test_the_resource_follows_from_the_action(values: dict[str, Any], expected: dict[str, str]) -> None:
    assert question(case(**values)).request["resource"] == expected


def test_the_repository_of_a_tool_call_is_a_fact() -> None:
    assert question(case(action="call_tool", tool="a:b")).facts == {"repository": "acme/app"}


def test_a_whole_request_is_asked_as_it_stands() -> None:
    asked = question(case(request={"subject": 5}, facts={"stage": "dev"}))

    assert asked.request == {"subject": 5}
    assert asked.facts == {"stage": "dev"}


def test_digests_are_put_into_votes() -> None:
    votes = [{"digest": "{change}"}, {"digest": "{action}"}, {"digest": "other"}]

    facts = question(case(action="open_pr", branch="main", files=[{"path": "a"}], facts={"approvals": votes})).facts

    change, action, other = (vote["digest"] for vote in facts["approvals"])
    assert change.startswith("sha256:")
    assert action.startswith("sha256:")
    assert change != action
    assert other == "other"


def test_what_a_case_says_of_an_escalation_is_filled_in() -> None:
    facts = question(
        case(action="send_message", facts={"escalation": {"stage": "full"}}, now="2026-03-01T09:00:00Z")
    ).facts

    assert facts["stage"] == "full"
    assert facts["escalation"] == {
        "name": "escalation",
        "mode": "countdown",
        "cycle": 1,
        "is_armed": True,
        "stage": "full",
        "stage_at": "2026-03-01T09:00:00Z",
        "deadline": None,
        "delivered": [],
        "of_stage": "full",
        "audience": "operator",
        "is_drill": False,
        "is_time_given": False,
    }


def test_what_a_case_says_of_an_escalation_itself_stays() -> None:
    said = {"stage": "full", "of_stage": "partial", "audience": "custodians", "cycle": 7, "delivered": ["warn/mail"]}

    facts = question(case(action="send_message", facts={"stage": "else", "escalation": said})).facts

    assert facts["stage"] == "else"
    assert facts["escalation"].items() >= said.items()


def test_a_pack_can_be_tested_stage_by_stage(tmp_path: Path) -> None:
    pack = PACK + "  - {id: tell, effect: allow, actions: send_message, when: {facts.escalation.of_stage: full}}\n"
    cases = "  - {{name: {0}, action: send_message, args: {{body: Hello}}, facts: {{escalation: {{stage: {0}}}}}, expect: {{outcome: {1}}}}}\n"
    texts = TESTS + cases.format("full", "allow") + cases.format("warn", "deny")
    texts += (
        "  - {name: way in, action: send_message, args: {body: acme&#46;example}, facts: {escalation: {stage: full}}, "
    )
    texts += "expect: {outcome: deny, findings: orch/way-in}}\n"

    made = report(tmp_path, pack, texts)

    assert [str(each) for suite in made.suites for one in suite.cases for each in one.mismatches] == []
    assert made.exit_code is Exit.OK


def test_a_case_without_a_time_does_not_depend_on_the_day() -> None:
    assert circumstances(case()) == circumstances(case(now="2026-01-01T12:00:00Z"))


def test_a_time_that_is_none_is_told_with_its_place() -> None:
    with pytest.raises(PackError, match=r"t\.yaml:1.*RFC 3339"):
        circumstances(case(now="yesterday"))


def test_a_rule_is_tested_by_a_case_on_either_side(tmp_path: Path) -> None:
    found = report(tmp_path / "p", PACK + ALLOW, TESTS + ON_MAIN + ELSEWHERE)

    (rule,) = found.suites[0].rules
    assert (rule.name, rule.matching, rule.sparing) == ("p/a", ("on main",), ("elsewhere",))
    assert found.exit_code is Exit.OK


@pytest.mark.parametrize(
    ("rule", "cases", "gap"),
    [
        (ALLOW, ON_MAIN, "no case asks its action without making it match"),
        (ALLOW, ELSEWHERE, "no case makes it match"),
        (ALLOW, "  - {name: other, action: comment, expect: {outcome: deny}}\n", "no case makes it match, and none"),
        ("  - {id: a, effect: allow, actions: open_pr}\n", ON_MAIN, "no case asks its action without"),
        (
            "  - {id: a, effect: allow, actions: open_pr}\n",
            ON_MAIN + "  - {name: other, action: comment, expect: {outcome: deny}}\n",
            "",
        ),
        ("  - {id: a, effect: allow, actions: '*'}\n", ON_MAIN, ""),
        (
            ALLOW,
            "  - {name: bad, action: open_pr, expect: {reason: invalid_request}}\n",
            "no case makes it match, and none",
        ),
    ],
    ids=[
        "never spared",
        "never matched",
        "other action only",
        "actions alone",
        "actions alone, both",
        "anything",
        "invalid",
    ],
)
def test_what_a_rule_lacks_is_said(tmp_path: Path, rule: str, cases: str, gap: str) -> None:
    found = report(tmp_path / "p", PACK + rule, TESTS + cases)

    assert found.suites[0].failed == 0
    assert found.suites[0].rules[0].gap.startswith(gap)
    assert found.is_ok == (gap == "")


def test_no_tests_at_all_fail(tmp_path: Path) -> None:
    found = report(tmp_path / "p", PACK + ALLOW)

    assert found.exit_code is Exit.PACK
    assert "no tests" in shown(found)


def test_gaps_can_be_allowed_and_failures_cannot(tmp_path: Path) -> None:
    gaps = report(tmp_path / "p", PACK + ALLOW, TESTS + ON_MAIN)
    failures = report(tmp_path / "q", PACK + ALLOW, TESTS + ON_MAIN.replace("outcome: allow", "outcome: deny"))

    assert Report(gaps.suites, allow_untested=True).exit_code is Exit.OK
    assert Report(failures.suites, allow_untested=True).exit_code is Exit.PACK


def test_everything_expected_is_looked_at(tmp_path: Path) -> None:
    expect = "{outcome: deny, would: deny, reason: denied, findings: p/b, no_findings: p/a, obligations: {stage: met}}"
    found = report(
        tmp_path / "p", PACK + ALLOW, TESTS + f"  - {{name: all, action: open_pr, branch: main, expect: {expect}}}\n"
    )

    whats = [each.what for each in found.suites[0].cases[0].mismatches]
    assert whats == ["outcome", "would", "reason", "findings", "no_findings", "obligations"]


def test_a_failure_says_what_came_and_why(tmp_path: Path) -> None:
    found = report(tmp_path / "p", PACK + ALLOW, TESTS + ELSEWHERE.replace("outcome: deny", "outcome: allow"))

    assert "outcome: expected allow, got deny (denied: p/default)" in shown(found)
    assert "p/tests.yaml:5" in shown(found)


def test_a_case_with_facts_that_nobody_states_fails_alone(tmp_path: Path) -> None:
    odd = ON_MAIN.replace("on main", "odd").replace("expect", "facts: {weather: fine}, expect")
    found = report(tmp_path / "p", PACK + ALLOW, TESTS + ON_MAIN + odd + ELSEWHERE)

    assert [each.is_passed for each in found.suites[0].cases] == [True, False, True]
    assert "weather" in shown(found)


def test_time_point_and_mode_are_the_cases_own(tmp_path: Path) -> None:
    rules = "  - {id: a, effect: allow, actions: '*'}\n  - {id: d, effect: deny, actions: comment, when: {facts.time: {glob: '2026-05-*'}}}\n"
    pack = PACK.replace("default", "enforcement: {ci: warn}\ndefault") + rules
    cases = (
        "  - {name: may, now: 2026-05-01T00:00:00Z, action: comment, expect: {outcome: deny}}\n"
        "  - {name: june, now: 2026-06-01T00:00:00Z, action: comment, expect: {outcome: allow}}\n"
        "  - {name: ci, point: ci, now: 2026-05-01T00:00:00Z, action: comment, expect: {outcome: allow, would: deny}}\n"
        "  - {name: strict, point: ci, mode: enforce, now: 2026-05-01T00:00:00Z, action: comment, expect: {outcome: deny}}\n"
    )

    assert report(tmp_path / "p", pack, TESTS + cases).is_ok


def test_a_repository_pack_stands_below_an_organisation_that_allows_everything(tmp_path: Path) -> None:
    pack = (
        HEAD.format(kind="PolicyPack")
        + "default: inherit\nrules:\n  - {id: d, effect: deny, actions: open_pr, branches: main}\n"
    )
    cases = (
        "  - {name: m, action: open_pr, branch: main, expect: {outcome: deny, findings: 'repo:p/d'}}\n"
        + ELSEWHERE.replace("deny", "allow")
    )

    assert report(tmp_path / "repo" / ".orch" / "packs", pack, TESTS + cases).is_ok
    assert report(tmp_path / "other", pack, TESTS + cases, layer=Layer.REPO).is_ok


MODULE = 'package packs.p\n\nfindings contains {"id": "x", "message": "no"} if input.action.name == "comment"\n'
REGO_TEST = (
    "package packs.p_test\n\nimport data.packs.p\n\n"
    'test_it if count(p.findings) == 1 with input as {"action": {"name": "comment"}}\n'
)


def test_rego_tests_run_with_the_packs_own_modules(tmp_path: Path) -> None:
    pack = (PACK + ALLOW).replace("default", "rego: m.rego\ndefault")

    found = report(tmp_path / "p", pack, TESTS + ON_MAIN + ELSEWHERE, m=MODULE, m_test=REGO_TEST)

    (test,) = found.suites[0].rego
    assert (test.outcome, test.name, Path(test.file).name) == ("pass", "test_it", "m_test.rego")
    assert found.is_ok


def test_a_failing_rego_test_fails(tmp_path: Path) -> None:
    pack = (PACK + ALLOW).replace("default", "rego: m.rego\ndefault")

    found = report(
        tmp_path / "p", pack, TESTS + ON_MAIN + ELSEWHERE, m=MODULE, m_test=REGO_TEST.replace("== 1", "== 2")
    )

    assert found.suites[0].failed == 1
    assert "m_test.rego:5" in shown(found)


def test_a_module_that_nobody_tests_is_a_gap(tmp_path: Path) -> None:
    pack = (PACK + ALLOW).replace("default", "rego: m.rego\ndefault")

    found = report(tmp_path / "p", pack, TESTS + ON_MAIN + ELSEWHERE, m=MODULE)

    assert found.suites[0].untested_modules == ("p",)
    assert not found.is_ok


@pytest.mark.parametrize(
    ("module", "rego_test"),
    [(MODULE.replace("input.action", "http.send({}).action"), REGO_TEST), (MODULE, REGO_TEST + "test_b if {\n")],
    ids=["module", "test"],
)
def test_rego_that_does_not_compile_is_told_with_its_place(tmp_path: Path, module: str, rego_test: str) -> None:
    pack = (PACK + ALLOW).replace("default", "rego: m.rego\ndefault")

    with pytest.raises(PackError) as raised:
        report(tmp_path / "p", pack, TESTS + ON_MAIN, m=module, m_test=rego_test)

    problem = raised.value.problems[0]
    assert Path(problem.file).parent == tmp_path / "p"
    assert problem.line


@pytest.fixture
def mixed(tmp_path: Path) -> Report:
    """A report with a failed case whose name is hostile, and a rule that is not tested."""
    odd = ON_MAIN.replace("on main", '"x # SKIP <b>"').replace("outcome: allow", "outcome: deny")
    return report(tmp_path / "p", PACK + ALLOW, TESTS + odd)


def test_text_has_no_line_over_80_columns_of_its_own(mixed: Report) -> None:
    lines = [line for line in shown(mixed).splitlines() if "/" not in line]

    assert max(map(len, lines)) <= 80
    assert "\x1b" not in "".join(lines)


def test_text_names_what_passed_if_asked(tmp_path: Path) -> None:
    found = report(tmp_path / "p", PACK + ALLOW, TESTS + ON_MAIN + ELSEWHERE)

    assert "elsewhere" not in shown(found)
    assert "✓ elsewhere" in shown(found, is_full=True)


def test_json_holds_everything(mixed: Report) -> None:
    answer = json.loads(shown(mixed, "json"))

    assert answer["ok"] is False
    assert answer["suites"][0]["cases"][0]["mismatches"][0]["what"] == "outcome"
    assert answer["suites"][0]["rules"][0]["tested"] is False


def test_junit_counts_what_failed(mixed: Report) -> None:
    suite = ET.fromstring(shown(mixed, "junit"))[0]  # noqa: S314  # our own output

    assert (suite.get("tests"), suite.get("failures")) == ("2", "2")
    assert [len(test) for test in suite] == [1, 1]


def test_junit_does_not_fail_for_gaps_that_are_allowed(tmp_path: Path) -> None:
    gaps = report(tmp_path / "p", PACK + ALLOW, TESTS + ON_MAIN)

    suite = ET.fromstring(shown(Report(gaps.suites, allow_untested=True), "junit"))[0]  # noqa: S314  # our own output

    assert suite.get("failures") == "0"


def test_tap_has_a_plan_and_no_directive_out_of_a_name(mixed: Report) -> None:
    lines = shown(mixed, "tap").splitlines()

    assert lines[:2] == ["TAP version 14", "1..2"]
    assert lines[2].startswith("not ok 1 - case: x \\# SKIP")
