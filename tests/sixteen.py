"""A world for a plan of sixteen phases: every server it speaks to, on loopback, and the plan itself.

    with world_in(folder) as world:
        done = world.orch("run", world.plan, "--run", "r1")        # exit 4: the pull request wants an approval
        world.approve()
        done = world.orch("resume", "r1")
        assert world.effects() == EFFECTS

Phase 3 and 4 follow phase 2, phase 5 follows both; phase 6 meets a server that is busy twice; phase 9 waits for an
approval and loses GitHub's reply; phase 10 spends of a budget.
"""

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from command_line import HEAD, Place, clean, place_in
from gateway import Gateway, gateway
from github_rest import Fault as GitHubFault
from github_server import GitHubServer
from http_server import HttpServer, Reply, Seen, http_server
from smtp_server import Security, SmtpServer, smtp_server

from orchestrator import keys

PEOPLE = ("ada@acme.example", "bob@acme.example", "cyd@acme.example")
EFFECTS = {
    "hook /left": 1,
    "hook /right": 1,
    "hook /flaky": 1,
    "document /state": 1,
    **{f"mail {one}": 1 for one in PEOPLE},
    "chat discord.com": 1,
    "issue.created": 2,
    "pull.opened": 1,
    "release.created": 1,
    "said": 1,
    "pushed release/1.4.0": 1,
    "spent": 3,
}
"""Every outward effect of the whole plan, and how often; the second issue is the one that follows the run."""
_PACK = """declares: {meters: [coins]}
rules:
  - {id: anything, effect: allow, actions: "*"}
  - {id: paid, effect: require, actions: run_command, when: {"action.properties.argv[]": spend}, budgets: [{meter: coins, per: run, limit: 2}]}
  - {id: reviewed, effect: require, actions: open_pr, approvals: {role: sre}}
"""
_PLAN = """apiVersion: orch/v1
kind: Plan
metadata: {name: sixteen, version: 1.0.0, title: Consolidation and production}
inputs: {version: {default: 1.4.0}}
defaults: {timeout: 2m, retry: {attempts: 4, wait: 1s, most: 1s}}
tracking: {github: {}}
reports: consolidation/reports
phases:
  - id: p00
    title: Discovery
    steps:
      - {id: discover, action: run_command, with: {argv: [python3, work.py, discover, "${{ inputs.version }}"]}}
    success:
      - file_exists: out/discovery.json
      - metric_threshold: {file: out/discovery.json, path: coverage.total, min: 80}
  - id: p01
    needs: p00
    steps:
      - {id: inventory, action: write_file, with: {path: out/inventory.json, content: '{"version": "${{ steps.discover.outputs.json.version }}"}'}}
    success: [{json_valid: out/inventory.json}]
  - id: p02
    needs: p01
    steps: [{id: prepare, action: run_command, with: {argv: [python3, work.py, prepare]}}]
    success: [{tests_reported: {file: out/junit.xml}}]
  - id: p03
    needs: p02
    steps: [{id: left, action: call_webhook, with: {endpoint: left, body: {side: left}}}]
    success: [{file_exists: out/junit.xml}]
  - id: p04
    needs: p02
    steps: [{id: right, action: call_webhook, with: {endpoint: right, body: {side: right}}}]
    success: [{file_exists: out/junit.xml}]
  - id: p05
    needs: [p03, p04]
    steps: [{id: join, action: run_command, with: {argv: [python3, work.py, join]}}]
    success: [{file_not_empty: out/join.txt}]
  - id: p06
    needs: p05
    steps: [{id: flaky, action: call_webhook, with: {endpoint: flaky, body: {number: 1}}}]
    success: [{file_exists: out/join.txt}]
  - id: p07
    needs: p06
    steps:
      - {id: branch, action: create_branch, with: {branch: release/1.4.0, commit: main}}
      - id: commit
        action: write_document
        adapter: git
        with: {branch: release/1.4.0, path: docs/release.md, content: "# ${{ inputs.version }}", message: Release notes}
    success: [{file_exists: out/join.txt}]
  - id: p08
    needs: p07
    steps: [{id: push, action: push_branch, with: {branch: release/1.4.0}}]
    success: [{file_exists: out/join.txt}]
  - id: p09
    needs: p08
    steps:
      - {id: pull, action: open_pr, with: {branch: main, head_branch: release/1.4.0, title: "Release ${{ inputs.version }}"}}
    success: [{file_exists: out/join.txt}]
  - id: p10
    needs: p09
    steps:
      - {id: pay-1, action: run_command, with: {argv: [python3, work.py, spend, "1"]}, estimates: {coins: 0.5}}
      - {id: pay-2, action: run_command, with: {argv: [python3, work.py, spend, "2"]}, estimates: {coins: 0.5}}
      - {id: pay-3, action: run_command, with: {argv: [python3, work.py, spend, "3"]}, estimates: {coins: 0.5}}
    success: [{file_not_empty: out/spent.txt}]
  - id: p11
    needs: p10
    steps:
      - id: tell
        action: send_message
        with: {channel: ops, to: [ada@acme.example, bob@acme.example, cyd@acme.example], subject: Ready, body: "Version ${{ inputs.version }}"}
    success: [{file_exists: out/join.txt}]
  - id: p12
    needs: p10
    steps: [{id: chat, action: send_message, with: {channel: chat, to: [room], body: Ready}}]
    success: [{file_exists: out/join.txt}]
  - id: p13
    needs: p09
    steps: [{id: issue, action: create_issue, with: {title: Follow up, body: "See #${{ steps.pull.outputs.number }}"}}]
    success: [{file_exists: out/join.txt}]
  - id: p14
    needs: [p11, p12, p13]
    steps:
      - {id: release, action: publish_release, with: {tag: v1.4.0, name: "1.4.0", body: Notes}}
      - {id: persist, action: call_webhook, with: {endpoint: state, method: PUT, body: {version: "${{ inputs.version }}"}}}
    success: [{file_exists: out/join.txt}]
  - id: p15
    needs: p14
    steps: [{id: say, action: comment, with: {number: "${{ steps.pull.outputs.number }}", body: Released}}]
    success: [{command_succeeds: {argv: [python3, work.py, check]}}]
"""
_WORK = """import json, pathlib, sys
out = pathlib.Path("out")
out.mkdir(exist_ok=True)
match sys.argv[1:]:
    case ["discover", version]:
        (out / "discovery.json").write_text(json.dumps({"coverage": {"total": 93.5}}))
        print(json.dumps({"version": version}))
    case ["prepare"]:
        (out / "junit.xml").write_text('<testsuite tests="1" failures="0"><testcase name="a"/></testsuite>')
    case ["join"]:
        (out / "join.txt").write_text("joined\\n")
    case ["spend", number]:
        with (out / "spent.txt").open("a") as file:
            file.write(number + "\\n")
    case ["check"]:
        assert (out / "spent.txt").read_text() == "1\\n2\\n3\\n"
"""


