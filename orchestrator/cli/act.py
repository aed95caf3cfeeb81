"""`orch act`: do one action, if the packs permit it."""

import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

from orchestrator.digest import new_id
from orchestrator.errors import UsageError
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.order import Done
    from orchestrator.show.done import Sheet

_LEAST_COLUMNS, _COLUMNS = 40, 80
_SETTINGS = ("packs", "run_packs", "run", "session", "ledger", "config")


@click.command(short_help="Do one action, if the packs permit it.")
@click.argument("action", metavar="ACTION")
@click.option("--adapter", metavar="NAME", help="Which adapter does it, where several can.")
@click.option("--arg", "arguments", multiple=True, metavar="K=V", help="A parameter; k:=JSON for other than text.")
@click.option("--repo", "repository", metavar="OWNER/NAME", help="Which repository this is about.")
@click.option("--branch", metavar="NAME", help="The branch that changes; of a pull request, its base.")
@click.option("--head-branch", metavar="NAME", help="The branch that the change comes from.")
@click.option(
    "--from-git", "change", metavar="BASE..HEAD", help="The change this is about: its authors cannot approve."
)
@click.option("--root", metavar="DIR", help="The folder that is worked in; else this repository, or this folder.")
@click.option("--key", metavar="NAME", help="Names this order: the same key again gives back what became of it.")
@click.option("--run", metavar="ID", help="The run that this belongs to: its budgets count, its debts are due.")
@click.option("--session", metavar="ID", help="The session of a run that begins here: runs with common budgets.")
@click.option(
    "--on-unknown",
    type=click.Choice(["hold", "resend"]),
    default="hold",
    show_default=True,
    help="Where nobody can say whether an earlier attempt happened: a person looks, or it is done again.",
)
@click.option(
    "--resolve",
    "word",
    type=click.Choice(["delivered", "not-delivered"]),
    help="Do nothing but record that the order of --key, of which nobody knew, happened or did not.",
)
@click.option(
    "--timeout", "timeout_s", type=float, default=300.0, show_default=True, metavar="SECONDS", help="For all of it."
)
@click.option("--estimate", "estimates", multiple=True, metavar="METER=AMOUNT", help="What it will use, as usd=0.50.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Say what would be decided; do nothing and record nothing.")
@click.option("--packs", multiple=True, metavar="DIR|BUNDLE", help="Packs of the organisation. May be repeated.")
@click.option("--run-pack", "run_packs", multiple=True, metavar="FILE", help="A pack of this run; it only narrows.")
@click.option("--ledger", metavar="PLACE", help="Where it is recorded: a folder or postgresql://...; else ORCH_LEDGER.")
@click.option("--config", metavar="FILE", help="Another operator's file.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def act(context: click.Context, /, *, is_dry: bool, word: str | None, output: str, **given: Any) -> None:  # noqa: ANN401  # click's
    """Do ACTION with an adapter, if the packs permit it, and record what became of it.

    A denied action is not done (exit 3). One that needs approvals or evidence waits (4): once they are there, the same
    command again does it, and uses the approvals up. With --key an action is done once, however often and from however
    many places it is asked for. Secrets are named in parameters, as ${{ secrets.NAME }}, and never typed.

    docs/actions.md lists the actions, docs/adapters.md leads to the parameters of each.

    Unknown is what may have happened. Look outside; then say --key and --resolve, or --key and --on-unknown resend.

    Exit code: 0 done, 1 failed or unknown, 3 denied, 4 waiting, 5 a budget is spent, 6 undecidable, 7 something is not
    configured.
    """
    from orchestrator import acting
    from orchestrator.show import done as show

    settings = Settings.load({name: given.pop(name) for name in _SETTINGS} | {"repository": given.pop("repository")})
    asked = acting.Asked(**given)
    sheet = show.Sheet(asked.action, settings.run or "", _width(), _has_color())
    if word is not None:
        if is_dry:
            raise UsageError("--resolve and --dry-run at once", advice="leave --dry-run out: nothing is done anyway")
        receipts = acting.resolve(asked, settings, acting.Word(word))
        show.write_resolved(receipts, asked.key or "", sheet, sys.stdout, output)
        return
    if is_dry:
        _show_decision(context, asked, settings, output)
    asked = asked._replace(key=asked.key or new_id())  # known here, so that it can be told whatever happens
    try:
        done = acting.act(asked, settings, told=_note)
    except KeyboardInterrupt:
        if (so_far := acting.left(asked, settings)) is not None:
            _show_done(so_far, sheet, output)
        raise
    _show_done(done, sheet, output)
    context.exit(int(done.exit_code))


def _show_done(done: "Done", sheet: "Sheet", output: str) -> None:
    from orchestrator.show import done as show

    if output == "json":
        show.write_json(done, sys.stdout)
    else:
        show.write_text(done, sheet, sys.stdout)


def _show_decision(context: click.Context, asked: Any, settings: Settings, output: str) -> None:  # noqa: ANN401  # acting.Asked
    from orchestrator import acting
    from orchestrator.show import Options, writer_for

    with acting.would(asked, settings) as (decision, notes):
        _note(notes)
        writer_for(output).write([decision], sys.stdout, Options(color=_has_color(), is_single=True))
    if output == "text":
        click.echo("orch: a dry run: nothing was done, and nothing recorded", err=True)
    context.exit(int(decision.exit_code))


def _width() -> int:
    return max(_LEAST_COLUMNS, min(_COLUMNS, shutil.get_terminal_size((_COLUMNS, 24)).columns))


def _note(notes: tuple[str, ...]) -> None:
    for note in notes:
        click.echo(f"orch: note: {note}", err=True)


def _has_color() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ
