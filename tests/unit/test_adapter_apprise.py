"""The Apprise adapter: unmodified services, reached through a gateway that stands in for the internet."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from gateway import Gateway, gateway
from http_server import Fault, HttpServer, Reply, Seen, http_server, unused_url
from sending import KEY, Desk

from orchestrator.adapter import Delivery, Effect, ErrorClass, failure
from orchestrator.errors import AdapterError, UsageError
from orchestrator.request import problems
from orchestrator_adapters.apprise_ import _CHILD, Apprise

OK_OF: Mapping[str, Reply] = {
    "api.twilio.com": Reply(201, {"sid": "SM1"}),
    "api.twitter.com": Reply(201, {"data": {"id": "1"}}),
    "www.reddit.com": Reply(200, {"access_token": "t", "token_type": "bearer", "expires_in": 3600, "scope": "*"}),
    "oauth.reddit.com": Reply(200, {"json": {"errors": [], "data": {"id": "x"}}}),
    "hooks.slack.com": Reply(200, "ok"),
    "api.telegram.org": Reply(200, {"ok": True, "result": {"message_id": 1}}),
    "discord.com": Reply(204),
    "chat.acme.example": Reply(200, "ok"),
    "ntfy.acme.example": Reply(200, {"id": "1"}),
    "prod-24.westus.logic.azure.com": Reply(202),
}


def matrix(seen: Seen) -> Reply:
    """Answer as a Matrix server does."""
    if "/login" in seen.path:
        return Reply(200, {"access_token": "t", "user_id": "@u:h", "home_server": "h", "device_id": "d"})
    if "/join" in seen.path:
        return Reply(200, {"room_id": "!abc:matrix.acme.example"})
    if "/send/" in seen.path:
        return Reply(200, {"event_id": "$1"})
    return Reply(404, {"errcode": "M_NOT_FOUND"})


def world(seen: Seen) -> Reply:
    """Answer as the services do when all is well."""
    return matrix(seen) if seen.host == "matrix.acme.example" else OK_OF.get(seen.host, Reply(404))


@pytest.fixture(scope="module")
def net() -> Iterator[Gateway]:
    with gateway(world) as running:
        yield running


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(Apprise(), tmp_path)


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with http_server() as running:
        yield running


def by(desk: Desk, url: str, **more: object) -> Desk:
    """Return the desk with a channel `chat` of one secret address."""
    desk.secrets = {"CHAT_URL": url}
    desk.channels = {"chat": {"adapter": "apprise", "url": "${{ secrets.CHAT_URL }}", **more}}
    return desk


def local(desk: Desk, server: HttpServer, path: str = "/hook") -> Desk:
    """Return the desk with a channel to a server of loopback."""
    return by(desk, server.url.replace("http://", "json://") + path)


@pytest.mark.parametrize(
    ("url", "to", "hosts"),
    [
        (f"twilio://AC{'a' * 32}:{'b' * 32}@+15550001111/{{to}}", "+15552223333", ["api.twilio.com"]),
        ("x://ckey/csecret/akey/asecret?mode=tweet", "", ["api.twitter.com"]),
        ("reddit://user:password@app-id/app-secret/{to}", "subreddit", ["www.reddit.com", "oauth.reddit.com"]),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/{to}", "#ops", ["hooks.slack.com"]),
        ("tgram://123456789:abcdefg_hijklmnop/{to}", "12315544", ["api.telegram.org"]),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "", ["discord.com"]),
        ("matrixs://user:pass@matrix.acme.example/{to}", "!abc:matrix.acme.example", ["matrix.acme.example"]),
        ("mmosts://chat.acme.example/3ccdd113474722377935511fc85d3dd4", "", ["chat.acme.example"]),
        ("ntfys://ntfy.acme.example/{to}", "ops", ["ntfy.acme.example"]),
        (
            "workflows://prod-24.westus.logic.azure.com:443/4fd0fe20/vW3wCsAyN4gO/",
            "",
            ["prod-24.westus.logic.azure.com"],
        ),
    ],
    ids=lambda value: value.partition(":")[0] if isinstance(value, str) and "://" in value else "",
)
def test_a_service_gets_the_message_and_it_is_delivered(
    desk: Desk, net: Gateway, url: str, to: str, hosts: list[str]
) -> None:
    before = len(net.seen)
    by(desk, url).environ = os.environ | net.environ

    receipt = desk.sent(
        channel="chat", to=[to] if to else None, subject="Ready", body="The release is out", timeout_s=30
    )

    seen = net.seen[before:]
    assert receipt.delivery is Delivery.DELIVERED, receipt.detail
    assert list(dict.fromkeys(one.host for one in seen)) == hosts
    assert sum(b"release" in one.body for one in seen) == 1, seen
    assert not any(
        secret in str(receipt) for secret in ("a" * 32, "csecret", "app-secret", "TIiajkdnl", "vW3wCsAyN4gO")
    )


def test_a_recipient_is_filled_in_percent_encoded(desk: Desk, net: Gateway) -> None:
    before = len(net.seen)
    by(desk, "ntfys://ntfy.acme.example/{to}").environ = os.environ | net.environ

    desk.sent(channel="chat", to="a/b?redirect=yes", body="x", timeout_s=30)

    assert all(one.json["topic"] == "a/b?redirect=yes" for one in net.seen[before:])


@pytest.mark.parametrize(
    ("reply", "delivery", "error_class"),
    [
        (Reply(200), Delivery.DELIVERED, None),
        (Reply(302, headers={"Location": "/other"}), Delivery.PERMANENT, ErrorClass.CONFIGURATION),
        (Reply(403), Delivery.PERMANENT, ErrorClass.PERMANENT),
        (Reply(429), Delivery.RETRYABLE, ErrorClass.TRANSIENT),
        (Reply(500), Delivery.UNKNOWN, None),
        (Reply(fault=Fault.CLOSE_LATE), Delivery.UNKNOWN, None),
        (Reply(fault=Fault.RESET), Delivery.UNKNOWN, None),
    ],
    ids=lambda value: f"{value.status}-{value.fault.name if value.fault else ''}" if isinstance(value, Reply) else None,
)
def test_what_went_over_http_says_what_became_of_it(
    desk: Desk, server: HttpServer, reply: Reply, delivery: Delivery, error_class: ErrorClass | None
) -> None:
    server.answer("/hook", reply)
    server.answer("/other", Reply(200))

    receipt = local(desk, server).sent(channel="chat", body="hello", timeout_s=30)

    assert (receipt.delivery, receipt.error_class) == (delivery, error_class)
    assert [one.path for one in server.seen] == ["/hook"]


def test_an_address_cannot_ask_for_redirects_or_retries(desk: Desk, server: HttpServer) -> None:
    server.answer("/hook", Reply(302, headers={"Location": "/other"}))

    local(desk, server, "/hook?redirect=yes&retry=3&wait=0").sent(channel="chat", body="x", timeout_s=30)

    assert [one.path.partition("?")[0] for one in server.seen] == ["/hook"]


def test_no_answer_in_time_is_unknown(desk: Desk, server: HttpServer) -> None:
    server.answer("/hook", Reply(fault=Fault.HANG))

    receipt = local(desk, server).sent(channel="chat", body="x", timeout_s=3)

    if server.seen:
        assert receipt.delivery is Delivery.UNKNOWN
    else:  # on a busy machine the process may not get so far
        assert receipt.delivery in {Delivery.UNKNOWN, Delivery.RETRYABLE}


def test_a_process_that_did_not_get_ready_in_time_sent_nothing(desk: Desk, server: HttpServer) -> None:
    receipt = local(desk, server).sent(channel="chat", body="x", timeout_s=0.01)

    assert receipt.delivery is Delivery.RETRYABLE
    assert server.seen == []


def test_where_nothing_listens_nothing_happened(desk: Desk) -> None:
    url = unused_url("/hook").replace("http://", "json://")

    receipt = by(desk, url).sent(channel="chat", body="x", timeout_s=30)

    assert (receipt.delivery, receipt.error_class) == (Delivery.RETRYABLE, ErrorClass.TRANSIENT)


def test_a_host_that_the_proxy_cannot_reach_got_nothing(desk: Desk) -> None:
    with gateway(world) as net:
        net.refused.add("chat.acme.example")
        by(desk, "mmosts://chat.acme.example/3ccdd113474722377935511fc85d3dd4").environ = os.environ | net.environ

        receipt = desk.sent(channel="chat", body="x", timeout_s=30)

    assert receipt.delivery is Delivery.RETRYABLE
    assert net.seen == []


def test_a_certificate_that_does_not_fit_is_a_matter_of_configuration(desk: Desk, net: Gateway) -> None:
    proxies = {name: value for name, value in net.environ.items() if "PROXY" in name.upper()}
    by(desk, "mmosts://chat.acme.example/3ccdd113474722377935511fc85d3dd4").environ = os.environ | proxies

    receipt = desk.sent(channel="chat", body="x", timeout_s=30)

    assert (receipt.delivery, receipt.error_class) == (Delivery.PERMANENT, ErrorClass.CONFIGURATION)


def test_the_process_ends_with_who_started_it(server: HttpServer) -> None:
    """What it sent after that nobody would know of."""
    server.answer("/hook", Reply(fault=Fault.HANG))
    order: dict[str, Any] = {
        "url": server.url.replace("http", "json", 1) + "/hook",
        "title": "",
        "body": "x",
        "format": "text",
    }
    order |= {"attachments": [], "path": [], "timeout_s": 60}
    child = subprocess.Popen([sys.executable, "-I", str(_CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(order).encode() + b"\n")
        child.stdin.flush()
        assert json.loads(child.stdout.readline()) == {"service": "JSON"}
        child.stdin.write(b'"go"\n')
        child.stdin.flush()
        until = time.monotonic() + 20
        while not server.seen and time.monotonic() < until:
            time.sleep(0.02)

        child.stdin.close()

        assert child.wait(10) == 9
        assert child.stdout.read() == b""


def test_the_look_before_sending_stops_it(desk: Desk, server: HttpServer) -> None:
    def refuse() -> None:
        raise failure("the approval was revoked")

    receipt = local(desk, server).sent(channel="chat", body="x", recheck=refuse, timeout_s=30)

    assert receipt.detail == "the approval was revoked"
    assert server.seen == []


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("mailto://user:pass-word@gmail.com", "not spoken over HTTP"),
        ("nope://user:pass-word@host", "none that Apprise understands"),
        ("rockets://user:pass-word@rocket.acme.example/%23a/%23b", "names 2 recipients"),
        ("json://user:pass-word@host/{to}", "no recipient is given"),
    ],
)
def test_an_address_that_will_not_do_is_refused_before_anything_is_sent(desk: Desk, url: str, what: str) -> None:
    receipt = by(desk, url).sent(channel="chat", body="x", timeout_s=30)

    assert (receipt.delivery, receipt.error_class) == (Delivery.PERMANENT, ErrorClass.CONFIGURATION)
    assert what in receipt.detail
    assert "pass-word" not in receipt.detail


def test_a_recipient_needs_its_place_in_the_address(desk: Desk) -> None:
    receipt = by(desk, "json://host/").sent(channel="chat", to="ann", body="x")

    assert receipt.error_class is ErrorClass.CONFIGURATION


def test_names_stand_for_addresses(desk: Desk, server: HttpServer) -> None:
    server.answer("*", Reply(200))
    url = server.url.replace("http://", "json://")
    desk.channels = {"chat": {"adapter": "apprise", "urls": {"ann": url + "/ann", "bob": url + "/bob"}}}
    prepared = desk.prepared(channel="chat", to=["ann", "bob"], body="x")

    for target in prepared.targets:
        desk.adapter.perform(desk.action(prepared, target, timeout_s=30.0), KEY)

    assert prepared.targets == ("ann", "bob")
    assert [one.path for one in server.seen] == ["/ann", "/bob"]


def test_a_name_that_nobody_set_up_is_refused(desk: Desk) -> None:
    desk.channels = {"chat": {"adapter": "apprise", "urls": {"ann": "json://host/"}}}

    with pytest.raises(UsageError, match="bob"):
        desk.prepared(channel="chat", to="bob", body="x")


def test_an_attachment_goes_along(desk: Desk, server: HttpServer) -> None:
    server.answer("/hook", Reply(200))
    (desk.root / "notes.txt").write_text("the notes")

    receipt = local(desk, server).sent(channel="chat", body="x", attachments=["notes.txt"], timeout_s=30)

    assert receipt.delivery is Delivery.DELIVERED
    (attachment,) = server.seen[0].json["attachments"]
    assert attachment["filename"] == "notes.txt"


def test_the_request_that_is_decided_is_valid_and_holds_no_address(desk: Desk) -> None:
    prepared = by(desk, "json://user:pass-word@host/{to}").prepared(channel="chat", to=["ann"], subject="s", body="x")

    request = {
        "subject": {"type": "user", "id": "user:alice"},
        "action": {"name": "send_message", "properties": dict(prepared.properties)},
        "resource": dict(prepared.resource),
    }
    assert problems(request) == []
    assert prepared.properties == {"channel": "chat", "to": ["ann"], "subject": "s", "body": "x"}
    assert (prepared.effect, prepared.is_replayable) == (Effect.OUTWARD, False)


def test_nobody_can_be_asked_what_became_of_a_message(desk: Desk) -> None:
    assert by(desk, "json://host/").reconciled(channel="chat", body="x") is None


@pytest.mark.parametrize(
    "channel",
    [
        {},
        {"url": "json://a", "urls": {"a": "json://a"}},
        {"url": ""},
        {"urls": {}},
        {"urls": {"a": 1}},
        {"url": "json://a", "format": "rtf"},
        {"url": "json://a", "tp": "x"},
    ],
    ids=repr,
)
def test_a_channel_that_is_not_set_up_well_is_refused(desk: Desk, channel: dict[str, Any]) -> None:
    desk.channels = {"chat": {"adapter": "apprise", **channel}}

    with pytest.raises(AdapterError):
        desk.prepared(channel="chat", to="a", body="x")


@pytest.mark.parametrize("to", ["", " a", "a\nb", "x" * 255])
def test_a_recipient_that_is_none_is_refused(desk: Desk, to: str) -> None:
    with pytest.raises(UsageError):
        by(desk, "json://host/{to}").prepared(channel="chat", to=[to], body="x")


def test_html_has_no_place_here(desk: Desk) -> None:
    with pytest.raises(UsageError, match="HTML"):
        by(desk, "json://host/").prepared(channel="chat", body="x", html="<b>x</b>")
