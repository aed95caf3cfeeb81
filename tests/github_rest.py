"""What GitHub's REST API keeps and says: issues, pull requests, refs, contents, releases, workflows, pages. In memory.

Part of `github_server`, which serves it; look there for what a test may use.
"""

import base64
import hashlib
import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

Row = dict[str, Any]
_NONE: Mapping[str, str] = MappingProxyType({})
_AT = "2026-01-02T03:04:05Z"


class Fault(StrEnum):
    """What goes wrong with a request."""

    LOSE = "lose"
    """It is applied; the connection is closed without a reply."""
    DROP = "drop"
    """It is not applied; the connection is closed without a reply."""
    BEFORE = "before"
    """502, not applied."""
    AFTER = "after"
    """502, applied."""
    GARBAGE = "garbage"
    """Applied; the answer has the right status and is no JSON."""
    SLOW = "slow"
    """It is applied and answered after `seconds`, whether somebody still waits or not."""
    DRIP = "drip"
    """It is applied; the answer comes byte by byte, for `seconds` in all."""
    RATE = "rate"
    """403 of the secondary rate limit with Retry-After: 7, not applied."""
    QUOTA = "quota"
    """403 of the primary rate limit: no Retry-After, X-RateLimit-Reset in 60 s; not applied."""
    BUSY = "busy"
    """429 with Retry-After: 7, not applied."""
    REDIRECT = "redirect"
    """307 to /elsewhere, not applied."""


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str
    query: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Row:
        """The JSON object that was sent; {} where nothing was."""
        found = json.loads(self.raw or b"{}")
        assert isinstance(found, dict)
        return found


class Answer(NamedTuple):
    """One answer."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = _NONE


def refused(status: int, message: str, headers: Mapping[str, str] = _NONE, **more: object) -> Answer:
    """Return an error as GitHub words it."""
    return Answer(status, {"message": message, "documentation_url": "https://docs.github.com/rest", **more}, headers)


def _invalid(message: str) -> Answer:
    return refused(422, "Validation Failed", errors=[{"message": message, "resource": "x", "code": "custom"}])


class State:
    """What is kept."""

    def __init__(self, repositories: Iterable[str]) -> None:
        self.repositories = {name.lower() for name in repositories}
        self.login, self.has_user = "orch-bot", True
        self.page_size = 100
        self.issues: list[Row] = []
        self.comments: list[Row] = []
        self.pulls: list[Row] = []
        self.releases: list[Row] = []
        self.assets: list[Row] = []
        self.runs: list[Row] = []
        self.builds: list[Row] = []
        self.branches: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.workflows: dict[str, Row] = {"ci.yml": {"inputs": ["level"]}}
        self.effects: Counter[str] = Counter()
        self.uploads_at = ""
        self.page: Row = {"source": {"branch": "main", "path": "/"}, "html_url": "https://acme.example/web"}
        self._commits: dict[str, tuple[tuple[str, ...], dict[str, bytes]]] = {}
        self._said: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._people: dict[str, Row] = {}
        self._ids = 1000
        self.commit({"README.md": "hello\n"}, branch="main")

    def commit(
        self,
        files: Mapping[str, str | bytes],
        *,
        branch: str = "main",
        message: str = "more",
        author: tuple[str, str] = ("", ""),
    ) -> str:
        """Add a commit to a branch (a new one begins at main) and give its id; `author` is mail address and login."""
        parent = self.branches.get(branch) or self.branches.get("main")
        held = dict(self._commits[parent][1]) if parent in self._commits else {}
        held |= {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
        listed = sorted((path, blob_id(data)) for path, data in held.items())
        sha = hashlib.sha1(json.dumps([parent, listed, message, self.new_id()]).encode()).hexdigest()  # noqa: S324  # git's
        self._commits[sha] = ((parent,) if parent else (), held)
        self._said[sha] = (message, tuple(files))
        self.wrote(sha, *author)
        self.branches[branch] = sha
        return sha

    def take_from(self, folder: Path) -> None:
        """Take refs and commits from a git repository; their files stay unknown."""
        listed = _git(folder, "for-each-ref", "--format=%(refname) %(objectname) %(*objectname)")
        refs = [(line.split(" ")[0], line.split()[-1]) for line in listed.splitlines()]
        self.branches = {name.removeprefix("refs/heads/"): sha for name, sha in refs if name.startswith("refs/heads/")}
        self.tags = {name.removeprefix("refs/tags/"): sha for name, sha in refs if name.startswith("refs/tags/")}
        for line in _git(folder, "rev-list", "--all", "--parents").splitlines():
            sha, *parents = line.split()
            self._commits.setdefault(sha, (tuple(parents), {}))

    def wrote(self, sha: str, mail: str, login: str = "") -> None:
        """Say who wrote a commit; somebody whom GitHub has no account of has no login."""
        person = {"name": "Some One", "email": mail or "orch@acme.example", "date": _AT}
        account = {"login": login, "type": "User"} if login else None
        self._people[sha] = {
            "commit": {"author": person, "committer": person},
            "author": account,
            "committer": account,
        }

    def row_of(self, sha: str) -> Row:
        """Return a commit as lists show it."""
        people = self._people.get(sha, {"commit": {}})
        return {**people, "sha": sha, "commit": {**people["commit"], "message": self.said_at(sha)[0]}}

    def new_id(self) -> int:
        """Return a number that nothing else has."""
        self._ids += 1
        return self._ids

    def new_number(self) -> int:
        """Return the number of the next issue or pull request."""
        return len(self.issues) + len(self.pulls) + 1

    def knows(self, sha: str) -> bool:
        """Say whether there is such a commit."""
        return sha in self._commits

    def files_at(self, sha: str) -> dict[str, bytes]:
        """Return the files of a commit."""
        return self._commits[sha][1]

    def said_at(self, sha: str) -> tuple[str, tuple[str, ...]]:
        """Return a commit's message and the paths that it changed."""
        return self._said.get(sha, ("", ()))

    def before(self, sha: str) -> list[str]:
        """Return a commit and all before it, nearest first."""
        found, waiting = [], [sha]
        while waiting:
            one = waiting.pop(0)
            if one not in found and one in self._commits:
                found.append(one)
                waiting += self._commits[one][0]
        return found

    def user(self) -> Row:
        """Return who acts."""
        return {"login": self.login, "id": 1, "type": "User"}


