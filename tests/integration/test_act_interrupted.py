"""`orch act` whose process or ledger ends while its action is under way: what may have happened is told."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import HEAD, Place, clean, command, place_in

PATIENCE_S = 30.0
SPOIL = "import sqlite3; sqlite3.connect('{}').executescript('ALTER TABLE actions RENAME TO hidden')"
"""A program after which the ledger cannot take anything up."""
START = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
"""A program that begins another one, which hears of a hangup even where these tests run under `nohup`."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "acme.yaml").write_text(HEAD + 'rules:\n  - {id: open, effect: allow, actions: "*"}\n')
    (tmp_path / "work").mkdir()
    with place_in(tmp_path, ORCH_LEDGER=str(tmp_path / "ledger"), ORCH_PACKS=str(tmp_path / "packs")) as made:
        yield made


@contextmanager
def acting(place: Place, *argv: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(  # our own command
        [sys.executable, "-c", START, *command(), "act", "run_command", "--arg", f"argv:={json.dumps(argv)}"],
        cwd=place.folder / "work",
        env=place.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        yield running


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_was_under_way_is_told_with_the_ways_to_go_on(place: Place, number: signal.Signals) -> None:
    begun = place.folder / "work" / "begun"
    with acting(place, "sh", "-c", "echo x > begun; sleep 60") as running:
        end = time.monotonic() + PATIENCE_S
        while not begun.exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        running.send_signal(number)
        out, err = running.communicate(timeout=PATIENCE_S)

    assert (running.returncode, "interrupted" in err) == (130, True)
    assert out.startswith("UNKNOWN run_command\n")
    key = out.partition("--key ")[2].split()[0]
    resolved = place.orch("act", "run_command", "--key", key, "--resolve", "delivered", cwd=place.folder / "work")
    assert resolved.returncode == 0, clean(resolved)


def test_an_end_that_cannot_be_recorded_is_told_as_begun(place: Place) -> None:
    argv = json.dumps([sys.executable, "-c", SPOIL.format(place.folder / "ledger" / "ledger.db")])

    lost = place.orch("act", "run_command", "--key", "k1", "--arg", f"argv:={argv}", cwd=place.folder / "work")

    assert lost.returncode == 1
    assert "'k1' was begun and is delivered, which could not be recorded" in clean(lost)
    assert "with the key 'k1'" in lost.stderr
