"""A world in which things change or go wrong while a plan runs: a checkout with a remote, a server, people who vote.

with world_in(folder) as world:
    world.rules(REVIEWED)
    waits = world.run(world.plan(...))           # exit 4
    world.vote("alice")
    done = world.resume()
    assert world.said("orch.run.ended")[0]["state"] == "succeeded"
"""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from command_line import HEAD, Place, clean, command, place_in
from http_server import HttpServer, Reply, http_server
from post_adapter import install

from orchestrator import keys

SECRET = "correct-horse-battery-9"
ALLOW = '  - {id: open, effect: allow, actions: "*"}\n'
MET = "success: [{file_exists: work.py}]"
"""A criterion that is met."""
_DECLARES = "declares: {actions: [post_note], meters: [coins]}\nrules:\n"
_PLAN = """apiVersion: orch/v1
kind: Plan
metadata: {name: middle, version: 1.0.0}
defaults: {timeout: 1m, retry: {attempts: 2, wait: 0s}}
"""
_ROLES = {"alice": "sre, operator", "bob": "security", "cyd": "sre"}


@dataclass
class World:
    """The place, the server, the checkout and its remote."""

    place: Place
    hooks: HttpServer
    checkout: Path
    remote: Path

    @property
    def ledger(self) -> Path:
        """The folder of the ledger."""
        return self.place.folder / "ledger"

    @property
    def outside(self) -> Path:
        """A folder in which nothing may appear."""
        return self.place.folder / "outside"

    def rules(self, *more: str, first: str = ALLOW) -> None:
        """Write the organisation's pack with these rules."""
        text = HEAD + _DECLARES + first + "".join(f"  - {one}\n" for one in more)
        (self.place.folder / "packs/acme.yaml").write_text(text)

    def plan(self, phases: str, head: str = "") -> Path:
        """Write the plan, and return its file."""
        file = self.place.folder / "plan.yaml"
        file.write_text(f"{_PLAN}{head}phases:\n{phases}")
        return file

    def orch(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run the command in the checkout."""
        return self.place.orch(*arguments, cwd=self.checkout)

    def run(self, plan: Path, *more: object) -> subprocess.CompletedProcess[str]:
        """Run a plan as the run r1."""
        return self.orch("run", plan, "--run", "r1", *more)

    def resume(self, *more: object) -> subprocess.CompletedProcess[str]:
        """Go on with it."""
        return self.orch("resume", "r1", *more)

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        """Return a command that runs on beside the test; who starts it waits for its end."""
        return subprocess.Popen(
            command(*arguments),
            cwd=self.checkout,
            env=self.place.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def vote(self, by: str, verb: str = "approve", request: str = "") -> str:
        """Vote on a request, by itself the open one, and return its id."""
        request = request or self.request()
        done = self.orch(verb, request, "--yes", "--key", self.place.folder / f"{by}.key", "--as", f"user:{by}")
        assert done.returncode == 0, clean(done)
        return request

    def request(self) -> str:
        """Return the request for approvals that the run waits for."""
        [request] = {one["request_id"] for one in self.record()["waiting_for"] if one["type"] == "approval"}
        return str(request)

    def said(self, kind: str) -> list[dict[str, Any]]:
        """Return what the run's events of a type say, in order."""
        from orchestrator.ledger.open import open_ledger
        from orchestrator.runs.journal import said

        with open_ledger(str(self.ledger), must_exist=True) as ledger, ledger.store.reading() as connection:
            return [payload for _, _, payload in said(connection, "r1", kind)]

    def decided(self, action: str) -> list[tuple[str, str]]:
        """Return outcome and reason of every decision about an action, in order."""
        found = [one["decision"] for one in self.said("orch.decision") if one["request"]["action"]["name"] == action]
        return [(one["outcome"], one["reason"]) for one in found]

    def record(self) -> dict[str, Any]:
        """Return the run as `orch runs` tells it to a program."""
        done = self.orch("runs", "r1", "-o", "json")
        assert done.returncode == 0, clean(done)
        record: dict[str, Any] = json.loads(done.stdout)
        return record

    def steps(self) -> dict[str, str]:
        """Return the state of every step."""
        return {step["id"]: step["state"] for phase in self.record()["phases"] for step in phase["steps"]}

    def story(self) -> str:
        """Return what the ledger tells people of the run."""
        return " ".join(clean(self.orch("ledger", "show", "--run", "r1", "-n", "0")).split())

    def verified(self) -> bool:
        """Return whether the ledger is whole."""
        done = self.orch("ledger", "verify")
        return done.returncode == 0 and done.stdout.startswith("verified")

    def sent(self) -> Counter[str]:
        """Return what the server was sent, by the body's `what`."""
        return Counter(str(one.json["what"]) for one in self.hooks.seen)

    def lines(self, name: str) -> list[str]:
        """Return the lines of a file of the checkout."""
        file = self.checkout / name
        return file.read_text().splitlines() if file.exists() else []

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run git in the checkout."""
        line = ["git", *arguments]
        where = cwd or self.checkout
        done = subprocess.run(line, cwd=where, env=self.place.environ, check=True, capture_output=True, text=True)
        return done.stdout.strip()


def hook(step: str, what: str = "", more: str = "") -> str:
    """Return a step that sends one request."""
    body = f"{{endpoint: hook, body: {{what: {what or step}}}}}"
    return f"{{id: {step}, action: call_webhook, with: {body}{more and ', ' + more}}}"


def does(step: str, *argv: str, more: str = "") -> str:
    """Return a step that runs a command."""
    return f"{{id: {step}, action: run_command, with: {{argv: {json.dumps(argv)}}}{more and ', ' + more}}}"


def sh(step: str, script: str, more: str = "") -> str:
    """Return a step that runs a script."""
    return does(step, "sh", "-c", script, more=more)


def phase(name: str, *steps: str, more: str = MET) -> str:
    """Return a phase of a plan."""
    return f"  - {{id: {name}, steps: [{', '.join(steps)}], {more}}}\n"


@contextmanager
def world_in(folder: Path) -> Iterator[World]:
    """Give the world below `folder`; what it started is ended with it."""
    for name in ("packs", "outside", "acme"):
        (folder / name).mkdir()
    roster = ["apiVersion: orch/v1", "kind: Roster", "metadata: {name: people}", "subjects:"]
    for who, roles in _ROLES.items():
        key = keys.new_key(folder / f"{who}.key", None)
        roster.append(f'  user:{who}: {{roles: [{roles}], keys: ["{keys.ssh_line(key.public)}"]}}')
    (folder / "packs/people.yaml").write_text("\n".join([*roster, "  agent:fixer: {roles: [bot]}", ""]))
    with http_server() as hooks:
        hooks.answer("/hook", Reply(200, {"ok": True}))
        config = {
            "packs": [str(folder / "packs")],
            "subject": "agent:fixer",
            "repository": "acme/web",
            "secrets": {"TOKEN": {"env": "A_TOKEN"}},
            "adapters": {
                "git": {"author": "orch <orch@acme.example>", "url": (folder / "acme/web.git").as_uri()},
                "webhook": {"endpoints": {"hook": {"url": f"{hooks.url}/hook"}}},
            },
        }
        (folder / "config.yaml").write_text(json.dumps(config))
        variables = {
            "ORCH_CONFIG": str(folder / "config.yaml"),
            "ORCH_LEDGER": str(folder / "ledger"),
            "A_TOKEN": SECRET,
        }
        with place_in(folder, **variables) as place:
            packages = install(folder / "packages")
            place.environ["PYTHONPATH"] += f"{os.pathsep}{packages}"
            world = World(place, hooks, folder / "web", folder / "acme/web.git")
            _checkout(world)
            world.rules()
            yield world


def _checkout(world: World) -> None:
    world.checkout.mkdir()
    (world.checkout / "work.py").write_text("import sys\nprint(ascii(sys.argv[1:]), file=open('seen', 'a'))\n")
    world.git("init", "--quiet", "--bare", "--initial-branch=main", str(world.remote))
    world.git("init", "--quiet", "--initial-branch=main")
    world.git("add", "work.py")
    world.git("commit", "--quiet", "-m", "first")
    world.git("remote", "add", "origin", world.remote.as_uri())
    world.git("push", "--quiet", "origin", "main")
    world.git("fetch", "--quiet", "origin")
