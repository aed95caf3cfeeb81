"""Conditions of an `if` mean what the conditions of an allow rule mean: by a table, and against the independent model."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import Attributes
from reading import condition as independent

from orchestrator.model import Condition as PackCondition
from orchestrator.model import Operator, Source
from orchestrator.plans.condition import verdict
from orchestrator.plans.model import Condition


def judged(value: object, name: str, *values: object, scope: dict[str, Any] | None = None) -> bool | None:
    found = {"inputs": {"x": value}, **(scope or {})}
    return verdict((Condition("inputs.x", ((name, values),)),), found)


@pytest.mark.parametrize(
    ("value", "name", "values", "expected"),
    [
        ("dev", "equals", ("dev",), True),
        ("dev", "equals", ("prod",), False),
        ("dev", "equals", (1,), None),
        (None, "equals", ("dev",), None),
        ([], "equals", ("dev",), None),
        ({}, "equals", ("dev",), None),
        (True, "equals", (1,), None),
        (1, "equals", (True,), None),
        (1.0, "equals", (1,), True),
        (0.1, "equals", (0.1,), True),
        (2**53 + 1, "equals", (2**53,), False),
        ("a", "in", ("a", 1), True),
        (2, "in", ("a", 1), False),
        (True, "in", ("a", 1), None),
        ("a", "not_in", ("b",), True),
        ("a", "not_in", ("a",), False),
        (None, "not_in", ("a",), None),
        ("src/a.py", "glob", ("src/**",), True),
        ("src", "glob", ("src/**",), False),
        ("a/b", "glob", ("*",), False),
        ("a/b", "glob", ("{x,a}/?",), True),
        ("x.py", "glob", ("**/x.py",), True),
        ("a\n", "glob", ("a",), False),
        (3, "glob", ("3",), None),
        ("a", "not_glob", ("b*",), True),
        ("https://api.acme.com/x", "host", ("*.acme.com",), True),
        ("https://evil.net?x=.acme.com/y", "host", ("*.acme.com",), False),
        ("HTTPS://API.ACME.COM:443/", "host", ("api.acme.com",), True),
        ("https://u@api.acme.com/", "host", ("**",), None),
        ("https://b.net/", "not_host", ("*.acme.com",), True),
        (3, "min", (3,), True),
        (2.9999, "min", (3,), False),
        ("3", "min", (3,), None),
        (True, "max", (3,), None),
        (None, "max", (3,), None),
        (3, "above", (3,), False),
        (3.1, "above", (3,), True),
        (3, "below", (3.5,), True),
        (None, "exists", (False,), True),
        ([], "exists", (True,), False),
        (0, "exists", (True,), True),
        ("", "exists", (True,), True),
        ({}, "exists", (True,), True),
        (["dev", "dev"], "equals", ("dev",), True),
        (["dev", "prod"], "equals", ("dev",), False),
        (["dev", None], "equals", ("dev",), None),
        (["prod", None], "equals", ("dev",), False),
    ],
)
def test_operators_mean_what_they_mean_in_packs(
    value: object,
    name: str,
    values: tuple[object, ...],
    expected: bool | None,  # noqa: FBT001  # a verdict
) -> None:
    assert judged(value, name, *values) is expected


@pytest.mark.parametrize(
    ("other", "expected"), [("dev", True), ("prod", False), (1, None), (None, None), (["dev"], None), ({}, None)]
)
def test_same_as_compares_with_the_value_at_another_path(
    other: object,
    expected: bool | None,  # noqa: FBT001  # a verdict
) -> None:
    scope = {"run": {"env": other}}

    assert judged("dev", "same_as", "run.env", scope=scope) is expected
    assert judged("dev", "not_same_as", "run.env", scope=scope) is (None if expected is None else not expected)


def test_all_conditions_must_hold_and_false_wins_over_unknown() -> None:
    true, false, unknown = (
        Condition("inputs.x", (("equals", ("a",)),)),
        Condition("inputs.x", (("equals", ("b",)),)),
        Condition("inputs.y", (("equals", ("a",)),)),
    )
    scope = {"inputs": {"x": "a"}}

    assert verdict((), scope) is True
    assert verdict((true, true), scope) is True
    assert verdict((true, unknown), scope) is None
    assert verdict((unknown, false), scope) is False


def test_a_list_is_stepped_through() -> None:
    scope = {"steps": {"s": {"outputs": {"found": [{"n": 1}, {"n": 5}, {}]}}}}
    path = "steps.s.outputs.found[].n"

    assert verdict((Condition(path, (("max", (4,)),)),), scope) is False
    assert verdict((Condition(path, (("max", (9,)),)),), scope) is None
    assert verdict((Condition("steps.s.outputs[].n", (("exists", (False,)),)),), scope) is True


def test_a_glob_with_many_stars_is_quick_on_a_long_text() -> None:
    began = time.perf_counter()

    assert judged("a" * 20_000 + "c", "glob", "**a**a**a**a**a**a**b") is False
    assert judged("a" * 20_000 + "c", "glob", "*a*a*a*a*a*a*b") is False
    assert time.perf_counter() - began < 2


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.1, 1.0, -2.5]),
    st.sampled_from(["dev", "a/b", "src/x.py", "https://api.acme.com/", "1", ""]),
)
TREES = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
)
SCALARS = st.one_of(st.booleans(), st.integers(-3, 3), st.sampled_from(["dev", "a/b", "1"]))
OPERATORS = st.one_of(
    st.tuples(st.just("equals"), SCALARS.map(lambda one: (one,))),
    st.tuples(st.sampled_from(["in", "not_in"]), st.lists(SCALARS, min_size=1, max_size=3).map(tuple)),
    st.tuples(
        st.sampled_from(["glob", "not_glob"]),
        st.sampled_from(["**", "*/*", "src/**", "{dev,a/*}", "?ev"]).map(lambda one: (one,)),
    ),
    st.tuples(st.sampled_from(["host", "not_host"]), st.sampled_from(["*.acme.com", "**"]).map(lambda one: (one,))),
    st.tuples(st.sampled_from(["min", "max", "above", "below"]), st.integers(-3, 3).map(lambda one: (one,))),
    st.tuples(st.just("exists"), st.booleans().map(lambda one: (one,))),
    st.tuples(st.sampled_from(["same_as", "not_same_as"]), st.just(("context.y",))),
)
ANYBODY = Attributes("rotate_key", None, None, None, None, None, None, None, None)


@settings(max_examples=300)
@given(
    st.fixed_dictionaries({}, optional={"x": TREES, "y": VALUES}),
    st.sampled_from(["context.x", "context.x[]", "context.x.a", "context.x[].a", "context.x.a[].b"]),
    st.lists(OPERATORS, min_size=1, max_size=3),
)
def test_the_independent_model_of_packs_says_the_same(
    context: dict[str, Any], path: str, operators: list[tuple[str, tuple[Any, ...]]]
) -> None:
    here = Source("f", 1)
    theirs = PackCondition(path, tuple(Operator(name, values, here) for name, values in operators), here)

    expected = independent(theirs, {"context": context}, ANYBODY, needs_every=True)

    assert verdict((Condition(path, tuple(operators)),), {"context": context}) is expected
