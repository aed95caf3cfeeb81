"""What an imported escalation is written as: its document, a pack, a roster, a part of the operator's file. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.escalations.foreign import Draft, DraftStage
from orchestrator.escalations.foreign_rules import signed
from orchestrator.plans.foreign import duration_text
from orchestrator.plans.writing import Noted, comment, yaml

_NAME = 63
_OPERATOR_LINES = {
    "mail": (
        'mail: {adapter: mail, host: smtp.example.com, username: orch, password: "${{ secrets.SMTP_PASSWORD }}",',
        "  from: orch@example.com}",
    ),
    "sms": ('sms: {adapter: apprise, url: "${{ secrets.SMS_URL }}"}     # twilio://SID:TOKEN@+15550001111/{to}',),
}
_CHANNEL_SECRETS = {"mail": "SMTP_PASSWORD", "sms": "SMS_URL"}


def files(draft: Draft) -> dict[str, str]:
    """Return every file of the escalation: path below its folder to content."""
    return {
        "escalation.yaml": _escalation(draft),
        "pack.yaml": _pack(draft),
        "roster.yaml": _roster(draft),
        "operator/config.yaml": _operator(draft),
        **dict(sorted(draft.templates.items())),
    }


def _escalation(draft: Draft) -> str:
    lockout = _lockout(draft)
    document: dict[str, Any] = {
        "apiVersion": "orch/v1",
        "kind": "Escalation",
        "metadata": {"name": draft.name, "version": "0.1.0"},
        "mode": draft.mode,
        "catch_up": Noted(
            "walk", ("After missed ticks every stage is walked, of those that reach others one a tick.",)
        ),
    }
    if draft.grace_s:
        document["grace"] = duration_text(draft.grace_s)
    why = ("From the moment of renewal; nothing in the old files says how long, its command took 48 hours.",)
    document["renewal"] = Noted({"extends": "48h", "lockout": lockout}, why)
    if draft.routes:
        document["routes"] = draft.routes
    if draft.constants:
        document["constants"] = draft.constants
    document["stages"] = [_stage(each) for each in draft.stages]
    head = (
        "Made by `orch policy import-escalation`. `orch policy validate` says what is wrong with it,",
        f"`orch simulate {draft.name}` draws it, and docs/escalations.md has every key.",
    )
    return _headed(head, document)


def _lockout(draft: Draft) -> dict[str, Any]:
    """Return a lockout whose longest lock is shorter than every last warning."""
    windows = [stage.min_dwell_s for stage in draft.stages if stage.min_dwell_s]
    longest = min(600, min(windows, default=1_200) // 2)
    found = {"first": duration_text(min(30, longest)), "longest": duration_text(longest)}
    return {"after": draft.lockout_after or 5} | found


def _stage(stage: DraftStage) -> Noted:
    said: dict[str, Any] = {"name": stage.name}
    if stage.at_s is not None:
        said["at"] = signed(stage.at_s)
    if stage.audience != "operator":
        said["audience"] = stage.audience
    if stage.min_dwell_s:
        said["min_dwell"] = duration_text(stage.min_dwell_s)
    if stage.actions:
        said["actions"] = stage.actions
    return Noted(said, tuple(stage.comments))


def _pack(draft: Draft) -> str:
    job = f"job:{draft.name}"[: _NAME + 4]
    rules: list[Any] = [
        {"id": "the-clock", "effect": "allow", "actions": ["tick", "enter_stage"], "subjects": job},
        {"id": "operators", "effect": "allow", "actions": "control_escalation", "roles": "operator"},
    ]
    drills = {"action.properties.operation": "drill"}
    rule = {"id": "rehearse", "effect": "allow", "actions": "control_escalation", "subjects": job, "when": drills}
    rules.append(Noted(rule, ("The job drills, too, so that what it would be allowed is shown.",)))
    taken = {"the-clock", "operators", "rehearse", "drill"}
    for stage in draft.stages:
        for action in dict.fromkeys(each["action"] for each in stage.actions):
            ones = [each for each in stage.actions if each["action"] == action]
            name = _free(f"{stage.name}-{action}", taken)
            when = {"facts.escalation.of_stage": stage.name} | _when(action, ones, draft.routes)
            rules.append({"id": name, "effect": "allow", "actions": action, "subjects": job, "when": when})
    if "operator" in draft.routes:
        to = {"facts.escalation.is_drill": True, "action.properties.to": _escaped(draft.routes["operator"]["to"])}
        rule = {"id": "drill", "effect": "allow", "actions": "send_message", "subjects": job, "when": to}
        rules.append(Noted(rule, ("In a drill every message goes to the operator.",)))
    document = {
        "apiVersion": "orch/v1",
        "kind": "PolicyPack",
        "metadata": {"name": draft.name, "version": "0.1.0"},
        "default": "deny",
        "rules": rules,
    }
    text = (
        "Who may move the escalation, and what it may do at each stage; nothing else is allowed. Renewing asks no rule."
    )
    return _headed((text,), document)


def _when(action: str, ones: list[dict[str, Any]], routes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what an action of a stage must be to be allowed there."""
    if action == "send_message":
        to = [each for one in ones for each in routes[one["route"]]["to"]]
        channels = sorted({str(routes[one["route"]]["channel"]) for one in ones})
        return {"action.properties.channel": channels, "action.properties.to": _escaped(list(dict.fromkeys(to)))}
    if action == "call_webhook":
        return {"action.properties.endpoint": [one["with"]["endpoint"] for one in ones]}
    if action == "write_document":
        return {"action.properties.path": list(dict.fromkeys(one["with"]["path"] for one in ones))}
    return {}


