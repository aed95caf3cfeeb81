"""Makes an escalation of another project's policy files, and tells of each rule, action and template what became of it.

Source: 000, "Configuration-Driven": states, rules, plans and templates with `${{var}}`, and its state. Reads the files
it is given and nothing else, and writes over nothing.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from orchestrator.document import MAX_BYTES, Document, read
from orchestrator.errors import PackError, Problem, UsageError
from orchestrator.escalations.foreign import Draft, Fate, fates, file_name, tell
from orchestrator.escalations.foreign_actions import take_plan
from orchestrator.escalations.foreign_rules import settle, take_rules, take_states
from orchestrator.escalations.foreign_state import take_state
from orchestrator.escalations.foreign_templates import Library
from orchestrator.escalations.foreign_writing import files
from orchestrator.names import shown
from orchestrator.plans.foreign import Account, Node, slug
from orchestrator.plans.scaffold import write_new
from orchestrator.shape import EXPECTED_OF_PATTERN, NAME

_LEAST_DWELL_S = 900
_USUAL_NAME = "imported"
_EXPECTED = "policy/states.yaml, policy/rules.yaml and policy/plans/*.yaml"


class Imported(NamedTuple):
    """An escalation out of other files, and what became of all that they say."""

    name: str
    files: dict[str, str]
    """Path below the new folder to content."""
    fates: tuple[Fate, ...]
    """In the order of the files and their lines."""
    advice: tuple[str, ...]
    """What is left to do."""


def import_escalation(folder: Path, *, name: str | None = None) -> Imported:
    """Return the escalation that a project's files make; `folder` is the project's, or its `policy` folder.

    Raises:
        UsageError: a file is missing or cannot be read, or the name is none.
        PackError: a file is no YAML, or no stage is left that warns the operator before others hear of it.
    """
    if name is not None and not re.fullmatch(NAME[1:-1], name):
        raise UsageError(f"{name!r:.80} is no name for an escalation; expected {EXPECTED_OF_PATTERN[NAME]}")
    root = folder if (folder / "policy").is_dir() else folder.parent
    policy = root / "policy" if (folder / "policy").is_dir() else folder
    account, documents = Account(), dict[str, Document]()
    paths = _paths(policy, root)
    nodes = {role: _node(path, root, account, documents) for role, path in paths.items() if role != "plan"}
    draft = Draft(name=name or "")
    take_states(nodes["states"], draft)
    if not draft.stages:
        raise UsageError(f"{file_name(paths['states'], root)} has no state", advice=f"expected {_EXPECTED}")
    take_rules(nodes["rules"], draft)
    if "state" in nodes:
        take_state(nodes["state"], draft)
    settle(draft)
    plan = _plan(policy, nodes.get("state"), draft, root)
    nodes["plan"] = _node(plan, root, account, documents)
    draft.name = draft.name or slug(draft.project) or slug(root.resolve().name) or _USUAL_NAME
    draft.project = draft.project or draft.name
    take_plan(nodes["plan"], draft, Library(root / "templates", root, draft))
    _finish(draft, documents, nodes)
    ordered = [nodes[role] for role in ("states", "rules", "plan", "state") if role in nodes]
    told = [*fates(documents, ordered, account), *sorted(draft.fates, key=lambda one: (one.file, one.line))]
    return Imported(draft.name, files(draft), tuple(told), tuple(_advice(draft)))


def write(imported: Imported, folder: Path) -> None:
    """Write an escalation's files into a folder that is not there yet, or empty.

    Raises:
        UsageError: something is there already, or it cannot be written.
    """
    advice = "name another folder: --out FOLDER"
    try:
        is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    except OSError as error:
        raise UsageError(f"cannot look into {shown(str(folder))}: {error.strerror}", advice=advice) from error
    if not is_free:
        raise UsageError(f"{shown(str(folder))} is there already; nothing is overwritten", advice=advice)
    for name, text in imported.files.items():
        write_new(folder / name, text, advice=advice)


def _paths(policy: Path, root: Path) -> dict[str, Path]:
    found = {"states": policy / "states.yaml", "rules": policy / "rules.yaml"}
    for path in found.values():
        if not path.is_file():
            what = shown(file_name(path, root)) if policy.is_dir() else shown(str(policy))
            raise UsageError(f"there is no {what}", advice=f"name the folder that has {_EXPECTED}")
    state = root / "state" / "current.json"
    return found | ({"state": state} if state.is_file() else {})


def _plan(policy: Path, state: Node | None, draft: Draft, root: Path) -> Path:
    """Return the plan's file: the one that the state names, `default`, or the only one; others are told of."""
    folder = policy / "plans"
    there = sorted(path for path in folder.glob("*.yaml") if path.is_file())
    meta = state.fields().get("meta") if state is not None else None
    named = meta.value.get("plan_id") if meta is not None and isinstance(meta.value, dict) else None
    wanted = [path for path in there if path.stem == (named or "default")]
    if not wanted and named is None and len(there) == 1:
        wanted = there
    if not wanted:
        raise UsageError(
            f"there is no plan {shown(str(named or 'default'))} in {shown(file_name(folder, root))}",
            advice="the state's meta.plan_id names the plan; without it `default` is read",
        )
    for path in there:
        if path != wanted[0]:
            draft.fates.append(Fate(file_name(path, root), 1, "(all of it)", "", "another plan is the one in use"))
    return wanted[0]


