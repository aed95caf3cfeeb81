"""What the model of a plan refuses hides nothing else that is wrong: all that can be judged is told at once."""

import pytest

from orchestrator.plans.abilities import Abilities
from orchestrator.plans.read import check_text

HEAD = "apiVersion: orch/v1\nkind: Plan\nmetadata: {name: p}\n"
CAN = Abilities({"command": frozenset({"run_command"})})
WHOLE = """\
apiVersion: orch/v1
kind: Plan
metadata: {name: p, version: 1.0.0, title: x}
inputs: {file: {default: x, one_of: [x, y]}, type: {type: integer, default: 3}, id: {}}
defaults: {timeout: 30m, retry: {attempts: 2, wait: 1s, factor: 2, most: 1m, errors: [transient]}}
approvals: {role: operator, count: 1}
on_failure: stop
tracking: {github: {repository: acme/web, labels: [a], title: b}}
reports: out
phases:
  - id: a
    title: b
    timeout: 1h
    retry: {attempts: 2}
    gate: auto
    if: {inputs.file: {in: [x]}}
    steps:
      - id: s
        action: run_command
        with: {argv: [a]}
        adapter: command
        on_failure: {steps: [{id: t, action: run_command}]}
        on_unknown: hold
        timeout: 5m
        replayable: true
        estimates: {usd: 0.5}
        errors: {75: transient}
    success:
      - json_schema: {file: a, schema: b}
      - metric_threshold: {file: a, path: b, min: 1}
      - tests_reported: {file: a, format: tap}
      - command_succeeds: {argv: [a], timeout: 1m}
    compensate: [{id: u, action: run_command}]
  - {id: b, needs: [a], gate: manual}
"""


def told(text: str) -> list[str]:
    return [str(one) for one in check_text((HEAD + text).encode(), "p.yaml", CAN).problems]


def test_an_unknown_key_hides_no_circle_no_action_and_no_repeated_id() -> None:
    found = told(
        "phases:\n"
        "  - {id: a, needs: b, steps: {id: s, action: run_comand, wit: {argv: [a]}}}\n"
        "  - {id: b, needs: a, steps: {id: s, action: run_command}}\n"
    )

    assert [one.partition(": ")[2].partition(";")[0] for one in found] == [
        "phases that need one another: a -> b -> a",
        "the unknown action `run_comand`",
        "the unknown key `wit`",
        "a second step `s`",
    ]
    assert [one.partition(": ")[0] for one in found] == ["p.yaml:5:13", "p.yaml:5:46", "p.yaml:5:58", "p.yaml:6:35"]


def test_what_stands_under_a_misspelt_key_is_judged_as_if_it_were_spelt() -> None:
    found = told("phases:\n  - {id: a, gate: manual}\n  - {id: b, neds: [a, c], gate: manual}\n")

    assert found[0].startswith("p.yaml:6:13: the unknown key `neds`; expected `needs`")
    assert found[1].startswith("p.yaml:6:23: the need `c`, which is no phase")
    assert len(found) == 2


@pytest.mark.parametrize(
    "text",
    [
        "phases: [{id: a, tasks: 3}]\n",
        "phases: [{id: a, needs: b, gate: manual}, {title: x, id: b, success: [{foo: 1}]}]\n",
        "inputs: {x: {type: txt, default: 3}}\nphases: [{id: a, gate: manual}]\n",
        "phases: [{id: a, timeout: 3, steps: {id: s, action: run_command, timeout: 2h}}]\n",
        "phases: [{gate: manual}]\n",
        "phases: [{id: a, steps: [{id: s}]}]\n",
        "phases: [{id: a, steps: [3, {id: s, action: run_command}]}]\n",
        "phases: [{id: a, success: [{metric_exists: {path: a}}]}]\n",
        "tracking: {}\nphases: [{id: a, gate: manual}]\n",
    ],
)
def test_what_only_follows_from_something_wrong_is_not_told(text: str) -> None:
    assert len(told(text)) == 1


def test_each_wrong_item_of_a_list_is_told() -> None:
    found = told("phases:\n  - {id: a, needs: [A, B], gate: manual}\n")

    assert [one.partition(": ")[0] for one in found] == ["p.yaml:5:21", "p.yaml:5:24"]


def test_of_another_version_of_the_format_nothing_is_guessed() -> None:
    text = "apiVersion: orch/v2\nkind: Plan\nmetadata: {name: p}\nphases: [{id: a, needs: b}]\n"

    [found] = check_text(text.encode(), "p.yaml", CAN).problems

    assert found.seen == "`orch/v2`"


def _variants() -> list[str]:
    """The whole plan with one of its lines changed, each in many ways."""
    lines = WHOLE.splitlines()
    found = []
    for at, line in enumerate(lines):
        key, _, value = line.partition(":")
        wrongs = ("3", "[]", "{}", "[3]", "{x: 3}", "text", "", "[{a: 1}]", "true")
        words = ("x", "a", "1", "id", "file", "path", "timeout", "argv", "type")
        changed = [f"{key}: {wrong}" for wrong in wrongs]
        changed += [f"{key}x:{value}"]
        changed += [line.replace(f"{word}: ", "oddly: ") for word in words]
        changed += [line.replace(f"{word}: ", f"{word}: {{}}, or: ") for word in words]
        found += ["\n".join([*lines[:at], each, *lines[at + 1 :]]) + "\n" for each in changed]
    return sorted(set(found))


def test_whatever_is_wrong_is_told_with_its_place() -> None:
    for text in _variants():
        checked = check_text(text.encode(), "p.yaml", CAN)

        assert (checked.plan is None) is any(not one.is_warning for one in checked.problems), text
        assert all(one.line for one in checked.problems), text
