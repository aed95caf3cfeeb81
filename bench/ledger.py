"""The ledger: appends, writers side by side, what recording adds to a decision, and verifying a million events.

ledger.py write PLACE KIND START SECONDS     append until then; prints what it took
ledger.py fill PLACE EVENTS                  append so many, 64 at once
ledger.py verify PLACE KIND                  verify; prints what it took, and the most memory
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any

import memory
import ruleset
from report import Section, Verdict, duration
from timing import Timing, in_turns, process, ratio
from work import Work, orch

from orchestrator.ledger import append as appending
from orchestrator.ledger import heads
from orchestrator.ledger.append import append_all
from orchestrator.ledger.event import COLUMNS, Draft, columns, leaf_hash
from orchestrator.ledger.merkle import consistency, inclusion, subtrees
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import Ledger
from orchestrator.ledger.verify import Options, verify

if TYPE_CHECKING:
    from postgres_server import Server

GROUP, WRITERS, EVENTS, CHAIN = 64, 4, 1_000_000, 1_000
_GROUP_RULE, _BARE = "in groups of 64", "the same bytes by bare INSERTs"
_APPENDS = """\
One event is a decision as `orch evaluate` records it, its payload {size:,} bytes; import and opening are not counted,
every transaction waits for the disk (SQLite `synchronous=FULL`, PostgreSQL `fsync=on`). What is compared with bare
INSERTs writes the same header and payload into the same tables: without masking, canonical form, hashes, chain, leaf
and projections."""
_SIDE_BY_SIDE = """\
{writers} processes append for {seconds:.0f} seconds, one event in a transaction, without pauses. Own chains: each its
own run, as usual. One chain: all the same run. No chain: the same work without a chain's row to wait for."""
_VERIFIED = """\
{events:,} events in chains of {chain:,}, each with its payload, {bytes:.1f} GB, on SQLite, verified by a process of its
own; with payloads includes making every projection anew and comparing it."""


def decision() -> dict[str, Any]:
    """Return the payload of a decision about a pull request, about 2,500 bytes as canonical JSON."""
    asked = ruleset.request(8)
    digest = "sha256:" + "a5" * 32
    finding = {
        "rule": "acme-baseline/owners", "effect": "require", "level": "hard", "severity": "high", "mode": "enforce",
        "waived": False,
        "message": "a change below infra needs somebody of sre", "fix": "", "source": "packs/baseline.yaml:31",
        "asks": ["approval:sre"], "paths": ["infra/main.tf"], "path_count": 1,
    }  # fmt: skip
    pack = {"name": "acme-baseline", "version": "1.4.0", "layer": "org", "mode": "enforce", "digest": digest}
    answer = {
        "outcome": "allow", "would": "allow", "reason": "allowed by acme-baseline/agents", "evaluation_id": "",
        "point": "ci", "findings": [finding, finding], "obligations": [], "advice": [], "action_digest": digest,
        "input_digest": digest, "policy": {"digest": digest, "packs": [pack]},
    }  # fmt: skip
    facts: dict[str, Any] = {
        "point": "ci",
        "time": "2026-01-01T00:00:00Z",
        "override": None,
        "action_digest": digest,
        "request_errors": [],
    }
    return {"request": asked, "facts": facts, "decision": answer, "claims": [], "label": ""}


def draft(run_id: str, payload: dict[str, Any]) -> Draft:
    """Return the event of that decision."""
    digest = "sha256:" + "a5" * 32
    return Draft(
        "orch.decision", run_id, "agent:fixer", payload, subject="acme/web", repository="acme/web", action="open_pr",
        outcome="allow", point="ci", policy_digest=digest, action_digest=digest,
    )  # fmt: skip


