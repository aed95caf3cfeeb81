"""`orch doctor`: what acting needs is looked at, and no secret is shown."""

from collections.abc import Callable
from pathlib import Path

import pytest
from escalation_text import write

from orchestrator.doctor import Check, State, examine
from orchestrator.settings import Settings

HIDDEN = "correct-horse-battery"
Examine = Callable[..., list[Check]]


@pytest.fixture
def checks(tmp_path: Path) -> Examine:
    """Give what is found of an operator's file."""

    def examined(text: str, section: str, **variables: str) -> list[Check]:
        (tmp_path / "config.yaml").write_text(text)
        environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "ORCH_CONFIG": str(tmp_path / "config.yaml")}
        settings = Settings.load(cwd=tmp_path, environ=environ)
        found = examine(settings, cwd=tmp_path, environ=environ | variables)
        assert HIDDEN not in repr(found)
        return [check for check in found if check.name == section]

    return examined


def notes(found: list[Check]) -> list[str]:
    return [check.found for check in found if check.state is not State.OK]


def test_the_installed_adapters_are_named(checks: Examine) -> None:
    (found,) = checks("{}\n", "adapters")

    assert found.state is State.OK
    assert {"command", "files", "git", "github", "mail", "webhook"} <= set(found.found.split(", "))


def test_settings_of_an_adapter_that_is_not_there_are_told(checks: Examine) -> None:
    (said,) = notes(checks("adapters: {gihtub: {api: x}}\n", "adapters"))

    assert said == "the operator's file sets up gihtub, which is not installed (did you mean `github`?)"


def test_a_channel_that_no_adapter_serves_is_told(checks: Examine) -> None:
    found = checks("channels: {ops: {adapter: mail}, chat: {adapter: apprize}, odd: {adapter: git}}\n", "channels")

    assert found[0].found == "chat, odd, ops"
    assert [said.partition(":")[0] for said in notes(found)] == ["chat", "odd"]


def test_secrets_that_are_there_are_named_and_never_shown(checks: Examine) -> None:
    (found,) = checks("secrets: {A: {env: A_SECRET}}\n", "secrets", A_SECRET=HIDDEN)

    assert (found.state, found.found) == (State.OK, "1 of 1 can be read here: A")


def test_secrets_that_are_not_there_are_told_with_who_needs_them(checks: Examine) -> None:
    text = """
secrets: {A: {env: A_SECRET}, B: {file: nowhere}}
adapters: {github: {token: "${{ secrets.A }}"}}
jobs: {nightly: {argv: [sh], env: {X: "${{ secrets.AA }}"}}}
"""
    said = notes(checks(text, "secrets"))

    assert said[0] == "the secret A is empty: A_SECRET is not set (for adapters.github)"
    assert said[1].startswith("the secret B cannot be read: ")
    assert said[2].startswith("the operator's file does not name the secret AA (for jobs.nightly)")


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ("{argv: [sh, -c, 'true']}", None),
        ("{argv: [tools/elsewhere]}", None),
        ("{argv: [no-such-program]}", "a: there is no program 'no-such-program' on PATH"),
        ("{argv: [sh], cwd: nowhere}", "a: there is no folder "),
        ("{argv: [./absent], cwd: .}", "a: there is no program './absent'"),
        ("{argv: [sh], env: {LD_PRELOAD: x}}", "a: run_command's env sets LD_PRELOAD"),
    ],
)
def test_a_job_that_could_not_begin_is_told(checks: Examine, job: str, said: str | None) -> None:
    found = checks(f"jobs: {{a: {job}}}\n", "jobs")

    assert found[0].found == "a"
    assert [one.startswith(said or "-") for one in notes(found)] == ([True] if said else [])


def test_what_an_escalation_lacks_here_is_told_with_what_needs_it(checks: Examine, tmp_path: Path) -> None:
    packs = write(tmp_path / "packs")
    secrets = ", ".join(f"{name}: {{env: {name}}}" for name in ("OPERATOR_MAIL", "ANNA_MAIL", "WATCHER_URL", "SMTP"))
    channel = 'channels: {mail: {adapter: mail, host: localhost, password: "${{ secrets.SMTP }}"}}'
    config = f"packs: [{packs}]\nsecrets: {{{secrets}}}\n{channel}\n"

    said = notes(checks(config, "escalations", OPERATOR_MAIL=HIDDEN, ANNA_MAIL=HIDDEN, WATCHER_URL=HIDDEN))

    mails = "remind_6h/mail, remind_1h/mail, pre_release/mail, partial/letter"
    assert said == [
        f"continuity: the secret SMTP is empty: SMTP is not set (for {mails})",
        "continuity: there is no secret 'BEN_MAIL' (did you mean `ANNA_MAIL`?) (for partial/letter)",
    ]


def test_an_escalation_that_lacks_nothing_is_told(checks: Examine, tmp_path: Path) -> None:
    names = ("OPERATOR_MAIL", "ANNA_MAIL", "BEN_MAIL", "WATCHER_URL")
    secrets = ", ".join(f"{name}: {{env: {name}}}" for name in names)
    config = f"packs: [{write(tmp_path / 'packs')}]\nsecrets: {{{secrets}}}\n"

    (found,) = checks(config, "escalations", **dict.fromkeys(names, HIDDEN))

    assert (found.state, found.found) == (State.OK, "continuity: every secret that it names is here")
