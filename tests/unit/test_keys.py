"""Keys: how a roster writes them, how they are made, kept and read."""

import base64
import re
import subprocess
from pathlib import Path

import pytest

from orchestrator import keys
from orchestrator.errors import UsageError

RAW = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
SPKI = bytes.fromhex("302a300506032b6570032100") + RAW


def raw(data: bytes) -> str:
    return f"ed25519:{base64.b64encode(data).decode()}"


LINE = keys.ssh_line(RAW, "alice@acme")


@pytest.mark.parametrize(
    "text",
    [
        LINE,
        LINE.removesuffix(" alice@acme"),
        f"  {LINE} of her laptop ",
        raw(RAW),
        raw(SPKI),
    ],
)
def test_one_key_in_every_writing(text: str) -> None:
    assert keys.public_key(text) == RAW


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not `ssh-ed25519"),
        ("k1", "not `ssh-ed25519"),
        ("ssh-rsa AAAA", "not `ssh-ed25519"),
        ("ssh-ed25519 !!!!", "no base64"),
        ("ssh-ed25519 AAAA", "not the base64 of an OpenSSH Ed25519 key"),
        (LINE.split()[0] + " " + LINE.split()[1][:60], "26 bytes where an Ed25519 key has 32"),
        ("ed25519:MCowBQYDK2VwAyEA", "12 bytes where an Ed25519 key has 32"),
        (raw(RAW + b"x"), "33 bytes"),
        (raw(bytes(32)), "small order"),
        (raw(b"\x01" + bytes(31)), "small order"),
        (raw(b"\xee" + b"\xff" * 30 + b"\x7f"), "small order"),
        (raw(bytes(31) + b"\x80"), "small order"),
    ],
)
def test_what_is_no_key_says_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        keys.public_key(text)


def test_a_jwk_is_read_back() -> None:
    assert keys.from_jwk(keys.jwk(RAW)) == RAW
    assert keys.jwk(RAW) == '{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}'


@pytest.mark.parametrize("passphrase", [None, b"correct horse"])
def test_a_new_key_is_private_and_signs(tmp_path: Path, passphrase: bytes | None) -> None:
    file = tmp_path / "new" / "vote.key"

    made = keys.new_key(file, passphrase)

    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert keys.is_locked(file) is (passphrase is not None)
    again = keys.load_key(file, passphrase)
    assert again.public == made.public
    assert keys.verifies(made.public, again.sign(b"x"), b"x")
    assert not keys.verifies(made.public, again.sign(b"x"), b"y")
    assert "private" not in repr(again)


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    file = tmp_path / "vote.key"
    keys.new_key(file, None)
    before = file.read_bytes()

    with pytest.raises(UsageError, match="never written over"):
        keys.new_key(file, None)

    assert file.read_bytes() == before


def test_a_key_of_openssh_is_read(tmp_path: Path) -> None:
    file = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file], check=True)

    loaded = keys.load_key(file)

    assert keys.ssh_line(loaded.public) == file.with_suffix(".pub").read_text().strip()
    assert keys.verifies(loaded.public, loaded.sign(b"x"), b"x")


def test_a_key_of_openssh_with_a_passphrase_is_for_the_agent(tmp_path: Path) -> None:
    file = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", file], check=True)

    with pytest.raises(UsageError) as caught:
        keys.load_key(file)

    assert "ssh-add" in caught.value.advice


@pytest.mark.parametrize(
    ("passphrase", "seen"), [(None, "wants a passphrase"), (b"wrong", "does not open with this passphrase")]
)
def test_a_locked_key_does_not_open(tmp_path: Path, passphrase: bytes | None, seen: str) -> None:
    file = tmp_path / "vote.key"
    keys.new_key(file, b"right")

    with pytest.raises(UsageError, match=seen):
        keys.load_key(file, passphrase)


@pytest.mark.parametrize(
    ("content", "mode", "seen"),
    [
        (b"nothing", 0o600, "is no private key"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", 0o600, "OpenSSH key"),
        (b"x", 0o640, "open to others"),
        (None, 0o600, "there is no key to read"),
    ],
)
def test_what_is_no_key_file_is_refused(tmp_path: Path, content: bytes | None, mode: int, seen: str) -> None:
    file = tmp_path / "vote.key"
    if content is not None:
        file.write_bytes(content)
        file.chmod(mode)

    with pytest.raises(UsageError, match=seen):
        keys.load_key(file)


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "id_ecdsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-m", "PKCS8", "-N", "", "-f", file], check=True)

    with pytest.raises(UsageError, match="another kind of key"):
        keys.load_key(file)


def test_the_usual_place_is_beside_the_operators_file(home: Path) -> None:
    assert keys.default_file() == home / ".config" / "orch" / "vote.key"
