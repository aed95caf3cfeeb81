"""Requests for approval as a person reads them, and as JSON."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TextIO

from orchestrator import clock
from orchestrator.approvals import Ask, Cast, Request
from orchestrator.ballot import could_vote
from orchestrator.show.escape import json_text, terminal
from orchestrator.show.timeline import ago
from orchestrator.tally import LAPSED, REVOKED, Electorate, Judged, Standing, Tally, tally

_SHORT_PATHS = 3
_SHOWN_PEOPLE = 6
_LEFT_OUT = {"asks", "votes", "elsewhere", "chain", "is_claimed"}
"""Of a request's fields: what JSON says in another form, or not at all."""
_WAITS, _READY, _USED = "waits for approval", "ready, not used yet", "used"


class View(NamedTuple):
    """How requests are written."""

    voters: Electorate
    now_ns: int
    is_whole: bool = False
    """Everything there is to know of each."""
    is_all: bool = False
    """Votes that count no longer, too."""


def write_json(requests: Sequence[Request], out: TextIO, view: View) -> None:
    """Write requests as JSON: an array, or one object where one is shown whole."""
    rows = [_row(one, view) for one in requests]
    out.write(json_text(rows[0] if view.is_whole else rows, indent=2) + "\n")


def write(requests: Sequence[Request], out: TextIO, view: View) -> None:
    """Write requests for a person: what waits, then what is ready but not used yet, then what was used."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=out, highlight=False, soft_wrap=False)
    counted = [(request, tally(request, view.voters, view.now_ns)) for request in requests]
    if view.is_whole:
        for request, votes in counted:
            _write_one(console, request, votes, view)
        return
    is_first = True
    for group in (_WAITS, _READY, _USED):
        for number, (request, votes) in enumerate(one for one in counted if _group(*one) == group):
            if not is_first:
                console.print()
            is_first = False
            if not number:
                console.print(Text(f"{group}\n"))
            _write_one(console, request, votes, view)


def _group(request: Request, votes: Tally) -> str:
    if not request.is_open:
        return _USED
    return _READY if votes.is_ready else _WAITS


def _write_one(console: Any, request: Request, votes: Tally, view: View) -> None:  # noqa: ANN401  # rich is imported late
    from rich.table import Table
    from rich.text import Text

    title = f"{request.id}  {terminal(request.subject)} asks for {terminal(request.action)} on {_place(request)}"
    console.print(Text(title, style="bold"))
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, min_width=9)
    table.add_column(overflow="fold")
    for name, text in _lines(request, votes, view):
        table.add_row(Text(f"  {name}"), Text(text))
    with console.capture() as captured:
        console.print(table)
    console.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def _lines(request: Request, votes: Tally, view: View) -> Iterable[tuple[str, str]]:
    yield "asked", f"{_second(request.opened_at)}, {ago(request.opened_at, view.now_ns)}"
    if not request.is_open:
        yield "used", f"by evaluation {terminal(request.consumed_by)}"
    if request.is_claimed:
        yield "claimed", "nobody vouches for what it says; its action is never executed as it stands"
    for one in votes.standings:
        yield "needs", _ask_text(one, request, view)
    yield from _content(request, is_whole=view.is_whole)
    yield from _votes(request, votes, view)
    if view.is_whole:
        for name in ("action", "change", "policy"):
            if digest := getattr(request, f"{name}_digest"):
                yield name, digest.removeprefix("sha256:")
        yield "involved", ", ".join(map(terminal, sorted(request.involved))) or "nobody"
        yield "decision", f"{request.evaluation_id}" + (f" of run {terminal(request.run_id)}" if request.run_id else "")
    if request.is_open:
        yield from _left(request, votes, view)


def _votes(request: Request, votes: Tally, view: View) -> Iterable[tuple[str, str]]:
    """Yield the votes that count, and of those that do not the newest of who has none that does."""
    shown = votes.votes if view.is_all else _current(votes.votes)
    for one in shown:
        yield "vote", _cast_text(one, request, view.now_ns)
    if hidden := len(votes.votes) - len(shown):
        yield "votes", f"{hidden:,} more that {'counts' if hidden == 1 else 'count'} no longer (--all)"
    for person, count in sorted(votes.forged.items()):
        some = "a vote" if count == 1 else f"{count:,} votes"
        yield "ignored", f"{some} in the name of {terminal(person)}, by no key that the roster gives them"


def _current(votes: Sequence[Judged]) -> list[Judged]:
    counting = {one.cast.voter for one in votes if not one.why}
    newest = {one.cast.voter: one.cast.id for one in votes if one.why != REVOKED}
    return [
        one
        for one in votes
        if not one.why or (one.cast.voter not in counting and newest.get(one.cast.voter) == one.cast.id)
    ]


def _left(request: Request, votes: Tally, view: View) -> Iterable[tuple[str, str]]:
    """Yield what is left to do."""
    if view.voters.is_outdated(request):
        yield "outdated", "the packs have changed since it was asked: orch evaluate again, then approve"
    for one in votes.standings:
        if one.rejected_by:
            some = ", ".join(map(terminal, one.rejected_by))
            yield "held back", f"by {some}, who rejected it as {terminal(one.ask.role)}"
    missing = [f"{one.missing:,} of role {terminal(one.ask.role)}" for one in votes.standings if one.missing]
    if missing:
        yield "missing", " and ".join(missing)
        if votes.is_hopeless:
            people = "1 person" if votes.room[0] == 1 else f"{votes.room[0]:,} people"
            slots = "1 slot" if votes.room[1] == 1 else f"{votes.room[1]:,} slots"
            yield "hopeless", f"cannot be met: of the roster {people} for {slots}, those with a hand in it left out"
    elif votes.is_ready:
        yield "missing", "nothing: orch evaluate again"


def _place(request: Request) -> str:
    place = terminal(request.resource)
    head = request.summary.get("head_branch")
    source = f"{terminal(head)} -> " if head else ""
    return f"{place}, {source}{terminal(request.branch)}" if request.branch else place


def _content(request: Request, *, is_whole: bool) -> Iterable[tuple[str, str]]:
    summary = request.summary
    paths = [terminal(path) for path in summary.get("paths", ())]
    count = summary.get("files", 0)
    if count:
        shown = paths if is_whole else paths[:_SHORT_PATHS]
        more = f" and {count - len(shown)} more" if count > len(shown) else ""
        files = f"{count} file{'s' * (count != 1)}"
        yield "files", (f"{files}:\n" + "\n".join(shown) + more if is_whole else f"{files}: {', '.join(shown)}{more}")
    for name, text in sorted(summary.get("properties", {}).items()):
        yield "with", f"{terminal(name)}: {terminal(text)}"
    if not is_whole:
        yield "digest", _digest(request.change_digest or request.action_digest)


def _ask_text(one: Standing, request: Request, view: View) -> str:
    ask = one.ask
    bound = "the change" if ask.bind == "changes" and request.change_digest else "this very action"
    text = f"{ask.needed} of role {terminal(ask.role)}, {len(one.given)} given, for {bound}; "
    text += f"a vote counts for {_span(ask.expires_s)}"
    if one.given:
        text += f"; already: {_some(one.given)}"
    if view.voters.roster and one.missing and request.is_open:
        text += f"; {_some(one.could)} could add one" if one.could else "; nobody else of the roster could add one"
    return text


def _some(people: Sequence[str]) -> str:
    more = f" and {len(people) - _SHOWN_PEOPLE} more" if len(people) > _SHOWN_PEOPLE else ""
    return ", ".join(map(terminal, people[:_SHOWN_PEOPLE])) + more


def _cast_text(one: Judged, request: Request, now_ns: int) -> str:
    cast = one.cast
    word = "rejected" if cast.decision == "reject" else "approved"
    text = f"{terminal(cast.voter)} {word} as {terminal(cast.role)}"
    if cast.via == "github":
        text += " by a review on GitHub"
    if cast.request_id != request.id:
        text += f" on request {cast.request_id}"
    if one.why in {REVOKED, LAPSED}:
        text += f", {one.why}"
    elif one.why:
        text += f", does not count: {terminal(one.why)}"
    else:
        text += f", until {_until(_end(cast, request), now_ns)}"
    return text + (f": {terminal(cast.note)}" if cast.note else "")


def _end(cast: Cast, request: Request) -> int:
    """Return when a vote that counts ends, nanoseconds since 1970; a rejection's own end is not asked for."""
    expires_s = next(ask.expires_s for ask in request.asks if ask.role == cast.role)
    end = clock.parse_time(cast.at) + expires_s * clock.SECOND_NS
    return min(end, clock.parse_time(cast.expires_at)) if cast.expires_at and cast.decision == "approve" else end


