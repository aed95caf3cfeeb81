"""What is proven of an escalation, with the model that a tick follows: true ones hold, and false ones say where."""

from pathlib import Path

import pytest
from countdowns import CUSTODIANS, HOUR, MINUTE, default, mail, strict
from escalation_text import escalation, write

from orchestrator.escalations.model import Audience, CatchUp, Deed, Escalation, Lockout, Mode, Renewal
from orchestrator.escalations.proofs import Proof, outward_gap_s, proofs

NAMES = ["silence", "reachable", "forward", "notice", "windows", "lock", "renewed"]


def failing(escalation: Escalation) -> dict[str, Proof]:
    return {proof.name: proof for proof in proofs(escalation) if not proof.holds}


def said(escalation: Escalation, name: str) -> str:
    return next(proof.said for proof in proofs(escalation) if proof.name == name)


def staged(number: int, **changes: object) -> Escalation:
    stages = list(strict().stages)
    stages[number] = stages[number]._replace(**changes)  # type: ignore[arg-type]  # fields of a stage
    return strict(stages=tuple(stages))


def test_the_default_escalation_is_proven(tmp_path: Path) -> None:
    found = proofs(escalation(write(tmp_path)))

    assert [(proof.name, proof.holds) for proof in found] == [(name, True) for name in NAMES]


def test_waiting_for_ever_reaches_the_last_stage_whatever_arrives() -> None:
    assert said(strict(), "silence") == (
        "where nobody renews, full is entered 2 hours after the deadline;"
        " 7 hours 1 minute after the deadline where no notice ever arrives"
    )


def test_a_notice_that_is_waited_for_without_end_is_found() -> None:
    proof = failing(staged(4, max_wait_s=None))["silence"]

    assert (proof.stage, proof.said) == ("pre_release", "nobody renews, and it stays at pre_release for ever")


def test_a_stage_that_is_jumped_over_at_every_tick_is_found() -> None:
    jumping = staged(2, min_dwell_s=2 * HOUR)._replace(catch_up=CatchUp.JUMP)

    assert failing(jumping)["reachable"].stage == "pre_release"
    assert "reachable" not in failing(jumping._replace(catch_up=CatchUp.WALK))


def test_a_jump_leads_past_every_notice_unless_the_stage_itself_requires_one() -> None:
    jumping = strict(catch_up=CatchUp.JUMP)
    stages = [one._replace(delivered=("pre_release/mail",), max_wait_s=HOUR) for one in jumping.stages[-2:]]

    assert failing(jumping)["notice"].stage == "full"
    assert "notice" not in failing(jumping._replace(stages=(*jumping.stages[:-2], *stages)))


def test_every_stage_is_tried_at_every_edge() -> None:
    assert said(strict(), "forward") == "no stage leads back, from any other and at any edge (144 cases)"


@pytest.mark.parametrize("mode", [Mode.COUNTDOWN, Mode.MANUAL])
def test_an_operator_stage_that_need_not_stand_before_an_outward_one_is_found(mode: Mode) -> None:
    proof = failing(default(mode=mode))["notice"]

    assert proof.stage == "pre_release"


def test_somebody_tells_the_operator_before_others_hear_of_it() -> None:
    silent = tuple(stage._replace(deeds=()) if not stage.is_outward else stage for stage in strict().stages)

    proof = failing(strict(stages=(*silent[:4], silent[4]._replace(delivered=()), silent[5])))["notice"]

    assert (proof.stage, proof.said) == ("partial", "partial reaches others, and no message tells the operator before")


def test_a_notice_by_another_route_tells_nobody() -> None:
    stages = [
        stage if stage.is_outward else stage._replace(deeds=tuple(mail(deed.id, CUSTODIANS) for deed in stage.deeds))
        for stage in strict().stages
    ]

    assert failing(strict(stages=tuple(stages)))["notice"].stage == "partial"


def test_what_is_waited_for_is_a_notice_to_the_operator() -> None:
    mixed = staged(3, deeds=(Deed("mail", "write_file", {}),))

    assert failing(mixed)["notice"].said == "partial requires no message that tells the operator"


def test_a_fuse_needs_no_time_to_renew() -> None:
    fuse = default(mode=Mode.FUSE)

    assert failing(fuse) == {}
    assert said(fuse, "lock") == "a fuse is not renewed, so no lock can keep anybody from it"


def test_others_never_hear_of_it_first() -> None:
    found = failing(staged(1, audience=Audience.PUBLIC))

    assert found["notice"].stage == "remind_6h"


@pytest.mark.parametrize(
    ("p95_gap_s", "every_s", "expected"),
    [
        (16 * MINUTE, 0, None),
        (16 * MINUTE + 1, 0, "from pre_release to partial it is 16m, less than `tick.p95_gap`, 16m 1s"),
        (0, 30 * MINUTE, "from pre_release to partial it is 16m, less than `tick.every`, 30m"),
        (0, 0, None),
    ],
)
def test_a_window_is_as_long_as_ticks_are_apart(p95_gap_s: int, every_s: int, expected: str | None) -> None:
    proof = failing(strict(p95_gap_s=p95_gap_s, every_s=every_s)).get("windows")

    assert (proof.said if proof else None) == expected


def test_grace_makes_the_window_over_the_deadline_longer() -> None:
    assert "windows" not in failing(strict(p95_gap_s=20 * MINUTE, grace_s=5 * MINUTE))


@pytest.mark.parametrize(("longest_s", "is_fine"), [(15 * MINUTE - 1, True), (15 * MINUTE, False)])
def test_a_lock_is_shorter_than_the_time_from_a_reminder_to_what_is_outward(longest_s: int, is_fine: bool) -> None:  # noqa: FBT001
    locked = strict(renewal=Renewal(24 * HOUR, Lockout(5, 30, longest_s)))

    assert outward_gap_s(locked) == 15 * MINUTE
    assert ("lock" not in failing(locked)) is is_fine


def test_the_time_between_thresholds_counts_where_it_is_shorter_than_the_dwell() -> None:
    assert outward_gap_s(staged(3, min_dwell_s=HOUR)) == 16 * MINUTE


def test_where_nobody_else_is_told_no_lock_matters() -> None:
    inward = strict(stages=strict().stages[:4])

    assert (outward_gap_s(inward), failing(inward)) == (None, {})


@pytest.mark.parametrize(("hours", "is_fine"), [(6, False), (7, True)])
def test_a_renewal_leads_to_the_first_stage(hours: int, is_fine: bool) -> None:  # noqa: FBT001
    assert ("renewed" not in failing(strict(renewal=Renewal(hours * HOUR)))) is is_fine
