"""Reads the reviews of a pull request on GitHub and records them as votes that the host vouches for.

A review counts only if the change up to the reviewed commit, as git here shows it, is the change that waits.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from orchestrator import ballot, clock, githubrest
from orchestrator.approvals import GITHUB, Cast, Request, waiting
from orchestrator.ballot import Ballot, Roster
from orchestrator.ci import subject_for
from orchestrator.errors import AdapterError, UsageError
from orchestrator.ledger.store import Ledger
from orchestrator.names import repository_problem, shown
from orchestrator.vote import APPROVE, REJECT

if TYPE_CHECKING:
    import httpx

_PAGE, _MAX_PAGES, _MAX_BYTES = 100, 50, 8 * 1024 * 1024
_TIMEOUT_S = 15.0
_OK = 200
_MEANING = {"APPROVED": APPROVE, "CHANGES_REQUESTED": REJECT, "DISMISSED": ""}
"""What says something; a comment does not."""


class Source(NamedTuple):
    """A pull request, and where to ask for it."""

    repository: str
    number: int
    api: str

    @classmethod
    def of(cls, pull: str, api: str) -> Self:
        """Return what `owner/name#7` means at an API.

        Raises:
            UsageError: it is no pull request, or the token would travel unprotected.
        """
        repository, _, number = pull.partition("#")
        if repository_problem(repository) or not (number.isascii() and number.isdigit() and len(number) <= 12):  # noqa: PLR2004  # digits
            raise UsageError(f"the pull request is {shown(pull)}; expected OWNER/NAME#NUMBER")
        return cls(repository.lower(), int(number), githubrest.checked(api))


class Review(NamedTuple):
    """The last word of one person."""

    id: str
    login: str
    decision: str
    """`approve`, `reject`, or empty where it was dismissed."""
    commit: str
    at: str


def read_reviews(ledger: Ledger, source: Source, folder: Path, roster: Roster) -> Iterator[str]:
    """Record what reviewers said last, and yield a sentence about each of them.

    Recording twice changes nothing. What a person said before is withdrawn.

    Raises:
        AdapterError: GitHub does not answer, or not as it should.
        UsageError: git does not know a reviewed commit; all other reviews were recorded.
        LedgerError: it cannot be recorded.

    Source: 001, "Approvals".
    """
    reviews, base = _fetched(source)
    known = [one for one in waiting(ledger, is_all=True) if one.repository == source.repository and one.change_digest]
    requests = [one for one in known if one.is_open]
    used = {(one.request_key, cast.id.rpartition(":")[0]) for one in known if not one.is_open for cast in one.votes}
    if not reviews:
        yield f"{source.repository}#{source.number} has no review"
    unread: list[str] = []
    for review in reviews:
        person = subject_for(review.login, GITHUB, roster)
        _withdraw(ledger, review, person, requests)
        try:
            matching = _matching(review, base, folder, requests)
        except UsageError as error:  # pushed over, or not fetched; the others are looked at all the same
            unread.append(f"{person}: the commit {review.commit[:12]} cannot be compared: {error}")
            continue
        fresh = [one for one in matching if (one.request_key, _vote_id(one, review).rpartition(":")[0]) not in used]
        if matching and not fresh:
            yield f"{person}: the review was used already; only a new one counts"
        else:
            yield _recorded(ledger, review, person, fresh, roster)
    if unread:
        raise UsageError("; ".join(unread), advice="fetch these commits, then ask again: git fetch origin COMMIT")


def _recorded(ledger: Ledger, review: Review, person: str, matching: list[Request], roster: Roster) -> str:
    if not review.decision:
        return f"{shown(review.login)}: the review was dismissed"
    if person not in roster:
        return f"{shown(review.login)}: nobody of the roster has this login, so the review does not count"
    if not matching:
        return f"{person}: no request waits for the change that was reviewed ({review.commit[:12]})"
    told = []
    for request in matching:
        role = next((ask.role for ask in request.asks if ask.role in roster[person].get("roles", ())), None)
        if role is None:
            told.append(f"{person}: request {request.id} asks for no role that this person holds")
        elif person in request.involved:
            told.append(f"{person}: had a hand in what request {request.id} asks for, so the review does not count")
        else:
            told.append(_voted(ledger, request, review, Ballot(person, role, review.decision)))
    return "; ".join(told)


def _voted(ledger: Ledger, request: Request, review: Review, cast_by: Ballot) -> str:
    vote_id = _vote_id(request, review)
    word = "approved" if review.decision == APPROVE else "rejected"
    if all(cast.id != vote_id for cast in request.votes):
        ballot.record(ledger, request, [ballot.review(request, cast_by, vote_id, review.at)])
    return f"{cast_by.by} {word} request {request.id} as {cast_by.role}"


def _withdraw(ledger: Ledger, review: Review, person: str, requests: list[Request]) -> None:
    """Take back what this person's reviews said before."""
    for request in requests:
        older = [cast for cast in request.votes if _is_older(cast, person, request, review)]
        if older:
            ballot.withdraw(ledger, request, older)


