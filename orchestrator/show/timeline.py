"""The record as a person reads it: a timeline by day and run, one event a line where it fits. Streams.

Nothing from outside begins at the left edge, steers the terminal or passes for a command of a CI.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple, TextIO

from orchestrator import clock
from orchestrator.ledger.event import Event
from orchestrator.show import escape
from orchestrator.show.happening import happening
from orchestrator.show.told import Happening

_COLORS = {"good": "1;32", "bad": "1;31", "wait": "1;33", "plain": "", "dim": "2", "bold": "1"}
_WORD_WIDTH = 9
_HANG = 13
_MIN_WIDTH, _MAX_WIDTH = 40, 140
_ID_CHARS = 8


class Page(NamedTuple):
    """Where it is written."""

    width: int = 80
    color: bool = False
    is_ascii: bool = False
    now_ns: int = 0
    """For `today` and `2 h ago`; nanoseconds since 1970."""

    def paint(self, name: str, text: str) -> str:
        """Return a text in a colour, where there are colours."""
        code = _COLORS[name]
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and code and text else text

    def say(self, text: str) -> str:
        """Return a text from outside, harmless and in one line."""
        return escape.terminal(" ".join(text.split()) if text.strip() else text, ascii_only=self.is_ascii)

    @property
    def dot(self) -> str:
        """What parts the parts of a line."""
        return " - " if self.is_ascii else " · "


def page(out: TextIO, *, width: int, color: bool, now_ns: int) -> Page:
    """Return the page that `out` is."""
    encoding = (getattr(out, "encoding", None) or "utf-8").lower().replace("-", "").replace("_", "")
    return Page(max(_MIN_WIDTH, min(width, _MAX_WIDTH)), color, not encoding.startswith("utf"), now_ns)


class Timeline:
    """Writes events as they come, with a heading where the day or the run changes."""

    def __init__(self, out: TextIO, page: Page) -> None:
        self._out = out
        self._page = page
        self._day = ""
        self._run: str | None = None
        self._votes: dict[str, str] = {}
        self._policies: dict[str, str] = {}
        self._actions: dict[str, dict[str, str]] = {}

    def write(self, events: Iterable[Event]) -> int:
        """Write events and return how many there were.

        Raises:
            BrokenPipeError: the reader has gone.
        """
        count = 0
        for count, event in enumerate(map(self._named, events), 1):  # noqa: B007  # counted for the caller
            lines = event_lines(event, self._page, self._recalled(event))
            self._out.write("\n".join((*self._heading(event), *lines)) + "\n")
        return count

    def _named(self, event: Event) -> Event:
        """Return an event about an action with the name that the action was planned under: later ones say its key."""
        said = event.payload or {}
        key = said.get("key")
        if not str(event.fields["type"]).startswith("orch.action.") or not isinstance(key, str):
            return event
        if isinstance(said.get("name"), str):
            self._actions[key] = {name: str(said.get(name) or "") for name in ("name", "target")}
        return event._replace(payload={**self._actions.get(key, {}), **said})

    def _recalled(self, event: Event) -> str:
        """Return what an earlier event tells of this one: which vote is revoked, why a request is asked anew."""
        said = {name: str(value) for name, value in (event.payload or {}).items()}
        match event.fields["type"]:
            case "orch.approval.voted":
                what = "rejection" if said.get("decision") == "reject" else "approval"
                at = str(event.fields["time"])[11:19]
                self._votes[said.get("vote_id", "")] = f"the {what} as {said.get('role', '?')} of {at}"
            case "orch.approval.revoked":
                return self._votes.get(said.get("vote_id", ""), "")
            case "orch.approval.requested":
                name, policy = said.get("request_id", ""), said.get("policy_digest", "")
                before = self._policies.get(name)
                self._policies[name] = policy
                if before is not None:
                    return "asked anew" if before == policy else "the policy has changed"
        return ""

    def _heading(self, event: Event) -> list[str]:
        page, lines = self._page, []
        day, run = str(event.fields["time"])[:10], run_name(event)
        if day != self._day:
            lines += ([""] if self._day else []) + [page.paint("bold", page.say(day_text(day, page.now_ns)))]
            self._run = None
        if run != self._run:
            lines.append(page.paint("dim", f"  {page.say(run)}"))
        self._day, self._run = day, run
        return lines


def run_name(event: Event) -> str:
    """Return what an event's chain is called."""
    chain = str(event.fields["runid"])
    kind, _, rest = chain.partition(":")
    match kind:
        case "ledger" if not rest:
            return "the ledger itself"
        case "adhoc":
            return "outside of a run"
        case "request":
            return f"approval request {rest}"
        case "escalation":
            return f"escalation {rest}"
        case "evidence":
            return f"evidence of {rest}" if rest else "evidence"
    return f"run {chain}"


def event_lines(event: Event, page: Page, recalled: str = "") -> list[str]:
    """Return the lines of one event: time, what became of it, who, what; below it why, and what is owed.

    `recalled` is what earlier events tell of it.
    """
    told = happening(event)
    time = str(event.fields["time"])[11:19]
    word = told.word + " " * max(1, _WORD_WIDTH - len(told.word))
    plain = f"  {page.say(time)} {word}"
    what = page.dot.join(page.say(part) for part in (told.who, *told.what, recalled) if part)
    first, *rest = wrapped(what, page.width - _ID_CHARS - 2, len(plain), _HANG)
    line = plain.replace(word, page.paint(told.tone, word), 1) + first
    gap = page.width - len(plain) - len(first) - _ID_CHARS
    lines = [line + " " * gap + page.paint("dim", page.say(event.id[:_ID_CHARS]))]
    lines += [" " * _HANG + one for one in rest]
    for detail in _details(told, page):
        lines += [page.paint("dim", " " * _HANG + one) for one in wrapped(detail, page.width, _HANG, _HANG + 2)]
    return lines


def _details(told: Happening, page: Page) -> Iterable[str]:
    for detail in told.details:
        yield page.say(detail)


def wrapped(text: str, width: int, begin: int, hang: int) -> list[str]:
    """Return the lines of a text whose first starts at column `begin` and the others at `hang`; long words are cut."""
    lines: list[str] = []
    line, room = "", max(10, width - begin)
    for word in text.split(" "):
        rest = word
        while len(rest) > room - len(line) - (1 if line else 0):
            if line:
                lines.append(line)
                line, room = "", max(10, width - hang)
            elif len(rest) > room:
                lines.append(rest[:room])
                rest, room = rest[room:], max(10, width - hang)
            else:
                break
        line = f"{line} {rest}" if line else rest
    return [*lines, line]


def day_text(day: str, now_ns: int) -> str:
    """Return `Saturday 2026-11-21, yesterday` for a day of a header's time."""
    try:
        at = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
        today = datetime.fromtimestamp(now_ns // clock.SECOND_NS, UTC).replace(hour=0, minute=0, second=0)
    except (ValueError, OverflowError, OSError):
        return day
    days = (today - at).days
    told = {0: ", today", 1: ", yesterday"}.get(days, f", {days} days ago" if days > 1 else "")
    return f"{at:%A} {day}{told} (UTC)"


def ago(time: str, now_ns: int) -> str:
    """Return `3 h ago` or `in 2 d` for a time of RFC 3339; "" for any other text."""
    try:
        seconds = (now_ns - clock.parse_time(time)) // clock.SECOND_NS
    except ValueError:
        return ""
    far = abs(seconds)
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if far >= 2 * unit:
            return f"{far // unit} {name} ago" if seconds > 0 else f"in {far // unit} {name}"
    return f"{far} s ago" if seconds >= 0 else f"in {far} s"
