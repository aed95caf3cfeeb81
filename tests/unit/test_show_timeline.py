"""The timeline that a person reads, and what programs get."""

import base64
import io
import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from ledger_history import CANARY, decision, record

from orchestrator import clock
from orchestrator.decision import digest_of
from orchestrator.ledger import read
from orchestrator.ledger.append import append_all
from orchestrator.ledger.erase import erase
from orchestrator.ledger.event import Draft, Event
from orchestrator.ledger.store import Ledger
from orchestrator.show import timeline_event, timeline_json
from orchestrator.show.timeline import Page, Timeline, ago, day_text, wrapped

NOW = clock.parse_time("2026-11-21T12:00:00Z")
HOSTILE = "x\x1b[31m\r\n::error::gone\u202e[bold]" + "y" * 200


def shown(events: list[Event], **page: object) -> list[str]:
    out = io.StringIO()
    Timeline(out, Page(now_ns=NOW, **page)).write(events)  # type: ignore[arg-type]  # as each test names them
    return out.getvalue().splitlines()


def drafts(said: dict[str, object], *kinds: str) -> Iterator[Draft]:
    for kind, (name, value) in product(kinds, said.items()):
        yield Draft(kind, "r", "user:a", {name: value})


def test_every_event_has_its_line_and_fits_the_terminal(sqlite_ledger: Ledger) -> None:
    events = record(sqlite_ledger)

    for width in (60, 80, 120):
        lines = shown(events, width=width)

        assert [one for one in lines if len(one) > width] == []
        assert len([one for one in lines if one.rstrip().endswith(tuple(event.id[:8] for event in events))]) == len(
            events
        )


def test_a_decision_says_who_asked_what_why_and_what_is_owed(sqlite_ledger: Ledger) -> None:
    draft = Draft("orch.decision", "run-1", "agent:fixer", decision("pending"), time="2026-11-21T05:12:33Z", subject="acme/web", action="open_pr", outcome="pending")  # fmt: skip
    event = append_all(sqlite_ledger, [draft])[0]

    actual = shown([event])

    assert actual == [
        "Saturday 2026-11-21, today (UTC)",
        "  run run-1",
        "  05:12:33 WAITING  agent:fixer · open_pr acme/web onto main · 1 file   " + event.id[:8],
        f"             acme/no-push: push to main is not allowed ({CANARY})",
        "             approval:sre 1 of 2",
    ]


BUDGET = {"id": "budget:usd:run", "type": "budget", "status": "met", "properties": {"limit": "5", "spent": "1"}}
APPROVAL = {"id": "approval:sre", "type": "approval", "status": "met", "properties": {"count": 1, "votes": 1}}
SCAN = {"id": "evidence:scan", "type": "evidence", "status": "unmet", "properties": {"failed": ["sha256:1"]}}
FINDINGS: list[dict[str, Any]] = [
    {"rule": "acme/open", "effect": "allow", "asks": ["budget:usd:run"]},
    {"rule": "acme/sre", "effect": "require", "asks": ["approval:sre"]},
    {"rule": "acme/advice", "effect": "deny", "level": "advisory"},
    {"rule": "soft/no", "effect": "deny", "mode": "warn"},
    {"rule": "acme/scan", "effect": "require", "asks": ["evidence:scan"]},
    {"rule": "acme/no", "effect": "deny"},
]


def told(kind: str, payload: dict[str, Any], **more: str) -> Event:
    """Return an event as it would be read back."""
    fields = {"actor": "user:a", "runid": "r", "time": "2026-11-21T05:00:00Z", **more}
    return Event(b"", _fields(kind) | fields, payload)


def details(outcome: str, findings: list[dict[str, Any]], *owed: dict[str, Any]) -> list[str]:
    event = told("orch.decision", decision(outcome, findings=findings, obligations=list(owed)), outcome=outcome)
    return [line.strip() for line in shown([event], width=100)[3:]]


