"""Success criteria: met or not, what was seen and what was expected; files are never left, numbers are exact."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapter import ErrorClass
from orchestrator.order import Done, Order, State
from orchestrator.plans.checks import Result, check
from orchestrator.plans.files import MAX_BYTES
from orchestrator.plans.model import Criterion


def nobody(order: Order) -> Done:
    raise AssertionError(f"nothing runs here: {order}")


def checked(root: Path, kind: str, /, **parameters: Any) -> Result:  # noqa: ANN401  # JSON
    return check(Criterion("a/success.1", kind, parameters), root, nobody)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A run's root with a few files, beside something that is not to be seen."""
    folder = tmp_path / "root"
    (folder / "out").mkdir(parents=True)
    (folder / "out" / "full").write_text("x")
    (folder / "out" / "empty").write_text("")
    (folder / "out" / "inner").symlink_to("full")
    (folder / "out" / "outer").symlink_to(tmp_path / "secret")
    (folder / "out" / "nowhere").symlink_to("gone")
    (folder / "away").symlink_to(tmp_path)
    (tmp_path / "secret").write_text('{"a": 1}')
    return folder


@pytest.mark.parametrize(
    ("file", "exists", "has_content", "seen"),
    [
        ("out/full", True, True, "a file of 1 byte"),
        ("./out/full", True, True, "a file of 1 byte"),
        ("out/empty", True, False, "an empty file"),
        ("out/inner", True, True, "a file of 1 byte"),
        ("out/gone", False, False, "no such file"),
        ("out/nowhere", False, False, "no such file"),
        ("out/full/x", False, False, "no such file"),
        ("out", False, False, "'out' is no regular file; expected a file"),
        ("out/outer", False, False, "'out/outer' leads outside of the run's root; expected a file below it"),
        ("away/secret", False, False, "'away/secret' leads outside of the run's root; expected a file below it"),
        ("../secret", False, False, "the file is '../secret'"),
        ("/etc/passwd", False, False, "the file is '/etc/passwd'"),
    ],
)
def test_files_are_looked_for_below_the_root_only(
    root: Path,
    file: str,
    exists: bool,  # noqa: FBT001  # a case
    has_content: bool,  # noqa: FBT001  # a case
    seen: str,
) -> None:
    found, full = checked(root, "file_exists", file=file), checked(root, "file_not_empty", file=file)

    assert (found.passed, full.passed) == (exists, has_content)
    assert found.seen.startswith(seen)
    assert full.seen.startswith(seen)
    assert found.error is (None if exists else ErrorClass.PERMANENT)


def test_a_pipe_is_no_file_and_hangs_nobody(root: Path) -> None:
    os.mkfifo(root / "pipe")

    assert not checked(root, "file_exists", file="pipe").passed
    assert not checked(root, "json_valid", file="pipe").passed


def test_a_result_says_what_it_is_about(root: Path) -> None:
    (root / "m.json").write_text('{"a": {"b": 79.99}}')

    found = checked(root, "metric_threshold", file="m.json", path="a.b", min=80)

    assert found == Result(
        "a/success.1", "metric_threshold", "m.json a.b", False, "79.99", "at least 80", ErrorClass.PERMANENT
    )


@pytest.mark.parametrize(
    ("text", "passed", "seen"),
    [
        ('{"a": 1}', True, "a JSON object with 1 key"),
        ("[]", True, "a JSON list of 0"),
        ("null", True, "a JSON value"),
        ("", False, "x.json: nothing in it"),
        ("{", False, "x.json:1:2:"),
        ('{"a": 1,\n"a": 2}', False, "x.json:2:1: the key 'a' stands twice"),
        ('{"a": NaN}', False, "x.json:1:7: NaN is not JSON"),
        ("\ufeff{}", False, "x.json:1:1: a byte order mark"),
        ("[" * 100_000, False, "x.json:1:"),
    ],
    ids=lambda one: str(one)[:20],
)
def test_json_is_strict(root: Path, text: str, passed: bool, seen: str) -> None:  # noqa: FBT001  # a case
    (root / "x.json").write_text(text)

    found = checked(root, "json_valid", file="x.json")

    assert found.passed is passed
    assert found.seen.startswith(seen)


def test_a_file_that_is_too_large_is_not_looked_into(root: Path) -> None:
    with (root / "x.json").open("wb") as file:
        file.truncate(MAX_BYTES + 1)

    found = checked(root, "json_valid", file="x.json")

    assert (found.passed, found.seen) == (False, "'x.json' has more than 16,777,216 bytes; expected a smaller file")


