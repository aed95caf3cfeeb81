"""Adds evidence: reads a report, sees that it speaks of what is checked out, stores it and records what it says.

Runs no tool and decides nothing: whether an obligation is met by it is the engine's to say.
"""

import os
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator import place, reports, statement
from orchestrator.about import Asked, Call, Subject, subject_of, unreadable
from orchestrator.ci import detect
from orchestrator.errors import UsageError
from orchestrator.known import CHAIN
from orchestrator.names import shown
from orchestrator.reports import Report
from orchestrator.settings import Settings
from orchestrator.settling import Proof, Settled, settle
from orchestrator.statement import About, Statement

if TYPE_CHECKING:
    from orchestrator.ledger.event import Draft
    from orchestrator.ledger.store import Connection, Ledger

_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MAX_TOOL = 80
_UNPLACED = """SELECT 1 FROM evidence WHERE chain = ? AND type = ? AND tool = ? AND claimed = 0
AND (change_digest = ? OR action_digest = ?) LIMIT 1"""
_MAX_KEY = 16 * 1024
"""Characters of a public key's file."""
_MAX_FILE_BYTES = 64 * 1024 * 1024


class Added(NamedTuple):
    """Evidence as it was recorded."""

    event_id: str
    at: str
    """RFC 3339, by the writer's clock."""
    payload: Mapping[str, Any]
    """As docs/ledger.md gives it for `orch.evidence.added`."""
    report: Report
    artifact: str
    """Digest of what was stored."""
    settled: tuple[Settled, ...]
    """What earlier actions owed and this settled, or showed to have failed."""

    @property
    def is_pass(self) -> bool:
        """Whether it is a proof and not its opposite."""
        return self.report.result == reports.PASS


def add(
    ledger: "Ledger",
    asked: Asked,
    settings: Settings,
    *,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Added:
    """Return the evidence that was recorded, of whatever result.

    The report's bytes are stored first, then the event, in one transaction with the debts it settles.

    Raises:
        UsageError: the report cannot be read, or speaks of something else than what is checked out.
        LedgerError: it cannot be recorded; nothing was.

    Source: 001, "Evidence".
    """
    if not _TYPE.fullmatch(asked.type):
        raise UsageError(
            f"the type is {shown(asked.type)}; expected letters, digits, `.`, `_` and `-`",
            advice="name it as packs ask for it, such as tests",
        )
    call = Call(ledger, asked, settings, detect(os.environ if environ is None else environ), cwd or place.here())
    data, name = _read(asked.file)
    subject = subject_of(call)
    report = reports.read_report(data, name, form=asked.form, limits=_limits(asked))
    signed_by = ""
    if report.form == "in-toto":
        report, signed_by = _stated(call, subject, statement.read_statement(data, name), name)
    return _recorded(call, subject, _judged(report, asked, name), signed_by, data)


def _limits(asked: Asked) -> reports.Limits:
    if asked.minimum is None:
        return reports.Limits(None, asked.max_level)
    text = asked.minimum.strip().removesuffix("%").strip()
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,4})?", text) or Fraction(text) > 100:  # noqa: PLR2004  # percent
        advice = "for example --min 80"
        raise UsageError(f"--min is {shown(asked.minimum)}; expected percent from 0 to 100", advice=advice)
    return reports.Limits(Fraction(text), asked.max_level)


def _judged(report: Report, asked: Asked, name: str) -> Report:
    """Return the report with a result: its own, else the caller's."""
    if report.result is None:
        if asked.result is None:
            raise UsageError(
                f"{name} does not say by itself whether it is a pass", advice="say it: --result pass, or --result fail"
            )
        return report._replace(result=asked.result, reason="as stated")
    if asked.result not in {None, report.result}:
        raise UsageError(
            f"--result {asked.result}, and {name} says {report.result} ({report.reason})",
            advice="leave --result out; with --format other the report is not looked into",
        )
    return report


