"""More rules: what an answer costs OPA, and what it takes to get from YAML to a sidecar that answers."""

import sys
from pathlib import Path
from typing import Any

import memory
import raw
import ruleset
from child import told
from report import Section, Verdict, of_ratio
from timing import in_turns, quartiles, ratio
from work import Work

from orchestrator import Policy
from orchestrator.seat import seat_of

_COUNTS = (10, 100, 1_000, 10_000)
_PATHS = 20
_ABOUT = f"""\
OPA's own `timer_rego_query_eval_ns` for one request with {_PATHS} files. Each repository has
{ruleset.RULES_PER_REPOSITORY} rules of its own, as in an organisation; the sidecars of all sizes run at once."""
_ABOUT_START = f"""\
{_COUNTS[-1]:,} rules in packs of {ruleset.RULES_PER_PACK}, nothing cached: a new interpreter reads, checks,
compiles and bundles them, starts OPA and gets its first answer. The memory is the most that all of these processes
had resident at one moment."""
_HERE = Path(__file__).resolve().parent


def measure(work: Work) -> Section:
    """Compare OPA's own evaluation time over sizes of packs."""
    connections, contenders = [], {}
    for count in _COUNTS:
        policy = Policy.load(packs=[work.packs(count)])
        overhearing = raw.Overhearing(policy.engine)
        type(policy)(overhearing, policy.digest).decide(ruleset.request(_PATHS))
        connection = raw.connect(seat_of(policy.digest).file("sock"))
        connections.append(connection)
        ask = raw.asker(connection, raw.message(overhearing.batch, metrics=True))
        contenders[f"{count:,} rules"] = lambda ask=ask: evaluation_s(ask())
    timings = in_turns(contenders, work.rounds(1_000), warm_up=50)
    for connection in connections:
        connection.close()
    least, most = timings[f"{_COUNTS[0]:,} rules"], timings[f"{_COUNTS[-1]:,} rules"]
    return Section(
        "Rules: evaluation in the server",
        _ABOUT,
        timings=tuple(timings.items()),
        verdicts=(of_ratio("server-side median, 10,000 rules against 10", ratio(most, least), 1.5),),
    )


def evaluation_s(answer: Any) -> float:  # noqa: ANN401  # JSON
    """Return how long OPA evaluated, in seconds."""
    return float(answer["metrics"]["timer_rego_query_eval_ns"]) / 1e9


def measure_start(work: Work) -> Section:
    """Measure the way from 10,000 rules of YAML to a sidecar that answers, with an empty cache."""
    packs = work.packs(_COUNTS[-1])
    runs, rows = [], []
    for number in range(1 if work.is_quick else 5):
        cache = work.folder / f"cold-{number}"
        environment = {
            **work.environment,
            "XDG_CACHE_HOME": str(cache),
            "XDG_RUNTIME_DIR": str(cache / "run"),
            "HOME": str(cache),
        }
        (cache / "run").mkdir(parents=True, mode=0o700)
        with memory.watched(str(cache)) as peak:
            found = told([sys.executable, str(_HERE / "child.py"), "ready", str(packs)], environment)
        runs.append((found["seconds"], peak.bytes, found))
        shown = [_megabytes(one) for one in (peak.bytes, found["python_bytes"], found["opa_bytes"])]
        rows.append((str(number + 1), f"{found['seconds']:.2f} s", *shown))
    seconds = sorted(run[0] for run in runs)
    peaks = sorted(run[1] for run in runs if run[1])
    return Section(
        "Rules: from YAML to a sidecar that answers",
        _ABOUT_START,
        table=(("run", "seconds", "all at once", "Python's most", "OPA's most"), *rows),
        verdicts=(
            Verdict(
                "10,000 rules: YAML to ready sidecar", seconds[len(seconds) // 2], 10, "s", quartiles=quartiles(seconds)
            ),
            Verdict("10,000 rules: peak memory", peaks[len(peaks) // 2] / memory.MEGABYTE, 300, "MB")
            if peaks
            else Verdict("10,000 rules: peak memory", 0, 300, "MB", missing="this system does not tell"),
        ),
    )


def _megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / memory.MEGABYTE:.0f} MB"
