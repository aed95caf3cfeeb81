"""Evidence through the real command and the real engine: what it meets, what is refused, what a run owes."""

import base64
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command_line import Place, clean, place_in
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from orchestrator import place
from orchestrator.draft import read_draft

PACKS = place.resource("policy_packs")
JUNIT = '<testsuites><testsuite tests="2" errors="0" failures="{}"><testcase name="a"/><testcase name="b">{}</testcase></testsuite></testsuites>'
PASSED, FAILED = JUNIT.format(0, ""), JUNIT.format(1, "<failure/>")
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PACK = """apiVersion: orch/v1
kind: PolicyPack
metadata: {name: acme, version: 1.0.0}
default: allow
rules:
  - {id: later, effect: require, actions: [push_branch], evidence: {type: tests, phase: after}}
"""


@dataclass
class Checkout:
    """A repository with a change, and the real command in it."""

    place: Place
    folder: Path

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=self.place.environ, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    def commit(self, **files: str) -> None:
        for name, text in files.items():
            self.write(name.replace("__", "/"), text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "more")

    def report(self, text: str = PASSED, name: str = "report.xml") -> Path:
        """Write a report beside the checkout."""
        file = self.place.folder / name
        file.write_text(text)
        return file

    def orch(self, *arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
        done = Place(self.folder, self.place.environ | environ).orch(*arguments)
        clean(done)
        return done

    def add(self, *arguments: object, change: str = "main..HEAD", **environ: str) -> subprocess.CompletedProcess[str]:
        given = ("--from-git", change) if change else ()
        return self.orch("evidence", "add", *arguments, *given, "--repo", "acme/web", **environ)

    def decided(self, *arguments: object, packs: Path, action: str = "open_pr", **environ: str) -> dict[str, Any]:
        """Return the context of the decision on the change."""
        what = ("--action", action, "--repo", "acme/web", "--enforce", "-o", "json", "--packs", packs)
        done = self.orch("evaluate", *what, *arguments, **environ)
        assert done.stdout, done.stderr
        context: dict[str, Any] = json.loads(done.stdout)["context"]
        return context

    def obligation(self, name: str, *arguments: object, packs: Path, **environ: str) -> dict[str, Any]:
        """Return one obligation of the decision on opening a pull request with the change."""
        context = self.decided("--branch", "main", "--from-git", "main..HEAD", *arguments, packs=packs, **environ)
        return next(one for one in context["obligations"] if one["id"] == name)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    with place_in(tmp_path) as here:
        folder = tmp_path / "checkout"
        folder.mkdir()
        made = Checkout(here, folder)
        made.git("init", "-q", "-b", "main")
        made.commit(README="1\n")
        made.git("checkout", "-q", "-b", "agent/fix")
        made.commit(**{"src__login.py": "1\n"})
        yield made


def statement(**digest: str) -> dict[str, Any]:
    subject = [{"name": "dist", "digest": digest}]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {},
    }


def envelope(value: dict[str, Any]) -> dict[str, Any]:
    kind, body = b"application/vnd.in-toto+json", json.dumps(value).encode()
    signature = KEY.sign(b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body))
    signatures = [{"keyid": "", "sig": base64.b64encode(signature).decode()}]
    return {"payloadType": kind.decode(), "payload": base64.b64encode(body).decode(), "signatures": signatures}


def public_key() -> str:
    form = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KEY.public_key().public_bytes(*form).decode()


# -- the starter packs


def asked_for() -> set[str]:
    """Return every type of evidence that a starter pack asks for."""
    folders = [str(folder) for folder in sorted(PACKS.iterdir()) if folder.is_dir()]
    rules = [rule for pack in read_draft(folders).own_packs for rule in pack.rules]
    return {one.type for rule in rules for one in rule.evidence}


def test_every_type_that_a_starter_pack_asks_for_is_met_below() -> None:
    assert asked_for() == {"tests", "dependency-review", "migration-dry-run", "provenance"}


