"""What the environment of a CI says."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.ci import CiContext, detect, subject_for
from orchestrator.errors import UsageError

GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REPOSITORY": "acme/web",
    "GITHUB_ACTOR": "alice",
    "GITHUB_TRIGGERING_ACTOR": "bob",
    "GITHUB_RUN_ID": "17",
    "GITHUB_SERVER_URL": "https://github.com",
}
PULL_REQUEST: dict[str, Any] = {
    "pull_request": {
        "number": 7,
        "user": {"login": "carol"},
        "base": {"sha": "b" * 40, "ref": "main"},
        "head": {"sha": "c" * 40, "ref": "x$(touch${IFS}f)", "repo": {"full_name": "Acme/Web"}},
    }
}


def github(tmp_path: Path, name: str, event: object, **more: str) -> CiContext:
    file = tmp_path / "event.json"
    file.write_text(event if isinstance(event, str) else json.dumps(event))
    found = detect(GITHUB | {"GITHUB_EVENT_NAME": name, "GITHUB_EVENT_PATH": str(file)} | more)
    assert found is not None
    return found


def test_outside_a_ci_nothing_is_said() -> None:
    assert detect({"CI": "true", "GITHUB_ACTIONS": "false"}) is None


def test_a_pull_request_is_open_pr_onto_its_base_between_its_own_commits(tmp_path: Path) -> None:
    found = github(tmp_path, "pull_request", PULL_REQUEST, GITHUB_SHA="d" * 40, GITHUB_STEP_SUMMARY="/tmp/summary")

    assert found == CiContext(
        provider="github",
        repository="acme/web",
        event="pull_request",
        action="open_pr",
        branch="main",
        head_branch="x$(touch${IFS}f)",
        base="b" * 40,
        head="c" * 40,
        login="carol",
        trigger="bob",
        is_fork=False,
        number=7,
        run_id="17",
        server="https://github.com",
        summary=Path("/tmp/summary"),
    )


@pytest.mark.parametrize("source", [{"full_name": "mallory/web"}, None, {}, "acme/web"])
def test_a_pull_request_from_elsewhere_is_a_fork(tmp_path: Path, source: object) -> None:
    event = json.loads(json.dumps(PULL_REQUEST))
    event["pull_request"]["head"]["repo"] = source

    assert github(tmp_path, "pull_request_target", event).is_fork


def test_a_push_is_push_branch_from_what_was_there_before(tmp_path: Path) -> None:
    found = github(tmp_path, "push", {"ref": "refs/heads/a/b", "before": "b" * 40, "after": "c" * 40})

    assert (found.action, found.branch, found.base, found.head, found.login) == (
        "push_branch",
        "a/b",
        "b" * 40,
        "c" * 40,
        "alice",
    )


@pytest.mark.parametrize(("branch", "base"), [("new", "origin/main"), ("main", "empty")])
def test_a_new_branch_begins_at_the_default_branch(tmp_path: Path, branch: str, base: str) -> None:
    event = {
        "ref": f"refs/heads/{branch}",
        "before": "0" * 40,
        "after": "c" * 40,
        "repository": {"default_branch": "main"},
    }

    assert github(tmp_path, "push", event).base == base


def test_events_that_are_no_action_of_ours_have_none(tmp_path: Path) -> None:
    assert github(tmp_path, "push", {"ref": "refs/tags/v1", "before": "0" * 40, "after": "c" * 40}).action is None
    assert github(tmp_path, "schedule", "{}").action is None
    assert github(tmp_path, "push", {"ref": "refs/heads/old", "deleted": True}).action == "delete_branch"


def test_a_merge_queue_is_merge_pr(tmp_path: Path) -> None:
    event = {"merge_group": {"base_ref": "refs/heads/main", "base_sha": "b" * 40, "head_sha": "c" * 40}}
    found = github(tmp_path, "merge_group", event)

    assert (found.action, found.branch, found.base, found.head) == ("merge_pr", "main", "b" * 40, "c" * 40)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("", "nothing in it"),
        ("{", "this is not JSON"),
        ("[]", "expected an object"),
        ("{}", "lacks pull_request.base.sha"),
        ('{"pull_request": []}', "lacks pull_request.base.sha"),
        ('{"pull_request": {"base": {"sha": 1}, "head": {"sha": 2}}}', "lacks pull_request.base.sha"),
    ],
)
def test_a_broken_event_file_is_a_usage_error(tmp_path: Path, event: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        github(tmp_path, "pull_request", event)

    assert said in str(caught.value)


@pytest.mark.parametrize("place", ["", "/nowhere/event.json", "/", "a\0b"])
def test_a_missing_event_file_is_a_usage_error(place: str) -> None:
    with pytest.raises(UsageError, match=r"event file|GITHUB_EVENT_PATH"):
        detect(GITHUB | {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_EVENT_PATH": place})


GITLAB = {
    "GITLAB_CI": "true",
    "CI_PROJECT_PATH": "acme/group/web",
    "GITLAB_USER_LOGIN": "alice",
    "CI_COMMIT_SHA": "c" * 40,
}


def test_a_merge_request_is_open_pr() -> None:
    found = detect(
        GITLAB
        | {
            "CI_PIPELINE_SOURCE": "merge_request_event",
            "CI_MERGE_REQUEST_IID": "7",
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
            "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "fix",
            "CI_MERGE_REQUEST_DIFF_BASE_SHA": "b" * 40,
            "CI_MERGE_REQUEST_TARGET_BRANCH_SHA": "",
            "CI_MERGE_REQUEST_PROJECT_PATH": "acme/group/web",
            "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "mallory/web",
        }
    )

    assert found is not None
    assert (found.provider, found.repository, found.action, found.branch, found.head_branch) == (
        "gitlab",
        "acme/group/web",
        "open_pr",
        "main",
        "fix",
    )
    assert (found.base, found.head, found.login, found.is_fork, found.number) == ("b" * 40, "c" * 40, "alice", True, 7)


def test_a_branch_pipeline_is_push_branch_and_a_tag_is_nothing() -> None:
    push = detect(
        GITLAB
        | {
            "CI_PIPELINE_SOURCE": "push",
            "CI_COMMIT_BRANCH": "dev",
            "CI_COMMIT_BEFORE_SHA": "0" * 40,
            "CI_DEFAULT_BRANCH": "main",
        }
    )
    tag = detect(GITLAB | {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_TAG": "v1"})

    assert push is not None
    assert (push.action, push.branch, push.base) == ("push_branch", "dev", "origin/main")
    assert tag is not None
    assert tag.action is None


ROSTER: dict[str, dict[str, Any]] = {
    "user:alice": {"roles": ["dev"], "attributes": {"github": "Alice-A", "gitlab": "ally"}},
    "user:bob": {"roles": []},
    "user:one": {"attributes": {"github": "same"}},
    "user:two": {"attributes": {"github": "SAME"}},
}


@pytest.mark.parametrize(
    ("login", "provider", "name"),
    [
        ("alice-a", "github", "user:alice"),
        ("ALLY", "gitlab", "user:alice"),
        ("ally", "github", "github:ally"),
        ("dependabot[bot]", "github", "github:dependabot[bot]"),
        ("same", "github", "github:same"),
        ("", "github", "github:"),
    ],
)
def test_a_login_is_whom_the_roster_says(login: str, provider: str, name: str) -> None:
    assert subject_for(login, provider, ROSTER) == name
