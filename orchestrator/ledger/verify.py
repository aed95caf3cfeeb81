"""Verifies a ledger: whether all that is recorded is still what was recorded. Reads, and never raises.

What local checks cannot see (a tail that was cut off, a ledger rewritten whole with its own key) is seen by heads that
were held elsewhere; without any, the report says so.
"""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from orchestrator.errors import OrchError
from orchestrator.ledger import verify_heads, verify_seen
from orchestrator.ledger.store import Connection, Ledger
from orchestrator.ledger.verify_events import Progress, Walk, Walked
from orchestrator.ledger.verify_heads import Good, Held
from orchestrator.ledger.verify_open import check_database, opened
from orchestrator.ledger.verify_report import Finding, Findings, Report, State, brief

_ALWAYS = (
    "that everything that happened was recorded: what was never appended leaves no trace",
    "that times are right: they are the writer's clock",
)


class Options(NamedTuple):
    """How a ledger is verified."""

    since: tuple[Held, ...] = ()
    """Heads that somebody held elsewhere."""
    deep: bool = False
    """Read every artifact, too."""
    headers_only: bool = False
    """Leave payloads and the tables made of them out."""
    needs_anchor: bool = False
    """Whether every event must be under a head that is held elsewhere."""
    remembers: bool = True
    """Whether the head last seen is compared with, and kept for the next time."""


def verify(place: Ledger | str | None, options: Options | None = None, progress: Progress | None = None) -> Report:
    """Return what can be said of the ledger at a place; whatever its file holds, nothing is raised.

    Source: design, section 7.
    """
    began = time.monotonic()
    options, findings = options or Options(), Findings()
    report = Report(State.CANNOT_TELL, "")
    try:
        with opened(place) as ledger:
            report = report._replace(ledger_id=ledger.id)
            held = _held(ledger.id, options, findings)  # before the snapshot: a head may be signed at any moment
            with ledger.store.reading() as connection:
                report = _Verification(ledger, connection, options, findings).report(held, progress)
    except OrchError as error:
        findings.doubt(f"{error}" + (f" ({error.advice})" if error.advice else ""))
    except sqlite3.Error as error:
        findings.doubt(f"the database cannot be read: {error}")
    except Exception as error:  # noqa: BLE001  # a ledger may hold anything; what cannot be judged is told
        findings.doubt(f"the ledger cannot be judged: {type(error).__name__}: {error}")
    report = _concluded(report, findings, options)
    if report.ledger_id and options.remembers:
        verify_seen.note_result(report.ledger_id, report.state)
    return report._replace(duration_ms=int((time.monotonic() - began) * 1000))


def _concluded(report: Report, findings: Findings, options: Options) -> Report:
    """Return the report with its state: a finding is certain, so it comes before a doubt."""
    if options.needs_anchor and not findings.kept and report.anchored < report.events:
        missing = report.events - report.anchored
        findings.doubt(f"{missing} of {report.events} events are under no head that is held elsewhere")
    state = State.TAMPERED if findings.kept else State.CANNOT_TELL if findings.doubts else State.VERIFIED
    return report._replace(
        state=state,
        findings=tuple(findings.kept),
        counts=tuple(sorted(findings.counts.items())),
        doubts=tuple(findings.doubts),
    )


def _held(ledger_id: str, options: Options, findings: Findings) -> list[Held]:
    """Return every head that was held elsewhere, the one last seen here among them."""
    last = None
    if options.remembers:
        try:
            last = verify_seen.recall(ledger_id)
        except OrchError as error:
            findings.doubt(f"{error}; look at it, and remove it only if you know why it is broken")
    return [*([last] if last else []), *options.since]


class _Verification:
    """One verification of one state of a ledger."""

    def __init__(self, ledger: Ledger, connection: Connection, options: Options, findings: Findings) -> None:
        self._ledger, self._connection = ledger, connection
        self._options, self._findings = options, findings
        self._notices: list[str] = []

    def report(self, kept: Sequence[Held], progress: Progress | None) -> Report:
        """Judge everything, and return what was counted; the state is concluded from the findings."""
        findings, options = self._findings, self._options
        check_database(self._ledger, self._connection, findings, is_quick=options.headers_only)
        key = verify_heads.key_of(self._ledger, self._connection, findings)
        own = list(verify_heads.stored(self._connection, key, findings))
        held = list(verify_heads.held(kept, key, self._ledger.id, findings))
        sizes = [head.size for head in (*own, *held)]
        walk = Walk(self._ledger, self._connection, findings, sizes)
        walked = walk.run(with_payloads=not options.headers_only, progress=progress)
        own = list(verify_heads.check_roots(own, walked.roots, walked.sequenced, findings))
        held = list(verify_heads.check_roots(held, walked.roots, walked.sequenced, findings))
        self._tables()
        if options.deep:
            self._artifacts()
        best = max((*own, *held), key=lambda head: head.size, default=None)
        if key and best and options.remembers and not (findings.kept or findings.doubts):
            self._notices.append(verify_seen.remember(self._ledger.id, key, best))
        return self._counted(walked, own, held)

    def _tables(self) -> None:
        """Compare the tables that are made of events with what the events give."""
        if self._options.headers_only:
            return
        from orchestrator.ledger.rebuild import differences

        for difference in differences(self._ledger, self._connection):
            self._findings.add(Finding("projection", brief(difference)))

    def _artifacts(self) -> None:
        from orchestrator.ledger.artifacts import check

        for digest, size in self._connection.stream("SELECT digest, size FROM artifacts ORDER BY digest"):
            if problem := check(self._ledger, str(digest), size):
                self._findings.add(Finding("artifact", f"{brief(digest)}: {problem}"))

    def _counted(self, walked: Walked, own: Sequence[Good], held: Sequence[Good]) -> Report:
        anchored = max((head.size for head in held), default=0)
        covered = max((anchored, *(head.size for head in own)))
        return Report(
            State.CANNOT_TELL,
            self._ledger.id,
            walked.events,
            walked.sequenced,
            walked.chains,
            len(own),
            tuple(f"{head.source}: {head.size} events" for head in held),
            covered,
            anchored,
            walked.erased,
            notices=tuple(filter(None, self._notices)),
            not_proven=tuple(self._not_proven(walked, anchored)),
        )

    def _not_proven(self, walked: Walked, anchored: int) -> Iterable[str]:
        yield from _ALWAYS
        if anchored < walked.events:
            which = f"the last {_many(walked.events - anchored, 'event')}" if anchored else "any of it"
            yield (
                f"that {which} could not have been cut off, or rewritten by somebody with the database and head.key: "
                "no head that is held elsewhere speaks for it"
            )
        if walked.erased:
            yield f"what {_many(walked.erased, 'erased payload')} said"
        if self._options.headers_only:
            yield "that payloads, and the tables made of them, are as recorded: they were not read (--headers-only)"
        if not self._options.deep:
            with suppress(Exception):
                count = self._connection.execute("SELECT count(*) FROM artifacts")[0][0]
                if count:
                    yield f"the content of {_many(count, 'artifact')}: it was not read (--deep)"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