def test_tests_are_met_by_a_junit_report(checkout: Checkout) -> None:
    packs = PACKS / "coding-agents"
    before = checkout.obligation("evidence:tests", packs=packs)

    done = checkout.add("tests", checkout.report())

    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "PASS  tests: 2 passed")
    after = checkout.obligation("evidence:tests", packs=packs)
    assert (before["status"], after["status"]) == ("unmet", "met")
    assert after["proof"][0].startswith("sha256:")


def test_a_dependency_review_is_met_by_a_scan(checkout: Checkout) -> None:
    checkout.commit(**{"package-lock.json": "{}\n"})
    run = {"tool": {"driver": {"name": "audit"}}, "results": [{"level": "warning", "message": {"text": "old"}}]}
    report = checkout.report(json.dumps({"version": "2.1.0", "runs": [run]}), "scan.sarif")

    assert checkout.add("dependency-review", report).returncode == 0

    assert checkout.obligation("evidence:dependency-review", packs=PACKS / "coding-agents")["status"] == "met"


def test_a_dry_run_is_met_by_any_file_and_a_word(checkout: Checkout) -> None:
    checkout.git("checkout", "-q", "main")
    checkout.commit(**{".orch__packs__web.yaml": (PACKS / "web-repository/.orch/packs/web.yaml").read_text()})
    checkout.git("checkout", "-q", "agent/fix")
    checkout.git("rebase", "-q", "main")
    checkout.commit(**{"migrations__1.sql": "select 1;\n"})
    report = checkout.report("3 tables, no lock longer than 2 s\n", "dry-run.log")

    refused = checkout.add("migration-dry-run", report)
    assert (refused.returncode, "--result pass" in refused.stderr) == (2, True)
    assert checkout.add("migration-dry-run", report, "--result", "pass").returncode == 0

    assert checkout.obligation("evidence:migration-dry-run", packs=PACKS / "coding-agents")["status"] == "met"


def test_provenance_of_a_release_is_met_by_a_signed_statement(checkout: Checkout) -> None:
    release = ("--branch", "main", "--arg", "tag=v9")
    packs = PACKS / "scheduled-jobs"
    first = checkout.decided(*release, packs=packs, action="publish_release", ORCH_SUBJECT="job:end-of-service")
    digest = first["action_digest"]
    report = checkout.report(
        json.dumps(envelope(statement(**{"orch-action": digest.removeprefix("sha256:")}))), "p.json"
    )
    key = checkout.report(public_key(), "ci.pub")

    done = checkout.add("provenance", report, "--action-digest", digest, "--key", key, change="")

    assert done.returncode == 0, done.stderr
    assert "signed by ssh-ed25519 " in done.stdout
    second = checkout.decided(*release, packs=packs, action="publish_release", ORCH_SUBJECT="job:end-of-service")
    statuses = [
        {one["id"]: one["status"] for one in each["obligations"]}["evidence:provenance"] for each in (first, second)
    ]
    assert statuses == ["unmet", "met"]


def test_a_recorded_decision_names_its_action(checkout: Checkout) -> None:
    release = ("--branch", "main", "--arg", "tag=v9")
    context = checkout.decided(*release, packs=PACKS / "scheduled-jobs", action="publish_release")

    done = checkout.add(
        "provenance",
        checkout.report("built here"),
        "--result",
        "pass",
        "--request",
        context["evaluation_id"],
        change="",
    )

    assert done.returncode == 0, done.stderr
    assert f"action {context['action_digest'][:19]}" in done.stdout


# -- what counts


def test_a_failure_is_recorded_and_outdates_a_pass(checkout: Checkout) -> None:
    packs = PACKS / "coding-agents"
    checkout.add("tests", checkout.report())

    done = checkout.add("tests", checkout.report(FAILED))
    checked = checkout.add("tests", checkout.report(FAILED), "--check")

    assert (done.returncode, checked.returncode) == (0, 1)
    assert done.stdout.startswith("FAIL  tests: 1 passed, 1 failed\n")
    assert checkout.obligation("evidence:tests", packs=packs)["status"] == "unmet"


