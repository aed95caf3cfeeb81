"""Where a process of a drill can be ended: a trap within it, and one between it and its PostgreSQL server.

The points are those at which something becomes durable or leaves the process. `TRAP` counts them in the process: every
COMMIT of SQLite, a connection to a server, a file's new name, a program that an adapter starts. `ServerTrap` counts
from outside what the process commits on a server: each COMMIT of a change once before the server hears of it, and
once when it is done and the process has not heard of that. Both know a `Mark`: the COMMIT that records one event.
"""

import os
import shutil
import signal
import socket
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

TRAP = """
import itertools, os, sys, threading
at, count = os.environ.get("DRILL_POINT", ""), os.environ.get("DRILL_COUNT", "")
*words, when = os.environ.get("DRILL_MARK", "").split() or [""]
passed, due = itertools.count(1), threading.local()

def point(what):
    number = next(passed)
    if count:
        with open(count, "a") as file:
            file.write(what + "\\n")
    if at in (str(number), what):
        os.kill(os.getpid(), int(os.environ.get("DRILL_SIGNAL", "9")))

def heard(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        point("port " + str(arguments[1][1]))
    elif event in ("os.rename", "os.link"):
        point("name")
    elif event == "subprocess.Popen" and threading.current_thread().name.startswith("orch-"):
        point("program")

def hearing():
    seen = set()

    def hear(statement):
        if hasattr(due, "now"):  # this thread's marked COMMIT is done
            os.kill(os.getpid(), 9)
        if statement.startswith("BEGIN"):
            seen.clear()
        seen.update(word for word in words if word in statement)
        if statement.startswith("COMMIT"):
            point("commit")
            if words and len(seen) == len(words):
                if when == "before":
                    os.kill(os.getpid(), 9)
                due.now = True

    return hear

if at or count or words:
    import _sqlite3, sqlite3
    real = _sqlite3.connect

    def connect(*arguments, **named):
        made = real(*arguments, **named)
        made.set_trace_callback(hearing())
        return made

    _sqlite3.connect = sqlite3.connect = sqlite3.dbapi2.connect = connect
    sys.addaudithook(heard)
"""
"""A `sitecustomize`. `DRILL_POINT` is the number of a point, or its name; there `DRILL_SIGNAL` comes, SIGKILL if none is
said. `DRILL_MARK` is a `Mark` as text; with `after` the end comes right before whatever its thread asks SQLite next."""
_SOCKET = ".s.PGSQL.5432"
_CHUNK_BYTES = 65_536
_DONE = b"C\x00\x00\x00\x0bCOMMIT\x00"
"""What a server says of a COMMIT that is done."""


class Mark(NamedTuple):
    """The COMMIT that records one event about one action."""

    type: str
    """Of the event."""
    key: str
    """Of the action."""
    is_done: bool
    """End the process when it is done, else right before it."""

    @property
    def text(self) -> str:
        """What `DRILL_MARK` says."""
        return f"{self.type} {self.key} {'after' if self.is_done else 'before'}"


class ServerTrap:
    """A socket in front of a server's: whoever connects there is ended where `arm` says."""

    def __init__(self, upstream: Path, folder: Path) -> None:
        self.folder = folder
        """What takes the place of the server's folder in a URL."""
        self.passed = 0
        """Points since it was armed."""
        self._upstream = upstream / _SOCKET
        self._number = 0
        self._mark: Mark | None = None
        self._turn = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / _SOCKET))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, number: int = 0, mark: Mark | None = None) -> None:
        """End who comes to the n-th point, counted from now, or who connects from now on and comes to a mark."""
        with self._turn:
            self.passed, self._number, self._mark = 0, number, mark

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                pid = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
                threading.Thread(target=self._serve, args=(client, pid), daemon=True).start()

    def _serve(self, client: socket.socket, pid: int) -> None:
        """Carry a connection until one side ends it."""
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(str(self._upstream))
            heard = _Heard(self._mark)
            down = threading.Thread(target=self._down, args=(client, server, pid, heard), daemon=True)
            down.start()
            self._up(client, server, pid, heard)
            down.join()

    def _up(self, client: socket.socket, server: socket.socket, pid: int, heard: "_Heard") -> None:
        """Carry what the client says to the server."""
        with _ended(server), suppress(OSError):
            while data := client.recv(_CHUNK_BYTES):
                if heard.has_commit(data) and self._is_the_end(pid, heard, is_done=False):
                    return
                server.sendall(data)

    def _down(self, client: socket.socket, server: socket.socket, pid: int, heard: "_Heard") -> None:
        """Carry what the server says to the client."""
        with _ended(client), suppress(OSError):
            while data := server.recv(_CHUNK_BYTES):
                if _DONE in data and heard.is_committing:
                    heard.is_committing = False
                    if self._is_the_end(pid, heard, is_done=True):
                        return
                client.sendall(data)

    def _is_the_end(self, pid: int, heard: "_Heard", *, is_done: bool) -> bool:
        with self._turn:
            self.passed += 1
            is_marked = heard.mark is not None and heard.is_marked and heard.mark.is_done == is_done
            if self.passed != self._number and not is_marked:
                return False
        os.kill(pid, signal.SIGKILL)
        return True


class _Heard:
    """What one client has said, as far as to see the COMMIT of a transaction that changes something."""

    def __init__(self, mark: Mark | None) -> None:
        self.mark = mark
        self.is_committing = False
        self.is_marked = False
        """What it commits, or committed last, is the mark's."""
        self._words = [] if mark is None else [mark.type.encode(), mark.key.encode()]
        self._seen: set[bytes] = set()
        self._rest = b""
        self._has_begun = False
        self._has_changed = False
        self._prepared: dict[bytes, bytes] = {}

    def has_commit(self, data: bytes) -> bool:
        """Return whether such a COMMIT is among what these bytes complete."""
        self._rest += data
        while len(self._rest) > 5:
            head = 1 if self._has_begun else 0  # the first message has no kind
            size = head + int.from_bytes(self._rest[head : head + 4], "big")
            if len(self._rest) < size:
                break
            message, self._rest = self._rest[:size], self._rest[size:]
            if self._has_begun:
                self._seen.update(word for word in self._words if word in message)
                self._hear(message[:1], message[5:].split(b"\0"))
            self._has_begun = True
        return self.is_committing

    def _hear(self, kind: bytes, parts: list[bytes]) -> None:
        if kind == b"P":
            self._prepared[parts[0]] = parts[1]
        text = {b"Q": parts[0], b"B": self._prepared.get(parts[1], b"") if len(parts) > 1 else b""}.get(kind, b"")
        match text.strip()[:6].upper():
            case b"COMMIT":
                self.is_committing, self._has_changed = self._has_changed, False
                self.is_marked = bool(self._words) and len(self._seen) == len(self._words)
            case b"BEGIN" | b"ROLLBA":
                self._has_changed = False
                self._seen.clear()
            case b"INSERT" | b"UPDATE" | b"DELETE":
                self._has_changed = True


@contextmanager
def _ended(other: socket.socket) -> Iterator[None]:
    """End a connection's other half with this one."""
    try:
        yield
    finally:
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)


@contextmanager
def server_trap(upstream: Path) -> Iterator[ServerTrap]:
    """Give a trap before the server whose socket lies in a folder."""
    folder = Path(tempfile.mkdtemp(prefix="otr", dir="/tmp"))
    trap = ServerTrap(upstream, folder)
    try:
        yield trap
    finally:
        trap.close()
        shutil.rmtree(folder, ignore_errors=True)
