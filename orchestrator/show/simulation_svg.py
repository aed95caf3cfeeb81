"""A simulated escalation as an SVG picture: a row for each stage, time from left to right. What it says is escaped."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from orchestrator.clock import SECOND_NS
from orchestrator.escalations.model import Escalation, Stage
from orchestrator.escalations.simulate import PLAN, Held, Sent, Simulation
from orchestrator.escalations.ticked import Would
from orchestrator.escalations.timekeeping import span
from orchestrator.show.escape import xml
from orchestrator.show.simulation_gates import ending, marks, stops
from orchestrator.show.simulation_scale import (
    Band,
    Scale,
    bands,
    clock_text,
    distance,
    relative,
    shown_time,
    subtitle,
)
from orchestrator.show.simulation_style import PATTERN, STYLE, cut
from orchestrator.words import counted

_WIDTH, _LEFT, _RIGHT, _EDGE = 1160, 190, 264, 24
_HEAD, _AXIS, _ROW, _BAND, _LANE, _FOOT = 74, 30, 46, 18, 34, 68
_MOST_MARKS, _MOST_LINES, _ROOM = 9, 40, 44
_DOT, _SMALL, _CLOSE = 5, 3.2, 11
_NAME_WIDTH, _TOLD_WIDTH, _SMALL_SIZE = 152, 290, 0.7
_MESSAGE = "send_message"
HELD = {
    Held.NOTHING: "",
    Held.TICK: "no tick came sooner",
    Held.WALK: "one outward stage a tick",
    Held.DWELL: "dwell of the one before",
    Held.NOTICE: "a notice had not arrived",
}
"""Why a stage was entered late, for people."""


class _Sheet(NamedTuple):
    """What is drawn, and where."""

    escalation: Escalation
    found: Simulation
    scale: Scale
    is_single: bool
    """Whether there is one cycle, whose deadline all is told by."""
    would: Mapping[str, Sequence[Would]] = {}
    """What the packs say to each stage."""

    @property
    def top(self) -> int:
        """Where the first row begins."""
        return _HEAD + _AXIS

    @property
    def bottom(self) -> int:
        """Where the last row ends."""
        return self.top + _ROW * len(self.escalation.stages)

    @property
    def height(self) -> int:
        """How high the picture is."""
        return self.bottom + _LANE + _AXIS + _FOOT

    def middle(self, stage: str) -> int:
        """Return the middle of a stage's row."""
        return self.top + _ROW * self.escalation.place_of(stage) + _ROW // 2


def svg(escalation: Escalation, found: Simulation, would: Mapping[str, Sequence[Would]] | None = None) -> str:
    """Return the picture: it has a title and a description, and is readable on light and on dark ground.

    `would` is what the packs say: what they keep it from is hatched.
    """
    since, until = shown_time(found)
    scale = Scale(since, until, _LEFT, _WIDTH - _LEFT - _RIGHT)
    sheet = _Sheet(escalation, found, scale, is_single=len(found.turns) == 1, would=would or {})
    size = f'viewBox="0 0 {_WIDTH} {sheet.height}" width="{_WIDTH}" height="{sheet.height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title about">',
        f'<title id="title">{xml(title(escalation))}</title>',
        f'<desc id="about">{xml(described(escalation, found, sheet.would))}</desc>',
        f"<style>{STYLE}</style>",
        PATTERN,
        f'<rect class="paper" width="{_WIDTH}" height="{sheet.height}"/>',
        *_header(sheet),
        *_rows(sheet),
        *_outages(sheet),
        *_axis(sheet),
        *_bands(sheet),
        *_people(sheet),
        *_ticks(sheet),
        *_entries(sheet),
        *_sent(sheet),
        *_legend(sheet),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def title(escalation: Escalation) -> str:
    """Return what the picture is called."""
    return f"{escalation.name} {escalation.version}: what its ticks would do"


