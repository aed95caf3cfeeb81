"""run_command: what is asked is what runs, and what a program can do to it is little."""

import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from orchestrator.adapter import Action, Delivery, Effect, ErrorClass, Place, Receipt, Wanted
from orchestrator.digest import sha256
from orchestrator.errors import AdapterError, LedgerError, UsageError
from orchestrator.ledger import artifacts
from orchestrator.ledger.store import Ledger
from orchestrator.process import memory_bytes
from orchestrator_adapters.command import Command

KEY = "ab" * 32
SECRET = "a-secret-that-nobody-sees-42"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    return made.resolve()


@pytest.fixture
def place(root: Path, sqlite_ledger: Ledger) -> Place:
    def reveal(text: str) -> str:
        return text.replace("${{ secrets.TOKEN }}", SECRET)

    def keep(stream: BinaryIO, name: str, media_type: str) -> str:
        return artifacts.put(sqlite_ledger, stream, name=name, media_type=media_type).digest

    environ = {"PATH": "/usr/bin:/bin", "HOME": "/nowhere", "PRIVATE_TOKEN": "not-for-the-program"}
    return Place(root, None, {}, {}, reveal, keep, environ)


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


def test_it_says_what_it_is(place: Place) -> None:
    prepared = Command().prepare(wanted("echo", 3, env={"MODE": "x"}, timeout_s=5), place)

    assert prepared.resource == {"type": "command", "id": "echo", "properties": {}}
    assert prepared.properties == {"argv": ["echo", "3"], "env": {"MODE": "x"}, "timeout_s": 5}
    assert (prepared.effect, prepared.is_replayable, prepared.targets) == (Effect.OUTWARD, False, ("",))


def test_output_is_given_to_later_steps_and_kept(place: Place, sqlite_ledger: Ledger) -> None:
    receipt = done(place, "/bin/sh", "-c", "echo out; echo err >&2")

    assert (receipt.delivery, receipt.error_class) == (Delivery.DELIVERED, None)
    assert receipt.outputs["exit_code"] == 0
    assert (receipt.outputs["stdout"], receipt.outputs["stderr"]) == ("out\n", "err\n")
    assert [artifacts.open(sqlite_ledger, each) for each in receipt.artifacts] == [b"out\n", b"err\n"]


@pytest.mark.parametrize(
    ("text", "value"),
    [('{"a": [1, 2.5]}', {"a": [1, 2.5]}), (" 42\n", 42), ("null", None)],
    ids=["object", "number", "null"],
)
def test_output_that_is_one_json_value_is_given_as_such(place: Place, text: str, value: object) -> None:
    assert done(place, "printf", "%s", text).outputs["json"] == value


@pytest.mark.parametrize("text", ["", "{} {}", '{"a": 1, "a": 2}', '"\\ud800"', "1e999", "plain"])
def test_output_that_is_none_is_text_alone(place: Place, text: str) -> None:
    assert "json" not in done(place, "printf", "%s", text).outputs


def test_a_failure_says_the_code_and_the_last_line(place: Place) -> None:
    receipt = done(place, "sh", "-c", "echo first >&2; echo the disk is full >&2; exit 75")

    assert (receipt.delivery, receipt.error_class) == (Delivery.PERMANENT, ErrorClass.PERMANENT)
    assert receipt.detail == "'sh' ended with exit code 75: the disk is full"
    assert receipt.outputs["exit_code"] == 75


def test_a_signal_that_ended_it_is_told(place: Place) -> None:
    receipt = done(place, "sh", "-c", "kill -KILL $$")

    assert receipt.delivery is Delivery.PERMANENT
    assert (receipt.outputs["exit_code"], receipt.outputs["signal"]) == (137, "SIGKILL")


