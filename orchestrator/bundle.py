"""The bundle: a gzipped tar of the fixed Rego library, the packs' data and their hand-written modules.

Comes after `compile`. Equal parts give equal bytes. Only tars laid out as `build` does are read, byte for byte, so that
nobody, OPA included, can see other files in a bundle than were hashed and verified here. Signatures have OPA's own
format: `opa run --verification-key` accepts and refuses what `verify` does. One-shot `opa eval` looks at no signature,
so `verify` comes before every use. Starts no process; trusts nothing it reads.
"""

import base64
import hashlib
import io
import json
import re
import secrets
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from orchestrator import place
from orchestrator.digest import canonical, sha256
from orchestrator.errors import DecisionError, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

UNPACKED_BYTES = 256 * 2**20
"""A bundle that unpacks to more is refused before it is unpacked."""
FILE_COUNT = 10_000
"""A bundle of more files is refused."""

ALGORITHM = "EdDSA"
"""What OPA is told: `opa run --verification-key FILE --signing-alg EdDSA --bundle FILE`. Follows from the key, never
from the token."""

DATA, MANIFEST, SIGNATURES = "data.json", ".manifest", ".signatures.json"

_LIBRARY = "orch/"
_UNFILLED = "sha256:" + "0" * 64
"""Stands in `data.policy.digest` while the policy digest is computed."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MODULE = re.compile(r"(?:orch|packs)(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)+\.rego")
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""No time, no name, no system: Python's own header changed between versions."""
_TOKEN_HEADER = {"alg": ALGORITHM, "typ": "JWT"}
_ADVICE = "build it again with `orch policy build`"
_SIGN_ADVICE = "get it again from whoever signed it; if it was changed on purpose, `orch policy sign` signs it anew"


@dataclass(frozen=True, slots=True)
class Built:
    """A bundle that was just made."""

    digest: str
    """The policy digest: `sha256:` over the names and digests of all files, manifest and signature aside."""
    data: bytes
    """The gzipped tar; the file to write."""


@dataclass(frozen=True, slots=True)
class BundleContents:
    """What lies in a bundle whose policy digest was computed again and found right."""

    digest: str
    policy: dict[str, Any]
    """`data.policy`, its `digest` included."""
    modules: Mapping[str, bytes]
    """The Rego files by path, library and hand-written."""
    files: Mapping[str, bytes]
    """Every file by path."""

    @property
    def is_signed(self) -> bool:
        """Whether a signature lies in it. Says nothing about whose, or whether it holds: see `verify`."""
        return SIGNATURES in self.files

    @property
    def library(self) -> dict[str, bytes]:
        """The fixed Rego library that it was built with, by path."""
        return {name: text for name, text in self.modules.items() if name.startswith(_LIBRARY)}

    @property
    def own_modules(self) -> dict[str, bytes]:
        """The hand-written modules of its packs, by path."""
        return {name: text for name, text in self.modules.items() if not name.startswith(_LIBRARY)}


def build(policy: Mapping[str, Any], modules: Mapping[str, bytes], *, library: Path | None = None) -> Built:
    """Return the bundle of `policy` (what becomes `data.policy`), the fixed library and hand-written `modules`.

    Modules are named by their path in the bundle, `packs/<pack>/<name>.rego`. `policy["digest"]` is filled in here. A
    `Decimal` is written as its own digits. `library` replaces the folder `orch/` comes from; tests of it are left out.
    The tar is the same anywhere; the gzip around it is the same wherever zlib is.

    Raises:
        DecisionError: a module's name is no such path, the library is missing, or the bundle gets too large to be read.
        ValueError: `policy` holds what JSON cannot say.
    """
    files = library_in(library or place.resource("rego"))
    for name, text in modules.items():
        if not name.startswith("packs/") or not _MODULE.fullmatch(name):
            raise DecisionError(f"a module cannot be bundled as {name!r:.200}; expected packs/<pack>/<name>.rego")
        files[name] = text
    files[DATA] = _json_bytes({"policy": {**policy, "digest": _UNFILLED}})
    digest = _policy_digest(files)
    files[DATA] = _with_digest(files[DATA], _UNFILLED, digest)
    files[MANIFEST] = _json_bytes({"revision": digest, "roots": [""], "rego_version": 1})
    return Built(digest, _packed(files))


