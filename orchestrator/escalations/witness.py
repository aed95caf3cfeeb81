"""Asks others which time it is: two HTTPS servers that agree, or a time file that somebody signed. Decides nothing.

What a witness says cannot lie ahead of the truth: a server that was reached by TLS, and the holder of a key that the
policy names, have to have said it at that time. So an old file read again lets nothing happen too early.
"""

import base64
import json
import queue
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from orchestrator import clock, keys
from orchestrator.clock import SECOND_NS
from orchestrator.errors import DecisionError, UsageError
from orchestrator.escalations import plainfile, timekeeping
from orchestrator.escalations.model import Clock
from orchestrator.escalations.reach import host_of
from orchestrator.escalations.renewing import id_given
from orchestrator.escalations.timekeeping import Reading
from orchestrator.names import shown
from orchestrator.vote import Signer

TYPE = "orch-time+jwt"
"""The header's `typ`: no other token that the key ever signed can pass for a time."""
HEADER = {"alg": "EdDSA", "typ": TYPE}
PATIENCE_S = 10.0
"""So long the servers have to answer, all at once."""
_AGREE_NS = 5 * SECOND_NS
"""So far two servers may be apart: a Date header counts whole seconds, and answers take their time."""
_MOST_BYTES = 4096
_CLAIMS = frozenset({"time", "aud", "sub", "after", "nonce"})


class WitnessError(DecisionError):
    """No witness could be heard, so nobody confirms the clock."""


class Testimony(NamedTuple):
    """What a witness said."""

    time_ns: int
    """Nanoseconds since 1970."""
    counted_ns: int
    """What this machine's count was when that was heard, as `Reading.boot_ns`."""
    by: str
    """Who said it, for people and the record."""

    def at(self, reading: Reading) -> int:
        """Return which time it was by the witness when the clocks were read."""
        return self.time_ns - (self.counted_ns - reading.boot_ns)


class Claims(NamedTuple):
    """What a time file says."""

    time: str
    """RFC 3339."""
    aud: str | None = None
    """The ledger's id that it is for; None for any."""
    sub: str | None = None
    """The escalation that it is for; None for any."""
    after: str | None = None
    """The newest tick when it was signed; it counts until the next one. None where that does not matter."""
    nonce: str | None = None
    """Anything that makes it differ from others."""


class About(NamedTuple):
    """What a time file is asked for."""

    ledger: str
    """The ledger's id."""
    escalation: str
    tick: str
    """The newest tick."""


def heard(policy: Clock, about: About, time_file: Path | None = None) -> Testimony:
    """Return what the time file says, where one is given, else what two of the policy's servers agree on.

    Raises:
        WitnessError: the file does not count, or no two servers answer and agree in time.
        UsageError: the file cannot be read.
    """
    if time_file is not None:
        return of_file(_read(time_file), policy, about)
    return of_servers(policy.sources)


def must_be_token(time_file: Path) -> None:
    """Look whether a file holds a time at all, before anything rests on it; who signed it is looked at when it counts.

    Raises:
        UsageError: it cannot be read, or is no time file.
    """
    try:
        header, _ = _parts(_read(time_file))
    except WitnessError as error:
        raise UsageError(f"{shown(str(time_file))}: {error}", advice=error.advice) from None
    if header != HEADER:
        raise UsageError(
            f"{shown(str(time_file))} is another kind of token; expected the header {json.dumps(HEADER)}",
            advice="`orch code time` writes one; see `clock` in docs/tick.md",
        )


def of_servers(urls: Sequence[str], patience_s: float = PATIENCE_S) -> Testimony:
    """Return the time that two servers of different hosts agree on; all are asked at once, the first two count.

    Raises:
        WitnessError: there are not two.
    """
    answers: queue.SimpleQueue[Testimony | str] = queue.SimpleQueue()
    for url in urls:
        threading.Thread(target=_ask, args=(url, patience_s, answers), name="orch-witness", daemon=True).start()
    until_s = time.monotonic() + patience_s
    known: list[Testimony] = []
    problems: list[str] = []
    for _ in urls:
        try:
            answer = answers.get(timeout=max(0.001, until_s - time.monotonic()))
        except queue.Empty:
            problems.append(f"no answer from the others within {patience_s:g} s")
            break
        if isinstance(answer, str):
            problems.append(answer)
            continue
        for other in known:
            if answer.by != other.by and _gap_ns(answer, other) <= _AGREE_NS:
                return answer._replace(by=f"{other.by} and {answer.by}")
        known.append(answer)
    problems += [f"{one.by} says {clock.format_time(one.time_ns)}" for one in known]
    raise WitnessError(
        "no two servers agree on the time: " + ("; ".join(problems) or "none is named"),
        advice="see that `clock.sources` of the escalation can be reached, or give a signed --time-file",
    )


