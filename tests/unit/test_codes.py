"""Renewal codes: drawn, read as people write them, stored as hashes, recognised for the price of one hash."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from renewals import CHEAP, NAME, countdown

from orchestrator.errors import LedgerError
from orchestrator.escalations import codes, kept
from orchestrator.escalations.codes import Cost, Kind, Known
from orchestrator.escalations.seal import Sealer
from orchestrator.ledger.store import Ledger

CODE = "7QK3-0F1Z-9ABC-DEFG-HJKM-NPQR-STVW"


def test_a_code_is_seven_groups_of_four_of_crockfords_letters() -> None:
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){6}", codes.new_code())


def test_a_code_has_140_bits_of_chance() -> None:
    drawn = [codes.normal(codes.new_code()) for _ in range(2_000)]

    assert len(codes.ALPHABET) ** len(drawn[0]) == 2**140
    assert len(set(drawn)) == len(drawn)
    for place in range(len(drawn[0])):
        assert len({code[place] for code in drawn}) == len(codes.ALPHABET)


@pytest.mark.parametrize(
    "typed",
    [
        CODE,
        CODE.lower(),
        CODE.replace("-", ""),
        CODE.replace("-", " "),
        f"  {CODE}\r\n",
        CODE.replace("-", "\u2013"),
        CODE.replace("-", "\u00a0"),
        CODE.replace("-", "\n"),
        CODE.replace("0", "O").replace("1", "I"),
        CODE.replace("0", "o").replace("1", "l"),
        "".join(chr(ord(one) + 0xFEE0) if one != "-" else one for one in CODE),
    ],
    ids=[
        "itself", "lower", "together", "spaces", "around", "en dashes", "hard spaces", "lines", "O and I", "o and l",
        "full width",
    ],
)  # fmt: skip
def test_one_code_in_every_writing(typed: str) -> None:
    assert codes.normal(typed) == codes.normal(CODE)


@given(
    st.lists(st.sampled_from(["", " ", "-", "\u2014", "\t", "\n", "\u200b"]), min_size=28, max_size=28), st.booleans()
)
def test_where_a_code_is_broken_does_not_matter(between: list[str], is_lower: bool) -> None:  # noqa: FBT001  # drawn
    wanted = codes.normal(CODE)
    typed = "".join(one + gap for one, gap in zip(wanted, between, strict=True))

    assert codes.normal(typed.lower() if is_lower else typed) == wanted


@pytest.mark.parametrize("typed", ["", "continuity", CODE[:-1], CODE + "0", CODE.replace("Q", "U")])
def test_other_words_do_not_look_like_a_code(typed: str) -> None:
    assert not codes.looks_like_code(typed)
    assert codes.looks_like_code(CODE.lower())


def test_new_codes_are_told_apart_by_nobody_who_has_the_ledger_alone(sqlite_ledger: Ledger) -> None:
    """Each has the same form; that one stands for duress is to be seen neither in number nor in size."""
    plain = codes.draw(sqlite_ledger, NAME, cost=CHEAP)
    duress = codes.draw(sqlite_ledger, NAME, cost=CHEAP, has_duress=True)

    sizes = [
        {(len(one.id), len(one.salt), len(one.hash), len(one.seal)) for one in each.stored} for each in (plain, duress)
    ]
    assert sizes[0] == sizes[1]
    assert len(sizes[0]) == 1
    assert len(plain.stored) == len(duress.stored) == 7
    assert (plain.duress, bool(duress.duress)) == ("", True)


def test_a_set_has_one_salt_and_every_kind_lies_sealed(sqlite_ledger: Ledger) -> None:
    drawn = codes.draw(sqlite_ledger, NAME, spare=2, has_duress=True, cost=CHEAP)

    known, sealer = Known.of(drawn.stored), Sealer.of(sqlite_ledger)

    assert len({one.salt for one in drawn.stored}) == 1
    asked = {drawn.main: Kind.MAIN, drawn.spare[0]: Kind.SPARE, drawn.spare[1]: Kind.SPARE, drawn.duress: Kind.DURESS}
    for code, kind in asked.items():
        found = known.match(code)
        assert found is not None
        assert codes.kind_of(sealer, NAME, found) is kind


def test_without_duress_a_code_of_nobodys_stands_there(sqlite_ledger: Ledger) -> None:
    drawn = codes.draw(sqlite_ledger, NAME, spare=1, cost=CHEAP)

    kinds = sorted(codes.kind_of(Sealer.of(sqlite_ledger), NAME, one) for one in drawn.stored)

    assert kinds == [Kind.MAIN, Kind.SPARE, Kind.NOBODYS]


def test_a_kind_does_not_open_beside_another_code(sqlite_ledger: Ledger) -> None:
    first, second, *_ = codes.draw(sqlite_ledger, NAME, cost=CHEAP).stored

    with pytest.raises(LedgerError, match="does not open"):
        codes.kind_of(Sealer.of(sqlite_ledger), NAME, first._replace(seal=second.seal))
    with pytest.raises(LedgerError, match="does not open"):
        codes.kind_of(Sealer.of(sqlite_ledger), "other", first)


def test_the_hash_is_argon2id_as_others_compute_it() -> None:
    """Of the reference implementation: `printf 7QK3 | argon2 0123456789abcdef -id -t 2 -k 19456 -p 1 -l 32 -r`."""
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    salt = b"0123456789abcdef"
    phc = Argon2id(salt=salt, length=32, iterations=2, lanes=1, memory_cost=19_456).derive_phc_encoded(b"7QK3")

    digest = codes.hashed("7qk3", salt, Cost())

    Argon2id.verify_phc_encoded(b"7QK3", phc)
    assert phc.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert Argon2id(salt=salt, length=32, iterations=2, lanes=1, memory_cost=19_456).derive(b"7QK3") == digest


def test_the_usual_cost_is_that_of_the_19_mib_profile(sqlite_ledger: Ledger) -> None:
    [one, *_] = codes.draw(sqlite_ledger, NAME, spare=0).stored

    assert one.hash.startswith("argon2id$m=19456,t=2,p=1$")


@pytest.mark.parametrize("damage", ["of several sets", "a hash is none", "a salt is no hex"])
def test_damaged_codes_are_an_error_and_never_a_match(sqlite_ledger: Ledger, damage: str) -> None:
    drawn = codes.draw(sqlite_ledger, NAME, spare=0, cost=CHEAP)
    first, second = drawn.stored
    spoiled = {
        "of several sets": [first, second._replace(salt="00" * 16)],
        "a hash is none": [first._replace(hash="bcrypt$1")],
        "a salt is no hex": [first._replace(salt="zz")],
    }[damage]

    with pytest.raises(LedgerError, match=damage):
        Known.of(spoiled)


def test_new_codes_revoke_those_before(ledger: Ledger) -> None:
    made = countdown(ledger)
    old = made.codes(spare=1)
    new = made.codes(spare=1)

    with ledger.store.reading() as connection:
        known = codes.active_in(connection, NAME)
        states = sorted(row[0] for row in connection.execute("SELECT state FROM renewal_codes"))

    assert states == ["active"] * 3 + ["revoked"] * 3
    assert known.match(old.main) is None
    assert known.match(new.main) is not None


def test_codes_can_be_made_before_anything_counts_down(ledger: Ledger) -> None:
    drawn = codes.draw(ledger, NAME, cost=CHEAP)
    codes.issue(ledger, NAME, drawn, "user:ann")

    with ledger.store.reading() as connection:
        assert codes.active_in(connection, NAME).match(drawn.main) is not None
        assert kept.record_of(connection, NAME) is None


def test_looking_costs_one_hash_however_many_codes_there_are(sqlite_ledger: Ledger) -> None:
    """Medians against each other, never against a clock."""
    none, many = Known(), Known.of(codes.draw(sqlite_ledger, NAME, spare=20).stored)

    took: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(7):
        for number, known in enumerate((none, many)):
            began = time.perf_counter()
            assert known.match(CODE) is None
            took[number].append(time.perf_counter() - began)

    medians = [sorted(each)[len(each) // 2] for each in took.values()]
    assert max(medians) < 3 * min(medians)


def test_what_holds_codes_does_not_show_them(sqlite_ledger: Ledger) -> None:
    drawn = codes.draw(sqlite_ledger, NAME, cost=CHEAP, has_duress=True)

    assert not any(code in repr(drawn) for code in (drawn.main, drawn.duress, *drawn.spare))