def read(bundle: bytes) -> BundleContents:
    """Return what lies in a bundle, its policy digest checked. Whose bundle it is, only a signature tells.

    Raises:
        DecisionError: it is damaged, too large, not laid out as `build` does, or its policy digest does not fit.
    """
    files = _unpacked(bundle)
    missing = {DATA, MANIFEST} - files.keys()
    odd = [name for name in files if name not in {DATA, MANIFEST, SIGNATURES} and not _MODULE.fullmatch(name)]
    if missing or odd:
        what = f"lacks {min(missing)}" if missing else f"holds a file named {odd[0]!r:.200}"
        raise DecisionError(f"the bundle {what}", advice=_ADVICE)
    policy = _parsed(files, DATA).get("policy")
    digest = policy.get("digest") if isinstance(policy, dict) else None
    if not isinstance(policy, dict) or not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise DecisionError(f"the bundle's {DATA} holds no policy with a digest", advice=_ADVICE)
    if files[MANIFEST] != _json_bytes({"revision": digest, "roots": [""], "rego_version": 1}):
        raise DecisionError(f"the bundle's {MANIFEST} is not the one of policy {digest}", advice=_ADVICE)
    unfilled = {**files, DATA: _with_digest(files[DATA], digest, _UNFILLED)}
    if (computed := _policy_digest(unfilled)) != digest:
        raise DecisionError(f"the bundle says it is policy {digest}, but its files are {computed}", advice=_ADVICE)
    rego = {name: text for name, text in files.items() if name.endswith(".rego")}
    return BundleContents(digest, policy, rego, files)


def sign(bundle: bytes, private_key: bytes) -> bytes:
    """Return the bundle with a signature by this Ed25519 key (PEM, not encrypted). One that was there is replaced.

    Signing the same bundle twice gives the same bytes.

    Raises:
        DecisionError: the bundle cannot be read.
        UsageError: the key cannot be read or is no Ed25519 private key.
    """
    key = _private_key(private_key)
    files = {name: content for name, content in read(bundle).files.items() if name != SIGNATURES}
    signing_input = f"{_part(_TOKEN_HEADER)}.{_part(_signed_part(files))}"
    token = f"{signing_input}.{_base64url(key.sign(signing_input.encode()))}"
    return _packed({**files, SIGNATURES: _json_bytes({"signatures": [token]})})


def verify(bundle: bytes, public_key: bytes) -> None:
    """Return if the bundle is signed by this Ed25519 key (PEM), whole and unchanged; its policy digest is checked too.

    Raises:
        DecisionError: it is not, or it cannot be read.
        UsageError: the key cannot be read or is no Ed25519 public key.
    """
    from cryptography.exceptions import InvalidSignature

    key = _public_key(public_key)
    files = dict(read(bundle).files)
    if SIGNATURES not in files:
        raise DecisionError("the bundle is not signed", advice="sign it with `orch policy sign`")
    header, payload, signature = _token(_parsed(files, SIGNATURES))
    try:
        key.verify(signature, f"{header}.{payload}".encode())
    except InvalidSignature:
        raise DecisionError("the bundle is not signed by the key that is trusted", advice=_SIGN_ADVICE) from None
    del files[SIGNATURES]
    if header != _part(_TOKEN_HEADER):
        raise DecisionError(f"the bundle's signature does not say {_TOKEN_HEADER}", advice=_SIGN_ADVICE)
    if payload != _part(_signed_part(files)):
        raise DecisionError("the bundle was changed after it was signed", advice=_SIGN_ADVICE)


