"""What was set, and by whom: flags over `ORCH_*` variables over the operator's file over the repository's `orch.yaml`.

On the hot path: YAML is parsed only where a file exists and the cache does not know its bytes. Knows no pack's content.
"""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from orchestrator import names, place
from orchestrator.choices import Point
from orchestrator.digest import canonical, sha256
from orchestrator.errors import DecisionError, OrchError, PackError, Problem, UsageError
from orchestrator.names import shown

REPOSITORY_FILE = "orch.yaml"
"""A repository's own settings, at its root."""
REPOSITORY_PACKS = ".orch/packs"
"""Where a repository's packs lie unless its `orch.yaml` names another folder."""
DEFAULT = "default"
"""The origin of what nobody set."""
MAX_FILE_BYTES = 1024 * 1024
"""Largest settings file."""

_VARIABLES = {
    "packs": "ORCH_PACKS",
    "run_packs": "ORCH_RUN_PACKS",
    "repository": "ORCH_REPOSITORY",
    "subject": "ORCH_SUBJECT",
    "delegation": "ORCH_DELEGATION",
    "point": "ORCH_POINT",
    "run": "ORCH_RUN",
    "session": "ORCH_SESSION",
    "opa": "ORCH_OPA",
    "opa_url": "ORCH_OPA_URL",
    "opa_token": "ORCH_OPA_TOKEN",
    "opa_ca_file": "ORCH_OPA_CA_FILE",
    "ledger": "ORCH_LEDGER",
    "verification_key": "ORCH_VERIFICATION_KEY",
    "deadline_s": "ORCH_DEADLINE",
}
_FLAGS = {"repository": "--repo", "opa_ca_file": "--opa-ca", "deadline_s": "--deadline", "run_packs": "--run-pack"}
_LISTS = frozenset({"packs", "run_packs", "delegation"})
_COMMAS = frozenset({"delegation"})
_SECRETS = frozenset({"opa_token", "ledger", "adapters", "channels"})
_PLACES = frozenset({"packs", "run_packs", "opa", "opa_ca_file", "opa_token_file", "verification_key", "ledger"})
_NOT_EMPTY = frozenset({"run", "session"})
"""Flags that loosen when left out (no run, no budget), so an unset variable behind one must not pass."""
_CACHE_FORM = "settings/1"
_MIN_DEADLINE_S, _MAX_DEADLINE_S = 0.1, 3600.0


