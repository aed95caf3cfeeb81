"""`scripts/demo_escalation.sh` plays the whole story of the starter escalation, as somebody sees it who runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "demo_escalation.sh"


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> str:
    environ = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path_factory.mktemp("demo")), "LANG": "C.UTF-8"}
    environ["DEMO_BIN"] = str(Path(sys.executable).parent)

    done = subprocess.run([SCRIPT], env=environ, capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr
    assert done.stderr == ""
    return done.stdout


def arrivals(story: str) -> list[str]:
    """Return the first lines of what arrived, in order, without heartbeats."""
    return [line for line in re.findall(r"^    >> (.*)$", story, re.MULTILINE) if not line.startswith("heartbeat")]


def test_every_message_arrives_in_its_order_and_once(story: str) -> None:
    assert arrivals(story) == [
        "servers for mail, SMS, posts and web hooks listen on this machine",
        "mail to ona@example.com: Acme: 6 hours left",
        "mail to ona@example.com: Acme: 1 hour left",
        "SMS to +15550001111",
        "mail to ona@example.com: Acme: 6 hours left",
        "mail to ona@example.com: Acme: 1 hour left",
        "SMS to +15550001111",
        "mail to ona@example.com: Acme: last warning before others are told",
        "SMS to +15550001111",
        "mail to anna@example.com: Acme: the archive needs you",
        "mailbox of ben@example.com: 450, come back later",
        "mail to ben@example.com: Acme: the archive needs you",
        "public post: Acme: the archive is handed over",
        'web hook to observers: {"escalation": "continuity", "stage": "full"}',
    ]


def test_every_tick_is_heard_by_the_watcher(story: str) -> None:
    ticks = story.count("$ orch tick ")

    heard = re.findall(r"heartbeat to the watcher: tick (\d+),", story)

    assert heard == [str(number) for number in range(1, ticks + 1)]


def test_a_wrong_code_renews_nothing_and_the_right_one_does(story: str) -> None:
    assert story.index("orch: not renewed") < story.index("RENEWED continuity")


def test_the_notice_is_published_and_the_record_is_whole(story: str) -> None:
    assert "# The archive is handed over" in story
    assert re.search(r"^  verified: \d+ events", story, re.MULTILINE)


def test_nothing_is_left_behind(story: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert story
    assert not list(tmp_path_factory.getbasetemp().glob("demo*/orch-demo.*"))
