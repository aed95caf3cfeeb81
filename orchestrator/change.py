"""A change as git knows it: files with status, mode and blob, people, branches; and packs of a commit. Never judges.

A change is what its head adds since it left the base (the merge base): the base's own progress is not held against it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from orchestrator.errors import PackError, Problem, UsageError
from orchestrator.git import DEEPEN, GitError, git, is_shallow, resolve
from orchestrator.names import branch_problem, shown

EMPTY = "empty"
"""As BASE: before the first commit. A branch of that name is `refs/heads/empty`."""
MAX_FILE_BYTES = 64 * 1024 * 1024
"""Largest file that is read out of a commit."""
MAX_FILES = 10_000
"""Most files that are read out of one folder of a commit."""

_COAUTHOR = re.compile(rb"^[ \t]*co-authored-by[ \t]*:[^\n]*?<([^<>\n]+)>", re.IGNORECASE | re.MULTILINE)
_PERSON = re.compile(rb"^(?:author|committer) [^\n]*?<([^<>\n]*)>", re.MULTILINE)
_LINK = "120000"
_ALL = "for everything up to HEAD say --from-git empty..HEAD"
_NOREPLY = "@users.noreply.github.com"


@dataclass(frozen=True, slots=True)
class Change:
    """What one range of commits changes."""

    base: str
    """The base's commit id; "" for `empty`."""
    head: str
    """The head's commit id."""
    merge_base: str
    """Where the head left the base; "" for `empty`. Of several the first by id."""
    tree: str
    """The head's tree id."""
    files: tuple[dict[str, str], ...]
    """`{path, status, mode, blob}` by path: the new side's mode and blob, zeros for a deleted file."""
    contributors: tuple[str, ...]
    """Mail addresses of everyone who wrote, committed or is named as co-author, lower-cased, sorted."""
    base_branch: str | None = None
    """The branch's name, where BASE names one."""
    head_branch: str | None = None
    """The branch's name, where HEAD names one."""


def read_change(range_text: str, cwd: Path) -> Change:
    """Return what HEAD of `BASE..HEAD` (or `BASE...HEAD`, which is the same) adds since it left BASE.

    `empty..HEAD` is everything up to HEAD. Submodules and symlinks are files like others. Where HEAD left BASE in
    several places, a file counts as changed if it differs from any of them.

    Raises:
        UsageError: no such range, no repository, too little history, or a path that is not UTF-8.
    """
    base_name, head_name = _names(range_text)
    head = resolve(head_name, cwd, otherwise=_ALL)
    tree = git(["rev-parse", "--verify", "--end-of-options", f"{head}^{{tree}}"], cwd).decode().split()[-1]
    if base_name == EMPTY:
        nothing = git(["hash-object", "-t", "tree", "--stdin"], cwd).decode().strip()
        base, starts = "", [nothing]
    else:
        base = resolve(base_name, cwd, otherwise=_ALL)
        starts = _merge_bases(base, head, cwd)
    files: dict[str, dict[str, str]] = {}
    for start in starts:
        for file in _files(git([*_DIFF, start, head], cwd)):
            files.setdefault(file["path"], file)
    return Change(
        base=base,
        head=head,
        merge_base=starts[0] if base else "",
        tree=tree,
        files=tuple(files[path] for path in sorted(files)),
        contributors=_contributors(base, head, cwd),
        base_branch=_branch(base_name, cwd) if base else None,
        head_branch=_branch(head_name, cwd),
    )


_DIFF = (
    "diff-tree",
    "-r",
    "--raw",
    "-z",
    "--no-renames",
    "--no-ext-diff",
    "--no-textconv",
    "--no-abbrev",
    "--ignore-submodules=none",  # a change to .gitmodules must not hide a submodule
    "--no-relative",
    "--end-of-options",
)


def _names(range_text: str) -> tuple[str, str]:
    base, dots, head = range_text.partition("...")
    if not dots:
        base, dots, head = range_text.partition("..")
    if not dots or not base or ".." in head or head.startswith("."):
        message = f"the range is {shown(range_text)}; expected BASE..HEAD"
        raise UsageError(message, advice="for example --from-git origin/main..HEAD")
    return base, head or "HEAD"


