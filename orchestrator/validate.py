"""What is worth saying about packs that load: rules without effect, ending waivers, roles nobody has. Only reports."""

from collections.abc import Iterator

from orchestrator.clock import SECOND_NS, format_time
from orchestrator.contradiction import contradictions
from orchestrator.document import shown
from orchestrator.errors import Problem
from orchestrator.glob import Kind
from orchestrator.model import Default, Effect, Layer, Pack, PackSet, Rule, Source
from orchestrator.overlap import may_overlap, sample
from orchestrator.rule import SELECTOR_KINDS
from orchestrator.words import did_you_mean

SOON_NS = 7 * 86_400 * SECOND_NS
"""How long before its end a waiver is mentioned."""


def validate(pack_set: PackSet, now_ns: int) -> list[Problem]:
    """Return what is wrong or doubtful in packs that load; errors and warnings, in the order of files and lines.

    `now_ns` is the time at which waivers are judged, in nanoseconds since 1970.
    """
    found = [
        *_weakening(pack_set),
        *(problem for pack in pack_set.packs for rule in pack.rules for problem in contradictions(rule)),
        *_waivers(pack_set, now_ns),
        *_roles(pack_set),
        *_unused(pack_set),
        *_modules(pack_set),
        *_refused(pack_set),
    ]
    return sorted(found, key=lambda problem: (problem.file, problem.line, problem.column, problem.seen))


def _problem(source: Source, seen: str, expected: str, advice: str = "", *, is_warning: bool = True) -> Problem:
    return Problem(source.file, source.line, source.column, seen, expected, advice, is_warning)


def _weakening(pack_set: PackSet) -> Iterator[Problem]:
    """Yield allows below the org that no decision can follow: they could only matter by weakening."""
    delegates = [
        (pack, rule)
        for pack in pack_set.packs
        for rule in pack.rules
        if pack.layer is Layer.ORG and rule.effect is Effect.DELEGATE
    ]
    for pack in pack_set.packs:
        if pack.layer is Layer.ORG or _narrows(pack, pack_set):
            continue
        for rule in pack.rules:
            if rule.effect is not Effect.ALLOW or rule.budgets:
                continue
            if pack.layer is Layer.REPO and any(_hands_down(*each, rule, pack_set.repository) for each in delegates):
                continue
            expected = "a rule that narrows, or an org delegate that hands this down"
            if pack.layer is Layer.RUN:
                expected = "a rule that narrows: a pack of a run never allows more"
            seen = f"the allow {shown(f'{pack.prefix}/{rule.id}')}, which could only matter by weakening the org"
            advice = f"for example {witness(rule, pack_set.repository)}: the org decides it, with or without this rule"
            yield _problem(rule.source, seen, expected, advice, is_warning=False)


def _narrows(pack: Pack, pack_set: PackSet) -> bool:
    """Return whether an allow of this pack lifts a default of its own layer, and so belongs to what narrows."""
    layer = [pack] if pack.layer is Layer.RUN else [each for each in pack_set.packs if each.layer is Layer.REPO]
    return any(each.default is Default.DENY for each in layer)


def _hands_down(pack: Pack, delegate: Rule, allow: Rule, repository: str | None) -> bool:
    """Return whether a request may exist that the delegate leaves to the allow; looks at no conditions and roles."""
    if "*" not in {*delegate.actions, *allow.actions} and set(delegate.actions).isdisjoint(allow.actions):
        return False
    if repository and pack.repositories and not may_overlap(pack.repositories, [repository], Kind.REPOSITORY):
        return False
    for key, kind in SELECTOR_KINDS.items():
        mine, theirs = delegate.selectors.get(key), allow.selectors.get(key)
        if key == "repositories" and theirs is None and repository:
            theirs = (repository,)
        if mine is None or theirs is None or key == "roles":
            continue
        if kind is None:
            if set(mine).isdisjoint(theirs):
                return False
        elif not may_overlap(mine, theirs, kind):
            return False
    return True


def witness(rule: Rule, repository: str | None) -> str:
    """Return a request that the rule matches, as a person would say it; its conditions are named, not filled in."""
    samples = {
        key: sample(rule.selectors[key][0], kind)
        for key, kind in SELECTOR_KINDS.items()
        if kind and key in rule.selectors
    }
    words = [
        (samples.get("subjects"), "{} asks for"),
        ("open_pr" if rule.actions == ("*",) else rule.actions[0], "{}"),
        (samples.get("tools"), "of {}"),
        (samples.get("repositories") or repository, "in {}"),
        (samples.get("branches"), "onto {}"),
        (samples.get("head_branches"), "from {}"),
        (samples.get("file_globs"), "with the file {}"),
        (", ".join(condition.path for condition in rule.when), "where {} fits"),
    ]
    return " ".join(text.format(shown(value)) for value, text in words if value)


