"""Decides: request and facts in, one decision out. Asks the engine; never acts, never reads packs itself.

from orchestrator import Policy

policy = Policy.load(packs=["policy_packs/coding-agents"])
decision = policy.decide({"subject": ..., "action": ..., "resource": ..., "context": {}})
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from orchestrator import clock, request
from orchestrator.choices import Mode, Outcome, Point
from orchestrator.decision import WHY_IGNORED, Decision
from orchestrator.digest import action_digest, canonical, change_digest, new_id, sha256
from orchestrator.engine import Engine
from orchestrator.errors import DecisionError, UsageError
from orchestrator.meters import amount, micro
from orchestrator.names import shown
from orchestrator.placeholder import fill
from orchestrator.remedy import next_action

if TYPE_CHECKING:
    from orchestrator.load import Loaded

BATCH = 64
"""Requests in one question to the engine; one by one would be three to four times slower."""
_OBLIGATIONS = frozenset({"approval", "evidence", "budget", "stage"})
_HOST_FACTS = {
    "run": "an object with an id",
    "repository": "a text",
    "subject": "an object with name, roles and attributes",
    "delegation": "a list of subject names",
    "trigger": "a text",
    "contributors": "a list of subject names",
    "stage": "a text",
    "escalation": "an object",
    "evidence": "a list of objects",
    "approvals": "a list of objects",
    "budgets": "a list of objects",
    "tool_schemas": "an object",
}
"""What a host may state, and in which form: a wrong form would quietly loosen a decision."""
_ROSTER_FACTS = ("roles", "attributes")
_EMPTY: dict[str, Any] = {"subject": {}, "action": {}, "resource": {}, "context": {}}


class Question(NamedTuple):
    """One request with everything the host adds to it."""

    request: dict[str, Any] | Any
    """As asked: anything at all, since a request comes from outside; or the error met when it was read."""
    facts: Mapping[str, Any] = MappingProxyType({})
    """What the host knows. Budget counters are decimal strings or numbers in their meter's unit."""
    claims: tuple[str, ...] = ()
    """What in it nobody but the asker vouches for, each a short phrase; none makes the decision unclaimed."""
    label: str = ""
    """Where it came from, for people."""
    known: Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]] | None = None
    """Gives what a ledger knows of the request, as the engine reads it (amounts in micro-units): called with the
    request and the facts so far, digests included. What `facts` states itself stays."""


class Circumstances(NamedTuple):
    """What is the same for every request of one call."""

    point: Point = Point.RUN
    override: Mode | None = None
    """Every pack enforces, or every pack warns; None leaves it to the packs."""
    now_ns: int | None = None
    """The time of the decision, nanoseconds since 1970; None reads the clock for each batch."""
    all_paths: bool = False
    """Findings name every path instead of the first 20."""


