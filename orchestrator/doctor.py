"""Examines an installation: what was found, from where, and how to mend it. Changes nothing, starts nothing."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import __version__, place
from orchestrator.errors import OrchError, UsageError
from orchestrator.load import use_opa_of
from orchestrator.names import shown
from orchestrator.settings import Settings
from orchestrator.words import counted, near_miss

if TYPE_CHECKING:
    from orchestrator.jobs import Job

CREDENTIALS = (
    "GH_TOKEN", "GITHUB_TOKEN", "GITLAB_TOKEN", "CI_JOB_TOKEN", "SSH_AUTH_SOCK", "AWS_ACCESS_KEY_ID",
    "AWS_SESSION_TOKEN",
    "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_CLIENT_SECRET", "NPM_TOKEN", "TWINE_PASSWORD", "SLACK_TOKEN", "KUBECONFIG",
)  # fmt: skip
"""Variables that let their holder act without asking."""
CREDENTIAL_FILES = (
    ".ssh/id_rsa", ".ssh/id_ecdsa", ".ssh/id_ed25519", ".git-credentials", ".netrc", ".config/gh/hosts.yml", ".npmrc",
    ".pypirc",
    ".aws/credentials", ".kube/config", ".docker/config.json",
)  # fmt: skip
"""Files below the home that do the same."""


class State(StrEnum):
    """How a thing stands."""

    OK = "ok"
    NOTE = "note"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State
    found: str
    mend: str = ""
    """What to do, for all but `ok`."""


def examine(settings: Settings, *, cwd: Path | None = None, environ: Mapping[str, str] | None = None) -> list[Check]:
    """Return every check in the order of the flow: program, engine, packs, record, and what enforcing is worth."""
    environ = os.environ if environ is None else environ
    use_opa_of(settings)
    checks: list[Check] = [Check("orch", State.OK, f"{__version__} in {Path(__file__).parent}")]
    sections: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
        ("OPA", _engine),
        ("sidecar", _sidecars),
        ("starters", _starters),
        ("config", lambda: _config(environ)),
        ("packs", lambda: _packs(settings, cwd or place.here())),
        ("ledger", lambda: _ledger(settings, environ)),
        ("adapters", lambda: _adapters(settings)),
        ("channels", lambda: _channels(settings)),
        ("secrets", lambda: _secrets(settings, environ)),
        ("escalations", lambda: _escalations(settings, cwd or place.here(), environ)),
        ("jobs", lambda: _jobs(settings, cwd or place.here(), environ)),
        ("enforcement", lambda: _enforcement(environ)),
    )
    for name, section in sections:
        try:
            checks += section()
        except OrchError as error:
            checks.append(Check(name, State.BROKEN, str(error), error.advice))
    return checks


def _engine() -> Iterator[Check]:
    from orchestrator import opa

    found = opa.find()
    yield Check("OPA", State.OK, f"{found.version()} at {found.path}")
    yield Check("OPA digest", State.OK, found.digest())


def _sidecars() -> Iterator[Check]:
    from orchestrator import sidecar

    running = sidecar.status()
    yield Check("sidecar", State.OK, f"{len(running)} running, sockets in {place.runtime_dir()}")
    yield Check("cache", State.OK, str(place.cache_dir()))


def _starters() -> Iterator[Check]:
    yield Check("starters", State.OK, f"packs to copy: {place.resource('policy_packs')}")


def _config(environ: Mapping[str, str]) -> Iterator[Check]:
    file = Path(environ.get("ORCH_CONFIG") or place.config_file(environ))
    yield Check("config", State.OK, f"{file} (the operator's file)" if file.is_file() else f"{file} (not there)")


def _packs(settings: Settings, cwd: Path) -> Iterator[Check]:
    from orchestrator.sources import gather, read_pack_set

    try:
        gathered = gather(settings, cwd=cwd)
    except UsageError as error:
        if settings.packs:
            raise
        mend = (
            f"cp -r {place.resource('policy_packs') / 'coding-agents'} our-packs; then --packs our-packs, or ORCH_PACKS"
        )
        yield Check("packs", State.NOTE, str(error), mend)
        return
    origin = settings.origin("packs")
    for where in gathered.places:
        yield Check("packs", State.OK, f"{where} ({origin})" if where.startswith("org") else where)
    if gathered.bundle:
        signed = (
            "its signature is checked" if settings.verification_key else "no key is set, so no signature is checked"
        )
        yield Check(
            "bundle", State.OK if settings.verification_key else State.NOTE, signed, "set ORCH_VERIFICATION_KEY"
        )
        return
    found = read_pack_set(gathered)
    rules = sum(len(pack.rules) for pack in found.packs)
    yield Check(
        "rules",
        State.OK,
        f"{rules} in {counted(len(found.packs), 'pack')}, {counted(len(found.waivers), 'waiver')},"
        f" {len(found.roster):,} in the roster",
    )
    yield from (Check("packs", State.NOTE, note, "") for note in (*gathered.notes, *found.warnings))
    if settings.repository is None:
        yield Check(
            "repository",
            State.NOTE,
            "nobody said which repository this is",
            "set ORCH_REPOSITORY or `repository:` in the operator's file",
        )
    else:
        yield Check("repository", State.OK, f"{settings.repository} ({settings.origin('repository')})")


def _ledger(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    from orchestrator.ledger.open import default_folder, is_url, open_ledger
    from orchestrator.ledger.sqlite import FILE

    named = settings.ledger
    is_server = bool(named and is_url(named))
    where = Path(named or default_folder(environ))
    place_name = "PostgreSQL" if is_server else str(where)
    if not is_server and not (where / FILE).exists():
        yield Check("ledger", State.NOTE, f"{place_name}; none yet", "the first `orch evaluate` makes it")
        return
    with open_ledger(named, must_exist=True, environ=environ) as ledger:
        with ledger.store.reading() as connection:
            events = connection.execute("SELECT count(*) FROM events")[0][0]
            heads = connection.execute("SELECT max(size) FROM heads")[0][0]
        if is_server:
            from orchestrator.ledger.init import notes

            yield from (Check("ledger", State.NOTE, note) for note in notes(ledger))
    said = f"{place_name} ({settings.origin('ledger')}), {counted(events, 'event')}, ledger {ledger.id}"
    yield Check("ledger", State.OK, said)
    if heads is None:
        mend = "orch ledger heads anchor --git DIR keeps a signed head where this machine cannot change it"
        yield Check(
            "tree head", State.NOTE, "none was signed yet, so a cut or rewritten ledger could not be told", mend
        )
    else:
        yield Check("tree head", State.OK, f"the newest covers {heads:,} of {counted(events, 'event')}")


def _adapters(settings: Settings) -> Iterator[Check]:
    """Which adapters there are, and which cannot be used."""
    from orchestrator import adapter

    usable = []
    for name in sorted(adapter.installed()):
        try:
            adapter.named(name)
        except UsageError as error:
            yield Check("adapters", State.BROKEN, str(error), error.advice)
            continue
        usable.append(name)
    yield Check("adapters", State.OK, ", ".join(usable) or "none is installed")
    for name in sorted(settings.adapters.keys() - adapter.installed().keys()):
        said = f"the operator's file sets up {name}, which is not installed{near_miss(name, adapter.installed())}"
        yield Check("adapters", State.NOTE, said, "install its package, or mend the name")


def _channels(settings: Settings) -> Iterator[Check]:
    """Which channels messages can go to."""
    from orchestrator import adapter

    if settings.channels:
        yield Check("channels", State.OK, ", ".join(sorted(settings.channels)))
    for name, said in sorted(settings.channels.items()):
        try:
            adapter.adapter_for("send_message", str(said["adapter"]))
        except UsageError as error:
            yield Check("channels", State.NOTE, f"{name}: {error}", error.advice or "name another adapter")


def _secrets(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    """Which secrets are there for whoever runs this; values are neither shown nor kept."""
    from orchestrator.ledger.mask import Mask
    from orchestrator.secret import Secrets, references

    problems = Secrets(settings.secrets, environ, Mask()).problems()
    users: dict[str, list[str]] = {}
    for section in ("adapters", "channels", "jobs"):
        for owner, said in sorted(getattr(settings, section).items()):
            for name in dict.fromkeys(references(said)):
                users.setdefault(name, []).append(f"{section}.{owner}")
    there = sorted(settings.secrets.keys() - problems.keys())
    if settings.secrets:
        listed = f": {', '.join(there)}" if there else ""
        yield Check("secrets", State.OK, f"{len(there)} of {len(settings.secrets)} can be read here{listed}")
    for name, error in sorted(problems.items()):
        used = f" (for {', '.join(users[name])})" if name in users else ""
        yield Check("secrets", State.NOTE, f"{error}{used}", error.advice or "put it there, or leave it out")
    for name in sorted(users.keys() - settings.secrets.keys()):
        said = f"the operator's file does not name the secret {name} (for {', '.join(users[name])})"
        mend = f"say where it lies: secrets: {{{name}: {{env: {name}}}}}"
        yield Check("secrets", State.NOTE, said + near_miss(name, settings.secrets), mend)


def _escalations(settings: Settings, cwd: Path, environ: Mapping[str, str]) -> Iterator[Check]:
    """What each escalation of the packs lacks here, where the packs are known as files."""
    if not settings.packs:
        return
    from orchestrator.sources import gather, read_pack_set

    gathered = gather(settings, cwd=cwd)
    rows = () if gathered.bundle else read_pack_set(gathered).escalations
    if not rows:
        return
    from orchestrator.escalations.model import Escalation
    from orchestrator.escalations.needs import Needs

    needs = Needs(settings, environ)
    for row in rows:
        lacking = list(needs.of(Escalation.of(row.row)))
        if not lacking:
            yield Check("escalations", State.OK, f"{row.name}: every secret that it names is here")
        said: dict[str, list[str]] = {}
        for name, lacks in lacking:
            for lack in lacks:
                said.setdefault(lack, []).append(name)
        mend = "put it where the tick finds it: the environment of a shell is not that of cron or systemd"
        for lack, names in said.items():
            yield Check("escalations", State.NOTE, f"{row.name}: {lack} (for {', '.join(names)})", mend)


def _jobs(settings: Settings, cwd: Path, environ: Mapping[str, str]) -> Iterator[Check]:
    """Which jobs there are, and which could not begin."""
    from orchestrator import jobs

    found = jobs.listed(settings)
    if found:
        yield Check("jobs", State.OK, ", ".join(job.name for job in found))
    for job in found:
        try:
            _try(job, settings, cwd, environ)
        except OrchError as error:
            yield Check("jobs", State.NOTE, f"{job.name}: {error}", error.advice or "mend it in the operator's file")


def _try(job: "Job", settings: Settings, cwd: Path, environ: Mapping[str, str]) -> None:
    """Prepare a job's command, which runs nothing; without a folder of its own, its program alone.

    Raises:
        OrchError: it could not begin.
    """
    from orchestrator.adapter import Place, Wanted, named

    argv = list(job.argv) if job.cwd else list(job.argv[:1])
    if not job.cwd and "/" in argv[0] and not argv[0].startswith("/"):
        return  # it depends on where the job is called
    root = Path(job.cwd or cwd)
    if not root.is_dir():
        raise UsageError(f"there is no folder {shown(str(root))}", advice="mend its `cwd` in the operator's file")
    where = Place(
        root=root.resolve(),
        repository=None,
        settings=settings.adapters.get("command", {}),
        channels={},
        reveal=lambda text: text,
        keep=lambda _stream, _name, _media_type: "",
        environ=environ,
        may_ask=False,
    )
    named("command").prepare(Wanted("run_command", {"argv": argv} | ({"env": dict(job.env)} if job.env else {})), where)


def _enforcement(environ: Mapping[str, str]) -> Iterator[Check]:
    """Whether whoever runs this could also act without asking."""
    home = environ.get("HOME", "")
    held = [name for name in CREDENTIALS if environ.get(name)]
    held += [f"~/{name}" for name in CREDENTIAL_FILES if home and os.access(Path(home, name), os.R_OK)]
    if held:
        yield Check(
            "enforcement",
            State.NOTE,
            f"whoever runs this holds credentials of its own ({', '.join(held)}) and can go around orch",
            "give credentials and ledger to a user, container or CI job that only orch runs in (docs/threat-model.md)",
        )
    else:
        yield Check("enforcement", State.OK, "no credential of a known kind lies in the environment or the home")
    if os.geteuid() == 0:
        yield Check(
            "user",
            State.NOTE,
            "root: packs, keys and the cache can be changed by whoever runs this",
            "run orch as a user of its own",
        )
