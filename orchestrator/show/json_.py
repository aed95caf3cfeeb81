"""Decisions as JSON: an object for one request, else an array in input order, one decision to a line. Streams."""

from collections.abc import Iterable
from typing import TextIO

from orchestrator.decision import Decision
from orchestrator.show import Options, escape


def write(decisions: Iterable[Decision], out: TextIO, options: Options) -> None:
    """Write the stable answers of `docs/decision.md`.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    if options.is_single:
        out.writelines(escape.json_text(decision.to_json(), indent=2) + "\n" for decision in decisions)
        return
    before = "[\n"
    for decision in decisions:
        out.write(before + escape.json_text(decision.to_json()))
        before = ",\n"
    out.write("[]\n" if before == "[\n" else "\n]\n")
