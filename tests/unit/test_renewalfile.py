"""Signed renewal files: only what a named key signed, in the one writing, about this escalation, in its time."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator import keys
from orchestrator.clock import SECOND_NS
from orchestrator.errors import UsageError
from orchestrator.escalations.renewalfile import Claims, counts, public_keys, signed, verified
from orchestrator.keys import KeyFile

LEDGER = "0123456789abcdef" * 2
NOW_S = 1_800_000_000
CLAIMS = Claims("continuity", LEDGER, 7, NOW_S, NOW_S + 3_600)
HEADER = {"alg": "EdDSA", "typ": "orch-renewal+jwt"}


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    return keys.new_key(tmp_path / "renewal.key", None)


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(key: KeyFile, header: Any = HEADER, said: Any = None) -> str:  # noqa: ANN401  # JSON
    """Return anything, rightly signed."""
    body = CLAIMS._asdict() if said is None else said
    parts = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in (header, body)]
    data = ".".join(map(text, parts))
    return f"{data}.{text(key.sign(data.encode()))}"


def test_what_was_signed_is_read_back(key: KeyFile) -> None:
    assert verified(signed(CLAIMS, key), [key.public]) == CLAIMS


def test_one_of_several_keys_is_enough(key: KeyFile, tmp_path: Path) -> None:
    other = keys.new_key(tmp_path / "other.key", None)

    assert verified(signed(CLAIMS, key), [other.public, key.public]) == CLAIMS
    assert verified(signed(CLAIMS, key), [other.public]) is None
    assert verified(signed(CLAIMS, key), []) is None


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "typ": "orch-renewal+jwt"},
        {"alg": "HS256", "typ": "orch-renewal+jwt"},
        {"alg": "EdDSA", "typ": "orch-vote+jwt"},
        {"alg": "EdDSA", "typ": "JWT"},
        {"alg": "EdDSA"},
        {"typ": "orch-renewal+jwt"},
        {**HEADER, "jwk": {}},
        {**HEADER, "crit": ["exp"]},
        {},
        [],
        None,
        b"",
        b'{"alg":"EdDSA","alg":"EdDSA","typ":"orch-renewal+jwt"}',
    ],
    ids=str,
)
def test_another_header_is_refused_though_the_signature_is_right(key: KeyFile, header: Any) -> None:  # noqa: ANN401  # JSON
    assert verified(token(key, header), [key.public]) is None


@pytest.mark.parametrize(
    "change",
    [
        {"counter": 0}, {"counter": -1}, {"counter": "7"}, {"counter": 7.0}, {"counter": True}, {"counter": None},
        {"counter": 2**53}, {"iat": "now"}, {"exp": None}, {"escalation": 1}, {"ledger": None}, {"more": 1},
        {"exp": "left out"},
    ],
    ids=str,
)  # fmt: skip
def test_other_claims_are_refused_though_the_signature_is_right(key: KeyFile, change: dict[str, Any]) -> None:
    said = {name: value for name, value in {**CLAIMS._asdict(), **change}.items() if value != "left out"}

    assert verified(token(key, said=said), [key.public]) is None


def test_any_changed_character_is_refused(key: KeyFile) -> None:
    good = signed(CLAIMS, key)

    for place in range(len(good)):
        other = "A" if good[place] != "A" else "B"
        assert verified(good[:place] + other + good[place + 1 :], [key.public]) is None, place


@pytest.mark.parametrize("spoil", ["{}=", " {}", "{}\n", "{}.", "a.{}", "{}.e30", "", ".", "..", "...", "\u00e9.a.b"])
def test_another_writing_is_refused(key: KeyFile, spoil: str) -> None:
    assert verified(spoil.format(signed(CLAIMS, key)), [key.public]) is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"iat": NOW_S + 60}, True),
        ({"iat": NOW_S + 61}, False),
        ({"exp": NOW_S + 1}, True),
        ({"exp": NOW_S}, False),
        ({"exp": NOW_S - 1}, False),
        ({"escalation": "other"}, False),
        ({"ledger": "f" * 32}, False),
    ],
    ids=str,
)
def test_a_file_counts_for_its_escalation_and_in_its_time(change: dict[str, Any], expected: bool) -> None:  # noqa: FBT001  # a table
    assert counts(CLAIMS._replace(**change), "continuity", LEDGER, NOW_S * SECOND_NS) is expected


def test_keys_are_read_as_the_policy_keeps_them(key: KeyFile) -> None:
    assert public_keys([keys.jwk(key.public), "no key"]) == [key.public]


@pytest.mark.parametrize("counter", [0, -1, 2**53])
def test_a_counter_that_cannot_be_is_not_signed(key: KeyFile, counter: int) -> None:
    with pytest.raises(UsageError, match="counter"):
        signed(CLAIMS._replace(counter=counter), key)
