"""Bundles as files: built out of packs that are right, signed, verified. A file is written whole or not at all."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from orchestrator import bundle
from orchestrator.draft import problems, read_draft
from orchestrator.errors import PackError, UsageError
from orchestrator.model import Layer
from orchestrator.opa import Opa

_MODE = 0o644


def build_file(paths: Sequence[str], out: Path, opa: Opa, now_ns: int) -> str:
    """Write the bundle of the organisation's packs in `paths`, and return its policy digest.

    The same packs, named by the same paths, give the same bytes; tests are not part of it.

    Raises:
        PackError: a pack is wrong; warnings do not count.
        UsageError: a path is not there, or `out` cannot be written.
    """
    draft = read_draft(paths, layer=Layer.ORG)
    if wrong := [problem for problem in problems(draft, opa, now_ns) if not problem.is_warning]:
        raise PackError(wrong)
    built = draft.bundle()
    _write(out, built.data)
    return built.digest


def sign_file(path: Path, key: Path, out: Path | None) -> str:
    """Sign a bundle with an Ed25519 private key (PEM), in place unless `out` is given, and return its policy digest.

    Raises:
        DecisionError: it is no bundle, or a damaged one.
        UsageError: a file cannot be read or written, or the key is none.
    """
    signed = bundle.sign(_read(path), _read(key))
    _write(out or path, signed)
    return bundle.read(signed).digest


def verify_file(path: Path, key: Path) -> str:
    """Return the policy digest of a bundle that is whole and signed by the owner of this public key (PEM).

    Raises:
        DecisionError: it is not to be trusted.
        UsageError: a file cannot be read, or the key is none.
    """
    data = _read(path)
    bundle.verify(data, _read(key))
    return bundle.read(data).digest


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise UsageError(message) from error


def _write(path: Path, data: bytes) -> None:
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as temporary:
            try:
                temporary.write(data)
                temporary.flush()
                os.fsync(temporary.fileno())
                Path(temporary.name).chmod(_MODE)
                Path(temporary.name).replace(path)
            except BaseException:
                Path(temporary.name).unlink(missing_ok=True)
                raise
    except (OSError, ValueError) as error:
        message = f"{path} cannot be written: {getattr(error, 'strerror', None) or error}"
        raise UsageError(message) from error
