"""Which files are whose: trust goes by place, never by text. Finds and reads packs; parses none before it is asked to.

On the hot path. Org is what the operator names; repo is what lies in the repository and, where a change is judged, in
its base revision; run is what a run begins with.
"""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from orchestrator import place
from orchestrator.errors import PackError, Problem, UsageError
from orchestrator.gathered import Gathered, digest_of
from orchestrator.names import shown
from orchestrator.packfiles import (
    MAX_MODULE_BYTES,
    SUFFIXES,
    File,
    joined,
    module_names,
    read_files,
    read_module,
    within_limit,
)
from orchestrator.settings import REPOSITORY_FILE, REPOSITORY_PACKS, Settings, repository_root, repository_settings

if TYPE_CHECKING:
    from orchestrator.model import PackSet
    from orchestrator.pack import Loaded

BUNDLE_SUFFIXES = (".tar.gz", ".tgz")
"""What a bundle's name ends with."""

_FROM_WORKING_TREE = "the repository's packs were read from its working tree"
_ADVICE = "name some with --packs, ORCH_PACKS or `packs:` in the operator's file; `orch policy new` makes a first one"


def gather(
    settings: Settings,
    *,
    cwd: Path | None = None,
    repository: str | None = None,
    base_commit: str | None = None,
    run_packs: Sequence[str | os.PathLike[str]] = (),
    run_texts: Sequence[File] = (),
) -> Gathered:
    """Return the files that decide here.

    With `base_commit` a change is judged: the repository's packs, and org and run packs that lie in the same checkout,
    are read as they are in that commit ("" is before the first one), so that no change can judge itself. Org packs that
    are not in it yet are read from the working tree, which makes decisions claimed. `repository` goes before that of
    the settings, `run_packs` are added to theirs, and `run_texts`: name and bytes of packs that a run began with.

    Raises:
        UsageError: no packs anywhere, a place that is not there or cannot be read, a bundle beside packs not of a run.
        PackError: a pack is too large, or the repository's `orch.yaml` is wrong.
    """
    reader = _Reader(cwd or place.here(), base_commit)
    all_runs = (*settings.run_packs, *(os.fspath(name) for name in run_packs))
    known = repository or settings.repository
    bundle = _bundle(settings.packs, reader)
    org = [] if bundle else [file for name in settings.packs for file in reader.packs(name)]
    runs = [*(tuple(reader.run_pack(name)) for name in all_runs), *((one,) for one in run_texts)]
    repo = [] if bundle else reader.repository_packs(settings.repository_packs)
    if not (bundle or org or repo or runs):
        message = "there are no packs, so nothing can be allowed"
        raise UsageError(message, advice=_ADVICE)
    found = Gathered(
        org=tuple(org),
        repo=tuple(repo),
        runs=tuple(runs),
        modules=reader.modules,
        repository=known.lower() if known else None,
        claims=tuple(reader.claims),
        bundle=bundle,
        notes=tuple(reader.notes),
        places=tuple(reader.places),
    )
    return found if bundle and not runs else found._replace(digest=digest_of(found))


def read_layers(gathered: Gathered) -> "tuple[Loaded, Loaded, list[Loaded]]":
    """Return the documents of the org layer, the repo layer and each run pack.

    Raises:
        PackError: a document is wrong; with the problems of all layers.
    """
    from orchestrator.model import Layer
    from orchestrator.pack import load_documents

    problems: list[Problem] = []
    loaded: list[Loaded] = []
    layers = [(gathered.org, Layer.ORG), (gathered.repo, Layer.REPO), *((run, Layer.RUN) for run in gathered.runs)]
    for files, layer in layers:
        try:
            loaded.append(
                load_documents(files, layer, read_module=gathered.read_module if layer is Layer.ORG else None)
            )
        except PackError as error:
            problems += error.problems
    if problems:
        raise PackError(problems)
    return loaded[0], loaded[1], loaded[2:]


def read_pack_set(gathered: Gathered) -> "PackSet":
    """Return everything that decides, parsed, checked and linked.

    Raises:
        PackError: a document is wrong, or two do not fit together.
        UsageError: a bundle was named; it is compiled already.
    """
    from orchestrator.link import link

    if gathered.bundle:
        message = f"{shown(str(gathered.bundle))} is a compiled bundle; expected folders or files of packs"
        raise UsageError(message)
    org, repo, runs = read_layers(gathered)
    return link(org, repo, runs, repository=gathered.repository, is_claimed=gathered.is_claimed)


