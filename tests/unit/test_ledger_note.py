"""Notes are what C2SP says; hostile ones are refused with a reason, and never believed."""

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.ledger import note
from orchestrator.ledger.note import Checkpoint, NoteError, PublicKey

NAME = "orch/0123456789abcdef0123456789abcdef"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = PublicKey(NAME, PRIVATE.public_key().public_bytes_raw())
CHECKPOINT = Checkpoint(NAME, 7, bytes(32))
TEXT = note.sign(CHECKPOINT, NAME, PRIVATE)
ROOT = b64encode(bytes(32)).decode()


def test_a_note_is_text_empty_line_and_signature() -> None:
    lines = TEXT.split("\n")

    assert lines[:4] == [NAME, "7", ROOT, ""]
    assert lines[4].startswith(f"\u2014 {NAME} ")
    assert lines[5:] == [""]


def test_what_is_signed_is_read_back_and_believed() -> None:
    read = note.parse(TEXT)

    assert read.checkpoint == CHECKPOINT
    assert note.check(read, note.parse_key(str(KEY))) == ""


def test_a_key_that_others_made_is_read() -> None:
    """The example key of the Go library that notes come from."""
    key = note.parse_key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")

    assert (key.name, key.id.hex()) == ("PeterNeumann", "c74f20a3")


@given(size=st.integers(min_value=0, max_value=2**53 - 1), root=st.binary(min_size=32, max_size=32))
def test_every_checkpoint_comes_back(size: int, root: bytes) -> None:
    checkpoint = Checkpoint(NAME, size, root)

    assert note.parse(note.sign(checkpoint, NAME, PRIVATE)).checkpoint == checkpoint


@given(at=st.integers(min_value=0, max_value=len(TEXT.encode()) - 1), flip=st.integers(min_value=1, max_value=255))
def test_a_changed_byte_is_never_believed(at: int, flip: int) -> None:
    raw = bytearray(TEXT.encode())
    raw[at] ^= flip
    try:
        changed = note.parse(raw.decode())
    except ValueError:
        return

    assert note.check(changed, KEY) != ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "\n\n",
        NAME,
        f"{NAME}\n7\n{ROOT}\n",
        TEXT.removesuffix("\n"),
        TEXT + "\n",
        TEXT.replace("\n7\n", "\n07\n"),
        TEXT.replace("\n7\n", "\n-7\n"),
        TEXT.replace("\n7\n", "\n\u0667\n"),
        TEXT.replace("\n7\n", "\n99999999999999999999\n"),
        TEXT.replace("\n7\n", "\n9007199254740993\n"),
        TEXT.replace("\n7\n", "\n7\nmore\n"),
        TEXT.replace(ROOT, ROOT[:-2] + "B="),
        TEXT.replace(ROOT, ROOT[4:]),
        TEXT.replace("\u2014", "-"),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace(NAME, "a b"),
        f"{NAME}\n7\n{ROOT}\n\n\u2014 {NAME} AAAA\n",
        f"{NAME}\n7\n{ROOT}\n\n" + TEXT.split("\n\n")[1] * 101,
        "x" * 70_000,
    ],
)
def test_what_is_no_note_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        note.parse(text)


def test_signatures_of_others_are_passed_over() -> None:
    other = note.sign(CHECKPOINT, NAME, Ed25519PrivateKey.generate()).split("\n\n")[1]

    assert note.check(note.parse(TEXT + other), KEY) == ""
    assert "not by" in note.check(note.parse(TEXT.split("\n\n")[0] + "\n\n" + other), KEY)


def test_a_signature_of_another_checkpoint_is_not_believed() -> None:
    assert "does not belong" in note.check(note.parse(TEXT.replace("\n7\n", "\n8\n")), KEY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a+b",
        f"{NAME}+00000000+{b64encode(bytes(33)).decode()}",
        str(KEY)[:-4],
        str(KEY).replace("+A", "+B"),
        f" {KEY}",
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        note.parse_key(text)
