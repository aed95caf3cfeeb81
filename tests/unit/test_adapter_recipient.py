"""Recipients that are secrets: decided and told as their reference, revealed and judged only when something is sent."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from http_server import HttpServer, Reply, http_server
from sending import KEY, Desk, receipt_of
from smtp_server import Security, SmtpServer, Stage, smtp_server

from orchestrator.adapter import Delivery, ErrorClass, Receipt
from orchestrator.errors import AdapterError, UsageError
from orchestrator_adapters.apprise_ import Apprise
from orchestrator_adapters.mail import Mail

ANNA = "Anna.Lind@secret.example"
OF_ANNA, OF_BEN = "${{ secrets.ANNA_MAIL }}", "${{ secrets.BEN_MAIL }}"
LETTER: dict[str, Any] = {"channel": "ops", "subject": "Ready", "body": "It is."}


@pytest.fixture(scope="module")
def plain_server() -> Iterator[SmtpServer]:
    with smtp_server(Security.NONE) as running:
        yield running


@pytest.fixture
def server(plain_server: SmtpServer) -> SmtpServer:
    plain_server.mails.clear()
    plain_server._failures.clear()
    return plain_server


@pytest.fixture
def desk(tmp_path: Path, server: SmtpServer) -> Desk:
    channel = {"adapter": "mail", "host": "localhost", "port": server.port, "from": "orch@acme.example"}
    known = {
        "ANNA_MAIL": ANNA,
        "BEN_MAIL": ANNA,
        "WRONG": "Anna <anna@secret.example>",
        "TWO": "a@b.example, c@d.example",
    }
    return Desk(Mail(), tmp_path, channels={"ops": channel | {"security": "none"}}, secrets=known)


@pytest.fixture(scope="module")
def web() -> Iterator[HttpServer]:
    with http_server() as running:
        yield running


@pytest.fixture
def phone(tmp_path: Path, web: HttpServer) -> Desk:
    web.seen.clear()
    address = web.url.replace("http://", "json://") + "/hook/{to}"
    secrets = {"ADDRESS": address, "ANNA_PHONE": "+15552223333", "TORN": "+1555\n2223333"}
    channels = {"sms": {"adapter": "apprise", "url": "${{ secrets.ADDRESS }}"}}
    return Desk(Apprise(), tmp_path, channels=channels, secrets=secrets)


def everything(receipt: Receipt) -> str:
    return repr(receipt).lower()


def test_a_reference_is_what_is_decided_and_what_is_told(desk: Desk) -> None:
    prepared = desk.prepared(**LETTER, to=[OF_ANNA, "bob@acme.example"])

    assert prepared.properties["to"] == [OF_ANNA, "bob@acme.example"]
    assert prepared.targets == (OF_ANNA, "bob@acme.example")


def test_a_reference_is_written_in_one_way(desk: Desk) -> None:
    assert desk.prepared(**LETTER, to=["${{secrets.ANNA_MAIL}}", f" {OF_ANNA} "]).targets == (OF_ANNA,)


def test_the_message_goes_to_whom_the_secret_names(desk: Desk, server: SmtpServer) -> None:
    receipt = desk.sent(**LETTER, to=OF_ANNA)

    (mail,) = server.mails
    assert receipt.delivery is Delivery.DELIVERED
    assert (mail.to, mail.message["To"]) == (ANNA, ANNA)
    assert "anna" not in everything(receipt)


def test_two_secrets_may_name_one_person_who_then_gets_two(desk: Desk, server: SmtpServer) -> None:
    prepared = desk.prepared(**LETTER, to=[OF_ANNA, OF_BEN])

    for target in prepared.targets:
        desk.adapter.perform(desk.action(prepared, target), KEY)

    assert [mail.to for mail in server.mails] == [ANNA, ANNA]


def test_a_channel_may_know_its_recipients_by_reference(desk: Desk, server: SmtpServer) -> None:
    desk.channels = {"ops": {**desk.channels["ops"], "to": [OF_ANNA]}}

    assert desk.prepared(**LETTER).targets == (OF_ANNA,)
    assert desk.sent(**LETTER).delivery is Delivery.DELIVERED
    assert server.mails[0].to == ANNA


@pytest.mark.parametrize("name", ["WRONG", "TWO"])
def test_what_is_no_address_is_a_fault_of_the_configuration_and_not_shown(
    desk: Desk, server: SmtpServer, name: str
) -> None:
    receipt = desk.sent(**LETTER, to=f"${{{{ secrets.{name} }}}}")

    assert (receipt.delivery, receipt.error_class) == (Delivery.PERMANENT, ErrorClass.CONFIGURATION)
    assert f"${{{{ secrets.{name} }}}}" in receipt.detail
    assert ".example" not in receipt.detail
    assert server.mails == []


def test_the_error_has_nothing_behind_it_that_shows_the_value(desk: Desk) -> None:
    action = desk.action(desk.prepared(**LETTER, to="${{ secrets.WRONG }}"))

    with pytest.raises(AdapterError) as caught:
        desk.adapter.perform(action, KEY)

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_secret_nobody_declared_is_a_fault_of_the_configuration(desk: Desk) -> None:
    receipt = desk.sent(**LETTER, to="${{ secrets.ANA_MAIL }}")

    assert (receipt.delivery, receipt.error_class) == (Delivery.PERMANENT, ErrorClass.CONFIGURATION)
    assert "ANNA_MAIL" in receipt.detail


@pytest.mark.parametrize("to", ["${{ secrets.NAME }}@acme.example", f"Anna {OF_ANNA}", f"{OF_ANNA}{OF_BEN}"])
def test_a_reference_beside_other_text_is_refused(desk: Desk, to: str) -> None:
    with pytest.raises(UsageError, match="the reference alone"):
        desk.prepared(**LETTER, to=to)


@pytest.mark.parametrize(
    ("stage", "reply", "expected"),
    [
        (Stage.RCPT, "550 5.1.1 <{to}> no such user", (Delivery.PERMANENT, "at the recipient: 550 5.1.1")),
        (Stage.RCPT, "450 {to} is busy", (Delivery.RETRYABLE, "at the recipient: 450")),
        (Stage.DOT, "552 5.2.2 mailbox of {to} is full", (Delivery.PERMANENT, "at the end of the message: 552 5.2.2")),
    ],
)
def test_a_server_that_repeats_the_address_does_not_tell_it(
    desk: Desk, server: SmtpServer, stage: Stage, reply: str, expected: tuple[Delivery, str]
) -> None:
    server.fail(stage, reply.format(to=ANNA.lower()))

    receipt = desk.sent(**LETTER, to=OF_ANNA)

    assert (receipt.delivery, receipt.detail.partition(", ")[2]) == expected
    assert "anna" not in everything(receipt)


def test_of_a_recipient_that_is_no_secret_the_servers_words_are_told(desk: Desk, server: SmtpServer) -> None:
    server.fail(Stage.RCPT, "550 5.1.1 no such user")

    assert "no such user" in desk.sent(**LETTER, to="bob@acme.example").detail


class TestWhereAnswersGo:
    """`reply_to`, of a message or of a channel."""

    def test_it_may_be_a_reference(self, desk: Desk, server: SmtpServer) -> None:
        prepared = desk.prepared(**LETTER, to="bob@acme.example", reply_to=OF_ANNA)
        desk.adapter.perform(desk.action(prepared), KEY)

        assert prepared.properties["reply_to"] == OF_ANNA
        assert server.mails[0].message["Reply-To"] == ANNA

    def test_a_channel_may_name_it_by_reference(self, desk: Desk, server: SmtpServer) -> None:
        desk.channels = {"ops": {**desk.channels["ops"], "reply_to": OF_ANNA}}

        desk.sent(**LETTER, to="bob@acme.example")

        assert server.mails[0].message["Reply-To"] == ANNA

    def test_a_channels_own_stays_as_it_is_written(self, desk: Desk, server: SmtpServer) -> None:
        desk.channels = {"ops": {**desk.channels["ops"], "reply_to": "Ops <ops@acme.example>"}}

        desk.sent(**LETTER, to="bob@acme.example")

        assert server.mails[0].message["Reply-To"] == "Ops <ops@acme.example>"

    @pytest.mark.parametrize("given", [{"reply_to": "${{ secrets.WRONG }}"}, {}], ids=["message", "channel"])
    def test_what_is_no_address_sends_nothing(self, desk: Desk, server: SmtpServer, given: dict[str, Any]) -> None:
        if not given:
            desk.channels = {"ops": {**desk.channels["ops"], "reply_to": "${{ secrets.WRONG }}"}}

        receipt = desk.sent(**LETTER, to="bob@acme.example", **given)

        assert (receipt.delivery, receipt.error_class) == (Delivery.PERMANENT, ErrorClass.CONFIGURATION)
        assert "secret.example" not in receipt.detail
        assert server.mails == []

    def test_a_channels_reference_beside_other_text_is_refused(self, desk: Desk) -> None:
        desk.channels = {"ops": {**desk.channels["ops"], "reply_to": f"Anna <{OF_ANNA}>"}}

        with pytest.raises(AdapterError, match="the reference alone"):
            desk.prepared(**LETTER, to="bob@acme.example")


class TestApprise:
    """The same for every service of Apprise."""

    def test_the_recipient_is_filled_in_when_it_is_sent(self, phone: Desk, web: HttpServer) -> None:
        web.answer("/hook/+15552223333", Reply(200))
        prepared = phone.prepared(channel="sms", to="${{ secrets.ANNA_PHONE }}", body="x")

        receipt = receipt_of(lambda: phone.adapter.perform(phone.action(prepared, timeout_s=20), KEY))

        assert prepared.targets == ("${{ secrets.ANNA_PHONE }}",)
        assert receipt.delivery is Delivery.DELIVERED
        assert [one.path for one in web.seen] == ["/hook/+15552223333"]
        assert "555" not in everything(receipt)

    def test_what_can_be_no_recipient_is_a_fault_of_the_configuration(self, phone: Desk, web: HttpServer) -> None:
        receipt = phone.sent(channel="sms", to="${{ secrets.TORN }}", body="x")

        assert (receipt.delivery, receipt.error_class) == (Delivery.PERMANENT, ErrorClass.CONFIGURATION)
        assert "555" not in receipt.detail
        assert web.seen == []

    def test_an_address_that_is_one_of_several_has_a_name_and_no_reference(self, phone: Desk) -> None:
        phone.channels = {"social": {"adapter": "apprise", "urls": {"x": "json://localhost/x"}}}

        with pytest.raises(UsageError, match="knows no"):
            phone.prepared(channel="social", to="${{ secrets.ANNA_PHONE }}", body="x")
