"""`orch act` as a user meets it: the real command, the real engine, an installed adapter that writes into a file."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from act_world import ALLOW, DECLARES, environ_of
from command_line import HEAD, Place, clean, command, place_in
from post_adapter import install

from orchestrator import keys

SRE = "  - {id: sre, effect: require, actions: post_note, approvals: {role: sre}}\n"
SPENT = "  - {id: open, effect: allow, actions: '*', budgets: [{meter: coins, per: run, limit: 3}]}\n"
SECRET = "correct-horse-battery"


@dataclass
class World:
    """A place with packs, a voter's key and an adapter."""

    place: Place
    work: Path

    def rules(self, text: str, head: str = HEAD) -> None:
        (self.place.folder / "packs" / "acme.yaml").write_text(head + DECLARES + "rules:\n" + text)

    def act(self, *more: object) -> subprocess.CompletedProcess[str]:
        return self.place.orch(*self.line(*more), cwd=self.work)

    @staticmethod
    def line(*more: object) -> tuple[object, ...]:
        return ("act", "post_note", "--adapter", "post", "--arg", "note=hello", *more)

    def effects(self) -> list[str]:
        return self._lines("effects")

    def calls(self) -> int:
        return len(self._lines("calls"))

    def _lines(self, name: str) -> list[str]:
        file = self.work / name
        return file.read_text().splitlines() if file.exists() else []

    def approve(self, done: subprocess.CompletedProcess[str]) -> str:
        request_id = json.loads(done.stdout)["waiting_for"][0]["request_id"]
        voted = self.place.orch("approve", request_id, "--yes", "--key", self.place.folder / "ada")
        assert voted.returncode == 0, clean(voted)
        return str(request_id)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    signer = keys.new_key(tmp_path / "ada", None)
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "people.yaml").write_text(
        "apiVersion: orch/v1\nkind: Roster\nmetadata: {name: people}\nsubjects:\n"
        f'  user:ada: {{roles: [sre], keys: ["{keys.ssh_line(signer.public)}"]}}\n'
    )
    (tmp_path / "config.yaml").write_text("secrets: {NOTE: {env: A_NOTE}}\nsubject: agent:fixer\npacks: [packs]\n")
    (tmp_path / "work").mkdir()
    found = environ_of(install(tmp_path / "packages"))
    variables = {
        "ORCH_CONFIG": str(tmp_path / "config.yaml"),
        "ORCH_LEDGER": str(tmp_path / "ledger"),
        "A_NOTE": SECRET,
    }
    with place_in(tmp_path, **variables) as place:
        python_path = os.pathsep.join([place.environ["PYTHONPATH"], found["PYTHONPATH"]])
        made = World(Place(place.folder, place.environ | {"PYTHONPATH": python_path}), tmp_path / "work")
        made.rules(ALLOW)
        yield made


def tree(*folders: Path) -> dict[str, tuple[int, int]]:
    """Return every file below these folders, with size and time of change."""
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if not path.is_dir()
    }


def test_what_is_allowed_is_done(world: World) -> None:
    done = world.act()

    assert done.returncode == 0, clean(done)
    assert done.stdout.startswith("DONE post_note\n  note:")
    assert len(world.effects()) == 1


def test_what_is_denied_is_not(world: World) -> None:
    world.rules("  - {id: none, effect: deny, actions: post_note, message: 'no notes today'}\n")

    done = world.act()

    assert done.returncode == 3, clean(done)
    assert "acme/none: no notes today" in done.stdout
    assert world.calls() == 0


def test_a_denial_by_default_names_the_pack_and_fits_the_page(world: World) -> None:
    world.rules("  - {id: other, effect: allow, actions: open_pr}\n")

    done = world.act()

    assert done.returncode == 3, clean(done)
    assert "ask the owners of the pack acme" in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_what_waits_is_approved_done_and_waits_anew(world: World) -> None:
    world.rules(ALLOW + SRE)

    waiting = world.act("--key", "k1", "-o", "json")
    world.approve(waiting)
    done, later = world.act("--key", "k1"), world.act("--key", "k2")

    assert (waiting.returncode, done.returncode, later.returncode) == (4, 0, 4), clean(done)
    assert "next: orch approve" in later.stdout
    assert len(world.effects()) == 1


