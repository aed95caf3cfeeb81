"""`orch runs`: which runs there are, how far each came, what it waits for and which command opens that."""

import shutil
import sys

import click

from orchestrator.cli.text import TEXT
from orchestrator.settings import Settings

_USUAL = 20


@click.command(short_help="Show runs, their phases, and what they wait for.")
@click.argument("name", type=TEXT, metavar="[RUN|JOB|PLAN]", required=False)
@click.option(
    "-n", "--number", type=click.IntRange(min=0), default=_USUAL, show_default=True, help="How many; 0 for all."
)
@click.option("--all", "is_all", is_flag=True, help="Those of orch evaluate and orch act, too.")
@click.option("--ledger", metavar="PLACE", help="A folder or postgresql://...; else ORCH_LEDGER.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def runs(name: str | None, number: int, ledger: str | None, output: str, *, is_all: bool) -> None:
    """Show runs, newest first; those of a JOB, PLAN or escalation; or one RUN whole.

    A run is named by its id, or by how that begins. Of one run you see its phases and steps with their states,
    attempts, receipts and errors, what it waits for, and the command that opens it. Each cycle of an escalation is a
    run, and each drill: of those you see what their stages ordered and what every recipient got. At which stage a cycle
    stands, orch status says.

    -o json writes the same for programs: of one RUN a whole record, which can be kept as a file.
    """
    from orchestrator import clock
    from orchestrator.ledger.open import open_ledger
    from orchestrator.runs.listing import found
    from orchestrator.show import runs as show
    from orchestrator.show.timeline import page

    with open_ledger(Settings.load({"ledger": ledger}).ledger, must_exist=True) as opened:
        seen = found(opened, name or "", limit=number, is_all=is_all)
    width = shutil.get_terminal_size((80, 24)).columns
    show.write(
        seen, sys.stdout, output, page(sys.stdout, width=width, color=sys.stdout.isatty(), now_ns=clock.now_ns())
    )
