"""What a second `orch evaluate` imports: the time of a short command is the time of its imports."""

import re
import subprocess
import sys
from pathlib import Path

from command_line import CHECKOUT, Place, place_in

ASKED = ("--action", "push_branch", "--subject", "agent:fixer", "--repo", "acme/web", "--branch", "main", "--file", "a")
SLOW = {"dataclasses", "decimal", "hashlib", "shlex", "shutil", "socket", "subprocess", "tempfile", "textwrap", "uuid"}
HEAVY = {"asyncio", "httpx", "jinja2", "opa_client", "pydantic", "requests", "rich", "yaml"}


def imported(report: str) -> set[str]:
    """Return the modules that `-X importtime` names."""
    return set(re.findall(r"^import time:[^|]*\|[^|]*\| +(\S+)$", report, re.MULTILINE))


def evaluate(place: Place, is_reported: str) -> subprocess.CompletedProcess[str]:
    packs = CHECKOUT / "policy_packs" / "coding-agents"
    return place.orch("evaluate", "--packs", packs, *ASKED, PYTHONPROFILEIMPORTTIME=is_reported)


def test_a_warm_command_imports_nothing_slow_that_click_does_not(tmp_path: Path) -> None:
    with place_in(tmp_path) as place:
        cold = evaluate(place, "")
        warm = evaluate(place, "1")
    click = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import click"], check=True, capture_output=True, text=True
    )

    found = imported(warm.stderr)
    assert cold.returncode == warm.returncode == 3
    assert "orchestrator.show.wording" in found
    assert "orchestrator.pack" not in found
    assert (SLOW | HEAVY) & (found - imported(click.stderr)) == set()
