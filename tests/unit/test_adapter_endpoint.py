"""Endpoints of the webhook adapter: what the operator says of them, certificates, and where nothing may go."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from http_server import HttpServer, Reply, http_server
from sending import KEY, Desk, with_endpoints
from standardwebhooks.webhooks import Webhook as Verifier

from orchestrator.adapter import Delivery, ErrorClass
from orchestrator.errors import AdapterError, UsageError
from orchestrator_adapters.deadline import Deadline
from orchestrator_adapters.endpoint import is_private_to_host, read_url
from orchestrator_adapters.exchange import Asked, _Sending
from orchestrator_adapters.webhook import Webhook

SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with http_server() as running:
        yield running


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(Webhook(), tmp_path)


class TestTls:
    """Certificates are looked at, always."""

    def test_an_authority_of_the_endpoint_is_trusted(self, authority: trustme.CA, desk: Desk) -> None:
        with http_server(authority=authority) as server:
            server.answer("/hook", Reply(200))
            with_endpoints(desk, own={"url": server.url + "/hook", "ca_file": server.ca_file})

            assert desk.sent(endpoint="own", body="x").delivery is Delivery.DELIVERED

    def test_an_unknown_authority_is_a_matter_of_configuration(self, authority: trustme.CA, desk: Desk) -> None:
        with http_server(authority=authority) as server:
            receipt = desk.sent(url=server.url + "/hook", body="x")

            assert (receipt.delivery, receipt.error_class) == (Delivery.PERMANENT, ErrorClass.CONFIGURATION)
            assert server.seen == []

    def test_so_is_a_certificate_of_another_name(self, authority: trustme.CA, desk: Desk) -> None:
        with http_server(authority=authority, names=("other.example",)) as server:
            with_endpoints(desk, own={"url": server.url + "/hook", "ca_file": server.ca_file})

            receipt = desk.sent(endpoint="own", body="x")

            assert (receipt.delivery, receipt.error_class) == (Delivery.PERMANENT, ErrorClass.CONFIGURATION)

    def test_what_does_not_speak_tls_is_tried_again(self, server: HttpServer, desk: Desk) -> None:
        receipt = desk.sent(url=f"https://localhost:{server.port}/hook", body="x")

        assert receipt.delivery is Delivery.RETRYABLE


class TestEndpoints:
    """What the operator's file says of an endpoint."""

    def test_its_headers_and_secrets_are_sent_and_not_decided_about(self, server: HttpServer, desk: Desk) -> None:
        server.answer("/hook", Reply(200))
        desk.secrets = {"TOKEN": "s3cret-token"}
        with_endpoints(
            desk, own={"url": server.url + "/hook", "headers": {"Authorization": "Bearer ${{ secrets.TOKEN }}"}}
        )

        prepared = desk.prepared(
            endpoint="own", json={"token": "${{ secrets.TOKEN }}", "say": "not ${{ secrets.TOKEN }}"}
        )
        desk.adapter.perform(desk.action(prepared), KEY)

        assert "s3cret-token" not in str(prepared)
        assert server.seen[0].headers["authorization"] == "Bearer s3cret-token"
        assert server.seen[0].json == {"token": "s3cret-token", "say": "not ${{ secrets.TOKEN }}"}

    def test_the_operators_header_wins(self, server: HttpServer, desk: Desk) -> None:
        server.answer("/hook", Reply(200))
        with_endpoints(desk, own={"url": server.url + "/hook", "headers": {"X-From": "operator"}})

        desk.sent(endpoint="own", headers={"x-from": "caller"})

        assert server.seen[0].headers["x-from"] == "operator"

    def test_a_signature_is_one_of_standard_webhooks(self, server: HttpServer, desk: Desk) -> None:
        server.answer("/hook", Reply(200))
        desk.secrets = {"SIGNING": SIGNING}
        with_endpoints(desk, own={"url": server.url + "/hook", "secret": "${{ secrets.SIGNING }}"})

        desk.sent(endpoint="own", json={"text": "grün"})

        (seen,) = server.seen
        assert seen.headers["webhook-id"] == KEY
        assert Verifier(SIGNING).verify(seen.body, dict(seen.headers)) == {"text": "grün"}

    def test_while_a_secret_is_changed_both_sign(self, server: HttpServer, desk: Desk) -> None:
        server.answer("/hook", Reply(200))
        newer = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
        with_endpoints(desk, own={"url": server.url + "/hook", "secret": [newer, SIGNING]})

        desk.sent(endpoint="own", body='{"a":1}')

        for secret in (newer, SIGNING):
            assert Verifier(secret).verify(server.seen[0].body, dict(server.seen[0].headers)) == {"a": 1}

    def test_a_secret_that_is_none_sends_nothing(self, server: HttpServer, desk: Desk) -> None:
        with_endpoints(desk, own={"url": server.url + "/hook", "secret": "not base64!"})

        receipt = desk.sent(endpoint="own", body="x")

        assert (receipt.delivery, receipt.error_class) == (Delivery.PERMANENT, ErrorClass.CONFIGURATION)
        assert "not base64" not in receipt.detail
        assert server.seen == []

    def test_a_missing_secret_sends_nothing(self, server: HttpServer, desk: Desk) -> None:
        with_endpoints(desk, own={"url": server.url + "/hook", "headers": {"authorization": "${{ secrets.GONE }}"}})

        receipt = desk.sent(endpoint="own", body="x")

        assert receipt.error_class is ErrorClass.CONFIGURATION
        assert server.seen == []

    def test_an_address_may_be_a_secret_as_a_whole(self, server: HttpServer, desk: Desk) -> None:
        server.answer("/services/T0/B0", Reply(200))
        desk.secrets = {"HOOK": server.url + "/services/T0/B0"}
        with_endpoints(desk, chat={"url": "${{ secrets.HOOK }}"})

        receipt = desk.sent(endpoint="chat", json={"text": "hi"})

        assert receipt.delivery is Delivery.DELIVERED
        assert "T0" not in str(receipt)

    def test_a_secret_address_that_cannot_be_called_is_not_shown(self, desk: Desk) -> None:
        desk.secrets = {"HOOK": "http://hooks.example/T0secret"}

        receipt = desk.sent(url="${{ secrets.HOOK }}", body="x")

        assert receipt.error_class is ErrorClass.CONFIGURATION
        assert "T0secret" not in receipt.detail

    @pytest.mark.parametrize(
        ("said", "what"),
        [
            ({}, "has no url"),
            ({"url": "https://a.example", "sceret": "x"}, "secret"),
            ({"url": "https://a.example", "method": "BREW"}, "BREW"),
            ({"url": "https://a.example", "headers": {"Host": "b.example"}}, "host"),
        ],
    )
    def test_one_that_is_not_set_up_well_is_refused(self, desk: Desk, said: dict[str, Any], what: str) -> None:
        with_endpoints(desk, own=said)

        with pytest.raises(AdapterError, match=what) as caught:
            desk.prepared(endpoint="own")
        assert caught.value.error_class == ErrorClass.CONFIGURATION

    def test_a_name_nobody_set_up_is_refused_with_the_nearest(self, desk: Desk) -> None:
        with_endpoints(desk, deploys={"url": "https://a.example"})

        with pytest.raises(AdapterError, match="deploys"):
            desk.prepared(endpoint="deploy")

    def test_only_its_methods_are_used(self, desk: Desk) -> None:
        with_endpoints(desk, own={"url": "https://a.example", "method": "PUT"})

        assert desk.prepared(endpoint="own").properties["method"] == "PUT"
        with pytest.raises(UsageError, match="allows PUT"):
            desk.prepared(endpoint="own", method="DELETE")


