"""Progress: a live picture in a terminal, quiet JSON lines elsewhere; nothing from outside steers the terminal."""

import io
import json
import re
from typing import Any

import pytest
from run_history import RUN, History

from orchestrator import clock
from orchestrator.ledger.store import Ledger
from orchestrator.runs.progress import Progress, drawn
from orchestrator.runs.state import PhaseState, Snapshot, snapshot

NOW_NS = clock.parse_time("2026-11-21T05:32:10Z")
HOSTILE = "x\x1b[2J\r\n::error::gone\u202e[bold]" + "y" * 200


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(one) for one in out.getvalue().splitlines()]


def test_lines_tell_what_changed_and_nothing_else(sqlite_ledger: Ledger) -> None:
    history, out = History(sqlite_ledger), io.StringIO()
    progress = Progress(out, is_terminal=False)
    history.begin()
    progress.show(snapshot(sqlite_ledger, RUN))
    history.phase("started", "build")
    progress.show(snapshot(sqlite_ledger, RUN))
    progress.show(snapshot(sqlite_ledger, RUN))
    history.action("build/make", "run_command", "delivered", reference="exit 0")
    progress.show(snapshot(sqlite_ledger, RUN))

    told = [(one["type"], one.get("step", one.get("phase")), one["state"]) for one in lines(out)]
    assert told == [("run", None, "running"), ("phase", "build", "started"), ("step", "make", "delivered")]


def test_a_run_that_waits_says_for_whom_and_which_command_opens_it(sqlite_ledger: Ledger) -> None:
    out = io.StringIO()
    History(sqlite_ledger).until_it_waits()

    with Progress(out, is_terminal=False) as progress:
        progress.show(snapshot(sqlite_ledger, RUN))

    run = lines(out)[-1]
    assert (run["state"], run["exit_code"], run["progress"]) == ("waiting", 4, {"done": 2, "total": 3, "percent": 66})
    assert run["waiting_for"][0]["commands"] == ["orch approve k3fq7x2m9a"]


def test_a_note_is_a_line_of_its_own_and_steers_nothing(sqlite_ledger: Ledger) -> None:
    History(sqlite_ledger).begin()
    out, picture = io.StringIO(), io.StringIO()

    for stream, is_terminal in ((out, False), (picture, True)):
        with Progress(stream, is_terminal, now_ns=lambda: NOW_NS) as progress:
            progress.show(snapshot(sqlite_ledger, RUN))
            progress.note(RUN, "tracking is behind", HOSTILE)

    assert lines(out)[-1] == {"type": "note", "run": RUN, "about": "tracking is behind", "reason": HOSTILE}
    assert "note: tracking is behind: x" in picture.getvalue()
    assert "\x1b[2J\r" not in picture.getvalue()


def text(seen: Snapshot, rows: int = 100, width: int = 80) -> str:
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=width, highlight=False, emoji=False, markup=False).print(drawn(seen, NOW_NS, rows))
    return out.getvalue()


def test_the_picture_shows_phases_attempts_elapsed_and_what_is_waited_for(sqlite_ledger: Ledger) -> None:
    History(sqlite_ledger).until_it_waits()

    shown = text(snapshot(sqlite_ledger, RUN)).splitlines()

    assert [" ".join(one.split()) for one in shown] == [
        "+ build passed 0:06",
        "+ check passed 0:04",
        "? ship waiting approval k3fq7x2m9a: 1 of role operator",
        f"{RUN} waiting 2 of 3 phases, 66 % 2:10",
        "waits for approval k3fq7x2m9a: 1 of role operator (phase ship); next: orch",
        "approve k3fq7x2m9a",
    ]
    assert max(map(len, shown)) <= 80


def test_a_step_that_is_tried_again_is_shown_while_it_runs(sqlite_ledger: Ledger) -> None:
    history = History(sqlite_ledger)
    history.begin()
    history.phase("started", "build")
    history.action("build/make", "run_command", "retryable", "retryable")

    assert "make retryable (2)" in text(snapshot(sqlite_ledger, RUN))


def many(seen: Snapshot, count: int) -> Snapshot:
    phases = [PhaseState(**{**seen.phases[0]._asdict(), "id": f"p{n}", "state": "pending"}) for n in range(count)]
    phases[count // 2] = phases[count // 2]._replace(state="started")
    return seen._replace(phases=tuple(phases))


def test_where_there_is_no_room_what_goes_on_is_shown(sqlite_ledger: Ledger) -> None:
    History(sqlite_ledger).until_it_waits()

    shown = text(many(snapshot(sqlite_ledger, RUN), 300), rows=10)

    assert "> p150" in shown
    assert "and 290 more phases" in shown


@pytest.mark.parametrize("is_terminal", [True, False])
def test_nothing_hostile_steers_the_terminal(sqlite_ledger: Ledger, *, is_terminal: bool) -> None:
    History(sqlite_ledger).until_it_waits()
    seen = snapshot(sqlite_ledger, RUN)
    waits = ({"type": HOSTILE, "phase": HOSTILE}, {"type": "approval", "request_id": HOSTILE, "role": HOSTILE})
    phase = seen.phases[0]._replace(id=HOSTILE, reason=HOSTILE, state="failed", error_class=HOSTILE)
    out = io.StringIO()

    with Progress(out, is_terminal) as progress:
        progress.show(seen._replace(phases=(phase,), waiting_for=waits, reason=HOSTILE, run_id=HOSTILE))

    said = re.sub(r"\x1b\[[0-9;?]*[A-Zhlm]", "", out.getvalue()) if is_terminal else out.getvalue()
    assert not {"\x1b", "\u202e"} & set(said)
    assert not [one for one in said.splitlines() if one.lstrip().startswith("::")]
    assert "\x1b[2J" not in out.getvalue()


def test_the_cursor_comes_back_when_the_picture_ends(sqlite_ledger: Ledger) -> None:
    History(sqlite_ledger).until_it_waits()
    out = io.StringIO()

    with Progress(out, is_terminal=True) as progress:
        progress.show(snapshot(sqlite_ledger, RUN))

    assert out.getvalue().rindex("\x1b[?25h") > out.getvalue().rindex("\x1b[?25l")


def test_a_reader_that_has_gone_stops_nothing(sqlite_ledger: Ledger) -> None:
    class Gone(io.StringIO):
        def write(self, _: str, /) -> int:
            raise BrokenPipeError

    History(sqlite_ledger).until_it_waits()

    Progress(Gone(), is_terminal=False).show(snapshot(sqlite_ledger, RUN))


def test_closing_what_never_showed_is_nothing() -> None:
    out = io.StringIO()

    with Progress(out, is_terminal=True):
        pass

    assert out.getvalue() == ""
