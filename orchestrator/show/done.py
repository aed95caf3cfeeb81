"""What became of one action, for people and programs."""

from collections.abc import Iterator, Mapping
from typing import Any, TextIO

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


def write_text(done: Done, action: str, out: TextIO, *, has_color: bool = False) -> None:
    """Write what became of an action, a line each for the whole, its recipients and what is to be done."""
    word = _WORDS[done.state]
    if has_color:
        word = f"\x1b[{_STYLES.get(done.state, _BAD)}m{word}\x1b[0m"
    out.write(f"{word} {terminal(action)}\n")
    out.writelines(f"  {terminal(line)}\n" for line in _lines(done))


def write_json(done: Done, out: TextIO) -> None:
    """Write it as one object: `Done.to_json` and the exit code."""
    out.write(json_text(done.to_json() | {"exit_code": int(done.exit_code)}) + "\n")


def _lines(done: Done) -> Iterator[str]:
    is_alone = len(done.receipts) == 1 and not done.receipts[0]["target"]
    if done.detail:
        yield done.detail
    for receipt in done.receipts:
        yield from _receipt(receipt, has_detail=receipt["detail"] != done.detail, is_alone=is_alone)
    yield from _output(done.outputs)
    for one in done.waiting_for:
        yield f"next: {_awaited(one, done)}"
    if done.warned:
        yield f"warned: {', '.join(done.warned)}"
    if done.retry_after_s:
        yield f"next: try again in {done.retry_after_s:g} s"
    if done.evaluation_id:
        yield f"decision {done.evaluation_id}, key {done.key[:_SHORT]}"


def _output(outputs: Mapping[str, Any]) -> Iterator[str]:
    """Yield the first lines that a command wrote."""
    stdout = outputs.get("stdout")
    lines = stdout.splitlines() if isinstance(stdout, str) else []
    yield from (f"| {line}" for line in lines[:_MOST_LINES])
    if len(lines) > _MOST_LINES:
        yield f"| and {len(lines) - _MOST_LINES} lines more; -o json has them"


def _receipt(receipt: Mapping[str, Any], *, has_detail: bool, is_alone: bool) -> Iterator[str]:
    said = [receipt["reference"], receipt["detail"] if has_detail else ""]
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
