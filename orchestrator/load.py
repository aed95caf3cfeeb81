"""Loads a policy: packs found, compiled once, checked on the engine, kept in a cache, and an engine that runs them.

A warm call reads the packs' bytes (their digest is the key) and one small file of the cache; it parses no YAML and
compiles nothing.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator import place, sidecar
from orchestrator.digest import sha256
from orchestrator.engine import Engine, OneShotEngine
from orchestrator.errors import DecisionError, PackError, Problem, UsageError
from orchestrator.gathered import Gathered
from orchestrator.settings import Settings
from orchestrator.sources import gather, read_layers, read_pack_set

if TYPE_CHECKING:
    from orchestrator.bundle import BundleContents
    from orchestrator.compile import Compiled
    from orchestrator.model import PackSet


class Loaded(NamedTuple):
    """A policy that is ready to be asked."""

    engine: Engine
    digest: str
    declared: frozenset[str]
    """Actions that packs declare."""
    roster: Mapping[str, Mapping[str, Any]]
    """Subject name to `{roles, attributes}`."""
    claims: tuple[str, ...]
    """What makes every decision claimed."""
    notes: tuple[str, ...]
    """What a person should know about where the packs came from; for stderr."""
    packs: tuple[dict[str, str], ...] = ()
    """Every pack: name, version, layer, digest."""
    counters: tuple[tuple[str, str, str | None], ...] = ()
    """Every budget that a rule asks for: meter, per, window."""
    escalations: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    """Name to what `escalations.model.Escalation.of` reads."""


class _Prepared(NamedTuple):
    """What the cache keeps of a compiled policy."""

    bundle: Path
    digest: str
    declared: tuple[str, ...]
    roster: dict[str, Any]
    warnings: tuple[str, ...]
    packs: tuple[dict[str, str], ...]
    counters: tuple[tuple[str, str, str | None], ...]
    escalations: dict[str, Any]

    @classmethod
    def of(cls, bundle: Path, known: Mapping[str, Any]) -> "_Prepared":
        """Return what a file of the cache says.

        Raises:
            KeyError, TypeError, ValueError: it is not one of ours.
        """
        counters = tuple((meter, per, window) for meter, per, window in known["counters"])
        declared, warnings, packs = tuple(known["declared"]), tuple(known["warnings"]), tuple(known["packs"])
        escalations = dict(known["escalations"])
        return cls(bundle, known["digest"], declared, known["roster"], warnings, packs, counters, escalations)


def load(
    settings: Settings, *, cwd: Path | None = None, base_commit: str | None = None, one_shot: bool = False
) -> Loaded:
    """Return the policy of the packs that `settings` names, and of the repository around `cwd`.

    `base_commit` is where the repository's own packs are read when a change is judged. `one_shot` leaves no sidecar.

    Raises:
        PackError: a pack is wrong.
        UsageError: no packs are named, or they cannot be read.
        DecisionError: no engine, or a bundle that is not to be trusted.
    """
    gathered = gather(settings, cwd=cwd or place.here(), base_commit=base_commit)
    return load_gathered(gathered, settings, one_shot=one_shot)


def load_gathered(gathered: Gathered, settings: Settings, *, one_shot: bool = False) -> Loaded:
    """Return the policy of files that were gathered.

    Raises:
        As `load`.
    """
    use_opa_of(settings)
    if settings.verification_key and not gathered.bundle:
        raise UsageError(
            f"{settings.origin('verification_key')} wants a signature, and folders of packs carry none",
            advice="name a bundle: `orch policy build` and `orch policy sign` make one",
        )
    prepared = _prepared_bundle(gathered.bundle, gathered, settings) if gathered.bundle else _prepared(gathered)
    return Loaded(
        engine=_engine(prepared, settings, one_shot=one_shot),
        digest=prepared.digest,
        declared=frozenset(prepared.declared),
        roster=prepared.roster,
        claims=gathered.claims,
        notes=(*gathered.notes, *prepared.warnings),
        packs=prepared.packs,
        counters=prepared.counters,
        escalations=prepared.escalations,
    )


def use_opa_of(settings: Settings) -> None:
    """Let the operator's file name the OPA; every place that starts one, a sidecar's watcher too, looks at ORCH_OPA."""
    if settings.opa:
        os.environ.setdefault("ORCH_OPA", settings.opa)


def _engine(prepared: _Prepared, settings: Settings, *, one_shot: bool) -> Engine:
    if settings.opa_url:
        from orchestrator.remote import RemoteEngine

        return RemoteEngine.of(settings, prepared.digest)
    if one_shot:
        from dataclasses import replace

        from orchestrator import opa

        binary = opa.find()
        return OneShotEngine(prepared.bundle, replace(binary, deadline_s=settings.deadline_s or binary.deadline_s))
    if os.environ.get("ORCH_OPA"):
        from orchestrator import opa

        opa.find()  # what is named is used or refused, even while another answers already
    return sidecar.ensure(prepared.bundle, prepared.digest, deadline_s=settings.deadline_s)


def _prepared(gathered: Gathered) -> _Prepared:
    folder, name = _folder(), gathered.digest.removeprefix("sha256:")
    return _cached(folder, name) or _compiled(folder, name, read_pack_set(gathered))


def _folder() -> Path:
    """Return where compiled policies are kept."""
    return place.private_dir(place.private_dir(place.cache_dir()) / "policies")


def _cached(folder: Path, name: str) -> _Prepared | None:
    """Return what the cache knows; nothing where it is missing or damaged, so that it is made again."""
    try:
        known = json.loads((folder / f"{name}.json").read_bytes())
        bundle = folder / f"{known['digest'].removeprefix('sha256:')}.tar.gz"
        if not bundle.is_file():
            return None
        return _Prepared.of(bundle, known)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _compiled(folder: Path, name: str, pack_set: "PackSet") -> _Prepared:
    from orchestrator.compile import compile_packs

    return _kept(folder, name, compile_packs(pack_set), pack_set.warnings)


def _attached(folder: Path, name: str, contents: "BundleContents", gathered: Gathered) -> _Prepared:
    """Return the policy of a bundle that is trusted already and of packs of a run beside it."""
    from orchestrator.attach import attached

    both = attached(contents, read_layers(gathered)[2])
    return _kept(folder, name, both.compiled, both.warnings)


def _kept(folder: Path, name: str, compiled: "Compiled", warnings: Iterable[str]) -> _Prepared:
    """Return a compiled policy once it is in the cache."""
    data, digest, policy = _checked(compiled)
    bundle = folder / f"{digest.removeprefix('sha256:')}.tar.gz"
    known = _said(digest, policy, warnings)
    _write(bundle, data)
    _write(folder / f"{name}.json", json.dumps(known).encode())
    return _Prepared.of(bundle, known)


def _said(digest: str, policy: Mapping[str, Any], warnings: Iterable[str]) -> dict[str, Any]:
    """Return what is kept of a compiled policy beside its bundle."""
    asked = (one for rule in policy["rules"] for one in rule.get("budgets", ()))
    counters = sorted({(one["meter"], one["per"], one.get("window")) for one in asked}, key=str)
    return {
        "digest": digest,
        "declared": policy["declared"],
        "roster": policy["roster"],
        "warnings": list(warnings),
        "packs": [{name: pack[name] for name in ("name", "version", "layer", "digest")} for pack in policy["packs"]],
        "counters": counters,
        "escalations": _plain(policy.get("escalations", {})),
    }


def _plain(value: Any) -> Any:  # noqa: ANN401  # JSON; out of a bundle its numbers are exact
    """Return JSON with numbers as everybody reads them."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, str | bool | int) or value is None:
        return value
    return int(value) if value == int(value) else float(value)


