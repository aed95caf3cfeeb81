"""The published schema of an escalation accepts what loads; its page names every key and its examples work as one."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from escalation_text import DOCUMENT

from orchestrator import clock, opa
from orchestrator.document import read
from orchestrator.draft import check
from orchestrator.escalations.model import Escalation
from orchestrator.escalations.proofs import proofs
from orchestrator.escalations.texts import FILTERS, NAMES
from orchestrator.link import empty, link
from orchestrator.model import Layer
from orchestrator.pack import load_documents
from orchestrator.schema import json_schemas
from orchestrator.show import schemas

PAGE = (Path(__file__).parents[2] / "docs" / "escalations.md").read_text(encoding="utf-8")
SCHEMA = json_schemas()["Escalation"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def accepts(text: str) -> bool:
    value = json.loads(json.dumps(read(text.encode(), "f").documents[0].root, default=float))
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(value))


def keys(schema: Any) -> set[str]:  # noqa: ANN401  # JSON
    if isinstance(schema, list):
        return {name for each in schema for name in keys(each)}
    if not isinstance(schema, dict):
        return set()
    return set(schema.get("properties", {})) | {name for each in schema.values() for name in keys(each)}


def test_the_schema_is_published_with_the_others() -> None:
    assert json.loads(schemas.text("Escalation")) == SCHEMA


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "", True),
        ("  - {name: ok}\n", "  - name: ok\n", True),
        ("[pre_release/mail]", "pre_release", True),
        ("metadata:", "moed: fuse\nmetadata:", False),
        ("  extends: 24h\n", "", False),
        ("audience: public", "audience: all", False),
        ("action: send_message, route: operator", "route: operator", False),
    ],
)
def test_editors_accept_what_loads_and_mark_what_does_not(before: str, after: str, expected: bool) -> None:  # noqa: FBT001
    assert accepts(DOCUMENT.replace(before, after, 1)) is expected


def test_the_page_names_every_key() -> None:
    assert [name for name in sorted(keys(SCHEMA)) if not re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", PAGE)] == []


def test_the_page_names_no_key_that_is_not_there() -> None:
    tables = re.findall(r"^\| key \| what it says \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    named = {
        name for table in tables for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }

    assert len(tables) == 4
    assert named - keys(SCHEMA) == set()


def test_the_page_names_what_templates_see_and_can_do() -> None:
    missing = [name for name in (*NAMES, *FILTERS) if f"`{name}`" not in PAGE]

    assert missing == []


def test_the_page_names_every_proof() -> None:
    [row] = load(blocks("yaml")[0])

    assert [proof.name for proof in proofs(Escalation.of(row)) if f"| `{proof.name}` |" not in PAGE] == []


def test_the_examples_of_the_page_work_as_one() -> None:
    document, plan, pack = blocks("yaml")
    files = {"texts/reminder.j2": blocks("jinja")[0], "plans/publish.yaml": plan}

    found = load_documents(
        [("escalation.yaml", document.encode()), ("pack.yaml", pack.encode())],
        Layer.ORG,
        read_module=lambda _, path: files[path].encode(),
    )

    assert found.warnings == ()
    assert accepts(document)
    assert link(found, empty(Layer.REPO), [], repository=None, is_claimed=False).stages[-1] == "full"


def test_the_example_uses_every_key() -> None:
    def written(value: object) -> set[str]:
        if isinstance(value, list):
            return {name for each in value for name in written(each)}
        return (
            set(value) | {name for each in value.values() for name in written(each)}
            if isinstance(value, dict)
            else set()
        )

    root = read(blocks("yaml")[0].encode(), "f").documents[0].root

    assert keys(SCHEMA) - written(root) == set()


def load(document: str) -> list[Any]:
    files = {"texts/reminder.j2": blocks("jinja")[0], "plans/publish.yaml": blocks("yaml")[1]}
    found = load_documents([("e.yaml", document.encode())], Layer.ORG, read_module=lambda _, path: files[path].encode())
    return [one.row for one in found.escalations]


def test_the_example_of_the_manual_validates_without_a_word(tmp_path: Path) -> None:
    document, plan, pack = blocks("yaml")
    (template,) = blocks("jinja")
    for name, text in {
        "continuity.yaml": document, "plans/publish.yaml": plan, "pack.yaml": pack, "texts/reminder.j2": template
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    found = check([str(tmp_path)], opa.find(), clock.now_ns())

    assert found.problems == ()
