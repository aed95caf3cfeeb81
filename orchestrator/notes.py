"""Where problems of one file are gathered while it is read, so that all of them are told at once."""

from dataclasses import dataclass, field

from orchestrator.document import MAX_PROBLEMS, Place
from orchestrator.errors import OrchError, Problem
from orchestrator.model import Source


@dataclass(slots=True)
class Notes:
    """The problems of one file so far."""

    file: str
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def error(self, place: Place, seen: str, expected: str, advice: str = "") -> None:
        """Note something wrong; of too much only the first is kept."""
        if self.is_full:
            return
        if len(self.errors) == MAX_PROBLEMS:
            seen, expected, advice = f"more than {MAX_PROBLEMS} problems", "fewer", ""
        self.errors.append(Problem(self.file, *place, seen, expected, advice))

    @property
    def is_full(self) -> bool:
        """Whether nothing more is worth noting."""
        return len(self.errors) > MAX_PROBLEMS

    def refused(self, place: Place, error: OrchError, expected: str) -> None:
        """Note what another part of the program refused, in its words."""
        self.error(place, str(error), expected, error.advice)

    def warning(self, place: Place, seen: str, expected: str, advice: str = "") -> None:
        """Note something that is likely not meant."""
        self.warnings.append(Problem(self.file, *place, seen, expected, advice, is_warning=True))

    def source(self, place: Place) -> Source:
        """Return a place of this file."""
        return Source(self.file, *place)


@dataclass(frozen=True, slots=True)
class Use:
    """A name that a document uses and that another document may declare."""

    kind: str
    """`action`, `stage`, `meter` or `repository`."""
    name: str
    source: Source
    own: tuple[str, ...] = ()
    """The names of this kind that the same pack declares."""
