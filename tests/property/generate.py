"""Sets of packs and requests out of chance: small shared vocabularies, so that rules match often and every corner is met.

Hypothesis draws `SEEDS`; a trial is made from one seed, and `reduction.py` makes a failing one small.
"""

# ruff: noqa: ANN401  # values here are JSON of any kind

from dataclasses import dataclass, replace
from random import Random
from typing import Any

import words
from hypothesis import strategies as st
from requests_by_chance import request
from votes_by_chance import roster

from orchestrator.model import (
    SEVERITY_OF,
    Approval,
    Budget,
    Condition,
    Default,
    Effect,
    Evidence,
    Layer,
    Level,
    Mode,
    Operator,
    Pack,
    PackSet,
    Point,
    Rule,
    Scalar,
    Selectors,
    Severity,
    Source,
    Waiver,
)

HERE = Source("generated.yaml", 1)
ONE_VALUE = ("equals", "min", "max", "above", "below", "exists", "same_as", "not_same_as")


@dataclass(frozen=True, slots=True)
class Trial:
    """A set of packs and what is asked of it."""

    packs: PackSet
    requests: tuple[dict[str, Any], ...]


SEEDS = st.integers(0, 2**64)
"""What hypothesis draws; a seed is also all that it takes to see a trial again."""


def trial_of(seed: int, requests: int) -> Trial:
    """Return the trial of a seed."""
    return trial(Random(seed), requests)  # noqa: S311  # chance, not secrecy


def trial(chance: Random, requests: int) -> Trial:
    """Return one trial; the same seed gives the same."""
    return Trial(pack_set(chance), tuple(request(chance) for _ in range(requests)))


def pack_set(chance: Random) -> PackSet:
    """Return one to six packs over the layers, stages declared once."""
    packs = [_pack(chance, Layer.ORG, number) for number in range(chance.choice((1, 1, 2, 2, 3)))]
    packs += [_pack(chance, Layer.REPO, number) for number in range(chance.choice((0, 0, 1, 1, 2)))]
    packs += [_pack(chance, Layer.RUN, number) for number in range(chance.choice((0, 0, 0, 1, 2)))]
    packs = packs[:6]
    soft = [f"{p.name}/{r.id}" for p in packs for r in p.rules if p.layer is Layer.ORG and r.level is Level.SOFT]
    waivers = [_waiver(chance, soft, number) for number in range(chance.choice((0, 1, 2)))] if soft else []
    repository = None if chance.random() < 0.15 else chance.choice(words.REPOSITORIES)
    return PackSet(tuple(packs), tuple(waivers), roster(chance), repository=repository)


def _pack(chance: Random, layer: Layer, number: int) -> Pack:
    is_org = layer is Layer.ORG
    defaults = (
        (Default.DENY, Default.ALLOW, Default.ALLOW, Default.INHERIT)
        if is_org
        else (Default.DENY,) + (Default.INHERIT,) * 6
    )
    points = {point: chance.choice(tuple(Mode)) for point in Point if chance.random() < 0.3}
    scope = _patterns(chance, "repositories") if chance.random() < 0.25 else None
    stages = words.STAGES if is_org and number == 0 else ()
    return Pack(
        name="abc"[number],
        version="1.0.0",
        layer=layer,
        default=chance.choice(defaults),
        source=HERE,
        digest="sha256:" + "0" * 64,
        repositories=scope,
        enforcement=points,
        declared_actions=words.DECLARED if is_org and number == 0 else (),
        declared_stages=stages,
        rules=tuple(_rule(chance, f"r{at}", is_org=is_org) for at in range(chance.choice((0, 1, 2, 3, 4, 5, 8)))),
    )


def trial_pack(chance: Random) -> Pack:
    """Return an org pack of denies and requires that warns at every point."""
    made = replace(_pack(chance, Layer.ORG, 2), name="trial", declared_actions=(), declared_stages=())
    rules = tuple(rule for rule in made.rules if rule.effect in (Effect.DENY, Effect.REQUIRE))
    default = chance.choice((Default.DENY, Default.INHERIT))
    return replace(made, rules=rules, default=default, enforcement=dict.fromkeys(Point, Mode.WARN))


def run_pack(chance: Random) -> Pack:
    """Return one more pack of a run, named as none of a set is."""
    return replace(_pack(chance, Layer.RUN, 0), name="more")


def _rule(chance: Random, name: str, *, is_org: bool) -> Rule:
    effects = (Effect.DENY, Effect.REQUIRE, Effect.REQUIRE, Effect.ALLOW, Effect.ALLOW)
    effect = chance.choice(effects + ((Effect.DELEGATE,) if is_org else ()))
    is_objection = effect in (Effect.DENY, Effect.REQUIRE)
    level = chance.choice((Level.HARD, Level.SOFT, Level.SOFT, Level.ADVISORY)) if is_objection else None
    selectors = _selectors(chance, 0.35 if effect is Effect.DENY else 0.2)
    conditions = chance.choice((0, 0, 1, 2)) if effect is Effect.DENY else chance.choice((0, 0, 0, 1))
    return Rule(
        id=name,
        effect=effect,
        actions=("*",) if chance.random() < 0.35 else _some(chance, words.ACTIONS, 6),
        source=HERE,
        level=level,
        severity=SEVERITY_OF[level] if level else Severity.INFO,
        selectors=selectors,
        selector_sources=dict.fromkeys(selectors, HERE),
        when=tuple(_condition(chance, path) for path in _some(chance, words.PATHS_OF_CONDITIONS, conditions)),
        **_asked(chance, effect),
    )


