"""Metrics out of the ledger, for scrapers: counted by the database, on columns; opens no payload, changes nothing."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from orchestrator import clock
from orchestrator.errors import OrchError
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.ledger.verify_seen import result_file

WAIT_BUCKETS_S = (60, 300, 900, 3_600, 4 * 3_600, 86_400, 3 * 86_400, 7 * 86_400)
"""How long people take to approve: a minute to a week."""
_LABELS = ("outcome", "would", "point")
"""What is known of a decision without opening it."""
_COUNTED = f"SELECT type, {', '.join(_LABELS)}, count(*) FROM events GROUP BY type, {', '.join(_LABELS)}"  # noqa: S608  # constants
_ALERTS = (
    "SELECT kind, meter, scope, count(*) FROM budget_alerts GROUP BY kind, meter, scope ORDER BY kind, meter, scope"
)
_RESERVATIONS = "SELECT state, count(*) FROM reservations GROUP BY state ORDER BY state"
_WAITING = "SELECT count(*), min(opened_at) FROM requests WHERE state = 'open'"
_WAITED = """
SELECT r.opened_at, max(v.at) FROM requests r JOIN votes v ON v.request_id = r.id
WHERE r.state = 'consumed' AND v.decision = 'approve' GROUP BY r.id, r.opened_at"""
_RUNS = "SELECT kind, state, count(*) FROM runs GROUP BY kind, state ORDER BY kind, state"
_PHASES = "SELECT state, count(*) FROM phases GROUP BY state ORDER BY state"
_ACTIONS = "SELECT action, adapter, state, count(*) FROM actions GROUP BY action, adapter, state ORDER BY 1, 2, 3"
_RETRIED = "SELECT coalesce(sum(attempt - 1), 0) FROM actions WHERE attempt > 1"
_OLDEST_RUN = "SELECT min(started_at) FROM runs WHERE state = 'waiting'"
_PHASE_STATES = ("started", "waiting", "passed", "failed", "skipped", "compensated")
_LEAVES = "SELECT coalesce(max(idx) + 1, 0) FROM leaves"
_HEAD = "SELECT size, signed_at FROM heads ORDER BY size DESC LIMIT 1"
_STATES = ("verified", "tampered", "cannot tell")
_MAX_BYTES = 1024 * 1024


def text(ledger: Ledger, *, now_ns: int | None = None) -> str:
    """Return the ledger's metrics in the Prometheus text format.

    Raises:
        LedgerError: the ledger cannot be read.

    Source: 001, "Observability".
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(list(collect(ledger, clock.now_ns() if now_ns is None else now_ns))))
    return generate_latest(registry).decode()


def collect(ledger: Ledger, now_ns: int) -> Iterator[Metric]:
    """Yield every metric, all of one state of the ledger."""
    with ledger.store.reading() as connection:
        counted = [
            (str(kind), tuple(map(str, labels)), int(count)) for kind, *labels, count in connection.execute(_COUNTED)
        ]
        yield from _events(counted)
        yield from _decisions(counted)
        yield from _budgets(connection)
        yield from _approvals(connection, now_ns)
        yield from _executed(connection, now_ns)
        yield from _ledger(connection, sum(count for *_, count in counted), now_ns)
    yield from _verified(ledger.id)


