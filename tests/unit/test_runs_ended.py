"""What became of an order says what follows, how long to wait, and with which exit code it fails."""

import json

import pytest

from orchestrator.adapter import ErrorClass
from orchestrator.errors import AdapterError, BudgetError, DecisionError, PackError, UsageError
from orchestrator.order import Done, State
from orchestrator.plans.model import Retry
from orchestrator.runs.ended import Ended, Tries, Way, ended_of, ended_of_error, wait_s

TRIES = Tries("r1", "build/make", Retry(attempts=3, wait_s=4, factor=3, most_s=10), 1)


@pytest.mark.parametrize(
    ("done", "way", "error_class", "exit_code"),
    [
        pytest.param(Done(State.DELIVERED), Way.PASSED, "", 0, id="delivered"),
        pytest.param(Done(State.DENIED), Way.FAILED, "permanent", 3, id="denied"),
        pytest.param(Done(State.BUDGET), Way.FAILED, "permanent", 5, id="budget"),
        pytest.param(Done(State.UNDECIDABLE), Way.AGAIN, "dependency", 6, id="undecidable"),
        pytest.param(Done(State.PERMANENT), Way.FAILED, "permanent", 1, id="permanent"),
        pytest.param(Done(State.RETRYABLE), Way.AGAIN, "transient", 1, id="retryable"),
        pytest.param(Done(State.RETRYABLE, error_class=ErrorClass.DEPENDENCY), Way.FAILED, "dependency", 1, id="not on"),
        pytest.param(Done(State.PERMANENT, error_class=ErrorClass.TRANSIENT), Way.AGAIN, "transient", 1, id="by code"),
        pytest.param(Done(State.CANCELLED), Way.CANCELLED, "", 130, id="cancelled"),
        pytest.param(Done(State.UNKNOWN), Way.AGAIN, "", 0, id="unknown"),
    ],
)  # fmt: skip
def test_what_became_of_an_order_says_what_follows(done: Done, way: Way, error_class: str, exit_code: int) -> None:
    ended = ended_of(done, TRIES)

    assert (ended.way, ended.error_class, ended.exit_code) == (way, error_class, exit_code)


@pytest.mark.parametrize(
    ("error", "way", "error_class", "exit_code"),
    [
        pytest.param(UsageError("x"), Way.FAILED, "configuration", 2, id="usage"),
        pytest.param(PackError([]), Way.FAILED, "configuration", 7, id="pack"),
        pytest.param(DecisionError("x"), Way.AGAIN, "dependency", 6, id="no answer"),
        pytest.param(BudgetError("x"), Way.FAILED, "permanent", 5, id="budget"),
        pytest.param(AdapterError("x"), Way.FAILED, "permanent", 1, id="outside"),
        pytest.param(AdapterError("x", delivery="retryable"), Way.AGAIN, "transient", 1, id="outside, for now"),
    ],
)
def test_an_error_before_an_action_says_what_follows(
    error: UsageError, way: Way, error_class: str, exit_code: int
) -> None:
    ended = ended_of_error(error, TRIES)

    assert (ended.way, ended.error_class, ended.exit_code) == (way, error_class, exit_code)


def test_the_other_side_may_ask_for_a_longer_wait() -> None:
    short = ended_of(Done(State.RETRYABLE, retry_after_s=42.0), TRIES)
    long = ended_of(Done(State.RETRYABLE, retry_after_s=420.0), TRIES)

    assert (short.way, short.wait_s) == (Way.AGAIN, 42.0)
    assert long.way is Way.WAITING
    assert long.waiting_for[0]["type"] == "timer"


def test_waits_are_drawn_below_the_ceiling_and_the_same_each_time() -> None:
    waits = [wait_s(TRIES._replace(tried=tried)) for tried in (1, 2, 3)]
    others = {wait_s(TRIES._replace(run_id=f"r{number}")) for number in range(50)}

    assert waits == [wait_s(TRIES._replace(tried=tried)) for tried in (1, 2, 3)]
    assert all(0 <= wait < ceiling for wait, ceiling in zip(waits, (4, 10, 10), strict=True))
    assert len(others) == 50
    assert max(others) > 3


def test_how_a_stretch_ended_travels_as_json() -> None:
    ended = Ended(Way.WAITING, "because", "transient", 1, ({"type": "timer"},), 2.5, {"passed": True})

    assert Ended.of(json.loads(json.dumps(ended.to_json()))) == ended
