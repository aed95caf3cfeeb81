"""`orch ledger init`: the tables of a ledger on PostgreSQL, and what each role may do."""

import json

import click


@click.command(short_help="Make the tables and roles of a ledger on PostgreSQL.")
@click.option("--ledger", metavar="URL", help="postgresql://..., as the owner of its tables; else ORCH_LEDGER.")
@click.option("--writer", "writers", multiple=True, metavar="ROLE", help="Let ROLE add to the record. May be repeated.")
@click.option("--reader", "readers", multiple=True, metavar="ROLE", help="Let ROLE read the record. May be repeated.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def init(*, ledger: str | None, writers: tuple[str, ...], readers: tuple[str, ...], output: str) -> None:
    """Make the tables of a ledger on PostgreSQL, or bring them to this version; run it again whenever orch is newer.

    A writer can add events and never change or delete one; that is whom orch should connect as. Roles must exist:
    CREATE ROLE name LOGIN PASSWORD '...'. A ledger in a folder needs no preparation.
    """
    from orchestrator.ledger.init import initialise
    from orchestrator.runs.database import prepare_at
    from orchestrator.settings import Settings
    from orchestrator.show.escape import terminal

    place = Settings.load({"ledger": ledger}).ledger
    done = initialise(place, writers=writers, readers=readers)
    prepare_at(place, done.writers)
    if output == "json":
        click.echo(json.dumps(done._asdict(), indent=2))
        return
    click.echo(f"ledger {done.ledger} at {terminal(done.place)}, format {done.format}")
    for role in done.writers:
        click.echo(f"  {terminal(role)} may read it and add to it")
    for role in done.readers:
        click.echo(f"  {terminal(role)} may read it")
    for note in done.notes:
        click.echo(f"note: {terminal(note)}", err=True)
