"""Finds who votes and with which key: a file, else ssh-agent; the roster says whose a key is."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from orchestrator import keys, sshagent
from orchestrator.approvals import Cast, Request
from orchestrator.ballot import Roster, voter_of
from orchestrator.errors import UsageError
from orchestrator.names import shown
from orchestrator.vote import Signer


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


def voter(asked: Asked, roster: Roster, passphrase: Callable[[Path], bytes]) -> Voter:
    """Return who votes: with the file named, else the key at its usual place, else a key of ssh-agent's.

    `passphrase` is asked for the passphrase of a file that wants one.

    Raises:
        UsageError: no key is found, several could be meant, or nobody's key it is.
    """
    file = asked.file or keys.default_file()
    if not asked.is_agent and (asked.file or file.exists()):
        signer: Signer = keys.load_key(file, passphrase(file) if keys.is_locked(file) else None)
    else:
        signer = _of_agent(asked, roster, file)
    by = asked.by or voter_of(signer.public, roster)
    if by is None:
        known = "no packs are known here, so nobody's" if not roster else "nobody's by the roster"
        raise UsageError(
            f"the key is {known}; expected to know who votes", advice="say --as user:you, and name --packs"
        )
    return Voter(by, signer)


def own_vote(request: Request, by: str) -> Cast:
    """Return the newest vote of a person on a request that still stands.

    Raises:
        UsageError: there is none.
    """
    standing = [cast for cast in request.votes if cast.voter == by and not cast.revocation]
    if not standing:
        raise UsageError(
            f"{shown(by)} has no vote on request {request.id}", advice=f"see `orch approvals {request.id}`"
        )
    return standing[-1]


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
