"""The engine says of an escalation what the model says: the same stage, to the nanosecond; and nothing else is entered."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from engine import Engine, running
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.clock import SECOND_NS, format_time
from orchestrator.compile import compile_packs
from orchestrator.escalations.advance import Advance, Why, advance, due_ns
from orchestrator.escalations.model import Escalation, Standing
from orchestrator.model import Default, Layer, Pack, PackSet, Source

MORE = int(os.environ.get("ORCH_TESTS_MORE", "1"))
TRIALS = 60
"""Asked in one question."""
DEADLINE_NS = 1_795_237_200 * SECOND_NS
"""2026-11-21T05:00:00Z."""
GAPS_S = (1, 59, 60, 900, 3_600, 86_400, 31_536_000)
SLIPS_NS = (-SECOND_NS, -1, 0, 0, 0, 1, SECOND_NS)
"""Around an edge."""


class Trial(NamedTuple):
    """An escalation, where it stands, and when."""

    row: dict[str, Any]
    """As it is compiled."""
    standing: Standing
    now_ns: int

    @property
    def escalation(self) -> Escalation:
        """The escalation as the model takes it."""
        return Escalation.of(self.row)

    @property
    def says(self) -> Advance:
        """What the model says."""
        return advance(self.escalation, self.standing, self.now_ns)

    def request(self, action: str, facts: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
        """Return what is asked at that moment, with what the host knows of the escalation; `facts` replace some."""
        standing, stages = self.standing, self.row["stages"]
        known = {
            "name": self.row["name"],
            "is_armed": standing.is_armed,
            "stage": stages[standing.stage]["name"],
            "stage_at": format_time(standing.stage_at_ns),
            "deadline": None if standing.deadline_ns is None else format_time(standing.deadline_ns),
            "delivered": sorted(standing.delivered),
            "texts": [],
        }
        return {
            "subject": {"type": "job", "id": "job:tick"},
            "action": {"name": action, "properties": properties},
            "resource": {"type": "escalation", "id": self.row["name"]},
            "context": {},
            "facts": {
                "request_errors": [],
                "point": "tick",
                "time": format_time(self.now_ns),
                "override": None,
                "action_digest": "sha256:a",
                "change_digest": None,
                "escalation": known,
                **(facts or {}),
            },
        }


def row_of(name: str, *stages: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
    """Return a compiled escalation; of a stage what is left out has its default."""
    usual: dict[str, Any] = {
        "at_s": None,
        "audience": "operator",
        "min_dwell_s": 0,
        "delivered": [],
        "max_wait_s": None,
    }
    usual |= {"deeds": [], "planned": None}
    lockout = {"after": 5, "first_s": 30, "longest_s": 600}
    return {
        "name": name,
        "version": "1.0.0",
        "digest": "sha256:e",
        "source": "e.yaml:1",
        "mode": "countdown",
        "catch_up": "walk",
        "grace_s": 0,
        "stages": [{**usual, "name": f"s{place}", **stage} for place, stage in enumerate(stages)],
        "renewal": {"extends_s": 86_400, "lockout": lockout, "keys": []},
        "clock": {"sources": [], "keys": [], "after_gap_s": 7_200, "tolerance_s": 300},
        **more,
    }


def row_by_chance(chance: Random, name: str) -> dict[str, Any]:
    at, stages = -chance.choice((0, *GAPS_S)), []
    for place in range(chance.randint(1, 6)):
        wanted = [f"s{chance.randrange(place)}/a" for _ in range(chance.choice((0, 0, 1, 2)))] if place else []
        at = 0 if at < 0 and chance.random() < 0.3 else at + chance.choice(GAPS_S)
        stages.append(
            {
                "at_s": at if place else None,
                "min_dwell_s": chance.choice((0, 0, *GAPS_S[:4])),
                "delivered": wanted,
                "max_wait_s": chance.choice((None, 0, 1, 900, 21_600)),
            }
        )
    return row_of(
        name, *stages, catch_up=chance.choice(("walk", "walk", "jump")), grace_s=chance.choice((0, 0, 1, 600))
    )


def trial_by_chance(chance: Random, name: str) -> Trial:
    """Return a trial whose moment is an edge: of a threshold, a dwell or a wait, or a nanosecond beside it."""
    row = row_by_chance(chance, name)
    escalation = Escalation.of(row)
    here = chance.randrange(len(escalation.stages))
    deadline = DEADLINE_NS + chance.choice(SLIPS_NS)
    edges = [due_ns(escalation, place, deadline) for place in range(1, len(escalation.stages))]
    stage_at = chance.choice([*edges, deadline]) + chance.choice(SLIPS_NS) - chance.choice((0, *GAPS_S)) * SECOND_NS
    free = stage_at + escalation.stages[here].min_dwell_s * SECOND_NS
    waits = [one.max_wait_s for one in escalation.stages if one.max_wait_s is not None]
    ends = [max(edge, free) + wait * SECOND_NS for edge in edges for wait in waits]
    standing = Standing(
        is_armed=chance.random() > 0.05,
        stage=here,
        stage_at_ns=stage_at,
        deadline_ns=None if chance.random() < 0.05 else deadline,
        delivered=frozenset(f"{one.name}/a" for one in escalation.stages if chance.random() < 0.5),
    )
    return Trial(row, standing, chance.choice([*edges, *ends, free, deadline]) + chance.choice(SLIPS_NS))


@pytest.fixture(scope="module")
def engine(opa_binary: Path) -> Iterator[Engine]:
    with running(opa_binary) as one:
        yield one


def answers(
    engine: Engine,
    trials: Sequence[Trial],
    requests: Sequence[dict[str, Any]],
    **pack: Any,  # noqa: ANN401  # of Pack
) -> list[dict[str, Any]]:
    """Return the engine's answers under a pack that allows everything, and the trials' escalations."""
    made = {"name": "acme", "version": "1.0.0", "layer": Layer.ORG, "default": Default.ALLOW, **pack}
    compiled = compile_packs(PackSet((Pack(source=Source("acme.yaml", 1), digest="sha256:p", **made),))).data
    known = {one.row["name"]: one.row for one in trials}
    return engine.answers_of({**compiled, "digest": "sha256:d", "escalations": known}, requests)


def owed(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the obligation of the clock, which is there once, and binds."""
    (one,) = [one for one in answer["obligations"] if one["id"].startswith("stage:")]
    assert (one["type"], one["phase"], one["mode"]) == ("stage", "before", "enforce")
    return dict(one)


