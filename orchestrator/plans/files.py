"""Files below a run's root: opened without leaving it, read up to a limit; JSON Schemas compiled without a network."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import beneath, strictjson
from orchestrator.document import read
from orchestrator.errors import OrchError, Problem, UsageError
from orchestrator.names import shown
from orchestrator.plans.model import Plan

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

MAX_BYTES = 16 * 1024 * 1024
"""Largest JSON file that is looked into."""


def open_below(root: Path, path: str) -> int | None:
    """Return an open regular file below a folder; None where nothing has that name. The caller closes it.

    Symlinks are followed as long as they stay below the folder.

    Raises:
        UsageError: the path leaves the folder, or leads to something else than a file that can be read.
    """
    parts = beneath.steps(path, what="the file")
    base = os.path.realpath(root)
    try:
        real = os.path.realpath(Path(base, *parts))
        if real != base and not real.startswith(base.rstrip("/") + "/"):
            raise UsageError(f"{shown(path)} leads outside of the run's root; expected a file below it")
        *folders, name = os.path.relpath(real, base).split("/")
        with beneath.folder(Path(base), folders) as folder:
            return beneath.file_in(folder, name)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return None
    except IsADirectoryError as error:
        raise UsageError(f"{shown(path)} is no regular file; expected a file") from error
    except OSError as error:
        raise UsageError(f"{shown(path)} cannot be read: {error.strerror or error}") from error


def size_below(root: Path, path: str) -> int | None:
    """Return the size of a file below a folder, in bytes; None where there is none. Raises as `open_below`."""
    opened = open_below(root, path)
    if opened is None:
        return None
    try:
        return os.fstat(opened).st_size
    finally:
        os.close(opened)


def read_below(root: Path, path: str, *, most: int = MAX_BYTES) -> bytes:
    """Return what a file below a folder holds.

    Raises:
        UsageError: it is not there, has more than `most` bytes, or as `open_below`.
    """
    opened = open_below(root, path)
    if opened is None:
        raise UsageError(f"there is no file {shown(path)}")
    try:
        with os.fdopen(opened, "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise UsageError(f"{shown(path)} cannot be read: {error.strerror or error}") from error
    if len(data) > most:
        raise UsageError(f"{shown(path)} has more than {most:,} bytes; expected a smaller file")
    return data


def json_below(root: Path, path: str) -> Any:  # noqa: ANN401  # JSON
    """Return what a JSON file below a folder says; a key that stands twice, NaN and the like are refused.

    Raises:
        UsageError: as `read_below`, or it is no strict JSON.
    """
    return strictjson.parse(read_below(root, path), name=path)


def schema_below(root: Path, path: str) -> "Validator":
    """Return what judges JSON by the JSON Schema in a file below a folder. References may lead within the schema only.

    Raises:
        UsageError: as `json_below`, or it is no JSON Schema.
    """
    return compiled(json_below(root, path), path)


def compiled(schema: Any, name: str) -> "Validator":  # noqa: ANN401  # JSON
    """Return what judges JSON by a JSON Schema (draft 2020-12 unless it says another); `name` is for messages.

    Raises:
        UsageError: it is no JSON Schema.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    if not isinstance(schema, dict | bool):
        raise UsageError(f"{name}: {shown(schema)}; expected a JSON Schema, an object")
    draft = schema.get("$schema") if isinstance(schema, dict) else None
    unknown: Any = None
    kind: Any = validator_for(schema, default=unknown) if draft else Draft202012Validator
    if kind is None:
        said = shown(draft)
        raise UsageError(f"{name}: the JSON Schema is of {said}; expected a draft that is known, such as 2020-12")
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        at = "/".join(map(str, error.absolute_path)) or "its root"
        raise UsageError(f"{name} is no JSON Schema: at {at:.120}: {error.message:.200}") from error
    for reference in _references(schema):
        if not reference.startswith("#"):
            advice = "put it below `$defs` of the same file"
            raise UsageError(
                f"{name}: a reference to {shown(reference)}; expected one that begins with #", advice=advice
            )
    judge: Validator = kind(schema, registry=Registry())
    return judge


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, list):
        for each in schema:
            yield from _references(each)
    if isinstance(schema, dict):
        for key, each in schema.items():
            if key in {"$ref", "$dynamicRef"} and isinstance(each, str):
                yield each
            elif key not in {"const", "enum", "default", "examples"}:
                yield from _references(each)


def look_at_schemas(plan: Plan, data: bytes, file: str, root: Path) -> tuple[Problem, ...]:
    """Return what is wrong with the schema files that a plan names, below `root`; one that is missing is a warning.

    `data` is the plan's document, for the places.
    """
    document = read(data, file).documents[0]
    found = []
    for phase_at, phase in enumerate(plan.phases):
        for at, criterion in enumerate(phase.success):
            path = criterion.parameters.get("schema")
            if not isinstance(path, str) or "${{" in path:
                continue
            phase_step = (phase_at,) if isinstance(document.root["phases"], list) else ()
            where = ("phases", *phase_step, "success")
            is_listed = document.place((*where, at)) != document.place(where)
            place = document.place((*where, *((at,) if is_listed else ()), "json_schema", "schema"))
            if problem := _schema_problem(root, path, file, place):
                found.append(problem)
    return tuple(found)


def _schema_problem(root: Path, path: str, file: str, place: tuple[int, int]) -> Problem | None:
    try:
        if size_below(root, path) is None:
            expected = "a file that is there, or comes to be before it is needed"
            return Problem(file, *place, f"there is no file {shown(path)} below {root}", expected, is_warning=True)
        schema_below(root, path)
    except OrchError as error:
        return Problem(file, *place, str(error), "", error.advice)
    return None