def measure(work: Work) -> Section:
    """Measure appends on both backends, alone and in groups."""
    payload = decision()
    with _both(work) as places:
        ledgers = {name: open_ledger(place) for name, place in places.items()}
        contenders: dict[str, Callable[[], float | None]] = {}
        for name, ledger in ledgers.items():
            contenders[f"{name}, one event"] = _appending(ledger, [draft("run", payload)])
            contenders[f"{name}, {_GROUP_RULE}"] = _appending(ledger, [draft("run", payload)] * GROUP)
            contenders[f"{name}, {_BARE}"] = _bare(ledger, payload)
        timings = in_turns(contenders, work.rounds(1_000), warm_up=10)
        size = _payload_bytes(ledgers["SQLite"])
        for ledger in ledgers.values():
            ledger.close()
    single, grouped = timings["SQLite, one event"], timings[f"SQLite, {_GROUP_RULE}"]
    verdicts = [
        Verdict("SQLite: p95 of one append", _p95(single) * 1e3, 5, "ms"),
        Verdict("SQLite: appends/s, one by one", 1 / _mean(single), 1_000, "/s", is_at_least=True),
        Verdict("SQLite: appends/s, 64 at once", GROUP / _mean(grouped), 8_000, "/s", is_at_least=True),
    ]
    rows = [("contender", "events/s", "p95")]
    rows += [(name, f"{_events(name) / _mean(one):,.0f}", duration(_p95(one))) for name, one in timings.items()]
    notes = [
        f"{name}: an append takes {ratio(timings[f'{name}, one event'], timings[f'{name}, {_BARE}']).value:.2f} times"
        " as long as the same bytes by bare INSERTs."
        for name in places
    ]
    about = _APPENDS.format(size=size)
    return Section("Ledger: appends", about, tuple(timings.items()), tuple(verdicts), tuple(notes), tuple(rows))


def measure_writers(work: Work) -> Section:
    """Measure writers side by side: the worst wait, and what chains cost."""
    seconds = 2.0 if work.is_quick else 10.0
    rows: list[tuple[str, ...]] = [("where", "events/s, all together", "p95", "worst wait")]
    rates: dict[str, float] = {}
    with _both(work) as places:
        for name, place in places.items():
            for kind in ("own chains", "one chain", "no chain"):
                told = _side_by_side(work, place, kind.replace(" ", "-"), seconds)
                rates[f"{name} {kind}"] = rate = sum(one["count"] for one in told) / seconds
                worst, p95 = max(one["worst_s"] for one in told), max(one["p95_s"] for one in told)
                rows.append((f"{name}, {kind}", f"{rate:,.0f}", duration(p95), duration(worst)))
    notes = [
        f"{name}: own chains {rates[f'{name} own chains'] / rates[f'{name} no chain']:.2f} of no chain, one chain for"
        f" all {rates[f'{name} one chain'] / rates[f'{name} no chain']:.2f}."
        for name in places
    ]
    about = _SIDE_BY_SIDE.format(writers=WRITERS, seconds=seconds)
    return Section("Ledger: four writers", about, notes=tuple(notes), table=tuple(rows))


def measure_recording(work: Work) -> Section:
    """Measure what recording adds to `orch evaluate`, warm."""
    command = [*orch(), "evaluate", str(work.request_file(20)), "--packs", str(work.packs(25))]
    recorded, not_recorded = "`orch evaluate`", "`orch evaluate --no-record`"
    contenders = {
        recorded: process(command, work.environment, 0),
        not_recorded: process([*command, "--no-record"], work.environment, 0),
    }
    timings = in_turns(contenders, work.rounds(60))
    more = (timings[recorded].p50 - timings[not_recorded].p50) * 1e3
    about = "Whole processes, one request with 20 files, 25 rules, a warm sidecar, in turns."
    note = f"Recording adds {more:.1f} ms: imports, opening the ledger, what it knows of the request, and the append."
    return Section("Ledger: what recording adds", about, tuple(timings.items()), notes=(note,))


