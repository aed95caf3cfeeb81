"""The models of the settings files: a repository's `orch.yaml` and the operator's own. For `schema` and its readers."""

from typing import Annotated, Any, Literal

from pydantic import Field

from orchestrator.jobshape import Job
from orchestrator.secretshape import Adapters, Channels, Secrets
from orchestrator.shape import REPOSITORY, Name, PointName, Several, Strict, Subject, Text

_NONE: Any = {}
"""The default of mappings; each model gets its own copy."""


class Output(Strict):
    """Habits of output."""

    format: Literal["text", "json", "jsonl", "github", "sarif", "junit", "tap", "markdown"] = "text"
    """The format where none is asked for."""
    explain: bool = False
    """Whether to say which selector decided."""
    all_paths: bool = False
    """Whether to list every file."""


class RepositorySettings(Strict):
    """A repository's `orch.yaml`: where its packs lie and how it likes its output. Nothing that decides on trust."""

    packs: Text = ".orch/packs"
    """The folder of the repository's packs, relative to its root."""
    output: Output = Output()
    """Habits of output."""


class OperatorSettings(Strict):
    """The operator's file: what is trusted, and where things are."""

    packs: Several[Text] = ()
    """Folders or bundles of org packs."""
    run_packs: Several[Text] = ()
    """Packs attached to every run, each a layer of its own."""
    repository: Annotated[str, Field(pattern=REPOSITORY)] = ""
    """Which repository the checkout is, `owner/name`."""
    subject: Subject = ""
    """Who executes."""
    point: PointName = "run"
    """The point at which decisions are enforced."""
    opa: Text = ""
    """Another OPA binary."""
    opa_url: Text = ""
    """An OPA server to ask instead of a local one."""
    opa_token_file: Text = ""
    """A file with the OPA server's token."""
    opa_ca_file: Text = ""
    """A file with the certificates the OPA server is trusted by."""
    delegation: Several[Text] = ()
    """Those whom the subject acts for; none of them can approve what it asks."""
    ledger: Text = ""
    """Where the record is kept: a folder, or postgresql://..."""
    verification_key: Text = ""
    """A file with the public key that bundles must be signed by."""
    adapters: Adapters = _NONE
    """What each adapter needs to know; secrets as `${{ secrets.NAME }}`."""
    channels: Channels = _NONE
    """Where messages go: a name to the adapter that sends there, and what it needs."""
    secrets: Secrets = _NONE
    """Where secrets lie: a name to `{env: VARIABLE}` or `{file: PATH}`, and the actions it is for."""
    jobs: Annotated[dict[Name, Job], Field(max_length=1000)] = _NONE
    """Named commands for `orch run`."""
    output: Output = Output()
    """Habits of output."""
