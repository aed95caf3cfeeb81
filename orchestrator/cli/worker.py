"""`orch worker`: carries queued runs out until it is stopped."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import click

from orchestrator.errors import UsageError
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
@click.option("--tick-every", metavar="DURATION", help="Tick every escalation of the packs so often, such as 5m.")
@click.option("--packs", multiple=True, metavar="DIR|BUNDLE", help="The organisation's packs; else ORCH_PACKS.")
@click.option("--config", metavar="FILE", help="Another operator's file.")
@click.option("--ledger", metavar="PLACE", help="A folder or postgresql://...; else ORCH_LEDGER.")
def worker(
    *,
    concurrency: int,
    poll_s: float,
    root: str | None,
    is_once: bool,
    tick_every: str | None,
    **given: Any,  # noqa: ANN401  # click's
) -> None:
    """Carry out what `orch run --detach` left, wake runs that can go on, and take over from processes that ended.

    As many workers as you like share the queue of one ledger. SIGTERM or Ctrl-C ends a worker after the steps that it
    is carrying out; everything else goes back to the queue. What happens is told on standard error, in JSON Lines
    unless that is a terminal. With --tick-every a worker is also what `orch tick` is, again and again; on a terminal a
    tick at which nothing happens or changes is not told.
    """
    from orchestrator.runs.worker import Duty, work

    settings = Settings.load(given)
    duty = Duty(concurrency, poll_s, Path(root).resolve() if root else None, is_once)
    beside = _ticking(tick_every, duty)
    work(settings, duty, _tell(is_terminal=sys.stderr.isatty()), on_start=_end_on_signals, beside=beside)


def _ticking(every: str | None, duty: Any) -> Any:  # noqa: ANN401  # runs.worker.Duty, heavy to import
    """Return what a worker does beside its runs: ticks, where it is to."""
    from contextlib import nullcontext
    from functools import partial

    from orchestrator.clock import parse_duration

    if every is None:
        return lambda _: nullcontext()
    if duty.is_once:
        raise UsageError("--tick-every and --once at once", advice="`orch tick` makes one tick")
    try:
        every_s = parse_duration(every)
    except ValueError as error:
        raise UsageError(f"--tick-every: {error}") from error
    from orchestrator.escalations.schedule import ticking

    return partial(ticking, every_s=every_s, root=duty.root)


def _end_on_signals(engine: Any) -> None:  # noqa: ANN401  # runs.engine.Engine, heavy to import
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: engine.stop())


def _tell(*, is_terminal: bool) -> Any:  # noqa: ANN401  # runs.engine.Note
    from orchestrator import clock
    from orchestrator.show.escape import terminal
    from orchestrator.show.ticking import Lines

    ticks = Lines()

    def note(event: str, fields: dict[str, Any]) -> None:
        if is_terminal and event == "tick":
            if line := ticks.line(fields):
                at = clock.format_time(clock.now_ns() // clock.SECOND_NS * clock.SECOND_NS)
                click.echo(terminal(f"{at} {line}"), err=True)
            return
        if is_terminal:
            said = " ".join(f"{name}={value}" for name, value in fields.items())
            click.echo(terminal(f"{event} {said}".rstrip()), err=True)
            return
        at = clock.format_time(clock.now_ns())
        click.echo(json.dumps({"at": at, "event": event, **fields}, default=str), err=True)

    return note
