"""Looks after the clock during one tick: what it says, whether a witness confirms that, what is kept of it."""

from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.escalations import timekeeping, witness
from orchestrator.escalations.meant import said
from orchestrator.escalations.model import Clock
from orchestrator.escalations.timekeeping import Judged

_MEND = "`orch tick --now TIME` takes your word for the time"


class Watchful:
    """The clock of one tick. A witness is asked at most once."""

    def __init__(self, judged: Judged, policy: Clock, about: witness.About, time_file: Path | None) -> None:
        self.judged = judged
        self.notes: list[str] = []
        """What a person should know of the clock."""
        self._policy, self._about, self._time_file = policy, about, time_file
        self._heard: witness.Testimony | str | None = None

    @property
    def is_doubtful(self) -> bool:
        """Whether somebody has to look after the clock."""
        return self.judged.is_doubtful

    @property
    def boot(self) -> str:
        """This start of the machine as it is recorded; marked where a witness has still to confirm the clock."""
        reading = self.judged.reading
        if reading.is_given:
            return timekeeping.GIVEN
        if not reading.boot_id:
            return ""
        is_open = self.judged.is_unseen and self._policy.is_witnessed
        return reading.boot_id + (timekeeping.OPEN if is_open else "")

    @property
    def boot_ns(self) -> int:
        """What the machine counted; 0 where `boot` is ""."""
        reading = self.judged.reading
        return reading.boot_ns if self.boot and not reading.is_given else 0

    def confirm(self) -> None:
        """Ask a witness whether the wall clock is right where something speaks against it."""
        if not self.is_doubtful:
            self.notes.extend(filter(None, [self.judged.detail]))
            return
        heard = self._testimony() if self._policy.is_witnessed else ""
        reading = self.judged.reading
        if isinstance(heard, str):
            why = heard
        elif timekeeping.agrees(heard.at(reading), reading.wall_ns, self._policy):
            self.notes.append(f"{heard.by} confirmed the clock")
            self.judged = timekeeping.confirmed(self.judged)
            return
        else:
            why = f"{heard.by} says that it is {timekeeping.told(heard.at(reading))}"
        self.notes.append("; ".join(filter(None, (self.judged.detail, why, _MEND))))

    def unwitnessed(self) -> str:
        """Return why the clock may not be gone by in front of others, "" where it may."""
        judged = self.judged
        if not (judged.is_unseen and self._policy.is_witnessed):
            return ""
        heard = self._testimony()
        if isinstance(heard, str):
            return f"{judged.why_unseen}, and no witness confirms the clock: {heard}"
        if timekeeping.agrees(heard.at(judged.reading), judged.now_ns, self._policy):
            self.judged = judged._replace(is_unseen=False, why_unseen="")
            return ""
        theirs, ours = timekeeping.told(heard.at(judged.reading)), timekeeping.told(judged.now_ns)
        return f"{judged.why_unseen}, and {heard.by} says that it is {theirs}, not {ours}"

    def _testimony(self) -> witness.Testimony | str:
        """Return what a witness says, or why none does."""
        if self._heard is None:
            try:
                self._heard = witness.heard(self._policy, self._about, self._time_file)
            except (witness.WitnessError, UsageError) as error:
                self._heard = said(error)
        return self._heard
