"""Simulated escalations for people and programs: a picture, a table of the stages, what the packs say to each."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from orchestrator.clock import format_time
from orchestrator.errors import Exit, UsageError
from orchestrator.escalations.advance import due_ns
from orchestrator.escalations.model import Deed, Escalation, Stage
from orchestrator.escalations.simulate import PLAN, Entry, Sent, deeds_of, route_of, targets_of
from orchestrator.escalations.ticked import Would
from orchestrator.escalations.timekeeping import span
from orchestrator.escalations.timeline import Timeline
from orchestrator.names import shown
from orchestrator.show.escape import json_text
from orchestrator.show.simulation_gates import ending, stops
from orchestrator.show.simulation_scale import clock_text, distance, subtitle
from orchestrator.show.simulation_svg import HELD, svg, title
from orchestrator.show.simulation_terminal import STYLES, drawing, plain
from orchestrator.words import counted

if TYPE_CHECKING:
    from rich.text import Text

_OUTCOMES = {
    "allow": "allowed",
    "deny": "DENIED",
    "pending": "would wait",
    "skipped": "skipped",
    "unknown": "not known yet",
}
_TONES = {"allow": "green", "deny": "bold red", "pending": "yellow", "": "bold red"}
_ARROW = "\N{RIGHTWARDS ARROW}"
_MOST_WIDTH = 160


class Page(NamedTuple):
    """Where it is written."""

    width: int = 100
    has_color: bool = False
    is_ascii: bool = False


def page(out: TextIO, *, width: int, has_color: bool) -> Page:
    """Return the page that `out` is."""
    encoding = (getattr(out, "encoding", None) or "utf-8").lower().replace("-", "").replace("_", "")
    return Page(min(width, _MOST_WIDTH), has_color, not encoding.startswith("utf"))


def write(timelines: Sequence[Timeline], out: TextIO, where: Page) -> None:
    """Write timelines for a person, one below the other."""
    from rich.console import Console

    console = Console(
        file=out,
        width=where.width,
        highlight=False,
        emoji=False,
        markup=False,
        force_terminal=where.has_color,
        no_color=not where.has_color,
        color_system="standard" if where.has_color else None,
        legacy_windows=False,
    )
    for number, one in enumerate(timelines):
        if number:
            out.write("\n")
        with console.capture() as captured:
            _write(console, one, where)
        out.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def write_json(timelines: Sequence[Timeline], out: TextIO) -> None:
    """Write timelines as a JSON array: each what was played, what was entered and sent, and what would be decided."""
    out.write(json_text([to_json(one) for one in timelines], indent=2) + "\n")


def write_svg(timelines: Sequence[Timeline], file: Path) -> None:
    """Write the picture of one escalation into a file.

    Raises:
        UsageError: there are several, or the file cannot be written.
    """
    if len(timelines) > 1:
        names = ", ".join(one.escalation.name for one in timelines)
        raise UsageError(f"a picture shows one escalation, and the packs have {names}", advice="name one of them")
    one = timelines[0]
    try:
        file.write_text(svg(one.escalation, one.found, one.would), encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot write {shown(str(file))}: {reason}", advice="--svg FILE") from error


def to_json(one: Timeline) -> dict[str, Any]:
    """Return a timeline as plain JSON; times are RFC 3339, or null."""
    found, escalation = one.found, one.escalation
    rhythm = found.scenario.rhythm
    return {
        "name": escalation.name,
        "version": escalation.version,
        "digest": escalation.digest,
        "from": format_time(found.scenario.start_ns),
        "to": format_time(found.scenario.end_ns),
        "every_s": None if rhythm.gaps else rhythm.every_s,
        "gaps": rhythm.gaps._asdict() if rhythm.gaps else None,
        "seed": rhythm.seed,
        "ticks": len(found.timetable.ticks),
        "missed": len(found.timetable.missed),
        "cycles": [
            {
                "cycle": each.cycle,
                "at": format_time(each.at_ns),
                "deadline": _time(each.deadline_ns),
                "is_armed": each.is_armed,
            }
            for each in found.turns
        ],
        "entries": [_entry(each) for each in found.entries],
        "sent": [_sent_json(each) for each in found.sent],
        "stages": [_stage_json(one, stage) for stage in escalation.stages],
        "stage": found.stage,
        "stopped": {name: stop.said for name, stop in stops(escalation, one.would).items()},
        "asked_as": one.subject,
        "why": found.why.value,
        "refused_renewals": found.refused,
        "notes": list(one.notes),
    }


def _entry(one: Entry) -> dict[str, Any]:
    said = one._asdict() | {"late_s": one.late_s, "held": one.held.value}
    said |= {"missing": list(one.missing), "passed": list(one.passed)}
    for name in ("at", "due", "deadline"):
        said[name] = format_time(said.pop(f"{name}_ns"))
    return said


def _sent_json(one: Sent) -> dict[str, Any]:
    said = one._asdict()
    return said | {"first": format_time(said.pop("first_ns")), "at": _time(said.pop("at_ns"))}


def _stage_json(one: Timeline, stage: Stage) -> dict[str, Any]:
    would = [
        {"name": each.name, "action": each.action, "outcome": each.outcome, "detail": each.detail}
        for each in one.would.get(stage.name, ())
    ]
    deeds = [
        {
            "id": deed.id,
            "action": deed.action,
            "route": route_of(deed, one.escalation.routes),
            "recipients": len([each for each in targets_of(deed) if each]),
        }
        for deed in deeds_of(stage)
    ]
    return {"name": stage.name, "at_s": stage.at_s, "audience": stage.audience.value, "deeds": deeds, "would": would}


def _time(ns: int | None) -> str | None:
    return None if ns is None else format_time(ns)


# -- for people


def _write(console: Any, one: Timeline, where: Page) -> None:  # noqa: ANN401  # rich is imported late
    from rich.text import Text

    found, escalation = one.found, one.escalation
    console.print(Text(plain(title(escalation), is_ascii=where.is_ascii), style="bold"))
    console.print(Text(plain(subtitle(found), is_ascii=where.is_ascii), style="dim"))
    console.print()
    for line in drawing(escalation, found, width=where.width, is_ascii=where.is_ascii):
        console.print(line, no_wrap=True, overflow="crop")
    if not _is_over(one):
        console.print(_table(one, where))
    for said in (*_ends(one), *one.notes):
        console.print(Text(plain(said, is_ascii=where.is_ascii)))


def _table(one: Timeline, where: Page) -> Any:  # noqa: ANN401  # rich is imported late
    from rich import box
    from rich.table import Table

    table = Table(box=box.ASCII2 if where.is_ascii else box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), expand=False)
    table.add_column("stage", no_wrap=True, max_width=24)
    table.add_column("entered", overflow="fold", ratio=3)
    table.add_column("does", overflow="fold", ratio=3)
    table.add_column("the packs say", overflow="fold", ratio=4)
    for stage in one.escalation.stages[1:]:
        entered, does, says = _entered(one, stage), _does(one, stage), _says(one.would.get(stage.name, ()))
        name = [(stage.name, "bold"), (stage.audience.value, STYLES[stage.audience.value])]
        table.add_row(*(_cell(lines, where) for lines in (name, list(entered), list(does), list(says))))
    return table


def _cell(lines: Sequence[tuple[str, str]], where: Page) -> "Text":
    from rich.text import Text

    cell = Text()
    for number, (said, style) in enumerate(lines):
        cell.append(("\n" if number else "") + plain(said, is_ascii=where.is_ascii), style=style)
    return cell


def _entered(one: Timeline, stage: Stage) -> Iterator[tuple[str, str]]:
    """Yield when a stage is entered, how late and why; of many times the worst."""
    entries = [each for each in one.found.entries if each.stage == stage.name]
    begins, place = one.found.scenario.standing, one.escalation.place_of(stage.name)
    if not entries and begins is not None and place <= begins.stage and len(one.found.turns) == 1:
        yield ("it stands here" if place == begins.stage else "passed already"), "dim"
        return
    if not entries:
        deadline = one.found.turns[-1].deadline_ns
        due = "" if deadline is None else f", due {clock_text(due_ns(one.escalation, place, deadline))}"
        yield f"not entered{due}", "dim"
        return
    worst = max(entries, key=lambda each: each.late_s)
    if len(entries) > 1:
        yield f"{len(entries):,} times", ""
        yield (f"at worst {span(worst.late_s)} late" if worst.late_s else "each time on time"), ""
    else:
        yield f"{distance(worst)}, {clock_text(worst.at_ns)}", ""
        why = HELD[worst.held]
        yield (
            (f"{span(worst.late_s)} late: {why}" if worst.late_s else "on time"),
            ("yellow" if worst.late_s else "green"),
        )
    for each in dict.fromkeys(name for entry in entries for name in entry.missing):
        yield f"without {each}, which had not arrived", "bold red"
    for each in dict.fromkeys(name for entry in entries for name in entry.passed):
        yield f"passed over {each}", "yellow"


def _does(one: Timeline, stage: Stage) -> Iterator[tuple[str, str]]:
    """Yield what a stage does, to how many, and what became of it."""
    for deed in deeds_of(stage):
        yield f"{deed.id}: {_whom(one.escalation, deed)}", ""
        sent = [each for each in one.found.sent if (each.stage, each.deed) == (stage.name, deed.id)]
        lost, most = sum(each.at_ns is None for each in sent), max((each.attempts for each in sent), default=0)
        if lost:
            yield f"  {lost:,} of {len(sent):,} never arrived", "bold red"
        late = [each for each in sent if each.at_ns is not None and each.at_ns > each.first_ns]
        if late and len(one.found.turns) == 1:
            last = max(each.at_ns or 0 for each in late)
            yield f"  arrived {clock_text(last)}, {counted(most, 'attempt')}", "yellow"
        elif most > 1:
            yield f"  up to {most:,} attempts", "yellow"
    if not deeds_of(stage):
        yield "nothing", "dim"


def _whom(escalation: Escalation, deed: Deed) -> str:
    if deed.action == PLAN:
        return "carries out its plan"
    count = len([each for each in targets_of(deed) if each])
    route = route_of(deed, escalation.routes)
    if not count:
        return deed.action + (f" {_ARROW} {route}" if route else "")
    return f"{deed.action} {_ARROW} {route or 'its recipients'} ({count})"


def _says(would: Sequence[Would]) -> Iterator[tuple[str, str]]:
    """Yield what the packs say; where all is allowed, that in one line."""
    if would and all(one.outcome == "allow" for one in would):
        yield "all allowed", "green"
        would = [one for one in would if one.exit_code is not Exit.OK]
    for one in would:
        word = _OUTCOMES.get(one.outcome, one.outcome) if one.outcome else "cannot be decided here"
        name = one.name.partition("/")[2] if one.action != "enter_stage" else "entering"
        detail = " ".join(one.detail.split())
        tone = _TONES.get(one.outcome, "") if one.exit_code is Exit.OK or one.outcome != "allow" else "bold red"
        yield f"{name}: {word}" + (f"{', but' if one.outcome == 'allow' else ':'} {detail}" if detail else ""), tone


def _ends(one: Timeline) -> Iterator[str]:
    """Yield where it stands in the end, and what did not arrive."""
    found = one.found
    if _is_over(one):
        yield f"It stands at {found.stage}, the last stage, and nothing is owed: there is nothing to come."
    else:
        yield ending(one.escalation, found, one.would)
    if one.subject:
        yield f"The packs were asked for {one.subject}; whoever ticks is named with --subject or ORCH_SUBJECT."
    if found.refused:
        yield f"{counted(found.refused, 'renewal')} refused: a fuse takes none."
    lost = len(found.undelivered)
    if lost:
        yield f"{counted(lost, 'recipient')} not reached when the cycle or the simulation ended."


def _is_over(one: Timeline) -> bool:
    """Return whether it begins at the last stage, with nothing that is still to be done."""
    begins = one.found.scenario.standing
    is_last = begins is not None and begins.stage == len(one.escalation.stages) - 1
    return is_last and not one.found.sent and len(one.found.turns) == 1
