"""Reads in-toto statements, bare or in a DSSE envelope: what they speak of, and who signed. Believes no subject.

A statement counts only if it names this very commit, tree, change, action or file by its digest.
"""

import binascii
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from orchestrator import keys, strictjson
from orchestrator.errors import UsageError
from orchestrator.names import shown

STATEMENTS = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")
PAYLOAD_TYPE = "application/vnd.in-toto+json"
CHANGE, ACTION = "orch-change", "orch-action"
"""Digest names of our own: a change's digest and an action's, in hex."""

_MAX_SUBJECTS = 10_000
_MAX_SIGNATURES = 100
_PEM_BEGIN, _PEM_END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"
_VERDICTS = {"PASSED": "pass", "WARNED": "pass", "FAILED": "fail"}
_VERDICT_KEYS = {
    "https://in-toto.io/attestation/test-result/": "result",
    "https://slsa.dev/verification_summary/": "verificationResult",
}
"""Predicates that say how it went, by the beginning of their type."""


class About(NamedTuple):
    """What a report has to speak of, as far as it is known."""

    commit: str = ""
    tree: str = ""
    change_digest: str = ""
    """`sha256:` and hex; empty where it is about an action."""
    action_digest: str = ""
    files: frozenset[str] = frozenset()
    """SHA-256 of files, in hex."""


class Signature(NamedTuple):
    """One signature of an envelope."""

    key_id: str
    value: bytes


class Statement(NamedTuple):
    """A statement, and the envelope it came in."""

    predicate_type: str
    subjects: tuple[tuple[str, Mapping[str, str]], ...]
    """Name, and algorithm to digest."""
    sources: tuple[Mapping[str, str], ...]
    """Digests of what a provenance says it was built from."""
    verdict: str | None
    """`pass` or `fail` where the predicate says so."""
    signed: bytes = b""
    """What the signatures are about; empty where there is no envelope."""
    signatures: tuple[Signature, ...] = ()

    def speaks_of(self, about: About) -> tuple[str, ...]:
        """Return by which digests it speaks of something, such as `gitCommit`; nothing where it does not."""
        wanted = {
            "gitCommit": {about.commit},
            "sha1": {about.commit},
            "gitTree": {about.tree},
            CHANGE: {about.change_digest.removeprefix("sha256:")},
            ACTION: {about.action_digest.removeprefix("sha256:")},
            "sha256": about.files,
        }
        found = {
            name
            for _, digests in self.subjects
            for name, value in digests.items()
            if value and value in wanted.get(name, ())
        }
        commits = {digests[name] for digests in self.sources for name in ("gitCommit", "sha1") if name in digests}
        if about.commit and about.commit in commits:
            found.add("source")
        return tuple(sorted(found))


def read_statement(data: bytes, name: str) -> Statement:
    """Return the statement in a file.

    Raises:
        UsageError: it is none, or the envelope is damaged.
    """
    value = _object(strictjson.parse(data, name=name))
    if "payload" not in value:
        return _statement(value, name)
    kind, payload = value.get("payloadType"), _decoded(value.get("payload"), f"{name}: the payload")
    if kind != PAYLOAD_TYPE:
        raise UsageError(f"{name}: an envelope of {shown(kind)}; expected {PAYLOAD_TYPE}")
    given = value.get("signatures")
    if not isinstance(given, list) or len(given) > _MAX_SIGNATURES:
        raise UsageError(f"{name}: an envelope without a list of signatures, or with more than {_MAX_SIGNATURES}")
    signatures = tuple(
        Signature(str(_object(one).get("keyid") or ""), _decoded(_object(one).get("sig"), f"{name}: a signature"))
        for one in given
    )
    statement = _statement(_object(strictjson.parse(payload, name=f"{name}: the payload")), name)
    header = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode()
    return statement._replace(signed=header + payload, signatures=signatures)


