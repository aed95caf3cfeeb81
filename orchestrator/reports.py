"""Reads what tools report - tests, coverage, scans - and says whether that is a pass. Never records, never runs a tool.

The form is found by content. What is not understood whole decides nothing: then somebody has to say the result.
"""

import json
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

from orchestrator import strictjson
from orchestrator.errors import UsageError
from orchestrator.names import shown
from orchestrator.xmlreport import JUnit, Rate, read_xml, share

MAX_BYTES = strictjson.MAX_BYTES
"""Largest report that is looked into."""
LEVELS = ("none", "note", "warning", "error")
"""Of SARIF, mildest first."""
FORMS = ("junit", "tap", "cobertura", "coverage-json", "lcov", "sarif", "in-toto", "other")
PASS, FAIL = "pass", "fail"

_TAP_POINT = re.compile(r"(not )?ok\b(?:[ \t]+\d+)?(.*)")
_TAP_PLAN = re.compile(r"1\.\.(\d{1,9})[ \t]*(?:#.*)?")
_TAP_DIRECTIVE = re.compile(r"(?<!\\)#[ \t]*(skip|todo)", re.IGNORECASE)
_TAP_START = re.compile(r"(?:#[^\n]*\n\s*)*(?:TAP version 1[234]|1\.\.\d+|(?:not )?ok(?:[ \t]+(?:\d|-|#)|[ \t]*\n))")
_LCOV_START = re.compile(r"(?:#[^\n]*\n\s*)*(?:TN:[^\n]*\n\s*)?SF:")
_COVERED_AND_TOTAL = (("covered_lines", "covered_branches"), ("num_statements", "num_branches"))
_MAX_TOOL = 80
_DIGITS = 12


class Report(NamedTuple):
    """What a report comes to."""

    form: str
    """One of `FORMS`."""
    result: str | None
    """`pass`, `fail`, or None where the report itself does not say."""
    reason: str
    """Why, in a few words: `120 tests, 2 failed`."""
    summary: dict[str, Any]
    """Counts, for the record: texts, integers and lists of texts."""
    tool: str = ""
    """The tool that names itself; may be empty."""
    media_type: str = "application/octet-stream"


class Limits(NamedTuple):
    """What somebody asks of a report."""

    minimum: Fraction | None = None
    """Percent of lines that must be covered."""
    max_level: str = "warning"
    """The gravest level of SARIF that still passes."""


def read_report(data: bytes, name: str, *, form: str | None = None, limits: Limits | None = None) -> Report:
    """Return what a report comes to. `form` is one of `FORMS`; None finds it by the content.

    Raises:
        UsageError: it is damaged, is not of that form, is too large, or coverage comes without a minimum.
    """
    limits = limits or Limits()
    if form == "other":
        return Report("other", None, "", {})
    if len(data) > MAX_BYTES:
        raise UsageError(f"{name}: {len(data):,} bytes; expected at most {MAX_BYTES:,}")
    seen = form_of(data)
    if form is not None and form != seen and not {form, seen} <= {"junit", "cobertura"}:
        advice = "leave --format out, or say --format other and --result"
        raise UsageError(f"{name} is not of the form {form}", advice=advice)
    report = _READERS[seen](data, name, limits)
    if form is not None and report.form != form:
        raise UsageError(f"{name} is of the form {report.form}, not {form}", advice="leave --format out")
    return report


def form_of(data: bytes) -> str:
    """Return the form that a report seems to have; `junit` stands for every XML."""
    start = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<"):
        return "junit"
    if start.startswith(b"{"):
        return _json_form(data)
    text = data[:65_536].decode("utf-8", "replace").replace("\r\n", "\n").lstrip()
    if _TAP_START.match(text):
        return "tap"
    return "lcov" if _LCOV_START.match(text) else "other"


def _json_form(data: bytes) -> str:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return "other"
    if not isinstance(value, dict):
        return "other"
    if str(value.get("_type", "")).startswith("https://in-toto.io/") or {"payload", "payloadType"} <= value.keys():
        return "in-toto"
    if isinstance(value.get("runs"), list) and "version" in value:
        return "sarif"
    totals = value.get("totals")
    return "coverage-json" if isinstance(totals, dict) and "num_statements" in totals else "other"


def _xml(data: bytes, name: str, limits: Limits) -> Report:
    found = read_xml(data, name)
    if isinstance(found, JUnit):
        return _junit(found)
    if isinstance(found, Rate):
        return _coverage("cobertura", found, name, limits)._replace(media_type="application/xml")
    return Report("other", None, "", {"root": found[:_MAX_TOOL]}, media_type="application/xml")


def _junit(found: JUnit) -> Report:
    summary = {"tests": found.tests, "passed": found.passed, "failed": found.failed, "errors": found.errors}
    summary |= {"skipped": found.skipped} | ({"outside_of_tests": found.outside} if found.outside else {})
    bad = found.failed + found.errors + found.outside
    return _tests("junit", summary, bad)._replace(media_type="application/xml")


def _tests(form: str, summary: dict[str, Any], bad: int, why: str = "") -> Report:
    passed = summary["passed"]
    parts = [f"{passed:,} passed"]
    parts += [f"{bad:,} failed"] if bad else []
    parts += [f"{summary['skipped']:,} skipped"] if summary.get("skipped") else []
    said = ", ".join(parts)
    if not bad and not passed:
        why = why or "no test ran"
    is_pass = not bad and passed > 0 and not why
    reason = f"{why}: {said}" if why else said
    return Report(form, PASS if is_pass else FAIL, reason, summary, media_type="text/plain")


