"""A small world for escalations: the usual countdown as text and as a value, packs that allow it, a mail server, a ledger.

    with world(tmp_path) as made:                                # its folder, packs, operator's file and ledger
        assert made.orch("set-deadline", "--hours", 24).returncode == 0
        made.orch("tick", "--now", "2026-11-21T05:00:00Z")
        assert made.subjects() == [...]

Commands run as user:ann, who is the operator, in `made.work`; reminders go to `made.mail`.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from command_line import HEAD, Place, place_in
from smtp_server import Security, SmtpServer, smtp_server

from orchestrator.clock import SECOND_NS, parse_time
from orchestrator.escalations.model import Audience, CatchUp, Deed, Escalation, Mode, Renewal, Stage
from orchestrator.ledger.open import open_ledger
from orchestrator.ledger.store import Ledger
from orchestrator.settings import Settings

NAME = "continuity"
OPERATOR, ANNA, BEN, CLARA = "ann@acme.example", "anna@else.example", "ben@else.example", "clara@else.example"
SECRETS = {"OPERATOR_MAIL": OPERATOR, "ANNA_MAIL": ANNA, "BEN_MAIL": BEN, "CLARA_MAIL": CLARA}
"""Name of secret and variable to value."""
MINUTE_NS, HOUR_NS = 60 * SECOND_NS, 3_600 * SECOND_NS
NOON = "2026-11-21T12:00:00Z"
NOON_NS = parse_time(NOON)

_TO_OPERATOR = {"channel": "mail", "to": ["${{ secrets.OPERATOR_MAIL }}"]}
_TO_CUSTODIANS = {
    "channel": "mail",
    "to": ["${{ secrets.ANNA_MAIL }}", "${{ secrets.BEN_MAIL }}", "${{ secrets.CLARA_MAIL }}"],
}
REMINDER = """{% block subject %}{{ time_left }} left{% endblock %}
{% block body %}{{ constants.organisation }} expects to hear from you until {{ deadline }}.{% endblock %}
"""
"""The template `reminder.j2`."""
_SUBJECT, _BODY = "{{ time_left }} left", "{{ constants.organisation }} expects to hear from you until {{ deadline }}."
TEXT = """apiVersion: orch/v1
kind: Escalation
metadata: {name: continuity, version: 1.0.0}
mode: countdown
renewal:
  extends: 24h
  lockout: {after: 5, first: 30s, longest: 10m}
routes:
  operator: {channel: mail, to: ["${{ secrets.OPERATOR_MAIL }}"]}
  custodians: {channel: mail, to: ["${{ secrets.ANNA_MAIL }}", "${{ secrets.BEN_MAIL }}", "${{ secrets.CLARA_MAIL }}"]}
constants: {organisation: Acme}
stages:
  - {name: ok}
  - name: remind_6h
    at: -6h
    actions:
      - {id: mail, action: send_message, route: operator, template: reminder.j2}
  - name: remind_1h
    at: -1h
    actions:
      - {id: mail, action: send_message, route: operator, template: reminder.j2}
  - name: pre_release
    at: -15m
    min_dwell: 15m
    actions:
      - {id: mail, action: send_message, route: operator, template: reminder.j2}
  - name: partial
    at: 1m
    audience: custodians
    requires: {delivered: [pre_release/mail], max_wait: 6h}
    actions:
      - id: letter
        action: send_message
        route: custodians
        text: {subject: "{{ constants.organisation }}: your part", body: "You are a custodian of {{ escalation }}."}
  - name: full
    at: 2h
    audience: public
    actions:
      - {id: publish, action: write_file, with: {path: released.txt, content: released}}
"""
"""The usual countdown: reminders 6 h and 1 h before, a last notice 15 min before, custodians, then everybody."""
PACK = """rules:
  - {id: open, effect: allow, actions: "*"}
"""
ROSTER = """apiVersion: orch/v1
kind: Roster
metadata: {name: people}
subjects:
  user:ann: {roles: [operator]}
  user:bob: {roles: [guest]}
