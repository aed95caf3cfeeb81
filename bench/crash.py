"""Kills writers of one ledger with SIGKILL at random instants, many times, and looks what is left.

python bench/crash.py [--count 1000] [--writers 3] [--postgres] [--seed N] [--keep FOLDER]

Each writer appends alone and in groups, keeps artifacts, signs heads and gives leaves, with clocks that jump back. It
tells what was acknowledged to it. Afterwards every acknowledged event must be there, every group whole, every chain and
leaf as `verify` wants it, and the next writer must be able to go on. With --postgres the server is killed, too, as if
the power had failed. The exit code is 1 if anything is missing.

SIGKILL leaves the kernel's buffers: what a power cut of the machine does to a disk is not shown.
"""

import argparse
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import LedgerError
from orchestrator.ledger import artifacts, heads
from orchestrator.ledger.append import append_all
from orchestrator.ledger.event import Draft, Event
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import Ledger
from orchestrator.ledger.verify import Options, verify

if TYPE_CHECKING:
    from postgres_server import Server

_EVENT, _BLOB = "event", "blob"
_GROUP = 7
_SERVER_DIES_EVERY = 50
_TIMES = ("2026-01-01T00:00:00Z", "2031-01-01T00:00:00Z", "1999-12-31T23:59:59Z", "")


@dataclass
class Writer:
    """A process that appends, and the pipe through which it tells what was acknowledged."""

    pid: int
    pipe: int
    dies_at: float
    heard: bytearray = field(default_factory=bytearray)

    def listen(self) -> None:
        """Take what was told so far."""
        while select.select([self.pipe], [], [], 0)[0]:
            told = os.read(self.pipe, 65_536)
            if not told:
                break
            self.heard += told


