"""An independent model of what a decision means: `docs/decision.md` read line by line, clear over fast.

Shares nothing with the compiler or the Rego library but the value types of `orchestrator.model` and the catalogue; the tests
beside it hold the engine to what it says. Three-valued logic throughout: True, False, and None for unknown. Where the text leaves
a choice, the strict side is taken. Attributes, globs and conditions are in `reading.py`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from obligations import Counters, Owed, Sources, counters_of, debts, join, listed, votes_in_vain
from reading import Attributes, Kleene, all_of, condition, nanoseconds, read, selector

from orchestrator.model import Default, Effect, Layer, Level, Pack, PackSet, Rule, Waiver

OBJECTIONS = (Effect.DENY, Effect.REQUIRE)


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule's say."""

    rule: str
    effect: str
    level: str | None
    severity: str
    mode: str
    waived: bool
    paths: tuple[str, ...]
    """All of them, sorted; the engine lists the first 20."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine has to say too."""

    outcome: str
    would: str
    reason: str
    findings: tuple[Finding, ...]
    obligations: tuple[Owed, ...]
    advice: tuple[tuple[str, str], ...]
    """Kind and obligation id."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What is judged on its own: one file, or the request as a whole."""

    path: str | None
    """None where the request is judged once."""
    globs: Callable[[tuple[str, ...]], Kleene]
    """What file globs come to on it."""


@dataclass(frozen=True, slots=True)
class View:
    """How the request stands once the packs that only warn are left out (`outcome`), or are not (`would`)."""

    outcome: str
    reason: str
    owed: tuple[Owed, ...]
    no_policy: frozenset[int]
    """Units on which org has no opinion."""
    defaults: frozenset[tuple[str, int]]
    """Pack prefix and unit where the pack's default denies."""


def answer(packs: PackSet, request: dict[str, Any]) -> Answer:
    """Return what `docs/decision.md` makes of one INPUT."""
    errors = request["facts"]["request_errors"]
    if errors:
        finding = Finding("orch/invalid-request", "deny", "hard", "high", "enforce", False, ())
        return Answer("deny", "deny", "invalid_request", (finding,), (), ())
    return _Case(packs, request).answer()


def is_governed(packs: PackSet, request: dict[str, Any]) -> bool:
    """Whether at least one org pack is known to be about the request."""
    case = _Case(packs, request)
    return any(pack.layer is Layer.ORG and case.applies(pack) is True for pack in packs.packs)


