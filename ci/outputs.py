"""Prints the outputs of the action from the JSON answer of `orch evaluate`; reads one file, decides nothing.

Whatever is not one of the words below is left out, so nothing from outside can become an output of its own.
Standard library only.
"""
# ruff: noqa: INP001  # a script

import json
import sys
from pathlib import Path

_OUTCOMES = ("allow", "pending", "deny")
"""From mild to grave."""


def gravest(answer: object, key: str) -> str:
    """Return the gravest word that the answer, or one of several, has under `key`; "" where there is none."""
    answers = answer if isinstance(answer, list) else [answer]
    contexts = [one.get("context") for one in answers if isinstance(one, dict)]
    found = [context.get(key) for context in contexts if isinstance(context, dict)]
    return max((word for word in _OUTCOMES if word in found), key=_OUTCOMES.index, default="")


def main(status: str, answer_file: str, sarif: str, junit: str) -> None:
    """Print one `name=value` line for each output."""
    try:
        answer = json.loads(Path(answer_file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        answer = None  # orch gave no answer; the exit code says why
    outputs = {
        "exit-code": str(int(status)),
        "outcome": gravest(answer, "outcome"),
        "would": gravest(answer, "would"),
        "sarif": sarif if sarif and Path(sarif).is_file() else "",
        "junit": junit if junit and Path(junit).is_file() else "",
    }
    sys.stdout.write("".join(f"{name}={value}\n" for name, value in outputs.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
