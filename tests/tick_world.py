"""The world of `kill_world`, in which an escalation acts by every adapter: a cycle of it is what a run is there.

    with tick_world_in(folder) as world:
        world.orch("set-deadline", NAME, "--in", "24h", "--now", ...)
        world.begin("tick", NAME, "--now", ..., kill=Kill(step="mail", verb="dispatching"))
        assert world.effects()["mail drill-c1"] == 1

The first stage speaks to the operator by mail, by Apprise and by a webhook; the second to two custodians by mail, by a
command and by webhooks, of which one may be resent and one is refused for good; the last writes a file, opens an issue
and pushes a branch.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from command_line import HEAD, clean
from http_server import Reply, Seen
from kill_points import Mark, ServerTrap
from kill_world import RESENT, TO, Kill, World, world_in

from orchestrator import outbox
from orchestrator.clock import SECOND_NS, format_time
from orchestrator.escalations.kept import Owed, Record, owed_in, record_of
from orchestrator.ledger.open import open_ledger

NAME = "drill"
STAGES = ("ok", "warn", "partial", "full")
DUE_S = {"warn": -900, "partial": 60, "full": 7_200}
"""When each stage is due, seconds from the deadline."""
CUSTODIANS = {"ANNA": "anna@else.example", "BEN": "ben@else.example"}
_FIRST_NS, _EVERY_NS = 1_800_000_000 * SECOND_NS, 2 * 86_400 * SECOND_NS
"""When the first cycle begins, nanoseconds since 1970, and how long after it the next."""
_STEPS = {
    **dict.fromkeys(("mail", "chat", "hook"), "warn"),
    **dict.fromkeys(("letter", "append", RESENT, "refused"), "partial"),
    **dict.fromkeys(("file", "issue", "branch", "commit", "push"), "full"),
}
_LETTERS = tuple(f"letter.{name.lower()}" for name in CUSTODIANS)
_SCRIPT = """import os
os.makedirs("out", exist_ok=True)
with open("out/commands.txt", "a") as file:
    file.write(os.environ["ORCH_KEY"] + "\\n")
"""
_RUN = "drill-c{{ cycle }}"
_DOCUMENT = f"""apiVersion: orch/v1
kind: Escalation
metadata: {{name: {NAME}}}
renewal: {{extends: 24h}}
routes:
  operator: {{channel: ops, to: [{TO}]}}
  chat: {{audience: operator, channel: chat}}
  hook: {{audience: operator, endpoint: hook}}
  custodians: {{channel: ops, to: ["${{{{ secrets.ANNA }}}}", "${{{{ secrets.BEN }}}}"]}}
stages:
  - {{name: ok}}
  - name: warn
    at: -15m
    min_dwell: 15m
    actions:
      - {{id: mail, action: send_message, route: operator, text: {{subject: "{_RUN}", body: Ready}}}}
      - {{id: chat, action: send_message, route: chat, text: {{subject: "{_RUN}", body: Ready}}}}
      - {{id: hook, action: call_webhook, route: hook, text: {{body: '{{"run": "{_RUN}"}}'}}}}
  - name: partial
    at: 1m
    audience: custodians
    requires: {{delivered: [warn/mail], max_wait: 6h}}
    actions:
      - {{id: letter, action: send_message, route: custodians, text: {{subject: "{_RUN}", body: Yours}}}}
      - {{id: append, action: run_command, with: {{argv: [python3, keep.py]}}}}
      - id: {RESENT}
        action: call_webhook
        on_unknown: resend
        with: {{endpoint: {RESENT}}}
        text: {{body: '{{"run": "{_RUN}"}}'}}
      - {{id: refused, action: call_webhook, with: {{endpoint: refused}}, text: {{body: '{{"run": "{_RUN}"}}'}}}}
  - name: full
    at: 2h
    audience: public
    actions:
      - {{id: file, action: write_file, text: {{path: "out/{_RUN}.txt", content: "{_RUN}"}}}}
      - {{id: issue, action: create_issue, with: {{body: Drill}}, text: {{title: "{_RUN}"}}}}
      - {{id: branch, action: create_branch, with: {{commit: main}}, text: {{branch: "{_RUN}"}}}}
      - id: commit
        action: write_document
        adapter: git
        with: {{path: a.md, message: Drill}}
        text: {{branch: "{_RUN}", content: "{_RUN}"}}
      - {{id: push, action: push_branch, text: {{branch: "{_RUN}"}}}}