@dataclass
class Result:
    """What a drill did and found."""

    place: str
    kills: int = 0
    server_kills: int = 0
    acknowledged: int = 0
    """Events."""
    recorded: int = 0
    """Events; some were recorded, and their writer was killed before it heard of it."""
    blobs: int = 0
    lost: list[str] = field(default_factory=list)
    """Acknowledged events and blobs that are not there."""
    torn: list[str] = field(default_factory=list)
    """Groups of which only a part is there."""
    leftovers: int = 0
    """Blobs that no event speaks of: harmless."""
    errors: list[str] = field(default_factory=list)
    """What writers said that were not killed."""
    state: str = ""
    """What `verify` said."""
    findings: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether nothing is missing, and nothing is wrong."""
        return not (self.lost or self.torn or self.errors or self.findings) and self.state == "verified"


def drill(place: str, count: int, writers: int, server: "Server | None" = None) -> Result:
    """Kill `count` writers of the ledger at `place`, `writers` at a time, and return what is left."""
    begun, result = time.monotonic(), Result(place)
    alive: list[Writer] = []
    acknowledged: dict[str, set[str]] = {_EVENT: set(), _BLOB: set()}
    while result.kills < count:
        while len(alive) < writers:
            alive.append(_start(place))
        first = min(alive, key=lambda one: one.dies_at)
        _wait(alive, first.dies_at)
        alive.remove(first)
        _end(first, acknowledged, result)
        result.kills += 1
        if server and result.kills % _SERVER_DIES_EVERY == 0:
            server.stop(signal.SIGQUIT)
            server.start()
            result.server_kills += 1
    for one in alive:
        _end(one, acknowledged, result)
    _judge(place, acknowledged, result)
    result.seconds = round(time.monotonic() - begun, 1)
    return result


def _start(place: str) -> Writer:
    """Fork a writer: an interpreter of its own would take longer to start than it may live."""
    ours, theirs = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        random.seed()
        try:
            _append_for_ever(place, theirs, parent)
        except BaseException as error:  # noqa: BLE001  # whatever it is, the parent judges it
            frames = "; ".join(f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__))
            _tell(theirs, "error", f"{type(error).__name__}: {error} ({frames})")
        os._exit(0)
    os.close(theirs)
    lives_s = random.uniform(0, 0.006) if random.random() < 0.2 else random.uniform(0.006, 0.2)  # noqa: S311  # instants
    return Writer(pid, ours, time.monotonic() + lives_s)


def _append_for_ever(place: str, pipe: int, parent: int) -> None:
    while os.getppid() == parent:
        try:
            with open_ledger(place) as ledger:
                while os.getppid() == parent:
                    _append_something(ledger, pipe)
        except LedgerError as error:
            if "://" not in place:
                raise
            if not any(word in str(error) for word in ("cannot be used", "went away")):
                raise
            time.sleep(0.02)  # the server is down, as the drill wants it


def _append_something(ledger: Ledger, pipe: int) -> None:
    chosen = random.random()  # noqa: S311  # variety
    name = os.urandom(8).hex()
    moment = random.choice(_TIMES)  # noqa: S311  # a clock that jumps
    if chosen < 0.45:
        _acknowledge(pipe, append_all(ledger, [_draft("shared", name, 1, moment)]))
    elif chosen < 0.85:
        chains = ("shared", f"own-{os.getpid()}")
        drafts = [_draft(chains[at % 2], name, _GROUP, moment) for at in range(_GROUP)]
        _acknowledge(pipe, append_all(ledger, drafts))
    elif chosen < 0.95:
        kept = artifacts.put(ledger, name.encode() * 500, name=name, media_type="text/plain")
        with ledger.store.writing() as connection:
            artifacts.stored(ledger, connection, kept, "blobs", "agent:a")
        _tell(pipe, _BLOB, kept.digest)
    else:
        heads.sign(ledger)


def _draft(chain: str, name: str, size: int, moment: str) -> Draft:
    return Draft("orch.decision", chain, "agent:a", {"filler": name * 100}, subject=f"{name}/{size}", time=moment)


def _acknowledge(pipe: int, events: Sequence[Event]) -> None:
    _tell(pipe, _EVENT, " ".join(event.id for event in events))


def _tell(pipe: int, kind: str, what: str) -> None:
    os.write(pipe, f"{kind} {what}\n".encode())  # shorter than a pipe's atom: whole, or not at all


def _wait(alive: list[Writer], until: float) -> None:
    while (left := until - time.monotonic()) > 0:
        select.select([one.pipe for one in alive], [], [], min(left, 0.005))
        for one in alive:
            one.listen()
        time.sleep(min(0.001, max(0.0, until - time.monotonic())))


def _end(one: Writer, acknowledged: dict[str, set[str]], result: Result) -> None:
    os.kill(one.pid, signal.SIGKILL)
    os.waitpid(one.pid, 0)
    one.listen()
    os.close(one.pipe)
    for line in one.heard.decode().splitlines():
        kind, *what = line.split(" ")
        if kind in acknowledged:
            acknowledged[kind].update(what)
        else:
            result.errors.append(" ".join(what))


def _judge(place: str, acknowledged: dict[str, set[str]], result: Result) -> None:
    with open_ledger(place) as ledger:
        append_all(ledger, [_draft("shared", "last", 1, "")])  # writers go on
        heads.sign(ledger)
        with ledger.store.reading() as connection:
            there = {str(id_) for (id_,) in connection.execute("SELECT id FROM events")}
            groups = connection.execute("SELECT subject, count(*) FROM events WHERE subject <> '' GROUP BY subject")
        result.acknowledged, result.recorded = len(acknowledged[_EVENT]), len(there)
        result.lost = sorted(acknowledged[_EVENT] - there)
        result.torn = [f"{name}: {count}" for name, count in groups if int(name.partition("/")[2]) != count]
        for digest in sorted(acknowledged[_BLOB]):
            try:
                artifacts.open(ledger, digest)
            except LedgerError as error:
                result.lost.append(f"{digest}: {error}")
        result.blobs = len(acknowledged[_BLOB])
        result.leftovers = len(artifacts.orphans(ledger))
        said = verify(ledger, Options(deep=True, remembers=False))
    result.state = str(said.state)
    result.findings = [f"{one.kind}: {one.what} ({one.event or one.run})" for one in said.findings] + list(said.doubts)


@contextmanager
def _server(folder: Path) -> Iterator["Server"]:
    sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
    import postgres_server

    os.environ["ORCH_ARTIFACTS"] = str(folder / "ledger")
    with postgres_server.server(is_durable=True) as running:
        yield running


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a drill and print what it found, as JSON."""
    parser = argparse.ArgumentParser(description="Kill writers of a ledger and look what is left.")
    parser.add_argument("--count", type=int, default=1_000, help="how many kills (1,000)")
    parser.add_argument("--writers", type=int, default=3, help="how many at a time (3)")
    parser.add_argument(
        "--postgres", action="store_true", help="on a throw-away PostgreSQL server, killed now and then"
    )
    parser.add_argument("--seed", type=int, help="of the instants; what the system makes of them differs each time")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the ledger there")
    options = parser.parse_args(arguments)
    random.seed(options.seed)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="orch-crash-"))
    os.environ |= {"XDG_STATE_HOME": str(folder / "state"), "HOME": str(folder)}
    try:
        if options.postgres:
            with _server(folder) as server:
                url = server.url(server.database())
                open_ledger(url, as_owner=True).close()
                result = drill(url, options.count, options.writers, server)
        else:
            result = drill(str(folder / "ledger"), options.count, options.writers)
    finally:
        if not options.keep:
            with suppress(OSError):
                shutil.rmtree(folder)
    print(json.dumps(asdict(result) | {"is_good": result.is_good}, indent=1))
    return 0 if result.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
