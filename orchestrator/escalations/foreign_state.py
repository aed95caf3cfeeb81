"""The state of another project: who is written to, its mode and grace. Addresses in it become secrets, never text."""

from collections.abc import Mapping
from typing import Any

from orchestrator.escalations.foreign import Draft, tell
from orchestrator.plans.foreign import Node

_MODES = {"renewable_countdown": "countdown", "one_way_fuse": "fuse", "manual_arm": "manual"}
_MINUTE_S = 60
_MOST_GRACE = 7 * 24 * 60
_MOST_LOCKOUT = 100
_RUNNING = {
    "renewal": "a countdown begins anew here: `orch set-deadline --hours N`",
    "escalation": "a countdown begins anew here, in its first stage",
    "actions": "what was sent there is not known here: begin with a new countdown",
    "release": "a countdown begins anew here; `orch trigger` releases by hand",
    "pointers": "the ledger keeps what was done, and where it went",
}


def take_state(node: Node, draft: Draft) -> None:
    """Take what of the state is how the escalation is meant to be; what has happened so far is left."""
    fields = node.fields()
    for name, why in _RUNNING.items():
        if name in fields:
            tell(fields[name], "", why)
    takers = {"meta": _take_meta, "mode": _take_mode, "timer": _take_timer, "security": _take_security}
    for name, taker in (takers | {"integrations": _take_integrations}).items():
        if name in fields:
            taker(fields[name], draft)


def _take_meta(node: Node, draft: Draft) -> None:
    fields = node.fields()
    if "project" in fields and (project := fields["project"].text()):
        draft.project = project
        tell(fields["project"], "constants.project")
    if "plan_id" in fields:
        tell(fields["plan_id"], "which plan is read")
    for name in ("state_id", "updated_at_iso", "policy_version"):
        if name in fields:
            tell(fields[name], "", "it is about the old state")


def _take_mode(node: Node, draft: Draft) -> None:
    fields = node.fields()
    name = fields.get("name")
    if name is not None:
        mode = _MODES.get(str(name.value))
        draft.mode = mode or draft.mode
        tell(name, f"mode: {mode}" if mode else "", "" if mode else f"expected {', '.join(_MODES)}")
        draft.constants["mode"] = str(name.value) if mode else draft.mode
    if "armed" in fields:
        tell(fields["armed"], "", "say it by `orch arm` or `orch disarm`")


def _take_timer(node: Node, draft: Draft) -> None:
    fields = node.fields()
    grace = fields.get("grace_minutes")
    if grace is not None:
        minutes = grace.whole()
        is_grace = minutes is not None and minutes <= _MOST_GRACE
        draft.grace_s = (minutes or 0) * _MINUTE_S if is_grace else 0
        tell(grace, f"grace: {minutes}m" if is_grace else "", "" if is_grace else "expected minutes, at most a week")
    for name, each in fields.items():
        if name != "grace_minutes":
            tell(each, "", "a countdown begins anew here: `orch set-deadline --hours N`")


def _take_security(node: Node, draft: Draft) -> None:
    fields = node.fields()
    most = fields.get("max_failed_attempts")
    if most is not None:
        value = most.whole()
        is_known = value is not None and 1 <= value <= _MOST_LOCKOUT and draft.lockout_after in {None, value}
        if is_known:
            draft.lockout_after = value
        why = "" if is_known else "the rules say another number, or it is none from 1 to 100"
        tell(most, f"renewal.lockout.after: {value}" if is_known else "", why)
    for name, each in fields.items():
        if name != "max_failed_attempts":
            tell(each, "", "attempts are counted for each source, and begin at none")


def _take_integrations(node: Node, draft: Draft) -> None:
    fields = node.fields()
    for name, each in (fields["enabled_adapters"].fields() if "enabled_adapters" in fields else {}).items():
        if each.value is False:
            draft.disabled[name] = each
            tell(each, "", f"actions of {name} are left out: it is switched off")
        else:
            tell(each, "what the actions of the plan do")
    if "routing" in fields:
        _take_routing(fields["routing"], draft)


def _take_routing(node: Node, draft: Draft) -> None:
    fields = node.fields()
    draft.custodians = _count(fields.get("custodian_emails"))
    draft.observers = _count(fields.get("observer_webhooks"))
    why = "the address itself is not written down: put it where the operator's file says"
    becomes: Mapping[str, str] = {
        "operator_email": "secrets.OPERATOR_MAIL",
        "operator_sms": "secrets.OPERATOR_PHONE",
        "custodian_emails": "secrets.CUSTODIAN_1_MAIL and so on",
        "subscriber_emails": "secrets.SUBSCRIBERS_MAIL",
        "observer_webhooks": "endpoints of the operator's file",
        "reddit_targets": "secrets.REDDIT_URL",
        "x_account_ref": "secrets.X_URL",
        "github_repository": "repository of the operator's file, or --repo",
    }
    for name, each in fields.items():
        if name in becomes:
            tell(each, becomes[name] if each.value else "", why if each.value else "it is empty")


def _count(node: Node | None) -> int:
    value: Any = None if node is None else node.value
    return len(value) if isinstance(value, list) else 0
