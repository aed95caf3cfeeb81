"""What became of every rule, action and template of an imported escalation, for a person and a program. Shows alone."""

import shutil
import textwrap
from collections.abc import Iterator
from typing import TextIO

from orchestrator.escalations.importing import Imported
from orchestrator.show.escape import json_text, terminal
from orchestrator.words import counted

_COLUMNS = 100
_LEAST_COLUMNS = 40


def write(found: Imported, out: TextIO, output_format: str, *, folder: str) -> None:
    """Write the report as `text` or `json`; `folder` is where the files were written.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    if output_format == "json":
        rows = [fate._asdict() | {"is_kept": fate.is_kept} for fate in found.fates]
        said = {"escalation": found.name, "folder": folder, "files": sorted(found.files), "fates": rows}
        out.write(json_text(said | {"advice": list(found.advice)}, indent=2) + "\n")
        return
    width = max(_LEAST_COLUMNS, shutil.get_terminal_size((_COLUMNS, 24)).columns) if out.isatty() else _COLUMNS
    for line in _lines(found, folder):
        out.writelines(
            f"{each}\n"
            for each in textwrap.wrap(
                terminal(line), width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
            )
        )


def _lines(found: Imported, folder: str) -> Iterator[str]:
    for fate in found.fates:
        different = f" ({fate.why})" if fate.becomes and fate.why else ""
        said = f"-> {fate.becomes}{different}" if fate.becomes else f"NOT KEPT: {fate.why}"
        yield f"{fate.file}:{fate.line}: {fate.what} {said}"
    kept = sum(fate.is_kept for fate in found.fates)
    yield f"{counted(len(found.fates), 'entry', 'entries')}: {kept:,} kept, {len(found.fates) - kept:,} not kept"
    yield f"written to {folder}: {', '.join(sorted(found.files))}"
    for line in found.advice:
        yield f"next: {line.replace('FOLDER', folder)}"
