"""The benchmarks compare like with like: rules are the same text each time, and mean the same to those they are compared with."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from orchestrator import opa
from orchestrator.decide import Policy
from orchestrator.draft import read_draft
from orchestrator.engine import OneShotEngine

Bench: TypeAlias = Callable[[str], Any]
"""Gives a module of the benchmarks by its name."""

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """The benchmarks' modules by name; they are scripts, so their folder has to be named."""
    sys.path.append(str(BENCH))
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(str(BENCH))


def test_the_same_number_of_rules_is_the_same_text(bench: Bench, tmp_path: Path) -> None:
    ruleset = bench("ruleset")

    first, again = (ruleset.write_packs(tmp_path / name, ruleset.rules(1_200)) for name in ("a", "b"))

    contents = [[path.read_bytes() for path in sorted(folder.iterdir())] for folder in (first, again)]
    assert len(contents[0]) == 3
    assert contents[0] == contents[1]
    assert all(write(ruleset.rules(50)) == write(ruleset.rules(50)) for write in (ruleset.rego, ruleset.cedar))


def test_more_rules_are_the_same_rules_and_more(bench: Bench) -> None:
    ruleset = bench("ruleset")

    assert ruleset.rules(1_000)[:25] == ruleset.rules(25)
    assert len({rule.id for rule in ruleset.rules(10_000)}) == 10_000


def test_equal_rules_give_equal_outcomes(bench: Bench, tmp_path: Path) -> None:
    """What a pack allows, its Rego denies nothing of; and the other way round."""
    ruleset = bench("ruleset")
    rules = ruleset.rules(25)
    built = read_draft([str(ruleset.write_packs(tmp_path / "packs", rules))]).bundle()
    bundle, module, asked = tmp_path / "b.tar.gz", tmp_path / "main.rego", tmp_path / "asked.json"
    bundle.write_bytes(built.data)
    module.write_text(ruleset.rego(rules))
    requests = ruleset.requests_of_all_kinds(5)
    asked.write_text(json.dumps({"all": list(requests.values())}))
    query = "[count(found) | some one in input.all; found := data.main.deny with input as one]"

    policy = Policy(OneShotEngine(bundle, opa.find()), built.digest)
    ours = {name: str(policy.decide(request).context["outcome"]) for name, request in requests.items()}
    command = [os.fspath(opa.find()), "eval", "--format=raw", "--data", str(module), "--input", str(asked), query]
    denials = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)

    assert [outcome == "allow" for outcome in ours.values()] == [count == 0 for count in denials]
    assert set(ours.values()) == {"allow", "deny", "pending"}


def test_a_ratio_is_median_over_median_and_its_spread_that_of_the_rounds(bench: Bench) -> None:
    timing = bench("timing")

    found = timing.ratio(timing.Timing((2.0, 4.0, 6.0)), timing.Timing((1.0, 2.0, 2.0)))

    assert found.value == 2.0
    assert found.quartiles == (2.0, 2.5)


def test_turns_alternate_and_warming_up_does_not_count(bench: Bench) -> None:
    order: list[str] = []

    found = bench("timing").in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2, warm_up=1)

    assert "".join(order) in {"abbaab", "baabba"}
    assert [len(timing.values) for timing in found.values()] == [2, 2]


@pytest.mark.parametrize(
    ("measured", "sign", "missing", "cell"),
    [
        (1.1, "<=", "", "yes"),
        (1.3, "<=", "", "**no**"),
        (1.3, ">=", "", "yes"),
        (0, "<=", "no Go", "not measured: no Go"),
    ],
    ids=["below", "above", "at least", "not there"],
)
def test_the_report_says_whether_a_goal_holds(
    bench: Bench, measured: float, sign: str, missing: str, cell: str
) -> None:
    report = bench("report")
    verdict = report.Verdict("speed", measured, 1.2, is_at_least=sign == ">=", missing=missing)

    text = report.markdown(
        [report.Section("T", "About.", verdicts=(verdict,))], [("OPA", "1")], "2026-01-02", is_quick=False
    )

    [row] = [line for line in text.splitlines() if line.startswith("| speed")]
    assert row.endswith(f"| {cell} |")
    assert "on 2026-01-02;" in text
