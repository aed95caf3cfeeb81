"""Bundles: equal parts give equal bytes, and whatever was not laid out or signed so is refused, by us and by the real OPA."""

import base64
import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import bundle, opa
from orchestrator.digest import canonical, sha256
from orchestrator.errors import DecisionError, UsageError

_MODULES = {"packs/acme/extra.rego": b"package packs.acme\n\nfinding := 1\n"}
_POLICY: dict[str, Any] = {
    "stages": ["dev"],
    "packs": [{"digest": "sha256:" + "1" * 64, "name": "acme"}],
    "limit": Decimal("5.00"),
    "text": 'é\u2028\u2029<>&\x7f\x1f"\\\b\U0001f600',
    "\ufffe": {"\U0001f600": 12345678901234567890123},
}


def _pem(key: Any) -> tuple[bytes, bytes]:  # noqa: ANN401  # of any kind
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, public


_PRIVATE, _PUBLIC = _pem(Ed25519PrivateKey.from_private_bytes(b"k" * 32))
_STRANGER, _STRANGERS_PUBLIC = _pem(Ed25519PrivateKey.from_private_bytes(b"s" * 32))
_OTHER_KIND, _OTHER_KINDS_PUBLIC = _pem(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "rego"
    (folder / "orch" / "match").mkdir(parents=True)
    (folder / "orch" / "orch.rego").write_text("package orch\n\nanswer := [data.policy.digest]\n")
    (folder / "orch" / "orch_test.rego").write_text("package orch_test\n\ntest_it if false\n")
    (folder / "orch" / "match" / "match.rego").write_text("package orch.match\n\nx := 1\n")
    return folder


@pytest.fixture
def built(library: Path) -> bundle.Built:
    return bundle.build(_POLICY, _MODULES, library=library)


def _entries(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]  # files


def _again(data: bytes, change: Callable[[dict[str, bytes]], object]) -> bytes:
    """Return the bundle with its files changed, laid out as ours are."""
    files = _entries(data)
    change(files)
    return bundle._packed(files)


def test_a_bundle_holds_what_the_architecture_says(built: bundle.Built) -> None:
    files = _entries(built.data)

    assert list(files) == [".manifest", "data.json", "orch/match/match.rego", "orch/orch.rego", "packs/acme/extra.rego"]
    assert {"revision": built.digest, "roots": [""], "rego_version": 1} == json.loads(files[".manifest"])
    assert json.loads(files["data.json"])["policy"]["digest"] == built.digest
    assert b'"limit":5.00,' in files["data.json"]


def test_the_policy_digest_is_the_documented_one(built: bundle.Built) -> None:
    files = _entries(built.data)
    del files[".manifest"]
    files["data.json"] = files["data.json"].replace(built.digest.encode(), b"sha256:" + b"0" * 64)

    assert sha256(canonical([[name, sha256(files[name])] for name in sorted(files)])) == built.digest


def test_equal_parts_give_equal_bytes(built: bundle.Built, library: Path) -> None:
    turned = dict(reversed(_POLICY.items()))

    assert bundle.build(turned, _MODULES, library=library) == built


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(max_size=3).filter(lambda key: key != "digest"), st.integers() | st.text(max_size=5)))
def test_what_was_built_is_read_back(policy: dict[str, Any]) -> None:
    try:
        "".join([*policy, *(str(value) for value in policy.values())]).encode()
    except UnicodeEncodeError:
        return
    made = bundle.build(policy, _MODULES)

    contents = bundle.read(made.data)

    assert {**policy, "digest": made.digest} == contents.policy
    assert contents.digest == made.digest
    assert contents.modules.items() >= _MODULES.items()


@pytest.mark.parametrize(
    "name",
    ["extra.rego", "orch/evil.rego", "packs/../orch/x.rego", "packs//x.rego", "packs/a/.x.rego", "packs/a/x.json"],
)
def test_a_module_cannot_be_bundled_elsewhere(name: str, library: Path) -> None:
    with pytest.raises(DecisionError, match="cannot be bundled"):
        bundle.build({}, {name: b""}, library=library)


def test_a_missing_library_is_said(tmp_path: Path) -> None:
    with pytest.raises(DecisionError, match="no Rego library"):
        bundle.build({}, {}, library=tmp_path)


@pytest.mark.parametrize("value", [float("nan"), Decimal("Infinity"), object(), b"x"])
def test_what_json_cannot_say_is_no_policy(value: object, library: Path) -> None:
    with pytest.raises(ValueError, match=r"policy cannot hold|Out of range"):
        bundle.build({"x": value}, {}, library=library)


