"""A simulated escalation shown: as a picture that any viewer reads, in a terminal, and as JSON. Nothing in it is markup."""

import io
import json
import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from countdowns import CRON, DAY, DEADLINE, HOUR, MINUTE, at, default, standing, strict

from orchestrator.errors import Exit, UsageError
from orchestrator.escalations.model import CatchUp, Escalation, Mode
from orchestrator.escalations.simulate import Scenario, Simulation, Window, simulate
from orchestrator.escalations.ticked import Would
from orchestrator.escalations.timeline import Timeline
from orchestrator.escalations.timetable import Rhythm
from orchestrator.show import simulation as show
from orchestrator.show.simulation_scale import Scale, bands, clock_text, relative, shown_time
from orchestrator.show.simulation_svg import svg

SPACE = "{http://www.w3.org/2000/svg}"
IS_REWRITING = bool(os.environ.get("ORCH_GOLDEN"))
HOSTILE = "x]]><script>alert(1)</script>&\x1b[31m\u202e\"'"


def played(escalation: Escalation | None = None, to_s: int = 12 * HOUR, **more: object) -> Simulation:
    """Return a simulation from a day before the deadline, a tick every five minutes."""
    return simulate(escalation or strict(), Scenario(at(-DAY), at(to_s), DEADLINE)._replace(**more))  # type: ignore[arg-type]


def drawn(escalation: Escalation, found: Simulation) -> ET.Element:
    """Return the picture, read as XML."""
    return ET.fromstring(svg(escalation, found))  # noqa: S314  # ours


def classes(picture: ET.Element, name: str) -> list[ET.Element]:
    """Return what has a class, the legend's signs left out."""
    return [one for one in picture if name in (one.get("class") or "").split()]


def texts(picture: ET.Element) -> list[str]:
    return [one.text or "" for one in picture.iter(f"{SPACE}text")]


def written(found: Simulation, escalation: Escalation | None = None, **page: object) -> str:
    """Return the text of one timeline, everything in it allowed."""
    escalation = escalation or strict()
    would = {
        stage.name: (Would(f"enter/{stage.name}", "enter_stage", "allow", "", Exit.OK),) for stage in escalation.stages
    }
    out = io.StringIO()
    show.write([Timeline(escalation, found, would)], out, show.Page(**page))  # type: ignore[arg-type]
    return out.getvalue()


# -- the picture


def test_the_picture_has_a_row_for_each_stage_with_when_it_is_entered() -> None:
    said = texts(drawn(strict(), played()))

    assert {"ok", "remind_6h", "remind_1h", "pre_release", "partial", "full"} <= set(said)
    assert "due \u221215 min · operator" in said
    assert "entered at \u22126 h" in said
    assert "4 min late: no tick came sooner" in said


def test_each_stage_stands_in_the_colour_of_its_audience() -> None:
    picture = drawn(strict(), played())

    counted = {name: len(classes(picture, name)) for name in ("idle", "operator", "custodians", "public")}
    assert counted == {"idle": 1, "operator": 3, "custodians": 1, "public": 1}


def test_the_deadline_is_a_line_with_its_name() -> None:
    picture = drawn(strict(), played())

    (line,) = classes(picture, "deadline")
    assert line.get("x1") == line.get("x2")
    assert "deadline" in texts(picture)


def test_notices_that_arrive_and_those_that_never_do_look_different() -> None:
    picture = drawn(strict(), played(mail_down=(Window(at(-HOUR), at(DAY)),)))

    assert [one.tag for one in classes(picture, "sent")] == [f"{SPACE}circle", f"{SPACE}path"]  # a notice, and the page
    assert len(classes(picture, "lost")) == 3
    assert "never arrives" in texts(picture)


def test_missed_ticks_are_marked() -> None:
    assert classes(drawn(strict(), played()), "missed") == []
    (path,) = classes(drawn(strict(), played(rhythm=Rhythm(300, 0.2, seed=4))), "missed")
    assert (path.get("d") or "").count("M") > 5


def test_while_mail_is_down_is_shaded() -> None:
    (area,) = classes(drawn(strict(), played(mail_down=(Window(at(-HOUR), at(HOUR)),))), "down")

    assert float(area.get("width") or 0) > 50


def test_renewals_are_marked_where_there_are_several_cycles() -> None:
    found = played(to_s=10 * DAY, renewals=tuple(at(20 * HOUR * number) for number in range(1, 8)))

    assert len(classes(drawn(strict(), found), "renewed")) == 7


