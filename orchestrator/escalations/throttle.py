"""How wrong codes from one source are slowed down. Judges; a lock of one source is none of another.

An attempt counts as wrong from before it is looked at, so neither many at once nor a killed process is free.
"""

import ipaddress
import os
from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.clock import SECOND_NS
from orchestrator.escalations.model import Lockout
from orchestrator.ledger.store import Connection

_ROW = "SELECT failures, locked_until FROM renewal_attempts WHERE escalation = ? AND source = ?"
_MOST_DOUBLED = 40
_MOST_CLIENT_CHARS = 200


class Tried(NamedTuple):
    """What is known of a source."""

    failures: int = 0
    """Wrong attempts in a row, and those that nobody knows the end of."""
    locked_until_ns: int = 0
    """Nanoseconds since 1970; 0 where it never was."""


def tried_in(connection: Connection, escalation: str, source: str) -> Tried:
    """Return what the ledger knows of a source."""
    rows = connection.execute(_ROW, (escalation, source))
    return Tried(int(rows[0][0]), int(rows[0][1])) if rows else Tried()


def lock_s(lockout: Lockout, failures: int) -> int:
    """Return how long the last of so many wrong attempts in a row locks its source, seconds."""
    beyond = failures - lockout.after
    return 0 if beyond < 1 else min(lockout.longest_s, lockout.first_s << min(beyond - 1, _MOST_DOUBLED))


def locked_until_ns(lockout: Lockout, tried: Tried, now_ns: int) -> int:
    """Return until when a source is locked whose last attempt, counted in `tried`, was wrong."""
    locked_s = lock_s(lockout, tried.failures)
    return now_ns + locked_s * SECOND_NS if locked_s else 0


def is_locked(lockout: Lockout, tried: Tried, now_ns: int) -> bool:
    """Return whether a source is locked.

    No lock lasts longer than the policy's longest, whatever the clock said when it began.
    """
    return now_ns < tried.locked_until_ns <= now_ns + lockout.longest_s * SECOND_NS


def source_of(environ: Mapping[str, str], *, host: str = "", user: int | None = None) -> str:
    """Return where an attempt comes from: the OS user and the host, and the SSH client's address where there is one.

    What is no address is passed over, so that it makes no further source; so is an address's zone, which is any text.
    """
    if not host:
        import socket

        host = socket.gethostname()
    seen = f"uid {os.getuid() if user is None else user} at {host[:100]}"
    client = (environ.get("SSH_CONNECTION") or environ.get("SSH_CLIENT") or "")[:_MOST_CLIENT_CHARS].partition(" ")[0]
    try:
        return f"{seen} from {ipaddress.ip_address(client.partition('%')[0])}"
    except ValueError:
        return seen
