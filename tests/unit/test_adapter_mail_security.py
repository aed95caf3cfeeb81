"""How a mail server is spoken to, never with less than the channel says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sending import Desk
from smtp_server import Security, SmtpServer, Stage, smtp_server

from orchestrator.adapter import Delivery, ErrorClass
from orchestrator.errors import AdapterError
from orchestrator_adapters.mail import Mail

MESSAGE: dict[str, Any] = {"channel": "ops", "to": ["ann@x.example"], "subject": "Ready", "body": "Version 1.4 is out."}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(Mail(), tmp_path)


def channels(server: SmtpServer, **more: object) -> Mapping[str, Mapping[str, Any]]:
    usual = {"adapter": "mail", "host": "localhost", "port": server.port, "from": "Orch <orch@acme.example>"}
    return {"ops": usual | more}


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
def test_it_is_encrypted_and_logged_in(desk: Desk, security: Security) -> None:
    desk.secrets = {"SMTP": "pass-word-1"}
    with smtp_server(security, login=("orch", "pass-word-1")) as server:
        desk.channels = channels(
            server, security=security.value, username="orch", password="${{ secrets.SMTP }}", ca_file=server.ca_file
        )

        receipt = desk.sent(**MESSAGE)

    assert receipt.delivery is Delivery.DELIVERED
    assert (server.mails[0].is_encrypted, server.mails[0].user) == (True, "orch")


def test_starttls_is_what_is_meant_where_nothing_is_said(desk: Desk) -> None:
    with smtp_server() as server:
        desk.channels = channels(server, ca_file=server.ca_file)

        assert desk.sent(**MESSAGE).delivery is Delivery.DELIVERED

    assert server.mails[0].is_encrypted


def test_a_server_without_starttls_gets_nothing(desk: Desk) -> None:
    with smtp_server(Security.NONE) as server:
        desk.channels = channels(server)

        receipt = desk.sent(**MESSAGE)

    assert (receipt.delivery, receipt.error_class) == (Delivery.PERMANENT, ErrorClass.CONFIGURATION)
    assert server.mails == []
    assert Stage.MAIL not in server.reached


def test_one_that_refuses_starttls_gets_nothing(desk: Desk) -> None:
    with smtp_server() as server:
        server.fail(Stage.STARTTLS, "454 not now")
        desk.channels = channels(server, ca_file=server.ca_file)

        assert desk.sent(**MESSAGE).delivery is Delivery.RETRYABLE

    assert server.mails == []


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
@pytest.mark.parametrize("case", ["unknown authority", "another name"])
def test_a_certificate_that_does_not_fit_is_a_matter_of_configuration(
    desk: Desk, security: Security, case: str
) -> None:
    with smtp_server(security, names=("other.example",) if case == "another name" else ()) as server:
        trusted = {"ca_file": server.ca_file} if case == "another name" else {}
        desk.channels = channels(server, security=security.value, **trusted)

        receipt = desk.sent(**MESSAGE)

    assert (receipt.delivery, receipt.error_class) == (Delivery.PERMANENT, ErrorClass.CONFIGURATION)
    assert "certificate" in receipt.detail
    assert server.mails == []


@pytest.mark.parametrize(
    ("reply", "delivery"),
    [(None, Delivery.PERMANENT), ("454 4.7.0 later", Delivery.RETRYABLE)],
    ids=["wrong password", "not now"],
)
def test_a_login_that_fails(desk: Desk, reply: str | None, delivery: Delivery) -> None:
    with smtp_server(login=("orch", "right-pass")) as server:
        if reply:
            server.fail(Stage.AUTH, reply, times=5)
        desk.channels = channels(server, username="orch", password="wrong-pass", ca_file=server.ca_file)

        receipt = desk.sent(**MESSAGE)

    assert receipt.delivery is delivery
    assert (receipt.error_class is ErrorClass.CONFIGURATION) is (reply is None)
    assert "wrong-pass" not in str(receipt)


def test_no_encryption_stays_on_this_machine(desk: Desk) -> None:
    desk.channels = {"ops": {"adapter": "mail", "host": "mail.acme.example", "security": "none", "from": "a@b.example"}}

    with pytest.raises(AdapterError, match="leave this machine"):
        desk.prepared(**MESSAGE)


def test_unless_the_operator_insists(desk: Desk) -> None:
    channel = {
        "adapter": "mail",
        "host": "mail.acme.example",
        "security": "none",
        "from": "a@b.example",
        "insecure": True,
    }
    desk.channels = {"ops": channel}

    assert desk.prepared(**MESSAGE).targets == ("ann@x.example",)