def test_what_is_allowed_shows_nothing_that_is_met() -> None:
    assert details("allow", FINDINGS[1::-1], BUDGET, APPROVAL) == ["allowed by acme/open"]


def test_what_blocked_stands_first() -> None:
    assert details("deny", FINDINGS, BUDGET, APPROVAL, SCAN) == [
        "acme/no", "acme/scan", "soft/no, only warns", "and 1 more", "evidence:scan failed",
    ]  # fmt: skip


def test_amounts_of_nothing_are_left_out_where_there_are_others() -> None:
    counters = [{"meter": "pr_attempts", "scope": "run", "estimate": 0}, {"meter": "usd", "scope": "run", "estimate": 2_000_000}]  # fmt: skip
    charged = {"charged": {"pr_attempts": 0, "usd": 1_000_000}, "reservation_id": "r1"}
    alert = {"meter": "usd", "scope": "run", "limit": 5_000_000, "spent": 1_500_000, "reserved": 600_000, "asked": 2_000_000}  # fmt: skip
    said: list[tuple[str, dict[str, Any]]] = [("reserved", {"counters": counters}), ("reserved", {"counters": counters[:1]}), ("settled", charged), ("warned", alert), ("exceeded", alert)]  # fmt: skip
    events = [told(f"orch.budget.{kind}", payload, actor="a") for kind, payload in said]

    actual = [line[11:].rpartition("  ")[0].strip() for line in shown(events, width=120)[2:]]

    assert actual == [
        "RESERVED a · 2 usd per run",
        "RESERVED a · 0 pr_attempts per run",
        "SPENT    a · 1 usd · reservation r1",
        "NEARLY   a · usd per run: 1.5 spent + 2.6 held of 5",
        "STOPPED  a · usd per run: 1.5 spent + 0.6 held of 5 · 2 asked",
    ]


def test_a_revocation_names_its_vote_and_a_request_says_why_it_is_asked_again() -> None:
    vote = {"vote_id": "v1", "request_id": "q", "role": "sre", "decision": "reject", "by": "user:bob"}
    asked = {"request_id": "q", "policy_digest": "sha256:1"}
    said = [("requested", asked), ("voted", vote), ("revoked", vote), ("requested", asked), ("requested", asked | {"policy_digest": "sha256:2"})]  # fmt: skip
    text = " ".join(
        "\n".join(shown([told(f"orch.approval.{kind}", payload) for kind, payload in said], width=120)).split()
    )

    assert "REVOKED user:bob · the vote for request q · the rejection as sre of 05:00:00" in text
    assert text.count("asked anew") == text.count("the policy has changed") == 1


def test_evidence_stands_under_a_heading_of_its_own() -> None:
    payload = {"type": "tests", "result": "pass", "run_id": "job-7"}
    chains = ("evidence:", "evidence:acme/web")

    lines = shown([told("orch.evidence.added", payload, runid=chain) for chain in chains])

    assert [lines[1], lines[3]] == ["  evidence", "  evidence of acme/web"]
    assert "tests: pass · run job-7" in lines[2]


def test_runs_and_days_are_headings_once(sqlite_ledger: Ledger) -> None:
    said = [("a", "20"), ("a", "20"), ("b", "20"), ("b", "21"), ("adhoc:1", "21"), ("adhoc:2", "21")]
    events = append_all(
        sqlite_ledger, [Draft("orch.test", run, "user:a", time=f"2026-11-{day}T05:00:00Z") for run, day in said]
    )

    headings = [one for one in shown(events) if "05:00:00" not in one]

    assert headings == [
        "Friday 2026-11-20, yesterday (UTC)",
        "  run a",
        "  run b",
        "",
        "Saturday 2026-11-21, today (UTC)",
        "  run b",
        "  outside of a run",
    ]