class _Case:
    """One request against one set of packs."""

    def __init__(self, packs: PackSet, request: dict[str, Any]) -> None:
        self.set = packs
        self.request = request
        self.facts = request["facts"]
        self.seen = read(request)
        self.units = _units(self.seen)
        self.rules = [(pack, rule) for pack in packs.packs for rule in pack.rules]
        self.match = {
            (pack.prefix, rule.id, at): self._verdict(pack, rule, unit)
            for pack, rule in self.rules
            for at, unit in enumerate(self.units)
        }
        self.waived = {
            (pack.prefix, rule.id, at)
            for pack, rule in self.rules
            for at, unit in enumerate(self.units)
            if any(self._lifts(waiver, pack, rule, unit) for waiver in packs.waivers)
        }

    # -- packs

    def applies(self, pack: Pack) -> Kleene:
        """Whether the pack is about this request's repository."""
        parts: list[Kleene] = []
        if pack.repositories is not None:
            parts.append(selector("repositories", pack.repositories, self.seen))
        if pack.layer is Layer.REPO:
            own = self.set.repository
            parts.append(None if own is None else selector("own_repository", (own,), self.seen))
        return all_of(parts)

    def mode(self, pack: Pack) -> str:
        """`warn` or `enforce`, at this request's point."""
        if self.facts.get("override"):
            return str(self.facts["override"])
        modes = {str(point): str(mode) for point, mode in pack.enforcement.items()}
        return modes.get(self.facts["point"], "enforce")

    # -- rules

    def _verdict(self, pack: Pack, rule: Rule, unit: Unit) -> Kleene:
        if "*" not in rule.actions and self.seen.action not in rule.actions:
            return False
        parts = [self.applies(pack)]
        for name, items in rule.selectors.items():
            parts.append(unit.globs(items) if name == "file_globs" else selector(name, items, self.seen))
        needs_every = rule.effect not in OBJECTIONS
        parts.extend(condition(each, self.request, self.seen, needs_every=needs_every) for each in rule.when)
        return all_of(parts)

    def matches(self, pack: Pack, rule: Rule, at: int) -> bool:
        """Whether the rule matches the unit: doubt falls on the strict side."""
        verdict = self.match[pack.prefix, rule.id, at]
        return verdict is not False if rule.effect in OBJECTIONS else verdict is True

    def _lifts(self, waiver: Waiver, pack: Pack, rule: Rule, unit: Unit) -> bool:
        if pack.layer is not Layer.ORG or rule.level is not Level.SOFT or f"{pack.name}/{rule.id}" not in waiver.rules:
            return False
        now = nanoseconds(self.facts.get("time"))
        if now is None or not waiver.from_ns <= now < waiver.expires_at_ns:
            return False
        parts: list[Kleene] = []
        for name, items in waiver.scope.items():
            if name == "actions":
                parts.append("*" in items or self.seen.action in items)
            elif name == "file_globs":
                parts.append(unit.globs(items))
            else:
                parts.append(selector(name, items, self.seen))
        return all_of(parts) is True

    def objects(self, pack: Pack, rule: Rule, at: int) -> bool:
        """Whether a deny or require counts on the unit: it matches, and is neither advisory nor waived."""
        key = (pack.prefix, rule.id, at)
        return self.matches(pack, rule, at) and rule.level is not Level.ADVISORY and key not in self.waived

    # -- layers

    def _opinion(self, layer: str, at: int, counts: Callable[[Pack], bool]) -> tuple[str | None, list[Pack]]:
        """Return a layer's say on a unit, and the packs whose default is why it denies."""
        packs = [pack for pack in self.set.packs if _layer(pack) == layer]
        pairs = [(pack, rule) for pack in packs for rule in pack.rules]
        if any(counts(p) and r.effect is Effect.DENY and self.objects(p, r, at) for p, r in pairs):
            return "deny", []
        if any(r.effect is Effect.ALLOW and self.matches(p, r, at) for p, r in pairs):
            return "allow", []
        if layer == "org" and self._is_delegated(pairs, at):
            return "allow", []
        silent = [p for p in packs if counts(p) and p.default is Default.DENY and self.applies(p) is not False]
        if silent:
            return "deny", silent
        if any(p.default is Default.ALLOW and self.applies(p) is True for p in packs):
            return "allow", []
        return None, []

    def _is_delegated(self, pairs: list[tuple[Pack, Rule]], at: int) -> bool:
        handed_down = any(r.effect is Effect.DELEGATE and self.matches(p, r, at) for p, r in pairs)
        return handed_down and any(
            rule.effect is Effect.ALLOW and self.matches(pack, rule, at)
            for pack, rule in self.rules
            if pack.layer is Layer.REPO
        )

    def _only_warnings(self) -> bool:
        """Whether org only warns here: some org pack applies, and every one that may apply warns."""
        org = [pack for pack in self.set.packs if pack.layer is Layer.ORG]
        some = any(self.applies(pack) is True for pack in org)
        return some and all(self.mode(pack) == "warn" for pack in org if self.applies(pack) is not False)

    # -- views

    def view(self, *, everything: bool) -> View:
        """Return how the request stands, with every pack enforcing or with the warning ones left out."""

        def counts(pack: Pack) -> bool:
            return everything or self.mode(pack) == "enforce"

        denied, no_policy, defaults = False, set(), set()
        for at in range(len(self.units)):
            for layer in sorted({_layer(pack) for pack in self.set.packs} | {"org"}):
                say, silent = self._opinion(layer, at, counts)
                defaults |= {(pack.prefix, at) for pack in silent}
                denied = denied or say == "deny"
                if layer == "org" and say is None and (everything or not self._only_warnings()):
                    no_policy.add(at)
        owed = join(self._sources(counts), self.set, self.request, self.seen)
        if any(counts(pack) and self.applies(pack) is not False for pack in self.set.packs):
            owed += debts(self.facts)
        outcome, reason = _standing(owed, counters_of(self.facts), denied=denied, no_policy=bool(no_policy))
        return View(outcome, reason, owed, frozenset(no_policy), frozenset(defaults))

    def _sources(self, counts: Callable[[Pack], bool]) -> Sources:
        """Return the rules whose obligations join."""
        units = range(len(self.units))
        requires, granting = [], []
        for pack, rule in self.rules:
            if not counts(pack):
                continue
            if rule.effect is Effect.REQUIRE and any(self.objects(pack, rule, at) for at in units):
                requires.append(rule)
            not_false = any(self.match[pack.prefix, rule.id, at] is not False for at in units)
            if rule.effect in (Effect.ALLOW, Effect.DELEGATE) and not_false:
                granting.append(rule)
        return Sources(tuple(requires), tuple(granting))

    # -- the answer

    def answer(self) -> Answer:
        """Return the whole answer."""
        would, outcome = self.view(everything=True), self.view(everything=False)
        is_warned = outcome.outcome == "allow" and would.outcome != "allow"
        findings = [*self._rule_findings(), *self._default_findings(would, outcome)]
        findings.extend(self._no_policy_findings(would, outcome))
        obligations, advice = listed(would.owed, outcome.owed, counters_of(self.facts))
        in_vain = votes_in_vain(self.set, self.request, str(self.seen.subject), would.owed)
        return Answer(
            outcome.outcome,
            would.outcome,
            "warned" if is_warned else outcome.reason,
            tuple(sorted(findings, key=lambda found: (found.rule, found.waived))),
            obligations,
            tuple(sorted([*advice, *in_vain])),
        )

    def _rule_findings(self) -> Iterable[Finding]:
        for pack, rule in self.rules:
            found = [at for at in range(len(self.units)) if self.matches(pack, rule, at)]
            is_partly_waived = len({(pack.prefix, rule.id, at) in self.waived for at in found}) > 1
            for waived in (False, True):
                units = [at for at in found if ((pack.prefix, rule.id, at) in self.waived) is waived]
                if not units:
                    continue
                is_objection = rule.effect in OBJECTIONS
                yield Finding(
                    f"{pack.prefix}/{rule.id}",
                    str(rule.effect),
                    str(rule.level) if is_objection else None,
                    str(rule.severity) if is_objection else "info",
                    self.mode(pack),
                    waived,
                    self._paths(units) if "file_globs" in rule.selectors or is_partly_waived else (),
                )

    def _default_findings(self, would: View, outcome: View) -> Iterable[Finding]:
        for pack in self.set.packs:
            units = [at for prefix, at in would.defaults | outcome.defaults if prefix == pack.prefix]
            if units:
                name = f"{pack.prefix}/default"
                yield Finding(name, "deny", "hard", "high", self.mode(pack), False, self._some_paths(units))

    def _no_policy_findings(self, would: View, outcome: View) -> Iterable[Finding]:
        units = would.no_policy | outcome.no_policy
        if units:
            mode = "enforce" if outcome.no_policy else "warn"
            yield Finding("orch/no-policy", "deny", "hard", "high", mode, False, self._some_paths(units))

    def _paths(self, units: Iterable[int]) -> tuple[str, ...]:
        paths = [self.units[at].path for at in units]
        return tuple(sorted(path for path in paths if path is not None))

    def _some_paths(self, units: Iterable[int]) -> tuple[str, ...]:
        """Return the units' paths where they are not all of the request's."""
        found = set(units)
        return self._paths(found) if len(found) < len(self.units) else ()