def described(escalation: Escalation, found: Simulation, would: Mapping[str, Sequence[Would]] | None = None) -> str:
    """Return the whole of it in words."""
    ticks = counted(len(found.timetable.ticks), "tick")
    said = [f"Simulated from {clock_text(found.scenario.start_ns)} to {clock_text(found.scenario.end_ns)} UTC"]
    said[0] += f" with {ticks}, {len(found.timetable.missed):,} missed."
    for one in found.entries[: len(escalation.stages)]:
        late = f", {span(one.late_s)} late" if one.late_s else ""
        said.append(f"{one.stage} is entered {distance(one)} from the deadline{late}.")
    said.append(ending(escalation, found, would or {}))
    return " ".join(said)


def _header(sheet: _Sheet) -> Iterator[str]:
    yield _text(_EDGE, 34, title(sheet.escalation), "title")
    yield _text(_EDGE, 56, subtitle(sheet.found), "soft")


def _rows(sheet: _Sheet) -> Iterator[str]:
    for place, stage in enumerate(sheet.escalation.stages):
        y = sheet.top + _ROW * place
        if place % 2 == 0:
            yield f'<rect class="stripe" x="0" y="{y}" width="{_WIDTH}" height="{_ROW}"/>'
        yield _text(_EDGE, y + 20, cut(stage.name, _NAME_WIDTH), "name")
        yield _text(_EDGE, y + 36, cut(_about(sheet.escalation, stage), _NAME_WIDTH / _SMALL_SIZE), "soft small")
        for line, (said, style) in enumerate(_told(sheet, stage)):
            room = _TOLD_WIDTH / _SMALL_SIZE if "small" in style else _TOLD_WIDTH
            yield _text(_WIDTH - _RIGHT + 16, y + 20 + 16 * line, cut(said, room), style)


def _about(escalation: Escalation, stage: Stage) -> str:
    if stage.at_s is None:
        return "while all is well"
    grace = escalation.grace_s if stage.at_s >= 0 else 0
    return f"due {relative(stage.at_s + grace)} \N{MIDDLE DOT} {stage.audience}"


def _told(sheet: _Sheet, stage: Stage) -> Sequence[tuple[str, str]]:
    """Return what stands at the end of a stage's row: text and class."""
    entries = [one for one in sheet.found.entries if one.stage == stage.name]
    objection = marks(sheet.escalation, sheet.would).get(stage.name)
    if objection is not None:
        due = "not by the packs" if stage.name in stops(sheet.escalation, sheet.would) else "entered, but"
        return [(due, "bad"), (objection, "small bad")]
    if not entries:
        return [] if stage.at_s is None else [("not entered", "soft")]
    worst = max(entries, key=lambda one: one.late_s)
    style = "small bad" if any(one.missing for one in entries) else "small soft"
    late = f"{span(worst.late_s)} late" if worst.late_s else "on time"
    if len(entries) > 1:
        each = f"at worst {late}" if worst.late_s else "each time on time"
        return [(f"entered {len(entries):,} times", ""), (each, style)]
    why = "without its notice" if worst.missing else HELD[worst.held]
    at = distance(worst)
    return [
        (f"entered {at}" if at.startswith("at") else f"entered at {at}", ""),
        (f"{late}: {why}" if why else late, style),
    ]


def _outages(sheet: _Sheet) -> Iterator[str]:
    for one in sheet.found.scenario.mail_down:
        left, right = sheet.scale.x(one.from_ns), sheet.scale.x(one.to_ns)
        if right > left:
            place = f'x="{left:.1f}" y="{sheet.top}" width="{right - left:.1f}" height="{sheet.bottom - sheet.top}"'
            yield f'<rect class="down" {place}/>'


