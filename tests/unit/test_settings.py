"""Flags over variables over the operator's file over the repository's orch.yaml."""

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.errors import PackError, UsageError
from orchestrator.model import Point
from orchestrator.settings import Settings, repository_root


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    (folder / ".git").mkdir(parents=True)
    (folder / "below").mkdir()
    return folder


def operator(home: Path, text: str) -> Path:
    file = home / ".config/orch/config.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_without_anything_all_is_default(tmp_path: Path) -> None:
    settings = Settings.load(cwd=tmp_path)

    assert settings == Settings()
    assert settings.origin("packs") == "default"


def test_each_layer_goes_before_the_next(home: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / "orch.yaml").write_text("packs: policy\noutput: {format: tap, explain: true}\n")
    file = operator(home, "packs: [org, /abs]\nrepository: acme/file\npoint: tick\noutput: {format: junit}\nopa: opa\n")
    monkeypatch.setenv("ORCH_REPOSITORY", "acme/variable")
    monkeypatch.setenv("ORCH_POINT", "ci")
    monkeypatch.setenv("ORCH_DEADLINE", "2.5s")

    settings = Settings.load({"point": "api", "subject": None, "run_packs": ()}, cwd=checkout / "below")

    assert settings.point is Point.API
    assert settings.repository == "acme/variable"
    assert settings.packs == (str(file.parent / "org"), "/abs")
    assert settings.opa == "opa"
    assert settings.output_format == "junit"
    assert settings.explain
    assert settings.repository_packs == "policy"
    assert settings.deadline_s == 2.5
    assert dict(settings.origins) == {
        "point": "--point",
        "repository": "ORCH_REPOSITORY",
        "packs": str(file),
        "opa": str(file),
        "output_format": str(file),
        "explain": "orch.yaml",
        "repository_packs": "orch.yaml",
        "deadline_s": "ORCH_DEADLINE",
    }


def test_lists_in_variables_are_split_like_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_PACKS", "one:/two::three")

    assert Settings.load(cwd=tmp_path).packs == ("one", "/two", "three")


def test_another_operators_file_can_be_named_and_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text("repository: acme/mine\n")

    assert Settings.load({"config": "mine.yaml"}, cwd=tmp_path).repository == "acme/mine"
    monkeypatch.setenv("ORCH_CONFIG", str(tmp_path / "nowhere.yaml"))
    with pytest.raises(UsageError, match="there is no file"):
        Settings.load(cwd=tmp_path)


def test_the_token_comes_from_a_file_and_is_not_shown(home: Path, tmp_path: Path) -> None:
    operator(home, "opa_token_file: token\n")
    (home / ".config/orch/token").write_text("s3cret\n")

    settings = Settings.load(cwd=tmp_path)

    assert settings.opa_token == "s3cret"
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    "text",
    [
        "opa: /tmp/evil\n",
        "opa_url: https://evil.example\n",
        "repository: acme/other\n",
        "ledger: /tmp/x\n",
        "verification_key: mine.pem\n",
        "run_packs: [x.yaml]\n",
        "packs: ../elsewhere\n",
        "packs: /etc\n",
        "packs: [a, b]\n",
        "output: {format: exe}\n",
        "packs: a\npacks: b\n",
        "packs: !!python/object/apply:os.system [id]\n",
        "a: &a [*a, *a]\n",
        "\t- x\n",
        "\xff",
    ],
)
def test_a_hostile_repository_file_is_refused_with_its_place(checkout: Path, text: str) -> None:
    (checkout / "orch.yaml").write_bytes(text.encode("latin-1"))

    with pytest.raises(PackError) as caught:
        Settings.load(cwd=checkout)

    assert all(problem.file == "orch.yaml" and problem.line for problem in caught.value.problems)


