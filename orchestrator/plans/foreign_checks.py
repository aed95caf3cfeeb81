"""Success criteria of another orchestrator, taken into a plan in the making. Pure. Source: 002, "Success Criteria"."""

from orchestrator.names import path_problem
from orchestrator.plans.draft import Draft, DraftPhase
from orchestrator.plans.foreign import Node, phase_called, snake
from orchestrator.plans.foreign_criterion import (
    BOUNDS,
    FILES,
    METRICS,
    described,
    hold,
    path_of,
    take_files,
    threshold,
    words,
)

_KINDS = {
    name: kind
    for names, kind in (
        ("file_exists file_exist exists output_exists file files_exist file_existence", "file_exists"),
        ("file_not_empty not_empty non_empty file_non_empty", "file_not_empty"),
        ("json_valid valid_json json json_validity is_json json_parse", "json_valid"),
        ("json_schema schema schema_valid", "json_schema"),
        ("metric_exists metric_present has_metric key_exists field_exists json_key", "metric_exists"),
        (
            "metric metric_threshold threshold metric_value metric_min metric_max min_value max_value",
            "metric_threshold",
        ),
        ("metrics thresholds metric_thresholds value_check exact_value metric_check", "metric_threshold"),
        ("tests_reported tests tests_pass test_results junit test_report", "tests_reported"),
        ("command command_succeeds script shell exit_code cmd", "command_succeeds"),
    )
    for name in names.split()
}
_LISTS = (
    "required_files",
    "required_outputs",
    "files",
    "output_files",
    "outputs",
    "expected_outputs",
    "expected_files",
)
_CHECKS = (
    "validations",
    "checks",
    "validation_checks",
    "criteria",
    "rules",
    "success_criteria",
    "validators",
    "validation",
)
_APPROVAL = ("auto_approve", "auto_approval", "auto_approve_when_met", "auto_approve_on_success")
_GATES = (*_APPROVAL, "requires_approval", "manual_approval", "all_required", "require_all", "all_must_pass")


def take_criteria(node: Node, draft: Draft, names: dict[str, str]) -> None:
    """Take the file of success criteria; `names` is what each phase may be called to its id."""
    _take_global(node, draft)
    fields = node.fields()
    holder = next((fields[name] for name in ("phases", "success_criteria", "criteria") if name in fields), node)
    inner = holder.fields()
    if holder is not node and "phases" in inner:
        holder = inner["phases"]
    if isinstance(holder.value, list):
        for item in holder.items():
            below = item.fields()
            said = next((below[name] for name in ("phase", "phase_id", "id", "name") if name in below), None)
            found = phase_called(said.value, names) if said else None
            _take_phase(item, draft.phase(found) if found else None, draft)
            if said and found:
                said.becomes(f"phases.{found}")
    elif isinstance(holder.value, dict):
        for key in holder.value:
            found = phase_called(key, names)
            if found or holder is not node:
                _take_phase(holder.below(key), draft.phase(found) if found else None, draft)


def _take_global(node: Node, draft: Draft) -> None:
    fields = node.fields()
    for section in ("global", "default", "defaults", "settings", "auto_approval"):
        fields = {**(fields[section].fields() if section in fields else {}), **fields}
    for name, each in fields.items():
        flag = each.flag()
        if name in {*_APPROVAL, "auto_approve_when_all_met"} and flag is not None:
            draft.is_manual = draft.is_manual or not flag
            each.becomes(f"gate {'auto' if flag else 'manual'} of every phase")
        elif name in {"all_required", "require_all", "all_must_pass"} and flag is not None:
            draft.is_manual = draft.is_manual or not flag
            each.becomes("all criteria must be met" if flag else "gate manual of every phase")
        elif name == "metrics_file" and isinstance(each.value, str) and not path_problem(each.value):
            draft.metrics_file = each.value
            each.becomes("where metrics are looked for whose file nobody names")


def _take_phase(node: Node, phase: DraftPhase | None, draft: Draft) -> None:
    if phase is None:
        node.left("it is about no phase of the other file")
        return
    take_checks(node, phase, draft)