def findings(answer: dict[str, Any]) -> list[str]:
    return [one["rule"] for one in answer["findings"]]


@settings(max_examples=40 * MORE)
@given(st.integers(0, 2**64))
def test_the_engine_and_the_model_say_the_same(engine: Engine, seed: int) -> None:
    chance = Random(seed)  # noqa: S311  # chance, not secrecy
    trials = [trial_by_chance(chance, f"e{number}") for number in range(TRIALS)]

    given_answers = answers(engine, trials, [one.request("tick") for one in trials])

    for one, answer in zip(trials, given_answers, strict=True):
        says, names = one.says, [stage["name"] for stage in one.row["stages"]]
        at, target, stage = names[one.standing.stage], names[says.target], names[says.next]
        expected = {"stage": stage, "target": target, "at": at, "why": says.why.value}
        assert (expected, "met", "allow") == (owed(answer)["properties"], owed(answer)["status"], answer["outcome"]), (
            one
        )


@settings(max_examples=20 * MORE)
@given(st.integers(0, 2**64))
def test_the_one_stage_that_the_model_enters_can_be_entered_and_no_other(engine: Engine, seed: int) -> None:
    chance = Random(seed)  # noqa: S311  # chance, not secrecy
    trials = [trial_by_chance(chance, f"e{number}") for number in range(TRIALS // 3)]
    wanted = [(one, place) for one in trials for place in range(len(one.row["stages"]))]

    given_answers = answers(engine, trials, [one.request("enter_stage", stage=f"s{place}") for one, place in wanted])

    for (one, place), answer in zip(wanted, given_answers, strict=True):
        may = one.says.why is Why.DUE and place == one.says.next
        assert (may, "met" if may else "unmet") == (answer["outcome"] == "allow", owed(answer)["status"]), (one, place)


NIGH = Trial(
    row_of("nigh", {}, {"at_s": -60}, {"at_s": 60, "audience": "custodians"}),
    Standing(is_armed=True, stage=1, stage_at_ns=DEADLINE_NS - 60 * SECOND_NS, deadline_ns=DEADLINE_NS),
    DEADLINE_NS + 60 * SECOND_NS,
)
"""At the very moment at which its last stage is due."""


def test_a_stage_that_is_due_is_entered(engine: Engine) -> None:
    (answer,) = answers(engine, [NIGH], [NIGH.request("enter_stage", stage="s2", audience="custodians")])

    assert (answer["outcome"], owed(answer)["status"]) == ("allow", "met")


def test_a_stage_that_is_not_due_is_waited_for(engine: Engine) -> None:
    early = NIGH._replace(now_ns=NIGH.now_ns - 1)

    (answer,) = answers(engine, [early], [early.request("enter_stage", stage="s2")])

    assert (answer["outcome"], answer["reason"]) == ("pending", "pending")
    assert owed(answer)["properties"] == {"stage": "s1", "target": "s1", "at": "s1", "why": "early"}


@pytest.mark.parametrize(("at_s", "grace_s"), [(-1, 0), (0, 600), (60, 600)])
def test_grace_counts_from_the_deadline_on(engine: Engine, at_s: int, grace_s: int) -> None:
    due = DEADLINE_NS + (at_s + grace_s) * SECOND_NS
    standing = Standing(is_armed=True, stage=0, stage_at_ns=DEADLINE_NS - 3_600 * SECOND_NS, deadline_ns=DEADLINE_NS)
    edges = [Trial(row_of("e", {}, {"at_s": at_s}, grace_s=600), standing, due + slip) for slip in (-1, 0)]

    given_answers = answers(engine, edges[:1], [one.request("tick") for one in edges])

    assert [owed(one)["properties"]["stage"] for one in given_answers] == ["s0", "s1"]


@pytest.mark.parametrize("action", ["tick", "enter_stage"])
@pytest.mark.parametrize(
    "facts",
    [
        {"escalation": {"name": "other"}},
        {"escalation": "nigh"},
        {"escalation": {**NIGH.request("tick")["facts"]["escalation"], "stage": "s9"}},
        {"escalation": {**NIGH.request("tick")["facts"]["escalation"], "stage_at": "yesterday"}},
        {"escalation": {**NIGH.request("tick")["facts"]["escalation"], "stage_at": None}},
        {"escalation": {**NIGH.request("tick")["facts"]["escalation"], "deadline": "tomorrow"}},
        {"escalation": {**NIGH.request("tick")["facts"]["escalation"], "is_armed": "yes"}},
        {"escalation": {**NIGH.request("tick")["facts"]["escalation"], "delivered": None}},
        {"time": "now"},
    ],
    ids=[
        "another",
        "no-object",
        "no-such-stage",
        "stage_at",
        "no-stage_at",
        "deadline",
        "is_armed",
        "delivered",
        "time",
    ],
)
def test_what_the_host_does_not_say_well_is_denied(engine: Engine, action: str, facts: dict[str, Any]) -> None:
    (answer,) = answers(engine, [NIGH], [NIGH.request(action, facts, stage="s2")])

    assert (answer["outcome"], answer["would"], answer["reason"]) == ("deny", "deny", "denied")
    assert findings(answer) == ["orch/stage"]
    assert owed(answer)["status"] == "unmet"


@pytest.mark.parametrize("name", ["is_armed", "stage", "stage_at", "deadline", "delivered"])
def test_a_fact_that_is_missing_is_denied(engine: Engine, name: str) -> None:
    asked = NIGH.request("enter_stage", stage="s2")
    del asked["facts"]["escalation"][name]

    (answer,) = answers(engine, [NIGH], [asked])

    assert (answer["outcome"], findings(answer)) == ("deny", ["orch/stage"])


def test_without_facts_of_it_nothing_is_entered(engine: Engine) -> None:
    asked = NIGH.request("enter_stage", stage="s2")
    del asked["facts"]["escalation"]

    (answer,) = answers(engine, [NIGH], [asked])

    assert (answer["outcome"], findings(answer)) == ("deny", ["orch/stage"])


@pytest.mark.parametrize("action", ["tick", "enter_stage"])
def test_an_escalation_that_the_policy_does_not_have_is_denied(engine: Engine, action: str) -> None:
    (answer,) = answers(engine, [], [NIGH.request(action, stage="s2")])

    assert (answer["outcome"], findings(answer), owed(answer)["status"]) == ("deny", ["orch/stage"], "unmet")


def test_the_audience_that_is_named_is_the_stages_own(engine: Engine) -> None:
    (answer,) = answers(engine, [NIGH], [NIGH.request("enter_stage", stage="s2", audience="operator")])

    assert (answer["outcome"], findings(answer)) == ("deny", ["orch/stage"])


def test_packs_that_only_warn_do_not_turn_the_clock(engine: Engine) -> None:
    early = NIGH._replace(now_ns=NIGH.now_ns - 1)

    (answer,) = answers(engine, [early], [early.request("enter_stage", {"override": "warn"}, stage="s2")])

    assert (answer["outcome"], answer["would"]) == ("pending", "pending")


def test_a_tick_is_asked_of_the_packs_too(engine: Engine) -> None:
    (answer,) = answers(engine, [NIGH], [NIGH.request("tick")], default=Default.DENY)

    assert (answer["outcome"], findings(answer), owed(answer)["status"]) == ("deny", ["acme/default"], "met")


def test_other_actions_have_no_obligation_of_the_clock(engine: Engine) -> None:
    (answer,) = answers(engine, [NIGH], [NIGH.request("control_escalation", operation="reset")])

    assert (answer["outcome"], answer["obligations"]) == ("allow", [])
