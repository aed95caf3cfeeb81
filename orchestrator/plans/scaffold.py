"""A first plan, as a file to start from. Never writes over anything."""

import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.shape import EXPECTED_OF_PATTERN, NAME

_YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Names that YAML reads as something else."""
_PLAN = """\
# A first plan. All keys: docs/plans.md, or `orch policy schema Plan`. After each change:
# `orch plan validate {path}`, and `orch run {path} --mode dry-run` says what the packs would decide.
apiVersion: orch/v1
kind: Plan
metadata: {{name: {quoted}, version: 0.1.0}}

inputs:                                  # what a run is told: --input who=everyone
  who: {{default: world}}

defaults:
  timeout: 10m                           # for one attempt of a phase
  retry: {{attempts: 3, wait: 2s}}         # of a step whose failure may pass by itself

approvals: {{role: operator}}              # who opens gates: in manual mode, and behind phases without criteria

phases:
  - id: prepare
    title: Write a report
    steps:
      - id: report                       # each step is one action, decided by the packs before it is done
        action: run_command
        with:                            # no shell reads argv; here one is called by its name
          argv:
            - sh
            - -c
            - mkdir -p out && printf '{{"greeted":"%s","count":1}}\\n' "$1" > out/report.json && echo done
            - sh
            - "${{{{ inputs.who }}}}"
        replayable: true                 # doing it twice changes nothing
    success:                             # all must be true, or the phase has failed
      - json_valid: out/report.json
      - metric_threshold: {{file: out/report.json, path: count, min: 1}}

  - id: publish
    title: Show the report
    needs: prepare                       # several as a list; phases that do not need one another run side by side
    steps:
      - id: show
        action: run_command
        with: {{argv: [cat, out/report.json]}}
        replayable: true
      - id: say
        action: run_command
        with: {{argv: [echo, "the first step said: ${{{{ steps.report.outputs.stdout }}}}"]}}
        if: {{inputs.who: {{exists: true}}}}   # left out where this is false
        on_failure: continue             # not worth failing for
        replayable: true
    success:
      - file_not_empty: out/report.json
"""


def scaffold(name: str, folder: Path) -> Path:
    """Write a plan called `name` into `<name>.yaml` of a folder, which is made, and return the file. It validates.

    Raises:
        UsageError: the name is none, the file is there already, or it cannot be written.
    """
    if not re.fullmatch(NAME[1:-1], name):
        raise UsageError(f"{name!r:.80} is no name for a plan; expected {EXPECTED_OF_PATTERN[NAME]}")
    path = folder / f"{name}.yaml"
    quoted = f'"{name}"' if name in _YAML_WORDS or not name[0].isalpha() else name
    advice = "choose another name, or another folder with --dir"
    write_new(path, _PLAN.format(path=path, quoted=quoted), advice=advice)
    return path


def write_new(path: Path, text: str, *, advice: str, may_replace: bool = False) -> None:
    """Write a text file that is not there yet, its folder too; `advice` is for whom finds it there already.

    Raises:
        UsageError: it is there already and may not be replaced, or it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if may_replace and os.path.lexists(path):
            _replace(path, text)
            return
        with path.open("x", encoding="utf-8", newline="\n") as out:
            out.write(text)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already; nothing is overwritten", advice=advice) from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", advice="choose another folder") from error


def _replace(path: Path, text: str) -> None:
    """Put another file into the place of one, whole or not at all; its permissions stay.

    Raises:
        UsageError: something else than a plain file lies there, such as a symlink.
        OSError: it cannot be written.
    """
    there = path.lstat()
    if not stat.S_ISREG(there.st_mode):
        what = "a symlink" if stat.S_ISLNK(there.st_mode) else "no plain file"
        raise UsageError(f"{path} is {what}; nothing is written through it", advice="name the file itself, or another")
    draft = path.with_name(f".orch-{os.getpid()}.new")
    try:
        with draft.open("x", encoding="utf-8", newline="\n") as out:
            os.fchmod(out.fileno(), stat.S_IMODE(there.st_mode))
            out.write(text)
        draft.replace(path)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
