"""Decisions as a comment on a pull request: totals, a table of the requests, then what needs attention.

The text is GitHub's Markdown and safe to post: names stand in code spans, prose is escaped, nobody is mentioned. Table
and details are spooled, since the heading needs totals. The first line is a marker by which a bot finds its comment.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self, TextIO

from orchestrator.decision import Decision, Obligation
from orchestrator.show import Options, wording
from orchestrator.show.escape import markdown, markdown_code
from orchestrator.show.notice import Notice, notices
from orchestrator.show.spool import Spool
from orchestrator.words import counted

MARKER = "<!-- orch:report -->"
_PATHS_SHOWN = 5
_SIGNS = {"DENIED": "❌ denied", "WAITING": "⏳ waiting", "WARNED": "⚠️ warned", "ALLOWED": "✅ allowed"}
_KINDS = {
    "denied": "denied",
    "required": "required",
    "advisory": "advisory, does not block",
    "warned": "warned, does not block",
    "waived": "waived, does not block",
}
_ROOM_FOR_FRAME = 8_192
"""Bytes kept free for heading and footer when the size is limited."""


def write(decisions: Iterable[Decision], out: TextIO, options: Options) -> None:
    """Write the report once all of `decisions` are read.

    Raises:
        OrchError: the temporary folder is full or cannot be written.
        BrokenPipeError: the reader has gone.
    """
    with Report(options) as report:
        for decision in decisions:
            report.add(decision)
        report.copy_to(out)


class Report:
    """A report in the making, in constant memory. Use it in a `with` block."""

    def __init__(self, options: Options, limit_bytes: int | None = None) -> None:
        self._options = options
        self._room = None if limit_bytes is None else max(0, limit_bytes - _ROOM_FOR_FRAME)
        self._rows, self._details = Spool(), Spool()
        self._words: Counter[str] = Counter()
        self._last: Decision | None = None
        self._hidden_rows = self._hidden_details = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.__exit__(kind, error, trace)
        self._details.__exit__(kind, error, trace)

    def add(self, decision: Decision) -> None:
        """Take in one more decision; beyond the size limit it is only counted."""
        self._words[wording.outcome_word(decision)] += 1
        self._last = decision
        row = _row(decision, self._words.total())
        if self._fits(row):
            self._rows.write(row)
        else:
            self._hidden_rows += 1
        if wording.is_clean(decision):
            return
        details = "\n".join(_details(decision, self._options)) + "\n"
        if self._fits(details):
            self._details.write(details)
        else:
            self._hidden_details += 1

    def _fits(self, text: str) -> bool:
        used = self._rows.size_bytes + self._details.size_bytes
        return self._room is None or used + len(text.encode()) <= self._room

    def copy_to(self, out: TextIO) -> None:
        """Write the whole report."""
        out.write(f"{MARKER}\n## Policy: {wording.totals(self._words)}\n\n")
        if self._words:
            out.write("| Request | Who | What | Outcome |\n|---|---|---|---|\n")
            self._rows.copy_to(out)
            out.write(_more(self._hidden_rows, "request"))
            out.write("\n")
        self._details.copy_to(out)
        out.write(_more(self._hidden_details, "request", "with details "))
        if self._last is not None:
            out.write(_footer(self._last, self._options))


def _more(hidden: int, noun: str, which: str = "") -> str:
    return (
        f"\n_{counted(hidden, noun)} more {which}left out: the report has reached its size limit._\n\n"
        if hidden
        else ""
    )


def _row(decision: Decision, number: int) -> str:
    who = wording.asked(decision.request)
    what = _what(who)
    label = markdown_code(decision.label) if decision.label else str(number)
    return f"| {label} | {markdown_code(who.subject)} | {what} | {_outcome(decision)} |\n"


def _outcome(decision: Decision) -> str:
    note = wording.outcome_note(decision)
    return _SIGNS[wording.outcome_word(decision)] + (f" ({note})" if note else "")


def _what(who: wording.Asked) -> str:
    parts = [markdown_code(who.action)]
    parts += [f"on {markdown_code(who.resource)}"] if who.resource else []
    parts += [f"onto {markdown_code(who.branch)}"] if who.branch else []
    parts += [f"from {markdown_code(who.head_branch)}"] if who.head_branch else []
    return " ".join(parts)


def _details(decision: Decision, options: Options) -> Iterator[str]:
    """Give the lines on one request that needs attention."""
    who = wording.asked(decision.request)
    yield f"### {_outcome(decision)}: {_what(who)}"
    yield ""
    found = notices(decision)
    for notice in found:
        yield from _notice(notice, options)
    for owed in decision.obligations:
        yield _obligation(owed)
    for advice in decision.context.get("advice") or ():
        yield f"- note: {markdown(str(advice))}"
    if next_action := decision.context.get("next_action"):
        yield f"- **next:** {markdown(str(next_action))}"
    if decision.context.get("claimed"):
        yield "- claimed: rests on what the asker says; never executed"
    yield ""


def _notice(notice: Notice, options: Options) -> Iterator[str]:
    source = f", {markdown_code(notice.source)}" if notice.source else ""
    about = f"({markdown(notice.severity)}{source})"
    yield f"- **{_KINDS[notice.kind]}** {markdown_code(notice.rule)} {about}: {markdown(notice.message)}"
    shown = notice.paths if options.all_paths else notice.paths[:_PATHS_SHOWN]
    if shown:
        more = max(notice.path_count, len(notice.paths)) - len(shown)
        rest = f" and {more:,} more" if more else ""
        yield f"  - files: {', '.join(markdown_code(path) for path in shown)}{rest}"
    if notice.fix:
        yield f"  - fix: {markdown_code(notice.fix)}"


def _obligation(owed: Obligation) -> str:
    box = "x" if owed.status == "met" else " "
    lead = "- " if owed.type == "budget" else f"- [{box}] "
    proof = f" ({', '.join(markdown_code(proof) for proof in owed.proof)})" if owed.proof else ""
    return lead + markdown(wording.obligation_text(owed)) + proof


def _footer(decision: Decision, options: Options) -> str:
    digest = decision.context.get("policy", {}).get("digest") or options.policy_digest
    packs = markdown(wording.packs_text(decision) or "none")
    at = f" at {markdown(str(decision.context['point']))}" if decision.context.get("point") else ""
    return (
        f"<sub>Policy{at}: {packs}"
        + (f", {markdown_code(wording.short_digest(digest))}" if digest else "")
        + "</sub>\n"
    )
