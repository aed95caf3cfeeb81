"""A folder with packs, a plan and a ledger, and `orch run` and its like as processes in it."""

import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from command_line import Place, command

PATIENCE_S = 60.0
PACK = """\
apiVersion: orch/v1
kind: PolicyPack
metadata: {name: first, version: 1.0.0}
default: allow
rules:
  - {id: gates, effect: allow, actions: [auto_approve]}
"""
HEAD = "apiVersion: orch/v1\nkind: Plan\nmetadata: {name: small, version: 1.0.0}\n"
SMALL = """\
inputs: {word: {default: hello}}
phases:
  - id: first
    steps: [{id: say, action: run_command, adapter: command, with: {argv: [sh, say, "${{ inputs.word }}"]}}]
  - id: second
    needs: [first]
    steps: [{id: say-again, action: run_command, adapter: command, with: {argv: [sh, say, again]}}]
"""
SLOW = """\
phases:
  - id: first
    steps: [{id: say, action: run_command, adapter: command, with: {argv: [sh, say, one]}}]
  - id: slow
    needs: [first]
    steps: [{id: sleep, action: run_command, adapter: command, replayable: true, with: {argv: [sh, slow]}}]
  - id: last
    needs: [slow]
    steps: [{id: say-last, action: run_command, adapter: command, with: {argv: [sh, say, last]}}]
"""


class World:
    """A folder with packs, a plan and a ledger, and processes in it."""

    def __init__(self, place: Place, stack: ExitStack) -> None:
        self.place = place
        self.folder = place.folder
        self._stack = stack
        (self.folder / "packs").mkdir()
        (self.folder / "packs" / "a.yaml").write_text(PACK)
        (self.folder / "say").write_text('echo "$1" >> said\n')
        (self.folder / "slow").write_text("echo began >> slowly; sleep 3; echo ended >> slowly\n")
        place.environ.update(ORCH_PACKS=str(self.folder / "packs"), ORCH_LEDGER=str(self.folder / "ledger"))

    def plan(self, text: str) -> Path:
        """Write the plan."""
        file = self.folder / "plan.yaml"
        file.write_text(HEAD + text)
        return file

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        """Return a command that runs on beside the test."""
        started = subprocess.Popen(
            command(*arguments),
            cwd=self.folder,
            env=self.place.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._stack.callback(_end, started)
        return started

    def words(self, name: str = "said") -> list[str]:
        """Return what commands wrote."""
        with suppress(FileNotFoundError):
            return (self.folder / name).read_text().split()
        return []

    def runs(self) -> list[tuple[str, str]]:
        """Return id and state of every run."""
        from orchestrator.ledger.open import open_ledger

        place = self.place.environ["ORCH_LEDGER"]
        with open_ledger(place, must_exist=True) as ledger, ledger.store.reading() as connection:
            return [
                (str(one), str(state)) for one, state in connection.execute("SELECT id, state FROM runs ORDER BY id")
            ]

    def until(self, met: Callable[[], object]) -> float:
        """Return how many seconds it took until something became true."""
        start = time.monotonic()
        while not met():
            assert time.monotonic() - start < PATIENCE_S, (self.words(), self.words("slowly"))
            time.sleep(0.02)
        return time.monotonic() - start


def _end(process: "subprocess.Popen[str]") -> None:
    with suppress(ProcessLookupError):
        process.kill()
    process.communicate()
