"""Where reading stands in a plan's document: a value, its place, and where its problems go. Reads no file."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from orchestrator import clock
from orchestrator.digest import MAX_INTEGER
from orchestrator.document import Document, Map, Place, Seq, shown
from orchestrator.notes import Notes

_LONGEST_S = 366 * 86_400


@dataclass(frozen=True, slots=True)
class Spot:
    """A value of a document."""

    document: Document
    notes: Notes
    path: tuple[str | int, ...] = ()
    """Keys and positions that lead to it."""

    @property
    def value(self) -> Any:  # noqa: ANN401  # YAML
        """What stands here; None where nothing does."""
        found: Any = self.document.root
        for step in self.path:
            if isinstance(found, Map) and step in found:
                found = found[str(step)]
            elif isinstance(found, Seq) and isinstance(step, int) and step < len(found):
                found = found[step]
            else:
                return None
        return found

    @property
    def place(self) -> Place:
        """Line and column of the value."""
        return self.document.place(self.path)

    def below(self, *steps: str | int) -> "Spot":
        """Return what stands at a path from here."""
        return Spot(self.document, self.notes, (*self.path, *steps))

    def key(self, name: str) -> Place:
        """Return where a key of this mapping stands."""
        return self.document.place((*self.path, name), of_key=True)

    def items(self, name: str) -> list["Spot"]:
        """Return what stands under a key, item by item; one without a list is the only one."""
        under = self.below(name)
        value = under.value
        if isinstance(value, Seq):
            return [under.below(index) for index in range(len(value))]
        return [] if value is None else [under]

    def error(self, seen: str, expected: str, advice: str = "") -> None:
        """Note something wrong here."""
        self.notes.error(self.place, seen, expected, advice)

    def key_error(self, name: str, seen: str, expected: str, advice: str = "") -> None:
        """Note something wrong with a key of this mapping."""
        self.notes.error(self.key(name), seen, expected, advice)

    def warning(self, seen: str, expected: str, advice: str = "") -> None:
        """Note something that is likely not meant."""
        self.notes.warning(self.place, seen, expected, advice)

    def duration_s(self, usual_s: float, *, may_be_none: bool = False) -> float:
        """Return the duration that stands here, in seconds; one that is none is noted, and counts as the usual one.

        `may_be_none` allows `0s`.
        """
        text = str(self.value)
        if may_be_none and text in {"0s", "0ms"}:
            return 0.0
        try:
            seconds = clock.parse_seconds(text)
        except ValueError:
            self.error(shown(self.value), "a duration such as 500ms, 30s, 5m, 2h or 3d")
            return usual_s
        if seconds > _LONGEST_S:
            self.error(shown(self.value), "at most 366d")
            return usual_s
        return seconds

    def json(self) -> Any:  # noqa: ANN401  # JSON
        """Return what stands here as JSON; numbers that JSON's readers would change are noted."""
        match value := self.value:
            case Map():
                return {name: self.below(name).json() for name in value}
            case Seq():
                return [self.below(index).json() for index in range(len(value))]
            case bool() | str() | None:
                return value
            case int():
                if abs(value) > MAX_INTEGER:
                    self.error(shown(value), f"a number from -{MAX_INTEGER} to {MAX_INTEGER}", "or text in quotes")
                return value
        return self._fraction(value)

    def _fraction(self, value: Decimal) -> float | int:
        number = float(value)
        if Decimal(repr(number)) != value:
            self.error(shown(value), "a number of at most 15 digits", "a longer one is changed by readers of JSON")
        return int(value) if value == value.to_integral_value() and abs(value) <= MAX_INTEGER else number