def test_a_repository_file_that_leads_out_is_refused(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("packs: a\n")
    (checkout / "orch.yaml").symlink_to(tmp_path / "secret.yaml")

    with pytest.raises(PackError, match="a symlink"):
        Settings.load(cwd=checkout)


def test_a_huge_or_odd_settings_file_is_refused(checkout: Path) -> None:
    (checkout / "orch.yaml").write_bytes(b"# " + b"x" * (1024 * 1024 + 1))
    with pytest.raises(PackError, match="more than 1,048,576 bytes"):
        Settings.load(cwd=checkout)

    (checkout / "orch.yaml").unlink()
    (checkout / "orch.yaml").mkdir()
    with pytest.raises(UsageError, match="is not a file"):
        Settings.load(cwd=checkout)


def test_an_empty_repository_file_says_nothing(checkout: Path) -> None:
    (checkout / "orch.yaml").write_text("# nothing yet\n")

    assert Settings.load(cwd=checkout).origins == {}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ORCH_REPOSITORY", "https://github.com/acme/web.git", "ORCH_REPOSITORY is 'https"),
        ("ORCH_SUBJECT", "alice", "ORCH_SUBJECT is 'alice'; expected a subject such as"),
        ("ORCH_POINT", "prod", "expected one of ci, tick, agent, run, api"),
        ("ORCH_DEADLINE", "soon", "expected seconds"),
        ("ORCH_DEADLINE", "nan", "expected seconds"),
        ("ORCH_DEADLINE", "-1", "expected seconds"),
    ],
)
def test_a_variable_that_cannot_be_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(UsageError) as caught:
        Settings.load(cwd=tmp_path)

    assert said in str(caught.value)


def test_an_unknown_flag_is_a_mistake_of_ours(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no setting 'pakcs'"):
        Settings.load({"pakcs": "x"}, cwd=tmp_path)


def cache_files(home: Path) -> list[Path]:
    return sorted((home / ".cache/orch/settings").iterdir())


def test_a_file_is_parsed_once_for_its_bytes(home: Path, checkout: Path) -> None:
    (checkout / "orch.yaml").write_text("packs: policy\n")
    first = Settings.load(cwd=checkout)
    code = (
        "import sys; from pathlib import Path; from orchestrator.settings import Settings\n"
        f"s = Settings.load(cwd=Path({str(checkout)!r}))\n"
        "assert s.repository_packs == 'policy', s\n"
        "print(sorted({'yaml', 'pydantic', 'rich', 'httpx', 'click', 'subprocess', 'hashlib'} & sys.modules.keys()))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )

    assert first.repository_packs == "policy"
    assert done.stdout == "[]\n"
    (file,) = cache_files(home)
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"key": "other", "values": {"packs": "evil"}}',
        b'{"values": {"packs": "evil"}}',
        b"[" * 100_000,
    ],
)
def test_a_broken_cache_entry_is_ignored_and_written_again(home: Path, checkout: Path, content: bytes) -> None:
    (checkout / "orch.yaml").write_text("packs: policy\n")
    Settings.load(cwd=checkout)
    (file,) = cache_files(home)
    right = file.read_bytes()
    file.write_bytes(content)

    assert Settings.load(cwd=checkout).repository_packs == "policy"
    assert file.read_bytes() == right
    assert cache_files(home) == [file]


def test_a_cache_that_is_a_symlink_or_open_to_others_is_not_believed(home: Path, checkout: Path) -> None:
    (checkout / "orch.yaml").write_text("packs: policy\n")
    Settings.load(cwd=checkout)
    (file,) = cache_files(home)
    poisoned = file.read_text().replace("policy", "evil")
    (home / "planted").write_text(poisoned)
    file.unlink()
    file.symlink_to(home / "planted")
    assert Settings.load(cwd=checkout).repository_packs == "policy"

    file.unlink()
    file.write_text(poisoned)
    file.parent.chmod(0o777)
    assert Settings.load(cwd=checkout).repository_packs == "policy"


def test_without_a_usable_cache_settings_are_read_all_the_same(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / "orch.yaml").write_text("packs: policy\n")
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")

    assert Settings.load(cwd=checkout).repository_packs == "policy"


def test_the_root_is_found_from_below_and_in_linked_work_trees(checkout: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / ".git").write_text("gitdir: elsewhere\n")
    (tmp_path / "way").symlink_to(checkout / "below")

    assert repository_root(checkout / "below") == checkout.resolve()
    assert repository_root(linked) == linked.resolve()
    assert repository_root(tmp_path / "way") == checkout.resolve()
    assert repository_root(tmp_path) is None
