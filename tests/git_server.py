"""A git server over https on loopback: git's own `http-backend` behind TLS and a password.

with GitServer(folder) as server:                       # serves folder/acme/web.git
    server.url("acme/web.git")                          # https://localhost:PORT/acme/web.git
    server.environ                                      # whom git is to trust
    server.is_losing_replies = True                     # a push is applied; its reply is lost
"""

import base64
import os
import ssl
import subprocess
import threading
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import trustme

USER, PASSWORD = "x-access-token", "geheim"


class GitServer:
    """What the module says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_losing_replies = False
        self.seen: list[tuple[str, str]] = []
        """Method and path of each request."""
        authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        trusted = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(trusted))
        self.environ = {"GIT_SSL_CAINFO": str(trusted)}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def url(self, path: str) -> str:
        return f"https://localhost:{self._server.server_port}/{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _body(stream: BufferedIOBase, headers: Message) -> bytes:
    if headers.get("Transfer-Encoding") != "chunked":
        return stream.read(int(headers.get("Content-Length") or 0))
    body = b""
    while size := int(stream.readline(), 16):
        body += stream.read(size)
        stream.readline()
    stream.readline()
    return body


def _handler(server: GitServer) -> type[BaseHTTPRequestHandler]:
    expected = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def _do(self) -> None:
            body = _body(self.rfile, self.headers)
            server.seen.append((self.command, self.path))
            if self.headers.get("Authorization") != expected:
                self._send(401, [("WWW-Authenticate", "Basic realm=git")], b"")
                return
            head, _, rest = self._backend(body).partition(b"\r\n\r\n")
            if server.is_losing_replies and self.path.endswith("git-receive-pack") and self.command == "POST":
                self.close_connection = True
                return
            fields = [
                (name, value) for name, _, value in (line.partition(": ") for line in head.decode().split("\r\n"))
            ]
            status = next((int(value.split()[0]) for name, value in fields if name == "Status"), 200)
            self._send(status, [one for one in fields if one[0] != "Status"], rest)

        def _backend(self, body: bytes) -> bytes:
            url = urlsplit(self.path)
            environ = {
                "PATH": os.environ["PATH"],
                "HOME": os.environ["HOME"],
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_PROJECT_ROOT": str(server.folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "PATH_INFO": url.path,
                "QUERY_STRING": url.query,
                "REQUEST_METHOD": self.command,
                "REMOTE_USER": USER,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            }
            return subprocess.run(
                ["git", "http-backend"], input=body, env=environ, capture_output=True, check=False
            ).stdout

        def _send(self, status: int, fields: list[tuple[str, str]], body: bytes) -> None:
            self.send_response(status)
            for name, value in fields:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        do_GET = do_POST = _do  # noqa: N815  # what the server looks for

        def log_message(self, *_: object) -> None:
            pass

    return Handler
