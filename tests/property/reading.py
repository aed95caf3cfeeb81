"""What a request says: attributes, globs and conditions of `docs/decision.md`, the leaves of the independent model.

Every judgement is True, False, or None for unknown. Globs are walked, not translated; numbers are compared by their text.
"""

# ruff: noqa: ANN401  # values here are JSON of any kind

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, TypeAlias

from orchestrator.catalogue import CATALOGUE
from orchestrator.model import Condition, Operator

Kleene: TypeAlias = bool | None

SEPARATORS = {
    "subjects": "",
    "repositories": "/",
    "branches": "/",
    "head_branches": "/",
    "file_globs": "/",
    "tools": ":",
}


class _Missing:
    """What a path finds where there is nothing."""


MISSING = _Missing()
ABSENT = _Missing()
"""What the catalogue says the action cannot have."""


def all_of(parts: Iterable[Kleene]) -> Kleene:
    """Kleene's AND: false wins, then unknown."""
    seen = list(parts)
    return False if False in seen else None if None in seen else True


def any_of(parts: Iterable[Kleene]) -> Kleene:
    """Kleene's OR: true wins, then unknown."""
    seen = list(parts)
    return True if True in seen else None if None in seen else False


def negated(verdict: Kleene) -> Kleene:
    """Kleene's NOT."""
    return None if verdict is None else not verdict


# -- attributes


@dataclass(frozen=True, slots=True)
class Attributes:
    """What selectors look at. None is unknown, ABSENT is what the action cannot have."""

    action: str
    subject: str | None
    roles: tuple[str, ...] | None
    repository: str | None
    branch: str | _Missing | None
    head_branch: str | _Missing | None
    files: tuple[str, ...] | _Missing | None
    tool: str | _Missing | None
    stage: str | None


def read(request: dict[str, Any]) -> Attributes:
    """Return a request's attributes."""
    facts, resource, action = request["facts"], request["resource"], request["action"]["name"]
    properties = resource.get("properties", {})
    known = CATALOGUE.get(action)

    def of(name: str) -> Any:
        return ABSENT if known and name not in known.has else properties.get(name)

    files = of("files")
    if isinstance(files, list):
        files = tuple(each["path"] for each in files)
    tool = ABSENT if known and known.resource != "tool" else resource["id"] if resource["type"] == "tool" else None
    repository = resource["id"] if resource["type"] == "repository" else facts.get("repository")
    return Attributes(
        action=action,
        subject=subject_name(request["subject"]),
        roles=_roles(facts.get("subject")),
        repository=repository.lower() if isinstance(repository, str) else None,
        branch=_text(of("branch")),
        head_branch=_text(of("head_branch")),
        files=files if isinstance(files, tuple | _Missing) else None,
        tool=_text(tool),
        stage=facts.get("stage") if isinstance(facts.get("stage"), str) else None,
    )


def subject_name(subject: dict[str, Any]) -> str:
    """Return the name by which rules and votes know a subject."""
    kind, name = subject["type"], subject["id"]
    return str(name) if name.startswith(f"{kind}:") else f"{kind}:{name}"


def _roles(entry: Any) -> tuple[str, ...] | None:
    roles = entry.get("roles") if isinstance(entry, dict) else None
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        return None
    return tuple(roles)


def _text(value: Any) -> str | _Missing | None:
    return value if isinstance(value, str | _Missing) else None


def selector(name: str, items: tuple[str, ...], seen: Attributes, *, path: str | None = None) -> Kleene:
    """Return what one selector comes to; `path` is the file that is judged, if one is."""
    match name:
        case "roles":
            return None if seen.roles is None else any(role in items for role in seen.roles)
        case "stages":
            return None if seen.stage is None else seen.stage in items
        case "own_repository":
            return None if seen.repository is None else seen.repository == items[0].lower()
        case "repositories":
            lowered = tuple(item.lower() for item in items)
            return False if seen.repository == "none" else _globs(lowered, seen.repository, "/")
        case "file_globs" if path is None:
            return None if seen.files is None else False
    value = {
        "subjects": seen.subject,
        "branches": seen.branch,
        "head_branches": seen.head_branch,
        "file_globs": path,
        "tools": seen.tool,
    }[name]
    return _globs(items, value, SEPARATORS[name])


def _globs(items: tuple[str, ...], value: str | _Missing | None, separator: str) -> Kleene:
    if value is None:
        return None
    return isinstance(value, str) and any(glob(item, value, separator) for item in items)


# -- globs


def glob(pattern: str, text: str, separator: str) -> bool:
    """Whether a pattern, braces expanded, matches the whole text."""
    return any(_walk(each, text, separator, True) for each in expand(pattern))


@cache
def expand(pattern: str) -> tuple[str, ...]:
    """Return the patterns without braces that a pattern stands for."""
    start = pattern.find("{")
    if start < 0:
        return (pattern,)
    depth, begin, options = 0, start + 1, []
    for at in range(start, len(pattern)):
        char = pattern[at]
        depth += (char == "{") - (char == "}")
        if (char == "," and depth == 1) or depth == 0:
            options.append(pattern[begin:at])
            begin = at + 1
        if depth == 0:
            break
    head, tails = pattern[:start], expand(pattern[begin:])
    return tuple(head + middle + tail for option in options for middle in expand(option) for tail in tails)