@dataclass
class World:
    """The place, the servers and the plan."""

    place: Place
    github: GitHubServer
    hooks: HttpServer
    mail: SmtpServer
    net: Gateway
    checkout: Path
    remote: Path
    plan: Path

    def orch(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run the command in the checkout."""
        return self.place.orch(*arguments, cwd=self.checkout)

    def approve(self) -> None:
        """Vote as alice for whatever waits."""
        waiting = json.loads(self.orch("approvals", "-o", "json").stdout)
        for one in waiting:
            key = self.place.folder / "alice.key"
            done = self.orch("approve", one["id"], "--yes", "--key", key, "--as", "user:alice")
            assert (done.returncode, "have changed" in clean(done)) == (0, False), clean(done)

    def effects(self) -> dict[str, int]:
        """Return every outward effect that the servers saw, and how often."""
        seen: Counter[str] = Counter()
        for one in self.applied:
            seen[f"{'document' if one.method == 'PUT' else 'hook'} {one.path}"] += 1
        for message in self.mail.mails:
            seen[f"mail {message.to}"] += 1
        seen.update(f"chat {one.host}" for one in self.net.seen if one.method == "POST")
        effects = self.github.effects
        seen.update({name: effects[name] for name in EFFECTS if "." in name and effects[name]})
        seen["said"] = sum("Released" in one["body"] for one in self.github.comments)
        log = subprocess.run(
            ["git", "log", "--oneline", "main..release/1.4.0"],
            cwd=self.remote,
            capture_output=True,
            text=True,
            check=False,
        )
        seen["pushed release/1.4.0"] = len(log.stdout.splitlines())
        spent = self.checkout / "out/spent.txt"
        seen["spent"] = len(spent.read_text().splitlines()) if spent.exists() else 0
        return dict(seen)

    @property
    def applied(self) -> list[Seen]:
        """Requests that the HTTP server applied: those that it answered with success."""
        return [one for one in self.hooks.seen if one.path != "/flaky"] + self._accepted

    def __post_init__(self) -> None:
        """Script the servers."""
        self._accepted: list[Seen] = []
        busy = iter((503, 503))

        def flaky(seen: Seen) -> Reply:
            if status := next(busy, 0):
                return Reply(status, headers={"Retry-After": "0"})
            self._accepted.append(seen)
            return Reply(200, {"ok": True})

        self.hooks.answer("/flaky", flaky)
        for path in ("/left", "/right", "/state"):
            self.hooks.answer(path, Reply(200, {"ok": True}))
        self.github.follow(self.remote)
        self.github.fault(r"/pulls$", GitHubFault.LOSE, method="POST")


def _checkout(folder: Path, remote: Path, environ: dict[str, str]) -> Path:
    checkout = folder / "web"
    checkout.mkdir()
    (checkout / "work.py").write_text(_WORK)
    (checkout / ".gitignore").write_text("out/\nconsolidation/\n")

    def git(*arguments: str, cwd: Path = checkout) -> None:
        subprocess.run(["git", *arguments], cwd=cwd, env=environ, check=True, capture_output=True)

    git("init", "--quiet", "--bare", "--initial-branch=main", str(remote), cwd=folder)
    git("init", "--quiet", "--initial-branch=main")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    git("remote", "add", "origin", remote.as_uri())
    git("push", "--quiet", "origin", "main")
    git("fetch", "--quiet", "origin")
    return checkout


def _config(folder: Path, world: dict[str, Any]) -> Path:
    config = {
        "packs": ["packs"],
        "subject": "agent:fixer",
        "repository": "acme/web",
        "secrets": {"GITHUB": {"env": "GITHUB_SECRET"}, "HOOK": {"env": "HOOK_SECRET"}, "CHAT": {"env": "CHAT_URL"}},
        "adapters": {
            "github": {"api": world["github"], "token": "${{ secrets.GITHUB }}", "settle_s": 0},
            "git": {"author": "orch <orch@acme.example>"},
            "webhook": {
                "endpoints": {
                    "left": {"url": world["hooks"] + "/left", "secret": "${{ secrets.HOOK }}"},
                    "right": {"url": world["hooks"] + "/right"},
                    "flaky": {"url": world["hooks"] + "/flaky"},
                    "state": {"url": world["hooks"] + "/state"},
                }
            },
        },
        "channels": {
            "ops": {
                "adapter": "mail",
                "host": "127.0.0.1",
                "port": world["port"],
                "security": "none",
                "from": "orch@acme.example",
            },
            "chat": {"adapter": "apprise", "urls": {"room": "${{ secrets.CHAT }}"}},
        },
    }
    file = folder / "config.yaml"
    file.write_text(json.dumps(config))
    return file


@contextmanager
def world_in(folder: Path, **more: str) -> Iterator[World]:
    """Give the world; `more` are variables of its environment, such as ORCH_LEDGER."""
    chat = "discord://" + "4" * 18 + "/" + "a1B2c3D4e5F6g7H8" * 4
    with (
        GitHubServer() as github,
        http_server() as hooks,
        smtp_server(Security.NONE) as mail,
        gateway(lambda _: Reply(200, {"id": "1"})) as net,
    ):
        packs = folder / "packs"
        packs.mkdir()
        (packs / "acme.yaml").write_text(HEAD + _PACK)
        alice = keys.new_key(folder / "alice.key", None)
        (packs / "people.yaml").write_text(
            "apiVersion: orch/v1\nkind: Roster\nmetadata: {name: people}\nsubjects:\n"
            "  agent:fixer: {roles: [bot]}\n"
            f'  user:alice: {{roles: [sre, operator], keys: ["{keys.ssh_line(alice.public)}"]}}\n'
        )
        config = _config(folder, {"github": github.url, "hooks": hooks.url, "port": mail.port})
        plan = folder / "sixteen.yaml"
        plan.write_text(_PLAN)
        secrets = {
            "GITHUB_SECRET": github.token,
            "HOOK_SECRET": "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "CHAT_URL": chat,
        }
        through = net.environ | {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
        with place_in(folder, ORCH_CONFIG=str(config), **secrets, **through, **more) as place:
            remote = folder / "web.git"
            checkout = _checkout(folder, remote, place.environ)
            yield World(place, github, hooks, mail, net, checkout, remote, plan)
