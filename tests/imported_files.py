"""The JSON files of another orchestrator, and plans made of others like them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.plans.importing import Imported, import_files

FOLDER = Path(__file__).parent / "plans_002"
NAMES = ("orchestrator_config", "phase_config", "success_criteria", "github_config")
FILES = {name: json.loads((FOLDER / f"{name}.json").read_text()) for name in NAMES}


def made(folder: Path, **files: Any) -> Imported:  # noqa: ANN401  # JSON
    """Return what becomes of files with these contents: their names without `.json`, in a folder."""
    for name, value in files.items():
        (folder / f"{name}.json").write_text(value if isinstance(value, str) else json.dumps(value))
    return import_files([folder / f"{name}.json" for name in files])


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:  # noqa: ANN401  # JSON
    """Yield every scalar and every empty list and object of a value, with the way to it."""
    steps = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not steps:
        yield path, value
    for step in steps:
        yield from leaves(value[step], (*path, step))
