"""Fixtures that every test shares. No test sees the user's home, CI or settings of `orch`."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from orchestrator import opa
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import Ledger

if TYPE_CHECKING:
    from postgres_server import Server

MORE = "ORCH_TESTS_MORE"
"""A number: how many times the usual examples each property tries; `--more` sets it."""

_FOREIGN = ("ORCH_", "GITHUB_", "GITLAB_", "CI_", "BUILDKITE", "CIRCLE", "JENKINS_", "RUNNER_", "GIT_")
_FOREIGN_NAMES = {"CI", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES", "TERM"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--more N`."""
    help_text = "try N times as many examples in each property"
    parser.addoption("--more", type=int, default=int(os.environ.get(MORE, "1")), metavar="N", help=help_text)


def pytest_configure(config: pytest.Config) -> None:
    """Choose the hypothesis profile: no deadline (two noisy cores), failures can be reproduced from what is printed."""
    more = config.getoption("--more")
    os.environ[MORE] = str(more)  # read where examples are counted before a test runs
    settings.register_profile(
        "orch",
        deadline=None,
        print_blob=True,
        max_examples=100 * more,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    settings.load_profile("orch")


@pytest.fixture(scope="session")
def more(pytestconfig: pytest.Config) -> int:
    """Return how many times the usual examples a property should try."""
    value: int = pytestconfig.getoption("--more")
    return value


@pytest.fixture(scope="session")
def opa_binary() -> Path:
    """Return the pinned OPA, as a user's command would find it."""
    return opa.find({}).path


@pytest.fixture(scope="session")
def postgres() -> "Iterator[Server]":
    """Return a running server; where there is no PostgreSQL, skip, or fail if ORCH_TEST_POSTGRES says it is required."""
    from postgres_server import IS_REQUIRED, REQUIRED, binaries, server

    if binaries() is None:
        what = "PostgreSQL is not installed (neither initdb on PATH nor /usr/lib/postgresql/*/bin); ci/postgres.sh installs it"
        if IS_REQUIRED:
            pytest.fail(f"{what}, and {REQUIRED}=required")
        pytest.skip(what)
    with server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    """Return an empty ledger of the test's own; each test that asks for one runs on both kinds."""
    kind = "sqlite_ledger" if request.param == "sqlite" else "postgres_ledger"
    opened: Ledger = request.getfixturevalue(kind)
    return opened


@pytest.fixture
def sqlite_ledger(tmp_path: Path, home: Path) -> Iterator[Ledger]:
    """Return an empty ledger in a folder, for what is about its file."""
    with open_ledger(str(tmp_path / "ledger")) as opened:
        yield opened


@pytest.fixture
def postgres_ledger(postgres: "Server", home: Path) -> Iterator[Ledger]:
    """Return an empty ledger on a server, opened by its owner, for what is about roles and many machines."""
    database = postgres.database()
    with open_ledger(postgres.url(database), as_owner=True) as opened:
        yield opened
    postgres.drop(database)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the test's own empty home; every XDG folder lies in it, but sockets, whose path must be short."""
    for name in list(os.environ):
        if name.startswith(_FOREIGN) or name in _FOREIGN_NAMES:
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    runtime = Path(tempfile.mkdtemp(prefix="o", dir="/tmp"))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Test")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "test@example.com")
    for name, below in (
        ("CONFIG", ".config"),
        ("CACHE", ".cache"),
        ("STATE", ".local/state"),
        ("DATA", ".local/share"),
    ):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(folder / below))
    yield folder
    shutil.rmtree(runtime, ignore_errors=True)