def _asked(chance: Random, effect: Effect) -> dict[str, Any]:
    budgets = tuple(_budget(chance) for _ in range(chance.choice((0, 0, 0, 1, 2))))
    if effect is Effect.DENY:
        return {}
    if effect is not Effect.REQUIRE:
        return {"budgets": budgets}
    approvals = tuple(_approval(chance, role) for role in _some(chance, words.ASKED_ROLES, chance.choice((0, 0, 1, 2))))
    kinds = _some(chance, words.EVIDENCE, chance.choice((0, 0, 0, 1, 2)))
    return {
        "budgets": budgets,
        "approvals": approvals,
        "evidence": tuple(Evidence(kind, chance.choice(("before", "before", "after"))) for kind in kinds),
        "stage": chance.choice(words.STAGES) if chance.random() < 0.15 else None,
    }


def _approval(chance: Random, role: str) -> Approval:
    return Approval(role, chance.choice((1, 1, 2)), chance.choice(("changes", "action")), chance.choice((3600, 86_400)))


def _budget(chance: Random) -> Budget:
    meter, per, window = chance.choice(words.BUDGETS)
    return Budget(meter, per, chance.choice(words.LIMITS), window, chance.choice((50, 80, 100)))


def _selectors(chance: Random, probability: float) -> Selectors:
    names = ["subjects", "roles", "repositories", "branches", "head_branches", "file_globs", "tools", "stages"]
    wanted = [name for name in names if chance.random() < probability * (1.8 if name == "file_globs" else 0.7)]
    return {name: _patterns(chance, name) for name in chance.sample(wanted, len(wanted))}


def _patterns(chance: Random, name: str) -> tuple[str, ...]:
    """Return one to three items of a selector: plain, from the table, or built out of pieces."""
    if name in ("roles", "stages"):
        return _some(chance, words.ROLES if name == "roles" else words.STAGES, chance.choice((1, 2)))
    plain, table, pieces = words.GLOBS[name]
    items = []
    for _ in range(chance.choice((1, 1, 2, 3))):
        kind = chance.random()
        if kind < 0.35:
            items.append(chance.choice(plain))
        elif kind < 0.75:
            items.append(chance.choice(table))
        else:
            items.append("".join(chance.choice(pieces) for _ in range(chance.randint(1, 5))))
    return tuple(items)


def _condition(chance: Random, path: str) -> Condition:
    count = chance.choice((1, 1, 1, 2))
    operators = [_operator(chance, name) for name in _some(chance, words.OPERATORS, count)]
    return Condition(path, tuple(operators), HERE)


def _operator(chance: Random, name: str) -> Operator:
    values: tuple[Scalar, ...]
    if name == "exists":
        values = (chance.random() < 0.5,)
    elif name in ("same_as", "not_same_as"):
        values = (chance.choice(words.OTHER_PATHS),)
    elif name in ("min", "max", "above", "below"):
        values = (chance.choice(words.LIMIT_NUMBERS),)
    elif name in ("glob", "not_glob"):
        values = _patterns(chance, "file_globs" if chance.random() < 0.5 else "branches")
    elif name in ("host", "not_host"):
        values = _some(chance, words.HOST_GLOBS, chance.choice((1, 2)))
    else:
        values = tuple(chance.choice(words.SCALARS) for _ in range(1 if name in ONE_VALUE else chance.randint(1, 3)))
    return Operator(name, values, HERE)


def _waiver(chance: Random, soft: list[str], number: int) -> Waiver:
    scope = _selectors(chance, 0.2)
    if not scope or chance.random() < 0.2:
        scope["actions"] = _some(chance, words.ACTIONS, 6)
    return Waiver(
        name=f"w{number}",
        rules=_some(chance, soft, chance.choice((1, 2, 3))),
        scope=scope,
        reason="generated",
        ticket="T-1",
        requested_by="user:alice",
        approved_by=("user:bob", "user:carol"),
        from_ns=words.NOW_NS + chance.choice((-3600_000_000_000, -3600_000_000_000, -1, 0, 1)),
        expires_at_ns=words.NOW_NS + chance.choice((7200_000_000_000, 7200_000_000_000, 1, 0, 2)),
        break_glass=False,
        source=HERE,
    )


def _some(chance: Random, of: Any, count: int) -> tuple[Any, ...]:
    return tuple(chance.sample(list(of), min(count, len(of))))
