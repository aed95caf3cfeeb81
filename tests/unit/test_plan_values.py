"""References: found, filled in on single values, and never a way to a secret or to another argument."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import UsageError
from orchestrator.plans.model import Criterion
from orchestrator.plans.values import filled, filled_criterion, references
from orchestrator.secret import REFERENCE

SCOPE: dict[str, Any] = {
    "inputs": {"env": "dev", "n": 3, "yes": True, "list": ["a", {"b": 1.5}], "none": None, "evil": "x; rm -rf / $(id)"},
    "steps": {"make": {"outputs": {"count": 7, "items": [{"id": "first"}], "text": "${{ inputs.env }}"}}},
    "run": {"id": "r1"},
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        (5, 5),
        (None, None),
        ("${{ inputs.env }}", "dev"),
        ("${{inputs.n}}", 3),
        ("${{ inputs.yes }}", True),
        ("${{ inputs.list }}", ["a", {"b": 1.5}]),
        ("${{ inputs.none }}", None),
        ("n=${{ inputs.n }}", "n=3"),
        ("${{ inputs.yes }}!", "true!"),
        ("${{ inputs.list }}.", '["a",{"b":1.5}].'),
        ("${{ steps.make.outputs.items.0.id }}-${{ run.id }}", "first-r1"),
        ({"a": ["${{ inputs.n }}", {"b": "${{ inputs.env }}"}]}, {"a": [3, {"b": "dev"}]}),
        ({"${{ inputs.env }}": 1}, {"${{ inputs.env }}": 1}),
        ("${{ secrets.TOKEN }}", "${{ secrets.TOKEN }}"),
        ("Bearer ${{ secrets.TOKEN }} ${{ inputs.env }}", "Bearer ${{ secrets.TOKEN }} dev"),
        ("${ inputs.env }", "${ inputs.env }"),
        ("{{ inputs.env }}", "{{ inputs.env }}"),
    ],
)
def test_references_are_filled_in_on_single_values(value: object, expected: object) -> None:
    assert filled(value, SCOPE) == expected


def test_what_is_filled_in_is_not_looked_at_again() -> None:
    assert filled("${{ steps.make.outputs.text }}", SCOPE) == "${{ inputs.env }}"
    assert filled("=${{ steps.make.outputs.text }}", SCOPE) == "=${{ inputs.env }}"


def test_shell_characters_stay_within_their_argument() -> None:
    assert filled(["echo", "${{ inputs.evil }}"], SCOPE) == ["echo", "x; rm -rf / $(id)"]


@pytest.mark.parametrize(
    "text",
    [
        "${{ inputs.nothing }}",
        "${{ steps.make.outputs.items.1 }}",
        "${{ steps.make.outputs.items.-1 }}",
        "${{ steps.other.outputs.x }} and",
        "${{ inputs.env.x }}",
        "is ${{ inputs.none }}",
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        filled(text, SCOPE)


@pytest.mark.parametrize(
    ("template", "values"),
    [
        ("${{ inputs.a }}", {"a": "${{ secrets.T }}"}),
        ("${{ inputs.a }}", {"a": ["x", {"k": "${{secrets.T}}"}]}),
        ("${{ inputs.a }}", {"a": {"${{ secrets.T }}": 1}}),
        ("say ${{ inputs.a }}", {"a": "${{ secrets.T }}"}),
        ("${{ inputs.a }}${{ inputs.b }}", {"a": "${{ sec", "b": "rets.T }}"}),
        ("$${{ inputs.a }}", {"a": "{{ secrets.T }}"}),
        ("${{ secrets.T }} ${{ inputs.a }}", {"a": "${{ secrets.U }}"}),
        ("${{ inputs.a }}secrets.T }}", {"a": "${{"}),
    ],
)
def test_what_comes_from_outside_cannot_name_a_secret(template: str, values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="names a secret"):
        filled(template, {"inputs": values})


PIECES = st.lists(
    st.sampled_from(["$", "{", "{{", "${{", "}}", " ", "secrets", ".T", "secrets.T", "x", "${{ secrets.T }}"]),
    max_size=5,
).map("".join)


@given(
    PIECES,
    PIECES,
    st.sampled_from(["${{ inputs.a }}${{ inputs.b }}", "$${{ inputs.a }}{ ${{ inputs.b }}", "${{ inputs.a }}"]),
)
def test_no_two_pieces_together_make_a_secret_either(one: str, other: str, template: str) -> None:
    try:
        made = filled(template, {"inputs": {"a": one, "b": other}})
    except UsageError:
        return

    assert REFERENCE.search(made) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a ${{ inputs.x }} b ${{ run.id }}", [("inputs.x", (), True), ("run.id", (), True)]),
        ({"k": ["${{ steps.s.outputs.a }}"]}, [("steps.s.outputs.a", ("k", 0), True)]),
        ("${{ }}", [("", (), False)]),
        ("${{ a b }}", [("a b", (), False)]),
        ("${{ inputs..x }}", [("inputs..x", (), False)]),
        ("${{ inputs.x", [("${{ inputs.x", (), False)]),
        ("${{ inputs.${{ x }} }}", [("inputs.${{ x", (), False)]),
        ("nothing }} here", []),
    ],
)
def test_references_are_found_and_the_malformed_told_apart(value: object, expected: list[tuple[object, ...]]) -> None:
    assert [(one.path, one.where, one.is_wellformed) for one in references(value)] == expected


def test_a_reference_in_a_key_is_known_as_one() -> None:
    assert [one.is_key for one in references({"${{ inputs.x }}": "${{ inputs.y }}"})] == [True, False]


def test_a_criterion_is_filled_in_as_a_whole() -> None:
    criterion = Criterion("p/success.1", "file_exists", {"file": "out/${{ inputs.env }}.json"})

    assert filled_criterion(criterion, SCOPE).parameters == {"file": "out/dev.json"}
