"""Decisions as JSON Lines: one answer to a line, in input order, written as they come."""

from collections.abc import Iterable
from typing import TextIO

from orchestrator.decision import Decision
from orchestrator.show import Options, escape


def write(decisions: Iterable[Decision], out: TextIO, options: Options) -> None:  # noqa: ARG001  # every format has this shape
    """Write the stable answers of `docs/decision.md`, one to a line.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    out.writelines(escape.json_text(decision.to_json()) + "\n" for decision in decisions)
