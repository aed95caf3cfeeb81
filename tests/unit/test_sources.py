"""Trust goes by place: which files are whose, and from which revision."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.errors import PackError, UsageError
from orchestrator.gathered import Gathered, _seen
from orchestrator.model import Layer
from orchestrator.settings import Settings
from orchestrator.sources import gather, read_pack_set

PACK = "apiVersion: orch/v1\nkind: PolicyPack\nmetadata: {name: %s, version: 1.0.0}\ndefault: inherit\nrules:\n  - {id: r, effect: deny, actions: open_pr}\n"
WAIVER = "apiVersion: orch/v1\nkind: Waiver\nmetadata: {name: w}\nrules: org/r\nscope: {branches: x}\nreason: r\nticket: t\nrequested_by: user:a\napproved_by: [user:b, user:c]\nfrom: 2026-01-01T00:00:00Z\nexpires_at: 2026-01-02T00:00:00Z\n"
ROSTER = "apiVersion: orch/v1\nkind: Roster\nmetadata: {name: r}\nsubjects: {'user:a': {roles: sre}}\n"


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def run(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@acme.com", "-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, check=True)
    return done.stdout.decode().strip()


def commit(folder: Path) -> str:
    run(folder, "add", "-A")
    run(folder, "commit", "-q", "--allow-empty", "-m", "x")
    return run(folder, "rev-parse", "HEAD")


@pytest.fixture
def org(tmp_path: Path) -> Path:
    write(tmp_path / "org", "a.yaml", PACK % "org")
    return tmp_path / "org"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    run(folder, "init", "-q", "-b", "main")
    return folder


def names(files: tuple[tuple[str, bytes], ...]) -> list[str]:
    return [name for name, _ in files]


def test_a_folders_packs_are_its_yaml_files_sorted(org: Path, tmp_path: Path) -> None:
    write(org, "c.yml", PACK % "c")
    write(org, "b.yaml", PACK % "b")
    write(org, ".hidden.yaml", "x")
    write(org, "README.md", "x")
    write(org, "tests/t.yaml", "x")
    (org / ".hidden.yml").symlink_to(org / "nowhere")
    (org / "stays.yaml").symlink_to("b.yaml")
    (org / "folder.yaml").mkdir()
    os.mkfifo(org / "pipe.yaml")

    found = gather(Settings(packs=("org/",)), cwd=tmp_path)

    assert names(found.org) == ["org/a.yaml", "org/b.yaml", "org/c.yml", "org/stays.yaml"]
    assert found.places == ("org: org/",)


LINKS = {
    "../outside.yaml": "a symlink that leaves the folder",
    "nowhere": "a symlink that leads nowhere",
    "link.yaml": "a symlink that leads nowhere",
    "a.yaml/x": "a symlink that leads nowhere",
}


@pytest.mark.parametrize("target", LINKS)
def test_a_pack_that_a_symlink_takes_away_is_an_error_not_left_out(org: Path, tmp_path: Path, target: str) -> None:
    write(tmp_path, "outside.yaml", PACK % "outside")
    (org / "link.yaml").symlink_to(target)

    with pytest.raises(PackError) as caught:
        gather(Settings(packs=("org",)), cwd=tmp_path)

    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.seen) == ("org/link.yaml", 0, LINKS[target])
    assert problem.advice


def test_a_repositorys_pack_that_leads_nowhere_is_an_error(org: Path, checkout: Path) -> None:
    write(checkout, ".orch/packs/r.yaml", PACK % "mine")
    (checkout / ".orch/packs/gone.yaml").symlink_to("nowhere")

    with pytest.raises(PackError, match=r"\.orch/packs/gone\.yaml: a symlink that leads nowhere"):
        gather(Settings(packs=(str(org),)), cwd=checkout)


def test_a_mounted_config_map_is_a_folder_of_packs(tmp_path: Path) -> None:
    write(tmp_path / "org", "..2026_11_21/a.yaml", PACK % "org")
    (tmp_path / "org/..data").symlink_to("..2026_11_21")
    (tmp_path / "org/a.yaml").symlink_to("..data/a.yaml")

    assert names(gather(Settings(packs=("org",)), cwd=tmp_path).org) == ["org/a.yaml"]


def test_layers_come_from_their_places(org: Path, checkout: Path) -> None:
    write(checkout, ".orch/packs/r.yaml", PACK % "mine")
    run_pack = write(checkout.parent, "run.yaml", PACK % "task")
    (checkout / "below").mkdir()

    found = gather(
        Settings(packs=(str(org), str(org / "a.yaml")), repository="Acme/Web", run_packs=(str(run_pack),)),
        cwd=checkout / "below",
    )
    packs = read_pack_set(
        gather(Settings(packs=(str(org),), repository="Acme/Web"), cwd=checkout / "below", run_packs=[run_pack])
    )

    assert names(found.repo) == [".orch/packs/r.yaml"]
    assert [names(one) for one in found.runs] == [[str(run_pack)]]
    assert found.is_claimed
    assert found.repository == "acme/web"
    assert [(pack.name, pack.layer) for pack in packs.packs] == [
        ("org", Layer.ORG),
        ("mine", Layer.REPO),
        ("task", Layer.RUN),
    ]
    assert packs.is_claimed


def test_no_packs_anywhere_says_how_to_name_some(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        gather(Settings(), cwd=tmp_path)

    assert "ORCH_PACKS" in caught.value.advice


def test_org_packs_alone_claim_nothing(org: Path, checkout: Path) -> None:
    assert not gather(Settings(packs=(str(org),)), cwd=checkout).is_claimed


def test_a_change_is_judged_by_the_packs_of_its_base(org: Path, checkout: Path) -> None:
    write(checkout, ".orch/packs/r.yaml", PACK % "before")
    base = commit(checkout)
    write(checkout, ".orch/packs/r.yaml", PACK % "after")
    write(checkout, ".orch/packs/s.yaml", PACK % "new")
    commit(checkout)

    found = gather(Settings(packs=(str(org),)), cwd=checkout, base_commit=base)

    assert found.repo == ((".orch/packs/r.yaml", (PACK % "before").encode()),)
    assert not found.is_claimed


def test_a_change_cannot_move_the_folder_of_the_packs_that_judge_it(org: Path, checkout: Path) -> None:
    write(checkout, "orch.yaml", "packs: policy\n")
    write(checkout, "policy/r.yaml", PACK % "before")
    base = commit(checkout)
    write(checkout, "orch.yaml", "packs: elsewhere\n")
    commit(checkout)

    found = gather(Settings.load({"packs": [str(org)]}, cwd=checkout), cwd=checkout, base_commit=base)

    assert names(found.repo) == ["policy/r.yaml"]


def test_org_packs_in_the_judged_checkout_are_those_of_its_base(checkout: Path) -> None:
    write(checkout, "policy/a.yaml", (PACK % "before") + "rego: mod/x.rego\n")
    write(checkout, "policy/mod/x.rego", "package packs.before\n")
    base = commit(checkout)
    write(checkout, "policy/a.yaml", PACK % "after")
    write(checkout, "policy/mod/x.rego", "package packs.after\n")
    write(checkout, "policy/b.yaml", PACK % "new")
    commit(checkout)
    (checkout.parent / "way").symlink_to(checkout / "policy")

    for name in ("policy", str(checkout / "policy"), "../way", "policy/a.yaml"):
        found = gather(Settings(packs=(name,)), cwd=checkout, base_commit=base)
        ((_, data),) = found.org
        assert b"before" in data
        assert list(found.modules.values()) == [b"package packs.before\n"]
        assert not found.is_claimed


def test_org_packs_that_the_base_does_not_know_are_claimed(checkout: Path) -> None:
    base = commit(checkout)
    write(checkout, "policy/a.yaml", PACK % "first")
    commit(checkout)

    found = gather(Settings(packs=("policy",)), cwd=checkout, base_commit=base)
    empty = gather(Settings(packs=("policy",)), cwd=checkout, base_commit="")

    assert found.is_claimed
    assert empty.is_claimed
    assert "not in the base revision" in found.notes[0]


def test_a_run_pack_in_the_judged_checkout_is_that_of_its_base(org: Path, checkout: Path) -> None:
    write(checkout, "run.yaml", PACK % "before")
    base = commit(checkout)
    write(checkout, "run.yaml", PACK % "after")

    (((_, data),),) = gather(Settings(packs=(str(org),), run_packs=("run.yaml",)), cwd=checkout, base_commit=base).runs

    assert b"before" in data


def test_a_link_that_the_change_may_move_is_refused(org: Path, checkout: Path) -> None:
    (checkout / "policy").symlink_to(org)
    base = commit(checkout)

    with pytest.raises(UsageError, match="the change may move it"):
        gather(Settings(packs=("policy",)), cwd=checkout, base_commit=base)


def test_a_checkout_of_its_own_in_the_judged_one_is_trusted_but_a_submodule_is_not(
    checkout: Path, tmp_path: Path
) -> None:
    base = commit(checkout)
    other = tmp_path / "other"
    other.mkdir()
    run(other, "init", "-q")
    write(other, "a.yaml", PACK % "org")
    commit(other)
    run(checkout, "clone", "-q", str(other), "cloned")
    run(checkout, "submodule", "--quiet", "add", str(other), "sub")

    assert not gather(Settings(packs=("cloned",)), cwd=checkout, base_commit=base).is_claimed
    with pytest.raises(UsageError, match="submodule"):
        gather(Settings(packs=("sub",)), cwd=checkout, base_commit=base)


@pytest.mark.parametrize(
    "text",
    [
        WAIVER,
        ROSTER,
        (PACK % "x") + "rego: x.rego\n",
        (PACK % "x").replace("inherit", "allow"),
        (PACK % "x") + "opa: /tmp/evil\n",
    ],
)
def test_what_a_repository_may_not_bring_is_refused_with_its_line(org: Path, checkout: Path, text: str) -> None:
    write(checkout, ".orch/packs/evil.yaml", text)

    with pytest.raises(PackError) as caught:
        read_pack_set(gather(Settings(packs=(str(org),)), cwd=checkout))

    assert caught.value.problems[0].file == ".orch/packs/evil.yaml"
    assert caught.value.problems[0].line


def test_problems_of_all_layers_are_told_at_once(org: Path, checkout: Path) -> None:
    write(org, "bad.yaml", "x: 1\n")
    write(checkout, ".orch/packs/bad.yaml", "y: 1\n")

    with pytest.raises(PackError) as caught:
        read_pack_set(gather(Settings(packs=(str(org),)), cwd=checkout))

    assert {problem.file for problem in caught.value.problems} == {f"{org}/bad.yaml", ".orch/packs/bad.yaml"}


def test_a_packs_folder_that_leaves_the_repository_is_refused(org: Path, checkout: Path) -> None:
    (checkout / ".orch").mkdir()
    (checkout / ".orch/packs").symlink_to(org)

    with pytest.raises(PackError, match="a symlink out of the repository"):
        gather(Settings(packs=(str(org),)), cwd=checkout)

    base = commit(checkout)
    with pytest.raises(PackError, match="a symlink; expected a folder"):
        gather(Settings(packs=(str(org),)), cwd=checkout, base_commit=base)


@pytest.mark.parametrize(("link", "target"), [(".orch/packs", "packs"), (".orch/packs", "gone"), (".orch", ".orch")])
def test_a_packs_folder_that_leads_nowhere_is_an_error(org: Path, checkout: Path, link: str, target: str) -> None:
    (checkout / link).parent.mkdir(exist_ok=True)
    (checkout / link).symlink_to(target)

    with pytest.raises(PackError, match=r"\.orch/packs: a symlink that leads nowhere"):
        gather(Settings(packs=(str(org),)), cwd=checkout)


def test_a_file_where_a_repository_could_have_its_folder_is_no_folder(org: Path, checkout: Path) -> None:
    write(checkout, ".orch", "x")

    assert gather(Settings(packs=(str(org),)), cwd=checkout).repo == ()


def test_modules_are_gathered_with_their_packs_and_part_of_the_digest(org: Path, tmp_path: Path) -> None:
    write(org, "a.yaml", (PACK % "org") + "rego: [one.rego, \"sub dir/two.rego\", '../out.rego', link.rego]\n")
    write(org, "one.rego", "package packs.org\n")
    write(org, "sub dir/two.rego", "package packs.org.two\n")
    write(tmp_path, "out.rego", "x")
    (org / "link.rego").symlink_to(tmp_path / "out.rego")
    settings = Settings(packs=("org",))
    found = gather(settings, cwd=tmp_path)

    assert sorted(path for _, path in found.modules) == ["one.rego", "sub dir/two.rego"]
    assert found.read_module("org/a.yaml", "./one.rego") == b"package packs.org\n"
    with pytest.raises(FileNotFoundError):
        found.read_module("org/a.yaml", "link.rego")
    write(org, "one.rego", "package packs.org # changed\n")
    assert gather(settings, cwd=tmp_path).digest != found.digest


def test_the_digest_follows_everything_that_decides(org: Path, checkout: Path, tmp_path: Path) -> None:
    settings = Settings(packs=("org",), repository="acme/web")

    def digest(**more: object) -> str:
        return gather(settings, cwd=more.pop("cwd", tmp_path), **more).digest  # type: ignore[arg-type]  # a test's shorthand

    first = digest()
    assert first == digest()
    assert first == digest(repository="ACME/web")
    seen = {first, digest(repository="acme/other")}
    write(tmp_path, "run.yaml", PACK % "run")
    seen.add(digest(run_packs=["run.yaml"]))
    write(org, "a.yaml", (PACK % "org") + "# changed\n")
    seen.add(digest())
    (org / "a.yaml").rename(org / "b.yaml")
    seen.add(digest())

    assert len(seen) == 5


def test_a_bundle_stands_alone(org: Path, tmp_path: Path) -> None:
    write(tmp_path, "policy.tar.gz", "x")

    found = gather(Settings(packs=("policy.tar.gz",)), cwd=tmp_path)

    assert found.bundle == tmp_path / "policy.tar.gz"
    with pytest.raises(UsageError, match="beside other packs of the organisation"):
        gather(Settings(packs=("policy.tar.gz", "org")), cwd=tmp_path)
    with pytest.raises(UsageError, match="compiled bundle"):
        read_pack_set(found)


def test_packs_of_a_run_may_stand_beside_a_bundle(tmp_path: Path) -> None:
    write(tmp_path, "policy.tar.gz", "x")
    write(tmp_path, "r.yaml", PACK % "r")
    settings = Settings(packs=("policy.tar.gz",), run_packs=("r.yaml",))

    found = gather(settings, cwd=tmp_path, run_texts=[("more.yaml", b"x")])
    write(tmp_path, "r.yaml", (PACK % "r") + "# changed\n")
    changed = gather(settings, cwd=tmp_path, run_texts=[("more.yaml", b"x")])

    assert found.bundle == tmp_path / "policy.tar.gz"
    assert [names(run) for run in found.runs] == [["r.yaml"], ["more.yaml"]]
    assert found.places == ("org: policy.tar.gz", "run: r.yaml")
    assert found.digest != changed.digest


def test_a_run_pack_that_a_change_brings_makes_decisions_claimed_beside_a_bundle_too(
    checkout: Path, tmp_path: Path
) -> None:
    write(tmp_path, "policy.tar.gz", "x")
    base = commit(checkout)
    write(checkout, "r.yaml", PACK % "r")
    settings = Settings(packs=(str(tmp_path / "policy.tar.gz"),), run_packs=("r.yaml",))

    found = gather(settings, cwd=checkout, base_commit=base)

    assert found.is_claimed
    assert any("r.yaml is not in the base revision" in note for note in found.notes)


def test_a_bundle_of_the_judged_checkout_is_refused(checkout: Path) -> None:
    write(checkout, "policy.tar.gz", "x")
    base = commit(checkout)

    with pytest.raises(UsageError, match="lies in the checkout whose change is judged"):
        gather(Settings(packs=("policy.tar.gz",)), cwd=checkout, base_commit=base)


@pytest.mark.parametrize("name", ["nowhere", "", "a\0b", "loop", "nowhere.tar.gz", "/dev/null"])
def test_a_place_that_is_none_is_a_usage_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(UsageError):
        gather(Settings(packs=(name or "empty",)), cwd=tmp_path)


def test_a_folder_without_packs_is_a_usage_error(tmp_path: Path) -> None:
    write(tmp_path, "org/below/a.yaml", PACK % "a")

    with pytest.raises(UsageError) as caught:
        gather(Settings(packs=("org",)), cwd=tmp_path)

    assert "folders below it are not looked into" in caught.value.advice


def test_a_huge_pack_is_refused_unread(org: Path, tmp_path: Path) -> None:
    with (org / "huge.yaml").open("wb") as opened:
        opened.truncate(50 * 1024 * 1024)

    with pytest.raises(PackError, match=r"org/huge.yaml: a file of 50.0 MB; expected at most 16 MB"):
        gather(Settings(packs=("org",)), cwd=tmp_path)


def test_a_name_that_is_not_utf8_is_named(org: Path, tmp_path: Path) -> None:
    Path(os.fsdecode(bytes(org) + b"/caf\xe9.yaml")).write_text("x")

    with pytest.raises(UsageError, match=r"'caf\\xe9.yaml'"):
        gather(Settings(packs=("org",)), cwd=tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_pack_is_a_usage_error(org: Path, tmp_path: Path) -> None:
    (org / "a.yaml").chmod(0)

    with pytest.raises(UsageError, match="Permission denied"):
        gather(Settings(packs=("org",)), cwd=tmp_path)


def test_a_base_that_is_not_there_is_a_usage_error(org: Path, checkout: Path) -> None:
    with pytest.raises(UsageError, match="no commit"):
        gather(Settings(packs=(str(org),)), cwd=checkout, base_commit="1" * 40)


def test_a_warm_call_is_quick_and_imports_nothing_heavy(org: Path, checkout: Path) -> None:
    write(checkout, ".orch/packs/r.yaml", PACK % "mine")
    code = (
        "import sys; from pathlib import Path; from orchestrator.settings import Settings; from orchestrator.sources import gather\n"
        f"gather(Settings(packs=({str(org)!r},)), cwd=Path({str(checkout)!r}))\n"
        "print(sorted({'yaml', 'pydantic', 'rich', 'httpx', 'click', 'subprocess', 'difflib'} & sys.modules.keys()))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    started = time.perf_counter()
    found = gather(Settings(packs=(str(org),)), cwd=checkout)

    assert done.stdout == "[]\n"
    assert isinstance(found, Gathered)
    assert time.perf_counter() - started < 0.25


def test_an_edited_file_of_the_library_counts_though_its_size_and_time_are_the_same(tmp_path: Path) -> None:
    """Else a checkout could go on using a bundle that its old library made."""
    file = tmp_path / "deep" / "rules.rego"
    file.parent.mkdir()
    file.write_text("x := 1")
    written = file.stat()
    before = list(_seen(str(tmp_path), ".rego"))
    time.sleep(0.02)

    file.write_text("x := 2")
    os.utime(file, ns=(written.st_atime_ns, written.st_mtime_ns))

    assert len(before) == 1
    assert list(_seen(str(tmp_path), ".rego")) != before