def _until(end_ns: int, now_ns: int) -> str:
    """Return `17:26Z (8h)`, with its day where that is not today."""
    end, now = (datetime.fromtimestamp(moment // clock.SECOND_NS, UTC) for moment in (end_ns, now_ns))
    left = (end_ns - now_ns) // clock.SECOND_NS
    span = next(
        (f"{left // unit}{name}" for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")) if left >= 2 * unit),
        f"{left}s",
    )
    return end.strftime("%H:%MZ" if end.date() == now.date() else "%Y-%m-%d %H:%MZ") + f" ({span})"


def _second(time: str) -> str:
    return time.partition(".")[0].removesuffix("Z") + "Z"


def _span(seconds: int) -> str:
    for least, unit, name in ((172_800, 86_400, "d"), (3_600, 3_600, "h"), (60, 60, "m")):
        if seconds % unit == 0 and seconds >= least:
            return f"{seconds // unit}{name}"
    return f"{seconds}s"


def _digest(digest: str) -> str:
    return digest[:23] + "..."


def _row(request: Request, view: View) -> dict[str, Any]:
    said = {name: value for name, value in request._asdict().items() if name not in _LEFT_OUT}
    counted = tally(request, view.voters, view.now_ns)
    why = {one.cast.id: one.why for one in counted.votes}
    votes = [
        {name: value for name, value in cast._asdict().items() if name != "request_id"}
        | {"counts": why.get(cast.id) == "", "why": why.get(cast.id, "no key that the roster gives them signed it")}
        for cast in request.votes
    ]
    said |= {"claimed": request.is_claimed, "ready": request.is_open and counted.is_ready}
    return {**said, "asks": [_ask_row(one, request, view) for one in counted.standings], "votes": votes}


def _ask_row(one: Standing, request: Request, view: View) -> dict[str, Any]:
    ask: Ask = one.ask
    row = {
        "role": ask.role,
        "count": ask.needed,
        "expires_s": ask.expires_s,
        "bind": ask.bind,
        "given": list(one.given),
        "rejected_by": list(one.rejected_by),
        "missing": one.missing,
    }
    if not view.voters.roster:
        return row
    return {**row, "could_vote": could_vote(request, view.voters.roster, ask.role), "could_add": list(one.could)}
