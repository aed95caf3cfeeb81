"""Requests for approval as a person reads them, and as JSON."""

from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from orchestrator.approvals import Ask, Cast, Request
from orchestrator.ballot import Roster, could_vote
from orchestrator.clock import parse_time
from orchestrator.show.escape import json_text, terminal
from orchestrator.show.timeline import ago

_SHORT_PATHS = 3
_SHOWN_PEOPLE = 6


def write_json(requests: Sequence[Request], out: TextIO, roster: Roster, *, is_single: bool) -> None:
    """Write requests as JSON: an array, or one object."""
    rows = [_row(one, roster) for one in requests]
    out.write(json_text(rows[0] if is_single else rows, indent=2) + "\n")


def write(requests: Sequence[Request], out: TextIO, roster: Roster, now_ns: int, *, is_whole: bool = False) -> None:
    """Write requests for a person, with everything there is to know where one is shown whole."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=out, highlight=False, soft_wrap=False)
    for number, request in enumerate(requests):
        if number:
            console.print()
        title = f"{request.id}  {terminal(request.subject)} asks for {terminal(request.action)} on {_place(request)}"
        console.print(Text(title, style="bold"))
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True, min_width=9)
        table.add_column(overflow="fold")
        for name, text in _lines(request, roster, now_ns, is_whole=is_whole):
            table.add_row(Text(f"  {name}"), Text(text))
        console.print(table)


def _lines(request: Request, roster: Roster, now_ns: int, *, is_whole: bool) -> Iterable[tuple[str, str]]:
    yield "asked", f"{_second(request.opened_at)}, {ago(request.opened_at, now_ns)}"
    if not request.is_open:
        yield "used", f"by evaluation {terminal(request.consumed_by)}"
    if request.is_claimed:
        yield "claimed", "nobody vouches for what it says; its action is never executed as it stands"
    for ask in request.asks:
        yield "needs", _ask_text(ask, request, roster, now_ns)
    yield from _content(request, is_whole=is_whole)
    for cast in request.votes:
        yield "vote", _cast_text(cast, now_ns)
    if is_whole:
        for name in ("action", "change", "policy"):
            if digest := getattr(request, f"{name}_digest"):
                yield name, digest.removeprefix("sha256:")
        yield "involved", ", ".join(map(terminal, sorted(request.involved))) or "nobody"
        yield "decision", f"{request.evaluation_id}" + (f" of run {terminal(request.run_id)}" if request.run_id else "")


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


def _ask_text(ask: Ask, request: Request, roster: Roster, now_ns: int) -> str:
    given = len({cast.voter for cast in request.votes if _stands(cast, ask, now_ns)})
    bound = "the change" if ask.bind == "changes" and request.change_digest else "this very action"
    text = f"{ask.needed} of role {terminal(ask.role)}, {given} given, for {bound}; "
    text += f"a vote counts for {_span(ask.expires_s)}"
    people = could_vote(request, roster, ask.role)
    if roster:
        some = ", ".join(map(terminal, people[:_SHOWN_PEOPLE]))
        more = f" and {len(people) - _SHOWN_PEOPLE} more" if len(people) > _SHOWN_PEOPLE else ""
        text += f"; {some}{more} could give it" if people else "; nobody of the roster could give it"
    return text


def _stands(cast: Cast, ask: Ask, now_ns: int) -> bool:
    """Whether a vote seems to count for an ask; the engine decides."""
    if cast.role != ask.role or cast.decision != "approve" or cast.revocation:
        return False
    until = parse_time(cast.at) + ask.expires_s * 1_000_000_000
    return now_ns < until and (not cast.expires_at or now_ns < parse_time(cast.expires_at))


def _cast_text(cast: Cast, now_ns: int) -> str:
    word = "rejected" if cast.decision == "reject" else "approved"
    text = f"{terminal(cast.voter)} {word} as {terminal(cast.role)}, {ago(cast.at, now_ns)}"
    if cast.via == "github":
        text += ", by a review on GitHub"
    if cast.revocation:
        text += ", revoked"
    elif cast.expires_at and cast.decision == "approve":
        is_past = parse_time(cast.expires_at) <= now_ns
        text += f", {'expired' if is_past else 'until'} {cast.expires_at}, {ago(cast.expires_at, now_ns)}"
    return text + (f": {terminal(cast.note)}" if cast.note else "")


def _second(time: str) -> str:
    return time.partition(".")[0].removesuffix("Z") + "Z"


def _span(seconds: int) -> str:
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds % unit == 0 and seconds > unit:
            return f"{seconds // unit}{name}"
    return {86_400: "24h", 3_600: "1h", 60: "1m"}.get(seconds, f"{seconds}s")


def _digest(digest: str) -> str:
    return digest[:23] + "..."


def _row(request: Request, roster: Roster) -> dict[str, Any]:
    said = {
        name: value for name, value in request._asdict().items() if name not in {"asks", "votes", "chain", "is_claimed"}
    }
    asks = [
        {
            "role": ask.role,
            "count": ask.needed,
            "expires_s": ask.expires_s,
            "bind": ask.bind,
            **({"could_vote": could_vote(request, roster, ask.role)} if roster else {}),
        }
        for ask in request.asks
    ]
    votes = [{name: value for name, value in cast._asdict().items() if name != "request_id"} for cast in request.votes]
    return {**said, "claimed": request.is_claimed, "asks": asks, "votes": votes}
