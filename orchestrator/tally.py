"""How the votes on a request stand: which seem to count, who could add one, who objects. For people, ahead of time.

Counts as the engine does, from what is recorded and the packs that are known here; whether an approval is met, the
engine alone says, when it decides.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from orchestrator.approvals import Ask, Cast, Request
from orchestrator.ballot import Roster, could_vote, is_signed, keys_of
from orchestrator.clock import SECOND_NS, parse_time
from orchestrator.known import KEY
from orchestrator.ledger.store import Ledger
from orchestrator.vote import APPROVE, REJECT, claims_of

REVOKED, LAPSED = "revoked", "lapsed"
"""Why a vote counts no longer, of which no more is to be said."""
_SHORT = slice(7, 13)


class Electorate(NamedTuple):
    """Who may vote, and under which policy, by the packs that are known here."""

    roster: Roster = MappingProxyType({})
    """Empty where no packs are known."""
    policy_digest: str = ""
    comparable: frozenset[str] = frozenset()
    """Recorded policies of the organization's packs alone; empty where the packs known here are others, too."""

    def is_outdated(self, request: Request) -> bool:
        """Whether the packs have changed since a request was last asked, so that no approval of it will count."""
        return request.policy_digest in self.comparable and self.changed(request) != ""

    def changed(self, request: Request) -> str:
        """Say how the packs known here differ from those a request was asked under; "" where they do not."""
        if not self.policy_digest or request.policy_digest == self.policy_digest:
            return ""
        then, now = request.policy_digest[_SHORT], self.policy_digest[_SHORT]
        return f"the packs have changed since this was asked ({then} then, {now} now)"


class Judged(NamedTuple):
    """A vote, and why it does not count."""

    cast: Cast
    why: str
    """Empty where it seems to count."""


class Standing(NamedTuple):
    """How one ask stands."""

    ask: Ask
    given: tuple[str, ...]
    """Whose approval counts for it."""
    rejected_by: tuple[str, ...]
    could: tuple[str, ...]
    """Who could still add one, by the roster."""

    @property
    def missing(self) -> int:
        """How many more are needed."""
        return max(0, self.ask.needed - len(self.given))


class Tally(NamedTuple):
    """How a request stands."""

    standings: tuple[Standing, ...]
    votes: tuple[Judged, ...]
    """By time, those aside that no key of their author signed."""
    forged: Mapping[str, int]
    """How many votes are in whose name, signed by no key of theirs."""
    room: tuple[int, int]
    """How many of how many slots the uninvolved people of the roster can fill; (0, 0) without a roster."""

    @property
    def is_ready(self) -> bool:
        """Whether nothing is missing."""
        return not any(one.missing or one.rejected_by for one in self.standings)

    def said_by(self, person: str) -> list[str]:
        """Return what a person's votes that count say, and what that means for another one of theirs."""
        said = {
            APPROVE: "approved it as {} already, and one person fills one slot",
            REJECT: "rejected it as {} already, which holds until it lapses or is revoked",
        }
        counting = [one.cast for one in self.votes if not one.why and one.cast.voter == person]
        return sorted({said[cast.decision].format(cast.role) for cast in counting})

    @property
    def is_hopeless(self) -> bool:
        """Whether there are fewer people than slots."""
        return self.room[0] < self.room[1]


def electorate(ledger: Ledger, roster: Roster, policy_digest: str, packs: Sequence[Mapping[str, Any]]) -> Electorate:
    """Return who may vote by the packs that are known here; `packs` name the layer of each."""
    if any(pack["layer"] != "org" for pack in packs):
        return Electorate(roster, policy_digest)
    sql = """SELECT policy_digest FROM policy_packs GROUP BY policy_digest
             HAVING min(layer) = 'org' AND max(layer) = 'org'"""
    with ledger.store.reading() as connection:
        return Electorate(roster, policy_digest, frozenset(str(row[0]) for row in connection.execute(sql)))


def tally(request: Request, voters: Electorate, now_ns: int) -> Tally:
    """Return how the votes on a request stand."""
    signed, forged = _without_forged(request, voters.roster)
    why = {cast.id: _why_nowhere(cast, request, voters, now_ns) for cast in signed}
    asks = {ask.role: ask for ask in request.asks}
    slots: dict[str, str] = {}
    for cast in signed:
        if not why[cast.id] and cast.role in asks:
            slots[cast.voter] = min(slots.get(cast.voter, cast.role), cast.role)
    for cast in signed:
        why[cast.id] = why[cast.id] or _why_not_here(cast, request, asks.get(cast.role), slots, now_ns)
    judged = tuple(Judged(cast, why[cast.id]) for cast in signed)
    standings = tuple(_standing(ask, request, judged, voters.roster) for ask in request.asks)
    return Tally(standings, judged, forged, _room(request, standings, voters.roster))


