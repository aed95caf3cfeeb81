"""What came of a renewal, and new codes, as a person reads them."""

from typing import Any, TextIO

from orchestrator.clock import SECOND_NS, format_time
from orchestrator.escalations.codes import Drawn
from orchestrator.escalations.renewal import Renewed
from orchestrator.show.escape import json_text, terminal


def as_json(renewed: Renewed) -> dict[str, Any]:
    """Return a renewal as a program reads it: `{name, cycle, stage, deadline, is_armed}`."""
    said = renewed._asdict()
    deadline_ns = said.pop("deadline_ns")
    del said["note"]
    return said | {"deadline": format_time(deadline_ns)}


def write_json(renewed: Renewed, out: TextIO) -> None:
    """Write a renewal as one object."""
    out.write(json_text(as_json(renewed)) + "\n")


def write(renewed: Renewed, out: TextIO) -> None:
    """Write what begins now."""
    until = format_time(renewed.deadline_ns // SECOND_NS * SECOND_NS)
    out.write(f"RENEWED {terminal(renewed.name)}: stage {terminal(renewed.stage)}, deadline {until}\n")
    out.write(f"  cycle {renewed.cycle}\n")
    if not renewed.is_armed:
        out.write(f"  it is not armed, so no deadline counts: orch arm {terminal(renewed.name)}\n")


def write_note(renewed: Renewed, out: TextIO) -> None:
    """Write what a person should know of the clock."""
    if renewed.note:
        out.write(f"orch: note: {terminal(renewed.note)}\n")


def write_codes(name: str, drawn: Drawn, out: TextIO) -> None:
    """Write new codes, each with what it is for."""
    out.write(f"codes of {terminal(name)}, shown this once:\n\n")
    out.write(f"  {drawn.main}  renews, as often as it is given\n")
    out.writelines(f"  {code}  renews once\n" for code in drawn.spare)
    if drawn.duress:
        out.write(f"  {drawn.duress}  under duress: looks as if it renewed\n")
    out.write("\n")
