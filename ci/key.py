"""First step of the action: prints where the wheels lie and under which key they are kept, as outputs of the step.

The key covers all that goes into the wheel, the lock file, the Python that will run it and the machine. GitHub's own
`hashFiles` sees only the workspace, and the action lies outside of it. Standard library only.
"""
# ruff: noqa: INP001  # a script

import hashlib
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

_FILES = ("pyproject.toml", "README.md", "LICENSE", "NOTICE")
_FOLDERS = ("ci", "requirements", "opa", "orchestrator", "adapters", "rego", "policy_packs", "templates")


def sources(root: Path) -> Iterator[str]:
    """Give every file that the wheels are made of, relative to `root`."""
    yield from filter(lambda name: (root / name).is_file(), _FILES)
    for folder in _FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            relative = path.relative_to(root)
            if path.is_file() and "__pycache__" not in relative.parts and relative.parts[:2] != ("opa", "bin"):
                yield relative.as_posix()


def key(root: Path) -> str:
    """Return the name under which the wheels made of `root`, for this Python on this machine, are kept."""
    runs_on = [sys.implementation.cache_tag or "", platform.system(), platform.machine()]
    total = hashlib.sha256("\0".join(runs_on).encode())
    for relative in sources(root):
        digest = hashlib.sha256((root / relative).read_bytes()).hexdigest()
        total.update(f"\0{relative}\0{digest}".encode())
    return f"orch-{total.hexdigest()}"


def main() -> None:
    """Print the outputs; nothing where an orch that is installed already will be used."""
    if os.environ.get("ORCH_COMMAND"):
        return
    if sys.version_info < (3, 11):  # noqa: UP036  # whatever Python the job has runs this
        sys.exit("::error title=orch::the input python is older than 3.11; set up a newer one before this action")
    wheels = Path(os.environ["RUNNER_TEMP"], "orch", "wheels")
    sys.stdout.write(f"key={key(Path(os.environ['GITHUB_ACTION_PATH']))}\nwheels={wheels}\n")


if __name__ == "__main__":
    main()