def test_no_text_of_a_policy_can_pass_for_a_number(library: Path) -> None:
    made = bundle.build({"a": Decimal("1.50"), "b": '"1.50"', "c": "1.50"}, {}, library=library)

    assert {"a": Decimal("1.50"), "b": '"1.50"', "c": "1.50", "digest": made.digest} == bundle.read(made.data).policy


def _tar_with(member: tarfile.TarInfo, content: bytes = b"") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:") as archive:
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return gzip.compress(out.getvalue())


def _link() -> tarfile.TarInfo:
    member = tarfile.TarInfo("orch/x.rego")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return member


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04",
        gzip.compress(b""),
        gzip.compress(b"no tar" * 1000),
        _tar_with(_link()),
        _tar_with(tarfile.TarInfo("../evil.rego")),
        _tar_with(tarfile.TarInfo("data.json"), b"{}"),
        bundle._packed({"data.json": b"{}"}),
        bundle._packed({"data.json": b"[" * 100_000, ".manifest": b"{}"}),
        bundle._packed({"data.json": b"\xff", ".manifest": b"{}"}),
        bundle._packed({"data.json": b'{"policy":{}}', ".manifest": b"{}"}),
        bundle._packed({"data.json": b'{"policy":{"digest":"x"}}', ".manifest": b"{}"}),
        gzip.compress(b"\0" * (bundle.UNPACKED_BYTES + 10_240), 1),
    ],
    ids=range(13),
)
def test_what_is_no_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(DecisionError, match="the bundle"):
        bundle.read(data)


def _put(name: str, content: bytes) -> Callable[[dict[str, bytes]], object]:
    return lambda files: files.update({name: content})


def _replace(name: str, old: bytes, new: bytes) -> Callable[[dict[str, bytes]], object]:
    return lambda files: files.update({name: files[name].replace(old, new)})


_CHANGES = {
    "rego": _replace("orch/orch.rego", b"answer", b"anzwer"),
    "hand-written rego": _replace("packs/acme/extra.rego", b"1", b"2"),
    "data": _replace("data.json", b'"dev"', b'"prd"'),
    "manifest": _replace(".manifest", b'"rego_version":1', b'"rego_version":0'),
    "revision": _replace(".manifest", b'"sha256:', b'"sha256:0'),
    "added": _put("orch/new.rego", b"package orch.new\n"),
    "added data": _put("orch/data.json", b'{"answer": 1}'),
    "removed": lambda files: files.pop("orch/match/match.rego"),
}


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES.keys())
def test_a_changed_bundle_is_refused_even_unsigned(built: bundle.Built, change: Any) -> None:  # noqa: ANN401
    with pytest.raises(DecisionError, match="the bundle"):
        bundle.read(_again(built.data, change))


def test_the_same_files_in_another_tar_are_refused(built: bundle.Built) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in reversed(_entries(built.data).items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))

    with pytest.raises(DecisionError, match="not laid out"):
        bundle.read(out.getvalue())


@pytest.mark.parametrize("tail", [b"\0", gzip.compress(b"more", mtime=0)])
def test_a_bundle_with_a_tail_is_refused(built: bundle.Built, tail: bytes) -> None:
    with pytest.raises(DecisionError, match="goes on"):
        bundle.read(built.data + tail)


def test_a_bundle_cut_short_is_refused(built: bundle.Built) -> None:
    with pytest.raises(DecisionError, match="cut short"):
        bundle.read(built.data[:-1])


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(DecisionError, match="twice"):
        bundle.read(bundle._packed({"data.json": b'{"policy":{"a":1,"a":2}}', ".manifest": b"{}"}))


def test_what_was_signed_is_verified(built: bundle.Built) -> None:
    signed = bundle.sign(built.data, _PRIVATE)

    bundle.verify(signed, _PUBLIC)

    assert bundle.read(signed).is_signed
    assert bundle.read(signed).digest == built.digest
    assert bundle.sign(signed, _PRIVATE) == signed
    assert bundle.sign(bundle.sign(built.data, _STRANGER), _PRIVATE) == signed


def test_an_unsigned_bundle_is_not_verified(built: bundle.Built) -> None:
    with pytest.raises(DecisionError, match="not signed"):
        bundle.verify(built.data, _PUBLIC)


def test_a_strangers_signature_is_refused(built: bundle.Built) -> None:
    with pytest.raises(DecisionError, match="not signed by the key that is trusted"):
        bundle.verify(bundle.sign(built.data, _STRANGER), _PUBLIC)


def test_the_signature_of_another_bundle_is_refused(built: bundle.Built, library: Path) -> None:
    other = bundle.sign(bundle.build({"x": 1}, {}, library=library).data, _PRIVATE)
    moved = _again(built.data, _put(".signatures.json", _entries(other)[".signatures.json"]))

    with pytest.raises(DecisionError, match="changed after it was signed"):
        bundle.verify(moved, _PUBLIC)


