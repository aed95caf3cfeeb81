"""A real HTTP server on loopback that records what it is asked and answers by script, faults included.

    with http_server() as server:
        server.answer("/hook", Reply(503, headers={"Retry-After": "7"}), Reply(200))   # in turn; the last one for ever
        server.answer("/slow", Reply(fault=Fault.HANG))
        server.answer("/echo", lambda seen: Reply(200, seen.body))                     # or by a function
        ... server.url + "/hook" ...
        assert [one.method for one in server.seen] == ["POST", "POST"]

What no script speaks of is 404. `http_server(authority=trustme.CA())` speaks TLS for localhost and 127.0.0.1; clients
trust `server.ca_file`. Threads and connections are gone when the block ends, hanging ones included.
"""

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from socketserver import BaseRequestHandler

    import trustme


class Fault(StrEnum):
    """What goes wrong with one request."""

    CLOSE_EARLY = "the connection is closed when the first line has been read: head and body are not"
    CLOSE_LATE = "all of the request is read, and the connection closed without an answer"
    RESET = "all of the request is read, and the connection reset"
    HANG = "all of the request is read, and nothing ever answered"
    CUT = "the answer says it is longer than it is"
    GARBAGE = "the answer is not HTTP"


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    """With the query; of a proxy's request without scheme and host."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    host: str = ""
    """Whom the client believes to speak to, without port."""

    @property
    def json(self) -> Any:  # noqa: ANN401  # JSON
        """The body, read."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """One answer."""

    status: int = 200
    body: bytes | str | dict[str, Any] | list[Any] = b""
    """An object or list is sent as JSON."""
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    """Before the answer begins."""
    drip_s: float = 0.0
    """Between two bytes of the answer's body."""
    fault: Fault | None = None

    def content(self) -> bytes:
        """Return the body's bytes."""
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


Answer = Reply | Callable[[Seen], Reply]
"""What is answered, or what says it."""
NOT_FOUND = Reply(404, {"message": "nothing is here"})


def unused_url(path: str = "/") -> str:
    """Return an address of loopback where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}{path}"


class Listener(ThreadingHTTPServer):
    """Accepts connections, each in a thread; ends all of them when it is closed."""

    daemon_threads = False  # so that closing waits for them
    request_queue_size = 128

    def __init__(self, connection: "type[BaseRequestHandler]", context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), connection)
        self.context = context
        self.is_ending = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request_thread(self, request: Any, client_address: object) -> None:  # noqa: ANN401  # as there
        """Serve one connection; TLS is shaken hands on here, so that a slow client stops nobody else."""
        self.adopt(request)
        try:
            if self.context is not None:
                request.settimeout(10)
                request = self.context.wrap_socket(request, server_side=True)
                request.settimeout(None)
        except OSError:  # the client does not trust us, or left
            request.close()
            return
        self.adopt(request)
        super().process_request_thread(request, client_address)
        with self._lock:
            self._open.discard(request)

    def adopt(self, connection: socket.socket) -> None:
        """Close this one, too, at the end: what became of a connection that changed to TLS."""
        with self._lock:
            self._open.add(connection)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that leaves is what tests are about."""

    def end(self) -> None:
        """Close every connection, then the server, and wait for the threads."""
        self.is_ending.set()
        self.shutdown()
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        self.server_close()


