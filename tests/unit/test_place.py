"""Places follow the XDG specification, sockets get short paths, and nobody else can lay things into ours."""

import os
import stat
from pathlib import Path

import pytest

from orchestrator import place
from orchestrator.errors import DecisionError

FALLBACK = Path(f"/tmp/orch-{os.geteuid()}")


@pytest.mark.parametrize("name", ["rego", "policy_packs", "templates"])
def test_what_we_ship_is_found(name: str) -> None:
    assert place.resource(name).is_dir()


def test_the_capabilities_file_is_found() -> None:
    assert place.resource("capabilities").is_file()


def test_the_folders_are_those_of_the_environment(tmp_path: Path) -> None:
    environ = {f"XDG_{name}_HOME": str(tmp_path / name) for name in ("CACHE", "STATE", "CONFIG")}

    found = (place.cache_dir(environ), place.state_dir(environ), place.config_file(environ))

    expected = (tmp_path / "CACHE/orch", tmp_path / "STATE/orch", tmp_path / "CONFIG/orch/config.yaml")
    assert found == expected


def test_without_xdg_variables_the_folders_lie_in_the_home(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}

    found = (place.cache_dir(environ), place.state_dir(environ), place.config_file(environ))

    expected = (tmp_path / ".cache/orch", tmp_path / ".local/state/orch", tmp_path / ".config/orch/config.yaml")
    assert found == expected


def test_a_relative_xdg_variable_is_ignored(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "XDG_CACHE_HOME": "cache", "XDG_STATE_HOME": "", "XDG_CONFIG_HOME": "./c"}

    assert place.cache_dir(environ) == tmp_path / ".cache/orch"
    assert place.config_file(environ) == tmp_path / ".config/orch/config.yaml"


@pytest.mark.parametrize(
    "home",
    [
        pytest.param(None, id="unset"),
        pytest.param("home", id="relative"),
        pytest.param("/dev/null/home", id="below a file"),
        pytest.param("/" + "h" * 300, id="name too long"),
        pytest.param("/nul\0byte", id="NUL"),
    ],
)
def test_without_a_usable_home_the_cache_is_temporary(home: str | None) -> None:
    environ = {} if home is None else {"HOME": home}

    assert place.cache_dir(environ) == FALLBACK / "cache"


def test_a_cache_in_a_read_only_home_is_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses_writing(path: Path, mode: int) -> bool:
        return not (Path(path) == tmp_path and mode & os.W_OK)

    monkeypatch.setattr(os, "access", refuses_writing)  # root may write everywhere

    assert place.cache_dir({"HOME": str(tmp_path)}) == FALLBACK / "cache"


def test_records_never_go_to_a_temporary_folder() -> None:
    with pytest.raises(DecisionError, match="no place for records"):
        place.state_dir({})


def test_without_a_home_the_configuration_is_the_machines() -> None:
    assert place.config_file({}) == Path("/etc/xdg/orch/config.yaml")


def test_sockets_lie_in_the_runtime_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    runtime = Path(os.environ["XDG_RUNTIME_DIR"])

    assert place.runtime_dir({"XDG_RUNTIME_DIR": str(runtime)}) == runtime / "orch"


def test_a_runtime_folder_that_is_too_long_is_passed_over(tmp_path: Path) -> None:
    long = tmp_path / ("r" * 60)
    long.mkdir(mode=0o700)

    assert place.runtime_dir({"XDG_RUNTIME_DIR": str(long)}) == FALLBACK


@pytest.mark.parametrize("mode", [0o750, 0o707, 0o777], ids=oct)
def test_a_runtime_folder_open_to_others_is_passed_over(mode: int) -> None:
    runtime = Path(os.environ["XDG_RUNTIME_DIR"])
    runtime.chmod(mode)

    assert place.runtime_dir({"XDG_RUNTIME_DIR": str(runtime)}) == FALLBACK


@pytest.mark.parametrize("value", ["", "run", "/none/there"])
def test_a_runtime_folder_that_cannot_be_used_is_passed_over(value: str) -> None:
    assert place.runtime_dir({"XDG_RUNTIME_DIR": value}) == FALLBACK


def test_the_path_of_a_socket_is_always_short_enough() -> None:
    longest = FALLBACK.with_name(f"orch-{2**32 - 1}") / ("s" * place.SOCKET_NAME_BYTES)

    assert len(os.fsencode(longest)) <= place.SOCKET_PATH_BYTES


def test_each_folder_that_is_created_on_the_way_is_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    place.private_dir(tmp_path / "a" / "b" / "c")

    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("", "a", "a/b", "a/b/c")] == [
        0o755,
        0o700,
        0o700,
        0o700,
    ]


def test_a_private_folder_is_created_with_its_parents(tmp_path: Path) -> None:
    created = place.private_dir(tmp_path / "a" / "b")

    assert stat.S_IMODE(created.stat().st_mode) == 0o700
    assert place.private_dir(created) == created


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o720, 0o777], ids=oct)
def test_a_folder_open_to_others_is_refused_and_left_as_it_is(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)

    with pytest.raises(DecisionError, match="open to others") as caught:
        place.private_dir(folder)

    assert stat.S_IMODE(folder.stat().st_mode) == mode
    assert "chmod 700" in caught.value.advice


def test_a_symlink_to_a_private_folder_is_refused(tmp_path: Path) -> None:
    place.private_dir(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")

    with pytest.raises(DecisionError, match="is a symlink"):
        place.private_dir(tmp_path / "link")


def test_a_dangling_symlink_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "none")

    with pytest.raises(DecisionError, match="cannot create"):
        place.private_dir(tmp_path / "link")

    assert not (tmp_path / "none").exists()


def test_a_folder_of_someone_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = place.private_dir(tmp_path / "mine")
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)

    with pytest.raises(DecisionError, match="not to user 12345"):
        place.private_dir(folder)


def test_a_folder_inside_a_foreign_temporary_folder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    uid = 4_000_000_000 + os.getpid()
    foreign = Path(f"/tmp/orch-{uid}")
    foreign.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: uid)

    try:
        with pytest.raises(DecisionError, match="belongs to user"):
            place.private_dir(foreign / "cache")
        assert list(foreign.iterdir()) == []
    finally:
        foreign.rmdir()


@pytest.mark.parametrize("path", ["/dev/null", "/dev/null/x", "/proc/none/x", "/tmp/nul\0byte"])
def test_a_folder_that_cannot_be_created_is_one_clear_error(path: str) -> None:
    with pytest.raises(DecisionError, match=r"cannot create|cannot be trusted") as caught:
        place.private_dir(Path(path))

    assert caught.value.advice
