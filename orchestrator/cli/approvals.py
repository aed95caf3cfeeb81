"""`orch approvals|approve|reject|revoke`: what waits for approval, and votes on it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.errors import UsageError
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.approvals import Request
    from orchestrator.ballot import Roster
    from orchestrator.ledger.store import Ledger
    from orchestrator.voter import Voter

_LEDGER = click.option("--ledger", metavar="PLACE", help="A folder or postgresql://...; else ORCH_LEDGER.")
_PACKS = click.option(
    "--packs", multiple=True, metavar="DIR|BUNDLE", help="Packs whose roster says who may vote; else ORCH_PACKS."
)
_CONFIG = click.option("--config", metavar="FILE", help="Another operator's file.")


class _ShowFirst(click.Group):
    """`orch approvals` and `orch approvals REQUEST` mean `orch approvals show`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in {"-h", "--help"} and args[0] not in self.commands):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ShowFirst)
def approvals() -> None:
    """Show what waits for whose approval, and read reviews.

    orch approvals lists what waits, as orch approvals show does; orch approvals REQUEST shows one request whole.
    """


@approvals.command(short_help="Show what waits; or one REQUEST whole. The default.")
@click.argument("request", required=False)
@click.option("-a", "--all", "is_all", is_flag=True, help="Requests that were used, too.")
@click.option("--for", "person", metavar="TYPE:ID", help="What this person could approve, by the roster.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@_PACKS
@_LEDGER
@_CONFIG
def show(*, request: str | None, is_all: bool, person: str | None, output: str, **given: Any) -> None:  # noqa: ANN401  # settings by name
    """Show what waits for approval: what exactly, whose approval, votes so far and until when they count.

    REQUEST is a request's id, how it begins, or the evaluation id of a decision.
    """
    from orchestrator import clock
    from orchestrator.approvals import find, waiting
    from orchestrator.ballot import concerns
    from orchestrator.show.approvals import write, write_json

    settings, roster = _settings(given)
    if person and not roster:
        raise UsageError("--for asks the roster, and no packs are named", advice="name --packs, or set ORCH_PACKS")
    with _opened(settings) as ledger:
        found = [find(ledger, request)] if request else waiting(ledger, is_all=is_all)
    if person:
        found = [one for one in found if concerns(one, person, roster)]
    if output == "json":
        write_json(found, sys.stdout, roster, is_single=bool(request))
    elif found:
        write(found, sys.stdout, roster, clock.now_ns(), is_whole=bool(request))
    else:
        click.echo("nothing waits for approval", err=True)


@approvals.command(short_help="Record the reviews of a pull request as votes.")
@click.argument("pull", metavar="OWNER/NAME#N")
@click.option(
    "--git", "folder", default=".", show_default=True, metavar="DIR", help="A clone with the reviewed commits."
)
@click.option("--api", default="https://api.github.com", show_default=True, metavar="URL", help="The API of GitHub.")
@_PACKS
@_LEDGER
@_CONFIG
def github(*, pull: str, folder: str, api: str, **given: Any) -> None:  # noqa: ANN401  # settings by name
    """Record the reviews of a pull request on GitHub as votes.

    The last review of each person counts, for the subject of that login in the roster, and only if the change up to
    the reviewed commit is the one that waits. The token comes from GITHUB_TOKEN. Such votes carry no signature: they
    rest on GitHub's word, on this ledger, and on whoever runs this command.
    """
    from orchestrator.reviews import Source, read_reviews

    settings, roster = _settings(given)
    if not roster:
        raise UsageError("no packs are named, so nobody knows whose login is whose", advice="name --packs")
    with _opened(settings) as ledger:
        for line in read_reviews(ledger, Source.of(pull, api), Path(folder), roster):
            _say(line)


def _voting(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of every command that signs."""
    options = (
        click.option("--as", "by", metavar="TYPE:ID", help="Who votes. [default: whose key it is by the roster]"),
        click.option(
            "--key", "file", metavar="FILE", help="The private key. [default: orch/vote.key in the XDG folder]"
        ),
        click.option("--agent", is_flag=True, help="Let ssh-agent sign."),
        click.option("--passphrase-file", metavar="FILE", help="Where the key's passphrase is."),
        click.option("-y", "--yes", is_flag=True, help="Do not ask; needed where there is no terminal."),
        _PACKS,
        _LEDGER,
        _CONFIG,
    )
    for option in reversed(options):
        command = option(command)
    return command


def _balloting(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of votes."""
    options = (
        click.option("--role", metavar="ROLE", help="In which role. [default: the one asked for that the voter holds]"),
        click.option("--expires", metavar="DURATION", help="How long the vote stands, as 24h. [default: as asked]"),
        click.option("--note", default="", metavar="TEXT", help="A word to whoever reads the record."),
        click.option("--anyway", is_flag=True, help="Vote although it cannot count as things stand."),
    )
    command = _voting(command)
    for option in reversed(options):
        command = option(command)
    return command


@click.command(short_help="Vote for a request, with your key.")
@click.argument("request")
@_balloting
def approve(request: str, **given: Any) -> None:  # noqa: ANN401  # options by name
    """Vote for REQUEST (an id, how it begins, or an evaluation id) with your key.

    What is approved is shown first, and asked for on a terminal. The vote is bound to this request, action, change,
    policy and ledger; the engine verifies it against the roster's keys each time it decides.
    """
    _cast(request, "approve", given)


@click.command(short_help="Vote against a request, with your key.")
@click.argument("request")
@_balloting
def reject(request: str, **given: Any) -> None:  # noqa: ANN401  # options by name
    """Vote against REQUEST (an id, how it begins, or an evaluation id) with your key.

    A rejection holds the change back in every request that asks for your role, until it lapses or you revoke it.
    """
    _cast(request, "reject", given)


@click.command(short_help="Take a vote back, while the action has not started.")
@click.argument("request")
@_voting
def revoke(request: str, **given: Any) -> None:  # noqa: ANN401  # options by name
    """Take back your newest vote on REQUEST; an approval only while it was not used."""
    from orchestrator import ballot
    from orchestrator.approvals import find
    from orchestrator.voter import own_vote

    settings, roster = _settings(given)
    with _opened(settings) as ledger:
        found = find(ledger, request)
        who = _voter(given, roster)
        cast = own_vote(found, who.by)
        _show(found, roster)
        word = "rejection" if cast.decision == "reject" else "approval"
        _confirm(f"Revoke the {word} of {who.by} as {cast.role}?", is_sure=given["yes"])
        ballot.revoke(ledger, found, cast, who.signer)
    _say(f"revoked the {word} of {who.by} on request {found.id}")


def _cast(named: str, decision: str, given: dict[str, Any]) -> None:
    from orchestrator import ballot, clock
    from orchestrator.approvals import find

    settings, roster = _settings(given)
    with _opened(settings) as ledger:
        request = find(ledger, named)
        who = _voter(given, roster)
        role = given["role"] or ballot.role_for(request, who.by, roster)
        expires_s = _duration(given["expires"]) if given["expires"] else ballot.lasting(request, role)
        vote = ballot.Ballot(who.by, role, decision, expires_s, given["note"])
        against = list(ballot.objections(request, vote, who.signer.public, roster)) if roster else []
        _show(request, roster)
        if not roster:
            click.echo("orch: note: no packs are named, so nobody checked whether this vote can count", err=True)
        if against and not given["anyway"]:
            raise UsageError(f"this vote cannot count: {'; '.join(against)}", advice="vote --anyway if you know better")
        for one in against:
            click.echo(f"orch: note: as things stand the vote cannot count: {_clean(one)}", err=True)
        _confirm(f"{decision.capitalize()} this as {who.by}, in the role {role}?", is_sure=given["yes"])
        cast = ballot.vote(ledger, request, who.signer, vote)
    until = clock.format_time(clock.parse_time(cast.expires_at)) if decision == "approve" else ""
    past = "approved" if decision == "approve" else "rejected"
    _say(f"{who.by} {past} request {request.id} as {role}" + (f", until {until}" if until else ""))


def _settings(given: dict[str, Any]) -> tuple[Settings, "Roster"]:
    """Return the settings, and the roster of the packs they name; an empty one where they name none."""
    settings = Settings.load({name: given[name] for name in ("packs", "ledger", "config")})
    if not settings.packs:
        return settings, {}
    from orchestrator.load import load

    return settings, load(settings, one_shot=True).roster


def _opened(settings: Settings) -> "Ledger":
    from orchestrator.ledger.open import open_ledger

    return open_ledger(settings.ledger, must_exist=True)


def _voter(given: dict[str, Any], roster: "Roster") -> "Voter":
    from orchestrator.cli.key import passphrase_for
    from orchestrator.voter import Asked, voter

    file = Path(given["file"]) if given["file"] else None
    if file and given["agent"]:
        raise UsageError("--key and --agent are both given", advice="leave one out")
    by = Settings.load({"subject": given["by"]}).subject if given["by"] else None
    return voter(Asked(by, file, given["agent"]), roster, passphrase_for(given["passphrase_file"]))


def _duration(text: str) -> int:
    from orchestrator.clock import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--expires: {error}") from error


def _show(request: "Request", roster: "Roster") -> None:
    from orchestrator import clock
    from orchestrator.show.approvals import write

    write([request], sys.stderr, roster, clock.now_ns(), is_whole=True)


def _confirm(question: str, *, is_sure: bool) -> None:
    if is_sure:
        return
    if not (sys.stdin and sys.stdin.isatty()):
        raise UsageError("there is no terminal to ask on", advice="look at the request above, then add --yes")
    if not click.confirm(_clean(question), err=True):
        raise click.Abort


def _clean(text: str) -> str:
    from orchestrator.show.escape import terminal

    return terminal(text)


def _say(text: str) -> None:
    click.echo(_clean(text))
