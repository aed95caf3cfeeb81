"""How a run stands after it was carried out, in a few lines for a person."""

from typing import TextIO

from orchestrator.runs import awaited
from orchestrator.runs.state import Snapshot
from orchestrator.show.escape import terminal
from orchestrator.words import counted


def write(seen: Snapshot, out: TextIO) -> None:
    """Write how a run ended, or what it waits for and which command opens that."""
    reason = f": {' '.join(seen.reason.split())}" if seen.reason else ""
    done = f"{seen.done} of {counted(seen.total, 'phase')}"
    out.write(terminal(f"run {seen.run_id} {seen.state}{reason} ({done})") + "\n")
    for one in awaited.at_once(seen.waiting_for):
        commands = " or ".join(awaited.openers(one, seen.run_id))
        out.write(terminal(f"  {awaited.sentence(one)}" + (f"; next: {commands}" if commands else "")) + "\n")
