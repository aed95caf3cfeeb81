"""Decisions as GitHub workflow commands, the gravest first, and as the step's job summary.

GitHub shows ten errors, ten warnings and ten notices of a step; no more are printed, the last says how many there are.
Only what blocks is an error: warning and advisory findings are warnings, waived ones notices.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from orchestrator.decision import Decision
from orchestrator.show import Options, wording
from orchestrator.show.escape import github_data, github_property, visible
from orchestrator.show.markdown import Report
from orchestrator.show.notice import Notice, notices, place_in_repository
from orchestrator.words import counted

SHOWN_PER_LEVEL = 10
"""What GitHub shows of one step."""
SUMMARY_LIMIT_BYTES = 1024 * 1024
"""What GitHub takes as the job summary of one step."""
_COMMANDS = ("error", "warning", "notice")


def write(decisions: Iterable[Decision], out: TextIO, options: Options) -> None:
    """Write the annotations and one line of totals once all of `decisions` are read, and append to the job summary.

    A job summary that cannot be written is a warning, since the outcome does not depend on it.

    Raises:
        OrchError: the temporary folder is full or cannot be written.
        BrokenPipeError: the reader has gone.
    """
    annotations = _Annotations()
    words: Counter[str] = Counter()
    with Report(options, _summary_room(options)) as report:
        for decision in decisions:
            words[wording.outcome_word(decision)] += 1
            for notice in notices(decision):
                annotations.add(notice, decision)
            if options.summary_file:
                report.add(decision)
        trouble = _append_summary(report, options)
    out.writelines(line + "\n" for line in annotations.lines())
    if trouble:
        out.write(f"::warning title=orch::{github_data(trouble)}\n")
    out.write(f"orch: {wording.totals(words)}\n")


class _Annotations:
    """The gravest annotations of each command, in bounded memory."""

    def __init__(self) -> None:
        self._kept: dict[str, list[tuple[tuple[int, int, int], str, str]]] = {command: [] for command in _COMMANDS}
        self._seen: Counter[str] = Counter()
        self._order = itertools.count()

    def add(self, notice: Notice, decision: Decision) -> None:
        """Take in a notice: one annotation for each of its files."""
        command = _command(notice)
        message = _message(notice, decision)
        for where in _places(notice):
            self._seen[command] += 1
            level, severity = notice.rank
            key = (-level, -severity, -next(self._order))
            properties = f"{where}title={github_property(notice.title)}"
            keep = heapq.heappush if len(self._kept[command]) < SHOWN_PER_LEVEL else heapq.heappushpop
            keep(self._kept[command], (key, properties, message))

    def lines(self) -> Iterator[str]:
        """Give the commands, errors first; the last of a kind says how many are left out."""
        for command in _COMMANDS:
            kept = sorted(self._kept[command], reverse=True)
            left_out = self._seen[command] - len(kept)
            for number, (_, properties, message) in enumerate(kept, start=1):
                is_last = number == len(kept) and left_out
                more = github_data(f"\n({counted(left_out, 'more ' + command)} not shown)") if is_last else ""
                yield f"::{command} {properties}::{message}{more}"


def _command(notice: Notice) -> str:
    if notice.kind == "waived":
        return "notice"
    return "error" if notice.level == "error" else "warning"


def _places(notice: Notice) -> list[str]:
    """Return the properties that say where: each file, else the rule if it lies in the repository, else nothing."""
    if notice.paths:
        return [f"file={github_property(path)},line=1," for path in notice.paths]
    place = place_in_repository(notice.source)
    return [f"file={github_property(place[0])},line={place[1]},"] if place else [""]


def _message(notice: Notice, decision: Decision) -> str:
    who = wording.asked(decision.request)
    what = visible(" ".join(filter(None, (who.subject, who.action, who.resource, who.place))))
    lines = [" ".join(notice.message.split()), f"request: {what}"]
    if notice.unlisted:
        lines.append(f"and {counted(notice.unlisted, 'more file')}")
    if notice.fix:
        lines.append(f"fix: {visible(notice.fix)}")
    if notice.source:
        lines.append(f"rule: {visible(notice.source)}")
    return github_data("\n".join(lines))


def _summary_room(options: Options) -> int:
    """Return how many bytes the summary may still take: earlier commands of the step share the file."""
    if not options.summary_file:
        return 0
    try:
        used = Path(options.summary_file).stat().st_size
    except OSError:
        used = 0
    return max(0, SUMMARY_LIMIT_BYTES - used)


def _append_summary(report: Report, options: Options) -> str:
    """Append the report to the job summary and return what went wrong, or an empty string."""
    if not options.summary_file:
        return ""
    try:
        with Path(options.summary_file).open("a", encoding="utf-8") as summary:
            report.copy_to(summary)
    except OSError as error:
        return f"the job summary could not be written: {error.strerror or error}"
    return ""