@cache
def _walk(pattern: str, text: str, separator: str, at_start: bool) -> bool:  # noqa: FBT001  # cached by position
    """Match step by step; `at_start` says that a segment of the pattern begins here."""
    if not pattern:
        return not text
    if separator and at_start and pattern.startswith(f"**{separator}"):
        rest = pattern[3:]
        after = [text[at + 1 :] for at, char in enumerate(text) if char == separator]
        return any(_walk(rest, each, separator, True) for each in [text, *after])
    if pattern.startswith("**"):
        return any(_walk(pattern[2:], text[at:], separator, False) for at in range(len(text) + 1))
    if pattern[0] == "*":
        end = text.find(separator) if separator and separator in text else len(text)
        return any(_walk(pattern[1:], text[at:], separator, False) for at in range(end + 1))
    if not text:
        return False
    fits = text[0] != separator if pattern[0] == "?" else text[0] == pattern[0]
    return fits and _walk(pattern[1:], text[1:], separator, pattern[0] == separator)


# -- conditions


def condition(each: Condition, request: dict[str, Any], seen: Attributes, *, needs_every: bool) -> Kleene:
    """Return what a condition comes to: over its elements AND for what grants, OR for what objects."""
    if _cannot_have(each.path, seen.action):
        return [(op.name, op.values) for op in each.operators] == [("exists", (False,))]
    found = elements(request, each.path)
    verdicts = [all_of(_judge(element, operator, request) for operator in each.operators) for element in found]
    return all_of(verdicts) if needs_every else any_of(verdicts)


def _cannot_have(path: str, action: str) -> bool:
    known, parts = CATALOGUE.get(action), path.replace("[]", "").split(".")
    if known is None or len(parts) < 3 or parts[1] != "properties":
        return False
    if parts[0] == "resource":
        return parts[2] not in known.has
    return parts[0] == "action" and known.arguments is not None and parts[2] not in known.arguments


def elements(request: dict[str, Any], path: str) -> list[Any]:
    """Return what a path finds, each a value or MISSING."""
    found = _step(request, path.split("."))
    return [MISSING if value is None or value == [] else value for value in found]


def _step(value: Any, segments: list[str]) -> list[Any]:
    if not segments:
        return value if isinstance(value, list) and value else [value]
    name, rest = segments[0], segments[1:]
    if not isinstance(value, dict):
        return [MISSING]
    inner = value.get(name.removesuffix("[]"), MISSING)
    if not name.endswith("[]"):
        return [MISSING] if inner is None else _step(inner, rest)
    if not isinstance(inner, list) or not inner:
        return [MISSING]
    return [found for item in inner for found in _step(item, rest)]


def _judge(element: Any, operator: Operator, request: dict[str, Any]) -> Kleene:  # noqa: PLR0911  # a row of the table each
    values = operator.values
    match operator.name:
        case "exists":
            return (element is not MISSING) is values[0]
        case "equals" | "in":
            return _equals(element, values)
        case "not_in":
            return negated(_equals(element, values))
        case "glob" | "not_glob":
            verdict = any(glob(str(each), element, "/") for each in values) if isinstance(element, str) else None
            return verdict if operator.name == "glob" else negated(verdict)
        case "host" | "not_host":
            name = host(element)
            verdict = None if name is None else any(glob(str(each).lower(), name, ".") for each in values)
            return verdict if operator.name == "host" else negated(verdict)
        case "same_as":
            return _same(element, _value_at(request, str(values[0])))
        case "not_same_as":
            return negated(_same(element, _value_at(request, str(values[0]))))
    if json_type(element) != "number":
        return None
    seen, limit = exact(element), exact(values[0])
    return {"min": seen >= limit, "max": seen <= limit, "above": seen > limit, "below": seen < limit}[operator.name]


def _equals(element: Any, values: tuple[Any, ...]) -> Kleene:
    kind = json_type(element)
    alike = [value for value in values if json_type(value) == kind]
    return any(_is_equal(element, value) for value in alike) if alike else None


def _same(element: Any, other: Any) -> Kleene:
    kind = json_type(element)
    return _is_equal(element, other) if kind is not None and kind == json_type(other) else None


def _is_equal(one: Any, other: Any) -> bool:
    if json_type(one) == "number":
        return exact(one) == exact(other)
    return bool(one == other)


def _value_at(request: dict[str, Any], path: str) -> Any:
    value: Any = request
    for name in path.split("."):
        value = value.get(name, MISSING) if isinstance(value, dict) else MISSING
    return value


def json_type(value: Any) -> str | None:
    """Return `boolean`, `number` or `string`; None for what is not a scalar."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float | Decimal):
        return "number"
    return "string" if isinstance(value, str) else None


def exact(number: Any) -> Decimal:
    """Return a number as its JSON text says it."""
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)


_URL = re.compile(r"https?://([A-Za-z0-9._-]+)(?::[0-9]*)?(?:[/?#].*)?", re.DOTALL | re.ASCII | re.IGNORECASE)


def host(value: Any) -> str | None:
    """Return the host a URL names, lower-cased, without port and one trailing dot; None where that is in doubt."""
    found = _URL.fullmatch(value) if isinstance(value, str) else None
    return found[1].lower().removesuffix(".") if found else None


# -- time

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def nanoseconds(text: Any) -> int | None:
    """Return an RFC 3339 time as nanoseconds since 1970, None where it is none."""
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    zone = "+00:00" if found[3] == "Z" else found[3]
    try:
        whole = datetime.fromisoformat(found[1] + zone)
    except ValueError:
        return None
    fraction = int((found[2] or ".")[1:].ljust(9, "0"))
    return int(whole.timestamp()) * 1_000_000_000 + fraction