@pytest.mark.parametrize("days", [1, 365, 3_650])
def test_a_picture_of_years_stays_small(days: int) -> None:
    renewals = tuple(at(20 * HOUR * number) for number in range(1, days))
    found = played(to_s=days * DAY, renewals=renewals, rhythm=Rhythm(1_800, 0.1), fails=0.2)

    assert len(svg(strict(), found)) < 600_000


def test_it_says_what_it_shows_to_who_cannot_see_it() -> None:
    picture = drawn(strict(), played())

    assert picture.get("role") == "img"
    assert picture.get("aria-labelledby") == "title about"
    title, about = picture[0], picture[1]
    assert (title.get("id"), about.get("id")) == ("title", "about")
    assert "partial is entered +5 min from the deadline, 4 min late." in (about.text or "")


def test_it_knows_light_and_dark_ground() -> None:
    assert "prefers-color-scheme:dark" in svg(strict(), played())


def test_no_name_becomes_markup_or_steers_anything() -> None:
    stages = list(strict().stages)
    stages[1] = stages[1]._replace(name=HOSTILE)
    escalation = strict(name=HOSTILE, version=HOSTILE, stages=tuple(stages))

    text = svg(escalation, played(escalation))

    assert "<script" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert not list(ET.fromstring(text).iter(f"{SPACE}script"))  # noqa: S314  # ours


def test_it_refers_to_nothing_outside() -> None:
    text = svg(strict(), played()).replace("http://www.w3.org/2000/svg", "")

    assert "http" not in text
    assert "href" not in text


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(played(to_s=-20 * HOUR), id="nothing is entered"),
        pytest.param(played(is_armed=False), id="disarmed"),
        pytest.param(played(deadline_ns=None), id="no deadline"),
        pytest.param(played(to_s=-DAY), id="no time at all"),
        pytest.param(played(strict(mode=Mode.FUSE), renewals=(at(0),)), id="a fuse"),
        pytest.param(played(strict(catch_up=CatchUp.JUMP)), id="a jump"),
        pytest.param(played(rhythm=Rhythm(gaps=CRON)), id="gaps"),
        pytest.param(played(rhythm=Rhythm(300, 1.0)), id="no tick ever comes"),
        pytest.param(played(standing=standing(4, since_s=-DAY)), id="it stands further on"),
    ],
)
def test_every_simulation_can_be_drawn(found: Simulation) -> None:
    assert drawn(strict(), found).tag == f"{SPACE}svg"
    assert written(found)


# -- the terminal


def test_the_terminal_shows_the_picture_the_table_and_the_end() -> None:
    text = written(played(), width=100)

    assert "remind_6h" in text
    assert "━" in text
    assert "●" in text
    assert "+5 min, 2026-11-21 12:05" in text
    assert "all allowed" in text
    assert text.endswith("In the end it stands at full.\n")


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    text = written(played(rhythm=Rhythm(300, 0.3), mail_down=(Window(at(0), at(DAY)),)), width=width)
    picture = text.splitlines()[3:-3]

    assert max(map(len, picture)) <= width


def test_where_there_is_only_ascii_there_is_only_ascii() -> None:
    stages = list(strict().stages)
    stages[1] = stages[1]._replace(name="añadir→")
    escalation = strict(stages=tuple(stages))

    assert written(played(escalation), escalation, is_ascii=True).isascii()


def test_colours_are_there_only_where_they_are_wanted() -> None:
    assert "\x1b" not in written(played())
    assert "\x1b[" in written(played(), has_color=True)


def test_no_name_steers_the_terminal_or_is_markup() -> None:
    stages = list(strict().stages)
    stages[1] = stages[1]._replace(name="[red]\x1b]0;x\x07\u202e")
    escalation = strict(stages=tuple(stages), name="::error::x")

    text = written(played(escalation), escalation, width=140)

    assert "[red]" in text
    assert not set("\x1b\x07\u202e") & set(text)
    assert "::error::" not in text


def test_what_the_packs_object_to_is_said_with_its_reason() -> None:
    out = io.StringIO()
    would = {"partial": (Would("partial/letter", "send_message", "deny", "acme/no: nobody\nwrites", Exit.DENIED),)}
    show.write([Timeline(strict(), played(), would)], out, show.Page(width=160))

    assert "letter: DENIED: acme/no: nobody writes" in out.getvalue()


