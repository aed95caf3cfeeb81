"""Files that an escalation's document names, below its folder: read once, and part of its digest."""

from pathlib import PurePosixPath

from orchestrator.document import shown
from orchestrator.errors import OrchError, Problem
from orchestrator.module import ReadModule
from orchestrator.plans.spot import Spot

MAX_BYTES = 1024 * 1024
"""Largest file that is read."""


class Beside:
    """The files beside one document, and what is wrong in them."""

    def __init__(self, document: str, read: ReadModule | None) -> None:
        self.problems: list[Problem] = []
        """In the files themselves, by their own places."""
        self.digests: dict[str, bytes] = {}
        """What was read, by path."""
        self._document = document
        self._read = read

    def name(self, path: str) -> str:
        """Return what messages call a file: its path as that of the document is given."""
        return str(PurePosixPath(self._document).parent / PurePosixPath(path))

    def tell(self, problems: list[Problem]) -> None:
        """Note what is wrong in a file; once, however often that is named."""
        self.problems += [each for each in problems if each not in self.problems]

    def read(self, spot: Spot, suffixes: tuple[str, ...]) -> bytes | None:
        """Return the file whose path stands here; None where there is none to use, which is noted."""
        path = str(spot.value)
        parts = PurePosixPath(path).parts
        if path.startswith("/") or "\\" in path or ".." in parts or not path.isprintable():
            spot.error(shown(path), "a path below the document's folder", "absolute paths and `..` are refused")
            return None
        if not path.endswith(suffixes):
            spot.error(shown(path), f"a file whose name ends with {' or '.join(suffixes)}")
            return None
        return self._found(spot, str(PurePosixPath(path)))

    def _found(self, spot: Spot, path: str) -> bytes | None:
        if path in self.digests:
            return self.digests[path]
        if self._read is None:
            spot.error(f"the file {shown(path)}", "no files: they cannot be read from here")
            return None
        try:
            data = self._read(self._document, path)
        except (OSError, OrchError) as error:
            why = (error.strerror or "unreadable") if isinstance(error, OSError) else str(error)
            spot.error(f"the file {shown(path)}: {why}", "a file below the document's folder")
            return None
        if len(data) > MAX_BYTES:
            spot.error(f"the file {shown(path)} of more than 1 MB", "a smaller file")
            return None
        self.digests[path] = data
        return data
