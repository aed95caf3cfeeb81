"""The JSON Schemas of every document, as text and as files for editors."""

from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.plans.schema import json_schema
from orchestrator.schema import json_schemas
from orchestrator.show.escape import json_text
from orchestrator.words import did_you_mean, listing


def text(kind: str | None) -> str:
    """Return one schema as JSON, or an object of all by name.

    Raises:
        UsageError: there is no such kind.
    """
    found = _chosen(kind)
    return json_text(found[kind] if kind else found, indent=2) + "\n"


def write_files(folder: Path, kind: str | None) -> tuple[Path, ...]:
    """Write `<name>.schema.json` into a folder, over older ones, and return the files.

    Raises:
        UsageError: there is no such kind, or the folder cannot be written.
    """
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, schema in _chosen(kind).items():
            target = folder / f"{name}.schema.json"
            target.write_text(json_text(schema, indent=2) + "\n", encoding="utf-8")
            written.append(target)
    except OSError as error:
        message = f"cannot write to {folder}: {error.strerror}"
        raise UsageError(message) from error
    return tuple(written)


def _chosen(kind: str | None) -> dict[str, object]:
    known: dict[str, object] = {**json_schemas(), "Plan": json_schema()}
    if kind is None:
        return known
    if kind not in known:
        message = f"there is no schema {kind!r:.80}; expected {listing(known)}"
        raise UsageError(message, advice=did_you_mean(kind, known))
    return {kind: known[kind]}