def _read(file: str) -> tuple[bytes, str]:
    import sys

    name = "standard input" if file == "-" else file
    try:
        if file == "-":
            data = sys.stdin.buffer.read(_MAX_FILE_BYTES + 1) if sys.stdin is not None else b""
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(_MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise unreadable(file, error) from error
    if not data:
        raise UsageError(f"{name} is empty; expected a report")
    if len(data) > _MAX_FILE_BYTES:
        raise UsageError(f"{name} has more than {_MAX_FILE_BYTES:,} bytes", advice="add a summary of it instead")
    return data, name


def _stated(call: Call, subject: Subject, found: Statement, name: str) -> tuple[Report, str]:
    """Return what a statement comes to, and who signed it."""
    by = found.speaks_of(subject.seen)
    if not by and not call.asked.is_stated:
        raise UsageError(
            f"{name} does not speak of {_spoken(subject.seen)}",
            advice="make it for this commit, or name the file that it is about with --subject",
        )
    signers = statement.verified(found, _keys(call, subject) if found.signatures else {}, name)
    signed_by = ", ".join(signers)
    summary: dict[str, Any] = {"predicate_type": found.predicate_type[:256], "matched": list(by)}
    summary |= {"signed": bool(signers), "signatures": len(found.signatures), "subjects": len(found.subjects)}
    how = f"signed by {signed_by}" if signers else "signed by nobody known" if found.signatures else "unsigned"
    reason = f"{found.predicate_type.removeprefix('https://')[:100]}, {how}"
    verdict = found.verdict or reports.PASS
    return Report("in-toto", verdict, reason, summary, media_type="application/vnd.in-toto+json"), signed_by


def _spoken(about: About) -> str:
    what = [f"commit {about.commit[:12]}"] if about.commit else []
    what += ["the change"] if about.change_digest else ["the action"]
    return " or ".join([*what, *(["the files named"] if about.files else [])])


def _keys(call: Call, subject: Subject) -> dict[str, list[bytes]]:
    """Return the keys that are believed: the one that is named, else those of the roster at the change's base."""
    from orchestrator.keys import from_jwk, public_key, ssh_line

    named = call.asked.key
    if named is not None:
        try:
            with Path(named).open(encoding="utf-8") as opened:
                text = opened.read(_MAX_KEY)
        except (OSError, ValueError) as error:
            raise unreadable(named, error) from error
        key = statement.public_key(text, named)
        return {ssh_line(key): [key]}
    if not call.settings.packs:
        return {}
    from orchestrator.sources import gather, read_pack_set

    gathered = gather(call.settings, cwd=call.cwd, base_commit=subject.base)
    if gathered.bundle:
        from orchestrator.bundle import read

        roster = read(gathered.bundle.read_bytes()).policy["roster"]
        return {name: [from_jwk(key) for key in entry.get("keys", ())] for name, entry in roster.items()}
    people = read_pack_set(gathered).roster
    return {one.name: [public_key(key) for key in one.keys] for one in people if one.keys}


def _recorded(call: Call, subject: Subject, report: Report, signed_by: str, data: bytes) -> Added:
    from orchestrator.ledger import artifacts
    from orchestrator.ledger.append import append

    ledger, asked, about = call.ledger, call.asked, subject.about
    name = "stdin" if asked.file == "-" else Path(asked.file).name
    artifact = artifacts.put(ledger, data, name=name, media_type=report.media_type)
    if artifact.was_masked:
        report = report._replace(summary={**report.summary, "masked": True})
    draft = _draft(call, subject, report, signed_by, artifact.digest)
    with ledger.store.writing() as connection:
        draft = draft._replace(run_id=_chain(connection, draft))
        artifacts.stored(ledger, connection, artifact, draft.run_id, draft.actor)
        event = append(ledger, connection, draft)
        settled: list[Settled] = []
        if not asked.is_stated:
            proof = Proof(
                asked.type,
                str(report.result),
                artifact.digest,
                subject.repository,
                about.change_digest,
                about.action_digest,
                event.id,
                draft.actor,
            )
            settled = settle(ledger, connection, proof)
    return Added(event.id, event.fields["time"], draft.payload or {}, report, artifact.digest, tuple(settled))


def _chain(connection: "Connection", draft: "Draft") -> str:
    """Return the chain that evidence goes into: its repository's, unless earlier reports named none.

    Then it goes behind them, or nobody could say that it is the newer one.
    """
    said = draft.payload or {}
    given = (said["type"], said["tool"], said["change_digest"] or "-", said["action_digest"] or "-")
    return CHAIN if connection.execute(_UNPLACED, (CHAIN, *given)) else draft.run_id


def _draft(call: Call, subject: Subject, report: Report, signed_by: str, artifact: str) -> "Draft":
    from orchestrator.ledger.event import Draft

    asked, about = call.asked, subject.about
    summary = {"form": report.form, **report.summary, "reason": report.reason}
    tool = asked.tool if asked.tool is not None else report.tool
    payload = {
        "type": asked.type,
        "result": report.result,
        "artifact": artifact,
        "change_digest": about.change_digest or None,
        "action_digest": about.action_digest or None,
        "tree": about.tree or None,
        "commit": about.commit or None,
        "summary": summary | ({"claimed": True} if asked.is_stated else {}),
        "tool": tool[:_MAX_TOOL],
        "signed_by": signed_by or None,
        "run_id": call.settings.run or None,
    }
    chain = f"{CHAIN}{subject.repository}"
    draft = Draft("orch.evidence.added", chain, call.actor, payload, repository=subject.repository)
    return draft._replace(action_digest=about.action_digest)
