"""What `--explain` says of a rule."""

from pathlib import Path

import pytest
from act_world import needs_approval, order, world_in

from orchestrator.explain import explanation, objections
from orchestrator.ledger.store import Ledger


def _row(rule: str, effect: str, *, matches: bool, parts: list[dict[str, object]]) -> dict[str, object]:
    return {"rule": rule, "effect": effect, "source": "p.yaml:3", "matches": matches, "waived": False, "parts": parts}


def _part(selector: str, truth: bool | None, seen: object) -> dict[str, object]:  # noqa: FBT001  # a truth of three values
    return {"selector": selector, "line": 7, "truth": truth, "seen": seen}


def test_a_rule_that_does_not_match_names_only_what_ruled_it_out() -> None:
    parts = [_part("subjects", True, "agent:a"), _part("branches", False, "dev")]

    text = explanation([_row("p/r", "deny", matches=False, parts=parts)])

    assert text == "no match: p/r (deny) p.yaml:3\n  no      branches: dev  :7"


def test_an_unknown_part_says_on_which_side_it_falls() -> None:
    parts = [_part("roles", None, None)]

    strict = explanation([_row("p/r", "deny", matches=True, parts=parts)])
    loose = explanation([_row("p/r", "allow", matches=False, parts=parts)])

    assert "in doubt it counts" in strict
    assert "in doubt it does not allow" in loose


def test_rules_that_match_come_first() -> None:
    rows = [_row("p/a", "deny", matches=False, parts=[]), _row("p/b", "deny", matches=True, parts=[])]

    text = explanation(rows)

    assert text.index("p/b") < text.index("p/a")


def test_no_candidate_is_said_in_words() -> None:
    assert explanation([]) == "no rule is about this action on this resource"


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (("{id: open, effect: allow, actions: '*'}",), ""),
        (
            (
                "{id: open, effect: allow, actions: '*'}",
                "{id: never, effect: deny, actions: post_note, message: not now}",
                "{id: hm, effect: deny, actions: post_note, message: perhaps, level: advisory}",
            ),
            "acme/never: not now",
        ),
        (needs_approval(), "acme/sre"),
    ],
    ids=["allowed", "denied", "waits"],
)
def test_what_objects_is_told_in_one_line(
    tmp_path: Path, sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch, rules: tuple[str, ...], expected: str
) -> None:
    with world_in(tmp_path, sqlite_ledger, monkeypatch) as world:
        world.rules(*rules)
        with world.executor() as executor:
            said = objections(executor.would(order()))

    assert said.startswith(expected)
    assert "perhaps" not in said
    assert bool(said) is bool(expected)