def test_an_approval_revoked_before_its_use_does_nothing(world: World) -> None:
    world.rules(ALLOW + SRE)
    request_id = world.approve(world.act("--key", "k1", "-o", "json"))
    world.place.orch("revoke", request_id, "--yes", "--key", world.place.folder / "ada")

    assert world.act("--key", "k1").returncode == 4
    assert world.calls() == 0


def test_packs_changed_between_the_approval_and_the_use_decide(world: World) -> None:
    world.rules(ALLOW + SRE)
    world.approve(world.act("--key", "k1", "-o", "json"))
    world.rules(ALLOW + SRE + "  - {id: none, effect: deny, actions: post_note}\n")

    done = world.act("--key", "k1")

    assert done.returncode == 3, clean(done)
    assert world.calls() == 0


def test_a_budget_that_is_spent_is_told(world: World) -> None:
    world.rules(SPENT)
    first = world.act("--run", "r1", "--estimate", "coins=2")
    second = world.act("--run", "r1", "--estimate", "coins=2")

    assert (first.returncode, second.returncode) == (0, 5), clean(second)
    assert "raise the limit of budget:coins:run" in second.stdout
    assert len(world.effects()) == 1


def test_what_only_warns_goes_on(world: World) -> None:
    head = HEAD.replace("default: deny", "default: allow\nenforcement: {run: warn}")
    world.rules("  - {id: none, effect: deny, actions: post_note}\n", head=head)

    done = world.act()

    assert done.returncode == 0, clean(done)
    assert "warned: acme/none" in done.stdout


def test_a_dry_run_leaves_no_trace(world: World) -> None:
    """Neither where there is no ledger yet, nor beside one; what was compiled lies in a cache, and is none."""
    home = Path(world.place.environ["HOME"])
    cold = world.act("--dry-run")
    first = {name for name in tree(home, world.work, world.place.folder / "packs") if "/.cache/" not in name}
    has_ledger = (world.place.folder / "ledger").exists()
    world.act()
    before = tree(home, world.work, world.place.folder / "ledger")

    warm = world.act("--dry-run", "-o", "json")

    assert (cold.returncode, warm.returncode, has_ledger) == (0, 0, False), clean(warm)
    assert not {name for name in first if name.startswith(str(home)) or "/work/" in name}
    assert tree(home, world.work, world.place.folder / "ledger") == before
    assert json.loads(warm.stdout)["context"]["outcome"] == "allow"


def test_two_commands_at_once_with_one_key_act_once(world: World) -> None:
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: world.act("--key", "same"), range(3)))

    assert [one.returncode for one in done] == [0, 0, 0], [clean(one) for one in done]
    assert len(world.effects()) == 1


def test_a_key_of_another_order_is_refused(world: World) -> None:
    world.act("--key", "k1")

    done = world.act("--key", "k1", "--arg", "more=x")

    assert done.returncode == 2
    assert "used for other parameters already" in clean(done)


@pytest.mark.parametrize(
    ("how", "more", "expected", "effects"),
    [
        ("kill-before", (), 0, 1),
        ("kill-after", (), 0, 1),
        ("kill-before", ("--arg", "blind:=true"), 1, 0),
        ("kill-after", ("--arg", "blind:=true"), 1, 1),
        ("kill-after", ("--arg", "blind:=true", "--on-unknown", "resend"), 0, 2),
    ],
    ids=["before", "after", "before, blind", "after, blind", "after, blind, resend"],
)
def test_killed_in_the_middle_it_is_looked_up_before_it_is_done_again(
    world: World, how: str, more: tuple[object, ...], expected: int, effects: int
) -> None:
    line = ("--key", "k1", "--arg", f"how=first-{how}", *more)

    killed = world.act(*line)
    done = world.act(*line)
    again = world.act(*line)

    assert killed.returncode == -signal.SIGKILL
    assert (done.returncode, again.returncode) == (expected, expected), clean(done)
    assert len(world.effects()) == effects
    assert world.place.orch("ledger", "verify").returncode == 0


