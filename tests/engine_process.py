"""A process that takes part in the engine with a workflow of the tests' own: `python engine_process.py PLACE JOURNAL [CONCURRENCY]`.

The workflow has steps that write a line into the journal; one named `slow` takes long inside its step.
"""

import os
import signal
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from dbos import DBOS

from orchestrator.ledger.open import open_ledger
from orchestrator.runs.checkpoints import Steps
from orchestrator.runs.engine import QUEUE, Engine, Options, current, launched
from orchestrator.runs.lease import open_lease
from orchestrator.runs.reaper import reaping
from orchestrator.settings import Settings

STEPS = 3
SLOW_S = 1.5


@DBOS.workflow(name="drill", max_recovery_attempts=None)
def drill(run_id: str, segment: int, phase: str) -> str:
    """Write a line for each step: `run phase step process`."""
    engine = current()
    with engine.at_work(f"{run_id}/{segment}/{phase}"):
        steps = Steps(engine)
        for number in range(STEPS):
            steps.step(f"step {number}", partial(_write, engine, f"{run_id} {phase} {number}", phase))
        return "passed"


def _write(engine: Engine, line: str, phase: str) -> str:
    write(f"began {line} {os.getpid()}")
    if phase == "slow":
        time.sleep(SLOW_S)
    with engine.ledger() as ledger, ledger.store.writing() as connection:
        connection.execute(
            "INSERT INTO organizations (name) VALUES (?)", (f"{line} {os.getpid()} {os.urandom(4).hex()}",)
        )
    write(f"ended {line} {os.getpid()}")
    return line


def write(line: str) -> None:
    """Append a line to the journal, whole."""
    descriptor = os.open(JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{line} {time.time():.3f}\n".encode())
    os.close(descriptor)


def tell(event: str, fields: dict[str, Any]) -> None:
    """Write what the engine tells into the journal."""
    write(f"note {event.replace(' ', '-')} {os.getpid()} {fields}")


def main() -> None:
    """Take part until SIGTERM."""
    place, concurrency = sys.argv[1], int(sys.argv[3]) if len(sys.argv) > 3 else 4
    settings = Settings.load({"ledger": place})
    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger(place))
        lease = stack.enter_context(open_lease(ledger))
        engine = stack.enter_context(launched(settings, ledger, lease, Options(QUEUE, concurrency, None, tell)))
        lease.on_loss = engine.stop
        stack.enter_context(reaping(engine))
        signal.signal(signal.SIGTERM, lambda *_: engine.stop())
        sys.stdout.write(f"{lease.id}\n")
        sys.stdout.flush()
        while not engine.is_stopping:
            engine.wait(0.5)
        engine.drain()
    write(f"left {os.getpid()} {'lost' if lease.is_lost else 'given-back'}")


JOURNAL = Path(sys.argv[2] if __name__ == "__main__" else os.devnull)

if __name__ == "__main__":
    main()
