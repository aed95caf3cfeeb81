"""The mail adapter against a real SMTP server on loopback, failures at every stage included."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from http_server import unused_url
from sending import KEY, Desk, receipt_of
from smtp_server import Security, SmtpServer, Stage, smtp_server

from orchestrator.adapter import Delivery, ErrorClass, failure
from orchestrator.digest import sha256
from orchestrator.errors import AdapterError, UsageError
from orchestrator.request import problems
from orchestrator_adapters.mail import Mail, address

MESSAGE: dict[str, Any] = {"channel": "ops", "to": ["ann@x.example"], "subject": "Ready", "body": "Version 1.4 is out."}


@pytest.fixture(scope="module")
def plain_server() -> Iterator[SmtpServer]:
    """Return a server for what does not depend on how it is spoken to."""
    with smtp_server(Security.NONE) as running:
        yield running


@pytest.fixture
def server(plain_server: SmtpServer) -> SmtpServer:
    plain_server.mails.clear()
    plain_server.reached.clear()
    plain_server._failures.clear()
    return plain_server


@pytest.fixture
def desk(tmp_path: Path, server: SmtpServer) -> Desk:
    return Desk(Mail(), tmp_path, channels=channels(server, security="none"))


def channels(server: SmtpServer, **more: object) -> Mapping[str, Mapping[str, Any]]:
    usual = {"adapter": "mail", "host": "localhost", "port": server.port, "from": "Orch <orch@acme.example>"}
    return {"ops": usual | more}


def test_a_message_arrives_with_the_keys_message_id(desk: Desk, server: SmtpServer) -> None:
    receipt = desk.sent(**MESSAGE | {"subject": "Grüße", "body": "Zeile\n.\n.mit Punkt\nzuletzt"})

    (mail,) = server.mails
    assert receipt.delivery is Delivery.DELIVERED
    assert receipt.reference == mail.message["Message-ID"] == f"<{KEY}@acme.example>"
    assert (mail.sender, mail.to) == ("orch@acme.example", "ann@x.example")
    assert mail.message["Subject"] == "Grüße"
    assert mail.message["From"] == "Orch <orch@acme.example>"
    assert mail.message["To"] == "ann@x.example"
    assert mail.message["Date"]
    assert mail.message["Auto-Submitted"] == "auto-generated"
    assert mail.message.get_content().replace("\r\n", "\n") == "Zeile\n.\n.mit Punkt\nzuletzt\n"


def test_every_recipient_has_a_message_and_a_receipt_of_its_own(desk: Desk, server: SmtpServer) -> None:
    server.fail(Stage.RCPT, "550 5.1.1 no such user", to="bob@x.example")
    server.fail(Stage.DOT, to="eve@x.example")
    prepared = desk.prepared(**MESSAGE | {"to": ["ann@x.example", "bob@x.example", "eve@x.example", "ann@x.example"]})

    receipts = {
        to: receipt_of(lambda to=to: desk.adapter.perform(desk.action(prepared, to), KEY)).delivery  # type: ignore[misc]
        for to in prepared.targets
    }

    assert receipts == {
        "ann@x.example": Delivery.DELIVERED,
        "bob@x.example": Delivery.PERMANENT,
        "eve@x.example": Delivery.UNKNOWN,
    }
    assert [(mail.to, mail.message["To"]) for mail in server.mails] == [
        ("ann@x.example", "ann@x.example"),
        ("eve@x.example", "eve@x.example"),
    ]


@pytest.mark.parametrize(
    ("stage", "reply", "expected"),
    [
        (Stage.GREETING, None, (Delivery.RETRYABLE, 0)),
        (Stage.GREETING, "421 too busy", (Delivery.RETRYABLE, 0)),
        (Stage.GREETING, "554 no mail here", (Delivery.PERMANENT, 0)),
        (Stage.EHLO, None, (Delivery.RETRYABLE, 0)),
        (Stage.MAIL, None, (Delivery.RETRYABLE, 0)),
        (Stage.MAIL, "421 going down", (Delivery.RETRYABLE, 0)),
        (Stage.MAIL, "451 later", (Delivery.RETRYABLE, 0)),
        (Stage.MAIL, "553 not you", (Delivery.PERMANENT, 0)),
        (Stage.RCPT, None, (Delivery.RETRYABLE, 0)),
        (Stage.RCPT, "450 mailbox busy", (Delivery.RETRYABLE, 0)),
        (Stage.RCPT, "421 going down", (Delivery.RETRYABLE, 0)),
        (Stage.RCPT, "550 no such user", (Delivery.PERMANENT, 0)),
        (Stage.DATA, None, (Delivery.RETRYABLE, 0)),
        (Stage.DATA, "451 later", (Delivery.RETRYABLE, 0)),
        (Stage.DATA, "554 not now", (Delivery.PERMANENT, 0)),
        (Stage.DATA, "250 what?", (Delivery.RETRYABLE, 0)),
        (Stage.BODY, None, (Delivery.RETRYABLE, 0)),
        (Stage.DOT, None, (Delivery.UNKNOWN, 1)),
        (Stage.DOT, "452 disk full", (Delivery.RETRYABLE, 0)),
        (Stage.DOT, "552 too large", (Delivery.PERMANENT, 0)),
        (Stage.DOT, "421 going down", (Delivery.UNKNOWN, 0)),
        (Stage.DOT, "nonsense", (Delivery.UNKNOWN, 0)),
    ],
    ids=lambda value: str(value) if isinstance(value, Stage | str) else None,
)
def test_where_it_broke_says_what_became_of_it(
    desk: Desk, server: SmtpServer, stage: Stage, reply: str | None, expected: tuple[Delivery, int]
) -> None:
    """The look before the end gives a connection that was dropped in the middle the time to be seen as dropped."""
    server.fail(stage, reply)

    receipt = desk.sent(**MESSAGE, recheck=lambda: sleep(0.1 if stage is Stage.BODY else 0))

    assert (receipt.delivery, len(server.mails)) == expected


def test_a_later_attempt_carries_the_same_message_id(desk: Desk, server: SmtpServer) -> None:
    server.fail(Stage.RCPT, "450 later")

    assert desk.sent(**MESSAGE).delivery is Delivery.RETRYABLE
    assert desk.sent(**MESSAGE).reference == f"<{KEY}@acme.example>"


def test_where_nothing_listens_nothing_happened(desk: Desk) -> None:
    port = int(unused_url().rpartition(":")[2].strip("/"))
    desk.channels = {"ops": {**desk.channels["ops"], "port": port}}

    receipt = desk.sent(**MESSAGE)

    assert (receipt.delivery, receipt.error_class) == (Delivery.RETRYABLE, ErrorClass.TRANSIENT)
    assert "nothing listens" in receipt.detail


def test_a_server_that_says_nothing_is_left_in_time(desk: Desk) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        desk.channels = {"ops": {**desk.channels["ops"], "port": silent.getsockname()[1]}}

        receipt = desk.sent(**MESSAGE, timeout_s=0.3)

    assert receipt.delivery is Delivery.RETRYABLE
    assert "in time" in receipt.detail


def test_the_look_before_sending_comes_right_before_the_end_of_the_message(desk: Desk, server: SmtpServer) -> None:
    def refuse() -> None:
        assert server.reached[-1] is Stage.BODY
        raise failure("the approval was revoked")

    receipt = desk.sent(**MESSAGE, recheck=refuse)

    assert receipt.detail == "the approval was revoked"
    assert server.mails == []


def test_nobody_can_be_asked_what_became_of_a_message(desk: Desk) -> None:
    assert desk.reconciled(**MESSAGE) is None
    assert not desk.prepared(**MESSAGE).is_replayable


class TestContent:
    """What is in a message, and what cannot get in."""

    def test_what_is_decided_is_a_valid_request_with_the_whole_text(self, desk: Desk) -> None:
        (desk.root / "notes.pdf").write_bytes(b"%PDF")
        prepared = desk.prepared(
            **MESSAGE | {"html": "<b>hi</b>", "attachments": ["notes.pdf"], "reply_to": "me@x.example"}
        )

        request = {
            "subject": {"type": "user", "id": "user:alice"},
            "action": {"name": "send_message", "properties": dict(prepared.properties)},
            "resource": dict(prepared.resource),
        }
        assert problems(request) == []
        assert prepared.resource == {"type": "channel", "id": "ops"}
        assert prepared.properties["to"] == ["ann@x.example"]
        assert prepared.properties["body"] == "Version 1.4 is out."

    def test_html_stands_beside_the_text(self, desk: Desk, server: SmtpServer) -> None:
        desk.sent(**MESSAGE | {"html": "<p>Version 1.4</p>"})

        message = server.mails[0].message
        assert message.get_content_type() == "multipart/alternative"
        assert [one.get_content_type() for one in message.iter_parts()] == ["text/plain", "text/html"]

    def test_an_attachment_is_the_file_that_was_decided(self, desk: Desk, server: SmtpServer) -> None:
        (desk.root / "out").mkdir()
        (desk.root / "out/report.pdf").write_bytes(b"%PDF-1")

        prepared = desk.prepared(**MESSAGE | {"attachments": [{"path": "out/report.pdf", "name": "März.pdf"}]})
        desk.adapter.perform(desk.action(prepared), KEY)

        assert prepared.properties["attachments"] == [
            {
                "path": "out/report.pdf",
                "name": "März.pdf",
                "type": "application/pdf",
                "digest": sha256(b"%PDF-1"),
                "size": 6,
            }
        ]
        (part,) = server.mails[0].message.iter_attachments()
        assert (part.get_filename(), part.get_content_type()) == ("März.pdf", "application/pdf")
        assert part.get_content() == b"%PDF-1"

    def test_a_file_that_was_changed_since_is_not_sent(self, desk: Desk, server: SmtpServer) -> None:
        (desk.root / "report.pdf").write_bytes(b"one")
        action = desk.action(desk.prepared(**MESSAGE | {"attachments": "report.pdf"}))
        (desk.root / "report.pdf").write_bytes(b"two")

        receipt = receipt_of(lambda: desk.adapter.perform(action, KEY))

        assert receipt.delivery is Delivery.RETRYABLE
        assert server.mails == []

    @pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "link", "gone", "folder"])
    def test_nothing_outside_is_attached(self, desk: Desk, path: str) -> None:
        (desk.root / "link").symlink_to("/etc/passwd")
        (desk.root / "folder").mkdir()

        with pytest.raises(UsageError):
            desk.prepared(**MESSAGE | {"attachments": [path]})

    @pytest.mark.parametrize("subject", ["a\r\nBcc: eve@x.example", "a\nb", "a\x00b", "x" * 401])
    def test_no_header_comes_in_by_the_subject(self, desk: Desk, subject: str) -> None:
        with pytest.raises(UsageError, match="subject"):
            desk.prepared(**MESSAGE | {"subject": subject})

    def test_no_second_message_comes_in_by_the_body(self, desk: Desk, server: SmtpServer) -> None:
        """Lone line feeds and carriage returns around a dot end a message for some servers."""
        body = "a\n.\nb\r.\rc\r\n.\r\nMAIL FROM:<eve@x.example>\r\nd\n.\r\ne"

        assert desk.sent(**MESSAGE | {"body": body}).delivery is Delivery.DELIVERED

        assert len(server.mails) == 1
        assert re.search(rb"\r(?!\n)|(?<!\r)\n", server.mails[0].content) is None
        assert "MAIL FROM" in server.mails[0].message.get_content()

    @pytest.mark.parametrize("body", ["", "  ", "\ud800", "a\0b", "x" * 1_000_001])
    def test_a_body_that_is_none_is_refused(self, desk: Desk, body: str) -> None:
        with pytest.raises(UsageError):
            desk.prepared(**MESSAGE | {"body": body})

    @pytest.mark.parametrize(
        "to",
        [
            "no-at",
            "a@b@c.example",
            "Ann <ann@x.example>",
            "ann@x.example, eve@x.example",
            "ann@x.example\r\nBcc: eve@x.example",
            "<ann@x.example>",
            "ann@",
            "@x.example",
            "ann@-x.example",
            "ännchen@x.example",
            "a" * 65 + "@x.example",
            "-f@x.example> SIZE=1 <",
        ],
    )
    def test_a_recipient_that_is_none_is_refused(self, desk: Desk, to: str) -> None:
        with pytest.raises(UsageError):
            desk.prepared(**MESSAGE | {"to": [to]})

    def test_an_address_is_written_in_one_way(self) -> None:
        assert address(" Ann.B+x@BÜCHER.Example ") == "Ann.B+x@xn--bcher-kva.example"

    def test_a_channel_may_know_its_recipients(self, desk: Desk) -> None:
        desk.channels = {"ops": {**desk.channels["ops"], "to": "team@acme.example"}}

        assert desk.prepared(channel="ops", body="x").targets == ("team@acme.example",)

    def test_without_a_recipient_there_is_no_message(self, desk: Desk) -> None:
        with pytest.raises(UsageError, match="to"):
            desk.prepared(channel="ops", body="x")


@pytest.mark.parametrize(
    ("channel", "what"),
    [
        ({"host": ""}, "host"),
        ({"from": "nobody"}, "from"),
        ({"from": "a@x.example\r\nBcc: b@x.example"}, "from"),
        ({"security": "ssl"}, "security"),
        ({"port": 0}, "port"),
        ({"port": "25"}, "port"),
        ({"username": "orch"}, "password"),
        ({"hots": "x"}, "hots"),
        ({"adapter": "apprise"}, "apprise"),
    ],
    ids=repr,
)
def test_a_channel_that_is_not_set_up_well_is_refused(desk: Desk, channel: dict[str, Any], what: str) -> None:
    desk.channels = {"ops": {**desk.channels["ops"], **channel}}

    with pytest.raises(AdapterError, match=what) as caught:
        desk.prepared(**MESSAGE)
    assert caught.value.error_class == ErrorClass.CONFIGURATION


def test_a_channel_nobody_set_up_is_refused_with_the_nearest(desk: Desk) -> None:
    with pytest.raises(AdapterError, match="ops"):
        desk.prepared(**MESSAGE | {"channel": "opps"})


@pytest.mark.parametrize(
    "more",
    [
        {"channel": None},
        {"bodyy": "x"},
        {"template": "t"},
        {"values": {"a": 1}},
        {"to": [f"u{number}@x.example" for number in range(101)]},
        {"to": [7]},
        {"attachments": [{"path": "x", "size": 1}]},
        {"reply_to": "a\r\nb@x.example"},
    ],
    ids=lambda value: next(iter(value)),
)
def test_parameters_that_cannot_be_are_refused(desk: Desk, more: dict[str, Any]) -> None:
    (desk.root / "x").write_text("x")

    with pytest.raises(UsageError):
        desk.prepared(**MESSAGE | more)


def test_an_address_to_reply_to_that_is_none_is_told_as_such(desk: Desk) -> None:
    with pytest.raises(UsageError, match=r"^`reply_to` .* is no mail address"):
        desk.prepared(**MESSAGE | {"reply_to": "ann@x.example\r\nBcc: eve@x.example"})


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("", "`to` of send_message is ''; expected a text that is not empty"),
        (["ann@x.example", 1], r"`to\[1\]` of send_message is the number 1; expected a text that is not empty"),
        ({"a": "b"}, "`to` of send_message is an object; expected a list of texts"),
    ],
)
def test_what_is_wrong_in_a_list_is_told(desk: Desk, to: object, said: str) -> None:
    with pytest.raises(UsageError, match=f"^{said}$"):
        desk.prepared(**MESSAGE | {"to": to})
