"""Lives through days of an escalation in a process of its own, and tells what was decided and what came of it.

    python tests/replayed.py FOLDER DAYS SEED HOST URL   one object of JSON: decisions, effects, host, time zone

HOST is given to a process whose host name is its own (`unshare --uts`), else it is empty. URL is that of a webhook:
where an action goes to is part of it. The packs are named by the same words wherever the folder lies, as two machines with the same checkout name them.
"""

import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from many_days import DOCUMENT, Days, Story, days, drawn

from orchestrator.decision import digest_of
from orchestrator.ledger.read import Filter, events
from orchestrator.ledger.verify import verify

_MORE = """      - {id: tell, action: call_webhook, with: {endpoint: hook}, text: {body: "{{ cycle }} {{ stage }}"}}
      - {id: note, action: run_command, with: {argv: [sh, -c, "echo released >> notes"]}}
"""
_RULES = (
    "{id: open, effect: allow, actions: '*'}",
    "{id: quiet, effect: deny, level: advisory, actions: send_message, stages: remind_1h, message: 'the {stage} stage'}",
    "{id: early, effect: deny, actions: run_command, stages: [ok, partial]}",
)


def told(folder: Path, number: int, seed: int, url: str) -> dict[str, Any]:
    """Return what was decided, and what came of it, in so many days."""
    folder.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patched, days(folder, patched, text=DOCUMENT + _MORE) as made:
        made.world.configure(adapters={"webhook": {"endpoints": {"hook": {"url": url}}}})
        made.world.rules(*_RULES)
        made.settings = made.world.settings(packs=("../packs",))
        return _said(made, made.lived(drawn(number, seed)))


def _said(made: Days, story: Story) -> dict[str, Any]:
    with made.world.opened() as ledger:
        state = verify(ledger).state.value
        with ledger.store.reading() as connection:
            found = list(events(connection, Filter(type="orch.decision")))
    decisions = [
        (one.fields["action"], one.fields.get("subject", ""), digest_of((one.payload or {})["decision"]))
        for one in found
    ]
    files = {one.name: one.read_text() for one in sorted(made.world.work.iterdir())}
    mails = [(one.to, str(one.message["Subject"]), one.message.get_content()) for one in made.world.mail.mails]
    return {
        "decisions": decisions,
        "effects": {"mails": mails, "files": files},
        "entered": story.entered,
        "wrong": story.wrong,
        "ledger": (ledger.id, state),
        "machine": (socket.gethostname(), time.tzname, hash("orch")),
    }


def main() -> None:
    """Tell it as JSON."""
    folder, number, seed, host, url = sys.argv[1:]
    if host:
        socket.sethostname(host)
    sys.stdout.write(json.dumps(told(Path(folder), int(number), int(seed), url)) + "\n")


if __name__ == "__main__":
    main()
