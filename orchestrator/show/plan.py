"""A plan, for a person, a program and a picture. Shows; reads nothing."""

from typing import TextIO

from orchestrator.plans.drawing import mermaid, svg, text
from orchestrator.plans.model import Plan
from orchestrator.plans.order import levels
from orchestrator.show.escape import json_text, terminal


def write(plan: Plan, out: TextIO, output_format: str) -> None:
    """Write a plan as `text`, `mermaid`, `svg` or `json`.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    match output_format:
        case "json":
            value = plan.to_json() | {"digest": plan.digest, "levels": levels(plan)}
            out.write(json_text(value, indent=2) + "\n")
        case "mermaid":
            out.write(mermaid(plan))
        case "svg":
            out.write(svg(plan))
        case _:
            out.writelines(terminal(line) + "\n" for line in text(plan).splitlines())