def test_what_is_erased_is_said_to_be(sqlite_ledger: Ledger) -> None:
    event = record(sqlite_ledger)[2]
    erase(sqlite_ledger, event.id, "asked for", "user:ann")

    with sqlite_ledger.store.reading() as connection:
        again = read.find(connection, event.id)
        around = read.around(connection, again)
    out = io.StringIO()
    timeline_event.write(again, around, out, Page(now_ns=NOW))

    assert "(erased)" in shown([again])[2]
    assert "by user:ann: asked for" in " ".join(out.getvalue().split())
    assert CANARY not in out.getvalue()


def test_nothing_hostile_steers_the_terminal_or_begins_a_line(sqlite_ledger: Ledger) -> None:
    kinds = (
        "orch.decision", "orch.approval.requested", "orch.approval.voted", "orch.artifact.stored", "orch.evidence.added",
        "orch.budget.reserved", "orch.budget.settled", "orch.run.started", "orch.unknown",
    )  # fmt: skip
    texts = dict.fromkeys(
        [
            "decision",
            "request",
            "asks",
            "request_id",
            "by",
            "role",
            "name",
            "type",
            "result",
            "summary",
            "counters",
            "charged",
            "kind",
            "trigger",
            "note",
        ],
        HOSTILE,
    )
    events = [
        Event(b"", {**_fields(kind), "actor": HOSTILE, "runid": HOSTILE, "subject": HOSTILE, "time": HOSTILE}, payload)
        for kind, payload in product(kinds, (texts, {name: [HOSTILE] for name in texts}, {name: {HOSTILE: HOSTILE} for name in texts}, {}, None))
    ]  # fmt: skip

    out = io.StringIO()
    lines = shown(events)
    for event in events:
        timeline_event.write(event, read.Around(None, None, None, (), None), out, Page(now_ns=NOW))

    said = "\n".join([*lines, out.getvalue()])
    assert not {"\x1b", "\r", "\u202e"} & set(said)
    assert not [one for one in said.splitlines() if one.lstrip().startswith("::")]


def _fields(kind: str) -> dict[str, object]:
    return {"id": "i" * 36, "type": kind, "runseq": 1, "datahash": "sha256:0"}


def test_colours_are_for_terminals_alone(sqlite_ledger: Ledger) -> None:
    events = record(sqlite_ledger)

    assert "\x1b[1;31mDENIED" in "\n".join(shown(events, color=True))
    assert "\x1b" not in "\n".join(shown(events))


def test_an_event_is_shown_whole(sqlite_ledger: Ledger) -> None:
    events = record(sqlite_ledger)
    with sqlite_ledger.store.reading() as connection:
        event = read.find(connection, events[4].id)
        around = read.around(connection, event)
    out = io.StringIO()

    timeline_event.write(event, around, out, Page(now_ns=NOW))

    lines = out.getvalue().splitlines()
    assert lines[0] == f"event {event.id}"
    assert f"  {'leaf':<15} 4" in lines
    assert f"  {'runseq':<15} 5" in lines
    assert f'      properties: {{"title":"{CANARY}"}}' in lines
    assert [one.split()[0] for one in lines[lines.index("around it") + 1 :] if one[2] != " "] == [
        "before",
        "after",
        "cause",
        "led",
    ]
    assert max(map(len, lines)) <= 80


def whole(ledger: Ledger, event: Event) -> list[str]:
    with ledger.store.reading() as connection:
        around = read.around(connection, read.find(connection, event.id))
    out = io.StringIO()
    timeline_event.write(event, around, out, Page(now_ns=NOW))
    return out.getvalue().splitlines()


def test_an_event_alone_has_nothing_around_it_and_a_vote_is_told_in_words(sqlite_ledger: Ledger) -> None:
    head, said, none = (
        base64.urlsafe_b64encode(text).decode().rstrip("=")
        for text in (
            b'{"alg":"EdDSA","typ":"orch-vote+jwt"}',
            b'{"iss":"user:alice","dec":"approve","role":"sre"}',
            b'{"n',
        )
    )
    votes = [f"{head}.{one}.{'A' * 86}" for one in (said, none)]
    event = append_all(sqlite_ledger, [Draft("orch.test", "adhoc:9", "user:a", {"votes": votes})])[0]

    lines = whole(sqlite_ledger, event)

    assert "around it" not in lines
    assert "    - user:alice approve sre (token: -o json)" in lines
    assert "A" * 60 in "\n".join(lines)


