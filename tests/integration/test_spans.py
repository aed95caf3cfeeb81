"""Decisions as spans, at a real receiver on loopback."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from command_line import HEAD, Place, clean, place_in
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACE, SPAN = "a1" * 16, "b2" * 8
COMMENT = ("--action", "comment", "--repo", "acme/web")


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Keeper)
        self.received: list[bytes] = []


class _Keeper(BaseHTTPRequestHandler):
    def do_POST(self) -> None:  # the library's name
        assert isinstance(self.server, Receiver)
        self.server.received.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "acme.yaml").write_text(HEAD + "rules:\n  - {id: people, effect: allow, actions: comment}\n")
    with place_in(tmp_path, ORCH_PACKS=str(tmp_path / "packs")) as place:
        yield place


def test_a_decision_is_a_span_below_the_callers(there: Place, receiver: Receiver) -> None:
    address = f"http://127.0.0.1:{receiver.server_port}"

    done = there.orch("evaluate", *COMMENT, OTEL_EXPORTER_OTLP_ENDPOINT=address, TRACEPARENT=f"00-{TRACE}-{SPAN}-01")

    clean(done)
    assert done.returncode == 0
    (sent,) = map(ExportTraceServiceRequest.FromString, receiver.received)
    (span,) = sent.resource_spans[0].scope_spans[0].spans
    said = {one.key: one.value.string_value for one in span.attributes}
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == ("orch.decision", TRACE, SPAN)
    assert (said["orch.outcome"], said["orch.action"], said["orch.resource"]) == ("allow", "comment", "acme/web")
    assert span.end_time_unix_nano >= span.start_time_unix_nano > 0


@pytest.mark.parametrize(("exporter", "disabled"), [("none", ""), ("", "true")], ids=["no exporter", "disabled"])
def test_nothing_is_sent_unasked(there: Place, receiver: Receiver, exporter: str, disabled: str) -> None:
    done = there.orch(
        "evaluate",
        *COMMENT,
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{receiver.server_port}",
        OTEL_TRACES_EXPORTER=exporter,
        OTEL_SDK_DISABLED=disabled,
    )

    assert (done.returncode, receiver.received) == (0, [])


def test_a_receiver_that_is_away_changes_no_decision(there: Place) -> None:
    away = "http://127.0.0.1:9"

    done = there.orch("evaluate", *COMMENT, OTEL_EXPORTER_OTLP_ENDPOINT=away, OTEL_EXPORTER_OTLP_TIMEOUT="1")

    assert done.returncode == 0
    assert done.stdout.startswith("ALLOWED")
