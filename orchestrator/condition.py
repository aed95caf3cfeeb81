"""The conditions of a rule: paths that can exist, operators whose values they can judge."""

import re
from collections.abc import Mapping
from typing import Any

from orchestrator.catalogue import CATALOGUE
from orchestrator.document import Map, Place, shown
from orchestrator.glob import GlobError, Kind, expand
from orchestrator.lists import Lists, placed, unescaped
from orchestrator.model import Condition, Effect, Operator, Scalar
from orchestrator.notes import Notes
from orchestrator.schema import Operators
from orchestrator.shape import is_list_name
from orchestrator.words import did_you_mean, listing, nearest

FACTS = frozenset(
    {
        "action_digest",
        "approvals",
        "budgets",
        "change_digest",
        "contributors",
        "delegation",
        "escalation",
        "evidence",
        "point",
        "repository",
        "run",
        "stage",
        "subject",
        "time",
        "tool_schemas",
        "trigger",
    }
)
"""The facts that a condition may look at; see docs/architecture.md."""

_ROOTS = {
    "subject": frozenset({"type", "id", "properties"}),
    "action": frozenset({"name", "properties"}),
    "resource": frozenset({"type", "id", "properties"}),
    "facts": FACTS,
}
_SUBJECT_FACTS = frozenset({"name", "roles", "attributes"})
_SEGMENT = re.compile(r"[^\s.\[\]\x00-\x20\x7f]{1,128}(\[\])?")
_MAX_SEGMENTS = 32
_NUMBERS = ("min", "max", "above", "below")


class Conditions:
    """Reads the `when` of rules of one pack."""

    def __init__(self, lists: Lists, notes: Notes) -> None:
        self._lists = lists
        self._notes = notes

    def read(
        self, when: Mapping[str, Operators], raw: Map, actions: tuple[str, ...], effect: Effect
    ) -> tuple[Condition, ...]:
        """Return a rule's conditions in the order written; what cannot be is noted."""
        found = []
        for path, operators in when.items():
            place = raw.key_at(path)
            self._check_path(path, place, actions)
            read = self._operators(path, operators, raw, actions)
            names = {operator.name for operator in read}
            if effect is Effect.ALLOW and "max" in names and names.isdisjoint({"min", "above", "equals", "in"}):
                self._notes.warning(
                    place, "`max` without `min` on an allow", "a `min`", "any negative number is allowed; add `min: 0`"
                )
            found.append(Condition(path, read, self._notes.source(place)))
        return tuple(found)

    def _operators(self, path: str, operators: Operators, raw: Map, actions: tuple[str, ...]) -> tuple[Operator, ...]:
        written = raw[path]
        found = []
        for name, field in Operators.model_fields.items():
            if name not in operators.model_fields_set:
                continue
            key = field.alias or name
            holder, inner = (written, key) if isinstance(written, Map) else (raw, path)
            place = holder.key_at(key) if isinstance(written, Map) else raw.value_at(path)
            values = self._values(key, getattr(operators, name), holder, inner, actions)
            found.append(Operator(key, values, self._notes.source(place)))
        return tuple(found)

    def _values(
        self,
        key: str,
        value: Any,  # noqa: ANN401  # its type follows from the operator
        holder: Map,
        inner: str,
        actions: tuple[str, ...],
    ) -> tuple[Scalar, ...]:
        place = holder.value_at(inner)
        match key:
            case "in" | "not_in":
                return tuple(each for each, _ in self._lists.resolve(value, placed(holder, inner)))
            case "glob" | "not_glob" | "host" | "not_host":
                return self._patterns(key, value, holder, inner)
            case "equals":
                if is_list_name(value):
                    self._notes.error(
                        place, f"the list {shown(value)} for `equals`", "one value", "use `in` for the items of a list"
                    )
                return (unescaped(value),)
            case "same_as" | "not_same_as":
                if "[]" in value:
                    self._notes.error(place, f"{shown(value)}, which leads to several values", "a path without `[]`")
                else:
                    self._check_path(value, place, actions)
        return (value,)

    def _patterns(self, key: str, value: tuple[str, ...], holder: Map, inner: str) -> tuple[str, ...]:
        kind = Kind.HOST if key.endswith("host") else Kind.PATH
        found = []
        for item, place in self._lists.resolve(value, placed(holder, inner)):
            if not isinstance(item, str):
                self._notes.error(place, shown(item), "text")
                continue
            check_glob(item, place, self._notes)
            if kind is Kind.HOST and not set(item).isdisjoint("/:@"):
                self._notes.error(
                    place, shown(item), "a host alone, such as `*.acme.com`", "leave out scheme, port and path"
                )
            elif kind is Kind.PATH and item.lower().startswith(("http:", "https:", "http*:", "{http")):
                advice = "such a glob matches other hosts too: write `host: ...`"
                self._notes.warning(place, f"the URL {shown(item)} as a glob", "`host`", advice)
            found.append(item)
        return tuple(found)

    def _check_path(self, path: str, place: Place, actions: tuple[str, ...]) -> None:
        if problem := path_problem(path):
            self._notes.error(place, *problem)
            return
        steps = [step.removesuffix("[]") for step in path.split(".")]
        if len(steps) > 2 and steps[1] == "properties" and not _can_have(steps[0], steps[2], actions):  # noqa: PLR2004
            known = sorted({name for action in actions for name in _names(steps[0], action)})
            expected = f"one of {listing(known)}" if known else "a path to something they have"
            seen = f"`{'.'.join(steps[:3])}`, which {listing(sorted(actions))} cannot have"
            self._notes.error(place, seen, expected, did_you_mean(steps[2], known))


