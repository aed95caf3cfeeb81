"""Measures what it costs to act: steps per second with one to three workers beside the bare engine, and waiting runs.

    python bench/act.py [--runs 24] [--steps 20] [--rounds 3] [--waiting 300] [--quick] [--no-postgres] [--write]

Each step writes one small file. `bare` is the same number of steps by DBOS alone, in one process, on a database of the
same kind: no policy, no ledger, no outbox. In each round every contender has its turn; a ratio is the median of the
rounds' ratios. `--write` puts the section into RESULTS.md. How long a take-over takes, `bench/kill.py` measures.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from command_line import HEAD, Place, command, place_in
from report import table, with_section

if TYPE_CHECKING:
    from postgres_server import Server

TITLE = "Acting"
"""One of `report.APART`."""
_RESULTS = Path(__file__).resolve().with_name("RESULTS.md")
_WORKERS = (1, 2, 3)
_ROLE = """apiVersion: orch/v1
kind: Roster
metadata: {name: people}
subjects: {"agent:bench": {roles: [bot]}, "user:ada": {roles: [operator]}}
"""
_QUEUE = """
import sys
from contextlib import ExitStack
from pathlib import Path
from orchestrator.ledger.open import open_ledger
from orchestrator.runs.engine import Options, launched
from orchestrator.runs.lease import open_lease
from orchestrator.runs.start import Asked, prepared, source_of
from orchestrator.runs.takeup import begin_first
from orchestrator.settings import Settings
file, root, prefix, runs = sys.argv[1:]
settings = Settings.load({})
with ExitStack() as stack:
    ledger = stack.enter_context(open_ledger(settings.ledger))
    lease = stack.enter_context(open_lease(ledger))
    engine = stack.enter_context(launched(settings, ledger, lease, Options(None, 1, Path(root))))
    for number in range(int(runs)):
        asked = Asked(file, {}, root=Path(root), run=f"{prefix}-{number}")
        name = prepared(source_of(asked, settings), asked, settings)(ledger)
        begin_first(engine, ledger, name)
"""
"""As `orch run --detach` for each, in one process."""
_BARE = """
import os, sys, time
from pathlib import Path
from dbos import DBOS
url, runs, steps, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
DBOS(config={"name": "bare", "system_database_url": url, "run_admin_server": False, "log_level": "ERROR"})
@DBOS.step()
def write(run, step):
    draft = folder / f"{run}-{step}.tmp"
    with draft.open("w") as file:
        file.write(f"{run} {step}")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(folder / f"{run}-{step}.txt")
@DBOS.workflow()
def carry_out(run):
    for step in range(steps):
        write(run, step)
if url.startswith("sqlite"):
    import sqlite3
    sqlite3.connect(url.removeprefix("sqlite:///")).execute("PRAGMA journal_mode=WAL")
DBOS.launch()
began = time.perf_counter()
for handle in [DBOS.start_workflow(carry_out, run) for run in range(runs)]:
    handle.get_result()
print(time.perf_counter() - began)
DBOS.destroy()
"""


def plan(steps: int, *, waits: bool = False) -> str:
    """Return a plan of one phase with so many steps; one that waits has a gate instead of criteria."""
    lines = ["apiVersion: orch/v1", "kind: Plan", "metadata: {name: bench}", "phases:", "  - id: only"]
    lines += ["    gate: manual"] if waits else []
    lines += ["    success: [{file_exists: here}]", "    steps:"]
    lines += [
        f'      - {{id: s{one}, action: write_file, with: {{path: "out/${{{{ run.id }}}}-{one}.txt", content: x}}}}'
        for one in range(steps)
    ]
    return "\n".join(lines) + "\n"


@contextmanager
def bench_place(url: str | None) -> Iterator[Place]:
    """Give a place with packs, plans and a root."""
    with tempfile.TemporaryDirectory(prefix="orch-bench-") as name:
        folder = Path(name)
        root = folder / "root"
        root.mkdir()
        (root / "here").touch()
        (folder / "packs").mkdir()
        (folder / "packs/acme.yaml").write_text(HEAD + 'rules:\n  - {id: anything, effect: allow, actions: "*"}\n')
        (folder / "packs/people.yaml").write_text(_ROLE)
        more = {"ORCH_PACKS": str(folder / "packs"), "ORCH_SUBJECT": "agent:bench"}
        with place_in(folder, **more, **({"ORCH_LEDGER": url} if url else {})) as place:
            yield place


def queued(place: Place, file: Path, prefix: str, runs: int) -> None:
    """Begin runs and leave them to the workers."""
    root = place.folder / "root"
    arguments = [sys.executable, "-c", _QUEUE, str(file), str(root), prefix, str(runs)]
    subprocess.run(arguments, check=True, cwd=root, env=place.environ)


def drained_s(place: Place, workers: int, runs: int, steps: int) -> float:
    """Queue runs, then return the seconds between the first step that was done and the last."""
    file, root = place.folder / "plan.yaml", place.folder / "root"
    file.write_text(plan(steps))
    queued(place, file, f"w{workers}", runs)
    processes = [
        subprocess.Popen(command("worker", "--once"), cwd=root, env=place.environ, stderr=subprocess.DEVNULL)
        for _ in range(workers)
    ]
    for process in processes:
        process.wait()
    files = [one.stat().st_mtime for one in (root / "out").glob(f"w{workers}-*.txt")]
    if len(files) != runs * steps:
        sys.exit(f"{len(files)} of {runs * steps} steps were done")
    return max(files) - min(files)


def bare_s(url: str, runs: int, steps: int) -> float:
    """Return how many seconds DBOS alone takes."""
    with tempfile.TemporaryDirectory(prefix="orch-bare-") as folder:
        place = url or f"sqlite:///{folder}/bare.db"
        arguments = [sys.executable, "-c", _BARE, place, str(runs), str(steps), folder]
        return float(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.split()[-1])


def waiting_mib(place: Place, runs: int) -> tuple[float, float]:
    """Return a worker's memory (PSS, MiB) before and after so many runs began to wait, while it polls them."""
    file = place.folder / "waits.yaml"
    file.write_text(plan(1, waits=True))
    root = place.folder / "root"
    worker = subprocess.Popen(command("worker", "--poll", "1"), cwd=root, env=place.environ, stderr=subprocess.DEVNULL)
    try:
        queued(place, file, "first", 1)
        _until_waiting(place, 1)
        before = _pss_mib(worker.pid)
        queued(place, file, "wait", runs)
        _until_waiting(place, runs + 1)
        time.sleep(5)
        return before, _pss_mib(worker.pid)
    finally:
        worker.terminate()
        worker.wait()


