"""The published schema of a plan accepts what loads and marks what does not; its page names every key."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from orchestrator.document import read
from orchestrator.model import Layer
from orchestrator.pack import load_documents
from orchestrator.plans.abilities import abilities
from orchestrator.plans.read import check_text
from orchestrator.plans.schema import json_schema
from orchestrator.show import schemas

DOC = Path(__file__).parents[2] / "docs" / "plans.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", DOC.read_text(), re.DOTALL)
HEAD = "apiVersion: orch/v1\nkind: Plan\nmetadata: {name: p}\n"


def accepts(text: str) -> bool:
    value = json.loads(json.dumps(read(text.encode(), "f").documents[0].root, default=float))
    return bool(jsonschema.Draft202012Validator(json_schema()).is_valid(value))


def test_the_schema_is_one_and_is_published_with_the_others() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())

    assert json.loads(schemas.text("Plan")) == json_schema()
    assert "Plan" in json.loads(schemas.text(None))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("phases: {id: a}", True),
        ("phases: [{id: a, needs: b, if: {inputs.x: [1, 2], run.id: {exists: true}}}]", True),
        ("phases: [{id: a, steps: {id: s, action: run_command, on_failure: continue}}]", True),
        (
            "phases: [{id: a, steps: {id: s, action: x, on_failure: {steps: [{id: t, action: y}]}}}]".replace(
                "y}", "z}"
            ),
            True,
        ),
        ("phases: [{id: a, success: {tests_reported: x}}]", True),
        ("phases: [{id: a, success: [{tests_reported: {file: x}}]}]", True),
        ("phases: []", False),
        ("phases: [{id: A}]", False),
        ("phases: [{id: a, gate: open}]", False),
        ("phases: [{id: a, success: [{file_exist: x}]}]", False),
        ("phases: [{id: a, steps: [{id: s}]}]", False),
        ("title: x\nphases: [{id: a}]", False),
    ],
)
def test_editors_accept_what_loads_and_mark_what_does_not(text: str, expected: bool) -> None:  # noqa: FBT001
    assert accepts(HEAD + text) is expected


def described(schema: Any) -> list[str]:  # noqa: ANN401  # JSON
    if isinstance(schema, list):
        return [name for each in schema for name in described(each)]
    if not isinstance(schema, dict):
        return []
    properties = schema.get("properties", {})
    missing = [name for name, value in properties.items() if not value.get("description") and "$ref" not in value]
    return missing + [name for each in schema.values() for name in described(each)]


def test_every_key_has_a_description() -> None:
    assert described(json_schema()) == []


def keys(schema: Any) -> set[str]:  # noqa: ANN401  # JSON
    if isinstance(schema, list):
        return {name for each in schema for name in keys(each)}
    if not isinstance(schema, dict):
        return set()
    return set(schema.get("properties", {})) | {name for each in schema.values() for name in keys(each)}


def test_the_page_names_every_key() -> None:
    text = DOC.read_text()

    assert [name for name in sorted(keys(json_schema())) if not re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", text)] == []


def test_the_page_names_no_key_that_is_not_there() -> None:
    tables = re.findall(r"^\| key \| what it says \|\n\|---\|---\|\n((?:\|.*\n)+)", DOC.read_text(), re.MULTILINE)
    named = {
        name for table in tables for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }

    assert len(tables) == 4
    assert named - keys(json_schema()) == set()


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[1])
def test_every_example_of_the_page_loads(block: str) -> None:
    if "kind: Plan\n" not in block:
        assert load_documents([("docs/plans.md", block.encode())], Layer.ORG).packs
        return
    checked = check_text(block.encode(), "docs/plans.md", abilities())

    assert checked.problems == ()
    assert accepts(block)


def test_the_example_of_the_page_uses_every_kind_of_criterion() -> None:
    [block] = [block for block in BLOCKS if "kind: Plan\n" in block]
    plan = check_text(block.encode(), "docs/plans.md", abilities()).plan

    assert plan is not None
    assert {one.kind for phase in plan.phases for one in phase.success} == set(
        json_schema()["$defs"]["Criterion"]["properties"]
    )
