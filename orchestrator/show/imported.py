"""What became of every field of imported files, for a person and a program. Shows; reads nothing."""

import shutil
import textwrap
from typing import TextIO

from orchestrator.plans.importing import Imported
from orchestrator.show.escape import json_text, terminal
from orchestrator.words import counted

_COLUMNS = 80
_LEAST_COLUMNS = 40


def write(found: Imported, out: TextIO, output_format: str) -> None:
    """Write the report as `text` or `json`.

    Text is as wide as the terminal, 80 columns where it goes elsewhere.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    if output_format == "json":
        rows = [{**entry._asdict(), "path": list(entry.path), "where": entry.where} for entry in found.entries]
        out.write(json_text({"plan": found.plan.name, "fields": rows, "advice": found.advice}, indent=2) + "\n")
        return
    width = max(_LEAST_COLUMNS, shutil.get_terminal_size((_COLUMNS, 24)).columns) if out.isatty() else _COLUMNS
    file = ""
    for entry in found.entries:
        if entry.file != file:
            file = entry.file
            out.write(terminal(file) + "\n")
        said = f"-> {entry.becomes}" if entry.becomes else f"not used: {entry.why}"
        _write_wrapped(f"{entry.where} {said}", out, width, "  ")
    for line in found.advice:
        _write_wrapped(f"to do: {line}", out, width, "")
    used = sum(bool(entry.becomes) for entry in found.entries)
    out.write(f"{counted(len(found.entries), 'field')}: {used:,} used, {len(found.entries) - used:,} not used\n")


def _write_wrapped(text: str, out: TextIO, width: int, indent: str) -> None:
    lines = textwrap.wrap(
        terminal(text),
        width,
        initial_indent=indent,
        subsequent_indent=indent + "    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    out.writelines(line + "\n" for line in lines)
