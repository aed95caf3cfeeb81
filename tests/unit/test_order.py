"""What became of an order, as a value, and its exit code."""

import io
import json

import pytest

from orchestrator.adapter import ErrorClass
from orchestrator.order import Done, State
from orchestrator.outbox import chain_of, key_of
from orchestrator.show import done as show

RECEIPT = {"target": "", "key": "k", "delivery": "permanent", "reference": "", "detail": "", "attempt": 1}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State.DELIVERED, 0),
        (State.DENIED, 3),
        (State.WAITING, 4),
        (State.BUDGET, 5),
        (State.UNDECIDABLE, 6),
        (State.PERMANENT, 1),
        (State.RETRYABLE, 1),
        (State.UNKNOWN, 1),
        (State.CANCELLED, 130),
    ],
)
def test_each_state_has_its_exit_code(state: State, expected: int) -> None:
    assert int(Done(state).exit_code) == expected


def test_what_is_not_configured_is_a_matter_of_configuration_until_it_was_tried() -> None:
    never = Done(State.PERMANENT, error_class=ErrorClass.CONFIGURATION)

    assert int(never.exit_code) == 7
    assert int(never._replace(receipts=(RECEIPT,)).exit_code) == 1


def test_keys_differ_by_ledger_run_place_and_target() -> None:
    keys = {
        key_of(*parts)
        for parts in (("l", "r", "n", "t"), ("m", "r", "n", "t"), ("l", "r", "nt", ""), ("l", "", "rn", "t"))
    }

    assert len(keys) == 4


def test_a_chain_outside_of_runs_is_found_again_by_its_name() -> None:
    assert chain_of("r1", "a", "l") == "r1"
    assert chain_of(None, "a", "l") == chain_of(None, "a", "l") != chain_of(None, "b", "l")
    assert chain_of(None, "a", "l").startswith("adhoc:")


def test_people_see_what_is_to_be_done_and_no_control_characters() -> None:
    waiting = ({"type": "approval", "request_id": "abc", "role": "sre", "missing": 2},)
    done = Done(State.WAITING, "k" * 64, "e1", detail="x\x1b[31m", waiting_for=waiting, warned=("acme/slow",))
    out = io.StringIO()

    show.write_text(done, show.Sheet("open_pr"), out)

    assert out.getvalue() == (
        "WAITING open_pr\n"
        "  x\\u{1b}[31m\n"
        "  next: orch approve abc (by 2 people of role sre), then the same again\n"
        "  warned: acme/slow\n"
        "  decision e1, key kkkkkkkkkkkk\n"
    )


def test_several_recipients_are_told_one_by_one() -> None:
    receipts = tuple(
        RECEIPT | {"target": name, "delivery": how} for name, how in (("ada", "delivered"), ("bob", "unknown"))
    )
    waiting = ({"type": "unknown", "key": "k", "step": "tell", "target": "bob"},)
    out = io.StringIO()

    done = Done(State.UNKNOWN, "k" * 64, "e1", receipts=receipts, waiting_for=waiting)
    show.write_text(done, show.Sheet("send_message"), out)

    assert "  ada: delivered\n  bob: unknown\n" in out.getvalue()
    assert "next: look outside whether tell for bob happened" in out.getvalue()


def test_each_recipient_carries_its_own_reason() -> None:
    receipts = tuple(RECEIPT | {"target": name, "detail": f"550 no {name}"} for name in ("ada", "bob"))
    out = io.StringIO()

    show.write_text(Done(State.PERMANENT, detail="550 no ada", receipts=receipts), show.Sheet("send_message"), out)

    assert out.getvalue() == "FAILED send_message\n  ada: permanent - 550 no ada\n  bob: permanent - 550 no bob\n"


@pytest.mark.parametrize(("run_id", "run"), [("", ""), ("r1", "--run r1 ")])
def test_what_is_unknown_names_the_commands_that_go_on(run_id: str, run: str) -> None:
    waiting = ({"type": "unknown", "key": "k", "step": "deploy-1.4", "target": ""},)
    out = io.StringIO()

    show.write_text(Done(State.UNKNOWN, "k" * 64, waiting_for=waiting), show.Sheet("call_webhook", run_id), out)

    told = [line.split(":", 1)[1].strip() for line in out.getvalue().splitlines()[2:]]
    assert told == [
        f"orch act call_webhook {run}--key deploy-1.4 --resolve delivered",
        f"orch act call_webhook {run}--key deploy-1.4 --resolve not-delivered",
        f"leave it, or the same command with {run}--key deploy-1.4 --on-unknown resend",
    ]


def test_what_is_told_fits_the_page_and_a_command_s_output_keeps_its_lines() -> None:
    detail, line = "no rule of this pack allows it " * 6 + "x" * 90, "wide " * 40
    done = Done(State.DENIED, detail=detail.strip(), outputs={"stdout": line})
    out = io.StringIO()

    show.write_text(done, show.Sheet("open_pr"), out)

    lines = out.getvalue().splitlines()
    assert f"  | {line}" in lines
    assert max(map(len, lines[1:-2])) <= 80
    assert "    " + "x" * 90 in lines


def test_programs_see_everything() -> None:
    out = io.StringIO()

    show.write_json(Done(State.DENIED, "k"), out)

    said = json.loads(out.getvalue())
    assert (said["state"], said["exit_code"], said["receipts"]) == ("denied", 3, [])
