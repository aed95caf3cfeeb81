"""`orch key`, `orch approvals`, `orch approve` and their like, through the real command."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import voting
from command_line import Place, clean, place_in
from voting import FILES, World, policy_of, request_of

from orchestrator import approvals, keys
from orchestrator.ledger.store import Ledger


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with place_in(tmp_path) as made:
        yield made


def test_a_new_key_is_printed_as_the_roster_wants_it(place: Place) -> None:
    made = place.orch("key", "new", "--no-passphrase", "--comment", "alice@acme.com")
    file = Path(place.environ["HOME"], ".config", "orch", "vote.key")

    assert made.returncode == 0, clean(made)
    line = made.stdout.strip()
    assert keys.public_key(line) == keys.load_key(file).public
    assert line.endswith(" alice@acme.com")
    assert f'keys: ["{line.removesuffix(" alice@acme.com")}"]' in made.stderr
    assert "PRIVATE" not in clean(made)
    shown = place.orch("key", "show")
    assert shown.stdout.strip() == line.removesuffix(" alice@acme.com")
    assert "user:alice: {roles: [...], keys: [" in made.stderr
    assert "or in your entry there:" in made.stderr
    again = place.orch("key", "new", "--no-passphrase")
    assert (again.returncode, "never written over" in clean(again)) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (("new",), "no terminal to ask for a passphrase"),
        (("new", "--passphrase-file", "short"), "expected at least 8"),
        (("new", "--passphrase-file", "nowhere"), "cannot read 'nowhere'"),
        (("new", "--no-passphrase", "--passphrase-file", "short"), "leave one out"),
        (("new", "/proc/none/key", "--no-passphrase"), "cannot be written"),
        (("show",), "there is no key to read"),
        (("show", "--agent"), "SSH_AUTH_SOCK is not set"),
        (("show", "folder"), "Is a directory"),
    ],
)
def test_what_cannot_be_is_told(place: Place, arguments: tuple[str, ...], seen: str) -> None:
    (place.folder / "short").write_text("short\n")
    (place.folder / "folder").mkdir()

    done = place.orch("key", *arguments)

    assert (done.returncode, seen in clean(done)) == (2, True), clean(done)


@pytest.fixture
def world(sqlite_ledger: Ledger, tmp_path: Path) -> World:
    signers = voting.new_signers(tmp_path / "keys")
    return World(sqlite_ledger, policy_of(voting.write_packs(tmp_path / "packs", signers)), signers)


def test_a_locked_key_votes_with_its_passphrase(place: Place, world: World) -> None:
    (place.folder / "secret").write_text("correct horse\n")
    made = place.orch("key", "new", "vote.key", "--passphrase-file", "secret")
    assert made.returncode == 0, clean(made)
    request = world.wait()
    voted = ("approve", request.id, "--yes", "--key", "vote.key", "--as", "user:alice", "--ledger", world.ledger.folder)

    without = place.orch(*voted)
    assert (without.returncode, "there is no terminal" in clean(without)) == (2, True)
    done = place.orch(*voted, "--passphrase-file", "secret")

    assert done.returncode == 0, clean(done)
    assert "no packs are named" in done.stderr
    assert world.ask().outcome == "pending"


def test_an_agent_votes(place: Place, world: World) -> None:
    """The agent holds the very key of the roster, read from OpenSSH's form."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    request = world.wait()
    file = place.folder / "id_ed25519"
    file.touch(mode=0o600)
    file.write_bytes(
        world.signers["user:dave"].private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    )
    where = ("--packs", place.folder / "packs", "--ledger", world.ledger.folder, "--yes")
    with tempfile.TemporaryDirectory(prefix="a", dir="/tmp") as folder:
        path = f"{folder}/s"
        with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL) as process:
            try:
                while not Path(path).exists():
                    assert process.poll() is None
                subprocess.run(["ssh-add", "-q", file], check=True, env={**os.environ, "SSH_AUTH_SOCK": path})
                shown = place.orch("key", "show", "--agent", SSH_AUTH_SOCK=path)
                done = place.orch("approve", request.id, *where, SSH_AUTH_SOCK=path)
            finally:
                process.terminate()

    assert keys.public_key(shown.stdout.splitlines()[0]) == world.signers["user:dave"].public
    assert done.stdout.startswith("user:dave approved request "), clean(done)
    assert world.ask().outcome == "allow"
    assert [cast.voter for cast in approvals.find(world.ledger, request.id).votes] == ["user:dave"]


