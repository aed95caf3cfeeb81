"""The ticks of a worker for whoever sits before it: one line where something happened or changed, else none."""

from collections.abc import Mapping
from typing import Any

_QUIET_HEARTBEATS = frozenset({"none", "delivered", ""})


class Lines:
    """Remembers how each escalation stood, so that a tick at which nothing happens is not told."""

    def __init__(self) -> None:
        self._stood: dict[str, tuple[object, ...]] = {}

    def line(self, tick: Mapping[str, Any]) -> str:
        """Return what a tick came to, "" where there is nothing new to say; `tick` is `Ticked.to_line` and more."""
        name, stands = str(tick.get("escalation", "")), str(tick.get("stage") or "")
        parts = [
            f"{word} {', '.join(map(str, tick[key]))}"
            for key, word in (
                ("entered", "entered"),
                ("delivered", "delivered"),
                ("refused", "REFUSED"),
                ("owed", "owes"),
            )
            if tick.get(key)
        ]
        if tick.get("heartbeat") not in _QUIET_HEARTBEATS:
            parts.append(f"the heartbeat did not arrive ({tick['heartbeat']})")
        now = (stands, tick.get("why"), *parts)
        if self._stood.get(name) == now and not tick.get("entered") and not tick.get("delivered"):
            return ""
        self._stood[name] = now
        code = tick.get("exit_code")
        parts += [str(tick["detail"])] if tick.get("detail") else []
        said = f"{name}: at {stands}" if stands else name
        return "; ".join([said, *parts]) + (f" (exit code {code})" if code else "")
