"""Decisions per second against a Cerbos server on a unix socket, on rules that say the same."""

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import raw
import ruleset
from peers import Peer
from report import Section, Verdict, of_ratio
from timing import Timing, in_turns, ratio
from work import Work, outcome

from orchestrator import Policy, Question

_RULES, _PATHS, _BATCH, _GOAL = 1_000, 20, 50, 5
_SHAPES = {False: "one policy", True: "a policy per repository"}
_START_S = 60
_ABOUT = f"""\
Requests with {_PATHS} files, one by one and {_BATCH} at once. Cerbos is asked by a bare client that sends ready
bytes over a kept unix socket and parses the JSON; ours is the whole `Policy.decide`. Cerbos gets its rules in two
ways: as one policy whose conditions name the repository, as our rules do, and as a policy for each repository,
which it finds by name. Ratios are of decisions per second."""
_PRINCIPAL = {"id": "agent:fixer", "roles": ["agent"]}


@dataclass(frozen=True, slots=True)
class _Server:
    """A Cerbos that runs, and how its rules are laid out."""

    connection: socket.socket
    by_kind: bool

    def asker(self, requests: Sequence[dict[str, Any]]) -> Callable[[], Any]:
        """Return what asks about these requests in one."""
        resources = [ruleset.cerbos_resource(one, by_kind=self.by_kind) for one in requests]
        asked = {"requestId": "bench", "principal": _PRINCIPAL, "resources": resources}
        body = json.dumps(asked, separators=(",", ":")).encode()
        return raw.asker(self.connection, raw.post(b"/api/check/resources", body))


def measure(work: Work, peer: Peer) -> Section:
    """Compare single and batched decisions; Cerbos takes at most 50 in one request."""
    timings: list[tuple[str, Timing]] = []
    verdicts: list[Verdict] = []
    for by_kind, shape in _SHAPES.items():
        what = [
            f"decisions/s at 1,000 rules against Cerbos, {shape}, {how}" for how in ("one by one", f"{_BATCH} at once")
        ]
        if not peer.path:
            verdicts += [Verdict(one, 0, _GOAL, is_at_least=True, missing=peer.missing) for one in what]
            continue
        for name, (ours, theirs) in zip(what, _compared(work, peer.path, by_kind=by_kind), strict=True):
            timings += [(f"orch, beside {shape}", ours), (f"Cerbos, {shape}", theirs)]
            verdicts.append(of_ratio(name, ratio(theirs, ours), _GOAL, is_at_least=True))
    return Section(
        f"Cerbos, {_RULES:,} rules",
        _ABOUT,
        timings=tuple(timings),
        verdicts=tuple(verdicts),
    )


def _compared(work: Work, binary: Path, *, by_kind: bool) -> tuple[tuple[Timing, Timing], tuple[Timing, Timing]]:
    """Return ours and theirs, one by one and many at once."""
    policy = Policy.load(packs=[work.packs(_RULES)])
    requests = [ruleset.request(_PATHS, repository=ruleset.repository_name(number)) for number in range(_BATCH)]
    questions = [Question(one) for one in requests]

    def one_of_ours() -> None:
        policy.decide(requests[0])

    def many_of_ours() -> None:
        list(policy.decide_many(questions))

    with _served(work, binary, by_kind=by_kind) as server:
        _agree(policy, server)
        one, many = server.asker(requests[:1]), server.asker(requests)

        def one_of_theirs() -> None:
            one()

        def many_of_theirs() -> None:
            many()

        single = in_turns({"ours": one_of_ours, "theirs": one_of_theirs}, work.rounds(500))
        batched = in_turns({"ours": many_of_ours, "theirs": many_of_theirs}, work.rounds(50))
    return (single["ours"], single["theirs"]), (batched["ours"], batched["theirs"])


@contextlib.contextmanager
def _served(work: Work, binary: Path, *, by_kind: bool) -> Iterator[_Server]:
    """Run Cerbos for as long as it is needed."""
    name = "by-kind" if by_kind else "by-id"
    for file, text in ruleset.cerbos(ruleset.rules(_RULES), by_kind=by_kind).items():
        work.written(f"cerbos/{name}/{file}", text)
    path = work.folder / f"{name}.sock"
    settings = {
        "server": {"httpListenAddr": f"unix:{path}", "grpcListenAddr": f"unix:{work.folder / name}.grpc"},
        "storage": {
            "driver": "disk",
            "disk": {"directory": str(work.folder / "cerbos" / name), "watchForChanges": False},
        },
        "telemetry": {"disabled": True},
        "audit": {"enabled": False},
    }
    written = work.written(f"{name}.json", json.dumps(settings))
    command = [str(binary), "server", "--config", str(written), "--log-level", "error"]
    with subprocess.Popen(
        command, env=dict(work.environment), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        try:
            with _connected(path, process) as connection:
                yield _Server(connection, by_kind)
        finally:
            process.terminate()


def _connected(path: Path, process: subprocess.Popen[bytes]) -> socket.socket:
    until_s = time.monotonic() + _START_S
    while time.monotonic() < until_s and process.poll() is None:
        with contextlib.suppress(OSError):
            return raw.connect(str(path))
        time.sleep(0.05)
    message = "Cerbos does not start"
    raise RuntimeError(message)


def _agree(policy: Policy, server: _Server) -> None:
    """Ask both about requests of every outcome; Cerbos knows allow and deny, so pending is its deny."""
    for name, asked in ruleset.requests_of_all_kinds(_PATHS).items():
        [found] = server.asker([asked])()["results"]
        theirs, ours = found["actions"]["open_pr"] == "EFFECT_ALLOW", outcome(policy.decide(asked)) == "allow"
        if theirs != ours:
            message = f"not the same rules: {name} is allowed by {'Cerbos' if theirs else 'orch'} only"
            raise RuntimeError(message)
