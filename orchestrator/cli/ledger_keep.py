"""`orch ledger backup`, `restore`, `rebuild` and `erase`: keeping the record, and taking back what people wrote."""

import sys
from pathlib import Path

import click

from orchestrator.errors import Exit, OrchError, UsageError
from orchestrator.settings import Settings

_LEDGER = click.option("--ledger", metavar="PLACE", help="A folder or postgresql://...; else ORCH_LEDGER.")
_OUTPUT = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)


@click.command(short_help="Copy the ledger and its artifacts into a new folder.")
@click.argument("folder", type=click.Path(path_type=Path))
@_LEDGER
@_OUTPUT
@click.pass_context
def backup(context: click.Context, /, folder: Path, ledger: str | None, output: str) -> None:
    """Copy the ledger as it stands now, and its artifacts, into the new FOLDER, while others go on writing.

    The keys that sign tree heads and open the seals of renewals are left out: whoever finds a backup must not have
    them. Keep head.key and seal.key as you keep other secrets, and the head that is printed somewhere else. Exits with
    6 if an artifact was missing.
    """
    from orchestrator.ledger.backup import backup as copy
    from orchestrator.ledger.open import open_ledger

    with open_ledger(Settings.load({"ledger": ledger}).ledger, must_exist=True) as opened:
        done = copy(opened, folder)
    if output == "json":
        from orchestrator.show.escape import json_text

        click.echo(json_text(done._asdict(), indent=2))
    else:
        click.echo(f"{_counted(done.events, done.artifacts)}, {done.size_bytes:,} bytes in {folder}")
        if done.head:
            click.echo("keep this head elsewhere; it shows whether a restored backup is whole:")
        click.echo(done.head.rstrip() if done.head else "no signed head yet: orch ledger heads sign")
    for digest in done.missing:
        click.echo(f"orch: the artifact {digest[:80]!r} was missing or damaged, and so it is in the backup", err=True)
    context.exit(int(Exit.UNDECIDABLE if done.missing else Exit.OK))


@click.command(short_help="Make a ledger out of a backup.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Put what is there aside, under another name beside it.")
@_LEDGER
def restore(folder: Path, ledger: str | None, *, replace: bool) -> None:
    """Make the ledger out of the backup in FOLDER; nobody may use the ledger meanwhile.

    Into postgresql://... it moves the ledger, with its id, chains and heads, to an empty database of its owner.

    Afterwards run orch ledger verify: what was recorded since the backup is lost, and the head last seen says so.
    """
    from orchestrator.ledger.backup import restore as bring_back
    from orchestrator.ledger.open import default_folder, is_url

    place = Settings.load({"ledger": ledger}).ledger
    if place and is_url(place):
        _restore_into_server(folder, place, is_replacing=replace)
        return
    done = bring_back(folder, Path(place) if place else default_folder(), is_replacing=replace)
    click.echo(f"{_counted(done.backup.events, done.backup.artifacts)} in {done.folder}")
    if done.kept:
        click.echo(f"what was there is in {done.kept}", err=True)
    if not done.has_key:
        click.echo("it cannot sign tree heads until its head.key is put beside it", err=True)
    if done.lacks_seal_key:
        click.echo("what codes renewed cannot be ticked until its seal.key is put beside it", err=True)
    for digest in done.backup.missing:
        click.echo(f"orch: the artifact {digest[:80]!r} is missing or damaged in the backup", err=True)
    click.echo("next: orch ledger verify", err=True)


def _restore_into_server(folder: Path, place: str, *, is_replacing: bool) -> None:
    from orchestrator.ledger.move import move
    from orchestrator.ledger.open import open_ledger

    if is_replacing:
        raise UsageError(
            "--replace is for folders; a database server is given an empty database", advice="name another"
        )
    with open_ledger(str(folder), must_exist=True) as source, open_ledger(place, as_owner=True) as target:
        done = move(source, target)
    click.echo(_counted(done.events, done.artifacts))
    if not done.has_key:
        click.echo(f"it cannot sign tree heads until its head.key is put into {done.folder}", err=True)
    if done.lacks_seal_key:
        click.echo(f"what codes renewed cannot be ticked until its seal.key is put into {done.folder}", err=True)
    for digest in done.missing:
        click.echo(f"orch: the artifact {digest[:80]!r} is missing or damaged in the backup", err=True)
    click.echo("next: orch ledger verify", err=True)


