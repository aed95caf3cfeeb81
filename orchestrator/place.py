"""Where things lie: what we ship, and the user's cache, state, configuration and sockets. Reads no content.

Part of the hot path: imports nothing heavy.
"""

import os
import stat
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

from orchestrator.errors import DecisionError, UsageError

SOCKET_PATH_BYTES = 100
"""The longest socket path we use; kernels stop at 104 (macOS) or 108 (Linux), and OPA then exits 0."""
SOCKET_NAME_BYTES = 40
"""What of that is left for the file's own name."""

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent
_RESOURCES = {
    "rego": "rego",
    "policy_packs": "policy_packs",
    "templates": "templates",
    "capabilities": "opa/capabilities.json",
}
_WHEEL_NAMES = {"capabilities": "capabilities.json"}
_PRIVATE = 0o700
_OTHERS = 0o077


def resource(name: str) -> Path:
    """Return where a thing we ship lies: `rego`, `policy_packs`, `templates` (folders) or `capabilities` (a file).

    In a checkout (and so in an editable install) that is the checkout's own copy, in an installed wheel the package's.

    Raises:
        DecisionError: it is not there, so this installation is broken.
    """
    in_checkout, in_wheel = _CHECKOUT / _RESOURCES[name], _PACKAGE / "_data" / _WHEEL_NAMES.get(name, name)
    found = in_checkout if is_checkout() else in_wheel
    if not found.exists():
        message = f"{name} is missing: {found} does not exist"
        raise DecisionError(message, advice="install orch again; a part of it is gone")
    return found


def here() -> Path:
    """Return the current folder.

    Raises:
        UsageError: it was removed.
    """
    try:
        return Path.cwd()
    except OSError as error:
        message = f"the current folder cannot be read: {error.strerror}"
        raise UsageError(message, advice="change into a folder that exists") from error


def is_checkout() -> bool:
    """Say whether this code runs from a checkout of its repository rather than from an installed wheel."""
    return (_CHECKOUT / "opa" / "go.mod").is_file()


def opa_candidates() -> tuple[Path, ...]:
    """Return where an OPA of ours may lie, best first: in the installed package, then in the checkout."""
    wheel, checkout = _PACKAGE / "_data" / "bin" / "opa", _CHECKOUT / "opa" / "bin" / "opa"
    return (wheel, checkout) if is_checkout() else (wheel,)


def cache_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder for what can be made again: `$XDG_CACHE_HOME/orch`, else `~/.cache/orch`.

    Without a home, or where it cannot be written, it is a folder below `runtime_dir()`. Nothing is created.
    """
    base = _base(environ, "XDG_CACHE_HOME", ".cache")
    if base is None or not _can_write(base):
        return runtime_dir(environ) / "cache"
    return base / "orch"


def state_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder for what must stay: `$XDG_STATE_HOME/orch`, else `~/.local/state/orch`. Nothing is created.

    Raises:
        DecisionError: neither XDG_STATE_HOME nor HOME says where; records never go to a temporary folder.
    """
    base = _base(environ, "XDG_STATE_HOME", ".local/state")
    if base is None:
        message = "there is no place for records: neither HOME nor XDG_STATE_HOME is an absolute path"
        raise DecisionError(message, advice="set XDG_STATE_HOME or ORCH_LEDGER to a folder that is kept")
    return base / "orch"


def config_file(environ: Mapping[str, str] | None = None) -> Path:
    """Return the operator's configuration file, whether it exists or not.

    It is `orch/config.yaml` in `$XDG_CONFIG_HOME`, else in `~/.config`, and without a home in `/etc/xdg`; where only a
    `config.toml` lies there, it is that one.
    """
    file = (_base(environ, "XDG_CONFIG_HOME", ".config") or Path("/etc/xdg")) / "orch" / "config.yaml"
    toml = file.with_suffix(".toml")
    return toml if _is_there(toml) and not _is_there(file) else file


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def runtime_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder for sockets, short enough for their paths: `$XDG_RUNTIME_DIR/orch`, else `/tmp/orch-<uid>`.

    XDG_RUNTIME_DIR is passed over when it is relative, too long, missing, or not ours alone. Nothing is created.
    """
    base = Path((os.environ if environ is None else environ).get("XDG_RUNTIME_DIR", ""))
    chosen = base / "orch"
    is_short = len(os.fsencode(chosen)) + 1 + SOCKET_NAME_BYTES <= SOCKET_PATH_BYTES
    if base.is_absolute() and is_short and not _objection(base) and _can_write(base):
        return chosen
    return _shared_fallback()


def private_dir(path: Path) -> Path:
    """Return `path` as a folder that is the user's alone; it and what is missing above are created with mode 0700.

    A folder that was there is never changed: one that is a symlink, belongs to someone else or is open to others is
    refused, since what lies in it may not be ours. Below the shared temporary folder every step of the way is checked.

    Raises:
        DecisionError: the folder cannot be created or cannot be trusted.
    """
    fallback = _shared_fallback()
    steps = [step for step in reversed(path.parents) if step.is_relative_to(fallback)]
    for step in (*steps, path):
        try:
            _create(step)
        except (OSError, ValueError) as error:
            message = f"cannot create the folder {step}: {error}"
            advice = "set XDG_CACHE_HOME, XDG_STATE_HOME or XDG_RUNTIME_DIR to a folder that you can write"
            raise DecisionError(message, advice=advice) from error
        if objection := _objection(step):
            message = f"the folder {step} cannot be trusted: it {objection}"
            raise DecisionError(message, advice="look at what is in it; then remove it, or close it with chmod 700")
    return path


def _create(path: Path) -> None:
    """Create a folder and each one missing above it, all for the user alone: `mkdir -p` would open the upper ones."""
    missing = takewhile(lambda step: not os.path.lexists(step), path.parents)
    for step in (*reversed(list(missing)), path):
        step.mkdir(mode=_PRIVATE, exist_ok=True)


def _shared_fallback() -> Path:
    return Path(f"/tmp/orch-{os.geteuid()}")  # noqa: S108  # private_dir checks owner and mode of every step below it


def _base(environ: Mapping[str, str] | None, variable: str, below_home: str) -> Path | None:
    """Return an XDG base folder; relative values are ignored, as the XDG specification asks."""
    given = os.environ if environ is None else environ
    for text, rest in ((given.get(variable, ""), ""), (given.get("HOME", ""), below_home)):
        if Path(text).is_absolute():
            return Path(text, rest)
    return None


def _can_write(path: Path) -> bool:
    """Say whether the folder can be written, or created in its nearest parent that exists."""
    for step in (path, *path.parents):
        try:
            step.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError):
            return False
        return step.is_dir() and os.access(step, os.W_OK | os.X_OK)
    return False


def _objection(path: Path) -> str:
    """Return why a folder is not the user's alone, or "" when it is."""
    try:
        seen = path.lstat()
    except (OSError, ValueError) as error:
        return f"cannot be read ({error})"
    if not stat.S_ISDIR(seen.st_mode):
        return "is a symlink" if stat.S_ISLNK(seen.st_mode) else "is not a folder"
    if seen.st_uid != os.geteuid():
        return f"belongs to user {seen.st_uid}, not to user {os.geteuid()}"
    if seen.st_mode & _OTHERS:
        return f"is open to others (mode {stat.S_IMODE(seen.st_mode):03o})"
    return ""
