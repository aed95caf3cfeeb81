"""A place for what must be written twice or later: in memory while small, then in a temporary file."""

import json
from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Self, TextIO

from orchestrator.decision import Decision
from orchestrator.errors import OrchError

_IN_MEMORY_CHARS = 1 << 20
_CHUNK_CHARS = 1 << 16


class Spool:
    """Text written once and copied once. Use it in a `with` block; the file is gone afterwards."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(_IN_MEMORY_CHARS, mode="w+", encoding="utf-8", newline="")  # noqa: SIM115  # closed in __exit__
        self.size_bytes = 0
        """UTF-8 bytes written so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, text: str) -> None:
        """Append `text`.

        Raises:
            OrchError: the temporary folder is full or cannot be written.
        """
        try:
            self._file.write(text)
        except OSError as error:
            raise OrchError(
                f"cannot write a temporary file: {error.strerror or error}", advice="free some space, or set TMPDIR"
            ) from error
        self.size_bytes += len(text.encode())

    def copy_to(self, out: TextIO) -> None:
        """Write everything to `out`.

        Raises:
            BrokenPipeError: the reader of `out` has gone.
        """
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK_CHARS):
            out.write(chunk)

    def lines(self) -> Iterator[str]:
        """Yield what was written, line by line."""
        self._file.seek(0)
        yield from self._file


def replayed(decisions: Iterable[Decision], count: int, spool: Spool) -> Iterator[Iterator[Decision]]:
    """Yield `count` streams of the same decisions, each read to its end before the next; memory stays constant."""

    def first() -> Iterator[Decision]:
        for decision in decisions:
            spool.write(json.dumps([decision.request, decision.context, decision.label]) + "\n")
            yield decision

    yield first()
    for _ in range(count - 1):
        yield (Decision(*json.loads(line)) for line in spool.lines())
