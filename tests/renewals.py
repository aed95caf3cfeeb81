"""A countdown that has begun, and codes for it that cost little to look at."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from countdowns import default

from orchestrator.clock import SECOND_NS, parse_time
from orchestrator.escalations import codes, kept, renewal, state
from orchestrator.escalations.codes import Cost, Drawn
from orchestrator.escalations.kept import Record
from orchestrator.escalations.model import Escalation
from orchestrator.escalations.renewal import NotRenewedError, Renewed, Who
from orchestrator.escalations.timekeeping import Reading
from orchestrator.ledger.read import Filter, events
from orchestrator.ledger.store import Ledger

CHEAP = Cost(memory_kib=8, iterations=1)
"""What a hash may take where thousands are made."""
NAME = "continuity"
HERE = Who("user:ann", "uid 1000 at desk")
ELSEWHERE = Who("user:ann", "uid 1000 at laptop")
START = parse_time("2026-11-20T12:00:00Z")
"""When the first cycle begins; its deadline is a day later."""
DAY_NS = 86_400 * SECOND_NS


@dataclass
class Countdown:
    """An escalation in a ledger, and the clock it is renewed by."""

    ledger: Ledger
    escalation: Escalation
    now_ns: int = START
    replies: set[tuple[str, str, int]] = field(default_factory=set)
    """Every refusal so far: what it says, its advice, its exit code."""

    def begin(self, **changes: Any) -> Record:  # noqa: ANN401  # of `state.began`
        """Begin the first cycle."""
        said: dict[str, Any] = {"deadline_ns": self.now_ns + DAY_NS, "is_armed": True, "why": "set_deadline"}
        with self.ledger.store.writing() as connection:
            return state.began(
                self.ledger, connection, None, self.escalation, now_ns=self.now_ns, by="user:ann", **said | changes
            )

    def codes(self, *, cost: Cost = CHEAP, **more: Any) -> Drawn:  # noqa: ANN401  # of `codes.draw`
        """Make new codes, and let them count."""
        drawn = codes.draw(self.ledger, NAME, cost=cost, **more)
        codes.issue(self.ledger, NAME, drawn, "user:ann")
        return drawn

    def later(self, seconds: int) -> None:
        """Let time pass."""
        self.now_ns += seconds * SECOND_NS

    def renew(self, code: str, who: Who = HERE) -> Renewed:
        """Renew by a code."""
        return renewal.renew(self.ledger, self.escalation, code, who, reading=Reading(self.now_ns))

    def by_file(self, token: str, who: Who = HERE) -> Renewed:
        """Renew by a file."""
        return renewal.renew_by_file(self.ledger, self.escalation, token, who, reading=Reading(self.now_ns))

    def is_renewed(self, code: str, who: Who = HERE) -> bool:
        """Try a code, and return whether it renewed."""
        try:
            self.renew(code, who)
        except NotRenewedError as refusal:
            self.replies.add((str(refusal), refusal.advice, int(refusal.exit_code)))
            return False
        return True

    @property
    def record(self) -> Record:
        """How it stands."""
        with self.ledger.store.reading() as connection:
            found = kept.record_of(connection, NAME)
        assert found is not None
        return found

    def said(self, kind: str) -> list[dict[str, Any]]:
        """Return what the escalation's events of a type say, oldest first."""
        with self.ledger.store.reading() as connection:
            found = list(events(connection, Filter(run=state.chain_of(NAME))))
        return [event.payload or {} for event in found if event.fields["type"] == f"orch.escalation.{kind}"]

    def kinds(self) -> list[str]:
        """Return the types of the escalation's events, oldest first."""
        with self.ledger.store.reading() as connection:
            found = list(events(connection, Filter(run=state.chain_of(NAME))))
        return [str(event.fields["type"]).rpartition(".")[2] for event in found]


def countdown(ledger: Ledger, **changes: Any) -> Countdown:  # noqa: ANN401  # of the escalation
    """Return the default escalation, its first cycle begun."""
    made = Countdown(ledger, default(**changes))
    made.begin()
    return made


def refusals(made: Countdown, drawn: Drawn, wrong: str) -> dict[str, Callable[[], bool]]:
    """Return every way of not renewing, for a source that is not locked at first."""
    return {
        "wrong": lambda: made.is_renewed(wrong),
        "used": lambda: made.is_renewed(drawn.spare[0]),
        "nonsense": lambda: made.is_renewed("\0\ud800 not a code"),
        "nothing": lambda: made.is_renewed(""),
        "long": lambda: made.is_renewed("A" * 100_000),
        "almost": lambda: made.is_renewed(drawn.main[:-1]),
    }
