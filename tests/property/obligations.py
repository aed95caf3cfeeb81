"""What has to hold before, during and after an action: how obligations join and when they are met, for the independent model."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from reading import Attributes, nanoseconds
from votes import all_votes, ignored

from orchestrator.model import Approval, Budget, Evidence, PackSet, Rule


@dataclass(frozen=True, slots=True)
class Owed:
    """One joined obligation."""

    id: str
    type: str
    phase: str
    status: str
    properties: tuple[tuple[str, Any], ...]
    mode: str = ""
    """Filled in once both views are known."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The rules whose obligations join."""

    requires: tuple[Rule, ...]
    granting: tuple[Rule, ...]
    """Allows and delegates, of which only the budgets count."""


@dataclass(frozen=True, slots=True)
class Poll:
    """Every vote, and who cannot vote."""

    votes: tuple[dict[str, Any], ...]
    involved: frozenset[Any]


@dataclass(frozen=True, slots=True)
class Counters:
    """What the host knows of budgets."""

    has_run: bool
    known: tuple[dict[str, Any], ...]

    def of(self, owed: Owed) -> dict[str, Any] | None:
        """Return the budget's counter, None where it is missing or lacks a number."""
        key = dict(owed.properties)
        for counter in self.known:
            if all(counter.get(name) == key[name] for name in ("meter", "per", "window")):
                return counter
        return None

    def is_spent(self, owed: Owed) -> bool:
        """Whether nothing is left for this action. Never so without a run."""
        counter, limit = self.of(owed), dict(owed.properties)["limit_micro"]
        if not self.has_run or counter is None:
            return False
        spent, reserved, estimate = counter["spent"], counter["reserved"], counter["estimate"]
        return bool(spent >= limit or spent + reserved + estimate > limit)

    def is_near(self, owed: Owed) -> bool:
        """Whether the budget's warning mark is reached."""
        counter, terms = self.of(owed), dict(owed.properties)
        if counter is None:
            return False
        return bool((counter["spent"] + counter["reserved"]) * 100 >= terms["limit_micro"] * terms["warn_at_percent"])


def counters_of(facts: dict[str, Any]) -> Counters:
    """Return the budget counters among the facts; one that lacks a number is as good as none.

    `reserved` and `estimate` are 0 where they are left out.
    """
    given = [{"reserved": 0, "estimate": 0, **each} for each in facts.get("budgets") or []]
    whole = [each for each in given if all(type(each.get(n)) is int for n in ("spent", "reserved", "estimate"))]
    return Counters(isinstance(facts.get("run"), dict), tuple(whole))


def join(sources: Sources, packs: PackSet, request: dict[str, Any], seen: Attributes) -> tuple[Owed, ...]:
    """Return the obligations of some rules, joined, each with its status."""
    facts = request["facts"]
    asked = _approvals(each for rule in sources.requires for each in rule.approvals)
    evidence = _evidence(each for rule in sources.requires for each in rule.evidence)
    budgets = _budgets(each for rule in sources.requires + sources.granting for each in rule.budgets)
    order = next((pack.declared_stages for pack in packs.packs if pack.declared_stages), ())
    stages = [rule.stage for rule in sources.requires if rule.stage is not None]
    asking = [each for rule in sources.requires for each in rule.approvals]
    longest = {role: max(each.expires_s for each in asking if each.role == role) for role in asked}
    poll = Poll(tuple(all_votes(packs, facts)), _involved(request, str(seen.subject)))
    owed = [_approval_owed(role, asked, facts, poll, longest[role]) for role in asked]
    owed += [_evidence_owed(each, facts) for each in evidence]
    owed += [_budget_owed(each, facts) for each in budgets]
    if stages:
        owed.append(_stage_owed(max(stages, key=order.index), order, seen.stage))
    return tuple(owed)


