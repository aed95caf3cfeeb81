"""Examines an installation: what was found, from where, and how to mend it. Changes nothing, starts nothing."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from orchestrator import __version__, place
from orchestrator.errors import OrchError, UsageError
from orchestrator.load import use_opa_of
from orchestrator.settings import Settings

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
        f"{rules} in {len(found.packs)} packs, {len(found.waivers)} waivers, {len(found.roster)} in the roster",
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
    shown = "PostgreSQL" if is_server else str(where)
    if not is_server and not (where / FILE).exists():
        yield Check("ledger", State.NOTE, f"{shown}; none yet", "the first `orch evaluate` makes it")
        return
    with open_ledger(named, must_exist=True, environ=environ) as ledger:
        with ledger.store.reading() as connection:
            events = connection.execute("SELECT count(*) FROM events")[0][0]
            heads = connection.execute("SELECT max(size) FROM heads")[0][0]
        if is_server:
            from orchestrator.ledger.init import notes

            yield from (Check("ledger", State.NOTE, note) for note in notes(ledger))
    said = f"{shown} ({settings.origin('ledger')}), {events:,} events, ledger {ledger.id}"
    yield Check("ledger", State.OK, said)
    if heads is None:
        mend = "orch ledger heads anchor --git DIR keeps a signed head where this machine cannot change it"
        yield Check(
            "tree head", State.NOTE, "none was signed yet, so a cut or rewritten ledger could not be told", mend
        )
    else:
        yield Check("tree head", State.OK, f"the newest covers {heads:,} of {events:,} events")


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
