"""`orch renew` and `orch code` as an operator uses them: prompts, pipes, files, and what none of them gives away."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import clean, command
from escalation_world import ANNA, BEN, CLARA, NAME, TEXT, World, world

from orchestrator.clock import SECOND_NS, format_time, now_ns, parse_time
from orchestrator.escalations.model import Clock
from orchestrator.escalations.witness import About, WitnessError, of_file
from orchestrator.keys import jwk, public_key

CODE = re.compile(r"\b(?:[0-9A-HJKMNP-TV-Z]{4}-){6}[0-9A-HJKMNP-TV-Z]{4}\b")
WRONG = "7QK3-0F1Z-9ABC-DEFG-HJKM-NPQR-STVW"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    """A world whose escalation counts down."""
    with world(tmp_path) as opened:
        clean(opened.orch("set-deadline", "--hours", 24))
        yield opened


def new_codes(made: World, *more: object) -> list[str]:
    """Make codes, and return them in the order in which they are shown: the main one, spares, the duress code."""
    done = made.orch("code", "new", "--print", *more)
    assert done.returncode == 0, clean(done)
    return CODE.findall(done.stdout)


class Typing:
    """A command on a terminal of its own, for somebody who types."""

    def __init__(self, made: World, *arguments: str) -> None:
        self._here, there = pty.openpty()
        self.process = subprocess.Popen(
            command(*arguments), env=made.place.environ, cwd=made.work, stdin=there, stdout=there, stderr=there,
            start_new_session=True,
        )  # fmt: skip
        os.close(there)
        self.said = ""

    def wait_for(self, text: str) -> None:
        """Read until a text is there."""
        deadline = time.monotonic() + 50
        while text not in self.said:
            assert time.monotonic() < deadline, self.said
            self.said += os.read(self._here, 4096).decode()

    def type(self, text: str) -> None:
        os.write(self._here, text.encode())

    def end(self) -> int:
        """Read all that is left, and return the exit code."""
        while True:
            try:
                more = os.read(self._here, 4096)
            except OSError:  # the other side is closed
                break
            if not more:
                break
            self.said += more.decode()
        os.close(self._here)
        return self.process.wait(30)


# -- renewing


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="what a process was given is looked up in /proc")
def test_a_code_is_typed_unseen_and_lies_in_nothing_that_others_see(made: World) -> None:
    [code, *_] = new_codes(made)
    typing = Typing(made, "renew")
    typing.wait_for(f"Renewal code of {NAME}")

    seen = "\0".join(Path(f"/proc/{typing.process.pid}/{name}").read_text() for name in ("cmdline", "environ"))
    typing.type(f"{code.lower()}\n")
    typing.wait_for("RENEWED")
    listed = subprocess.run(["ps", "axeww"], capture_output=True, text=True, check=True).stdout

    assert typing.end() == 0
    for where in (seen, listed, typing.said):
        assert code not in where
        assert code.lower() not in where


def test_a_code_is_piped_in_with_whatever_ends_its_line(made: World) -> None:
    [code, *_] = new_codes(made)

    cycles = [
        json.loads(made.orch("renew", NAME, "-o", "json", given=given.encode()).stdout)["cycle"]
        for given in (code, f"{code}\n", f"{code}\r\n", f"\n {code.replace('-', ' ')} \n\n")
    ]

    assert cycles == [2, 3, 4, 5]


def test_after_a_renewal_the_status_says_so(made: World) -> None:
    [code, *_] = new_codes(made)
    made.orch("set-deadline", "--hours", 1)

    renewed = made.orch("renew", given=code.encode())

    assert renewed.stdout.startswith(f"RENEWED {NAME}: stage ok, deadline ")
    said = made.asked("status")
    [status] = said if isinstance(said, list) else [said]
    assert (status["cycle"], status["stage"]) == (2, "ok")
    assert 23 * 3_600 < status["left_s"] <= 24 * 3_600


@pytest.mark.parametrize("given", [WRONG, "x", "\0", "A" * 5_000, "ÄÖÜ"], ids=["wrong", "x", "NUL", "long", "umlauts"])
def test_whatever_is_wrong_the_answer_is_the_same(made: World, given: str) -> None:
    new_codes(made)

    done = made.orch("renew", given=given.encode())

    assert (done.returncode, done.stdout, done.stderr) == (3, "", "orch: not renewed\n")


def test_a_used_spare_code_and_no_codes_at_all_give_the_same_answer(made: World) -> None:
    none = made.orch("renew", given=WRONG.encode())
    spare = new_codes(made, "--spare", 1)[1]
    first, again = (made.orch("renew", given=spare.encode()) for _ in range(2))

    assert first.returncode == 0
    assert (again.returncode, again.stdout, again.stderr) == (none.returncode, none.stdout, none.stderr)


def test_in_a_lock_the_right_code_gives_the_same_answer(made: World) -> None:
    made.document(TEXT.replace("after: 5, first: 30s", "after: 1, first: 10m"))
    [code, *_] = new_codes(made)
    wrong = [made.orch("renew", given=WRONG.encode()) for _ in range(2)]

    right = made.orch("renew", given=code.encode())
    elsewhere = made.orch("renew", given=code.encode(), SSH_CONNECTION="203.0.113.9 50000 10.0.0.1 22")

    assert {(one.returncode, one.stdout, one.stderr) for one in (*wrong, right)} == {(3, "", "orch: not renewed\n")}
    assert elsewhere.returncode == 0


def test_without_a_terminal_and_without_a_pipe_it_is_said_what_is_missing(made: World) -> None:
    new_codes(made)

    done = made.orch("renew")

    assert done.returncode == 2
    assert "there is no terminal to ask for a code on, and standard input has none" in clean(done)


def test_with_standard_input_closed_it_is_said_what_is_missing(made: World) -> None:
    new_codes(made)
    closed = ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *command("renew")]

    done = subprocess.run(closed, env=made.place.environ, cwd=made.work, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "standard input has none" in done.stderr


@pytest.mark.parametrize("variable", ["ORCH_CODE", "ORCH_RENEWAL_CODE", "ORCH_RENEW_CODE", "CODE"])
def test_no_variable_is_read_for_a_code(made: World, variable: str) -> None:
    [code, *_] = new_codes(made)

    made.place.environ[variable] = code
    without, beside = made.orch("renew"), made.orch("renew", given=code.encode())

    assert "standard input has none" in clean(without)
    assert f"in the variable {variable}" in clean(beside)
    assert (without.returncode, beside.returncode) == (2, 2)
    assert code not in without.stderr + beside.stderr


def test_no_module_names_a_variable_for_a_code() -> None:
    """The promise in general: there is no ORCH_*CODE anywhere in the program."""
    root = Path(sys.modules["orchestrator"].__file__ or "").parent
    named = [file for file in root.rglob("*.py") if re.search(r"ORCH_\w*CODE\b", file.read_text(encoding="utf-8"))]

    assert named == []


def test_a_code_among_the_arguments_is_refused_and_not_repeated(made: World) -> None:
    [code, *_] = new_codes(made)

    for given in ([code], [NAME, code], code.split("-")):
        done = made.orch("renew", *given)
        assert (done.returncode, "given as an argument" in clean(done)) == (2, True)
        assert code.split("-")[0] not in clean(done)


def test_a_code_among_a_workflows_inputs_is_refused(made: World) -> None:
    [code, *_] = new_codes(made)
    event = made.folder / "event.json"
    event.write_text(json.dumps({"inputs": {"code": code}}))

    done = made.orch("renew", given=code.encode(), GITHUB_EVENT_PATH=str(event))

    assert (done.returncode, "inputs of the workflow" in clean(done)) == (2, True)


def test_a_fuse_is_told_before_a_code_is_asked_for(made: World) -> None:
    made.document(TEXT.replace("mode: countdown", "mode: fuse"))

    done = made.orch("renew", given=WRONG.encode())

    assert (done.returncode, "is a fuse" in clean(done)) == (2, True)


def test_an_unknown_escalation_is_told_with_those_that_there_are(made: World) -> None:
    done = made.orch("renew", "continuty", given=WRONG.encode())

    assert done.returncode == 2
    assert NAME in clean(done)


def test_an_interrupted_prompt_tries_nothing(made: World) -> None:
    new_codes(made)
    typing = Typing(made, "renew")
    typing.wait_for("Renewal code")

    typing.type("\x04")

    assert typing.end() == 130
    assert "attempt" not in clean(made.orch("ledger", "show", "--run", f"escalation:{NAME}"))


def test_no_code_lies_in_any_file_after_all_that(made: World) -> None:
    shown = new_codes(made, "--duress")
    for code in (shown[0], WRONG, shown[-1], shown[1], shown[1]):
        made.orch("renew", given=code.encode())
    said = clean(made.orch("ledger", "show", "--run", f"escalation:{NAME}", "-o", "json"))
    kept = b"".join(file.read_bytes() for file in made.folder.rglob("*") if file.is_file() and not file.is_symlink())

    for code in (*shown, WRONG):
        for written in (code, code.replace("-", "")):
            assert written not in said
            assert written.encode() not in kept


# -- making codes


def test_codes_are_shown_once_on_a_terminal_and_count_once_they_are_kept(made: World) -> None:
    typing = Typing(made, "code", "new", "--spare", "2")
    typing.wait_for("Have you kept them?")
    shown = CODE.findall(typing.said)
    before = made.orch("renew", given=shown[0].encode())

    typing.type("y\n")

    assert typing.end() == 0
    assert len(shown) == 3
    assert before.returncode == 3
    assert made.orch("renew", given=shown[0].encode()).returncode == 0


def test_codes_that_nobody_kept_change_nothing(made: World) -> None:
    [old, *_] = new_codes(made)
    typing = Typing(made, "code", "new")
    typing.wait_for("Have you kept them?")
    [new, *_] = CODE.findall(typing.said)

    typing.type("n\n")

    assert typing.end() == 1
    assert "nothing was changed" in typing.said
    assert made.orch("renew", given=new.encode()).returncode == 3
    assert made.orch("renew", given=old.encode()).returncode == 0


def test_codes_are_not_written_into_a_pipe_unasked(made: World) -> None:
    done = made.orch("code", "new")

    assert (done.returncode, done.stdout) == (2, "")
    assert "add --print" in done.stderr


def test_policy_is_asked_before_codes_are_made(made: World) -> None:
    [old, *_] = new_codes(made)
    made.rules("{id: open, effect: allow, actions: [tick, enter_stage]}")

    done = made.orch("code", "new", "--print")

    assert (done.returncode, done.stdout) == (3, "")
    assert "DENIED" in clean(done)
    assert made.orch("renew", given=old.encode()).returncode == 0


def test_policy_is_asked_for_the_operation_of_making_codes(made: World) -> None:
    made.rules(
        "{id: codes, effect: allow, actions: [control_escalation], when: {action.properties.operation: issue_codes}}"
    )

    assert len(new_codes(made)) == 6
    assert made.orch("reset").returncode == 3


def test_renewing_asks_no_rule(made: World) -> None:
    [code, *_] = new_codes(made)
    made.rules("{id: none, effect: allow, actions: [open_pr]}")

    assert made.orch("renew", given=code.encode()).returncode == 0


def test_a_fuse_gets_no_codes(made: World) -> None:
    made.document(TEXT.replace("mode: countdown", "mode: fuse"))

    done = made.orch("code", "new", "--print")

    assert (done.returncode, "is a fuse" in clean(done)) == (2, True)


# -- signed files


def with_key(made: World) -> None:
    """Let the escalation name a new key, `renewal.key`."""
    line = made.orch("key", "new", "renewal.key", "--no-passphrase").stdout.splitlines()[0]
    made.document(TEXT.replace("  extends: 24h\n", f'  extends: 24h\n  keys: ["{line}"]\n'))


def test_a_signed_file_renews_once(made: World) -> None:
    with_key(made)
    signed = made.orch("code", "sign", NAME, "--key", "renewal.key", "--counter", 3, "--out", "renewal.jwt")

    first, again = (made.orch("renew", "--file", "renewal.jwt") for _ in range(2))

    assert signed.returncode == 0, clean(signed)
    assert (made.work / "renewal.jwt").stat().st_mode & 0o777 == 0o600
    assert first.returncode == 0, clean(first)
    assert (again.returncode, again.stdout, again.stderr) == (3, "", "orch: not renewed\n")


def test_a_file_is_signed_where_the_ledger_is_not(made: World) -> None:
    with_key(made)
    with made.opened() as ledger:
        ledger_id = ledger.id

    token = made.orch(
        "code", "sign", NAME, "--key", "renewal.key", "--ledger-id", ledger_id, "--ledger", "/none"
    ).stdout
    (made.work / "sent").write_text(token)

    assert made.orch("renew", "--file", "sent").returncode == 0


@pytest.mark.parametrize(
    "spoil", [lambda text: text[:-9], lambda text: text + "A" * 9_000, lambda _: "", lambda _: "\0"]
)
def test_a_spoiled_file_gives_the_one_answer(made: World, spoil: object) -> None:
    with_key(made)
    token = made.orch("code", "sign", NAME, "--key", "renewal.key").stdout
    assert callable(spoil)
    (made.work / "spoiled").write_text(spoil(token))

    done = made.orch("renew", "--file", "spoiled")

    assert (done.returncode, done.stdout, done.stderr) == (3, "", "orch: not renewed\n")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--key", "none"), "there is no key to read"),
        (("--key", "renewal.key", "--ledger-id", "7"), "expected 32 hex digits"),
        (("--key", "renewal.key", "--expires", "soon"), "--expires"),
        (("--key", "renewal.key", "--out", "renewal.key"), "cannot be written"),
        (("--key", "renewal.key", "--counter", "0"), "0 is not in the range"),
    ],
    ids=["key", "ledger", "duration", "file", "counter"],
)
def test_what_cannot_be_signed_says_why(made: World, arguments: tuple[str, ...], why: str) -> None:
    with_key(made)

    done = made.orch("code", "sign", NAME, *arguments)

    assert done.returncode == 2
    assert why in clean(done)


# -- under duress


def test_a_duress_code_gives_the_answer_of_a_renewal(made: World) -> None:
    shown = new_codes(made, "--duress")

    usual, forced = (made.orch("renew", given=code.encode()) for code in (shown[0], shown[-1]))

    usual_text, forced_text = (re.sub(r"\d+", "#", one.stdout) for one in (usual, forced))
    assert forced.returncode == usual.returncode == 0
    assert forced_text == usual_text
    assert forced.stderr == usual.stderr == ""
    assert clean(made.orch("ledger", "verify")).startswith("verified")


def later(seconds: int) -> str:
    """Return a time from now on."""
    return format_time((now_ns() // SECOND_NS + seconds) * SECOND_NS)


def shape(text: str) -> str:
    """Return a text without its numbers."""
    return re.sub(r"\d+", "#", text)


def status(made: World) -> str:
    """Return the status as it is for people, 23 hours before the deadline."""
    deadline_ns = parse_time(made.asked("status", NAME)["deadline"])
    return shape(clean(made.orch("status", NAME, "--now", format_time(deadline_ns - 23 * 3_600 * SECOND_NS))))


def test_under_duress_all_looks_renewed_and_ticks_go_on_by_the_old_deadline(made: World) -> None:
    shown = new_codes(made, "--duress")
    usual, usual_status = made.orch("renew", given=shown[0].encode()), status(made)
    assert made.orch("set-deadline", "--in", "7h").returncode == 0
    hour = 3_600
    moments = [later(seconds) for seconds in (2 * hour, 7 * hour - 60, 14 * hour)]

    forced, forced_status = made.orch("renew", given=shown[-1].encode()), status(made)
    ticks = [made.orch("tick", NAME, "--now", when) for when in moments]
    after = made.asked("status", NAME, "--now", moments[-1])
    ahead = clean(made.orch("simulate", NAME, "--now"))

    assert (forced.returncode, shape(forced.stdout), forced.stderr) == (0, shape(usual.stdout), "")
    assert forced_status == usual_status
    assert "spare codes left" in usual_status
    assert [one.returncode for one in ticks] == [0, 0, 0], [clean(one) for one in ticks]
    assert [mail.to for mail in made.mail.mails] == [ANNA, BEN, CLARA]
    assert (after["stage"], after["cycle"], after["owed"], after["actions"]) == ("ok", 3, [], [])
    assert abs(after["left_s"] - 10 * hour) < hour
    assert all(stage in ahead for stage in ("ok  ", "remind_6h", "pre_release", "partial")), ahead
    assert clean(made.orch("ledger", "verify")).startswith("verified")


def test_without_the_key_of_seals_a_tick_of_what_a_code_began_does_nothing(made: World) -> None:
    [code, *_] = new_codes(made)
    assert made.orch("renew", given=code.encode()).returncode == 0
    (Path(made.ledger) / "seal.key").unlink()

    done = made.orch("tick", "--now", later(20 * 3_600))

    assert done.returncode == 6
    assert "the key that opens the seals of renewals is not here" in clean(done)
    assert made.subjects() == []


# -- signed time files


def test_a_time_file_is_signed_for_one_escalation_and_counts_as_a_witness(made: World) -> None:
    line = made.orch("key", "new", "time.key", "--no-passphrase").stdout.splitlines()[0]
    about = About("ab" * 16, NAME, "12")

    signed = made.orch("code", "time", NAME, "--key", "time.key", "--out", "now.jwt")
    bound = made.orch(
        "code", "time", "--key", "time.key", "--time", "2026-11-21T05:00:00Z", "--ledger-id", "ab" * 16, "--after", 12
    )

    policy = Clock(keys=(jwk(public_key(line)),))
    heard = of_file((made.work / "now.jwt").read_text().strip(), policy, about)
    assert signed.returncode == 0, clean(signed)
    assert abs(heard.time_ns - now_ns()) < 60 * SECOND_NS
    assert format_time(of_file(bound.stdout.strip(), policy, about).time_ns) == "2026-11-21T05:00:00Z"
    for other in (about._replace(ledger="cd" * 16), about._replace(tick="13")):
        with pytest.raises(WitnessError):
            of_file(bound.stdout.strip(), policy, other)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--time", "noon"), "the time"),
        (("--ledger-id", "7"), "expected 32 hex digits"),
        (("--after", "-1"), "-1 is not in the range"),
        (("--out", "time.key"), "the time file 'time.key' cannot be written"),
    ],
    ids=["time", "ledger", "tick", "file"],
)
def test_a_time_that_cannot_be_signed_says_why(made: World, arguments: tuple[str, ...], why: str) -> None:
    made.orch("key", "new", "time.key", "--no-passphrase")

    done = made.orch("code", "time", "--key", "time.key", *arguments)

    assert (done.returncode, why in clean(done)) == (2, True), clean(done)


# -- as runs


def test_cycles_and_drills_are_runs_that_show_what_every_recipient_got(made: World) -> None:
    made.orch("tick", "--now", later(18 * 3_600 + 60))
    made.orch("drill", NAME)

    listed = {one["run_id"]: one for one in made.asked("runs")}
    cycle = made.asked("runs", f"{NAME}-c1")
    text = clean(made.orch("runs", f"{NAME}-c1"))

    assert {one: listed[one]["kind"] for one in listed} == {f"{NAME}-c1": "escalation", f"{NAME}-drill-1": "drill"}
    assert (listed[f"{NAME}-c1"]["delivered"], listed[f"{NAME}-c1"]["ordered"]) == (1, 1)
    assert (listed[f"{NAME}-drill-1"]["delivered"], listed[f"{NAME}-drill-1"]["ordered"]) == (5, 5)
    assert [(one["name"], one["target"], one["state"]) for one in cycle["orders"]] == [
        ("remind_6h/mail", "${{ secrets.OPERATOR_MAIL }}", "delivered")
    ]
    assert "remind_6h/mail" in text
    assert f"orch status {NAME} says where it stands" in text
    assert "phases" not in text