def _tap(data: bytes, _: str, __: Limits) -> Report:
    counts = dict.fromkeys(("tests", "passed", "failed", "skipped", "todo"), 0)
    plans: list[int] = []
    ended = ""
    for line in data.decode("utf-8", "replace").splitlines():  # what is indented is a subtest, summed up by its parent
        if line.startswith("Bail out!"):
            ended = "the tests bailed out"
        elif plan := _TAP_PLAN.fullmatch(line.rstrip()):
            plans.append(int(plan[1]))
        elif point := _TAP_POINT.fullmatch(line.rstrip()):
            counts["tests"] += 1
            counts[_tap_kind(point)] += 1
    if not ended and len(plans) != 1:
        ended = "no plan" if not plans else "several plans"
    elif not ended and plans[0] != counts["tests"]:
        ended = f"{plans[0]:,} tests were planned and {counts['tests']:,} reported"
    return _tests("tap", dict(counts), counts["failed"], ended)


def _tap_kind(point: re.Match[str]) -> str:
    directive = _TAP_DIRECTIVE.search(point[2])
    if directive is None:
        return "failed" if point[1] else "passed"
    if directive[1].lower() == "todo":
        return "todo"
    return "failed" if point[1] else "skipped"


def _coverage(form: str, found: Rate, name: str, limits: Limits) -> Report:
    if limits.minimum is None:
        raise UsageError(
            f"{name} is a coverage report, which by itself is neither a pass nor a failure",
            advice="say what is enough: --min 80",
        )
    percent, least = _percent(found.rate * 100), _percent(limits.minimum)
    summary: dict[str, Any] = {"percent": percent, "minimum": least}
    if found.total is not None:
        summary |= {"covered": found.covered, "total": found.total}
    is_pass = found.rate * 100 >= limits.minimum and found.total != 0
    reason = f"{percent} % covered, {least} % asked for" if found.total != 0 else "no line to cover"
    return Report(form, PASS if is_pass else FAIL, reason, summary)


def _percent(value: Fraction) -> str:
    """Return a percentage rounded down to hundredths: 79.999 is not 80."""
    whole, rest = divmod(int(value * 100), 100)
    return f"{whole}.{rest:02d}".rstrip("0").rstrip(".") if rest else str(whole)


def _coverage_json(data: bytes, name: str, limits: Limits) -> Report:
    totals: Any = _object(strictjson.parse(data, name=name))["totals"]
    count = {key: totals.get(key, 0) for keys in _COVERED_AND_TOTAL for key in keys}
    if not all(type(value) is int and value >= 0 for value in count.values()):
        raise UsageError(f"{name}: totals hold {shown(count)}; expected whole numbers from 0")
    covered, total = (sum(count[key] for key in keys) for keys in _COVERED_AND_TOTAL)
    report = _coverage("coverage-json", share(covered, total, name), name, limits)
    return report._replace(media_type="application/json", tool="coverage.py")


def _lcov(data: bytes, name: str, limits: Limits) -> Report:
    """LF and LH sum a file up; its DA lines are what is true, and where they are there they count."""
    covered = total = 0
    lines: dict[str, bool] = {}
    told = {"LF": 0, "LH": 0}
    is_open = False
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        key, _, value = line.strip().partition(":")
        if key == "SF":
            is_open, lines, told = True, {}, {"LF": 0, "LH": 0}
        elif key == "DA":
            at, hits = (*value.split(","), "")[:2]
            lines[at] = lines.get(at, False) or _number(hits, name, number) > 0
        elif key in told:
            told[key] = _number(value, name, number)
        elif key == "end_of_record":
            is_open = False
            total += len(lines) or told["LF"]
            covered += sum(lines.values()) if lines else told["LH"]
    if is_open:
        raise UsageError(f"{name} ends within a record; expected end_of_record", advice="let the tool write it again")
    return _coverage("lcov", share(covered, total, name), name, limits)._replace(media_type="text/plain")


def _number(text: str, name: str, line: int) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit()) or len(text) > _DIGITS:
        raise UsageError(f"{name}:{line}: {shown(text)}; expected a whole number from 0")
    return int(text)


def _sarif(data: bytes, name: str, limits: Limits) -> Report:
    from orchestrator.sarif import read_sarif

    found = read_sarif(_object(strictjson.parse(data, name=name)), name)
    graver = LEVELS[LEVELS.index(limits.max_level) + 1 :]
    bad = sum(found.counts[level] for level in graver)
    summary: dict[str, Any] = {**found.counts, "suppressed": found.suppressed, "max_level": limits.max_level}
    said = [f"{found.counts[level]:,} of level {level}" for level in reversed(LEVELS) if found.counts[level]]
    reason = ", ".join(said) or "no results"
    if found.suppressed:
        reason += f", {found.suppressed:,} suppressed"
    if found.unfinished:
        reason = f"{found.unfinished}: {reason}"
    result = FAIL if bad or found.unfinished else PASS
    return Report("sarif", result, reason, summary, ", ".join(found.tools)[:_MAX_TOOL], "application/sarif+json")


def _in_toto(_: bytes, __: str, ___: Limits) -> Report:
    """A statement is judged by `orchestrator.statement`, which knows what it has to speak of."""
    return Report("in-toto", None, "", {}, media_type="application/vnd.in-toto+json")


def _other(_: bytes, __: str, ___: Limits) -> Report:
    return Report("other", None, "", {})


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


_READERS: dict[str, Callable[[bytes, str, Limits], Report]] = {
    "junit": _xml,
    "tap": _tap,
    "coverage-json": _coverage_json,
    "lcov": _lcov,
    "sarif": _sarif,
    "in-toto": _in_toto,
    "other": _other,
}
