"""What a person reads of a verification: the state, what speaks against the ledger, what is not proven; and of heads.

Every text of the ledger is escaped: a tampered one may hold anything.
"""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import TextIO

from orchestrator.ledger.anchor import Anchored
from orchestrator.ledger.heads import Head
from orchestrator.ledger.verify_report import Finding, Report, State
from orchestrator.show.escape import terminal
from orchestrator.words import counted

_COLOURS = {State.VERIFIED: "green", State.TAMPERED: "red", State.CANNOT_TELL: "yellow"}
_HELD_SHOWN = 5
_WORST_FIRST = ("key", "held", "head", "chain", "leaf", "header", "column", "payload", "schema", "artifact")
"""Kinds of findings; the others come last."""
_PLACES_SHOWN = 8
_NEXT = 'next: stop what writes; docs/ledger-verify.md, "When it says tampered", says what to do'
_NEXT_TABLES = (
    "next: the events hold, only tables that are made of them differ: keep a copy, then `orch ledger rebuild` makes "
    'them anew; docs/ledger-verify.md, "When it says tampered", says how to find out why'
)
_SIGN = "`orch ledger heads sign` signs one; `orch ledger heads anchor` keeps it elsewhere, too"


def write(report: Report, out: TextIO, *, width: int = 80) -> None:
    """Write a report as text for people."""
    import click

    state, rest = _first(report)
    click.echo(click.style(state, fg=_COLOURS[report.state], bold=True) + rest, file=out)
    for line in _lines(report):
        click.echo(_wrapped(line, width), file=out)


def write_heads(heads: Sequence[Head], out: TextIO) -> None:
    """Write heads as a table: size, when signed, root."""
    import click

    if not heads:
        click.echo(f"no head was signed yet; {_SIGN}", file=out)
        return
    wide = max(len("events"), *(len(f"{head.size:,}") for head in heads))
    click.echo(f"{'events':>{wide}}  {'signed':20}  root", file=out)
    for head in heads:
        when = f"{head.signed_at[:19]}Z"
        click.echo(f"{head.size:>{wide},}  {terminal(when)}  {b64encode(head.root).decode()}", file=out)


def write_signed(head: Head, out: TextIO) -> None:
    """Write that a head was signed, and how it is kept elsewhere."""
    import click

    click.echo(f"signed a head of {counted(head.size, 'event')} at {terminal(head.signed_at[:19])}Z", file=out)
    click.echo(f"root {b64encode(head.root).decode()}", file=out)
    click.echo("keep it elsewhere: orch ledger heads anchor --git DIR, or orch ledger heads show > FILE", file=out)


def write_anchored(done: Anchored, out: TextIO) -> None:
    """Write where a head was kept."""
    import click

    said = "kept" if done.is_new else "was kept already"
    where = f"{done.ref} at {done.commit[:12]}" + (f", pushed to {done.remote}" if done.remote else "")
    click.echo(f"the head of {counted(done.head.size, 'event')} {said} in {terminal(where)}", file=out)


def _first(report: Report) -> tuple[str, str]:
    if not report.events:
        return report.state, f": the ledger {report.ledger_id}" if report.ledger_id else ""
    heads = f"{counted(report.heads, 'signed head')}, {counted(len(report.held), 'head')} held elsewhere"
    return report.state, f": {counted(report.events, 'event')} in {counted(report.chains, 'chain')}; {heads}"


def _lines(report: Report) -> Iterator[tuple[str, str]]:
    """Yield what begins a line, and the line's text."""
    for doubt in report.doubts:
        yield "  ? ", doubt
    yield from _findings(report.findings)
    more = sum(count for _, count in report.counts) - len(report.findings)
    if more > 0:
        yield "     ", f"and {more:,} more; in all " + ", ".join(f"{count:,} {kind}" for kind, count in report.counts)
    for source in report.held[:_HELD_SHOWN]:
        yield "  + ", source
    if len(report.held) > _HELD_SHOWN:
        yield "  + ", f"and {len(report.held) - _HELD_SHOWN:,} more heads"
    if report.erased:
        yield "  - ", f"{counted(report.erased, 'payload')} erased by an event that says so"
    if report.unanchored and report.events:
        yield "  ! ", f"{counted(report.unanchored, 'event')} under no signed head yet; {_SIGN}"
    for notice in report.notices:
        yield "  ! ", notice
    if report.not_proven:
        yield "", "Not proven by this:"
        yield from (("  - ", text) for text in report.not_proven)
    if report.findings:
        are_tables_alone = {kind for kind, _ in report.counts} == {"projection"} and not report.doubts
        yield "", _NEXT_TABLES if are_tables_alone else _NEXT


def _findings(findings: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    """Yield the lines of the findings: the worst first, those that say the same as one."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in sorted(findings, key=_badness):
        groups.setdefault((finding.kind, finding.what), []).append(finding)
    for number, group in enumerate(groups.values(), 1):
        first = group[0]
        yield f"{number:3}. ", first.what + (f" ({len(group)} times)" if len(group) > 1 else "")
        positions = [one.position for one in group if one.position is not None]
        if len(group) > 1 and len(positions) == len(group):
            yield "     ", f"{'heads of' if _is_head(first) else 'leaves'} {_ranges(positions)}; the first:"
        elif len(group) > 1:
            yield "     ", "the first:"
        yield from (("     ", text) for text in _about(first))


def _badness(finding: Finding) -> int:
    return _WORST_FIRST.index(finding.kind) if finding.kind in _WORST_FIRST else len(_WORST_FIRST)


def _ranges(positions: Sequence[int]) -> str:
    """Return `40-51, 60` for numbers."""
    found: list[list[int]] = []
    for position in sorted(positions):
        if found and position <= found[-1][1] + 1:
            found[-1][1] = position
        else:
            found.append([position, position])
    told = [f"{first}-{last}" if last > first else str(first) for first, last in found[:_PLACES_SHOWN]]
    return ", ".join(told) + (", ..." if len(found) > _PLACES_SHOWN else "")


def _is_head(finding: Finding) -> bool:
    return finding.kind in {"head", "held"}


def _about(finding: Finding) -> Iterator[str]:
    where = [f"event {finding.event}"] if finding.event else []
    if finding.run:
        where.append(finding.run)
    if finding.position is not None:
        where.append(f"head of {finding.position} events" if _is_head(finding) else f"leaf {finding.position}")
    if where:
        yield ", ".join(where)
    if finding.seen:
        yield f"seen     {finding.seen}"
    if finding.expected:
        yield f"expected {finding.expected}"


def _wrapped(line: tuple[str, str], width: int) -> str:
    import textwrap

    begin, text = line
    shown = terminal(text)
    if len(begin) + len(shown) <= width:
        return begin + shown
    wrapper = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)
    wrapper.initial_indent, wrapper.subsequent_indent = begin, " " * len(begin)
    return wrapper.fill(shown)
