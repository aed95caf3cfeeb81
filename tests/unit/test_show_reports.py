"""JUnit, TAP and Markdown, read back by what reads them."""

import io
import json
import re
import xml.etree.ElementTree as ET

import pytest
import yaml
from markdown_it import MarkdownIt
from show_examples import SINGLE, denied, hostile, many, pending, undecidable, waived, warned

from orchestrator.decision import Decision
from orchestrator.show import Options, writer_for
from orchestrator.show.markdown import Report

TEST_POINT = re.compile(r"(not )?ok (\d+) - (?:[^#\\]|\\.)*")


def shown(name: str, *decisions: Decision) -> str:
    out = io.StringIO()
    writer_for(name).write(decisions, out, Options())
    return out.getvalue()


def suite(*decisions: Decision) -> ET.Element:
    found = ET.fromstring(shown("junit", *decisions)).find("testsuite")  # noqa: S314  # our own
    assert found is not None
    return found


def test_junit_counts_what_it_holds() -> None:
    found = suite(*many())

    assert [found.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["10", "4", "1", "0"]
    assert [len(found.findall(path)) for path in ("testcase", "testcase/failure", "testcase/error")] == [10, 4, 1]


@pytest.mark.parametrize(
    ("made", "tag", "kind"),
    [
        pytest.param(denied(), "failure", "denied", id="denied"),
        pytest.param(pending(), "failure", "pending", id="pending"),
        pytest.param(undecidable(), "error", "undecidable", id="undecidable"),
        pytest.param(warned(), "system-out", None, id="warned"),
        pytest.param(waived(), "system-out", None, id="waived"),
    ],
)
def test_junit_fails_only_what_blocks(made: Decision, tag: str, kind: str | None) -> None:
    (result,) = suite(made)[0]

    assert (result.tag, result.get("type")) == (tag, kind)


def test_junit_is_read_by_junitparser() -> None:
    junitparser = pytest.importorskip("junitparser")
    (read,) = list(junitparser.JUnitXml.fromstring(shown("junit", *many(), hostile()).encode()))

    assert (read.tests, read.failures, read.errors, len(list(read))) == (11, 5, 1, 11)
    assert {case.classname for case in read if case.name == "requests.jsonl:3"} == {"open_pr/acme/web"}


def test_tap_is_fourteen_with_the_plan_last() -> None:
    lines = shown("tap", *many(), hostile()).splitlines()

    assert (lines[0], lines[-1]) == ("TAP version 14", "1..11")
    points = [line for line in lines[1:-1] if not line.startswith("  ")]
    assert [int(match[2]) for line in points if (match := TEST_POINT.fullmatch(line))] == list(range(1, 12))
    assert [line.startswith("ok") for line in points] == [
        True,
        True,
        False,
        False,
        True,
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def test_tap_diagnostics_are_yaml() -> None:
    text = shown("tap", *many(), hostile())

    blocks = re.findall(r"^  ---\n(.*?)^  \.\.\.\n", text, re.MULTILINE | re.DOTALL)
    read = [yaml.safe_load(re.sub(r"^  ", "", block, flags=re.MULTILINE)) for block in blocks]
    assert [block["outcome"] for block in read] == ["deny", "pending", "allow", "allow", "deny", "deny", "deny", "deny"]
    assert read[0]["findings"][0]["file_count"] == 7


def test_markdown_tells_warned_and_waived_from_denied() -> None:
    assert "- **warned, does not block** `repo:web/small-changes`" in shown("markdown", warned())
    assert "- **waived, does not block** `acme-baseline/no-lock-files`" in shown("markdown", waived())


def test_markdown_stays_what_it_is_with_hostile_text() -> None:
    """No link, no HTML but ours, no mention outside code, and the table keeps its columns."""
    text = shown("markdown", hostile())
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(text)
    outside_code = re.sub(r"<code>.*?</code>", "", rendered, flags=re.DOTALL)

    assert not set(re.findall(r"<(\w+)", rendered)) - {
        "h2",
        "h3",
        "p",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "ul",
        "li",
        "code",
        "strong",
        "em",
        "sub",
    }
    assert rendered.count("<td>") == 4
    assert not re.search(r"[@#]\w", outside_code)
    assert len(re.findall("^<h3>", rendered, re.MULTILINE)) == 1


def test_a_report_with_a_limit_counts_what_it_leaves_out() -> None:
    out = io.StringIO()
    with Report(Options(), limit_bytes=10_000) as report:
        for _ in range(100):
            report.add(denied())
        report.copy_to(out)

    assert len(out.getvalue().encode()) <= 10_000
    assert "## Policy: 100 requests: 100 denied" in out.getvalue()
    assert re.search(r"_\d+ requests more left out: the report has reached its size limit._", out.getvalue())


@pytest.mark.parametrize("kind", SINGLE)
def test_json_is_the_stable_answer(kind: str) -> None:
    made = SINGLE[kind]()
    out = io.StringIO()
    writer_for("json").write([made], out, Options(is_single=True))

    assert json.loads(out.getvalue()) == made.to_json()


def test_json_of_several_is_an_array_and_jsonl_a_line_each() -> None:
    expected = [made.to_json() for made in many()]

    assert json.loads(shown("json", *many())) == expected
    assert [json.loads(line) for line in shown("jsonl", *many()).splitlines()] == expected


def test_json_is_an_array_of_one_when_several_were_asked_for() -> None:
    assert json.loads(shown("json", denied())) == [denied().to_json()]
