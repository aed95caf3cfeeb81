"""A failing trial made small: drop what can go, as long as it still fails, and print what is left so that a person can read it."""

# ruff: noqa: ANN401  # values here are JSON of any kind

import json
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from generate import Trial

from orchestrator.model import Condition, Pack, PackSet, Rule

_KEPT = {"request_errors", "point", "time", "action_digest", "change_digest", "override"}
_DROPPABLE = ("approvals", "evidence", "budgets", "when")


def reduced(trial: Trial, fails: Callable[[Trial], bool]) -> Trial:
    """Return a trial of one request that still fails, from which nothing more can be dropped."""
    for request in trial.requests:
        one = Trial(trial.packs, (request,))
        if _fails(one, fails):
            trial = one
            break
    while True:
        smaller = next((each for each in _smaller(trial) if _fails(each, fails)), None)
        if smaller is None:
            return trial
        trial = smaller


def _fails(trial: Trial, fails: Callable[[Trial], bool]) -> bool:
    try:
        return fails(trial)
    except Exception:  # noqa: BLE001  # what can no longer be compiled or judged is no smaller failure of the same kind
        return False


def readable(trial: Trial) -> str:
    """Return the packs without defaults and the request, as text."""
    lines = [f"repository: {trial.packs.repository}"]
    for pack in trial.packs.packs:
        lines.append(f"{_shown(pack, {'rules', 'digest', 'version', 'source'})}")
        lines += [f"  {_shown(rule, {'source', 'selector_sources'})}" for rule in pack.rules]
    lines += [f"{_shown(waiver, {'source', 'reason', 'ticket'})}" for waiver in trial.packs.waivers]
    lines += [json.dumps(request, ensure_ascii=False, indent=1) for request in trial.requests]
    return "\n".join(lines)


def _shown(value: Any, hidden: set[str]) -> str:
    shown = [(each.name, getattr(value, each.name)) for each in fields(value) if each.name not in hidden]
    said = [f"{name}={_plain(what)}" for name, what in shown if what not in (None, (), {}, "", False)]
    return f"{type(value).__name__}({', '.join(said)})"


def _plain(value: Any) -> str:
    if isinstance(value, tuple) and value and isinstance(value[0], Condition):
        return str({each.path: {op.name: op.values for op in each.operators} for each in value})
    if isinstance(value, dict):
        return str({str(key): each if isinstance(each, tuple) else str(each) for key, each in value.items()})
    return str(value) if isinstance(value, str) else repr(value)


def _smaller(trial: Trial) -> Iterator[Trial]:
    for packs in _smaller_sets(trial.packs):
        yield replace(trial, packs=packs)
    for request in _smaller_requests(trial.requests[0]):
        yield replace(trial, requests=(request,))


def _smaller_sets(packs: PackSet) -> Iterator[PackSet]:
    for at in range(len(packs.packs)):
        yield replace(packs, packs=_without(packs.packs, at))
    for at in range(len(packs.waivers)):
        yield replace(packs, waivers=_without(packs.waivers, at))
    for at, pack in enumerate(packs.packs):
        for smaller in _smaller_packs(pack):
            yield replace(packs, packs=(*packs.packs[:at], smaller, *packs.packs[at + 1 :]))
    for at, waiver in enumerate(packs.waivers):
        for name in waiver.scope if len(waiver.scope) > 1 else ():
            scope = {key: items for key, items in waiver.scope.items() if key != name}
            changed = replace(waiver, scope=scope)
            yield replace(packs, waivers=(*packs.waivers[:at], changed, *packs.waivers[at + 1 :]))


def _smaller_packs(pack: Pack) -> Iterator[Pack]:
    for at in range(len(pack.rules)):
        yield replace(pack, rules=_without(pack.rules, at))
    if pack.repositories is not None:
        yield replace(pack, repositories=None)
    if pack.enforcement:
        yield replace(pack, enforcement={})
    for at, rule in enumerate(pack.rules):
        for smaller in _smaller_rules(rule):
            yield replace(pack, rules=(*pack.rules[:at], smaller, *pack.rules[at + 1 :]))


def _smaller_rules(rule: Rule) -> Iterator[Rule]:
    for name, items in rule.selectors.items():
        yield replace(rule, selectors={key: each for key, each in rule.selectors.items() if key != name})
        for item in items if len(items) > 1 else ():
            yield replace(rule, selectors={**rule.selectors, name: (item,)})
    if rule.actions != ("*",):
        yield replace(rule, actions=("*",))
    if rule.stage is not None:
        yield replace(rule, stage=None)
    for name in _DROPPABLE:
        owned = getattr(rule, name)
        for at in range(len(owned)):
            changed: dict[str, Any] = {name: _without(owned, at)}
            yield replace(rule, **changed)
    for at, condition in enumerate(rule.when):
        for number in range(len(condition.operators) if len(condition.operators) > 1 else 0):
            fewer = replace(condition, operators=_without(condition.operators, number))
            yield replace(rule, when=(*rule.when[:at], fewer, *rule.when[at + 1 :]))


def _smaller_requests(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part, value in request.items():
        for smaller in _smaller_values(value, top=True):
            if part != "facts" or smaller.keys() >= _KEPT:
                yield {**request, part: smaller}


def _smaller_values(value: Any, *, top: bool = False) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if not (top and key in {"type", "id", "name"}) and key not in _KEPT:
                yield {name: each for name, each in value.items() if name != key}
            for smaller in _smaller_values(inner):
                yield {**value, key: smaller}
    if isinstance(value, list):
        for at, inner in enumerate(value):
            yield value[:at] + value[at + 1 :]
            for smaller in _smaller_values(inner):
                yield [*value[:at], smaller, *value[at + 1 :]]


def _without(items: tuple[Any, ...], at: int) -> tuple[Any, ...]:
    return items[:at] + items[at + 1 :]