def take_checks(node: Node, phase: DraftPhase, draft: Draft) -> None:
    """Take the criteria of one phase, as a list or an object."""
    if not node.fields():
        for item in node.items():
            _take_one(item, phase, draft)
        return
    later = []
    for name, each in node.fields().items():
        if name in _KINDS and name not in _LISTS:
            later.append((_KINDS[name], each))
        elif name not in {"phase", "phase_id", "id"}:
            _take_field(name, each, phase, draft)
    for kind, each in later:  # a metric without a file is looked for in the only JSON file that is asked for
        _take_keyed(kind, each, node, phase, draft)


def _take_field(name: str, node: Node, phase: DraftPhase, draft: Draft) -> None:
    """Take one field of a phase's criteria that is no kind of check by itself."""
    if name in _LISTS:
        take_files(node, phase)
    elif name in _CHECKS:
        take_checks(node, phase, draft)
    elif name in _GATES and (flag := node.flag()) is not None:
        opens = flag is not (name in {"requires_approval", "manual_approval"})
        phase.is_manual = phase.is_manual or not opens
        node.becomes(f"phases.{phase.id}.gate {'auto' if opens else 'manual'}")
    elif name in {"description", "name", "title"} and isinstance(node.value, str):
        if node.text() is not None:
            phase.comments.append(node.value)
            node.left("it is for people: kept as a comment")
    elif name == "metrics_file" and path_of(node, phase):
        node.becomes("where metrics are looked for whose file nobody names")
    else:
        hold(node, phase, "it asks for something that a plan cannot ask")


def _take_keyed(kind: str, node: Node, owner: Node, phase: DraftPhase, draft: Draft) -> None:
    """Take criteria that stand under their kind: `{json_valid: [...], metrics: {coverage: {min_value: 80}}}`."""
    if kind in {"file_exists", "file_not_empty", "json_valid"}:
        take_files(node, phase, kind=kind)
        return
    is_by_name = kind in {"metric_threshold", "metric_exists"} and node.fields() and not set(node.fields()) & {
        *BOUNDS, *METRICS, "threshold", "value", "operator",
    }  # fmt: skip
    if not is_by_name:
        for item in node.items():
            _take_one(item, phase, draft, kind=kind)
        return
    usual = owner.fields().get("metrics_file")
    for metric in node.value:
        each = node.below(metric)
        file = each.fields().get("file") or each.fields().get("path") or usual
        threshold(each, file, metric, phase, draft, kind="metric_threshold" if kind != "metric_exists" else kind)


def _take_one(node: Node, phase: DraftPhase, draft: Draft, *, kind: str = "") -> None:
    fields = node.fields()
    if not fields:
        if kind == "command_succeeds" and (text := node.text()):
            phase.add({kind: {"argv": words(text)}})
            node.becomes(f"phases.{phase.id}.success {kind}")
        elif kind == "tests_reported" and (path := path_of(node, phase)):
            phase.add({kind: path})
            node.becomes(f"phases.{phase.id}.success {kind}")
        else:
            hold(node, phase, "words are no check")
        return
    said = next((fields[name] for name in ("type", "check", "kind", "validator", "check_type") if name in fields), None)
    found = _KINDS.get(snake(str(said.value)), "") if said else kind or _guessed(fields)
    if not found:
        hold(node, phase, "it is a check that a plan does not have")
        return
    if "required" in fields and fields["required"].flag() is False:
        node.left("it was not required, so nothing is asked")
        return
    is_taken = described(found, fields, node, phase, draft)
    if is_taken and said:
        said.becomes(f"phases.{phase.id}.success {found}")
    for name in ("required", "enabled") if is_taken else ():
        if name in fields and fields[name].flag() is True:
            fields[name].becomes("a criterion")


def _guessed(fields: dict[str, Node]) -> str:
    if set(fields) & {*BOUNDS, "threshold"}:
        return "metric_threshold"
    if set(fields) & {"command", "cmd", "argv"}:
        return "command_succeeds"
    return next((_KINDS[name] for name in fields if name in _KINDS and name not in FILES), "")