def _without_forged(request: Request, roster: Roster) -> tuple[list[Cast], Counter[str]]:
    """Return the votes that a key of their author signed, and how many others there are in whose name.

    Without a roster nobody knows whose key is whose, and every vote stays.
    """
    votes = [*request.votes, *request.elsewhere]
    if not roster:
        return votes, Counter()
    theirs = {person: keys_of(person, roster) for person in {cast.voter for cast in votes}}
    kept = [cast for cast in votes if cast.via != KEY or any(is_signed(cast, k) for k in theirs[cast.voter])]
    forged = Counter(cast.voter for cast in votes)
    forged.subtract(cast.voter for cast in kept)
    return kept, +forged


def _why_nowhere(cast: Cast, request: Request, voters: Electorate, now_ns: int) -> str:
    """Say why a vote counts for no role at all."""
    if cast.revocation:
        return REVOKED
    policy = _said(cast).get("pol")
    current = voters.policy_digest if request.policy_digest in voters.comparable else request.policy_digest
    if cast.decision == APPROVE and policy not in (None, current):
        return f"given under policy {str(policy)[_SHORT]}"
    if voters.roster and cast.role not in voters.roster.get(cast.voter, {}).get("roles", ()):
        return "the roster does not give them the role"
    is_over = cast.expires_at and parse_time(cast.expires_at) <= now_ns
    return LAPSED if cast.decision == APPROVE and is_over else ""


def _why_not_here(cast: Cast, request: Request, ask: Ask | None, slots: Mapping[str, str], now_ns: int) -> str:
    """Say why a vote that counts in general does not for its role."""
    if ask is None:
        return "nobody asks for this role"
    if cast.voter in request.involved:
        return "they had a hand in it"
    said = _said(cast)
    about = {one for one in (said.get("act"), said.get("chg")) if isinstance(one, str)} if said else {cast.digest}
    thing = request.change_digest or request.action_digest
    wanted = {request.action_digest if ask.bind == "action" else thing}
    if cast.decision == REJECT:
        wanted = {request.action_digest, thing}
    if not about & wanted:
        return "given for another change or action"
    if now_ns >= parse_time(cast.at) + ask.expires_s * SECOND_NS:
        return LAPSED
    is_used = cast.decision == APPROVE and slots[cast.voter] != cast.role
    return f"they count as {slots[cast.voter]}, and one person fills one slot" if is_used else ""


def _said(cast: Cast) -> dict[str, Any]:
    try:
        return claims_of(cast.token) if cast.via == KEY else {}
    except ValueError:
        return {}


def _standing(ask: Ask, request: Request, judged: Sequence[Judged], roster: Roster) -> Standing:
    counted = [one.cast for one in judged if not one.why]

    def whose(decision: str) -> tuple[str, ...]:
        return tuple(sorted({cast.voter for cast in counted if (cast.role, cast.decision) == (ask.role, decision)}))

    done = {cast.voter for cast in counted}
    could = tuple(name for name in could_vote(request, roster, ask.role) if name not in done)
    return Standing(ask, whose(APPROVE), whose(REJECT), could)


def _room(request: Request, standings: Sequence[Standing], roster: Roster) -> tuple[int, int]:
    """Return how many of all slots can be filled at once, each by another person."""
    if not roster:
        return 0, 0
    needed = {one.ask.role: one.ask.needed for one in standings}
    able: dict[str, list[str]] = {}
    for one in standings:
        for name in {*_eligible(request, one.ask.role, roster), *one.given}:
            able.setdefault(name, []).append(one.ask.role)
    filled: dict[str, list[str]] = {role: [] for role in needed}
    slots = sum(needed.values())
    seated = 0
    for person in sorted(able):
        seated += seated < slots and _seat(person, able, needed, filled)
    return seated, slots


def _seat(
    person: str,
    able: Mapping[str, Sequence[str]],
    needed: Mapping[str, int],
    filled: Mapping[str, list[str]],
    tried: frozenset[str] = frozenset(),
) -> bool:
    """Give a person a slot, others moving to another role of theirs where that makes room; say whether it went."""
    for role in able[person]:
        if role in tried:
            continue
        if len(filled[role]) < needed[role]:
            filled[role].append(person)
            return True
        for place, other in enumerate(filled[role]):
            if _seat(other, able, needed, filled, tried | {role}):
                filled[role][place] = person
                return True
    return False


def _eligible(request: Request, role: str, roster: Roster) -> Iterator[str]:
    """Yield who could fill a slot of a role, by a key or by a review."""
    yield from could_vote(request, roster, role)
    for name, entry in roster.items():
        if (
            role in entry.get("roles", ())
            and name not in request.involved
            and entry.get("attributes", {}).get("github")
        ):
            yield name
