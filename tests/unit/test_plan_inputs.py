"""What a run is told when it starts: typed, defaults filled in, and refused where it does not fit."""

from typing import Any

import pytest
from plan_text import plan

from orchestrator.errors import UsageError
from orchestrator.plans.read import inputs_for

INPUTS = (
    (
        "inputs:\n  env: {one_of: [dev, prod]}\n  n: {type: integer, default: 3}\n  x: {type: number, default: 0.5}\n"
        "  yes: {type: boolean, default: false}\n  j: {type: json, default: {a: [1]}}\nphases: [{id: a, gate: manual}]\n"
    )
    .replace("\n  n:", '\n  "n":')
    .replace("\n  yes:", '\n  "yes":')
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"env": "dev"}, {"env": "dev", "n": 3, "x": 0.5, "yes": False, "j": {"a": [1]}}),
        (
            {"env": "prod", "n": "-7", "x": "1e3", "yes": "true", "j": '[null, "x"]'},
            {"env": "prod", "n": -7, "x": 1000.0, "yes": True, "j": [None, "x"]},
        ),
        ({"env": "dev", "x": "2"}, {"env": "dev", "n": 3, "x": 2, "yes": False, "j": {"a": [1]}}),
    ],
)
def test_inputs_are_typed_and_defaults_filled_in(given: dict[str, str], expected: dict[str, Any]) -> None:
    found = inputs_for(plan(INPUTS), given)

    assert found == expected
    assert [type(one) for one in found.values()] == [type(one) for one in expected.values()]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "needs the input env"),
        ({"env": "qa"}, "the input env is `qa`; expected `dev` or `prod`"),
        ({"env": "dev", "m": "1"}, "has no input `m`; it has env, n, x, yes or j"),
        ({"env": "dev", "n": "1.0"}, "the input n is `1.0`; expected a whole number"),
        ({"env": "dev", "n": "true"}, "expected a whole number"),
        ({"env": "dev", "n": "x"}, "expected a whole number"),
        ({"env": "dev", "n": "9007199254740993"}, "expected a number from"),
        ({"env": "dev", "x": "NaN"}, "expected a number"),
        ({"env": "dev", "yes": "yes"}, "the input yes is `yes`; expected true or false"),
        ({"env": "\udcff"}, "expected text in UTF-8"),
        ({"env": "dev", "j": "{"}, "the input j:1:2"),
        ({"env": "dev", "j": '{"a": 1, "a": 2}'}, "stands twice"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(given: dict[str, str], expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        inputs_for(plan(INPUTS), given)

    assert expected in str(caught.value)
