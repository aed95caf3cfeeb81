"""The process in which Apprise sends one message to one address. Started by `apprise_` alone, in isolation.

It reads an order, says that it is ready, waits for `"go"`, sends, and says what it saw: every HTTP request that began
(Python's audit events) and every answer's status (urllib3's log). It prints and logs nothing else, and ends when
whoever started it ends.
"""

import json
import logging
import os
import re
import sys
import threading
from typing import Any, BinaryIO, TextIO

_REQUEST = re.compile(rb"([A-Z]+) \S+ HTTP/1\.[01]\r\n")
_LOG_FIELDS = 8
"""Of urllib3's line on an answer: scheme, host, port, method, path, version, status, length."""
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"


class _Watch(logging.Handler):
    """Counts what goes over HTTP; keeps nothing of it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.requests = 0
        self.answers: list[tuple[str, int, int]] = []
        self.is_tried = self.is_untrusted = False
        self._places: dict[tuple[object, ...], int] = {}

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        """Look at one of Python's audit events."""
        if event == "http.client.send":
            data = args[1]
            found = _REQUEST.match(data) if isinstance(data, bytes) else None
            if found and found[1] != b"CONNECT":
                self.requests += 1
        elif event in {"socket.connect", "socket.getaddrinfo"}:
            self.is_tried = True

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one line of the log."""
        args = record.args
        if record.name == "urllib3.connectionpool" and isinstance(args, tuple) and len(args) == _LOG_FIELDS:
            method, path, status = str(args[3]), str(args[4]).partition("?")[0], args[6]
            if isinstance(status, int):
                place = self._places.setdefault((args[1], args[2], path), len(self._places))
                self.answers.append((method, status, place))
        elif _UNTRUSTED in record.getMessage():
            self.is_untrusted = True

    def start(self) -> None:
        """Begin to look; an audit hook stays for the life of the process."""
        sys.addaudithook(self.audit)
        for name in ("urllib3", "apprise"):
            logger = logging.getLogger(name)
            logger.setLevel(logging.DEBUG)
            logger.addHandler(self)
            logger.propagate = False


def main() -> None:
    """Send one message."""
    told, saying = sys.stdin.buffer, os.fdopen(os.dup(1), "w", encoding="utf-8")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    order = json.loads(told.readline())
    sys.path.extend(one for one in order["path"] if one not in sys.path)
    service, problem = _service(order)
    if problem:
        _say(saying, {"problem": problem})
        return
    _say(saying, {"service": str(getattr(service, "service_name", "") or type(service).__name__)})
    if json.loads(told.readline() or "null") != "go":
        return
    threading.Thread(target=_end_with_parent, args=(told,), daemon=True).start()
    watch = _Watch()
    watch.start()
    is_success, error = _sent(service, order)
    _say(
        saying,
        {
            "ok": is_success,
            "requests": watch.requests,
            "answers": watch.answers,
            "tried": watch.is_tried,
            "untrusted": watch.is_untrusted,
            "error": error,
        },
    )


def _say(saying: TextIO, words: dict[str, Any]) -> None:
    saying.write(json.dumps(words) + "\n")
    saying.flush()


def _end_with_parent(told: BinaryIO) -> None:
    """End at once when nobody is left to tell: what is sent then nobody would know of."""
    told.read()
    os._exit(9)


def _service(order: dict[str, Any]) -> tuple[Any, str]:
    """Return the service that an address names, or why there is none; never shows the address."""
    import apprise

    asset = apprise.AppriseAsset(
        storage_mode="memory",
        service_timeout=0,
        allow_templates=False,
        http_redirects=False,
        async_mode=False,
        secure_logging=True,
    )
    try:
        service = apprise.Apprise.instantiate(order["url"], asset=asset, suppress_exceptions=False)
    except Exception as error:  # noqa: BLE001  # any plugin's
        return None, f"the address is none that Apprise understands ({type(error).__name__})"
    if service is None:
        return None, "the address is none that Apprise understands"
    name = str(service.service_name)
    module = sys.modules[type(service).__module__]
    if not hasattr(module, "requests"):
        return None, f"{name} is not spoken over HTTP, so nobody could tell what became of a message"
    service.retry = 0
    if len(service) > 1:
        return None, f"the address names {len(service)} recipients; expected one address for each"
    service.redirects = False
    service.socket_connect_timeout = service.socket_read_timeout = max(1.0, float(order["timeout_s"]))
    return service, ""


def _sent(service: Any, order: dict[str, Any]) -> tuple[bool, str]:  # noqa: ANN401  # a plugin of Apprise
    """Send, and return what the library says and the type of what it raised."""
    import base64

    import apprise
    from apprise.attachment.memory import AttachMemory

    attachments = [
        AttachMemory(  # type: ignore[no-untyped-call]  # the library's
            content=base64.b64decode(content), name=name, mimetype=media_type
        )
        for name, media_type, content in order["attachments"]
    ]
    sender = apprise.Apprise(asset=service.asset)
    sender.add(service)
    try:
        said = sender.notify(
            body=order["body"], title=order["title"], body_format=order["format"], attach=attachments or None
        )
    except Exception as error:  # noqa: BLE001  # any plugin's
        return False, type(error).__name__
    return bool(said), ""


if __name__ == "__main__":
    main()
