"""What was hashed is what runs: scripts and programs that change between the decision and the run."""

import os
import stat
import sys
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from orchestrator.adapter import Action, Delivery, Place, Receipt, Wanted
from orchestrator.digest import sha256
from orchestrator.errors import AdapterError
from orchestrator.ledger import artifacts
from orchestrator.ledger.store import Ledger
from orchestrator_adapters import script
from orchestrator_adapters.command import Command

KEY = "ab" * 32
_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a script runs by its path")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    return made.resolve()


@pytest.fixture
def place(root: Path, sqlite_ledger: Ledger) -> Place:
    def keep(stream: BinaryIO, name: str, media_type: str) -> str:
        return artifacts.put(sqlite_ledger, stream, name=name, media_type=media_type).digest

    environ = {"PATH": "/usr/bin:/bin", "HOME": "/nowhere"}
    return Place(root, None, {}, {}, lambda text: text, keep, environ)


def wanted(*argv: object, **more: object) -> Wanted:
    return Wanted("run_command", {"argv": list(argv), **more})


def decided(place: Place, order: Wanted, timeout_s: float = 20) -> Action:
    prepared = Command().prepare(order, place)
    return Action("run_command", prepared.resource, prepared.properties, "", prepared.fixed, place, timeout_s)


def done(place: Place, *argv: object, timeout_s: float = 20, **more: object) -> Receipt:
    return Command().perform(decided(place, wanted(*argv, **more), timeout_s), KEY)


def written(root: Path, name: str, text: str, mode: int = 0o755) -> Path:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
    return file


_TEXT = "echo hello $1\n"


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        (["bash", "x.sh", "a"], "x.sh"),
        (["bash", "-euo", "pipefail", "x.sh"], "x.sh"),
        (["sh", "-e", "--", "x.sh"], "x.sh"),
        (["python3", "-W", "ignore", "-u", "x.py"], "x.py"),
        (["python3.11", "-Xutf8", "x.py"], "x.py"),
        (["perl", "-w", "x.pl"], "x.pl"),
        (["node", "--require", "a.js", "x.js"], "x.js"),
        (["bash", "-c", "echo hi", "x.sh"], None),
        (["bash", "-ec", "echo hi"], None),
        (["bash", "-s", "x.sh"], None),
        (["python3", "-m", "module", "x.py"], None),
        (["python3", "-Ic", "pass"], None),
        (["python3", "-"], None),
        (["python3"], None),
        (["make", "x.sh"], None),
    ],
)
def test_the_file_that_an_interpreter_is_given_is_found(argv: list[str], found: str | None) -> None:
    at = script.script_at(argv)

    assert (None if at is None else argv[at]) == found


@pytest.mark.parametrize("argv", [["bash", "x.sh", "you"], ["./x.sh", "you"], ["bash", "-eu", "x.sh", "you"]])
def test_a_scripts_content_is_part_of_what_is_decided(place: Place, root: Path, argv: list[str]) -> None:
    text = "#!/bin/bash\n" + _TEXT
    written(root, "x.sh", text)
    action = decided(place, wanted(*argv))

    receipt = Command().perform(action, KEY)

    assert action.properties["script_digest"] == sha256(text.encode())
    assert receipt.outputs["stdout"] == "hello you\n"


@pytest.mark.parametrize("argv", [["bash", "x.sh"], ["./x.sh"], ["python3", "x.sh"]])
def test_a_script_that_changed_since_is_not_run(place: Place, root: Path, argv: list[str]) -> None:
    written(root, "x.sh", "#!/bin/sh\n")
    action = decided(place, wanted(*argv))
    written(root, "x.sh", "#!/bin/sh\ntouch evil\n")

    with pytest.raises(AdapterError, match="changed since") as raised:
        Command().perform(action, KEY)

    assert raised.value.delivery is Delivery.PERMANENT
    assert not (root / "evil").exists()


def test_a_script_that_came_to_be_since_is_not_run(place: Place, root: Path) -> None:
    action = decided(place, wanted("bash", "x.sh"))
    written(root, "x.sh", "touch evil\n")

    with pytest.raises(AdapterError, match="changed since"):
        Command().perform(action, KEY)


def swap(file: Path, texts: tuple[str, str], is_over: threading.Event) -> None:
    """Put one text and the other in the place of a file until it is over: by a new file, and into the same one."""
    number = 0
    while not is_over.is_set():
        number += 1
        text = texts[number % 2]
        if number % 4 < 2:
            new = file.with_name(f".new{number}")
            new.write_text(text)
            new.chmod(0o755)
            new.rename(file)
        else:
            file.write_text(text)


