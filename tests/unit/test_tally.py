"""How the votes on a request stand, and how that reads: people, slots, and what no longer counts."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator import clock, keys
from orchestrator.approvals import Ask, Cast, Request
from orchestrator.show.approvals import View, write, write_json
from orchestrator.tally import Electorate, tally
from orchestrator.vote import Claims, signed

NOW = clock.parse_time("2026-11-21T09:00:00Z")
OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
ROLES = {
    "user:alice": ["sre"],
    "user:bob": ["sre", "lead"],
    "user:carol": ["lead"],
    "user:dave": ["sre"],
    "agent:fixer": ["sre"],
}
ROSTER = {
    name: {"roles": roles, "keys": [keys.jwk(bytes([place] * 32))]}
    for place, (name, roles) in enumerate(ROLES.items(), 9)
}


def request_of(*votes: Cast, **asked: int) -> Request:
    """Return a request that asks for so many of each role."""
    asks = tuple(Ask(role, count, 3600, "changes", 0) for role, count in (asked or {"sre": 2}).items())
    summary = {"involved": ["agent:fixer"]}
    return Request(
        "vj74pvqer5", "request:vj74pvqer5", "k", "e1", "", "agent:fixer", "open_pr", "acme/web", "acme/web", "main",
        "sha256:act", "sha256:chg", OLD, asks, summary, False, "2026-11-21T08:00:00Z", "open", "", votes,
    )  # fmt: skip


def vote(by: str, role: str = "sre", decision: str = "approve", **more: Any) -> Cast:  # noqa: ANN401  # fields of a vote
    """Return a vote that the host vouches for, given at 08:30."""
    said = {
        "digest": "sha256:chg",
        "at": "2026-11-21T08:30:00Z",
        "expires_at": "",
        "note": "",
        "revocation": "",
        **more,
    }
    return Cast(f"{by}{role}{decision}", "vj74pvqer5", by, role, decision, "", "github", **said)


def text_of(request: Request, voters: Electorate | None = None, **more: Any) -> str:  # noqa: ANN401  # fields of a view
    out = io.StringIO()
    write([request], out, View(voters or Electorate(ROSTER), NOW, **more))
    return " ".join(out.getvalue().split())


def test_who_gave_one_is_not_who_could_add_one() -> None:
    request = request_of(vote("user:alice"))

    one = tally(request, Electorate(ROSTER), NOW).standings[0]

    assert (one.given, one.could, one.missing) == (("user:alice",), ("user:bob", "user:dave"), 1)
    shown = text_of(request)
    assert (
        "1 given, for the change; a vote counts for 1h; already: user:alice; user:bob, user:dave could add one" in shown
    )
    assert "vote user:alice approved as sre by a review on GitHub, until 09:30Z (30min)" in shown
    assert shown.startswith("waits for approval vj74pvqer5 ")
    assert shown.endswith("missing 1 of role sre")


def test_one_person_fills_one_slot() -> None:
    counted = tally(request_of(vote("user:bob"), vote("user:bob", "lead"), sre=1, lead=1), Electorate(ROSTER), NOW)

    assert [one.given for one in counted.standings] == [(), ("user:bob",)]
    assert [one.why for one in counted.votes] == ["they count as lead, and one person fills one slot", ""]
    assert counted.said_by("user:bob") == ["approved it as lead already, and one person fills one slot"]


def test_what_is_ready_is_told_apart_from_what_waits() -> None:
    shown = text_of(request_of(vote("user:alice"), vote("user:dave")))

    assert shown.startswith("ready, not used yet vj74pvqer5 ")
    assert shown.endswith("missing nothing: orch evaluate again")


def test_a_rejection_holds_back() -> None:
    request = request_of(vote("user:alice"), vote("user:dave"), vote("user:bob", decision="reject"))

    assert text_of(request).endswith("held back by user:bob, who rejected it as sre")
    assert not tally(request, Electorate(ROSTER), NOW).is_ready


@pytest.mark.parametrize(
    ("cast", "why"),
    [
        (vote("user:alice", at="2026-11-21T08:00:00Z"), "lapsed"),
        (vote("user:alice", expires_at="2026-11-21T09:00:00Z"), "lapsed"),
        (vote("user:alice", revocation="github"), "revoked"),
        (vote("user:alice", digest="sha256:other"), "given for another change or action"),
        (vote("user:carol"), "the roster does not give them the role"),
        (vote("user:carol", "lead"), "nobody asks for this role"),
        (vote("agent:fixer"), "they had a hand in it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_vote_that_does_not_count_says_why(cast: Cast, why: str) -> None:
    counted = tally(request_of(cast), Electorate(ROSTER), NOW)

    assert [one.why for one in counted.votes] == [why]
    assert counted.standings[0].given == ()


def test_only_current_votes_are_shown_unless_all_are_wanted() -> None:
    first = vote("user:alice", at="2026-11-21T07:00:00Z")._replace(id="1")
    taken = vote("user:dave", revocation="github")._replace(id="2")
    request = request_of(first, taken, vote("user:alice"))

    assert "lapsed" not in text_of(request)
    assert "votes 2 more that count no longer (--all)" in text_of(request)
    assert "user:alice approved as sre by a review on GitHub, lapsed" in text_of(request, is_all=True)
    assert "user:dave approved as sre by a review on GitHub, revoked" in text_of(request, is_all=True)


def test_votes_of_another_policy_do_not_count(tmp_path: Path) -> None:
    signer = keys.new_key(tmp_path / "key", None)
    roster = {"user:alice": {"roles": ["sre"], "keys": [keys.jwk(signer.public)]}}
    cast = _signed(request_of(), signer)

    assert tally(request_of(cast), Electorate(roster, OLD), NOW).votes[0].why == ""
    told_anew = request_of(cast)._replace(policy_digest=NEW)
    assert tally(told_anew, Electorate(roster, NEW), NOW).votes[0].why == "given under policy aaaaaa"
    outdated = Electorate(roster, NEW, frozenset({OLD}))
    assert outdated.is_outdated(request_of(cast))
    assert tally(request_of(cast), outdated, NOW).votes[0].why == "given under policy aaaaaa"
    elsewhere = Electorate(roster, NEW)
    assert not elsewhere.is_outdated(request_of(cast))
    assert elsewhere.changed(request_of()) == "the packs have changed since this was asked (aaaaaa then, bbbbbb now)"
    assert "outdated the packs have changed since it was asked" in text_of(request_of(cast), outdated)


def _signed(request: Request, signer: keys.KeyFile) -> Cast:
    claims = Claims(
        "v1", "user:alice", "ledger", request.id, request.action_digest, request.change_digest, request.policy_digest,
        "sre", "approve", NOW // clock.SECOND_NS, NOW // clock.SECOND_NS + 60,
    )  # fmt: skip
    return vote("user:alice")._replace(id="v1", via="key", token=signed(claims, signer))


@pytest.mark.parametrize(
    ("asked", "room"),
    [
        ({"sre": 3}, (3, 3)),
        ({"sre": 4}, (3, 4)),
        ({"lead": 2, "sre": 2}, (4, 4)),
        ({"lead": 2, "sre": 3}, (4, 5)),
        ({"sre": 3, "lead": 1}, (4, 4)),
        ({"nobody": 1}, (0, 1)),
    ],
)
def test_fewer_people_than_slots_cannot_be_met(asked: dict[str, int], room: tuple[int, int]) -> None:
    counted = tally(request_of(**asked), Electorate(ROSTER), NOW)

    assert (counted.room, counted.is_hopeless) == (room, room[0] < room[1])


def test_a_request_that_nobody_can_meet_says_so() -> None:
    assert "hopeless cannot be met: of the roster 3 people for 4 slots" in text_of(request_of(sre=4))
    assert "hopeless" not in text_of(request_of(sre=4), Electorate())


def test_no_line_ends_in_blanks() -> None:
    out = io.StringIO()
    write([request_of(vote("user:alice"))], out, View(Electorate(ROSTER), NOW))

    assert [line for line in out.getvalue().splitlines() if line != line.rstrip()] == []


def test_programs_read_the_same() -> None:
    out = io.StringIO()
    write_json([request_of(vote("user:alice"), vote("user:carol"))], out, View(Electorate(ROSTER), NOW))
    row = json.loads(out.getvalue())[0]

    assert (row["ready"], row["state"]) == (False, "open")
    ask = row["asks"][0]
    assert (ask["given"], ask["missing"], ask["could_add"]) == (["user:alice"], 1, ["user:bob", "user:dave"])
    assert [one["counts"] for one in row["votes"]] == [True, False]