def _checked(compiled: "Compiled") -> tuple[bytes, str, dict[str, Any]]:
    """Return the bundle, the policy digest and `data.policy`, once the engine accepted patterns and modules."""
    from orchestrator import opa
    from orchestrator.bundle import build

    engine = opa.find()
    if wrong := engine.check_patterns(compiled.patterns):
        raise PackError(
            [
                Problem("the packs", 0, 0, f"the pattern {pattern!r:.200} ({why})", "one the engine accepts")
                for pattern, why in wrong.items()
            ]
        )
    built = build(compiled.data, compiled.modules)
    if compiled.modules:
        _check_modules(engine, built.data)
    return built.data, built.digest, compiled.data


def _check_modules(engine: Any, data: bytes) -> None:  # noqa: ANN401  # opa.Opa, imported only here
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle.tar.gz"
        bundle.write_bytes(data)
        complaints = engine.check([bundle], is_bundle=True)
    if complaints:
        raise PackError(
            [
                Problem(one.file, one.row, one.column, one.message, "a module that compiles under our capabilities")
                for one in complaints
            ],
            advice="modules may not ask the network, the clock or chance: such facts come with the request",
        )


def _prepared_bundle(path: Path, gathered: Gathered, settings: Settings) -> _Prepared:
    """A bundle is trusted by its signature where a key is set, else by its place. Its copy in the cache is run.

    With packs of a run beside it, what is run is made of both, once the bundle is trusted.
    """
    from orchestrator import bundle

    data = _read(path)
    if settings.verification_key:
        bundle.verify(data, _read(Path(settings.verification_key)))
    contents, folder = bundle.read(data), _folder()
    if gathered.runs:
        name = sha256(f"{sha256(data)} {gathered.digest}".encode()).removeprefix("sha256:")
        return _cached(folder, name) or _attached(folder, name, contents, gathered)
    copy = folder / f"{sha256(data).removeprefix('sha256:')}.tar.gz"
    if not copy.is_file():
        _write(copy, data)
    return _Prepared.of(copy, _said(contents.digest, contents.policy, ()))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot read {str(path)!r}: {why}") from error


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; two commands at once write the same bytes."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")  # threads, too
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DecisionError(
            f"cannot write {path}: {error.strerror}", advice="free some space, or set XDG_CACHE_HOME to another folder"
        ) from error