def _axis(sheet: _Sheet) -> Iterator[str]:
    """Yield lines at round times: above how far from the deadline, below the clock."""
    scale, top, bottom = sheet.scale, sheet.top, sheet.bottom + _LANE
    deadline = sheet.found.turns[0].deadline_ns
    origin = deadline if sheet.is_single and deadline is not None else 0
    deadlines = [one.deadline_ns for one in sheet.found.turns if one.deadline_ns is not None]
    before, above = "", ""
    for moment in scale.marks(origin, _MOST_MARKS):
        x = f"{scale.x(moment):.1f}"
        yield f'<line class="grid" x1="{x}" y1="{top}" x2="{x}" y2="{bottom}"/>'
        said = relative((moment - origin) // SECOND_NS) if origin and moment != deadline else ""
        if said and said != above:  # far away, minutes are not told
            yield _text(x, top - 9, said, "soft small", "middle")
        above = said
        day, _, time = clock_text(moment).partition(" ")
        yield _text(x, bottom + 16, time if origin or time != "00:00" else day, "small", "middle")
        if origin and day != before:
            yield _text(x, bottom + 30, day, "soft small", "middle")
        before = day
    yield f'<line class="axis" x1="{_LEFT}" y1="{bottom}" x2="{_WIDTH - _RIGHT}" y2="{bottom}"/>'
    for at in filter(scale.holds, deadlines if sheet.is_single else ()):
        x = f"{scale.x(at):.1f}"
        yield f'<line class="deadline" x1="{x}" y1="{top - 4}" x2="{x}" y2="{bottom}"/>'
        yield _text(x, top - 9, "deadline", "deadline-word small", "middle")
    yield from _breaks(sheet, bottom)


def _breaks(sheet: _Sheet, bottom: int) -> Iterator[str]:
    """Yield marks where the picture leaves out time in which nothing happens."""
    for moment, edge, x in (
        (sheet.found.scenario.start_ns, sheet.scale.from_ns, _LEFT),
        (sheet.found.scenario.end_ns, sheet.scale.to_ns, _WIDTH - _RIGHT),
    ):
        if moment != edge:
            yield f'<path class="axis" fill="none" d="M{x - 4} {bottom + 5}l4 -10m1 10l4 -10"/>'


def _bands(sheet: _Sheet) -> Iterator[str]:
    scale, first = sheet.scale, sheet.escalation.stages[0].name
    stopped = stops(sheet.escalation, sheet.would)
    for band in _joined(bands(sheet.escalation, sheet.found), scale):
        stage = sheet.escalation.stages[sheet.escalation.place_of(band.stage)]
        left, right = scale.x(band.from_ns), scale.x(band.to_ns)
        style = "idle" if band.stage == first else stage.audience.value
        width = max(right - left, 2.5)
        about = f"{band.stage}: {clock_text(band.from_ns)} to {clock_text(band.to_ns)} UTC"
        size = f'width="{width:.1f}" height="{_BAND}" rx="{min(3, width / 2):.1f}"'
        place = f'x="{left:.1f}" y="{sheet.middle(band.stage) - _BAND // 2}"'
        kept = stopped.get(band.stage)
        about += f"; {kept.said}" if kept else ""
        yield f'<rect class="{style}" {place} {size}><title>{xml(about)}</title></rect>'
        if kept:
            yield f'<rect class="stopped" {place} {size}><title>{xml(about)}</title></rect>'


def _joined(found: Iterator[Band], scale: Scale) -> Iterator[Band]:
    """Yield what is shown of them; of what would lie on one spot in a row, one."""
    spots = set()
    for band in found:
        if band.to_ns < scale.from_ns or band.from_ns > scale.to_ns:
            continue
        spot = (band.stage, round(scale.x(band.from_ns)), round(scale.x(band.to_ns)))
        if spot not in spots:
            spots.add(spot)
            yield band


def _people(sheet: _Sheet) -> Iterator[str]:
    """Yield where somebody renewed."""
    spots = _spots(sheet, [one.at_ns for one in sheet.found.turns[1:]])
    for x in spots:
        if len(spots) <= _MOST_LINES:
            yield f'<line class="renewal" x1="{x}" y1="{sheet.top}" x2="{x}" y2="{sheet.bottom}"/>'
        yield f'<path class="renewed" d="M{x - 3.5} {sheet.top - 6}h7l-3.5 6z"/>'


def _ticks(sheet: _Sheet) -> Iterator[str]:
    """Yield the lane of the ticks: a line for each, a cross for each that did not come."""
    y = sheet.bottom + _LANE - 4
    yield _text(_EDGE, y - 6, "ticks", "name")
    came = "".join(f"M{x} {y}v-9" for x in _spots(sheet, sheet.found.timetable.ticks))
    yield f'<path class="tick" d="{came}"/>'
    missed = "".join(f"M{x - 2.5} {y - 18}l5 5m0 -5l-5 5" for x in _spots(sheet, sheet.found.timetable.missed))
    if missed:
        yield f'<path class="missed" d="{missed}"/>'


def _spots(sheet: _Sheet, moments: Sequence[int]) -> list[float]:
    """Return where moments lie, each half pixel once."""
    from bisect import bisect_left, bisect_right

    scale, step = sheet.scale, (sheet.scale.to_ns - sheet.scale.from_ns) / (sheet.scale.width * 2)
    place, last = bisect_left(moments, scale.from_ns), bisect_right(moments, scale.to_ns)
    found = []
    while place < last:
        found.append(round(scale.x(moments[place]), 1))
        place = bisect_left(moments, moments[place] + int(step) + 1, place + 1)
    return found


def _entries(sheet: _Sheet) -> Iterator[str]:
    """Yield when stages were due, and how much later they were entered."""
    for one in sheet.found.entries:
        if not (sheet.scale.holds(one.at_ns) and sheet.is_single):
            continue
        due, at, y = sheet.scale.x(one.due_ns), sheet.scale.x(one.at_ns), sheet.middle(one.stage)
        yield f'<line class="due" x1="{due:.1f}" y1="{y - 14}" x2="{due:.1f}" y2="{y + 14}"/>'
        if at - due > 1:
            yield f'<line class="late" x1="{due:.1f}" y1="{y}" x2="{at:.1f}" y2="{y}"/>'


def _sent(sheet: _Sheet) -> Iterator[str]:
    """Yield what was sent: a dot where it arrived, a cross where it was given up; in a row, what is close is one."""
    actions = {(stage.name, deed.id): deed.action for stage in sheet.escalation.stages for deed in stage.deeds}
    groups: dict[tuple[str, int, bool, bool], list[Sent]] = {}
    for one in sheet.found.sent:
        at = one.first_ns if one.at_ns is None else one.at_ns
        if sheet.scale.holds(at):
            is_mail = actions.get((one.stage, one.deed)) == _MESSAGE
            spot = round(sheet.scale.x(at) / _CLOSE)
            groups.setdefault((one.stage, spot, is_mail, one.at_ns is None), []).append(one)
    for (stage, _, is_mail, is_lost), many in groups.items():
        at_ns = many[0].first_ns if many[0].at_ns is None else many[0].at_ns
        x, y = sheet.scale.x(at_ns), sheet.middle(stage)
        size = _DOT if sheet.is_single else _SMALL
        yield _mark(x, y, many, size, "lost" if is_lost else "mail" if is_mail else "action")
        if len(many) > 1 and sheet.is_single:
            said, is_near = f"\N{MULTIPLICATION SIGN}{len(many)}", x > _WIDTH - _RIGHT - _CLOSE * 3
            left = x - _DOT - 4 if is_near else x + _DOT + 4  # what stands at the end of the row is not written over
            yield _text(f"{left:.1f}", y - 12, said, "small", "end" if is_near else "start")


def _mark(x: float, y: int, many: Sequence[Sent], size: float, kind: str) -> str:
    one = many[0]
    about = f"{_deeds(many)}: "
    about += "never arrived" if one.at_ns is None else f"{clock_text(one.at_ns)} UTC"
    about += f", {counted(max(each.attempts for each in many), 'attempt')}"
    said = f"<title>{xml(about)}</title>"
    if kind == "lost":
        half, whole = f"{size - 1:.1f}", f"{2 * size - 2:.1f}"
        cross = f"M{x:.1f} {y}m-{half} -{half}l{whole} {whole}m0 -{whole}l-{whole} {whole}"
        return f'<path class="lost" d="{cross}">{said}</path>'
    if kind == "mail":
        return f'<circle class="sent" cx="{x:.1f}" cy="{y}" r="{size}">{said}</circle>'
    half = f"{size + 1:.1f}"
    return f'<path class="sent" d="M{x:.1f} {y}m0 -{half}l{half} {half}l-{half} {half}l-{half} -{half}z">{said}</path>'


def _deeds(many: Sequence[Sent]) -> str:
    """Return what a mark stands for, each deed with its recipients where it has some."""
    targets: dict[str, int] = {}
    for one in many:
        name = f"the plan of {one.stage}" if one.deed == PLAN else f"{one.stage}/{one.deed}"
        targets[name] = targets.get(name, 0) + bool(one.target)
    return "; ".join(name + (f", {counted(count, 'recipient')}" if count else "") for name, count in targets.items())


def _legend(sheet: _Sheet) -> Iterator[str]:
    """Yield what the colours and signs mean, of those that are there."""
    y, x = sheet.height - 22, float(_EDGE)
    for sign, said in _signs(sheet):
        yield f'<g transform="translate({x:.0f} {y})">{sign}</g>'
        yield _text(f"{x + 22:.0f}", y + 4, said, "soft small")
        x += _ROOM + 5.8 * len(said)


def _signs(sheet: _Sheet) -> Iterator[tuple[str, str]]:
    drawn = {band.stage for band in _joined(bands(sheet.escalation, sheet.found), sheet.scale)}
    first, *others = sheet.escalation.stages
    audiences = dict.fromkeys(stage.audience.value for stage in others if stage.name in drawn)
    idle = [("idle", "nobody hears")] if first.name in drawn else []
    for style, said in [*idle, *((one, one) for one in audiences)]:
        yield f'<rect class="{style}" x="0" y="-6" width="16" height="12" rx="3"/>', said
    if drawn & stops(sheet.escalation, sheet.would).keys():
        box = 'x="0" y="-6" width="16" height="12" rx="3"'
        yield f'<rect class="public" {box}/><rect class="stopped" {box}/>', "kept back by the packs"
    if sheet.is_single and sheet.found.entries:
        yield '<line class="due" x1="8" y1="-8" x2="8" y2="8"/>', "due"
    sorts = {_is_message(sheet.escalation, one) for one in sheet.found.sent}
    if True in sorts:
        yield f'<circle class="sent" cx="8" cy="0" r="{_DOT}"/>', "notice arrives"
    if False in sorts:
        yield '<path class="sent" d="M8 -6l6 6l-6 6l-6 -6z"/>', "action"
    if any(one.at_ns is None for one in sheet.found.sent):
        yield '<path class="lost" d="M4 -4l8 8m0 -8l-8 8"/>', "never arrives"
    yield '<path class="tick" d="M4 5v-9m4 9v-9m4 9v-9"/>', "tick"
    if sheet.found.timetable.missed:
        yield '<path class="missed" d="M5 -3l5 5m0 -5l-5 5"/>', "missed tick"
    if sheet.found.scenario.mail_down:
        yield '<rect class="down" x="0" y="-6" width="16" height="12"/>', "mail is down"
    if not sheet.is_single:
        yield '<path class="renewed" d="M4 -3h8l-4 6z"/>', "renewed"


def _text(x: float | str, y: float, said: str, style: str, anchor: str = "start") -> str:
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text class="{style}" x="{x}" y="{y}"{where}>{xml(said)}</text>'


def _is_message(escalation: Escalation, one: Sent) -> bool:
    deeds = escalation.stages[escalation.place_of(one.stage)].deeds
    return any(deed.id == one.deed and deed.action == _MESSAGE for deed in deeds)
