"""What is made of what a service answered and Apprise said of it: doubt never says that nothing was sent."""

import pytest

from orchestrator.adapter import Delivery, ErrorClass
from orchestrator_adapters.apprise_ import Said, judged

LOGIN, SEND = ("POST", 200, 0), ("POST", 200, 1)


@pytest.mark.parametrize(
    ("is_success", "requests", "answers", "expected"),
    [
        (True, 2, (LOGIN, SEND), Delivery.DELIVERED),
        (True, 0, (), Delivery.UNKNOWN),
        (True, 1, (("POST", 302, 0),), Delivery.UNKNOWN),
        (True, 2, (LOGIN,), Delivery.UNKNOWN),
        (True, 1, (("POST", 500, 0),), Delivery.UNKNOWN),
        (False, 2, (LOGIN, ("POST", 403, 1)), Delivery.PERMANENT),
        (False, 2, (LOGIN, ("POST", 403, 0)), Delivery.UNKNOWN),
        (False, 2, (LOGIN,), Delivery.UNKNOWN),
        (False, 1, (("POST", 200, 0),), Delivery.UNKNOWN),
        (False, 1, (("POST", 408, 0),), Delivery.UNKNOWN),
        (False, 2, (("GET", 200, 0), ("POST", 404, 0)), Delivery.PERMANENT),
        (False, 0, (), Delivery.RETRYABLE),
    ],
    ids=[
        "login and message",
        "success without HTTP",
        "success by a redirect",
        "success, one unanswered",
        "success by a 500",
        "refused after the login",
        "a second part refused",
        "message unanswered",
        "taken, yet called a failure",
        "408",
        "refused after a look",
        "not reached",
    ],
)
def test_doubt_falls_on_the_side_of_it_may_have_been_sent(
    is_success: object, requests: int, answers: tuple[tuple[str, int, int], ...], expected: Delivery
) -> None:
    said = Said(bool(is_success), requests, answers, is_tried=True, is_untrusted=False, error="", has_attachments=False)

    assert judged(said, "Chat").delivery is expected


def test_a_refusal_beside_an_attachment_may_follow_a_message_that_was_taken() -> None:
    said = Said(False, 2, (LOGIN, ("POST", 403, 1)), True, False, "", has_attachments=True)

    assert judged(said, "Chat").delivery is Delivery.UNKNOWN


def test_a_library_that_gave_up_by_itself_called_nobody() -> None:
    said = Said(False, 0, (), is_tried=False, is_untrusted=False, error="", has_attachments=False)

    receipt = judged(said, "Chat")

    assert (receipt.delivery, receipt.error_class) == (Delivery.PERMANENT, ErrorClass.CONFIGURATION)
