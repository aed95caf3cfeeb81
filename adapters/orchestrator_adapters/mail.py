"""send_message by SMTP, on channels with `adapter: mail`: one transaction and one receipt per recipient.

The Message-ID is made of the action's key, so that a message that came twice can be told by it. Whether an accepted
message arrived nobody can look up, so `reconcile` never knows. `docs/adapters-send.md` has the tables.
"""

import ipaddress
import re
from collections.abc import Mapping
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.adapter import Action, Place, Prepared, Receipt, Wanted, failure, unconfigured
from orchestrator.errors import UsageError
from orchestrator.names import shown
from orchestrator_adapters.message import Attached, Kind, attached, channel_of, prepared
from orchestrator_adapters.recipient import is_secret, revealed, written

if TYPE_CHECKING:
    from orchestrator_adapters.smtp import Server

_CHANNEL = "host port security username password from reply_to to helo ca_file insecure templates"
_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_MAX_LOCAL = 64
_MOST_PORTS = 65_535


class Mail:
    """Sends mail."""

    name = "mail"
    actions = frozenset({"send_message"})

    def prepare(self, wanted: Wanted, place: Place) -> Prepared:
        """Return the message as it will be sent, one target for each recipient.

        Raises:
            UsageError: a parameter is missing, unknown or cannot be.
            AdapterError: there is no such channel, or it is not set up well.
        """
        channel = channel_of(place, _name_of(wanted), self.name, _CHANNEL)
        _Settings.of(channel)
        kind = Kind(self.name, address, has_html=True, needs_recipient=True)
        return prepared(wanted, place, kind, channel)

    def perform(self, action: Action, key: str) -> Receipt:
        """Send the message to one recipient."""
        from orchestrator_adapters.smtp import Letter, deliver

        place, properties = action.place, action.properties
        settings = _Settings.of(channel_of(place, properties["channel"], self.name, _CHANNEL))
        to = revealed(action.target, "the recipient", address, place)
        reply_to = revealed(properties.get("reply_to") or settings.reply_to, "`reply_to`", address, place)
        attachments = attached(properties, place.root)
        try:
            message = _written(properties, settings, (to, reply_to), key, attachments)
        except (ValueError, LookupError) as error:
            raise failure(f"the message cannot be written: {error!s:.200}; nothing was sent") from error
        letter = Letter(settings.address, to, message, str(message["Message-ID"]), is_secret(action.target))
        return deliver(letter, settings.server(place), action.timeout_s, action.recheck)

    def reconcile(self, action: Action, key: str) -> Receipt | None:  # noqa: ARG002  # the Protocol's
        """Return None: no server can be asked what became of a message."""
        return None


def address(text: str, what: str = "the recipient") -> str:
    """Return a mail address as it is written down: bare, its domain in lower case and ASCII.

    `what` is what an error calls it.

    Raises:
        UsageError: it is not one address.
    """
    expected = "one address such as ada@acme.example, without a name"
    local, at, domain = text.strip().rpartition("@")
    try:
        domain = (domain if domain.isascii() else domain.encode("idna").decode()).lower()
    except UnicodeError:
        domain = ""
    if not at or len(local) > _MAX_LOCAL or not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        raise UsageError(f"{what} {shown(text)} is no mail address; expected {expected}")
    return f"{local}@{domain}"


class _Settings(NamedTuple):
    """A channel of the operator's file, checked; secrets still as references."""

    host: str
    port: int
    security: str
    username: str
    password: str
    sender: str
    """As the header has it, perhaps with a name."""
    address: str
    """Bare."""
    reply_to: str
    helo: str
    ca_file: str

    @classmethod
    def of(cls, channel: Mapping[str, Any]) -> "_Settings":
        """Return what a channel says.

        Raises:
            AdapterError: something of it is missing or wrong.
        """
        text = {name: channel.get(name, "") for name in _CHANNEL.split()}
        for name in ("host", "username", "password", "from", "reply_to", "helo", "ca_file"):
            if not isinstance(text[name], str) or not text[name].isprintable():
                raise unconfigured(f"a mail channel's {name} is {shown(text[name])}; expected one line of text")
        if not text["host"] or not text["from"]:
            raise unconfigured("a mail channel needs host and from", advice="from: orch@acme.example")
        security = channel.get("security", "starttls")
        if security not in _PORTS:
            raise unconfigured(f"a mail channel's security is {shown(security)}; expected {', '.join(_PORTS)}")
        if security == "none" and channel.get("insecure") is not True and not _is_loopback(text["host"]):
            raise unconfigured(
                "a mail channel without TLS would leave this machine",
                advice="say security: starttls or tls; `insecure: true` if it must be",
            )
        if bool(text["username"]) != bool(text["password"]):
            raise unconfigured("a mail channel has one of username and password; expected both or none")
        port = channel.get("port", _PORTS[security])
        if type(port) is not int or not 0 < port <= _MOST_PORTS:
            raise unconfigured(f"a mail channel's port is {shown(port)}; expected a number up to {_MOST_PORTS}")
        bare = _bare(text["from"])
        helo = text["helo"] or bare.rpartition("@")[2]
        return cls(
            *(text["host"], port, security, text["username"], text["password"], text["from"], bare),
            *(_reply_to(text["reply_to"]), helo, text["ca_file"]),
        )

    def server(self, place: Place) -> "Server":
        """Return the server with its credentials revealed."""
        from orchestrator_adapters.smtp import Server

        username, password = place.reveal(self.username), place.reveal(self.password)
        return Server(self.host, self.port, self.security, username, password, self.helo, self.ca_file)


def _name_of(wanted: Wanted) -> str:
    name = wanted.parameters.get("channel")
    if not isinstance(name, str) or not name:
        raise UsageError("send_message needs `channel`, which is missing", advice="name one of the operator's file")
    return name


def _bare(sender: str) -> str:
    """Return the address of `Name <address>` or `address`."""
    from email.utils import parseaddr

    try:
        return address(parseaddr(sender)[1])
    except UsageError as error:
        raise unconfigured(f"a mail channel's from is {shown(sender)}; expected an address") from error


def _reply_to(said: str) -> str:
    """Return a channel's reply_to: a reference as one, anything else as it stands, a name with it perhaps."""
    try:
        return written(said, "a mail channel's reply_to", lambda given, _: given)
    except UsageError as error:
        raise unconfigured(str(error), advice=error.advice) from error


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _written(
    properties: Mapping[str, Any], settings: _Settings, people: tuple[str, str], key: str, attachments: list[Attached]
) -> EmailMessage:
    """Return the message as it goes over the wire; a header that holds a line break is refused by the library."""
    from email import policy
    from email.utils import format_datetime, localtime

    to, reply_to = people
    message = EmailMessage(policy.SMTP.clone(cte_type="7bit"))
    message["Message-ID"] = f"<{key}@{settings.address.rpartition('@')[2]}>"
    message["Date"] = format_datetime(localtime())
    message["From"] = settings.sender
    message["To"] = to
    if reply_to:
        message["Reply-To"] = reply_to
    if "subject" in properties:
        message["Subject"] = properties["subject"]
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(properties["body"])
    if "html" in properties:
        message.add_alternative(properties["html"], subtype="html")
    for one in attachments:
        main, _, sub = one.media_type.partition("/")
        message.add_attachment(one.content, maintype=main, subtype=sub, filename=one.name)
    return message