def _is_older(cast: Cast, person: str, request: Request, review: Review) -> bool:
    if cast.via != GITHUB or cast.voter != person or cast.revocation:
        return False
    return not review.decision or cast.id != _vote_id(request, review)


def _vote_id(request: Request, review: Review) -> str:
    """One review may count for several requests about one change, and a request may be asked anew after it was used."""
    return f"github:{review.id}:{review.decision}:{request.id}"


def _matching(review: Review, base: str, folder: Path, requests: list[Request]) -> list[Request]:
    """Return the requests for the change that was reviewed, told by git and not by GitHub."""
    if not review.decision or not requests:
        return []
    from orchestrator.change import read_change
    from orchestrator.digest import change_digest

    digest = change_digest(read_change(f"{base}..{review.commit}", folder).files)
    return [request for request in requests if request.change_digest == digest]


def _fetched(source: Source) -> tuple[list[Review], str]:
    """Return each person's last review that says something, and the base's commit."""
    import httpx

    headers = githubrest.headers(os.environ.get("GITHUB_TOKEN", ""))
    place = f"{source.api}/repos/{source.repository}/pulls/{source.number}"
    with httpx.Client(headers=headers, timeout=_TIMEOUT_S, follow_redirects=False) as client:
        pull = _answer(client, place)
        its_base = pull.get("base") if isinstance(pull, dict) else None
        base = _commit(its_base.get("sha") if isinstance(its_base, dict) else None)
        said: list[Review] = []
        for page in range(1, _MAX_PAGES + 1):
            rows = _answer(client, f"{place}/reviews?per_page={_PAGE}&page={page}")
            if not isinstance(rows, list):
                raise _odd("no list of reviews")
            said += filter(None, map(_review, rows))
            if len(rows) < _PAGE:
                said.sort(key=lambda one: (clock.parse_time(one.at), int(one.id)))
                return list({one.login.lower(): one for one in said}.values()), base
    raise _odd(f"more than {_MAX_PAGES * _PAGE} reviews")


def _answer(client: "httpx.Client", url: str) -> Any:  # noqa: ANN401  # JSON
    import httpx

    try:
        with client.stream("GET", url) as response:
            if response.status_code != _OK:
                raise AdapterError(
                    f"GitHub answered {response.status_code} for {url.partition('?')[0]}; expected 200",
                    advice="see that GITHUB_TOKEN may read the pull request",
                )
            data = b""
            for piece in response.iter_bytes():
                data += piece
                if len(data) > _MAX_BYTES:
                    raise _odd("too much")
        import json

        return json.loads(data)
    except httpx.HTTPError as error:
        raise AdapterError(
            f"GitHub cannot be asked: {str(error) or type(error).__name__}", advice="try again"
        ) from error
    except (ValueError, RecursionError) as error:
        raise _odd("no JSON") from error


def _review(row: object) -> Review | None:
    """Return a review that says something; of a deleted account, or pending, or a comment, None."""
    if not isinstance(row, Mapping):
        raise _odd("a review that is no object")
    user, state = row.get("user"), row.get("state")
    if not isinstance(user, Mapping) or not isinstance(state, str) or state not in _MEANING:
        return None
    login, at = user.get("login"), row.get("submitted_at")
    if not (isinstance(login, str) and login and type(row.get("id")) is int and isinstance(at, str)):
        raise _odd("a review without author, id or time")
    try:
        moment = clock.format_time(clock.parse_time(at))
    except ValueError as error:
        raise _odd("a time that is none") from error
    return Review(str(row["id"]), login, _MEANING[str(state)], _commit(row.get("commit_id")), moment)


def _commit(value: object) -> str:
    is_commit = isinstance(value, str) and len(value) in {40, 64} and set(value) <= set("0123456789abcdef")
    if not is_commit:
        raise _odd("a commit that is none")
    return str(value)


def _odd(what: str) -> AdapterError:
    return AdapterError(f"GitHub answered with {what}", advice="see that --api names GitHub's API")
