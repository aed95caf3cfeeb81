"""Decisions as TAP 14: a test point for each request, with a YAML block where there is something to say. Streams.

Allowed and warned requests are `ok`, all others `not ok`. The plan comes last, when the number of requests is known.
"""

from collections.abc import Iterable, Iterator
from typing import TextIO

from orchestrator.decision import Decision
from orchestrator.show import Options, wording
from orchestrator.show.escape import tap, yaml
from orchestrator.show.notice import Notice, notices


def write(decisions: Iterable[Decision], out: TextIO, options: Options) -> None:
    """Write a test point for each decision as it comes, then the plan.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    out.write("TAP version 14\n")
    number = 0
    for number, decision in enumerate(decisions, start=1):
        verdict = "ok" if decision.is_allowed else "not ok"
        out.write(f"{verdict} {number} - {tap(_description(decision))}\n")
        if not wording.is_clean(decision):
            out.write("".join(f"  {line}\n" for line in _diagnostics(decision, options)))
    out.write(f"1..{number}\n")


def _description(decision: Decision) -> str:
    who = wording.asked(decision.request)
    what = " ".join(filter(None, (who.subject, who.action, who.resource, who.place)))
    return f"{decision.label}: {what}" if decision.label else what


def _diagnostics(decision: Decision, options: Options) -> Iterator[str]:
    yield "---"
    yield f"outcome: {yaml(decision.outcome)}"
    yield f"would: {yaml(decision.would)}"
    yield f"reason: {yaml(decision.reason)}"
    found = notices(decision)
    if found:
        yield "findings:"
        for notice in found:
            yield from _finding(notice, options)
    yield from _list(
        "obligations", (f"{owed.status}: {wording.obligation_text(owed)}" for owed in decision.obligations)
    )
    yield from _list("advice", (str(text) for text in decision.context.get("advice") or ()))
    if next_action := decision.context.get("next_action"):
        yield f"next: {yaml(str(next_action))}"
    yield "..."


def _finding(notice: Notice, options: Options) -> Iterator[str]:
    yield f"  - rule: {yaml(notice.rule)}"
    yield f"    kind: {yaml(notice.kind)}"
    yield f"    severity: {yaml(notice.severity)}"
    yield f"    message: {yaml(' '.join(notice.message.split()))}"
    if notice.fix:
        yield f"    fix: {yaml(notice.fix)}"
    if notice.source:
        yield f"    source: {yaml(notice.source)}"
    shown = notice.paths if options.all_paths else notice.paths[:5]
    if shown:
        yield f"    file_count: {max(notice.path_count, len(notice.paths))}"
        yield from (f"    {line}" for line in _list("files", shown))


def _list(key: str, items: Iterable[str]) -> Iterator[str]:
    for number, item in enumerate(items):
        if not number:
            yield f"{key}:"
        yield f"  - {yaml(item)}"
