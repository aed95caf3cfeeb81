"""Decisions as JUnit XML: one suite, one case for each request. Spooled, since the suite's head carries the totals.

A denied or waiting request is a failure, an undecidable one an error. Warned, advisory and waived findings are output,
no failure. The order of elements is the one Jenkins' schema asks for.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TextIO

from orchestrator.choices import Outcome, Reason
from orchestrator.decision import Decision
from orchestrator.show import Options, wording
from orchestrator.show.escape import visible, xml, xml_attribute
from orchestrator.show.notice import notices
from orchestrator.show.spool import Spool
from orchestrator.words import counted

_PATHS_SHOWN = 5


def write(decisions: Iterable[Decision], out: TextIO, options: Options) -> None:
    """Write the suite once all of `decisions` are read.

    Raises:
        OrchError: the temporary folder is full or cannot be written.
        BrokenPipeError: the reader has gone.
    """
    counts: Counter[str] = Counter()
    with Spool() as cases:
        for decision in decisions:
            counts["tests"] += 1
            counts[_verdict(decision)] += 1
            cases.write(_case(decision, counts["tests"], options))
        out.write('<?xml version="1.0" encoding="UTF-8"?>\n')
        numbers = f'tests="{counts["tests"]}" failures="{counts["failure"]}" errors="{counts["error"]}" skipped="0"'
        out.write(f'<testsuites {numbers} time="0">\n<testsuite name="orch" {numbers} time="0">\n')
        cases.copy_to(out)
        out.write("</testsuite>\n</testsuites>\n")


def _verdict(decision: Decision) -> str:
    if decision.is_allowed:
        return "passed"
    return "error" if decision.reason is Reason.UNDECIDABLE else "failure"


def _case(decision: Decision, number: int, options: Options) -> str:
    who = wording.asked(decision.request)
    classname = "/".join(part for part in (who.action, who.resource) if part)
    name = decision.label or f"request {number}"
    head = f'<testcase classname="{xml_attribute(classname)}" name="{xml_attribute(name)}" time="0"'
    if wording.is_clean(decision):
        return head + "/>\n"
    verdict, text = _verdict(decision), xml("\n".join(_lines(decision, options)))
    if verdict == "passed":
        return f"{head}>\n<system-out>{text}</system-out>\n</testcase>\n"
    kind = decision.outcome.value if decision.outcome is Outcome.PENDING else decision.reason.value
    message = xml_attribute(notices(decision)[0].message)
    return f'{head}>\n<{verdict} type="{kind}" message="{message}">{text}</{verdict}>\n</testcase>\n'


def _lines(decision: Decision, options: Options) -> Iterator[str]:
    """Give what there is to say, one thing a line."""
    who, note = wording.asked(decision.request), wording.outcome_note(decision)
    what = " ".join(filter(None, (who.subject, who.action, who.resource, who.place)))
    yield f"{wording.outcome_word(decision)}{f' ({note})' if note else ''}: {visible(what)}"
    for notice in notices(decision):
        yield f"{visible(notice.title)}: {visible(' '.join(notice.message.split()))}"
        shown = notice.paths if options.all_paths else notice.paths[:_PATHS_SHOWN]
        yield from (f"  file: {visible(path)}" for path in shown)
        more = max(notice.path_count, len(notice.paths)) - len(shown)
        if more > 0:
            yield f"  and {counted(more, 'more file')}"
        if notice.fix:
            yield f"  fix: {visible(notice.fix)}"
        if notice.source:
            yield f"  rule: {visible(notice.source)}"
    yield from (f"{owed.status}: {visible(wording.obligation_text(owed))}" for owed in decision.obligations)
    yield from (f"note: {visible(str(text))}" for text in decision.context.get("advice") or ())
    if next_action := decision.context.get("next_action"):
        yield f"next: {visible(str(next_action))}"