def _counted(events: int, artifacts: int) -> str:
    from orchestrator.words import counted

    return f"{counted(events, 'event')}, {counted(artifacts, 'artifact')}"


@click.command(short_help="Make every table that follows from events again.")
@_LEDGER
@click.pass_context
def rebuild(context: click.Context, /, ledger: str | None) -> None:
    """Make runs, approvals, budgets, evidence and every other table that follows from events again, out of the events.

    All in one transaction, during which writers wait; the events themselves are never touched. Exits with 6 if events
    are gone that the tree of the ledger speaks of.
    """
    from orchestrator.ledger.open import open_ledger
    from orchestrator.ledger.rebuild import gone
    from orchestrator.ledger.rebuild import rebuild as make

    with open_ledger(Settings.load({"ledger": ledger}).ledger, must_exist=True, as_owner=True) as opened:
        count = make(opened, _progress if sys.stderr.isatty() else None)
        lost = gone(opened)
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)
    click.echo(f"made again from {count:,} events (decisions, of which no table comes, aside)")
    if lost:
        click.echo(f"orch: of {lost:,} more events, which are gone, nothing could be made", err=True)
        click.echo("  next: orch ledger verify", err=True)
    context.exit(int(Exit.UNDECIDABLE if lost else Exit.OK))


def _progress(count: int) -> None:
    click.echo(f"\r{count:,} events", err=True, nl=False)


@click.command(short_help="Erase what an event says, or an artifact, and record that.")
@click.argument("event", required=False)
@click.option("--artifact", metavar="DIGEST", help="Erase this artifact: its content, and its name.")
@click.option("--reason", metavar="TEXT", help="Why. It stays in the record, so name no one and no secret.")
@click.option("--by", "actor", metavar="TYPE:ID", help="Who erases; else who runs this.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--finish", is_flag=True, help="Overwrite what was erased before, where that did not come to an end.")
@_LEDGER
def erase(
    event: str | None,
    artifact: str | None,
    reason: str | None,
    actor: str | None,
    ledger: str | None,
    *,
    yes: bool,
    finish: bool,
) -> None:
    """Erase what EVENT says (its payload). Its header stays, and an event says who erased it and why.

    On SQLite the file is written anew, during which writers wait. It cannot be undone.
    """
    from orchestrator.ledger import erase as erasing
    from orchestrator.ledger.open import open_ledger

    if [bool(event), bool(artifact), finish].count(True) != 1:
        raise UsageError("one thing is erased at a time", advice="name an event, or --artifact DIGEST, or --finish")
    settings = Settings.load({"ledger": ledger})
    with open_ledger(settings.ledger, must_exist=True, as_owner=True) as opened:
        if finish:
            _say(erasing.finish(opened))
            return
        _confirm(event or artifact or "", is_sure=yes)
        by = _named(actor) or settings.subject or _user()
        done = (
            erasing.erase_artifact(opened, artifact, reason or "", by)
            if artifact
            else erasing.erase(opened, event or "", reason or "", by)
        )
    click.echo(f"erased; event {done.event.id} says so")
    _say(done.notes)


def _named(actor: str | None) -> str | None:
    if actor is not None and (not actor.isprintable() or not all(actor.partition(":"))):
        raise UsageError(f"--by is {actor[:60]!r}; expected TYPE:ID", advice="--by user:alice")
    return actor


def _confirm(what: str, *, is_sure: bool) -> None:
    from orchestrator.show.escape import terminal

    if is_sure:
        return
    if not sys.stdin.isatty():
        raise UsageError("nothing is erased unasked", advice="--yes says that you are sure")
    if not click.confirm(f"Erase what {terminal(what)} says, for good?", err=True):
        raise OrchError("nothing was erased, and nothing recorded")


def _user() -> str:
    import getpass

    try:
        return f"user:{getpass.getuser()}"
    except (KeyError, OSError) as error:
        raise UsageError("nobody knows who runs this", advice="--by user:NAME") from error


def _say(notes: tuple[str, ...]) -> None:
    for note in notes:
        click.echo(f"note: {note}", err=True)
