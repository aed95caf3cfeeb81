"""The real command in a place of its own: an environment in which nothing of the machine's user is seen, and runs of `orch` in it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
HEAD = "apiVersion: orch/v1\nkind: PolicyPack\nmetadata: {name: acme, version: 1.0.0}\ndefault: deny\n"
"""The first lines of a pack."""


@dataclass(frozen=True)
class Place:
    """A folder to stand in and an environment to run in."""

    folder: Path
    environ: dict[str, str]

    def orch(
        self,
        *arguments: object,
        given: bytes = b"",
        cwd: Path | None = None,
        without: tuple[str, ...] = (),
        **environ: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run `orch` and return what came of it; a hang is a failure."""
        seen = {name: value for name, value in (self.environ | environ).items() if name not in without}
        done = subprocess.run(  # our own command
            command(*arguments),
            cwd=cwd or self.folder,
            env=seen,
            input=given,
            capture_output=True,
            check=False,
            timeout=60,
        )
        out, err = (text.decode("utf-8", "backslashreplace") for text in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)


def command(*arguments: object) -> list[str]:
    """Return the command line of `orch` with these arguments."""
    return [sys.executable, "-m", "orchestrator", *(str(one) for one in arguments)]


@contextmanager
def place_in(folder: Path, **more: str) -> Iterator[Place]:
    """Give a place below `folder`, with more variables if need be; its sidecars are ended with it."""
    home, runtime = folder / "own-home", Path(tempfile.mkdtemp(prefix="o", dir="/tmp"))
    home.mkdir(mode=0o700)
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    environ = {
        **kept,
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONSAFEPATH": "1",
        "XDG_RUNTIME_DIR": str(runtime),
        "ORCH_SIDECAR_IDLE": "60",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        **more,
    }
    for who in ("AUTHOR", "COMMITTER"):
        environ |= {f"GIT_{who}_NAME": "Test", f"GIT_{who}_EMAIL": "test@example.com"}
    try:
        yield Place(folder, environ)
    finally:
        stop_sidecars(runtime)
        shutil.rmtree(runtime, ignore_errors=True)


def stop_sidecars(runtime: Path) -> None:
    """End the sidecars whose sockets lie in `runtime`."""
    from orchestrator import sidecar

    folder = runtime / "orch"
    if not folder.is_dir():
        return
    folder.chmod(0o700)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_RUNTIME_DIR", str(runtime))
        sidecar.stop()


def clean(done: subprocess.CompletedProcess[str]) -> str:
    """Return everything a run said, after a look that no traceback and nothing unexpected is in it."""
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert "orch: unexpected" not in done.stderr
    assert "Exception ignored" not in said
    return said