def test_a_report_that_failed_is_not_said_to_be_missing(checkout: Checkout) -> None:
    packs = checkout.place.folder / "pack.yaml"
    packs.write_text(PACK.replace("push_branch", "open_pr").replace("phase: after", "phase: before"))
    checkout.add("tests", checkout.report(FAILED))

    asked = ("--action", "open_pr", "--repo", "acme/web", "--branch", "main", "--from-git", "main..HEAD")
    said = checkout.orch("evaluate", *asked, "--packs", packs, "--enforce").stdout

    digest = json.loads(checkout.orch("evidence", "list", "-o", "json").stdout)[0]["artifact"]
    assert f"evidence: tests failed ({digest[:19]})" in said
    assert "next: make tests pass, then add the new report (orch evidence add)" in said


def test_a_changed_line_makes_evidence_worthless_and_a_clean_rebase_does_not(checkout: Checkout) -> None:
    packs = PACKS / "coding-agents"
    checkout.add("tests", checkout.report())
    checkout.git("checkout", "-q", "main")
    checkout.commit(OTHER="2\n")
    checkout.git("checkout", "-q", "agent/fix")
    checkout.git("rebase", "-q", "main")

    rebased = checkout.obligation("evidence:tests", packs=packs)
    checkout.commit(**{"src__login.py": "2\n"})
    changed = checkout.obligation("evidence:tests", packs=packs)

    assert (rebased["status"], changed["status"]) == ("met", "unmet")


def test_what_is_stated_does_not_count(checkout: Checkout) -> None:
    checkout.write("src/login.py", "dirty\n")

    done = checkout.add("tests", checkout.report(), "--stated")

    assert done.returncode == 0
    assert "stated, so it does not count" in done.stdout
    checkout.git("checkout", "-q", ".")
    assert checkout.obligation("evidence:tests", packs=PACKS / "coding-agents")["status"] == "unmet"


# -- what it speaks of


def test_a_dirty_checkout_is_refused(checkout: Checkout) -> None:
    checkout.write("src/login.py", "dirty\n")

    done = checkout.add("tests", checkout.report())

    assert done.returncode == 2
    assert "the work tree has changes that are not committed: 'src/login.py'" in done.stderr
    assert "--stated" in done.stderr


def test_files_that_git_does_not_know_are_refused_but_the_report(checkout: Checkout) -> None:
    checkout.write("junit.xml", PASSED)
    assert checkout.add("tests", "junit.xml").returncode == 0
    checkout.write("conftest.py", "1\n")

    refused = checkout.add("tests", "junit.xml")

    assert refused.returncode == 2
    assert "files that git does not know: 'conftest.py'" in refused.stderr
    assert checkout.add("tests", "junit.xml", "--ignore-untracked").returncode == 0


def test_another_commit_is_refused_unless_its_tree_is_the_same(checkout: Checkout) -> None:
    head = checkout.git("rev-parse", "HEAD")
    checkout.git("commit", "-q", "--allow-empty", "-m", "nothing")
    assert checkout.add("tests", checkout.report(), change=f"main..{head}").returncode == 0
    checkout.commit(MORE="1\n")

    done = checkout.add("tests", checkout.report(), change=f"main..{head}")

    assert done.returncode == 2
    assert f"the change ends at {head[:12]}" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing says what the report is about"),
        (("--action-digest", "abc"), "expected sha256: and 64 hex digits"),
        (("--action-digest", "sha256:" + "0" * 64, "--request", "abcd"), "both name an action"),
        (("--request", "nosuch"), "there is no request"),
        (("--from-git", "HEAD..HEAD"), "nothing differs in this range"),
        (("--from-git", "main..HEAD", "--min", "120"), "expected percent"),
        (("--from-git", "main..HEAD", "--result", "fail"), "says pass (2 passed)"),
    ],
)
def test_a_call_that_says_nothing_sound_is_refused(checkout: Checkout, arguments: tuple[str, ...], said: str) -> None:
    done = checkout.add("tests", checkout.report(), *arguments, change="")

    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize("kind", ["", "a b", "../x", "x" * 65, "tests\x1b[31m"])
def test_a_type_is_a_plain_name(checkout: Checkout, kind: str) -> None:
    assert checkout.add(kind, checkout.report()).returncode == 2


