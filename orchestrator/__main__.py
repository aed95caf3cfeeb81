"""`orch`, also as `python -m orchestrator`."""

import gc
from _signal import SIG_DFL, SIGINT, signal  # type: ignore[import-not-found,unused-ignore]  # `signal` takes 1 ms more

gc.set_threshold(20_000)  # objects between two looks for garbage: with Python's 700, imports would pay for dozens
signal(SIGINT, SIG_DFL)  # Ctrl-C while modules are still loading ends quietly; `main` takes over

from orchestrator.cli import main  # noqa: E402  # after the lines above

if __name__ == "__main__":
    main()
