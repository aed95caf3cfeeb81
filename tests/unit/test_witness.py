"""Witnesses of the time: real HTTPS servers whose certificates are checked, and files that are really signed."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from date_server import DateServer, date_servers

from orchestrator import keys
from orchestrator.clock import SECOND_NS, now_ns, parse_time
from orchestrator.errors import UsageError
from orchestrator.escalations import timekeeping, witness
from orchestrator.escalations.model import Clock
from orchestrator.escalations.reach import host_of
from orchestrator.escalations.witness import About, Claims, WitnessError
from orchestrator.keys import KeyFile

NOON = "2026-11-21T12:00:00Z"
NOON_NS = parse_time(NOON)
ABOUT = About("ab" * 16, "continuity", "7")


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[DateServer]]:
    with date_servers(3) as running:
        monkeypatch.setenv("SSL_CERT_FILE", running[0].ca_file)
        yield running


@pytest.fixture
def key() -> KeyFile:
    private = Ed25519PrivateKey.generate()
    return KeyFile(private.public_key().public_bytes_raw(), private)


def asked(servers: list[DateServer], patience_s: float = 5.0) -> witness.Testimony:
    return witness.of_servers([one.url for one in servers], patience_s)


def by(key: KeyFile) -> Clock:
    return Clock(keys=(keys.jwk(key.public),))


def token(key: KeyFile, header: object, claims: object) -> str:
    """Return a token with these parts, rightly signed."""
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode() for one in (header, claims)]
    data = ".".join(parts)
    return f"{data}.{base64.urlsafe_b64encode(key.sign(data.encode())).rstrip(b'=').decode()}"


# -- servers


@pytest.mark.parametrize("url", ["https://A.example./x", "https://a.EXAMPLE:443/", "https://a.example"])
def test_a_host_is_one_however_it_is_spelt(url: str) -> None:
    assert host_of(url) == "a.example"


def test_a_host_of_another_alphabet_is_its_name_in_ascii() -> None:
    assert host_of("https://m\u00fcnchen.de/") == "xn--mnchen-3ya.de"


def test_two_servers_that_agree_say_which_time_it_is(servers: list[DateServer]) -> None:
    heard = asked(servers[:2])

    assert abs(heard.at(timekeeping.read()) - now_ns()) < 5 * SECOND_NS
    assert heard.by in {"localhost and 127.0.0.1", "127.0.0.1 and localhost"}
    assert servers[0].asked == servers[1].asked == ["HEAD"]


def test_what_was_heard_is_told_as_of_when_the_clocks_were_read(servers: list[DateServer]) -> None:
    before = timekeeping.read()
    heard = asked(servers[:2])
    later = heard._replace(counted_ns=heard.counted_ns + 3_600 * SECOND_NS)

    assert heard.at(before) - later.at(before) == 3_600 * SECOND_NS


def test_two_of_three_are_enough(servers: list[DateServer]) -> None:
    servers[1].says = NOON_NS

    heard = asked(servers)

    assert abs(heard.at(timekeeping.read()) - now_ns()) < 5 * SECOND_NS


def test_two_that_do_not_agree_are_none(servers: list[DateServer]) -> None:
    servers[1].says = now_ns() - 60 * SECOND_NS

    with pytest.raises(WitnessError, match=r"no two servers agree on the time: .*localhost says"):
        asked(servers[:2])


def test_one_host_asked_twice_is_one_witness(servers: list[DateServer]) -> None:
    with pytest.raises(WitnessError, match="no two servers agree"):
        asked([servers[0], servers[0]])


@pytest.mark.parametrize("says", ["", "yesterday", "Sat, 21 Nov 2026 12:00:00"])
def test_an_answer_without_a_usable_date_does_not_count(servers: list[DateServer], says: str) -> None:
    servers[1].says = says

    with pytest.raises(WitnessError, match=r"127\.0\.0\.1: its answer"):
        asked(servers[:2])


def test_an_answer_out_of_a_cache_does_not_count(servers: list[DateServer]) -> None:
    servers[1].headers = {"Age": "120"}

    with pytest.raises(WitnessError, match="out of a cache"):
        asked(servers[:2])


def test_a_redirect_is_dated_too_and_not_followed(servers: list[DateServer]) -> None:
    servers[1].status, servers[1].headers = 302, {"Location": servers[2].url}

    assert asked(servers[:2]).time_ns
    assert servers[2].asked == []


def test_a_server_that_nobody_vouches_for_does_not_count(
    servers: list[DateServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    with date_servers(1) as others:
        monkeypatch.setenv("SSL_CERT_FILE", others[0].ca_file)

        with pytest.raises(WitnessError, match="CERTIFICATE_VERIFY_FAILED"):
            asked(servers[:2])


def test_a_server_that_stalls_is_not_waited_for(servers: list[DateServer]) -> None:
    servers[1].stalls_s = 1.0

    with pytest.raises(WitnessError, match=r"no answer from the others within 0\.3 s"):
        asked(servers[:2], 0.3)


def test_what_is_not_https_is_not_asked() -> None:
    with pytest.raises(WitnessError, match="not an https address"):
        witness.of_servers(["http://localhost:9/", "http://127.0.0.1:9/"])


# -- files


def test_a_file_that_a_key_of_the_policy_signed_says_which_time_it_is(key: KeyFile, tmp_path: Path) -> None:
    file = tmp_path / "time.jwt"
    file.write_text(witness.signed(Claims(NOON, ABOUT.ledger, ABOUT.escalation, ABOUT.tick, "x"), key) + "\n")

    heard = witness.heard(by(key), ABOUT, file)

    assert (heard.time_ns, heard.by) == (NOON_NS, "the time file")


def test_a_time_file_need_not_say_what_it_is_for(key: KeyFile) -> None:
    assert witness.of_file(witness.signed(Claims(NOON), key), by(key), ABOUT).time_ns == NOON_NS


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        (Claims(NOON, aud="another"), "its aud is 'another'"),
        (Claims(NOON, sub="another"), "its sub is 'another'; expected 'continuity'"),
        (Claims(NOON, after="6"), "its after is '6'; expected '7'"),
    ],
)
def test_a_file_for_something_else_does_not_count(key: KeyFile, claims: Claims, why: str) -> None:
    with pytest.raises(WitnessError, match=why):
        witness.of_file(witness.signed(claims, key), by(key), ABOUT)


def test_a_file_that_somebody_else_signed_does_not_count(key: KeyFile) -> None:
    private = Ed25519PrivateKey.generate()
    other = KeyFile(private.public_key().public_bytes_raw(), private)

    with pytest.raises(WitnessError, match=r"none of the escalation's `clock\.keys` signed it"):
        witness.of_file(witness.signed(Claims(NOON), other), by(key), ABOUT)


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "typ": "orch-time+jwt"},
        {"alg": "EdDSA", "typ": "orch-vote+jwt"},
        {"alg": "EdDSA"},
        {"alg": "EdDSA", "typ": "orch-time+jwt", "crit": ["x"]},
        [],
    ],
)
def test_another_kind_of_token_does_not_count_however_it_is_signed(key: KeyFile, header: object) -> None:
    with pytest.raises(WitnessError, match="does not count"):
        witness.of_file(token(key, header, {"time": NOON}), by(key), ABOUT)


@pytest.mark.parametrize("claims", [{}, {"time": 5}, {"time": "noon"}, {"time": NOON, "exp": 1}, [], {"time": None}])
def test_a_token_that_says_something_else_does_not_count(key: KeyFile, claims: object) -> None:
    with pytest.raises(WitnessError, match="does not count"):
        witness.of_file(token(key, witness.HEADER, claims), by(key), ABOUT)


@pytest.mark.parametrize("text", ["", "a", "a.b.c", "....", "é.é.é", "e30.e30", "e30.e30."])
def test_garbage_does_not_count(key: KeyFile, tmp_path: Path, text: str) -> None:
    file = tmp_path / "time.jwt"
    file.write_text(text)

    with pytest.raises(WitnessError, match="the time file does not count"):
        witness.heard(by(key), ABOUT, file)


def test_a_changed_byte_makes_a_file_worthless(key: KeyFile) -> None:
    text = witness.signed(Claims(NOON), key)
    later = witness.signed(Claims("2027-11-21T12:00:00Z"), key)
    forged = ".".join([*later.split(".")[:2], text.split(".")[2]])

    with pytest.raises(WitnessError, match="signed it"):
        witness.of_file(forged, by(key), ABOUT)


def test_a_file_that_is_not_there_or_too_long_is_told(key: KeyFile, tmp_path: Path) -> None:
    (tmp_path / "long").write_text("x" * 5_000)

    with pytest.raises(UsageError, match="cannot be read"):
        witness.heard(by(key), ABOUT, tmp_path / "none")
    with pytest.raises(UsageError, match="more than 4,096 bytes"):
        witness.heard(by(key), ABOUT, tmp_path / "long")


def test_a_time_that_is_none_is_not_signed(key: KeyFile) -> None:
    with pytest.raises(UsageError, match="noon"):
        witness.signed(Claims("noon"), key)
