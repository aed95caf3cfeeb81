"""One event of the record shown whole: what it says, its header, its payload as a tree, and what stands around it."""

import re
from collections.abc import Iterator
from typing import Any, TextIO

from orchestrator.ledger.event import Event
from orchestrator.ledger.read import Around
from orchestrator.show import escape
from orchestrator.show.timeline import Page, ago, event_lines, run_name, wrapped
from orchestrator.show.timeline_json import decision_digest
from orchestrator.vote import claims_of

_LABEL_WIDTH = 15
_MOST_ITEMS = 20
_LONGEST_INLINE = 60
_SIGNED = r"eyJ[\w-]+\.[\w-]+\.[\w-]*"
"""A compact JWS."""


def write(event: Event, around: Around, out: TextIO, page: Page) -> None:
    """Write all of one event.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    out.writelines(f"{line.rstrip()}\n" for line in _lines(event, around, page))


def _lines(event: Event, around: Around, page: Page) -> Iterator[str]:
    yield page.paint("bold", f"event {page.say(event.id)}")
    when = ago(str(event.fields["time"]), page.now_ns)
    yield page.paint("dim", page.say(f"{run_name(event)}, {event.fields['time']}" + (f" ({when})" if when else "")))
    yield ""
    yield from event_lines(event, page)
    yield from ("", page.paint("bold", "header"))
    yield from _labelled("leaf", "none yet: no tree head covers it" if event.leaf is None else f"{event.leaf:,}", page)
    for name, value in event.fields.items():
        yield from _labelled(name, str(value), page)
    if digest := decision_digest(event):
        yield from _labelled("decision digest", digest, page)
    yield from ("", page.paint("bold", "payload"))
    yield from _payload(event, around, page)
    if neighbours := list(_neighbours(around, page)):
        yield from ("", page.paint("bold", "around it"), *neighbours)


def _neighbours(around: Around, page: Page) -> Iterator[str]:
    yield from _neighbour("before", around.previous, page)
    yield from _neighbour("after", around.following, page)
    yield from _neighbour("cause", around.cause, page)
    for one in around.consequences[:_MOST_ITEMS]:
        yield from _neighbour("led to", one, page)
    if len(around.consequences) > _MOST_ITEMS:
        yield f"  and {len(around.consequences) - _MOST_ITEMS:,} more"
    if around.request_id:
        where = f"orch ledger show --run request:{around.request_id}"
        yield from _labelled("request", f"{around.request_id} ({where})", page)


def _payload(event: Event, around: Around, page: Page) -> Iterator[str]:
    if event.payload is not None:
        yield from _tree(event.payload, page, 1)
    elif around.erasure is not None:
        said = around.erasure.payload or {}
        by = f"erased {around.erasure.fields['time']} by {around.erasure.fields['actor']}: {said.get('reason', '')}"
        yield from ("  " + one for one in wrapped(page.say(by), page.width, 2, 2))
    else:
        yield (
            "  missing, and no event says it was erased: run orch ledger verify"
            if "datahash" in event.fields
            else "  none"
        )


def _labelled(name: str, value: str, page: Page) -> Iterator[str]:
    first, *rest = wrapped(page.say(value), page.width, _LABEL_WIDTH + 3, _LABEL_WIDTH + 3)
    yield f"  {page.paint('dim', page.say(name).ljust(_LABEL_WIDTH))} {first}"
    yield from (" " * (_LABEL_WIDTH + 3) + one for one in rest)


def _neighbour(label: str, event: Event | None, page: Page) -> Iterator[str]:
    if event is not None:
        yield from _labelled(label, f"{event.id[:8]} {str(event.fields['time'])[:19]} {event.fields['type']}", page)


def _vote(value: object) -> str:
    """Return who voted what, where a value is a signed vote: two screens of base64 tell a person nothing."""
    if not isinstance(value, str) or not re.fullmatch(_SIGNED, value):
        return ""
    try:
        said = claims_of(value)
    except ValueError:
        return ""
    return " ".join(str(said.get(name, "?")) for name in ("iss", "dec", "role")) + " (token: -o json)"


def _tree(value: Any, page: Page, depth: int) -> Iterator[str]:  # noqa: ANN401  # JSON
    """Yield a JSON value as an indented tree: short values behind their key, long ones below it."""
    indent = "  " * depth
    members = (
        [(f"{key}:", one) for key, one in value.items()] if isinstance(value, dict) else [("-", one) for one in value]
    )
    for key, one in members[:_MOST_ITEMS]:
        label = page.say(key)
        inline = escape.json_text(one)
        if not isinstance(one, dict | list) or not one or len(inline) <= _LONGEST_INLINE:
            text = _vote(one) or (one if isinstance(one, str) and one and one == one.strip() else inline)
            first, *rest = wrapped(page.say(text), page.width, len(indent) + len(label) + 1, len(indent) + 2)
            yield f"{indent}{page.paint('dim', label)} {first}"
            yield from (f"{indent}  {more}" for more in rest)
        else:
            yield f"{indent}{page.paint('dim', label)}"
            yield from _tree(one, page, depth + 1)
    if len(members) > _MOST_ITEMS:
        yield f"{indent}and {len(members) - _MOST_ITEMS:,} more (-o json shows all)"