def test_a_stage_entered_without_its_notice_is_said_to_be() -> None:
    text = written(played(mail_down=(Window(at(-HOUR), at(DAY)),)), width=160)

    assert "without pre_release/mail, which had not arrived" in text
    assert "3 of 3 never arrived" in text


def test_a_jump_says_what_it_passed_over() -> None:
    jumping = default(catch_up=CatchUp.JUMP)
    text = written(simulate(jumping, Scenario(at(3 * HOUR), at(4 * HOUR), DEADLINE)), jumping, width=160)

    assert "passed over pre_release" in text


# -- programs


def test_json_has_times_and_no_nanoseconds() -> None:
    out = io.StringIO()
    show.write_json([Timeline(strict(), played(), {})], out)

    (said,) = json.loads(out.getvalue())
    assert said["from"] == "2026-11-20T12:00:00Z"
    assert said["entries"][3] | {"tick": 0} == {
        "cycle": 1,
        "stage": "partial",
        "at": "2026-11-21T12:05:00Z",
        "due": "2026-11-21T12:01:00Z",
        "deadline": "2026-11-21T12:00:00Z",
        "tick": 0,
        "late_s": 240,
        "held": "tick",
        "missing": [],
        "passed": [],
    }
    assert said["stages"][4]["deeds"] == [
        {"id": "letter", "action": "send_message", "route": "custodians", "recipients": 3}
    ]
    assert "_ns" not in out.getvalue()


# -- the file


def test_the_picture_is_of_one_escalation(tmp_path: Path) -> None:
    one = Timeline(strict(), played(), {})

    with pytest.raises(UsageError, match="a picture shows one escalation, and the packs have continuity, continuity"):
        show.write_svg([one, one], tmp_path / "x.svg")


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        show.write_svg([Timeline(strict(), played(), {})], tmp_path / "none" / "x.svg")


# -- the scale


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0"), (-6 * HOUR, "\u22126 h"), (MINUTE, "+1 min"), (-90 * MINUTE, "\u22121 h 30 min"), (2 * DAY, "+2 d")],
)
def test_distances_from_the_deadline_are_said_in_two_units(seconds: int, text: str) -> None:
    assert relative(seconds) == text


def test_seconds_are_shown_where_there_are_any() -> None:
    assert clock_text(at(0)) == "2026-11-21 12:00"
    assert clock_text(at(1)) == "2026-11-21 12:00:01"
    assert clock_text(at(1), with_day=False) == "12:00:01"


def test_time_in_which_nothing_happens_is_left_out() -> None:
    since, until = shown_time(played(to_s=3_650 * DAY))

    assert at(-8 * HOUR) < since < at(-6 * HOUR)
    assert at(2 * HOUR) < until < at(4 * HOUR)


def test_bands_follow_each_other_without_a_gap() -> None:
    found = played(to_s=10 * DAY, renewals=(at(-3 * HOUR), at(30 * HOUR)))
    drawn_bands = list(bands(strict(), found))

    assert all(one.to_ns == later.from_ns for one, later in pairwise(drawn_bands))
    assert (drawn_bands[0].from_ns, drawn_bands[-1].to_ns) == (found.scenario.start_ns, found.scenario.end_ns)


@pytest.mark.parametrize("length_s", [1, 59, HOUR, DAY, 400 * DAY])
@pytest.mark.parametrize("most", [2, 5, 9])
def test_marks_are_few_and_inside(length_s: int, most: int) -> None:
    scale = Scale(at(-1), at(length_s), 0, 100)

    marks = scale.marks(at(0), most)

    assert len(marks) <= most + 1
    assert all(map(scale.holds, marks))


# -- the manual's


def test_the_manual_shows_the_picture_as_it_is() -> None:
    """`make golden` writes it anew."""
    rhythm, down = Rhythm(300, 0.2, seed=4), (Window(at(-HOUR), at(HOUR)),)
    text = svg(strict(), played(to_s=4 * HOUR + 75 * MINUTE, rhythm=rhythm, mail_down=down))
    file = Path(__file__).parents[2] / "docs" / "simulate.svg"

    if IS_REWRITING:
        file.write_text(text, encoding="utf-8")

    assert file.read_text(encoding="utf-8") == text


# -- what the packs keep back


def kept(outcome: str, stage: str = "partial") -> dict[str, tuple[Would, ...]]:
    """Return what the packs say: all is allowed but entering one stage."""
    code = Exit.OK if outcome == "allow" else Exit.DENIED
    return {
        one.name: (Would(f"enter/{one.name}", "enter_stage", outcome if one.name == stage else "allow", "", code),)
        for one in strict().stages[1:]
    }


