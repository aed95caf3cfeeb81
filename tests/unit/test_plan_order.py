"""The order of phases: levels, what can begin, what never will, circles."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.plans.model import Phase, Plan
from orchestrator.plans.order import before, blocked, cycle, levels, ready

DIAMOND = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "e": ()}


def plan(needs: dict[str, tuple[str, ...]], on_failure: str = "stop") -> Plan:
    phases = tuple(Phase(name, needs=each) for name, each in needs.items())
    return Plan("p", phases, on_failure=on_failure)  # type: ignore[arg-type]  # one of the literals


def test_levels_hold_what_can_run_side_by_side() -> None:
    assert levels(plan(DIAMOND)) == (("a", "e"), ("b", "c"), ("d",))


def test_levels_of_a_circle_are_refused() -> None:
    with pytest.raises(ValueError, match="wait for one another"):
        levels(plan({"a": ("b",), "b": ("a",)}))


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ({}, ("a", "e")),
        ({"a": "started"}, ("e",)),
        ({"a": "passed"}, ("b", "c", "e")),
        ({"a": "skipped", "e": "waiting"}, ("b", "c")),
        ({"a": "passed", "b": "passed", "c": "waiting", "e": "passed"}, ()),
        ({"a": "passed", "b": "passed", "c": "skipped", "e": "passed"}, ("d",)),
        ({"a": "passed", "b": "failed"}, ()),
        ({"a": "passed", "b": "compensated"}, ()),
    ],
)
def test_a_phase_begins_when_all_that_it_needs_is_over(states: dict[str, str], expected: tuple[str, ...]) -> None:
    assert ready(plan(DIAMOND), states) == expected


def test_after_a_failure_the_others_go_on_where_the_plan_says_so() -> None:
    states = {"a": "passed", "b": "failed"}

    assert ready(plan(DIAMOND, "continue"), states) == ("c", "e")
    assert blocked(plan(DIAMOND, "continue"), states) == ("d",)


def test_what_needs_something_lost_is_blocked_however_far_away() -> None:
    assert blocked(plan(DIAMOND), {"a": "failed"}) == ("b", "c", "d")


def test_before_a_phase_comes_all_that_it_needs() -> None:
    assert before(plan(DIAMOND), "d") == {"a", "b", "c"}
    assert before(plan(DIAMOND), "a") == frozenset()


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        (DIAMOND, ()),
        ({"a": ("a",)}, ("a", "a")),
        ({"a": ("b",), "b": ("c",), "c": ("a",)}, ("a", "b", "c", "a")),
        ({"x": ("a",), "a": ("b",), "b": ("a",)}, ("a", "b", "a")),
        ({"a": ("nobody",)}, ()),
    ],
)
def test_a_circle_is_named(needs: dict[str, tuple[str, ...]], expected: tuple[str, ...]) -> None:
    assert cycle(needs) == expected


@given(st.dictionaries(st.sampled_from("abcdefg"), st.frozensets(st.sampled_from("abcdefg"), max_size=3), max_size=7))
def test_either_there_is_a_circle_or_there_are_levels(needs: dict[str, frozenset[str]]) -> None:
    known = {name: tuple(sorted(each & needs.keys())) for name, each in needs.items()}

    circle = cycle(known)

    if circle:
        assert circle[0] == circle[-1]
        assert all(following in known[one] for one, following in pairwise(circle))
    else:
        at = {name: row for row, names in enumerate(levels(plan(known))) for name in names}
        assert all(at[need] < at[name] for name, each in known.items() for need in each)


def test_a_long_chain_is_no_trouble() -> None:
    chain = {f"p{at}": (f"p{at - 1}",) if at else () for at in range(3_000)}

    assert cycle(chain) == ()
    assert cycle({**chain, "p0": ("p2999",)})[0] == "p0"
