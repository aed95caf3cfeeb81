"""Finds who votes and with which key: a file, else ssh-agent; the roster says whose a key is."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from orchestrator import keys, sshagent
from orchestrator.approvals import GITHUB, Cast, Request
from orchestrator.ballot import Roster, is_signed, keys_of, voter_of
from orchestrator.errors import UsageError
from orchestrator.names import shown
from orchestrator.vote import REJECT, Signer


class Asked(NamedTuple):
    """How the caller said who votes."""

    by: str | None = None
    """`user:alice`; None for whose key it is."""
    file: Path | None = None
    """A private key; None for the one at its usual place."""
    is_agent: bool = False
    """Only ssh-agent's keys are meant."""


class Voter(NamedTuple):
    """Who votes, with which key."""

    by: str
    signer: Signer


def voter(asked: Asked, roster: Roster, passphrases: Callable[[Path], Iterable[bytes]]) -> Voter:
    """Return who votes: with the file named, else the key at its usual place, else a key of ssh-agent's.

    `passphrases` is asked for those to try on a file that wants one.

    Raises:
        UsageError: no key is found, several could be meant, or nobody's key it is.
    """
    file = asked.file or keys.default_file()
    if not asked.is_agent and (asked.file or file.exists()):
        signer: Signer = keys.open_key(file, passphrases)
    else:
        signer = _of_agent(asked, roster, file)
    by = asked.by or voter_of(signer.public, roster)
    if by is None:
        raise _nobodys(signer, roster)
    return Voter(by, signer)


def _nobodys(signer: Signer, roster: Roster) -> UsageError:
    if not roster:
        return UsageError(
            "whose key this is cannot be looked up: no packs with a roster are named",
            advice="name --packs DIR or set ORCH_PACKS; or say --as user:you",
        )
    return UsageError(
        "the roster gives this key to nobody",
        advice=f'add it to the keys of your entry in the roster: "{keys.ssh_line(signer.public)}"',
    )


def own_votes(request: Request, who: Voter, roster: Roster) -> list[Cast]:
    """Return the votes of a person on a request that can be taken back, oldest first.

    Votes in the person's name that no key of theirs signed are left out, lest a forged one is taken back in place of a
    real one; so are approvals that were used, and reviews, unless nothing else stands.

    Raises:
        UsageError: there is none.
    """
    standing = [cast for cast in request.votes if cast.voter == who.by and not cast.revocation]
    theirs = {who.signer.public, *keys_of(who.by, roster)}
    signed = [cast for cast in standing if any(is_signed(cast, key) for key in theirs)]
    own = [cast for cast in signed if request.is_open or cast.decision == REJECT] or signed
    own = own or [cast for cast in standing if cast.via == GITHUB]
    if not own:
        raise UsageError(
            f"{shown(who.by)} has no vote on request {request.id}", advice=f"see `orch approvals {request.id}`"
        )
    return own


def _of_agent(asked: Asked, roster: Roster, file: Path) -> Signer:
    try:
        held = sshagent.agent_keys()
    except UsageError as error:
        if asked.is_agent:
            raise
        raise UsageError(
            f"there is no key at {str(file)!r}, and ssh-agent cannot be asked ({error})",
            advice="make one: `orch key new`",
        ) from error
    owned = [key for key in held if voter_of(key.public, roster) and asked.by in {None, voter_of(key.public, roster)}]
    meant = owned or (held if asked.is_agent else [])
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise UsageError(
            f"ssh-agent holds {len(meant)} Ed25519 keys that could be meant", advice="name one's owner with --as"
        )
    seen = (
        f"ssh-agent holds {len(held)} Ed25519 keys, none of them of the roster"
        if held
        else "ssh-agent holds no Ed25519 key"
    )
    raise UsageError(seen, advice="see `ssh-add -L`; put the line of yours into the roster")
