"""`orch policy` as a person runs it: what it prints, and its exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from orchestrator import place

CHECKOUT = Path(__file__).parents[2]
MAIN = "from orchestrator.cli import main; main()"


def orch(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-c", MAIN, "policy", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A new pack in the folder `acme`."""
    assert orch(tmp_path, "new", "acme").returncode == 0
    return tmp_path / "acme"


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private and a public key."""
    key = Ed25519PrivateKey.generate()
    pem, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, no_password))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


def test_from_nothing_to_a_tested_pack(tmp_path: Path, pack: Path) -> None:
    validated, tested = orch(tmp_path, "validate", "acme"), orch(tmp_path, "test", "acme")

    assert (validated.returncode, tested.returncode) == (0, 0)
    assert "1 pack with 2 rules" in validated.stdout
    assert tested.stdout == "acme: 3 of 3 cases passed; 2 of 2 rules tested\nok\n"


def test_a_new_pack_says_what_comes_next(tmp_path: Path) -> None:
    plain, elsewhere = orch(tmp_path, "new", "acme"), orch(tmp_path, "new", "acme", "--dir", "my packs")

    assert plain.stderr == "next: orch policy validate acme && orch policy test acme\n"
    assert elsewhere.stderr == "next: orch policy validate 'my packs/acme' && orch policy test 'my packs/acme'\n"


def test_help_tells_each_command_in_one_whole_line(tmp_path: Path) -> None:
    listed = orch(tmp_path, "--help").stdout.partition("Commands:\n")[2].splitlines()

    assert len(listed) == 8
    assert all(line.endswith(".") and not line.endswith("...") and len(line) <= 80 for line in listed)


def test_a_repository_tests_its_own_packs_without_being_told_where(tmp_path: Path) -> None:
    orch(tmp_path, "new", "mine", "--dir", ".orch/packs")

    assert orch(tmp_path, "validate").returncode == 0
    assert "2 of 2 cases passed" in orch(tmp_path, "test").stdout


def test_every_error_is_told_at_once_with_its_place(tmp_path: Path, pack: Path) -> None:
    file = pack / "pack.yaml"
    file.write_text(file.read_text().replace("effect: allow", "effect: alow").replace("approvals:", "aprovals:"))

    done = orch(tmp_path, "validate", "acme")

    assert done.returncode == 7
    assert done.stdout.count("acme/pack.yaml:") == 2
    assert done.stdout.endswith("2 errors\n")


@pytest.mark.parametrize("output", ["json", "github"])
def test_problems_for_programs(tmp_path: Path, pack: Path, output: str) -> None:
    file = pack / "pack.yaml"
    file.write_text(file.read_text().replace("default: deny", "default: maybe"))

    done = orch(tmp_path, "validate", "acme", "-o", output)

    assert done.returncode == 7
    if output == "json":
        assert json.loads(done.stdout)["problems"][0]["line"] == 7
    else:
        assert done.stdout.startswith("::error file=acme/pack.yaml,line=7,col=")


def test_warnings_fail_only_if_asked(tmp_path: Path, pack: Path) -> None:
    assert orch(tmp_path, "validate", "acme").returncode == 0
    assert orch(tmp_path, "validate", "acme", "--strict").returncode == 7


def test_an_untested_rule_fails_unless_that_is_allowed(tmp_path: Path, pack: Path) -> None:
    (pack / "tests.yaml").unlink()

    failed, allowed = orch(tmp_path, "test", "acme"), orch(tmp_path, "test", "acme", "--allow-untested")

    assert (failed.returncode, allowed.returncode) == (7, 0)
    assert "no tests" in failed.stdout
    assert "no tests" in allowed.stdout


def test_a_bundle_is_the_same_every_time(tmp_path: Path, pack: Path) -> None:
    first, second = orch(tmp_path, "build", "acme", "-o", "a.tar.gz"), orch(tmp_path, "build", "acme", "-o", "b.tar.gz")

    assert first.stdout == second.stdout
    assert first.stdout.startswith("sha256:")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_a_wrong_pack_is_not_built(tmp_path: Path, pack: Path) -> None:
    (pack / "pack.yaml").write_text("kind: PolicyPack\n")

    done = orch(tmp_path, "build", "acme", "-o", "a.tar.gz")

    assert done.returncode == 7
    assert not (tmp_path / "a.tar.gz").exists()


def test_a_signed_bundle_is_trusted_until_a_byte_changes(tmp_path: Path, pack: Path, keys: tuple[Path, Path]) -> None:
    private, public = keys
    digest = orch(tmp_path, "build", "acme", "-o", "a.tar.gz").stdout
    bundle = tmp_path / "a.tar.gz"

    unsigned = orch(tmp_path, "verify", bundle, "--key", public)
    signed = orch(tmp_path, "sign", bundle, "--key", private)
    trusted = orch(tmp_path, "verify", bundle, "--key", public)
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    changed = orch(tmp_path, "verify", bundle, "--key", public)

    assert (unsigned.returncode, signed.returncode, trusted.returncode, changed.returncode) == (6, 0, 0, 6)
    assert digest == signed.stdout == trusted.stdout
    assert changed.stdout == ""


def test_another_key_is_not_trusted(tmp_path: Path, pack: Path, keys: tuple[Path, Path]) -> None:
    other = tmp_path / "other.pub"
    key = Ed25519PrivateKey.generate().public_key()
    other.write_bytes(key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    orch(tmp_path, "build", "acme", "-o", "a.tar.gz")
    orch(tmp_path, "sign", "a.tar.gz", "--key", keys[0])

    assert orch(tmp_path, "verify", "a.tar.gz", "--key", other).returncode == 6


def test_schemas_for_editors(tmp_path: Path) -> None:
    one = orch(tmp_path, "schema", "PolicyPack")
    files = orch(tmp_path, "schema", "--out", "schemas")

    assert "properties" in json.loads(one.stdout)
    assert len(files.stdout.splitlines()) == len(list((tmp_path / "schemas").glob("*.schema.json"))) == 8


@pytest.mark.parametrize(
    "arguments",
    [
        ["validate"],
        ["validate", "nowhere"],
        ["test", "nowhere"],
        ["test", "key.pem"],
        ["new", "Not a name"],
        ["schema", "PolicyPak"],
        ["verify", "nowhere", "--key", "nowhere"],
        ["build", "acme", "-o", "nowhere/x.tar.gz"],
        ["sign", "acme/pack.yaml", "--key", "nowhere"],
    ],
    ids=" ".join,
)
def test_a_wrong_call_is_told_in_a_line(
    tmp_path: Path, pack: Path, keys: tuple[Path, Path], arguments: list[str]
) -> None:
    done = orch(tmp_path, *arguments)

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_starter_packs_pass_in_one_go(tmp_path: Path) -> None:
    folders = sorted(path for path in place.resource("policy_packs").iterdir() if path.is_dir())

    done = orch(tmp_path, "test", *folders)

    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "ok")
