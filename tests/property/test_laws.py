"""Laws of a decision, on the real engine."""

# ruff: noqa: ANN401  # values here are JSON of any kind

import os
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import model
import pytest
from comparing import of_engine
from engine import Engine
from generate import HERE, SEEDS, Trial, trial_of, trial_pack
from hypothesis import Phase, given, settings
from reduction import readable, reduced
from words import NOW

from orchestrator.model import Approval, Default, Effect, Layer, Level, Pack, PackSet, Rule, Severity

MORE = int(os.environ.get("ORCH_TESTS_MORE", "1"))
SETS, REQUESTS = 30, 30
STRICTNESS = ("allow", "pending", "deny")

Law = Callable[[Engine, Trial, int], list[str]]
"""What breaks the law in a trial, a line each; the number is for the law's own choices."""

laws = settings(max_examples=SETS * MORE, phases=(Phase.explicit, Phase.reuse, Phase.generate))


def _hold(law: Law, engine: Engine) -> None:
    @laws
    @given(SEEDS)
    def holds(seed: int) -> None:
        trial = trial_of(seed, REQUESTS)
        if not law(engine, trial, seed):
            return
        small = reduced(trial, lambda each: bool(law(engine, each, seed)))
        pytest.fail("\n".join([readable(small), *law(engine, small, seed)]), pytrace=False)

    holds()


def _rank(outcome: str) -> int:
    return STRICTNESS.index(outcome)


# -- by hand: what chance meets too rarely


def test_a_rejection_cannot_be_lifted_from_below(engine: Engine) -> None:
    """A repository that asks for the same role with a shorter expiry does not outdate a rejection that org still hears."""
    voted = {"role": "sre", "digest": "A"}
    yes, no = (
        {**voted, "by": "user:bob", "at": "2026-03-01T11:59:00Z"},
        {**voted, "by": "user:carol", "at": "2026-03-01T10:00:00Z"},
    )
    known: dict[str, Any] = {
        "request_errors": [],
        "point": "run",
        "time": NOW,
        "override": None,
        "action_digest": "A",
        "change_digest": None,
    }
    request = {
        "subject": {"type": "agent", "id": "agent:fixer"},
        "action": {"name": "comment", "properties": {}},
        "resource": {"type": "repository", "id": "acme/web"},
        "context": {},
        "facts": {**known, "approvals": [yes, {**no, "decision": "reject"}]},
    }
    org, repo = _asking(Layer.ORG, Default.ALLOW, 86_400), _asking(Layer.REPO, Default.INHERIT, 3600)
    trial = Trial(PackSet((org, repo), repository="acme/web"), (request,))

    assert _weakening(engine, trial, 0) == []


def _asking(layer: Layer, default: Default, expires_s: int) -> Pack:
    ask = Rule(
        "q", Effect.REQUIRE, ("*",), HERE, Level.HARD, Severity.HIGH, approvals=(Approval("sre", expires_s=expires_s),)
    )
    return Pack("p", "1.0.0", layer, default, HERE, "sha256:0", rules=(ask,))


# -- order


def test_order_never_matters(engine: Engine) -> None:
    """Packs, rules, selector items, conditions, waivers, files and facts may come in any order."""
    _hold(_order, engine)


def _order(engine: Engine, trial: Trial, seed: int) -> list[str]:
    before = engine.answers(trial.packs, trial.requests)
    chance = Random(seed)  # noqa: S311  # chance, not secrecy
    shuffled = Trial(_shuffled_set(trial.packs, chance), tuple(_shuffled(each, chance) for each in trial.requests))
    after = engine.answers(shuffled.packs, shuffled.requests)
    return [f"{one}\n{other}" for one, other in zip(before, after, strict=True) if _content(one) != _content(other)]