def test_an_openssh_key_votes_from_its_file(place: Place, world: World) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    request = world.wait()
    file = place.folder / "id_ed25519"
    file.touch(mode=0o600)
    file.write_bytes(
        world.signers["user:dave"].private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    )

    done = place.orch("reject", request.id, "--key", file, "--packs", "packs", "--ledger", world.ledger.folder, "--yes")

    assert done.stdout == f"user:dave rejected request {request.id} as sre\n", clean(done)
    world.vote(request, "user:alice")
    assert world.ask().outcome == "pending"


def test_from_the_first_key_to_the_allowed_action(place: Place, tmp_path: Path) -> None:
    signers = voting.new_signers(tmp_path / "keys")
    line = clean(place.orch("key", "new", "--no-passphrase")).splitlines()
    public = next(one for one in line if one.startswith("ssh-ed25519 "))
    people = voting.write_packs(place.folder / "packs", signers) / "people.yaml"
    people.write_text(people.read_text().replace(keys.ssh_line(signers["user:alice"].public), public))
    (place.folder / "request.json").write_text(json.dumps(request_of()))
    asked = ("evaluate", "request.json", "--packs", "packs", "--one-shot", "-o", "json")
    who: dict[str, Any] = {"ORCH_SUBJECT": "agent:fixer", "ORCH_PACKS": "packs"}

    first = place.orch(*asked, **who)
    assert first.returncode == 4, clean(first)
    shown = place.orch("approvals", "-o", "json", **who)
    rows = json.loads(shown.stdout)
    assert [(row["subject"], row["asks"][0]["could_vote"]) for row in rows] == [
        ("agent:fixer", ["user:alice", "user:bob", "user:dave"])
    ]
    request_id = rows[0]["id"]
    text_shown = clean(place.orch("approvals", request_id, **who))
    assert "M infra/main.tf" in text_shown
    assert voting.change_of(FILES).removeprefix("sha256:") in text_shown
    unasked = place.orch("approve", request_id, **who)
    assert (unasked.returncode, "--yes" in clean(unasked)) == (2, True)
    voted = place.orch("approve", request_id[:4], "--yes", "--note", "looks good", **who)
    assert voted.stdout.startswith(f"user:alice approved request {request_id} as sre, until "), clean(voted)
    assert place.orch(*asked, **who).returncode == 0
    revoked = place.orch("revoke", json.loads(first.stdout)["context"]["evaluation_id"], "--yes", **who)
    assert revoked.returncode == 0, clean(revoked)
    assert place.orch(*asked, **who).returncode == 4
    assert "user:alice approved as sre" not in clean(place.orch("approvals", **who))
    listed = clean(place.orch("approvals", "--all", "--for", "user:alice", **who))
    assert "user:alice approved as sre" in listed
    assert "revoked" in listed
    assert "looks good" in listed


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (("--as", "user:carol"), "does not give this key to 'user:carol'"),
        (("--as", "user:zoe", "--role", "sre"), "'user:zoe' is not in the roster"),
        (("--role", "lead"), "nobody asks for a vote of role 'lead'"),
        (("--key", "nowhere"), "there is no key to read"),
        (("--agent",), "SSH_AUTH_SOCK is not set"),
        (("--expires", "soon"), "no duration"),
    ],
)
def test_a_vote_that_cannot_count_is_refused(world: World, place: Place, arguments: tuple[str, ...], seen: str) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    request = world.wait()
    packs = place.folder / "packs"
    file = place.folder / "vote.key"
    pem = world.signers["user:alice"].private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.touch(mode=0o600)
    file.write_bytes(pem)
    given = () if {"--key", "--agent"} & set(arguments) else ("--key", file)
    where = ("--packs", packs, "--ledger", world.ledger.folder, "--yes")

    done = place.orch("approve", request.id, *given, *arguments, *where)

    assert done.returncode == 2
    assert seen in clean(done)
    assert approvals.find(world.ledger, request.id).votes == ()


def test_bad_names_are_told(world: World, place: Place) -> None:
    world.wait()
    where = ("--ledger", world.ledger.folder)

    for named in ("zzzzzzzzzz", "", "%", "\x1b[31m", "a' OR 1=1", "0" * 500):
        done = place.orch("approvals", named, *where) if named else place.orch("approve", "", "--yes", *where)
        assert (done.returncode, "there is no request" in clean(done)) == (2, True)
    nothing = place.orch("approvals", "--ledger", place.folder / "nowhere")
    assert (nothing.returncode, "there is no ledger yet" in clean(nothing)) == (6, True)
