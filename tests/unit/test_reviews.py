"""Reviews on GitHub, read from a real server on loopback that has GitHub's shapes."""

import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from orchestrator import approvals, reviews
from orchestrator.approvals import Request
from orchestrator.change import read_change
from orchestrator.decision import Decision
from orchestrator.digest import change_digest
from orchestrator.errors import AdapterError, UsageError
from orchestrator.ledger.store import Ledger
from orchestrator.reviews import Source, read_reviews

ROSTER = {
    "user:alice": {"roles": ["sre"], "attributes": {"github": "Alice"}},
    "user:bob": {"roles": ["sre"], "attributes": {"github": "bob"}},
    "user:carol": {"roles": ["lead"], "attributes": {"github": "carol"}},
    "user:author": {"roles": ["sre"], "attributes": {"github": "author"}},
}


@dataclass
class GitHub:
    """What the server says."""

    url: str = ""
    base: str = ""
    rows: list[Any] = field(default_factory=list)
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """By path, instead of what it would say."""
    seen: list[tuple[str, str]] = field(default_factory=list)
    """Path and authorization of each request."""


@pytest.fixture
def github() -> Iterator[GitHub]:
    told = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            told.seen.append((url.path, self.headers.get("Authorization", "")))
            status, body = told.answers.get(url.path, (200, b""))
            if status == 200 and not body:
                body = json.dumps(self._said(url.path, parse_qs(url.query))).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        def _said(self, path: str, query: dict[str, list[str]]) -> Any:  # noqa: ANN401  # JSON
            if path.endswith("/reviews"):
                size, page = int(query["per_page"][0]), int(query["page"][0])
                return told.rows[(page - 1) * size : page * size]
            return {"base": {"sha": told.base}}

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path: Path, github: GitHub) -> Path:
    """Return a repository with a base and a change of one file."""
    folder = tmp_path / "web"
    folder.mkdir()
    _git(folder, "init", "-q", "-b", "main")
    _git(folder, "commit", "-q", "--allow-empty", "-m", "base")
    github.base = _git(folder, "rev-parse", "HEAD")
    _git(folder, "switch", "-q", "-c", "fix")
    _commit(folder, "one\n")
    return folder


def _commit(folder: Path, content: str) -> str:
    (folder / "a.tf").write_text(content)
    _git(folder, "add", ".")
    _git(folder, "commit", "-q", "-m", "change")
    return _git(folder, "rev-parse", "HEAD")


def _request(ledger: Ledger, clone: Path, key: str = "k") -> Request:
    """Open a request for the change of the clone's head."""
    change = read_change("main..fix", clone)
    properties = {"role": "sre", "count": 1, "bind": "changes", "expires_s": 3600, "votes": 0}
    context = {
        "evaluation_id": "e", "action_digest": "sha256:a", "change_digest": change_digest(change.files),
        "policy": {"digest": "sha256:p"}, "claimed": False,
        "obligations": [{"type": "approval", "mode": "enforce", "properties": properties}],
    }  # fmt: skip
    resource = {"type": "repository", "id": "acme/web", "properties": {"branch": "main", "files": list(change.files)}}
    asked = {"subject": {"type": "agent", "id": "fixer"}, "action": {"name": "open_pr"}, "resource": resource}
    with ledger.store.writing() as connection:
        facts = {"contributors": ["user:author"]}
        found = approvals.open_request(ledger, connection, Decision(asked, context), facts, key, None)
    return approvals.find(ledger, found)


def _review(number: int, login: str, state: str, commit: str, minute: int = 0) -> dict[str, Any]:
    at = f"2026-11-21T05:{minute:02}:00Z"
    return {"id": number, "user": {"login": login}, "state": state, "commit_id": commit, "submitted_at": at}


def _read(ledger: Ledger, github: GitHub, clone: Path) -> list[str]:
    return list(read_reviews(ledger, Source.of("acme/web#7", github.url), clone, ROSTER))