class Connection(BaseHTTPRequestHandler):
    """One connection: reads requests and answers what `reply_for` says; `server` must be a Listener."""

    protocol_version = "HTTP/1.1"
    server: Listener
    raw_requestline: bytes
    host = ""

    def reply_for(self, seen: Seen) -> Reply:
        """Return what to answer; `early` below is asked first."""
        raise NotImplementedError

    def early(self, _path: str) -> bool:
        """Say whether the connection is closed before the request is read."""
        return False

    def parse_request(self) -> bool:
        """Read a request's head, unless it is closed before."""
        words = bytes(self.raw_requestline).decode("latin-1").split()
        if len(words) > 1 and self.early(words[1]):
            self.close_connection = True
            return False
        return super().parse_request()

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name it has there
        """Stay quiet."""

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            body = b"".join(self._chunks())
        else:
            body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        path, host = self.path, self.host or headers.get("host", "").rpartition(":")[0]
        if "://" in path:  # asked as a proxy
            host, _, rest = path.partition("://")[2].partition("/")
            path = "/" + rest
        reply = self.reply_for(Seen(self.command, path, headers, body, host.rpartition(":")[0] or host))
        if reply.wait_s:
            self.server.is_ending.wait(reply.wait_s)
        self._send(reply)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _send(self, reply: Reply) -> None:
        match reply.fault:
            case Fault.HANG:
                self.server.is_ending.wait()
            case Fault.RESET:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case Fault.GARBAGE:
                self.wfile.write(b"220 this is not HTTP\r\n\r\n")
            case None | Fault.CUT:
                self._write(reply)
        if reply.fault:
            self.close_connection = True

    def _write(self, reply: Reply) -> None:
        content = reply.content()
        self.send_response(reply.status)
        said = {name.lower() for name in reply.headers}
        if isinstance(reply.body, dict | list) and "content-type" not in said:
            self.send_header("Content-Type", "application/json")
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if "content-length" not in said:
            self.send_header("Content-Length", str(len(content) + (100 if reply.fault else 0)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if not reply.drip_s:
            self.wfile.write(content)
            return
        for index in range(len(content)):
            self.wfile.write(content[index : index + 1])
            self.wfile.flush()
            if self.server.is_ending.wait(reply.drip_s):
                return


class Script:
    """Answers by path, in turn, and everything that was seen."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self._answers: dict[str, list[Answer]] = {}
        self._lock = threading.Lock()

    def answer(self, path: str, *answers: Answer) -> None:
        """Say what a path (without query) answers: one after the other, the last one from then on; `*` is any path."""
        with self._lock:
            self._answers[path] = list(answers)

    def of(self, path: str) -> list[Seen]:
        """Return what was seen of a path (without query)."""
        with self._lock:
            return [one for one in self.seen if one.path.partition("?")[0] == path]

    def next(self, seen: Seen) -> Reply:
        """Record a request and return its answer."""
        with self._lock:
            self.seen.append(seen)
            answers = self._find(seen.path)
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer if isinstance(answer, Reply) else answer(seen)

    def is_early(self, path: str) -> bool:
        """Say whether the next answer of a path is to close before reading; if so, it is used up, nothing recorded."""
        with self._lock:
            answers = self._find(path)
            first = answers[0]
            if not isinstance(first, Reply) or first.fault is not Fault.CLOSE_EARLY:
                return False
            if len(answers) > 1:
                answers.pop(0)
            return True

    def _find(self, path: str) -> list[Answer]:
        return self._answers.get(path.partition("?")[0]) or self._answers.get("*") or [NOT_FOUND]


class HttpServer(Script):
    """A running server."""

    url: str
    """`http://127.0.0.1:PORT`, or `https://localhost:PORT`."""
    port: int
    ca_file: str
    """PEM of whom to trust; "" without TLS."""


def context_of(authority: "trustme.CA", *names: str) -> ssl.SSLContext:
    """Return a server's side of TLS with a certificate for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@contextmanager
def http_server(*, authority: "trustme.CA | None" = None, names: tuple[str, ...] = ()) -> Iterator[HttpServer]:
    """Give a running server, with TLS where there is an authority; `names` are those of its certificate."""
    script = HttpServer()

    class _Scripted(Connection):
        def reply_for(self, seen: Seen) -> Reply:
            return script.next(seen)

        def early(self, path: str) -> bool:
            return script.is_early(path)

    context = context_of(authority, *(names or ("localhost", "127.0.0.1"))) if authority else None
    listener = Listener(_Scripted, context)
    script.port = listener.server_address[1]
    script.url = f"https://localhost:{script.port}" if authority else f"http://127.0.0.1:{script.port}"
    with TemporaryDirectory(prefix="oca") as folder:
        script.ca_file = ""
        if authority:
            script.ca_file = str(Path(folder) / "ca.pem")
            authority.cert_pem.write_to_path(script.ca_file)
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield script
        finally:
            listener.end()
            thread.join()
