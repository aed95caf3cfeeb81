"""What came of a drill, for people and programs."""

from collections.abc import Iterator
from typing import TextIO

from orchestrator.escalations.drill import Drill, Drilled
from orchestrator.escalations.ticked import Would
from orchestrator.order import State
from orchestrator.show.escape import json_text, terminal
from orchestrator.words import counted

_OUTCOMES = {
    "allow": "allowed",
    "deny": "DENIED",
    "pending": "would wait",
    "skipped": "skipped",
    "unknown": "not known yet",
}


def write_deed(one: Drilled, out: TextIO) -> None:
    """Write what came of one deed: what would be decided of it, and what became of the message to the operator."""
    whom = f" to {counted(one.recipients, 'recipient')}" if one.recipients else ""
    out.write(terminal(f"{one.name} ({one.audience}): {one.action}{whom}") + "\n")
    out.writelines(f"  {terminal(line)}\n" for line in (*_decided(one), *_arrived(one)))


def write_end(drill: Drill, out: TextIO) -> None:
    """Write how it ended, whole."""
    if drill.refused is not None:
        out.write(terminal(f"{drill.name}: no drill, {drill.refused.state}: {_flat(drill.refused.detail)}") + "\n")
    else:
        out.writelines(
            terminal(f"{would.name}: entering it would be {_word(would)}") + "\n" for would in drill.entering
        )
        arrived = sum(one.acted.done.state is State.DELIVERED for one in drill.drilled)
        of = f"{arrived:,} of {counted(len(drill.drilled), 'message')} arrived"
        out.write(
            terminal(f"{drill.name}: {of} at the operator, run {drill.run_id}; the countdown is as it was") + "\n"
        )
    out.writelines(f"note: {terminal(_flat(note))}\n" for note in drill.notes)


def write_json(drill: Drill, out: TextIO) -> None:
    """Write it as one object."""
    out.write(json_text(drill.to_json(), indent=2) + "\n")


def _decided(one: Drilled) -> Iterator[str]:
    if not one.would:
        yield "would be decided: nobody can say"
    for would in one.would:
        name = would.name.removeprefix(one.name).strip("/")
        yield f"would be decided: {name + ': ' if name else ''}{_word(would)}"


def _word(would: Would) -> str:
    word = _OUTCOMES.get(would.outcome, would.outcome) if would.outcome else "cannot be decided here"
    return f"{word}: {_flat(would.detail)}" if would.detail else word


def _arrived(one: Drilled) -> Iterator[str]:
    done = one.acted.done
    for receipt in done.receipts:
        said = " - ".join(filter(None, (str(receipt["reference"]), _flat(str(receipt["detail"])))))
        yield f"to the operator: {receipt['target']}: {receipt['delivery']}" + (f" - {said}" if said else "")
    if not done.receipts:
        yield f"to the operator: {done.state}" + (f": {_flat(done.detail)}" if done.detail else "")


def _flat(text: str) -> str:
    return " ".join(text.split())
