"""Votes cast into the ledger: who votes in which role, why a vote could not count, signing, recording, revoking.

What is said here of a vote is for people, ahead of time; whether it counts, the engine says when it decides.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator import clock
from orchestrator.approvals import GITHUB, LOCK, Cast, Request, draft_of
from orchestrator.digest import new_id
from orchestrator.errors import LedgerError, UsageError
from orchestrator.known import KEY
from orchestrator.ledger.append import append
from orchestrator.ledger.event import Event
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.names import shown
from orchestrator.vote import APPROVE, REJECT, REVOKE, Claims, Signer, claims_of, signed, verifies

Roster = Mapping[str, Mapping[str, Any]]
"""Subject name to `{roles, attributes, keys}`, keys as JWKs."""
DAY_S = 86_400
_MAX_EXPIRES_S = 365 * DAY_S


class Ballot(NamedTuple):
    """A vote before it is signed."""

    by: str
    """`user:alice`."""
    role: str
    decision: str = APPROVE
    """`approve` or `reject`."""
    expires_s: int = DAY_S
    """How long the vote stands by itself, seconds; the policy may end it earlier."""
    note: str = ""


def voter_of(public: bytes, roster: Roster) -> str | None:
    """Return whose key this is by the roster, None where nobody's."""
    from orchestrator.keys import jwk

    wanted = jwk(public)
    return next((name for name, entry in roster.items() if wanted in entry.get("keys", ())), None)


def keys_of(person: str, roster: Roster) -> list[bytes]:
    """Return the public keys that the roster gives a person."""
    from orchestrator.keys import from_jwk

    return [from_jwk(key) for key in roster.get(person, {}).get("keys", ())]


def is_signed(cast: Cast, public: bytes) -> bool:
    """Return whether a recorded vote is what somebody signed with this key; whether it counts, the engine says."""
    row = {"jti": cast.id, "iss": cast.voter, "req": cast.request_id, "role": cast.role, "dec": cast.decision}
    try:
        said = claims_of(cast.token)
        return all(said.get(name) == value for name, value in row.items()) and verifies(cast.token, public)
    except ValueError:
        return False


def role_for(request: Request, by: str, roster: Roster, missing: Collection[str] = ()) -> str:
    """Return the role to vote in: of those asked for and held by the person the only one, or the only one of use.

    Of use is what they have not voted in yet, and of that what is in `missing`.

    Raises:
        UsageError: it is none or several, so the caller has to say.
    """
    asked = [ask.role for ask in request.asks]
    has = roster.get(by, {}).get("roles", ())
    held = [role for role in asked if role in has] or asked
    done = {cast.role for cast in request.votes if cast.voter == by and not cast.revocation}
    new = [role for role in held if role not in done]
    for left in (held, new, [role for role in new if role in missing]):
        if len(left) == 1:
            return left[0]
    whose = f", of which {shown(by)} has {', '.join(held)}" if set(has) & set(asked) else ""
    raise UsageError(
        f"request {request.id} asks for the roles {', '.join(asked) or '(none)'}{whose}",
        advice="choose one with --role",
    )


def could_vote(request: Request, roster: Roster, role: str) -> list[str]:
    """Return who of the roster could approve in a role: who holds it, has a key, and had no hand in the request."""
    return [
        name
        for name, entry in sorted(roster.items())
        if role in entry.get("roles", ()) and entry.get("keys") and name not in request.involved
    ]


def concerns(request: Request, person: str, roster: Roster) -> bool:
    """Return whether a request asks for an approval that this person could give."""
    return any(person in could_vote(request, roster, ask.role) for ask in request.asks)


def lasting(request: Request, role: str) -> int:
    """Return how long a vote in a role should stand, seconds: as long as it counts."""
    return min((ask.expires_s for ask in request.asks if ask.role == role), default=DAY_S)


def objections(request: Request, ballot: Ballot, public: bytes, roster: Roster) -> Iterator[str]:
    """Yield why a vote could not count, as far as the request, the roster and the key tell."""
    from orchestrator.keys import jwk

    if not request.is_open:
        yield f"request {request.id} was used already, by evaluation {request.consumed_by}"
    entry = roster.get(ballot.by)
    if entry is None:
        yield f"{shown(ballot.by)} is not in the roster"
    elif jwk(public) not in entry.get("keys", ()):
        yield f"the roster does not give this key to {shown(ballot.by)}"
    elif ballot.role not in entry.get("roles", ()):
        yield f"the roster does not give {shown(ballot.by)} the role {shown(ballot.role)}"
    if ballot.role not in {ask.role for ask in request.asks}:
        yield f"nobody asks for a vote of role {shown(ballot.role)}"
    if ballot.by in request.involved:
        yield f"{shown(ballot.by)} had a hand in the request or the change"