def ends(would: Mapping[str, tuple[Would, ...]], found: Simulation | None = None) -> str:
    out = io.StringIO()
    show.write([Timeline(strict(), found or played(), would)], out, show.Page(width=160))
    return out.getvalue()


@pytest.mark.parametrize(
    ("outcome", "said"), [("deny", "denied by the packs"), ("pending", "waits: the packs"), ("", "cannot be decided")]
)
def test_a_stage_that_the_packs_stop_is_where_it_ends(outcome: str, said: str) -> None:
    text = ends(kept(outcome))

    assert f"THE PACKS STOP IT at pre_release: entering partial is not allowed ({said}" in text
    assert "In the end it stands at full" not in text


def test_a_stop_beyond_what_is_played_is_not_the_end() -> None:
    text = ends(kept("deny"), played(to_s=-2 * HOUR))

    assert "In the end it stands at remind_6h." in text


def test_what_the_packs_keep_back_is_hatched_and_labelled() -> None:
    picture = ET.fromstring(svg(strict(), played(), kept("deny")))  # noqa: S314  # ours

    assert len(classes(picture, "stopped")) == 2
    assert {"denied by the packs", "not reached: the packs stop it at partial", "kept back by the packs"} <= set(
        texts(picture)
    )


def test_an_action_that_is_denied_is_labelled_and_not_hatched() -> None:
    would = {"partial": (Would("partial/letter", "send_message", "deny", "", Exit.DENIED),)}
    picture = ET.fromstring(svg(strict(), played(), would))  # noqa: S314  # ours

    assert "letter denied" in texts(picture)
    assert classes(picture, "stopped") == []


def test_a_secret_that_is_missing_is_told_beside_what_is_allowed() -> None:
    would = {"partial": (Would("partial/letter", "send_message", "allow", "missing on this machine: X", Exit.PACK),)}

    assert "letter: allowed, but missing on this machine: X" in ends(would)


# -- details of the picture and the table


def test_names_are_cut_before_they_run_into_the_plot() -> None:
    stages = list(strict().stages)
    stages[1] = stages[1]._replace(name="w" * 40)
    escalation = strict(stages=tuple(stages))

    (name,) = [one for one in texts(drawn(escalation, played(escalation))) if one.startswith("www")]

    assert name.endswith("…")
    assert len(name) < 14


def test_the_legend_names_only_what_occurs() -> None:
    picture = drawn(strict(), played(to_s=-2 * HOUR))

    assert not {"custodians", "public", "action"} & set(texts(picture))


def test_a_stage_that_is_entered_in_time_each_time_is_said_so() -> None:
    found = played(to_s=10 * DAY, renewals=tuple(at(20 * HOUR * number) for number in range(1, 8)))

    assert "each time on time" in texts(drawn(strict(), found))
    assert "at worst on time" not in texts(drawn(strict(), found))


def test_a_count_at_the_edge_stands_before_its_mark() -> None:
    found = played(to_s=6 * MINUTE)
    counts = [
        one
        for one in drawn(strict(), found).iter(f"{SPACE}text")
        if (one.text or "").startswith("\N{MULTIPLICATION SIGN}")
    ]

    assert [one.get("text-anchor") for one in counts] == ["end"]


def test_the_terminal_draws_while_mail_is_down_and_says_when_a_late_message_arrived() -> None:
    text = written(played(mail_down=(Window(at(-HOUR), at(HOUR)),)), width=160)

    assert "mail down" in text
    assert "arrived 2026-11-21 13:00, " in text


def test_after_the_last_stage_there_is_nothing_to_come() -> None:
    last = len(strict().stages) - 1
    found = played(standing=standing(last, since_s=-DAY))

    text = written(found)

    assert "It stands at full, the last stage, and nothing is owed: there is nothing to come." in text
    assert "entered" not in text


def test_stages_that_lie_behind_are_not_called_due() -> None:
    text = written(played(standing=standing(3, since_s=-DAY)), width=160)

    assert text.count("passed already") == 2
    assert "it stands here" in text


def test_a_span_of_seconds_fills_the_picture() -> None:
    first, *others = strict().stages
    stages = [first, *(one._replace(at_s=place, min_dwell_s=0) for place, one in enumerate(others))]
    escalation = strict(stages=tuple(stages))
    found = simulate(escalation, Scenario(at(-60), at(60), DEADLINE, Rhythm(1)))

    since, until = shown_time(found)

    assert until - since < 15 * 10**9
