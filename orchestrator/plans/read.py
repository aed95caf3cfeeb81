"""A plan's document, read strictly: what it means, and everything that is wrong with it, each with its place.

Does nothing outside but read the file.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from orchestrator.document import MAX_BYTES, Document, Map, read, shown
from orchestrator.errors import Exit, PackError, Problem, UsageError
from orchestrator.mismatch import validated
from orchestrator.notes import Notes
from orchestrator.plans import graph, schema
from orchestrator.plans.abilities import Abilities, abilities
from orchestrator.plans.inputs import inputs_for
from orchestrator.plans.model import Plan
from orchestrator.plans.resolve import resolved
from orchestrator.plans.spot import Spot

__all__ = ["Checked", "CheckedPlans", "check_plans", "check_text", "inputs_for", "read_plan"]


class Checked(NamedTuple):
    """A plan that was looked at."""

    plan: Plan | None
    """None where anything is wrong."""
    problems: tuple[Problem, ...]
    """Errors and warnings, in the order of the file."""


class CheckedPlans(NamedTuple):
    """Plans that were looked at."""

    plans: tuple[Checked, ...]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Errors and warnings, file by file."""
        return tuple(problem for checked in self.plans for problem in checked.problems)

    @property
    def summary(self) -> str:
        """What was looked at, where it could be read."""
        good = [checked.plan for checked in self.plans if checked.plan]
        if len(good) < len(self.plans):
            return ""
        counts = (len(good), sum(len(plan.phases) for plan in good), sum(1 for plan in good for _ in plan.steps()))
        words = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in zip(counts, _COUNTED, strict=True)]
        return f"{words[0]} with {words[1]} and {words[2]}"

    def exit_code(self, *, strict: bool) -> Exit:
        """Return 0, or 7 where anything is wrong; with `strict` doubtful things are wrong, too."""
        return Exit.PACK if any(strict or not problem.is_warning for problem in self.problems) else Exit.OK


_COUNTED = ("plan", "phase", "step")


def read_plan(path: str | Path, *, name: str | None = None) -> Plan:
    """Return the plan in a file; `name` is what messages call the file.

    Raises:
        UsageError: the file cannot be read.
        PackError: anything is wrong; with every problem.
    """
    checked = check_text(_bytes(Path(path)), name or str(path), abilities())
    if checked.plan is None:
        raise PackError([problem for problem in checked.problems if not problem.is_warning])
    return checked.plan


def check_plans(paths: Iterable[str | Path], *, packs: Iterable[str] = (), root: Path | None = None) -> CheckedPlans:
    """Return the plans in files and all that is wrong or doubtful.

    `packs` are packs whose own actions count; with `root`, files that the plans name are looked at below it.

    Raises:
        UsageError: a file cannot be read, or a path of packs leads nowhere.
        PackError: a pack is wrong.
    """
    can = abilities(packs)
    return CheckedPlans(tuple(_checked(Path(path), can, root) for path in paths))


def _checked(path: Path, can: Abilities, root: Path | None) -> Checked:
    data = _bytes(path)
    checked = check_text(data, str(path), can)
    if root is None or checked.plan is None:
        return checked
    from orchestrator.plans.files import look_at_schemas

    found = look_at_schemas(checked.plan, data, str(path), root)
    return Checked(checked.plan if all(each.is_warning for each in found) else None, (*checked.problems, *found))


def check_text(data: bytes, file: str, can: Abilities) -> Checked:
    """Return the plan in a file's bytes and all that is wrong or doubtful with it; never raises."""
    reading = read(data, file)
    notes = Notes(file, list(reading.problems))
    plan = None
    if len(reading.documents) > 1:
        notes.error(reading.documents[1].at, "a second document", "one plan in a file")
    elif reading.documents:
        plan = _plan(reading.documents[0], notes, can)
    taken = {(problem.line, problem.column) for problem in reading.problems}
    told = [each for each in notes.errors if each in reading.problems or (each.line, each.column) not in taken]
    by_place = {(each.line, each.column, each.seen): each for each in reversed((*told, *notes.warnings))}
    ordered = tuple(by_place[key] for key in sorted(by_place, key=lambda key: (key[0] == 0, *key)))
    return Checked(None if notes.errors else plan, ordered)


def _plan(document: Document, notes: Notes, can: Abilities) -> Plan | None:
    root = document.root
    if not isinstance(root, Map):
        notes.error(document.at, shown(root), "a mapping with apiVersion, kind: Plan, metadata and phases")
        return None
    if root.get("kind") != "Plan":
        seen = f"the kind {shown(root['kind'])}" if "kind" in root else "a document without `kind`"
        notes.error(root.value_at("kind"), seen, "`kind: Plan`")
        return None
    model, problems = validated(schema.Plan, document)
    notes.errors += problems
    if model is None:
        return None
    spot = Spot(document, notes)
    graph.check(model, spot)
    return resolved(model, spot, can)


def _bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{_shown(path)} is no file; expected a plan")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it has no good name"
        advice = "`orch plan new NAME` writes a first one" if isinstance(error, FileNotFoundError) else ""
        raise UsageError(f"cannot read {_shown(path)}: {why}", advice=advice) from error


def _shown(path: Path) -> str:
    """Return a path as a message may show it."""
    return shown(str(path)).strip("`")
