"""A small world to run plans in: packs, a roster with real keys, the real engine, a ledger, and a folder for effects."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from command_line import stop_sidecars

from orchestrator import approvals, ballot, keys, record
from orchestrator.ballot import Ballot
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import Ledger
from orchestrator.plans.read import inputs_for, read_plan
from orchestrator.runs.begin import begin
from orchestrator.runs.context import RunContext, open_context
from orchestrator.runs.durable import Durable, Plain
from orchestrator.runs.lease import open_lease
from orchestrator.runs.phase import run_phase
from orchestrator.runs.state import Snapshot, snapshot
from orchestrator.runs.walk import ready, settle, start_segment
from orchestrator.settings import Settings

PACK = """apiVersion: orch/v1
kind: PolicyPack
metadata: {name: acme, version: 1.0.0}
default: deny
rules:
  - {id: open, effect: allow, actions: "*"}
"""
PLAN = """apiVersion: orch/v1
kind: Plan
metadata: {name: small, version: 1.0.0}
defaults: {timeout: 1m, retry: {attempts: 3, wait: 1s}}
"""
MET = "success: [{json_valid: met.json}]"
"""A criterion that is met."""
PEOPLE = ("user:ada", "user:bob")


class Hurried(Plain):
    """Does not wait, and remembers how long it should have."""

    def __init__(self) -> None:
        self.slept_s: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Note it."""
        self.slept_s.append(seconds)


@dataclass
class World:
    """Where plans run."""

    PACK = PACK
    folder: Path
    ledger: Ledger
    signers: Mapping[str, keys.KeyFile]
    settings: Settings
    run: record.Run = field(default_factory=lambda: record.Run("r1", subject="agent:fixer"))

    @property
    def root(self) -> Path:
        """The folder of the run."""
        return self.folder / "work"

    def packs(self, more: str = "", pack: str = PACK) -> None:
        """Write the organisation's pack, with further rules."""
        (self.folder / "packs" / "acme.yaml").write_text(pack + more)

    def begin(self, phases: str, *, mode: str = "automated", plan: str = PLAN, **inputs: str) -> str:
        """Begin a run of a plan with these phases, and return its id."""
        file = self.folder / "plan.yaml"
        file.write_text(plan + phases)
        read = read_plan(file)
        given = inputs_for(read, inputs)
        return begin(self.ledger, read, inputs=given, mode=mode, root=self.root, settings=self.settings, run=self.run)

    @contextmanager
    def context(self, run_id: str = "r1", *, ledger: Ledger | None = None) -> Iterator[RunContext]:
        """Give the run to a process of its own: a new lease, everything read anew."""
        ledger = ledger or self.ledger
        with open_lease(ledger) as lease:
            yield open_context(self.settings, run_id, ledger=ledger, lease=lease)

    @contextmanager
    def elsewhere(self) -> Iterator[Ledger]:
        """Give another connection to the ledger."""
        with open_ledger(str(self.ledger.folder)) as opened:
            yield opened

    def go(self, run_id: str = "r1", durable: Durable | None = None, *, is_abandoned: bool = False) -> str:
        """Carry one segment of a run out, and return the run's state after it."""
        with self.context(run_id) as context:
            start_segment(context, is_abandoned=is_abandoned)
            while True:
                for name in ready(context):
                    run_phase(context, name, durable or Hurried())
                state = settle(context, durable or Hurried())
                if state is not None:
                    return state

    def snapshot(self, run_id: str = "r1") -> Snapshot:
        """Return how the run stands."""
        return snapshot(self.ledger, run_id)

    def states(self, run_id: str = "r1") -> dict[str, str]:
        """Return the state of each phase."""
        return {phase.id: phase.state for phase in self.snapshot(run_id).phases}

    def effects(self) -> Counter[str]:
        """Return what was done, and how often."""
        file = self.root / "effects"
        return Counter(file.read_text().split()) if file.exists() else Counter()

    def order(self) -> list[str]:
        """Return what was done, in order."""
        file = self.root / "effects"
        return file.read_text().split() if file.exists() else []

    def vote(self, by: str = "user:ada", decision: str = "approve", role: str = "operator") -> str:
        """Vote on the only request that is open, and return its id."""
        [request] = approvals.waiting(self.ledger)
        ballot.vote(self.ledger, request, self.signers[by], Ballot(by, role, decision=decision))
        return request.id

    def events(self, kind: str, run_id: str = "r1") -> list[dict[str, Any]]:
        """Return what the run's events of a type say."""
        from orchestrator.runs.journal import said

        with self.ledger.store.reading() as connection:
            return [payload for _, _, payload in said(connection, run_id, kind)]


