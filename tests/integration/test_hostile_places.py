"""Where `orch` runs may be hostile, too: the repository, the folder, the home, the disk, the pipes, the engine. Nothing is allowed by that."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from command_line import HEAD, Place, clean, command, place_in

ORG = HEAD + "rules:\n  - {id: ok, effect: allow, actions: [open_pr, push_branch]}\n"
NO_SECRETS = '  - {id: no-secrets, effect: deny, actions: [open_pr, push_branch], file_globs: "secrets/**"}\n'
NO_SOURCES = HEAD.replace("acme", "mine").replace("default: deny", "default: inherit") + (
    'rules:\n  - {id: no-sources, effect: deny, actions: open_pr, file_globs: "src/**"}\n'
)
ASKED = ("--action", "open_pr", "--repo", "a/b", "--branch", "main")
CHANGE = ("--action", "open_pr", "--repo", "a/b", "--from-git", "main..HEAD")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests here, so that the same packs are compiled once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def place(tmp_path: Path, cache: Path) -> Iterator[Place]:
    """A place of the test's own, with a pack in the folder `org`."""
    with place_in(tmp_path, XDG_CACHE_HOME=str(cache)) as made:
        (tmp_path / "org").mkdir()
        (tmp_path / "org" / "a.yaml").write_text(ORG + NO_SECRETS)
        yield made


def _git(place: Place, cwd: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=cwd, env=place.environ, check=True, capture_output=True)  # a test


@pytest.fixture
def checkout(place: Place) -> Path:
    """A checkout whose head changes what its own packs forbid, and removes those packs."""
    root = place.folder / "web"
    files = {"policy/a.yaml": ORG + NO_SECRETS, ".orch/packs/m.yaml": NO_SOURCES, "src/a": "1", "secrets/a": "1"}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    _git(place, root, "init", "-q", "-b", "main")
    _git(place, root, "add", "-A")
    _git(place, root, "commit", "-qm", "base")
    _git(place, root, "checkout", "-qb", "evil")
    for name in ("src/a", "secrets/a"):
        (root / name).write_text("2")
    (root / ".orch/packs/m.yaml").unlink()
    (root / "policy/a.yaml").write_text(ORG.replace("default: deny", "default: allow"))
    _git(place, root, "add", "-A")
    _git(place, root, "commit", "-qm", "change the judges")
    return root


@pytest.mark.parametrize("named", ["policy", "policy/a.yaml", "../web/policy", "../org"])
def test_a_change_cannot_edit_the_packs_that_judge_it(place: Place, checkout: Path, named: str) -> None:
    done = place.orch("evaluate", "--packs", named, *CHANGE, "-o", "json", cwd=checkout)

    clean(done)
    rules = {found["rule"] for found in json.loads(done.stdout)["context"]["findings"]}
    assert done.returncode == 3
    assert {"acme/no-secrets", "repo:mine/no-sources"} <= rules


def test_packs_that_the_change_brings_are_claimed_and_said_so(place: Place, checkout: Path) -> None:
    (checkout / "new").mkdir()
    (checkout / "new" / "a.yaml").write_text(ORG)

    done = place.orch("evaluate", "--packs", "new", *CHANGE, "-o", "json", cwd=checkout)

    assert "new is not in the base revision" in clean(done)
    assert json.loads(done.stdout)["context"]["claimed"] is True


def test_a_symlink_of_the_change_does_not_name_the_packs(place: Place, checkout: Path) -> None:
    (checkout / "link").symlink_to("../org")

    done = place.orch("evaluate", "--packs", "link", *CHANGE, cwd=checkout)

    assert done.returncode == 2
    assert "a symlink out of the checkout" in clean(done)


def test_a_branch_that_git_does_not_show_is_claimed(place: Place, checkout: Path) -> None:
    """Else a request that names another base gets around every rule on `branches`, unclaimed."""
    given = {
        "subject": {"type": "user", "id": "user:a"},
        "action": {"name": "push_branch"},
        "resource": {"type": "repository", "id": "a/b", "properties": {"branch": "playground"}},
    }
    asked = ("evaluate", "--packs", "../org", "-", "--from-git", "main..HEAD", "-o", "json")

    done = place.orch(*asked, cwd=checkout, given=json.dumps(given).encode(), ORCH_SUBJECT="user:a")

    assert json.loads(done.stdout)["context"]["claimed"] is True


