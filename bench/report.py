"""What was measured, as values, and as `RESULTS.md`."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from timing import Ratio, Timing

APART = ("Kill drill", "Kill drill of ticks", "Days of an escalation", "Acting")
"""Sections that programs of their own write; a new report keeps them."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One number that has a goal."""

    what: str
    measured: float
    goal: float
    unit: str = "times"
    """`times` (a ratio), `s`, `ms`, `/s` or `MB`."""
    is_at_least: bool = False
    """The goal is a lower bound."""
    quartiles: tuple[float, float] | None = None
    missing: str = ""
    """Why there is no number; then nothing holds."""

    @property
    def holds(self) -> bool:
        """Whether the goal is met."""
        if self.missing:
            return False
        return self.measured >= self.goal if self.is_at_least else self.measured <= self.goal


@dataclass(frozen=True, slots=True)
class Section:
    """One comparison."""

    title: str
    about: str
    """What was compared, and how."""
    timings: tuple[tuple[str, Timing], ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()
    table: tuple[tuple[str, ...], ...] = field(default=())
    """Further numbers; the first row is the head."""


def of_ratio(what: str, found: Ratio, goal: float, *, is_at_least: bool = False) -> Verdict:
    """Return the verdict on a ratio."""
    return Verdict(what, found.value, goal, is_at_least=is_at_least, quartiles=found.quartiles)


def markdown(sections: Sequence[Section], versions: Iterable[tuple[str, str]], date: str, *, is_quick: bool) -> str:
    """Return the whole of `RESULTS.md`."""
    lines = [
        "# Measured",
        "",
        f"Written by `make bench` on {date}; do not edit. `bench/README.md` says what is measured and how.",
    ]
    if is_quick:
        lines.append("\n**A quick run: few rounds, for trying things out. Its numbers prove nothing.**")
    lines += ["", *table([("what", "version"), *versions]), "", "## Goals", ""]
    verdicts = [verdict for section in sections for verdict in section.verdicts]
    lines += table([("what", "measured", "quartiles", "goal", "holds"), *map(_verdict_row, verdicts)])
    held = sum(verdict.holds for verdict in verdicts)
    lines += ["", f"{held} of {len(verdicts)} goals hold."]
    for section in sections:
        lines += ["", f"## {section.title}", "", section.about]
        if section.timings:
            rows = [(name, *_timing_cells(timing)) for name, timing in section.timings]
            lines += ["", *table([("contender", "median", "quartiles", "rounds"), *rows])]
        if section.table:
            lines += ["", *table(section.table)]
        lines += [f"\n{note}" for note in section.notes]
    return "\n".join(lines) + "\n"


def section_of(text: str, title: str) -> str:
    """Return a section of a report with its heading, "" where it has none of that title."""
    found = re.search(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return found[0].rstrip("\n") + "\n" if found else ""


def with_section(text: str, title: str, section: str) -> str:
    """Return a report with a section of that title as given, at its end where it was not there before."""
    old = section_of(text, title)
    return text.replace(old, section) if old else f"{text}\n{section}"


def _verdict_row(verdict: Verdict) -> tuple[str, ...]:
    sign = ">=" if verdict.is_at_least else "<="
    goal = f"{sign} {_number(verdict.goal, verdict.unit)}"
    if verdict.missing:
        return verdict.what, "-", "-", goal, f"not measured: {verdict.missing}"
    spread = " - ".join(_number(value, verdict.unit) for value in verdict.quartiles or ()) or "-"
    return verdict.what, _number(verdict.measured, verdict.unit), spread, goal, "yes" if verdict.holds else "**no**"


def _number(value: float, unit: str) -> str:
    match unit:
        case "times":
            return f"{value:.2f}"
        case "s":
            return f"{value:.2f} s"
        case "ms":
            return f"{value:.2f} ms"
        case "/s":
            return f"{value:,.0f}/s"
        case _:
            return f"{value:.0f} {unit}"


def _timing_cells(timing: Timing) -> tuple[str, str, str]:
    first, third = timing.quartiles
    return duration(timing.p50), f"{duration(first)} - {duration(third)}", str(len(timing.values))


def duration(seconds: float) -> str:
    """Return seconds in the unit that suits them."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table; the first row is its head."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return [lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]
