"""`orch ledger show`: the record as a timeline, or one event whole."""

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from orchestrator.choices import Outcome
from orchestrator.errors import UsageError
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.ledger.read import Filter
    from orchestrator.ledger.store import Ledger
    from orchestrator.show.timeline import Page

_FORMATS = ("text", "json", "jsonl", "cloudevents")
_USUAL = 50
_MOST = 1_000_000_000
_OUTCOMES = {one.value: one.value for one in Outcome} | {"allowed": "allow", "denied": "deny", "waiting": "pending"}
"""As a decision says it, and as the timeline does."""


@click.command(short_help="Show what was asked, decided, approved, spent and done.")
@click.argument("event", required=False)
@click.option("--run", default="", metavar="ID", help="Of this run, with its approval requests and evidence.")
@click.option(
    "--repo", "repository", default="", metavar="OWNER/NAME", help="Of this repository; * stands for any text."
)
@click.option("--action", default="", metavar="NAME", help="Of this action, as open_pr or call_tool.")
@click.option("--outcome", type=click.Choice([*_OUTCOMES]), help="Decided so.")
@click.option(
    "--type", "kind", default="", metavar="TYPE", help="Of this type: decision, approval, budget.exceeded, ..."
)
@click.option("--actor", default="", metavar="TYPE:ID", help="By this subject; agent:* is every agent.")
@click.option("--since", metavar="TIME", help="From then on: 2026-11-21T05:00:00Z, 2026-11-21, or 90s, 2h, 3d ago.")
@click.option("--until", metavar="TIME", help="Before then; written as for --since.")
@click.option(
    "-n", "--number", "limit", type=click.IntRange(0, _MOST), help=f"The newest so many; 0 for all. [default: {_USUAL}]"
)
@click.option("-f", "--follow", is_flag=True, help="Go on showing what is added, until Ctrl-C.")
@click.option("-o", "--output", type=click.Choice(_FORMATS), default="text", show_default=True)
@click.option("--ledger", metavar="PLACE", help="A folder or postgresql://...; else ORCH_LEDGER.")
def show(event: str | None, output: str, *, follow: bool, ledger: str | None, **given: Any) -> None:  # noqa: ANN401  # filters
    """Show the newest events, oldest first, or all of one EVENT (its id, or how that begins).

    An event's line ends with the first characters of its id. Times are UTC, by the clock of whoever wrote. What is
    shown is what the record says; orch ledger verify says whether it is whole.
    """
    from orchestrator.ledger.open import open_ledger

    if follow and (event or output == "json"):
        raise UsageError("--follow goes with a timeline, not with one event or -o json", advice="use -o jsonl")
    with open_ledger(Settings.load({"ledger": ledger}).ledger, must_exist=True) as opened:
        if event:
            _show_one(opened, event, output)
        else:
            _show_many(opened, _filter(given), output, is_following=follow)


def _filter(given: dict[str, Any]) -> "Filter":
    from orchestrator import clock
    from orchestrator.ledger.read import Filter, since_text

    now = clock.now_ns()
    return Filter(
        run=given["run"],
        repository=given["repository"],
        action=given["action"],
        outcome=_OUTCOMES[given["outcome"]] if given["outcome"] else "",
        type=given["kind"],
        actor=given["actor"],
        since_ns=since_text(given["since"], now) if given["since"] else None,
        until_ns=since_text(given["until"], now) if given["until"] else None,
        limit=_USUAL if given["limit"] is None else given["limit"] or None,
        newest=given["limit"] != 0,
    )


def _show_one(ledger: "Ledger", name: str, output: str) -> None:
    from orchestrator.ledger import read
    from orchestrator.show import escape, timeline_event, timeline_json

    with ledger.store.reading() as connection:
        event = read.find(connection, name)
        around = read.around(connection, event)
    if output == "text":
        timeline_event.write(event, around, sys.stdout, _page())
    elif output == "json":
        click.echo(escape.json_text(timeline_json.whole(event), indent=2))
    else:
        timeline_json.write([event], sys.stdout, output)


def _show_many(ledger: "Ledger", wanted: "Filter", output: str, *, is_following: bool) -> None:
    from orchestrator.ledger.follow import Window, followed
    from orchestrator.show.escape import terminal
    from orchestrator.show.timeline import Timeline
    from orchestrator.show.timeline_json import write

    timeline = Timeline(sys.stdout, _page())
    with Window(ledger, wanted) as window:
        count = timeline.write(window) if output == "text" else write(window, sys.stdout, output)
        sys.stdout.flush()
    if window.has_more:
        click.echo(f"the newest {count:,}; -n 0 shows all", err=True)
    if not count and not is_following:
        click.echo("nothing matches" + "".join(f"\n  {terminal(one)}" for one in _unknown(ledger, wanted)), err=True)
    for event in followed(ledger, wanted, window.seen) if is_following else ():
        timeline.write([event]) if output == "text" else write([event], sys.stdout, output)
        sys.stdout.flush()


def _unknown(ledger: "Ledger", wanted: "Filter") -> list[str]:
    from orchestrator.ledger.read import unknown

    with ledger.store.reading() as connection:
        return list(unknown(connection, wanted))


def _page() -> "Page":
    import shutil

    from orchestrator import clock
    from orchestrator.show.timeline import page

    is_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((80, 24)).columns
    return page(sys.stdout, width=width, color=is_terminal and "NO_COLOR" not in os.environ, now_ns=clock.now_ns())
