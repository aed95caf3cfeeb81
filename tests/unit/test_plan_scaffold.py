"""What `orch plan new` writes: a plan that is right from the first minute."""

from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.plans.read import check_plans
from orchestrator.plans.scaffold import scaffold, write_new


@pytest.mark.parametrize("name", ["first", "on", "007", "a" * 63])
def test_a_new_plan_has_nothing_wrong_with_it(tmp_path: Path, name: str) -> None:
    file = scaffold(name, tmp_path / "plans")

    checked = check_plans([file], root=tmp_path)

    assert checked.problems == ()
    assert checked.plans[0].plan is not None
    assert checked.plans[0].plan.name == name
    assert {step.action for _, step in checked.plans[0].plan.steps()} == {"run_command"}


@pytest.mark.parametrize("name", ["", "Acme", "a/b", "..", "-x", "a" * 64, "x\n"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no name for a plan"):
        scaffold(name, tmp_path)

    assert list(tmp_path.rglob("*.yaml")) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "first.yaml").write_text("mine")

    with pytest.raises(UsageError, match="is there already") as caught:
        scaffold("first", tmp_path)

    assert caught.value.advice == "choose another name, or another folder with --dir"
    assert (tmp_path / "first.yaml").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="cannot write"):
        scaffold("first", tmp_path / "file" / "below")


def test_a_file_may_be_replaced_where_that_is_asked_for(tmp_path: Path) -> None:
    write_new(tmp_path / "x", "one", advice="")
    write_new(tmp_path / "x", "two", advice="", may_replace=True)

    assert (tmp_path / "x").read_text() == "two"


def test_nothing_is_written_through_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("theirs")
    (tmp_path / "x").symlink_to("other")

    with pytest.raises(UsageError, match="is a symlink"):
        write_new(tmp_path / "x", "mine", advice="", may_replace=True)

    assert (tmp_path / "other").read_text() == "theirs"


def test_a_replaced_file_keeps_its_permissions_and_leaves_nothing_behind(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("one")
    file.chmod(0o640)

    write_new(file, "two", advice="", may_replace=True)

    assert (file.read_text(), file.stat().st_mode & 0o777) == ("two", 0o640)
    assert list(tmp_path.glob(".orch-*")) == []
