"""The models of what the operator gives to actions: adapters' settings, channels, and where secrets lie."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from orchestrator.shape import EXPECTED_OF_PATTERN, Name, Several, Strict, Text, refuse

_NAME_OF_ONE = r"^[A-Za-z_][A-Za-z0-9_]{0,62}$"
EXPECTED_OF_PATTERN[_NAME_OF_ONE] = "a name of letters, digits and `_` that begins with no digit, at most 63"


class Secret(Strict):
    """Where one secret lies."""

    env: Text = ""
    """The variable that holds it; instead of `file`."""
    file: Text = ""
    """The file that holds it, relative to this one or below `~/`; instead of `env`."""
    actions: Several[Name] = ()
    """The actions it is for; any where left out."""


def _of_one_source(secret: Secret) -> Secret:
    if bool(secret.env) == bool(secret.file):
        refuse("`env` or `file`, one of both", "for example {env: GITHUB_TOKEN}")
    return secret


def _with_adapter(channel: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(channel.get("adapter"), str):
        refuse("a channel with `adapter`", "for example {adapter: mail, host: smtp.acme.example}")
    return channel


SecretName = Annotated[str, Field(pattern=_NAME_OF_ONE)]
Adapters = dict[Name, dict[str, Any]]
"""An adapter's name to its own settings, which it judges itself."""
Channels = dict[Name, Annotated[dict[str, Any], AfterValidator(_with_adapter)]]
Secrets = dict[SecretName, Annotated[Secret, AfterValidator(_of_one_source)]]
