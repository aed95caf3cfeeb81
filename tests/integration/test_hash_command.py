"""`orch hash`: digests as rules and the ledger write them."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Place, clean, place_in

from orchestrator.digest import sha256


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with place_in(tmp_path) as made:
        (tmp_path / "a").write_bytes(b"hello\n")
        (tmp_path / "b").write_bytes(b"")
        yield made


HELLO, EMPTY = sha256(b"hello\n"), sha256(b"")


def test_files_are_hashed_in_their_order(place: Place) -> None:
    done = place.orch("hash", "b", "--file", "a")

    assert done.returncode == 0, clean(done)
    assert done.stdout == f"{EMPTY}  b\n{HELLO}  a\n"


def test_standard_input_is_hashed(place: Place) -> None:
    done = place.orch("hash", "-", given=b"hello\n")

    assert done.stdout == f"{HELLO}  -\n"


def test_a_program_reads_json(place: Place) -> None:
    done = place.orch("hash", "--file", "a", "-o", "json")

    assert json.loads(done.stdout) == [{"path": "a", "digest": HELLO, "size": 6}]


@pytest.mark.parametrize("digest", [HELLO, HELLO.upper().replace("SHA256", "sha256"), HELLO.removeprefix("sha256:")])
def test_a_file_that_has_the_digest_passes(place: Place, digest: str) -> None:
    done = place.orch("hash", "a", "--check", digest)

    assert done.returncode == 0, clean(done)
    assert "as expected" in done.stdout


def test_a_file_that_has_another_fails(place: Place) -> None:
    done = place.orch("hash", "a", "b", "--check", HELLO, "-o", "json")

    assert done.returncode == 1
    assert [each["expected"] for each in json.loads(done.stdout)] == [True, False]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no file is named"),
        (("missing",), "cannot read 'missing': No such file"),
        ((".",), "it is a folder"),
        (("pipe",), "it is no plain file"),
        (("-", "-"), "standard input is named twice"),
        (("a", "--check", "abc"), "is no SHA-256"),
        (("a", "missing"), "cannot read 'missing'"),
    ],
)
def test_what_cannot_be_hashed_is_told(place: Place, arguments: tuple[str, ...], said: str) -> None:
    os.mkfifo(place.folder / "pipe")

    done = place.orch("hash", *arguments)

    assert done.returncode == 2
    assert said in clean(done)
    assert done.stdout == ""


def test_a_name_that_steers_the_terminal_is_shown_harmless(place: Place) -> None:
    name = "\x1b[31m::error::\n"
    (place.folder / name).write_bytes(b"hello\n")

    done = place.orch("hash", name)

    assert done.stdout == f"{HELLO}  \\u{{1b}}[31m::error::\\u{{a}}\n"
    assert "\x1b" not in done.stdout


def test_a_large_file_is_read_in_parts(place: Place) -> None:
    data = b"0123456789abcdef" * 200_000
    (place.folder / "large").write_bytes(data)

    done = place.orch("hash", "large")

    assert done.stdout.startswith(f"sha256:{hashlib.sha256(data).hexdigest()}  ")