def unknown(world: World, *more: object) -> None:
    """Leave an order behind of which nobody knows whether it happened."""
    killed = world.act("--arg", "how=first-kill-after", "--arg", "blind:=true", *more)
    assert killed.returncode == -signal.SIGKILL


def test_a_persons_word_settles_what_is_unknown(world: World) -> None:
    unknown(world, "--key", "k1")
    seen = world.act("--arg", "how=first-kill-after", "--arg", "blind:=true", "--key", "k1")
    said = world.place.orch("act", "post_note", "--key", "k1", "--resolve", "delivered")
    done = world.act("--arg", "how=first-kill-after", "--arg", "blind:=true", "--key", "k1")
    shown = world.place.orch("ledger", "show", "-o", "json")

    assert "orch act post_note --key k1 --resolve delivered" in seen.stdout
    assert (said.returncode, said.stdout) == (0, "RECORDED post_note\n  k1: delivered, by agent:fixer\n"), clean(said)
    assert (done.returncode, len(world.effects())) == (0, 1), clean(done)
    assert "orch.action.resolved" in clean(shown)


def test_what_did_not_happen_is_done_by_the_same_command(world: World) -> None:
    line = ("--arg", "how=first-kill-before", "--arg", "blind:=true", "--key", "k1", "--run", "r1")
    killed = world.act(*line)
    said = world.place.orch("act", "post_note", "--run", "r1", "--key", "k1", "--resolve", "not-delivered")
    calls = world.calls()
    done = world.act(*line)

    assert killed.returncode == -signal.SIGKILL
    assert "next: the same command with --run r1 --key k1 does it" in said.stdout, clean(said)
    assert (done.returncode, len(world.effects()), world.calls() - calls) == (0, 1, 1), clean(done)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--resolve", "delivered"), "--resolve needs --key"),
        (("--resolve", "delivered", "--key", "k2"), "nothing is unknown of 'k2'"),
        (("--resolve", "delivered", "--key", "k1", "--dry-run"), "at once"),
    ],
)
def test_a_word_about_nothing_is_refused(world: World, arguments: tuple[str, ...], said: str) -> None:
    unknown(world, "--key", "k1")

    done = world.place.orch("act", "post_note", *arguments)
    other = world.place.orch("act", "open_pr", "--resolve", "delivered", "--key", "k1")

    assert (done.returncode, other.returncode) == (2, 2), clean(done)
    assert said in clean(done)
    assert "'k1' names post_note, not 'open_pr'" in clean(other)


@pytest.mark.parametrize(("flag", "state", "effects"), [("--delivered", "delivered", 1), ("--resend", "retryable", 2)])
def test_resume_records_a_word_about_a_run_that_act_made(world: World, flag: str, state: str, effects: int) -> None:
    unknown(world, "--key", "k1", "--run", "r1")

    said = world.place.orch("resume", "r1", flag, "k1")
    done = world.act("--arg", "how=first-kill-after", "--arg", "blind:=true", "--key", "k1", "--run", "r1")

    assert said.returncode == 0, clean(said)
    assert f"recorded: k1 (post_note) of run r1: {state}" in said.stdout
    assert (done.returncode, len(world.effects())) == (0, effects), clean(done)


