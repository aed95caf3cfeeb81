"""A world in which `orch run` is killed: real servers on loopback, git over file://, and a count of every outward effect.

with world_in(folder) as world:                               # a ledger in the folder; ledger=URL for one on a server
    process = world.begin("run", world.plan, "--run", "r1", kill=Kill(point=17))
    ...
    assert world.effects()["hook r1"] == 1
"""

import json
import os
import subprocess
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NamedTuple

from command_line import HEAD, Place, command, place_in
from github_server import GitHubServer
from http_server import Fault, HttpServer, Reply, Seen, http_server
from kill_points import TRAP, Mark, ServerTrap
from smtp_server import Security, SmtpServer, smtp_server

from orchestrator import outbox
from orchestrator.ledger.open import open_ledger
from orchestrator.runs.state import Snapshot, snapshot
from orchestrator.runs.telling import is_untold

ONCE = ("append", "hook", "mail", "file", "issue", "push")
"""Steps whose effect must be there once."""
RESENT = "again"
"""The step that may be done twice."""
HELD = ("append", "hook", "mail", "refused")
"""Steps that nothing outside can be asked about: a person has to look."""
STEPS = {
    **dict.fromkeys(("file", "append", "hook"), "first"),
    **dict.fromkeys(("mail", RESENT, "refused"), "left"),
    **dict.fromkeys(("issue", "branch", "commit", "push"), "right"),
}
"""Every step with its phase, in their order."""
TROUBLE = "x"
"""What the name of a run ends with that has trouble: `hook` is first refused for now, of `again` the first reply is lost."""
SLOW_S = 4.0
"""How late a slow webhook answers."""
TO = "ada@acme.example"
_PACK = """declares: {meters: [mails]}
rules:
  - {id: anything, effect: allow, actions: "*"}
  - {id: room, effect: require, actions: send_message, budgets: [{meter: mails, per: run, limit: 100}]}
"""
"""Room in a budget is taken between decision and attempt, so a mail is planned for a while before it is begun."""
_PLAN = """apiVersion: orch/v1
kind: Plan
metadata: {name: NAME}
defaults: {timeout: 10m, retry: {attempts: 5, wait: 1s, most: 1s}}
phases:
  - id: first
    steps:
      - {id: file, action: write_file, with: {path: "out/${{ run.id }}.txt", content: "${{ run.id }}"}}
      - {id: append, action: run_command, with: {argv: [python3, work.py, "${{ run.id }}"]}}
      - {id: hook, action: call_webhook, with: {endpoint: hook, body: {run: "${{ run.id }}"}}}
    success: [{file_not_empty: work.py}]
  - id: left
    needs: first
    steps:
      - {id: mail, action: send_message, with: {channel: ops, to: [TO], subject: "${{ run.id }}", body: Ready}, estimates: {mails: 1}}
      - {id: again, action: call_webhook, on_unknown: resend, with: {endpoint: again, body: {run: "${{ run.id }}"}}}
      - {id: refused, action: call_webhook, on_failure: continue, with: {endpoint: refused, body: {run: "${{ run.id }}"}}}
    success: [{file_not_empty: work.py}]
  - id: right
    needs: first
    steps:
      - {id: issue, action: create_issue, with: {title: "${{ run.id }}", body: Drill}}
      - {id: branch, action: create_branch, with: {branch: "${{ run.id }}", commit: main}}
      - {id: commit, action: write_document, adapter: git, with: {branch: "${{ run.id }}", path: a.md, content: "${{ run.id }}", message: Drill}}
      - {id: push, action: push_branch, with: {branch: "${{ run.id }}"}}
    success: [{file_not_empty: work.py}]
"""
_TRACKING = 'tracking: {github: {title: "Follow ${{ run.id }}"}}\nreports: out/reports\n'
_WORK = """import os, sys
os.makedirs("out", exist_ok=True)
with open("out/commands.txt", "a") as file:
    file.write(sys.argv[1] + "\\n")
"""


class Kill(NamedTuple):
    """How one process is ended: whichever is said, else not at all."""

    point: int = 0
    """At the n-th point within it, from 1."""
    commit: int = 0
    """At the n-th point at its server: even where a COMMIT is done, odd before it."""
    after_s: float = 0.0
    """So long after it was started."""
    step: str = ""
    """Where an event about the action of this step is recorded."""
    verb: str = ""
    """What the event says: planned, dispatching, delivered, ..."""
    is_done: bool = True
    """When that is recorded, else right before it."""

    @property
    def way(self) -> str:
        """What this kind of end is called."""
        return "state" if self.step else "point" if self.point else "commit" if self.commit else "instant"


