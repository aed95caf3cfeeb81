"""One success criterion of another orchestrator, as a plan says it. Pure. Source: 002, "Success Criteria".

What a plan cannot ask makes the phase's gate manual: nothing passes by itself that was held back before.
"""

import json
import re
import shlex
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

from orchestrator.digest import MAX_INTEGER
from orchestrator.names import path_problem
from orchestrator.plans.draft import Draft, DraftPhase
from orchestrator.plans.foreign import Node, is_words, snake

FILES = ("file", "path", "file_path", "filepath", "filename", "output", "report", "location")
METRICS = (
    "metric_path",
    "json_path",
    "metric",
    "key",
    "field",
    "key_path",
    "metric_name",
    "metric_key",
    "name",
    "path",
)
BOUNDS = {
    **dict.fromkeys(("min", "min_value", "minimum", "at_least", "gte", "min_threshold"), "min"),
    **dict.fromkeys(("max", "max_value", "maximum", "at_most", "lte", "max_threshold"), "max"),
    **dict.fromkeys(("exact", "exact_value", "equals", "expected", "expected_value", "eq"), "exact"),
}
_OPERATORS = {
    **dict.fromkeys((">=", "gte", "ge", "min", "at_least", "greater_than_or_equal", "greater_or_equal"), "min"),
    **dict.fromkeys(("<=", "lte", "le", "max", "at_most", "less_than_or_equal", "less_or_equal"), "max"),
    **dict.fromkeys(("==", "=", "eq", "equals", "exact", "equal"), "exact"),
}
_HELD = "; so the phase's gate is manual"


def take_files(node: Node, phase: DraftPhase, *, kind: str = "file_exists") -> None:
    """Take files that must be there: a list, or an object of names to files."""
    named = node.fields() if not set(node.fields()) & {"path", "file", "file_path"} else {}
    for item in named.values() or node.items():
        fields = item.fields()
        target = next((fields[name] for name in FILES if name in fields), None) if fields else item
        if target is None:
            hold(item, phase, "it names no file")
            continue
        is_wanted = fields["required"].flag() is not False if "required" in fields else True
        if "required" in fields:
            fields["required"].becomes("a criterion" if is_wanted else "no criterion: it may be missing")
        if not is_wanted:
            target.left("it may be missing, so nothing is asked of it")
        elif (path := path_of(target, phase)) is not None:
            phase.add({_stricter(fields, kind): path} if not path.endswith("/") else _folder(path))
            target.becomes(f"phases.{phase.id}.success {_stricter(fields, kind)}")


def _stricter(fields: dict[str, Node], kind: str) -> str:
    """Return the kind of criterion that a described file asks for."""
    for name in ("type", "format"):
        if name in fields and snake(str(fields[name].value)) == "json":
            fields[name].becomes("json_valid")
            kind = "json_valid"
    for name in ("not_empty", "non_empty", "min_size", "min_size_bytes"):
        if name not in fields or kind == "json_valid":
            continue
        size = fields[name].whole()
        if fields[name].value is True or size == 1:
            fields[name].becomes("file_not_empty")
            kind = "file_not_empty"
    return kind


def _folder(path: str) -> dict[str, Any]:
    return {"command_succeeds": {"argv": ["test", "-d", path.rstrip("/")]}}


def path_of(node: Node, phase: DraftPhase) -> str | None:
    """Return a path as a criterion may have it; None, and told why, where it is none."""
    if node.text() is None:
        phase.is_manual = True
        return None
    text = str(node.value)
    path = text.removeprefix("./")
    if expected := path_problem(path.removesuffix("/")):
        hold(node, phase, f"a plan's files are {expected}")
        return None
    if re.search(r"[*?]", path):
        hold(node, phase, "a criterion is about one file, not about a pattern")
        return None
    if " " in path and not PurePosixPath(path).suffix:
        hold(node, phase, "it reads like words, not like a file")
        return None
    return path


def hold(node: Node, phase: DraftPhase, why: str) -> None:
    """Tell why something cannot be asked by itself, and let people look."""
    phase.is_manual = True
    node.left(why + _HELD)


def described(kind: str, fields: dict[str, Node], node: Node, phase: DraftPhase, draft: Draft) -> bool:
    """Take a criterion that is an object; return whether it became one."""
    file = next((fields[name] for name in FILES if name in fields and isinstance(fields[name].value, str)), None)
    if kind == "command_succeeds":
        return _command(fields, node, phase)
    if kind in {"metric_threshold", "metric_exists"}:
        return _metric(file, fields, node, phase, draft, kind=kind)
    if file is None:
        hold(node, phase, "it names no file")
        return False
    path = path_of(file, phase)
    criterion: Any = path if kind != "json_schema" or path is None else _with_schema(path, fields, node, phase)
    if path is None or not criterion:
        return False
    phase.add({kind: criterion} if not path.endswith("/") else _folder(path))
    file.becomes(f"phases.{phase.id}.success {kind}")
    return True


