"""Makes one plan of the JSON files of another orchestrator, and tells of every field what became of it.

Source: 002, "Configure Phase Settings": orchestrator_config.json, phase_config.json, success_criteria.json and
github_config.json. Reads the files it is given and nothing else; what it makes is checked like any other plan.
"""

import re
import stat
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from orchestrator import strictjson
from orchestrator.errors import PackError, Problem, UsageError
from orchestrator.names import shown
from orchestrator.plans.abilities import abilities
from orchestrator.plans.draft import Draft, DraftPhase, fit
from orchestrator.plans.foreign import Account, Entry, Node, slug
from orchestrator.plans.foreign_checks import take_criteria
from orchestrator.plans.foreign_github import take_github
from orchestrator.plans.foreign_phases import take_phases
from orchestrator.plans.foreign_settings import take_settings
from orchestrator.plans.model import Plan
from orchestrator.plans.order import cycle
from orchestrator.plans.read import check_text
from orchestrator.plans.writing import comment, yaml
from orchestrator.shape import EXPECTED_OF_PATTERN, NAME

_ROLES = (
    ("github", "github"),
    ("criteria", "criteria|success"),
    ("phases", "phase"),
    ("settings", "orchestrat|main|settings"),
)
"""What a file is, by what its name holds; the first that fits."""
_NAMES = ("orchestrator_config.json", "phase_config.json", "success_criteria.json", "github_config.json")
_PLACE = re.compile(r"(?s)(?P<file>.*):(?P<line>\d+):(?P<column>\d+): (?P<said>.*)")
_MOST_BYTES = 16 * 1024 * 1024
_USUAL_NAME = "imported"


class Imported(NamedTuple):
    """A plan out of other files, and what became of every field of them."""

    plan: Plan
    text: str
    """The plan's document, YAML."""
    entries: tuple[Entry, ...]
    """In the order of the files."""
    advice: tuple[str, ...]
    """What to do beside the plan."""


def import_files(places: Iterable[Path], *, name: str | None = None) -> Imported:
    """Return the plan that JSON files make; a folder stands for the files in it that are known by their names.

    Raises:
        UsageError: a file cannot be read or is not known, there are no phases, or the name is none.
        PackError: a file is no JSON, or phases need one another in a circle.
    """
    account = Account()
    nodes = {role: Node(account, str(path), _value(path)) for role, path in _by_role(places).items()}
    if name is not None and not re.fullmatch(NAME[1:-1], name):
        raise UsageError(f"{name!r:.80} is no name for a plan; expected {EXPECTED_OF_PATTERN[NAME]}")
    draft = Draft(name=name or "")
    names = take_phases(nodes["phases"], draft)
    takers: dict[str, Callable[[Node, Draft], None]] = {"settings": take_settings, "github": take_github}
    for role, taker in takers.items():
        if role in nodes:
            taker(nodes[role], draft)
    if "criteria" in nodes:
        take_criteria(nodes["criteria"], draft, names)
    if circle := cycle({phase.id: phase.needs for phase in draft.phases}):
        seen = f"phases that need one another: {' -> '.join(circle)}"
        raise PackError([Problem(nodes["phases"].file, 0, 0, seen, "phases without a circle")])
    _finish(draft, nodes["phases"])
    ordered = [nodes[role] for role in ("settings", "phases", "criteria", "github") if role in nodes]
    text = _text(draft, ordered)
    checked = check_text(text.encode(), "the imported plan", abilities())
    if checked.plan is None:
        raise PackError(
            [problem for problem in checked.problems if not problem.is_warning],
            advice="this is a fault of the import: report it with the files",
        )
    return Imported(checked.plan, text, account.finish(ordered), tuple(dict.fromkeys(draft.advice)))


