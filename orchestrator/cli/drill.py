"""`orch drill`: the whole escalation at once, with every message to the operator."""

import sys
from typing import Any

import click

from orchestrator.cli.text import TEXT
from orchestrator.errors import Exit
from orchestrator.settings import Settings


@click.command(short_help="Rehearse an escalation; all messages go to the operator.")
@click.argument("name", type=TEXT, required=False)
@click.option("--packs", multiple=True, metavar="DIR|BUNDLE", help="Packs with the escalation; else ORCH_PACKS.")
@click.option("--config", metavar="FILE", help="Another operator's file.")
@click.option("--ledger", metavar="PLACE", help="A folder or postgresql://...; else ORCH_LEDGER.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def drill(context: click.Context, /, *, name: str | None, output: str, **given: Any) -> None:  # noqa: ANN401  # click's
    """Go through the whole escalation NAME at once: every message is marked, and goes to the operator alone.

    Each message says in its subject and its body which stage it is of and to how many others it would go. What is no
    message, such as a file that would be published, becomes a message that says so. Beside it stands what the packs
    would decide of the real action. It is a run of its own in the ledger; the countdown is not touched. NAME may be
    left out where the packs have one escalation.

    Exit code: 0 everything arrived and would be allowed; else as orch tick.
    """
    from orchestrator.cli.answer import Answer
    from orchestrator.escalations.drill import drill as drilled
    from orchestrator.escalations.ticked import worst
    from orchestrator.show import drill as show

    answer = Answer()  # what is done must not depend on who reads of it
    told = (
        (lambda one: answer.write(lambda: show.write_deed(one, sys.stdout))) if output == "text" else (lambda _: None)
    )
    made = drilled(Settings.load(given), name, told=told)
    answer.write(lambda: (show.write_json if output == "json" else show.write_end)(made, sys.stdout))
    context.exit(int(worst([made.exit_code, *([Exit.FAILED] if answer.has_failed else [])])))
