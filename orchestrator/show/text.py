"""Decisions as a person reads them in a terminal. On the hot path: even `textwrap` is too slow to import.

One request is shown whole; of many, those with nothing to say take one line each, and the totals come last. No text
from outside begins at the left edge or can pass for a command of a CI.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TextIO

from orchestrator.decision import Decision, Finding, Obligation
from orchestrator.show import Options, escape, wording

PATHS_SHOWN = 5
"""How many paths of a finding are shown unless all are asked for."""
_MARKS = {
    "deny": "✗",
    "require": "!",
    "advisory": "i",
    "waived": "~",
    "warn": "⚠",
    "met": "✓",
    "unmet": "○",
    "dot": "·",
}
_ASCII = {
    "deny": "x",
    "require": "!",
    "advisory": "i",
    "waived": "~",
    "warn": "w",
    "met": "+",
    "unmet": "o",
    "dot": "-",
}
_COLORS = {"DENIED": "1;31", "WAITING": "1;33", "WARNED": "1;33", "ALLOWED": "1;32", "bold": "1", "dim": "2"}
_MARK_COLORS = {
    "deny": "31",
    "require": "33",
    "warn": "33",
    "advisory": "36",
    "waived": "2",
    "met": "32",
    "unmet": "33",
}
_MIN_WIDTH, _MAX_WIDTH = 40, 120
_INDENT = 4
_WORD_WIDTH = 9


def write(decisions: Iterable[Decision], out: TextIO, options: Options) -> None:
    """Write each decision as it comes, then the totals and the policy that judged.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    page = _page(out, options)
    words: Counter[str] = Counter()
    last, ended_block = None, True
    for decision in decisions:
        words[wording.outcome_word(decision)] += 1
        last = decision
        if not options.is_single and wording.is_clean(decision) and not options.explanations:
            lines, is_block = [_headline(decision, page, is_short=True)], False
        else:
            lines, is_block = list(_block(decision, page)), True
        blank = "\n" if is_block and not ended_block else ""
        out.write(blank + "\n".join(lines) + "\n" + ("\n" if is_block else ""))
        ended_block = is_block
    if not options.is_single:
        out.write(("" if ended_block else "\n") + page.paint("bold", wording.totals(words)) + "\n")
    if last is not None:
        out.write("\n".join(_policy(last, page)) + "\n")


