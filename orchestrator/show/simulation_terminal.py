"""A simulated escalation drawn in a terminal: a row for each stage, time from left to right."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from orchestrator.clock import SECOND_NS
from orchestrator.escalations.model import Escalation
from orchestrator.escalations.simulate import Simulation
from orchestrator.show.escape import terminal
from orchestrator.show.simulation_scale import Scale, bands, clock_text, relative, shown_time

if TYPE_CHECKING:
    from rich.text import Text

_BAND, _DUE, _MAIL, _ACTION, _LOST, _DEADLINE, _TICK, _RENEWAL, _DOWN = (
    "\u2501\u2504\u25cf\u25c6\u00d7\u2502\u2575\u25bc\u2591"
)
_PLAIN = {
    _BAND: "=", _DUE: ".", _MAIL: "o", _ACTION: "*", _LOST: "x", _DEADLINE: "|", _TICK: "'", _RENEWAL: "v", _DOWN: "#",
    "\N{MINUS SIGN}": "-", "\N{MIDDLE DOT}": "-", "\N{MULTIPLICATION SIGN}": "x", "\N{RIGHTWARDS ARROW}": "->",
}  # fmt: skip
"""What stands for a sign where there is only ASCII."""
_TO_ASCII = str.maketrans(_PLAIN)
STYLES = {"idle": "dim", "operator": "blue", "custodians": "yellow", "public": "magenta"}
_MOST_NAME, _LEAST_PLOT, _ROOM = 22, 24, 12
_MESSAGE = "send_message"


def plain(text: str, *, is_ascii: bool) -> str:
    """Return a text of ours, or from outside, for one line of a terminal."""
    return terminal(text.translate(_TO_ASCII) if is_ascii else text, ascii_only=is_ascii)


class _Row:
    """Cells of one row, each a sign and its style."""

    def __init__(self, width: int) -> None:
        self.cells = [(" ", "")] * width

    def put(self, place: float, sign: str, style: str) -> None:
        """Put a sign where it belongs; at the edge it stands in the last cell."""
        self.cells[min(max(int(place), 0), len(self.cells) - 1)] = (sign, style)

    def fill(self, since: float, until: float, sign: str, style: str) -> None:
        """Fill what lies between two places, at least one cell."""
        for place in range(int(since), max(int(until), int(since) + 1)):
            self.put(place, sign, style)


def drawing(escalation: Escalation, found: Simulation, *, width: int, is_ascii: bool) -> "Iterator[Text]":
    """Yield the lines of the picture; a stage's row is in the colour of its audience."""
    names = [plain(stage.name, is_ascii=is_ascii) for stage in escalation.stages]
    left = min(max(map(len, [*names, "mail down"])), _MOST_NAME) + 2
    since, until = shown_time(found)
    size = max(width - left, _LEAST_PLOT)
    scale = Scale(since, until, 0, size - 1)
    is_single = len(found.turns) == 1
    yield _line("", left, _axis(found, scale, size, is_single=is_single), is_ascii=is_ascii)
    for name, stage in zip(names, escalation.stages, strict=True):
        row = _Row(size)
        _draw(row, escalation, stage.name, found, scale)
        yield _line(name, left, row.cells, is_ascii=is_ascii)
    yield from _ticks(found, scale, left, size, is_ascii=is_ascii)


def _line(name: str, left: int, cells: Sequence[tuple[str, str]], *, is_ascii: bool) -> "Text":
    from rich.text import Text

    line = Text(name[: left - 2].ljust(left), style="bold")
    line.stylize("not bold", left)
    for sign, style in cells:
        line.append(_PLAIN.get(sign, sign) if is_ascii else sign, style=f"not bold {style}".strip())
    line.rstrip()
    return line