class TestAddresses:
    """What cannot be called at all."""

    @pytest.mark.parametrize(
        "url",
        [
            "http://acme.example/",
            "ftp://acme.example/",
            "https://user:pass@acme.example/",
            "https://acme.example\\@evil.example/",
            "https://acme.example/a b",
            "https://acme.example/\r\nX: y",
            "https://acme.example/#part",
            "https:///path",
            "https://acme.example:99999/",
            "https://ümlaut.example/",
            "//acme.example/",
            "acme.example",
            "file:///etc/passwd",
            "http://127.0.0.1.evil.example/",
            "https://" + "a" * 9000,
        ],
    )
    def test_no_good_address_is_refused_before_it_is_decided(self, desk: Desk, url: str) -> None:
        with pytest.raises(UsageError):
            desk.prepared(url=url)

    @pytest.mark.parametrize(
        "host", ["169.254.169.254", "[fe80::1]", "metadata.google.internal", "[::]", "100.100.100.200"]
    )
    def test_the_machines_surroundings_are_not_called(self, desk: Desk, host: str) -> None:
        with pytest.raises(UsageError, match="surroundings"):
            desk.prepared(url=f"https://{host}/latest/meta-data")

    def test_unless_the_operator_names_them(self, desk: Desk) -> None:
        with_endpoints(desk, metadata={"url": "https://169.254.169.254/latest"})

        assert desk.prepared(endpoint="metadata").properties["url"] == "https://169.254.169.254/latest"

    @pytest.mark.parametrize(
        ("address", "expected"),
        [
            ("169.254.1.1", True),
            ("::ffff:169.254.169.254", True),
            ("64:ff9b::a9fe:a9fe", True),
            ("fe80::1%eth0", True),
            ("fd00:ec2::254", True),
            ("::", True),
            ("224.0.0.1", True),
            ("127.0.0.1", False),
            ("::1", False),
            ("10.0.0.1", False),
            ("93.184.216.34", False),
        ],
    )
    def test_addresses_are_told_apart(self, address: str, expected: object) -> None:
        assert is_private_to_host(address) is expected

    @pytest.mark.parametrize(
        ("url", "address", "is_refused"),
        [
            ("https://harmless.example/", "169.254.169.254", True),
            ("https://harmless.example/", "fe80::1", True),
            ("http://localhost/", "93.184.216.34", True),
            ("https://harmless.example/", "93.184.216.34", False),
            ("http://localhost/", "::1", False),
        ],
    )
    def test_where_a_name_really_leads_is_looked_at_when_connected(
        self, url: str, address: str, is_refused: object
    ) -> None:
        """No name of this machine leads there, so the look itself is asked."""
        sending = _Sending(Asked("POST", url, {}), read_url(url), Deadline(5), lambda: None)

        if is_refused:
            with pytest.raises(AdapterError, match=re.escape(address)):
                sending._check_peer(address)
        else:
            sending._check_peer(address)


@pytest.mark.parametrize("host", ["xn--", "a..b", ".", f"{'a' * 64}.example", ".".join(["a" * 60] * 5)])
def test_a_host_that_nobody_can_have_is_refused(host: str) -> None:
    with pytest.raises(UsageError, match="names a host that cannot be"):
        read_url(f"https://{host}/")


@pytest.mark.parametrize("host", ["xn--mnchen-3ya.example", "acme.example.", "a_b.example", "127.0.0.1", "[::1]"])
def test_a_host_that_somebody_may_have_is_taken(host: str) -> None:
    assert read_url(f"https://{host}/").host
