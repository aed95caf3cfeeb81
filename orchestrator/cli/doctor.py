"""`orch doctor`: what this installation found, and how to mend it."""

import json
from dataclasses import asdict
from typing import Any

import click

from orchestrator.doctor import Check, State, examine
from orchestrator.errors import Exit
from orchestrator.settings import Settings


@click.command(short_help="Say what this installation found, and how to mend it.")
@click.option("--packs", multiple=True, metavar="DIR|BUNDLE", help="Packs of the organisation. May be repeated.")
@click.option("--repo", "repository", metavar="OWNER/NAME", help="Which repository this checkout is.")
@click.option("--config", metavar="FILE", help="Another operator's file.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def doctor(context: click.Context, /, output: str, **given: Any) -> None:  # noqa: ANN401  # settings by name
    """Say what was found, from where, and whether an agent could go around orch.

    It looks at OPA, sidecar, packs and ledger, and at what acting needs: adapters, channels, secrets, which are never
    shown, and jobs.

    Exits with 6 if something is broken.
    """
    checks = examine(Settings.load(given))
    if output == "json":
        click.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        _print(checks)
    context.exit(int(Exit.UNDECIDABLE if any(check.state is State.BROKEN for check in checks) else Exit.OK))


def _print(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from orchestrator.show.escape import terminal

    styles = {State.OK: "green", State.NOTE: "yellow", State.BROKEN: "bold red"}
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        text = terminal(check.found) + (
            f"\n  next: {terminal(check.mend)}" if check.mend and check.state is not State.OK else ""
        )
        table.add_row(Text(check.state, style=styles[check.state]), Text(check.name), Text(text))
    Console(highlight=False, soft_wrap=False).print(table)
