"""The default escalation as a document with its template and plan, and how documents like it are read."""

from pathlib import Path

from orchestrator.errors import PackError
from orchestrator.escalations.model import Escalation
from orchestrator.model import Layer
from orchestrator.module import read_module_file
from orchestrator.pack import Loaded, load_documents

DOCUMENT = """apiVersion: orch/v1
kind: Escalation
metadata: {name: continuity, version: 1.2.3}
renewal:
  extends: 24h
  lockout: {after: 5, first: 30s, longest: 10m}
tick: {every: 5m, p95_gap: 12m}
heartbeat: {url: "${{ secrets.WATCHER_URL }}"}
routes:
  operator: {channel: mail, to: ["${{ secrets.OPERATOR_MAIL }}"]}
  custodians: {channel: mail, to: ["${{ secrets.ANNA_MAIL }}", "${{ secrets.BEN_MAIL }}"]}
constants: {organisation: Acme}
stages:
  - {name: ok}
  - name: remind_6h
    at: -6h
    actions:
      - {id: mail, action: send_message, route: operator, template: texts/reminder.j2}
  - name: remind_1h
    at: -1h
    actions:
      - {id: mail, action: send_message, route: operator, template: texts/reminder.j2}
  - name: pre_release
    at: -15m
    min_dwell: 15m
    actions:
      - {id: mail, action: send_message, route: operator, template: texts/reminder.j2}
  - name: partial
    at: 1m
    audience: custodians
    requires: {delivered: [pre_release/mail], max_wait: 6h}
    actions:
      - {id: letter, action: send_message, route: custodians, text: {subject: "{{ constants.organisation }}", body: "It is {{ entered_at }}"}, timeout: 60s}
  - name: full
    at: 2h
    audience: public
    plan: {file: plans/publish.yaml, inputs: {tag: v1}}
"""
TEMPLATE = """{# for the operator #}
{% block subject %}
{{ constants.organisation }}: {{ stage }}
{% endblock %}
{% block body %}
{% if time_left %}{{ time_left }} left until {{ deadline }}.{% else %}It is over.{% endif %}
Next is {{ next_stage }}, {{ next_at }}.
{% endblock %}
"""
PLAN = """apiVersion: orch/v1
kind: Plan
metadata: {name: publish}
inputs: {tag: {}, draft: {type: boolean, default: false}}
phases:
  - id: all
    steps:
      - {id: say, action: send_message, with: {channel: news, body: "${{ inputs.tag }}"}}
"""
FILES = {"texts/reminder.j2": TEMPLATE, "plans/publish.yaml": PLAN}
PACK = """apiVersion: orch/v1
kind: PolicyPack
metadata: {name: continuity}
default: deny
rules:
  - {id: clock, effect: allow, actions: [tick, enter_stage, send_message, call_webhook, control_escalation]}
  - {id: early, effect: deny, actions: send_message, stages: [ok]}
"""


def write(folder: Path, document: str = DOCUMENT, *, pack: str = PACK, **files: str) -> Path:
    """Write a policy with an escalation into a folder; `files` go beside, `__` in a name standing for `/`, `_j2` for `.j2`."""
    folder.mkdir(exist_ok=True)
    (folder / "continuity.yaml").write_text(document)
    (folder / "pack.yaml").write_text(pack)
    named = {
        name.replace("__", "/").replace("_j2", ".j2").replace("_yaml", ".yaml"): text for name, text in files.items()
    }
    for name, text in (FILES | named).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def loaded(folder: Path, layer: Layer = Layer.ORG) -> Loaded:
    """Return what the document of a folder says."""
    file = folder / "continuity.yaml"
    return load_documents(
        [("continuity.yaml", file.read_bytes())], layer, read_module=lambda _, path: read_module_file(str(file), path)
    )


def escalation(folder: Path) -> Escalation:
    """Return the escalation of a folder."""
    return Escalation.of(loaded(folder).escalations[0].row)


def told(folder: Path) -> list[str]:
    """Return what is wrong with the document of a folder, line by line."""
    try:
        loaded(folder)
    except PackError as error:
        return [str(problem) for problem in error.problems]
    return []