def _node(path: Path, root: Path, account: Account, documents: dict[str, Document]) -> Node:
    name = file_name(path, root)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {shown(str(path))}: {getattr(error, 'strerror', None) or error}") from error
    reading = read(data, name)
    problems = [problem for problem in reading.problems if not problem.is_warning]
    if not problems and len(reading.documents) != 1:
        problems = [Problem(name, 1, 1, f"{len(reading.documents)} documents", "one document")]
    if not problems and not isinstance(reading.documents[0].root, dict):
        problems = [Problem(name, 1, 1, "no mapping", "a mapping")]
    if problems:
        raise PackError(problems)
    documents[name] = reading.documents[0]
    return Node(account, name, reading.documents[0].root)


def _finish(draft: Draft, documents: dict[str, Document], nodes: dict[str, Node]) -> None:
    """Add what an escalation needs and nobody said, and see that the operator is warned first."""
    draft.constants = {"project": draft.project} | draft.constants
    used = "".join(draft.templates.values())
    draft.constants = {name: value for name, value in draft.constants.items() if f"constants.{name}" in used}
    if any(each["action"] == "send_message" for stage in draft.stages for each in stage.actions):
        draft.routes.setdefault("operator", {"channel": "mail", "to": ["${{ secrets.OPERATOR_MAIL }}"]})
        draft.secrets.setdefault("OPERATOR_MAIL", ("send_message",))
        draft.channels.setdefault("mail", "")
    for before, stage in pairwise(draft.stages):
        if stage.audience == "operator" or before.audience != "operator":
            continue
        if before.at_s is None or stage.at_s is None:
            node = stage.node
            line, column = documents[node.file].place(node.path)
            seen = f"the state {stage.state}, which reaches others, with no stage before it that warns the operator"
            expected = "a rule and an action that warn the operator first"
            raise PackError([Problem(node.file, line, column, seen, expected, "keep one reminder, and import again")])
        before.min_dwell_s = min(_LEAST_DWELL_S, stage.at_s - before.at_s)
        before.comments.append(f"min_dwell: so long there is between the last warning and {stage.name}")
    _unused(draft, nodes["plan"])


def _unused(draft: Draft, plan: Node) -> None:
    """Tell of the plan's name where no template has it."""
    if "plan_id" in plan.fields() and "plan_id" not in draft.constants:
        node = plan.fields()["plan_id"]
        node.account.entries.pop((node.file, node.path), None)
        tell(node, "", "no template says it")


def _advice(draft: Draft) -> Iterator[str]:
    yield "look at the templates: what a comment stands for in them was not kept"
    if draft.routes:
        yield "put operator/config.yaml into the operator's file, and the addresses where it says"
    yield f"orch policy validate FOLDER, orch simulate {draft.name}, orch drill {draft.name}"
    yield "the old renewal code is not taken over: orch code new makes others"
    yield "then orch set-deadline --hours 48, and a schedule: docs/schedules.md"
