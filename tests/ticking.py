"""Ticks in this process, in the small world of escalations: real policy, real mail and web servers, a real ledger.

with ticking(tmp_path, monkeypatch) as made:      # the deadline is noon; it began 24 hours before
    assert made.at("06:00").entered == ("remind_6h",)
    assert made.subjects() == ["6 hours left"]
"""

import os
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import command
from escalation_world import ESCALATION, HOUR_NS, MINUTE_NS, NAME, NOON_NS, TEXT, World, world

from orchestrator.clock import now_ns, parse_time
from orchestrator.escalations import state, timekeeping
from orchestrator.escalations.carry import Stop
from orchestrator.escalations.kept import Record
from orchestrator.escalations.meant import Manner
from orchestrator.escalations.model import Escalation
from orchestrator.escalations.tick import Ticked, ticks
from orchestrator.ledger.look import looking
from orchestrator.ledger.read import Filter, events
from orchestrator.ledger.store import Ledger

DAY = "2026-11-21"


class Ticking:
    """An escalation that ticks when it is told to."""

    def __init__(self, made: World) -> None:
        self.world = made

    def at(self, when: str, name: str | None = NAME, **manner: Any) -> Ticked:  # noqa: ANN401  # of Manner
        """Tick at a time: of the day of the deadline, or a whole one."""
        return self.tick(name, now_ns=moment(when), **manner)

    def tick(self, name: str | None = NAME, **manner: Any) -> Ticked:  # noqa: ANN401  # of Manner
        """Tick, by the machine's own clock unless a time is given."""
        return ticks(self.world.settings(), name, Manner(manner.pop("stop", Stop()), **manner))[0]

    def all_at(self, when: str) -> list[Ticked]:
        """Tick every escalation of the packs at a time."""
        return ticks(self.world.settings(), None, Manner(Stop(), moment(when)))

    def begin(self, deadline_ns: int = NOON_NS, escalation: Escalation = ESCALATION, *, began_ns: int = 0) -> Record:
        """Begin the first cycle, 24 hours before its deadline."""
        with self.world.opened() as ledger, ledger.store.writing() as connection:
            began_ns = began_ns or deadline_ns - 24 * HOUR_NS
            said = {"now_ns": began_ns, "deadline_ns": deadline_ns, "why": "set_deadline", "by": "user:ann"}
            return state.began(ledger, connection, None, escalation, **said, is_armed=True)  # type: ignore[arg-type]

    def renew(self, when: str, *, why: str = "renew") -> Record:
        """Begin the next cycle, as a renewal does."""
        with self.world.opened() as ledger, ledger.store.writing() as connection:
            record, now_ns = state.record_of(connection, NAME), moment(when)
            said = {"now_ns": now_ns, "deadline_ns": now_ns + 24 * HOUR_NS, "why": why, "by": "user:ann"}
            return state.began(ledger, connection, record, ESCALATION, **said, is_armed=True)  # type: ignore[arg-type]

    def disarm(self) -> None:
        """Let no deadline count."""
        with self.world.opened() as ledger, ledger.store.writing() as connection:
            state.say(ledger, connection, NAME, "disarmed", {"by": "user:ann"}, "user:ann")

    def seen(self, ago_ns: int, counted_ns: int, boot: str | None = None) -> None:
        """Let the newest tick be one of a while ago, since when the machine counted so much."""
        reading = timekeeping.read()
        with self.world.opened() as ledger, ledger.store.writing() as connection:
            said = {"tick": 1, "now_ns": reading.wall_ns - ago_ns, "stage": "ok", "target": "ok", "owed": []}
            said |= {"boot": reading.boot_id if boot is None else boot, "boot_ns": reading.boot_ns - counted_ns}
            state.say(ledger, connection, NAME, "ticked", said | {"heartbeat": "", "executor": ""}, "user:ann")

    @property
    def record(self) -> Record:
        """How it stands."""
        with looking(self.world.ledger) as ledger:
            assert ledger is not None
            with ledger.store.reading() as connection:
                found = state.record_of(connection, NAME)
        assert found is not None
        return found

    def subjects(self) -> list[str]:
        """Return the subjects of what the operator was sent."""
        return self.world.subjects()

    def told(self) -> list[str]:
        """Return who was sent something, in order."""
        return [mail.to for mail in self.world.mail.mails]

    def types(self, run_id: str = f"escalation:{NAME}") -> list[str]:
        """Return the types of the events of a chain, in order, without what they have in common."""
        with self.world.opened() as ledger:
            return [one.rpartition(".")[2] for one in _types(ledger, run_id)]

    def payloads(self, kind: str, run_id: str = f"escalation:{NAME}") -> list[dict[str, Any]]:
        """Return what the events of a type say, in order."""
        with self.world.opened() as ledger, ledger.store.reading() as connection:
            found = events(connection, Filter(run=run_id, type=kind))
            return [dict(one.payload or {}) for one in found]


