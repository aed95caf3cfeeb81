"""Compiles a set of packs to the data that the fixed Rego library reads. Pure: the same packs give the same bytes.

Packs become data, never Rego text. An index by action, then by literal repository, owner, tool or server, leaves each
request few candidate rules; globs become literals, prefixes, suffixes and one RE2. Decides nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from orchestrator.catalogue import CATALOGUE
from orchestrator.glob import Kind, parts, regexes
from orchestrator.keys import jwk, public_key
from orchestrator.model import Condition, Effect, Layer, Operator, Pack, PackSet, Rule, Scalar, Selectors, Waiver

_KINDS = {
    "subjects": Kind.SUBJECT,
    "repositories": Kind.REPOSITORY,
    "branches": Kind.PATH,
    "head_branches": Kind.PATH,
    "tools": Kind.TOOL,
}
_NAMES = ("roles", "stages")
_SECTION = {"action": "arguments", "resource": "has"}


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a bundle is built from."""

    data: dict[str, Any]
    """`data.policy`, its digest still empty."""
    modules: dict[str, bytes]
    """Hand-written modules by their path in the bundle, `packs/<pack>/<file>`."""
    patterns: tuple[str, ...]
    """Every RE2 in the data, to be tried on the engine."""


def compile_packs(pack_set: PackSet) -> Compiled:
    """Return the data index and modules for a pack set, in an order that depends on names alone.

    Source: 001, "Policy pack format (v1)".
    """
    packs = sorted(pack_set.packs, key=lambda pack: (list(Layer).index(pack.layer), pack.name))
    checkout = pack_set.repository.lower() if pack_set.repository else None
    rows = [_pack_row(pack, checkout) for pack in packs]
    rules = [
        (_rule_row(rule, number, pack, checkout), rule, pack)
        for number, pack in enumerate(packs)
        for rule in sorted(pack.rules, key=lambda rule: rule.id)
    ]
    waivers = [_waiver_row(waiver) for waiver in sorted(pack_set.waivers, key=lambda waiver: waiver.name)]
    data = {
        "digest": "",
        "packs": rows,
        "pack_index": _bucket((number, None, pack.repositories) for number, pack in enumerate(packs)),
        "rules": [row for row, _, _ in rules],
        "waivers": waivers,
        "index": _index([(rule, pack) for _, rule, pack in rules]),
        "actions": _actions(),
        "stages": list(pack_set.stages) or [stage for pack in packs for stage in pack.declared_stages],
        "escalations": {one.name: one.row for one in sorted(pack_set.escalations, key=lambda one: one.name)},
        "declared": sorted({action for pack in packs for action in pack.declared_actions}),
        "meters": sorted({meter for pack in packs for meter in pack.declared_meters}),
        "roster": {
            entry.name: {
                "roles": sorted(entry.roles),
                "attributes": dict(sorted(entry.attributes.items())),
                "keys": sorted({jwk(public_key(key)) for key in entry.keys}),
            }
            for entry in sorted(pack_set.roster, key=lambda entry: entry.name)
        },
    }
    if pack_set.escalations:  # else the only order is `stages`
        orders = [list(pack.declared_stages) for pack in packs if pack.declared_stages]
        data["stage_orders"] = [*orders, *(list(one.stages) for one in pack_set.escalations)]
    modules = {f"packs/{pack.name}/{module.path}": module.text.encode() for pack in packs for module in pack.modules}
    return Compiled(data, modules, tuple(sorted(set(_patterns(data)))))


def _pack_row(pack: Pack, checkout: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": pack.name,
        "prefix": pack.prefix,
        "version": pack.version,
        "layer": pack.layer.value,
        "key": f"run:{pack.name}" if pack.layer is Layer.RUN else pack.layer.value,
        "default": pack.default.value,
        "enforcement": {point.value: mode.value for point, mode in sorted(pack.enforcement.items())},
        "globs": _pack_globs(pack, checkout),
        "source": str(pack.source),
        "digest": pack.digest,
    }
    if pack.modules:
        row["modules"] = pack.name
        row["module_source"] = str(pack.modules[0].source)
    if pack.layer is Layer.REPO and checkout is None:
        row["is_unsure"] = True
    return row


