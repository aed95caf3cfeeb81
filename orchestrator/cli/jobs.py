"""`orch jobs`: the named commands of the operator's file."""

import shutil
import sys

import click

from orchestrator.settings import Settings


@click.command(short_help="Show the jobs of the operator's file.")
@click.option("--config", metavar="FILE", help="Another operator's file.")
@click.option("--ledger", metavar="PLACE", help="A folder or postgresql://...; else ORCH_LEDGER.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def jobs(output: str, **given: str | None) -> None:
    """Show the jobs of the operator's file, what each runs, and how it went last.

    `orch run JOB` runs one. A job stands below `jobs:` of config.yaml or config.toml: a name and its argv, a list that
    no shell reads. docs/jobs.md has all keys.
    """
    from orchestrator import clock
    from orchestrator.runs.listing import newest_of
    from orchestrator.show import jobs as show
    from orchestrator.show.timeline import page

    settings = Settings.load(given)
    rows = [show.Row(job, last) for job, last in newest_of(settings)]
    if output == "json":
        show.write_json(rows, sys.stdout)
    else:
        width = shutil.get_terminal_size((80, 24)).columns
        show.write(rows, sys.stdout, page(sys.stdout, width=width, color=False, now_ns=clock.now_ns()))
