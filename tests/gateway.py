"""A proxy on loopback that stands in for the internet: it ends TLS for any host and hands each request to a function.

    def world(seen: Seen) -> Reply:
        if seen.host == "api.twilio.com":
            return Reply(201, {"sid": "SM1"})
        return Reply(404)

    with gateway(world) as net:
        subprocess.run([...], env=os.environ | net.environ)     # HTTPS_PROXY and whom to trust, for requests, httpx, curl
        assert net.seen[0].host == "api.twilio.com"

So unmodified libraries reach hosts whose names cannot be changed, and nothing leaves the machine. Certificates come of
an authority made for the test. `net.refused` names hosts to which no connection can be made.
"""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import trustme
from http_server import Connection, Fault, Listener, Reply, Seen, context_of


class Gateway:
    """A running gateway."""

    url: str
    """`http://127.0.0.1:PORT`: the proxy."""
    ca_file: str
    """PEM of the authority that all its certificates come of."""

    def __init__(self, world: Callable[[Seen], Reply]) -> None:
        self.seen: list[Seen] = []
        """Every request in the order it came."""
        self.connects: list[str] = []
        """Every `host:port` that a tunnel was asked for."""
        self.refused: set[str] = set()
        """Hosts that cannot be reached."""
        self._world = world
        self._authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()

    @property
    def environ(self) -> dict[str, str]:
        """Variables for a child process whose every request is to come here."""
        proxies = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"), self.url)
        trust = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), self.ca_file)
        return {**proxies, **trust, "NO_PROXY": "", "no_proxy": ""}

    def of(self, host: str) -> list[Seen]:
        """Return what was asked of a host."""
        return [one for one in self.seen if one.host == host]

    def next(self, seen: Seen) -> Reply:
        """Record a request and return the world's answer."""
        with self._lock:
            self.seen.append(seen)
        return self._world(seen)

    def context(self, host: str) -> ssl.SSLContext:
        """Return the server's side of TLS for a host."""
        with self._lock:
            if host not in self._contexts:
                self._contexts[host] = context_of(self._authority, host)
            return self._contexts[host]

    def write_authority(self, file: Path) -> None:
        """Write whom to trust."""
        self._authority.cert_pem.write_to_path(str(file))
        self.ca_file = str(file)


@contextmanager
def gateway(world: Callable[[Seen], Reply]) -> Iterator[Gateway]:
    """Give a running gateway that answers as `world` says; faults of `Reply` work as in `http_server`."""
    net = Gateway(world)

    class _Tunnel(Connection):
        def reply_for(self, seen: Seen) -> Reply:
            return Reply(fault=Fault.CLOSE_LATE) if seen.host in net.refused else net.next(seen)

        def do_CONNECT(self) -> None:  # noqa: N802  # the method as HTTP spells it
            net.connects.append(self.path)
            self.host = self.path.rpartition(":")[0].strip("[]")
            if self.host in net.refused:
                self.send_error(502, "no way to that host")
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.flush()
            try:
                self.connection = net.context(self.host).wrap_socket(self.connection, server_side=True)
            except OSError:
                self.close_connection = True
                return
            self.server.adopt(self.connection)
            self.rfile = self.connection.makefile("rb")
            self.wfile = self.connection.makefile("wb")
            self.close_connection = False

        def finish(self) -> None:
            super().finish()
            self.connection.close()

    listener = Listener(_Tunnel)
    net.url = f"http://127.0.0.1:{listener.server_address[1]}"
    with TemporaryDirectory(prefix="ogw") as folder:
        net.write_authority(Path(folder) / "ca.pem")
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield net
        finally:
            listener.end()
            thread.join()
