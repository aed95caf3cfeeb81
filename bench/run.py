"""Measures what a decision costs, beside the tools one would use instead, and writes `RESULTS.md`.

python bench/run.py [--quick] [--only PART,PART] [--date YYYY-MM-DD] [--out FILE]

Parts: library, command, rules, start, files, ledger, cedar, cerbos.
"""

import argparse
import datetime as dt
import os
import platform
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import cedar
import cerbos
import command
import files
import ledger
import library
import peers
import report
import scale
from work import Work, prepared

from orchestrator import opa, sidecar

_RESULTS = Path(__file__).resolve().with_name("RESULTS.md")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the report and write it. The exit code is 0 even where a goal is missed: the report says so."""
    options = _options(arguments)
    conftest, cerbos_peer, cedarpy = peers.go_tool("conftest"), peers.go_tool("cerbos"), peers.cedarpy()
    parts: dict[str, Callable[[Work], report.Section]] = {
        "library": library.measure,
        "command-25": lambda work: command.measure(work, conftest, 25),
        "command-1000": lambda work: command.measure(work, conftest, 1_000),
        "rules": scale.measure,
        "start": scale.measure_start,
        "files": files.measure,
        "ledger-append": ledger.measure,
        "ledger-writers": ledger.measure_writers,
        "ledger-recording": ledger.measure_recording,
        "ledger-verify": ledger.measure_verify,
        "cedar": lambda work: cedar.measure(work, cedarpy),
        "cerbos": lambda work: cerbos.measure(work, cerbos_peer),
    }
    chosen = [
        name for name in parts if not options.only or any(name.startswith(one) for one in options.only.split(","))
    ]
    sections = []
    with prepared(is_quick=options.quick) as work:
        for name in chosen:
            print(f"measuring {name}", file=sys.stderr)
            sections.append(parts[name](work))
            sidecar.stop()
    versions = _versions([("conftest", conftest), ("Cerbos", cerbos_peer), ("cedarpy", cedarpy)])
    text = report.markdown(sections, versions, options.date, is_quick=options.quick)
    print(text)
    out = options.out or (None if options.quick or options.only else _RESULTS)
    if out:
        for title in report.APART if out == _RESULTS else ():
            if kept := report.section_of(_RESULTS.read_text(encoding="utf-8"), title):
                text = report.with_section(text, title, kept)
        Path(out).write_text(text, encoding="utf-8")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    today = dt.datetime.now(dt.UTC).date().isoformat()
    parser = argparse.ArgumentParser(description="Measure orch; the whole takes about twenty minutes.")
    parser.add_argument("--quick", action="store_true", help="few rounds; prints only, unless --out says where to")
    parser.add_argument(
        "--only", default="", help="parts by the beginning of their names, with commas; prints only, unless --out"
    )
    parser.add_argument("--date", default=today, help="what the report is dated (today, UTC)")
    parser.add_argument("--out", type=Path, help=f"write here instead of bench/{_RESULTS.name}")
    return parser.parse_args(arguments)


def _versions(others: list[tuple[str, peers.Peer]]) -> list[tuple[str, str]]:
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return [
        ("orch", version("orch-policy") if _is_installed() else "a checkout"),
        ("Python", platform.python_version()),
        ("OPA", opa.find().version()),
        *((name, peer.version + (f" (not measured: {peer.missing})" if peer.missing else "")) for name, peer in others),
        ("system", f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"),
        ("load at the end (1, 5, 15 minutes)", load),
    ]


def _is_installed() -> bool:
    from importlib.metadata import PackageNotFoundError

    try:
        version("orch-policy")
    except PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