@pytest.mark.parametrize(
    "document",
    [
        b"{}",
        b"[]",
        b'{"signatures":[]}',
        b'{"signatures":["a"]}',
        b'{"signatures":["a.b.c"]}',
        b'{"signatures":[1]}',
        b'{"signatures":["a.b.c","a.b.c"]}',
        b'{"signatures":["a.b.c"],"plugin":"x"}',
        b'{"signatures":["\xc3\xa9.b.c"]}',
    ],
)
def test_a_malformed_signature_is_refused(built: bundle.Built, document: bytes) -> None:
    with pytest.raises(DecisionError, match=r"signature|signed"):
        bundle.verify(_again(built.data, _put(".signatures.json", document)), _PUBLIC)


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "HS256", "typ": "JWT"}, {"alg": "EdDSA"}, {}])
def test_a_token_that_says_another_algorithm_is_refused(built: bundle.Built, header: dict[str, str]) -> None:
    """Validly signed by the right key, but its header could make another reader check it otherwise."""
    files = bundle.read(built.data).files
    key = serialization.load_pem_private_key(_PRIVATE, None)
    assert isinstance(key, Ed25519PrivateKey)
    signing_input = f"{bundle._part(header)}.{bundle._part(bundle._signed_part(files))}"
    token = f"{signing_input}.{bundle._base64url(key.sign(signing_input.encode()))}"
    forged = _again(built.data, _put(".signatures.json", json.dumps({"signatures": [token]}).encode()))

    with pytest.raises(DecisionError, match="does not say"):
        bundle.verify(forged, _PUBLIC)


@pytest.mark.parametrize("key", [b"", b"no key", _OTHER_KIND, _PUBLIC])
def test_a_wrong_signing_key_is_said_and_not_shown(built: bundle.Built, key: bytes) -> None:
    with pytest.raises(UsageError, match="signing key") as raised:
        bundle.sign(built.data, key)

    assert "PRIVATE KEY" not in str(raised.value)


@pytest.mark.parametrize("key", [b"", b"no key", _OTHER_KINDS_PUBLIC, _PRIVATE])
def test_a_wrong_verification_key_is_said(built: bundle.Built, key: bytes) -> None:
    with pytest.raises(UsageError, match="verification key"):
        bundle.verify(built.data, key)


def _accepted_by_opa(folder: Path, data: bytes, public: bytes = _PUBLIC) -> bool:
    """Return whether the real OPA loads the bundle when it has to verify it."""
    (folder / "key.pem").write_bytes(public)
    (folder / "signed.tar.gz").write_bytes(data)
    flags = ["--verification-key", str(folder / "key.pem"), "--signing-alg", bundle.ALGORITHM]
    made = subprocess.run(
        [opa.find(), "build", *flags, "--bundle", folder / "signed.tar.gz", "--output", folder / "out.tar.gz"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0 or "signed.tar.gz" in made.stdout + made.stderr
    return made.returncode == 0


def test_the_real_opa_accepts_our_signature(built: bundle.Built, tmp_path: Path) -> None:
    assert _accepted_by_opa(tmp_path, bundle.sign(built.data, _PRIVATE))


def test_the_real_opa_refuses_a_strangers(built: bundle.Built, tmp_path: Path) -> None:
    assert not _accepted_by_opa(tmp_path, bundle.sign(built.data, _STRANGER))
    assert not _accepted_by_opa(tmp_path, built.data)


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES.keys())
def test_the_real_opa_refuses_what_we_refuse(built: bundle.Built, tmp_path: Path, change: Any) -> None:  # noqa: ANN401
    changed = _again(bundle.sign(built.data, _PRIVATE), change)

    assert not _accepted_by_opa(tmp_path, changed)
    with pytest.raises(DecisionError):
        bundle.verify(changed, _PUBLIC)


def test_opa_signs_with_the_same_hashes(built: bundle.Built, tmp_path: Path) -> None:
    """What OPA's own `sign` writes for our files is what `sign` writes, but for the folder in front of the names."""
    for name, content in _entries(built.data).items():
        (tmp_path / "unpacked" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "unpacked" / name).write_bytes(content)
    (tmp_path / "private.pem").write_bytes(_OTHER_KIND)
    flags = ["--signing-alg", "ES256", "--signing-key", "private.pem", "--bundle", "unpacked"]
    subprocess.run([opa.find(), "sign", *flags], check=True, cwd=tmp_path)

    document = json.loads((tmp_path / ".signatures.json").read_text())
    payload = bundle._token(document)[1]
    theirs = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["files"]

    ours = bundle._signed_part(bundle.read(built.data).files)["files"]
    assert [{**one, "name": f"unpacked/{one['name']}"} for one in ours] == sorted(theirs, key=lambda one: one["name"])