def _roster(draft: Draft) -> str:
    subjects: dict[str, Any] = {
        "user:operator": {"roles": "operator", "attributes": {"mail": "operator@example.com"}},
        f"job:{draft.name}"[: _NAME + 4]: {},
    }
    head = {"apiVersion": "orch/v1", "kind": "Roster", "metadata": {"name": _free(f"{draft.name}-people", set())}}
    return _headed(
        ("Who turns the clock. Put your own names in, or move these roles into your roster.",),
        head | {"subjects": subjects},
    )


def _operator(draft: Draft) -> str:
    """Return what goes into the operator's file; what is secret is named there, and lies elsewhere."""
    secrets = dict(draft.secrets)
    for channel, secret in _CHANNEL_SECRETS.items():
        if channel in draft.channels:
            secrets.setdefault(secret, ("send_message",))
    lines = [
        *comment(
            "Part of the operator's file (~/.config/orch/config.yaml); what is secret lies in variables or files."
        ),
        f"subject: job:{draft.name}"[: _NAME + 13],
        "secrets:",
        *(f"  {name}: {{env: {name}{_for(actions)}}}" for name, actions in sorted(secrets.items())),
    ]
    if draft.channels:
        lines.append("channels:")
        social = [name for name in ("x", "reddit") if name in draft.routes]
        for channel in sorted(draft.channels):
            lines += [f"  {line}" for line in _OPERATOR_LINES.get(channel, _social(social))]
    if draft.endpoints or draft.needs_github:
        lines.append("adapters:")
    if draft.endpoints:
        lines += ["  webhook:", "    endpoints:"]
        lines += [
            f'      {name}: {{url: "${{{{ secrets.{each} }}}}"}}' for name, each in sorted(draft.endpoints.items())
        ]
    if draft.needs_github:
        lines.append('  github: {token: "${{ secrets.GITHUB_TOKEN }}"}')
    return "\n".join(lines) + "\n"


def _social(names: Sequence[str]) -> tuple[str, ...]:
    urls = ", ".join(f'{name}: "${{{{ secrets.{name.upper()}_URL }}}}"' for name in names)
    return (f"social: {{adapter: apprise, urls: {{{urls}}}}}",)


def _for(actions: tuple[str, ...]) -> str:
    return f", actions: [{', '.join(actions)}]" if actions else ""


def _escaped(texts: list[str]) -> list[str]:
    """Return texts as a pack writes them: what begins with `$` has two."""
    return [f"${text}" if text.startswith("$") else text for text in texts]


def _free(name: str, taken: set[str]) -> str:
    """Return a name that is not taken, no longer than a name may be, and take it."""
    found, number = name[:_NAME], 1
    while found in taken:
        number += 1
        found = f"{name[: _NAME - 4]}-{number}"
    taken.add(found)
    return found


def _headed(head: tuple[str, ...], document: Mapping[str, Any]) -> str:
    lines = [line for text in head for line in comment(text)]
    return "\n".join(lines) + "\n" + yaml(document)