def _pack_globs(pack: Pack, checkout: str | None) -> dict[str, Any]:
    globs = {}
    if pack.repositories is not None:
        globs["pack_repositories"] = parts(pack.repositories, Kind.REPOSITORY)
    if pack.layer is Layer.REPO and checkout is not None:
        globs["checkout"] = {"literals": {checkout: True}}
    return globs


def _rule_row(rule: Rule, pack_number: int, pack: Pack, checkout: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": f"{pack.prefix}/{rule.id}",
        "pack": pack_number,
        "effect": rule.effect.value,
        "level": rule.level.value if rule.level else None,
        "severity": rule.severity.value,
        "message": rule.message or rule.title or _default_message(rule),
        "fix": rule.fix,
        "source": str(rule.source),
        "lines": {name: source.line for name, source in sorted(rule.selector_sources.items())},
    }
    is_loose = rule.effect in {Effect.ALLOW, Effect.DELEGATE}
    if is_loose:
        row["is_loose"] = True
    if pack.layer is Layer.REPO and checkout is None:
        row["is_unsure"] = True
    row |= _selectors(rule.selectors)
    row["globs"] |= _pack_globs(pack, checkout)
    if rule.when:
        row["when"] = [_condition(condition, is_loose=is_loose) for condition in rule.when]
    return row | _asked(rule)


def _default_message(rule: Rule) -> str:
    actions = "{action}" if rule.actions == ("*",) else " or ".join(rule.actions)
    match rule.effect:
        case Effect.DENY:
            return f"{actions} is denied"
        case Effect.REQUIRE:
            return f"{actions} needs more before it may happen"
        case Effect.ALLOW:
            return f"{actions} is allowed"
        case Effect.DELEGATE:
            return f"{actions} is left to the repository's packs"


def _selectors(selectors: Selectors) -> dict[str, Any]:
    row: dict[str, Any] = {
        "globs": {name: parts(selectors[name], kind) for name, kind in _KINDS.items() if name in selectors},
        "names": {name: dict.fromkeys(sorted(selectors[name]), True) for name in _NAMES if name in selectors},
    }
    if "file_globs" in selectors:
        row["files"] = parts(selectors["file_globs"], Kind.PATH)
    return row


def _asked(rule: Rule) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    if rule.approvals:
        asked["approvals"] = [
            {"role": one.role, "count": one.count, "bind": one.bind, "expires_s": one.expires_s}
            for one in rule.approvals
        ]
    if rule.evidence:
        asked["evidence"] = [{"evidence": one.type, "phase": one.phase} for one in rule.evidence]
    if rule.budgets:
        asked["budgets"] = [
            {
                "meter": one.meter,
                "per": one.per,
                "window": one.window,
                "limit_micro": one.limit_micro,
                "warn_at_percent": one.warn_at_percent,
            }
            for one in rule.budgets
        ]
    if rule.stage is not None:
        asked["stage"] = rule.stage
    return asked


def _waiver_row(waiver: Waiver) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": waiver.name,
        "rules": dict.fromkeys(sorted(waiver.rules), True),
        "from_ns": waiver.from_ns,
        "expires_at_ns": waiver.expires_at_ns,
    }
    if "actions" in waiver.scope:
        row["actions"] = dict.fromkeys(sorted(waiver.scope["actions"]), True)
    return row | _selectors(waiver.scope)


def _condition(condition: Condition, *, is_loose: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "text": condition.path,
        "line": condition.source.line,
        "path": steps(condition.path),
        "every": is_loose,
        "operators": [_operator(operator) for operator in condition.operators],
    }
    segments = condition.path.replace("[]", "").split(".")
    if len(segments) > 2 and segments[1] == "properties" and segments[0] in _SECTION:  # noqa: PLR2004  # root.properties.name
        row["owner"] = {"section": _SECTION[segments[0]], "name": segments[2]}
    return row


