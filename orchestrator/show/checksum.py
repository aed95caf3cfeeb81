"""Digests of files, for people and for programs."""

from collections.abc import Sequence
from typing import TextIO

from orchestrator.checksum import Checksum
from orchestrator.show.escape import json_text, terminal


def write_text(found: Sequence[Checksum], out: TextIO) -> None:
    """Write a line for each file: digest, path, and whether it is the digest that was expected."""
    for each in found:
        verdict = "" if each.is_expected is None else "  as expected" if each.is_expected else "  NOT as expected"
        out.write(f"{each.digest}  {terminal(each.path)}{verdict}\n")


def write_json(found: Sequence[Checksum], out: TextIO) -> None:
    """Write a list of objects, in the files' order."""
    rows = [
        {"path": each.path, "digest": each.digest, "size": each.size}
        | ({} if each.is_expected is None else {"expected": each.is_expected})
        for each in found
    ]
    out.write(json_text(rows, indent=2) + "\n")
