"""Who votes with which key: a file, or ssh-agent's, by the roster. The agent is the real one."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import keys
from orchestrator.ballot import Roster
from orchestrator.errors import UsageError
from orchestrator.voter import Asked, voter


def no_passphrase(file: Path) -> list[bytes]:
    raise AssertionError(file)


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start an agent of the test's own."""
    with tempfile.TemporaryDirectory(prefix="a", dir="/tmp") as folder:
        path = f"{folder}/s"
        with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL) as process:
            try:
                while not Path(path).exists():
                    assert process.poll() is None
                monkeypatch.setenv("SSH_AUTH_SOCK", path)
                yield
            finally:
                process.terminate()


def held_by_agent(file: Path) -> bytes:
    """Make a key, give it to the agent, and return its public half."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    subprocess.run(["ssh-add", "-q", file], check=True, env=dict(os.environ))
    return keys.public_key(file.with_suffix(".pub").read_text())


def roster_of(**owners: bytes) -> Roster:
    return {f"user:{name}": {"roles": [], "keys": [keys.jwk(public)]} for name, public in owners.items()}


def test_the_key_at_its_usual_place_is_its_owners() -> None:
    made = keys.new_key(keys.default_file(), None)

    found = voter(Asked(), roster_of(alice=made.public), no_passphrase)

    assert (found.by, found.signer.public) == ("user:alice", made.public)


def test_a_locked_key_asks_for_its_passphrase(tmp_path: Path) -> None:
    made = keys.new_key(tmp_path / "key", b"secret words")

    found = voter(Asked("user:bob", tmp_path / "key"), {}, lambda _: [b"wrong words", b"secret words"])

    assert (found.by, found.signer.public) == ("user:bob", made.public)


def test_the_last_wrong_passphrase_is_told(tmp_path: Path) -> None:
    keys.new_key(tmp_path / "key", b"secret words")

    with pytest.raises(UsageError, match="does not open with this passphrase") as error:
        voter(Asked("user:bob", tmp_path / "key"), {}, lambda _: [b"wrong", b"worse"])
    assert error.value.advice == "try again"
    with pytest.raises(UsageError, match="wants a passphrase"):
        voter(Asked("user:bob", tmp_path / "key"), {}, lambda _: [])


def test_nobodys_key_needs_a_name() -> None:
    made = keys.new_key(keys.default_file(), None)

    with pytest.raises(UsageError, match="the roster gives this key to nobody") as nobodys:
        voter(Asked(), roster_of(alice=bytes(32)), no_passphrase)
    assert nobodys.value.advice.endswith(f'your entry in the roster: "{keys.ssh_line(made.public)}"')
    with pytest.raises(UsageError, match="no packs with a roster are named") as unknown:
        voter(Asked(), {}, no_passphrase)
    assert "--packs DIR or set ORCH_PACKS" in unknown.value.advice


def test_no_key_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)

    with pytest.raises(UsageError, match="there is no key at"):
        voter(Asked(), {}, no_passphrase)
    with pytest.raises(UsageError, match="SSH_AUTH_SOCK is not set"):
        voter(Asked(is_agent=True), {}, no_passphrase)


@pytest.mark.usefixtures("agent")
def test_without_a_file_the_agents_key_of_the_roster_votes(tmp_path: Path) -> None:
    first, second = held_by_agent(tmp_path / "first"), held_by_agent(tmp_path / "second")

    found = voter(Asked(), roster_of(bob=second), no_passphrase)
    assert (found.by, found.signer.public) == ("user:bob", second)
    assert keys.verifies(second, found.signer.sign(b"x"), b"x")
    both = roster_of(alice=first, bob=second)
    assert voter(Asked("user:alice"), both, no_passphrase).signer.public == first
    with pytest.raises(UsageError, match="2 Ed25519 keys that could be meant"):
        voter(Asked(), both, no_passphrase)
    with pytest.raises(UsageError, match="none of them of the roster"):
        voter(Asked(), {}, no_passphrase)


@pytest.mark.usefixtures("agent")
def test_an_agent_that_is_named_votes_for_whoever_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no Ed25519 key"):
        voter(Asked("user:x", is_agent=True), {}, no_passphrase)
    public = held_by_agent(tmp_path / "first")
    keys.new_key(keys.default_file(), None)

    found = voter(Asked("user:x", is_agent=True), {}, no_passphrase)

    assert (found.by, found.signer.public) == ("user:x", public)
