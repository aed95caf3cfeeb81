"""The webhook adapter against real servers on loopback, faults included."""

import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from gateway import gateway
from http_server import Fault, HttpServer, Reply, http_server, unused_url
from sending import KEY, Desk, with_endpoints

from orchestrator.adapter import Delivery, Effect, ErrorClass, failure
from orchestrator.errors import UsageError
from orchestrator.request import problems
from orchestrator_adapters.exchange import MAX_ANSWER_BYTES
from orchestrator_adapters.webhook import MAX_BODY_BYTES, MAX_OUTPUT_BYTES, Webhook

SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with http_server() as running:
        yield running


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(Webhook(), tmp_path)


def test_a_post_carries_json_and_the_key_and_brings_the_answer_back(server: HttpServer, desk: Desk) -> None:
    server.answer("/hook", Reply(201, {"id": 7}, {"ETag": '"v1"', "Location": "/hook/7"}))

    receipt = desk.sent(url=server.url + "/hook", json={"text": "grün"}, headers={"X-Kind": "news"}, query={"a": "b c"})

    (seen,) = server.seen
    assert (seen.method, seen.path, seen.json) == ("POST", "/hook?a=b%20c", {"text": "grün"})
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["idempotency-key"] == KEY
    assert seen.headers["x-kind"] == "news"
    assert receipt.delivery is Delivery.DELIVERED
    assert receipt.reference == "/hook/7"
    assert receipt.outputs == {"status": 201, "json": {"id": 7}, "etag": '"v1"', "location": "/hook/7"}
    assert desk.kept == [(b'{"id": 7}', "response", "application/json")]


def test_text_is_sent_as_it_is_and_text_comes_back(server: HttpServer, desk: Desk) -> None:
    server.answer("/hook", Reply(200, "thanks"))

    receipt = desk.sent(url=server.url + "/hook", body="${{ secrets.NOT_LOOKED_AT }}")

    assert server.seen[0].body == b"${{ secrets.NOT_LOOKED_AT }}"
    assert server.seen[0].headers["content-type"] == "text/plain; charset=utf-8"
    assert receipt.outputs == {"status": 200, "text": "thanks"}


def test_the_request_that_is_decided_is_valid_and_names_the_address(desk: Desk) -> None:
    prepared = desk.prepared(url="https://hooks.acme.example/x?token=y", body="hi", method="put")

    request = {
        "subject": {"type": "user", "id": "user:alice"},
        "action": {"name": "call_webhook", "properties": dict(prepared.properties)},
        "resource": dict(prepared.resource),
    }
    assert problems(request) == []
    assert prepared.resource == {"type": "endpoint", "id": "https://hooks.acme.example/x"}
    assert prepared.properties == {"url": "https://hooks.acme.example/x?token=y", "method": "PUT", "body": "hi"}


@pytest.mark.parametrize(
    ("method", "effect", "is_replayable"),
    [
        ("GET", Effect.READ, True),
        ("HEAD", Effect.READ, True),
        ("PUT", Effect.OUTWARD, True),
        ("DELETE", Effect.OUTWARD, True),
        ("POST", Effect.OUTWARD, False),
        ("PATCH", Effect.OUTWARD, False),
    ],
)
def test_what_can_be_sent_again_follows_the_method(
    desk: Desk, method: str, effect: Effect, is_replayable: object
) -> None:
    prepared = desk.prepared(url="https://acme.example/", method=method)

    assert (prepared.effect, prepared.is_replayable) == (effect, is_replayable)


def test_a_post_can_be_sent_again_where_the_endpoint_honours_the_key(desk: Desk) -> None:
    with_endpoints(desk, pay={"url": "https://pay.example/", "idempotent": True})

    assert desk.prepared(endpoint="pay").is_replayable