def blob_id(data: bytes) -> str:
    """Return git's id of a content."""
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data)).hexdigest()  # noqa: S324  # git's


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


Route = Callable[["Rest", Asked, str, re.Match[str]], Answer]
_ROUTES: list[tuple[str, re.Pattern[str], Route]] = []


def route(method: str, pattern: str) -> Callable[[Route], Route]:
    """Register what answers a method below `/repos/OWNER/NAME`."""

    def register(function: Route) -> Route:
        _ROUTES.append((method, re.compile(pattern), function))
        return function

    return register


class Rest(State):
    """Answers requests."""

    def answer(self, asked: Asked, url: str) -> Answer:
        """Return the answer to a request; `url` is where we are."""
        import github_routes  # noqa: F401  # registers the routes

        if asked.path == "/user":
            return Answer(200, self.user()) if self.has_user else refused(403, "Resource not accessible by integration")
        found = re.match(r"(/uploads)?/repos/([^/]+/[^/]+)(/.*)?$", asked.path)
        if found is None or found[2].lower() not in self.repositories:
            return refused(404, "Not Found")
        place, rest = f"{url}/repos/{found[2]}", found[3] or ""
        for method, pattern, function in _ROUTES:
            matched = pattern.fullmatch(rest)
            if matched and method == asked.method:
                return function(self, asked, place, matched)
        return refused(404, "Not Found")

    def paged(self, rows: list[Row], asked: Asked) -> Answer:
        """Return one page of rows, with a link to the next."""
        size = min(int(asked.query.get("per_page", "30")), self.page_size)
        page = int(asked.query.get("page", "1"))
        is_more = len(rows) > page * size
        link = {"Link": f'<https://unused.example{asked.path}?page={page + 1}>; rel="next"'} if is_more else {}
        return Answer(200, rows[(page - 1) * size : page * size], link)

    def found(self, rows: list[Row], key: str, value: object) -> Row | None:
        """Return the row that has a value; None where none has."""
        return next((row for row in rows if row[key] == value), None)

    def issue_like(self, number: str) -> Row | None:
        """Return the issue or pull request of a number."""
        return self.found([*self.issues, *self.pulls], "number", int(number))

    def new_issue(self, place: str, body: Row, kind: str) -> Row:
        """Return what issues and pull requests have in common."""
        number, name = self.new_number(), self.new_id()
        return {
            "id": name,
            "node_id": f"{kind}_{name}",
            "number": number,
            "title": body["title"],
            "body": body.get("body"),
            "state": "open",
            "user": self.user(),
            "author_association": "MEMBER",
            "labels": [{"name": label} for label in body.get("labels", [])],
            "assignees": [{"login": login} for login in body.get("assignees", [])],
            "created_at": _AT,
            "updated_at": _AT,
            "url": f"{place}/{'issues' if kind == 'I' else 'pulls'}/{number}",
            "html_url": f"https://github.example/{'issues' if kind == 'I' else 'pull'}/{number}",
        }

    @staticmethod
    def decoded(text: str) -> bytes:
        """Return base64 as bytes."""
        return base64.b64decode(text)

    @staticmethod
    def invalid(message: str) -> Answer:
        """Return a 422 with a reason."""
        return _invalid(message)
