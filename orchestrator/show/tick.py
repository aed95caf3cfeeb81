"""What came of ticks, for people and programs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from orchestrator.clock import SECOND_NS, format_time
from orchestrator.escalations.kept import UNCONFIGURED
from orchestrator.escalations.ticked import Acted, Ticked, Would, arrivals
from orchestrator.escalations.timekeeping import span
from orchestrator.order import State
from orchestrator.show.escape import terminal
from orchestrator.show.held import ways

_LOOK = {State.UNKNOWN.value: "nobody knows whether it arrived: look outside"}
_HELD = "it waits until a person says what became of it"
_GOES_ON = {UNCONFIGURED: "mend that, and the next tick tries it again"}
_OWN = frozenset({"tick", "enter_stage"})


def write_text(ticked: Ticked, out: TextIO) -> None:
    """Write one escalation's tick: what was entered, what went to whom, what is owed and why, when it goes on."""
    out.writelines(f"{terminal(line)}\n" for line in _lines(ticked))


def write_json(ticks: Sequence[Ticked], out: TextIO) -> None:
    """Write ticks as an array of objects."""
    out.write(json.dumps([one.to_json() for one in ticks], ensure_ascii=True) + "\n")


def _lines(ticked: Ticked) -> Iterator[str]:
    yield f"{ticked.name}: {_headline(ticked)}"
    for note in ticked.notes:
        yield f"  note: {note}"
    for acted in ticked.done:
        yield from _acted(acted)
    for would in ticked.would:
        yield from _would(would)
    for owed in ticked.owed:
        detail = f" ({owed.detail})" if owed.detail else ""
        way = _HELD if owed.is_held else _GOES_ON.get(owed.state, "the next tick goes on with it")
        yield f"  owed: {owed.name} is {owed.state}{detail}; {way}"
        if owed.is_held:
            receipts = [each for acted in ticked.done if acted.name == owed.name for each in acted.done.receipts]
            yield from (f"    next: {one}" for one in ways(f"{ticked.name}-c{ticked.cycle}", owed.name, receipts))
    if not ticked.heartbeat.is_well:
        yield f"  the heartbeat did not arrive: {ticked.heartbeat.state} {ticked.heartbeat.detail}".rstrip()
    if ticked.detail:
        yield f"  {_until(ticked)}"


def _headline(ticked: Ticked) -> str:
    """Return where it stands, and what changed."""
    deadline = f"the deadline is {_at(ticked.deadline_ns)}" if ticked.deadline_ns else "no deadline"
    cycle = f" (cycle {ticked.cycle}, {deadline})" if ticked.cycle else ""
    if ticked.is_dry:
        would = f"would enter {', then '.join(ticked.entered)}" if ticked.entered else "would stay"
        return f"a dry run at {_at(ticked.now_ns)}: {would}{cycle}" if ticked.now_ns else "a dry run"
    if ticked.entered:
        return f"entered {', then '.join(ticked.entered)} at {_at(ticked.now_ns)}{cycle}"
    return f"stands at {ticked.stage}{cycle}" if ticked.stage else "nothing was done"


def _acted(acted: Acted) -> Iterator[str]:
    done = acted.done
    if acted.action in _OWN:
        yield f"  {acted.name}: {done.state}: {done.detail}"
        yield from _ways(done.waiting_for)
        return
    what = f"  {acted.name} ({acted.action}): {done.state}"
    if not done.receipts:
        yield f"{what}: {done.detail}" if done.detail else what
    elif len(done.receipts) == 1:
        yield f"{what}{_receipt(done.receipts[0], prefix=' to ')}"
    else:
        served = sum(one["delivery"] == State.DELIVERED.value for one in done.receipts)
        yield f"{what}, {served} of {len(done.receipts)} arrived"
        yield from (f"    {_receipt(one, prefix='')}" for one in arrivals(done))
    yield from _ways(done.waiting_for)


def _receipt(receipt: Mapping[str, Any], prefix: str) -> str:
    target = receipt["target"]
    said = f"{prefix}{target}" if target else ""
    if not prefix:
        said += f": {receipt['delivery']}"
    detail = receipt["detail"] or (receipt["reference"] if receipt["delivery"] == State.DELIVERED.value else "")
    look = _LOOK.get(receipt["delivery"], "")
    return "; ".join(filter(None, (f"{said}: {detail}" if detail else said, look)))


def _ways(waiting_for: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in waiting_for:
        if one["type"] == "approval":
            yield f"    next: orch approve {one['request_id']} (by {one['missing']} of role {one['role']})"
        elif one["type"] == "evidence":
            yield f"    next: orch evidence add {one['evidence']} FILE"


def _would(would: Would) -> Iterator[str]:
    outcome = f": {would.outcome}" if would.outcome else ""
    detail = f": {would.detail}" if would.detail else ""
    yield f"  {would.name} ({would.action}){outcome}{detail}"


def _until(ticked: Ticked) -> str:
    """Return why it stays, and when it goes on."""
    if ticked.until_ns is None or not ticked.next_stage:
        return ticked.detail
    left_s = (ticked.until_ns - ticked.now_ns) // SECOND_NS
    when = f"in {span(left_s)}" if left_s > 0 else "with the next tick"
    return f"{ticked.detail}; {ticked.next_stage} at {_at(ticked.until_ns)} ({when}) at the earliest"


def _at(ns: int) -> str:
    try:
        return format_time(ns // SECOND_NS * SECOND_NS)
    except ValueError:
        return "a time beyond the year 9999"