"""


class TickWorld(World):
    """The place and the servers; a run is a cycle, `drill-c1` and so on."""

    steps: ClassVar = _STEPS
    once: ClassVar = ("mail", "chat", "hook", *_LETTERS, "append", "file", "issue", "push")
    held: ClassVar = ("mail", "chat", "hook", "letter", "append", "refused")

    def effect_of(self, step: str, target: str) -> str:
        """Return what the effect of a step is called, by the target of its action."""
        who = next((name for name in CUSTODIANS if name in target), "")
        return f"{step}.{who.lower()}" if who else step

    def mark_of(self, name: str, kill: Kill, target: str) -> Mark:
        """Return where the cycle that goes on records what a kill speaks of."""
        step, _, who = kill.step.partition(".")
        record = self.record
        name = record.run_id if record else name
        return super().mark_of(name, kill._replace(step=step), f"${{{{ secrets.{who.upper()} }}}}" if who else target)

    @property
    def record(self) -> Record | None:
        """How the escalation stands; None where it never began."""
        with open_ledger(self.ledger, must_exist=True) as ledger, ledger.store.reading() as connection:
            return record_of(connection, NAME)

    def owed(self, record: Record) -> list[Owed]:
        """Return what this cycle still owes."""
        with open_ledger(self.ledger, must_exist=True) as ledger, ledger.store.reading() as connection:
            return owed_in(connection, record)

    def unknown(self, record: Record, order: str) -> dict[str, str]:
        """Return the key of each effect of an order that nobody knows of, by what it is called."""
        with open_ledger(self.ledger, must_exist=True) as ledger, ledger.store.reading() as connection:
            rows = outbox.rows_of(connection, record.run_id, order)
        step = order.rpartition("/")[2]
        return {self.effect_of(step, row.target): row.key for row in rows.values() if row.is_open}

    def points(self, name: str = "") -> Kill:  # noqa: ARG002  # of the cycle that goes on
        """Tick through a cycle that nobody kills, and return how many points its longest tick has."""
        most = Kill()
        counted = self.place.folder / "points"
        clean(self.place.orch(*self.beginning(), cwd=self.checkout))
        for stage in DUE_S:
            counted.unlink(missing_ok=True)
            process = self.begin(*self.tick_at(stage), DRILL_COUNT=str(counted))
            said = process.communicate()[0].decode(errors="replace")
            assert process.returncode in {0, 1}, said  # one webhook is refused for good
            passed = 0 if self.trap is None else self.trap.passed
            most = Kill(max(most.point, len(counted.read_text().splitlines())), max(most.commit, passed))
        return most

    def beginning(self) -> tuple[object, ...]:
        """Return the command that begins the next cycle, two days after the one before."""
        record = self.record
        if record is None:
            return ("set-deadline", NAME, "--in", "24h", "--now", format_time(_FIRST_NS))
        return ("reset", NAME, "--now", format_time(_FIRST_NS + record.cycle * _EVERY_NS))

    def tick_at(self, stage: str) -> tuple[object, ...]:
        """Return the tick at the time of a stage."""
        record = self.record
        assert record is not None
        return ("tick", NAME, "--now", format_time(due_ns(record, stage)))

    def _by_hand(self) -> Counter[str]:
        seen = self.hooks.done.copy()
        for one in self.mail.mails:
            who = next((name for name, address in CUSTODIANS.items() if address == one.to), "MAIL")
            seen[f"{'mail' if who == 'MAIL' else f'letter.{who.lower()}'} {one.message['Subject']}"] += 1
        commands = self.checkout / "out/commands.txt"
        runs = self._runs_by_key()
        seen.update(f"append {runs[key]}" for key in (commands.read_text().split() if commands.exists() else ()))
        return seen

    def _runs_by_key(self) -> dict[str, str]:
        """Return the cycle of each key that a command can have had."""
        record = self.record
        runs = [f"{NAME}-c{cycle}" for cycle in range(1, (record.cycle if record else 0) + 1)]
        with open_ledger(self.ledger, must_exist=True) as ledger:
            return {outbox.key_of(ledger.id, run, "partial/append", ""): run for run in runs}


@contextmanager
def tick_world_in(folder: Path, *, ledger: str = "", trap: ServerTrap | None = None) -> Iterator[TickWorld]:
    """Give the world; `ledger` is the URL of a ledger on a server, which commands find through `trap`."""
    with world_in(folder, ledger=ledger, trap=trap, **CUSTODIANS) as plain:
        world = TickWorld(**vars(plain))
        world.hooks.server.answer("/chat", lambda seen: _chatted(world, seen))
        file = folder / "config.yaml"
        config = json.loads(file.read_text())
        config["secrets"] |= {name: {"env": name} for name in CUSTODIANS}
        chat = world.hooks.server.url.replace("http://", "json://") + "/chat"
        config["secrets"]["CHAT"] = {"env": "CHAT"}
        world.place.environ["CHAT"] = chat
        config["channels"]["chat"] = {"adapter": "apprise", "url": "${{ secrets.CHAT }}"}
        file.write_text(json.dumps(config))
        (folder / "packs/acme.yaml").write_text(HEAD + "rules: [{id: anything, effect: allow, actions: '*'}]\n")
        (folder / "packs/drill.yaml").write_text(_DOCUMENT)
        (world.checkout / "keep.py").write_text(_SCRIPT)
        yield world


def due_ns(record: Record, stage: str) -> int:
    """Return when a stage of a cycle is due, nanoseconds since 1970."""
    return record.deadline + DUE_S[stage] * SECOND_NS


def _chatted(world: TickWorld, seen: Seen) -> Reply:
    world.hooks.done[f"chat {seen.json['title']}"] += 1
    return Reply(200)
