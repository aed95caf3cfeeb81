"""The wheel, built from the source distribution: it holds all that `orch` needs, and works outside the checkout."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = "orchestrator/_data"

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(900), pytest.mark.xdist_group("wheel")]


def run(*command: str | Path, cwd: Path) -> str:
    finished = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel built the long way: checkout, source distribution, wheel."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", folder, cwd=ROOT)
    (sdist,) = folder.glob("orch_policy-*.tar.gz")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    run(*pip, "--wheel-dir", folder, sdist, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the `bin` of a new environment with the wheel in it; its dependencies are borrowed from this one."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    purelib = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    (purelib / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin"


def test_the_wheel_names_its_platform(wheel: Path) -> None:
    _, _, python, abi, platform = wheel.stem.split("-")

    assert (python, abi) == ("py3", "none")
    assert platform != "any"


def test_the_wheel_holds_everything(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    ours = [
        path
        for folder in ("rego", "policy_packs", "templates")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
    ]
    assert {f"{DATA}/{path.relative_to(ROOT).as_posix()}" for path in ours} <= set(names)
    assert {f"{DATA}/capabilities.json", f"{DATA}/bin/opa", f"{DATA}/bin/LICENSES.txt"} <= set(names)
    assert {"orchestrator/__init__.py", "orchestrator_adapters/__init__.py"} <= set(names)
    assert [name for name in names if name.startswith(("tests/", "adapters/", "opa/", "bench/"))] == []


def test_the_licenses_travel_with_the_program(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        licenses = archive.read(f"{DATA}/bin/LICENSES.txt").decode()
        own = [name.rpartition("/")[2] for name in archive.namelist() if "/licenses/" in name]

    assert sorted(own) == ["LICENSE", "NOTICE"]
    assert "github.com/open-policy-agent/opa v1.22.0 LICENSE" in licenses
    assert "The Go standard library" in licenses


def test_opa_in_the_wheel_can_run(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        mode = archive.getinfo(f"{DATA}/bin/opa").external_attr >> 16

    assert mode & 0o111 == 0o111


def test_the_installed_package_finds_its_own_things(installed: Path, tmp_path: Path) -> None:
    program = (
        "from orchestrator import opa, place; import orchestrator_adapters; print(opa.find({}).path, opa.find({}).version(), "
        "*map(place.resource, ('rego', 'policy_packs', 'templates', 'capabilities')))"
    )

    binary, version, *resources = run(installed / "python", "-c", program, cwd=tmp_path).split()

    assert version == "1.22.0"
    assert all(Path(found).is_relative_to(installed.parent.resolve()) for found in (binary, *resources))


def test_the_command_runs_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    assert "0." in run(installed / "orch", "--version", cwd=tmp_path)
    assert run(installed / "python", "-m", "orchestrator", "--version", cwd=tmp_path)
