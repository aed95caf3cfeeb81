"""The place a run works in: folders of its own, so that no cache, setting or sidecar of the user is touched or used."""

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ruleset

BUILT = Path(__file__).resolve().parent / ".work"
"""What is built or installed once: conftest, Cerbos, cedarpy. Ignored by git."""
_KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "PYTHONPATH", "ORCH_OPA")


@dataclass(frozen=True, slots=True)
class Work:
    """Folders, environment and size of one run."""

    folder: Path
    """Short, outside of any repository, gone at the end."""
    is_quick: bool
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of every process that is started."""

    def rounds(self, count: int) -> int:
        """Return how often to measure; a tenth in a quick run."""
        return max(5, count // 10) if self.is_quick else count

    def packs(self, count: int) -> Path:
        """Return a folder with packs of `count` rules."""
        folder = self.folder / f"packs-{count}"
        return folder if folder.exists() else ruleset.write_packs(folder, ruleset.rules(count))

    def written(self, name: str, content: str) -> Path:
        """Return a file with this content."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
        return file

    def request_file(self, path_count: int) -> Path:
        """Return a file with the usual request: an agent's pull request that is allowed."""
        return self.written(f"request-{path_count}.json", json.dumps(ruleset.request(path_count)))


@contextlib.contextmanager
def prepared(*, is_quick: bool) -> Iterator[Work]:
    """Give a run its place, and end its sidecars afterwards. The environment of this very process changes, too."""
    from orchestrator import sidecar

    folder = Path(tempfile.mkdtemp(prefix="orch-bench-"))
    before, here = dict(os.environ), Path.cwd()
    environment = {name: before[name] for name in _KEPT if name in before}
    for variable in ("CACHE_HOME", "CONFIG_HOME", "STATE_HOME", "RUNTIME_DIR"):
        place = folder / variable.partition("_")[0].lower()
        place.mkdir(mode=0o700)
        environment[f"XDG_{variable}"] = str(place)
    try:
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        try:
            yield Work(folder, is_quick, environment)
        finally:
            sidecar.stop()
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


def orch() -> list[str]:
    """Return the command `orch` of this environment, or what is the same where it is not installed."""
    script = Path(sys.executable).with_name("orch")
    return [str(script)] if script.is_file() else [sys.executable, "-m", "orchestrator"]


def outcome(decision: Any) -> str:  # noqa: ANN401  # orchestrator.Decision; importing it here would cost every child
    """Return what a decision came to."""
    return str(decision.context["outcome"])