@contextmanager
def world_in(folder: Path, ledger: Ledger) -> Iterator[World]:
    """Give a world below `folder`; its sidecars are ended with it."""
    for name in ("packs", "work", "keys"):
        (folder / name).mkdir(parents=True)
    signers = {name: keys.new_key(folder / "keys" / name.replace(":", "-"), None) for name in PEOPLE}
    lines = ["apiVersion: orch/v1", "kind: Roster", "metadata: {name: people}", "subjects:"]
    for name, key in signers.items():
        lines.append(f'  {name}: {{roles: [operator], keys: ["{keys.ssh_line(key.public)}"]}}')
    lines.append("  agent:fixer: {roles: [bot]}")
    (folder / "packs" / "people.yaml").write_text("\n".join(lines) + "\n")
    settings = Settings.load({"packs": (str(folder / "packs"),), "subject": "agent:fixer", "deadline_s": 30})
    world = World(folder, ledger, signers, settings)
    world.packs()
    (world.root / "met.json").write_text("{}")
    try:
        yield world
    finally:
        stop_sidecars(Path(os.environ["XDG_RUNTIME_DIR"]))


def does(step: str, effect: str = "", more: str = "") -> str:
    """Return a step that leaves one line in the file of effects each time it is done."""
    argv = f"[sh, -c, 'echo $0 >> effects', {effect or step}]"
    return f"{{id: {step}, action: run_command, adapter: command, with: {{argv: {argv}}}{more and ', ' + more}}}"


def sh(step: str, script: str, more: str = "", *arguments: str) -> str:
    """Return a step that runs a script."""
    argv = json.dumps(["sh", "-c", script, *arguments])
    return f"{{id: {step}, action: run_command, adapter: command, with: {{argv: {argv}}}{more and ', ' + more}}}"


def one(*steps: str, more: str = MET, head: str = "") -> str:
    """Return a plan of one phase."""
    return f"{head}phases:\n  - {{id: only, steps: [{', '.join(steps)}], {more}}}\n"


def hook(step: str, url: str) -> str:
    """Return a step that sends a request."""
    return (
        f"{{id: {step}, action: call_webhook, adapter: webhook, with: {{url: '{url}', method: POST, body: {{a: 1}}}}}}"
    )


DIAMOND = f"""phases:
  - {{id: base, steps: [{does("a")}], {MET}}}
  - {{id: left, needs: base, steps: [{does("b")}], {MET}}}
  - {{id: right, needs: base, steps: [{does("c")}], {MET}}}
  - {{id: top, needs: [left, right], steps: [{does("d")}], {MET}}}
"""
FAILS = "{id: bad, action: run_command, adapter: command, with: {argv: ['false']}}"
WRITE = "{id: file, action: write_file, adapter: files, with: {path: out.txt, content: hello}}"
REVIEWED = "  - {id: reviewed, effect: require, actions: write_file, approvals: {role: operator}}\n"
"""A rule for which WRITE waits."""
WAITS = f"""phases:
  - {{id: first, steps: [{does("a")}], {MET}}}
  - {{id: second, needs: first, steps: [{WRITE}, {does("b")}], {MET}}}
"""