def _bundle(packs: Sequence[str], reader: "_Reader") -> Path | None:
    """Return where the bundle lies that the operator named; None where folders and files of packs are named."""
    name = next((name for name in packs if _is_bundle(reader.cwd / name)), None)
    if name is None:
        return None
    if len(packs) > 1:
        message = f"the bundle {shown(name)} stands beside other packs of the organisation; expected it alone"
        raise UsageError(message, advice="build one bundle of all of them: orch policy build")
    path = reader.bundle(name)
    reader.places.append(f"org: {name}")
    if reader.has_repository_packs():
        reader.notes.append(f"{name} decides alone; packs of the repository are not part of it")
    return path


def _is_bundle(path: Path) -> bool:
    return path.name.endswith(BUNDLE_SUFFIXES) and not path.is_dir()


class _Reader:
    """Reads packs of one place and time: a working tree, or the commit a change is judged from."""

    def __init__(self, cwd: Path, base_commit: str | None) -> None:
        self.cwd = cwd
        self.base = base_commit
        self.root = repository_root(cwd)
        self.modules: dict[tuple[str, str], bytes] = {}
        self.claims: list[str] = []
        self.notes: list[str] = []
        self.places: list[str] = []
        self._seen: set[Path] = set()

    def packs(self, name: str) -> list[File]:
        """Return the packs that the operator named by a folder or a file."""
        path = self._resolved(name)
        if path in self._seen:
            return []
        self._seen.add(path)
        inside = self._inside(name, path)
        if inside is not None:
            files = self._at_base(name, inside)
            if files:
                self.places.append(f"org: {name} at {self.base}")
                self._modules_at_base(files, name, inside)
                if files != read_files(name, path):
                    self.notes.append(f"{name} is read as of the base {self.base:.7}; edits count once they are merged")
                return files
            self._claim(name)
        files = read_files(name, path)
        self.places.append(f"org: {name}")
        for file, data in files:
            for module in module_names(data):
                folder = path if path.is_dir() else path.parent
                if (text := read_module(folder, module)) is not None:
                    self.modules[file, module] = text
        return files

    def run_pack(self, name: str) -> list[File]:
        """Return the one file of a run pack."""
        path = self._resolved(name)
        if path.is_dir():
            message = f"the run pack {shown(name)} is a folder; expected a file"
            raise UsageError(message)
        inside = self._inside(name, path)
        at_base = self._at_base(name, inside) if inside is not None else []
        if inside is not None and not at_base:
            self._claim(name)
        self.places.append(f"run: {name}" + (f" at {self.base}" if at_base else ""))
        return at_base or read_files(name, path)

    def repository_packs(self, folder: str) -> list[File]:
        """Return the packs that the enclosing repository brings."""
        if self.root is None or self.base == "":
            return []
        if self.base is not None:
            folder = self._folder_at_base()
            files = self._read_at(folder, folder)
            where = f"repo: {folder} at {self.base}"
            if not files and (self.root / folder).is_dir():
                self.notes.append(f"{folder} is not in the base {self.base:.7}, so it does not judge yet")
        else:
            path = self.root / folder
            if not _is_there(path, folder, self.root):
                return []
            files = read_files(folder, path, may_be_empty=True)
            where = f"repo: {folder}"
            self.claims += [_FROM_WORKING_TREE] if files else []
        if files:
            self.places.append(where)
        return files

    def _claim(self, name: str) -> None:
        self.claims.append(f"{name} is not in the base revision and was read from the working tree")
        self.notes.append(
            f"{name} is not in the base revision: it was read from the working tree; decisions are claimed"
        )

    def has_repository_packs(self) -> bool:
        """Say whether the enclosing repository has a folder of packs."""
        return self.root is not None and (self.root / REPOSITORY_PACKS).is_dir()

    def bundle(self, name: str) -> Path:
        """Return where a bundle lies; one that the change which is judged could have brought is refused."""
        path = self._resolved(name)
        if not path.is_file():
            message = f"{shown(name)} is not a file; expected a bundle"
            raise UsageError(message)
        if self._inside(name, path) is not None:
            message = f"the bundle {shown(name)} lies in the checkout whose change is judged"
            raise UsageError(
                message, advice="keep it outside, or name the packs' folder: it is read from the base revision"
            )
        return path

    def _resolved(self, name: str) -> Path:
        try:
            return (self.cwd / name).resolve(strict=True)
        except (OSError, RuntimeError, ValueError) as error:
            why = (
                "a circle of symlinks" if isinstance(error, RuntimeError) else getattr(error, "strerror", None) or error
            )
            message = f"the packs at {shown(name)} cannot be read: {why}"
            raise UsageError(message, advice="name a folder or a file of packs") from error

    def _inside(self, name: str, path: Path) -> str | None:
        """Return where packs lie in the checkout whose change is judged; None where they do not, or none is judged."""
        if self.base is None or self.root is None:
            return None
        is_named_inside = Path(os.path.normpath(self.cwd.resolve() / name)).is_relative_to(self.root)
        if not path.is_relative_to(self.root):
            if is_named_inside:
                message = (
                    f"{shown(name)} is a symlink out of the checkout whose change is judged: the change may move it"
                )
                raise UsageError(message, advice="name the packs' own place")
            return None
        own_root = repository_root(path if path.is_dir() else path.parent)
        if own_root is not None and own_root != self.root:  # a checkout of its own in this one
            if (own_root / ".git").is_file():
                message = (
                    f"{shown(name)} lies in a submodule of the checkout whose change is judged: the change may move it"
                )
                raise UsageError(message, advice="check the packs out on their own")
            return None
        return path.relative_to(self.root).as_posix()

    def _at_base(self, name: str, inside: str) -> list[File]:
        """Return the packs at the base, under the names the user knows."""
        from orchestrator.change import read_file_at

        if not self.base or self.root is None:
            return []
        if inside.endswith(SUFFIXES) and not (self.root / inside).is_dir():
            data = read_file_at(self.base, inside, self.root)
            return [(name, within_limit(name, data))] if data is not None else []
        return self._read_at("" if inside == "." else inside, name)

    def _read_at(self, folder: str, name: str) -> list[File]:
        from orchestrator.change import read_packs_at

        assert self.base and self.root is not None  # noqa: S101, PT018  # both callers looked
        found = read_packs_at(self.base, folder, self.root)
        return [(joined(name, file), within_limit(joined(name, file), data)) for file, data in found]

    def _modules_at_base(self, files: list[File], name: str, inside: str) -> None:
        from orchestrator.change import read_file_at

        assert self.base and self.root is not None  # noqa: S101, PT018  # the caller looked
        folder = PurePosixPath(inside)
        if files[0][0] == name:
            folder = folder.parent
        for file, data in files:
            for module in module_names(data):
                text = read_file_at(self.base, str(folder / module), self.root)
                if text is not None:
                    self.modules[file, module] = text[:MAX_MODULE_BYTES]

    def _folder_at_base(self) -> str:
        from orchestrator.change import read_file_at

        assert self.base and self.root is not None  # noqa: S101, PT018  # the caller looked
        data = read_file_at(self.base, REPOSITORY_FILE, self.root)
        said = repository_settings(data, REPOSITORY_FILE) if data is not None else {}
        return str(said.get("packs", REPOSITORY_PACKS))


def _is_there(path: Path, name: str, root: Path) -> bool:
    """Say whether the repository's folder of packs exists; one that is there and cannot be read is an error."""
    advice = "make it a folder, or remove it"
    try:
        is_below = path.resolve(strict=True).is_relative_to(root)
        is_folder = path.is_dir()
    except (OSError, RuntimeError) as error:
        steps = [step for step in (path, *path.parents) if step != root and step.is_relative_to(root)]
        if any(os.path.islink(step) for step in steps):  # noqa: PTH114  # Path.is_symlink raises where it cannot look
            seen = "a symlink that leads nowhere"
        elif isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return False
        else:
            seen = f"a folder that cannot be read ({getattr(error, 'strerror', None) or error})"
        raise PackError([Problem(name, 0, 0, seen, "a folder in the repository", advice)]) from error
    if not is_below:
        raise PackError([Problem(name, 0, 0, "a symlink out of the repository", "a folder in it", advice)])
    if not is_folder:
        raise PackError([Problem(name, 0, 0, "a file", "a folder of packs")])
    return True
