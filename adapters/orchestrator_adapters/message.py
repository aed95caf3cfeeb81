"""A message as it is decided: channel, recipients, texts and attachments fixed by digest. Sends nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.adapter import Delivery, Effect, Place, Prepared, Wanted, failure, no_channel, unconfigured
from orchestrator.digest import sha256
from orchestrator.errors import UsageError
from orchestrator.names import shown
from orchestrator.words import near_miss
from orchestrator_adapters import inside
from orchestrator_adapters.parameters import Parameters
from orchestrator_adapters.recipient import Judge, written
from orchestrator_adapters.template import MAX_TEXT, rendered

MAX_RECIPIENTS = 100
"""Most recipients of one message."""
MAX_SUBJECT = 400
"""Longest subject, in characters."""
MAX_ATTACHED_BYTES = 20 * 1024 * 1024
"""Most that is attached to one message."""

_PARAMETERS = "channel to subject body html template values attachments reply_to"
_ATTACHMENT = frozenset({"path", "name", "type"})
_USUAL_TYPE = "application/octet-stream"


class Kind(NamedTuple):
    """What messages of one adapter can be."""

    adapter: str
    recipient: Judge
    """What a recipient can be."""
    has_html: bool
    needs_recipient: bool
    """Every message names at least one."""


class Attached(NamedTuple):
    """One attachment, read."""

    name: str
    media_type: str
    content: bytes


def channel_of(place: Place, name: str, adapter: str, known: str) -> Mapping[str, Any]:
    """Return the operator's channel of a name.

    Raises:
        AdapterError: there is none, it is another adapter's, or it has a key that no such channel has.
    """
    if name not in place.channels:
        raise no_channel(name, place.channels)
    channel = place.channels[name]
    if channel.get("adapter") != adapter:
        raise unconfigured(f"the channel {name} is one of the adapter {shown(channel.get('adapter'))}, not {adapter}")
    names = ["adapter", *known.split()]
    if unknown := sorted(str(key) for key in channel if key not in names):
        hint = near_miss(unknown[0], names)
        raise unconfigured(f"the channel {name} has {shown(unknown[0])}; expected only {', '.join(names)}{hint}")
    return channel


def prepared(wanted: Wanted, place: Place, kind: Kind, channel: Mapping[str, Any]) -> Prepared:
    """Return a message as it is decided: texts rendered, recipients written out, attachments by digest.

    A recipient that is a secret is decided, and recorded, as its reference.

    Raises:
        UsageError: a parameter is missing, unknown or cannot be.
    """
    given = Parameters(wanted, _PARAMETERS)
    name = given.text("channel")
    to = _recipients(given, channel, kind)
    properties: dict[str, Any] = {"channel": name} | _texts(given, place, channel)
    if "html" in properties and not kind.has_html:
        raise UsageError(f"channels of {kind.adapter} have no HTML part", advice="leave `html` out")
    if to:
        properties["to"] = to
    if "template" in given:
        properties["template"] = given.text("template")
    if "reply_to" in given:
        properties["reply_to"] = written(given.text("reply_to"), "`reply_to`", kind.recipient)
    if attachments := _attachments(wanted.parameters.get("attachments"), place.root):
        properties["attachments"] = attachments
    resource = {"type": "channel", "id": name}
    return Prepared(resource, properties, Effect.OUTWARD, is_replayable=False, targets=tuple(to) or ("",))


def attached(properties: Mapping[str, Any], root: Path) -> list[Attached]:
    """Return the attachments as they were decided.

    Raises:
        AdapterError: one is not what it was any more; RETRYABLE, since it can be prepared and decided anew.
    """
    found = []
    for one in properties.get("attachments", []):
        try:
            content, _ = inside.read(root, one["path"])
        except UsageError as error:
            raise failure(str(error), delivery=Delivery.RETRYABLE) from error
        if sha256(content) != one["digest"]:
            raise failure(
                f"the attachment {shown(one['path'])} was changed since it was decided; nothing was sent",
                delivery=Delivery.RETRYABLE,
            )
        found.append(Attached(one["name"], one["type"], content))
    return found


def _recipients(given: Parameters, channel: Mapping[str, Any], kind: Kind) -> list[str]:
    asked = given.texts("to")
    if not asked and isinstance(usual := channel.get("to"), str | list):
        asked = [usual] if isinstance(usual, str) else [str(one) for one in usual]
    to = list(dict.fromkeys(written(one, "the recipient", kind.recipient) for one in asked))
    if kind.needs_recipient and not to:
        raise UsageError("send_message needs `to`, which is missing", advice="name at least one recipient")
    if len(to) > MAX_RECIPIENTS:
        raise UsageError(f"the message has {len(to):,} recipients; expected at most {MAX_RECIPIENTS}")
    return to


def _texts(given: Parameters, place: Place, channel: Mapping[str, Any]) -> dict[str, Any]:
    """Return subject, body and html, given or rendered."""
    subject = given.text("subject", "", is_empty_allowed=True)
    body = given.text("body", "", is_empty_allowed=True)
    html = given.text("html", "", is_empty_allowed=True)
    if "template" in given:
        if body or html:
            raise UsageError("both template and body are given; expected one of them")
        own = str(channel.get("templates") or "")
        texts = rendered(given.text("template"), given.mapping("values"), root=place.root, own_folder=own)
        subject, body, html = subject or texts.subject or "", texts.body, texts.html or ""
    elif "values" in given:
        raise UsageError("values are given without a template", advice="name a `template`, or leave `values` out")
    if not body.strip():
        raise UsageError("the message has no body; expected `body`, or a `template` that gives one")
    if len(subject) > MAX_SUBJECT or not subject.isprintable():
        raise UsageError(f"the subject is {shown(subject)}; expected one line, at most {MAX_SUBJECT} characters")
    for one in (body, html):
        _check_text(one)
    return {"body": body} | ({"subject": subject} if subject else {}) | ({"html": html} if html else {})


def _check_text(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise UsageError(f"the body has {len(text):,} characters; expected at most {MAX_TEXT:,}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError("the body holds a lone surrogate, which no text can") from None
    if "\0" in text:
        raise UsageError("the body holds a NUL, which no text can")


def _attachments(given: object, root: Path) -> list[dict[str, Any]]:
    several: Sequence[object] = given if isinstance(given, list | tuple) else [] if given is None else [given]
    found, total = [], 0
    for one in several:
        said = {"path": one} if isinstance(one, str) else one
        if not isinstance(said, Mapping) or not said.keys() <= _ATTACHMENT or not isinstance(said.get("path"), str):
            raise UsageError(f"an attachment is {shown(one)}; expected a path, or an object with path, name, type")
        content, _ = inside.read(root, said["path"])
        total += len(content)
        name = said.get("name", said["path"].rpartition("/")[2])
        media_type = said.get("type", _media_type(name))
        for value in (name, media_type):
            if not isinstance(value, str) or not value.isprintable() or not value or '"' in value:
                raise UsageError(f"an attachment's name or type is {shown(value)}; expected a plain text")
        if media_type.count("/") != 1 or not media_type.isascii() or " " in media_type:
            raise UsageError(f"an attachment's type is {shown(media_type)}; expected one such as application/pdf")
        digest = sha256(content)
        found.append({"path": said["path"], "name": name, "type": media_type, "digest": digest, "size": len(content)})
    if total > MAX_ATTACHED_BYTES:
        raise UsageError(f"the attachments have {total:,} bytes; expected at most {MAX_ATTACHED_BYTES:,}")
    return found


def _media_type(name: object) -> str:
    """Return what a name says of its file, by Python's own table: the same on every machine."""
    from mimetypes import MimeTypes

    return MimeTypes().guess_type(name)[0] or _USUAL_TYPE if isinstance(name, str) else _USUAL_TYPE