class _Page(NamedTuple):
    """Where it is written: width, alphabet, colour."""

    options: Options
    width: int
    is_ascii: bool

    def mark(self, name: str) -> str:
        return self.paint_code(_MARK_COLORS.get(name, ""), (_ASCII if self.is_ascii else _MARKS)[name])

    def paint(self, name: str, text: str) -> str:
        return self.paint_code(_COLORS[name], text)

    def paint_code(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.options.color and code and text else text

    def say(self, text: str) -> str:
        return escape.terminal(text, ascii_only=self.is_ascii)

    def wrap(self, text: str, indent: str, hang: str = "") -> list[str]:
        """Return `text`, escaped, in lines that fit; a word too long for a line keeps one of its own."""
        return _wrapped(self.say(text), self.width, indent, hang or indent)

    @property
    def dot(self) -> str:
        return f" {_ASCII['dot'] if self.is_ascii else _MARKS['dot']} "


def _wrapped(text: str, width: int, indent: str, hang: str) -> list[str]:
    """Return the lines of `text`, in which nothing but spaces parts words; `hang` indents all but the first."""
    lines: list[str] = []
    line, gap = "", -1
    for word in text.split(" "):
        gap += 1
        if not word:
            continue
        room = width - len(hang if lines else indent)
        if line and len(line) + gap + len(word) <= room:
            line += " " * gap + word
        elif line:
            lines.append((hang if lines else indent) + line)
            line = word
        else:
            line = (" " * gap if gap + len(word) <= room else "") + word
        gap = 0
    return [*lines, (hang if lines else indent) + line] if line else lines


def _page(out: TextIO, options: Options) -> _Page:
    encoding = (getattr(out, "encoding", None) or "utf-8").lower().replace("-", "").replace("_", "")
    return _Page(options, max(_MIN_WIDTH, min(options.width, _MAX_WIDTH)), is_ascii=not encoding.startswith("utf"))


def _block(decision: Decision, page: _Page) -> Iterator[str]:
    """Give the lines of a decision shown whole."""
    yield _headline(decision, page, is_short=False)
    yield from _where(decision, page)
    for finding in sorted(filter(decision.is_open, decision.findings), key=_gravity):
        yield ""
        yield from _finding(finding, page)
    yield from _section(_allowed_by(decision, page))
    yield from _section(_obligations(decision, page))
    yield from _section(
        line for text in _strings(decision, "advice") for line in page.wrap(_prose(text), "  note: ", " " * 8)
    )
    yield from _section(_explanation(decision, page))
    yield from _section(_next(decision, page))
    if request_id := decision.context.get("request_id"):
        name = page.say(str(request_id))
        yield from ("", f"  {page.paint('bold', 'request:')} {name}{page.dot}orch approve {name}")
    if decision.context.get("claimed") and not any(text.startswith("claimed") for text in _strings(decision, "advice")):
        yield from ("", "  claimed: rests on what the asker says; never executed")


def _next(decision: Decision, page: _Page) -> Iterator[str]:
    """Give the next step; what could be pasted into a shell stays on one line."""
    text = str(decision.context.get("next_action") or "")
    if decision.context.get("reason") != "pending":
        yield from [f"  {page.paint('bold', 'next:')} {page.say(text)}"] if text else []
        return
    for number, step in enumerate(text.split("; then ")):
        label = "then:" if number else "next:"
        yield from _relabel(page.wrap(step, f"  {label} ", " " * 8), label, page.paint("bold", label))


def _section(lines: Iterable[str]) -> Iterator[str]:
    """Give `lines` after an empty one, or nothing."""
    for number, line in enumerate(lines):
        if not number:
            yield ""
        yield line


def _headline(decision: Decision, page: _Page, *, is_short: bool) -> str:
    word, note = wording.outcome_word(decision), wording.outcome_note(decision)
    who = wording.asked(decision.request)
    shown = [page.paint(word, word) + (f" ({note})" if note else "")]
    pad = " " * (_WORD_WIDTH - len(word)) if not note else "  "
    what = page.dot.join(page.say(part) for part in (who.subject, who.action, who.resource) if part)
    if is_short and who.branch:
        what += page.say(f" {who.place}")
    if decision.label and not page.options.is_single:
        what += page.paint("dim", page.say(f"  [{decision.label}]"))
    return shown[0] + pad + what


def _where(decision: Decision, page: _Page) -> Iterator[str]:
    who = wording.asked(decision.request)
    where = ", ".join(part for part in (who.place, who.files) if part)
    if where:
        yield from page.wrap(where, " " * _WORD_WIDTH)


def _prose(text: str) -> str:
    """Return running text in one line: its line breaks are the writer's habit, not a statement."""
    return " ".join(text.split())


def _gravity(finding: Finding) -> tuple[int, str]:
    return ("deny", "require", "warn", "advisory", "waived").index(_mark_of(finding)), finding.rule


def _mark_of(finding: Finding) -> str:
    if finding.waived:
        return "waived"
    if finding.level == "advisory":
        return "advisory"
    return "warn" if finding.mode == "warn" else finding.effect


def _finding(finding: Finding, page: _Page) -> Iterator[str]:
    """Give one objection: mark and rule, severity and place, then message, files and fix."""
    mark = _mark_of(finding)
    note = {"waived": "waived", "warn": "only warns", "advisory": "advisory"}.get(mark, "")
    rule = page.say(finding.rule)
    about = page.dot.join(filter(None, (note, page.say(finding.severity), page.say(finding.source))))
    plain_width = _INDENT + len(rule) + 2 + len(about)
    yield f"  {page.mark(mark)} {page.paint('bold', rule)}" + (
        f"  {page.paint('dim', about)}" if plain_width <= page.width else ""
    )
    if plain_width > page.width:
        yield " " * _INDENT + page.paint("dim", about)
    indent = " " * _INDENT
    if finding.message:
        yield from page.wrap(_prose(finding.message), indent)
    yield from _paths(finding, page)
    if finding.fix:
        yield f"{indent}{page.paint('bold', 'fix:')} {page.say(finding.fix)}"


def _paths(finding: Finding, page: _Page) -> Iterator[str]:
    limit = len(finding.paths) if page.options.all_paths else PATHS_SHOWN
    shown = finding.paths[:limit]
    for path in shown:
        yield f"{' ' * _INDENT}- {page.say(path)}"
    more = max(finding.path_count, len(finding.paths)) - len(shown)
    if more > 0:
        hint = "" if page.options.all_paths else " (--all-paths)"
        yield f"{' ' * _INDENT}  and {more:,} more{hint}"


def _allowed_by(decision: Decision, page: _Page) -> Iterator[str]:
    """Give the rules that allow, where the request is allowed or waits for something."""
    if decision.context["outcome"] == "deny":
        return
    for finding in decision.findings:
        if not finding.is_objection:
            verb = "allowed by" if finding.effect == "allow" else "delegated by"
            rule, source = page.say(finding.rule), page.say(finding.source)
            fits = len(f"  x {verb} {rule}  {source}") <= page.width
            yield f"  {page.mark('met')} {verb} {rule}" + (f"  {page.paint('dim', source)}" if source and fits else "")
            if source and not fits:
                yield " " * _INDENT + page.paint("dim", source)


def _obligations(decision: Decision, page: _Page) -> Iterator[str]:
    for owed in decision.obligations:
        text = wording.obligation_text(owed) + _proof(owed)
        mark = "dot" if owed.type == "budget" else "met" if owed.status == "met" else "unmet"
        plain = (_ASCII if page.is_ascii else _MARKS)[mark]
        yield from _relabel(page.wrap(text, f"  {plain} ", " " * _INDENT), plain, page.mark(mark))


def _proof(owed: Obligation) -> str:
    if not owed.proof:
        return ""
    if owed.type == "approval":
        return f" ({', '.join(owed.proof)})"
    return f" ({', '.join(wording.short_digest(digest) for digest in owed.proof)})"


def _relabel(lines: list[str], plain: str, painted: str) -> list[str]:
    """Return `lines` with the label of the first painted: wrapping counts columns and must not see the colour."""
    return [lines[0].replace(plain, painted, 1), *lines[1:]] if lines else []


def _explanation(decision: Decision, page: _Page) -> Iterator[str]:
    explain: Callable[[Decision], str] | None = page.options.explanations
    for line in explain(decision).splitlines() if explain else ():
        indent = len(line) - len(line.lstrip(" "))
        yield f"  {' ' * indent}{page.say(line[indent:])}".rstrip()


def _strings(decision: Decision, key: str) -> Iterator[str]:
    for text in decision.context.get(key) or ():
        yield str(text)


def _policy(decision: Decision, page: _Page) -> list[str]:
    digest = decision.context.get("policy", {}).get("digest") or page.options.policy_digest
    point = decision.context.get("point", "")
    packs = wording.packs_text(decision) or "none"
    at = f" at {point}" if point else ""
    text = f"policy{at}: {packs}" + (f" ({wording.short_digest(digest)})" if digest else "")
    lines = page.wrap(text, "", "  ") + [line for line in (_record(decision, page),) if line]
    return [page.paint("dim", line) for line in lines]


def _record(decision: Decision, page: _Page) -> str:
    """Say whether it was recorded, where the decision says so itself."""
    match decision.context.get("recorded"):
        case True:
            name = str(decision.context["evaluation_id"])[:8]
            return f"recorded: orch ledger show {name}" if page.options.is_single else "recorded: orch ledger show"
        case False:
            return "not recorded"
    return ""
