"""What the git adapter does to commit documents: a tree, a commit and a branch moved, by plumbing alone.

The user's working tree is never written. Their index is left as it is, but for the committed paths of the branch that
is checked out, where they had nothing else staged: as `git commit --only` leaves it.
"""

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.adapter import Place, unconfigured
from orchestrator.errors import UsageError
from orchestrator.git import GitError, git
from orchestrator.names import shown
from orchestrator_adapters import inside
from orchestrator_adapters.parameters import Parameters, setting

PLAIN, PROGRAM = "100644", "100755"
TRAILER = "Orch-Key"
_TREE = "040000"
_LS_TREE = ("ls-tree", "-z", "--full-tree", "--end-of-options")
_PERSON = re.compile(r"[^<>\n\x00]*[^<>\s\x00][^<>\n\x00]* <[^<>\s\x00]+>")


class Document(NamedTuple):
    """One file as it is decided."""

    path: str
    """From the repository's root."""
    mode: str
    blob: str
    content: str | None
    """None where the working tree holds it."""
    source: str
    """Where, from the place's root."""

    def data(self, root: Path) -> bytes:
        """Return the content as it is now.

        Raises:
            UsageError: it cannot be read.
        """
        return inside.read(root, self.source)[0] if self.content is None else self.content.encode()


def documents(given: Parameters, place: Place) -> list[Document]:
    """Return the files that an order wants committed, by path.

    Raises:
        UsageError: none are named, or one cannot be read or committed.
    """
    prefix = git(["rev-parse", "--show-prefix"], place.root).decode().rstrip("\n")
    found: list[Document] = []
    if "source" in given:
        if given.mapping("documents") or "content" in given:
            raise UsageError("write_document has `source` and contents; expected one of them")
        sources = given.texts("source")
        if "path" in given and len(sources) > 1:
            raise UsageError(f"write_document has one `path` and {len(sources)} sources; expected one of each")
        for source in sources:
            path = prefix + given.path(given.text("path") if "path" in given else source)
            data, is_program = inside.read(place.root, given.path(source, "source"))
            _refuse_filtered(path, place.root)
            found.append(Document(path, PROGRAM if is_program else PLAIN, _blob(data, place.root), None, source))
    else:
        texts = given.mapping("documents")
        if "path" in given or "content" in given:
            texts[given.text("path")] = given.text("content", is_empty_allowed=True)
        for name, text in texts.items():
            if not isinstance(text, str):
                raise UsageError(f"the document {shown(name)} is {shown(text)}; expected a text")
            blob = _blob(text.encode(), place.root)
            found.append(Document(prefix + given.path(name), PLAIN, blob, text, ""))
    if not found:
        raise UsageError("write_document needs `path` and `content`, `documents`, or `source`")
    return sorted(found)


def _blob(data: bytes, root: Path, *, is_written: bool = False) -> str:
    write = ["-w"] if is_written else []
    return git(["hash-object", *write, "--no-filters", "--stdin"], root, given=data).decode().strip()


def _refuse_filtered(path: str, root: Path) -> None:
    """Refuse what would have to go through a program before it is committed."""
    top = Path(git(["rev-parse", "--show-toplevel"], root).decode("utf-8", "surrogateescape").rstrip("\n"))
    said = git(["check-attr", "-z", "--stdin", "filter"], top, given=path.encode() + b"\0").split(b"\0")
    if len(said) > 2 and said[2] not in {b"unspecified", b"unset"}:  # noqa: PLR2004  # path, attribute, value
        raise UsageError(
            f"{shown(path)} goes through the filter {shown(said[2].decode('utf-8', 'replace'))}, which is a program",
            advice="commit it with git itself",
        )


class Entry(NamedTuple):
    """What a tree has at one path."""

    mode: str
    id: str


def entries(commit: str, paths: Sequence[str], root: Path) -> dict[str, Entry]:
    """Return what a commit has at those of the paths where it has something."""
    found: dict[str, Entry] = {}
    for raw in git([*_LS_TREE, commit, *paths], root).split(b"\0")[:-1]:
        meta, _, name = raw.partition(b"\t")
        mode, _, blob = meta.decode("ascii").split(" ")
        found[name.decode("utf-8", "surrogateescape")] = Entry(mode, blob)
    return found


def listed(wanted: Sequence[Document], commit: str, root: Path) -> list[dict[str, str]]:
    """Return the files of the change that committing these makes, as a request carries them."""
    held = entries(commit, [one.path for one in wanted], root)
    files = []
    for one in wanted:
        before = held.get(one.path)
        if before is not None and before.mode == _TREE:
            raise UsageError(f"{shown(one.path)} is a folder there; expected a file or nothing")
        is_kept = before is not None and before.mode in {PLAIN, PROGRAM}
        mode = before.mode if before is not None and is_kept and one.content is not None else one.mode
        status = "A" if before is None else "M" if is_kept else "T"
        files.append({"path": one.path, "status": status, "mode": mode, "blob": one.blob})
    return files


