"""Reads test and coverage reports in XML: JUnit's form and Cobertura's. Counts, and refuses what could hide something.

The parser is the standard library's expat, fed piece by piece. A document type is refused where it begins, and with it
every entity, so nothing is expanded and nothing is fetched.
"""

from fractions import Fraction
from typing import NamedTuple, NoReturn
from xml.parsers import expat  # nothing is built from it but counts; document types are refused below

from orchestrator.errors import UsageError
from orchestrator.names import shown

MAX_DEPTH = 128
"""Elements inside one another."""
_PIECE = 1 << 16
_MAX_DIGITS = 100
"""Of a rate; tools write 17 at most."""
_UTF8_BOM = b"\xef\xbb\xbf"


class JUnit(NamedTuple):
    """What a JUnit report counts."""

    tests: int
    failed: int
    errors: int
    skipped: int
    outside: int
    """Failures and errors that a suite tells of and no test case shows: a crash before or after the tests."""

    @property
    def passed(self) -> int:
        """Tests that ran and passed."""
        return self.tests - self.failed - self.errors - self.skipped


class Rate(NamedTuple):
    """What a coverage report says of lines."""

    rate: Fraction
    """From 0 to 1."""
    covered: int | None = None
    total: int | None = None


def read_xml(data: bytes, name: str) -> JUnit | Rate | str:
    """Return what an XML report says; of a form that is not known here the root element's name.

    Raises:
        UsageError: it is not well-formed, has a document type, or contradicts itself.
    """
    reader = _Reader(name)
    body = data.removeprefix(_UTF8_BOM)
    try:
        for at in range(0, len(body), _PIECE):
            reader.parser.Parse(body[at : at + _PIECE], at + _PIECE >= len(body))
    except expat.ExpatError as error:
        place = f"{name}:{error.lineno}:{error.offset + 1}"
        raise UsageError(f"{place}: this is not well-formed XML: {expat.ErrorString(error.code)}") from error
    except (ValueError, LookupError) as error:
        raise UsageError(f"{name}: this cannot be read as XML: {error}") from error
    return reader.found()


class _Reader:
    """Counts while the parser goes through the elements."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root = ""
        self.attributes: dict[str, str] = {}
        self.depth = 0
        self.case_depth = 0
        self.case: set[str] = set()
        self.counts = dict.fromkeys(("tests", "failure", "error", "skipped"), 0)
        self.seen = 0
        self.told = 0
        self.parser = expat.ParserCreate()
        self.parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.EntityDeclHandler = self._entity
        self.parser.ExternalEntityRefHandler = self._entity
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end

    def _refuse(self, what: str, *, advice: str = "") -> NoReturn:
        line, column = self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber + 1
        raise UsageError(f"{self.name}:{line}:{column}: {what}", advice=advice)

    def _doctype(self, *_: object) -> NoReturn:
        self._refuse(
            "a document type (<!DOCTYPE ...>); expected plain XML without one, since entities could be hidden in it",
            advice="let the tool leave it out, or remove that declaration",
        )

    def _entity(self, *_: object) -> NoReturn:
        self._refuse("an entity; expected plain XML")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        local = tag.rpartition(":")[2]
        if self.depth == 1:
            self.root, self.attributes = local, attributes
        if self.depth > MAX_DEPTH:
            self._refuse(f"more than {MAX_DEPTH} elements inside one another")
        if local in {"testsuite", "testsuites"}:
            self._suite(attributes, is_root=self.depth == 1)
        elif local == "testcase":
            if self.case_depth:
                self._refuse("a test case inside another; expected the form of JUnit")
            self.case_depth, self.case = self.depth, _said(attributes)
        elif local in {"failure", "error"}:
            self.seen += 1
            self.case.add(local)
        elif local in {"skipped", "disabled"} and self.case_depth:
            self.case.add("skipped")

    def _suite(self, attributes: dict[str, str], *, is_root: bool) -> None:
        """Suites repeat their sums on each level; the largest is what must be accounted for."""
        told = sum(self._number(attributes, key) for key in ("failures", "errors"))
        self.told = max(self.told, told)
        if is_root:
            self.root = "testsuites"

    def _number(self, attributes: dict[str, str], key: str) -> int:
        text = attributes.get(key, "").strip() or "0"
        if not (text.isascii() and text.isdigit() and len(text) <= 12):  # noqa: PLR2004  # more tests than anybody has
            self._refuse(f"{key}={shown(text)}; expected a number")
        return int(text)

    def _end(self, _: str) -> None:
        if self.depth == self.case_depth:
            self.case_depth = 0
            self.counts["tests"] += 1
            for kind in ("error", "failure", "skipped"):
                if kind in self.case:
                    self.counts[kind] += 1
                    break
            self.case = set()
        self.depth -= 1

    def found(self) -> JUnit | Rate | str:
        if self.root in {"testsuite", "testsuites"}:
            counts = self.counts
            in_cases = counts["failure"] + counts["error"]
            outside = max(self.told, self.seen) - in_cases
            return JUnit(counts["tests"], counts["failure"], counts["error"], counts["skipped"], max(0, outside))
        if self.root == "coverage" and "line-rate" in self.attributes:
            return self._rate()
        return self.root

    def _rate(self) -> Rate:
        given = self.attributes
        if "lines-valid" in given and "lines-covered" in given:
            total, covered = self._number(given, "lines-valid"), self._number(given, "lines-covered")
            return share(covered, total, self.name)
        text = given["line-rate"]
        whole, _, fraction = text.partition(".")
        is_plain = text.isascii() and whole.isdigit() and (fraction or "0").isdigit() and len(text) <= _MAX_DIGITS
        if not is_plain or Fraction(text) > 1:
            raise UsageError(f"{self.name}: line-rate={shown(text)}; expected a number from 0 to 1")
        return Rate(Fraction(text))


def _said(attributes: dict[str, str]) -> set[str]:
    """Return what a test case says of itself in attributes, as GoogleTest and others do."""
    state = f"{attributes.get('status', '')} {attributes.get('result', '')}".lower().split()
    found = {"skipped"} if {"notrun", "skipped", "suppressed", "disabled"} & set(state) else set()
    return found | ({"failure"} if {"failed", "failure"} & set(state) else set())


def share(covered: int, total: int, name: str) -> Rate:
    """Return the rate of what is covered; of nothing at all none is.

    Raises:
        UsageError: more is covered than there is.
    """
    if covered > total:
        raise UsageError(f"{name}: {covered:,} of {total:,} are covered; expected no more than there are")
    return Rate(Fraction(covered, total) if total else Fraction(0), covered, total)
