"""What a model did not accept, as problems with file, line and column; settings files, read through their models."""

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, TypeVar, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from orchestrator.document import MAX_PROBLEMS, Document, Map, read, shown
from orchestrator.errors import PackError, Problem
from orchestrator.settingshape import OperatorSettings, RepositorySettings
from orchestrator.shape import EXPECTED_OF_PATTERN, Strict
from orchestrator.words import did_you_mean, listing, nearest

Model = TypeVar("Model", bound=Strict)

RENAMED = "on is named errors: `on` without quotes is true to many readers of YAML"
"""What advises whoever lists under `on` which failures are tried again."""
_WERE = frozenset({"on", "true"})
_RENAMED_TO = "errors"
_EXPECTED: dict[str, Callable[[dict[str, Any]], str]] = {
    "string_type": lambda _: "text",
    "bool_type": lambda _: "true or false",
    "int_type": lambda _: "a whole number",
    "int_from_float": lambda _: "a whole number",
    "greater_than_equal": lambda ctx: f"at least {ctx['ge']}",
    "less_than_equal": lambda ctx: f"at most {ctx['le']}",
    "too_short": lambda _: "at least one entry",
    "string_too_short": lambda _: "some text",
    "string_too_long": lambda ctx: f"at most {ctx['max_length']} characters",
    "string_pattern_mismatch": lambda ctx: EXPECTED_OF_PATTERN[ctx["pattern"]],
    "dict_type": lambda _: "a mapping",
    "model_type": lambda _: "a mapping",
    "model_attributes_type": lambda _: "a mapping",
    "tuple_type": lambda _: "a list",
    "literal_error": lambda ctx: str(ctx["expected"]).replace("'", "`"),
    "expected": lambda ctx: str(ctx["expected"]),
}
_NOT_FROM_A_REPOSITORY = (set(OperatorSettings.model_fields) - set(RepositorySettings.model_fields)) | {
    *("org_packs", "roster", "rosters", "waivers", "key", "keys", "url", "binary", "enforce", "mode", "facts", "trust")
}


def validated(model: type[Model], document: Document) -> tuple[Model | None, list[Problem]]:
    """Return the document as its model, or None and what is wrong with it."""
    found, details = tried(model, document)
    return found, problems_of(details, model, document)


def tried(model: type[Model], document: Document) -> tuple[Model | None, list[ErrorDetails]]:
    """Return the document as its model, or None and what the model does not accept."""
    try:
        return model.model_validate(document.root), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def problems_of(details: list[ErrorDetails], model: type[Strict], document: Document) -> list[Problem]:
    """Return what a model does not accept as problems with their places; of too many the first."""
    found = [_problem(detail, model, document) for detail in details[:MAX_PROBLEMS]]
    if len(details) > MAX_PROBLEMS:
        found.append(Problem(document.file, 0, 0, f"more than {MAX_PROBLEMS} problems", "fewer"))
    return found


def key_meant(path: tuple[int | str, ...], model: type[Strict]) -> str | None:
    """Return the known key that is most like the unknown one at a path; None where none is like it."""
    return _meant(str(path[-1]), _keys(_model_at(model, path[:-1])))


def plainer(told: Iterable[Problem], found: Iterable[Problem]) -> list[Problem]:
    """Return what reading told; what a model knows to be a key that is named otherwise, as the model says it."""
    renamed = {(each.line, each.column): each for each in found if each.advice == RENAMED}
    return [renamed.get((each.line, each.column), each) for each in told]


def _problem(detail: ErrorDetails, model: type[Strict], document: Document) -> Problem:
    path, kind, context = detail["loc"], detail["type"], detail.get("ctx", {})
    value = detail["input"]
    if key := context.get("at"):
        path, value = (*path, key), value[key]
    if kind == "missing":
        line, column = document.place(path[:-1])
        return Problem(document.file, line, column, "a key is missing", f"`{path[-1]}` here")
    if kind == "extra_forbidden":
        return _unknown_key(path, model, document)
    is_key = bool(path) and path[-1] == "[key]"
    line, column = document.place(path[:-1] if is_key else path, of_key=is_key)
    expected = _EXPECTED[kind](context) if kind in _EXPECTED else "something else"
    advice = str(context.get("advice", ""))
    if kind == "string_type" and isinstance(value, (int, Decimal)):
        advice = f'write "{str(value).lower()}" in quotes'
    elif kind == "literal_error" and isinstance(value, str):
        choices = re.findall(r"'([^']*)'", str(context["expected"]))
        advice = did_you_mean(value, choices) if len(choices) > 1 else ""  # the only choice is what is expected
    return Problem(document.file, line, column, shown(value), expected, advice)


