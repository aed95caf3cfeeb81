"""Packs as somebody works on them: which files are read, as which layer, and what is said of them."""

from pathlib import Path

import pytest

from orchestrator import opa
from orchestrator.draft import check, problems, read_draft, read_drafts
from orchestrator.errors import Exit, PackError, UsageError
from orchestrator.model import Layer

PACK = "apiVersion: orch/v1\nkind: PolicyPack\nmetadata: {{name: {name}}}\ndefault: {default}\n"
RULE = "rules:\n  - {{id: r, effect: require, actions: open_pr, {more}}}\n"


def pack(folder: Path, name: str = "p", *, default: str = "deny", rest: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.yaml"
    file.write_text(PACK.format(name=name, default=default) + rest)
    return file


def test_packs_are_what_lies_in_the_folder_itself(tmp_path: Path) -> None:
    folder = tmp_path / "packs"
    pack(folder, "a")
    pack(folder, "b")
    pack(folder / "deep", "x")
    pack(folder / "tests", "z")
    pack(folder, ".hidden")
    (folder / "loop").symlink_to(folder)

    assert [each.name for each in read_draft([str(folder)]).own_packs] == ["a", "b"]


def test_tests_lie_beside_the_pack_or_in_its_folder_of_tests(tmp_path: Path) -> None:
    head = "apiVersion: orch/v1\nkind: PolicyTest\nmetadata: {name: t}\ntests:\n"
    case = "  - {name: %s, action: comment, expect: {outcome: deny}}\n"
    pack(tmp_path)
    for name in ("a", "tests/b", "tests/deep/c", "tests/.hidden/d", "other/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.yaml").write_text(head + case % name)
        (tmp_path / f"{name}_test.rego").write_text("package x\n")

    draft = read_draft([str(tmp_path)])

    assert [case.name for case in draft.cases] == ["a", "tests/b", "tests/deep/c"]
    assert [path.name for path in draft.rego_tests] == ["a_test.rego", "b_test.rego", "c_test.rego"]


@pytest.mark.parametrize(
    ("below", "layer", "expected"),
    [
        ("packs", None, Layer.ORG),
        (".orch/packs", None, Layer.REPO),
        ("packs", Layer.RUN, Layer.RUN),
        (".orch/packs", Layer.ORG, Layer.ORG),
    ],
    ids=["anywhere", "in a repository", "said to be a run's", "said to be the organisation's"],
)
def test_the_layer_follows_from_the_place_or_is_said(
    tmp_path: Path, below: str, layer: Layer | None, expected: Layer
) -> None:
    pack(tmp_path / below, default="deny")

    assert [each.layer for each in read_draft([str(tmp_path / below)], layer=layer).own_packs] == [expected]


def test_a_repository_stands_for_its_packs(tmp_path: Path) -> None:
    pack(tmp_path / ".orch" / "packs", default="inherit")
    (tmp_path / "ci.yaml").write_text("not: a pack")

    assert [each.prefix for each in read_draft([str(tmp_path)]).own_packs] == ["repo:p"]


def test_without_a_path_it_is_the_repository_one_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no path is given"):
        read_draft([])

    pack(tmp_path / ".orch" / "packs", default="inherit")

    assert [each.name for each in read_drafts([])[0].own_packs] == ["p"]


def test_packs_above_are_linked_and_not_reported_on(tmp_path: Path) -> None:
    above = pack(
        tmp_path / "org", "org", rest="declares: {stages: [dev, live]}\n" + RULE.format(more="approvals: nobody")
    )
    own = pack(tmp_path / "own", rest=RULE.format(more="stage: live"))

    with pytest.raises(PackError, match="live"):
        read_draft([str(own)])
    draft = read_draft([str(own)], org=[str(above)])

    assert [each.name for each in draft.own_packs] == ["p"]
    assert problems(draft, opa.find(), 0) == []


def test_a_repository_pack_alone_misses_nobody_and_weakens_nothing(tmp_path: Path) -> None:
    rest = RULE.format(more="approvals: sre") + "  - {id: a, effect: allow, actions: call_tool, tools: 'x:*'}\n"
    pack(tmp_path / ".orch" / "packs", default="inherit", rest=rest)

    assert check([str(tmp_path)], opa.find(), 0).problems == ()


def test_below_a_real_organisation_a_rule_that_weakens_is_an_error(tmp_path: Path) -> None:
    rest = "rules:\n  - {id: a, effect: allow, actions: call_tool, tools: 'x:*'}\n"
    pack(tmp_path / ".orch" / "packs", default="inherit", rest=rest)
    above = pack(tmp_path / "org", "org")

    checked = check([str(tmp_path)], opa.find(), 0, org=[str(above)])

    assert checked.exit_code() is Exit.PACK
    assert "weakening" in checked.problems[0].seen


def test_a_module_that_does_not_compile_is_told_where_it_lies(tmp_path: Path) -> None:
    pack(tmp_path, rest="rego: m.rego\n")
    (tmp_path / "m.rego").write_text('package packs.p\n\nfindings contains {"id": "x"} if http.send({}).a\n')

    checked = check([str(tmp_path)], opa.find(), 0)

    (error,) = [each for each in checked.problems if not each.is_warning]
    assert (error.file, error.line) == (str(tmp_path / "m.rego"), 3)
    assert "http.send" in error.seen


def test_warnings_fail_only_when_that_is_asked(tmp_path: Path) -> None:
    pack(tmp_path, rest=RULE.format(more="approvals: sre"))

    checked = check([str(tmp_path)], opa.find(), 0)

    assert (checked.exit_code(), checked.exit_code(strict=True)) == (Exit.OK, Exit.PACK)


@pytest.mark.parametrize("path", ["nowhere", "a\0b", "x" * 5000, "policy.tar.gz"])
def test_a_path_that_cannot_be_read_is_a_wrong_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.tar.gz").write_bytes(b"")

    with pytest.raises(UsageError):
        read_draft([path])


def test_the_folder_that_a_repository_names_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "orch.yaml").write_text("packs: rules\n")
    pack(tmp_path / "rules", default="inherit")
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")

    assert [each.prefix for each in read_draft([]).own_packs] == ["repo:p"]
    assert [each.prefix for each in read_draft(["../rules"]).own_packs] == ["repo:p"]


def test_a_folder_without_a_pack_is_told(tmp_path: Path) -> None:
    (tmp_path / "tests.yaml").write_text(
        "apiVersion: orch/v1\nkind: PolicyTest\nmetadata: {name: t}\n"
        "tests: {name: a, action: comment, expect: {outcome: deny}}\n"
    )

    assert check([str(tmp_path)], opa.find(), 0).problems[0].seen == "no pack"