def check_glob(pattern: str, place: Place, notes: Notes) -> list[str]:
    """Return the patterns without braces that a pattern stands for; note one that means nothing, and return none."""
    try:
        return expand(pattern)
    except GlobError as error:
        notes.refused(place, error, "a glob")
        return []


def path_problem(path: str) -> tuple[str, str, str] | None:
    """Return what is wrong with a condition's path: seen, expected, advice; None where it can exist."""
    steps = path.split(".")
    return _root_problem(path, steps) or _second_problem(path, steps) or _deeper_problem(path, steps)


def _root_problem(path: str, steps: list[str]) -> tuple[str, str, str] | None:
    root = steps[0]
    if root not in _ROOTS and root != "context":
        roots = [*_ROOTS, "context"]
        advice = did_you_mean(root, roots) or "write the whole path, such as action.properties.title"
        return f"the path {shown(path)}", f"a path that starts at {listing(roots)}", advice
    if len(steps) > _MAX_SEGMENTS or not all(_SEGMENT.fullmatch(step) for step in steps) or "[]" in root:
        return f"the path {shown(path)}", "names joined by `.`, with `[]` after a list", ""
    if len(steps) == 1:
        return f"the path {shown(path)}", f"a path below it, such as {root}.{min(_ROOTS.get(root, ['name']))}", ""
    return None


def _second_problem(path: str, steps: list[str]) -> tuple[str, str, str] | None:
    root, second = steps[0], steps[1].removesuffix("[]")
    if root == "context":
        return None
    if root == "subject" and second in {"roles", "role", "attributes"}:
        wanted = "facts.subject.attributes.<name>" if second == "attributes" else "facts.subject.roles"
        advice = "a request cannot claim them: the roster says them, use `roles:` or " + wanted
        return f"{shown(path)}, which a request would say of itself", wanted, advice
    if second not in _ROOTS[root]:
        near = nearest(second, _ROOTS[root]) or ("" if root == "facts" else f"properties.{second}")
        advice = f"did you mean `{root}.{near}`?" if near else ""
        return f"the path {shown(path)}", listing(f"{root}.{each}" for each in sorted(_ROOTS[root])), advice
    return None


def _deeper_problem(path: str, steps: list[str]) -> tuple[str, str, str] | None:
    root, second = steps[0], steps[1]
    if root == "context":
        return None
    if second == "properties[]":
        return f"the path {shown(path)}", f"{root}.properties.<name>", "properties are no list"
    if root != "facts" and second != "properties" and (len(steps) > 2 or "[]" in second):  # noqa: PLR2004
        return f"the path {shown(path)}", f"{root}.{second.removesuffix('[]')} alone", "it is text"
    if root == "facts" and second == "subject" and len(steps) > 2:  # noqa: PLR2004
        third = steps[2].removesuffix("[]")
        if third not in _SUBJECT_FACTS:
            known = [f"facts.subject.{each}" for each in sorted(_SUBJECT_FACTS)]
            advice = f"did you mean `facts.subject.attributes.{third}`?"
            return f"the path {shown(path)}", listing(known), advice
    return None


def _names(root: str, action: str) -> frozenset[str]:
    built_in = CATALOGUE.get(action)
    if built_in is None or root not in {"action", "resource"}:
        return frozenset()
    return built_in.has if root == "resource" else built_in.arguments or frozenset()


def _can_have(root: str, name: str, actions: tuple[str, ...]) -> bool:
    """Return whether one of the actions can have a property; of names that are not built in anything is possible."""
    if root not in {"action", "resource"}:
        return True
    for action in actions:
        built_in = CATALOGUE.get(action)
        if built_in is None or (root == "action" and built_in.arguments is None) or name in _names(root, action):
            return True
    return False
