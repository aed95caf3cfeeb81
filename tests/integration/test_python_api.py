"""The guide to the Python API runs as it stands, and the public names are there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import orchestrator
from orchestrator import sidecar

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "python.md"


def test_the_guide_runs_as_it_stands(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    sidecar.stop()

    assert done.returncode == 0, done.stderr
    assert "usd" in done.stdout
    assert "user:alice" in done.stdout
    assert "Outcome.ALLOW" in done.stdout or "allow -> allow" in done.stdout


@pytest.mark.parametrize("name", orchestrator.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(orchestrator, name)
