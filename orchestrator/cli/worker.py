"""`orch worker`: carries queued runs out until it is stopped."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import click

from orchestrator.settings import Settings


@click.command(short_help="Carry out queued runs until it is stopped.")
@click.option(
    "--concurrency", type=click.IntRange(1, 64), default=4, show_default=True, help="How many phases run at a time."
)
@click.option(
    "--poll",
    "poll_s",
    type=click.FloatRange(0.1, 600),
    default=2.0,
    show_default=True,
    help="Seconds between two looks at the runs that wait.",
)
@click.option("--root", metavar="DIR", help="The folder of every run's files here; else where each was begun.")
@click.option("--once", "is_once", is_flag=True, help="End when nothing is left to do.")
@click.option("--packs", multiple=True, metavar="DIR|BUNDLE", help="The organisation's packs; else ORCH_PACKS.")
@click.option("--config", metavar="FILE", help="Another operator's file.")
@click.option("--ledger", metavar="PLACE", help="A folder or postgresql://...; else ORCH_LEDGER.")
def worker(*, concurrency: int, poll_s: float, root: str | None, is_once: bool, **given: Any) -> None:  # noqa: ANN401  # click's
    """Carry out what `orch run --detach` left, wake runs that can go on, and take over from processes that ended.

    As many workers as you like share the queue of one ledger. SIGTERM or Ctrl-C ends a worker after the steps that it
    is carrying out; everything else goes back to the queue. What happens is told on standard error, in JSON Lines
    unless that is a terminal.
    """
    from orchestrator.runs.worker import Duty, work

    settings = Settings.load(given)
    duty = Duty(concurrency, poll_s, Path(root).resolve() if root else None, is_once)
    work(settings, duty, _tell(is_terminal=sys.stderr.isatty()), on_start=_end_on_signals)


def _end_on_signals(engine: Any) -> None:  # noqa: ANN401  # runs.engine.Engine, heavy to import
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: engine.stop())


def _tell(*, is_terminal: bool) -> Any:  # noqa: ANN401  # runs.engine.Note
    from orchestrator import clock
    from orchestrator.show.escape import terminal

    def note(event: str, fields: dict[str, Any]) -> None:
        if is_terminal:
            said = " ".join(f"{name}={value}" for name, value in fields.items())
            click.echo(terminal(f"{event} {said}".rstrip()), err=True)
            return
        at = clock.format_time(clock.now_ns())
        click.echo(json.dumps({"at": at, "event": event, **fields}, default=str), err=True)

    return note
