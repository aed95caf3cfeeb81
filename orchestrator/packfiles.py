"""Files of packs, read from a folder: which ones count, how large they may be, which modules may belong to them.

On the hot path. Knows places and names; parses nothing and trusts nobody.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from orchestrator.errors import PackError, Problem, UsageError
from orchestrator.names import shown

File: TypeAlias = tuple[str, bytes]
"""A file's name as the user would type it, and its bytes."""

MAX_FILE_BYTES = 16 * 1024 * 1024
"""Largest pack."""
MAX_MODULE_BYTES = 1024 * 1024 + 1
"""What is read of a module; a longer one is refused where it is loaded."""
MAX_FILES = 10_000
"""Most packs in a folder."""
SUFFIXES = (".yaml", ".yml")
"""What a pack's file name ends with."""

_ESCALATION = b"Escalation"
"""What a document of an escalation holds, which may name templates and plans."""
_MODULE = rb"\"([^\"\n]+\.(?:%b))\"|'([^'\n]+\.(?:%b))'|([^\s\"',\[\]{}#]+\.(?:%b))(?![\w.])"


def read_files(name: str, path: Path, *, may_be_empty: bool = False) -> list[File]:
    """Return the packs of a folder (every *.yaml and *.yml in it, none below), or the one file.

    Raises:
        UsageError: there is none, or the folder or a file cannot be read.
        PackError: a file is too large, or a symlink that leaves the folder or leads nowhere.
    """
    if path.is_file():
        return [(name, _read(name, path))]
    if not path.is_dir():
        message = f"{shown(name)} is neither a folder nor a file"
        raise UsageError(message)
    found = [(joined(name, entry.name), _read(joined(name, entry.name), entry)) for entry in _listed(name, path)]
    if not found and not may_be_empty:
        message = f"there is no *.yaml or *.yml in the folder {shown(name)}"
        raise UsageError(message, advice="folders below it are not looked into; name the folder that holds the packs")
    return found


def _listed(name: str, folder: Path) -> Iterator[Path]:
    """Yield the folder's packs by name: no hidden ones, nothing but plain files and symlinks to those in it."""
    home = folder.resolve()
    try:
        entries = sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(SUFFIXES))
    except OSError as error:
        message = f"the folder {shown(name)} cannot be read: {error.strerror}"
        raise UsageError(message) from error
    if len(entries) > MAX_FILES:
        message = f"the folder {shown(name)} holds {len(entries):,} packs; expected at most {MAX_FILES:,}"
        raise UsageError(message)
    for entry in entries:
        path = folder / entry
        if entry.startswith("."):
            continue
        try:
            entry.encode()
        except UnicodeEncodeError as error:
            message = f"the folder {shown(name)} holds a file whose name is not UTF-8: {ascii(os.fsencode(entry))[1:]}"
            raise UsageError(message, advice="rename it") from error
        try:
            is_inside = path.resolve(strict=True).is_relative_to(home)
        except (OSError, RuntimeError) as error:  # RuntimeError: a circle, before Python 3.13
            raise _astray(joined(name, entry), path, "leads nowhere") from error
        if not is_inside:
            raise _astray(joined(name, entry), path, "leaves the folder")
        if path.is_file():
            yield path


def _astray(name: str, path: Path, how: str) -> PackError:
    """Return the error for a name whose pack cannot be had: left out silently, its denies would be missing."""
    seen = f"a symlink that {how}" if path.is_symlink() else "a file that cannot be reached"
    advice = "put the file itself here, or remove the name; a name that begins with a dot is passed over"
    return PackError([Problem(name, 0, 0, seen, "a file in this folder", advice)])


def _read(name: str, path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            return within_limit(name, size)
        with path.open("rb") as opened:
            return within_limit(name, opened.read(MAX_FILE_BYTES + 1))
    except OSError as error:
        message = f"{shown(name)} cannot be read: {error.strerror}"
        raise UsageError(message) from error


def within_limit(name: str, data: bytes | int) -> bytes:
    """Return the bytes of a pack; refuse them, or a known size, where that is too large.

    Raises:
        PackError: it is.
    """
    size = data if isinstance(data, int) else len(data)
    if isinstance(data, int) or size > MAX_FILE_BYTES:
        most = f"at most {MAX_FILE_BYTES // 1024 // 1024} MB"
        seen = f"a file of {size / 1024 / 1024:.1f} MB"
        raise PackError([Problem(name, 0, 0, seen, most, "split it into several files")])
    return data


def joined(name: str, file: str) -> str:
    """Return a file's name as the user would type it, by that of its folder."""
    return file if name in {"", "."} else f"{name.rstrip('/')}/{file}"


def module_names(data: bytes) -> list[str]:
    """Return what may be the modules a pack names, and the templates and plans of an escalation.

    They are part of the digest before anything is parsed. What is written in a way this does not see is not read.
    """
    has_escalation = _ESCALATION in data
    if not has_escalation and b".rego" not in data:
        return []
    suffix = b"rego|j2|yaml|yml" if has_escalation else b"rego"
    found = {
        (double or single or plain).decode("utf-8", "replace")
        for double, single, plain in re.findall(_MODULE % (suffix, suffix, suffix), data)
    }
    paths = (PurePosixPath(name) for name in found)
    return sorted({str(path) for path in paths if not path.is_absolute() and ".." not in path.parts})


def read_module(folder: Path, name: str) -> bytes | None:
    """Return a module below a pack's folder; None where there is none that may be read."""
    try:
        path = (folder / name).resolve(strict=True)
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            return None
        with path.open("rb") as opened:
            return opened.read(MAX_MODULE_BYTES)
    except (OSError, RuntimeError, ValueError):
        return None