FOREIGN = {
    "Waiver": ("apiVersion: orch/v1\nkind: Waiver\nmetadata: {name: w}\n", "a Waiver from a repository"),
    "Roster": ("apiVersion: orch/v1\nkind: Roster\nmetadata: {name: r}\n", "a Roster from a repository"),
    "rego": (HEAD + "rego: [m.rego]\n", "`rego` from a repository"),
    "all repositories": (
        HEAD.replace("default: deny", "default: deny\nrepositories: '**'")
        + "rules: [{id: a, effect: deny, actions: '*'}]\n",
        "in a repository's pack",
    ),
}


@pytest.mark.parametrize(("text", "expected"), FOREIGN.values(), ids=FOREIGN.keys())
def test_a_repository_brings_no_trust(place: Place, text: str, expected: str) -> None:
    packs = place.folder / "web" / ".orch" / "packs"
    packs.mkdir(parents=True)
    (place.folder / "web" / ".git").mkdir()
    (packs / "a.yaml").write_text(text)

    done = place.orch("evaluate", "--packs", "../org", *ASKED, cwd=place.folder / "web")

    assert (done.returncode, done.stdout) == (7, "")
    assert expected in clean(done)


def test_a_repository_alone_allows_nothing(place: Place) -> None:
    """Its `default: allow` is no organisation pack, wherever it lies."""
    packs = place.folder / "web" / ".orch" / "packs"
    packs.mkdir(parents=True)
    (place.folder / "web" / ".git").mkdir()
    (packs / "a.yaml").write_text(ORG.replace("default: deny", "default: inherit"))

    done = place.orch("evaluate", *ASKED, cwd=place.folder / "web")

    assert done.returncode == 3
    assert "orch/no-policy" in clean(done)


@pytest.mark.parametrize("key", ["opa: ./evil", "opa_url: http://x", "org_packs: x", "repository: a/b", "packs: ../.."])
def test_a_repository_sets_nothing_that_is_trusted(place: Place, key: str) -> None:
    root = place.folder / "web"
    (root / ".git").mkdir(parents=True)
    (root / "orch.yaml").write_text(f"{key}\n")
    (root / "evil").write_text("#!/bin/sh\ntouch canary\n")
    (root / "evil").chmod(0o755)

    done = place.orch("evaluate", "--packs", "../org", *ASKED, cwd=root)

    assert (done.returncode, done.stdout) == (7, "")
    assert "orch.yaml:1:" in clean(done)
    assert not (root / "canary").exists()


@pytest.mark.parametrize("target", ["../org", "../../org", "packs", "gone"])
@pytest.mark.parametrize("file", ["orch.yaml", ".orch/packs"])
def test_a_symlink_out_of_the_repository_or_nowhere_is_refused(place: Place, file: str, target: str) -> None:
    root = place.folder / "web"
    (root / ".git").mkdir(parents=True)
    (root / ".orch").mkdir()
    (root / file).symlink_to(target)

    done = place.orch("evaluate", "--packs", "../org", *ASKED, cwd=root)

    assert done.returncode == 7
    assert "a symlink" in clean(done)


RANGES = {
    "nope..HEAD": "there is no commit 'nope'",
    "main..nope": "there is no commit 'nope'",
    "main": "expected BASE..HEAD",
    "..": "expected BASE..HEAD",
    "--output=canary..HEAD": "is no name of a commit",
    "main..HEAD;touch canary": "there is no commit",
    "HEAD~50..HEAD": "does not go back that far",
    "main:src..HEAD": "there is no commit",
}


@pytest.mark.parametrize(("text", "expected"), RANGES.items(), ids=RANGES.keys())
def test_a_range_that_does_not_exist_is_a_wrong_call(place: Place, checkout: Path, text: str, expected: str) -> None:
    asked = ("evaluate", "--packs", "../org", "--action", "open_pr", "--repo", "a/b", "--from-git", text)

    done = place.orch(*asked, cwd=checkout)

    assert (done.returncode, done.stdout) == (2, "")
    assert expected in clean(done)
    assert not (checkout / "canary").exists()


def test_a_shallow_clone_says_how_to_deepen_it(place: Place, checkout: Path) -> None:
    _git(place, place.folder, "clone", "-q", "--depth", "1", checkout.as_uri(), "shallow")

    done = place.orch("evaluate", "--packs", "../org", *CHANGE[:-1], "HEAD~1..HEAD", cwd=place.folder / "shallow")

    assert done.returncode == 2
    assert "fetch-depth: 0" in clean(done)