def _statement(value: Mapping[str, Any], name: str) -> Statement:
    if value.get("_type") not in STATEMENTS:
        raise UsageError(f"{name}: a statement of type {shown(value.get('_type'))}; expected {STATEMENTS[0]}")
    predicate_type = value.get("predicateType")
    if not isinstance(predicate_type, str) or not predicate_type:
        raise UsageError(f"{name}: a statement without predicateType")
    given = value.get("subject")
    if not isinstance(given, list) or not given or len(given) > _MAX_SUBJECTS:
        raise UsageError(f"{name}: a statement without subjects, or with more than {_MAX_SUBJECTS:,}")
    subjects = tuple((str(_object(one).get("name") or ""), _digests(one)) for one in given)
    predicate = _object(value.get("predicate"))
    sources = tuple(_sources(predicate_type, predicate))
    return Statement(predicate_type, subjects, sources, _verdict(predicate_type, predicate))


def _digests(subject: object) -> dict[str, str]:
    """Return a subject's digests; hex in lower case, as everything here writes it."""
    digests = _object(_object(subject).get("digest"))
    return {str(name): str(value).lower().removeprefix("sha256:") for name, value in digests.items() if value}


def _sources(predicate_type: str, predicate: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield the digests of what a SLSA provenance was built from: version 1, then the versions before."""
    if not predicate_type.startswith("https://slsa.dev/provenance/"):
        return
    definition, invocation = _object(predicate.get("buildDefinition")), _object(predicate.get("invocation"))
    for given in (definition.get("resolvedDependencies"), predicate.get("materials")):
        if isinstance(given, list):
            yield from map(_digests, given[:_MAX_SUBJECTS])
    yield _digests(invocation.get("configSource"))


def _verdict(predicate_type: str, predicate: Mapping[str, Any]) -> str | None:
    for start, key in _VERDICT_KEYS.items():
        if predicate_type.startswith(start):
            return _VERDICTS.get(str(predicate.get(key)), "fail")
    return None


def verified(statement: Statement, known: Mapping[str, Iterable[bytes]], name: str) -> tuple[str, ...]:
    """Return who signed, by the keys that are known (a signer's name to raw Ed25519 public keys), sorted.

    Nobody where no key is known or nothing is signed: the statement then counts as unsigned.

    Raises:
        UsageError: keys are known and no signature is by one of them, or one in a signer's name is not theirs.
    """
    if not known or not statement.signatures:
        return ()
    signers: set[str] = set()
    for signature in statement.signatures:
        found = {
            who
            for who, own in known.items()
            if any(keys.verifies(key, signature.value, statement.signed) for key in own)
        }
        if signature.key_id in known and signature.key_id not in found:
            whose = shown(signature.key_id)
            raise UsageError(f"{name}: the signature of {whose} is not by their key, or something was changed")
        signers |= found
    if not signers:
        raise UsageError(
            f"{name}: no signature of it is by a known key, or something was changed",
            advice="name the signer's public key with --key",
        )
    return tuple(sorted(signers))


def public_key(text: str, name: str) -> bytes:
    """Return the 32 bytes of an Ed25519 public key: a PEM file, an OpenSSH line, or `ed25519:` and base64.

    Raises:
        UsageError: it is none.
    """
    given = text.strip()
    if given.startswith(_PEM_BEGIN) and given.endswith(_PEM_END):
        given = "ed25519:" + "".join(given.removeprefix(_PEM_BEGIN).removesuffix(_PEM_END).split())
    try:
        return keys.public_key(given)
    except ValueError as error:
        raise UsageError(
            f"{name} is no Ed25519 public key: {error}",
            advice="give a PEM file (BEGIN PUBLIC KEY), a line ssh-ed25519 AAAA..., or ed25519: and base64",
        ) from error


def _decoded(value: object, what: str) -> bytes:
    """Return the bytes of base64, in the standard or the URL-safe alphabet, padded or not."""
    if not isinstance(value, str) or not value.isascii():
        raise UsageError(f"{what} is no base64")
    plain = value.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return binascii.a2b_base64(plain + "=" * (-len(plain) % 4), strict_mode=True)
    except ValueError as error:
        raise UsageError(f"{what} is no base64: {error}") from error


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