class _Collected(Collector):
    """Metrics that were read already, as a registry wants them."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self._metrics


def _events(counted: list[tuple[str, tuple[str, ...], int]]) -> Iterator[Metric]:
    events = CounterMetricFamily("orch_events", "Events in the ledger.", labels=["type"])
    by_type: dict[str, int] = {}
    for kind, _, count in counted:
        by_type[kind] = by_type.get(kind, 0) + count
    for kind, count in sorted(by_type.items()):
        events.add_metric([kind], count)
    yield events


def _decisions(counted: list[tuple[str, tuple[str, ...], int]]) -> Iterator[Metric]:
    decisions = CounterMetricFamily("orch_decisions", "Decisions, by what came of them.", labels=_LABELS)
    would_deny = 0
    for kind, labels, count in sorted(counted):
        if kind == "orch.decision":
            decisions.add_metric(labels, count)
            said = dict(zip(_LABELS, labels, strict=True))
            would_deny += count if said["would"] == "deny" and said["outcome"] != "deny" else 0
    yield decisions
    yield CounterMetricFamily(
        "orch_decisions_would_deny", "Decisions that would be denied if every pack enforced, and were not.", would_deny
    )


def _budgets(connection: Connection) -> Iterator[Metric]:
    stops = CounterMetricFamily(
        "orch_budget_stops", "Budgets that met their limit, once for each counter and limit.", labels=["meter", "per"]
    )
    warnings = CounterMetricFamily(
        "orch_budget_warnings",
        "Budgets that came near their limit, once for each counter and limit.",
        labels=["meter", "per"],
    )
    for kind, meter, scope, count in connection.execute(_ALERTS):
        (stops if kind == "exceeded" else warnings).add_metric([meter, scope], count)
    yield stops
    yield warnings
    reservations = GaugeMetricFamily("orch_budget_reservations", "Reservations, by their state.", labels=["state"])
    states = dict.fromkeys(("reserved", "started", "settled", "released", "expired"), 0)
    states |= {str(state): int(count) for state, count in connection.execute(_RESERVATIONS)}
    for state, count in states.items():
        reservations.add_metric([state], count)
    yield reservations


def _approvals(connection: Connection, now_ns: int) -> Iterator[Metric]:
    count, oldest = connection.execute(_WAITING)[0]
    yield GaugeMetricFamily("orch_approval_requests_waiting", "Approval requests that are open now.", count)
    age = _age_s(oldest, now_ns) if oldest else 0.0
    yield GaugeMetricFamily("orch_approval_oldest_waiting_seconds", "Age of the oldest open approval request.", age)
    waits = [_seconds(opened, voted) for opened, voted in connection.execute(_WAITED)]
    buckets = [(str(float(most)), sum(wait <= most for wait in waits)) for most in WAIT_BUCKETS_S]
    yield HistogramMetricFamily(
        "orch_approval_wait_seconds",
        "From the request to the last vote for it, of requests that were used.",
        buckets=[*buckets, ("+Inf", len(waits))],
        sum_value=sum(waits),
    )


def _executed(connection: Connection, now_ns: int) -> Iterator[Metric]:
    """Yield what was carried out: runs, phases and actions by their states."""
    runs = GaugeMetricFamily("orch_runs", "Runs, by what they are and how they stand.", labels=["kind", "state"])
    for kind, state, count in connection.execute(_RUNS):
        runs.add_metric([kind, state], count)
    yield runs
    [(oldest,)] = connection.execute(_OLDEST_RUN)
    age = _age_s(oldest, now_ns) if oldest else 0.0
    yield GaugeMetricFamily("orch_run_oldest_waiting_seconds", "Age of the oldest run that waits.", age)
    phases = GaugeMetricFamily("orch_phases", "Phases of runs that have begun, by their state.", labels=["state"])
    counted = dict.fromkeys(_PHASE_STATES, 0) | dict(connection.execute(_PHASES))
    for state, count in counted.items():
        phases.add_metric([state], count)
    yield phases
    actions = GaugeMetricFamily(
        "orch_actions", "Actions, by what became of each.", labels=["action", "adapter", "state"]
    )
    for action, adapter, state, count in connection.execute(_ACTIONS):
        actions.add_metric([action, adapter, state], count)
    yield actions
    [(retried,)] = connection.execute(_RETRIED)
    yield CounterMetricFamily("orch_action_retries", "Attempts at actions after the first.", float(retried))


def _ledger(connection: Connection, events: int, now_ns: int) -> Iterator[Metric]:
    leaves = connection.execute(_LEAVES)[0][0]
    heads = connection.execute(_HEAD)
    size, signed_at = heads[0] if heads else (0, "")
    yield GaugeMetricFamily("orch_ledger_events_without_leaf", "Events that are not in the tree yet.", events - leaves)
    yield GaugeMetricFamily("orch_ledger_events_since_head", "Events that no signed head covers.", events - size)
    if signed_at:
        age = _age_s(signed_at, now_ns)
        yield GaugeMetricFamily("orch_ledger_head_age_seconds", "Age of the newest signed head.", age)


def _verified(ledger_id: str) -> Iterator[Metric]:
    """Yield what the last verification on this machine said; nothing where there was none, or none to be read."""
    try:
        file = result_file(ledger_id)
        with file.open("rb") as opened:
            said: Any = json.loads(opened.read(_MAX_BYTES))
            at_ns = clock.parse_time(said["at"]) if "at" in said else int(file.stat().st_mtime * clock.SECOND_NS)
            state = str(said["state"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError, OrchError):
        return
    results = GaugeMetricFamily(
        "orch_ledger_verify_result", "What the last orch ledger verify said: 1.", labels=["state"]
    )
    for known in _STATES:
        results.add_metric([known.replace(" ", "_")], float(known == state))
    yield results
    yield GaugeMetricFamily(
        "orch_ledger_verify_timestamp_seconds", "When that was, in seconds since 1970.", at_ns / clock.SECOND_NS
    )


def _age_s(time: str, now_ns: int) -> float:
    return max(0, now_ns - clock.parse_time(time)) / clock.SECOND_NS


def _seconds(start: str, end: str) -> float:
    return max(0, clock.parse_time(end) - clock.parse_time(start)) / clock.SECOND_NS