def test_arguments_never_meet_a_shell(place: Place, root: Path) -> None:
    hostile = ["$(touch evil)", "`touch evil`", "; touch evil", "&& touch evil", "> evil", "../../evil", "a b", "'\""]

    receipt = done(place, "printf", "%s|", *hostile)

    assert receipt.outputs["stdout"] == "|".join(hostile) + "|"
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, "expected a list"),
        ({"argv": "make test"}, "a shell is never asked"),
        ({"argv": []}, "expected a list"),
        ({"argv": [""]}, "expected a program"),
        ({"argv": ["echo", None]}, "argv[1] is null"),
        ({"argv": ["echo", True]}, "argv[1] is true"),
        ({"argv": ["echo", "a\0b"]}, "without NUL"),
        ({"argv": ["echo", "\ud800"]}, "lone surrogates"),
        ({"argv": ["echo"], "cwd": "/etc"}, "cwd is '/etc'"),
        ({"argv": ["echo"], "cwd": "../.."}, "cwd is '../..'"),
        ({"argv": ["echo"], "cwd": "a\0b"}, "cwd is"),
        ({"argv": ["echo"], "cwd": 1}, "cwd is the number 1"),
        ({"argv": ["echo"], "env": ["A=1"]}, "expected an object"),
        ({"argv": ["echo"], "env": {"A=B": "1"}}, "env names 'A=B'"),
        ({"argv": ["echo"], "env": {"A": "x\0y"}}, "without NUL"),
        ({"argv": ["echo"], "env": {"LD_PRELOAD": "./evil.so"}}, "LD_PRELOAD"),
        ({"argv": ["echo"], "env": {"BASH_ENV": "evil.sh"}}, "BASH_ENV"),
        ({"argv": ["echo"], "env": {"ORCH_KEY": "x"}}, "ORCH_KEY, which orch sets itself"),
        ({"argv": ["echo"], "timeout_s": 0}, "timeout_s is the number 0"),
        ({"argv": ["echo"], "timeout_s": float("nan")}, "timeout_s is"),
        ({"argv": ["echo"], "shell": True}, "no parameter 'shell'"),
        ({"argv": ["../../evil"]}, "outside of the run's root"),
        ({"argv": ["echo", "--token=${{ secrets.TOKEN }}"]}, "give it as a variable"),
    ],
)
def test_what_cannot_be_is_refused(place: Place, parameters: Mapping[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        Command().prepare(Wanted("run_command", parameters), place)

    assert said in f"{raised.value} {raised.value.advice}"


@pytest.mark.parametrize(
    ("argv", "said"),
    [(["no-such-program"], "on PATH"), (["./missing"], "there is no program"), (["./data"], "may not be executed")],
)
def test_a_program_that_is_missing_or_none_is_a_matter_of_configuration(
    place: Place, root: Path, argv: list[str], said: str
) -> None:
    written(root, "data", "x", 0o644)

    with pytest.raises(AdapterError, match=said) as raised:
        Command().prepare(wanted(*argv), place)

    assert (raised.value.delivery, raised.value.error_class) == (Delivery.PERMANENT, ErrorClass.CONFIGURATION)


def test_too_much_for_the_system_is_certainly_not_started(place: Place) -> None:
    receipt = done(place, "echo", *["x" * 1000] * 5000)

    assert (receipt.delivery, receipt.error_class) == (Delivery.PERMANENT, ErrorClass.CONFIGURATION)
    assert "cannot be started: its arguments and environment are too long" in receipt.detail


def test_it_stands_in_the_root_or_a_folder_of_it(place: Place, root: Path) -> None:
    (root / "sub").mkdir()

    assert done(place, "pwd").outputs["stdout"] == f"{root}\n"
    assert done(place, "pwd", cwd="sub").outputs["stdout"] == f"{root}/sub\n"


def test_a_symlink_is_no_folder_to_stand_in(place: Place, root: Path) -> None:
    (root / "out").symlink_to("/etc")

    with pytest.raises(AdapterError, match="cannot stand in 'out'"):
        Command().prepare(wanted("pwd", cwd="out"), place)


def test_a_folder_swapped_for_a_symlink_after_the_decision_is_not_entered(place: Place, root: Path) -> None:
    (root / "sub").mkdir()
    action = decided(place, wanted("pwd", cwd="sub"))
    (root / "sub").rmdir()
    (root / "sub").symlink_to("/etc")

    with pytest.raises(AdapterError, match="cannot stand in 'sub'"):
        Command().perform(action, KEY)


def test_the_environment_is_what_the_operator_lets_through_and_what_is_asked(place: Place) -> None:
    few = done(place, "env", env={"MODE": "fast"})
    more = done(place._replace(settings={"environment": ["PRIVATE_TOKEN"]}), "env")

    names = {line.partition("=")[0] for line in few.outputs["stdout"].splitlines()}
    assert names == {"PATH", "HOME", "MODE", "ORCH_KEY"}
    assert "PRIVATE_TOKEN=[masked]" in more.outputs["stdout"]


@pytest.mark.parametrize("settings", [{"enviroment": ["A"]}, {"environment": "PATH"}, {"environment": ["A=B"]}])
def test_wrong_settings_are_a_matter_of_configuration(place: Place, settings: Mapping[str, Any]) -> None:
    with pytest.raises(AdapterError, match=r"adapters\.command") as raised:
        Command().prepare(wanted("echo"), place._replace(settings=settings))

    assert raised.value.error_class is ErrorClass.CONFIGURATION


def test_a_steering_variable_is_allowed_where_the_operator_lists_it(place: Place) -> None:
    allowed = place._replace(settings={"environment": ["PATH", "NODE_OPTIONS"]})

    assert "NODE_OPTIONS=--x" in done(allowed, "env", env={"NODE_OPTIONS": "--x"}).outputs["stdout"]


def test_a_path_in_env_changes_nothing_about_which_program_it_is(place: Place, root: Path) -> None:
    written(root, "bin/ls", "#!/bin/sh\necho evil\n")

    receipt = done(place, "ls", "-d", ".", env={"PATH": str(root / "bin")})

    assert receipt.outputs["stdout"] == ".\n"


def test_a_secret_reaches_the_environment_and_nothing_else(place: Place, root: Path, sqlite_ledger: Ledger) -> None:
    """It is seen by the program; output, artifact, properties and command line show none of it."""
    order = wanted("sh", "-c", 'echo "it is $TOKEN"; test "${#TOKEN}" = 28', env={"TOKEN": "${{ secrets.TOKEN }}"})
    action = decided(place, order)

    receipt = Command().perform(action, KEY)

    assert receipt.outputs["exit_code"] == 0
    assert receipt.outputs["stdout"] == "it is [masked]\n"
    assert SECRET not in f"{action.properties} {receipt}"
    assert action.properties["env"] == {"TOKEN": "${{ secrets.TOKEN }}"}


def test_what_looks_like_a_credential_is_masked_where_it_is_kept(place: Place, sqlite_ledger: Ledger) -> None:
    token = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"

    receipt = done(place, "echo", f"it is {token}")

    assert artifacts.open(sqlite_ledger, receipt.artifacts[0]) == b"it is [masked]\n"
    assert receipt.outputs["stdout"] == "it is [masked]\n"


def test_a_secret_that_the_cut_would_divide_shows_no_part_of_itself(place: Place) -> None:
    """It begins right before the end of what is told of the output, and right after the beginning of the errors'."""
    text = (
        "import os, sys; s = os.environ['TOKEN']\n"
        "sys.stdout.write('x' * (64 * 1024 - 10) + s + 'y' * 100_000)\n"
        "sys.stderr.write('y' * 100_000 + s + 'x' * (16 * 1024 - 18))\n"
    )

    receipt = done(place, sys.executable, "-c", text, env={"TOKEN": "${{ secrets.TOKEN }}"})

    said = receipt.outputs["stdout"] + receipt.outputs["stderr"]
    assert not any(SECRET[at : at + 4] in said for at in range(len(SECRET) - 4))
    assert len(receipt.outputs["stdout"]) <= 64 * 1024
    assert receipt.outputs["stdout_bytes"] == 64 * 1024 - 10 + len(SECRET) + 100_000


def test_output_of_100_mb_is_kept_in_part_and_in_memory_that_stays_flat(place: Place, sqlite_ledger: Ledger) -> None:
    done(place, "echo")
    before, most, is_over = memory_bytes(os.getpid()), [0], threading.Event()

    def measure() -> None:
        while not is_over.wait(0.01):
            most[0] = max(most[0], memory_bytes(os.getpid()))

    watching = threading.Thread(target=measure)
    watching.start()
    receipt = done(place, "sh", "-c", "yes 'a line of forty characters, more or less' | head -c 104857600")
    is_over.set()
    watching.join()

    kept = artifacts.open(sqlite_ledger, receipt.artifacts[0])
    assert receipt.outputs["stdout_bytes"] == 104_857_600
    assert 7 * 1024 * 1024 < len(kept) <= 8 * 1024 * 1024 + 100
    assert b"bytes left out ...]\n" in kept
    assert most[0] - before < 80 * 1024 * 1024


def test_bytes_that_are_no_text_are_told_as_such_and_kept_whole(place: Place, sqlite_ledger: Ledger) -> None:
    receipt = done(place, "printf", "\\377\\000a")

    assert receipt.outputs["stdout"] == "\ufffd\ufffda"
    assert artifacts.open(sqlite_ledger, receipt.artifacts[0]) == b"\xff\0a"


def test_out_of_time_nobody_knows_what_it_did(place: Place) -> None:
    receipt = Command().perform(decided(place, wanted("sh", "-c", "echo begun; sleep 60", timeout_s=0.3)), KEY)

    assert (receipt.delivery, receipt.error_class) == (Delivery.UNKNOWN, None)
    assert "its time was over" in receipt.detail
    assert receipt.outputs["stdout"] == "begun\n"


def test_cancelled_nobody_knows_what_it_did(place: Place) -> None:
    began = time.monotonic()
    action = decided(place, wanted("sleep", "60"))._replace(is_cancelled=lambda: time.monotonic() - began > 0.3)

    receipt = Command().perform(action, KEY)

    assert receipt.delivery is Delivery.UNKNOWN
    assert "it was cancelled" in receipt.detail


def test_what_may_not_be_done_any_more_is_not_started(place: Place, root: Path) -> None:
    def refuse() -> None:
        raise AdapterError("the approval was revoked")

    action = decided(place, wanted("touch", "made"))._replace(recheck=refuse)

    with pytest.raises(AdapterError, match="revoked"):
        Command().perform(action, KEY)
    assert list(root.iterdir()) == []


def test_output_that_cannot_be_kept_leaves_it_unknown(place: Place) -> None:
    def full(*_: object) -> str:
        raise LedgerError("the disk is full")

    receipt = done(place._replace(keep=full), "echo", "hello")

    assert receipt.delivery is Delivery.UNKNOWN
    assert "the disk is full" in receipt.detail


def test_nothing_can_be_looked_up_afterwards(place: Place) -> None:
    assert Command().reconcile(decided(place, wanted("echo")), KEY) is None


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["/usr/bin/env"], "/usr/bin/env"),
        (["/usr/../usr/bin/env"], "/usr/bin/env"),
        (["./tool.sh"], "./tool.sh"),
        (["sub/../tool.sh"], "./tool.sh"),
        (["echo"], "echo"),
    ],
)
def test_rules_know_a_program_by_where_it_lies(place: Place, root: Path, argv: list[str], name: str) -> None:
    written(root, "tool.sh", "#!/bin/sh\n")
    (root / "sub").mkdir()

    assert Command().prepare(wanted(*argv), place).resource["id"] == name


def test_a_program_of_the_root_that_path_finds_is_known_as_the_roots(place: Place, root: Path) -> None:
    written(root, "bin/make", "#!/bin/sh\necho mine\n")
    prepared = Command().prepare(wanted("make"), place._replace(environ={"PATH": f"{root}/bin:/usr/bin"}))

    assert prepared.resource["id"] == "./bin/make"
    assert prepared.properties["script_digest"] == sha256(b"#!/bin/sh\necho mine\n")