def debts(facts: dict[str, Any]) -> tuple[Owed, ...]:
    """Return what earlier actions of the run still owe, one for each type; an action's own debt does not hold it back."""
    owing = [each for each in facts.get("owed") or [] if each["of"] != facts["action_digest"]]
    first: dict[str, str] = {}
    for each in sorted(owing, key=lambda one: str(one["of"])):
        first.setdefault(each["evidence"], each["of"])
    return tuple(
        _owed(f"owed:{kind}", "evidence", "before", "unmet", {"evidence": kind, "of": of}) for kind, of in first.items()
    )


# -- approvals


def _approvals(asked: Iterable[Approval]) -> dict[str, Approval]:
    joined: dict[str, Approval] = {}
    for each in asked:
        other = joined.get(each.role, each)
        bind = "action" if "action" in (each.bind, other.bind) else "changes"
        joined[each.role] = Approval(
            each.role, max(each.count, other.count), bind, min(each.expires_s, other.expires_s)
        )
    return joined


def _approval_owed(role: str, asked: dict[str, Approval], facts: dict[str, Any], poll: Poll, longest_s: int) -> Owed:
    terms = asked[role]
    votes = [vote for vote in poll.votes if vote.get("role") == role and _may_vote(vote, poll)]
    either = {facts["action_digest"], thing(facts)}
    wanted = {facts["action_digest"] if terms.bind == "action" else thing(facts)}
    yes = [vote for vote in votes if _is_yes(vote) and _stands(vote, wanted, terms.expires_s, facts)]
    no = [vote for vote in votes if vote.get("decision") == "reject" and _stands(vote, either, longest_s, facts)]
    count = sum(1 for person in {vote["by"] for vote in yes} if _slot(person, asked, poll) == role)
    properties: dict[str, Any] = {
        "role": role,
        "count": terms.count,
        "bind": terms.bind,
        "expires_s": terms.expires_s,
        "votes": count,
    }
    if no:
        properties["rejected_by"] = sorted({vote["by"] for vote in no})
    status = "met" if count >= terms.count and not no else "unmet"
    return _owed(f"approval:{role}", "approval", "before", status, properties)


def _is_yes(vote: dict[str, Any]) -> bool:
    return bool(vote.get("decision", "approve") == "approve")


def _slot(person: str, asked: dict[str, Approval], poll: Poll) -> str:
    """Return the one role a person counts for: the first asked for of those voted for, however and whenever."""
    votes = [vote for vote in poll.votes if vote.get("by") == person]
    return min(str(vote["role"]) for vote in votes if vote["role"] in asked)


def _may_vote(vote: dict[str, Any], poll: Poll) -> bool:
    """Whether a vote is by somebody who has no part in what is voted on."""
    return isinstance(vote.get("by"), str) and vote["by"] not in poll.involved


def _involved(request: dict[str, Any], subject: str) -> frozenset[Any]:
    """Return everyone who had a hand in it, whom the request says it acts for included."""
    facts = request["facts"]
    found = {subject, facts.get("trigger"), *(facts.get("delegation") or []), *(facts.get("contributors") or [])}
    found.add((facts.get("subject") or {}).get("name"))
    behalf = request["subject"].get("properties", {}).get("on_behalf_of")
    names = [each for each in (behalf if isinstance(behalf, list) else [behalf]) if isinstance(each, str)]
    return frozenset(found) | {each if ":" in each else f"user:{each}" for each in names}


def votes_in_vain(
    packs: PackSet, request: dict[str, Any], subject: str, would: tuple[Owed, ...]
) -> list[tuple[str, str]]:
    """Return the advice on signed votes that do not count, where approvals are asked for at all."""
    if not any(each.type == "approval" for each in would):
        return []
    facts = request["facts"]
    found = ignored(packs, facts, set(_involved(request, subject)), thing(facts))
    return [("vote_ignored", f"{by}: {why}") for by, why in found]


def _stands(vote: dict[str, Any], digests: set[str], expires_s: int, facts: dict[str, Any]) -> bool:
    """Whether a vote is about this very thing, and in time."""
    now, at = nanoseconds(facts.get("time")), vote.get("at_ns", nanoseconds(vote.get("at")))
    if now is None or at is None:
        return False
    return vote.get("digest") in digests and at <= now < at + expires_s * 1_000_000_000


