"""Evidence as a person reads it: what was just added, a table of all, one piece whole. Text from outside is escaped."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

from orchestrator import clock
from orchestrator.evidence import Evidence
from orchestrator.proof import Added
from orchestrator.show.escape import json_text, terminal
from orchestrator.show.timeline import ago, wrapped
from orchestrator.show.wording import short_digest

_ID = 8
_HANG = 18
_STYLES = {"pass": "green", "fail": "bold red"}


def as_json(value: Evidence | Added) -> dict[str, Any]:
    """Return evidence as a program reads it."""
    if isinstance(value, Added):
        settled = [one._asdict() for one in value.settled]
        claimed = bool(value.payload["summary"].get("claimed"))
        return {"id": value.event_id, "at": value.at, **value.payload, "claimed": claimed, "settled": settled}
    said = value._asdict()
    return {"id": said.pop("event_id"), **said, "claimed": said.pop("is_claimed")}


def write_json(values: Evidence | Added | Sequence[Evidence], out: TextIO) -> None:
    """Write one piece of evidence as an object, several as an array."""
    is_one = isinstance(values, Evidence | Added)
    shown = as_json(values) if isinstance(values, Evidence | Added) else [as_json(one) for one in values]
    out.write(json_text(shown, indent=2 if is_one or shown else None) + "\n")


def write_added(added: Added, out: TextIO) -> None:
    """Write what was recorded, and what it settled."""
    said = added.payload
    word = {"pass": "PASS", "fail": "FAIL"}[str(added.report.result)]
    out.write(f"{word}  {terminal(said['type'])}: {terminal(added.report.reason)}\n")
    out.writelines(f"      {name} {value}\n" for name, value in _about(said))
    out.write(f"      recorded as {added.event_id[:_ID]}: orch evidence show {added.event_id[:_ID]}\n")
    if said["summary"].get("claimed"):
        out.write("      stated, so it does not count\n")
    for one in added.settled:
        of = f"run {terminal(one.run_id)}" if one.run_id else "an action outside of a run"
        verb = "meets" if one.status == "met" else "is a failure of"
        out.write(f"      {verb} what {of} owed for {short_digest(one.action_digest)}\n")


def _about(said: dict[str, Any] | Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401  # a payload
    if said["change_digest"]:
        commit = f" at commit {said['commit'][:12]}" if said["commit"] else ""
        yield "of", f"change {short_digest(said['change_digest'])}{commit}"
    if said["action_digest"]:
        yield "of", f"action {short_digest(said['action_digest'])}"
    if said["tool"]:
        yield "by", terminal(said["tool"])
    if said["signed_by"]:
        yield "signed by", terminal(said["signed_by"])


def write_table(rows: Sequence[Evidence], out: TextIO, width: int) -> None:
    """Write a table of evidence, as it is given."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        out.write("no evidence\n")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("ID", "RESULT", "TYPE", "OF", "BY", "WHEN"):
        table.add_column(name, no_wrap=name not in {"TYPE", "BY"}, overflow="fold")
    now = clock.now_ns()
    for row in rows:
        result = "stated" if row.is_claimed else row.result
        kind = terminal(row.type) + (f" ({terminal(row.tool)})" if row.tool else "")
        table.add_row(
            row.event_id[:_ID],
            Text(result, style=_STYLES.get(result, "yellow")),
            Text(kind),
            _of(row),
            Text(terminal(row.actor)),
            ago(row.at, now),
        )
    console = Console(file=out, width=width, highlight=False)
    with console.capture() as captured:
        console.print(table)
    out.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _of(row: Evidence) -> str:
    digest = row.change_digest or row.action_digest
    return f"{'change' if row.change_digest else 'action'} {digest.removeprefix('sha256:')[:12]}"


def write_one(row: Evidence, out: TextIO, width: int) -> None:
    """Write one piece of evidence; of digests what is enough to compare them, since JSON has them whole."""
    note = " (stated, so it does not count)" if row.is_claimed else ""
    out.write(f"{terminal(row.type)}: {row.result}{note}\n")
    lines: Iterable[tuple[str, object]] = (
        ("id", row.event_id),
        ("at", f"{row.at} ({ago(row.at, clock.now_ns())})"),
        ("by", row.actor),
        ("tool", row.tool),
        ("signed by", row.signed_by),
        ("repository", row.repository),
        ("run", row.run_id),
        ("change", short_digest(row.change_digest)),
        ("action", short_digest(row.action_digest)),
        ("commit", row.commit),
        ("tree", row.tree),
        ("artifact", short_digest(row.artifact)),
    )
    for name, value in (*lines, *sorted(row.summary.items())):
        if value not in ("", None):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            lines_of = wrapped(terminal(text), width, _HANG, _HANG)
            out.write(f"  {terminal(name.replace('_', ' ')):<{_HANG - 3}} " + f"\n{' ' * _HANG}".join(lines_of) + "\n")
