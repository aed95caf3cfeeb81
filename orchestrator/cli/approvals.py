"""`orch approvals|approve|reject|revoke`: what waits for approval, and votes on it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.errors import Exit, UsageError
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.approvals import Request
    from orchestrator.ballot import Ballot, Roster
    from orchestrator.ledger.store import Ledger
    from orchestrator.load import Loaded
    from orchestrator.tally import Electorate
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
@click.option(
    "-a", "--all", "is_all", is_flag=True, help="Requests that were used, and votes that count no longer, too."
)
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
    from orchestrator.show.approvals import View, write, write_json

    settings, loaded = _settings(given)
    if person and not (loaded and loaded.roster):
        raise UsageError("--for asks the roster, and no packs are named", advice="name --packs, or set ORCH_PACKS")
    with _opened(settings) as ledger:
        found = [find(ledger, request)] if request else waiting(ledger, is_all=is_all)
        view = View(_voters(ledger, loaded), clock.now_ns(), bool(request), is_all)
    if person:
        found = [one for one in found if concerns(one, person, view.voters.roster)]
    if output == "json":
        write_json(found, sys.stdout, view)
    elif found:
        write(found, sys.stdout, view)
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

    settings, loaded = _settings(given)
    if not (loaded and loaded.roster):
        raise UsageError("no packs are named, so nobody knows whose login is whose", advice="name --packs")
    with _opened(settings) as ledger:
        for line in read_reviews(ledger, Source.of(pull, api), Path(folder), loaded.roster):
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
    """Take back your votes on REQUEST; an approval only while it was not used."""
    from orchestrator import ballot
    from orchestrator.approvals import find
    from orchestrator.voter import own_votes

    settings, loaded = _settings(given)
    with _opened(settings) as ledger:
        found = find(ledger, request)
        voters = _voters(ledger, loaded)
        who = _voter(given, voters.roster)
        casts = own_votes(found, who, voters.roster)
        _show(found, voters)
        words = {"approve": "approval", "reject": "rejection"}
        said = " and the ".join(sorted({f"{words[cast.decision]} as {cast.role}" for cast in casts}))
        _confirm(f"Revoke the {said} of {who.by}?", is_sure=given["yes"])
        for cast in casts:
            ballot.revoke(ledger, found, cast, who.signer)
    _say(f"revoked the {said} of {who.by} on request {found.id}")


def _cast(named: str, decision: str, given: dict[str, Any]) -> None:
    from orchestrator import ballot, clock
    from orchestrator.approvals import find
    from orchestrator.tally import tally

    settings, loaded = _settings(given)
    with _opened(settings) as ledger:
        request = find(ledger, named)
        voters = _voters(ledger, loaded)
        who = _voter(given, voters.roster)
        stands = tally(request, voters, clock.now_ns())
        missing = [one.ask.role for one in stands.standings if one.missing]
        role = given["role"] or ballot.role_for(request, who.by, voters.roster, missing)
        expires_s = _duration(given["expires"]) if given["expires"] else ballot.lasting(request, role)
        vote = ballot.Ballot(who.by, role, decision, expires_s, given["note"])
        _show(request, voters)
        _check(request, vote, who.signer.public, voters, is_anyway=given["anyway"])
        for line in stands.said_by(who.by):
            _note(f"{who.by} {line}")
        _confirm(f"{decision.capitalize()} this as {who.by}, in the role {role}?", is_sure=given["yes"])
        cast = ballot.vote(ledger, request, who.signer, vote)
    until = clock.format_time(clock.parse_time(cast.expires_at)) if decision == "approve" else ""
    past = "approved" if decision == "approve" else "rejected"
    _say(f"{who.by} {past} request {request.id} as {role}" + (f", until {until}" if until else ""))


def _check(request: "Request", vote: "Ballot", public: bytes, voters: "Electorate", *, is_anyway: bool) -> None:
    """Refuse a vote that cannot count, or say so; a rejection counts under every policy."""
    from orchestrator import ballot
    from orchestrator.opening import is_opening

    if not voters.roster:
        _note("no packs are named, so nobody checked whether this vote can count")
    changed = voters.changed(request) if vote.decision == "approve" else ""
    against = list(ballot.objections(request, vote, public, voters.roster)) if voters.roster else []
    advice = "vote --anyway if you know better"
    if voters.is_outdated(request) and changed:
        against, advice = [changed, *against], "run the `orch evaluate` again, then approve"
    elif changed and not is_opening(request.action):  # a gate is asked under one pack more, and asked anew by its run
        _note(f"{changed}, or they are another repository's; the vote counts under the former alone")
    if against and not is_anyway:
        raise UsageError(f"this vote cannot count: {'; '.join(against)}", advice=advice)
    for one in against:
        _note(f"as things stand the vote cannot count: {one}")


def _settings(given: dict[str, Any]) -> tuple[Settings, "Loaded | None"]:
    """Return the settings, and the policy of the packs they name; None where they name none."""
    settings = Settings.load({name: given[name] for name in ("packs", "ledger", "config")})
    if not settings.packs:
        return settings, None
    from orchestrator.load import load

    return settings, load(settings, one_shot=True)


def _voters(ledger: "Ledger", loaded: "Loaded | None") -> "Electorate":
    from orchestrator.tally import Electorate, electorate

    return electorate(ledger, loaded.roster, loaded.digest, loaded.packs) if loaded else Electorate()


def _opened(settings: Settings) -> "Ledger":
    from orchestrator.ledger.open import open_ledger

    return open_ledger(settings.ledger, must_exist=True)


def _voter(given: dict[str, Any], roster: "Roster") -> "Voter":
    from orchestrator.cli.key import passphrases_of
    from orchestrator.voter import Asked, voter

    file = Path(given["file"]) if given["file"] else None
    if file and given["agent"]:
        raise UsageError("--key and --agent are both given", advice="leave one out")
    by = Settings.load({"subject": given["by"]}).subject if given["by"] else None
    return voter(Asked(by, file, given["agent"]), roster, passphrases_of(given["passphrase_file"]))


def _duration(text: str) -> int:
    from orchestrator.clock import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--expires: {error}") from error


def _show(request: "Request", voters: "Electorate") -> None:
    from orchestrator import clock
    from orchestrator.show.approvals import View, write

    write([request], sys.stderr, View(voters, clock.now_ns(), is_whole=True))


def _confirm(question: str, *, is_sure: bool) -> None:
    if is_sure:
        return
    if not (sys.stdin and sys.stdin.isatty()):
        raise UsageError("there is no terminal to ask on", advice="look at the request above, then add --yes")
    if not click.confirm(_clean(question), err=True):
        click.echo("orch: nothing was recorded", err=True)
        raise click.exceptions.Exit(Exit.FAILED)


def _note(text: str) -> None:
    click.echo(f"orch: note: {_clean(text)}", err=True)


def _clean(text: str) -> str:
    from orchestrator.show.escape import terminal

    return terminal(text)


def _say(text: str) -> None:
    click.echo(_clean(text))