NEVER = Kill()


@dataclass
class Hooks:
    """The server of webhooks: what it did, and how it answers."""

    server: HttpServer
    slow: str = ""
    """The run whose `hook` is answered late."""
    troubled: set[str] = field(default_factory=set)
    """Runs that have trouble beside those whose name says so."""
    done: Counter[str] = field(default_factory=Counter)
    """By step and run."""
    _asked: Counter[str] = field(default_factory=Counter)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Begin to answer."""
        for path in ("/hook", f"/{RESENT}"):
            self.server.answer(path, self._answer)
        self.server.answer("/refused", Reply(400))

    def _answer(self, seen: Seen) -> Reply:
        step, run = seen.path[1:], seen.json["run"]
        with self._turn:
            self._asked[f"{step} {run}"] += 1
            is_troubled = run.endswith(TROUBLE) or run in self.troubled
            has_trouble = is_troubled and self._asked[f"{step} {run}"] == 1
            if has_trouble and step == "hook":
                return Reply(429, headers={"Retry-After": "1"})
            self.done[f"{step} {run}"] += 1
        if has_trouble:
            return Reply(fault=Fault.CLOSE_LATE)
        return Reply(200, {"ok": True}, wait_s=SLOW_S if run == self.slow and step == "hook" else 0.0)


@dataclass
class World:
    """The place and the servers."""

    steps: ClassVar[Mapping[str, str]] = STEPS
    """Every step with its phase, in their order."""
    once: ClassVar[Collection[str]] = ONCE
    """Steps whose effect must be there once."""
    held: ClassVar[Collection[str]] = HELD
    """Steps that a person has to look for."""

    place: Place
    github: GitHubServer
    hooks: Hooks
    mail: SmtpServer
    checkout: Path
    remote: Path
    plan: Path
    tracked: Path
    """The same plan, followed by an issue and status reports."""
    line: Path
    """The same plan, one phase after the other."""
    ledger: str
    trap: ServerTrap | None

    def begin(self, *arguments: object, kill: Kill = NEVER, **environ: str) -> "subprocess.Popen[bytes]":
        """Start the command; it is ended where `kill` says, but for a time: that is the caller's to keep."""
        mark = self._mark(arguments, kill) if kill.step else None
        if self.trap is not None:
            self.trap.arm(kill.commit, mark)
        elif mark is not None:
            environ["DRILL_MARK"] = mark.text
        environ = self.place.environ | environ | ({"DRILL_POINT": str(kill.point)} if kill.point else {})
        return subprocess.Popen(
            command(*arguments),
            cwd=self.checkout,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def points(self, name: str) -> Kill:
        """Carry a run out that nobody kills, and return how many points it has, within it and at its server."""
        counted = self.place.folder / "points"
        counted.unlink(missing_ok=True)
        process = self.begin("run", self.plan, "--run", name, DRILL_COUNT=str(counted))
        said = process.communicate()[0].decode(errors="replace")
        assert process.returncode == 0, said
        return Kill(len(counted.read_text().splitlines()), 0 if self.trap is None else self.trap.passed)

    def look(self, name: str) -> Snapshot | None:
        """Return how a run stands; None where it is not on record."""
        with open_ledger(self.ledger, must_exist=True) as ledger:
            with ledger.store.reading() as connection:
                is_there = bool(connection.execute("SELECT 1 FROM runs WHERE id = ?", (name,)))
            return snapshot(ledger, name) if is_there else None

    def is_over(self, name: str) -> bool:
        """Return whether a run ended, and all is told of it."""
        seen = self.look(name)
        if seen is None or not seen.has_ended:
            return False
        with open_ledger(self.ledger, must_exist=True) as ledger:
            return not is_untold(ledger, name, self.checkout)

    def effect_of(self, step: str, target: str) -> str:  # noqa: ARG002  # for worlds with several recipients
        """Return what the effect of a step is called, by the target of its action."""
        return step

    def happened(self, effect: str, name: str) -> int:
        """Return how often one of the effects happened that a person has to look for."""
        return self._by_hand()[f"{effect} {name}"]

    def effects(self) -> Counter[str]:
        """Return every outward effect so far, by step and run."""
        seen = self._by_hand()
        numbers = {}
        for one in self.github.issues:
            step, _, run = one["title"].rpartition(" ")
            numbers[one["number"]] = run
            seen[f"{'follow' if step else 'issue'} {run}"] += 1
        seen.update(f"comment {numbers[one['issue_number']]}: {one['body']}" for one in self.github.comments)
        for branch in self._git("branch", "--format=%(refname:short)").split():
            if branch != "main":
                seen[f"push {branch}"] = int(self._git("rev-list", "--count", f"main..{branch}"))
        seen.update(f"file {one.stem}" for one in (self.checkout / "out").glob("*.txt") if one.stem != "commands")
        return seen

    def _by_hand(self) -> Counter[str]:
        seen = self.hooks.done.copy()
        seen.update(f"mail {one.message['Subject']}" for one in self.mail.mails)
        commands = self.checkout / "out/commands.txt"
        seen.update(f"append {line}" for line in (commands.read_text().split() if commands.exists() else ()))
        return seen

    def _mark(self, arguments: tuple[object, ...], kill: Kill) -> Mark:
        """Return where the run that the arguments name records what a kill speaks of."""
        name = str(arguments[arguments.index("--run") + 1] if "--run" in arguments else arguments[1])
        return self.mark_of(name, kill, TO if kill.step == "mail" else "")

    def mark_of(self, name: str, kill: Kill, target: str) -> Mark:
        """Return where a run records what a kill speaks of, by the target of its action."""
        with open_ledger(self.ledger) as ledger:
            key = outbox.key_of(ledger.id, name, f"{self.steps[kill.step]}/{kill.step}", target)
        return Mark(f"orch.action.{kill.verb}", key, kill.is_done)

    def _git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=self.remote, capture_output=True, text=True, check=True, env=self.place.environ
        ).stdout


