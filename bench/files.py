"""More files in one request: seconds and memory, each count in processes of its own."""

import sys
from pathlib import Path

import memory
from child import told
from report import Section, Verdict, duration
from timing import Timing
from work import Work

_COUNTS = (1, 100, 5_000, 100_000)
_RULES = 1_000
_GOAL_S, _GOAL_MB = 5, 500
_ABOUT = f"""\
`Policy.decide`, {_RULES:,} rules, each count in a new interpreter with a new sidecar; the memory is each process's
high water after all its rounds. The goal counts both together, though they do not reach it at one moment."""
_HERE = Path(__file__).resolve().parent


def measure(work: Work) -> Section:
    """Measure `Policy.decide` on one request with ever more files."""
    packs = str(work.packs(_RULES))
    rows, largest = [], {}
    for count in _COUNTS:
        repeats = work.rounds(50 if count < _COUNTS[-1] else 5)
        command = [sys.executable, str(_HERE / "child.py"), "files", packs, str(count), str(repeats)]
        largest = told(command, work.environment)
        timing = Timing(tuple(largest["times"]))
        sizes = [largest["python_bytes"], largest["opa_bytes"]]
        shown = ["-" if size is None else f"{size / memory.MEGABYTE:.0f} MB" for size in sizes]
        first, third = map(duration, timing.quartiles)
        rows.append((f"{count:,}", duration(timing.p50), f"{first} - {third}", *shown, largest["outcome"]))
    times = Timing(tuple(largest["times"]))
    together = sum(size or 0 for size in (largest["python_bytes"], largest["opa_bytes"])) / memory.MEGABYTE
    what = f"one request with {_COUNTS[-1]:,} files"
    return Section(
        "Files in one request",
        _ABOUT,
        table=(("files", "median", "quartiles", "Python's most", "OPA's most", "outcome"), *rows),
        verdicts=(
            Verdict(what, times.p50, _GOAL_S, "s", quartiles=times.quartiles),
            Verdict(
                f"{what}, peak memory",
                together,
                _GOAL_MB,
                "MB",
                missing="" if together else "this system does not tell",
            ),
        ),
    )
