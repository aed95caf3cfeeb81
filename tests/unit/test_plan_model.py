"""A plan as a value: JSON both ways, a digest of what it says, the pauses between attempts."""

import json
from dataclasses import replace

import pytest

from orchestrator.adapter import ErrorClass
from orchestrator.errors import LedgerError
from orchestrator.plans.model import (
    ONCE,
    Approvals,
    Condition,
    Criterion,
    Input,
    Phase,
    Plan,
    Retry,
    Step,
    Tracking,
)

WHEN = (Condition("inputs.env", (("in", ("dev", 1, True)), ("exists", (True,)))),)
OTHER = Step("other", "write_file", {"path": "x"})
STEP = Step(
    id="make",
    action="run_command",
    parameters={"argv": ["make", 1.5, None, {"deep": [True]}]},
    adapter="command",
    when=WHEN,
    on_failure=(OTHER,),
    on_unknown="resend",
    timeout_s=5.0,
    retry=Retry(5, 1.0, 3.0, 9.0, frozenset({ErrorClass.TRANSIENT, ErrorClass.DEPENDENCY})),
    is_replayable=True,
    estimates={"usd": 500_000},
    codes={75: ErrorClass.TRANSIENT},
)
PLAN = Plan(
    name="p",
    phases=(
        Phase("a", steps=(STEP,), success=(Criterion("a/success.1", "file_exists", {"file": "x"}),), when=WHEN),
        Phase("b", "Second", ("a",), gate="manual", retry=ONCE, compensate=(Step("undo", "run_command"),)),
    ),
    inputs={"env": Input(), "n": Input("integer", is_required=False, default=3, one_of=(3, 4), title="how many")},
    approvals=Approvals("sre", 2),
    on_failure="compensate",
    tracking=Tracking("acme/web", ("x",), "t"),
    reports="out",
    source="p.yaml",
)


def test_a_plan_comes_back_from_json_as_it_went() -> None:
    written = json.dumps(PLAN.to_json())

    assert Plan.of(json.loads(written)) == PLAN


def test_the_digest_is_of_what_a_plan_says_and_not_of_its_file() -> None:
    assert replace(PLAN, source="elsewhere.yaml").digest == PLAN.digest
    assert replace(PLAN, title="other").digest != PLAN.digest
    assert PLAN.digest.startswith("sha256:")


def test_steps_are_all_steps_those_after_a_failure_too() -> None:
    assert [(phase.id, step.id) for phase, step in PLAN.steps()] == [("a", "make"), ("a", "other"), ("b", "undo")]


def test_a_phase_is_found_by_its_id() -> None:
    assert PLAN.phase("b").title == "Second"
    with pytest.raises(KeyError):
        PLAN.phase("c")


@pytest.mark.parametrize(
    "value", [{}, {"name": 1}, {**PLAN.to_json(), "phases": [{}]}, {**PLAN.to_json(), "phases": 3}]
)
def test_what_is_no_plan_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(LedgerError, match="cannot be read"):
        Plan.of(value)


@pytest.mark.parametrize(("attempt", "expected"), [(0, 0.0), (1, 0.0), (2, 2.0), (3, 6.0), (4, 10.0), (10_000, 10.0)])
def test_each_wait_is_longer_than_the_one_before_up_to_the_longest(attempt: int, expected: float) -> None:
    assert Retry(9, 2.0, 3.0, 10.0).wait_before_s(attempt) == expected
