"""What we are compared with, pinned: conftest and Cerbos as Go modules, cedarpy from the package index."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from work import BUILT

HERE = Path(__file__).resolve().parent
_GO_PACKAGES = {"conftest": "github.com/open-policy-agent/conftest", "cerbos": "github.com/cerbos/cerbos/cmd/cerbos"}
_BUILD_S = 900


@dataclass(frozen=True, slots=True)
class Peer:
    """One tool to compare with."""

    path: Path | None
    """A binary, or a folder to import from; None where it cannot be had here."""
    version: str
    missing: str = ""
    """Why it cannot be had."""


def go_tool(name: str) -> Peer:
    """Return a tool compiled from the module beside this file, each dependency held to its hash in `go.sum`."""
    version = _go_version(name)
    binary = BUILT / "bin" / f"{name}-{version}"
    if binary.is_file():
        return Peer(binary, version)
    go = _go()
    if go is None:
        return Peer(None, version, "there is no Go here")
    binary.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
    fresh = binary.with_name(f".{binary.name}.{os.getpid()}")
    command = [
        go,
        "build",
        "-mod=readonly",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags=-s -w",
        "-o",
        str(fresh),
        _GO_PACKAGES[name],
    ]
    print(f"compiling {name} {version}; the first time this takes minutes", file=sys.stderr)
    try:
        subprocess.run(command, cwd=HERE / name, env=environment, check=True, timeout=_BUILD_S, stdout=sys.stderr)
    except (OSError, subprocess.SubprocessError) as error:
        return Peer(None, version, f"it does not compile here ({type(error).__name__})")
    fresh.replace(binary)
    return Peer(binary, version)


def _go() -> str | None:
    """Return a Go: the first on PATH, else the one beside this Python."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), str(Path(sys.executable).parent)]
    found = (Path(folder, "go") for folder in folders if Path(folder).is_absolute())
    return next((str(go) for go in found if os.access(go, os.X_OK) and go.is_file()), None)


def _go_version(name: str) -> str:
    module = _GO_PACKAGES[name].removesuffix(f"/cmd/{name}")
    for line in (HERE / name / "go.mod").read_text(encoding="utf-8").splitlines():
        words = line.removeprefix("require ").split()
        if words[:1] == [module]:
            return words[1].removeprefix("v")
    message = f"bench/{name}/go.mod does not require {module}"
    raise RuntimeError(message)


def cedarpy() -> Peer:
    """Return cedarpy in a folder of its own, held to its hashes, and make it importable."""
    requirements = HERE / "requirements.txt"
    version = requirements.read_text(encoding="utf-8").partition("cedarpy==")[2].split()[0]
    folder = BUILT / f"cedarpy-{version}-{sys.implementation.cache_tag}"
    if not (folder / "cedarpy").is_dir():
        wanted = [
            "--no-deps",
            "--require-hashes",
            "--only-binary=:all:",
            "--target",
            str(folder),
            "-r",
            str(requirements),
        ]
        finished = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", *wanted], check=False, stdout=sys.stderr
        )
        if finished.returncode:
            return Peer(None, version, "it does not install here")
    sys.path.append(str(folder))
    return Peer(folder, version)
