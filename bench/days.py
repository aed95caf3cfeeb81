"""Lives through ninety days of an escalation tick by tick, and tells what came of them and how long a tick takes.

    python bench/days.py [--days 90] [--seed 3] [--write]

One process ticks by the library, as often and as late as a 30-minute cron of a public CI service does, on a real
engine, a SQLite ledger and a mail server that refuses for hours now and then. The exit code is 1 if a notice was lost,
anything came early or twice, the simulation says otherwise, or the ledger does not verify.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import pytest
from many_days import Course, Days, Story, days, drawn
from report import table, with_section

from orchestrator.escalations.simulate import simulate
from orchestrator.ledger.verify import verify

TITLE = "Days of an escalation"
"""One of `report.APART`."""
_ABOUT = """Every tick is made; they are as far apart as those of a 30-minute cron of a public CI service. In most
cycles somebody renews, by a code, before the deadline; in some nobody does. The mail server refuses for hours at times.
"""
_RESULTS = Path(__file__).resolve().with_name("RESULTS.md")


def lived(made: Days, course: Course) -> tuple[Story, float]:
    """Return what came of the days, everything that is wrong with it included, and how long they took in seconds."""
    began = time.monotonic()
    story = made.lived(course)
    seconds = time.monotonic() - began
    simulated = [(one.cycle, one.stage, one.at_ns) for one in simulate(made.escalation, course.scenario).entries]
    story.wrong += ["the simulation says otherwise"] * (simulated != story.entered)
    with made.world.opened() as ledger:
        state = str(verify(ledger).state)
    story.wrong += [f"the ledger is {state}"] * (state != "verified")
    return story, seconds


def section(course: Course, story: Story, seconds: float, called: str) -> str:
    """Return the section of `RESULTS.md`."""
    lines = [f"## {TITLE}", "", f"{called} on {time.strftime('%Y-%m-%d', time.gmtime())}.", _ABOUT]
    lines += table([("what", "seen"), *_rows(course, story, seconds)])
    lines += [f"\nWRONG: {one}" for one in story.wrong]
    return "\n".join(lines) + "\n"


def _rows(course: Course, story: Story, seconds: float) -> Iterator[tuple[str, str]]:
    gaps = sorted((later - one) / 60e9 for one, later in zip(course.ticks, course.ticks[1:], strict=False))
    entered = Counter(stage for _, stage, _ in story.entered)
    took = sorted(story.ticks_s)
    yield "ticks; minutes between two of them", f"{len(took):,}; {_spread(gaps, 0)}"
    yield "renewals, cycles to the end", f"{len(course.scenario.renewals)}, {entered['full']}"
    yield "stages entered", ", ".join(f"{stage} {count}" for stage, count in entered.items())
    yield "notices to the operator, letters to custodians", f"{story.notices}, {story.letters}"
    yield "cycles that went on without a notice, after `max_wait`", str(story.patience)
    yield "lost, early, twice, or otherwise than simulated", str(len(story.wrong))
    yield "milliseconds for a tick", _spread([1000 * one for one in took], 1)
    quarter = len(took) // 4
    first, last = story.ticks_s[:quarter], story.ticks_s[-quarter:]
    yield (
        "the same, medians of the first and the last quarter",
        " and ".join(f"{1000 * statistics.median(one):.1f}" for one in (first, last)),
    )
    yield "seconds in all", f"{seconds:.0f}"


def _spread(values: list[float], digits: int) -> str:
    last = values[-1]
    middle, late = (values[len(values) * part // 100] for part in (50, 95))
    return f"median {middle:.{digits}f}, p95 {late:.{digits}f}, worst {last:.{digits}f}"


def main() -> int:
    """Live through them, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--write", action="store_true", help=f"put what is printed into bench/{_RESULTS.name}, too")
    given = parser.parse_args()
    course = drawn(given.days, given.seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patched,
        days(Path(folder), patched) as made,
    ):
        story, seconds = lived(made, course)
    text = section(course, story, seconds, f"`python bench/days.py --days {given.days} --seed {given.seed}`")
    print(text)
    if given.write:
        _RESULTS.write_text(with_section(_RESULTS.read_text(encoding="utf-8"), TITLE, text), encoding="utf-8")
    return int(bool(story.wrong))


if __name__ == "__main__":
    sys.exit(main())