def _merge_bases(base: str, head: str, cwd: Path) -> list[str]:
    try:
        found = git(["merge-base", "--all", "--end-of-options", base, head], cwd).decode().split()
    except GitError as error:
        if error.said:
            raise
        found = []
    if not found:
        message = f"{base[:12]} and {head[:12]} have no commit in common"
        if is_shallow(cwd):
            raise UsageError(message, advice=f"the clone is shallow; {DEEPEN}")
        raise UsageError(message, advice=_ALL)
    return sorted(found)


def _files(raw: bytes) -> Iterator[dict[str, str]]:
    """Yield the files of a raw diff: `:100644 100644 OLD NEW M` NUL path NUL."""
    parts = raw.split(b"\0")
    for meta, path in zip(parts[0:-1:2], parts[1::2], strict=True):
        fields = meta.decode("ascii").split(" ")
        try:
            name = path.decode("utf-8")
        except UnicodeDecodeError as error:
            message = f"the change holds a file whose name is not UTF-8: {ascii(path)[1:]}"
            raise UsageError(
                message, advice="rename it; a name that cannot be written down cannot be judged"
            ) from error
        yield {"path": name, "status": fields[4][:1], "mode": fields[1], "blob": fields[3]}


def _contributors(base: str, head: str, cwd: Path) -> tuple[str, ...]:
    """Return everyone's mail address as the commits say it: without mailmap, which may be part of the change."""
    wanted = [head, *([f"^{base}"] if base else [])]
    commits = git(["rev-list", "--end-of-options", *wanted], cwd)
    if is_shallow(cwd) and base:
        cut = Path(cwd, git(["rev-parse", "--git-path", "shallow"], cwd).decode().rstrip("\n"))
        if set(commits.split()) & set(cut.read_bytes().split()):
            message = "the clone is shallow, and commits of the change are cut off: who wrote it is not known"
            raise UsageError(message, advice=DEEPEN)
    mails: set[str] = set()
    for _, body in _objects(git(["cat-file", "--batch"], cwd, given=commits)):
        header, _, text = body.partition(b"\n\n")
        found = [*_PERSON.findall(header), *_COAUTHOR.findall(text)]
        mails.update(mail.decode("utf-8", "replace").strip().lower() for mail in found)
    return tuple(sorted(mails - {""}))


