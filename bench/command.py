"""One process per question: `orch evaluate` with a warm sidecar, `conftest test` and `opa eval` on equal rules."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import ruleset
from peers import Peer
from report import Section, Verdict, of_ratio
from timing import in_turns, process, ratio
from work import Work, orch, outcome

from orchestrator import Policy, opa

GOALS = {25: 2.2, 1_000: 0.45}
_PATHS = 20
_ABOUT = f"""\
Whole processes, from start to exit, on one request with {_PATHS} files that all allow (each decision is recorded in a
ledger of its own). conftest and `opa eval` read the same rules as Rego; before timing, all were asked about
requests of every outcome and agreed."""
_ORCH, _CONFTEST, _OPA, _FLOOR = "`orch evaluate`", "`conftest test`", "`opa eval`", "`python -I -c pass`"


def measure(work: Work, conftest: Peer, count: int) -> Section:
    """Compare the commands on `count` rules."""
    what = f"`orch evaluate`, warm sidecar, against `conftest test`, {count:,} rules"
    title = f"Commands, {count:,} rules"
    packs, module = work.packs(count), work.written(f"rego-{count}/main.rego", ruleset.rego(ruleset.rules(count)))
    commands = _commands(packs, module, work.request_file(_PATHS), conftest)
    _agree(work, commands, packs)
    contenders = {name: process(command, work.environment, 0) for name, command in commands.items()}
    timings = in_turns(contenders, work.rounds(100 if count < 1_000 else 60))
    if _CONFTEST not in timings:
        verdict = Verdict(what, 0, GOALS[count], missing=conftest.missing)
    else:
        verdict = of_ratio(what, ratio(timings[_ORCH], timings[_CONFTEST]), GOALS[count])
    bare = ratio(timings[_ORCH], timings[_OPA]).value
    note = f"Against bare `opa eval` on the same Rego: {bare:.2f}."
    return Section(title, _ABOUT, timings=tuple(timings.items()), verdicts=(verdict,), notes=(note,))


def _commands(packs: Path, module: Path, request: Path, conftest: Peer) -> dict[str, list[str]]:
    found = {_ORCH: [*orch(), "evaluate", str(request), "--packs", str(packs)]}
    if conftest.path:
        found[_CONFTEST] = [str(conftest.path), "test", "--policy", str(module.parent), str(request)]
    found[_OPA] = [os.fspath(opa.find()), "eval", "--data", str(module), "--input", str(request), "data.main.deny"]
    found[_FLOOR] = [sys.executable, "-I", "-c", "pass"]
    return found


def _agree(work: Work, commands: Mapping[str, list[str]], packs: Path) -> None:
    """Ask everybody about requests of every outcome; equal rules must give equal answers, or the comparison is none."""
    policy = Policy.load(packs=[packs])
    for name, asked in ruleset.requests_of_all_kinds(_PATHS).items():
        ours = outcome(policy.decide(asked))
        file = str(work.written("asked.json", json.dumps(asked)))
        expected = {_ORCH: {"allow": 0, "pending": 4, "deny": 3}[ours], _CONFTEST: 0 if ours == "allow" else 1}
        print(f"  {name}: {ours}", file=sys.stderr)
        for contender in expected.keys() & commands.keys():
            command = [file if word.endswith(".json") else word for word in commands[contender]]
            process(command, work.environment, expected[contender])()
