"""Metrics: what a scraper reads, held against what was recorded."""

import json
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from run_history import History

from orchestrator import metrics, spend
from orchestrator.clock import SECOND_NS, parse_time
from orchestrator.errors import BudgetError
from orchestrator.ledger.append import append_all
from orchestrator.ledger.event import Draft
from orchestrator.ledger.heads import sign
from orchestrator.ledger.store import Ledger
from orchestrator.ledger.verify_seen import result_file
from orchestrator.reservation import Limit
from orchestrator.spend import Call

M = 1_000_000
NOW_NS = parse_time("2026-11-21T12:00:00Z")
DIGEST = "sha256:" + "0" * 64


def samples(ledger: Ledger) -> dict[tuple[str, ...], float]:
    """Return {(name, label values sorted by label): value} as a scraper parses them."""
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(metrics.text(ledger, now_ns=NOW_NS)):
        for sample in family.samples:
            labels = [value for _, value in sorted(sample.labels.items())]
            found[sample.name, *labels] = sample.value
    return found


def decision(outcome: str) -> Draft:
    return Draft("orch.decision", "r1", "agent:a", {"decision": {"outcome": outcome}}, outcome=outcome, point="ci")


def approval(kind: str, time: str, **payload: Any) -> Draft:  # noqa: ANN401  # of each kind its own
    return Draft(f"orch.approval.{kind}", f"request:{payload['request_id']}", "user:a", payload, time=time)


def requested(name: str, time: str) -> Draft:
    keys = ("request_key", "evaluation_id", "run_id", "subject", "action", "repository", "resource", "branch")
    digests = dict.fromkeys(("action_digest", "change_digest", "policy_digest"), DIGEST)
    said = dict.fromkeys(keys, name) | digests | {"asks": [], "summary": {}, "claimed": False, "request_id": name}
    return approval("requested", time, **said)


def voted(name: str, at: str) -> Draft:
    said = dict.fromkeys(("role", "token", "via", "digest", "expires_at", "action_digest", "change_digest"), "x")
    return approval("voted", at, vote_id=f"v-{name}", request_id=name, by="user:a", decision="approve", at=at, **said)


def test_an_empty_ledger_has_metrics_too(ledger: Ledger) -> None:
    found = samples(ledger)

    assert found["orch_approval_requests_waiting",] == 0
    assert found["orch_ledger_events_without_leaf",] == 0
    assert found["orch_budget_reservations", "reserved"] == 0
    assert not [name for name, *_ in found if "verify" in name or "head_age" in name]


def test_decisions_are_counted_by_outcome(ledger: Ledger) -> None:
    append_all(ledger, [decision(outcome) for outcome in ("allow", "allow", "deny")])

    found = samples(ledger)

    of_outcome: dict[str, float] = {}
    for (name, *labels), value in found.items():
        if name == "orch_decisions_total":
            of_outcome[labels[0]] = of_outcome.get(labels[0], 0) + value
    assert of_outcome == {"allow": 2, "deny": 1}
    assert found["orch_events_total", "orch.decision"] == 3
    assert ("orch_decisions_would_deny_total",) in found


def test_budgets_that_stopped_or_warned_and_reservations(ledger: Ledger) -> None:
    limit = Limit("usd", "run", "r1", "", M)
    spend.reserve(ledger, Call("r1", "e1", "agent:a"), [limit], {"usd": M}, now_ns=NOW_NS)
    for attempt in (2, 3):
        try:
            spend.reserve(ledger, Call("r1", "e1", "agent:a", attempt), [limit], {"usd": M}, now_ns=NOW_NS)
        except BudgetError:
            continue

    found = samples(ledger)

    assert found["orch_budget_stops_total", "usd", "run"] == 1
    assert found["orch_budget_warnings_total", "usd", "run"] == 1
    assert found["orch_budget_reservations", "reserved"] == 1


def test_approvals_that_wait_and_how_long_others_waited(ledger: Ledger) -> None:
    drafts = [
        requested("one", "2026-11-21T11:00:00Z"),
        requested("two", "2026-11-21T10:00:00Z"),
        voted("two", "2026-11-21T10:10:00Z"),
        approval("consumed", "2026-11-21T11:30:00Z", request_id="two", evaluation_id="e"),
    ]
    append_all(ledger, drafts)

    found = samples(ledger)

    assert found["orch_approval_requests_waiting",] == 1
    assert found["orch_approval_oldest_waiting_seconds",] == 3_600
    assert (found["orch_approval_wait_seconds_sum",], found["orch_approval_wait_seconds_count",]) == (600, 1)
    assert (
        found["orch_approval_wait_seconds_bucket", "300.0"],
        found["orch_approval_wait_seconds_bucket", "900.0"],
    ) == (0, 1)


def test_how_far_signing_lags_behind(ledger: Ledger) -> None:
    append_all(ledger, [decision("allow")] * 3)
    before = samples(ledger)["orch_ledger_events_since_head",]
    sign(ledger)
    append_all(ledger, [decision("allow")])

    found = samples(ledger)

    assert before >= 3
    assert found["orch_ledger_events_since_head",] >= 1
    assert found["orch_ledger_events_since_head",] < before + 1
    assert found["orch_ledger_head_age_seconds",] >= 0


def test_what_the_last_verification_said(ledger: Ledger) -> None:
    file = result_file(ledger.id)
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"state": "cannot tell", "at": "2026-11-21T11:59:00Z"}), encoding="utf-8")

    found = samples(ledger)

    assert [found["orch_ledger_verify_result", one] for one in ("verified", "tampered", "cannot_tell")] == [0, 0, 1]
    assert found["orch_ledger_verify_timestamp_seconds",] == (NOW_NS // SECOND_NS) - 60


def test_a_note_that_cannot_be_read_is_none(ledger: Ledger) -> None:
    file = result_file(ledger.id)
    file.parent.mkdir(parents=True)
    for text in ("", "[]", "{}", '{"state": "verified", "at": 7}', '{"state": "verified", "at": "yesterday"}'):
        file.write_text(text, encoding="utf-8")

        assert not [name for name, *_ in samples(ledger) if "verify" in name]


def test_runs_phases_and_actions_are_counted_by_their_state(ledger: Ledger) -> None:
    History(ledger).until_it_waits()
    other = History(ledger, "other", at="2026-11-21T11:00")
    other.begin(kind="job")
    other.action("job/command", "run_command", "permanent")
    other.add("run.ended", {"state": "failed", "reason": ""})

    found = samples(ledger)

    assert (found["orch_runs", "plan", "waiting"], found["orch_runs", "job", "failed"]) == (1, 1)
    assert found["orch_run_oldest_waiting_seconds",] == 6.5 * 3600
    assert (found["orch_phases", "passed"], found["orch_phases", "waiting"], found["orch_phases", "failed"]) == (
        2,
        1,
        0,
    )
    assert found["orch_actions", "run_command", "command", "delivered"] == 2
    assert found["orch_actions", "run_command", "command", "permanent"] == 1
    assert found["orch_action_retries_total",] == 1
