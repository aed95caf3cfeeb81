"""The files that decide, as a value, and the digest by which a warm command finds what was compiled of them.

On the hot path: nothing is parsed, and our own code is known by the sizes and times of its files.
"""

import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import NamedTuple

from orchestrator import place
from orchestrator.digest import sha256
from orchestrator.packfiles import File


class Gathered(NamedTuple):
    """The files that decide, by layer, before anything in them is read."""

    org: tuple[File, ...] = ()
    repo: tuple[File, ...] = ()
    runs: tuple[tuple[File, ...], ...] = ()
    """Each run pack is a layer of its own."""
    modules: Mapping[tuple[str, str], bytes] = MappingProxyType({})
    """Hand-written modules, and templates and plans of escalations, by the file that names them and their path below
    its folder."""
    repository: str | None = None
    """Which repository the repo layer belongs to, lower-cased; None when the operator did not say."""
    claims: tuple[str, ...] = ()
    """What nobody vouches for, each a short phrase: packs that a working tree brought. Any makes decisions claimed."""
    bundle: Path | None = None
    """A bundle instead of the organisation's and the repository's packs; packs of a run may stand beside it."""
    digest: str = ""
    """Over everything here and the code that compiles it; nothing else changes what comes out but a bundle's bytes."""
    notes: tuple[str, ...] = ()
    """What the operator should know, a line each, for stderr."""
    places: tuple[str, ...] = ()
    """Where packs were found, a line each, for people."""

    @property
    def is_claimed(self) -> bool:
        """Whether packs were read from a working tree where only a commit is trusted."""
        return bool(self.claims)

    def read_module(self, pack_file: str, path: str) -> bytes:
        """Return a module, template or plan that a document names; only those that were gathered with it exist.

        Raises:
            FileNotFoundError: there is none.
        """
        try:
            return self.modules[pack_file, str(PurePosixPath(path))]
        except KeyError:
            raise FileNotFoundError(2, "there is no such file", path) from None


def digest_of(gathered: Gathered) -> str:
    """Return a digest over the files, whose they are, and the code that compiles them."""
    has_escalation = any(b"Escalation" in data for _, data in gathered.org)
    code = _code_digest(has_escalation)
    parts: list[bytes] = [code.encode(), repr((gathered.repository, gathered.is_claimed)).encode()]
    layers = [("org", gathered.org), ("repo", gathered.repo), *(("run", run) for run in gathered.runs)]
    for layer, files in layers:
        parts.append(f"{layer} {len(files)}".encode())
        for name, data in files:
            parts += (os.fsencode(name), sha256(data).encode())
    for (pack, path), data in sorted(gathered.modules.items()):
        parts += (os.fsencode(pack), path.encode(), sha256(data).encode())
    return sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts))


@cache
def _code_digest(has_escalation: bool) -> str:  # noqa: FBT001  # a key of the cache
    """Return a digest of what turns packs into a bundle: version, fixed library and our code, as this process has it.

    Of escalations what reads them, too.

    Files enter by size and times, not by their bytes: the time of change cannot be set, so a file that was edited or
    replaced always counts as new, even where its time of modification was put back.
    """
    from orchestrator import __version__

    home = os.path.dirname(__file__)  # noqa: PTH120  # faster than a Path
    parts = [
        __version__,
        *sorted(_seen(os.fspath(place.resource("rego")), ".rego")),
        *sorted(_seen(home, ".py", is_deep=False)),
    ]
    for folder in ("escalations", "plans") if has_escalation else ():
        parts += sorted(_seen(f"{home}/{folder}", ".py", is_deep=False))
    return sha256("\0".join(parts).encode("utf-8", "surrogateescape"))


def _seen(folder: str, suffix: str, *, is_deep: bool = True) -> Iterator[str]:
    """Yield every file of this kind with what tells that it was changed; tests of the library do not matter."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(suffix):
                if not entry.name.endswith("_test.rego"):
                    seen = entry.stat()
                    yield f"{entry.path} {seen.st_size} {seen.st_mtime_ns} {seen.st_ctime_ns}"
            elif is_deep and entry.is_dir():
                yield from _seen(entry.path, suffix)