def _command(fields: dict[str, Node], node: Node, phase: DraftPhase) -> bool:
    command = next((fields[name] for name in ("command", "cmd", "script", "argv", "run") if name in fields), None)
    argv: Any = command.value if command else None
    if command and isinstance(argv, str):
        argv = words(argv) if command.text() else None
    if command is None or not is_words(argv):
        hold(command or node, phase, "it names no command")
        return False
    phase.add({"command_succeeds": {"argv": list(argv)}})
    command.becomes(f"phases.{phase.id}.success command_succeeds")
    return True


def _metric(
    file: Node | None, fields: dict[str, Node], node: Node, phase: DraftPhase, draft: Draft, *, kind: str
) -> bool:
    metric = next((fields[name] for name in METRICS if name in fields and fields[name] is not file), None)
    text = metric.text() if metric else None
    if metric is None or text is None:
        hold(metric or node, phase, "it names no metric")
        return False
    is_taken = threshold(node, file, text, phase, draft, kind=kind)
    if is_taken:
        metric.becomes(f"phases.{phase.id}.success {kind} {text.removeprefix('$.')}")
    return is_taken


def _with_schema(path: str, fields: dict[str, Node], node: Node, phase: DraftPhase) -> dict[str, str] | None:
    schema = next((fields[name] for name in ("schema", "schema_file", "schema_path") if name in fields), None)
    where = path_of(schema, phase) if schema and isinstance(schema.value, str) else None
    if schema is None or where is None:
        hold(schema or node, phase, "a JSON Schema stands in a file of its own")
        return None
    schema.becomes(f"phases.{phase.id}.success json_schema")
    return {"file": path, "schema": where}


def threshold(node: Node, file: Node | None, metric: str, phase: DraftPhase, draft: Draft, *, kind: str) -> bool:
    """Take one metric; return whether it became a criterion."""
    path = path_of(file, phase) if file is not None else _usual_file(node, phase, draft)
    name = re.sub(r"\[(\d+)\]", r".\1", metric.removeprefix("$."))
    if path is None:
        return False
    if "" in name.split(".") or re.search(r"\s", name):
        hold(node, phase, "a metric's path is keys and positions joined by points")
        return False
    criterion: dict[str, Any] = {"file": path, "path": name}
    if kind == "metric_threshold" and not _take_bounds(node, criterion, phase):
        return False
    phase.add({kind: criterion})
    if file is not None:
        file.becomes(f"phases.{phase.id}.success {kind}, in {path}")
    elif not node.fields():
        node.becomes(f"phases.{phase.id}.success {kind} {name}, looked for in {path}")
    return True


def _usual_file(node: Node, phase: DraftPhase, draft: Draft) -> str | None:
    """Return where a metric is looked for whose file nobody names: the only JSON file that the phase leaves behind."""
    found = {
        value["file"] if isinstance(value, dict) else value
        for criterion in phase.success
        for kind, value in criterion.items()
        if kind != "command_succeeds"
    }
    files = sorted(path for path in found if path.endswith(".json"))
    if draft.metrics_file or len(files) == 1:
        return draft.metrics_file or files[0]
    hold(node, phase, "nobody says which file the metric is in")
    return None


def _take_bounds(node: Node, criterion: dict[str, Any], phase: DraftPhase) -> bool:
    fields = node.fields()
    if not fields:
        return _bound(node, "min", criterion, phase)
    operator = next((fields[name] for name in ("operator", "comparison", "op", "comparator") if name in fields), None)
    which = _OPERATORS.get(str(operator.value).lower(), "") if operator else "min"
    bounds = [(each, BOUNDS[name]) for name, each in fields.items() if name in BOUNDS]
    bounds += [(fields[name], which) for name in ("threshold", "value", "target", "limit") if name in fields]
    why = ""
    if not bounds:
        why = "it says no limit"
    elif not which:
        why = "a plan compares with at least, at most and exactly"
    elif False in [_bound(each, bound, criterion, phase) for each, bound in bounds]:  # each of them is told of
        return False
    elif "exact" in criterion and {"min", "max"} & set(criterion):
        why = "exactly, and at least or at most, is more than a plan says at once"
    elif {"min", "max"} <= set(criterion) and criterion["min"] > criterion["max"]:
        why = "nothing is ever both"
    elif operator:
        operator.becomes(which)
    if why:
        hold(node, phase, why)
    return not why


def _bound(node: Node, which: str, criterion: dict[str, Any], phase: DraftPhase) -> bool:
    value = node.value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_held = is_number and (abs(value) <= MAX_INTEGER if isinstance(value, int) else "e" not in repr(value))
    is_text = which == "exact" and (isinstance(value, bool) or (isinstance(value, str) and node.text() is not None))
    if not (is_held or is_text):
        hold(node, phase, "it is no number that a plan can hold")
        return False
    if which in criterion and Decimal(str(criterion[which])) != Decimal(str(value)):
        hold(node, phase, "two limits contradict each other")
        return False
    criterion[which] = value
    node.becomes(f"phases.{phase.id}.success {which} {json.dumps(value, ensure_ascii=False)}")
    return True


def words(text: str) -> list[str]:
    """Return a command line as words; one that only a shell understands is given to one."""
    try:
        return ["sh", "-c", text] if set(text) & set("|&;<>()$`*?{}~#\n") else shlex.split(text)
    except ValueError:
        return ["sh", "-c", text]
