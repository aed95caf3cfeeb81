"""What packs keep an escalation from is said beforehand: silence alone does not reach what waits for people."""

from pathlib import Path

import pytest
from escalation_text import DOCUMENT, PACK, write

from orchestrator import opa
from orchestrator.draft import check

PEOPLE = "---\napiVersion: orch/v1\nkind: Roster\nmetadata: {name: people}\nsubjects:\n  user:ann: {roles: [sre]}\n  user:ben: {roles: [sre]}\n"


def kept(folder: Path, *rules: str, pack: str = PACK, document: str = DOCUMENT) -> list[str]:
    """Return what `orch policy validate` says that silence does not reach, with the line where."""
    write(folder, document, pack=pack + "".join(f"  - {rule}\n" for rule in rules) + PEOPLE)
    found = check([str(folder)], opa.find(), 0)
    assert all(one.is_warning for one in found.problems)
    return [f"{Path(one.file).name}:{one.line}: {one.seen}" for one in found.problems if "silence" in one.seen]


def test_where_nothing_waits_for_people_nothing_is_said(tmp_path: Path) -> None:
    assert kept(tmp_path / "policy") == []


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            "{id: two, effect: require, actions: enter_stage, when: {action.properties.stage: full}, approvals: {role: sre, count: 2}}",
            "continuity: full waits for 2 approvals of sre (continuity/two): silence alone does not reach it",
        ),
        (
            "{id: two, effect: require, actions: enter_stage, when: {action.properties.audience: {not_in: [operator]}}, approvals: {role: sre}}",
            "continuity: partial, continuity: full wait for 1 approval of sre (continuity/two): silence alone does not reach them",
        ),
        (
            "{id: proof, effect: require, actions: send_message, stages: [partial], evidence: [{type: tests}]}",
            "continuity: partial/letter waits for evidence of type tests (continuity/proof): silence alone does not reach it",
        ),
        (
            "{id: never, effect: deny, actions: enter_stage, when: {action.properties.stage: partial}}",
            "continuity: partial is denied by continuity/never: silence alone does not reach it",
        ),
        (
            "{id: never, effect: deny, actions: send_message, stages: [full]}",
            "continuity: full/say is denied by continuity/never: silence alone does not reach it",
        ),
    ],
    ids=["a stage", "several stages", "an action", "a denied stage", "a step of its plan"],
)
def test_what_waits_or_is_denied_is_told_at_its_rule(tmp_path: Path, rule: str, expected: str) -> None:
    assert kept(tmp_path / "policy", rule) == [f"pack.yaml:8: {expected}"]


def test_a_stage_that_no_rule_allows_is_told_at_its_escalation(tmp_path: Path) -> None:
    pack = PACK.replace("tick, enter_stage", "tick")
    rule = "{id: near, effect: allow, actions: enter_stage, when: {action.properties.audience: operator}}"

    said = kept(tmp_path / "policy", rule, pack=pack)

    assert said == [
        "continuity.yaml:1: continuity: partial, continuity: full are allowed by no rule: silence alone does not reach them"
    ]


def test_only_whoever_ticks_is_asked_for(tmp_path: Path) -> None:
    pack = PACK.replace("actions: [tick", "subjects: 'job:*', actions: [tick")
    rule = "{id: people, effect: require, actions: enter_stage, subjects: 'user:*', approvals: {role: sre}}"

    assert kept(tmp_path / "policy", rule, pack=pack) == []


def test_a_pack_that_only_warns_keeps_nothing_back(tmp_path: Path) -> None:
    pack = PACK.replace("default: deny", "default: deny\nenforcement: {tick: warn}")
    rule = "{id: two, effect: require, actions: enter_stage, approvals: {role: sre}}"

    assert kept(tmp_path / "policy", rule, pack=pack) == []
