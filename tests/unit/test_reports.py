"""Reports of tests, coverage and scans: what passes, what fails, and what is refused."""

import json
from fractions import Fraction

import pytest

from orchestrator.errors import UsageError
from orchestrator.reports import FAIL, PASS, Limits, read_report
from orchestrator.sarif import read_sarif

JUNIT = (
    b'<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest" errors="0" failures="0" skipped="1" tests="3">'
    b'<testcase classname="t" name="a" time="0.1"/><testcase name="b"/><testcase name="c"><skipped>why</skipped></testcase>'
    b"</testsuite></testsuites>"
)
SUREFIRE = (
    b'<testsuite name="LoginTest" tests="2" errors="1" skipped="0" failures="0"><properties><property name="x" value="y"/></properties>'
    b'<testcase name="a"/><testcase name="b"><error type="E">trace</error><system-out>&lt;x&gt;</system-out></testcase></testsuite>'
)
EIGHTY = Limits(Fraction(80))


def junit(inner: str, attributes: str = "") -> bytes:
    return f"<testsuites {attributes}><testsuite>{inner}</testsuite></testsuites>".encode()


@pytest.mark.parametrize(
    ("report", "result", "reason"),
    [
        (JUNIT, PASS, "2 passed, 1 skipped"),
        (b"\xef\xbb\xbf" + JUNIT.replace(b"utf-8", b"UTF-8"), PASS, "2 passed, 1 skipped"),
        (SUREFIRE, FAIL, "1 passed, 1 failed"),
        (junit("<testcase><failure/></testcase><testcase/>"), FAIL, "1 passed, 1 failed"),
        (junit(""), FAIL, "no test ran: 0 passed"),
        (junit("<testcase><skipped/></testcase>"), FAIL, "no test ran: 0 passed, 1 skipped"),
        (junit('<testcase status="notrun"/>'), FAIL, "no test ran: 0 passed, 1 skipped"),
        (junit('<testcase result="failed"/><testcase/>'), FAIL, "1 passed, 1 failed"),
        (junit("<testcase/><error>collection</error>"), FAIL, "1 passed, 1 failed"),
        (junit("<testcase/>", 'failures="2"'), FAIL, "1 passed, 2 failed"),
        (junit("<testcase><flakyFailure/></testcase>"), PASS, "1 passed"),
        (b'<x:testsuite xmlns:x="u"><x:testcase/></x:testsuite>', PASS, "1 passed"),
    ],
)
def test_junit_passes_where_a_test_ran_and_none_failed(report: bytes, result: str, reason: str) -> None:
    found = read_report(report, "report.xml")

    assert (found.form, found.result, found.reason) == ("junit", result, reason)


def test_junit_counts_go_into_the_record() -> None:
    assert read_report(SUREFIRE, "x").summary == {"tests": 2, "passed": 1, "failed": 0, "errors": 1, "skipped": 0}