def test_outside_of_a_checkout_and_without_git(place: Place, checkout: Path) -> None:
    outside = place.orch("evaluate", "--packs", "org", *CHANGE)
    without = place.orch("evaluate", "--packs", "../org", *CHANGE, cwd=checkout, PATH="/nonexistent")

    assert (outside.returncode, without.returncode) == (2, 2)
    assert "is not in a git checkout" in clean(outside)
    assert "git is not installed" in clean(without)


def _opa(place: Place) -> int:
    """Return the process id of the one OPA of this place."""
    from orchestrator import sidecar

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_RUNTIME_DIR", place.environ["XDG_RUNTIME_DIR"])
        (state,) = sidecar.status()
    return state.pid


def test_an_engine_that_hangs_meets_its_deadline(place: Place) -> None:
    place.orch("evaluate", "--packs", "org", *ASKED)
    pid = _opa(place)
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()

    try:
        done = place.orch("evaluate", "--packs", "org", *ASKED, ORCH_DEADLINE="1")
    finally:
        os.kill(pid, signal.SIGCONT)

    assert (done.returncode, done.stdout) == (6, "")
    assert "no answer within 1 s" in clean(done)
    assert time.monotonic() - started < 9


def test_the_flag_for_the_deadline_is_obeyed(place: Place) -> None:
    place.orch("evaluate", "--packs", "org", *ASKED)
    pid = _opa(place)
    os.kill(pid, signal.SIGSTOP)

    try:
        done = place.orch("evaluate", "--packs", "org", *ASKED, "--deadline", "1")
    finally:
        os.kill(pid, signal.SIGCONT)

    assert "no answer within 1 s" in clean(done)


def test_an_engine_that_is_killed_is_started_again(place: Place) -> None:
    place.orch("evaluate", "--packs", "org", *ASKED)
    first = _opa(place)
    os.kill(first, signal.SIGKILL)

    done = place.orch("evaluate", "--packs", "org", *ASKED, "--file", "secrets/x")

    assert done.returncode == 3
    assert "acme/no-secrets" in clean(done)
    assert _opa(place) != first


def test_an_engine_that_is_killed_over_a_question_still_gives_the_right_answer(place: Place) -> None:
    request = {
        "subject": {"type": "user", "id": "user:a"},
        "action": {"name": "push_branch"},
        "resource": {
            "type": "repository",
            "id": "a/b",
            "properties": {"branch": "x", "files": [{"path": f"secrets/{index}"} for index in range(40_000)]},
        },
    }
    (place.folder / "big.json").write_text(json.dumps(request))
    place.orch("evaluate", "--packs", "org", *ASKED)
    first = _opa(place)

    asking = subprocess.Popen(  # our own command
        command("evaluate", "--packs", "org", "big.json"),
        cwd=place.folder,
        env=place.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    time.sleep(0.5)
    with suppress(ProcessLookupError):
        os.kill(first, signal.SIGKILL)
    out, err = asking.communicate(timeout=60)

    assert asking.returncode == 3
    assert b"acme/no-secrets" in out
    assert b"Traceback" not in err


def test_a_stranger_on_the_socket_is_not_believed(place: Place) -> None:
    """A listener that answers `allow` in our place: its answer carries no policy digest of ours."""
    place.orch("evaluate", "--packs", "org", *ASKED)
    runtime = Path(place.environ["XDG_RUNTIME_DIR"]) / "orch"
    (path,) = runtime.glob("*.sock")
    os.kill(_opa(place), signal.SIGKILL)
    time.sleep(0.3)
    answer = b'{"result":[{"outcome":"allow","would":"allow","reason":"allowed","digest":"sha256:0"}]}'
    code = (
        "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen()\nprint('up',flush=True)\n"
        "while True:\n c,_=s.accept()\n c.recv(99999)\n"
        f" c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: {len(answer)}\\r\\n\\r\\n'+{answer!r})\n c.close()\n"
    )
    path.unlink(missing_ok=True)
    stranger = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)  # a stand-in
    try:
        assert stranger.stdout is not None
        stranger.stdout.readline()
        done = place.orch("evaluate", "--packs", "org", *ASKED, "--file", "secrets/x")
    finally:
        stranger.kill()
        stranger.communicate()

    clean(done)
    assert done.returncode in {3, 6}


