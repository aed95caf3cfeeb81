"""Canonical bytes (RFC 8785) and the digests that join a decision to its approvals, budgets and evidence.

Near the start of the flow; values only. Every digest is made here, in Python, and never in Rego: OPA's `json.marshal`
differs from RFC 8785. Imports little, because every command pays for it.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from decimal import Decimal

MAX_INTEGER = 2**53 - 1
"""RFC 8785 knows numbers as IEEE doubles: an integer beyond this has no canonical form here and is refused."""

_SMALLEST_PLAIN, _LARGEST_PLAIN = -6, 21
"""Powers of ten between which ECMAScript writes a number without an exponent."""

_BULK_BYTES = 32_768
"""From here on OpenSSL's speed is worth the 3 ms that importing it costs."""

_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False).encode
_quote = json.encoder.encode_basestring  # the escapes of RFC 8785


class _Hash(Protocol):
    def hexdigest(self) -> str: ...


def _openssl_sha256(data: bytes, /) -> _Hash:
    import hashlib

    return hashlib.sha256(data)


try:  # the interpreter's own SHA-256: 3.12 and later, then 3.11
    from _sha2 import sha256 as _small_sha256  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    try:
        from _sha256 import sha256 as _small_sha256  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        _small_sha256 = _openssl_sha256


def sha256(data: bytes) -> str:
    """Return `sha256:` and the hex digest of `data`."""
    made: _Hash = _small_sha256(data) if len(data) < _BULK_BYTES else _openssl_sha256(data)
    return "sha256:" + made.hexdigest()


def hash_many() -> None:
    """Let every later digest of this process be OpenSSL's: worth its import from a thousand digests on."""
    global _small_sha256  # noqa: PLW0603  # one choice for the process; both give the same digests
    _small_sha256 = _openssl_sha256


def new_id() -> str:
    """Return a random UUID, version 4; importing `uuid` would cost more than a question to the engine."""
    drawn = bytearray(os.urandom(16))
    drawn[6] = drawn[6] & 0x0F | 0x40
    drawn[8] = drawn[8] & 0x3F | 0x80
    text = drawn.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def canonical(value: object) -> bytes:
    """Return the RFC 8785 bytes of `value`.

    A tuple counts as a list. A `Decimal` counts as the double that reads back as the same number.

    Raises:
        ValueError: no canonical form: an integer beyond `MAX_INTEGER`, NaN, an infinity, a `Decimal` that no double
            holds, a lone surrogate, a key that is no string, a type that JSON does not know, or nesting too deep.
    """
    try:
        text = _plain_text(value)
        return (_canonical_text(value) if text is None else text).encode()
    except RecursionError:
        raise _no_form("a value nested this deeply") from None
    except UnicodeEncodeError:
        raise _no_form("a lone surrogate") from None


def _plain_text(value: object) -> str | None:
    """Return what the standard encoder makes of a value for which that is canonical, else None.

    Encoding comes first, since it notices a value that contains itself.
    """
    try:
        text = _encode(value)
        return text if _is_plain(value) else None
    except TypeError:  # of the encoder, or a key that is no string
        return None


def _is_plain(value: object) -> bool:
    """Say whether keys are ASCII, integers small, types exact, and floats absent.

    Raises:
        TypeError: a key is no string.
    """
    waiting: list[Any] = [value]
    for item in waiting:  # which grows
        kind = type(item)
        if kind is dict or kind is list:
            if kind is dict and not "".join(item).isascii():
                return False
            for one in item.values() if kind is dict else item:
                if type(one) is not str:
                    waiting.append(one)  # noqa: PERF401  # a list for each of many small objects takes twice as long
        elif kind is int:
            if not -MAX_INTEGER <= item <= MAX_INTEGER:
                return False
        elif item is not None and kind is not bool and kind is not str:
            return False
    return True


def _canonical_text(value: object) -> str:
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise _no_form("a key that is no string")
        members = sorted(value.items(), key=_utf16)
        return "{" + ",".join(f"{_quote(key)}:{_canonical_text(item)}" for key, item in members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_canonical_text, value)) + "]"
    return _scalar_text(value)