def thing(facts: dict[str, Any]) -> str:
    """Return the digest of the change, or of the action where there is no change."""
    return str(facts.get("change_digest") or facts["action_digest"])


# -- evidence, budgets, stage


def _evidence(asked: Iterable[Evidence]) -> list[Evidence]:
    phases: dict[str, set[str]] = {}
    for each in asked:
        phases.setdefault(each.type, set()).add(each.phase)
    return [Evidence(kind, "before" if "before" in seen else "after") for kind, seen in phases.items()]


def _evidence_owed(asked: Evidence, facts: dict[str, Any]) -> Owed:
    properties: dict[str, Any] = {"evidence": asked.type}
    reports = [
        each
        for each in facts.get("evidence") or []
        if each.get("type") == asked.type and each.get("subject") == thing(facts)
    ]
    is_met = any(each.get("result") == "pass" for each in reports)
    failed = {each["digest"] for each in reports if each.get("result") == "fail" and each.get("digest")}
    if failed and not is_met:
        properties["failed"] = sorted(failed)
    status = "met" if is_met else "unmet"
    return _owed(f"evidence:{asked.type}", "evidence", asked.phase, status, properties)


def _budgets(asked: Iterable[Budget]) -> list[Budget]:
    joined: dict[tuple[str, str, str | None], Budget] = {}
    for each in asked:
        key = (each.meter, each.per, each.window)
        other = joined.get(key, each)
        limit, mark = min(each.limit_micro, other.limit_micro), min(each.warn_at_percent, other.warn_at_percent)
        joined[key] = Budget(each.meter, each.per, limit, each.window, mark)
    return list(joined.values())


def _budget_owed(asked: Budget, facts: dict[str, Any]) -> Owed:
    properties: dict[str, Any] = {
        "meter": asked.meter,
        "per": asked.per,
        "window": asked.window,
        "limit_micro": asked.limit_micro,
        "warn_at_percent": asked.warn_at_percent,
    }
    name = f"budget:{asked.meter}:{asked.per}" + (f":{asked.window}" if asked.window else "")
    counters = counters_of(facts)
    bare = _owed(name, "budget", "during", "met", properties)
    counter = counters.of(bare) if counters.has_run else None
    is_open = not counters.has_run or (counter is not None and not counters.is_spent(bare))
    properties["is_counted"] = counter is not None
    if counter is not None:
        properties |= {"spent_micro": counter["spent"], "reserved_micro": counter["reserved"]}
    return _owed(name, "budget", "during", "met" if is_open else "unmet", properties)


def _stage_owed(stage: str, order: tuple[str, ...], at: str | None) -> Owed:
    is_met = at in order and order.index(at) >= order.index(stage)
    return _owed("stage", "stage", "before", "met" if is_met else "unmet", {"stage": stage, "at": at})


def _owed(name: str, kind: str, phase: str, status: str, properties: dict[str, Any]) -> Owed:
    return Owed(name, kind, phase, status, tuple(sorted(properties.items())))


# -- what is listed


def listed(
    would: tuple[Owed, ...], outcome: tuple[Owed, ...], counters: Counters
) -> tuple[tuple[Owed, ...], tuple[tuple[str, str], ...]]:
    """Return both views' obligations with their modes, and the advice on budgets."""
    shown = [_moded(each, "enforce") for each in outcome]
    shown += [_moded(each, "warn") for each in would if each not in outcome]
    advice: list[tuple[str, str]] = []
    for each in would:
        if each.type != "budget":
            continue
        if not counters.has_run:
            advice.append(("budget_without_run", each.id))
        elif each.status == "met" and counters.is_near(each):
            advice.append(("budget_low", each.id))
    return tuple(sorted(shown, key=lambda each: (each.id, each.mode))), tuple(sorted(advice))


def _moded(owed: Owed, mode: str) -> Owed:
    return Owed(owed.id, owed.type, owed.phase, owed.status, owed.properties, mode)