def _standing(ledger: Ledger, request: Request) -> list[tuple[str, str]]:
    votes = approvals.find(ledger, request.id).votes
    return sorted((cast.voter, cast.decision) for cast in votes if not cast.revocation)


def test_a_review_of_this_very_change_is_a_vote(
    ledger: Ledger, github: GitHub, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "secret-token")
    request = _request(ledger, clone)
    github.rows = [_review(1, "alice", "APPROVED", _git(clone, "rev-parse", "fix"))]

    told = _read(ledger, github, clone)

    assert told == [f"user:alice approved request {request.id} as sre"]
    cast = approvals.find(ledger, request.id).votes[0]
    assert (cast.via, cast.token, cast.digest, cast.at) == ("github", "", request.change_digest, "2026-11-21T05:00:00Z")
    assert github.seen[0] == ("/repos/acme/web/pulls/7", "Bearer secret-token")
    assert _read(ledger, github, clone) == told
    assert len(approvals.find(ledger, request.id).votes) == 1


def test_a_rebased_commit_with_the_same_change_counts_and_another_change_does_not(
    ledger: Ledger, github: GitHub, clone: Path
) -> None:
    same = _git(clone, "rev-parse", "fix")
    request = _request(ledger, clone)
    _git(clone, "commit", "-q", "--amend", "-m", "other words")
    github.rows = [_review(1, "alice", "APPROVED", _git(clone, "rev-parse", "fix"))]
    assert "approved" in _read(ledger, github, clone)[0]
    assert same != _git(clone, "rev-parse", "fix")

    github.rows = [_review(2, "bob", "APPROVED", _commit(clone, "two\n"))]

    assert "no request waits for the change that was reviewed" in _read(ledger, github, clone)[0]
    assert _standing(ledger, request) == [("user:alice", "approve")]


def test_the_last_word_of_each_person_counts(ledger: Ledger, github: GitHub, clone: Path) -> None:
    head = _git(clone, "rev-parse", "fix")
    request = _request(ledger, clone)
    github.rows = [
        _review(3, "bob", "APPROVED", head, 3),
        _review(1, "alice", "CHANGES_REQUESTED", head, 1),
        _review(2, "Alice", "APPROVED", head, 2),
        _review(4, "alice", "COMMENTED", head, 4),
        _review(5, "bob", "PENDING", head, 5),
    ]
    _read(ledger, github, clone)
    assert _standing(ledger, request) == [("user:alice", "approve"), ("user:bob", "approve")]

    github.rows += [_review(6, "bob", "CHANGES_REQUESTED", head, 6)]
    github.rows[2]["state"] = "DISMISSED"
    told = _read(ledger, github, clone)

    assert _standing(ledger, request) == [("user:bob", "reject")]
    assert "the review was dismissed" in "".join(told)


def test_a_commit_that_is_gone_keeps_no_other_review_unread(ledger: Ledger, github: GitHub, clone: Path) -> None:
    request = _request(ledger, clone)
    head = _git(clone, "rev-parse", "fix")
    github.rows = [_review(1, "alice", "APPROVED", "0" * 39 + "1", 1), _review(2, "bob", "CHANGES_REQUESTED", head, 2)]

    with pytest.raises(UsageError, match=r"user:alice: the commit 000000000000 cannot be compared"):
        _read(ledger, github, clone)

    assert _standing(ledger, request) == [("user:bob", "reject")]


def test_who_may_not_or_is_not_known_does_not_count(ledger: Ledger, github: GitHub, clone: Path) -> None:
    head = _git(clone, "rev-parse", "fix")
    request = _request(ledger, clone)
    github.rows = [_review(n, who, "APPROVED", head) for n, who in enumerate(("carol", "author", "stranger"), 1)]
    github.rows.append({**_review(9, "x", "APPROVED", head), "user": None})

    told = _read(ledger, github, clone)

    assert [line.partition(": ")[2][:30] for line in told] == [
        f"request {request.id} asks for no role"[:30],
        "had a hand in what request " + request.id[:3],
        "nobody of the roster has this login, so"[:30],
    ]
    assert _standing(ledger, request) == []