@pytest.mark.parametrize("name", ["missing.xml", "checkout", "empty"])
def test_a_report_that_cannot_be_read_is_refused(checkout: Checkout, name: str) -> None:
    checkout.report("", "empty")

    assert checkout.add("tests", checkout.place.folder / name).returncode == 2


def test_in_a_ci_the_change_is_known(checkout: Checkout) -> None:
    base, head = checkout.git("rev-parse", "main"), checkout.git("rev-parse", "HEAD")
    sides = {
        "base": {"sha": base, "ref": "main"},
        "head": {"sha": head, "ref": "agent/fix", "repo": {"full_name": "acme/web"}},
    }
    event = checkout.report(
        json.dumps({"pull_request": {"number": 7, "user": {"login": "Ann"}, **sides}}), "event.json"
    )
    environ = {
        "GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request", "GITHUB_REPOSITORY": "acme/web",
        "GITHUB_EVENT_PATH": str(event), "GITHUB_ACTOR": "Ann",
    }  # fmt: skip

    done = checkout.orch("evidence", "add", "tests", checkout.report(), "-o", "json", **environ)

    added = json.loads(done.stdout)
    assert (added["commit"], added["result"], added["tool"]) == (head, "pass", "")
    listed = json.loads(checkout.orch("evidence", "list", "-o", "json").stdout)
    assert [(one["actor"], one["repository"], one["change_digest"]) for one in listed] == [
        ("github:Ann", "acme/web", added["change_digest"])
    ]


def test_no_program_of_the_checkout_is_run(checkout: Checkout) -> None:
    checkout.commit(**{".gitattributes": "*.py filter=evil\n"})
    checkout.git("config", "filter.evil.clean", f"touch {checkout.place.folder}/ran; cat")
    checkout.git("config", "core.fsmonitor", f"touch {checkout.place.folder}/ran")
    checkout.write("src/login.py", "1\n")

    done = checkout.add("tests", checkout.report())

    assert done.returncode == 0, done.stderr
    assert not (checkout.place.folder / "ran").exists()


# -- statements


def test_a_statement_about_something_else_is_refused(checkout: Checkout) -> None:
    done = checkout.add("provenance", checkout.report(json.dumps(statement(gitCommit="1" * 40)), "p.json"))

    assert done.returncode == 2
    assert "does not speak of commit " in done.stderr


def test_a_statement_about_the_commit_is_recorded_as_unsigned(checkout: Checkout) -> None:
    head = checkout.git("rev-parse", "HEAD")

    done = checkout.add("provenance", checkout.report(json.dumps(statement(gitCommit=head)), "p.json"))

    assert done.stdout.startswith("PASS  provenance: slsa.dev/provenance/v1, unsigned\n")


def test_a_statement_may_speak_of_a_file_that_is_named(checkout: Checkout) -> None:
    digest = "9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0"  # of three times `a`
    file, report = checkout.report("aaa", "dist.whl"), checkout.report(json.dumps(statement(sha256=digest)), "p.json")

    assert checkout.add("provenance", report).returncode == 2
    assert checkout.add("provenance", report, "--subject", file).returncode == 0


def test_keys_of_the_roster_are_believed(checkout: Checkout) -> None:
    packs = checkout.place.folder / "packs"
    packs.mkdir()
    (packs / "pack.yaml").write_text(PACK)
    (packs / "roster.yaml").write_text(
        f"apiVersion: orch/v1\nkind: Roster\nmetadata: {{name: people}}\nsubjects:\n  ci:builder: {{keys: ['{public_key()}']}}\n"
    )
    head = checkout.git("rev-parse", "HEAD")
    good = envelope(statement(gitCommit=head))
    forged = good | {"payload": base64.b64encode(json.dumps(statement(gitCommit=head, sha256="0")).encode()).decode()}

    done = checkout.add("provenance", checkout.report(json.dumps(good), "p.json"), "--packs", packs)
    refused = checkout.add("provenance", checkout.report(json.dumps(forged), "f.json"), "--packs", packs)

    assert "signed by ci:builder" in done.stdout
    assert (refused.returncode, "something was changed" in refused.stderr) == (2, True)


