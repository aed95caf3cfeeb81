"""Runs, phases and actions as people see them: the timeline tells the story of a run on one page, `orch runs` how it stands."""

import io
import json
from itertools import product
from typing import Any

import golden_files
import pytest
from ledger_history import decision
from run_history import PLAN, RUN, WAITS, History, key

from orchestrator import clock
from orchestrator.errors import UsageError
from orchestrator.ledger import read
from orchestrator.ledger.event import Event
from orchestrator.ledger.store import Ledger
from orchestrator.runs.listing import found, run_that_begins
from orchestrator.show import execution, runs, timeline_event
from orchestrator.show.timeline import Page, Timeline

NOW = clock.parse_time("2026-11-21T06:00:00Z")
HOSTILE = "x\x1b[31m\r\n::error::gone\u202e[bold]" + "y" * 200


def timeline(events: list[Event], **page: object) -> str:
    out = io.StringIO()
    Timeline(out, Page(now_ns=NOW, **page)).write(events)  # type: ignore[arg-type]  # as each test names them
    return out.getvalue()


def shown(ledger: Ledger, name: str = "", output: str = "text", **page: object) -> str:
    out = io.StringIO()
    runs.write(found(ledger, name), out, output, Page(now_ns=NOW, **page))  # type: ignore[arg-type]  # as each test names them
    return out.getvalue()


def story(ledger: Ledger, *, ship: tuple[str, ...] = ("delivered",)) -> History:
    history = History(ledger)
    history.until_it_waits()
    voted = {"request_id": "k3fq7x2m9a", "decision": "approve", "role": "operator", "by": "user:bob", "vote_id": "v1"}
    history.events.append(Event(b"", {**history.events[-1].fields, "type": "orch.approval.voted"}, voted))
    history.to_the_end(ship=ship)
    return history


def test_golden_the_timeline_tells_the_story_of_a_run_on_one_page(sqlite_ledger: Ledger) -> None:
    events = story(sqlite_ledger).events
    text = timeline(events)

    known = {f"e{number:02d}": event.id[:8] for number, event in enumerate(events)}
    golden_files.check("show/timeline/run.txt", text, **known)
    assert len(text.splitlines()) <= 50
    assert max(map(len, text.splitlines())) <= 80


def test_golden_a_run_that_failed_says_why(sqlite_ledger: Ledger) -> None:
    story(sqlite_ledger, ship=("retryable", "permanent"))

    golden_files.check("show/runs/failed.txt", shown(sqlite_ledger, RUN))


def test_golden_a_run_that_waits_says_for_whom_and_what_opens_it(sqlite_ledger: Ledger) -> None:
    History(sqlite_ledger).until_it_waits()

    golden_files.check("show/runs/waiting.txt", shown(sqlite_ledger, RUN))
    golden_files.check("show/runs/waiting.json", shown(sqlite_ledger, RUN, "json"), plan=PLAN.digest)


def test_golden_the_list_has_the_newest_first(ledger: Ledger) -> None:
    History(ledger).until_it_waits()
    other = History(ledger, "nightly-20261121T054500Z-00aa11bb22cc", at="2026-11-21T05:45")
    other.begin(name="nightly", kind="job", mode="automated")
    other.phase("started", "build")
    other.add("run.ended", {"state": "cancelled", "reason": "by user:ann"})

    golden_files.check("show/runs/list.txt", shown(ledger))
    golden_files.check("show/runs/list.json", shown(ledger, output="json"))


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_every_line_fits_the_terminal(sqlite_ledger: Ledger, width: int) -> None:
    History(sqlite_ledger).until_it_waits()

    for text in (shown(sqlite_ledger, width=width), shown(sqlite_ledger, RUN, width=width)):
        assert [line for line in text.splitlines() if len(line) > width] == []


