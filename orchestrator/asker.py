"""Who asks, where, and what the host knows of it: settings, the CI, the change, the run. Never decides.

On the hot path of `orch evaluate`; commands that execute ask here, too.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.record import Run
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.change import Change
    from orchestrator.ci import CiContext


class Asker(NamedTuple):
    """Where something is asked, and on whose behalf."""

    settings: Settings
    """The repository is the CI's where nobody else said."""
    cwd: Path
    ci: "CiContext | None"
    change: "Change | None"
    traceparent: str = ""
    """The caller's W3C trace context."""

    @classmethod
    def of(
        cls,
        settings: Settings,
        cwd: Path,
        environ: Mapping[str, str],
        *,
        change: str | None = None,
        is_event: bool = False,
    ) -> "Asker":
        """Return who asks here; `change` is `BASE..HEAD`, of what a CI's event stands for (`is_event`) its own range.

        Raises:
            UsageError: the CI's event or the change cannot be read.
        """
        context = _ci(environ)
        if is_event and context is not None and change is None and context.base and context.head:
            change = f"{context.base}..{context.head}"
        if context and context.repository and settings.repository is None:
            settings = settings._replace(repository=context.repository)
        read = None
        if change is not None:
            from orchestrator.change import read_change

            read = read_change(change, cwd)
        return cls(settings, cwd, context, read, _traceparent(environ))

    def within(self, repository: str | None) -> "Asker":
        """Return the same within a run, whose repository was fixed when it began."""
        if repository is None or self.settings.repository is not None:
            return self
        return self._replace(settings=self.settings._replace(repository=repository))

    @property
    def base_commit(self) -> str | None:
        """Where the packs of this checkout are read when its own change is judged; "" where it has no base.

        Not the merge base: its author chooses that, and could choose a time of laxer packs.
        """
        return self.change.base if self.change else None

    def subject(self, roster: Mapping[str, Any]) -> str:
        """Who asks, as far as the host knows: the operator's word, else the CI's login, else the OS user."""
        if self.settings.subject:
            return self.settings.subject
        if self.ci and self.ci.login:
            from orchestrator.ci import subject_for

            return subject_for(self.ci.login, self.ci.provider, roster)
        return f"user:{_os_user()}"

    def facts(self, roster: Mapping[str, Any]) -> dict[str, Any]:
        """What the host knows."""
        facts: dict[str, Any] = {}
        if self.settings.repository:
            facts["repository"] = self.settings.repository
        if self.settings.delegation:
            facts["delegation"] = list(self.settings.delegation)
        if self.ci and self.ci.trigger:
            from orchestrator.ci import subject_for

            facts["trigger"] = subject_for(self.ci.trigger, self.ci.provider, roster)
        contributors = set()
        if self.ci and self.ci.login:  # who opened the pull request, or pushed
            from orchestrator.ci import subject_for

            contributors.add(subject_for(self.ci.login, self.ci.provider, roster))
        if self.change:
            from orchestrator.change import contributor_names

            contributors.update(contributor_names(self.change.contributors, roster))
        if contributors or self.change:
            facts["contributors"] = sorted(contributors)
        return facts

    def run(self, roster: Mapping[str, Any]) -> Run:
        """What the decisions belong to."""
        trigger = ""
        event: dict[str, Any] | None = None
        if self.ci is not None:
            from orchestrator.ci import subject_for

            trigger = subject_for(self.ci.trigger, self.ci.provider, roster) if self.ci.trigger else ""
            event = {name: getattr(self.ci, name) for name in ("provider", "event", "run_id", "number", "base", "head")}
        tree = self.change.tree if self.change else None
        given = self.settings
        asker = self.subject(roster)
        return Run(given.run, given.session, given.repository, asker, trigger, tree, event, self.traceparent)


def _ci(environ: Mapping[str, str]) -> "CiContext | None":
    if not environ.keys() & {"GITHUB_ACTIONS", "GITLAB_CI"}:
        return None
    from orchestrator.ci import detect

    return detect(environ)


def _traceparent(environ: Mapping[str, str]) -> str:
    """Return the caller's trace context, "" where it is none as W3C writes them."""
    given = environ.get("TRACEPARENT", "")
    version, trace, span, flags = parts if len(parts := given.split("-")) == 4 else ("", "", "", "")  # noqa: PLR2004  # its form
    sizes = (len(version), len(trace), len(span), len(flags))
    return given if sizes == (2, 32, 16, 2) and set(given) <= set("0123456789abcdef-") else ""


def _os_user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