def vote(ledger: Ledger, request: Request, signer: Signer, ballot: Ballot) -> Cast:
    """Sign a vote on what the request said when it was read, record it, and return it.

    Raises:
        UsageError: the request was used meanwhile, the ballot cannot be, or the signer does not sign.
        LedgerError: it cannot be recorded.

    Source: 001, "Approvals".
    """
    if ballot.decision not in {APPROVE, REJECT}:
        raise UsageError(f"a vote of {shown(ballot.decision)}; expected approve or reject")
    if not 0 < ballot.expires_s <= _MAX_EXPIRES_S:
        raise UsageError(f"a vote that stands for {ballot.expires_s} seconds; expected at most a year")
    claims = _claims(ledger, request, ballot.by, ballot.role, ballot.decision)
    claims = claims._replace(exp=claims.iat + ballot.expires_s)
    token = signed(claims, signer)
    cast = _cast(request, claims, token, KEY, ballot.note)
    record(ledger, request, [cast])
    return cast


def revoke(ledger: Ledger, request: Request, cast: Cast, signer: Signer) -> None:
    """Take a vote back, signed by a key of who gave it; an approval only while its request is not used.

    Raises:
        UsageError: it was revoked before, was no signed vote, or its request was used.
        LedgerError: it cannot be recorded.
    """
    if cast.via != KEY:
        raise UsageError(f"the vote {cast.id} is a review", advice="dismiss the review, then read the reviews again")
    if cast.revocation:
        raise UsageError(f"the vote {cast.id} was revoked before")
    claims = _claims(ledger, request, cast.voter, cast.role, REVOKE)
    token = signed(claims._replace(exp=claims.iat + _MAX_EXPIRES_S, rev=cast.id), signer)
    with ledger.store.writing() as connection:
        if cast.decision == APPROVE:
            _lock(connection, request)
        payload = {"vote_id": cast.id, "request_id": request.id, "by": cast.voter, "token": token}
        event = append(ledger, connection, draft_of(request, "orch.approval.revoked", cast.voter, payload))
        _look(event, token)


def record(ledger: Ledger, request: Request, casts: Sequence[Cast]) -> None:
    """Append votes in one transaction, while their request is open.

    Raises:
        UsageError: the request was used meanwhile.
        LedgerError: they cannot be recorded.
    """
    with ledger.store.writing() as connection:
        _lock(connection, request)
        for cast in casts:
            said = {name: value for name, value in cast._asdict().items() if name not in {"id", "voter", "revocation"}}
            payload = {
                **said,
                "vote_id": cast.id,
                "by": cast.voter,
                "action_digest": request.action_digest,
                "change_digest": request.change_digest,
            }
            event = append(ledger, connection, draft_of(request, "orch.approval.voted", cast.voter, payload))
            _look(event, cast.token)


def withdraw(ledger: Ledger, request: Request, casts: Sequence[Cast]) -> None:
    """Append that votes the host vouched for stand no longer.

    Raises:
        LedgerError: it cannot be recorded.
    """
    with ledger.store.writing() as connection:
        for cast in casts:
            payload = {"vote_id": cast.id, "request_id": request.id, "by": cast.voter, "token": ""}
            append(ledger, connection, draft_of(request, "orch.approval.revoked", cast.voter, payload))


def review(request: Request, ballot: Ballot, vote_id: str, at: str) -> Cast:
    """Return the vote that a review stands for; the host vouches for it, and the policy alone ends it."""
    digest = request.change_digest or request.action_digest
    return Cast(
        vote_id, request.id, ballot.by, ballot.role, ballot.decision, "", GITHUB, digest, at, "", ballot.note, ""
    )


def _claims(ledger: Ledger, request: Request, by: str, role: str, decision: str) -> Claims:
    return Claims(
        jti=new_id(),
        iss=by,
        aud=ledger.id,
        req=request.id,
        act=request.action_digest,
        chg=request.change_digest or None,
        pol=request.policy_digest,
        role=role,
        dec=decision,
        iat=clock.now_ns() // clock.SECOND_NS,
        exp=0,
    )


def _cast(request: Request, claims: Claims, token: str, via: str, note: str) -> Cast:
    at, end = (clock.format_time(moment * clock.SECOND_NS) for moment in (claims.iat, claims.exp))
    digest = claims.chg or claims.act
    return Cast(claims.jti, request.id, claims.iss, claims.role, claims.dec, token, via, digest, at, end, note, "")


def _lock(connection: Connection, request: Request) -> None:
    if not connection.change(LOCK, (request.id,)):
        raise UsageError(
            f"request {request.id} was used meanwhile; a vote on it counts for nothing more",
            advice="see `orch approvals` for what waits",
        )


def _look(event: Event, token: str) -> None:
    """A vote whose text was taken for a secret would be recorded, and never count."""
    if event.payload is None or event.payload.get("token") != token:
        raise LedgerError("the vote cannot be recorded: its signature was masked as a secret")