def _content(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what was decided; a message may list its rule's actions as they were written."""
    return of_engine(answer)


def _shuffled_set(packs: PackSet, chance: Random) -> PackSet:
    def mixed(items: Any) -> tuple[Any, ...]:
        return tuple(chance.sample(list(items), len(items)))

    def rule(each: Rule) -> Rule:
        selectors = {name: mixed(each.selectors[name]) for name in mixed(each.selectors)}
        return replace(each, selectors=selectors, when=mixed(each.when), actions=mixed(each.actions))

    def pack(each: Pack) -> Pack:
        return replace(each, rules=mixed([rule(one) for one in each.rules]))

    return replace(packs, packs=mixed([pack(each) for each in packs.packs]), waivers=mixed(packs.waivers))


def _shuffled(request: dict[str, Any], chance: Random) -> dict[str, Any]:
    facts = {
        key: chance.sample(each, len(each)) if isinstance(each, list) else each
        for key, each in request["facts"].items()
    }
    changed = {**request, "facts": facts}
    properties = request["resource"].get("properties", {})
    if isinstance(properties.get("files"), list):
        files = chance.sample(properties["files"], len(properties["files"]))
        changed["resource"] = {**request["resource"], "properties": {**properties, "files": files}}
    return changed


# -- strictness


def test_outcome_is_never_stricter_than_would(engine: Engine) -> None:
    """Leaving out what only warns can only loosen."""
    _hold(_outcome_and_would, engine)


def _outcome_and_would(engine: Engine, trial: Trial, seed: int) -> list[str]:
    answers = engine.answers(trial.packs, trial.requests)
    return [
        f"outcome {answer['outcome']} ({answer['reason']}), would {answer['would']}"
        for answer in answers
        if _rank(answer["outcome"]) > _rank(answer["would"])
    ]


def test_warn_only_never_blocks(engine: Engine) -> None:
    """With `--warn-only` all is allowed but invalid requests and those that no org pack is about."""
    _hold(_warn_only, engine)


def _warn_only(engine: Engine, trial: Trial, seed: int) -> list[str]:
    requests = [{**each, "facts": {**each["facts"], "override": "warn"}} for each in trial.requests]
    answers = engine.answers(trial.packs, requests)
    return [
        f"{answer['outcome']} ({answer['reason']})"
        for request, answer in zip(requests, answers, strict=True)
        if answer["outcome"] != "allow"
        and not request["facts"]["request_errors"]
        and (answer["reason"] != "no_policy" or model.is_governed(trial.packs, request))
    ]


def test_repo_and_run_packs_never_weaken_org(engine: Engine) -> None:
    """With them, a decision is at least as strict as org's own, were everything that org hands down allowed."""
    _hold(_weakening, engine)


def _weakening(engine: Engine, trial: Trial, seed: int) -> list[str]:
    org = tuple(_granting(pack) for pack in trial.packs.packs if pack.layer is Layer.ORG)
    alone = engine.answers(replace(trial.packs, packs=org), trial.requests)
    together = engine.answers(trial.packs, trial.requests)
    return [line for one, other in zip(alone, together, strict=True) for line in _loosened(one, other)]


def _granting(pack: Pack) -> Pack:
    """Return the pack with each delegate an allow."""
    rules = (replace(each, effect=Effect.ALLOW) if each.effect is Effect.DELEGATE else each for each in pack.rules)
    return replace(pack, rules=tuple(rules))


def _loosened(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [
        f"{view}: {before[view]} became {after[view]} ({before['reason']}, {after['reason']})"
        for view in ("outcome", "would")
        if _rank(after[view]) < _rank(before[view])
    ]


def test_a_pack_on_trial_changes_no_outcome(engine: Engine) -> None:
    """An org pack of denies and requires that warns everywhere changes nothing where another org pack applies."""
    _hold(_on_trial, engine)


def _on_trial(engine: Engine, trial: Trial, seed: int) -> list[str]:
    requests = [
        {**each, "facts": {**each["facts"], "override": None}}
        for each in trial.requests
        if not each["facts"]["request_errors"] and model.is_governed(trial.packs, each)
    ]
    added = replace(trial.packs, packs=(*trial.packs.packs, trial_pack(Random(seed))))  # noqa: S311  # chance
    before, after = engine.answers(trial.packs, requests), engine.answers(added, requests)
    return [
        f"{one['outcome']} ({one['reason']}) became {other['outcome']} ({other['reason']})"
        for one, other in zip(before, after, strict=True)
        if one["outcome"] != other["outcome"]
    ]


def test_leaving_an_attribute_out_never_loosens(engine: Engine) -> None:
    """Whatever the asker leaves out of a request, the decision is at least as strict, where no rule asks `exists`."""
    _hold(_leaving_out, engine)


def _leaving_out(engine: Engine, trial: Trial, seed: int) -> list[str]:
    chance = Random(seed)  # noqa: S311  # chance, not secrecy
    packs = replace(trial.packs, packs=tuple(_without_exists(pack) for pack in trial.packs.packs))
    pairs = [(each, _one_left_out(each, chance)) for each in trial.requests if not each["facts"]["request_errors"]]
    before = engine.answers(packs, [whole for whole, _ in pairs])
    after = engine.answers(packs, [partial for _, (partial, _) in pairs])
    return [
        f"without {name}: {line}"
        for one, other, (_, (_, name)) in zip(before, after, pairs, strict=True)
        for line in _loosened(one, other)
    ]


def _without_exists(pack: Pack) -> Pack:
    rules = []
    for rule in pack.rules:
        kept = [replace(c, operators=tuple(op for op in c.operators if op.name != "exists")) for c in rule.when]
        rules.append(replace(rule, when=tuple(each for each in kept if each.operators)))
    return replace(pack, rules=tuple(rules))


def _one_left_out(request: dict[str, Any], chance: Random) -> tuple[dict[str, Any], str]:
    """Return the request without one thing that the asker says, and its name."""
    said = [("context", key) for key in request["context"]]
    said += [(part, key) for part in ("subject", "action", "resource") for key in request[part].get("properties") or {}]
    if not said:
        return request, "nothing"
    part, key = chance.choice(sorted(said))
    inner = request[part] if part == "context" else request[part]["properties"]
    fewer = {name: each for name, each in inner.items() if name != key}
    return {**request, part: fewer if part == "context" else {**request[part], "properties": fewer}}, f"{part}.{key}"
