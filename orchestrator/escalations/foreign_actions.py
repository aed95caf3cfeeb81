"""Actions of another project's plan, stage by stage, as those of an escalation; what is not kept is told, and why."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from orchestrator.escalations.foreign import Draft, DraftStage, tell
from orchestrator.escalations.foreign_templates import Form, Library
from orchestrator.plans.foreign import Node, slug, snake

_AUDIENCES = ("operator", "custodians", "public")
_AUDIENCE_OF = {
    "operator": "operator",
    "internal": "operator",
    "custodians": "custodians",
    "observers": "custodians",
    "subscribers": "custodians",
}
_STRANGE = {
    "mock": "it only says that it would do something",
    "article_publish": "that program builds its own pages; publish yours by publish_page, or by a plan of the stage",
    "internet_archive": "call_webhook can ask an archive for a copy: name its endpoint",
}
_WAY_IN = "built in: messages of the operator's stages carry no way in (orch/way-in)"
_ACTION_NAME = 63
_NOTICE = """\
# {{ constants.project }}

The countdown ended on {{ deadline }}. This was published on {{ entered_at }}.
"""


class _Asked(NamedTuple):
    """One action of the plan."""

    node: Node
    fields: Mapping[str, Node]
    stage: DraftStage
    id: str
    adapter: str
    channel: str
    """In lower case."""

    def value(self, name: str) -> Any:  # noqa: ANN401  # JSON
        """Return what a field says, None where it is left out."""
        return self.fields[name].value if name in self.fields else None


class _Made(NamedTuple):
    """What becomes of it; nothing where `why` alone is said."""

    actions: tuple[dict[str, Any], ...] = ()
    why: str = ""


def take_plan(node: Node, draft: Draft, library: Library) -> None:
    """Take the actions of every stage that is kept."""
    fields = node.fields()
    beside = {
        "plan_id": ("constants.plan_id", ""),
        "receipts": ("built in: the ledger has a receipt for each recipient", ""),
        "failure_handling": ("", "what failed for now is tried once in each tick, until it arrives: docs/tick.md"),
    }
    for name, (becomes, why) in beside.items():
        if name in fields:
            tell(fields[name], becomes, why)
    if "plan_id" in fields:
        draft.constants["plan_id"] = str(fields["plan_id"].value)
    stages = fields.get("stages")
    for state in stages.value if stages is not None and isinstance(stages.value, Mapping) else ():
        assert stages is not None  # noqa: S101  # it was asked
        each, stage = stages.below(state), draft.stage_of(state)
        if stage is None:
            tell(each, "", f"there is no stage for {state}")
            continue
        own = each.fields()
        if "actions" in own and own["actions"].value == []:
            tell(own["actions"], f"nothing is done at {stage.name}")
        for action in own["actions"].items() if "actions" in own else []:
            _take_action(action, stage, draft, library)


def _take_action(node: Node, stage: DraftStage, draft: Draft, library: Library) -> None:
    fields = node.fields()
    said = {name: str(fields[name].value) for name in ("id", "adapter", "channel") if name in fields}
    asked = _Asked(
        node, fields, stage, said.get("id", ""), snake(said.get("adapter", "")), said.get("channel", "").lower()
    )
    made = _made(asked, draft, library)
    if not made.actions:
        tell(node, "", made.why)
        return
    audience = _AUDIENCE_OF.get(asked.channel, "public")
    stage.audience = max(stage.audience, audience, key=_AUDIENCES.index)
    stage.actions += made.actions
    names = ", ".join(f"{stage.name}/{each['id']} ({each['action']})" for each in made.actions)
    _take_constraints(asked, audience)
    tell(node, names, made.why)


def _made(asked: _Asked, draft: Draft, library: Library) -> _Made:
    if asked.value("enabled") is False:
        return _Made(why="it is switched off: enabled is false")
    if asked.adapter in draft.disabled:
        return _Made(why=f"{asked.adapter} is switched off in the state")
    makers: dict[str, Callable[[_Asked, Draft, Library], _Made]] = {
        **dict.fromkeys(("email", "sms", "x", "reddit"), _message),
        "webhook": _webhook,
        "persistence_api": _webhook,
        "github_surface": _surface,
    }
    if asked.adapter not in makers:
        known = f"no action corresponds to the adapter {asked.adapter or '(none)'}"
        return _Made(why=_STRANGE.get(asked.adapter, known))
    return makers[asked.adapter](asked, draft, library)


def _message(asked: _Asked, draft: Draft, library: Library) -> _Made:
    template = asked.value("template")
    if not isinstance(template, str):
        return _Made(why="it has no template, and so no text")
    if problem := library.problem(template):
        return _Made(why=problem)
    form = Form.LETTER if asked.adapter in {"email", "reddit"} else Form.TEXT
    action = {"route": _route(asked, draft), "template": library.file_of(template, form)}
    why = "Markdown is sent as it is written" if asked.adapter == "email" else ""
    return _Made((_action(asked, "send_message", **action),), why)


def _route(asked: _Asked, draft: Draft) -> str:
    """Return the route of a message, which is made where nothing went there before."""
    if asked.adapter in {"x", "reddit"}:
        name, channel, secrets = asked.adapter, "social", [f"{asked.adapter.upper()}_URL"]
        draft.routes[name] = {"channel": channel, "to": [asked.adapter]}
        draft.channels.setdefault(channel, "")
        draft.secrets[secrets[0]] = ("send_message",)
        return name
    who, is_mail = slug(asked.channel) or "public", asked.adapter == "email"
    name, channel = (who, "mail") if is_mail else (f"{who}-phone", "sms")
    stem, kind = snake(who).upper(), "MAIL" if is_mail else "PHONE"
    secrets = [f"{stem}_{kind}"]
    if who == "custodians" and draft.custodians:
        secrets = [f"CUSTODIAN_{number}_{kind}" for number in range(1, draft.custodians + 1)]
    draft.routes[name] = {"channel": channel, "to": [f"${{{{ secrets.{secret} }}}}" for secret in secrets]}
    if who == "operator" and not is_mail:
        draft.routes[name]["audience"] = who
    draft.channels.setdefault(channel, "")
    draft.secrets |= dict.fromkeys(secrets, ("send_message",))
    return name


def _webhook(asked: _Asked, draft: Draft, library: Library) -> _Made:  # noqa: ARG001  # as the others
    """Return one call for each receiver: none may hide what became of another."""
    stem = "persistence" if asked.adapter == "persistence_api" else slug(asked.channel) or "observers"
    count = draft.observers if stem == "observers" and draft.observers > 1 else 1
    names = [stem] if count == 1 else [f"{stem}-{number}" for number in range(1, count + 1)]
    event = asked.value("payload") or asked.id
    actions = []
    for number, name in enumerate(names, 1):
        secret = f"{snake(name).upper()}_URL"
        draft.endpoints[name] = secret
        draft.secrets[secret] = ("call_webhook",)
        said = {"escalation": draft.name, "stage": asked.stage.name, "event": str(event)}
        suffix = f"_{number}" if count > 1 else ""
        actions.append(_action(asked, "call_webhook", suffix=suffix, given={"endpoint": name, "json": said}))
    return _Made(tuple(actions), "that program made the payload itself; here it is escalation, stage and event")


def _surface(asked: _Asked, draft: Draft, library: Library) -> _Made:
    artifact = asked.value("artifact")
    said: Mapping[str, Any] = artifact if isinstance(artifact, Mapping) else {}
    mode = said.get("mode", "file")
    if mode not in {"file", "release"}:
        return _Made(why=f"no action makes a {mode!s:.40}")
    template, why = asked.value("template"), []
    form = Form.DOCUMENT if mode == "file" else Form.TEXT
    if isinstance(template, str):
        if problem := library.problem(template):
            return _Made(why=problem)
        file = library.file_of(template, form)
    else:
        file = _notice(asked, draft, form)
        why.append(f"that program wrote the text itself; {file} is a short one to make your own")
    draft.needs_github = True
    draft.secrets["GITHUB_TOKEN"] = ()
    if mode == "file":
        path = said.get("path")
        if not isinstance(path, str):
            path = f"docs/{slug(str(said.get('label') or asked.id)) or 'notice'}.md"
            why.append(f"it names no path; it goes to {path}")
        given = {"branch": str(said.get("branch", "main")), "path": path}
        given["message"] = str(said.get("message") or f"Publish {path}")
        action = _action(asked, "write_document", adapter="github", template=file, given=given)
        return _Made((action,), "; ".join(why))
    release = {"name": str(said.get("name") or draft.project), "prerelease": said.get("prerelease") is not False}
    tag = {"tag": f"{draft.name}-{{{{ stage }}}}-{{{{ cycle }}}}"}
    why.append("its tag has the stage and the cycle, so that no cycle takes another's")
    action = _action(asked, "publish_release", adapter="github", template=file, text=tag, given=release)
    return _Made((action,), "; ".join(why))


def _notice(asked: _Asked, draft: Draft, form: Form) -> str:
    """Write a short text where the other project's own program wrote one, and return its file."""
    path = f"templates/{slug(asked.id) or 'notice'}.j2"
    draft.templates[path] = f"{{% block content %}}\n{_NOTICE}{{% endblock %}}\n" if form is Form.DOCUMENT else _NOTICE
    return path


def _action(asked: _Asked, action: str, *, suffix: str = "", **more: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
    """Return an action as the document has it; no other of the stage has its id."""
    taken = {each["id"] for each in asked.stage.actions}
    own = (snake(asked.id) or asked.adapter)[: _ACTION_NAME - len(suffix) - 3] + suffix
    number = 1
    while (name := own if number == 1 else f"{own}_{number}") in taken:
        number += 1
    keys = {"route": "route", "adapter": "adapter", "given": "with", "text": "text", "template": "template"}
    return {"id": name, "action": action} | {key: more[said] for said, key in keys.items() if said in more}


def _take_constraints(asked: _Asked, audience: str) -> None:
    for name, node in (asked.fields["constraints"].fields() if "constraints" in asked.fields else {}).items():
        if name in {"no_links", "no_entrypoint_reference"} and node.value is True:
            is_kept = audience == "operator"
            tell(node, _WAY_IN if is_kept else "", "" if is_kept else "only messages to the operator are held to that")
        else:
            tell(node, "", "no action has such a limit; write it as a rule of the pack")
