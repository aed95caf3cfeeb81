"""What an installation and its packs can do decides which actions and meters a plan may name."""

from pathlib import Path

import pytest
from plan_text import CAN, step, told, warned

from orchestrator.plans.abilities import Abilities, abilities
from orchestrator.plans.permitted import abilities_under


@pytest.mark.parametrize(
    ("action", "can", "expected"),
    [
        ("run_comand", CAN, "the unknown action `run_comand`; expected one that an installed adapter does (did you mean `run_command`?)"),
        ("open_pr", CAN, "the action `open_pr`, which no installed adapter does"),
        ("rotate_key", CAN._replace(declared=frozenset({"other"})), "the action `rotate_key`, which no pack declares"),
    ],
)  # fmt: skip
def test_an_action_that_cannot_be_done_is_refused(action: str, can: Abilities, expected: str) -> None:
    [found] = told(f"phases: [{{id: a, steps: {{id: s, action: {action}}}}}]\n", can)

    assert expected in found
    assert found.startswith("p.yaml:4:")


@pytest.mark.parametrize(
    ("action", "can", "expected"),
    [
        ("rotate_key", CAN, ["the action `rotate_key`, which is not built in; expected a pack that declares it"]),
        ("rotate_key", CAN._replace(declared=frozenset({"rotate_key"})), []),
        ("send_message", CAN, []),
        ("write_document", CAN, ["write_document, which git or github can do; expected `adapter: git`"]),
        ("comment", CAN, []),
        (
            "nope",
            CAN._replace(broken=frozenset({"x"})),
            ["the action `nope`, which no adapter that can be loaded does"],
        ),
    ],
)
def test_what_is_doubtful_about_an_action_is_a_warning(action: str, can: Abilities, expected: list[str]) -> None:
    found = warned(f"phases: [{{id: a, steps: {{id: s, action: {action}}}}}]\n", can)

    assert len(found) == len(expected)
    assert all(each in one for each, one in zip(expected, found, strict=True)), found


def test_a_meter_that_nobody_knows_is_a_warning_and_with_packs_an_error() -> None:
    text = step("estimates: {usdd: 1}")

    assert "did you mean `usd`?" in warned(text)[0]
    assert "which no pack declares" in told(text, CAN._replace(meters=frozenset(), declared=frozenset()))[0]


def test_packs_say_which_actions_and_meters_there_are(tmp_path: Path) -> None:
    pack = "apiVersion: orch/v1\nkind: PolicyPack\nmetadata: {name: x}\ndefault: deny\ndeclares: {actions: rotate_key, meters: gpu}\nrules: []\n"
    (tmp_path / "x.yaml").write_text(pack.replace("rules: []\n", "rules: {id: r, effect: deny, actions: rotate_key}\n"))

    can = abilities_under([str(tmp_path)])

    assert can.is_permitted("rotate_key") is True
    assert can.is_permitted("rotate_keys") is False
    assert (can.is_meter("gpu"), can.is_meter("cpu"), can.is_meter("usd")) == (True, False, True)
    assert (abilities().is_permitted("rotate_key"), abilities().is_meter("gpu")) == (None, None)
