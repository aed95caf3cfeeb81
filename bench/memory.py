"""What processes hold in memory, where the system says so (Linux); None elsewhere."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_EVERY_S = 0.005
MEGABYTE = 2**20


def high_water(pid: int | str = "self") -> int | None:
    """Return the most a process ever had resident, in bytes."""
    try:
        for line in (_PROC / str(pid) / "status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


@dataclass(slots=True)
class Peak:
    """The most that all processes of a measurement had resident at one moment."""

    bytes: int | None = None
    """None where nothing was seen."""


@contextmanager
def watched(mark: str) -> Iterator[Peak]:
    """Watch every process whose command line or environment holds `mark`, a hundred times and more in a second."""
    peak, is_over = Peak(), threading.Event()

    def watch() -> None:
        while not is_over.wait(_EVERY_S):
            total = sum(_resident(folder) for folder in _PROC.glob("[0-9]*") if _is_marked(folder, mark.encode()))
            if total:
                peak.bytes = max(peak.bytes or 0, total)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        is_over.set()
        watcher.join()


def _is_marked(folder: Path, mark: bytes) -> bool:
    try:
        return mark in (folder / "environ").read_bytes() or mark in (folder / "cmdline").read_bytes()
    except OSError:
        return False


def _resident(folder: Path) -> int:
    try:
        for line in (folder / "status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
