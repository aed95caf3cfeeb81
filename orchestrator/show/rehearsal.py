"""A rehearsal of a plan as a person reads it: level by level, what each step would be decided."""

from typing import TextIO

from orchestrator.runs.dry import Rehearsal, Trial
from orchestrator.show.escape import terminal
from orchestrator.words import counted

_WORDS = {
    "allow": "allowed",
    "deny": "DENIED",
    "pending": "would wait",
    "skipped": "skipped",
    "unknown": "not known yet",
    "error": "WRONG",
}


def write(rehearsal: Rehearsal, out: TextIO) -> None:
    """Write a rehearsal as text."""
    phases, levels = counted(sum(map(len, rehearsal.levels)), "phase"), counted(len(rehearsal.levels), "level")
    out.write(f"{terminal(rehearsal.plan)}: {phases} in {levels}; nothing was done\n")
    for number, level in enumerate(rehearsal.levels, 1):
        out.write(f"level {number}: {terminal(', '.join(level))}\n")
        for trial in rehearsal.trials:
            if trial.phase in level:
                out.write(f"  {terminal(_line(trial))}\n")


def _line(trial: Trial) -> str:
    said = f"{trial.phase}/{trial.step} ({trial.action}): {_WORDS.get(trial.outcome, trial.outcome)}"
    said += f", only if {trial.only_if}" if trial.only_if else ""
    return f"{said}: {' '.join(trial.detail.split())}" if trial.detail else said
