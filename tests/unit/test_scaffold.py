"""What `orch policy new` writes: packs that are right from the first minute."""

from pathlib import Path

import pytest

from orchestrator import opa
from orchestrator.draft import problems, read_draft
from orchestrator.errors import UsageError
from orchestrator.model import Layer
from orchestrator.policytest import run_tests
from orchestrator.scaffold import scaffold


@pytest.mark.parametrize("name", ["acme", "on", "007", "a" * 63])
@pytest.mark.parametrize("below", ["packs", ".orch/packs"])
def test_a_new_pack_validates_and_its_tests_pass(tmp_path: Path, name: str, below: str) -> None:
    files = scaffold(name, tmp_path / below)

    is_repo = below.startswith(".")
    draft = read_draft([str(tmp_path if is_repo else tmp_path / below / name)])
    assert len(files) == (2 if is_repo else 3)
    assert [pack.layer for pack in draft.own_packs] == [Layer.REPO if is_repo else Layer.ORG]
    assert [problem for problem in problems(draft, opa.find(), 0) if not problem.is_warning] == []
    assert run_tests([draft], opa.find()).is_ok


@pytest.mark.parametrize("name", ["", "Acme", "a/b", "..", "-x", "a" * 64, "x\n"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no name for a pack"):
        scaffold(name, tmp_path)

    assert list(tmp_path.glob("*/pack.yaml")) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()

    with pytest.raises(UsageError, match="is there already"):
        scaffold("acme", tmp_path)

    assert list((tmp_path / "acme").iterdir()) == []


def test_a_second_pack_of_a_repository_is_no_trouble_but_the_same_is(tmp_path: Path) -> None:
    folder = tmp_path / ".orch" / "packs"
    scaffold("one", folder)
    scaffold("two", folder)

    with pytest.raises(UsageError, match="is there already"):
        scaffold("one", folder)

    assert run_tests([read_draft([str(tmp_path)])], opa.find()).is_ok


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError):
        scaffold("acme", tmp_path / "file")
