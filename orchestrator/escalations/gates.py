"""What packs keep an escalation from that nobody renews: stages and actions that wait for people, or are denied.

The proof of silence looks at the clock alone. This asks the engine, as of when each stage is due, on behalf of whoever
may tick. Sends and changes nothing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator import policycase
from orchestrator.clock import SECOND_NS, format_time
from orchestrator.escalations.advance import due_ns
from orchestrator.escalations.deeds import MESSAGE
from orchestrator.escalations.model import Escalation
from orchestrator.escalations.plain import texts
from orchestrator.escalations.texts import rendered, situation_of
from orchestrator.glob import Kind
from orchestrator.model import PackSet
from orchestrator.opa import Opa
from orchestrator.overlap import sample
from orchestrator.plans.model import Plan
from orchestrator.words import counted

_DEADLINE_NS = 1_900_000_000 * SECOND_NS
_LONG_NS = 31_536_000 * SECOND_NS
_MOST_PEOPLE, _MOST_TICKERS = 200, 3
_DEFAULT = "/default"
"""How the finding of a pack ends that denies what no rule allows."""
_PEOPLE = frozenset({"approval", "evidence"})


class Gate(NamedTuple):
    """Something of an escalation that silence alone does not bring about."""

    escalation: str
    name: str
    """The stage, or `stage/action`."""
    rule: str
    """`pack/rule`; "" where nothing allows it."""
    why: str
    """Such as `waits for 2 approvals of operator`, or `is denied`."""


class _Ask(NamedTuple):
    """One question of an escalation."""

    name: str
    action: str
    properties: Mapping[str, Any]
    place: int
    """Of which stage it is."""
    is_entering: bool = False


def gates(escalations: Sequence[Escalation], packs: PackSet, bundle: Path, opa: Opa) -> list[Gate]:
    """Return what waits or is denied whoever of those ticks that may, each once, in order; `bundle` is the policy's.

    Raises:
        UsageError: a template cannot be rendered.
        DecisionError: OPA gave no answer.
    """
    found: dict[Gate, None] = {}
    for escalation in escalations:
        asks = list(_asks(escalation))
        tickers = _tickers(escalation, packs, bundle, opa)
        questions = [_question(escalation, packs, subject, ask) for subject in tickers for ask in asks]
        answers = _answers(questions, bundle, opa)
        said = [
            {gate for ask, answer in zip(asks, answers[first : first + len(asks)], strict=True)
             for gate in _gates(escalation, ask, answer)}
            for first in range(0, len(answers), len(asks) or 1)
        ]  # fmt: skip
        kept = set.intersection(*said) if said else set()
        order = [ask.name for ask in asks]
        found |= dict.fromkeys(sorted(kept, key=lambda one: (order.index(one.name), one.rule, one.why)))
    return list(found)


def _asks(escalation: Escalation) -> Iterator[_Ask]:
    for place, stage in enumerate(escalation.stages[1:], 1):
        before = escalation.stages[place - 1].name
        given = {"cycle": 1, "from": before, "stage": stage.name, "audience": stage.audience.value}
        yield _Ask(stage.name, "enter_stage", given, place, is_entering=True)
        situation = situation_of(
            escalation,
            place,
            cycle=1,
            deadline_ns=_DEADLINE_NS,
            entered_at_ns=due_ns(escalation, place, _DEADLINE_NS),
        )
        for deed in stage.deeds:
            properties = {**deed.parameters, **rendered(deed, situation, escalation.constants)}
            if deed.action == MESSAGE:
                properties.setdefault("to", [])
            yield _Ask(f"{stage.name}/{deed.id}", deed.action, properties, place)
        if stage.planned is not None:
            for _, step in Plan.of(stage.planned.plan).steps():
                yield _Ask(f"{stage.name}/{step.id}", step.action, step.parameters, place)


def _tickers(escalation: Escalation, packs: PackSet, bundle: Path, opa: Opa) -> list[str]:
    """Return some of those who may tick: people and jobs of the roster, and whom rules name."""
    named = {
        sample(pattern, Kind.SUBJECT)
        for pack in packs.packs
        for rule in pack.rules
        if {"tick", "enter_stage", "*"} & set(rule.actions)
        for pattern in rule.selectors.get("subjects", ())
    }
    known = dict.fromkeys([*sorted(named), *(one.name for one in packs.roster[:_MOST_PEOPLE]), "job:tick"])
    asks = [(subject, _Ask("", "tick", {"cycle": 1, "stage": escalation.stages[0].name}, 0)) for subject in known]
    answers = _answers([_question(escalation, packs, *ask) for ask in asks], bundle, opa)
    able = [subject for (subject, _), answer in zip(asks, answers, strict=True) if answer["outcome"] != "deny"]
    return able[:_MOST_TICKERS]


def _answers(questions: Sequence[Mapping[str, Any]], bundle: Path, opa: Opa) -> list[Any]:
    if not questions:
        return []
    answers: list[Any] = opa.evaluate(bundle, json.dumps({"batch": questions}, default=str, sort_keys=True).encode())
    return answers


def _gates(escalation: Escalation, ask: _Ask, answer: Mapping[str, Any]) -> Iterator[Gate]:
    """Yield what keeps one thing back: rules that ask for people or proofs, rules that deny, or that none allows it."""
    owed = {one["id"]: one for one in answer["obligations"] if _is_kept_back_by(one)}
    for finding in answer["findings"]:
        if finding["mode"] != "enforce" or finding["waived"] or finding["level"] == "advisory":
            continue
        rule = str(finding["rule"])
        if finding["effect"] == "deny" and rule.endswith(_DEFAULT):
            if ask.is_entering:  # of an action, what its adapter adds may make a rule fit
                yield Gate(escalation.name, ask.name, "", "is allowed by no rule")
        elif finding["effect"] == "deny" and not rule.startswith("orch/"):
            yield Gate(escalation.name, ask.name, rule, "is denied")
        for asked in finding["asks"] if finding["effect"] == "require" else ():
            if asked in owed:
                yield Gate(escalation.name, ask.name, rule, f"waits for {_owed(owed[asked])}")


def _is_kept_back_by(one: Mapping[str, Any]) -> bool:
    is_open = one["status"] != "met" and one["phase"] == "before" and one["mode"] == "enforce"
    return is_open and one["type"] in _PEOPLE


def _owed(one: Mapping[str, Any]) -> str:
    given = one["properties"]
    if one["type"] == "evidence":
        return f"evidence of type {given.get('evidence', '?')}"
    return f"{counted(int(given.get('count', 1)), 'approval')} of {given.get('role', '?')}"


def _question(escalation: Escalation, packs: PackSet, subject: str, ask: _Ask) -> dict[str, Any]:
    now_ns = due_ns(escalation, ask.place, _DEADLINE_NS) if ask.place else _DEADLINE_NS - _LONG_NS
    here = escalation.stages[max(ask.place - ask.is_entering, 0)]
    person = next((one for one in packs.roster if one.name == subject), None)
    known = {
        "name": escalation.name,
        "mode": escalation.mode.value,
        "cycle": 1,
        "is_armed": True,
        "stage": here.name,
        "stage_at": format_time(now_ns - (_LONG_NS if ask.is_entering else 0)),
        "deadline": format_time(_DEADLINE_NS),
        "delivered": sorted(f"{stage.name}/{deed.id}" for stage in escalation.stages for deed in stage.deeds),
        "of_stage": here.name,
        "audience": here.audience.value,
        "is_drill": False,
        "is_time_given": False,
        "texts": texts(ask.properties, ask.action),
    }
    facts: dict[str, Any] = {
        "request_errors": [],
        "point": "tick",
        "time": format_time(now_ns),
        "override": None,
        "action_digest": "",
        "change_digest": None,
        "repository": packs.repository or policycase.REPOSITORY,
        "stage": here.name,
        "escalation": known,
    }
    if person is not None:
        facts["subject"] = {"name": subject, "roles": list(person.roles), "attributes": dict(person.attributes)}
    values = {"action": ask.action, "subject": subject, "args": dict(ask.properties), "facts": facts}
    return policycase.request_of(values) | {"facts": facts}
