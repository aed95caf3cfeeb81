"""What may be done where an escalation cannot go on."""

from typing import Any

import pytest

from orchestrator.escalations.advance import Why
from orchestrator.remedy import next_action


def advice(why: str, stage: str = "a") -> str:
    properties = {"stage": stage, "target": "c", "at": "a", "why": why}
    owed: dict[str, Any] = {"id": "stage:continuity", "type": "stage", "phase": "before", "mode": "enforce"}
    return next_action({"reason": "pending", "obligations": [{**owed, "status": "unmet", "properties": properties}]})


@pytest.mark.parametrize("why", [one for one in Why if one is not Why.DUE])
def test_whatever_keeps_an_escalation_where_it_stands_is_said_in_words(why: Why) -> None:
    said = advice(why.value)

    assert said.startswith("wait: continuity stays at a, because ")
    assert not said.endswith(f"because {why.value}")


def test_the_stage_whose_turn_it_is_is_named() -> None:
    assert advice("due", "b") == "enter b, to which continuity goes from a"


@pytest.mark.parametrize(
    ("per", "said"),
    [("repo", "say which repository this is (ORCH_REPOSITORY or --repo)"), ("run", "give the missing budget counters")],
)
def test_a_counter_that_is_missing_says_what_to_give(per: str, said: str) -> None:
    owed = {"type": "budget", "status": "unmet", "properties": {"per": per, "spent": None}}

    assert next_action({"reason": "undecidable", "obligations": [owed]}).startswith(said)