def _units(seen: Attributes) -> list[Unit]:
    """Return what is judged on its own: each file, or the request once."""
    if isinstance(seen.files, tuple) and seen.files:
        return [Unit(path, _globs_on(path, seen)) for path in sorted(seen.files)]
    return [Unit(None, lambda items: selector("file_globs", items, seen))]


def _globs_on(path: str, seen: Attributes) -> Callable[[tuple[str, ...]], Kleene]:
    return lambda items: selector("file_globs", items, seen, path=path)


def _layer(pack: Pack) -> str:
    """Return the layer's key: each run pack is one by itself."""
    return f"run:{pack.name}" if pack.layer is Layer.RUN else str(pack.layer)


def _standing(owed: tuple[Owed, ...], counters: Counters, *, denied: bool, no_policy: bool) -> tuple[str, str]:
    """Return outcome and reason of one view: the first that holds."""
    budgets = [each for each in owed if each.type == "budget"]
    if counters.has_run and any(counters.of(each) is None for each in budgets):
        return "deny", "undecidable"
    if denied:
        return "deny", "denied"
    if no_policy:
        return "deny", "no_policy"
    if any(counters.is_spent(each) for each in budgets):
        return "deny", "budget_spent"
    if any(each.phase == "before" and each.status == "unmet" for each in owed):
        return "pending", "pending"
    return "allow", "allowed"
