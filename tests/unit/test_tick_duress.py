"""Ticks after a renewal under duress: the old deadline goes on counting, and what is shown is the other one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from escalation_world import ANNA, BEN, CLARA, ESCALATION, HOUR_NS, NAME, TEXT
from renewals import CHEAP, HERE
from ticking import Ticking, moment, place_of, ticking

from orchestrator.errors import Exit
from orchestrator.escalations import codes, renewal
from orchestrator.escalations.codes import Drawn
from orchestrator.escalations.model import Mode
from orchestrator.escalations.status import Status, statuses
from orchestrator.escalations.timekeeping import Reading
from orchestrator.ledger.backup import SEAL_KEY
from orchestrator.ledger.store import Ledger


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticking]:
    with ticking(tmp_path, monkeypatch) as made:
        yield made


def drawn(made: Ticking) -> Drawn:
    """Make codes, and let them count."""
    with made.world.opened() as ledger:
        new = codes.draw(ledger, NAME, has_duress=True, cost=CHEAP)
        codes.issue(ledger, NAME, new, "user:ann")
        return new


def renew(made: Ticking, code: str, when: str) -> None:
    with made.world.opened() as ledger:
        renewal.renew(ledger, ESCALATION, code, HERE, reading=Reading(moment(when), is_given=True))


def lose_key(made: Ticking) -> None:
    with made.world.opened() as ledger:
        (ledger.folder / SEAL_KEY).unlink()


def status(made: Ticking, when: str) -> Status:
    [one] = statuses(made.world.settings(), NAME, now_ns=moment(when))
    return one


def test_under_duress_stages_come_by_the_old_deadline_and_the_operator_hears_nothing(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ticking(tmp_path, monkeypatch, ledger=place_of(ledger)) as made:
        renew(made, drawn(made).duress, "05:00")

        came = [
            (made.at(when).entered, made.record.stage)
            for when in ("05:30", "06:00", "11:45", "18:00", "18:01", "20:00")
        ]

        assert [stage for _, stage in came] == ["ok", "remind_6h", "pre_release", "pre_release", "partial", "full"]
        assert [told for told, _ in came] == [(), (), (), (), ("partial",), ("full",)]
        assert made.subjects() == []
        assert made.told() == [ANNA, BEN, CLARA]


def test_under_duress_a_tick_tells_the_deadline_that_is_shown(here: Ticking) -> None:
    renew(here, drawn(here).duress, "05:00")

    told, dry = here.at("05:30").to_json(), here.at("05:30", is_dry=True).to_json()

    for made in (told, dry):
        assert (made["deadline"], made["until"]) == ("2026-11-22T05:00:00Z", "2026-11-21T23:00:00Z")
        assert (made["stage"], made["next_stage"], made["exit_code"]) == ("ok", "remind_6h", 0)


def test_a_dry_run_goes_by_the_deadline_that_is_shown(here: Ticking) -> None:
    renew(here, drawn(here).duress, "05:00")

    made = [here.at(when, is_dry=True) for when in ("11:45", "23:00")]

    assert [(one.entered, one.stage) for one in made] == [((), "ok"), ((), "remind_6h")]


def test_under_duress_a_tick_says_nothing_of_the_stages_that_it_enters_in_silence(here: Ticking) -> None:
    renew(here, drawn(here).duress, "05:00")

    said = here.at("11:45").to_json()

    assert here.record.stage == "pre_release"
    assert (said["stage"], said["target"], said["next_stage"], said["until"]) == (
        "ok", "ok", "remind_6h", "2026-11-21T23:00:00Z"
    )  # fmt: skip
    assert "pre_release" not in json.dumps(said)


def test_by_the_main_code_the_new_deadline_counts(here: Ticking) -> None:
    new = drawn(here)
    renew(here, new.duress, "04:00")
    renew(here, new.main, "05:00")

    assert [here.at(when).entered for when in ("12:01", "23:00")] == [(), ("remind_6h",)]
    assert here.subjects() == ["6 hours left"]


def test_the_status_under_duress_is_that_of_a_renewal(here: Ticking) -> None:
    new = drawn(here)
    renew(here, new.main, "05:00")
    usual = status(here, "05:30").to_json()
    renew(here, new.duress, "05:00")

    forced = status(here, "05:30").to_json()

    assert {name for name in usual if usual[name] != forced[name]} == {"cycle", "run_id"}


def test_where_an_old_deadline_counts_the_status_leaves_out_what_it_brought(here: Ticking) -> None:
    renew(here, drawn(here).duress, "05:00")
    for when in ("11:45", "18:01"):
        here.at(when)

    said = status(here, "18:02").to_json()

    assert here.told() == [ANNA, BEN, CLARA]
    assert (said["stage"], said["stage_at"], said["next"]["stage"]) == ("ok", "2026-11-21T05:00:00Z", "remind_6h")
    assert (said["owed"], said["actions"], said["plans"], said["refused"]) == ([], [], [], [])


def test_what_is_armed_goes_on_counting_where_the_new_cycle_looks_disarmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manual = ESCALATION._replace(mode=Mode.MANUAL)
    text = TEXT.replace("mode: countdown", "mode: manual")
    with ticking(tmp_path, monkeypatch, text=text, begins=False) as made:
        made.begin(escalation=manual)
        new = drawn(made)
        with made.world.opened() as ledger:
            reading = Reading(moment("05:00"), is_given=True)
            renewed = renewal.renew(ledger, manual, new.duress, HERE, reading=reading)

        for when in ("11:45", "18:01"):
            made.at(when)

        assert not renewed.is_armed
        assert made.told() == [ANNA, BEN, CLARA]


def test_without_the_key_of_seals_nothing_is_done_of_a_cycle_that_a_code_began(here: Ticking) -> None:
    here.world.document(TEXT.replace("name: continuity", "name: another"), "another")
    renew(here, drawn(here).main, "05:00")
    lose_key(here)

    another, made = here.all_at("23:30")
    dry = here.at("23:30", is_dry=True)

    assert (made.why, made.exit_code, made.entered, made.tick) == ("seal", Exit.UNDECIDABLE, (), 0)
    assert "the key that opens the seals of renewals is not here" in made.detail
    assert (dry.why, dry.exit_code) == ("seal", Exit.UNDECIDABLE)
    assert another.why == "unbegun"
    assert [one["what"] for one in here.payloads("orch.escalation.refused")] == ["seal"]
    assert here.subjects() == []


def test_with_the_key_back_the_next_tick_goes_on(here: Ticking) -> None:
    renew(here, drawn(here).main, "05:00")
    with here.world.opened() as ledger:
        key = ledger.folder / SEAL_KEY
        away = key.rename(key.with_suffix(".away"))
        refused = here.at("23:00")
        away.rename(key)

    assert refused.why == "seal"
    assert here.at("23:10").entered == ("remind_6h",)


def test_a_cycle_that_no_code_began_needs_no_key(here: Ticking) -> None:
    drawn(here)
    lose_key(here)

    assert here.at("06:00").entered == ("remind_6h",)


def test_a_deadline_set_by_hand_needs_no_key_any_more(here: Ticking) -> None:
    renew(here, drawn(here).duress, "05:00")
    lose_key(here)
    assert here.at("05:10").why == "seal"

    done = here.world.orch("reset", NAME, "--now", "2026-11-21T05:20:00Z")

    assert done.returncode == 0, done.stderr
    assert here.at("05:30").exit_code is Exit.OK


def test_a_renewals_deadline_is_a_whole_second(here: Ticking) -> None:
    new = drawn(here)
    with here.world.opened() as ledger:
        reading = Reading(moment("05:00") + 1, is_given=True)
        renewed = renewal.renew(ledger, ESCALATION, new.main, HERE, reading=reading)

    assert renewed.deadline_ns == moment("05:00") + 24 * HOUR_NS + 10**9
