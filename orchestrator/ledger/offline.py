"""Checks an export of an `orch` ledger: `python verify.py bundle.tar --key KEY [--head NOTE]`.

One file, to be read by whoever relies on it: the standard library and `cryptography`, no database, no network, nothing
of the bundle is written anywhere. Take this file and the key from somebody you trust, not out of the bundle.
KEY is the key or a file that begins with it, NOTE a file of `orch ledger heads show` or of a signed note alone.

Exit 0: verified; 1: something is not what was signed; 6: it cannot be told (no key was given, the file is no bundle, or
the head that was kept is none).
The format is in docs/ledger-use.md and docs/ledger.md.
"""

import argparse
import hashlib
import json
import re
import sys
import textwrap
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

FORMAT = "orch-export/1"
LEDGER_FORMAT = "orch-ledger/1"
_BLOCK = 512
_MOST_SMALL = 1 << 20
_LONGEST_LINE = 1 << 28
_MOST_TOLD = 20
_HASH = 32
_PARTS = ("README.txt", "verify.py", "bundle.json", "head", "events.jsonl")
"""In this order; then artifacts, by name."""
_ARTIFACT = r"artifacts/sha256/[0-9a-f]{64}"
_CANNOT_TELL = 6
_PROVES = """It proves: whoever holds the key signed a record that has exactly these events at these places, and
neither headers nor payloads were changed since."""
_NOT = """It does not prove: that what was recorded is true, that everything was recorded, that a clock was right, or
that the holder of the key did not sign another history, too: hold it against a head kept elsewhere (--head)."""
_FOLDED = textwrap.TextWrapper(80, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
_NOT_SOME = (
    """Only some events are here: that there are no others is not proved, but within a chain said to be without gaps."""
)


class Wrong(Exception):  # noqa: N818  # what is wrong, in one sentence
    """The bundle is not what was signed."""


class Unclear(Exception):  # noqa: N818  # what cannot be told, in one sentence
    """It cannot be told."""


class Head(NamedTuple):
    """A signed tree head."""

    origin: str
    size: int
    root: bytes
    text: bytes
    signatures: tuple[tuple[str, bytes], ...]


class Report(NamedTuple):
    """What was found."""

    wrong: tuple[str, ...]
    unclear: tuple[str, ...]
    facts: tuple[str, ...]
    """What was checked, in sentences."""
    is_whole: bool = True

    @property
    def exit_code(self) -> int:
        """0 verified, 1 not what was signed, 6 cannot tell."""
        return 1 if self.wrong else _CANNOT_TELL if self.unclear else 0


def _opened(file: Path) -> BinaryIO:
    if file.exists() and not file.is_file():  # a pipe or a device may have no end
        raise Unclear("this is no plain file")
    return file.open("rb")


def check(file: Path, key: str | None = None, head: str | None = None) -> Report:
    """Check a bundle; `key` (or a file that begins with it) and `head` are what was kept elsewhere.

    Never raises for what a bundle or a head holds.
    """
    checker = Checker(None if key is None else key_in(key), head)
    try:
        with _opened(file) as opened:
            checker.read(opened)
        checker.finish()
    except Wrong as error:
        checker.wrong.append(str(error))
    except Unclear as error:
        checker.unclear.append(str(error))
    except OSError as error:
        checker.unclear.append(f"{file} cannot be read: {error.strerror or error}")
    return Report(tuple(checker.wrong), tuple(checker.unclear), tuple(checker.facts()), checker.is_whole)


class Checker:
    """Reads a bundle once, from its beginning to its end."""

    def __init__(self, key: str | None, held: str | None) -> None:
        self.wrong: list[str] = []
        self.unclear: list[str] = []
        self.is_whole = True
        self._given_key, self._held_text = key, held
        self._ledger, self._key, self._count, self._artifacts = "", "", 0, 0
        self._said: dict[str, Any] = {}
        self._head: Head | None = None
        self._held: Head | None = None
        self._tree: list[tuple[int, bytes]] = []
        self._chains: dict[str, tuple[int, bytes]] = {}
        self._gaps: set[str] = set()
        self._without_payload: dict[str, str] = {}
        self._erased: dict[str, str] = {}
        self._last_index = -1

    def read(self, opened: BinaryIO) -> None:
        """Check every member as it comes."""
        last, seen = (-1, ""), set()
        for name, size in members(opened):
            at = (_PARTS.index(name), "") if name in _PARTS else (len(_PARTS), name)
            if at <= last or (name not in _PARTS and not re.fullmatch(_ARTIFACT, name)):
                raise Wrong(f"the bundle holds {shown(name)}, which is unknown, there twice or out of order")
            last = at
            seen.add(at[0])
            if name not in _PARTS:
                self._artifact(name, opened, size)
            elif name != "events.jsonl":
                self._small(name, part(opened, size))
            elif self._head is None:
                raise Wrong("there is no head before the events")
            else:
                for line in lines(opened, size):
                    self._event(line)
        if not seen.issuperset(range(2, len(_PARTS))):
            raise Unclear("this is no export of an orch ledger: bundle.json, head or events.jsonl is missing")

    def _small(self, name: str, data: bytes) -> None:
        if name == "bundle.json":
            self._said = strict(data, "bundle.json")
            if self._said.get("format") != FORMAT:
                raise Unclear(f"the bundle's format is {shown(self._said.get('format'))}; this verifier knows {FORMAT}")
            self._ledger, self.is_whole = str(self._said.get("ledger")), self._said.get("kind") == "whole"
        elif name == "head":
            if not self._said:
                raise Wrong("the head stands before bundle.json")
            self._key = self._given_key or str(self._said.get("key"))
            self._head = signed_head(data.decode("utf-8", "replace"), self._key, f"orch/{self._ledger}")
            if self._given_key is None:
                self.unclear.append("no key was given, so it cannot be told who signed: --key, from somebody you trust")
            if self._held_text is not None:
                self._held = self._kept_head(*kept(self._held_text))

    def _kept_head(self, key: str, note: str) -> Head | None:
        """Return the head that was kept elsewhere; one that says nothing of this record is no proof against it."""
        origin = f"orch/{self._ledger}"
        try:
            said = parse_note(note)
        except Wrong:
            self.unclear.append("the head that was kept is no signed checkpoint, as orch ledger heads show prints it")
            return None
        if said.origin != origin:
            self.unclear.append(f"the head that was kept is of {shown(said.origin)}, the bundle of {shown(origin)}")
        elif key and key != self._key:
            raise Wrong("the head that was kept was kept with another key than the one that signed this")
        elif not is_signed(said, self._key) and any(raw[:4] == parse_key(self._key)[1] for _, raw in said.signatures):
            self.unclear.append("the head that was kept is damaged: its signature is not good")
        else:
            return signed_head(note, self._key, origin)
        return None

    def _event(self, line: bytes) -> None:
        said = strict(line, f"event {self._count}")
        header, index = str(said.get("header")).encode("utf-8", "surrogatepass"), said.get("index")
        if type(index) is not int or index <= self._last_index or (self.is_whole and index != self._count):
            raise Wrong(f"the event after place {self._last_index} says place {shown(index)}")
        self._last_index = index
        fields = header_of(header, f"the event at {index}")
        if fields.get("source") != f"orch:{self._ledger}":
            raise Wrong(f"the event at {index} is of another ledger: {shown(fields.get('source'))}")
        self._place(hashlib.sha256(b"\0" + header).digest(), index, said.get("proof"))
        self._chain(fields, header, index)
        self._payload(fields, said, index)
        self._count += 1

    def _place(self, leaf: bytes, index: int, proof: object) -> None:
        assert self._head is not None  # noqa: S101  # `read` looked
        if self.is_whole:
            fold(self._tree, leaf)
            if self._held and self._held.size == index + 1 and root_of(self._tree) != self._held.root:
                raise Wrong(f"the first {index + 1} events are not those of the head that was kept elsewhere")
        elif not is_included(leaf, index, self._head, proof):
            raise Wrong(f"the event at {index} is not in the tree that was signed")

    def _chain(self, fields: dict[str, Any], header: bytes, index: int) -> None:
        chain, turn, previous = str(fields["runid"]), fields["runseq"], fields["prevhash"]
        last, seen = self._chains.get(chain, (0, b""))
        if turn == last + 1:
            first = hashlib.sha256(f"{LEDGER_FORMAT}\0{self._ledger}\0{chain}".encode()).hexdigest()
            if previous != "sha256:" + (seen.hex() if last else first):
                raise Wrong(f"the event at {index} does not follow the one before it in chain {shown(chain)}")
        elif self.is_whole or turn <= last:
            raise Wrong(f"chain {shown(chain)} goes from {last} to {shown(turn)} at {index}")
        else:
            self._gaps.add(chain)
        self._chains[chain] = (turn, hashlib.sha256(header).digest())

    def _payload(self, fields: dict[str, Any], said: dict[str, Any], index: int) -> None:
        salt, body, event = said.get("salt"), said.get("body"), str(fields["id"])
        if body is None:
            if "datahash" in fields:
                self._without_payload[event] = str(fields["datahash"])
            return
        try:
            data, whole = str(body).encode(), bytes.fromhex(str(salt)) + str(body).encode()
        except ValueError:
            raise Wrong(f"the payload at {index} is no text with a salt") from None
        if fields.get("datahash") != f"sha256:{hashlib.sha256(whole).hexdigest()}" or fields.get("datasize") != len(
            data
        ):
            raise Wrong(f"the payload of the event at {index} is not the one that was recorded")
        if fields["type"] == "orch.ledger.erased":
            payload = strict(data, f"the payload at {index}")
            self._erased[str(payload.get("event"))] = str(payload.get("datahash"))

    def _artifact(self, name: str, opened: BinaryIO, size: int) -> None:
        digest = hashlib.sha256()
        for chunk in chunks(opened, size):
            digest.update(chunk)
        if digest.hexdigest() != name.rpartition("/")[2]:
            raise Wrong(f"the artifact {name.rpartition('/')[2][:12]} has another content than it was recorded with")
        self._artifacts += 1

    def finish(self) -> None:
        """Check what only the end can say."""
        assert self._head is not None  # noqa: S101  # `read` looked
        if self._said.get("events") != self._count:
            raise Wrong(f"{self._count} events; the bundle says {shown(self._said.get('events'))}")
        if self.is_whole and (self._count != self._head.size or root_of(self._tree) != self._head.root):
            raise Wrong(f"the {self._count} events do not give the root of the head of {self._head.size} events")
        self._against_held()
        if self._said.get("payloads") is True:
            lost = [one for one, said in self._without_payload.items() if self._erased.get(one) != said]
            self.wrong += [f"the payload of event {shown(one)} is missing, and no event erased it" for one in lost[:20]]

    def _against_held(self) -> None:
        held, head = self._held, self._head
        if held is None or head is None:
            return
        if held.size == head.size and held.root != head.root:
            raise Wrong(
                f"two different heads of {head.size} events were signed with this key: the record was rewritten"
            )
        if held.size > head.size or (held.size != head.size and not self.is_whole):
            self.unclear.append(
                f"the head that was kept is of {held.size} events, the bundle's of {head.size}: export all events again"
            )

    def facts(self) -> Iterator[str]:
        """Yield what was checked."""
        if self._head is None:
            return
        which = "all" if self.is_whole else f"{self._count:,} of the"
        yield f"ledger {shown(self._ledger)}: {which} {self._head.size:,} events under its head"
        yield f"signed with {self._key}" + ("" if self._given_key else " (as the bundle says)")
        without = many(len(self._without_payload), "payload")
        left_out = "left out" if self._said.get("payloads") is not True else "erased"
        yield f"{many(len(self._chains), 'chain')}, {len(self._gaps):,} with gaps; {without} {left_out}"
        if self._artifacts:
            yield many(self._artifacts, "artifact")


def members(opened: BinaryIO) -> Iterator[tuple[str, int]]:
    """Yield name and size of each file in an uncompressed ustar archive; whoever asks has read each to its end."""
    while True:
        block = opened.read(_BLOCK)
        if len(block) != _BLOCK:
            raise Unclear("the bundle ends too early, or is no tar archive")
        if not block.strip(b"\0"):
            if any(rest.strip(b"\0") for rest in iter(lambda: opened.read(1 << 20), b"")):
                raise Wrong("something stands behind the end of the archive")
            return
        said = block[148:156].strip(b"\0 ")
        if block[257:263] != b"ustar\0" or not re.fullmatch(b"[0-7]+", said):
            raise Unclear("the bundle is no tar archive of the plain kind (ustar)")
        if int(said, 8) != sum(block[:148]) + 8 * 0x20 + sum(block[156:]):
            raise Wrong("a header of the archive is damaged")
        size = block[124:136].strip(b"\0 ")
        if block[156:157] != b"0" or block[345:500].strip(b"\0") or not re.fullmatch(b"[0-7]+", size):
            raise Wrong("the bundle holds something else than plain files")
        name = block[:100].rstrip(b"\0").decode("ascii", "replace")
        yield name, int(size, 8)
        if opened.read(-int(size, 8) % _BLOCK).strip(b"\0"):
            raise Wrong(f"something stands behind the end of {name}")


def chunks(opened: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the content of a member."""
    while size:
        chunk = opened.read(min(size, 1 << 20))
        if not chunk:
            raise Unclear("the bundle ends too early")
        size -= len(chunk)
        yield chunk


def part(opened: BinaryIO, size: int) -> bytes:
    """Return the content of a small member."""
    if size > _MOST_SMALL:
        raise Wrong(f"a part of {size:,} bytes where at most {_MOST_SMALL:,} are expected")
    return b"".join(chunks(opened, size))


def lines(opened: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the lines of a member."""
    while size:
        line = opened.readline(min(size, _LONGEST_LINE))
        size -= len(line)
        if not line.endswith(b"\n"):
            raise Wrong("a line of events without an end")
        yield line


def strict(data: bytes, what: str) -> dict[str, Any]:
    """Return a JSON object none of whose names stands in it twice."""

    def members_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(found := dict(pairs)) != len(pairs):
            raise ValueError
        return found

    try:
        value = json.loads(data, object_pairs_hook=members_of)
    except (ValueError, RecursionError):
        raise Wrong(f"{what} is no JSON, or names something twice") from None
    if not isinstance(value, dict):
        raise Wrong(f"{what} is no JSON object")
    return value


def header_of(header: bytes, what: str) -> dict[str, Any]:
    """Return the fields of a header in the one form that it may have."""
    fields = strict(header, what)
    if (
        json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
        != header
    ):
        raise Wrong(f"{what} is not in canonical form")
    texts = all(
        isinstance(fields.get(name), str) for name in ("id", "type", "time", "runid", "prevhash", "actor", "source")
    )
    if not texts or type(fields.get("runseq")) is not int:
        raise Wrong(f"{what} lacks what every event has")
    return fields


def signed_head(note: str, key: str, origin: str) -> Head:
    """Return the head that a note is, once its signature is checked."""
    head, (name, _, _) = parse_note(note), parse_key(key)
    if head.origin != origin or name != origin:
        raise Wrong(f"the head is of {shown(head.origin)}, the key of {shown(name)}; expected {shown(origin)}")
    if not is_signed(head, key):
        raise Wrong("the head is not signed with this key")
    return head


def is_signed(head: Head, key: str) -> bool:
    """Return whether a head is signed with a key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    name, number, raw = parse_key(key)
    try:
        (signature,) = [signature[4:] for who, signature in head.signatures if who == name and signature[:4] == number]
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, head.text)
    except (ValueError, InvalidSignature):
        return False
    return True


def kept(text: str) -> tuple[str, str]:
    """Return the key, or "", and the note of a head as it was kept: with its key in the first line, or alone."""
    first, empty, rest = text.partition("\n\n")
    return (first.strip(), rest) if empty and "\n" not in first else ("", text)


def key_in(text: str) -> str:
    """Return the key that a text is, or that a file of this name begins with."""
    try:
        with _opened(Path(text)) as opened:
            return opened.readline(_MOST_SMALL).decode("utf-8", "replace").strip()
    except (OSError, ValueError, Unclear):
        return text


def parse_note(note: str) -> Head:
    """Return the parts of a C2SP checkpoint."""
    said, _, signed = note.rpartition("\n\n")
    found = re.fullmatch(r"([^\s+]+)\n(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)", said)
    signatures = [re.fullmatch(r"\u2014 ([^\s+]+) ([A-Za-z0-9+/=]+)", line) for line in signed.split("\n")[:-1]]
    if not found or not note.endswith("\n") or not signatures or not all(signatures):
        raise Wrong("the head is no signed checkpoint")
    pairs = tuple((one[1], decoded(one[2])) for one in signatures if one)
    return Head(found[1], int(found[2]), decoded(found[3]), f"{said}\n".encode(), pairs)


def parse_key(key: str) -> tuple[str, bytes, bytes]:
    """Return name, id and raw Ed25519 key of a text name+id+key."""
    found = re.fullmatch(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)", key.strip())
    raw = decoded(found[3]) if found else b""
    if found is None or len(raw) != _HASH + 1 or raw[:1] != b"\1":
        raise Unclear(
            f"{shown(key)} is neither a key, as orch ledger heads show prints it, nor a file that begins with one"
        )
    if hashlib.sha256(found[1].encode() + b"\n" + raw).digest()[:4].hex() != found[2]:
        raise Unclear(f"the key {shown(key)} is mistyped or damaged")
    return found[1], bytes.fromhex(found[2]), raw[1:]


def decoded(text: str) -> bytes:
    """Return what a base64 text holds, b"" where it is none."""
    try:
        raw = b64decode(text, validate=True)
    except ValueError:
        return b""
    return raw if b64encode(raw).decode() == text else b""


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node (RFC 6962)."""
    return hashlib.sha256(b"\1" + left + right).digest()


def fold(tree: list[tuple[int, bytes]], leaf: bytes) -> None:
    """Add a leaf to a tree kept as its perfect subtrees, each with its height."""
    height = 0
    while tree and tree[-1][0] == height:
        leaf = node(tree.pop()[1], leaf)
        height += 1
    tree.append((height, leaf))


def root_of(tree: list[tuple[int, bytes]]) -> bytes:
    """Return the root of a tree."""
    if not tree:
        return hashlib.sha256(b"").digest()
    root = tree[-1][1]
    for _, one in reversed(tree[:-1]):
        root = node(one, root)
    return root


def is_included(leaf: bytes, index: int, head: Head, proof: object) -> bool:
    """Return whether a proof (texts in base64, lowest first) leads from a leaf to the head's root."""
    if not isinstance(proof, list) or index >= head.size:
        return False
    place, last, seen = index, head.size - 1, leaf
    for text in proof:
        one = decoded(str(text))
        if last == 0 or len(one) != _HASH:
            return False
        if place & 1 or place == last:
            seen = node(one, seen)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            seen = node(seen, one)
        place, last = place >> 1, last >> 1
    return last == 0 and seen == head.root


def shown(value: object) -> str:
    """Return a text from outside, harmless and short."""
    return ascii(value)[:80]


def many(count: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def report_text(report: Report) -> str:
    """Return what was found, for a person."""
    word = {0: "VERIFIED", 1: "NOT WHAT WAS SIGNED", _CANNOT_TELL: "CANNOT TELL"}[report.exit_code]
    told = [word, *(f"  wrong: {one}" for one in report.wrong[:_MOST_TOLD])]
    told += [f"  unclear: {one}" for one in report.unclear]
    told += [f"  {one}" for one in report.facts]
    if report.exit_code == 0:
        told += [_PROVES, _NOT] + ([] if report.is_whole else [_NOT_SOME])
    return "".join(f"{_FOLDED.fill(one)}\n" for one in told)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the bundle that is named, say what was found, and return the exit code."""
    parser = argparse.ArgumentParser(description="Check an export of an orch ledger, offline.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--key", help="what signs the heads, from somebody you trust: name+id+key, or a file with it")
    parser.add_argument("--head", type=Path, help="a file with a tree head that was kept elsewhere")
    given = parser.parse_args(arguments)
    try:
        held = given.head.read_text(encoding="utf-8", errors="replace") if given.head else None
        report = check(given.bundle, given.key, held)
    except OSError as error:
        report = Report((), (f"the head {str(given.head)!r} cannot be read: {error.strerror or error}",), ())
    sys.stdout.write(report_text(report))
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