def _types(ledger: Ledger, run_id: str) -> list[str]:
    with ledger.store.reading() as connection:
        rows = connection.execute("SELECT type FROM events WHERE run_id = ? ORDER BY run_seq", (run_id,))
    return [str(one) for (one,) in rows]


def moment(when: str) -> int:
    """Return `06:00` of the deadline's day, or a whole time, in nanoseconds since 1970."""
    return parse_time(when if "T" in when else f"{DAY}T{when}:00Z" if when.count(":") == 1 else f"{DAY}T{when}Z")


@contextmanager
def ticking(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, text: str = TEXT, ledger: str = "", begins: bool = True
) -> Iterator[Ticking]:
    """Give a world in which this process is the operator's command."""
    with world(folder, text=text, ledger=ledger) as made:
        for name, value in made.place.environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(made.work)
        ticker = Ticking(made)
        if begins:
            ticker.begin()
        yield ticker


def place_of(ledger: Ledger) -> str:
    """Return where a ledger lies, as a command is told."""
    return str(getattr(ledger.store, "url", "") or ledger.folder)


class Stalling:
    """A mail server that says nothing to a recipient until it is let go on; then it takes what comes."""

    def __init__(self) -> None:
        self.port = 0
        self.is_reached = threading.Event()
        """A recipient was named."""
        self.goes_on = threading.Event()
        self.kept: list[str] = []
        """Recipients of what was taken whole."""
        self.at = "RCPT"
        """The command that is not answered; DOT is the end of a message, which is kept before."""


class _Session(socketserver.StreamRequestHandler):
    script: Stalling

    def handle(self) -> None:
        to = ""
        self._say("220 ready")
        while line := self.rfile.readline().decode("ascii", "replace").strip():
            verb = line.split(":")[0].split(" ")[0].upper()
            if verb == "RCPT":
                to = line.partition("<")[2].partition(">")[0]
            if verb == "DATA":
                self._say("354 go on")
                while (text := self.rfile.readline()) not in {b".\r\n", b""}:
                    pass
                if text:
                    self.script.kept.append(to)
                    verb = "DOT"
            if verb == self.script.at:
                self.script.is_reached.set()
                self.script.goes_on.wait(30)
            self._say("221 bye" if verb == "QUIT" else "250 ok")
            if verb == "QUIT":
                return

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: a client may be killed at any time."""


@contextmanager
def stalling() -> Iterator[Stalling]:
    """Give a running server that stalls."""
    script = Stalling()
    with _Server(("127.0.0.1", 0), type("Session", (_Session,), {"script": script})) as server:
        script.port = int(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield script
        finally:
            script.goes_on.set()
            server.shutdown()
            thread.join()


def eventually(is_so: Any, patience_s: float = 30.0) -> None:  # noqa: ANN401  # a function
    """Wait until something is so."""
    until_s = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < until_s, "it did not come to that"
        time.sleep(0.02)


def variables(made: World) -> dict[str, str]:
    """Return the environment of a command that is started by hand."""
    return {**os.environ, **made.place.environ}


def walked(made: Ticking, ago_ns: int) -> None:
    """Begin with a deadline so long ago, and let the stages before the last be entered in their time."""
    now = now_ns()
    made.begin(now - ago_ns)
    for before in (6 * HOUR_NS, HOUR_NS, 15 * MINUTE_NS, -MINUTE_NS):
        made.tick(now_ns=now - ago_ns - before)
    assert made.record.stage == "partial"


@contextmanager
def started(made: Ticking, *arguments: object) -> Iterator["subprocess.Popen[bytes]"]:
    """Give a running command, which is ended with the block."""
    process = subprocess.Popen(
        command(*arguments),
        cwd=made.world.work,
        env=variables(made.world),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
