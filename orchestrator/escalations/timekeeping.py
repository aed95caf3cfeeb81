"""Which time it is for an escalation, as far as the clock can be trusted. Reads the clocks at one place; judges purely.

Three things speak against a wall clock: the ledger's high-water mark (time does not go back), the machine's count of
time since its start (nobody sets that), and a witness elsewhere. Where clock and count disagree, the earlier one is
gone by: nothing is done before its time.
"""

import time
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from orchestrator import clock
from orchestrator.clock import SECOND_NS
from orchestrator.escalations.model import Clock

SLACK_NS = 60 * SECOND_NS
"""So far clocks may disagree before that is said: what a time server corrects in passing."""
OPEN = "?"
"""After a start of the machine as it is recorded: no witness has confirmed the clock since."""
GIVEN = "given"
"""In the place of a start of the machine: somebody said which time it was, so that time binds no clock."""
_AFTER_GIVEN = "the last tick went by a time that somebody gave"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Reading(NamedTuple):
    """What the clocks of this machine say, read together."""

    wall_ns: int
    """Nanoseconds since 1970."""
    boot_id: str = ""
    """Another one after each start of the machine; "" where that is not to be seen."""
    boot_ns: int = 0
    """Nanoseconds since the machine started, sleep included where the system counts that."""
    is_given: bool = False
    """Whether somebody said which time it is: then the high-water mark speaks for or against it, and a witness."""


class Mark(NamedTuple):
    """The highest time that was ever acted by, as the ledger keeps it."""

    clock_ns: int = 0
    """Nanoseconds since 1970; 0 where there was none yet."""
    boot: str = ""
    """The start of the machine in which that was, as `boot_id`; `OPEN` after it. `GIVEN` where the time was."""
    boot_ns: int = 0
    """What the machine's own count was at that time."""

    @property
    def boot_id(self) -> str:
        """What names that start of the machine."""
        return self.boot.removesuffix(OPEN)

    @property
    def is_given(self) -> bool:
        """Whether somebody said that it was so late."""
        return self.boot == GIVEN

    @property
    def is_open(self) -> bool:
        """Whether a witness was wanted by then, and has not confirmed the clock."""
        return self.boot.endswith(OPEN)


class Trust(StrEnum):
    """What the comparison says of the wall clock."""

    GOOD = "good"
    """Nothing speaks against it."""
    BACK = "back"
    """It lies before the high-water mark: nothing is done."""
    AHEAD = "ahead"
    """It went on by more than the machine's own count, which is gone by."""
    BEHIND = "behind"
    """It went on by less than the machine's own count; still it is gone by, because it is the earlier one."""


class Judged(NamedTuple):
    """Which time it is."""

    now_ns: int
    """The time to go by, nanoseconds since 1970; never before the high-water mark, unless that was given."""
    trust: Trust
    detail: str = ""
    """What was seen, for people; "" where there is nothing to say."""
    is_unseen: bool = False
    """Whether the machine started anew, nobody looked for long, or the time was given: a witness is wanted before an
    outward stage."""
    why_unseen: str = ""
    """Which of these, for people."""
    reading: Reading = Reading(0)
    """What it was judged by."""

    @property
    def is_doubtful(self) -> bool:
        """Whether somebody has to look after the clock, unless a witness confirms it."""
        return self.trust in {Trust.AHEAD, Trust.BEHIND}


def read() -> Reading:
    """Return what the clocks of this machine say now."""
    return Reading(clock.now_ns(), boot_id(), boot_ns())


