"""What a verification found, as values: findings, the state that follows from them, and what was not proven."""

from enum import StrEnum
from typing import Any, NamedTuple

from orchestrator.errors import Exit

KEPT = 20
"""How many findings are kept in full; of more only the number is known."""
_SHOWN_CHARS = 120


class State(StrEnum):
    """What may be said of a ledger."""

    VERIFIED = "verified"
    TAMPERED = "tampered"
    CANNOT_TELL = "cannot tell"


class Finding(NamedTuple):
    """One thing that is not as it was recorded."""

    kind: str
    """header, column, leaf, chain, payload, head, held, key, schema, projection or artifact."""
    what: str
    """One sentence without its full stop."""
    seen: str = ""
    expected: str = ""
    event: str = ""
    """The event's id, where it is about one."""
    run: str = ""
    """The chain, with the place in it: `adhoc:1 at 3`."""
    position: int | None = None
    """The leaf, from 0; of a head its size."""


class Findings:
    """Collects findings: the first ones in full, all of them counted."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.counts: dict[str, int] = {}
        self.doubts: list[str] = []
        """Why nothing can be said, or not all of it."""

    def add(self, finding: Finding) -> None:
        """Count a finding, and keep it while there is room; the first of its kind has room always."""
        self.counts[finding.kind] = self.counts.get(finding.kind, 0) + 1
        if len(self.kept) >= KEPT and self.counts[finding.kind] == 1:
            kinds = [one.kind for one in self.kept]
            most = max(kinds, key=kinds.count)
            del self.kept[len(kinds) - 1 - kinds[::-1].index(most)]
        if len(self.kept) < KEPT:
            self.kept.append(finding)

    def doubt(self, why: str) -> None:
        """Say why something could not be judged."""
        if len(self.doubts) < KEPT and why not in self.doubts:
            self.doubts.append(why)


class Report(NamedTuple):
    """What a verification says of a ledger."""

    state: State
    ledger_id: str
    """Empty where it could not be read."""
    events: int = 0
    """How many there are."""
    sequenced: int = 0
    """How many of them have their leaf in the tree."""
    chains: int = 0
    heads: int = 0
    """How many signed heads the ledger keeps."""
    held: tuple[str, ...] = ()
    """Where the heads come from that were held elsewhere, each with its size."""
    covered: int = 0
    """Up to which event a good head speaks, wherever it is kept."""
    anchored: int = 0
    """Up to which event a good head that is kept elsewhere speaks."""
    erased: int = 0
    """How many payloads were erased by an event."""
    findings: tuple[Finding, ...] = ()
    """At most `KEPT`."""
    counts: tuple[tuple[str, int], ...] = ()
    """Every kind of finding, with its number."""
    doubts: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    not_proven: tuple[str, ...] = ()
    duration_ms: int = 0

    @property
    def unanchored(self) -> int:
        """Return how many events no good head speaks for."""
        return max(0, self.events - self.covered)

    @property
    def exit_code(self) -> Exit:
        """Return 0 for verified, 1 for tampered, 6 for cannot tell."""
        return _EXITS[self.state]

    def as_json(self) -> dict[str, Any]:
        """Return the report as `-o json` prints it."""
        return {
            **self._asdict(),
            "unanchored": self.unanchored,
            "findings": [finding._asdict() for finding in self.findings],
            "counts": dict(self.counts),
        }


_EXITS = {State.VERIFIED: Exit.OK, State.TAMPERED: Exit.FAILED, State.CANNOT_TELL: Exit.UNDECIDABLE}


def brief(value: object) -> str:
    """Return any value in short, for what a finding saw or expected."""
    text = value if isinstance(value, str) else value.hex() if isinstance(value, bytes) else repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
