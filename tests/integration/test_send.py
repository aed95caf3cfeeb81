"""`orch act` sends for real: mail, webhooks and SMS, each decided, recorded, and done once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import Place, clean, place_in
from gateway import gateway
from http_server import Fault, HttpServer, Reply, Seen, http_server
from smtp_server import SmtpServer, Stage, smtp_server

PACK = """apiVersion: orch/v1
kind: PolicyPack
metadata: {name: acme, version: 1.0.0}
default: deny
rules:
  - {id: messages, effect: allow, actions: [send_message], when: {action.properties.to: {glob: "*@acme.example"}}}
  - {id: sms, effect: allow, actions: [send_message], when: {action.properties.channel: sms}}
  - {id: hooks, effect: allow, actions: [call_webhook], when: {action.properties.url: {host: 127.0.0.1}}}
"""
TOKEN = "t0ken-of-the-hook"


@pytest.fixture(scope="module")
def web() -> Iterator[HttpServer]:
    with http_server() as running:
        yield running


@pytest.fixture(scope="module")
def smtp() -> Iterator[SmtpServer]:
    with smtp_server(login=("orch", "pass-of-smtp")) as running:
        yield running


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, web: HttpServer, smtp: SmtpServer) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("send")
    (folder / "packs").mkdir()
    (folder / "packs/pack.yaml").write_text(PACK)
    settings = {
        "packs": [str(folder / "packs")],
        "subject": "user:alice",
        "secrets": {
            "SMTP": {"env": "SMTP_SECRET_VALUE"},
            "HOOK": {"env": "HOOK_VALUE", "actions": ["call_webhook"]},
            "TWILIO": {"env": "TWILIO_VALUE"},
        },
        "channels": {
            "ops": {
                "adapter": "mail",
                "host": "localhost",
                "port": smtp.port,
                "username": "orch",
                "password": "${{ secrets.SMTP }}",
                "from": "orch@acme.example",
                "ca_file": smtp.ca_file,
            },
            "sms": {"adapter": "apprise", "url": "${{ secrets.TWILIO }}"},
        },
        "adapters": {
            "webhook": {
                "endpoints": {
                    "deploys": {
                        "url": web.url + "/deploys",
                        "headers": {"authorization": "Bearer ${{ secrets.HOOK }}"},
                        "lookup": web.url + "/by-key/{key}",
                    }
                }
            }
        },
    }
    (folder / "operator.yaml").write_text(yaml.safe_dump(settings))
    more = {
        "ORCH_CONFIG": str(folder / "operator.yaml"),
        "ORCH_LEDGER": str(folder / "ledger"),
        "SMTP_SECRET_VALUE": "pass-of-smtp",
        "HOOK_VALUE": TOKEN,
        "TWILIO_VALUE": f"twilio://AC{'a' * 32}:{'b' * 32}@+15550001111/{{to}}",
    }
    with place_in(folder, **more) as made:
        yield made


def act(place: Place, action: str, *options: str, **arguments: object) -> dict[str, Any]:
    """Run `orch act` and return what it answers."""
    said = [f"--arg={name}:={json.dumps(value)}" for name, value in arguments.items()]
    done = place.orch("act", action, *said, *options, "-o", "json")
    text = clean(done)
    assert TOKEN not in text
    assert "pass-of-smtp" not in text
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def deliveries(answer: dict[str, Any]) -> dict[str, str]:
    return {one["target"]: one["delivery"] for one in answer["receipts"]}


def test_each_recipient_is_written_to_once_and_only_what_is_missing_again(place: Place, smtp: SmtpServer) -> None:
    smtp.fail(Stage.RCPT, "450 later", to="bob@acme.example")
    message = {"channel": "ops", "to": ["ann@acme.example", "bob@acme.example"], "subject": "Ready", "body": "It is."}

    first = act(place, "send_message", "--key", "mail-1", **message)
    second = act(place, "send_message", "--key", "mail-1", **message)

    assert deliveries(first) == {"ann@acme.example": "delivered", "bob@acme.example": "retryable"}
    assert set(deliveries(second).values()) == {"delivered"}
    assert [one.to for one in smtp.mails] == ["ann@acme.example", "bob@acme.example"]
    assert len({one.message["Message-ID"] for one in smtp.mails}) == 2


def test_whom_policy_does_not_know_is_not_written_to(place: Place, smtp: SmtpServer) -> None:
    before = len(smtp.mails)

    done = place.orch("act", "send_message", "--arg=channel=ops", '--arg=to:=["eve@evil.example"]', "--arg=body=x")

    assert done.returncode == 3, clean(done)
    assert len(smtp.mails) == before


def test_a_lost_answer_is_looked_up_and_not_sent_again(place: Place, web: HttpServer) -> None:
    """The server did what was asked, and the connection broke before it could say so."""
    web.seen.clear()
    web.answer("/deploys", Reply(fault=Fault.CLOSE_LATE), Reply(201))

    first = act(place, "call_webhook", "--key", "hook-1", endpoint="deploys", json={"version": "1.4"})
    (sent,) = web.of("/deploys")
    key = sent.headers["idempotency-key"]
    web.answer(f"/by-key/{key}", Reply(200))
    second = act(place, "call_webhook", "--key", "hook-1", endpoint="deploys", json={"version": "1.4"})

    assert deliveries(first) == {"": "unknown"}
    assert deliveries(second) == {"": "delivered"}
    assert len(web.of("/deploys")) == 1
    assert sent.headers["authorization"] == f"Bearer {TOKEN}"


def test_what_certainly_did_not_arrive_is_sent_again_with_the_same_key(place: Place, web: HttpServer) -> None:
    web.seen.clear()
    web.answer("/deploys", Reply(fault=Fault.RESET), Reply(201))

    first = act(place, "call_webhook", "--key", "hook-2", endpoint="deploys", json={"version": "1.5"})
    second = act(place, "call_webhook", "--key", "hook-2", endpoint="deploys", json={"version": "1.5"})

    assert (deliveries(first), deliveries(second)) == ({"": "unknown"}, {"": "delivered"})
    assert len({one.headers["idempotency-key"] for one in web.of("/deploys")}) == 1
    assert len(web.of("/deploys")) == 2


def test_a_dry_run_calls_nobody(place: Place, web: HttpServer) -> None:
    web.seen.clear()

    done = place.orch("act", "call_webhook", "--arg=endpoint=deploys", "--arg=body=x", "--dry-run")

    assert done.returncode == 0, clean(done)
    assert web.seen == []


def test_an_sms_goes_out_by_its_service(place: Place) -> None:
    def twilio(seen: Seen) -> Reply:
        return Reply(201, {"sid": "SM1"}) if seen.host == "api.twilio.com" else Reply(404)

    with gateway(twilio) as net:
        reached = Place(place.folder, place.environ | net.environ)

        answer = act(reached, "send_message", channel="sms", to=["+15552223333"], body="Release 1.4 waits")

    assert deliveries(answer) == {"+15552223333": "delivered"}
    assert len(net.of("api.twilio.com")) == 1
    assert b"%2B15552223333" in net.of("api.twilio.com")[0].body


def test_no_secret_is_in_the_ledger(place: Place) -> None:
    act(place, "call_webhook", endpoint="deploys", body="x")

    for file in (place.folder / "ledger").rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert not any(secret in data for secret in (TOKEN.encode(), b"pass-of-smtp", b"b" * 32)), file


def test_the_record_verifies(place: Place, tmp_path: Path) -> None:
    act(place, "call_webhook", endpoint="deploys", body="y")

    assert place.orch("ledger", "verify", cwd=tmp_path).returncode == 0


def test_a_recipient_that_is_a_secret_stays_one_wherever_it_is_told(tmp_path: Path, smtp: SmtpServer) -> None:
    who = "anna.lind@secret.example"
    pack = PACK.replace('{glob: "*@acme.example"}', '["$${{ secrets.ANNA_MAIL }}"]')
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs/pack.yaml").write_text(pack)
    channel = {"adapter": "mail", "host": "localhost", "port": smtp.port, "from": "orch@acme.example"}
    login = {"username": "orch", "password": "${{ secrets.SMTP }}", "ca_file": smtp.ca_file}
    secrets = {"SMTP": {"env": "SMTP_SECRET_VALUE"}, "ANNA_MAIL": {"env": "ANNA_MAIL", "actions": ["send_message"]}}
    settings = {"packs": ["packs"], "subject": "user:alice", "secrets": secrets, "channels": {"ops": channel | login}}
    (tmp_path / "operator.yaml").write_text(yaml.safe_dump(settings))
    more = {"ORCH_CONFIG": str(tmp_path / "operator.yaml"), "ORCH_LEDGER": str(tmp_path / "ledger")}
    smtp.fail(Stage.RCPT, f"450 4.2.1 {who} is busy", to=who)
    message = ["--arg=channel=ops", "--arg=to=${{ secrets.ANNA_MAIL }}", "--arg=body=It is time", "--key=letter"]

    with place_in(tmp_path, **more, SMTP_SECRET_VALUE="pass-of-smtp", ANNA_MAIL=who) as own:
        first = own.orch("act", "send_message", *message)
        second = own.orch("act", "send_message", *message, "-o", "json")
        told = clean(first) + clean(second) + clean(own.orch("ledger", "show", "-o", "json"))

    assert (first.returncode, second.returncode) == (1, 0), told
    assert deliveries(json.loads(second.stdout)) == {"${{ secrets.ANNA_MAIL }}": "delivered"}
    assert smtp.mails[-1].to == who
    assert who not in told
    for file in (tmp_path / "ledger").rglob("*"):
        assert not file.is_file() or who.encode() not in file.read_bytes(), file
