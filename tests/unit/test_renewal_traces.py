"""What a renewal leaves behind: never a code, and under duress the same as any other."""

import json

from renewals import CHEAP, countdown

from orchestrator.digest import canonical
from orchestrator.escalations import codes, seal
from orchestrator.escalations.codes import new_code
from orchestrator.escalations.renewal import Who
from orchestrator.ledger import rebuild
from orchestrator.ledger.store import Ledger

WRONG = new_code()


# -- what stays behind


def test_a_renewal_under_duress_leaves_the_same_behind_as_any(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes(has_duress=True)

    usual, forced = made.renew(drawn.main), made.renew(drawn.duress)

    first, second = made.said("began")[-2:]
    differ = {name for name in first if first[name] != second[name]}
    assert first.keys() == second.keys()
    assert differ == {"cycle", "run_id", "seal"}
    assert len(canonical(first)) == len(canonical(second))
    assert usual._replace(cycle=forced.cycle) == forced
    assert made.kinds()[-4:] == ["attempt", "began", "attempt", "began"]


def test_a_duress_code_works_as_often_as_the_main_one(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes(has_duress=True)

    assert [made.is_renewed(drawn.duress) for _ in range(3)] == [True] * 3


def test_a_duress_code_does_not_tell_itself_where_nobody_knows_what_counts(ledger: Ledger) -> None:
    """Another key stands there: then the shown deadline is the one that is kept."""
    made = countdown(ledger)
    made.renew(made.codes().main)
    (ledger.folder / seal.FILE).unlink()
    drawn = made.codes(has_duress=True)
    shown = made.record.deadline
    made.later(3_600)

    assert made.is_renewed(drawn.duress)
    assert seal.real(made.record, ledger) == seal.Real(shown, is_armed=True, is_kept=True)


def test_no_code_ever_reaches_the_ledger(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes(has_duress=True)
    given = [drawn.main, WRONG, drawn.duress, drawn.spare[0], drawn.spare[0]]
    for code in given:
        made.is_renewed(code)

    with ledger.store.reading() as connection:
        rows = [*connection.execute("SELECT header FROM events"), *connection.execute("SELECT body FROM payloads")]
        rows += [
            *connection.execute("SELECT * FROM renewal_codes"),
            *connection.execute("SELECT * FROM renewal_attempts"),
        ]
    said = " ".join(str(bytes(one) if isinstance(one, memoryview) else one) for row in rows for one in row)
    for code in (*given, *drawn.spare):
        assert code not in said
        assert codes.normal(code) not in said


def test_no_code_lies_in_any_file_of_the_ledger(sqlite_ledger: Ledger) -> None:
    made = countdown(sqlite_ledger)
    drawn = made.codes(has_duress=True)
    for code in (drawn.main, WRONG, drawn.duress):
        made.is_renewed(code)

    written = b"".join(file.read_bytes() for file in sqlite_ledger.folder.rglob("*") if file.is_file())

    for code in (drawn.main, WRONG, drawn.duress, *drawn.spare):
        assert code.encode() not in written
        assert codes.normal(code).encode() not in written


def test_a_source_that_holds_a_secret_is_slowed_down_all_the_same(sqlite_ledger: Ledger) -> None:
    made = countdown(sqlite_ledger)
    made.ledger = sqlite_ledger._replace(mask=sqlite_ledger.mask.knowing(["s3cret-host"]))
    drawn = made.codes()
    hidden = Who("user:ann", "uid 1 at s3cret-host")
    for _ in range(6):
        made.is_renewed(WRONG, hidden)

    assert not made.is_renewed(drawn.main, hidden)
    assert "s3cret" not in json.dumps(made.said("attempt"))


def test_the_tables_follow_from_the_events_alone(ledger: Ledger) -> None:
    made = countdown(ledger)
    drawn = made.codes(has_duress=True)
    for code in (WRONG, drawn.spare[0], drawn.duress, WRONG, drawn.main):
        made.is_renewed(code)

    with ledger.store.reading() as connection:
        assert list(rebuild.differences(ledger, connection)) == []


def test_cheap_codes_are_for_tests_alone() -> None:
    assert CHEAP.memory_kib < codes.Cost().memory_kib == 19_456
