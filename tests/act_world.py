"""A small world to act in: packs with real keys, the real engine, a ledger, an installed adapter, a folder for effects."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from command_line import HEAD, stop_sidecars
from post_adapter import install

from orchestrator import adapter, approvals, ballot, keys
from orchestrator.act import Done, Executor, Order
from orchestrator.ballot import Ballot
from orchestrator.ledger import read
from orchestrator.ledger.event import Event
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import Ledger
from orchestrator.plans import abilities
from orchestrator.record import Run
from orchestrator.runs.lease import open_lease
from orchestrator.settings import Settings

DECLARES = "declares: {actions: [post_note, write_note], meters: [coins]}\n"
ALLOW = "  - {id: open, effect: allow, actions: '*'}\n"
PEOPLE = ("user:ada", "user:bob")


@dataclass
class World:
    """Where orders are carried out."""

    folder: Path
    ledger: Ledger
    signers: Mapping[str, keys.KeyFile]
    settings: Settings = field(default_factory=Settings)

    @property
    def root(self) -> Path:
        """Where the adapter writes."""
        return self.folder / "work"

    @property
    def pack(self) -> Path:
        """The organisation's pack."""
        return self.folder / "packs" / "acme.yaml"

    def rules(self, *lines: str, head: str = HEAD) -> None:
        """Write the pack with these rules."""
        self.pack.write_text(head + DECLARES + "rules:\n" + "".join(f"  - {line}\n" for line in lines))

    @contextmanager
    def executor(self, run: str | None = "r1", ledger: Ledger | None = None, **more: Any) -> Iterator[Executor]:  # noqa: ANN401  # of `open`
        """Give an executor with a lease of its own, as a new process would have."""
        ledger = ledger or self.ledger
        with open_lease(ledger) as lease:
            made = Executor.open(
                self.settings,
                Run(run, subject="agent:fixer"),
                root=self.root,
                ledger=ledger,
                lease=lease,
                **more,
            )
            made.grace_s = 0.2
            yield made

    @contextmanager
    def elsewhere(self) -> Iterator[Ledger]:
        """Give another connection to the ledger, as another process has."""
        url = getattr(self.ledger.store, "url", None)
        with open_ledger(url or str(self.ledger.folder)) as opened:
            yield opened

    def effects(self) -> list[str]:
        """Return what was done, a line each, without keys."""
        return [line.split(" ", 1)[1].strip() for line in self._lines("effects")]

    def calls(self) -> int:
        """Return how often the adapter was asked to perform."""
        return len(self._lines("calls"))

    def _lines(self, name: str) -> list[str]:
        file = self.root / name
        return file.read_text().splitlines() if file.exists() else []

    def events(self, family: str = "action") -> list[Event]:
        """Return the events of a family, in order."""
        with self.ledger.store.reading() as connection:
            found = list(read.events(connection, read.Filter()))
        return [one for one in found if str(one.fields["type"]).startswith(f"orch.{family}")]

    def verbs(self) -> list[str]:
        """Return what happened to actions, in order, each as one word."""
        return [str(one.fields["type"]).rpartition(".")[2] for one in self.events()]

    def decisions(self) -> int:
        """Return how many decisions were recorded."""
        return len(self.events("decision"))

    def approve(self, request_id: str, by: str = "user:ada", role: str = "sre") -> approvals.Cast:
        """Vote for a request."""
        return ballot.vote(self.ledger, approvals.find(self.ledger, request_id), self.signers[by], Ballot(by, role))


def order(name: str = "tell/ada", **parameters: Any) -> Order:  # noqa: ANN401  # JSON
    """Return an order to post a note."""
    return Order(name, "post_note", {"note": "hello", **parameters}, adapter="post")


def make_world(folder: Path, ledger: Ledger) -> World:
    """Return a world whose packs allow everything."""
    (folder / "work").mkdir()
    (folder / "packs").mkdir()
    signers = {name: keys.new_key(folder / name.replace(":", "-"), None) for name in PEOPLE}
    roster = ["apiVersion: orch/v1", "kind: Roster", "metadata: {name: people}", "subjects:"]
    roster += [f'  {name}: {{roles: [sre], keys: ["{keys.ssh_line(signers[name].public)}"]}}' for name in PEOPLE]
    (folder / "packs" / "people.yaml").write_text("\n".join(roster) + "\n")
    config = folder / "config.yaml"
    config.write_text(
        "secrets: {NOTE: {env: A_NOTE}, SHORT: {env: SHORT}, ELSE: {env: A_NOTE, actions: [open_pr]}, GONE: {env: NOWHERE}}\n"
    )
    settings = Settings.load({"packs": (str(folder / "packs"),), "config": str(config)}, cwd=folder)
    made = World(folder, ledger, signers, settings)
    made.rules(ALLOW.strip().removeprefix("- "))
    return made


@contextmanager
def world_in(folder: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Give a world with the adapter installed and secrets in the environment; its sidecars are ended with it."""
    monkeypatch.syspath_prepend(str(install(folder / "packages")))
    monkeypatch.setenv("A_NOTE", "correct-horse-battery")
    monkeypatch.setenv("SHORT", "abc")
    adapter.installed.cache_clear()
    abilities._installed.cache_clear()  # what was installed when another test of this process asked
    yield make_world(folder, ledger)
    stop_sidecars(Path(os.environ["XDG_RUNTIME_DIR"]))
    sys.modules.pop("orch_post", None)
    adapter.installed.cache_clear()
    abilities._installed.cache_clear()


def acted(world: World, one: Order, **more: object) -> Done:
    """Have an order carried out by an executor of its own."""
    with world.executor() as executor:
        return executor.act(one, **more)  # type: ignore[arg-type]  # of `act`


def meanwhile(world: World, work: Callable[[Ledger], object]) -> threading.Thread:
    """Do something on another connection while the adapter is called and has not sent anything; then let it go on."""

    def run() -> None:
        while not (world.root / "slow").exists():
            time.sleep(0.01)
        with world.elsewhere() as ledger:
            work(ledger)
        (world.root / "go").touch()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def needs_approval() -> Sequence[str]:
    """Return the rules under which a note needs one approval."""
    return (
        "{id: open, effect: allow, actions: '*'}",
        "{id: sre, effect: require, actions: post_note, approvals: {role: sre}}",
    )


def environ_of(folder: Path) -> dict[str, str]:
    """Return what a process needs beside the usual ones to find the adapter that is installed in a folder."""
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