class Policy(NamedTuple):
    """Packs that are compiled, trusted and loaded into an engine."""

    engine: Engine
    digest: str
    """The policy digest every answer must carry."""
    declared: frozenset[str] = frozenset()
    """Actions declared by packs, beside the catalogue."""
    roster: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    """Subject name to `{roles, attributes, keys}`; keys are JWKs as JSON text, and no fact."""
    claims: tuple[str, ...] = ()
    """What makes every decision of this policy claimed."""
    packs: tuple[Mapping[str, str], ...] = ()
    """Every pack: name, version, layer, digest."""
    counters: tuple[tuple[str, str, str | None], ...] = ()
    """Every budget that a rule asks for: meter, per, window."""
    escalations: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    """Name to what `escalations.model.Escalation.of` reads."""

    @classmethod
    def load(cls, packs: Iterable[str | os.PathLike[str]] = (), **options: Any) -> Self:  # noqa: ANN401  # passed on, typed there
        """Return the policy of these org packs (folders, files or one bundle), its sidecar running.

        `options` are fields of `orchestrator.settings.Settings`, such as `repository`, `run_packs` or `opa_url`. What
        is not given comes from the environment and the operator's file, as on the command line.

        Raises:
            PackError: a pack is wrong.
            DecisionError: no engine, or none to trust.
        """
        from orchestrator.load import load
        from orchestrator.settings import Settings

        return cls.of(load(Settings.load({"packs": tuple(map(os.fspath, packs)), **options})))

    @classmethod
    def of(cls, loaded: "Loaded") -> Self:
        """Return the policy that was loaded."""
        return cls(
            loaded.engine,
            loaded.digest,
            loaded.declared,
            loaded.roster,
            loaded.claims,
            loaded.packs,
            loaded.counters,
            loaded.escalations,
        )

    def decide(
        self,
        asked: Mapping[str, Any],
        facts: Mapping[str, Any] | None = None,
        circumstances: Circumstances | None = None,
    ) -> Decision:
        """Return the decision on one request (AuthZEN shape: subject, action, resource, context).

        An invalid request is a decision too (`reason` is `invalid_request`).

        Raises:
            DecisionError: the engine gave no answer that may be trusted.
            UsageError: `facts` holds something that no host knows.

        Source: 001, "Policy Engine".
        """
        return next(iter(self.decide_many([Question(asked, facts or {})], circumstances)))

    def decide_many(
        self, questions: Iterable[Question], circumstances: Circumstances | None = None
    ) -> Iterator[Decision]:
        """Yield one decision for each question, in order, holding no more than a batch in memory.

        Raises:
            As `decide`.
        """
        circumstances = circumstances or Circumstances()
        rest = iter(questions)
        while batch := list(islice(rest, BATCH)):
            now = clock.format_time(circumstances.now_ns if circumstances.now_ns is not None else clock.now_ns())
            inputs = [self._input(question, circumstances, now) for question in batch]
            bodies = [_body(one) for one in inputs]
            answers = self.engine.ask(b'{"batch":[' + b",".join(bodies) + b"]}")
            if len(answers) != len(batch):
                raise DecisionError(
                    f"the engine gave {len(answers)} answers to {len(batch)} requests",
                    advice="a hand-written module may be in conflict with itself: run `orch policy test`",
                )
            for question, one, body, answer in zip(batch, inputs, bodies, answers, strict=True):
                yield self._decision(question, one, sha256(body), answer)

    def explain(self, question: Question, circumstances: Circumstances | None = None) -> list[dict[str, Any]]:
        """Return every candidate rule with its parts: `{rule, effect, source, mode, matches, waived, parts}`.

        A part is `{selector, line, truth, seen}`, its truth True, False or None (unknown).
        """
        circumstances = circumstances or Circumstances()
        now = clock.format_time(circumstances.now_ns if circumstances.now_ns is not None else clock.now_ns())
        body = _body(self._input(question, circumstances, now))
        found: list[dict[str, Any]] = self.engine.explain(b'{"batch":[' + body + b"]}")[0]
        return found

    def _input(self, question: Question, circumstances: Circumstances, now: str) -> dict[str, Any]:
        asked = question.request
        errors = [str(asked)] if isinstance(asked, UsageError) else request.problems(asked, self.declared)
        facts: dict[str, Any] = {
            "request_errors": errors,
            "point": circumstances.point.value,
            "time": now,
            "override": circumstances.override.value if circumstances.override else None,
            "action_digest": None,
            "change_digest": None,
        }
        if errors:
            return {**_EMPTY, "facts": facts}
        facts |= host_facts(question.facts)
        if "escalation" in facts:
            facts["escalation"] = _with_texts(facts["escalation"], asked["action"])
        name = request.subject_name(asked)
        if "subject" not in facts and name in self.roster:
            entry = self.roster[name]
            facts["subject"] = {"name": name, **{said: entry[said] for said in _ROSTER_FACTS if said in entry}}
        resource = asked["resource"]
        change = change_digest(resource.get("properties", {}).get("files"))
        facts["change_digest"] = change
        facts["action_digest"] = action_digest(asked, repository_of(asked, facts), change)
        if question.known is not None:
            facts = {**question.known(asked, facts), **facts}
        if circumstances.all_paths:
            facts["path_limit"] = 1 << 30
        return {
            "subject": asked["subject"],
            "action": asked["action"],
            "resource": resource,
            "context": asked.get("context", {}),
            "facts": facts,
        }

    def _decision(self, question: Question, asked: dict[str, Any], digest: str, answer: Any) -> Decision:  # noqa: ANN401  # JSON
        if not isinstance(answer, dict) or answer.get("digest") != self.digest:
            raise DecisionError(
                f"the answer was not made by the packs that were asked: expected policy {self.digest}",
                advice="load the same bundle into the server that --opa-url names, or run `orch sidecar stop --all`",
            )
        facts = asked["facts"]
        claims = self.claims + question.claims
        obligations = [_owed(one) for one in answer["obligations"]]
        findings = [_filled(one, asked) for one in answer["findings"]]
        findings.sort(key=lambda one: (one["effect"] in {"allow", "delegate"}, one["rule"], one["waived"]))
        obligations.sort(key=lambda one: (one["id"], one["mode"]))
        context: dict[str, Any] = {
            "outcome": Outcome(answer["outcome"]).value,
            "would": Outcome(answer["would"]).value,
            "reason": answer["reason"],
            "evaluation_id": new_id(),
            "evaluated_at": facts["time"],
            "point": facts["point"],
            "mode": facts["override"] or _mode(answer["packs"]),
            "claimed": bool(claims),
            "input_digest": digest,
            "action_digest": facts["action_digest"],
            "change_digest": facts["change_digest"],
            "policy": {"digest": answer["digest"], "packs": answer["packs"]},
            "findings": findings,
            "obligations": obligations,
            "advice": [*_advice(answer["advice"]), *(f"claimed, so never executed: {claim}" for claim in claims)],
        }
        context["next_action"] = next_action(context)
        return Decision(question.request if isinstance(question.request, dict) else {}, context, question.label, facts)


