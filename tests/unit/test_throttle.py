"""Wrong codes slow their own source down, and no lock is longer than the policy says."""

import pytest

from orchestrator.clock import SECOND_NS
from orchestrator.escalations.model import Lockout
from orchestrator.escalations.throttle import Tried, is_locked, lock_s, locked_until_ns, source_of

POLICY = Lockout(after=5, first_s=30, longest_s=600)
NOW = 1_800_000_000 * SECOND_NS


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, 0), (1, 0), (5, 0), (6, 30), (7, 60), (8, 120), (9, 240), (10, 480), (11, 600), (12, 600), (10_000, 600)],
)
def test_a_lock_doubles_up_to_the_longest(failures: int, seconds: int) -> None:
    assert lock_s(POLICY, failures) == seconds


def test_none_are_free_where_the_policy_says_so() -> None:
    assert [lock_s(Lockout(0, 10, 40), failures) for failures in range(5)] == [0, 10, 20, 40, 40]


def test_what_is_free_locks_until_no_time() -> None:
    assert locked_until_ns(POLICY, Tried(5), NOW) == 0
    assert locked_until_ns(POLICY, Tried(6), NOW) == NOW + 30 * SECOND_NS


@pytest.mark.parametrize(
    ("until_s", "expected"),
    [(0, False), (-1, False), (1, True), (600, True), (601, False), (10 * 365 * 86_400, False)],
    ids=["its end", "past", "within", "the longest", "longer than any", "of a clock that was years ahead"],
)
def test_a_lock_ends(until_s: int, expected: bool) -> None:  # noqa: FBT001  # a table
    assert is_locked(POLICY, Tried(9, NOW + until_s * SECOND_NS), NOW) is expected


@pytest.mark.parametrize(
    ("environ", "source"),
    [
        ({}, "uid 7 at desk"),
        ({"SSH_CONNECTION": "203.0.113.9 50000 10.0.0.1 22"}, "uid 7 at desk from 203.0.113.9"),
        ({"SSH_CLIENT": "2001:db8:0::9 50000 22"}, "uid 7 at desk from 2001:db8::9"),
        ({"SSH_CONNECTION": "fe80::1%any-text-1 50000 fe80::2 22"}, "uid 7 at desk from fe80::1"),
        ({"SSH_CONNECTION": "anything else"}, "uid 7 at desk"),
        ({"SSH_CONNECTION": ""}, "uid 7 at desk"),
    ],
    ids=["local", "IPv4", "IPv6 in one writing", "without its zone", "no address", "empty"],
)
def test_a_source_is_the_user_the_host_and_the_ssh_client(environ: dict[str, str], source: str) -> None:
    assert source_of(environ, host="desk", user=7) == source
