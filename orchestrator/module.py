"""Hand-written Rego modules that a pack names: their paths, their text, their package. Never runs or compiles them."""

import json
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from orchestrator.document import Place, shown
from orchestrator.errors import OrchError
from orchestrator.model import Module
from orchestrator.notes import Notes

ReadModule: TypeAlias = Callable[[str, str], bytes]
"""Given a pack's file and a path below its folder, returns the module's bytes; raises OSError or OrchError."""

MAX_MODULE_BYTES = 1024 * 1024
"""Largest module that is read."""

_BLANK = re.compile(r"(?:\s|#[^\n]*(?:\n|\Z))*")
_PACKAGE = re.compile(
    r'package[ \t]+([A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\["(?:[^"\\\n]|\\.)*"\])*)[ \t\r]*(?=\n|#|\Z)', re.ASCII
)
_STEP = re.compile(r'\.?([A-Za-z_]\w*)|\[("(?:[^"\\\n]|\\.)*")\]', re.ASCII)


def read_module_file(pack_file: str, path: str) -> bytes:
    """Return the bytes of a module beside a pack's file; symlinks may not lead out of the pack's folder.

    Raises:
        OSError: there is no such file, or it cannot be read.
        OrchError: it lies outside the folder, is no plain file or is too large.
    """
    folder = Path(pack_file).resolve().parent
    try:
        target = (folder / path).resolve(strict=True)
    except RuntimeError as error:
        message = "a circle of symlinks"
        raise OrchError(message) from error
    if not target.is_relative_to(folder):
        message = "a symlink that leaves the pack's folder"
        raise OrchError(message)
    if not target.is_file():
        message = "not a plain file"
        raise OrchError(message)
    with target.open("rb") as opened:
        return opened.read(MAX_MODULE_BYTES + 1)


class _RefusedError(Exception):
    """What is wrong with a module: seen, expected, advice."""


def load_module(pack: str, path: str, place: Place, read: ReadModule | None, notes: Notes) -> Module | None:
    """Return one module of a pack, or None where something is wrong, which is noted."""
    try:
        _check_path(path)
        text = _text(path, notes.file, read)
        _check_package(pack, path, text)
    except _RefusedError as refused:
        notes.error(place, *refused.args)
        return None
    return Module(str(PurePosixPath(path)), text, notes.source(place))


def _check_path(path: str) -> None:
    if path.startswith("/") or "\\" in path or ".." in PurePosixPath(path).parts or not path.isprintable():
        raise _RefusedError(shown(path), "a path below the pack's folder", "absolute paths and `..` are refused")
    if not path.endswith(".rego") or path.endswith("_test.rego"):
        raise _RefusedError(shown(path), "a `.rego` file that is no `_test.rego`")


def _text(path: str, pack_file: str, read: ReadModule | None) -> str:
    if read is None:
        seen = f"the module {shown(path)}"
        raise _RefusedError(seen, "no modules: they cannot be read from here")
    try:
        data = read(pack_file, path)
    except (OSError, OrchError) as error:
        why = (error.strerror or "unreadable") if isinstance(error, OSError) else str(error)
        seen = f"the module {shown(path)}: {why}"
        raise _RefusedError(seen, "a file below the pack's folder") from error
    if len(data) > MAX_MODULE_BYTES:
        seen = f"the module {shown(path)} of more than 1 MB"
        raise _RefusedError(seen, "a smaller module")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        seen = f"the module {shown(path)}, which is not UTF-8"
        raise _RefusedError(seen, "UTF-8 text") from error


def _check_package(pack: str, path: str, text: str) -> None:
    package = package_of(text)
    if package is None or package[:2] != ["packs", pack]:
        wanted = f"packs.{pack}" if re.fullmatch(r"[a-z_][a-z0-9_]*", pack) else f'packs["{pack}"]'
        seen = f"the package {shown('.'.join(package))}" if package else "no package"
        seen = f"the module {shown(path)} with {seen}"
        raise _RefusedError(seen, f"`package {wanted}` or one below it")


def package_of(text: str) -> list[str] | None:
    """Return the names of a module's package, or None where the text does not begin with one."""
    start = _BLANK.match(text)
    found = _PACKAGE.match(text, start.end() if start else 0)
    if not found:
        return None
    try:
        return [name or json.loads(quoted) for name, quoted in _STEP.findall(found.group(1))]
    except ValueError:
        return None