def _draw(row: _Row, escalation: Escalation, stage: str, found: Simulation, scale: Scale) -> None:
    """Draw where it stands at a stage, when that was due, and what was sent."""
    is_single = len(found.turns) == 1
    place = escalation.place_of(stage)
    style = STYLES[escalation.stages[place].audience.value] if place else STYLES["idle"]
    for turn in found.turns if is_single else ():
        if turn.deadline_ns is not None and scale.holds(turn.deadline_ns):
            row.put(scale.x(turn.deadline_ns), _DEADLINE, "red")
    for band in bands(escalation, found):
        if band.stage == stage and band.from_ns <= scale.to_ns and band.to_ns >= scale.from_ns:
            row.fill(scale.x(band.from_ns), scale.x(band.to_ns), _BAND, style)
    for one in found.entries:
        if one.stage == stage and is_single and scale.x(one.at_ns) - scale.x(one.due_ns) >= 1:
            row.fill(scale.x(one.due_ns), scale.x(one.at_ns), _DUE, "dim")
    actions = {deed.id: deed.action for deed in escalation.stages[place].deeds}
    for sent in found.sent:
        at_ns = sent.first_ns if sent.at_ns is None else sent.at_ns
        if sent.stage == stage and scale.holds(at_ns):
            sign = _MAIL if actions.get(sent.deed) == _MESSAGE else _ACTION
            row.put(scale.x(at_ns), *((_LOST, "bold red") if sent.at_ns is None else (sign, f"bold {style}")))


def _axis(found: Simulation, scale: Scale, size: int, *, is_single: bool) -> list[tuple[str, str]]:
    """Return the times above the rows: how far from the deadline, or days where there are several."""
    row = _Row(size)
    deadline = found.turns[0].deadline_ns
    origin = deadline if is_single and deadline is not None else 0
    marks = scale.marks(origin, max(size // _ROOM, 2))
    told = {relative((moment - origin) // SECOND_NS) for moment in marks} if origin else set()
    if len(told) < len(marks):
        origin = 0  # so far from the deadline that distances do not differ
    if origin and scale.holds(origin):
        marks = [origin, *(one for one in marks if one != origin)]
    taken = set[int]()
    for moment in marks:
        if origin:
            text = "deadline" if moment == origin else relative((moment - origin) // SECOND_NS)
        else:
            day, _, time = clock_text(moment).partition(" ")
            text = day if time == "00:00" else time
        first = min(max(int(scale.x(moment)) - len(text) // 2, 0), size - len(text))
        spots = set(range(first - 1, first + len(text) + 1))
        if first < 0 or spots & taken:
            continue
        taken |= spots
        for place, sign in enumerate(text, first):
            row.put(place, sign, "red" if text == "deadline" else "dim")
    return row.cells


def _ticks(found: Simulation, scale: Scale, left: int, size: int, *, is_ascii: bool) -> "Iterator[Text]":
    """Yield when ticks came, when they did not, and when somebody renewed."""
    rows = [
        ("ticks", found.timetable.ticks, _TICK, "dim"),
        ("missed", found.timetable.missed, _LOST, "red"),
        ("renewed", [one.at_ns for one in found.turns[1:]], _RENEWAL, "green"),
    ]
    for name, moments, sign, style in rows:
        if not moments:
            continue
        row = _Row(size)
        for place in range(size):
            if _has_one(moments, scale, place):
                row.put(place, sign, style)
        yield _line(name, left, row.cells, is_ascii=is_ascii)
    row = _Row(size)
    down = [one for one in found.scenario.mail_down if one.from_ns < scale.to_ns and one.to_ns > scale.from_ns]
    for one in down:
        row.fill(scale.x(one.from_ns), scale.x(one.to_ns), _DOWN, "red")
    if down:
        yield _line("mail down", left, row.cells, is_ascii=is_ascii)


def _has_one(moments: Sequence[int], scale: Scale, place: int) -> bool:
    """Return whether a moment lies in a cell."""
    from bisect import bisect_left

    step = (scale.to_ns - scale.from_ns) / scale.width if scale.width else 1
    since = scale.from_ns + int(place * step)
    at = bisect_left(moments, since)
    return at < len(moments) and moments[at] < since + max(int(step), 1) and moments[at] <= scale.to_ns
