"""The schemas accept what is accepted, short forms included, and settings files keep to their place."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from orchestrator.catalogue import CATALOGUE
from orchestrator.document import read
from orchestrator.errors import PackError
from orchestrator.link import empty, link
from orchestrator.mismatch import read_operator_settings, read_repository_settings
from orchestrator.model import Layer
from orchestrator.pack import load_documents
from orchestrator.schema import json_schemas

HEAD = "apiVersion: orch/v1\nkind: PolicyPack\nmetadata: {name: p}\ndefault: deny\n"


def accepts(name: str, text: str) -> bool:
    value = json.loads(json.dumps(read(text.encode(), "f").documents[0].root, default=float))
    return bool(jsonschema.Draft202012Validator(json_schemas()[name]).is_valid(value))


def test_every_kind_has_a_schema_that_is_one() -> None:
    schemas = json_schemas()

    kinds = {"PolicyPack", "Waiver", "Roster", "PolicyTest", "Escalation"}
    assert set(schemas) == kinds | {"orch.yaml", "operator"}
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rules: {id: r, effect: require, actions: open_pr, branches: main, approvals: sre, evidence: tests}", True),
        ("rules: [{id: r, effect: require, actions: [open_pr], branches: [main], approvals: [{role: sre}]}]", True),
        (
            "rules: {id: r, effect: deny, actions: '*', when: {context.a: x, context.b: [1, 2], context.c: {min: 5.5}}}",
            True,
        ),
        ("rules: {id: r, effect: deny, actions: rotate_key}", True),
        ("rules: {id: r, effect: deny, actions: Nope}", False),
        ("rules: {id: r, effect: deny, actions: []}", False),
        ("rules: {id: r, effect: deny, actions: open_pr, branches: []}", False),
        ("rules: {id: r, effect: deny, actions: open_pr, foo: 1}", False),
        ("rules: {id: r, effect: deni, actions: open_pr}", False),
        ("enforcement: {ci: warn}", True),
        ("enforcement: {cd: warn}", False),
        ("lists: {a: [x, 1, true, $b], b: y}", True),
    ],
)
def test_editors_accept_what_loads_and_mark_what_does_not(text: str, expected: bool) -> None:  # noqa: FBT001
    assert accepts("PolicyPack", HEAD + text) is expected


def test_editors_offer_the_built_in_actions() -> None:
    text = json.dumps(json_schemas()["PolicyPack"])

    assert all(f'"{name}"' in text for name in CATALOGUE)


def described(schema: Any) -> list[str]:  # noqa: ANN401  # JSON
    if isinstance(schema, list):
        return [name for each in schema for name in described(each)]
    if not isinstance(schema, dict):
        return []
    missing = [
        name
        for name, value in schema.get("properties", {}).items()
        if not value.get("description") and "$ref" not in value
    ]
    return missing + [name for each in schema.values() for name in described(each)]


def test_every_key_has_a_description() -> None:
    assert [described(schema) for schema in json_schemas().values()] == [[]] * 7


def test_a_repository_names_its_packs_folder_and_its_output_only() -> None:
    found = read_repository_settings(b"packs: policy\noutput: {format: json, explain: true}\n", "orch.yaml")

    assert (found.packs, found.output.format, found.output.explain) == ("policy", "json", True)
    assert read_repository_settings(b"# nothing\n", "orch.yaml").packs == ".orch/packs"


@pytest.mark.parametrize(
    "key",
    [
        "opa",
        "opa_url",
        "ledger",
        "keys",
        "run_packs",
        "repository",
        "subject",
        "point",
        "verification_key",
        "org_packs",
        "waivers",
    ],
)
def test_a_repository_does_not_say_what_is_trusted(key: str) -> None:
    with pytest.raises(PackError, match="what is trusted is said in the operator's configuration"):
        read_repository_settings(f"{key}: x\n".encode(), "orch.yaml")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("packs: ../other", "orch.yaml:1:8: `../other`; expected a folder below"),
        ("packs: /etc", "a folder below"),
        ("packs: a\\..\\b", "a folder below"),
        ("output: {format: jsn}", "did you mean `json`?"),
        ("- a", "a mapping"),
        ("packs: a\n---\npacks: b", "one document"),
        ("pakcs: a", "expected `packs`"),
        ("packs: no", "`no` without quotes"),
        ("packs: [", "cannot be read"),
    ],
)
def test_a_wrong_settings_file_is_refused(text: str, seen: str) -> None:
    with pytest.raises(PackError) as caught:
        read_repository_settings(text.encode(), "orch.yaml")

    assert seen in str(caught.value)


def test_the_operators_file_says_what_is_trusted() -> None:
    text = b"packs: [org, more]\nrun_packs: run.yaml\nrepository: acme/web\nsubject: agent:x\npoint: tick\nledger: here.db\nopa: /opa\n"

    found = read_operator_settings(text, "config.yaml")

    assert (found.packs, found.run_packs, found.repository, found.point) == (
        ("org", "more"),
        ("run.yaml",),
        "acme/web",
        "tick",
    )


@pytest.mark.parametrize(
    "text",
    ["repository: 'https://github.com/a/b'", "repository: web", "subject: bob", "point: prod", "packs: []", "foo: 1"],
)
def test_a_wrong_operators_file_is_refused(text: str) -> None:
    with pytest.raises(PackError):
        read_operator_settings(text.encode(), "config.yaml")


DOC = Path(__file__).parents[2] / "docs" / "packs.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", DOC.read_text(), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[min(2, block.count("\n") - 1)][:40])
def test_every_example_of_the_reference_loads(block: str) -> None:
    if block.startswith("# orch.yaml"):
        read_repository_settings(block.encode(), "orch.yaml")
    elif block.startswith("# operator"):
        read_operator_settings(block.encode(), "operator")
    else:
        text = block if block.startswith("apiVersion") else HEAD + block
        loaded = load_documents([("docs/packs.md", text.encode())], Layer.ORG)
        assert loaded.warnings == ()
        if not loaded.waivers:
            link(loaded, empty(Layer.REPO), [], repository=None, is_claimed=False)
        kind = "PolicyPack" if loaded.packs else read(text.encode(), "f").documents[0].root["kind"]
        assert accepts(kind, text)


def keys(schema: Any) -> set[str]:  # noqa: ANN401  # JSON
    if isinstance(schema, list):
        return {name for each in schema for name in keys(each)}
    if not isinstance(schema, dict):
        return set()
    return set(schema.get("properties", {})) | {name for each in schema.values() for name in keys(each)}


def test_the_reference_names_every_key() -> None:
    text = DOC.read_text()
    schemas = [schema for kind, schema in json_schemas().items() if kind != "Escalation"]  # has a page of its own

    missing = [name for name in sorted(keys(schemas)) if not re.search(rf"\b{name}\b", text)]
    assert missing == []