def _unknown_key(path: tuple[int | str, ...], model: type[Strict], document: Document) -> Problem:
    key = str(path[-1])
    line, column = document.place(path, of_key=True)
    owner = _model_at(model, path[:-1])
    if owner is RepositorySettings and key in _NOT_FROM_A_REPOSITORY:
        expected = "only `packs` and `output` in a repository's orch.yaml"
        advice = "what is trusted is said in the operator's configuration, in ORCH_* variables or by flags"
        return Problem(document.file, line, column, f"the key {shown(key)}", expected, advice)
    known = _keys(owner)
    near = _meant(key, known)
    if near == _RENAMED_TO and key.lower() in _WERE:
        return Problem(document.file, line, column, f"the key {shown(key)}", f"`{near}`", RENAMED)
    expected = f"`{near}`" if near else f"one of the keys {listing(known)}" if known else "a known key"
    return Problem(document.file, line, column, f"the unknown key {shown(key)}", expected)


def _keys(owner: type[Strict] | None) -> list[str]:
    return sorted(field.alias or name for name, field in owner.model_fields.items()) if owner else []


def _meant(key: str, known: list[str]) -> str | None:
    if key.lower() in _WERE and _RENAMED_TO in known and "attempts" in known:
        return _RENAMED_TO
    return nearest(key, known)


def _model_at(model: type[Strict], path: tuple[int | str, ...]) -> type[Strict] | None:
    """Return the model that reads the mapping at a path."""
    owner: type[Strict] | None = model
    inside: Any = None
    for step in path:
        if inside is None:
            by_key = {field.alias or name: field for name, field in owner.model_fields.items()} if owner else {}
            if step not in by_key:
                return None
            inside = by_key[str(step)].annotation
        else:
            inside = get_args(inside)[-1] if isinstance(step, str) else get_args(inside)[0]
        owner = _model_in(inside)
        if owner is inside:
            inside = None
    return owner


def _model_in(annotation: object) -> type[Strict] | None:
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each))), None)


def read_repository_settings(data: bytes, file: str) -> RepositorySettings:
    """Return what a repository's `orch.yaml` says; the defaults where it says nothing.

    Raises:
        PackError: it is not YAML, has a key that is not a repository's to set, or a packs folder outside of it.
    """
    settings, document = _settings(RepositorySettings, data, file)
    folder = PurePosixPath(settings.packs)
    if folder.is_absolute() or ".." in folder.parts or "\\" in settings.packs:
        line, column = document.place(("packs",)) if document else (0, 0)
        raise PackError([Problem(file, line, column, shown(settings.packs), "a folder below the repository's root")])
    return settings


def read_operator_settings(data: bytes, file: str) -> OperatorSettings:
    """Return what the operator's file says, YAML or, by its name, TOML; the defaults where it says nothing.

    Raises:
        PackError: it is not YAML (or TOML) or has an unknown key or a wrong value.
    """
    return _settings(OperatorSettings, data, file, is_toml=file.endswith(".toml"))[0]


def _settings(model: type[Model], data: bytes, file: str, *, is_toml: bool = False) -> tuple[Model, Document | None]:
    if is_toml:
        from orchestrator import tomldoc

        reading = tomldoc.read(data, file)
    else:
        reading = read(data, file)
    if not reading.documents and all(
        problem.line == 0 and "without a document" in problem.seen for problem in reading.problems
    ):
        return model.model_validate({}), None
    if reading.problems:
        found = [each for document in reading.documents[:1] for each in validated(model, document)[1]]
        raise PackError(plainer(reading.problems, found))
    if len(reading.documents) > 1 or not isinstance(reading.documents[0].root, Map):
        root = reading.documents[0].root
        seen = "several documents" if len(reading.documents) > 1 else "a text" if isinstance(root, str) else shown(root)
        raise PackError([Problem(file, *reading.documents[-1].at, seen, "one document, a mapping")])
    settings, problems = validated(model, reading.documents[0])
    if settings is None:
        raise PackError(sorted(problems, key=lambda problem: (problem.line, problem.column)))
    return settings, reading.documents[0]
