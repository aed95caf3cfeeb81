"""Success criteria, judged: each says what was seen and what was expected. Changes nothing; a command runs as an order.

What cannot be judged is not met. Source: 002, "Success Criteria".
"""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from orchestrator import strictjson
from orchestrator.adapter import ErrorClass
from orchestrator.errors import UsageError
from orchestrator.names import shown
from orchestrator.order import Done, Order, State
from orchestrator.plans.condition import exact
from orchestrator.plans.files import json_below, read_below, schema_below, size_below
from orchestrator.plans.model import Criterion
from orchestrator.plans.values import at, is_missing
from orchestrator.words import counted

Run: TypeAlias = Callable[[Order], Done]

_MOST_SAID = 200


class Result(NamedTuple):
    """What became of one criterion."""

    name: str
    """The criterion's."""
    kind: str
    subject: str
    """What was looked at: `out/m.json coverage.total`."""
    passed: bool
    seen: str
    expected: str
    error: ErrorClass | None = None
    """Who can mend it; None where it is met or waits."""
    waiting_for: tuple[Mapping[str, Any], ...] = ()
    """Of a command that may not run yet: as of `Done.waiting_for`."""


class _Judged(NamedTuple):
    passed: bool
    seen: str
    expected: str
    error: ErrorClass | None = None
    waiting_for: tuple[Mapping[str, Any], ...] = ()


def check(criterion: Criterion, root: Path, run: Run) -> Result:
    """Return whether a criterion, its references filled in, is met; files are looked for below `root`.

    `run` carries out the order of a command, under policy; what it raises goes on to the caller.
    """
    parameters = criterion.parameters
    if criterion.kind == "command_succeeds":
        judged = _command(criterion, run)
    else:
        try:
            judged = _JUDGES[criterion.kind](parameters, root)
        except UsageError as error:
            judged = _Judged(False, str(error), _EXPECTED[criterion.kind])
    is_over = not judged.passed and not judged.waiting_for
    seen = judged.seen if len(judged.seen) <= _MOST_SAID else judged.seen[:_MOST_SAID] + "..."
    return Result(
        name=criterion.name,
        kind=criterion.kind,
        subject=subject_of(criterion),
        passed=judged.passed,
        seen=seen,
        expected=judged.expected,
        error=(judged.error or ErrorClass.PERMANENT) if is_over else None,
        waiting_for=judged.waiting_for,
    )


def subject_of(criterion: Criterion) -> str:
    """Return what a criterion looks at, in a few words."""
    parameters = criterion.parameters
    if criterion.kind == "command_succeeds":
        return " ".join(map(str, parameters["argv"]))[:_MOST_SAID]
    return " ".join(str(parameters[name]) for name in ("file", "path") if name in parameters)


def _file_exists(parameters: Mapping[str, Any], root: Path) -> _Judged:
    size = size_below(root, parameters["file"])
    return _Judged(size is not None, "no such file" if size is None else _bytes(size), "a file")


def _file_not_empty(parameters: Mapping[str, Any], root: Path) -> _Judged:
    size = size_below(root, parameters["file"])
    return _Judged(bool(size), "no such file" if size is None else _bytes(size), "a file with something in it")


def _bytes(size: int) -> str:
    return "an empty file" if size == 0 else f"a file of {counted(size, 'byte')}"


def _json_valid(parameters: Mapping[str, Any], root: Path) -> _Judged:
    value = json_below(root, parameters["file"])
    return _Judged(True, _kind(value), _EXPECTED["json_valid"])


def _kind(value: object) -> str:
    match value:
        case dict():
            return f"a JSON object with {len(value):,} key{'' if len(value) == 1 else 's'}"
        case list():
            return f"a JSON list of {len(value):,}"
    return "a JSON value"