class Settings(NamedTuple):
    """Every setting, with where it came from."""

    packs: tuple[str, ...] = ()
    """Folders, files or one signed bundle of the organisation's packs."""
    run_packs: tuple[str, ...] = ()
    """Files, each a layer of its own."""
    repository: str | None = None
    """`owner/name` or `none`, as the operator said; None when nobody did."""
    subject: str | None = None
    """Who executes, `type:id`; None when nobody said."""
    delegation: tuple[str, ...] = ()
    """Those whom the subject acts for; none of them can approve what it asks."""
    point: Point | None = None
    """None when nobody said; then it is `run`."""
    opa: str | None = None
    """Another OPA binary."""
    opa_url: str | None = None
    """An OPA server to ask instead of a local one."""
    opa_token: str | None = None
    """The server's bearer token."""
    opa_ca_file: str | None = None
    """Certificates by which the server is trusted."""
    ledger: str | None = None
    """A folder or `postgresql://...`; None for the default place."""
    run: str | None = None
    """The run that a request belongs to; None outside of one."""
    session: str | None = None
    """The session of a run that starts now: runs with common budgets."""
    verification_key: str | None = None
    """A file with the public key that bundles must be signed by."""
    deadline_s: float | None = None
    """How long one decision may take; None for the engine's own limit."""
    adapters: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    """An adapter's name to its settings; secrets as references."""
    channels: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    """A channel's name to `{adapter, ...}`; secrets as references."""
    secrets: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    """A secret's name to `{env}` or `{file}` (absolute), and perhaps `{actions}`; never its value."""
    jobs: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    """The operator's jobs by name, as `orchestrator.jobs` reads them; `cwd` absolute."""
    repository_packs: str = REPOSITORY_PACKS
    """The folder of the repository's own packs, relative to its root, by the working tree's `orch.yaml`."""
    output_format: str | None = None
    explain: bool = False
    all_paths: bool = False
    origins: Mapping[str, str] = MappingProxyType({})
    """Name of a setting above to what set it: a flag, a variable or a file."""

    def __repr__(self) -> str:
        """Return every setting but those that may hold a password, which no log may show."""
        shown_ones = (f"{name}={value!r}" for name, value in self._asdict().items() if name not in _SECRETS)
        return f"Settings({', '.join(shown_ones)})"

    @classmethod
    def load(
        cls,
        flags: Mapping[str, Any] | None = None,
        *,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Self:
        """Return the settings that hold here.

        `flags` are fields by name, None or empty where not given, and `config`, another operator's file.

        Raises:
            UsageError: a flag or variable has a value that cannot be, or a file cannot be read.
            PackError: the operator's file or the repository's `orch.yaml` is wrong; with line and column.
        """
        environ = os.environ if environ is None else environ
        cwd = cwd or place.here()
        given = dict(flags or {})
        found = _Found()
        root = repository_root(cwd)
        if root is not None:
            found.add(*_from_repository(root, environ))
        found.add(*_from_operator(given.pop("config", None), cwd, environ))
        found.add(*_from_variables(environ))
        found.add(*_from_flags(given))
        return cls(**found.values, origins=found.origins)

    def origin(self, name: str) -> str:
        """Return what set a setting: a flag, a variable, a file, or `default`."""
        return self.origins.get(name, DEFAULT)


class _Found:
    """Collects settings; a later one wins."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.origins: dict[str, str] = {}

    def add(self, values: Mapping[str, Any], origins: Mapping[str, str]) -> None:
        for name, value in values.items():
            self.values[name] = _checked(name, value, origins[name])
            self.origins[name] = origins[name]


def repository_root(cwd: Path) -> Path | None:
    """Return the root of the git work tree around `cwd`, symlinks resolved; None outside of one. Asks no program."""
    try:
        here = cwd.resolve()
    except (OSError, RuntimeError):
        return None
    for folder in (here, *here.parents):
        try:
            if (folder / ".git").exists():
                return folder
        except OSError:
            return None
    return None


def repository_settings(data: bytes, name: str, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what a repository's `orch.yaml` says: `packs` and `output`, only what is written.

    Raises:
        PackError: it is not YAML, says what a repository may not say, or leaves the repository.
    """

    def read() -> dict[str, Any]:
        from orchestrator.mismatch import read_repository_settings

        return read_repository_settings(data, name).model_dump(mode="json", exclude_unset=True)

    return _cached("repository", data, environ, read)


def _from_repository(root: Path, environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    file = root / REPOSITORY_FILE
    if file.is_symlink():  # it may point anywhere; what lies there is not the repository's
        raise PackError([Problem(REPOSITORY_FILE, 0, 0, "a symlink", "a plain file")])
    data = _read(file, must_exist=False)
    if data is None:
        return {}, {}
    said = repository_settings(data, REPOSITORY_FILE, environ)
    values = _output(said)
    if "packs" in said:
        values["repository_packs"] = said["packs"]
    return values, dict.fromkeys(values, REPOSITORY_FILE)


def _from_operator(
    flag: str | os.PathLike[str] | None, cwd: Path, environ: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    named = flag or environ.get("ORCH_CONFIG")
    file = cwd / Path(named) if named else place.config_file(environ)
    data = _read(file, must_exist=bool(named))
    if data is not None and not named and file.suffix != ".toml" and file.with_suffix(".toml").exists():
        advice = "keep one of them, or name one: ORCH_CONFIG or --config"
        raise PackError([Problem(str(file), 0, 0, "a config.toml beside it", "one operator's file", advice)])
    if data is None:
        return {}, {}

    def read() -> dict[str, Any]:
        from orchestrator.mismatch import read_operator_settings

        return read_operator_settings(data, str(file)).model_dump(mode="json", exclude_unset=True)

    said = _cached("operator-toml" if file.suffix == ".toml" else "operator", data, environ, read)
    values = _output(said) | {name: value for name, value in said.items() if name != "output"}
    for name in _PLACES & values.keys():
        values[name] = _beside(name, file, values[name], environ)
    for entries, name in (("secrets", "file"), ("jobs", "cwd")):
        for one in values.get(entries, {}).values():
            if one.get(name):
                one[name] = _beside(name, file, one[name], environ)
    if token_file := values.pop("opa_token_file", None):
        token = _read(Path(token_file), must_exist=True) or b""
        values["opa_token"] = token.decode("utf-8", "replace").strip()
    return values, dict.fromkeys(values, str(file))


def _output(said: Mapping[str, Any]) -> dict[str, Any]:
    output = said.get("output", {})
    renamed = {"format": "output_format", "explain": "explain", "all_paths": "all_paths"}
    return {renamed[name]: value for name, value in output.items()}


def _beside(name: str, file: Path, value: str | Sequence[str], environ: Mapping[str, str]) -> str | list[str]:
    """Return paths of the operator's file as absolute ones: relative to the file, `~/` the home."""
    if not isinstance(value, str):
        return [str(_beside(name, file, one, environ)) for one in value]
    if (name == "opa" and "/" not in value) or (name == "ledger" and "://" in value):
        return value  # a program of PATH
    if value.startswith("~/") and environ.get("HOME"):
        return str(Path(environ["HOME"], value[2:]))
    return str(file.parent.resolve() / value)


def _from_variables(environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, variable in _VARIABLES.items():
        text = environ.get(variable, "")
        if text:
            separator = "," if name in _COMMAS else os.pathsep
            values[name] = tuple(filter(None, map(str.strip, text.split(separator)))) if name in _LISTS else text
            origins[name] = variable
    return values, origins


def _from_flags(flags: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    known = set(Settings._fields) - {"origins"}
    if unknown := sorted(flags.keys() - known):
        message = f"there is no setting {shown(unknown[0])}"
        raise UsageError(message)
    values = {
        name: value
        for name, value in flags.items()
        if value is not None and (value not in ((), [], "", False) or (value == "" and name in _NOT_EMPTY))
    }
    return values, {name: _FLAGS.get(name, "--" + name.replace("_", "-")) for name in values}


def _checked(name: str, value: Any, origin: str) -> Any:  # noqa: ANN401  # a setting's value, judged here
    if name == "delegation":
        return tuple(_subject(one, origin) for one in ((value,) if isinstance(value, str) else value))
    if name in _LISTS:
        return tuple(os.fspath(one) for one in ((value,) if isinstance(value, str | os.PathLike) else value))
    judge = _JUDGES.get(name)
    return judge(value, origin) if judge else value


def _repository(value: object, origin: str) -> str:
    if expected := names.repository_problem(value) if isinstance(value, str) else "a text":
        raise _wrong(value, origin, expected)
    return str(value)


def _subject(value: object, origin: str) -> str:
    kind, colon, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    if not (kind and colon and name) or names.id_problem(str(value)):
        raise _wrong(value, origin, "a subject such as `user:alice`")
    return str(value)


def _point(value: object, origin: str) -> Point:
    try:
        return Point(str(value))
    except ValueError:
        raise _wrong(value, origin, f"one of {', '.join(Point)}") from None


def _deadline(value: object, origin: str) -> float:
    try:
        seconds = float(str(value).removesuffix("s"))
    except ValueError:
        seconds = 0.0
    if not _MIN_DEADLINE_S <= seconds <= _MAX_DEADLINE_S:
        raise _wrong(value, origin, f"seconds, from {_MIN_DEADLINE_S} to {_MAX_DEADLINE_S:.0f}")
    return seconds


def _run(value: object, origin: str) -> str:
    if expected := names.run_problem(value) if isinstance(value, str) else "a text":
        raise _wrong(value, origin, expected)
    return str(value)


_JUDGES: dict[str, Callable[[object, str], Any]] = {
    "run": _run,
    "session": _run,
    "repository": _repository,
    "subject": _subject,
    "point": _point,
    "deadline_s": _deadline,
}


def _wrong(value: object, origin: str, expected: str) -> OrchError:
    if origin.startswith(("--", "ORCH_")):
        return UsageError(f"{origin} is {shown(value)}; expected {expected}")
    return PackError([Problem(origin, 0, 0, shown(value), expected)])


def _read(file: Path, *, must_exist: bool) -> bytes | None:
    try:
        if not must_exist and not file.exists():
            return None
        if not file.is_file():
            message = f"{shown(str(file))} is not a file" if file.exists() else f"there is no file {shown(str(file))}"
            raise UsageError(message)
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        message = f"{shown(str(file))} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise UsageError(message) from error
    if len(data) > MAX_FILE_BYTES:
        raise PackError([Problem(str(file), 0, 0, f"more than {MAX_FILE_BYTES:,} bytes", "a settings file")])
    return data


def _cached(
    kind: str, data: bytes, environ: Mapping[str, str] | None, read: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Return what `read` gives, from the cache where it knows these bytes; a cache that cannot be used is none."""
    from orchestrator import __version__

    key = sha256(f"{_CACHE_FORM}\0{__version__}\0{kind}\0".encode() + data)
    try:
        folder = place.private_dir(place.private_dir(place.cache_dir(environ)) / "settings")
    except (DecisionError, OSError):
        return read()
    file = folder / f"{key.removeprefix('sha256:')}.json"
    known = _entry(file, key)
    if known is None:
        known = read()
        _keep(file, canonical({"key": key, "values": known}))
    return known


def _entry(file: Path, key: str) -> dict[str, Any] | None:
    """Return what a cache file holds; None where it is missing, broken, another's or about something else."""
    import json

    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as opened:  # noqa: PTH123  # a descriptor
            if os.fstat(descriptor).st_uid != os.geteuid():
                return None
            entry = json.loads(opened.read(MAX_FILE_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    is_ours = isinstance(entry, dict) and entry.get("key") == key and isinstance(entry.get("values"), dict)
    return entry["values"] if is_ours else None


def _keep(file: Path, data: bytes) -> None:
    """Write a cache file whole or not at all; a full or read-only disk is no error."""
    draft = file.with_name(f"{file.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as opened:  # noqa: PTH123  # a descriptor
            opened.write(data)
        draft.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