def _waivers(pack_set: PackSet, now_ns: int) -> Iterator[Problem]:
    for waiver in pack_set.waivers:
        end = format_time(waiver.expires_at_ns)
        if waiver.expires_at_ns <= now_ns:
            yield _problem(
                waiver.source, f"the waiver {shown(waiver.name)}, which ended {end}", "no waiver, or a new one"
            )
        elif waiver.expires_at_ns - now_ns <= SOON_NS and not waiver.break_glass:
            advice = "mend what it lifts, or ask again"
            yield _problem(
                waiver.source, f"the waiver {shown(waiver.name)}, which ends {end}", "more than 7 days left", advice
            )


def _roles(pack_set: PackSet) -> Iterator[Problem]:
    """Yield roles that nobody has, and approvals for which there are too few people."""
    holders: dict[str, int] = {}
    for entry in pack_set.roster:
        for role in entry.roles:
            holders[role] = holders.get(role, 0) + 1
    said: set[str] = set()
    for rule in (rule for pack in pack_set.packs for rule in pack.rules):
        place = rule.selector_sources.get("roles", rule.source)
        wanted = [(role, 1, place) for role in rule.selectors.get("roles", ())]
        wanted += [(each.role, each.count, rule.source) for each in rule.approvals]
        for role, count, source in wanted:
            has = holders.get(role, 0)
            if has >= count or role in said:
                continue
            said.add(role)
            if not has:
                advice = did_you_mean(role, holders) or ("" if holders else "there is no roster")
                yield _problem(source, f"the role {shown(role)}, which nobody has", "a role of the roster", advice)
            else:
                seen = f"{count} approvals of {shown(role)}, a role of {has} in the roster"
                yield _problem(source, seen, "as many people", "nobody's yes counts twice")


def _unused(pack_set: PackSet) -> Iterator[Problem]:
    """Yield names that a pack declares and no rule uses."""
    rules = [rule for pack in pack_set.packs for rule in pack.rules]
    actions = {action for rule in rules for action in rule.actions}
    meters = {budget.meter for rule in rules for budget in rule.budgets}
    uses_stages = any(rule.stage or "stages" in rule.selectors for rule in rules)
    for pack in pack_set.packs:
        unused = [
            f"the action {shown(name)}" for name in pack.declared_actions if name not in actions and "*" not in actions
        ]
        unused += [f"the meter {shown(name)}" for name in pack.declared_meters if name not in meters]
        if pack.declared_stages and not uses_stages:
            unused.append("stages")
        for name in unused:
            yield _problem(pack.source, f"{name}, declared and used by no rule", "a use, or no declaration")


def _modules(pack_set: PackSet) -> Iterator[Problem]:
    for pack in pack_set.packs:
        for module in pack.modules:
            seen = f"the module {shown(module.path)}: {pack.name} is not fully analysable"
            yield _problem(
                module.source,
                seen,
                "rules only, where they can say it",
                "what a module finds is known at run time only",
            )


def _refused(pack_set: PackSet) -> Iterator[Problem]:
    """Yield what an escalation does and no pack of the organisation can allow: it would be denied in its time."""
    packs = [pack for pack in pack_set.packs if pack.layer is Layer.ORG]
    if any(pack.default is Default.ALLOW for pack in packs):
        return
    loose = [rule for pack in packs for rule in pack.rules if rule.effect in {Effect.ALLOW, Effect.DELEGATE}]
    allowed = {action for rule in loose for action in rule.actions}
    for escalation in pack_set.escalations:
        ours = ("tick", "enter_stage", "control_escalation")  # the last sets the first deadline
        wanted = [*((action, escalation.source) for action in ours), *escalation.actions]
        for action, source in wanted if "*" not in allowed else ():
            if action not in allowed:
                advice = f"{{id: {escalation.name}-{action.replace('_', '-')}, effect: allow, actions: {action}}}"
                seen = f"{action} of the escalation {shown(escalation.name)}, which no pack of the organisation allows"
                yield _problem(source, seen, "a rule that allows it", advice)
