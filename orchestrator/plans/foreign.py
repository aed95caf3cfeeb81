"""JSON of another program, read field by field: each one is told to have an effect, or why it has none. Pure.

Nothing is lost in silence: what no reader took stands in the report, too.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_UNITS_S = {
    "ms": 0.001,
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3_600.0),
    **dict.fromkeys(("d", "day", "days"), 86_400.0),
}
_DURATION = re.compile(r"\s*([0-9]{1,12}(?:\.[0-9]{1,30})?)\s*([A-Za-z]*)\s*")
_MOST_DAYS_S = 366 * 86_400
_USUAL_WHY = "nothing in a plan corresponds to it"
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]"
)


class Entry(NamedTuple):
    """What became of one field, or of all below it."""

    file: str
    path: tuple[str | int, ...]
    becomes: str
    """What it is in the plan; "" where it has no effect."""
    why: str
    """Why it has none, and what to do instead; "" where it has one."""

    @property
    def where(self) -> str:
        """The path as people write it: `phases[0].timeout`."""
        said = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return said.removeprefix(".") or "(all of it)"


@dataclass(slots=True)
class Account:
    """What became of every field so far."""

    entries: dict[tuple[str, tuple[str | int, ...]], Entry] = field(default_factory=dict)
    """By file and path; the first that is told of a place stays."""

    def finish(self, nodes: list["Node"]) -> tuple[Entry, ...]:
        """Return every entry in the order of the files; fields that nobody took are left with a reason."""
        places: dict[tuple[str, tuple[str | int, ...]], int] = {}
        told = set(self.entries)
        for node in nodes:
            for leaf in node.leaves():
                prefixes = [(leaf.file, leaf.path[:length]) for length in range(len(leaf.path) + 1)]
                if told.isdisjoint(prefixes):
                    leaf.left(_why(leaf))
                for prefix in prefixes:
                    places.setdefault(prefix, len(places))
        return tuple(sorted(self.entries.values(), key=lambda entry: places[entry.file, entry.path]))


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a file."""

    account: Account
    file: str
    value: Any
    path: tuple[str | int, ...] = ()

    @property
    def name(self) -> str:
        """The last key or position, as text."""
        return str(self.path[-1]) if self.path else ""

    def becomes(self, what: str) -> None:
        """Tell that it has an effect."""
        self.account.entries.setdefault((self.file, self.path), Entry(self.file, self.path, what, ""))

    def left(self, why: str) -> None:
        """Tell that it has none."""
        self.account.entries.setdefault((self.file, self.path), Entry(self.file, self.path, "", why))

    def fields(self) -> dict[str, "Node"]:
        """Return what an object holds by its names in snake case; {} of anything else."""
        if not isinstance(self.value, Mapping):
            return {}
        return {snake(key): self.below(key) for key in self.value}

    def items(self) -> list["Node"]:
        """Return the items of a list; what is none is the only one; null is none."""
        if isinstance(self.value, list):
            return [self.below(at) for at in range(len(self.value))]
        return [] if self.value is None else [self]

    def below(self, step: str | int) -> "Node":
        """Return what is under a key or at a position."""
        return Node(self.account, self.file, self.value[step], (*self.path, step))

    def leaves(self) -> Iterator["Node"]:
        """Yield every scalar and every empty list and object."""
        steps: list[Any] = []
        if isinstance(self.value, Mapping):
            steps = list(self.value)
        elif isinstance(self.value, list):
            steps = list(range(len(self.value)))
        if not steps:
            yield self
        for step in steps:
            yield from self.below(step).leaves()

    def text(self) -> str | None:
        """Return its text; None, and told why, where it is none that a plan could hold as it is."""
        if not isinstance(self.value, str) or not self.value.strip():
            self.left("it is no text")
            return None
        if "${{" in self.value:
            self.left("it holds `${{`, which a plan reads as a reference")
            return None
        if _INVISIBLE.search(self.value):
            self.left("it holds a character that does not show")
            return None
        return self.value

    def flag(self) -> bool | None:
        """Return whether it says yes; None where it says neither."""
        if isinstance(self.value, bool):
            return self.value
        words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
        return words.get(str(self.value).strip().lower())

    def number(self) -> int | float | None:
        """Return its number; None where it is none."""
        is_number = isinstance(self.value, int | float) and not isinstance(self.value, bool)
        return self.value if is_number else None

    def whole(self) -> int | None:
        """Return its whole number from 0; None where it is none."""
        number = self.number()
        return int(number) if number is not None and number >= 0 and number == int(number) else None

    def duration(self) -> str | None:
        """Return it as a plan writes a duration, rounded up to seconds; None where it is none or too long.

        A number is in the unit that its name ends with (`timeout_minutes`), else in seconds.
        """
        found = _DURATION.fullmatch(str(self.value)) if isinstance(self.value, str | int | float) else None
        if found is None or isinstance(self.value, bool):
            return None
        unit = found[2].lower() or snake(self.name).rpartition("_")[2]
        if found[2] and unit not in _UNITS_S:
            return None
        seconds = math.ceil(round(float(found[1]) * _UNITS_S.get(unit, 1.0), 6))
        return duration_text(seconds) if seconds <= _MOST_DAYS_S else None