def _by_role(places: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for place in places:
        for path in _files(place) if _is_folder(place) else [place]:
            role = _role(path)
            if role is None:
                if place.is_dir():
                    continue
                raise UsageError(
                    f"{path} is not known by its name",
                    advice=f"expected {', '.join(_NAMES)}",
                )
            if role in found:
                raise UsageError(
                    f"{found[role]} and {path} seem to be the same file", advice="name the files themselves"
                )
            found[role] = path
    if "phases" not in found:
        raise UsageError("there is no file of phases", advice="expected phase_config.json in the folder")
    return found


def _is_folder(place: Path) -> bool:
    """Return whether a place is a folder, and not a file.

    Raises:
        UsageError: it is not there.
    """
    try:
        return stat.S_ISDIR(place.stat().st_mode)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it has no good name"
        raise UsageError(
            f"cannot read {shown(str(place))}: {why}", advice=f"name a folder, or files such as {_NAMES[1]}"
        ) from error


def _files(folder: Path) -> list[Path]:
    """Return the JSON files of a folder, or of its `config` where it has none that are known."""
    for each in (folder, folder / "config"):
        found = sorted(path for path in each.glob("*.json") if path.is_file())
        if any(_role(path) == "phases" for path in found):
            return found
    return []


def _role(path: Path) -> str | None:
    return next((role for role, words in _ROLES if re.search(words, path.stem.lower())), None)


def _value(path: Path) -> object:
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is no file; expected JSON")
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > _MOST_BYTES:
        raise UsageError(f"{path} has more than {_MOST_BYTES:,} bytes")
    try:
        value = strictjson.parse(data, name=str(path))
    except UsageError as error:
        place = _PLACE.fullmatch(str(error))
        at = (int(place["line"]), int(place["column"])) if place else (0, 0)
        raise PackError(
            [Problem(str(path), *at, place["said"] if place else str(error).removeprefix(f"{path}: "), "")]
        ) from error
    if not isinstance(value, dict | list):
        raise PackError([Problem(str(path), 1, 1, shown(value), "an object or a list")])
    return value


def _finish(draft: Draft, phases: Node) -> None:
    """Fill in what nobody said, and what follows from several files."""
    draft.name = draft.name or slug(Path(phases.file).resolve().parent.name) or _USUAL_NAME
    if any(phase.compensate for phase in draft.phases):
        if draft.on_failure == "continue":
            draft.advice.append("after a failure the other phases go on, so nothing is compensated: see on_failure")
        else:
            draft.on_failure = "compensate"
    if draft.is_sequential:
        ordered = _ordered(draft.phases)
        for one, following in pairwise(ordered):
            if one.id not in _above(draft, following.id):
                following.needs.append(one.id)
    fit(draft)
    for phase in draft.phases:
        phase.is_manual = phase.is_manual or draft.is_manual
        if not phase.success and not phase.is_manual:
            phase.comments.append("no criterion: somebody approves it, unless a pack allows auto_approve")


def _ordered(phases: list[DraftPhase]) -> list[DraftPhase]:
    """Return phases so that each comes after all that it needs; else in the order they were in."""
    found: list[DraftPhase] = []
    while len(found) < len(phases):
        over = {phase.id for phase in found}
        found.append(next(phase for phase in phases if phase not in found and over.issuperset(phase.needs)))
    return found


def _above(draft: Draft, name: str) -> set[str]:
    """Return all that a phase needs, directly or not."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        phase = draft.phase(waiting.pop())
        for need in phase.needs if phase else ():
            if need not in found:
                found.add(need)
                waiting.append(need)
    return found


def _text(draft: Draft, nodes: list[Node]) -> str:
    files = ", ".join(Path(node.file).name for node in nodes)
    mode = f" --mode {draft.mode}" if draft.mode else ""
    head = [
        f"Made by `orch plan import` of {files}.",
        "`orch plan validate` says what is wrong with it, `orch plan show` draws it, and",
        f"`orch run FILE{mode}` carries it out, under the packs.",
    ]
    lines = [line for text in head for line in comment(text)]
    return "\n".join(lines) + "\n" + yaml(draft.document())
