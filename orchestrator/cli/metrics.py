"""`orch metrics`: what a scraper reads. Parses, calls one function, prints."""

import click

from orchestrator.settings import Settings


@click.command(short_help="Print metrics in the Prometheus text format.")
@click.option("-o", "--output", type=click.Choice(["prometheus"]), default="prometheus", show_default=True)
@click.option("--ledger", metavar="PLACE", help="A folder or postgresql://...; else ORCH_LEDGER.")
def metrics(*, output: str, ledger: str | None) -> None:  # noqa: ARG001  # one format so far
    """Print the ledger's metrics in the Prometheus text format.

    Decisions by outcome, budgets that stopped or warned, approvals that wait, and how far signing lags behind. Have it
    run on a timer, and write to where the textfile collector of a node exporter looks.
    """
    from orchestrator import metrics as found
    from orchestrator.ledger.open import open_ledger

    with open_ledger(Settings.load({"ledger": ledger}).ledger, must_exist=True) as opened:
        click.echo(found.text(opened), nl=False)
