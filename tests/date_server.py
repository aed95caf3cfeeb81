"""HTTPS servers on loopback that say which time it is, as a witness of the clock; each under a host name of its own.

with date_servers(2) as servers:                # https://localhost:PORT/ and https://127.0.0.1:PORT/
    servers[0].says = NOON_NS                   # else the real time
    ... servers[0].url, trusting servers[0].ca_file (SSL_CERT_FILE) ...
"""

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import trustme

from orchestrator.clock import SECOND_NS

_HOSTS = ("localhost", "127.0.0.1", "127.0.0.2")


class DateServer:
    """A server whose answers are dated."""

    url: str
    ca_file: str
    """PEM of whom to trust."""

    def __init__(self) -> None:
        self.says: int | str | None = None
        """Nanoseconds since 1970; a text is sent as it is; None for the real time; "" for no date."""
        self.headers: dict[str, str] = {}
        """More headers of its answers."""
        self.status = 204
        self.stalls_s = 0.0
        self.asked: list[str] = []
        """The method of every request."""


class _Handler(BaseHTTPRequestHandler):
    script: DateServer

    def do_HEAD(self) -> None:  # as http.server spells it
        script = self.script
        script.asked.append(self.command)
        time.sleep(script.stalls_s)
        self.send_response_only(script.status)
        says = time.time_ns() if script.says is None else script.says
        if said := says if isinstance(says, str) else formatdate(says // SECOND_NS, usegmt=True):
            self.send_header("Date", said)
        for name, value in script.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD  # noqa: N815  # the same

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: a client may go at any time."""


@contextmanager
def date_servers(count: int = 2) -> Iterator[list[DateServer]]:
    """Give running servers, at most three, that one authority signs for."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    running: list[_Quiet] = []
    with TemporaryDirectory(prefix="odt") as folder:
        authority.cert_pem.write_to_path(str(Path(folder) / "ca.pem"))
        scripts = []
        try:
            for host in _HOSTS[:count]:
                script = DateServer()
                server = _Quiet((host, 0), type("Handler", (_Handler,), {"script": script}))
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                authority.issue_cert(host).configure_cert(context)
                server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
                script.url = f"https://{host}:{server.server_port}/"
                script.ca_file = str(Path(folder) / "ca.pem")
                threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
                running.append(server)
                scripts.append(script)
            yield scripts
        finally:
            for server in running:
                server.shutdown()
                server.server_close()
