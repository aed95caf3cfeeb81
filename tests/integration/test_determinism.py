"""The same packs, state and times give the same decisions and effects on two machines: a month of ticks, played twice.

The machines are processes with other host names, time zones, encodings, hash seeds and folders, and new ledgers.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from command_line import CHECKOUT
from http_server import Reply, http_server
from ticking import ticking

from orchestrator.decision import digest_of

_DAYS, _SEED = 30, 3
_MACHINES = {
    "kathmandu": {"TZ": "Asia/Kathmandu", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1"},
    "st-johns": {"TZ": "America/St_Johns", "LC_ALL": "C", "PYTHONHASHSEED": "2", "PYTHONCOERCECLOCALE": "0"},
}


class Played(NamedTuple):
    """What both machines tell."""

    first: dict[str, Any]
    second: dict[str, Any]
    hooks: Counter[str]
    """What a webhook was told by both, and how often."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Return what both machines tell of the same month."""
    own_name, processes = _own_name(), []
    with http_server() as hooks, ExitStack() as stack:
        hooks.answer("/hook", Reply(200))
        for number, (host, environ) in enumerate(_MACHINES.items()):
            home = tmp_path_factory.mktemp(host)
            folder = home.joinpath(*["below"] * number, "place")
            arguments = (
                CHECKOUT / "tests/replayed.py",
                folder,
                _DAYS,
                _SEED,
                host if own_name else "",
                f"{hooks.url}/hook",
            )
            one = subprocess.Popen(
                [*own_name, sys.executable, *map(str, arguments)],
                env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(CHECKOUT), **environ},
                cwd=home,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            stack.callback(one.kill)
            processes.append(one)
        said = [one.communicate(timeout=300) for one in processes]
        assert [one.returncode for one in processes] == [0, 0], said
        first, second = (json.loads(out) for out, _ in said)
        return Played(first, second, Counter(one.body.decode() for one in hooks.seen))


def _own_name() -> list[str]:
    """Return what gives a process a host name of its own, nothing where the system does not let us."""
    found = shutil.which("unshare")
    may = found and subprocess.run([found, "--uts", "true"], check=False, capture_output=True).returncode == 0
    return [found, "--uts"] if found and may else []


def test_the_machines_differ_in_all_that_must_not_matter(played: Played) -> None:
    first, second, _ = played

    assert first["ledger"][0] != second["ledger"][0]
    assert (first["ledger"][1], second["ledger"][1]) == ("verified", "verified")
    assert all(here != there for here, there in zip(first["machine"][-2:], second["machine"][-2:], strict=True))
    assert first["machine"][0] != second["machine"][0] or not _own_name()


def test_a_month_of_ticks_gives_the_same_sequence_of_decisions(played: Played) -> None:
    first, second, _ = played

    assert first["decisions"] == second["decisions"]
    assert len(first["decisions"]) > _DAYS * 20
    assert {action for action, *_ in first["decisions"]} == {
        "control_escalation", "tick", "enter_stage", "send_message", "write_file", "call_webhook", "run_command",
    }  # fmt: skip


def test_a_month_of_ticks_gives_the_same_effects(played: Played) -> None:
    first, second, hooks = played

    assert (first["wrong"], second["wrong"]) == ([], [])
    assert (first["effects"], first["entered"]) == (second["effects"], second["entered"])
    ends = sum(stage == "full" for _, stage, _ in first["entered"])
    assert first["effects"]["files"]["notes"] == "released\n" * ends
    assert list(hooks.values()) == [2] * ends


def test_a_tick_names_its_decisions_by_the_digests_that_the_record_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ticking(tmp_path, monkeypatch) as made:
        told = made.at("06:00").to_json()["decisions"]
        recorded = [one["decision"] for one in made.payloads("orch.decision", made.record.run_id)][1:]  # of the tick

    assert [one["name"] for one in told] == ["enter/remind_6h", "remind_6h/mail"]
    assert [(one["evaluation_id"], one["digest"]) for one in told] == [
        (one["evaluation_id"], digest_of(one)) for one in recorded
    ]
