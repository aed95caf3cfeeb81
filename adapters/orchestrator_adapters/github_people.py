"""Who had a hand in a change that only GitHub holds: its commits are asked for before it is decided. Writes nothing."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from orchestrator.adapter import Action, Delivery, Place
from orchestrator_adapters.github_api import Api, ApiError, api_for

_COAUTHOR = re.compile(r"^[ \t]*co-authored-by[ \t]*:[^\n]*?<([^<>\n]+)>", re.IGNORECASE | re.MULTILINE)
_NOREPLY = "@users.noreply.github.com"
_PAGE, _MAX_PAGES = 100, 50
_ASK_S = 60.0


class There(NamedTuple):
    """A change as GitHub holds it."""

    commit: str
    """The head; "" where there is none."""
    merge_base: str = ""
    """Where the change begins; "" where nobody knows it."""
    people: tuple[str, ...] | None = None
    """Mail addresses of authors and committers; a login as the address that GitHub gives it. None: some are unknown."""


def there(base: str, head: str, commit: str, repository: str, place: Place) -> There:
    """Return the change from a commit, or else the tip of a branch, onto the branch `base`, by what GitHub says of it.

    Raises:
        AdapterError: GitHub cannot be asked now, or there is no token.
    """
    shape = {"type": "repository", "id": repository, "properties": {}}
    action = Action("look", shape, {}, "", {}, place, timeout_s=_ASK_S)
    with api_for(action) as api:
        try:
            commit = commit or _tip(api, head)
            return _compared(api, base, commit) if commit else There("")
        except ApiError as error:
            if error.receipt.delivery is Delivery.RETRYABLE:
                raise
            return There(commit)


def _tip(api: Api, branch: str) -> str:
    found = api.get(f"/git/ref/heads/{quote(branch)}")
    target = found.get("object") if isinstance(found, dict) else None
    return str(target.get("sha") or "") if isinstance(target, dict) else ""


def _compared(api: Api, base: str, commit: str) -> There:
    """Return a change by GitHub's comparison of both ends, whose pages are those of one comparison."""
    people: set[str] = set()
    seen, total, merge_base = 0, -1, ""
    for page in range(1, _MAX_PAGES + 1):
        found = api.get(f"/compare/{quote(base, safe='')}...{commit}", per_page=_PAGE, page=page)
        rows = found.get("commits") if isinstance(found, dict) else None
        if not isinstance(rows, list):
            break
        before, total, merge_base = (total, merge_base), found.get("total_commits", -1), _begin(found)
        if page > 1 and before != (total, merge_base):  # a branch moved meanwhile
            break
        for row in rows:
            known = list(_people(row))
            if not all(known):
                return There(commit, merge_base)
            people.update(known)
        seen += len(rows)
        if seen == total:
            return There(commit, merge_base, tuple(sorted(people)))
        if len(rows) < _PAGE:
            break
    return There(commit, merge_base)


def _begin(found: Mapping[str, Any]) -> str:
    begins = found.get("merge_base_commit")
    return str(begins.get("sha") or "") if isinstance(begins, dict) else ""


def _people(row: object) -> Iterator[str]:
    """Yield who had a hand in a commit; "" for somebody of whom nothing is known."""
    said = row.get("commit") if isinstance(row, dict) else None
    if not isinstance(row, dict) or not isinstance(said, dict):
        yield ""
        return
    for name in ("author", "committer"):
        person, account = said.get(name), row.get(name)
        yield str(person.get("email") or "").strip().lower() if isinstance(person, dict) else ""
        if isinstance(account, dict) and account.get("login"):
            yield f"{account['login']}{_NOREPLY}".lower()
    yield from (mail.strip().lower() for mail in _COAUTHOR.findall(str(said.get("message") or "")))