def test_killed_at_any_instant_it_is_done_once_in_the_end(world: World) -> None:
    world.rules(SPENT.replace("limit: 3", "limit: 1000"))
    line = (*world.line("--key", "k1", "--run", "r1"), "--estimate", "coins=1")
    began = time.monotonic()
    world.act("--dry-run")
    whole_s = time.monotonic() - began
    for number in range(12):
        running = subprocess.Popen(  # our own command
            command(*line[:-1], "coins=1"),
            cwd=world.work,
            env=world.place.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(whole_s * (0.4 + number / 12))
        running.kill()
        running.wait()

    done = world.place.orch(*line, cwd=world.work)

    assert done.returncode == 0, clean(done)
    assert len(world.effects()) == 1
    assert world.place.orch("ledger", "verify").returncode == 0


def test_interrupted_it_ends_what_it_began_and_says_so(world: World) -> None:
    running = subprocess.Popen(  # our own command
        command(*world.line("--key", "k1", "--arg", "how=slow")),
        cwd=world.work,
        env=world.place.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (world.work / "slow").exists():
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=30)
    shown = world.place.orch("ledger", "show", "-o", "json")

    assert running.returncode == 130
    assert "orch.action.retryable" in clean(shown)
    assert world.effects() == []


def test_a_claimed_decision_is_refused(world: World) -> None:
    for arguments in (("init", "-q"), ("commit", "-q", "--allow-empty", "-m", "first")):
        subprocess.run(["git", *arguments], cwd=world.place.folder, check=True, env=world.place.environ)

    done = world.place.orch(*world.line("--root", "work"))

    assert done.returncode == 2
    assert "would rest on a claim" in clean(done)
    assert world.calls() == 0


def test_a_secret_is_in_no_record_and_no_answer(world: World) -> None:
    done = world.act("--arg", "also=${{ secrets.NOTE }}", "--key", "k1")
    used = world.place.orch(
        "act", "post_note", "--adapter", "post", "--arg", "note=${{ secrets.NOTE }}", cwd=world.work
    )
    shown = world.place.orch("ledger", "show", "-o", "json", A_NOTE="")

    assert (done.returncode, used.returncode) == (0, 0), clean(used)
    assert any(SECRET in line for line in world.effects())
    assert SECRET not in clean(used) + clean(done) + clean(shown)
    for file in (world.place.folder / "ledger").rglob("*"):
        assert file.is_dir() or SECRET.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("act", "post_note", "--adapter", "pots"), "there is no adapter 'pots'"),
        (("act", "open_pr", "--adapter", "post"), "cannot do 'open_pr'"),
        (("act", "post_notes"), "can do 'post_notes' (did you mean `post_note`?)"),
        (("act", "send_message"), "say by which: --adapter apprise"),
        (("act", "post_note", "--adapter", "post", "--arg", "x"), "expected `name=text`"),
        (("act", "post_note", "--adapter", "post", "--arg", "how=bad-prepare"), "KeyError: 'missing'"),
        (("act", "post_note", "--adapter", "post", "--timeout", "0"), "--timeout is 0 s"),
        (("act", "post_note", "--adapter", "post", "--key", "../x"), "--key is '../x'"),
        (("act", "post_note", "--adapter", "post", "--estimate", "usd"), "--estimate is 'usd'"),
        (("act", "post_note", "--adapter", "post", "--estimate", "u\x1b=1"), "--estimate names the meter 'u\\x1b'"),
        (("act", "post_note", "--adapter", "post", "--root", "nowhere"), "there is no folder"),
    ],
)
def test_what_is_typed_wrongly_is_told_and_nothing_is_done(world: World, arguments: tuple[str, ...], said: str) -> None:
    done = world.place.orch(*arguments, cwd=world.work)

    assert done.returncode == 2, clean(done)
    assert said in clean(done)
    assert world.calls() == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("open_pr", "--repo", "a/b", "--branch", "main", "--head-branch", "x"), "there is no token for GitHub"),
        (("send_message", "--arg", "channel=nope", "--arg", "body=x"), "no channel 'nope', and no channel at all"),
    ],
    ids=["token", "channel"],
)
def test_what_is_not_configured_is_a_matter_of_configuration(
    world: World, arguments: tuple[str, ...], said: str
) -> None:
    done = world.place.orch("act", *arguments, "--arg", "title=t" if arguments[0] == "open_pr" else "subject=x")

    assert done.returncode == 7, clean(done)
    assert said in clean(done)


def test_a_run_that_has_ended_takes_no_more_actions(world: World) -> None:
    from orchestrator.ledger.append import append_all
    from orchestrator.ledger.event import Draft
    from orchestrator.ledger.open import open_ledger

    world.act("--run", "r1")
    with open_ledger(str(world.place.folder / "ledger")) as ledger:
        append_all(ledger, [Draft("orch.run.ended", "r1", "user:ada", {"state": "succeeded", "reason": ""})])

    done = world.act("--run", "r1")

    assert done.returncode == 2
    assert "has ended (succeeded)" in clean(done)
    assert len(world.effects()) == 1
