"""Measures what it costs to act: steps per second with one to three workers, beside the bare engine, and waiting runs.

    python bench/act.py [--runs 40] [--steps 10] [--waiting 300] [--quick] [--no-postgres]

Each step writes one small file. `bare` is the same number of steps by DBOS alone, in one process, on a database of the
same kind: no policy, no ledger, no outbox. Prints a table; `bench/RESULTS.md` holds the last whole run.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from command_line import HEAD, Place, command, place_in

if TYPE_CHECKING:
    from postgres_server import Server

_ROLE = """apiVersion: orch/v1
kind: Roster
metadata: {name: people}
subjects: {"agent:bench": {roles: [bot]}, "user:ada": {roles: [operator]}}
"""
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


def asked(place: Place, *arguments: object) -> None:
    """Run the command, which must succeed."""
    if (done := place.orch(*arguments)).returncode:
        sys.exit(done.stderr)


def drained_s(place: Place, workers: int, runs: int, steps: int) -> float:
    """Queue runs, then return the seconds from the first step that began to the last run that ended."""
    file = place.folder / "plan.yaml"
    file.write_text(plan(steps))
    root = place.folder / "root"
    for one in range(runs):
        asked(place, "run", file, "--detach", "--run", f"w{workers}-{one}", "--root", root)
    began = time.time()
    processes = [
        subprocess.Popen(command("worker", "--once"), cwd=root, env=place.environ, stderr=subprocess.DEVNULL)
        for _ in range(workers)
    ]
    for process in processes:
        process.wait()
    files = [one.stat().st_mtime for one in (root / "out").glob(f"w{workers}-*.txt")]
    if len(files) != runs * steps:
        sys.exit(f"{len(files)} of {runs * steps} steps were done")
    return max(files) - max(began, min(files))


def bare_s(url: str, runs: int, steps: int) -> float:
    """Return how many seconds DBOS alone takes."""
    with tempfile.TemporaryDirectory(prefix="orch-bare-") as folder:
        place = url or f"sqlite:///{folder}/bare.db"
        arguments = [sys.executable, "-c", _BARE, place, str(runs), str(steps), folder]
        return float(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.split()[-1])


def waiting_kib(place: Place, runs: int) -> tuple[float, float]:
    """Return a worker's memory (PSS, KiB) before and after so many runs began to wait, while it polls them."""
    file = place.folder / "waits.yaml"
    file.write_text(plan(1, waits=True))
    root = place.folder / "root"
    worker = subprocess.Popen(command("worker", "--poll", "1"), cwd=root, env=place.environ, stderr=subprocess.DEVNULL)
    try:
        asked(place, "run", file, "--detach", "--run", "first", "--root", root)
        _until_waiting(place, 1)
        before = _pss_kib(worker.pid)
        for one in range(runs):
            asked(place, "run", file, "--detach", "--run", f"wait-{one}", "--root", root)
        _until_waiting(place, runs + 1)
        time.sleep(5)
        return before, _pss_kib(worker.pid)
    finally:
        worker.terminate()
        worker.wait()


def _until_waiting(place: Place, runs: int) -> None:
    while True:
        rows = json.loads(place.orch("runs", "-n", 0, "-o", "json").stdout)
        if sum(one["state"] == "waiting" for one in rows) >= runs:
            return
        time.sleep(1)


def _pss_kib(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def main() -> int:
    """Run it all and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--waiting", type=int, default=300)
    parser.add_argument("--quick", action="store_true", help="a tenth of it")
    parser.add_argument("--no-postgres", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.runs, options.waiting = options.runs // 10, options.waiting // 10
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    measure("SQLite", None, options)
    if not options.no_postgres:
        from postgres_server import server

        with server() as running:
            measure("PostgreSQL", running, options)
    return 0


def measure(what: str, running: "Server | None", options: argparse.Namespace) -> None:
    """Print the figures of one kind of database."""
    from orchestrator.ledger.open import open_ledger

    def url() -> str | None:
        if running is None:
            return None
        made = running.url(running.database())
        open_ledger(made, as_owner=True).close()
        return made

    count = options.runs * options.steps
    empty = running.url(running.database()).replace("postgresql:", "postgresql+psycopg:") if running else ""
    bare = bare_s(empty, options.runs, options.steps)
    print(f"{what}: bare engine {count / bare:,.0f} steps/s, {1000 * bare / count:.1f} ms a step", flush=True)
    for workers in (1, 2, 3):
        with bench_place(url()) as place:
            spent = drained_s(place, workers, options.runs, options.steps)
        share = f"{spent / bare:.1f} times the bare engine, {1000 * (spent - bare) / count:.1f} ms a step more"
        print(f"{what}: workers: {workers}, {count / spent:,.0f} steps/s; {share}", flush=True)
    with bench_place(url()) as place:
        before, after = (kib / 1024 for kib in waiting_kib(place, options.waiting))
    print(f"{what}: a worker has {before:.0f} MiB, with {options.waiting} waiting runs {after:.0f} MiB", flush=True)


if __name__ == "__main__":
    sys.exit(main())