def test_a_decision_names_the_request_that_it_waits_for(sqlite_ledger: Ledger) -> None:
    record(sqlite_ledger)
    payload = decision("pending") | {"facts": {"request_id": "k3fq7x2m9a"}}
    later, unknown = append_all(
        sqlite_ledger,
        [
            Draft("orch.decision", "adhoc:8", "agent:fixer", payload),
            Draft("orch.decision", "adhoc:9", "agent:fixer", payload | {"facts": {"request_id": "none"}}),
        ],
    )

    expected = f"  {'request':<15} k3fq7x2m9a (orch ledger show --run request:k3fq7x2m9a)"
    assert whole(sqlite_ledger, later)[-2:] == ["around it", expected]
    assert "around it" not in whole(sqlite_ledger, unknown)


@pytest.mark.parametrize("output", timeline_json.FORMATS)
def test_programs_get_every_event(sqlite_ledger: Ledger, output: str) -> None:
    events = record(sqlite_ledger)
    out = io.StringIO()

    count = timeline_json.write(events, out, output)

    text = out.getvalue()
    said = json.loads(text) if output == "json" else [json.loads(line) for line in text.splitlines()]
    assert count == len(events) == len(said)
    for event, one in zip(events, said, strict=True):
        if output == "cloudevents":
            assert one == {**event.fields, "data": event.payload}
            assert {"specversion", "id", "source", "type"} <= set(one)
            assert all(name.isalnum() and name.islower() for name in one)
        else:
            digest = one.pop("decision_digest", "")
            assert bool(digest) == (event.fields["type"] == "orch.decision")
            assert one == {"index": event.leaf, "header": event.fields, "payload": event.payload}


def test_a_decision_is_shown_with_its_own_digest(sqlite_ledger: Ledger) -> None:
    event = next(one for one in record(sqlite_ledger) if one.fields["type"] == "orch.decision")

    digest = timeline_json.whole(event)["decision_digest"]

    assert digest == digest_of((event.payload or {})["decision"])
    assert f"  decision digest {digest[:40]}" in "\n".join(whole(sqlite_ledger, event))


def test_of_a_damaged_or_erased_decision_there_is_no_digest(sqlite_ledger: Ledger) -> None:
    event = next(one for one in record(sqlite_ledger) if one.fields["type"] == "orch.decision")

    for payload in (None, {}, {"decision": "allow"}, {"decision": {"outcome": 2**60}}):
        assert "decision_digest" not in timeline_json.whole(event._replace(payload=payload))


def test_no_events_are_an_empty_array() -> None:
    out = io.StringIO()

    assert timeline_json.write([], out, "json") == 0
    assert json.loads(out.getvalue()) == []


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-11-21T11:59:59Z", "1 s ago"),
        ("2026-11-21T11:55:00Z", "5 min ago"),
        ("2026-11-21T09:00:00Z", "3 h ago"),
        ("2026-11-01T12:00:00Z", "20 d ago"),
        ("2026-11-21T15:00:00Z", "in 3 h"),
        ("nonsense", ""),
    ],
)
def test_times_are_told_as_how_long_ago(time: str, expected: str) -> None:
    assert ago(time, NOW) == expected


def test_a_day_that_is_none_is_shown_as_it_is() -> None:
    assert day_text("2026-13-41", NOW) == "2026-13-41"


def test_long_words_are_cut_and_no_line_is_too_long() -> None:
    lines = wrapped("a " + "b" * 100 + " c", 40, 10, 20)

    assert max(len(lines[0]) + 10, *(len(one) + 20 for one in lines[1:])) <= 40
    assert "".join(lines).replace(" ", "") == "a" + "b" * 100 + "c"
