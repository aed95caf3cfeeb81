"""In-toto statements: what they speak of, who signed them, and what is refused."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from orchestrator.errors import UsageError
from orchestrator.statement import PAYLOAD_TYPE, About, public_key, read_statement, verified

COMMIT, TREE = "1" * 40, "2" * 40
CHANGE, ACTION, FILE = "3" * 64, "4" * 64, "5" * 64
ABOUT = About(COMMIT, TREE, f"sha256:{CHANGE}", f"sha256:{ACTION}", frozenset({FILE}))
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)


def raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def statement(digest: dict[str, str], **more: object) -> dict[str, Any]:
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "other", "digest": {"sha256": "0" * 64}}, {"name": "it", "digest": digest}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {},
        **more,
    }


def envelope(value: dict[str, Any], *keys: Ed25519PrivateKey, name: str = "", **more: object) -> bytes:
    body = json.dumps(value).encode()
    signed = b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(body), body)
    signatures = [{"keyid": name, "sig": base64.b64encode(key.sign(signed)).decode()} for key in keys]
    return json.dumps(
        {"payloadType": PAYLOAD_TYPE, "payload": base64.b64encode(body).decode(), "signatures": signatures} | more
    ).encode()


@pytest.mark.parametrize(
    ("digest", "by"),
    [
        ({"gitCommit": COMMIT}, "gitCommit"),
        ({"sha1": COMMIT.upper()}, "sha1"),
        ({"gitTree": TREE}, "gitTree"),
        ({"orch-change": CHANGE}, "orch-change"),
        ({"orch-change": f"sha256:{CHANGE}"}, "orch-change"),
        ({"orch-action": ACTION}, "orch-action"),
        ({"sha256": FILE}, "sha256"),
    ],
)
def test_a_statement_speaks_of_what_it_names_by_digest(digest: dict[str, str], by: str) -> None:
    found = read_statement(json.dumps(statement(digest)).encode(), "x.json")

    assert found.speaks_of(ABOUT) == (by,)


@pytest.mark.parametrize(
    "digest",
    [
        {"gitCommit": TREE},
        {"gitTree": COMMIT},
        {"sha256": CHANGE},
        {"sha512": FILE},
        {},
        {"gitCommit": ""},
        {"sha1": "1" * 39},
    ],
)
def test_a_statement_about_something_else_does_not(digest: dict[str, str]) -> None:
    found = read_statement(json.dumps(statement(digest)).encode(), "x.json")

    assert found.speaks_of(ABOUT) == ()
    assert found.speaks_of(About()) == ()


@pytest.mark.parametrize(
    "predicate",
    [
        {"buildDefinition": {"resolvedDependencies": [{"uri": "git+https://x", "digest": {"gitCommit": COMMIT}}]}},
        {"materials": [{"uri": "git+https://x", "digest": {"sha1": COMMIT}}]},
        {"invocation": {"configSource": {"digest": {"sha1": COMMIT}}}},
    ],
)
def test_a_provenance_speaks_of_the_commit_it_was_built_from(predicate: dict[str, Any]) -> None:
    given = statement({"sha256": "9" * 64}, predicate=predicate)

    assert read_statement(json.dumps(given).encode(), "x").speaks_of(ABOUT) == ("source",)
    given["predicateType"] = "https://example.com/notes/v1"
    assert read_statement(json.dumps(given).encode(), "x").speaks_of(ABOUT) == ()


@pytest.mark.parametrize(
    ("kind", "predicate", "verdict"),
    [
        ("https://in-toto.io/attestation/test-result/v0.1", {"result": "PASSED"}, "pass"),
        ("https://in-toto.io/attestation/test-result/v0.1", {"result": "FAILED"}, "fail"),
        ("https://in-toto.io/attestation/test-result/v0.1", {}, "fail"),
        ("https://slsa.dev/verification_summary/v1", {"verificationResult": "PASSED"}, "pass"),
        ("https://slsa.dev/provenance/v1", {}, None),
    ],
)
def test_a_verdict_is_believed_where_the_predicate_has_one(
    kind: str, predicate: dict[str, Any], verdict: str | None
) -> None:
    given = statement({"gitCommit": COMMIT}, predicateType=kind, predicate=predicate)

    assert read_statement(json.dumps(given).encode(), "x").verdict == verdict


def test_the_older_statement_is_read_too() -> None:
    given = statement({"gitCommit": COMMIT}, _type="https://in-toto.io/Statement/v0.1")

    assert read_statement(json.dumps(given).encode(), "x").speaks_of(ABOUT)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (statement({}, _type="https://in-toto.io/Statement/v9"), "expected https://in-toto.io/Statement/v1"),
        (statement({}, subject=[]), "without subjects"),
        (statement({}, predicateType=5), "without predicateType"),
    ],
)
def test_what_is_no_statement_is_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        read_statement(json.dumps(given).encode(), "x.json")


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"payloadType": "text/plain"}, "an envelope of 'text/plain'"),
        ({"payload": "%%%"}, "no base64"),
        ({"payload": "e30"}, "a statement of type"),
        ({"signatures": None}, "without a list of signatures"),
        ({"signatures": [{"sig": 5}]}, "no base64"),
    ],
)
def test_a_damaged_envelope_is_refused(more: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        read_statement(envelope(statement({"gitCommit": COMMIT}), KEY, **more), "x.json")


def test_a_signature_is_verified() -> None:
    found = read_statement(envelope(statement({"gitCommit": COMMIT}), KEY), "x.json")

    assert verified(found, {"user:alice": [raw(OTHER), raw(KEY)], "user:bob": [raw(OTHER)]}, "x.json") == (
        "user:alice",
    )


def test_several_signers_are_all_named() -> None:
    found = read_statement(envelope(statement({"gitCommit": COMMIT}), KEY, OTHER), "x.json")

    assert verified(found, {"b": [raw(OTHER)], "a": [raw(KEY)]}, "x.json") == ("a", "b")


def test_without_a_key_it_is_unsigned() -> None:
    found = read_statement(envelope(statement({"gitCommit": COMMIT}), KEY), "x.json")

    assert verified(found, {}, "x.json") == ()


def test_a_signature_by_nobody_known_is_refused() -> None:
    found = read_statement(envelope(statement({"gitCommit": COMMIT}), KEY), "x.json")

    with pytest.raises(UsageError, match="no signature of it is by a known key"):
        verified(found, {"user:bob": [raw(OTHER)]}, "x.json")


def test_a_signature_in_anothers_name_is_refused() -> None:
    found = read_statement(envelope(statement({"gitCommit": COMMIT}), KEY, name="user:bob"), "x.json")

    with pytest.raises(UsageError, match="the signature of 'user:bob' is not by their key"):
        verified(found, {"user:bob": [raw(OTHER)], "user:alice": [raw(KEY)]}, "x.json")


def test_a_changed_payload_is_refused() -> None:
    good = json.loads(envelope(statement({"gitCommit": TREE}), KEY))
    changed = json.loads(envelope(statement({"gitCommit": COMMIT})))
    found = read_statement(json.dumps(good | {"payload": changed["payload"]}).encode(), "x.json")

    with pytest.raises(UsageError, match="something was changed"):
        verified(found, {"k": [raw(KEY)]}, "x.json")


def spelled() -> dict[str, str]:
    public = KEY.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    ssh = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return {
        "pem": pem.decode(),
        "ssh": f"{ssh.decode()} me@here\n",
        "raw": f"ed25519:{base64.b64encode(raw(KEY)).decode()}",
    }


@pytest.mark.parametrize("spelling", ["pem", "ssh", "raw"])
def test_a_key_can_be_spelled_in_three_ways(spelling: str) -> None:
    assert public_key(spelled()[spelling], "key.pub") == raw(KEY)


@pytest.mark.parametrize(
    "text", ["", "hello", "ssh-rsa AAAA", "ed25519:AAAA", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"]
)
def test_any_other_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"key\.pub is no Ed25519 public key"):
        public_key(text, "key.pub")