def steps(path: str) -> list[list[str]]:
    """Return a path's segments, cut after each `[]`: `a.b[].c` is `[["a", "b"], ["c"]]`, `a[]` is `[["a"], []]`."""
    cut: list[list[str]] = [[]]
    for segment in path.split("."):
        cut[-1].append(segment.removesuffix("[]"))
        if segment.endswith("[]"):
            cut.append([])
    return cut


def _operator(operator: Operator) -> dict[str, Any]:
    name = operator.name.removeprefix("not_")
    negated = {"negated": True} if operator.name.startswith("not_") else {}
    match name:
        case "equals" | "in":
            values = [_plain(value) for value in operator.values]
            types = dict.fromkeys(sorted({_type(value) for value in values}), True)
            return {"name": "in", "values": values, "types": types, **negated}
        case "glob" | "host":
            kind = Kind.PATH if name == "glob" else Kind.HOST
            return {"name": name, "globs": parts(map(str, operator.values), kind), **negated}
        case "exists":
            return {"name": "exists", "value": operator.values[0]}
        case "same_as":
            return {"name": "same_as", "path": steps(str(operator.values[0])), **negated}
        case _:
            return {"name": "bound", "relation": name, "value": _plain(operator.values[0])}


def _plain(value: Scalar) -> Any:  # noqa: ANN401  # a JSON scalar; Decimal stays exact until the bundle writes it
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)
    return value


def _type(value: object) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | Decimal() | float():
            return "number"
        case _:
            return "string"


def _actions() -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for name, action in sorted(CATALOGUE.items()):
        rows[name] = {"has": dict.fromkeys(sorted(action.has), True)}
        if action.arguments is not None:
            rows[name]["arguments"] = dict.fromkeys(sorted(action.arguments), True)
    return rows


def _index(rules: Sequence[tuple[Rule, Pack]]) -> dict[str, Any]:
    by_action: dict[str, list[tuple[int, tuple[str, ...] | None, tuple[str, ...] | None]]] = {}
    for number, (rule, pack) in enumerate(rules):
        repositories = rule.selectors.get("repositories", pack.repositories)
        for action in rule.actions:
            by_action.setdefault(action, []).append((number, rule.selectors.get("tools"), repositories))
    return {action: _bucket(rows) for action, rows in sorted(by_action.items())}


def _bucket(rows: Iterable[tuple[int, tuple[str, ...] | None, tuple[str, ...] | None]]) -> dict[str, Any]:
    bucket: dict[str, Any] = {
        "rest": [], "repositories": {}, "owners": {}, "tools": {}, "servers": {}, "by_repository": [], "by_tool": [],
    }  # fmt: skip
    for number, tools, repositories in rows:
        if keys := _keys(tools, ":", ("tools", "servers")):
            bucket["by_tool"].append(number)
        elif keys := _keys(repositories, "/", ("repositories", "owners")):
            bucket["by_repository"].append(number)
        else:
            bucket["rest"].append(number)
        for table, key in keys:
            bucket[table].setdefault(key, []).append(number)
    return bucket


def _keys(patterns: tuple[str, ...] | None, separator: str, tables: tuple[str, str]) -> list[tuple[str, str]]:
    """Return where a rule with these patterns is found; empty when only a walk over all would find it."""
    keys = set()
    for pattern in patterns or ():
        text = pattern.lower() if separator == "/" else pattern
        first, found, rest = text.partition(separator)
        if not found or _is_wild(first):
            return []
        keys.add((tables[1], first) if _is_wild(rest) else (tables[0], text))
    return sorted(keys)


def _is_wild(text: str) -> bool:
    return any(character in text for character in "*?{}")


def _patterns(value: object) -> Iterable[str]:
    """Yield every RE2 of compiled globs anywhere in the data."""
    if isinstance(value, Mapping):
        if isinstance(value.get("regex"), str):
            yield from regexes(dict(value))
        for item in value.values():
            yield from _patterns(item)
    elif isinstance(value, list):
        for item in value:
            yield from _patterns(item)