def measure_verify(work: Work) -> Section:
    """Measure verifying a million events, and the size of proofs."""
    events = EVENTS // 50 if work.is_quick else EVENTS
    place = work.folder / "million"
    begun = time.perf_counter()
    _child(work, "fill", str(place), str(events))
    filled = time.perf_counter() - begun
    rows = [("what", "seconds", "most memory", "state")]
    verdicts = []
    share = events / EVENTS
    for kind, what, goal in (("headers", "headers and tree", 30), ("whole", "with payloads", 60)):
        told = _child(work, "verify", str(place), kind)
        megabytes = (told["bytes"] or 0) / memory.MEGABYTE
        rows.append((what, f"{told['seconds']:.1f}", f"{megabytes:.0f} MB", told["state"]))
        verdicts.append(Verdict(f"verify {events:,} events, {what}", told["seconds"], goal * share, "s"))
    with open_ledger(str(place)) as ledger, ledger.store.reading() as connection:
        leaves = [leaf for (leaf,) in connection.stream("SELECT hash FROM leaves ORDER BY idx")]
    included = inclusion(events // 3, events, subtrees(leaves))
    grown = consistency(events // 2 + 1, events, subtrees(leaves))
    used = sum(file.stat().st_size for file in place.iterdir() if file.is_file()) / 1e9
    proofs = (
        f"Proof that an event is in the tree: {len(included)} hashes, {32 * len(included)} bytes. Proof that the tree"
        f" only grew from {events // 2 + 1:,} events: {len(grown)} hashes, {32 * len(grown)} bytes."
    )
    notes = [proofs, f"Filling it took {filled:.0f} s, {events / filled:,.0f} events/s in groups of {GROUP}."]
    about = _VERIFIED.format(events=events, chain=CHAIN, bytes=used)
    return Section(f"Ledger: verify {events:,} events", about, (), tuple(verdicts), tuple(notes), tuple(rows))


@contextmanager
def _both(work: Work) -> Iterator[dict[str, str]]:
    """Give the places of an empty ledger on each backend; on PostgreSQL only where its programs are."""
    sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
    import postgres_server

    folder = work.folder / f"ledger-{time.monotonic_ns()}"
    places = {"SQLite": str(folder)}
    if postgres_server.binaries() is None:
        yield places
        return
    with postgres_server.server(is_durable=True) as server:
        yield places | {"PostgreSQL": _prepared(server)}


def _prepared(server: "Server") -> str:
    url = server.url(server.database())
    open_ledger(url, as_owner=True).close()
    return url


def _appending(ledger: Ledger, drafts: Sequence[Draft]) -> Callable[[], None]:
    def run() -> None:
        append_all(ledger, drafts)

    return run


def _bare(ledger: Ledger, payload: dict[str, Any]) -> Callable[[], None]:
    """Return what writes an event's bytes as they are; what it leaves is no ledger that verifies."""
    [event] = append_all(ledger, [draft("bare", payload)])
    with ledger.store.reading() as connection:
        [row] = connection.execute("SELECT salt, body FROM payloads WHERE event_id = ?", (event.id,))
    kept = [value for name, value in zip(COLUMNS, columns(event.fields), strict=True) if name != "run_seq"]
    names = ", ".join(name for name in COLUMNS if name != "run_seq")
    marks = ", ".join("?" * len(kept))
    insert = f"INSERT INTO events (id, run_seq, {names}, header) VALUES (?, ?, {marks}, ?)"  # noqa: S608  # constants
    place = int.from_bytes(os.urandom(5)) + 10

    def run() -> None:
        nonlocal place
        place += 1
        name = f"{place:036d}"
        with ledger.store.writing() as connection:
            connection.run(
                [
                    (insert, [(name, place, *kept, event.header)]),
                    ("INSERT INTO payloads (event_id, salt, body) VALUES (?, ?, ?)", [(name, *row)]),
                ]
            )

    return run


def _unchained(ledger: Ledger, payload: dict[str, Any]) -> Callable[[], None]:
    """Return what appends as `append` does, but for the chain; what it leaves is no ledger that verifies."""
    number = int.from_bytes(os.urandom(5))

    def run() -> None:
        nonlocal number
        number += 1
        with ledger.store.writing() as connection:
            one = appending._ready(ledger, draft(f"none-{number}", payload), {})  # noqa: SLF001  # all but the chain
            event = appending._placed(one, {one[0]["runid"]: (1, "sha256:")})  # noqa: SLF001  # the same
            fields = event.fields
            work = [
                (appending._INSERT_EVENT, [(fields["id"], *columns(fields), event.header)]),  # noqa: SLF001  # the same
                (appending._INSERT_PAYLOAD, [(fields["id"], *one[2:])]),  # noqa: SLF001  # the same
            ]
            if ledger.gives_leaves:
                [(size,)] = connection.execute("SELECT coalesce(max(idx) + 1, 0) FROM leaves")
                work.append((appending._INSERT_LEAF, [(size, fields["id"], leaf_hash(event.header))]))  # noqa: SLF001
            connection.run([*work, *appending._projections([event])])  # noqa: SLF001  # the same

    return run


def _side_by_side(work: Work, place: str, kind: str, seconds: float) -> list[dict[str, Any]]:
    start = str(time.time() + 1.5)
    command = [sys.executable, __file__, "write", place, kind, start, str(seconds)]
    environment = dict(work.environment)
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) for _ in range(WRITERS)]
    told = [json.loads(writer.communicate(timeout=seconds * 10 + 60)[0]) for writer in writers]
    return [dict(one) for one in told]