def _objects(answer: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield (type, body) of each object in the answer of `cat-file --batch`."""
    at = 0
    while at < len(answer):
        end = answer.index(b"\n", at)
        fields = answer[at:end].decode("ascii", "replace").split(" ")
        if len(fields) != 3:  # noqa: PLR2004  # id, type and size; else "missing"
            message = f"git lacks the object {shown(fields[0])}"
            raise UsageError(message, advice="fetch it, or clone again")
        size = int(fields[2])
        yield fields[1], answer[end + 1 : end + 1 + size]
        at = end + size + 2


def _branch(name: str, cwd: Path) -> str | None:
    try:
        full = git(["rev-parse", "--symbolic-full-name", "--verify", "--quiet", "--end-of-options", name], cwd)
    except GitError:
        return None
    lines = full.decode("utf-8", "replace").split("\n")
    ref = next((line for line in reversed(lines) if line.startswith("refs/")), "")
    if ref.startswith("refs/heads/"):
        branch = ref.removeprefix("refs/heads/")
    elif ref.startswith("refs/remotes/"):
        branch = ref.removeprefix("refs/remotes/").partition("/")[2]
    else:
        return None
    return None if branch_problem(branch) else branch


def contributor_names(mails: Iterable[str], roster: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return whose addresses these are by the roster (subject name to `{roles, attributes}`), else `mail:<address>`.

    GitHub's own addresses (`1+alice@users.noreply.github.com`) belong to whoever has that login. Sorted.
    """
    by_mail: dict[str, set[str]] = {}
    for name, entry in roster.items():
        attributes = entry.get("attributes", {})
        login = str(attributes.get("github", "")).lower()
        for mail in (str(attributes.get("mail", "")).lower(), f"{login}{_NOREPLY}" if login else ""):
            if mail:
                by_mail.setdefault(mail, set()).add(name)
    found: set[str] = set()
    for mail in mails:
        lowered = mail.lower()
        plain = lowered.partition("+")[2] if lowered.endswith(_NOREPLY) and "+" in lowered else lowered
        found |= by_mail.get(plain) or {f"mail:{mail}"}
    return sorted(found)


def read_packs_at(
    commit: str, folder: str, cwd: Path, *, suffixes: tuple[str, ...] = (".yaml", ".yml")
) -> list[tuple[str, bytes]]:
    """Return (name, bytes) of the files in a folder of a commit, by name; a folder that is not there has none.

    `folder` is relative to the repository's root, "" the root itself. Files below its folders, hidden ones, symlinks
    and submodules are left out.

    Raises:
        UsageError: no such commit, a name that is not UTF-8, or a file that is too large.
    """
    return read_files_at(commit, folder, cwd, suffixes=suffixes, is_deep=False)


def read_files_at(
    commit: str, folder: str, cwd: Path, *, suffixes: tuple[str, ...], is_deep: bool
) -> list[tuple[str, bytes]]:
    """Return (path below the folder, bytes) as `read_packs_at`, with `is_deep` of the folders below, too.

    Raises:
        UsageError: as there.
    """
    commit = resolve(commit, cwd)
    place = str(PurePosixPath(folder)) if folder else ""
    tree = _tree(commit, "" if place == "." else place, cwd)
    if tree is None:
        return []
    flags = ["-r"] if is_deep else []
    listed = git(["ls-tree", "-z", "-l", "--full-tree", *flags, "--end-of-options", tree], cwd)
    wanted = list(_wanted(listed.split(b"\0"), suffixes, f"{commit[:12]}:{place}"))
    if not wanted:
        return []
    blobs = "".join(f"{blob}\n" for _, blob in wanted).encode()
    bodies = _objects(git(["cat-file", "--batch"], cwd, given=blobs))
    return sorted((name, body) for (name, _), (_, body) in zip(wanted, bodies, strict=True))


def read_file_at(commit: str, path: str, cwd: Path) -> bytes | None:
    """Return one plain file of a commit, by its path from the root; None where there is none.

    Raises:
        UsageError: no such commit, or the file is too large.
    """
    parent, name = str(PurePosixPath(path).parent), PurePosixPath(path).name
    found = read_files_at(commit, "" if parent == "." else parent, cwd, suffixes=(name,), is_deep=False)
    return dict(found).get(name)


def _tree(commit: str, place: str, cwd: Path) -> str | None:
    """Return the id of a folder's tree; None where there is no folder of that name."""
    tree = f"{commit}:{place}" if place else f"{commit}^{{tree}}"
    try:
        name = git(["rev-parse", "--verify", "--quiet", "--end-of-options", tree], cwd).decode().split()[-1]
    except GitError as error:
        if error.said and "exists on disk, but not in" not in error.said and "does not exist in" not in error.said:
            raise
        return None
    if git(["cat-file", "-t", name], cwd).strip() == b"tree":
        return name
    if git(["ls-tree", "-z", "--full-tree", "--end-of-options", commit, place], cwd).startswith(_LINK.encode()):
        raise _link(f"{commit[:12]}:{place}", "a folder")
    return None


def _link(where: str, expected: str) -> PackError:
    """A symlink that were passed over would take the denies behind it along."""
    return PackError([Problem(where, 0, 0, "a symlink", expected, "what lies behind it is not part of the commit")])


def _wanted(entries: Iterable[bytes], suffixes: tuple[str, ...], where: str) -> Iterator[tuple[str, str]]:
    """Yield (path, blob id) of the plain files among the entries of `ls-tree -l`: not hidden, with a known suffix."""
    count = 0
    for entry in entries:
        meta, _, raw = entry.partition(b"\t")
        fields = meta.decode("ascii").split()
        if not raw.endswith(tuple(suffix.encode() for suffix in suffixes)) or fields[1] != "blob":
            continue
        if any(part.startswith(b".") for part in raw.split(b"/")):
            continue
        if fields[0] == _LINK:
            raise _link(f"{where}/{raw.decode('utf-8', 'replace')}", "a plain file")
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            message = f"{where} holds a file whose name is not UTF-8: {ascii(raw)[1:]}"
            raise UsageError(message, advice="rename it") from error
        count += 1
        if int(fields[3]) > MAX_FILE_BYTES or count > MAX_FILES:
            most = f"at most {MAX_FILES:,} files of {MAX_FILE_BYTES:,} bytes"
            message = f"{where} holds too much at {shown(name)}; expected {most}"
            raise UsageError(message)
        yield name, fields[2]