def _scalar_text(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return str(_quote(value))
        case int() if -MAX_INTEGER <= value <= MAX_INTEGER:
            return str(int(value))
        case float():
            return _number_text(_double(value))
    from decimal import Decimal  # so late that only who brings one pays for it

    if isinstance(value, Decimal):
        return _number_text(_exact_double(value))
    raise _no_form(f"an integer beyond {MAX_INTEGER}" if isinstance(value, int) else f"a {type(value).__name__}")


def _no_form(what: str) -> ValueError:
    return ValueError(f"{what} has no canonical form")


def _utf16(member: tuple[str, object]) -> bytes:
    """Return what RFC 8785 sorts keys by: their UTF-16 code units."""
    return member[0].encode("utf-16-be")


def _double(value: "float | Decimal") -> float:
    double = float(value)
    if not math.isfinite(double):
        raise _no_form(str(value))
    return double


def _exact_double(value: "Decimal") -> float:
    double = _double(value)
    if type(value)(repr(double)) != value:
        raise _no_form(f"{value}, which no double holds,")
    return double


def _number_text(value: float) -> str:
    """Return what ECMAScript's Number::toString gives: Python's shortest digits, laid out its way."""
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(digits) - len(fraction) + int(exponent or "0")
    return sign + _layout(digits.rstrip("0"), point)


def _layout(digits: str, point: int) -> str:
    """Place the decimal point `point` digits from the left, as ECMAScript does."""
    count = len(digits)
    if _SMALLEST_PLAIN < point <= 0:
        return "0." + "0" * -point + digits
    if 0 < point <= _LARGEST_PLAIN:
        return digits + "0" * (point - count) if count <= point else f"{digits[:point]}.{digits[point:]}"
    mantissa = digits if count == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{mantissa}e{point - 1:+d}"


def change_digest(files: Sequence[Mapping[str, Any]] | None) -> str | None:
    """Return the digest of a change, or None where there is none to speak of.

    It is the SHA-256 of the files' lines, sorted by their bytes, where a line is path, status, mode and blob, each in
    UTF-8 and ended by NUL. No field may hold a NUL, so no two changes share their lines. A missing or null status, mode
    or blob is empty. No files known, or no files at all, gives None: one digest for every empty change would let an
    approval of one count for all.

    Raises:
        ValueError: an entry is no object, a field is no string or holds NUL or a lone surrogate, or a path is missing.

    Source: design, section 5.
    """
    if not files:
        return None
    try:
        return sha256(b"".join(sorted(_change_lines(files))))
    except UnicodeEncodeError:
        raise _unclear("holds a lone surrogate") from None
    except (AttributeError, KeyError, TypeError):
        raise _unclear("is no object with a path and other fields of text") from None


def _change_lines(files: Iterable[Mapping[str, Any]]) -> Iterable[bytes]:
    for file in files:
        fields = (file["path"], file.get("status") or "", file.get("mode") or "", file.get("blob") or "")
        line = "\0".join(fields)
        if line.count("\0") != len(fields) - 1:
            raise _unclear("holds a NUL")
        yield line.encode() + b"\0"


def _unclear(why: str) -> ValueError:
    return ValueError(f"a file of the change {why}")


def subject_name(subject: Mapping[str, Any]) -> str | None:
    """Return `id` if it begins with `type:`, else `type:id`; None where either is no string.

    Source: design, section 5.
    """
    kind, name = subject.get("type"), subject.get("id")
    if not isinstance(kind, str) or not isinstance(name, str):
        return None
    return name if name.startswith(kind + ":") else f"{kind}:{name}"


def action_digest(request: Mapping[str, Any], repository: str | None, change: str | None) -> str:
    """Return the digest that stands for this action by this subject on this resource, wherever it is asked.

    `change` is the `change_digest` of its files. What the request lacks counts as null, missing action properties as
    none; time, run and facts do not enter.

    Raises:
        ValueError: the request has no canonical form (see `canonical`).

    Source: design, section 5.
    """
    action, resource = _object(request.get("action")), _object(request.get("resource"))
    properties = _object(resource.get("properties"))
    return sha256(
        canonical(
            {
                "subject": subject_name(_object(request.get("subject"))),
                "action": {"name": action.get("name"), "properties": action.get("properties") or {}},
                "resource": {"type": resource.get("type"), "id": resource.get("id")},
                "repository": repository,
                "branch": properties.get("branch"),
                "head_branch": properties.get("head_branch"),
                "change_digest": change,
            }
        )
    )


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
