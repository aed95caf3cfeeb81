"""A vote is a compact JWS of exactly one form."""

import json
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest

from orchestrator import keys, vote
from orchestrator.errors import UsageError

CLAIMS = vote.Claims("v", "user:alice", "l", "r", "a", None, "p", "sre", "approve", 1, 2)


@pytest.fixture
def signer(tmp_path: Path) -> keys.KeyFile:
    return keys.new_key(tmp_path / "vote.key", None)


def test_a_vote_is_a_compact_jws(signer: keys.KeyFile) -> None:
    token = vote.signed(CLAIMS, signer)

    header, claims, signature = (urlsafe_b64decode(part + "==") for part in token.split("."))
    assert header == b'{"alg":"EdDSA","typ":"orch-vote+jwt"}'
    assert json.loads(claims) == {
        "jti": "v", "iss": "user:alice", "aud": "l", "req": "r", "act": "a", "chg": None, "pol": "p", "role": "sre",
        "dec": "approve", "iat": 1, "exp": 2,
    }  # fmt: skip
    assert len(signature) == 64
    assert vote.verifies(token, signer.public)
    assert vote.claims_of(token) == json.loads(claims)


def test_a_revocation_names_the_vote(signer: keys.KeyFile) -> None:
    assert vote.claims_of(vote.signed(CLAIMS._replace(dec="revoke", rev="w"), signer))["rev"] == "w"


def test_another_key_or_byte_does_not_verify(signer: keys.KeyFile, tmp_path: Path) -> None:
    token = vote.signed(CLAIMS, signer)

    assert not vote.verifies(token, keys.new_key(tmp_path / "other.key", None).public)
    assert not vote.verifies("x" + token, signer.public)
    assert not vote.verifies(token[:-1], signer.public)
    assert not vote.verifies("", signer.public)


def test_a_signer_of_another_key_is_found_out(signer: keys.KeyFile) -> None:
    with pytest.raises(UsageError, match="does not verify"):
        vote.signed(CLAIMS, signer._replace(public=bytes(32)))


def test_a_vote_has_a_limit(signer: keys.KeyFile) -> None:
    with pytest.raises(UsageError, match="at most 4096"):
        vote.signed(CLAIMS._replace(role="x" * 4000), signer)


@pytest.mark.parametrize("text", ["", "a", "a.b.c", "a.W10.c", "a.bnVsbA.c"])
def test_what_is_no_token_says_nothing(text: str) -> None:
    with pytest.raises(ValueError, match=r"token|Expecting|utf-8|char"):
        vote.claims_of(text)
