"""write_file: whole files, inside the root, through no symlink, and never over what nobody has seen."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapter import Action, Delivery, Effect, Place, Receipt, Wanted
from orchestrator.digest import sha256
from orchestrator.errors import AdapterError, UsageError
from orchestrator.request import problems
from orchestrator_adapters import wholefile
from orchestrator_adapters.files import Files

KEY = "cd" * 32


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    return made.resolve()


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    made = tmp_path / "outside"
    made.mkdir()
    return made


@pytest.fixture
def place(root: Path) -> Place:
    return Place(root, "acme/web", {}, {}, lambda text: text, lambda *_: "", {})


def decided(place: Place, **parameters: object) -> Action:
    prepared = Files().prepare(Wanted("write_file", parameters), place)
    return Action("write_file", prepared.resource, prepared.properties, "", prepared.fixed, place, 20)


def done(place: Place, **parameters: object) -> Receipt:
    return Files().perform(decided(place, **parameters), KEY)


def files_of(action: Action) -> list[dict[str, str]]:
    files: list[dict[str, str]] = action.resource["properties"]["files"]
    return files


def tree(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*"))


def test_it_shows_files_as_git_would_store_them(place: Place, root: Path) -> None:
    (root / "old").write_text("before\n")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    (root / "same").write_text("héllo\n")
    blob = subprocess.run(["git", "hash-object", "same"], cwd=root, check=True, capture_output=True, text=True)

    action = decided(place, files=[{"path": "new", "content": "héllo\n"}, {"path": "old", "content": "after\n"}])

    new, old = files_of(action)
    assert new == {"path": "new", "status": "A", "mode": "100644", "blob": blob.stdout.strip()}
    assert (old["path"], old["status"]) == ("old", "M")
    assert action.resource["id"] == "acme/web"


def test_what_it_shows_is_a_valid_request(place: Place) -> None:
    prepared = Files().prepare(Wanted("write_file", {"path": "a/b", "content": "x"}), place)
    request = {
        "subject": {"type": "agent", "id": "agent:x"},
        "action": {"name": "write_file", "properties": dict(prepared.properties)},
        "resource": dict(prepared.resource),
    }

    assert problems(request) == []
    assert (prepared.effect, prepared.is_replayable, prepared.targets) == (Effect.WRITE, True, ("",))


def test_without_a_repository_the_files_belong_to_none(place: Place) -> None:
    assert decided(place._replace(repository=None), path="a", content="").resource["id"] == "none"


def test_a_file_is_written_with_the_folders_that_are_missing(place: Place, root: Path) -> None:
    receipt = done(place, path="docs/deep/note.md", content="text\n")

    assert (root / "docs/deep/note.md").read_text() == "text\n"
    assert (receipt.delivery, receipt.reference) == (Delivery.DELIVERED, "docs/deep/note.md")
    assert receipt.outputs["files"][0]["sha256"] == sha256(b"text\n")
    assert tree(root) == ["docs", "docs/deep", "docs/deep/note.md"]


def test_a_file_is_copied_from_another(place: Place, root: Path) -> None:
    (root / "data").write_bytes(b"\xff\0bytes")

    done(place, path="copy", source="data")

    assert (root / "copy").read_bytes() == b"\xff\0bytes"


def test_a_value_that_is_no_text_is_written_as_json(place: Place, root: Path) -> None:
    done(place, path="out.json", content={"b": 1, "a": ["ü"]})

    assert (root / "out.json").read_text() == '{\n  "b": 1,\n  "a": [\n    "ü"\n  ]\n}\n'


def test_a_reference_to_a_secret_stays_a_reference(place: Place, root: Path) -> None:
    done(place, path="ci.yml", content="token: ${{ secrets.TOKEN }}\n")

    assert (root / "ci.yml").read_text() == "token: ${{ secrets.TOKEN }}\n"


def test_permissions_are_kept_and_only_the_bit_to_run_it_is_chosen(place: Place, root: Path) -> None:
    (root / "kept").write_text("x")
    (root / "kept").chmod(0o750)
    (root / "changed").write_text("x")
    (root / "changed").chmod(0o640)

    action = decided(
        place,
        files=[
            {"path": "kept", "content": "y"},
            {"path": "changed", "content": "x", "mode": "100755"},
            {"path": "new", "content": "z", "mode": 100755},
        ],
    )
    Files().perform(action, KEY)

    assert [file["mode"] for file in files_of(action)] == ["100755", "100755", "100755"]
    assert (root / "kept").stat().st_mode & 0o777 == 0o750
    assert (root / "changed").stat().st_mode & 0o777 == 0o750
    assert (root / "new").stat().st_mode & 0o100


def test_another_name_of_a_file_keeps_the_old_content(place: Place, root: Path, outside: Path) -> None:
    (outside / "shared").write_text("before")
    os.link(outside / "shared", root / "a")

    done(place, path="a", content="after")

    assert (outside / "shared").read_text() == "before"


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, "either content, or source"),
        ({"path": "a"}, "either content, or source"),
        ({"path": "a", "content": "x", "source": "b"}, "either content, or source"),
        ({"content": "x"}, "path is null"),
        ({"path": "../../evil", "content": "x"}, "path is '../../evil'"),
        ({"path": "a/../../evil", "content": "x"}, "expected a relative path"),
        ({"path": "/etc/evil", "content": "x"}, "expected a relative path"),
        ({"path": "", "content": "x"}, "expected a relative path"),
        ({"path": ".", "content": "x"}, "expected a file"),
        ({"path": "a\0b", "content": "x"}, "expected a relative path"),
        ({"path": "\ud800", "content": "x"}, "expected a relative path"),
        ({"path": "a" * 5000, "content": "x"}, "at most 4096 bytes"),
        ({"path": ".git/hooks/pre-commit", "content": "x"}, "git's own"),
        ({"path": "sub/.GIT/config", "content": "x"}, "git's own"),
        ({"path": ".g\u200bit/config", "content": "x"}, "git's own"),
        ({"path": "GIT~1/config", "content": "x"}, "git's own"),
        ({"path": ".git. /config", "content": "x"}, "git's own"),
        ({"path": ".git::$INDEX_ALLOCATION/config", "content": "x"}, "git's own"),
        ({"path": ".git", "content": "x"}, "git's own"),
        ({"path": "a", "source": "../b"}, "source is '../b'"),
        ({"path": "a", "source": ".git/config"}, "git's own"),
        ({"path": "a", "content": "\ud800"}, "UTF-8"),
        ({"path": "a", "content": "x", "mode": "120000"}, "the mode of 'a'"),
        ({"path": "a", "content": "x", "mode": "104755"}, "the mode of 'a'"),
        ({"path": "a", "content": "x", "contents": "y"}, "did you mean `content`"),
        ({"path": "a", "files": []}, "either files, or one path"),
        ({"files": []}, "expected a list"),
        ({"files": ["a"]}, "expected an object"),
        ({"files": [{"path": "a", "content": ""}] * 2}, "'a' twice"),
        ({"files": [{"path": "a", "content": ""}, {"path": "a/b", "content": ""}]}, "as a file and as a folder"),
        ({"files": [{"path": f"{n}", "content": ""} for n in range(201)]}, "at most 200"),
    ],
)
def test_what_cannot_be_is_refused(place: Place, root: Path, parameters: Mapping[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        Files().prepare(Wanted("write_file", parameters), place)

    assert said in str(raised.value)
    assert tree(root) == []


def test_too_much_is_refused(place: Place) -> None:
    half = "x" * (wholefile.MOST_BYTES // 2 + 1)

    with pytest.raises(UsageError, match="at most 67,108,864"):
        decided(place, files=[{"path": "a", "content": half}, {"path": "b", "content": half}])


def test_what_stands_in_a_wrong_list_of_files_is_told(place: Place) -> None:
    with pytest.raises(UsageError, match=r"files\[1\] is the number 1; expected an object"):
        decided(place, files=[{"path": "a", "content": "x"}, 1])


def test_a_source_that_is_no_plain_file_is_told_as_what_is_read(place: Place, root: Path) -> None:
    os.mkfifo(root / "pipe")

    with pytest.raises(AdapterError, match="no plain file") as raised:
        decided(place, path="new", source="pipe")

    assert raised.value.advice.startswith("nothing is read from it")
