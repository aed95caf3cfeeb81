"""What became of every field of imported files, for a person and a program. Shows; reads nothing."""

from typing import TextIO

from orchestrator.plans.importing import Imported
from orchestrator.show.escape import json_text, terminal


def write(found: Imported, out: TextIO, output_format: str) -> None:
    """Write the report as `text` or `json`.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    if output_format == "json":
        rows = [{**entry._asdict(), "path": list(entry.path), "where": entry.where} for entry in found.entries]
        out.write(json_text({"plan": found.plan.name, "fields": rows, "advice": found.advice}, indent=2) + "\n")
        return
    file = ""
    for entry in found.entries:
        if entry.file != file:
            file = entry.file
            out.write(terminal(file) + "\n")
        said = f"-> {entry.becomes}" if entry.becomes else f"not used: {entry.why}"
        out.write(terminal(f"  {entry.where} {said}") + "\n")
    unused = sum(not entry.becomes for entry in found.entries)
    out.writelines(terminal(f"to do: {line}") + "\n" for line in found.advice)
    out.write(f"{len(found.entries)} entries, {unused} of them without an effect\n")
