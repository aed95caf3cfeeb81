"""The GitHub adapter, against a real server on loopback with GitHub's shapes and its faults."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway import gateway
from github_rest import Asked
from github_server import Fault, GitHubServer
from github_world import KEY, OTHER, asked, done, found, orders, place_of, prepared
from http_server import Reply, Seen

from orchestrator.adapter import Delivery, ErrorClass, Place, failure
from orchestrator.errors import AdapterError, UsageError
from orchestrator_adapters.github import GitHub

LOST = [Fault.LOSE, Fault.AFTER, Fault.GARBAGE]


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        yield server


@pytest.fixture
def place(github: GitHubServer, tmp_path: Path) -> Place:
    (tmp_path / "root").mkdir()
    return place_of(github, tmp_path / "root")


# Every action once, every answer lost once

EFFECTS = {
    "create_issue": ("issue.created", "POST", r"/issues$"),
    "comment": ("comment.created", "POST", r"/comments$"),
    "update_issue": ("issue.updated", "PATCH", r"/issues/\d+$"),
    "open_pr": ("pull.opened", "POST", r"/pulls$"),
    "merge_pr": ("pull.merged", "PUT", r"/merge$"),
    "close_pr": ("pull.closed", "PATCH", r"/pulls/\d+$"),
    "write_document": ("file.written", "PUT", r"/contents/"),
    "publish_release": ("release.published", "PATCH", r"/releases/\d+$"),
    "publish_page": ("page.built", "POST", r"/builds$"),
    "dispatch_workflow": ("workflow.dispatched", "POST", r"/dispatches$"),
}


def test_every_action_is_tried_here() -> None:
    assert GitHub.actions == EFFECTS.keys()


@pytest.mark.parametrize("action", EFFECTS)
def test_an_action_is_done_once_and_found_again_by_its_key(github: GitHubServer, place: Place, action: str) -> None:
    order = asked(place, action, **orders(github, place, action))
    before = found(order)

    receipt = GitHub().perform(order, KEY)

    assert receipt.delivery is Delivery.DELIVERED, receipt.detail
    assert github.effects[EFFECTS[action][0]] == 1
    assert (before, found(order)) == (None if action == "dispatch_workflow" else Delivery.RETRYABLE, Delivery.DELIVERED)


@pytest.mark.parametrize("kind", LOST)
@pytest.mark.parametrize("action", EFFECTS)
def test_what_was_done_though_its_answer_was_lost_is_unknown_then_found_and_never_done_twice(
    github: GitHubServer, place: Place, action: str, kind: Fault
) -> None:
    effect, method, path = EFFECTS[action]
    order = asked(place, action, **orders(github, place, action))
    github.fault(path, kind, method=method)

    receipt = GitHub().perform(order, KEY)

    is_seen = kind is Fault.GARBAGE and action == "dispatch_workflow"  # 204 has no body to spoil
    assert receipt.delivery is (Delivery.DELIVERED if is_seen else Delivery.UNKNOWN), receipt.detail
    assert found(order) is Delivery.DELIVERED
    again = GitHub().perform(order._replace(attempt=2), KEY)
    assert again.delivery is Delivery.DELIVERED, again.detail
    assert github.effects[effect] == (2 if action == "update_issue" else 1)


@pytest.mark.parametrize("kind", [Fault.DROP, Fault.BEFORE])
@pytest.mark.parametrize("action", sorted(set(EFFECTS) - {"dispatch_workflow"}))
def test_what_was_not_done_is_unknown_then_certainly_not_there_and_is_done_by_the_next_attempt(
    github: GitHubServer, place: Place, action: str, kind: Fault
) -> None:
    effect, method, path = EFFECTS[action]
    order = asked(place, action, **orders(github, place, action))
    github.fault(path, kind, method=method)

    receipt = GitHub().perform(order, KEY)

    assert (receipt.delivery, github.effects[effect]) == (Delivery.UNKNOWN, 0)
    assert found(order) is Delivery.RETRYABLE
    assert GitHub().perform(order._replace(attempt=2), KEY).delivery is Delivery.DELIVERED
    assert github.effects[effect] == 1


@pytest.mark.parametrize(
    ("kind", "seconds"), [(Fault.RATE, 7), (Fault.BUSY, 7), (Fault.QUOTA, 60)], ids=["secondary", "429", "primary"]
)
def test_a_rate_limit_is_retryable_and_says_when(github: GitHubServer, place: Place, kind: Fault, seconds: int) -> None:
    github.fault(r"/issues$", kind)

    receipt = GitHub().perform(asked(place, "create_issue", title="T"), KEY)

    assert (receipt.delivery, receipt.error_class) == (Delivery.RETRYABLE, ErrorClass.TRANSIENT)
    assert receipt.retry_after_s == pytest.approx(seconds, abs=2)
    assert github.effects == {}


def test_a_redirect_is_not_followed(github: GitHubServer, place: Place) -> None:
    github.fault(r"/issues$", Fault.REDIRECT)

    receipt = GitHub().perform(asked(place, "create_issue", title="T"), KEY)

    assert receipt.delivery is Delivery.PERMANENT
    assert [path for _, path in github.requests] == ["/repos/acme/web/issues"]


def test_a_wrong_token_is_a_matter_of_configuration_and_is_not_shown(github: GitHubServer, place: Place) -> None:
    wrong = place._replace(reveal=lambda _: "ghp_wrong")

    receipt = GitHub().perform(asked(wrong, "create_issue", title="T"), KEY)

    assert (receipt.delivery, receipt.error_class) == (Delivery.PERMANENT, ErrorClass.CONFIGURATION)
    assert "ghp_wrong" not in str(receipt)


def test_without_a_token_nothing_is_prepared(place: Place, github: GitHubServer) -> None:
    with pytest.raises(AdapterError, match="no token") as caught:
        prepared(place._replace(settings={"api": github.url}), "create_issue", title="T")

    assert caught.value.error_class == ErrorClass.CONFIGURATION


def test_a_token_does_not_travel_unprotected(place: Place) -> None:
    with pytest.raises(AdapterError, match="expected https"):
        prepared(place._replace(settings={**place.settings, "api": "http://github.example"}), "create_issue", title="T")


def test_what_is_not_there_is_permanent(github: GitHubServer, place: Place) -> None:
    receipt = GitHub().perform(asked(place, "comment", number=99, body="B"), KEY)

    assert (receipt.delivery, receipt.error_class) == (Delivery.PERMANENT, ErrorClass.PERMANENT)
    assert found(asked(place, "comment", number=99, body="B")) is None


def test_what_github_refuses_is_permanent_with_its_words(github: GitHubServer, place: Place) -> None:
    receipt = GitHub().perform(
        asked(place, "dispatch_workflow", branch="main", workflow="ci.yml", inputs={"unknown": 1}), KEY
    )

    assert receipt.delivery is Delivery.PERMANENT
    assert "Unexpected inputs provided: ['unknown']" in receipt.detail


def test_a_server_that_is_not_there_got_nothing(place: Place) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    gone = place._replace(settings={**place.settings, "api": f"http://127.0.0.1:{port}"})

    receipt = GitHub().perform(asked(gone, "create_issue", title="T"), KEY)

    assert receipt.delivery is Delivery.RETRYABLE
    assert found(asked(gone, "create_issue", title="T")) is None


def test_a_server_that_is_slow_is_unknown_and_is_waited_for_before_it_is_said_to_have_done_nothing(
    github: GitHubServer, place: Place
) -> None:
    slow = place._replace(settings={**place.settings, "timeout_s": 0.2, "settle_s": 1.0})
    github.fault(r"/issues$", Fault.SLOW, method="POST", seconds=0.6)
    order = asked(slow, "create_issue", title="T")

    receipt = GitHub().perform(order, KEY)

    assert receipt.delivery is Delivery.UNKNOWN
    assert found(order) is Delivery.DELIVERED
    assert github.effects["issue.created"] == 1


def test_nothing_is_sent_where_the_last_look_says_no(github: GitHubServer, place: Place) -> None:
    def refuse() -> None:
        raise failure("the lease is lost")

    with pytest.raises(AdapterError, match="the lease is lost"):
        GitHub().perform(asked(place, "create_issue", title="T")._replace(recheck=refuse), KEY)

    assert github.effects == {}


def test_preparing_asks_nobody(github: GitHubServer, place: Place) -> None:
    for action in EFFECTS:
        prepared(place, action, **orders(github, place, action))
    before = len(github.requests)

    prepared(place, "create_issue", title="T")

    assert len(github.requests) == before


# Issues and comments


def test_the_mark_is_hidden_and_the_text_is_as_it_was_given(github: GitHubServer, place: Place) -> None:
    receipt = done(place, "create_issue", title="Run 7", body="It runs.\n", labels=["run"], assignees=["alice"])

    row = github.issues[0]
    assert row["body"] == f"It runs.\n\n<!-- orch:{KEY} -->"
    assert (row["title"], row["labels"], row["assignees"]) == ("Run 7", [{"name": "run"}], [{"login": "alice"}])
    assert (receipt.outputs["number"], receipt.reference) == (1, "https://github.example/issues/1")


def test_a_mark_of_a_stranger_counts_for_nothing(github: GitHubServer, place: Place) -> None:
    order = asked(place, "create_issue", title="T")
    GitHub().perform(order, KEY)
    github.issues[0]["user"] = {"login": "mallory", "type": "User"}

    assert found(order) is Delivery.RETRYABLE


@pytest.mark.parametrize(("association", "delivery"), [("MEMBER", Delivery.DELIVERED), ("NONE", Delivery.RETRYABLE)])
def test_where_github_does_not_say_who_we_are_a_member_of_the_team_counts(
    github: GitHubServer, place: Place, association: str, delivery: Delivery
) -> None:
    github.has_user = False
    order = asked(place, "create_issue", title="T")
    GitHub().perform(order, KEY)
    github.issues[0]["author_association"] = association

    assert found(order) is delivery


def test_an_issue_is_found_behind_many_others(github: GitHubServer, place: Place) -> None:
    order = asked(place, "create_issue", title="T")
    GitHub().perform(order, KEY)
    for number in range(2, 240):
        github.issues.append({**github.issues[0], "number": number, "body": "another"})

    assert found(order) is Delivery.DELIVERED
    assert found(order, OTHER) is Delivery.RETRYABLE


def test_where_there_are_too_many_to_look_through_nobody_knows(github: GitHubServer, place: Place) -> None:
    order = asked(place, "create_issue", title="T")
    GitHub().perform(order, KEY)
    for number in range(2, 2102):
        github.issues.append({**github.issues[0], "number": number, "body": "another"})

    assert found(order) is None


def test_changing_an_issue_keeps_the_mark_it_is_found_by(github: GitHubServer, place: Place) -> None:
    order = asked(place, "create_issue", title="T", body="old")
    GitHub().perform(order, KEY)

    done(place, "update_issue", number=1, body="new", labels=["b", "a"], state="closed")

    assert github.issues[0]["body"] == f"new\n\n<!-- orch:{KEY} -->"
    assert found(order) is Delivery.DELIVERED


def test_an_issue_that_is_already_so_counts_as_changed(github: GitHubServer, place: Place) -> None:
    done(place, "create_issue", title="T", body="old", labels=["a", "b"])
    order = asked(place, "update_issue", number="1", labels=["b", "a"], body="old", state="open")

    assert found(order) is Delivery.DELIVERED


@pytest.mark.parametrize(
    ("action", "parameters", "message"),
    [
        ("create_issue", {}, "needs `title`"),
        ("create_issue", {"title": "T", "bodyy": "x"}, "did you mean"),
        ("create_issue", {"title": "T", "body": f"<!-- orch:{OTHER} -->"}, "holds a mark"),
        ("create_issue", {"title": "T", "body": "x" * 70_000}, "at most 65,000"),
        ("comment", {"number": "seven", "body": "B"}, "such as 7"),
        ("update_issue", {"number": 1}, "changes nothing"),
        ("update_issue", {"number": 1, "state": "gone"}, "open or closed"),
        ("open_pr", {"branch": "main", "head_branch": "main", "title": "T"}, "one branch for both"),
        ("merge_pr", {"number": 1, "branch": "main"}, "needs `commit` or `head_branch`"),
        ("merge_pr", {"number": 1, "branch": "main", "head_branch": "x"}, "does not know the branch"),
        ("write_document", {"branch": "main", "path": "../x", "content": "x"}, "expected a relative path"),
        ("write_document", {"branch": "main", "path": "x"}, "`content` or `source`"),
        ("dispatch_workflow", {"branch": "main", "workflow": "../../x"}, "expected its file's name"),
        ("create_issue", {"title": "T", "repository": "https://github.com/acme/web"}, "without scheme"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_asked(
    github: GitHubServer, place: Place, action: str, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        prepared(place, action, **parameters)

    assert github.requests == []


# The way there


def test_github_itself_is_reached_through_a_proxy_with_the_certificates_that_the_environment_names(
    github: GitHubServer, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def world(seen: Seen) -> Reply:
        path, _, query = seen.path.partition("?")
        pairs = dict(pair.split("=", 1) for pair in query.split("&") if pair)
        answer = github.answer_for(Asked(seen.method, path, pairs, seen.body), seen.headers["authorization"])
        assert answer is not None
        return Reply(answer.status, answer.body)

    settings = {name: value for name, value in place.settings.items() if name != "api"}
    with gateway(world) as net:
        for name, value in net.environ.items():
            monkeypatch.setenv(name, value)
        receipt = done(place._replace(settings=settings), "create_issue", title="T")

    assert (receipt.outputs["number"], net.connects) == (1, ["api.github.com:443"])


def test_a_certificate_that_nobody_vouches_for_is_a_matter_of_configuration(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {name: value for name, value in place.settings.items() if name != "api"}
    with gateway(lambda _: Reply(200)) as net:
        monkeypatch.setenv("HTTPS_PROXY", net.url)
        receipt = GitHub().perform(asked(place._replace(settings=settings), "create_issue", title="T"), KEY)

    assert (receipt.delivery, receipt.error_class) == (Delivery.PERMANENT, ErrorClass.CONFIGURATION)
    assert net.seen == []


def test_a_server_that_answers_byte_by_byte_is_cut_off_in_time(github: GitHubServer, place: Place) -> None:
    github.fault(r"/issues$", Fault.DRIP, method="POST", seconds=5)

    receipt = GitHub().perform(asked(place, "create_issue", title="T")._replace(timeout_s=0.5), KEY)

    assert receipt.delivery is Delivery.UNKNOWN
