"""`orch set-deadline|reset|arm|disarm|trigger`: what an operator does to an escalation by hand."""

import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.text import TEXT
from orchestrator.errors import Exit
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.escalations.control import Wanted

_NAME = click.argument("name", type=TEXT, metavar="[NAME]", required=False)
_OPTIONS = (
    click.option("--now", metavar="TIME", help="Another time than the clock's, as 2026-11-21T05:00:00Z."),
    click.option("--packs", multiple=True, metavar="DIR|BUNDLE", help="Packs of the organisation. May be repeated."),
    click.option(
        "--ledger", metavar="PLACE", help="Where it is recorded: a folder or postgresql://...; else ORCH_LEDGER."
    ),
    click.option("--config", metavar="FILE", help="Another operator's file."),
    click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True),
)


def _usual(command: Callable[..., None]) -> Callable[..., None]:
    """Add what each of these commands takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return click.pass_context(_NAME(command))


@click.command("set-deadline", short_help="Set when an escalation ends, or begin it.")
@click.option("--hours", metavar="N", help="So many hours from now.")
@click.option("--in", "after", metavar="DURATION", help="So long from now: 90m, 24h or 7d.")
@click.option("--at", metavar="TIME", help="At this time, as 2026-11-21T05:00:00Z.")
@_usual
def set_deadline(
    context: click.Context,
    /,
    name: str | None,
    hours: str | None,
    after: str | None,
    at: str | None,
    **given: Any,  # noqa: ANN401  # click's
) -> None:
    """Set the deadline of the escalation NAME, which can be left out where the packs have one.

    An escalation that never began begins with it. One that goes on stays at its stage: stages only go forward, and
    orch renew or orch reset begin anew.
    """
    from orchestrator.escalations.control import Operation, Wanted, deadline_of

    _control(context, name, Wanted(Operation.SET_DEADLINE, deadline=deadline_of(hours, after, at)), **given)


@click.command(short_help="Begin an escalation anew at its first stage.")
@_usual
def reset(context: click.Context, /, name: str | None, **given: Any) -> None:  # noqa: ANN401  # click's
    """Begin a new cycle of the escalation NAME at its first stage, and end the one that goes on.

    Its deadline stays where it lies ahead and was not set by orch trigger; else it is as far ahead as a renewal's. In
    mode manual it has to be armed anew.
    """
    from orchestrator.escalations.control import Operation, Wanted

    _control(context, name, Wanted(Operation.RESET), **given)


@click.command(short_help="Let the deadline of an escalation count.")
@_usual
def arm(context: click.Context, /, name: str | None, **given: Any) -> None:  # noqa: ANN401  # click's
    """Let the deadline of the escalation NAME count, so that it goes on by the clock.

    A deadline that has passed is put off first, as far as a renewal would. One that never began begins.
    """
    from orchestrator.escalations.control import Operation, Wanted

    _control(context, name, Wanted(Operation.ARM), **given)


@click.command(short_help="Let no deadline of an escalation count.")
@_usual
def disarm(context: click.Context, /, name: str | None, **given: Any) -> None:  # noqa: ANN401  # click's
    """Let no deadline of the escalation NAME count until it is armed again; it stays at its stage."""
    from orchestrator.escalations.control import Operation, Wanted

    _control(context, name, Wanted(Operation.DISARM), **given)


@click.command(short_help="Release an escalation by hand, after a delay.")
@click.option(
    "--delay", metavar="DURATION", default="15m", show_default=True, help="How far ahead the deadline is set."
)
@_usual
def trigger(context: click.Context, /, name: str | None, delay: str, **given: Any) -> None:  # noqa: ANN401  # click's
    """Bring the deadline of the escalation NAME near, so that it ends after a delay; never put it off.

    Until it has ended it can still be renewed, unless it is a fuse. Nothing is sent by this command: the ticks do what
    the stages say.
    """
    from orchestrator.escalations.control import Operation, Wanted

    _control(context, name, Wanted(Operation.TRIGGER, delay=delay), **given)


def _control(
    context: click.Context,
    name: str | None,
    wanted: "Wanted",
    *,
    now: str | None,
    output: str,
    **given: Any,  # noqa: ANN401  # settings by name
) -> None:
    """Do it, show what became of it, and exit."""
    from orchestrator.escalations.control import by_hand
    from orchestrator.escalations.opened import time_given
    from orchestrator.show import status as show

    done = by_hand(Settings.load(given), name, wanted, now_ns=time_given(now), told=_note)
    show.write_controlled(done, sys.stdout, output, width=shutil.get_terminal_size((80, 24)).columns)
    context.exit(int(done.refused.exit_code if done.refused is not None else Exit.OK))


def _note(notes: tuple[str, ...]) -> None:
    for note in notes:
        click.echo(f"orch: note: {note}", err=True)