SCHEMA = {
    "type": "object",
    "required": ["n"],
    "properties": {"n": {"$ref": "#/$defs/positive"}},
    "$defs": {"positive": {"type": "integer", "minimum": 1}},
}


@pytest.mark.parametrize(
    ("value", "schema", "passed", "seen", "error"),
    [
        ({"n": 3}, SCHEMA, True, "it fits", None),
        ({"n": 0}, SCHEMA, False, "at n: 0 is less than the minimum of 1", ErrorClass.PERMANENT),
        ({"n": True}, SCHEMA, False, "at n: True is not of type 'integer'", ErrorClass.PERMANENT),
        ({}, SCHEMA, False, "at the whole: 'n' is a required property", ErrorClass.PERMANENT),
        ({"n": 3}, {"type": "objekt"}, False, "s.json is no JSON Schema: at type", ErrorClass.CONFIGURATION),
        ({"n": 3}, {"$ref": "https://example.com/x"}, False, "s.json: a reference to", ErrorClass.CONFIGURATION),
        ({"n": 3}, {"$ref": "#/$defs/gone"}, False, "the schema cannot be followed", ErrorClass.CONFIGURATION),
        ({"n": 3}, {"$ref": "#"}, False, "the schema cannot be followed: RecursionError", ErrorClass.CONFIGURATION),
        ({"n": 3}, {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}, True, "it fits", None),
        ({"n": 3}, {"const": {"n": 3}, "examples": [{"$ref": "https://example.com"}]}, True, "it fits", None),
    ],
)
def test_json_fits_its_schema_or_not_and_nothing_is_fetched(  # noqa: PLR0917  # the columns of a table
    root: Path,
    value: object,
    schema: object,
    passed: bool,  # noqa: FBT001  # a case
    seen: str,
    error: ErrorClass | None,
) -> None:
    (root / "x.json").write_text(json.dumps(value))
    (root / "s.json").write_text(json.dumps(schema))

    found = checked(root, "json_schema", file="x.json", schema="s.json")

    assert (found.passed, found.error) == (passed, error)
    assert found.seen.startswith(seen)


def test_a_schema_that_is_missing_is_a_matter_of_configuration(root: Path) -> None:
    (root / "x.json").write_text("{}")

    found = checked(root, "json_schema", file="x.json", schema="s.json")

    assert (found.passed, found.error, found.seen) == (False, ErrorClass.CONFIGURATION, "there is no file 's.json'")


METRICS = '{"c": {"total": 80.0, "list": [{"v": 1}, 2], "null": null, "t": true, "s": "80", "big": 9007199254740993, "tiny": 0.1000000000000000055}}'


@pytest.mark.parametrize(
    ("path", "passed", "seen"),
    [
        ("c.total", True, "80.0"),
        ("c.list.0.v", True, "1"),
        ("c.list.1", True, "2"),
        ("c.list.2", False, "nothing there"),
        ("c.list.-1", False, "nothing there"),
        ("c.list.x", False, "nothing there"),
        ("c.gone", False, "nothing there"),
        ("c.total.x", False, "nothing there"),
        ("c.null", False, "null"),
        ("c.t", True, "true"),
    ],
)
def test_a_metric_is_found_by_keys_and_positions(root: Path, path: str, passed: bool, seen: str) -> None:  # noqa: FBT001
    (root / "m.json").write_text(METRICS)

    found = checked(root, "metric_exists", file="m.json", path=path)

    assert (found.passed, found.seen) == (passed, seen)


