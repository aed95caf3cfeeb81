"""A plan's document without what its model does not accept, so that the rest of it can be judged, too.

Never what is carried out: it only finds more problems. Pure.
"""

import copy
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import ErrorDetails

from orchestrator.document import MAX_PROBLEMS, Document, Map, Place, Seq
from orchestrator.errors import Problem
from orchestrator.mismatch import key_meant, problems_of, tried
from orchestrator.plans import schema

_MOST_ROUNDS = 20
"""Of lists whose items are looked at until one is wrong, each round finds one."""
_STAND_INS = {
    "apiVersion": "orch/v1",
    "name": "x",
    "action": "run_command",
    "file": "x",
    "path": "x",
    "schema": "x",
    "argv": "x",
}
"""What stands for a key that must be there: nothing is wrong with it that the plan did not say."""
_LENIENT = {"type": "json", "timeout": "366d"}
"""What stands for a wrong value where its default would make others wrong."""


@dataclass(slots=True)
class Mended:
    """A document in which only what was wrong is different."""

    document: Document
    model: schema.Plan | None = None
    """None where too much is wrong to judge the rest."""
    problems: list[Problem] = field(default_factory=list)
    """What the model said of it; more than of the document as it was, where something hid something else."""
    gaps: set[Place] = field(default_factory=set)
    """Where something was taken away: that it is not there is no problem of the plan's."""


def mended(document: Document) -> Mended:
    """Return a copy of a plan's document in which keys and values that its model refuses are mended or left out.

    An unknown key counts as the known one most like it, so that what stands under it is judged.
    """
    found = Mended(Document(document.file, copy.deepcopy(document.root), document.at, document.digest))
    for _ in range(_MOST_ROUNDS):
        found.model, details = tried(schema.Plan, found.document)
        found.problems += problems_of(details, schema.Plan, found.document)
        if not details or len(details) > MAX_PROBLEMS or not all(_mend(each, found) for each in reversed(details)):
            break
    return found


def _mend(detail: ErrorDetails, found: Mended) -> bool:
    """Mend one thing, in place; return whether that could be."""
    path = detail["loc"][:-1] if detail["loc"][-1:] == ("[key]",) else detail["loc"]
    way = _reached(found.document.root, path)
    if detail["type"] == "missing":
        holder = way[-1][0]
        return isinstance(holder, Map) and _stand_in(holder, path, found)
    if len(way) == 1:
        return False
    holder, key = way[-2][0], way[-1][1]
    if isinstance(holder, Seq):
        del holder[int(key)], holder.marks[int(key)]
        found.gaps.add(holder.at)
        return True
    if detail["type"] == "extra_forbidden":
        return _rename(holder, str(key), key_meant(path, schema.Plan), found)
    return _replace(holder, tuple(key for _, key in way[1:]), found)


def _reached(root: object, path: tuple[int | str, ...]) -> list[tuple[Any, int | str]]:
    """Return the values on the way along a path with the key or position of each, the root first; as far as it leads.

    One item without a list is what stands at position 0.
    """
    found: list[tuple[Any, int | str]] = [(root, "")]
    for step in path:
        value = found[-1][0]
        if (isinstance(value, Map) and step in value) or (
            isinstance(value, Seq) and isinstance(step, int) and step < len(value)
        ):
            found.append((value[step], step))  # type: ignore[index]  # a Map's keys are text, and so is the step
        elif step != 0 or isinstance(value, Seq):
            break
    return found


def _stand_in(holder: Map, path: tuple[int | str, ...], found: Mended) -> bool:
    key = str(path[-1])
    match key:
        case "id":  # like no other
            holder[key] = "-".join(["x", *map(str, path[:-1])]).replace("_", "-")[:63]
        case "metadata":
            holder[key] = Map(holder.at)
            holder[key]["name"] = _STAND_INS["name"]
        case "github":
            holder[key] = Map(holder.at)
        case _ if key in _STAND_INS:
            holder[key] = _STAND_INS[key]
        case _:
            return False
    found.gaps.add(holder.at)
    return True


def _replace(holder: Map, path: tuple[int | str, ...], found: Mended) -> bool:
    """Put something in the place of a wrong value, or leave its key out."""
    key = str(path[-1])
    before = holder[key]
    if key == "apiVersion":  # another format: nothing more is known of it
        return False
    if key in _LENIENT and "steps" not in path:
        holder[key] = _LENIENT[key]
    elif not _stand_in(holder, path, found):
        return _leave_out(holder, key, found)
    return holder[key] != before or _leave_out(holder, key, found)


def _rename(holder: Map, key: str, meant: str | None, found: Mended) -> bool:
    if meant is None or meant in holder:
        return _leave_out(holder, key, found)
    holder[meant] = holder.pop(key)
    holder.marks[meant] = holder.marks.pop(key)
    return True


def _leave_out(holder: Map, key: str, found: Mended) -> bool:
    del holder[key]
    holder.marks.pop(key, None)
    found.gaps.add(holder.at)
    return True
