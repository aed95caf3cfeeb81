"""Hand-written modules come from the pack's folder and stay below the pack's name."""

from pathlib import Path

import pytest

from orchestrator.errors import PackError
from orchestrator.model import Layer
from orchestrator.module import read_module_file
from orchestrator.pack import Loaded, load_documents

HEAD = "apiVersion: orch/v1\nkind: PolicyPack\nmetadata: {name: p}\ndefault: deny\n"


def with_module(tmp_path: Path, text: str, path: str = "policy/x.rego", name: str = "p") -> Loaded:
    (tmp_path / "policy").mkdir(exist_ok=True)
    (tmp_path / "policy" / "x.rego").write_text(text)
    pack = tmp_path / "p.yaml"
    pack.write_text(HEAD.replace("name: p", f"name: {name}") + f"rego: ['{path}']\n")
    return load_documents([(str(pack), pack.read_bytes())], Layer.ORG, read_module=read_module_file)


@pytest.mark.parametrize(
    ("package", "name"),
    [("packs.p", "p"), ("packs.p.deep", "p"), ('packs["a-b"]', "a-b"), ('packs["a-b"].x', "a-b"), ('packs["p"]', "p")],
)
def test_a_module_below_the_packs_name_is_read(tmp_path: Path, package: str, name: str) -> None:
    text = f"# METADATA\n# title: x\npackage {package} # here\n\nimport rego.v1\n"

    (module,) = with_module(tmp_path, text, name=name).packs[0].modules

    assert (module.path, module.text) == ("policy/x.rego", text)


@pytest.mark.parametrize(
    "text",
    [
        "package orch",
        "package packs.q",
        "package packs",
        "package packs.px",
        "",
        "x := 1",
        'package packs["p\\"]',
        "#package packs.p",
    ],
)
def test_a_module_elsewhere_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(PackError, match=r"expected `package packs\.p` or one below it"):
        with_module(tmp_path, text)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/x.rego",
        "../x.rego",
        "policy/../../x.rego",
        "a\\\\x.rego",
        "missing.rego",
        "policy",
        "x_test.rego",
        "loop.rego",
        "out.rego",
        "folder.rego",
    ],
)
def test_a_module_outside_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    (tmp_path / "secret.rego").write_text("package packs.p")
    (inside / "out.rego").symlink_to(tmp_path / "secret.rego")
    (inside / "loop.rego").symlink_to(inside / "loop.rego")
    (inside / "folder.rego").mkdir()

    with pytest.raises(PackError):
        with_module(inside, "package packs.p", path)
