"""Reads a scan in SARIF 2.1.0: how many results of which level, what is suppressed, whether it ran to its end."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from orchestrator.errors import UsageError
from orchestrator.names import shown

_LEVELS = frozenset({"none", "note", "warning", "error"})


class Scan(NamedTuple):
    """What the runs of one SARIF file come to."""

    counts: dict[str, int]
    """Level to the number of results that count."""
    suppressed: int
    tools: tuple[str, ...]
    """Names of the scanners, sorted."""
    unfinished: str
    """Why the scan cannot be a pass whatever it found; empty where it ran."""


def read_sarif(value: Mapping[str, Any], name: str) -> Scan:
    """Return what a SARIF log says.

    A result's level is its own, else what its rule says by default, else `warning`; what is no failure (`kind`) has
    none. A result whose suppressions are all accepted does not count, nor one that is gone (`baselineState: absent`).

    Raises:
        UsageError: it is not SARIF 2.1, or a level is none that SARIF knows.
    """
    if not str(value.get("version", "")).startswith("2.1"):
        raise UsageError(f"{name} is SARIF {shown(value.get('version'))}; expected version 2.1.0")
    counts, suppressed, tools, problems = dict.fromkeys(sorted(_LEVELS), 0), 0, set(), []
    for run in _objects(value.get("runs")):
        tools.add(str(_object(_object(run.get("tool")).get("driver")).get("name", "")))
        if any(one.get("executionSuccessful") is False for one in _objects(run.get("invocations"))):
            problems.append("the scan did not run to its end")
        if not isinstance(run.get("results"), list):
            problems.append("a run without results")
        rules = _Rules(run)
        for result in _objects(run.get("results")):
            if result.get("baselineState") == "absent":
                continue
            if _is_suppressed(result):
                suppressed += 1
                continue
            counts[_level(result, rules, name)] += 1
    if not tools:
        problems.append("no run in it")
    return Scan(counts, suppressed, tuple(sorted(tools - {""})), problems[0] if problems else "")


class _Rules:
    """The levels that the rules of a run have by default."""

    def __init__(self, run: Mapping[str, Any]) -> None:
        tool = _object(run.get("tool"))
        self._components = [_object(tool.get("driver")), *_objects(tool.get("extensions"))]
        self._by_id: dict[str, str] = {}
        for component in reversed(self._components):
            for rule in _objects(component.get("rules")):
                self._by_id[str(rule.get("id", ""))] = _default(rule)

    def level_of(self, result: Mapping[str, Any]) -> str:
        """Return the default level of a result's rule."""
        reference = _object(result.get("rule"))
        index = reference.get("index", result.get("ruleIndex", -1))
        component = _object(reference.get("toolComponent")).get("index", -1)
        at = component + 1 if type(component) is int and component >= 0 else 0
        rules = self._components[at].get("rules") if at < len(self._components) else None
        if type(index) is int and isinstance(rules, list) and 0 <= index < len(rules):
            return _default(_object(rules[index]))
        return self._by_id.get(str(result.get("ruleId", reference.get("id", ""))), "warning")


def _default(rule: Mapping[str, Any]) -> str:
    return str(_object(rule.get("defaultConfiguration")).get("level", "warning"))


def _level(result: Mapping[str, Any], rules: _Rules, name: str) -> str:
    level = result.get("level")
    if level is None:
        level = "none" if result.get("kind", "fail") != "fail" else rules.level_of(result)
    if not isinstance(level, str) or level not in _LEVELS:
        raise UsageError(f"{name}: a result of level {shown(level)}; expected error, warning, note or none")
    return str(level)


def _is_suppressed(result: Mapping[str, Any]) -> bool:
    given = result.get("suppressions")
    if not isinstance(given, list) or not given:
        return False
    return all(_object(one).get("status", "accepted") == "accepted" for one in given)


def _objects(value: object) -> Iterator[dict[str, Any]]:
    yield from (one for one in value if isinstance(one, dict)) if isinstance(value, list) else ()


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