@pytest.mark.parametrize(
    ("kind", "code", "expected"), [("file", 6, "is not a socket"), ("socket", 3, "acme/no-secrets")]
)
def test_a_stale_socket_is_cleared_away_and_anything_else_told(
    place: Place, kind: str, code: int, expected: str
) -> None:
    place.orch("evaluate", "--packs", "org", *ASKED)
    (path,) = (Path(place.environ["XDG_RUNTIME_DIR"]) / "orch").glob("*.sock")
    os.kill(_opa(place), signal.SIGKILL)
    time.sleep(0.3)
    path.unlink(missing_ok=True)
    if kind == "file":
        path.write_text("")
    else:
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))

    done = place.orch("evaluate", "--packs", "org", *ASKED, "--file", "secrets/x")

    assert done.returncode == code
    assert expected in clean(done)


@pytest.mark.parametrize("kind", ["open to others", "a symlink", "not a folder"])
def test_a_folder_of_sockets_that_is_not_ours_alone_is_not_used(place: Place, kind: str) -> None:
    folder = Path(place.environ["XDG_RUNTIME_DIR"]) / "orch"
    match kind:
        case "open to others":
            folder.mkdir()
            folder.chmod(0o777)
        case "a symlink":
            folder.symlink_to(place.folder)
        case _:
            folder.write_text("")

    done = place.orch("evaluate", "--packs", "org", *ASKED)

    if folder.is_dir() and not folder.is_symlink():
        folder.chmod(0o700)
    else:
        folder.unlink()
    assert (done.returncode, done.stdout) == (6, "")
    assert str(folder) in clean(done)


def test_a_full_disk_under_the_sockets_is_undecidable(place: Place) -> None:
    disk = Path(place.environ["XDG_RUNTIME_DIR"]) / "disk"  # a short path, as sockets need it
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", disk],  # a test
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        with suppress(OSError), (disk / "filler").open("wb") as filler:
            filler.write(bytes(2**20))
        runtime = place.orch("evaluate", "--packs", "org", *ASKED, XDG_RUNTIME_DIR=str(disk))
        cache = place.orch("evaluate", "--packs", "org", *ASKED, XDG_CACHE_HOME=str(disk / "cache"))
    finally:
        subprocess.run(["umount", disk], check=False)  # a test

    assert (runtime.returncode, cache.returncode) == (6, 6)
    assert "No space left on device" in clean(runtime)
    assert "No space left on device" in clean(cache)


HOMES = ("missing", "unset", "relative", "long", "longer than any path", "read-only")


@pytest.mark.parametrize("kind", HOMES)
def test_any_home_ends_in_an_answer_or_a_message(place: Place, kind: str) -> None:
    home = place.folder / "h"
    given = {
        "missing": str(home / "not" / "there"),
        "unset": "",
        "relative": "h",
        "long": str(home / ("l" * 200)),
        "longer than any path": "/tmp/" + "l" * 5000,
        "read-only": str(home),
    }[kind]
    home.mkdir()
    home.chmod(0o500 if kind == "read-only" else 0o700)
    without = ("HOME",) if kind == "unset" else ()

    done = place.orch(
        "evaluate", "--packs", "org", *ASKED, "--file", "secrets/x", without=without, HOME=given, XDG_CACHE_HOME=""
    )

    said = clean(done)
    assert done.returncode == {"unset": 6, "relative": 6, "longer than any path": 2}.get(kind, 3)
    assert done.returncode != 6 or "there is no place for records" in said


def test_a_runtime_folder_too_long_for_sockets_is_passed_over(place: Place) -> None:
    folder = place.folder / ("r" * 200)
    folder.mkdir(mode=0o700)

    done = place.orch(
        "evaluate", "--packs", "org", *ASKED, "--file", "secrets/x", "--one-shot", XDG_RUNTIME_DIR=str(folder)
    )

    clean(done)
    assert done.returncode == 3


def test_a_temporary_folder_that_is_missing_is_no_trouble(place: Place) -> None:
    given = json.dumps({"subject": 1}).encode()

    done = place.orch(
        "evaluate", "--packs", "org", "-", "-o", "json", "-o", "tap=t", given=given, TMPDIR="/nonexistent"
    )

    clean(done)
    assert done.returncode == 3


