"""A throw-away PostgreSQL server for tests: its own folder, a unix socket in it and no port, gone with whoever started it."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg

REQUIRED = "ORCH_TEST_POSTGRES"
"""`required`: a machine without PostgreSQL fails; otherwise that half of the tests is skipped."""
IS_REQUIRED = os.environ.get(REQUIRED) == "required"  # read before a test empties the environment
_START_S = 60
_numbers = count(1)


def binaries() -> Path | None:
    """Return the folder with `initdb` and `postgres`, the newest; None where there is none."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda folder: int(folder.parent.name.split(".")[0]), default=None)


@dataclass
class Server:
    """A server that is running, or was; `stop` and `start` may alternate."""

    folder: Path
    is_durable: bool
    """Whether it waits for the disk, as a real one does."""
    process: subprocess.Popen[bytes] | None = field(default=None)

    def url(self, database: str = "postgres", user: str = "owner") -> str:
        """Return where a database is; every role may connect, to this socket alone."""
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        assert self.process is None
        quick = (
            [] if self.is_durable else ["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off"]
        )
        settings = [
            "-c",
            "listen_addresses=",
            "-c",
            f"unix_socket_directories={self.folder}",
            "-c",
            "shared_buffers=32MB",
            "-c",
            "max_connections=40",
        ]
        command = [*_as_nobody("INT"), str(_bin() / "postgres"), "-D", str(self.folder / "data"), *settings, *quick]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        end = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(self.url(), autocommit=True).close()
            except psycopg.OperationalError:
                has_failed = self.process.poll() is not None or time.monotonic() > end
                assert not has_failed, (self.folder / "log").read_text(errors="replace")
                time.sleep(0.02)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT ends transactions, SIGQUIT leaves all as if the power had failed."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(_START_S)
            self.process = None

    def database(self, template: str = "template0") -> str:
        """Make an empty database, or a copy of one, and return its name."""
        name = f"t{next(_numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as raw:
            raw.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return name

    def drop(self, database: str) -> None:
        """Remove a database, whoever is still connected."""
        with suppress(psycopg.Error), psycopg.connect(self.url(), autocommit=True) as raw:
            raw.execute(f"DROP DATABASE {database} WITH (FORCE)".encode())


@contextmanager
def server(*, is_durable: bool = False) -> Iterator[Server]:
    """Give a running server with the superuser `owner` and the roles `writer` and `reader`, which may do nothing yet."""
    folder = Path(tempfile.mkdtemp(prefix="opg", dir="/tmp"))
    made = Server(folder, is_durable)
    try:
        if os.geteuid() == 0:
            os.chown(folder, pwd.getpwnam(_nobody()[0]).pw_uid, _nobody()[1])
        options = [
            "--auth=trust",
            "--username=owner",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--no-instructions",
        ]
        command = [*_as_nobody("KILL"), str(_bin() / "initdb"), "-D", str(folder / "data"), *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", timeout=_START_S)
        made.start()
        with psycopg.connect(made.url(), autocommit=True) as raw:
            raw.execute("CREATE ROLE writer LOGIN PASSWORD 'not-shown'")
            raw.execute("CREATE ROLE reader LOGIN")
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _bin() -> Path:
    found = binaries()
    assert found is not None
    return found


def _nobody() -> tuple[str, int]:
    """Return the user and group that a server started by root runs as: it refuses to be root."""
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return name, pwd.getpwnam(name).pw_gid
    raise AssertionError("neither a user postgres nor nobody")


def _as_nobody(last_signal: str) -> list[str]:
    """Return what to put before a command: not root, and ended when this process is."""
    if not shutil.which("setpriv"):
        return []
    who = [f"--reuid={_nobody()[0]}", f"--regid={_nobody()[1]}", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *who, f"--pdeathsig={last_signal}", "--"]