def _child(work: Work, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=dict(work.environment), check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _events(name: str) -> int:
    return GROUP if name.endswith(_GROUP_RULE) else 1


def _mean(timing: Timing) -> float:
    return sum(timing.values) / len(timing.values)


def _p95(timing: Timing) -> float:
    return quantiles(timing.values, n=20, method="inclusive")[-1]


def _payload_bytes(ledger: Ledger) -> int:
    with ledger.store.reading() as connection:
        return int(connection.execute("SELECT max(length(body)) FROM payloads")[0][0])


def _write(place: str, kind: str, start: str, seconds: str) -> dict[str, Any]:
    payload = decision()
    with open_ledger(place) as ledger:
        chain = "shared" if kind == "one-chain" else f"own-{os.getpid()}"
        run = _unchained(ledger, payload) if kind == "no-chain" else _appending(ledger, [draft(chain, payload)])
        run()
        time.sleep(max(0.0, float(start) - time.time()))
        end, taken = time.perf_counter() + float(seconds), []
        while (begun := time.perf_counter()) < end:
            run()
            taken.append(time.perf_counter() - begun)
    return {"count": len(taken), "worst_s": max(taken), "p95_s": _p95(Timing(tuple(taken)))}


def _fill(place: str, events: str) -> dict[str, Any]:
    payload = decision()
    with open_ledger(place) as ledger:
        for start in range(0, int(events), GROUP):
            numbers = range(start, min(start + GROUP, int(events)))
            append_all(ledger, [draft(f"run-{number // CHAIN}", payload) for number in numbers])
        heads.sign(ledger)
    return {"events": int(events)}


def _verify(place: str, kind: str) -> dict[str, Any]:
    begun = time.perf_counter()
    report = verify(place, Options(headers_only=kind == "headers", remembers=False))
    took = time.perf_counter() - begun
    for finding in report.findings:
        print(finding, file=sys.stderr)
    return {"seconds": took, "state": str(report.state), "events": report.events, "bytes": memory.high_water()}


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        kind, *rest = sys.argv[1:]
        parts: dict[str, Callable[..., dict[str, Any]]] = {"write": _write, "fill": _fill, "verify": _verify}
        print(json.dumps(parts[kind](*rest)))
