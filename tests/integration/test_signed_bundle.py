"""A signed bundle as the whole policy of the organisation: what a run adds narrows it, and nothing replaces it."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from command_line import clean, place_in
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from run_processes import World

from orchestrator import approvals, ballot, keys
from orchestrator.ballot import Ballot
from orchestrator.ledger.open import open_ledger

PLAN = """\
phases:
  - id: only
    steps: [{id: say, action: run_command, adapter: command, with: {argv: [sh, say, hello]}}]
"""
NARROW = """\
apiVersion: orch/v1
kind: PolicyPack
metadata: {name: narrow, version: 1.0.0}
default: inherit
rules:
  - {id: no-commands, effect: deny, actions: run_command, message: this run only looks}
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Give a place where a bundle decides whose signature is checked."""
    with place_in(tmp_path, ORCH_SUBJECT="agent:fixer") as place, ExitStack() as stack:
        made = World(place, stack)
        ada = keys.new_key(tmp_path / "ada", None)
        roster = f'subjects: {{"user:ada": {{roles: [operator], keys: ["{keys.ssh_line(ada.public)}"]}}}}\n'
        (tmp_path / "packs" / "people.yaml").write_text(
            "apiVersion: orch/v1\nkind: Roster\nmetadata: {name: people}\n" + roster
        )
        private, public = _key_files(tmp_path)
        bundle = tmp_path / "policy.tar.gz"
        for arguments in (("build", "packs", "-o", bundle), ("sign", bundle, "--key", private)):
            done = place.orch("policy", *arguments)
            assert done.returncode == 0, clean(done)
        place.environ.update(ORCH_PACKS=str(bundle), ORCH_VERIFICATION_KEY=str(public))
        yield made


def _key_files(folder: Path) -> tuple[Path, Path]:
    key, private, public = Ed25519PrivateKey.generate(), folder / "k.pem", folder / "k.pub"
    encoding = serialization.Encoding.PEM
    private.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


def test_a_phase_waits_for_people_and_goes_on_under_the_same_bundle(world: World) -> None:
    waiting = world.place.orch("run", world.plan(PLAN), "--mode", "manual", "--run", "r1")
    assert waiting.returncode == 4, clean(waiting)
    with open_ledger(world.place.environ["ORCH_LEDGER"], must_exist=True) as ledger:
        (request,) = approvals.waiting(ledger)
        signer = keys.load_key(world.folder / "ada")
        ballot.vote(ledger, request, signer, Ballot("user:ada", "operator"))

    done = world.place.orch("resume", "r1")

    assert done.returncode == 0, clean(done)
    assert world.words() == ["hello"]


def test_a_run_pack_narrows_what_the_bundle_allows(world: World) -> None:
    (world.folder / "narrow.yaml").write_text(NARROW)

    alone = world.place.orch("act", "run_command", "--arg", 'argv:=["true"]', "--dry-run")
    beside = world.place.orch(
        "act", "run_command", "--arg", 'argv:=["true"]', "--dry-run", "--run-pack", "narrow.yaml", "-o", "json"
    )

    assert (alone.returncode, beside.returncode) == (0, 3), clean(alone) + clean(beside)
    assert "this run only looks" in json.dumps(json.loads(beside.stdout))


def test_a_bundle_that_was_changed_is_refused_before_a_run_pack_is_put_beside_it(world: World) -> None:
    (world.folder / "narrow.yaml").write_text(NARROW)
    bundle = Path(world.place.environ["ORCH_PACKS"])
    private, _ = _key_files(world.folder / "packs")
    world.place.orch("policy", "sign", bundle, "--key", private)

    done = world.place.orch("act", "run_command", "--arg", 'argv:=["true"]', "--dry-run", "--run-pack", "narrow.yaml")

    assert done.returncode == 6
    assert "not signed by the key that is trusted" in clean(done)


def test_what_a_run_pack_names_and_nobody_declares_is_told_with_its_place(world: World) -> None:
    (world.folder / "narrow.yaml").write_text(NARROW.replace("run_command", "run_comand"))

    done = world.place.orch("act", "run_command", "--arg", 'argv:=["true"]', "--dry-run", "--run-pack", "narrow.yaml")

    assert done.returncode == 7
    assert "narrow.yaml:6:46: the unknown action `run_comand`" in clean(done)
    assert "did you mean `run_command`?" in done.stderr
