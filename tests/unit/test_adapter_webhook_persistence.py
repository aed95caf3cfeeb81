"""A document of state, kept by key behind a persistence API, as 000 has them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from http_server import HttpServer, Reply, Seen, http_server
from sending import Desk, with_endpoints

from orchestrator.adapter import Delivery
from orchestrator.errors import UsageError
from orchestrator_adapters.webhook import Webhook


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with http_server() as running:
        yield running


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(Webhook(), tmp_path)


@pytest.fixture
def stored(server: HttpServer, desk: Desk) -> dict[str, tuple[int, bytes]]:
    documents: dict[str, tuple[int, bytes]] = {}

    def answer(seen: Seen) -> Reply:
        version, content = documents.get(seen.path, (0, b""))
        etag = {"ETag": f'"{version}"'}
        if seen.method == "GET":
            return Reply(200, content, etag | {"Content-Type": "application/json"}) if version else Reply(404)
        wanted = seen.headers.get("if-match", '"0"' if seen.headers.get("if-none-match") == "*" else None)
        if wanted not in {None, f'"{version}"'}:
            return Reply(412, headers=etag)
        documents[seen.path] = (version + 1, seen.body)
        return Reply(200, headers={"ETag": f'"{version + 1}"'})

    server.answer("*", answer)
    with_endpoints(desk, state={"url": server.url + "/documents/{key}", "method": ["PUT", "GET", "DELETE"]})
    return documents


def test_it_is_put_and_got_by_its_key(desk: Desk, stored: dict[str, tuple[int, bytes]]) -> None:
    put = desk.sent(endpoint="state", key="job/main", json={"stage": "OK"}, headers={"If-None-Match": "*"})
    got = desk.sent(endpoint="state", key="job/main", method="GET")

    assert put.delivery is got.delivery is Delivery.DELIVERED
    assert got.outputs == {"status": 200, "json": {"stage": "OK"}, "etag": '"1"'}
    assert list(stored) == ["/documents/job/main"]


def test_who_comes_second_is_refused(desk: Desk, stored: dict[str, tuple[int, bytes]]) -> None:
    first, receipt = (
        desk.sent(endpoint="state", key="main", json={"stage": stage}, headers={"If-None-Match": "*"})
        for stage in ("A", "B")
    )

    assert first.delivery is Delivery.DELIVERED
    assert (receipt.delivery, receipt.outputs["status"]) == (Delivery.PERMANENT, 412)
    assert stored["/documents/main"][1] == b'{"stage":"A"}'


def test_a_put_whose_answer_was_lost_is_found_again(desk: Desk, stored: dict[str, tuple[int, bytes]]) -> None:
    """Sent again it would be refused, although it was ours that got there."""
    stored["/documents/main"] = (3, b'{ "stage": "B" }')

    found = desk.reconciled(endpoint="state", key="main", json={"stage": "B"}, headers={"If-Match": '"2"'})

    assert found is not None
    assert found.delivery is Delivery.DELIVERED
    assert found.outputs["etag"] == '"3"'


def test_another_content_tells_nothing(desk: Desk, stored: dict[str, tuple[int, bytes]]) -> None:
    stored["/documents/main"] = (3, b'{"stage":"C"}')

    assert desk.reconciled(endpoint="state", key="main", json={"stage": "B"}, headers={"If-Match": '"2"'}) is None


@pytest.mark.parametrize("key", ["../../evil", "a//b", ".", ""])
@pytest.mark.usefixtures("stored")
def test_a_key_does_not_leave_its_place(desk: Desk, key: str) -> None:
    with pytest.raises(UsageError, match="key"):
        desk.prepared(endpoint="state", key=key)


@pytest.mark.usefixtures("stored")
def test_a_key_is_percent_encoded(desk: Desk) -> None:
    url = desk.prepared(endpoint="state", key="a b?x=1#y").properties["url"]

    assert url.endswith("/documents/a%20b%3Fx%3D1%23y")