def _until_waiting(place: Place, runs: int) -> None:
    while True:
        rows = json.loads(place.orch("runs", "-n", 0, "-o", "json").stdout)
        if sum(one["state"] == "waiting" for one in rows) >= runs:
            return
        time.sleep(1)


def _pss_mib(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)
    return float(found[1]) / 1024 if found else 0.0


class Figures(NamedTuple):
    """What was seen of one kind of database."""

    what: str
    steps: int
    """In a round, of each contender."""
    bare_s: list[float]
    ours_s: dict[int, list[float]]
    """By how many workers."""
    mib: tuple[float, float]
    """Of a worker, before and after runs began to wait."""

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield the lines of the table."""
        bare = statistics.median(self.bare_s)
        yield f"{self.what}, bare engine", f"{self.steps / bare:,.0f}", "1.0", "-"
        for workers, spent in self.ours_s.items():
            ratios = sorted(ours / theirs for ours, theirs in zip(spent, self.bare_s, strict=True))
            more = [1000 * (ours - theirs) / self.steps for ours, theirs in zip(spent, self.bare_s, strict=True)]
            ratio = f"{statistics.median(ratios):.1f} ({ratios[0]:.1f} - {ratios[-1]:.1f})"
            name = f"{self.what}, {workers} worker{'s' if workers > 1 else ''}"
            rate = f"{self.steps / statistics.median(spent):,.0f}"
            yield name, rate, ratio, f"{statistics.median(more):.1f} ms"


def main() -> int:
    """Run it all and print the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=24)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--waiting", type=int, default=300)
    parser.add_argument("--quick", action="store_true", help="one round, a tenth of the waiting runs")
    parser.add_argument("--no-postgres", action="store_true")
    parser.add_argument("--write", action="store_true", help=f"put what is printed into bench/{_RESULTS.name}, too")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.waiting = 1, options.waiting // 10
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    found = [measured("SQLite", None, options)]
    if not options.no_postgres:
        from postgres_server import server

        with server() as running:
            found.append(measured("PostgreSQL", running, options))
    text = section(found, options)
    print(text)
    if options.write:
        _RESULTS.write_text(with_section(_RESULTS.read_text(encoding="utf-8"), TITLE, text), encoding="utf-8")
    return 0


def section(found: list[Figures], options: argparse.Namespace) -> str:
    """Return the section of `RESULTS.md`."""
    day = time.strftime("%Y-%m-%d", time.gmtime())
    one, five, fifteen = os.getloadavg()
    head = ("what", "steps/s", "times as long as the bare engine (least - most)", "more for each step")
    lines = [
        f"## {TITLE}",
        "",
        f"By `python bench/act.py` on {day}: {options.runs} runs of {options.steps} steps that each write one small",
        f"file, carried out by workers of 4 phases at a time; rounds: {options.rounds}, in each of which the bare",
        "engine (DBOS alone, the same files, no policy, no ledger, no outbox) takes its turn. Ratios are of one round.",
        f"Load at the end (1, 5, 15 minutes): {one:.1f}, {five:.1f}, {fifteen:.1f}; processors: {os.cpu_count()}.",
        "",
        *table([head, *(row for one in found for row in one.rows())]),
        "",
        *table(
            [
                ("memory of a worker (PSS)", "before", f"with {options.waiting} waiting runs"),
                *((one.what, f"{one.mib[0]:.0f} MiB", f"{one.mib[1]:.0f} MiB") for one in found),
            ]
        ),
    ]
    return "\n".join(lines) + "\n"


def measured(what: str, running: "Server | None", options: argparse.Namespace) -> Figures:
    """Return the figures of one kind of database."""
    from orchestrator.ledger.open import open_ledger

    def url() -> str | None:
        if running is None:
            return None
        made = running.url(running.database())
        open_ledger(made, as_owner=True).close()
        return made

    bare: list[float] = []
    ours: dict[int, list[float]] = {workers: [] for workers in _WORKERS}
    for number in range(options.rounds):
        empty = running.url(running.database()).replace("postgresql:", "postgresql+psycopg:") if running else ""
        bare.append(bare_s(empty, options.runs, options.steps))
        for workers in _WORKERS:
            with bench_place(url()) as place:
                ours[workers].append(drained_s(place, workers, options.runs, options.steps))
        seen = ", ".join(f"{spent[-1]:.1f} s with {workers}" for workers, spent in ours.items())
        print(f"{what}, round {number + 1}: bare {bare[-1]:.1f} s, {seen}", file=sys.stderr, flush=True)
    with bench_place(url()) as place:
        return Figures(what, options.runs * options.steps, bare, ours, waiting_mib(place, options.waiting))


if __name__ == "__main__":
    sys.exit(main())
