"""Measurements that need a process of their own. Prints one JSON object.

child.py ready PACKS             from YAML to the first answer
child.py files PACKS COUNT N     one request with COUNT files, decided N times
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

_BEGUN = time.perf_counter()


def told(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what a child said."""
    finished = subprocess.run(command, env=dict(environment), stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(finished.stdout)
    return found


def main(arguments: Sequence[str]) -> dict[str, Any]:
    """Return what was measured."""
    import memory
    import ruleset

    from orchestrator import Policy, sidecar

    kind, packs, *rest = arguments
    count, repeats = map(int, rest or ("20", "1"))
    policy = Policy.load(packs=[packs])
    asked = ruleset.request(count)
    times, outcome = [], ""
    for _ in range(repeats):
        before = time.perf_counter()
        decision = policy.decide(asked)
        times.append(time.perf_counter() - before)
        outcome = decision.context["outcome"]
    seconds = time.perf_counter() - _BEGUN
    [state] = [one for one in sidecar.status() if one.digest == policy.digest]
    found = {
        "kind": kind,
        "outcome": outcome,
        "seconds": seconds,
        "times": times,
        "python_bytes": memory.high_water(),
        "opa_bytes": memory.high_water(state.pid),
    }
    sidecar.stop(policy.digest)
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
