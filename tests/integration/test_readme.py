"""The README's commands, code and help text are the real ones."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import sidecar

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _no_sidecar_left() -> Iterator[None]:
    yield
    sidecar.stop()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def _orch(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "orchestrator", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def _commands() -> list[str]:
    """Return the `$ orch ...` lines of the console blocks, continued lines joined."""
    text = "\n".join(_blocks("console")).replace("\\\n", " ")
    return [line.removeprefix("$ orch ").split("  #")[0] for line in text.splitlines() if line.startswith("$ orch ")]


def test_the_example_request_is_denied_as_the_page_says() -> None:
    (command,) = [command for command in _commands() if command.startswith("evaluate")]

    answered = _orch(*command.split())

    assert answered.returncode == 3
    assert "agents may not push to main" in answered.stdout


def test_the_help_text_is_the_real_one() -> None:
    (block,) = [block for block in _blocks("text") if block.startswith("$ orch --help")]

    assert block.partition("\n")[2] == _orch("--help").stdout


def test_the_python_example_runs() -> None:
    (code,) = _blocks("python")

    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )

    assert run.stdout.startswith("deny"), run.stderr


def test_the_first_pack_is_valid(tmp_path: Path) -> None:
    (pack,) = _blocks("yaml")
    (tmp_path / "first.yaml").write_text(pack, encoding="utf-8")

    assert _orch("policy", "validate", str(tmp_path)).returncode == 0


def test_the_exit_codes_are_the_real_ones() -> None:
    from orchestrator.errors import Exit

    rows = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}

    assert rows == {int(code) for code in Exit}


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_make_targets_exist(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