def commit(  # noqa: PLR0917
    wanted: Sequence[Document], files: Sequence[Mapping[str, Any]], parent: str, message: str, place: Place, key: str
) -> str:
    """Return a new commit on top of `parent` with exactly the decided contents; `parent` itself where nothing changes.

    Raises:
        UsageError: a file is no longer what was decided.
        AdapterError: nobody is named as author.
    """
    for one in wanted:
        if _blob(one.data(place.root), place.root, is_written=True) != one.blob:
            raise UsageError(f"{shown(one.path)} changed after it was decided")
    before = git(["rev-parse", "--verify", "--end-of-options", f"{parent}^{{tree}}"], place.root).decode().split()[-1]
    leaves = {tuple(file["path"].split("/")): Entry(file["mode"], file["blob"]) for file in files}
    tree = _grown(place.root, before, leaves)
    if tree == before:
        return parent
    author, committer = people(place)
    stamp = f"{int(time.time())} +0000"
    lines = [f"tree {tree}", f"parent {parent}", f"author {author} {stamp}", f"committer {committer} {stamp}"]
    body = "\n".join([*lines, "", message.strip(), "", f"{TRAILER}: {key}", ""]).encode()
    return git(["hash-object", "-t", "commit", "-w", "--stdin"], place.root, given=body).decode().strip()


def _grown(root: Path, tree: str, leaves: Mapping[tuple[str, ...], Entry]) -> str:
    """Return a tree with some files more, or others in their place."""
    held: dict[str, tuple[str, str, str]] = {}
    for raw in git([*_LS_TREE, tree], root).split(b"\0")[:-1] if tree else []:
        meta, _, entry_name = raw.partition(b"\t")
        mode, kind, at = meta.decode("ascii").split(" ")
        held[entry_name.decode("utf-8", "surrogateescape")] = (mode, kind, at)
    below: dict[str, dict[tuple[str, ...], Entry]] = {}
    for path, entry in leaves.items():
        if len(path) == 1:
            held[path[0]] = (entry.mode, "blob", entry.id)
        else:
            below.setdefault(path[0], {})[path[1:]] = entry
    for name, more in below.items():
        mode, kind, at = held.get(name, (_TREE, "tree", ""))
        if kind != "tree":
            raise UsageError(f"{shown(name)} is a file there; expected a folder or nothing")
        held[name] = (mode, kind, _grown(root, at, more))
    rows = (f"{mode} {kind} {at}\t{name}\0" for name, (mode, kind, at) in held.items())
    text = "".join(rows).encode("utf-8", "surrogateescape")
    return git(["mktree", "-z", "--missing"], root, given=text).decode().strip()


def people(place: Place) -> tuple[str, str]:
    """Return author and committer, as the operator names them: never as a checkout's configuration does.

    Raises:
        AdapterError: nobody is named.
    """
    author = setting(place.settings, "git", "author") or _person_of_operator(place.root)
    committer = setting(place.settings, "git", "committer") or author
    for one in (author, committer):
        if not _PERSON.fullmatch(one):
            raise unconfigured(
                f"the author of commits is {shown(one)}; expected `Name <mail>`",
                advice='set adapters: {git: {author: "Orch <orch@example.com>"}}',
            )
    return author, committer


def _person_of_operator(root: Path) -> str:
    try:
        name, mail = (git(["config", "--global", key], root).decode().strip() for key in ("user.name", "user.email"))
    except GitError:
        return ""
    return f"{name} <{mail}>"


def refuse_trailer(message: str) -> str:
    """Return a commit's message.

    Raises:
        UsageError: it pretends to be of another action.
    """
    if re.search(rf"^\s*{TRAILER}\s*:", message, re.IGNORECASE | re.MULTILINE):
        raise UsageError(f"the message has a line `{TRAILER}:`; expected none, orch writes it")
    return message


def made_before(branch: str, key: str, root: Path) -> str:
    """Return the commit on a branch that an earlier attempt made; "" where there is none."""
    pattern = f"--grep=^{TRAILER}: {key}$"
    found = git(["rev-list", "--max-count=1", pattern, "--end-of-options", f"refs/heads/{branch}"], root)
    return found.decode().strip()


def bring_up_index(made: str, files: Sequence[Mapping[str, Any]], root: Path) -> None:
    """Let the index of what is checked out know of a commit, at its paths, where the user had nothing else staged.

    Raises:
        GitError: the index is in use.
    """
    paths = [file["path"] for file in files]
    top = Path(git(["rev-parse", "--show-toplevel"], root).decode("utf-8", "surrogateescape").rstrip("\n"))
    before = entries(f"{made}^", paths, top)
    staged: dict[str, Entry | None] = {}
    for raw in git(["ls-files", "-s", "-z", "--", *paths], top).split(b"\0")[:-1]:
        meta, _, name = raw.partition(b"\t")
        mode, blob, stage = meta.decode("ascii").split(" ")
        staged[name.decode("utf-8", "surrogateescape")] = Entry(mode, blob) if stage == "0" else None
    due = [file for file in files if staged.get(file["path"]) == before.get(file["path"])]
    due = [file for file in due if file["path"] in staged or file["path"] not in before]
    rows = "".join(f"{file['mode']} {file['blob']} 0\t{file['path']}\0" for file in due)
    if rows:
        git(["update-index", "-z", "--index-info"], top, given=rows.encode())
