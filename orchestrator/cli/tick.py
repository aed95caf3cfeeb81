"""`orch tick`: escalations go on by the clock."""

import signal
import sys
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.text import TEXT
from orchestrator.errors import Exit, UsageError
from orchestrator.settings import Settings


@click.command(short_help="Let escalations go on by the clock.")
@click.argument("name", type=TEXT, required=False)
@click.option("--now", type=TEXT, metavar="TIME", help="The time to go by, RFC 3339; else the clock's.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Say what would be done; record and send nothing.")
@click.option(
    "--time-file", metavar="FILE", help="A signed file that witnesses the time, where the policy asks for it."
)
@click.option("--packs", multiple=True, metavar="DIR|BUNDLE", help="The organisation's packs; else ORCH_PACKS.")
@click.option("--config", metavar="FILE", help="Another operator's file.")
@click.option("--ledger", metavar="PLACE", help="A folder or postgresql://...; else ORCH_LEDGER.")
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How it is told."
)
@click.pass_context
def tick(
    context: click.Context,
    /,
    *,
    name: str | None,
    now: str | None,
    is_dry: bool,
    time_file: str | None,
    output: str,
    **given: Any,  # noqa: ANN401  # click's
) -> None:
    """Make one pass over the escalation NAME, or over every one of the packs.

    What earlier stages owe is tried again first. Then the stages that are due are entered, in their order, and what
    each brings is done, if the packs permit it; of stages that reach others than the operator one in a tick. Nothing is
    done twice, however often this is called. Ctrl-C or SIGTERM ends it after the action that is under way.

    With --now a time is taken at your word, and recorded; it never lies before the time of an earlier tick.

    Exit code: 0 nothing is owed, 1 something is owed or failed, 3 denied, 4 waiting, 5 a budget is spent, 6 the clock,
    the engine or the ledger cannot be trusted, 7 something is not configured, 130 told to stop.
    """
    from orchestrator.escalations.tick import Manner, Stop, ticks
    from orchestrator.escalations.ticked import worst
    from orchestrator.show import tick as show

    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.tell())
    told = (lambda one: show.write_text(one, sys.stdout)) if output == "text" else (lambda _: None)
    manner = Manner(stop, _time(now), Path(time_file) if time_file else None, is_dry, told)
    made = ticks(Settings.load(given), name, manner)
    if output == "json":
        show.write_json(made, sys.stdout)
    context.exit(int(worst([*(one.exit_code for one in made), *([Exit.INTERRUPTED] if stop.is_set else [])])))


def _time(text: str | None) -> int | None:
    from orchestrator.clock import parse_time

    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        raise UsageError(f"--now is no time: {error}", advice="for example --now 2026-11-21T17:00:00Z") from error