def test_a_review_is_used_once(ledger: Ledger, github: GitHub, clone: Path) -> None:
    head = _git(clone, "rev-parse", "fix")
    request = _request(ledger, clone)
    github.rows = [_review(1, "alice", "APPROVED", head)]
    _read(ledger, github, clone)
    with ledger.store.writing() as connection:
        approvals.consume(ledger, connection, request.id, "e1")
    again = _request(ledger, clone)

    assert again.id != request.id
    assert _read(ledger, github, clone) == ["user:alice: the review was used already; only a new one counts"]
    assert _standing(ledger, again) == []
    github.rows.append(_review(2, "alice", "APPROVED", head, 2))
    assert _read(ledger, github, clone) == [f"user:alice approved request {again.id} as sre"]


def test_every_page_is_read(ledger: Ledger, github: GitHub, clone: Path) -> None:
    head = _git(clone, "rev-parse", "fix")
    request = _request(ledger, clone)
    github.rows = [_review(n, f"stranger{n}", "COMMENTED", head) for n in range(1, 250)]
    github.rows.append(_review(999, "alice", "APPROVED", head))

    assert _read(ledger, github, clone) == [f"user:alice approved request {request.id} as sre"]
    assert sum(path.endswith("/reviews") for path, _ in github.seen) == 3


@pytest.mark.parametrize(
    ("path", "status", "body", "seen"),
    [
        ("", 404, b"{}", "answered 404"),
        ("", 302, b"{}", "answered 302"),
        ("/reviews", 500, b"{}", "answered 500"),
        ("", 200, b"<html>", "no JSON"),
        ("", 200, b"[]", "a commit that is none"),
        ("", 200, b'{"base": {"sha": "--upload-pack=x"}}', "a commit that is none"),
        ("", 200, b'{"base": ["sha"]}', "a commit that is none"),
        ("/reviews", 200, b"{}", "no list of reviews"),
        ("/reviews", 200, b"[5]", "a review that is no object"),
        ("/reviews", 200, b'[{"state": "APPROVED", "user": {"login": "a"}}]', "without author, id or time"),
        ("/reviews", 200, b"[" * 100_000, "no JSON"),
        ("/reviews", 200, b" " * 9_000_000, "too much"),
    ],
)
def test_an_answer_that_is_none_is_told(  # noqa: PLR0917  # a table's columns
    sqlite_ledger: Ledger, github: GitHub, clone: Path, path: str, status: int, body: bytes, seen: str
) -> None:
    github.answers[f"/repos/acme/web/pulls/7{path}"] = (status, body)

    with pytest.raises(AdapterError, match=seen):
        _read(sqlite_ledger, github, clone)

    assert not any(asked == "/elsewhere" for asked, _ in github.seen)


def test_nobody_there_is_told(sqlite_ledger: Ledger, clone: Path) -> None:
    with pytest.raises(AdapterError, match="GitHub cannot be asked"):
        list(read_reviews(sqlite_ledger, Source.of("acme/web#7", "http://127.0.0.1:9"), clone, ROSTER))


def test_a_review_whose_state_is_no_text_says_nothing(sqlite_ledger: Ledger, github: GitHub, clone: Path) -> None:
    github.answers["/repos/acme/web/pulls/7/reviews"] = (200, b'[{"state": ["APPROVED"], "user": {"login": "a"}}]')

    assert _read(sqlite_ledger, github, clone) == ["acme/web#7 has no review"]


@pytest.mark.parametrize(
    ("pull", "api"),
    [
        ("acme/web", "https://api.github.com"),
        ("acme/web#x", "https://api.github.com"),
        ("acme#1", "https://api.github.com"),
        ("../../user#1", "https://api.github.com"),
        ("acme/web#1", "http://api.github.com"),
        ("acme/web#1", "file:///etc/passwd"),
    ],
)
def test_what_is_no_pull_request_or_unprotected_is_refused(pull: str, api: str) -> None:
    with pytest.raises(UsageError):
        reviews.Source.of(pull, api)
