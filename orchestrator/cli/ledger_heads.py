"""`orch ledger verify` and `orch ledger heads`: what is proven, and the signed heads that prove it elsewhere."""

import json
import sys
from pathlib import Path

import click

_REF = "refs/orch/heads"
_LEDGER = click.option("--ledger", metavar="PLACE", help="The ledger: a folder, or postgresql://...")
_OUTPUT = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)


@click.command(short_help="Say whether the record is whole, and what that proves.")
@click.option(
    "--since",
    multiple=True,
    metavar="FILE|REF",
    help="A head that you kept: a file of `heads show`, or a git ref of `heads anchor`. May be repeated.",
)
@click.option(
    "--git",
    "checkout",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Compare with every head that the git checkout DIR keeps.",
)
@click.option("--ref", default=_REF, show_default=True, help="The git ref that keeps them.")
@click.option("--anchored", is_flag=True, help="Exit 6 unless every event is under a head that is held elsewhere.")
@click.option("--deep", is_flag=True, help="Read every artifact, too.")
@click.option("--headers-only", is_flag=True, help="Leave payloads out, and the tables made of them.")
@_OUTPUT
@_LEDGER
def verify(
    *,
    since: tuple[str, ...],
    checkout: Path | None,
    ref: str,
    anchored: bool,
    deep: bool,
    headers_only: bool,
    output: str,
    ledger: str | None,
) -> None:
    """Say whether everything that was recorded is still what was recorded.

    Exit 0: verified (a notice says how many events no signed head covers yet). Exit 1: tampered; what was found is
    listed. Exit 6: nothing can be said, or not all of it. What this does not prove is printed with it.

    The head that was verified is kept in your state folder and compared with the next time.
    """
    from orchestrator.ledger.anchor import gathered
    from orchestrator.ledger.verify import Options, verify
    from orchestrator.settings import Settings
    from orchestrator.show import verification

    place = Settings.load({"ledger": ledger}).ledger
    held = gathered(since, checkout, ref)
    options = Options(tuple(held), deep=deep, headers_only=headers_only, needs_anchor=anchored)
    report = verify(place, options, _progress if sys.stderr.isatty() else None)
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", nl=False, err=True)
    if output == "json":
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        verification.write(report, sys.stdout)
    sys.exit(int(report.exit_code))


def _progress(done: int, total: int) -> None:
    click.echo(f"\r{done:,} of {total:,} events\x1b[K", nl=False, err=True)


@click.group(invoke_without_command=True)
@click.pass_context
def heads(context: click.Context) -> None:
    """List, sign, show and anchor tree heads; without a command, list them.

    A head is the ledger's size and root hash, signed. Kept elsewhere, it shows when events before it were changed, cut
    off or rewritten.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_, output="text", ledger=None)


@heads.command("list", short_help="List the signed heads.")
@_OUTPUT
@_LEDGER
def list_(*, output: str, ledger: str | None) -> None:
    """List the signed heads that the ledger keeps, smallest first."""
    from orchestrator.ledger import heads as tree_heads
    from orchestrator.ledger.open import open_ledger
    from orchestrator.settings import Settings
    from orchestrator.show import verification

    place = Settings.load({"ledger": ledger}).ledger
    with open_ledger(place, must_exist=True) as opened, opened.store.reading() as connection:
        found = tree_heads.stored(connection)
    if output == "json":
        click.echo(json.dumps([head.as_json() for head in found], indent=2))
    else:
        verification.write_heads(found, sys.stdout)


@heads.command(short_help="Sign a head over everything recorded now.")
@_OUTPUT
@_LEDGER
def sign(*, output: str, ledger: str | None) -> None:
    """Sign a head over everything that is recorded now, and keep it in the ledger.

    Where nothing was added since the last one, that one is shown again. The first head makes the key `head.key` beside
    the ledger; keep a backup of it, and keep it from whoever is recorded.
    """
    from orchestrator.ledger import heads as tree_heads
    from orchestrator.ledger.open import open_ledger
    from orchestrator.settings import Settings
    from orchestrator.show import verification

    with open_ledger(Settings.load({"ledger": ledger}).ledger, must_exist=True) as opened:
        head = tree_heads.sign(opened)
    if output == "json":
        click.echo(json.dumps(head.as_json(), indent=2))
    else:
        verification.write_signed(head, sys.stdout)


@heads.command(short_help="Print a head, to be kept elsewhere.")
@click.argument("size", required=False, type=click.IntRange(min=0))
@click.option("-o", "--output", type=click.Choice(["text", "note", "json"]), default="text", show_default=True)
@_LEDGER
def show(*, size: int | None, output: str, ledger: str | None) -> None:
    """Print the head of SIZE events (the last one, if you name none) with the public key, to be kept elsewhere.

    `orch ledger verify --since FILE` compares with what you kept. `-o note` prints the signed note alone.
    """
    from orchestrator.ledger.anchor import printed
    from orchestrator.ledger.open import open_ledger
    from orchestrator.settings import Settings

    with open_ledger(Settings.load({"ledger": ledger}).ledger, must_exist=True) as opened:
        click.echo(printed(opened, size, output), nl=False)


@heads.command(short_help="Keep a head in a git ref that only moves forward.")
@click.option(
    "--git", "checkout", required=True, type=click.Path(path_type=Path), metavar="DIR", help="A git checkout."
)
@click.option("--ref", default=_REF, show_default=True, help="The ref that keeps heads.")
@click.option("--push", "remote", default="", metavar="REMOTE", help="Push it there, never forced.")
@_OUTPUT
@_LEDGER
def anchor(*, checkout: Path, ref: str, remote: str, output: str, ledger: str | None) -> None:
    """Sign a head and commit it to a git ref that only moves forward.

    Refused where the ledger does not extend what is anchored there. A head that only this machine keeps proves little:
    push it to where others have a copy.
    """
    from orchestrator.ledger import anchor as anchoring
    from orchestrator.ledger.open import open_ledger
    from orchestrator.settings import Settings
    from orchestrator.show import verification

    with open_ledger(Settings.load({"ledger": ledger}).ledger, must_exist=True) as opened:
        done = anchoring.anchor(opened, checkout, ref=ref, remote=remote)
    if output == "json":
        click.echo(json.dumps(done.as_json(), indent=2))
    else:
        verification.write_anchored(done, sys.stdout)
