"""One OPA process that answers for any set of packs: the fixed library, with `data.policy` swapped by a query of the tests."""

# ruff: noqa: ANN401  # values here are JSON of any kind

import http.client
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from votes import POLICY_DIGEST

from orchestrator import place
from orchestrator.compile import compile_packs
from orchestrator.model import PackSet

_QUERY = """package trial

answers := found if {
    found := data.orch.answer with data.policy as input.policy with input as {"batch": input.batch}
}
"""


def to_json(value: Any) -> str:
    """Return JSON text in which every decimal stands as written."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{to_json(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(to_json, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, allow_nan=False)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Engine:
    """The real engine."""

    def __init__(self, socket_path: str) -> None:
        self._connection = _UnixConnection(socket_path)

    def answers(self, packs: PackSet, requests: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the engine's answers, in order; fewer where it had none."""
        return self.answers_of({**compile_packs(packs).data, "digest": POLICY_DIGEST}, requests)

    def answers_of(self, policy: dict[str, Any], requests: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the answers under a compiled set."""
        body = to_json({"input": {"policy": policy, "batch": list(requests)}})
        self._connection.request("POST", "/v1/data/trial/answers", body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        answered = json.loads(response.read(), parse_float=Decimal)
        assert response.status == http.client.OK, answered
        found: list[dict[str, Any]] = answered["result"]
        return found

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


@contextmanager
def running(binary: Path) -> Iterator[Engine]:
    """Run OPA on a socket of its own for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="o", dir="/tmp") as folder:
        query, path = Path(folder, "trial.rego"), str(Path(folder, "s"))
        query.write_text(_QUERY)
        options = [
            "--skip-version-check",
            "--log-level",
            "error",
            "--ignore",
            "*_test.rego",
            "--addr",
            f"unix://{path}",
        ]
        command = [str(binary), "run", "-s", *options, str(place.resource("rego")), str(query)]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                _await(path)
                with closing(Engine(path)) as engine:
                    yield engine
            finally:
                process.terminate()


def _await(path: str) -> None:
    for _ in range(600):
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(path)
        except OSError:
            time.sleep(0.05)
        else:
            return
    message = "OPA did not start"
    raise TimeoutError(message)