"""


def _reminder() -> tuple[Deed, ...]:
    return (Deed("mail", "send_message", _TO_OPERATOR, {"subject": _SUBJECT, "body": _BODY}),)


ESCALATION = Escalation(
    name=NAME,
    version="1.0.0",
    digest="sha256:" + "e5" * 32,
    source="continuity.yaml:3",
    mode=Mode.COUNTDOWN,
    catch_up=CatchUp.WALK,
    grace_s=0,
    stages=(
        Stage("ok", None),
        Stage("remind_6h", -6 * 3_600, deeds=_reminder()),
        Stage("remind_1h", -3_600, deeds=_reminder()),
        Stage("pre_release", -900, min_dwell_s=900, deeds=_reminder()),
        Stage(
            "partial",
            60,
            Audience.CUSTODIANS,
            delivered=("pre_release/mail",),
            max_wait_s=6 * 3_600,
            deeds=(
                Deed(
                    "letter",
                    "send_message",
                    _TO_CUSTODIANS,
                    {
                        "subject": "{{ constants.organisation }}: your part",
                        "body": "You are a custodian of {{ escalation }}.",
                    },
                ),
            ),
        ),
        Stage(
            "full",
            7_200,
            Audience.PUBLIC,
            deeds=(Deed("publish", "write_file", {"path": "released.txt", "content": "released"}),),
        ),
    ),
    renewal=Renewal(24 * 3_600),
    routes={"operator": _TO_OPERATOR, "custodians": _TO_CUSTODIANS},
    constants={"organisation": "Acme"},
)
"""What `TEXT` says, as a value."""


def row_of(escalation: Escalation = ESCALATION) -> dict[str, Any]:
    """Return an escalation as a compiled policy holds it: plain JSON, which `Escalation.of` reads."""
    row = _plain(escalation)
    assert isinstance(row, dict)
    return row


def _plain(value: Any) -> Any:  # noqa: ANN401  # values of the model
    if hasattr(value, "_asdict"):
        return {name: _plain(one) for name, one in value._asdict().items()}
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.value if isinstance(value, Mode | CatchUp | Audience) else value


@dataclass
class World:
    """Where escalations are played."""

    folder: Path
    place: Place
    mail: SmtpServer
    config: dict[str, Any] = field(default_factory=dict)
    """The operator's file; `configure` writes it anew."""

    @property
    def packs(self) -> Path:
        """The organisation's packs, with `continuity.yaml` and its template among them."""
        return self.folder / "packs"

    @property
    def work(self) -> Path:
        """Where commands are run, and files are written."""
        return self.folder / "work"

    @property
    def ledger(self) -> str:
        """Where it is recorded."""
        return str(self.config["ledger"])

    def orch(self, *arguments: object, given: bytes = b"", **environ: Any) -> "subprocess.CompletedProcess[str]":  # noqa: ANN401  # variables
        """Run `orch`."""
        return self.place.orch(*arguments, given=given, cwd=self.work, **environ)

    def asked(self, *arguments: object, **environ: Any) -> Any:  # noqa: ANN401  # JSON
        """Run `orch` with `-o json`, and return what it answers, which must be success."""
        done = self.orch(*arguments, "-o", "json", **environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def rules(self, *lines: str, declares: str = "") -> None:
        """Write the organisation's pack with these rules alone, and what it `declares`."""
        head = HEAD + (f"declares: {{{declares}}}\n" if declares else "")
        (self.packs / "acme.yaml").write_text(head + "rules:\n" + "".join(f"  - {line}\n" for line in lines))

    def document(self, text: str = TEXT, name: str = NAME) -> None:
        """Write an escalation's document."""
        (self.packs / f"{name}.yaml").write_text(text)

    def configure(self, **more: object) -> None:
        """Change the operator's file."""
        self.config |= more
        (self.folder / "config.yaml").write_text(json.dumps(self.config))

    def settings(self, **more: object) -> Settings:
        """Return the settings that a command of this world has; secrets are found in its environment alone."""
        given = {"config": str(self.folder / "config.yaml"), **more}
        return Settings.load(given, environ=self.place.environ, cwd=self.work)

    @contextmanager
    def opened(self) -> Iterator[Ledger]:
        """Give the ledger."""
        with open_ledger(self.ledger) as ledger:
            yield ledger

    def subjects(self, to: str = OPERATOR) -> list[str]:
        """Return the subjects of what somebody was sent, in order."""
        return [str(mail.message["Subject"]) for mail in self.mail.mails if mail.to == to]


@contextmanager
def world(folder: Path, *, text: str = TEXT, ledger: str = "", **environ: str) -> Iterator[World]:
    """Give a world below `folder`, with a ledger in it or at a URL; its servers and sidecars are ended with it."""
    with smtp_server(Security.NONE) as mail:
        variables = {"ORCH_CONFIG": str(folder / "config.yaml"), **SECRETS, **environ}
        with place_in(folder, **variables) as place:
            made = World(folder, place, mail)
            for one in (made.packs, made.work):
                one.mkdir()
            (made.packs / "people.yaml").write_text(ROSTER)
            (made.packs / "acme.yaml").write_text(HEAD + PACK)
            (made.packs / "reminder.j2").write_text(REMINDER)
            made.document(text)
            server = {"adapter": "mail", "host": "127.0.0.1", "port": mail.port, "security": "none"}
            made.configure(
                packs=[str(made.packs)],
                subject="user:ann",
                ledger=ledger or str(folder / "ledger"),
                secrets={name: {"env": name} for name in SECRETS},
                channels={"mail": {**server, "from": "orch@acme.example"}},
            )
            yield made