def test_a_folder_that_is_gone_is_told(place: Place) -> None:
    code = f"import os,sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); os.execv(sys.executable, {command('evaluate', '--packs', place.folder / 'org', *ASKED)!r})"

    done = subprocess.run(  # our own command
        [sys.executable, "-c", code],
        cwd=place.folder,
        env=place.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    clean(done)
    assert done.returncode == 2


def test_modules_that_lie_about_are_not_imported(place: Place) -> None:
    """`python -m` needs PYTHONSAFEPATH for that; the installed command does not."""
    for name in ("click", "json", "orchestrator", "sitecustomize"):
        (place.folder / f"{name}.py").write_text("open('canary', 'w')\n")

    done = place.orch("evaluate", "--packs", "org", *ASKED, "--file", "x")

    clean(done)
    assert done.returncode == 0
    assert not (place.folder / "canary").exists()


@pytest.mark.parametrize("columns", ["0", "1", "-5", "abc", "9999999999"])
def test_odd_widths_and_locales_show_the_same_answer(place: Place, columns: str) -> None:
    done = place.orch(
        "evaluate", "--packs", "org", *ASKED, "--file", "secrets/x", COLUMNS=columns, LANG="C", LC_ALL="C", PYTHONUTF8="0",
        PYTHONCOERCECLOCALE="0",
    )  # fmt: skip

    assert done.returncode == 3
    assert "acme/no-secrets" in clean(done)


LINE = json.dumps(
    {
        "subject": {"type": "user", "id": "user:a"},
        "action": {"name": "open_pr"},
        "resource": {"type": "repository", "id": "a/b", "properties": {"branch": "main", "files": []}},
    }
)


@pytest.mark.parametrize("output", ["text", "json", "jsonl", "tap", "junit", "markdown"])
def test_a_reader_that_leaves_is_no_success_and_no_traceback(place: Place, output: str) -> None:
    (place.folder / "many.jsonl").write_text(f"{LINE}\n" * 1500)

    asking = subprocess.Popen(  # our own command
        command("evaluate", "--packs", "org", "many.jsonl", "-o", output),
        cwd=place.folder,
        env=place.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert asking.stdout is not None
    asking.stdout.close()
    assert asking.stderr is not None
    said = asking.stderr.read()
    asking.stderr.close()

    assert asking.wait(60) != 0
    assert b"Traceback" not in said
    assert b"Exception ignored" not in said


def _through_shell(place: Place, redirection: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    line = ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *command(*arguments)]
    return subprocess.run(
        line, cwd=place.folder, env=place.environ, capture_output=True, text=True, check=False, timeout=60
    )  # our own command


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_under_stdout_is_told(place: Place) -> None:
    done = _through_shell(place, ">/dev/full", "evaluate", "--packs", "org", *ASKED)

    assert done.returncode == 1
    assert "No space left on device" in clean(done)


@pytest.mark.parametrize(("redirection", "source"), [(">&-", ASKED), ("<&-", ("-",))])
def test_a_stream_that_is_closed_is_told(place: Place, redirection: str, source: tuple[str, ...]) -> None:
    done = _through_shell(place, redirection, "evaluate", "--packs", "org", *source)

    clean(done)
    assert done.returncode in {1, 2}


def test_an_interrupt_is_130(place: Place) -> None:
    place.orch("evaluate", "--packs", "org", *ASKED)
    asking = subprocess.Popen(  # our own command
        command("evaluate", "--packs", "org", "-"),
        cwd=place.folder,
        env=place.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    time.sleep(1.5)
    asking.send_signal(signal.SIGINT)

    out, err = asking.communicate(timeout=20)

    assert (asking.returncode, out) == (130, b"")
    assert b"interrupted" in err
    assert b"Traceback" not in err


def test_a_long_stream_is_answered_in_constant_memory(place: Place) -> None:
    code = (
        "import resource,subprocess,sys; p=subprocess.run(sys.argv[1:],stdout=subprocess.DEVNULL); "
        "print(p.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    peaks = []
    for count in (500, 5000):
        (place.folder / "s.jsonl").write_text(f"{LINE}\n" * count)
        asked = command("evaluate", "--packs", "org", "s.jsonl", "-o", "jsonl")
        done = subprocess.run(  # our own command
            [sys.executable, "-c", code, *asked],
            cwd=place.folder,
            env=place.environ,
            capture_output=True,
            text=True,
            check=True,
        )
        returned, peak = map(int, done.stdout.split())
        assert returned == 0
        peaks.append(peak)

    assert peaks[1] < peaks[0] * 1.25


def test_several_formats_at_once_say_the_same(place: Place) -> None:
    asked = (
        "evaluate",
        "--packs",
        "org",
        *ASKED,
        "--file",
        "secrets/x",
        "-o",
        "text",
        "-o",
        "json=j",
        "-o",
        "sarif=s",
        "-o",
        "junit=x",
    )

    done = place.orch(*asked)

    clean(done)
    assert done.returncode == 3
    assert json.loads((place.folder / "j").read_text())["decision"] is False
    assert "acme/no-secrets" in (place.folder / "s").read_text()
    assert 'failures="1"' in (place.folder / "x").read_text()