def _body(asked: dict[str, Any]) -> bytes:
    try:
        return canonical(asked)
    except ValueError as error:
        raise UsageError(f"the facts cannot be written as JSON: {error}") from error


def host_facts(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts as the engine reads them: only those a host may know, budget amounts in micro-units.

    Raises:
        UsageError: an unknown fact, or an amount that is no number.
    """
    facts = dict(given)
    if unknown := sorted(map(str, facts.keys() - _HOST_FACTS.keys())):
        raise UsageError(
            f"facts hold {', '.join(unknown)}, which no host states; expected {', '.join(sorted(_HOST_FACTS))}",
            advice="point and time are set with --point and --now",
        )
    for name, value in facts.items():
        if not _has_form(value, name):
            raise UsageError(f"facts.{name} is {value!r:.60}; expected {_HOST_FACTS[name]}")
    if "budgets" in facts:
        facts["budgets"] = [_counter(one) for one in facts["budgets"]]
    return facts


def _with_texts(escalation: Mapping[str, Any], action: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of an escalation with what the texts of an action come to."""
    from orchestrator.escalations.plain import texts  # only an escalation's actions need it

    return {**escalation, "texts": texts(action.get("properties", {}), action["name"])}


def _has_form(value: object, name: str) -> bool:
    match _HOST_FACTS[name]:
        case "a text":
            return isinstance(value, str) and value != ""
        case "a list of subject names":
            return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
        case "a list of objects":
            return isinstance(value, list | tuple) and all(isinstance(item, Mapping) for item in value)
        case "an object with an id":
            return isinstance(value, Mapping) and isinstance(value.get("id"), str)
        case "an object with name, roles and attributes":
            return isinstance(value, Mapping) and _has_form(value.get("roles", []), "delegation")
        case _:
            return isinstance(value, Mapping)


def _counter(counter: Mapping[str, Any]) -> dict[str, Any]:
    amounts = (name for name in ("spent", "reserved", "estimate") if name in counter)
    return {**counter, **{name: micro(counter[name], f"a budget's {name}") for name in amounts}}


def repository_of(asked: Mapping[str, Any], facts: Mapping[str, Any]) -> str | None:
    """Return the repository a request is about, lower-cased: its resource, else the host's word; None where unknown."""
    if asked["resource"]["type"] == "repository":
        return str(asked["resource"]["id"]).lower()
    known = facts.get("repository")
    return known.lower() if isinstance(known, str) else None


def _owed(one: dict[str, Any]) -> dict[str, Any]:
    if one["type"] not in _OBLIGATIONS:
        raise DecisionError(
            f"the engine asks for an obligation {one['type']!r} that this version does not know",
            advice="use the version of orch that built the bundle",
        )
    if one["type"] == "budget":
        given = one["properties"]
        amounts = {name.removesuffix("_micro"): amount(given[name]) for name in given if name.endswith("_micro")}
        named = {name: given[name] for name in ("meter", "per", "window")}
        one["properties"] = {**named, **amounts, "warn_at": f"{given['warn_at_percent']}%"}
    return one


def _filled(finding: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    if "{" in finding["message"] or "{" in finding["fix"] or "}}" in finding["message"]:
        values = _values(finding, asked)
        finding["message"] = fill(finding["message"], values, is_shell=False)
        finding["fix"] = fill(finding["fix"], values, is_shell=True)
    return finding


def _values(finding: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Return what the placeholders of a message stand for."""
    resource, facts = asked["resource"], asked["facts"]
    properties = resource.get("properties", {})
    return {
        "subject": request.subject_name(asked),
        "action": asked["action"].get("name"),
        "resource": resource.get("id"),
        "repository": repository_of(asked, facts) if resource else None,
        "branch": properties.get("branch"),
        "head_branch": properties.get("head_branch"),
        "tool": resource.get("id"),
        "paths": finding["paths"],
        "point": facts["point"],
        "stage": facts.get("stage"),
    }


def _mode(packs: list[dict[str, Any]]) -> str:
    """A decision warns where every pack that applies warns."""
    return "warn" if packs and all(pack["mode"] == "warn" for pack in packs) else "enforce"


def _advice(given: list[dict[str, Any]]) -> Iterator[str]:
    yield from (f"{one['obligation']} is nearly spent" for one in given if one["kind"] == "budget_low")
    if any(one["kind"] == "budget_without_run" for one in given):
        yield "budgets count within a run; without one they only advise"
    for one in given:
        if one["kind"] == "vote_ignored":
            yield f"a vote by {shown(one['by'])} does not count: {WHY_IGNORED.get(one['why'], one['why'])}"