def test_a_run_is_meant_by_its_id_by_how_it_begins_or_by_its_plan(sqlite_ledger: Ledger) -> None:
    History(sqlite_ledger).begin()
    History(sqlite_ledger, "other-1").begin()
    History(sqlite_ledger, "other-2").begin()

    assert [found(sqlite_ledger, name).run.run_id for name in (RUN, "release-2026", "other-1")] == [RUN, RUN, "other-1"]  # type: ignore[union-attr]  # else it fails
    assert len(found(sqlite_ledger, "release").runs) == 3
    with pytest.raises(UsageError, match="several runs begin with 'other-': other-2, other-1"):
        found(sqlite_ledger, "other-")
    with pytest.raises(UsageError, match=r"there is no run, plan or job 'releese'.*did you mean `release`"):
        found(sqlite_ledger, "releese")
    with pytest.raises(UsageError, match="there is no run"):
        found(sqlite_ledger, "100%_!")


def test_runs_of_tasks_are_listed_when_asked_for(sqlite_ledger: Ledger) -> None:
    History(sqlite_ledger, "task-1").add("run.started", {"kind": "task"})
    History(sqlite_ledger).begin()

    assert [one.run_id for one in found(sqlite_ledger).runs] == [RUN]
    assert {one.run_id for one in found(sqlite_ledger, is_all=True).runs} == {RUN, "task-1"}


def test_how_a_run_begins_is_exact_and_a_plans_name_is_none(sqlite_ledger: Ledger) -> None:
    for name in ("Other-1", "other-2", "o_her-3"):
        History(sqlite_ledger, name).begin()

    with sqlite_ledger.store.reading() as connection:
        meant = [run_that_begins(connection, word) for word in ("oth", "Oth", "other-2", "o_", "O", "x", "release", "")]
        with pytest.raises(UsageError, match="several runs begin with 'o'"):
            run_that_begins(connection, "o")

    assert meant == ["other-2", "Other-1", "other-2", "o_her-3", "Other-1", "", "", ""]


def test_a_ledger_without_runs_says_so(sqlite_ledger: Ledger) -> None:
    assert shown(sqlite_ledger) == "no runs; orch run begins one\n"
    assert json.loads(shown(sqlite_ledger, output="json")) == []


def test_what_tracking_did_stands_beside_the_run(sqlite_ledger: Ledger) -> None:
    history = History(sqlite_ledger)
    history.until_it_waits()
    history.action("tracking.issue", "create_issue", "delivered", reference="https://github.com/acme/web/issues/7")
    history.action("tracking.phase/build/passed/0", "comment", "permanent", detail="GitHub said 403")

    text = " ".join(shown(sqlite_ledger, RUN).split())

    assert "tracking tracking.issue delivered https://github.com/acme/web/issues/7" in text
    assert "tracking tracking.phase/build/passed/0 permanent GitHub said 403" in text


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        ({"type": "evidence", "evidence": "tests"}, "orch evidence add tests FILE --run "),
        ({"type": "unknown", "step": "ship/tell", "key": "ab"}, "orch resume {run} --delivered ship/tell"),
        ({"type": "unknown", "step": "ship/tell", "key": "ab"}, "orch resume {run} --resend ship/tell"),
        ({"type": "unknown", "step": "x;rm -rf", "key": "ab"}, "--resend 'x;rm -rf'"),
        ({"type": "timer", "at": "2026-11-21T07:00:00Z"}, "the next attempt, at 2026-11-21T07:00:00Z"),
        ({"type": "timer", "at": "2026-11-21T07:00:00Z", "is_look": True}, "looks again at 2026-11-21T07:00:00Z"),
        ({"type": "stage", "stage": "production"}, "for stage production"),
        ({"type": "something-new"}, "for something-new"),
    ],
)
def test_everything_that_is_waited_for_has_its_command(
    sqlite_ledger: Ledger, one: dict[str, str], expected: str
) -> None:
    history = History(sqlite_ledger)
    history.begin()
    history.phase("started", "build")
    history.phase("waiting", "build", **{"for": [{**one, "phase": "build"}]})
    history.add("run.waiting", {"for": [{**one, "phase": "build"}]})

    assert expected.format(run=RUN) in " ".join(shown(sqlite_ledger, RUN, width=140).split())


KINDS = tuple(execution.TELLERS)


