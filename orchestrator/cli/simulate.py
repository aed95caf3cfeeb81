"""`orch simulate`: what the ticks of an escalation would do, over hours or years. Nothing is sent or recorded."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.text import TEXT
from orchestrator.settings import Settings

_SETTINGS = ("packs", "ledger", "config", "subject")
_COLUMNS = 100


@click.command(short_help="Show what the ticks of an escalation would do.")
@click.argument("name", type=TEXT, required=False)
@click.option("--from", "start", metavar="TIME", help="When it begins, such as 2026-11-21T05:00:00Z. [default: now]")
@click.option(
    "--for",
    "length",
    metavar="TIME",
    help="How long it goes on: 30h, 90d or 10y. [default: until 2 hours after the last stage]",
)
@click.option("--every", metavar="TIME", help="How often a tick comes. [default: what the document says, else 5m]")
@click.option("--deadline", metavar="TIME", help="A time, or how long after the start. [default: what a renewal gives]")
@click.option("--miss", metavar="PERCENT", help="So many of the ticks do not come.")
@click.option(
    "--gaps",
    metavar="M,P95,MAX",
    help="Ticks come as late as real ones: median, 95th percentile and longest gap in minutes, such as 53,130,475.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Draw other times and failures.")
@click.option("--renew-every", metavar="TIME", help="Somebody renews so often.")
@click.option(
    "--mail-down", multiple=True, metavar="A..B", help="No message arrives from A to B after the start: 2h..5h."
)
@click.option("--fail", metavar="PERCENT", help="So many of the attempts fail, and the next tick tries again.")
@click.option("--now", "is_now", is_flag=True, help="Begin from how it stands in the ledger.")
@click.option(
    "--svg", metavar="FILE", type=click.Path(path_type=Path), help="Write the picture of one escalation, too."
)
@click.option("--packs", multiple=True, metavar="DIR|BUNDLE", help="Packs with the escalation; else ORCH_PACKS.")
@click.option(
    "--subject", metavar="NAME", help="Who ticks, such as job:continuity; else ORCH_SUBJECT or whoever calls."
)
@click.option("--ledger", metavar="PLACE", help="Of --now: a folder or postgresql://...; else ORCH_LEDGER.")
@click.option("--config", metavar="FILE", help="Another operator's file.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def simulate(*, name: str | None, svg: Path | None, output: str, **given: Any) -> None:  # noqa: ANN401  # click's
    """Show what the ticks of the escalation NAME would do, without NAME of every escalation of the packs.

    A table says when each stage is entered, on time or how late and why, what it sends to whom, and what the packs
    would decide of it then, asked for who ticks (--subject); above it is a picture of the same. Where packs or people
    keep it from a stage, that is said. Nothing is sent and nothing is recorded. The same options with the same --seed
    give the same answer.
    """
    from orchestrator.escalations.timeline import Asked, timelines
    from orchestrator.show import simulation as show

    settings = Settings.load({one: given.pop(one) for one in _SETTINGS})
    found = timelines(Asked(**given), settings, name)
    if svg is not None:
        show.write_svg(found, svg)
    if output == "json":
        show.write_json(found, sys.stdout)
        return
    width = shutil.get_terminal_size((_COLUMNS, 24)).columns
    has_color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    show.write(found, sys.stdout, show.page(sys.stdout, width=width, has_color=has_color))
