"""`orch sidecar`: what a person sees of the sidecars, and how they are ended."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator import bundle
from orchestrator import sidecar as sidecars
from orchestrator.cli.sidecar import sidecar


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the digest of a bundle whose sidecar runs."""
    (tmp_path / "orch").mkdir()
    (tmp_path / "orch" / "orch.rego").write_text("package orch\n\nanswer := input.batch\n")
    built = bundle.build({"test": str(tmp_path)}, {}, library=tmp_path)
    (tmp_path / "bundle.tar.gz").write_bytes(built.data)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        sidecars.ensure(tmp_path / "bundle.tar.gz", built.digest).close()
        yield built.digest
        sidecars.stop()


def test_status_is_a_table(digest: str) -> None:
    shown = CliRunner().invoke(sidecar, ["status"], catch_exceptions=False)

    header, row = shown.stdout.splitlines()
    assert header.split() == ["POLICY", "PID", "UP", "IDLE", "MEMORY", "OPA"]
    assert row.split()[0] == digest.removeprefix("sha256:")[:12]
    assert row.endswith("1.22.0")


def test_status_is_json(digest: str) -> None:
    shown = CliRunner().invoke(sidecar, ["status", "-o", "json"], catch_exceptions=False)

    (state,) = json.loads(shown.stdout)
    assert state["digest"] == digest
    assert {"pid", "watcher_pid", "uptime_s", "idle_s", "socket", "memory_bytes", "opa_version"} <= state.keys()


@pytest.mark.parametrize("how", ["digest", "all"])
def test_stop_ends_it(digest: str, how: str) -> None:
    arguments = ["--all"] if how == "all" else [digest.removeprefix("sha256:")[:12]]

    shown = CliRunner().invoke(sidecar, ["stop", *arguments], catch_exceptions=False)

    assert shown.stdout.startswith(f"stopped {digest.removeprefix('sha256:')[:12]} (process ")
    assert CliRunner().invoke(sidecar, ["status"]).stdout == "no sidecar runs\n"


@pytest.mark.parametrize("arguments", [["00000000"], [""], ["nonsense"]])
def test_stop_ends_nothing_else(digest: str, arguments: list[str]) -> None:
    shown = CliRunner().invoke(sidecar, ["stop", *arguments], catch_exceptions=False)

    assert shown.stdout == "no such sidecar runs\n"
    assert [digest] == [state.digest for state in sidecars.status()]


@pytest.mark.parametrize("arguments", [[], ["--all", "abc"]])
def test_stop_wants_to_know_which(arguments: list[str]) -> None:
    shown = CliRunner().invoke(sidecar, ["stop", *arguments])

    assert shown.exit_code == 2
    assert "either a DIGEST or --all" in shown.stderr