@_LINUX
@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["bash", "x"], "echo {}\n"),
        (["./x"], "#!/bin/sh\necho {}\n"),
        ([sys.executable, "x"], "print('{}')\n"),
    ],
    ids=["shell", "first line", "python"],
)
def test_only_the_text_that_was_decided_ever_runs(place: Place, root: Path, argv: list[str], text: str) -> None:
    """Another thread swaps the script all the time, and no run shows a word of the other one."""
    good, evil = text.format("good"), text.format("evil")
    file = written(root, "x", good)
    action = decided(place, wanted(*argv))
    is_over = threading.Event()
    swapping = threading.Thread(target=swap, args=(file, (good, evil), is_over))
    swapping.start()
    said: list[str] = []
    try:
        while said.count("good\n") < 10 and len(said) < 500:
            try:
                said.append(Command().perform(action, KEY).outputs["stdout"])
            except AdapterError as error:
                said.append(type(error).__name__)
    finally:
        is_over.set()
        swapping.join()

    assert set(said) - {"AdapterError"} == {"good\n"}


def test_a_script_that_looks_for_its_own_place_finds_it(place: Place, root: Path) -> None:
    written(root, "tools/word", "from beside\n")
    written(root, "tools/x.sh", '#!/bin/bash\ncat "$(dirname "${BASH_SOURCE[0]}")/word"\n')

    assert done(place, "tools/x.sh").outputs["stdout"] == "from beside\n"
    assert done(place, "bash", "x.sh", cwd="tools").outputs["stdout"] == "from beside\n"


def test_such_a_script_that_changes_while_it_runs_leaves_it_unknown(place: Place, root: Path) -> None:
    written(root, "x.sh", '#!/bin/sh\ncd "$(dirname "$0")"; echo "# more" >> x.sh\n')

    receipt = done(place, "./x.sh")

    assert receipt.delivery is Delivery.UNKNOWN
    assert "was changed while it ran" in receipt.detail


def test_python_scripts_run_from_memory_as_if_from_their_path(place: Place, root: Path) -> None:
    written(root, "tools/beside.py", "WORD = 'beside'\n")
    text = (
        "import sys, beside, __main__\n"
        "def place(): return __file__\n"
        "print(place(), sys.argv, beside.WORD, __name__, __main__.place is place)\n"
        "raise SystemExit(4)\n"
    )
    written(root, "tools/x.py", text)

    receipt = done(place, sys.executable, "-B", "tools/x.py", "a", "-c")

    assert receipt.outputs["stdout"] == "tools/x.py ['tools/x.py', 'a', '-c'] beside __main__ True\n"
    assert receipt.outputs["exit_code"] == 4


def test_a_python_script_of_the_root_runs_by_its_first_line(place: Place, root: Path) -> None:
    written(root, "x.py", f"#!{sys.executable}\nimport sys; print(sys.argv)\n")
    written(root, "y.py", "#!/usr/bin/env -S python3 -u\nimport sys; print(sys.argv)\n")
    able = place._replace(environ={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"})

    assert done(able, "./x.py", "1").outputs["stdout"] == "['./x.py', '1']\n"
    assert done(able, "./y.py", "1").outputs["stdout"] == "['./y.py', '1']\n"


def test_a_python_of_the_root_and_its_script_are_both_part_of_what_is_decided(place: Place, root: Path) -> None:
    (root / "bin").mkdir()
    (root / "bin/python").symlink_to(os.path.realpath(sys.executable))
    written(root, "x.py", "import sys; print('ran', sys.version_info[0])\n")
    action = decided(place, wanted("bin/python", "x.py"))
    alone = decided(place, wanted(sys.executable, "x.py"))

    assert Command().perform(action, KEY).outputs["stdout"] == "ran 3\n"
    assert action.properties["script_digest"] != alone.properties["script_digest"]


@_LINUX
def test_a_native_program_of_the_root_runs_from_the_open_file(place: Place, root: Path) -> None:
    tool = root / "tool"
    tool.write_bytes(Path("/bin/echo").read_bytes())
    tool.chmod(0o755)
    action = decided(place, wanted("./tool", "hello"))

    def swap_it() -> None:
        evil = root / "evil"
        evil.write_bytes(Path("/bin/false").read_bytes())
        evil.chmod(0o755)
        evil.rename(tool)

    receipt = Command().perform(action._replace(recheck=swap_it), KEY)

    assert receipt.outputs["stdout"] == "hello\n"
    assert receipt.delivery is Delivery.UNKNOWN


def test_a_pipe_in_the_place_of_a_script_does_not_hang(place: Place, root: Path) -> None:
    os.mkfifo(root / "x.sh")

    prepared = Command().prepare(wanted("bash", "x.sh"), place)

    assert "script_digest" not in prepared.properties


@_LINUX
def test_a_sealed_copy_cannot_be_changed() -> None:
    copy = script.sealed_copy(b"text")
    try:
        assert stat.S_ISREG(os.fstat(copy).st_mode)
        with pytest.raises(PermissionError):
            os.write(copy, b"more")
    finally:
        os.close(copy)
