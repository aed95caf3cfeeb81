"""Decisions per second against a Cerbos server on a unix socket, on rules that say the same."""

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import raw
import ruleset
from orchestrator import Policy, Question
from peers import Peer
from report import Section, Verdict, of_ratio
from timing import in_turns, ratio
from work import Work, outcome

_RULES, _PATHS, _BATCH, _GOAL = 1_000, 20, 50, 5
_WHAT = "decisions/s at 1,000 rules against Cerbos"
_START_S = 60
_PRINCIPAL = {"id": "agent:fixer", "roles": ["agent"]}


def measure(work: Work, peer: Peer) -> Section:
    """Compare single and batched decisions; Cerbos takes at most 50 in one request."""
    if not peer.path:
        missing = (Verdict(f"{_WHAT}, {how}", 0, _GOAL, is_at_least=True, missing=peer.missing) for how in ("one by one", "batched"))
        return Section("Cerbos", "Cerbos is not to be had here.", verdicts=tuple(missing))
    policy = Policy.load(packs=[work.packs(_RULES)])
    requests = [ruleset.request(_PATHS, repository=ruleset.repository_name(number)) for number in range(_BATCH)]
    questions = [Question(one) for one in requests]
    with _served(work, peer.path) as connection:
        _agree(policy, connection)
        one, many = _asker(connection, requests[:1]), _asker(connection, requests)
        single = in_turns({"orch, one": lambda: _void(policy.decide(requests[0])), "Cerbos, one": lambda: _void(one())}, work.rounds(1_000))
        batched = in_turns(
            {
                f"orch, {_BATCH} at once": lambda: _void(list(policy.decide_many(questions))),
                f"Cerbos, {_BATCH} at once": lambda: _void(many()),
            },
            work.rounds(100),
        )
    ours, theirs = single.values()
    ours_many, theirs_many = batched.values()
    return Section(
        f"Cerbos, {_RULES:,} rules",
        f"Requests with {_PATHS} files. Cerbos is asked by a bare client that sends ready bytes over a kept unix socket and parses the JSON; "
        "ours is the whole `Policy.decide`. Its policies are one for each repository, which it finds by name. Ratios are of decisions per second.",
        timings=(*single.items(), *batched.items()),
        verdicts=(
            of_ratio(f"{_WHAT}, one by one", ratio(theirs, ours), _GOAL, is_at_least=True),
            of_ratio(f"{_WHAT}, {_BATCH} at once", ratio(theirs_many, ours_many), _GOAL, is_at_least=True),
        ),
    )


def _void(_: object) -> None:
    """Return nothing, whatever was made."""


@contextlib.contextmanager
def _served(work: Work, binary: Path) -> Iterator[socket.socket]:
    """Run Cerbos for as long as it is needed."""
    for name, text in ruleset.cerbos(ruleset.rules(_RULES)).items():
        work.written(f"cerbos/policies/{name}", text)
    folder, path = work.folder / "cerbos", work.folder / "c.sock"
    settings = {
        "server": {"httpListenAddr": f"unix:{path}", "grpcListenAddr": f"unix:{work.folder / 'g.sock'}", "adminAPI": {"enabled": False}},
        "storage": {"driver": "disk", "disk": {"directory": str(folder / "policies"), "watchForChanges": False}},
        "telemetry": {"disabled": True},
        "audit": {"enabled": False},
    }
    written = work.written("cerbos/config.yaml", json.dumps(settings))
    command = [str(binary), "server", "--config", str(written), "--log-level", "error"]
    with subprocess.Popen(command, env=dict(work.environment), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as server:
        try:
            connection = _connected(path, server)
            yield connection
            connection.close()
        finally:
            server.terminate()


def _connected(path: Path, server: subprocess.Popen[bytes]) -> socket.socket:
    until_s = time.monotonic() + _START_S
    while time.monotonic() < until_s and server.poll() is None:
        with contextlib.suppress(OSError):
            return raw.connect(str(path))
        time.sleep(0.05)
    message = "Cerbos does not start"
    raise RuntimeError(message)


def _asker(connection: socket.socket, requests: Sequence[dict[str, Any]]) -> Callable[[], Any]:
    asked = {"requestId": "bench", "principal": _PRINCIPAL, "resources": [ruleset.cerbos_resource(one) for one in requests]}
    body = json.dumps(asked, separators=(",", ":")).encode()
    return raw.asker(connection, raw.post(b"/api/check/resources", body))


def _agree(policy: Policy, connection: socket.socket) -> None:
    """Ask both about requests of every outcome; Cerbos knows allow and deny, so pending is its deny."""
    for name, asked in ruleset.requests_of_all_kinds(_PATHS).items():
        [found] = _asker(connection, [asked])()["results"]
        theirs, ours = found["actions"]["open_pr"] == "EFFECT_ALLOW", outcome(policy.decide(asked)) == "allow"
        if theirs != ours:
            message = f"not the same rules: {name} is allowed by {'Cerbos' if theirs else 'orch'} only"
            raise RuntimeError(message)