def test_every_new_event_has_words_of_its_own() -> None:
    assert len(KINDS) == len({*KINDS}) == 20
    for kind in KINDS:
        event = Event(b"", {"id": "i" * 36, "type": kind, "actor": "user:a", "runid": "r", "runseq": 1, "time": "2026-11-21T05:00:00Z"}, {})  # fmt: skip
        assert " EVENT " not in timeline([event])


def test_nothing_hostile_steers_the_terminal_or_begins_a_line(sqlite_ledger: Ledger) -> None:
    names = (
        "kind", "name", "mode", "state", "reason", "by", "note", "phase", "step", "error_class", "key", "target",
        "adapter", "effect", "criteria", "for", "receipt", "inputs", "attempt", "segment", "repository", "trigger",
    )  # fmt: skip
    one = {
        "type": HOSTILE,
        "role": HOSTILE,
        "request_id": HOSTILE,
        "missing": HOSTILE,
        "phase": HOSTILE,
        "kind": HOSTILE,
    }
    payloads: tuple[dict[str, Any] | None, ...] = (
        dict.fromkeys(names, HOSTILE),
        {name: [HOSTILE] for name in names},
        {name: {HOSTILE: HOSTILE} for name in names},
        {name: [one] for name in names},
        {"for": [one] * 9, "criteria": [one] * 9, "receipt": {"reference": HOSTILE, "detail": HOSTILE}},
        {"for": [{"type": kind, **dict.fromkeys(("request_id", "evidence", "step", "stage", "at"), HOSTILE)} for kind in ("approval", "evidence", "unknown", "stage", "timer")]},
        {},
        None,
    )  # fmt: skip
    fields = {"id": "i" * 36, "runseq": 1, "actor": HOSTILE, "runid": HOSTILE, "subject": HOSTILE, "time": HOSTILE, "action": HOSTILE}  # fmt: skip
    events = [Event(b"", {**fields, "type": kind}, payload) for kind, payload in product(KINDS, payloads)]

    out = io.StringIO()
    for event in events:
        timeline_event.write(event, read.Around(None, None, None, (), None), out, Page(now_ns=NOW))

    said = timeline(events) + out.getvalue()
    assert not {"\x1b", "\r", "\u202e"} & set(said)
    assert not [line for line in said.splitlines() if line.lstrip().startswith("::")]


def test_hostile_runs_do_not_steer_the_terminal(sqlite_ledger: Ledger) -> None:
    history = History(sqlite_ledger)
    history.begin(repository=HOSTILE, mode=HOSTILE, inputs={HOSTILE: HOSTILE}, root=HOSTILE)
    history.phase("started", "build")
    history.phase("failed", "build", reason=HOSTILE, error_class=HOSTILE, criteria=[{"kind": HOSTILE, "seen": HOSTILE}])
    history.action("ship/tag", "create_tag", "permanent", reference=HOSTILE, detail=HOSTILE)
    history.add("run.waiting", {"for": [{"type": HOSTILE, "phase": HOSTILE}, *WAITS]})

    for name, output in product(("", RUN), ("text", "json")):
        text = shown(sqlite_ledger, name, output)
        assert not {"\x1b", "\r", "\u202e"} & set(text)
        assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]


def test_a_decision_in_a_run_stands_in_its_timeline(sqlite_ledger: Ledger) -> None:
    history = History(sqlite_ledger)
    history.begin()
    history.add("decision", decision("deny"), outcome="deny", action="open_pr")

    assert "DENIED" in timeline(history.events)


def test_colours_are_for_terminals_alone(sqlite_ledger: Ledger) -> None:
    History(sqlite_ledger).until_it_waits()

    assert "\x1b[1;33mwaiting" in shown(sqlite_ledger, RUN, color=True)
    assert "\x1b" not in shown(sqlite_ledger, RUN)


def test_an_action_is_told_by_its_key_where_nobody_recalls_its_name(sqlite_ledger: Ledger) -> None:
    history = History(sqlite_ledger)
    history.action("ship/tag", "create_tag", "delivered")

    assert "user:ann · ship/tag" in timeline(history.events[:2]).splitlines()[3]
    assert f"user:ann · action {key('ship/tag')[:8]}" in timeline(history.events[1:2])