def _parsed(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """Return a bundle's JSON file, numbers exact. A key that stands twice is refused: readers take it differently."""
    try:
        value = json.loads(files[name], parse_float=Decimal, parse_constant=_refuse, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise DecisionError(f"the bundle's {name} cannot be read: {error}", advice=_ADVICE) from error
    if not isinstance(value, dict):
        raise DecisionError(f"the bundle's {name} is no JSON object", advice=_ADVICE)
    return value


def _packed(files: Mapping[str, bytes]) -> bytes:
    """Return the one gzipped tar of these files."""
    try:
        tar = _tar(files)
    except ValueError as error:
        raise DecisionError(f"a module's name is too long for a bundle: {error}", advice="shorten its path") from error
    if len(files) > FILE_COUNT or len(tar) > UNPACKED_BYTES:
        raise DecisionError(f"the bundle is too large: {len(files)} files, {len(tar)} bytes")
    packer = zlib.compressobj(6, wbits=-zlib.MAX_WBITS)
    end = zlib.crc32(tar).to_bytes(4, "little") + len(tar).to_bytes(4, "little")
    return _GZIP_HEADER + packer.compress(tar) + packer.flush() + end


def _unpacked(bundle: bytes) -> dict[str, bytes]:
    """Return the files of a bundle by path; refuses what `_packed` would not make of them."""
    tar = _gunzipped(bundle)
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                if content is None or member.name in files or len(files) == FILE_COUNT:
                    raise DecisionError(f"the bundle's entry {member.name!r:.200} is odd, double or one too many")
                files[member.name] = content.read()
        is_ours = _tar(files) == tar
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise DecisionError(f"the bundle is no readable tar: {error}", advice=_ADVICE) from error
    if not is_ours:
        raise DecisionError("the bundle is not laid out as orch lays it out, so it cannot be trusted", advice=_ADVICE)
    return files


def _gunzipped(bundle: bytes) -> bytes:
    reader = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        tar = reader.decompress(bundle, UNPACKED_BYTES)
    except zlib.error as error:
        raise DecisionError(f"the bundle is no gzip file: {error}", advice=_ADVICE) from error
    if reader.unconsumed_tail:
        raise DecisionError(f"the bundle is too large: more than {UNPACKED_BYTES} bytes unpacked")
    if not reader.eof or reader.unused_data:
        what = "goes on after its end" if reader.eof else "is cut short"
        raise DecisionError(f"the bundle {what}", advice=_ADVICE)
    return tar


def _tar(files: Mapping[str, bytes]) -> bytes:
    """Return an uncompressed tar with nothing in it that depends on when, where or by whom it was made."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(files[name]), 0o644
            archive.addfile(member, io.BytesIO(files[name]))
    return out.getvalue()


def library_in(rego: Path) -> dict[str, bytes]:
    """Return the fixed Rego library in a folder by its paths in a bundle; its tests are left out.

    Raises:
        DecisionError: there is none, or it cannot be read.
    """
    try:
        found = {
            path.relative_to(rego).as_posix(): path.read_bytes()
            for path in (rego / "orch").rglob("*.rego")
            if not path.name.endswith("_test.rego")
        }
    except OSError as error:
        raise DecisionError(f"the Rego library cannot be read: {error}", advice="install orch again") from error
    if not found:
        raise DecisionError(f"there is no Rego library in {rego}", advice="install orch again; a part of it is gone")
    return found


def _policy_digest(files: Mapping[str, bytes]) -> str:
    counted = sorted(files.keys() - {MANIFEST, SIGNATURES})
    return sha256(canonical([[name, sha256(files[name])] for name in counted]))


def _with_digest(data: bytes, old: str, new: str) -> bytes:
    """Return `data` with its own digest exchanged; it stands there once, as no pack's digest can be equal to it."""
    before = f'"digest":"{old}"'.encode()
    if data.count(before) != 1:
        raise DecisionError(f"the policy digest stands {data.count(before)} times in {DATA}; expected once")
    return data.replace(before, f'"digest":"{new}"'.encode())


def _json_bytes(value: Mapping[str, Any]) -> bytes:
    """Return compact JSON with sorted keys, a `Decimal` as its own digits.

    The encoder cannot write a `Decimal`, so it writes a text that nobody can foresee, which is then exchanged.
    """
    mark = secrets.token_hex(16)

    def default(item: object) -> str:
        if isinstance(item, Decimal) and item.is_finite():
            return f"{mark}{item}{mark}"
        raise ValueError(f"a policy cannot hold {item!r:.100}")

    text = json.dumps(
        value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=default
    )
    if mark in text:
        text = re.sub(rf'"{mark}([^"]+){mark}"', r"\1", text)
    return text.encode()


def _signed_part(files: Mapping[str, bytes]) -> dict[str, Any]:
    hashes = ((name, hashlib.sha256(_hashed(name, files[name])).hexdigest()) for name in sorted(files))
    return {"files": [{"name": name, "hash": found, "algorithm": "SHA-256"} for name, found in hashes]}


def _hashed(name: str, content: bytes) -> bytes:
    """Return the bytes OPA hashes: a Rego file's own, and of JSON its values written out as Go does.

    `_json_bytes` already writes as Go does, with two exceptions: Go escapes U+2028 and U+2029.
    """
    if name.endswith(".rego"):
        return content
    return content.replace("\u2028".encode(), b"\\u2028").replace("\u2029".encode(), b"\\u2029")


def _token(document: Mapping[str, Any]) -> tuple[str, str, bytes]:
    """Return header, payload and signature of the one token there may be."""
    match document:
        case {"signatures": [str(token)]} if len(document) == 1 and token.isascii():
            try:
                header, payload, signature = token.split(".")
                return header, payload, base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
            except ValueError as error:
                raise DecisionError("the bundle's signature cannot be read", advice=_SIGN_ADVICE) from error
    raise DecisionError(f"the bundle's {SIGNATURES} does not hold exactly one signature", advice=_SIGN_ADVICE)


def _part(value: object) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _private_key(pem: bytes) -> "Ed25519PrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # its words could quote the key: keep them out
        raise UsageError("the signing key cannot be read; expected an unencrypted Ed25519 private key, PEM") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError("the signing key is no Ed25519 key", advice="make one: openssl genpkey -algorithm ed25519")
    return key


def _public_key(pem: bytes) -> "Ed25519PublicKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError("the verification key cannot be read; expected an Ed25519 public key, PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError("the verification key is no Ed25519 key", advice="export it: openssl pkey -pubout")
    return key


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice")
    return made


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
