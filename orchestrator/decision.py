"""A decision as a value: what OPA answered and the host added, in the stable JSON shape. Never decides."""

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

from orchestrator.choices import Outcome, Reason
from orchestrator.digest import canonical, sha256
from orchestrator.errors import EXIT_RANK, Exit

_EXIT_OF_DENY = {Reason.BUDGET_SPENT: Exit.BUDGET, Reason.UNDECIDABLE: Exit.UNDECIDABLE}
WHY_IGNORED = {
    "form": "it is no signed vote",
    "header": "its header is not that of a vote",
    "signature": "no key that the roster gives this person has signed it",
    "claims": "it lacks something that a vote says",
    "ledger": "it was given for another ledger",
    "request": "it was given for another request",
    "policy": "the policy has changed since",
    "role": "the roster does not give this person the role",
    "future": "its time has not come",
    "expired": "it has expired",
    "involved": "who had a hand in the request or the change cannot approve it",
    "digest": "it is about another change or action",
}
"""Why the engine passes over a vote, for people."""
_OF_ONE_EVALUATION = frozenset({"evaluation_id", "evaluated_at", "input_digest", "recorded", "request_id"})
"""What another evaluation of the same has otherwise: the input holds its time and the id of its ledger."""


class Finding(NamedTuple):
    """One rule's say in a decision."""

    rule: str
    """`pack/rule`, `repo:pack/rule`, `run:pack/rule`, or a name under `orch/`."""
    effect: str
    level: str | None
    """None for allow and delegate."""
    severity: str
    mode: str
    """`warn` or `enforce`: the pack's mode at this point."""
    waived: bool
    message: str
    fix: str
    source: str
    """`file:line`, or empty for findings under `orch/`."""
    paths: tuple[str, ...] = ()
    """The first 20 files the finding is about, sorted; empty where it is not about files."""
    path_count: int = 0
    asks: tuple[str, ...] = ()
    """The ids of the obligations it asks for."""

    @property
    def is_objection(self) -> bool:
        """Whether the finding speaks against the request (a deny or require; never an allow or delegate)."""
        return self.effect in {"deny", "require"}

    @property
    def blocks(self) -> bool:
        """Whether this finding by itself counts towards the outcome: enforced, not advisory, not waived."""
        return self.is_objection and self.mode == "enforce" and self.level != "advisory" and not self.waived


class Obligation(NamedTuple):
    """What must hold before, during or after the action."""

    id: str
    type: str
    """`approval`, `evidence`, `budget` or `stage`."""
    phase: str
    """`before`, `during` or `after`."""
    mode: str
    """`warn` where only warning packs ask for it."""
    status: str
    """`met` or `unmet`."""
    properties: dict[str, Any]
    """approval: role, count, bind, expires_s, votes. evidence: evidence, and of (the earlier action that owes it).
    budget: meter, per, window, limit, warn_at, spent, reserved (amounts are decimal strings). stage: stage, at."""
    proof: tuple[str, ...] = ()
    """Who voted, or the digests of the evidence."""


class _Answer(NamedTuple):
    request: dict[str, Any]
    """As asked; not part of the JSON."""
    context: dict[str, Any]
    """The `context` of the answer, exactly as printed."""
    label: str = ""
    """Where the request came from, for people: `requests.jsonl:7`; may be empty."""
    facts: Mapping[str, Any] = MappingProxyType({})
    """What the host knew, as the engine saw it; not part of the JSON."""


class Decision(_Answer):
    """What was decided about one request."""

    @property
    def outcome(self) -> Outcome:
        """Allow, deny or pending, with warning packs left out."""
        return Outcome(self.context["outcome"])

    @property
    def would(self) -> Outcome:
        """The outcome had every pack enforced."""
        return Outcome(self.context["would"])

    @property
    def reason(self) -> Reason:
        """Why `outcome` is what it is."""
        return Reason(self.context["reason"])

    @property
    def is_allowed(self) -> bool:
        """Whether the action may be done."""
        return bool(self.context["outcome"] == "allow")

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """Every matching rule's say: denies, requires, then allows and delegates, by rule name."""
        return tuple(
            Finding(**{**found, "paths": tuple(found["paths"]), "asks": tuple(found.get("asks", ()))})
            for found in self.context["findings"]
        )

    @cached_property
    def obligations(self) -> tuple[Obligation, ...]:
        """What must hold, sorted by id."""
        return tuple(Obligation(**{**owed, "proof": tuple(owed["proof"])}) for owed in self.context["obligations"])

    def is_open(self, finding: Finding) -> bool:
        """Whether a finding still objects: a require all of whose obligations are met does not."""
        if finding.effect != "require":
            return finding.is_objection
        statuses = {owed.id: owed.status for owed in self.obligations}
        return not finding.asks or any(statuses.get(name) != "met" for name in finding.asks)

    @property
    def digest(self) -> str:
        """What was decided, as one value: the same for the same request, facts and packs, anywhere and at any time."""
        return digest_of(self.context)

    @property
    def exit_code(self) -> Exit:
        """The exit code that follows from the outcome."""
        if self.is_allowed:
            return Exit.OK
        if self.context["outcome"] == "pending":
            return Exit.PENDING
        return _EXIT_OF_DENY.get(self.reason, Exit.DENIED)

    def to_json(self) -> dict[str, Any]:
        """Return the stable answer of design section 5: `{"decision": bool, "context": {...}}`."""
        return {"decision": self.is_allowed, "context": self.context}


def digest_of(context: Mapping[str, Any]) -> str:
    """Return the digest of a decision by its context, as printed or as recorded.

    What belongs to one evaluation alone is left out: its id, time and request for approvals, the digest of its input
    (which holds time and ledger), whether it was recorded.
    """
    return sha256(canonical({name: said for name, said in context.items() if name not in _OF_ONE_EVALUATION}))


def worst(first: Exit, second: Exit) -> Exit:
    """Return the exit code to give for two answers: 7 over 6 over 3 over 5 over 4 over 0."""
    return max(first, second, key=EXIT_RANK.index)
