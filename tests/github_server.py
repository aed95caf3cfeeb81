"""A server on loopback with the shapes of GitHub's REST API. State in memory; every effect is counted; faults on demand.

    with GitHubServer() as github:
        settings = {"api": github.url, "token": github.token}      # `adapters: {github: ...}`; settle_s: 0 for speed
        github.fault(r"/issues$", Fault.LOSE)                       # the next one is applied, its reply is lost
        ...
        assert github.effects["issue.created"] == 1
        assert github.issues[0]["title"] == "Run 7"

The repository is `acme/web` (`repositories` names others, all share one state). The token must be `github.token`, else
401. What can be looked at and changed by a test, always as GitHub would show it:

    .issues .comments .pulls .releases .assets .runs .builds   lists of rows, oldest first; a comment has `issue_number`
    .branches .tags            name to commit id
    .commit({path: text}, branch="main", message="...", author=(mail, login))    a new commit on a branch; gives its id
    .wrote(commit, mail, login="")                              who wrote a commit
    .follow(folder)            take branches, tags and commits from a git repository on disk, anew for each request
    .effects                   Counter: issue.created issue.updated comment.created pull.opened pull.updated pull.merged
                               pull.closed release.created release.published asset.uploaded file.written
                               workflow.dispatched page.built branch.created branch.deleted label.added
                               assignee.added reviewer.asked
    .requests                  [(method, path)] in order, reads too: a dry run leaves it empty
    .login                     who the token belongs to; `has_user = False` makes GET /user answer 403, as for an app
    .workflows                 {"ci.yml": {"inputs": ["level"]}}: what can be dispatched, with the inputs it declares
    .uploads_at                another server's address that releases name for their files
    .page_size                 most rows on a page, at most 100 as GitHub has it
    .fault(path_regex, kind, times=1, method=None, seconds=...)     see `Fault`; faults are used up in order
    .spare()                   takes back what is left of them
"""

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from github_rest import Answer, Asked, Fault, Rest, refused

__all__ = ["Fault", "GitHubServer"]


DRIP = "X-Drip-Seconds"
"""A header that makes an answer come slowly."""


class _Fault(NamedTuple):
    path: re.Pattern[str]
    kind: Fault
    method: str | None
    seconds: float


class GitHubServer(Rest):
    """What the module says."""

    def __init__(self, *, token: str = "", repositories: tuple[str, ...] = ("acme/web",)) -> None:
        super().__init__(repositories)
        self.token = token or "ghp_0123456789abcdefghijklmnopqrstuvwxyz"
        self.requests: list[tuple[str, str]] = []
        self._faults: list[_Fault] = []
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._folder: Path | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def fault(
        self, path: str, kind: Fault | str, times: int = 1, *, method: str | None = None, seconds: float = 1.0
    ) -> None:
        """Spoil the next `times` requests whose path matches; reads count unless `method` says which are meant."""
        spoiled = _Fault(re.compile(path), Fault(kind), method, seconds)
        with self._lock:
            self._faults += [spoiled] * times

    def spare(self) -> None:
        """Spoil no further request."""
        with self._lock:
            self._faults.clear()

    def follow(self, folder: Path) -> None:
        """Take branches, tags and commits from a git repository on disk, anew for each request."""
        self._folder = folder

    def wait(self, seconds: float) -> None:
        """Wait, but not beyond the server's end."""
        if seconds:
            self._ended.wait(seconds)

    def answer_for(self, asked: Asked, authorization: str) -> Answer | None:
        """Return what is answered; None where the connection is closed without a word."""
        with self._lock:
            self.requests.append((asked.method, asked.path))
            spoiled = self._spoiled(asked)
        if spoiled is not None and spoiled.kind is Fault.SLOW:
            self.wait(spoiled.seconds)
        before = _instead(spoiled)
        if before is not None or (spoiled is not None and spoiled.kind is Fault.DROP):
            return before
        with self._lock:
            answer = self._applied(asked, authorization)
        match spoiled.kind if spoiled else None:
            case Fault.LOSE:
                return None
            case Fault.AFTER:
                return refused(502, "Server Error")
            case Fault.GARBAGE:
                return Answer(answer.status, b"<html>this is no JSON")
            case Fault.DRIP if spoiled is not None:
                return Answer(answer.status, answer.body, {DRIP: str(spoiled.seconds)})
        return answer

    def _applied(self, asked: Asked, authorization: str) -> Answer:
        if authorization not in {f"Bearer {self.token}", f"token {self.token}"}:
            return refused(401, "Bad credentials")
        if self._folder is not None:
            self.take_from(self._folder)
        return self.answer(asked, self.url)

    def _spoiled(self, asked: Asked) -> _Fault | None:
        for index, one in enumerate(self._faults):
            if one.path.search(asked.path) and one.method in {None, asked.method}:
                return self._faults.pop(index)
        return None


def _instead(spoiled: _Fault | None) -> Answer | None:
    """Return the answer of a fault that keeps the request from being applied; None where it is none of these."""
    match spoiled.kind if spoiled else None:
        case Fault.BEFORE:
            return refused(502, "Server Error")
        case Fault.RATE:
            reset = str(int(time.time()) + 60)
            headers = {"Retry-After": "7", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
            return refused(403, "You have exceeded a secondary rate limit", headers)
        case Fault.QUOTA:
            reset = str(int(time.time()) + 60)
            headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
            return refused(403, "API rate limit exceeded for user ID 1", headers)
        case Fault.BUSY:
            return refused(429, "Too many requests", {"Retry-After": "7"})
        case Fault.REDIRECT:
            return Answer(307, {"message": "Temporary Redirect"}, {"Location": "/elsewhere"})
    return None


def _handler(server: GitHubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer in one piece: two small ones wait for each other
        disable_nagle_algorithm = True

        def _do(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            asked = Asked(self.command, unquote(url.path), dict(parse_qsl(url.query)), raw)
            answer = server.answer_for(asked, self.headers.get("Authorization", ""))
            if answer is None:
                self.close_connection = True
                return
            self._send(answer)

        def _send(self, answer: Answer) -> None:
            body = _bytes(answer)
            try:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if answer.status != 204:
                    self.send_header("Content-Type", "application/json; charset=utf-8")
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self._write(body, float(answer.headers.get(DRIP, 0)))
            except OSError:  # the client did not wait
                self.close_connection = True

        def _write(self, body: bytes, seconds: float) -> None:
            step = 1 if seconds else len(body) or 1
            for at in range(0, len(body), step):
                self.wfile.write(body[at : at + step])
                self.wfile.flush()
                server.wait(seconds / len(body))
            self.wfile.flush()

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _do  # noqa: N815  # what the server looks for

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _bytes(answer: Answer) -> bytes:
    if answer.status == 204:
        return b""
    return answer.body if isinstance(answer.body, bytes) else _json(answer.body)


def _json(value: Any) -> bytes:  # noqa: ANN401  # JSON
    return json.dumps(value).encode()