@pytest.mark.parametrize(
    ("reply", "delivery", "error_class"),
    [
        (Reply(204), Delivery.DELIVERED, None),
        (Reply(302, headers={"Location": "https://elsewhere.example/"}), Delivery.PERMANENT, ErrorClass.CONFIGURATION),
        (Reply(400), Delivery.PERMANENT, ErrorClass.PERMANENT),
        (Reply(412), Delivery.PERMANENT, ErrorClass.PERMANENT),
        (Reply(408), Delivery.UNKNOWN, None),
        (Reply(425), Delivery.RETRYABLE, ErrorClass.TRANSIENT),
        (Reply(429), Delivery.RETRYABLE, ErrorClass.TRANSIENT),
        (Reply(503, headers={"Retry-After": "7"}), Delivery.RETRYABLE, ErrorClass.TRANSIENT),
        (Reply(503), Delivery.UNKNOWN, None),
        (Reply(500), Delivery.UNKNOWN, None),
        (Reply(502), Delivery.UNKNOWN, None),
        (Reply(fault=Fault.CLOSE_LATE), Delivery.UNKNOWN, None),
        (Reply(fault=Fault.CLOSE_EARLY), Delivery.UNKNOWN, None),
        (Reply(fault=Fault.RESET), Delivery.UNKNOWN, None),
        (Reply(fault=Fault.GARBAGE), Delivery.UNKNOWN, None),
        (Reply(body="half", fault=Fault.CUT), Delivery.DELIVERED, None),
    ],
    ids=lambda value: (
        f"{value.status}-{value.fault.name if value.fault else '-'.join(value.headers)}"
        if isinstance(value, Reply)
        else None
    ),
)
def test_an_answer_says_what_became_of_a_post(
    server: HttpServer, desk: Desk, reply: Reply, delivery: Delivery, error_class: ErrorClass | None
) -> None:
    server.answer("/hook", reply)

    receipt = desk.sent(url=server.url + "/hook", json={"n": 1})

    assert (receipt.delivery, receipt.error_class) == (delivery, error_class)
    assert len(server.of("/hook")) <= 1


def test_a_redirect_is_never_followed(server: HttpServer, desk: Desk) -> None:
    server.answer("/hook", Reply(302, headers={"Location": "/other"}))

    receipt = desk.sent(url=server.url + "/hook", body="x")

    assert [one.path for one in server.seen] == ["/hook"]
    assert "redirects are not followed" in receipt.detail


@pytest.mark.parametrize("fault", [Fault.CLOSE_LATE, Fault.HANG])
def test_a_read_that_got_no_answer_is_simply_tried_again(server: HttpServer, desk: Desk, fault: Fault) -> None:
    """A GET changes nothing, so nothing can have happened."""
    server.answer("/x", Reply(fault=fault), Reply(503))

    lost = desk.sent(url=server.url + "/x", method="GET", timeout_s=0.2)
    refused = desk.sent(url=server.url + "/x", method="GET")

    assert lost.delivery is refused.delivery is Delivery.RETRYABLE


def test_no_answer_in_time_is_unknown(server: HttpServer, desk: Desk) -> None:
    server.answer("/hook", Reply(fault=Fault.HANG))

    receipt = desk.sent(url=server.url + "/hook", body="x", timeout_s=0.2)

    assert receipt.delivery is Delivery.UNKNOWN
    assert "in time" in receipt.detail


def test_a_slow_body_does_not_hold_beyond_the_limit_and_the_status_counts(server: HttpServer, desk: Desk) -> None:
    server.answer("/hook", Reply(200, "x" * 100, drip_s=0.1))
    began = time.monotonic()

    receipt = desk.sent(url=server.url + "/hook", body="x", timeout_s=0.5)

    assert receipt.delivery is Delivery.DELIVERED
    assert receipt.outputs == {"status": 200, "is_cut": True}
    assert time.monotonic() - began < 2


def test_a_slow_head_does_not_hold_beyond_the_limit(desk: Desk) -> None:
    """Each single byte comes within a read's limit; the whole does not."""
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(5)

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                try:
                    for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"y" * 100:
                        connection.send(bytes([byte]))
                        time.sleep(0.05)
                except OSError:
                    pass

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        receipt = desk.sent(url=f"http://127.0.0.1:{listening.getsockname()[1]}/", body="x", timeout_s=0.4)
        thread.join()

    assert receipt.delivery is Delivery.UNKNOWN
    assert time.monotonic() - began < 2


