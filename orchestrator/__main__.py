"""`orch`, also as `python -m orchestrator`."""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while modules are still loading ends quietly; `main` takes over

from orchestrator.cli import main  # noqa: E402  # after the line above

if __name__ == "__main__":
    main()