@pytest.mark.parametrize(
    ("path", "limits", "passed", "expected"),
    [
        ("c.total", {"min": 80}, True, "at least 80"),
        ("c.total", {"min": 80.01}, False, "at least 80.01"),
        ("c.total", {"max": 80}, True, "at most 80"),
        ("c.total", {"min": 1, "max": 79.5}, False, "at least 1 and at most 79.5"),
        ("c.total", {"exact": 80}, True, "exactly 80"),
        ("c.total", {"exact": "80"}, False, "exactly '80'"),
        ("c.s", {"exact": "80"}, True, "exactly '80'"),
        ("c.s", {"min": 80}, False, "a number of at least 80"),
        ("c.t", {"min": 1}, False, "a number of at least 1"),
        ("c.t", {"exact": True}, True, "exactly true"),
        ("c.t", {"exact": 1}, False, "exactly 1"),
        ("c.list.0.v", {"exact": True}, False, "exactly true"),
        ("c.null", {"min": 0}, False, "a number of at least 0"),
        ("c.gone", {"max": 0}, False, "a number of at most 0"),
        ("c.gone", {"exact": "x"}, False, "exactly 'x'"),
        ("c.list", {"exact": "x"}, False, "exactly 'x'"),
        ("c.big", {"max": 9007199254740991}, False, "at most 9007199254740991"),
        ("c.tiny", {"max": 0.1}, False, "at most 0.1"),
    ],
)
def test_a_threshold_is_exact(
    root: Path,
    path: str,
    limits: dict[str, Any],
    passed: bool,  # noqa: FBT001  # a case
    expected: str,
) -> None:
    (root / "m.json").write_text(METRICS)

    found = checked(root, "metric_threshold", file="m.json", path=path, **limits)

    assert (found.passed, found.expected) == (passed, expected)


@pytest.mark.parametrize("text", ['{"c": NaN}', '{"c": 1, "c": 100}', "{", '{"c": 1e999}'])
def test_a_metric_in_what_is_no_strict_json_is_not_met(root: Path, text: str) -> None:
    (root / "m.json").write_text(text)

    found = checked(root, "metric_threshold", file="m.json", path="c", min=0)

    assert not found.passed
    assert "m.json" in found.seen


@pytest.mark.parametrize(
    ("text", "form", "passed", "seen"),
    [
        ('<testsuite tests="2"><testcase name="a"/><testcase name="b"/></testsuite>', "junit", True, "2 passed"),
        (
            '<testsuite><testcase name="a"/><testcase name="b"><failure/></testcase></testsuite>',
            "junit",
            False,
            "1 passed, 1 failed",
        ),
        ("<testsuite/>", "junit", False, "no test ran: 0 passed"),
        ('<testsuite><testcase name="a"><skipped/></testcase></testsuite>', "junit", False, "no test ran"),
        ("<testsuite>", "junit", False, "r.xml"),
        ("1..1\nok 1\n", "tap", True, "1 passed"),
        ("1..1\nok 1\n", "junit", False, "r.xml is not of the form junit"),
    ],
)
def test_tests_must_have_run_and_passed(root: Path, text: str, form: str, passed: bool, seen: str) -> None:  # noqa: FBT001
    (root / "r.xml").write_text(text)

    found = checked(root, "tests_reported", file="r.xml", format=form)

    assert found.passed is passed
    assert found.seen.startswith(seen)


@pytest.mark.parametrize(
    ("done", "passed", "seen", "error"),
    [
        (Done(State.DELIVERED), True, "it ended with 0", None),
        (Done(State.PERMANENT, detail="make ended with exit code 2", error_class=ErrorClass.DEPENDENCY), False, "make ended with exit code 2", ErrorClass.DEPENDENCY),
        (Done(State.DENIED, detail="acme/no"), False, "acme/no", ErrorClass.PERMANENT),
        (Done(State.WAITING, waiting_for=({"type": "approval"},)), False, "waiting", None),
    ],
)  # fmt: skip
def test_a_command_is_an_order_under_the_packs(
    root: Path,
    done: Done,
    passed: bool,  # noqa: FBT001  # a case
    seen: str,
    error: ErrorClass | None,
) -> None:
    given: list[Order] = []

    def run(order: Order) -> Done:
        given.append(order)
        return done

    criterion = Criterion("a/success.2", "command_succeeds", {"argv": ["make", "x"], "cwd": "b", "timeout_s": 60.0})
    found = check(criterion, root, run)

    expected = Order(
        "a/success.2", "run_command", {"argv": ["make", "x"], "cwd": "b"}, timeout_s=60.0, is_replayable=True
    )
    assert given == [expected]
    assert (found.passed, found.seen, found.error, found.subject) == (passed, seen, error, "make x")
    assert found.waiting_for == done.waiting_for


def test_what_is_seen_is_shortened(root: Path) -> None:
    (root / "m.json").write_text(json.dumps({"c": "x" * 10_000}))
    (root / "s.json").write_text('{"properties": {"c": {"type": "integer"}}}')

    assert len(checked(root, "metric_exists", file="m.json", path="c").seen) < 300
    assert len(checked(root, "json_schema", file="m.json", schema="s.json").seen) < 300
