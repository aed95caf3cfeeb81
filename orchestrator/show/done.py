"""What became of one action, for people and programs."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TextIO

from orchestrator.order import Done, State
from orchestrator.show.escape import json_text, terminal

_WORDS = {
    State.DELIVERED: "DONE",
    State.DENIED: "DENIED",
    State.WAITING: "WAITING",
    State.BUDGET: "BUDGET SPENT",
    State.UNDECIDABLE: "UNDECIDABLE",
    State.PERMANENT: "FAILED",
    State.RETRYABLE: "NOT DONE",
    State.UNKNOWN: "UNKNOWN",
    State.CANCELLED: "CANCELLED",
}
_STYLES = {State.DELIVERED: "32", State.WAITING: "33", State.UNKNOWN: "33;1"}
_BAD = "31"
_SHORT = 12
_MOST_LINES = 20
_INDENT, _HANG = 2, 4


class Sheet(NamedTuple):
    """Where it is written, and of what."""

    action: str
    run_id: str = ""
    """The run that it belongs to; "" outside of one."""
    width: int = 80
    has_color: bool = False


def write_text(done: Done, sheet: Sheet, out: TextIO) -> None:
    """Write what became of an action: the whole, its recipients and what is to be done, in lines that fit.

    What a command wrote, and what can be pasted into a shell, keeps its line.
    """
    word = _WORDS[done.state]
    if sheet.has_color:
        word = f"\x1b[{_STYLES.get(done.state, _BAD)}m{word}\x1b[0m"
    out.write(f"{word} {terminal(sheet.action)}\n")
    for line in _lines(done):
        out.writelines(f"{one}\n" for one in _wrapped(terminal(line), sheet.width))
    out.writelines(f"  {terminal(line)}\n" for line in _output(done.outputs))
    for line in _next(done):
        out.writelines(f"{one}\n" for one in _wrapped(terminal(line), sheet.width))
    out.writelines(f"  {terminal(line)}\n" for line in _ways(done, sheet))
    if done.evaluation_id:
        out.write(terminal(f"  decision {done.evaluation_id}, key {done.key[:_SHORT]}") + "\n")


def write_json(done: Done, out: TextIO) -> None:
    """Write it as one object: `Done.to_json` and the exit code."""
    out.write(json_text(done.to_json() | {"exit_code": int(done.exit_code)}) + "\n")


def write_resolved(receipts: Sequence[Mapping[str, Any]], name: str, sheet: Sheet, out: TextIO, output: str) -> None:
    """Write what a person's word made of an action: how each of its recipients stands now.

    With `json` as one object: `{name, receipts: [{target, key, delivery, by}]}`.
    """
    if output == "json":
        out.write(json_text({"name": name, "receipts": [dict(one) for one in receipts]}) + "\n")
        return
    out.write(f"RECORDED {terminal(sheet.action)}\n")
    for one in receipts:
        said = f"{one['target'] or name}: {one['delivery']}, by {one['by']}"
        out.writelines(f"{line}\n" for line in _wrapped(terminal(said), sheet.width))
    if any(one["delivery"] == State.RETRYABLE for one in receipts):
        out.write(terminal(f"  next: the same command with {_named(name, sheet)} does it") + "\n")


def _wrapped(text: str, width: int) -> Iterator[str]:
    """Yield a text in lines; a word too long for one keeps one of its own."""
    line = " " * _INDENT
    for number, word in enumerate(text.split(" ")):
        if number and len(line) + 1 + len(word) > width and line.strip():
            yield line
            line = " " * _HANG + word
        else:
            line += f" {word}" if number else word
    yield line


def _lines(done: Done) -> Iterator[str]:
    is_alone = len(done.receipts) == 1 and not done.receipts[0]["target"]
    is_said_below = not is_alone and any(one["detail"] == done.detail for one in done.receipts)
    if done.detail and not is_said_below:
        yield done.detail
    for receipt in done.receipts:
        yield from _receipt(receipt, done.detail, is_alone=is_alone)


def _next(done: Done) -> Iterator[str]:
    for one in done.waiting_for:
        yield f"next: {_awaited(one, done)}"
    if done.warned:
        yield f"warned: {', '.join(done.warned)}"
    if done.retry_after_s:
        yield f"next: try again in {done.retry_after_s:g} s"


def _output(outputs: Mapping[str, Any]) -> Iterator[str]:
    """Yield the first lines that a command wrote."""
    stdout = outputs.get("stdout")
    lines = stdout.splitlines() if isinstance(stdout, str) else []
    yield from (f"| {line}" for line in lines[:_MOST_LINES])
    if len(lines) > _MOST_LINES:
        yield f"| and {len(lines) - _MOST_LINES} lines more; -o json has them"


def _receipt(receipt: Mapping[str, Any], whole: str, *, is_alone: bool) -> Iterator[str]:
    said = [receipt["reference"], receipt["detail"] if not is_alone or receipt["detail"] != whole else ""]
    if not is_alone:
        said = [f"{receipt['target'] or '(itself)'}: {receipt['delivery']}", *said]
    if any(said):
        yield " - ".join(filter(None, said))


def _awaited(one: Mapping[str, Any], done: Done) -> str:
    match one["type"]:
        case "approval":
            people = "one person" if one["missing"] == 1 else f"{one['missing']} people"
            return f"orch approve {one['request_id']} (by {people} of role {one['role']}), then the same again"
        case "evidence":
            return f"orch evidence add {one['evidence']} FILE, then the same again"
        case "stage":
            return f"the run has to reach stage {one['stage']}"
        case _:
            what = f" for {one['target']}" if one.get("target") else ""
            return f"look outside whether {one['step']}{what} happened (key {done.key[:_SHORT]})"


def _ways(done: Done, sheet: Sheet) -> Iterator[str]:
    """Yield the commands after a look outside, each whole."""
    names = dict.fromkeys(str(one["step"]) for one in done.waiting_for if one["type"] == "unknown")
    for name in names:
        said = f"orch act {shlex.quote(sheet.action)} {_named(name, sheet)} --resolve"
        yield f"  it did:       {said} delivered"
        yield f"  it did not:   {said} not-delivered"
        yield f"  nobody knows: leave it, or the same command with {_named(name, sheet)} --on-unknown resend"


def _named(name: str, sheet: Sheet) -> str:
    """Return the options that name an order again."""
    run = f"--run {shlex.quote(sheet.run_id)} " if sheet.run_id else ""
    return f"{run}--key {shlex.quote(name)}"