def _json_schema(parameters: Mapping[str, Any], root: Path) -> _Judged:
    from jsonschema.exceptions import best_match
    from referencing.exceptions import Unresolvable

    expected = f"JSON that fits {parameters['schema']}"
    try:
        judge = schema_below(root, parameters["schema"])
    except UsageError as error:
        return _Judged(False, str(error), expected, ErrorClass.CONFIGURATION)
    value = json_below(root, parameters["file"])
    try:
        worst = best_match(judge.iter_errors(value))
    except (Unresolvable, RecursionError, ValueError) as caught:
        said = f"the schema cannot be followed: {type(caught).__name__}: {caught}"
        return _Judged(False, said, expected, ErrorClass.CONFIGURATION)
    if worst is None:
        return _Judged(True, "it fits", expected)
    where = ".".join(map(str, worst.absolute_path)) or "the whole"
    return _Judged(False, f"at {where:.80}: {worst.message}", expected)


def _metric(parameters: Mapping[str, Any], root: Path) -> Any:  # noqa: ANN401  # JSON, fractions as Decimal
    """Return the value at a path, `is_missing` of it where there is none; fractions keep their digits."""
    data = read_below(root, parameters["file"])
    strictjson.parse(data, name=parameters["file"])
    return at(json.loads(data, parse_float=Decimal), parameters["path"].split("."))


def _metric_exists(parameters: Mapping[str, Any], root: Path) -> _Judged:
    value = _metric(parameters, root)
    is_there = not is_missing(value) and value is not None
    return _Judged(is_there, _value(value), _EXPECTED["metric_exists"])


def _metric_threshold(parameters: Mapping[str, Any], root: Path) -> _Judged:
    value = _metric(parameters, root)
    if "exact" in parameters:
        wanted = parameters["exact"]
        is_met = not is_missing(value) and _is_exactly(value, wanted)
        return _Judged(is_met, _value(value), f"exactly {_value(wanted)}")
    least, most = parameters.get("min"), parameters.get("max")
    words = [f"{word} {limit}" for word, limit in (("at least", least), ("at most", most)) if limit is not None]
    expected = " and ".join(words)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return _Judged(False, _value(value), f"a number of {expected}")
    number = Decimal(value)
    is_met = (least is None or number >= exact(least)) and (most is None or number <= exact(most))
    return _Judged(is_met, _value(value), expected)


def _is_exactly(value: object, wanted: object) -> bool:
    if isinstance(wanted, bool) or isinstance(value, bool) or isinstance(wanted, str):
        return type(value) is type(wanted) and value == wanted
    return isinstance(value, int | Decimal) and Decimal(value) == exact(wanted)


def _value(value: object) -> str:
    if is_missing(value):
        return "nothing there"
    return str(value) if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else shown(value)


def _tests_reported(parameters: Mapping[str, Any], root: Path) -> _Judged:
    from orchestrator.reports import MAX_BYTES, PASS, read_report

    data = read_below(root, parameters["file"], most=MAX_BYTES)
    report = read_report(data, parameters["file"], form=parameters.get("format", "junit"))
    return _Judged(report.result == PASS, report.reason, _EXPECTED["tests_reported"])


def _command(criterion: Criterion, run: Run) -> _Judged:
    parameters = {name: value for name, value in criterion.parameters.items() if name != "timeout_s"}
    timeout_s = float(criterion.parameters.get("timeout_s", 300.0))
    done = run(Order(criterion.name, "run_command", parameters, timeout_s=timeout_s, is_replayable=True))
    expected = "it ends with 0"
    if done.state is State.DELIVERED:
        return _Judged(True, done.detail or "it ended with 0", expected)
    return _Judged(False, done.detail or str(done.state), expected, done.error_class, done.waiting_for)


_JUDGES: dict[str, Callable[[Mapping[str, Any], Path], _Judged]] = {
    "file_exists": _file_exists,
    "file_not_empty": _file_not_empty,
    "json_valid": _json_valid,
    "json_schema": _json_schema,
    "metric_exists": _metric_exists,
    "metric_threshold": _metric_threshold,
    "tests_reported": _tests_reported,
}
_EXPECTED = {
    "file_exists": "a file",
    "file_not_empty": "a file with something in it",
    "json_valid": "strict JSON",
    "json_schema": "JSON that fits its schema",
    "metric_exists": "a value that is not null",
    "metric_threshold": "a value to compare",
    "tests_reported": "tests that ran and passed",
}