def test_where_nothing_listens_it_certainly_did_not_happen(desk: Desk) -> None:
    receipt = desk.sent(url=unused_url(), body="x")

    assert (receipt.delivery, receipt.error_class) == (Delivery.RETRYABLE, ErrorClass.TRANSIENT)
    assert "nothing was sent" in receipt.detail


def test_a_name_nobody_knows_is_tried_again(desk: Desk) -> None:
    assert desk.sent(url="https://no-such-host.invalid/", body="x").delivery is Delivery.RETRYABLE


@pytest.mark.parametrize("value", ["7", "later", "http-date"])
def test_the_wait_that_is_asked_for_is_told(server: HttpServer, desk: Desk, value: str) -> None:
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    server.answer("/hook", Reply(429, headers={"Retry-After": in_a_minute if value == "http-date" else value}))

    wait_s = desk.sent(url=server.url + "/hook", body="x").retry_after_s

    match value:
        case "7":
            assert wait_s == 7
        case "later":
            assert wait_s is None
        case _:
            assert wait_s is not None
            assert 50 < wait_s <= 60


def test_the_look_before_sending_comes_last_and_stops_it(server: HttpServer, desk: Desk) -> None:
    def refuse() -> None:
        raise failure("the approval was revoked")

    receipt = desk.sent(url=server.url + "/hook", body="x", recheck=refuse)

    assert receipt.detail == "the approval was revoked"
    assert server.seen == []


class TestLookup:
    """What became of an attempt whose answer was lost."""

    def test_a_key_that_the_lookup_knows_was_delivered(self, server: HttpServer, desk: Desk) -> None:
        server.answer(f"/sent/{KEY}", Reply(200))
        with_endpoints(desk, own={"url": server.url + "/hook", "lookup": server.url + "/sent/{key}"})

        found = desk.reconciled(endpoint="own", body="x")

        assert found is not None
        assert found.delivery is Delivery.DELIVERED
        assert [one.method for one in server.seen] == ["GET"]

    def test_a_key_that_it_does_not_know_was_not(self, server: HttpServer, desk: Desk) -> None:
        with_endpoints(desk, own={"url": server.url + "/hook", "lookup": server.url + "/sent/{key}"})

        found = desk.reconciled(endpoint="own", body="x")

        assert found is not None
        assert found.delivery is Delivery.RETRYABLE

    @pytest.mark.parametrize("reply", [Reply(500), Reply(302), Reply(fault=Fault.CLOSE_LATE)])
    def test_anything_else_tells_nothing(self, server: HttpServer, desk: Desk, reply: Reply) -> None:
        server.answer("*", reply)
        with_endpoints(desk, own={"url": server.url + "/hook", "lookup": server.url + "/sent/{key}"})

        assert desk.reconciled(endpoint="own", body="x") is None

    def test_without_a_lookup_nobody_can_know(self, desk: Desk) -> None:
        assert desk.reconciled(url=unused_url(), body="x") is None


