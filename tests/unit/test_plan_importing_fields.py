"""Of every field of imported files it is told what became of it, and what is told is true."""

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imported_files import FILES, FOLDER, NAMES, leaves

from orchestrator.errors import PackError, UsageError
from orchestrator.plans.importing import import_files


def test_every_field_has_its_effect_or_a_reason_and_none_is_told_twice() -> None:
    entries = import_files([FOLDER]).entries

    told = [(Path(entry.file).stem, entry.path) for entry in entries]
    assert len(told) == len(set(told))
    for name, value in FILES.items():
        for path, _ in leaves(value):
            about = [
                entry for entry in entries if Path(entry.file).stem == name and path[: len(entry.path)] == entry.path
            ]
            assert about, f"{name}: {path}"
            assert all(bool(entry.becomes) is not bool(entry.why) for entry in about)


def altered(value: Any) -> Any:  # noqa: ANN401  # JSON
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
    return ["phase-99"]


def replaced(value: Any, path: tuple[str | int, ...]) -> Any:  # noqa: ANN401  # JSON
    whole = copy.deepcopy(value)
    inner = whole
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = altered(inner[path[-1]])
    return whole


USUAL = import_files([FOLDER])
EFFECTIVE = [
    pytest.param(Path(entry.file).stem, entry.path, id=f"{Path(entry.file).stem}:{entry.where}")
    for entry in USUAL.entries
    if entry.becomes
]


@pytest.mark.parametrize(("name", "path"), EFFECTIVE)
def test_what_is_said_to_have_an_effect_has_one(tmp_path: Path, name: str, path: tuple[str | int, ...]) -> None:
    """Another value there gives another plan, or is refused."""
    for each, value in FILES.items():
        given = replaced(value, path) if each == name else value
        (tmp_path / f"{each}.json").write_text(json.dumps(given))

    try:
        other = import_files([tmp_path])
    except (UsageError, PackError):
        return

    assert other.plan.to_json() != USUAL.plan.to_json()


ODD = st.sampled_from(
    [
        *(None, True, 0, -1, 1e300, 2**60, "", "x", "../x", "${{ secrets.T }}", "\x00", "\u202e", "010", [], {}),
        *([1, None], {"a": {"b": [1]}}, "9" * 400, "é\n- b: c", "- x: y #", "}", "file_exists", "1h"),
    ]
)


@settings(max_examples=60)
@given(st.data())
def test_whatever_a_file_holds_makes_a_plan_or_an_error_and_nothing_is_lost(data: st.DataObject) -> None:
    files = copy.deepcopy(FILES)
    for _ in range(data.draw(st.integers(1, 4))):
        name = data.draw(st.sampled_from(NAMES))
        path = data.draw(st.sampled_from([path for path, _ in leaves(files[name]) if path]))
        inner = files[name]
        for step in path[: data.draw(st.integers(0, len(path) - 1))]:
            inner = inner[step]
        key = data.draw(st.sampled_from(list(inner) if isinstance(inner, dict) else range(len(inner))))
        inner[key] = data.draw(ODD)

    with tempfile.TemporaryDirectory() as folder:
        for name, value in files.items():
            (Path(folder) / f"{name}.json").write_text(json.dumps(value))
        try:
            found = import_files([Path(folder)])
        except (UsageError, PackError) as error:
            is_ours = "fault of the import" in error.advice
            assert not is_ours, error  # noqa: PT017  # either way is fine, but not this one
            return

    told = {(Path(entry.file).stem, entry.path) for entry in found.entries}
    for name, value in files.items():
        for path, _ in leaves(value):
            assert any((name, path[:length]) in told for length in range(len(path) + 1))
