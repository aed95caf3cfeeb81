"""`orch status`: where escalations stand, what comes next and what is owed."""

import sys
from typing import Any

import click

from orchestrator.cli.text import TEXT
from orchestrator.settings import Settings


@click.command(short_help="Show where escalations stand, and what comes next.")
@click.argument("name", type=TEXT, metavar="[NAME]", required=False)
@click.option("--now", metavar="TIME", help="Another time than the clock's, as 2026-11-21T05:00:00Z.")
@click.option("--packs", multiple=True, metavar="DIR|BUNDLE", help="Packs of the organisation. May be repeated.")
@click.option("--ledger", metavar="PLACE", help="Where it is recorded: a folder or postgresql://...; else ORCH_LEDGER.")
@click.option("--config", metavar="FILE", help="Another operator's file.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(*, name: str | None, now: str | None, output: str, **given: Any) -> None:  # noqa: ANN401  # settings by name
    """Show how the escalation NAME stands, or every one that the packs have.

    You see its stage and deadline, which stage comes next and when, what every recipient was sent or is still owed,
    when the last tick was, and whether there are codes to renew it. Nothing is changed, and nothing recorded.

    -o json writes one object for NAME, and a list of them without it.
    """
    from orchestrator.escalations.opened import time_given
    from orchestrator.escalations.status import statuses
    from orchestrator.show import status as show

    each = statuses(Settings.load(given), name, now_ns=time_given(now))
    if output == "json":
        show.write_json(each, sys.stdout, is_single=name is not None)
    else:
        show.write_text(each, sys.stdout, show.Look.of(sys.stdout))
