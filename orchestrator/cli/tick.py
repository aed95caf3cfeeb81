"""`orch tick`: escalations go on by the clock."""

import signal
import sys
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.text import TEXT
from orchestrator.errors import Exit
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
    from orchestrator.cli.answer import Answer
    from orchestrator.escalations.opened import time_given
    from orchestrator.escalations.tick import Manner, Stop, ticks
    from orchestrator.escalations.ticked import worst
    from orchestrator.show import tick as show

    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.tell())
    answer = Answer()  # what is done must not depend on who reads of it
    told = (
        (lambda one: answer.write(lambda: show.write_text(one, sys.stdout))) if output == "text" else (lambda _: None)
    )
    manner = Manner(stop, time_given(now), Path(time_file) if time_file else None, is_dry, told)
    made = ticks(Settings.load(given), name, manner)
    if output == "json":
        answer.write(lambda: show.write_json(made, sys.stdout))
    _warn_ahead(manner.now_ns, is_dry=is_dry or not any(one.tick for one in made))
    codes = [one.exit_code for one in made]
    codes += [Exit.INTERRUPTED] if stop.is_set else []
    codes += [Exit.FAILED] if answer.has_failed else []
    context.exit(int(worst(codes)))


def _warn_ahead(now_ns: int | None, *, is_dry: bool) -> None:
    """Say that what was done ahead of the machine's clock is done."""
    from orchestrator.clock import format_time
    from orchestrator.clock import now_ns as wall_ns
    from orchestrator.escalations.timekeeping import SLACK_NS

    if now_ns is not None and not is_dry and now_ns > wall_ns() + SLACK_NS:
        click.echo(
            f"orch: note: {format_time(now_ns)} lies ahead of the clock: what was entered then stays entered, though a "
            "tick without --now goes by the clock again; rehearse with another --ledger",
            err=True,
        )