def is_words(value: object) -> bool:
    """Return whether a value is a list of texts that a plan could hold as they are, and not empty."""
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) and is_plain(one) for one in value)


def is_plain(text: str) -> bool:
    """Return whether a plan can hold a text as it is: it shows, and is no reference."""
    return "${{" not in text and not _INVISIBLE.search(text)


def duration_text(seconds: int) -> str:
    """Return seconds as a plan writes them: 3600 is `1h`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def snake(key: str) -> str:
    """Return a key in snake case: `maxRetries` and `max-retries` are `max_retries`."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key)
    return re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")


def bare(name: str) -> str:
    """Return a name in snake case without the unit it ends with: `timeout_minutes` is `timeout`."""
    head, _, unit = name.rpartition("_")
    return head if head and unit in _UNITS_S else name


def slug(text: str) -> str:
    """Return a text as the name of a plan, phase or step; "" where nothing of it is left."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].rstrip("-")


def plain_name(name: str) -> str:
    """Return a name in the form by which phases are found: `Phase 3`, `phase_3`, `3` and 3 are one."""
    text = slug(name)
    return f"phase-{int(found[1])}" if (found := re.fullmatch(r"(?:phase-?)?0*(\d+)", text)) else text


def phase_called(name: object, names: dict[str, str]) -> str | None:
    """Return the id of the phase that a name means; None where there is none."""
    return names.get(plain_name(str(name)))


_WHYS: tuple[tuple[str, str], ...] = (
    (
        r"state_(file|path|dir|directory)|checkpoint.*|.*state_file|auto_save.*|save_.*",
        "the ledger keeps the state: nothing to name",
    ),
    (r"resume.*|auto_resume", "`orch resume RUN` goes on with a run, and workers do so by themselves"),
    (
        r"log.*|verbose|debug|format|level",
        "what happens stands in the ledger: `orch ledger show`; logs need no setting",
    ),
    (r"dry_run", "say `orch run --mode dry-run`"),
    (
        r".*(token|password|secret|api_key|credential).*",
        "secrets stay out of plans: put it under `secrets:` of the operator's file",
    ),
    (
        r"(phase|success|criteria|github|config).*_(config|criteria|file|path)|config_(dir|path|files)",
        "all files are named when they are imported",
    ),
    (r"(work|working|base|root|project)_?(dir|directory|root|path)|workspace|cwd", "say `orch run --root DIR`"),
    (r"(max_)?(parallel|concurrent|workers|concurrency).*", "say `orch worker --concurrency N`"),
    (
        r"(max_)?(total|overall|execution|global)_?(timeout|time|duration).*",
        "each phase has its own time; a run as a whole has none",
    ),
    (r"(report|status|update|check|poll|refresh)_?interval.*", "reports and issues are written after each phase"),
    (r"report.*|status.*", "reports are written after each phase; `reports:` names their folder"),
    (r"notif.*|email.*|slack.*|webhook.*|alert.*", "write a step with `send_message` or `call_webhook`"),
    (
        r"trigger.*|next.*|on_complete|auto_trigger.*|order|priority|sequence",
        "a phase begins when all that it needs is over",
    ),
    (r"estimat.*|duration.*|expected_duration", "it is for people; nothing waits for it"),
    (
        r"message|severity|weight|label|hint|note|notes|comment|tags?|owner|team|category|group|author|created.*|updated.*|last_.*|date",
        "it is for people only",
    ),
    (r"assignees?|milestone|project|reviewers?", "the issue that follows a run has labels and a title alone"),
    (r".*(template|body|header|footer).*", "the text of issues and comments is orch's own"),
    (r"(api|base)_?url|.*_api|host|endpoint", "the operator's file says it: adapters: {github: {api: ...}}"),
    (
        r"(schema|config|format|file)?_?version|schema|(total|number|count|num)_?(of_)?phases|phase_count",
        "it is about the old file",
    ),
)


def _why(leaf: Node) -> str:
    """Return why a field that nobody took has no effect."""
    for step in reversed(leaf.path):
        name = snake(str(step)) if isinstance(step, str) else ""
        for pattern, why in _WHYS:
            if name and re.fullmatch(pattern, name):
                return why
    return _USUAL_WHY