def of_file(token: str, policy: Clock, about: About) -> Testimony:
    """Return the time of a token that one of the policy's keys signed.

    Raises:
        WitnessError: no key of the policy signed it, it is another kind of token, or for something else.
    """
    counted_ns = timekeeping.boot_ns()
    header, claims = _parts(token)
    if header != HEADER:
        raise _refused(f"its header is {shown(json.dumps(header))}; expected {json.dumps(HEADER)}")
    if not any(_is_signed(token, key) for key in policy.keys):
        raise _refused("none of the escalation's `clock.keys` signed it")
    if unknown := sorted(claims.keys() - _CLAIMS):
        raise _refused(f"it says {shown(unknown[0])}; expected {', '.join(sorted(_CLAIMS))}")
    wanted = {"aud": about.ledger, "sub": about.escalation, "after": about.tick}
    for name, value in wanted.items():
        if claims.get(name) is not None and claims[name] != value:
            raise _refused(f"its {name} is {shown(str(claims[name]))}; expected {shown(value)}")
    try:
        time_ns = clock.parse_time(str(claims.get("time")))
    except ValueError as error:
        raise _refused(f"its time is none: {error}") from error
    return Testimony(time_ns, counted_ns, "the time file")


def signed(claims: Claims, signer: Signer) -> str:
    """Return a time file's text.

    Raises:
        UsageError: the time is none.
    """
    try:
        clock.parse_time(claims.time)
    except ValueError as error:
        raise UsageError(f"the time {error}", advice="for example --time 2026-11-21T05:00:00Z") from error
    said = {name: value for name, value in claims._asdict().items() if value is not None}
    data = f"{_text(_json(HEADER))}.{_text(_json(said))}"
    return f"{data}.{_text(signer.sign(data.encode()))}"


def time_file(
    signer: Signer,
    *,
    name: str | None = None,
    ledger_id: str | None = None,
    after: int | None = None,
    time: str | None = None,
) -> str:
    """Return a time file's text as somebody typed what it is for; without a time it says that it is now.

    Raises:
        UsageError: the ledger's id or the time is none.
    """
    said = clock.format_time(clock.now_ns() // SECOND_NS * SECOND_NS) if time is None else time
    aud = None if ledger_id is None else id_given(ledger_id)
    return signed(Claims(said, aud, name, None if after is None else str(after)), signer)


def _ask(url: str, patience_s: float, answers: "queue.SimpleQueue[Testimony | str]") -> None:
    """Put what a server says into the queue: its time, or why there is none."""
    host = url
    try:
        host = host_of(url) or url
        answers.put(_date_of(url, host, patience_s))
    except Exception as error:  # noqa: BLE001  # whatever is wrong with one, the others are heard
        answers.put(f"{host}: {str(error) or type(error).__name__}")


def _date_of(url: str, host: str, patience_s: float) -> Testimony:
    """Return what a server's Date header says, as of the moment that the answer came.

    Raises:
        ValueError, httpx.HTTPError: it says nothing that counts.
    """
    from email.utils import parsedate_to_datetime

    import httpx

    if urlsplit(url).scheme != "https":
        raise ValueError("not an https address")
    headers = {"cache-control": "no-cache", "accept-encoding": "identity"}
    with httpx.Client(timeout=patience_s, follow_redirects=False) as client:
        answer = client.head(url, headers=headers)
    counted_ns = timekeeping.boot_ns()
    if answer.headers.get("age", "0").strip() != "0":
        raise ValueError("its answer comes out of a cache")
    try:
        date = parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError) as error:
        raise ValueError("its answer has no date") from error
    if date.tzinfo is None:
        raise ValueError("its answer's date has no zone")
    return Testimony(int(date.timestamp()) * SECOND_NS, counted_ns, host)


def _gap_ns(one: Testimony, other: Testimony) -> int:
    """Return how far apart two witnesses are, the time between their answers left out."""
    return abs((one.time_ns - one.counted_ns) - (other.time_ns - other.counted_ns))


def _parts(token: str) -> tuple[dict[str, object], dict[str, object]]:
    parts = token.split(".")
    try:
        header, claims = (json.loads(_bytes(part)) for part in parts[:2])
    except (ValueError, RecursionError):  # binascii.Error and UnicodeDecodeError are such
        raise _refused("it is no signed token") from None
    if len(parts) != 3 or not isinstance(header, dict) or not isinstance(claims, dict):  # noqa: PLR2004  # of a compact JWS
        raise _refused("it is no signed token")
    return header, claims


def _is_signed(token: str, key: str) -> bool:
    data, _, signature = token.rpartition(".")
    try:
        return keys.verifies(keys.from_jwk(key), _bytes(signature), data.encode())
    except ValueError:
        return False


def _read(file: Path) -> str:
    try:
        data = plainfile.read(file, _MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"the time file {shown(str(file))} cannot be read: {reason}") from error
    if len(data) > _MOST_BYTES:
        raise UsageError(f"the time file {shown(str(file))} has more than {_MOST_BYTES:,} bytes; expected one token")
    try:
        return data.decode("ascii").strip()
    except UnicodeDecodeError:
        raise _refused("it is no signed token") from None


def _refused(why: str) -> WitnessError:
    return WitnessError(f"the time file does not count: {why}", advice="see `clock` in docs/tick.md for what it holds")


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