class TestLimits:
    """Neither side can make the other hold too much."""

    def test_a_large_body_is_refused(self, desk: Desk) -> None:
        with pytest.raises(UsageError, match="at most"):
            desk.prepared(url="https://acme.example/", body="x" * (MAX_BODY_BYTES + 1))

    def test_a_large_answer_is_an_artifact_alone(self, server: HttpServer, desk: Desk) -> None:
        server.answer("/x", Reply(200, "y" * (MAX_OUTPUT_BYTES + 1)))

        receipt = desk.sent(url=server.url + "/x", method="GET")

        assert receipt.outputs == {"status": 200, "is_cut": True}
        assert len(desk.kept[0][0]) == MAX_OUTPUT_BYTES + 1

    def test_an_endless_answer_is_cut(self, server: HttpServer, desk: Desk) -> None:
        server.answer("/x", Reply(200, b"z" * (MAX_ANSWER_BYTES + 1000)))

        receipt = desk.sent(url=server.url + "/x", method="GET")

        assert receipt.delivery is Delivery.DELIVERED
        assert len(desk.kept[0][0]) == MAX_ANSWER_BYTES

    @pytest.mark.parametrize("body", ['{"n": NaN}', '{"n": 1e999}', "[" * 100_000, '{"n": 99999999999999999999}'])
    def test_json_that_cannot_be_recorded_stays_text(self, server: HttpServer, desk: Desk, body: str) -> None:
        server.answer("/x", Reply(200, body[:60_000]))

        assert "json" not in desk.sent(url=server.url + "/x", method="GET").outputs

    def test_a_compressed_answer_is_not_unpacked(self, server: HttpServer, desk: Desk) -> None:
        server.answer("/x", Reply(200, b"\x1f\x8bnot really", headers={"Content-Encoding": "gzip"}))

        receipt = desk.sent(url=server.url + "/x", method="GET")

        assert receipt.delivery is Delivery.DELIVERED
        assert server.seen[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"url": "https://a.example/", "endpoint": "own"},
        {"url": "https://a.example/", "method": "BREW"},
        {"url": "https://a.example/", "method": "GET", "body": "x"},
        {"url": "https://a.example/", "body": "x", "json": 1},
        {"url": "https://a.example/", "headers": {"X-A": "b\r\nX-C: d"}},
        {"url": "https://a.example/", "headers": {"Content-Length": "7"}},
        {"url": "https://a.example/", "headers": {"webhook-id": "forged"}},
        {"url": "https://a.example/", "headers": {"A": "1", "a": "2"}},
        {"url": "https://a.example/", "headers": ["x"]},
        {"url": "https://a.example/", "query": {"a": {}}},
        {"url": "https://a.example/", "body": "\ud800"},
        {"url": "https://a.example/", "json": {"x": float("nan")}},
        {"url": "https://a.example/", "key": "k"},
        {"url": "https://a.example/", "urll": "x"},
        {"endpoint": "own", "key": "x"},
        {"endpoint": "own", "key": 7},
    ],
    ids=repr,
)
def test_parameters_that_cannot_be_are_refused(desk: Desk, parameters: dict[str, Any]) -> None:
    with_endpoints(desk, own={"url": "https://a.example/"})

    with pytest.raises(UsageError):
        desk.prepared(**parameters)


def test_a_proxy_of_the_environment_is_used(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with gateway(lambda seen: Reply(200, {"host": seen.host})) as net:
        for name, value in net.environ.items():
            monkeypatch.setenv(name, value)

        receipt = desk.sent(url="https://api.partner.example/notices", json={})

        assert receipt.outputs == {"status": 200, "json": {"host": "api.partner.example"}}


def test_a_proxy_that_finds_no_way_sent_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with gateway(lambda _: Reply(200)) as net:
        net.refused.add("api.partner.example")
        for name, value in net.environ.items():
            monkeypatch.setenv(name, value)

        receipt = desk.sent(url="https://api.partner.example/notices", json={})

        assert receipt.delivery is Delivery.RETRYABLE
        assert net.seen == []


def test_loopback_is_called_directly(server: HttpServer, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", unused_url(""))
    server.answer("/x", Reply(200))

    assert desk.sent(url=server.url + "/x", body="y").delivery is Delivery.DELIVERED


def test_the_tls_context_of_the_library_verifies() -> None:
    """What the exchange relies on where no `ca_file` is named."""
    import httpx

    context = httpx.create_ssl_context()

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("name", ["headers", "query"])
def test_an_empty_list_is_no_mapping(desk: Desk, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is an empty list; expected an object"):
        desk.prepared(url="https://acme.example/", **{name: []})


def test_an_empty_mapping_says_nothing(desk: Desk) -> None:
    assert "headers" not in desk.prepared(url="https://acme.example/", headers={}).properties
