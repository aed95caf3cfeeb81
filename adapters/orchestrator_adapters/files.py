"""Writes files of a checkout: whole, or not at all; `docs/adapters-local.md` says how, and within which limits.

Each folder on the way is opened by itself and no symlink is followed, so what is swapped meanwhile leads nowhere else.
"""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from orchestrator import beneath
from orchestrator.adapter import (
    Action,
    Delivery,
    Effect,
    Place,
    Prepared,
    Receipt,
    Wanted,
    failure,
)
from orchestrator.digest import sha256
from orchestrator.errors import AdapterError, UsageError
from orchestrator.names import NO_REPOSITORY, shown
from orchestrator.words import near_miss
from orchestrator_adapters.wholefile import (
    EXECUTABLE,
    MOST_BYTES,
    PLAIN,
    File,
    blob_of,
    drafted,
    forget,
    is_there,
    looked_at,
    put_all,
    read,
)

MOST_FILES = 200
"""No action writes more."""

_KEYS = frozenset({"path", "content", "source", "mode"})


class Files:
    """Does write_file."""

    name = "files"
    actions = frozenset({"write_file"})

    def prepare(self, wanted: Wanted, place: Place) -> Prepared:
        """Return the files as git would store them, each marked as added or changed by what lies there now."""
        given = {name: value for name, value in wanted.parameters.items() if value is not None}
        files = [_prepared(each, place.root) for each in _asked(given)]
        _refuse_overlap([file.path for file in files])
        if (total := sum(len(file.data) for file in files)) > MOST_BYTES:
            raise UsageError(f"write_file would write {total:,} bytes; expected at most {MOST_BYTES:,}")
        fixed = [{"path": file.path, "before": file.before, **_origin(file)} for file in files]
        resource = {
            "type": "repository",
            "id": place.repository or NO_REPOSITORY,
            "properties": {"files": [file.request() for file in files]},
        }
        return Prepared(resource, {}, Effect.WRITE, is_replayable=True, fixed={"files": fixed})

    def perform(self, action: Action, key: str) -> Receipt:
        """Write every file beside its place, then put each into it."""
        root = action.place.root
        files = [
            _decided(one, fixed, root)
            for one, fixed in zip(action.resource["properties"]["files"], action.fixed["files"], strict=True)
        ]
        waiting = [file for file in files if not is_there(file, root)]
        with ExitStack() as stack:
            made: list[tuple[int, str]] = []
            stack.callback(forget, made)
            spots = [
                stack.enter_context(drafted(file, root, f".orch-{key[:16]}-{at}", made))
                for at, file in enumerate(waiting)
            ]
            action.recheck()
            put_all(spots, root)
        detail = "" if waiting else "it was there already"
        return Receipt(Delivery.DELIVERED, _reference(files), detail, _outputs(files))

    def reconcile(self, action: Action, key: str) -> Receipt | None:  # noqa: ARG002  # the Protocol's
        """Return whether the content is there."""
        files = []
        for one in action.resource["properties"]["files"]:
            before = one["blob"] if one["status"] == "M" else ""
            try:
                there = looked_at(one["path"], action.place.root)
            except AdapterError as error:
                return Receipt(Delivery.RETRYABLE, detail=str(error))
            if (there.blob, there.mode) != (one["blob"], one["mode"]):
                return Receipt(Delivery.RETRYABLE, detail=f"{shown(one['path'])} does not have that content")
            data = read(one["path"], action.place.root)
            files.append(File(one["path"], one["mode"], data, one["blob"], before, ""))
        return Receipt(Delivery.DELIVERED, _reference(files), outputs=_outputs(files))


def _asked(given: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the files of an order.

    Raises:
        UsageError: there are none, too many, or both forms are used.
    """
    if "files" not in given:
        return [given]
    files = given["files"]
    if given.keys() != {"files"}:
        raise UsageError("write_file has files and further parameters; expected either files, or one path and content")
    if not isinstance(files, list | tuple) or not files:
        raise UsageError(f"write_file's files is {shown(files)}; expected a list of objects with path and content")
    for at, each in enumerate(files):
        if not isinstance(each, Mapping):
            raise UsageError(f"write_file's files[{at}] is {shown(each)}; expected an object with path and content")
    if len(files) > MOST_FILES:
        raise UsageError(f"write_file has {len(files):,} files; expected at most {MOST_FILES:,}")
    return list(files)


def _prepared(given: Mapping[str, Any], root: Path) -> File:
    for name in sorted(map(str, given.keys() - _KEYS)):
        hint = near_miss(name, _KEYS)
        raise UsageError(f"write_file has no {shown(name)}; expected path, content or source, mode{hint}")
    if ("content" in given) == ("source" in given):
        raise UsageError("write_file needs either content, or source: the file whose content it is")
    path = _path(given.get("path"), "path")
    source = _path(given["source"], "source") if "source" in given else ""
    data = read(source, root) if source else _data(given["content"])
    there = looked_at(path, root)
    mode = str(given.get("mode", there.mode))
    if mode not in {PLAIN, EXECUTABLE}:
        raise UsageError(f"the mode of {shown(path)} is {shown(mode)}; expected {PLAIN}, or {EXECUTABLE} for a program")
    return File(path, mode, data, blob_of(data), there.blob, source)


def _path(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"write_file's {what} is {shown(value)}; expected a relative path")
    parts = beneath.steps(value, what=f"write_file's {what}")
    if not parts:
        raise UsageError(f"write_file's {what} is {shown(value)}; expected a file")
    if any(_is_git(part) for part in parts):
        raise UsageError(f"write_file's {what} is {shown(value)}, which is git's own", advice="change it with git")
    return "/".join(parts)


def _is_git(part: str) -> bool:
    """Say whether some file system takes a name for `.git`."""
    plain = "".join(char for char in part if unicodedata.category(char) != "Cf").rstrip(". ").casefold()
    return plain in {".git", "git~1"} or plain.startswith(".git::")


def _refuse_overlap(paths: Sequence[str]) -> None:
    known = set(paths)
    if len(known) != len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise UsageError(f"write_file names {shown(twice)} twice; expected each path once")
    for path in paths:
        above = path.rpartition("/")[0]
        while above:
            if above in known:
                raise UsageError(f"write_file names {shown(above)} as a file and as a folder")
            above = above.rpartition("/")[0]


def _data(content: object) -> bytes:
    """Return a content's bytes: a text in UTF-8, any other value as JSON."""
    try:
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=2) + "\n"
        return text.encode()
    except (UnicodeEncodeError, TypeError, ValueError) as error:
        raise UsageError("write_file's content cannot be written as UTF-8", advice="name a source file") from error


def _origin(file: File) -> dict[str, str]:
    return {"source": file.source} if file.source else {"text": file.data.decode()}


def _decided(one: Mapping[str, str], fixed: Mapping[str, str], root: Path) -> File:
    """Return a file with the content that was decided about.

    Raises:
        AdapterError: its source has another content now.
    """
    source = fixed.get("source", "")
    data = read(source, root) if source else fixed["text"].encode()
    if fixed["path"] != one["path"] or blob_of(data) != one["blob"]:
        raise failure(f"{shown(source or one['path'])} was changed since it was decided about", advice="ask anew")
    return File(one["path"], one["mode"], data, one["blob"], fixed["before"], source)


def _reference(files: Sequence[File]) -> str:
    return files[0].path if len(files) == 1 else f"{len(files)} files"


def _outputs(files: Sequence[File]) -> dict[str, Any]:
    rows = [{**file.request(), "sha256": sha256(file.data), "size": len(file.data)} for file in files]
    return {"path": files[0].path, "files": rows}