@contextmanager
def world_in(folder: Path, *, ledger: str = "", trap: ServerTrap | None = None, **more: str) -> Iterator[World]:
    """Give the world; `ledger` is the URL of a ledger on a server, `more` are variables of its environment.

    With `trap`, commands find the ledger through it.
    """
    with GitHubServer() as github, http_server() as hooks, smtp_server(Security.NONE) as mail:
        _write(folder, github, hooks, mail)
        used = ledger or str(folder / "ledger")
        variables = {
            "ORCH_CONFIG": str(folder / "config.yaml"),
            "GITHUB_SECRET": github.token,
            "ORCH_LEDGER": used if trap is None else f"{used.partition('?')[0]}?host={trap.folder}",
        }
        with place_in(folder, **(variables | more)) as place:
            place.environ["PYTHONPATH"] += os.pathsep + str(folder / "trap")
            checkout, remote = _checkout(folder, place.environ), folder / "web.git"
            open_ledger(used).close()
            plan, tracked, line = (folder / f"{one}.yaml" for one in ("drill", "tracked", "line"))
            yield World(place, github, Hooks(hooks), mail, checkout, remote, plan, tracked, line, used, trap)


def _write(folder: Path, github: GitHubServer, hooks: HttpServer, mail: SmtpServer) -> None:
    plan = _PLAN.replace("TO", TO)
    for name, text in (
        ("packs/acme.yaml", HEAD + _PACK),
        ("drill.yaml", plan.replace("NAME", "drill")),
        ("tracked.yaml", plan.replace("NAME", "tracked").replace("phases:\n", f"{_TRACKING}phases:\n", 1)),
        ("line.yaml", plan.replace("NAME", "line").replace("right\n    needs: first", "right\n    needs: left")),
        ("trap/sitecustomize.py", TRAP),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    server = {"adapter": "mail", "host": "127.0.0.1", "port": mail.port, "security": "none"}
    config = {
        "packs": [str(folder / "packs")],
        "subject": "agent:fixer",
        "repository": "acme/web",
        "adapters": {
            "github": {"api": github.url, "token": "${{ secrets.GITHUB }}", "settle_s": 0},
            "git": {"author": "orch <orch@acme.example>"},
            "webhook": {"endpoints": {name: {"url": f"{hooks.url}/{name}"} for name in ("hook", RESENT, "refused")}},
        },
        "secrets": {"GITHUB": {"env": "GITHUB_SECRET"}},
        "channels": {"ops": {**server, "from": "orch@acme.example"}},
    }
    (folder / "config.yaml").write_text(json.dumps(config))


def _checkout(folder: Path, environ: dict[str, str]) -> Path:
    checkout, remote = folder / "web", folder / "web.git"
    checkout.mkdir()
    (checkout / "work.py").write_text(_WORK)
    (checkout / ".gitignore").write_text("out/\n")
    for arguments in (
        ["init", "--quiet", "--bare", "--initial-branch=main", str(remote)],
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "."],
        ["commit", "--quiet", "-m", "first"],
        ["remote", "add", "origin", remote.as_uri()],
        ["push", "--quiet", "origin", "main"],
        ["fetch", "--quiet", "origin"],
    ):
        subprocess.run(["git", *arguments], cwd=checkout, env=environ, check=True, capture_output=True)
    return checkout
