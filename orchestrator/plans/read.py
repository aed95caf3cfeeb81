"""A plan's document, read strictly: what it means, and everything that is wrong with it, each with its place.

Does nothing outside but read the file.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from orchestrator.document import MAX_BYTES, Document, Map, read, shown
from orchestrator.errors import Exit, PackError, Problem, UsageError
from orchestrator.mismatch import plainer, validated
from orchestrator.notes import Notes
from orchestrator.plans import graph, schema
from orchestrator.plans.abilities import Abilities, abilities
from orchestrator.plans.inputs import inputs_for
from orchestrator.plans.mend import mended
from orchestrator.plans.model import Plan
from orchestrator.plans.resolve import resolved
from orchestrator.plans.spot import Spot
from orchestrator.words import counted

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
        words = [counted(count, word) for count, word in zip(counts, _COUNTED, strict=True)]
        return f"{words[0]} with {words[1]} and {words[2]}"

    def exit_code(self, *, strict: bool) -> Exit:
        """Return 0, or 7 where anything is wrong; with `strict` doubtful things are wrong, too."""
        return Exit.PACK if any(strict or not problem.is_warning for problem in self.problems) else Exit.OK


_COUNTED = ("plan", "phase", "step")
STDIN = "-"
"""The path that stands for standard input."""
_GIVEN = re.compile(r"/dev/stdin|(?:/dev|/proc/self)/fd/[0-9]+")
"""Paths of what is open already: a pipe there has a writer, or nothing is read."""


def read_plan(path: str | Path, *, name: str | None = None) -> Plan:
    """Return the plan in a file, or in standard input where the path is `-`; `name` is what messages call the file.

    Raises:
        UsageError: the file cannot be read.
        PackError: anything is wrong; with every problem.
    """
    checked = check_text(_bytes(Path(path)), name or _name(Path(path)), abilities())
    if checked.plan is None:
        raise PackError([problem for problem in checked.problems if not problem.is_warning])
    return checked.plan


def check_plans(paths: Iterable[str | Path], *, can: Abilities | None = None, root: Path | None = None) -> CheckedPlans:
    """Return the plans in files and all that is wrong or doubtful; `-` is standard input.

    `can` is what this installation can do, where packs add to it; with `root`, files that the plans name are looked at
    below it.

    Raises:
        UsageError: a file cannot be read.
    """
    known = can or abilities()
    return CheckedPlans(tuple(_checked(Path(path), known, root) for path in paths))


def _checked(path: Path, can: Abilities, root: Path | None) -> Checked:
    data = _bytes(path)
    checked = check_text(data, _name(path), can)
    if root is None or checked.plan is None:
        return checked
    from orchestrator.plans.files import look_at_schemas

    found = look_at_schemas(checked.plan, data, _name(path), root)
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
    own = [each for each in notes.errors if each not in reading.problems and (each.line, each.column) not in taken]
    told = [*plainer(reading.problems, notes.errors), *own]
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
        _judge_the_rest(document, notes, can)
        return None
    spot = Spot(document, notes)
    graph.check(model, spot)
    return resolved(model, spot, can)


def _judge_the_rest(document: Document, notes: Notes, can: Abilities) -> None:
    """Note what is wrong with a plan beside what its model said; nothing that only follows from that."""
    rest = mended(document)
    more = Notes(notes.file, rest.problems)
    if rest.model is not None:
        spot = Spot(rest.document, more)
        graph.check(rest.model, spot)
        resolved(rest.model, spot, can)
    told = {(each.line, each.column) for each in notes.errors} | rest.gaps
    notes.errors += [each for each in more.errors if (each.line, each.column) not in told]
    notes.warnings += [each for each in more.warnings if (each.line, each.column) not in told]


def _bytes(path: Path) -> bytes:
    if str(path) == STDIN:
        if sys.stdin is None:
            raise UsageError("standard input is closed; expected a plan", advice="name a file, or open standard input")
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    try:
        if path.exists() and not path.is_file() and not (_GIVEN.fullmatch(str(path)) and not path.is_dir()):
            raise UsageError(f"{_shown(path)} is no file; expected a plan")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it has no good name"
        advice = "`orch plan new NAME` writes a first one" if isinstance(error, FileNotFoundError) else ""
        raise UsageError(f"cannot read {_shown(path)}: {why}", advice=advice) from error


def _name(path: Path) -> str:
    """Return what messages call a file."""
    return "stdin" if str(path) == STDIN else str(path)


def _shown(path: Path) -> str:
    """Return a path as a message may show it."""
    return shown(str(path)).strip("`")
