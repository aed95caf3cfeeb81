"""`orch code`: the codes that renew a countdown, signed renewal files, and signed time files."""

import sys
from pathlib import Path
from typing import Any

import click

from orchestrator.errors import Exit, UsageError
from orchestrator.settings import Settings

_LEDGER = click.option("--ledger", metavar="PLACE", help="A folder or postgresql://...; else ORCH_LEDGER.")
_SPARE, _MOST_SPARE = 5, 50


@click.group()
def code() -> None:
    """Make the codes that renew a countdown, and sign renewal files and time files."""


@code.command(short_help="Make new codes and show them once.")
@click.argument("name", required=False)
@click.option(
    "--spare",
    type=click.IntRange(0, _MOST_SPARE),
    default=_SPARE,
    show_default=True,
    help="So many codes beside that work once.",
)
@click.option("--duress", "has_duress", is_flag=True, help="And one that only looks as if it renewed.")
@click.option("--print", "is_printed", is_flag=True, help="Write them even where standard output is no terminal.")
@click.option("--packs", multiple=True, metavar="DIR|BUNDLE", help="Packs with the escalation; else ORCH_PACKS.")
@_LEDGER
@click.option("--config", metavar="FILE", help="Another operator's file.")
@click.pass_context
def new(
    context: click.Context,
    /,
    name: str | None,
    *,
    spare: int,
    has_duress: bool,
    is_printed: bool,
    **given: Any,  # noqa: ANN401  # settings by name
) -> None:
    """Make new codes for the escalation NAME, and show them this once; those before them count no more.

    The first one renews as often as it is given, each spare one once. On a terminal you are asked whether you have
    kept them before they count. The packs have to allow control_escalation with the operation issue_codes.
    """
    from orchestrator.escalations.renewing import issuing
    from orchestrator.show import renewal as show
    from orchestrator.show.done import Sheet, write_text

    if not (is_printed or sys.stdout.isatty()):
        raise UsageError(
            "standard output is no terminal, and whatever it is would keep the codes",
            advice="run it in a terminal, or add --print",
        )
    with issuing(Settings.load(given), name) as going:
        if going.refused is not None:
            write_text(going.refused, Sheet("control_escalation issue_codes"), sys.stderr)
            context.exit(int(going.refused.exit_code))
        drawn = going.draw(spare, has_duress=has_duress)
        show.write_codes(going.name, drawn, sys.stdout)
        sys.stdout.flush()
        if not _is_kept(is_printed=is_printed):
            click.echo("orch: nothing was changed; these codes are worth nothing", err=True)
            context.exit(int(Exit.FAILED))
        going.issue(drawn)
    click.echo(f"these are the codes of {going.name} now; they are shown nowhere again", err=True)


@code.command(short_help="Make a signed renewal file.")
@click.argument("name")
@click.option("--key", "file", required=True, metavar="FILE", help="A private Ed25519 key, as orch key new makes it.")
@click.option("--passphrase-file", metavar="FILE", help="Where the key's passphrase is.")
@click.option(
    "--counter", type=click.IntRange(min=1), metavar="N", help="Higher than any before. [default: the time in seconds]"
)
@click.option("--expires", default="24h", show_default=True, metavar="DURATION", help="How long the file can be used.")
@click.option("--out", metavar="FILE", help="Where it is written, which must be free. [default: standard output]")
@click.option("--ledger-id", metavar="ID", help="The ledger's id, where the ledger is not at hand.")
@_LEDGER
def sign(*, name: str, file: str, passphrase_file: str | None, out: str | None, **given: Any) -> None:  # noqa: ANN401  # options by name
    """Make a file that renews the escalation NAME once, signed by a key that it names under renewal.keys.

    The file is for this ledger and this escalation alone. Whoever has it can use it, once and before it expires.
    """
    from orchestrator.cli.key import passphrases_of
    from orchestrator.escalations.renewing import Wanted, signed_file
    from orchestrator.keys import open_key

    key = open_key(Path(file), passphrases_of(passphrase_file))
    token = signed_file(Wanted(name, **given), key)
    if out is None:
        click.echo(token)
    else:
        _write(Path(out), token, "renewal")


@code.command(short_help="Make a signed time file.")
@click.argument("name", required=False)
@click.option("--key", "file", required=True, metavar="FILE", help="A private Ed25519 key, as orch key new makes it.")
@click.option("--passphrase-file", metavar="FILE", help="Where the key's passphrase is.")
@click.option("--time", metavar="TIME", help="Which time it is, RFC 3339. [default: now, by this machine's clock]")
@click.option("--ledger-id", metavar="ID", help="The only ledger that it is for. [default: any]")
@click.option(
    "--after",
    type=click.IntRange(min=0),
    metavar="TICK",
    help="The newest tick's number: it counts for the next alone.",
)
@click.option("--out", metavar="FILE", help="Where it is written, which must be free. [default: standard output]")
def time(*, name: str | None, file: str, passphrase_file: str | None, out: str | None, **given: Any) -> None:  # noqa: ANN401  # options by name
    """Make a file that says which time it is, signed by a key that an escalation names under clock.keys.

    orch tick --time-file FILE takes it as a witness where no server can be asked: for the escalation NAME alone, or for
    any without it. Whoever signs says that it is that late by now, so look at another clock than the one in doubt.
    """
    from orchestrator.cli.key import passphrases_of
    from orchestrator.escalations.witness import time_file
    from orchestrator.keys import open_key

    token = time_file(open_key(Path(file), passphrases_of(passphrase_file)), name=name, **given)
    if out is None:
        click.echo(token)
    else:
        _write(Path(out), token, "time")


def _is_kept(*, is_printed: bool) -> bool:
    """Return whether the codes are kept, so that they can count; where nobody can be asked, they are."""
    if is_printed or not (sys.stdin and sys.stdin.isatty()):
        return True
    return click.confirm("Have you kept them? Those before them stop working", err=True)


def _write(file: Path, token: str, what: str) -> None:
    import os

    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as opened:  # noqa: PTH123  # a descriptor
            opened.write(token + "\n")
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the {what} file {str(file)!r} cannot be written: {getattr(error, 'strerror', None) or error}",
            advice="name a file that is not there yet",
        ) from error
