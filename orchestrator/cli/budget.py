"""`orch budget`: what is left, and room taken and charged by scripts. Each parses, calls one function, shows."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from orchestrator.errors import Exit, UsageError
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.ledger.store import Ledger
    from orchestrator.reservation import Reservation

_LEDGER = click.option("--ledger", metavar="PLACE", help="A folder or postgresql://...; else ORCH_LEDGER.")
_OUTPUT = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
_DECISION = click.option(
    "--decision", required=True, metavar="ID", help="The evaluation_id of the decision that allowed it."
)
_RUN = click.option("--run", metavar="NAME", help="The run it must belong to. [default: ORCH_RUN]")
_ATTEMPT = click.option(
    "--attempt", default=1, show_default=True, type=click.IntRange(min=1), help="Which call under this decision it is."
)
_KEY = click.option("--key", default="", metavar="TEXT", help="Name the call yourself, instead of --attempt.")
_NOTHING = "none"
"""What stands for a reservation that holds nothing."""


@click.group(invoke_without_command=True, short_help="Show limits and what was spent; reserve and settle.")
@click.option("--run", metavar="NAME", help="Of this run.")
@click.option("--session", metavar="NAME", help="Of this session.")
@click.option("--repo", metavar="OWNER/NAME", help="Of this repository.")
@click.option("--org", metavar="OWNER", help="Of this organisation.")
@click.option("--past", is_flag=True, help="Past days and months, too.")
@_OUTPUT
@_LEDGER
@click.pass_context
def budget(context: click.Context, /, *, output: str, ledger: str | None, past: bool, **named: str | None) -> None:
    """Show limits, what was spent and what is held, and by whom.

    Without options: organisations and repositories in their present day or month, and the runs and sessions of the last
    day. A limit is the last that anything was reserved under. Times are UTC.
    """
    if context.invoked_subcommand is not None:
        if given := [
            f"--{name}"
            for name, value in (named | {"past": past, "ledger": ledger, "output": output != "text"}).items()
            if value
        ]:
            raise UsageError(
                f"{given[0]} stands before {context.invoked_subcommand}",
                advice=f"write it behind {context.invoked_subcommand}",
            )
        return
    from orchestrator.balance import balances
    from orchestrator.show import budget as show

    wanted = {scope: (value.lower() if scope in {"repo", "org"} else value) for scope, value in named.items() if value}
    with _opened(ledger, must_exist=True) as opened, opened.store.reading() as connection:
        found = balances(connection, wanted, has_past=past)
    if output == "json":
        click.echo(show.balances_json(found))
    elif found:
        show.table(found, sys.stdout, has_color=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    else:
        click.echo("orch: nothing was reserved or refused there yet", err=True)


@budget.command(short_help="Take room for an action in every budget of its decision.")
@_DECISION
@_RUN
@click.option(
    "--estimate",
    "estimates",
    multiple=True,
    metavar="METER=AMOUNT",
    help="What it will use, as usd=0.50. May be repeated.",
)
@click.option(
    "--cap",
    "caps",
    multiple=True,
    metavar="METER=AMOUNT",
    help="The most it can use, where nobody can say. May be repeated.",
)
@click.option(
    "--expires", default="15m", show_default=True, metavar="TIME", help="How long it waits for start and settle."
)
@_ATTEMPT
@_KEY
@_OUTPUT
@_LEDGER
def reserve(*, output: str, ledger: str | None, expires: str, **given: Any) -> None:  # noqa: ANN401  # click's parameters
    """Take room for an action in every budget of its decision, or in none, and print the reservation's id.

    Exits with 5 where there is too little room. pr_attempts and tool_calls need no --estimate; every other meter with a
    limit does, or a --cap. The same call again gives the same reservation. Where no budget counts, the id is `none`.
    """
    from orchestrator import clock, spend

    try:
        expires_s = clock.parse_duration(expires)
    except ValueError as error:
        raise UsageError(f"--expires: {error}") from error
    with _opened(ledger, must_exist=True) as opened:
        found, call = _decided(opened, given)
        estimates = {**found.usual, **_amounts(given["estimates"], "--estimate")}
        caps = _amounts(given["caps"], "--cap")
        kept = _kept(estimates, found)
        taken = spend.reserve(opened, call, found.limits, kept, caps=caps, expires_s=expires_s)
    _show(taken, output, taken.id or _NOTHING)


@budget.command(short_help="Reserve, start and settle in one step.")
@_DECISION
@_RUN
@click.option(
    "--meter", "meters", multiple=True, metavar="METER=AMOUNT", help="What it uses, as tokens=1200. May be repeated."
)
@click.option("--used", is_flag=True, help="It was used already: charge it even past a limit, and then exit with 5.")
@_ATTEMPT
@_KEY
@_OUTPUT
@_LEDGER
@click.pass_context
def charge(context: click.Context, /, *, output: str, ledger: str | None, used: bool, **given: Any) -> None:  # noqa: ANN401  # click's parameters
    """Reserve, start and settle in one step; a retry charges once.

    Exits with 5 and charges nothing where there is too little room, so it can stand before what it charges. With --used
    it stands behind: what was used is charged in any case.
    """
    from orchestrator import spend

    with _opened(ledger, must_exist=True) as opened:
        found, call = _decided(opened, given)
        amounts = _kept({**found.usual, **_amounts(given["meters"], "--meter")}, found)
        done = spend.charge(opened, call, found.limits, amounts, is_used=used)
    _show(done, output)
    context.exit(int(Exit.BUDGET if done.is_over else Exit.OK))


@budget.command(short_help="Say that the action starts; from then on it is charged.")
@click.argument("reservation")
@_OUTPUT
@_LEDGER
def start(*, reservation: str, output: str, ledger: str | None) -> None:
    """Say that the action of RESERVATION starts: from then on it is charged, in full where nobody settles it.

    Exits with 5 where it lapsed before; then the action must not start.
    """
    from orchestrator import spend

    _change(reservation, output, ledger, spend.start)


@budget.command(short_help="Charge what was really used.")
@click.argument("reservation")
@click.option("--meter", "meters", multiple=True, metavar="METER=AMOUNT", help="What was used. May be repeated.")
@_OUTPUT
@_LEDGER
def settle(*, reservation: str, output: str, ledger: str | None, meters: tuple[str, ...]) -> None:
    """Charge what the action of RESERVATION really used, more or less than its estimate.

    A meter that is not named is charged with its estimate. A retry with the same amounts changes nothing.
    """
    from orchestrator import spend

    amounts = _amounts(meters, "--meter")
    _change(reservation, output, ledger, lambda opened, name, actor: spend.settle(opened, name, amounts, actor=actor))


@budget.command(short_help="Give room back: the action did not happen.")
@click.argument("reservation")
@_OUTPUT
@_LEDGER
def release(*, reservation: str, output: str, ledger: str | None) -> None:
    """Give the room of RESERVATION back, because the action did not happen and nothing was used."""
    from orchestrator import spend

    _change(reservation, output, ledger, spend.release)


@budget.command(short_help="Close reservations past their time.")
@_OUTPUT
@_LEDGER
def expire(*, output: str, ledger: str | None) -> None:
    """Close every reservation past its time: unstarted ones lapse, started ones are charged in full.

    Reserving does this for the budgets it touches, so nobody has to; it tidies what `orch budget` shows.
    """
    from orchestrator import spend
    from orchestrator.show import budget as show
    from orchestrator.show.escape import json_text

    with _opened(ledger, must_exist=True) as opened:
        closed = spend.expire(opened, actor=_actor())
    if output == "json":
        click.echo(json_text([show.reservation(one) for one in closed], indent=2))
    else:
        for one in closed:
            click.echo(show.line_of(one))
        if not closed:
            click.echo("orch: nothing is past its time", err=True)


def _opened(place: str | None, *, must_exist: bool) -> "Ledger":
    from orchestrator.ledger.open import open_ledger

    return open_ledger(Settings.load({"ledger": place}).ledger, must_exist=must_exist)


def _decided(ledger: "Ledger", given: dict[str, Any]) -> tuple[Any, Any]:
    from orchestrator.limits import decided
    from orchestrator.spend import Call

    run = Settings.load({"run": given["run"]}).run
    with ledger.store.reading() as connection:
        found = decided(connection, given["decision"], run_id=run)
    return found, Call(found.run_id, found.evaluation_id, found.actor, given["attempt"], given["key"])


def _kept(amounts: dict[str, int], found: Any) -> dict[str, int]:  # noqa: ANN401  # limits.Decided
    """Leave out what nobody named and nobody counts."""
    counted = {limit.meter for limit in found.limits}
    return {meter: micro for meter, micro in amounts.items() if meter in counted or meter not in found.usual}


def _amounts(given: tuple[str, ...], flag: str) -> dict[str, int]:
    from orchestrator.meters import micro

    amounts: dict[str, int] = {}
    for text in given:
        meter, found, number = text.partition("=")
        if not found or not meter:
            raise UsageError(f"{flag} is {text!r:.60}; expected a meter and an amount", advice=f"{flag} usd=0.50")
        if meter in amounts:
            raise UsageError(f"{flag} names {meter!r:.60} twice", advice="name each meter once, with the whole amount")
        amounts[meter] = micro(number, f"{flag} {meter}")
    return amounts


def _change(name: str, output: str, place: str | None, change: "Callable[..., Reservation]") -> None:
    if name == _NOTHING:
        click.echo("orch: no budget counts this; nothing is held", err=True)
        return
    with _opened(place, must_exist=True) as opened:
        done = change(opened, name, actor=_actor())
    _show(done, output)


def _show(one: "Reservation", output: str, said: str = "") -> None:
    from orchestrator.show import budget as show

    if output == "json":
        click.echo(show.reservation_json(one))
    elif said:
        click.echo(said)
        click.echo(f"orch: {show.line_of(one)}", err=True)
    else:
        click.echo(show.line_of(one))
    for note in show.notes_of(one):
        click.echo(f"orch: note: {note}", err=True)


def _actor() -> str:
    """Return whom the operator names; "" leaves it to whoever made the reservation."""
    return Settings.load({}).subject or ""
