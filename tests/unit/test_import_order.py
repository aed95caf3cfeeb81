"""Imports point only to an earlier stage, in the order that docs/architecture.md gives; the hot path stays light."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "orchestrator"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FACADE = {"", "__main__", "escalations", "ledger", "plans", "runs"}
"""The packages themselves, which import nothing or lazily, and the command."""
LAST = ("show", "cli")
"""Packages: one file per format, one per command. They end the table."""
HEAVY = {"yaml", "pydantic", "rich", "httpx", "jinja2", "cryptography", "requests", "aiohttp", "opa_client", "asyncio"}
SLOW = {
    "dataclasses", "decimal", "hashlib", "shlex", "shutil", "socket", "subprocess", "tempfile", "textwrap", "uuid",
}  # fmt: skip
"""Of the standard library: each takes longer to import than a decision may cost, and the hot path does without."""
HOT = (
    "errors",
    "choices",
    "clock",
    "digest",
    "place",
    "settings",
    "sources",
    "sidecar",
    "request",
    "decide",
    "show.text",
    "show.json_",
    "evaluate",
    "cli.evaluate",
)
"""What `orch evaluate` imports while a sidecar is warm, beside what these import."""


def order() -> list[str]:
    """Return the table's modules, first to last; a row may name several."""
    table = ARCHITECTURE.partition("| module |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]
    return [name.removesuffix("/*").replace("/", ".") for row in rows for name in re.findall(r"`([\w/*]+)`", row)]


ORDER = order()


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts).removesuffix("__init__").removesuffix(".")


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py")) if "_data" not in path.parts}


def stage_of(module: str) -> str:
    package = module.partition(".")[0]
    return package if package in LAST and module not in ORDER else module


def imports(module: str, *, only_at_import: bool = False) -> Iterator[str]:
    """Yield what a module imports, ours as `orchestrator.x`; with `only_at_import`, leave out what waits inside functions and types."""
    waiting: list[ast.AST] = [ast.parse(MODULES[module].read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports relatively"
            yield str(node.module)
            yield from (f"{node.module}.{name.name}" for name in node.names)
        is_lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or is_for_types(node)
        if not (only_at_import and is_lazy):
            waiting.extend(ast.iter_child_nodes(node))


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def ours(module: str, *, only_at_import: bool = False) -> set[str]:
    """Return the modules of ours that a module imports."""
    named = imports(module, only_at_import=only_at_import)
    found = {name.removeprefix("orchestrator.") for name in named if name.startswith("orchestrator.")}
    return found & set(MODULES)


def test_the_table_ends_with_what_people_see() -> None:
    assert tuple(ORDER[-2:]) == LAST
    assert len(ORDER) == len(set(ORDER))


def test_every_module_stands_in_the_table() -> None:
    unknown = sorted({stage_of(module) for module in MODULES} - set(ORDER) - FACADE)

    assert unknown == []


@pytest.mark.parametrize("module", sorted(set(MODULES) - FACADE))
def test_imports_point_only_to_an_earlier_stage(module: str) -> None:
    stage = stage_of(module)
    at = ORDER.index(stage) if stage in ORDER else len(ORDER)
    later = set(ORDER[at + (stage in LAST) :])

    assert sorted(other for other in ours(module) if stage_of(other) in later) == []


@pytest.mark.parametrize("module", sorted(set(MODULES) - FACADE))
def test_the_command_line_is_imported_by_nobody(module: str) -> None:
    assert stage_of(module) == "cli" or not any(stage_of(other) == "cli" for other in ours(module))


def hot() -> set[str]:
    """Return the hot path's modules and all of ours that they import when they are imported."""
    found: set[str] = set()
    waiting = [module for module in HOT if module in MODULES]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting.extend(ours(module, only_at_import=True))
    return found


@pytest.mark.parametrize("module", sorted(hot()))
def test_the_hot_path_imports_nothing_heavy(module: str) -> None:
    heavy = {name.partition(".")[0] for name in imports(module, only_at_import=True)} & HEAVY

    assert heavy == set()


def test_importing_the_hot_path_loads_nothing_heavy() -> None:
    """What counts is what Python loads, our own lazy imports included."""
    names = ", ".join(f"orchestrator.{module}" for module in HOT if module in MODULES)
    program = f"import sys, {names}; print(*sorted({HEAVY!r} & set(sys.modules)))"

    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()

    assert loaded == []


def test_importing_the_hot_path_loads_nothing_slow_that_click_does_not() -> None:
    names = ", ".join(f"orchestrator.{module}" for module in HOT)
    program = f"import sys, click; known = set(sys.modules); import {names}; print(*sorted(({SLOW!r} & set(sys.modules)) - known))"

    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()

    assert loaded == []