def boot_id() -> str:
    """Return what names this start of the machine, "" where that is not to be seen."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()[:64]
    except (OSError, UnicodeDecodeError):
        return ""


def boot_ns() -> int:
    """Return nanoseconds since the machine started, sleep included where the system counts that."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def judge(reading: Reading, mark: Mark, policy: Clock) -> Judged:
    """Return which time it is by what the clocks say, and by what the ledger knows."""
    is_same_boot = _is_same_boot(reading, mark)
    if mark.is_given and not reading.is_given and reading.wall_ns < mark.clock_ns:
        return Judged(reading.wall_ns, Trust.GOOD, _said_given(mark), True, _AFTER_GIVEN, reading)
    if mark.clock_ns and reading.wall_ns < mark.clock_ns - SLACK_NS:
        return Judged(mark.clock_ns, Trust.BACK, _said_back(reading, mark), reading=reading)
    now_ns, trust, detail = max(reading.wall_ns, mark.clock_ns), Trust.GOOD, ""
    if mark.clock_ns and is_same_boot:
        counted_ns = mark.clock_ns + reading.boot_ns - mark.boot_ns
        if reading.wall_ns > counted_ns + SLACK_NS:
            now_ns, trust, detail = counted_ns, Trust.AHEAD, _said_ahead(reading, counted_ns)
        elif reading.wall_ns < counted_ns - SLACK_NS:
            trust, detail = Trust.BEHIND, _said_behind(reading, counted_ns)
    why = _why_unseen(now_ns, mark, policy, is_same_boot=is_same_boot)
    if reading.is_given:
        why = "somebody said which time it is"
    return Judged(now_ns, trust, detail, bool(why), why, reading)


def confirmed(judged: Judged) -> Judged:
    """Return the same where a witness agreed with the wall clock: it counts from now on."""
    return judged._replace(
        now_ns=max(judged.now_ns, judged.reading.wall_ns), trust=Trust.GOOD, detail="", is_unseen=False, why_unseen=""
    )


def agrees(witness_ns: int, time_ns: int, policy: Clock) -> bool:
    """Return whether a witness and a time are no further apart than the policy tolerates."""
    return abs(witness_ns - time_ns) <= policy.tolerance_s * SECOND_NS


def ahead_ns(now_ns: int, seconds: int) -> int:
    """Return a time so far ahead, nanoseconds since 1970, rounded up to a whole second: people read it."""
    return (-(-now_ns // SECOND_NS) + seconds) * SECOND_NS


def span(seconds: int) -> str:
    """Return a number of seconds for people: `45 s`, `12 min`, `6 h 20 min`, `3 d 4 h`; two units at most."""
    parts: list[tuple[int, str]] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append((count, unit))
    if not parts:
        return "0 s"
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count)


def told(ns: int) -> str:
    """Return a time for people, to the second."""
    return clock.format_time(ns // SECOND_NS * SECOND_NS)


def _is_same_boot(reading: Reading, mark: Mark) -> bool:
    """Return whether the machine counted on from the mark to the reading."""
    is_counted = not reading.is_given and reading.boot_id != "" and reading.boot_ns >= mark.boot_ns
    return is_counted and reading.boot_id == mark.boot_id


def _why_unseen(now_ns: int, mark: Mark, policy: Clock, *, is_same_boot: bool) -> str:
    if not mark.clock_ns:
        return "nothing was ever seen of this clock"
    if mark.is_given:
        return _AFTER_GIVEN
    if not is_same_boot:
        return "the machine started anew, or is another one"
    if mark.is_open:
        return "no witness has confirmed the clock since it was last unknown"
    gap_s = (now_ns - mark.clock_ns) // SECOND_NS
    return f"nobody looked for {span(gap_s)}" if gap_s > policy.after_gap_s else ""


def _said_back(reading: Reading, mark: Mark) -> str:
    back = span((mark.clock_ns - reading.wall_ns) // SECOND_NS)
    return f"the clock says {told(reading.wall_ns)}, {back} before {told(mark.clock_ns)}, which it was already"


def _said_given(mark: Mark) -> str:
    return f"a tick went by {told(mark.clock_ns)}, as somebody said; that binds no clock, so the clock is gone by"


def _said_ahead(reading: Reading, counted_ns: int) -> str:
    ahead = span((reading.wall_ns - counted_ns) // SECOND_NS)
    return (
        f"the clock says {told(reading.wall_ns)}, {ahead} more than this machine counted since the last tick; "
        f"going by its count: {told(counted_ns)}"
    )


def _said_behind(reading: Reading, counted_ns: int) -> str:
    behind = span((counted_ns - reading.wall_ns) // SECOND_NS)
    return (
        f"the clock says {told(reading.wall_ns)}, {behind} less than this machine counted since the last tick; "
        "going by the clock, which is the earlier of both"
    )
