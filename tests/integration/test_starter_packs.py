"""The starter packs as somebody finds them: right, tested, and able to live together."""

from pathlib import Path

import pytest

from orchestrator import opa, place
from orchestrator.draft import Draft, problems, read_draft
from orchestrator.model import Layer
from orchestrator.policytest import run_tests

PACKS = place.resource("policy_packs")
NAMES = ("coding-agents", "continuity", "mcp-tools", "scheduled-jobs", "web-repository")


def draft(name: str) -> Draft:
    return read_draft([str(PACKS / name)])


def test_every_folder_is_a_pack_that_is_tested_here() -> None:
    assert tuple(sorted(path.name for path in PACKS.iterdir() if path.is_dir())) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_starter_pack_has_no_errors(name: str) -> None:
    found = problems(draft(name), opa.find(), 0)

    assert [str(problem) for problem in found if not problem.is_warning] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_starter_pack_is_tested_rule_by_rule(name: str) -> None:
    (suite,) = run_tests([draft(name)], opa.find()).suites

    assert [each for each in suite.cases if not each.is_passed] == []
    assert [each for each in suite.rego if each.outcome != "pass"] == []
    assert suite.untested == ()
    assert suite.is_complete


def test_only_what_cannot_be_helped_is_warned_of() -> None:
    found = {name: [problem.seen for problem in problems(draft(name), opa.find(), 0)] for name in NAMES}

    assert found.pop("mcp-tools") == ["the module `leaks.rego`: mcp-tools is not fully analysable"]
    assert found == {"coding-agents": [], "continuity": [], "scheduled-jobs": [], "web-repository": []}


def test_they_can_be_used_together() -> None:
    together = read_draft([str(PACKS / name) for name in NAMES])

    layers = {pack.name: pack.layer for pack in together.own_packs}
    assert layers == {
        "coding-agents": Layer.ORG,
        "continuity": Layer.ORG,
        "mcp-tools": Layer.ORG,
        "scheduled-jobs": Layer.ORG,
        "web": Layer.REPO,
    }


def outcomes(folder: Path, cases: str, *, org: str) -> list[object]:
    """Return how cases beside the repository pack, below an organisation's pack, differ from what they expect."""
    tests = folder / ".orch" / "packs" / "tests.yaml"
    tests.parent.mkdir(parents=True)
    tests.write_text("apiVersion: orch/v1\nkind: PolicyTest\nmetadata: {name: both}\ntests:\n" + cases)
    (tests.parent / "web.yaml").write_text((PACKS / "web-repository/.orch/packs/web.yaml").read_text())
    both = read_draft([str(folder)], org=[str(PACKS / org)])
    return [str(each) for case in run_tests([both], opa.find()).suites[0].cases for each in case.mismatches]


def test_the_repository_pack_allows_what_the_organisation_hands_down(tmp_path: Path) -> None:
    case = "  - {name: %s, action: call_tool, tool: 'browser:%s', expect: {outcome: %s}}\n"

    assert (
        outcomes(tmp_path, case % ("taken up", "open", "allow") + case % ("other", "evaluate", "deny"), org="mcp-tools")
        == []
    )


def test_the_repository_pack_refines_the_organisations(tmp_path: Path) -> None:
    case = "  - {name: %s, action: merge_pr, branch: main, subject: 'user:ann', files: [%s], expect: {obligations: {%s}}}\n"
    cases = case % ("tests", "src/checkout/pay.ts", '"evidence:tests": unmet, "approval:payments": unmet')

    assert outcomes(tmp_path, cases, org="coding-agents") == []


@pytest.mark.parametrize("path", [".github/workflows/ci.yml", "orchestrator/cli.py", "uv.lock", "deep/.env"])
def test_in_ci_a_change_passes_with_something_to_read(tmp_path: Path, path: str) -> None:
    case = "  - {name: ci, point: ci, action: open_pr, subject: 'user:root', branch: main, files: ['%s'], expect: %s}\n"
    expect = "{outcome: allow, reason: warned}"

    assert outcomes(tmp_path, case % (path, expect), org="coding-agents") == []