@pytest.mark.parametrize(
    ("report", "problem"),
    [
        (b'<!DOCTYPE x [<!ENTITY a "b">]><testsuite><testcase name="&a;"/></testsuite>', "a document type"),
        (
            b'<?xml version="1.0"?>\n<!DOCTYPE coverage SYSTEM "http://x/y.dtd"><coverage line-rate="1"/>',
            "x.xml:2:[0-9]+: a document type",
        ),
        (b"<testsuite><testcase></testsuite>", "not well-formed XML"),
        (b"<testsuite>", "not well-formed XML"),
        (b"<testsuite>&nbsp;<testcase/></testsuite>", "not well-formed XML"),
        (b"<testsuite>" * 200, "more than 128 elements"),
        (junit("<testcase/>", 'failures="many"'), "expected a number"),
        (junit("<testcase><testcase/></testcase>"), "a test case inside another"),
        (b'<?xml version="1.0" encoding="no-such"?><testsuite/>', "XML"),
        (b"<testsuite>\xff</testsuite>", "not well-formed XML"),
        (b'<coverage line-rate="0.%s"/>' % (b"9" * 5000), "expected a number from 0 to 1"),
    ],
    ids=["entities", "doctype", "unclosed", "cut", "entity", "deep", "number", "nested", "encoding", "bytes", "digits"],
)
def test_xml_that_could_hide_something_is_refused(report: bytes, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        read_report(report, "x.xml", limits=EIGHTY)


@pytest.mark.parametrize(
    ("report", "result", "reason"),
    [
        ("TAP version 13\n1..2\nok 1 - a\nok 2\n", PASS, "2 passed"),
        ("1..3\nok\nok 2 # SKIP no network\nnot ok 3 # TODO later\n", PASS, "1 passed, 1 skipped"),
        ("ok 1\nnot ok 2 - x\n1..2\n", FAIL, "1 passed, 1 failed"),
        ("1..3\nok 1\nok 2\n", FAIL, "3 tests were planned and 2 reported: 2 passed"),
        ("ok 1\nok 2\n", FAIL, "no plan: 2 passed"),
        ("1..1\nok 1\nBail out! disk full\n", FAIL, "the tests bailed out: 1 passed"),
        ("1..0 # skip all\n", FAIL, "no test ran: 0 passed"),
        ("TAP version 14\n1..1\n# Subtest: a\n    not ok 1\n    1..1\nok 1 - a\n", PASS, "1 passed"),
        ("1..1\nnot ok 1 # SKIP but it failed\n", FAIL, "0 passed, 1 failed"),
        ("1..1\r\nok 1 - windows\r\n", PASS, "1 passed"),
    ],
)
def test_tap(report: str, result: str, reason: str) -> None:
    found = read_report(report.encode(), "report.tap")

    assert (found.form, found.result, found.reason) == ("tap", result, reason)


COBERTURA = '<coverage line-rate="{}" branch-rate="0" {}><packages/></coverage>'
LCOV = "TN:\nSF:a.py\nDA:1,1\nDA:2,0\nDA:3,5\nDA:4,1\nDA:5,1\nLF:5\nLH:4\nend_of_record\n"


@pytest.mark.parametrize(
    ("report", "form", "result", "reason"),
    [
        (COBERTURA.format("0.8", ""), "cobertura", PASS, "80 % covered, 80 % asked for"),
        (COBERTURA.format("0.7999999", ""), "cobertura", FAIL, "79.99 % covered, 80 % asked for"),
        (COBERTURA.format("0.99", 'lines-valid="10" lines-covered="7"'), "cobertura", FAIL, "70 % covered, 80 % asked for"),
        (COBERTURA.format("1", 'lines-valid="0" lines-covered="0"'), "cobertura", FAIL, "no line to cover"),
        (json.dumps({"meta": {}, "totals": {"covered_lines": 9, "num_statements": 10}}), "coverage-json", PASS, "90 % covered, 80 % asked for"),
        (
            json.dumps({"totals": {"covered_lines": 9, "num_statements": 10, "covered_branches": 0, "num_branches": 10}}),
            "coverage-json", FAIL, "45 % covered, 80 % asked for",
        ),
        (LCOV, "lcov", PASS, "80 % covered, 80 % asked for"),
        (LCOV.replace("LH:4", "LH:5").replace("DA:4,1", "DA:4,0"), "lcov", FAIL, "60 % covered, 80 % asked for"),
        ("SF:a.py\nLF:4\nLH:4\nend_of_record\n", "lcov", PASS, "100 % covered, 80 % asked for"),
    ],
)  # fmt: skip
def test_coverage_passes_from_what_is_asked_for(report: str, form: str, result: str, reason: str) -> None:
    found = read_report(report.encode(), "coverage", limits=EIGHTY)

    assert (found.form, found.result, found.reason) == (form, result, reason)


@pytest.mark.parametrize(
    ("report", "problem"),
    [
        (COBERTURA.format("1", ""), "neither a pass nor a failure"),
        (LCOV, "neither a pass nor a failure"),
    ],
)
def test_coverage_needs_a_minimum(report: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        read_report(report.encode(), "coverage")

    assert "--min" in caught.value.advice


@pytest.mark.parametrize(
    ("report", "problem"),
    [
        (COBERTURA.format("1.5", ""), "expected a number from 0 to 1"),
        (COBERTURA.format("nan", ""), "expected a number from 0 to 1"),
        (COBERTURA.format("1", 'lines-valid="3" lines-covered="4"'), "4 of 3"),
        (json.dumps({"totals": {"covered_lines": "9", "num_statements": 10}}), "whole numbers"),
        ("SF:a.py\nDA:1,1\n", "ends within a record"),
        ("SF:a.py\nDA:1,x\nend_of_record\n", "coverage:2: 'x'"),
    ],
)
def test_coverage_that_cannot_be_is_refused(report: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        read_report(report.encode(), "coverage", limits=EIGHTY)


def sarif(*results: dict[str, object], **run: object) -> bytes:
    rules = [{"id": "r", "defaultConfiguration": {"level": "error"}}, {"id": "s"}]
    one = {"tool": {"driver": {"name": "scan", "rules": rules}}, "results": list(results), **run}
    return json.dumps({"version": "2.1.0", "runs": [one]}).encode()


@pytest.mark.parametrize(
    ("report", "result", "reason"),
    [
        (sarif(), PASS, "no results"),
        (sarif({"level": "warning"}, {"level": "note"}), PASS, "1 of level warning, 1 of level note"),
        (sarif({"level": "error"}), FAIL, "1 of level error"),
        (sarif({"ruleId": "r"}), FAIL, "1 of level error"),
        (sarif({"ruleIndex": 0}), FAIL, "1 of level error"),
        (sarif({"rule": {"id": "r"}}), FAIL, "1 of level error"),
        (sarif({"ruleId": "s"}), PASS, "1 of level warning"),
        (sarif({"ruleId": "r", "kind": "pass"}), PASS, "1 of level none"),
        (sarif({"level": "error", "suppressions": [{"kind": "inSource"}]}), PASS, "no results, 1 suppressed"),
        (sarif({"level": "error", "suppressions": [{"status": "underReview"}]}), FAIL, "1 of level error"),
        (sarif({"level": "error", "suppressions": []}), FAIL, "1 of level error"),
        (sarif({"level": "error", "baselineState": "absent"}), PASS, "no results"),
        (sarif(invocations=[{"executionSuccessful": False}]), FAIL, "the scan did not run to its end: no results"),
        (sarif(results=None), FAIL, "a run without results: no results"),
        (b'{"version": "2.1.0", "runs": []}', FAIL, "no run in it: no results"),
    ],
)
def test_sarif_passes_without_errors(report: bytes, result: str, reason: str) -> None:
    found = read_report(report, "scan.sarif")

    assert (found.form, found.result, found.reason) == ("sarif", result, reason)


def test_sarif_names_its_tool_and_can_be_judged_more_strictly() -> None:
    found = read_report(sarif({"level": "warning"}), "scan.sarif", limits=Limits(max_level="note"))

    assert (found.tool, found.result, found.summary["warning"]) == ("scan", FAIL, 1)


def test_sarif_of_an_extensions_rule() -> None:
    tool = {
        "driver": {"name": "d"},
        "extensions": [{"name": "e", "rules": [{"id": "x", "defaultConfiguration": {"level": "note"}}]}],
    }
    result = {"rule": {"index": 0, "toolComponent": {"index": 0}}}

    found = read_sarif({"version": "2.1.0", "runs": [{"tool": tool, "results": [result]}]}, "x")

    assert found.counts["note"] == 1


@pytest.mark.parametrize(
    ("report", "problem"),
    [
        (b'{"version": "1.0.0", "runs": []}', "expected version 2.1.0"),
        (sarif({"level": "fatal"}), "a result of level 'fatal'"),
        (sarif({"level": ["none"]}), "a result of level a list"),
        (b'{"version": "2.1.0", "runs": [], "runs": []}', "stands twice"),
    ],
)
def test_sarif_that_is_not_understood_is_refused(report: bytes, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        read_report(report, "scan.sarif")


@pytest.mark.parametrize(
    "report",
    [
        b"",
        b"\x00\x01",
        b"hello",
        b"{",
        b"[1]",
        b'{"a": 1}',
        b"ok then",
        b"<html><body/></html>",
        b"%PDF-1.7",
        b"\n" * 60_000 + b"x",
        b"#\n" * 30_000,
    ],
)
def test_what_is_of_no_known_form_decides_nothing(report: bytes) -> None:
    found = read_report(report, "x")

    assert (found.form, found.result) == ("other", None)


@pytest.mark.parametrize(
    ("form", "report"), [("junit", COBERTURA.format("1", "").encode()), ("tap", JUNIT), ("sarif", b"{}")]
)
def test_a_form_that_is_named_must_be_the_reports(form: str, report: bytes) -> None:
    with pytest.raises(UsageError, match="form"):
        read_report(report, "x", form=form, limits=EIGHTY)


def test_other_looks_into_nothing() -> None:
    assert read_report(SUREFIRE, "x", form="other").result is None