# -- what is owed after an action


def test_what_is_owed_holds_the_next_action_back(checkout: Checkout) -> None:
    packs = checkout.place.folder / "pack.yaml"
    packs.write_text(PACK)
    push = ("--branch", "agent/fix", "--from-git", "main..HEAD")
    first = checkout.decided(*push, packs=packs, action="push_branch", ORCH_RUN="r1")
    assert (first["outcome"], first["obligations"][0]["status"]) == ("allow", "unmet")

    held = checkout.decided("--branch", "x", packs=packs, action="create_branch", ORCH_RUN="r1")
    again = checkout.decided(*push, packs=packs, action="push_branch", ORCH_RUN="r1")
    elsewhere = checkout.decided("--branch", "x", packs=packs, action="create_branch", ORCH_RUN="r2")
    done = checkout.add("tests", checkout.report(), "--run", "r1")
    after = checkout.decided("--branch", "x", packs=packs, action="create_branch", ORCH_RUN="r1")

    outcomes = [each["outcome"] for each in (held, again, elsewhere, after)]
    assert outcomes == ["pending", "allow", "allow", "allow"]
    assert held["obligations"][0]["properties"] == {"evidence": "tests", "of": first["action_digest"]}
    assert held["next_action"].startswith("add evidence of type tests for this run's earlier action sha256:")
    assert f"meets what run r1 owed for {first['action_digest'][:19]}" in done.stdout


def test_evidence_of_a_run_is_of_the_runs_repository(checkout: Checkout) -> None:
    packs = checkout.place.folder / "pack.yaml"
    packs.write_text(PACK)
    checkout.decided("--branch", "x", packs=packs, action="create_branch", ORCH_RUN="r1")

    checkout.orch("evidence", "add", "tests", checkout.report(), "--from-git", "main..HEAD", "--run", "r1")

    listed = json.loads(checkout.orch("evidence", "list", "-o", "json").stdout)
    said = checkout.orch("ledger", "show", "--run", "r1").stdout
    assert [one["repository"] for one in listed] == ["acme/web"]
    assert "\n  evidence of acme/web\n" in said
    assert "tests: pass · run r1" in said


@pytest.mark.parametrize("named", [(False, True), (True, False)], ids=["later", "at first"])
def test_a_report_outdates_one_whose_repository_was_not_named(checkout: Checkout, named: tuple[bool, bool]) -> None:
    packs = checkout.place.folder / "pack.yaml"
    packs.write_text(PACK.replace("push_branch", "open_pr").replace("phase: after", "phase: before"))
    statuses = []

    for text, has_name in zip((FAILED, PASSED), named, strict=True):
        repository = ("--repo", "acme/web") if has_name else ()
        added = checkout.orch(
            "evidence", "add", "tests", checkout.report(text), "--from-git", "main..HEAD", *repository
        )
        assert added.returncode == 0, added.stderr
        statuses.append(checkout.obligation("evidence:tests", packs=packs)["status"])

    assert statuses == ["unmet", "met"]


# -- looking at it


def test_it_is_listed_and_shown(checkout: Checkout) -> None:
    checkout.add("tests", checkout.report(), "--tool", "py\x1b[31mtest")
    (one,) = json.loads(checkout.orch("evidence", "list", "-o", "json").stdout)

    table = checkout.orch("evidence", "list", "--type", "tests").stdout
    whole = checkout.orch("evidence", "show", one["id"][:8]).stdout
    raw = checkout.orch("evidence", "show", one["id"], "--raw").stdout

    assert table.splitlines()[1].startswith(f"{one['id'][:8]}  pass")
    assert "\x1b" not in table + whole
    assert f"change          {one['change_digest'][:19]}\n" in whole
    assert max(map(len, whole.splitlines())) <= 80
    assert [line for line in (table + whole).splitlines() if line != line.rstrip()] == []
    assert raw == PASSED
    assert checkout.orch("evidence", "list", "--type", "other").stdout == "no evidence\n"
    assert checkout.orch("evidence", "show", "0000").returncode == 2
