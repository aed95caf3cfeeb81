"""An escalation that is made of another project's files: what is known of it so far, and what became of every field.

Collects; reads no file. Each field is told to have an effect, to have another one, or why it has none.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.document import Document
from orchestrator.plans.foreign import Account, Entry, Node, slug, snake

_USUAL_WHY = "nothing in an escalation corresponds to it"
_FOR_PEOPLE = frozenset({"description", "notes", "note", "version", "schema_version", "title", "label", "comment"})
_STAGE_NAME = 63


class Fate(NamedTuple):
    """What became of one field, rule, action or template variable."""

    file: str
    line: int
    """1-based."""
    what: str
    """`rule R10`, `action remind_email`, `variable tick_id`, or the way to a field."""
    becomes: str
    """What it is in the escalation; "" where it is not kept."""
    why: str
    """Why it is not kept, or what is different; "" where it is the same."""

    @property
    def is_kept(self) -> bool:
        """Whether it has an effect, be it another one."""
        return bool(self.becomes)


@dataclass
class DraftStage:
    """A stage that is being made."""

    name: str
    state: str
    """Its name in the other project."""
    node: Node
    at_s: int | None = None
    min_dwell_s: int = 0
    audience: str = "operator"
    comments: list[str] = field(default_factory=list)
    actions: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Draft:
    """An escalation that is being made."""

    name: str = ""
    mode: str = "countdown"
    grace_s: int = 0
    lockout_after: int | None = None
    project: str = ""
    stages: list[DraftStage] = field(default_factory=list)
    routes: dict[str, dict[str, Any]] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Name to the actions it is for."""
    channels: dict[str, str] = field(default_factory=dict)
    """Name to its lines in the operator's file."""
    endpoints: dict[str, str] = field(default_factory=dict)
    """Name to its lines in the operator's file."""
    needs_github: bool = False
    custodians: int = 0
    """How many addresses of custodians are known; 0 where nobody said."""
    observers: int = 0
    disabled: dict[str, Node] = field(default_factory=dict)
    """Adapters that are switched off, and where that is said."""
    templates: dict[str, str] = field(default_factory=dict)
    """Templates to write: path below the folder to content."""
    advice: list[str] = field(default_factory=list)
    fates: list[Fate] = field(default_factory=list)
    """Of what is no field of a document: variables of templates."""

    def stage_of(self, state: str) -> DraftStage | None:
        """Return the stage that a state of the other project is."""
        return next((each for each in self.stages if each.state == state), None)


def tell(node: Node, becomes: str, why: str = "") -> None:
    """Tell what became of a field and all below it; the first that is told of a place stays."""
    node.account.entries.setdefault((node.file, node.path), Entry(node.file, node.path, becomes, why))


def fates(documents: dict[str, Document], nodes: list[Node], account: Account) -> Iterator[Fate]:
    """Yield what became of every field, in the order of the files; what nobody took is told as such."""
    for node in nodes:
        told = {path for file, path in account.entries if file == node.file}
        for leaf in node.leaves():
            if not any(leaf.path[:length] in told for length in range(len(leaf.path) + 1)):
                tell(leaf, "", "it is for people only" if _is_for_people(leaf) else _USUAL_WHY)
        entries = [entry for (file, _), entry in account.entries.items() if file == node.file]
        for entry in sorted(entries, key=lambda one: documents[one.file].place(one.path, of_key=True)):
            line = documents[entry.file].place(entry.path, of_key=True)[0]
            yield Fate(entry.file, line, _named(node, entry), entry.becomes, entry.why)


def stage_name(state: str) -> str:
    """Return a state's name as a stage is called."""
    return snake(state)[:_STAGE_NAME] or slug(state)


def file_name(path: Path, root: Path) -> str:
    """Return a file as the report calls it: below the folder that was named."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _is_for_people(leaf: Node) -> bool:
    return any(isinstance(step, str) and snake(step) in _FOR_PEOPLE for step in leaf.path)


def _named(node: Node, entry: Entry) -> str:
    """Return a field as people know it: rules, actions and states by their names."""
    value, known = node.value, ""
    for at, step in enumerate(entry.path):
        value = value[step]
        if isinstance(step, int) and isinstance(value, dict):
            kind = {"rules": "rule", "actions": "action", "states": "state"}.get(str(entry.path[at - 1]))
            name = value.get("id") or value.get("name")
            if kind and isinstance(name, str):
                rest = entry.path[at + 1 :]
                known = f"{kind} {name}" + (f", {Entry('', rest, '', '').where}" if rest else "")
    return known or entry.where
