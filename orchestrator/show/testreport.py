"""What `orch policy test` found, for a person and for machines: text, JSON, JUnit, TAP. Shows; never decides."""

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, TextIO

from orchestrator.policytest import CaseResult, Report, Suite
from orchestrator.show.escape import json_text, tap, terminal, visible, xml, xml_attribute, yaml
from orchestrator.words import counted

_WIDTH = 80
_NO_TESTS = "no tests: a pack that nobody tests may do anything"


@dataclass(frozen=True, slots=True)
class Point:
    """One line of the report: a case, a Rego test, or whether a rule is tested."""

    kind: str
    """`case`, `rego` or `rule`."""
    name: str
    where: str
    """`file:line`, or ""."""
    is_ok: bool
    lines: tuple[str, ...] = ()
    """What is wrong, one thing a line."""
    is_skipped: bool = False
    is_error: bool = False

    @property
    def mark(self) -> str:
        """What stands before it in text."""
        return "·" if self.is_skipped else "✓" if self.is_ok else "✗" if self.kind != "rule" else "○"


def write(report: Report, out: TextIO, output_format: str = "text", *, is_full: bool = False) -> None:
    """Write a report in one of FORMATS; text names what passed only if `is_full`.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    if output_format == "text":
        _text(report, out, is_full=is_full)
    else:
        _FOR_MACHINES[output_format](report, out)


def points(suite: Suite) -> Iterator[Point]:
    """Give everything there is to say of a suite, in the order it is shown."""
    for case in suite.cases:
        yield _case(case)
    for test in suite.rego:
        is_ok = test.outcome in {"pass", "skip"}
        lines = () if is_ok else (test.message or "it is not true; `opa test -v` shows what was compared",)
        yield Point(
            "rego", test.name, f"{test.file}:{test.row}", is_ok, lines, test.outcome == "skip", test.outcome == "error"
        )
    for rule in suite.rules:
        yield Point("rule", rule.name, str(rule.source), rule.is_tested, (rule.gap,) if rule.gap else ())
    for pack in suite.untested_modules:
        yield Point("rule", f"{pack}: hand-written modules", "", is_ok=False, lines=("no `_test.rego` beside them",))
    if suite.is_empty:
        yield Point("rule", suite.path, "", is_ok=False, lines=(_NO_TESTS,))


def _case(case: CaseResult) -> Point:
    lines = tuple(map(str, case.mismatches))
    is_error = any(each.what == "error" for each in case.mismatches)
    return Point("case", case.name, str(case.source), case.is_passed, lines, is_error=is_error)


def _text(report: Report, out: TextIO, *, is_full: bool) -> None:
    is_ascii = not (getattr(out, "encoding", None) or "utf-8").lower().startswith("utf")
    for suite in report.suites:
        shown = [point for point in points(suite) if is_full or not point.is_ok]
        out.write(terminal(f"{suite.path}: {_summary(suite)}", ascii_only=is_ascii) + "\n")
        for point in shown:
            out.writelines(line + "\n" for line in _lines(point, is_ascii=is_ascii))
        if shown:
            out.write("\n")
    out.write(_verdict(report) + "\n")


def _lines(point: Point, *, is_ascii: bool) -> Iterator[str]:
    mark = {"·": "-", "✓": "+", "✗": "x", "○": "o"}[point.mark] if is_ascii else point.mark
    name = terminal(point.name, ascii_only=is_ascii)
    yield f"  {mark} {name}"
    if not point.is_ok and point.where:
        yield f"      {terminal(point.where, ascii_only=is_ascii)}"
    for line in point.lines:
        said = terminal(" ".join(line.split()), ascii_only=is_ascii)
        yield from textwrap.wrap(
            said,
            _WIDTH,
            initial_indent=" " * 6,
            subsequent_indent=" " * 8,
            break_long_words=False,
            break_on_hyphens=False,
        )


def _summary(suite: Suite) -> str:
    parts = []
    if suite.cases:
        passed = sum(case.is_passed for case in suite.cases)
        parts.append(f"{passed} of {counted(len(suite.cases), 'case')}")
    if suite.rego:
        passed = sum(test.outcome == "pass" for test in suite.rego)
        parts.append(f"{passed} of {counted(len(suite.rego), 'Rego test')}")
    tested = len(suite.rules) - len(suite.untested)
    verdict = f"{', '.join(parts)} passed" if parts else "no tests"
    return f"{verdict}; {tested} of {counted(len(suite.rules), 'rule')} tested"


def _verdict(report: Report) -> str:
    failed = sum(suite.failed for suite in report.suites)
    gaps = sum(len(suite.untested) + len(suite.untested_modules) + suite.is_empty for suite in report.suites)
    if failed:
        more = f", and {counted(gaps, 'gap')} in what is tested" if gaps else ""
        return f"failed: {counted(failed, 'test')}{more}"
    if not gaps:
        return "ok"
    if report.allow_untested:
        return f"ok, with {counted(gaps, 'gap')} in what is tested"
    return (
        f"failed: {counted(gaps, 'gap')} in what is tested\n"
        "Each rule needs a case that makes it match and one that does not; with\n"
        "--allow-untested that is only told."
    )


def _json(report: Report, out: TextIO) -> None:
    answer = {"ok": report.is_ok, "suites": [_suite_json(suite) for suite in report.suites]}
    out.write(json_text(answer, indent=2) + "\n")


def _suite_json(suite: Suite) -> dict[str, Any]:
    return {
        "path": suite.path,
        "packs": list(suite.packs),
        "failed": suite.failed,
        "cases": [
            {
                "name": case.name,
                "source": str(case.source),
                "passed": case.is_passed,
                "mismatches": [
                    {"what": each.what, "expected": each.expected, "got": each.got} for each in case.mismatches
                ],
                "matched": sorted(case.matched),
            }
            for case in suite.cases
        ],
        "rego": [
            {"name": test.name, "package": test.package, "source": f"{test.file}:{test.row}", "outcome": test.outcome}
            | ({"message": test.message} if test.message else {})
            for test in suite.rego
        ],
        "rules": [
            {
                "name": rule.name,
                "effect": rule.effect,
                "source": str(rule.source),
                "tested": rule.is_tested,
                "matching": list(rule.matching),
                "not_matching": list(rule.sparing),
            }
            for rule in suite.rules
        ],
        "untested_modules": list(suite.untested_modules),
    }


def _junit(report: Report, out: TextIO) -> None:
    found = [(suite, list(points(suite))) for suite in report.suites]
    everything = [point for _, of_suite in found for point in of_suite]
    out.write(f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites {_counts(everything, report)}>\n')
    for suite, of_suite in found:
        out.write(f'<testsuite name="{xml_attribute(suite.path)}" {_counts(of_suite, report)}>\n')
        out.writelines(_junit_case(point, report) for point in of_suite)
        out.write("</testsuite>\n")
    out.write("</testsuites>\n")


def _counts(found: list[Point], report: Report) -> str:
    bad = [point for point in found if not _passes(point, report)]
    errors = sum(point.is_error for point in bad)
    skipped = sum(point.is_skipped for point in found)
    return f'tests="{len(found)}" failures="{len(bad) - errors}" errors="{errors}" skipped="{skipped}" time="0"'


def _junit_case(point: Point, report: Report) -> str:
    file = PurePath(point.where.rpartition(":")[0]).as_posix() if point.where else ""
    classname = " ".join(filter(None, (point.kind, file)))
    head = f'<testcase classname="{xml_attribute(classname)}" name="{xml_attribute(point.name)}" time="0"'
    if point.is_skipped:
        return head + "><skipped/></testcase>\n"
    if not point.lines:
        return head + "/>\n"
    text = xml("\n".join((*map(visible, point.lines), visible(point.where))))
    if _passes(point, report):
        return f"{head}><system-out>{text}</system-out></testcase>\n"
    verdict = "error" if point.is_error else "failure"
    said = f'type="{point.kind}" message="{xml_attribute(point.lines[0])}"'
    return f"{head}><{verdict} {said}>{text}</{verdict}></testcase>\n"


def _tap(report: Report, out: TextIO) -> None:
    found = [point for suite in report.suites for point in points(suite)]
    out.write(f"TAP version 14\n1..{len(found)}\n")
    for number, point in enumerate(found, start=1):
        verdict = "ok" if _passes(point, report) else "not ok"
        skip = " # SKIP" if point.is_skipped else ""
        out.write(f"{verdict} {number} - {tap(f'{point.kind}: {point.name}')}{skip}\n")
        if point.lines:
            out.write("  ---\n")
            out.write(f"  at: {yaml(point.where)}\n  problems:\n")
            out.writelines(f"    - {yaml(line)}\n" for line in point.lines)
            out.write("  ...\n")


def _passes(point: Point, report: Report) -> bool:
    return point.is_ok or (point.kind == "rule" and report.allow_untested)


_FOR_MACHINES: dict[str, Callable[[Report, TextIO], None]] = {"json": _json, "junit": _junit, "tap": _tap}
FORMATS = ("text", *_FOR_MACHINES)
"""The name of every format."""
