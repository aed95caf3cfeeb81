"""The remote engine against real OPA servers on loopback: TLS, token, deadline, and which policy answers."""

import datetime as dt
import ipaddress
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from orchestrator import bundle, opa
from orchestrator.errors import DecisionError, UsageError
from orchestrator.remote import RemoteEngine

_LIBRARY = """package orch

answer := [{"digest": data.policy.digest, "echo": item} | some item in input.batch]

explanation := [{"rules": item} | some item in input.batch]
"""
_GUARD = """package system.authz

default allow := false

allow if input.identity == "s3cret-token"
"""
_QUESTION = b'{"batch":[1.5]}'
_TOKEN = "s3cret-token"


@dataclass(frozen=True)
class _Files:
    folder: Path

    def __getitem__(self, name: str) -> str:
        return str(self.folder / name)


def _certificate(files: _Files, name: str, issuer: str | None = None) -> None:
    """Write `name`.pem and `name`.key, signed by `issuer` or by itself as an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, issued_by = key, subject
    if issuer:
        signer = serialization.load_pem_private_key(Path(files[f"{issuer}.key"]).read_bytes(), None)  # type: ignore[assignment]  # as written
        issued_by = x509.load_pem_x509_certificate(Path(files[f"{issuer}.pem"]).read_bytes()).subject
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issued_by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(True, False, False, False, False, issuer is None, issuer is None, False, False),
            critical=True,
        )
        .sign(signer, hashes.SHA256())
    )
    Path(files[f"{name}.pem"]).write_bytes(made.public_bytes(serialization.Encoding.PEM))
    Path(files[f"{name}.key"]).write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> _Files:
    made = _Files(tmp_path_factory.mktemp("certificates"))
    for name, issuer in (("ca", None), ("other-ca", None), ("server", "ca"), ("client", "ca")):
        _certificate(made, name, issuer)
    (made.folder / "library" / "orch").mkdir(parents=True)
    (made.folder / "library" / "orch" / "orch.rego").write_text(_LIBRARY)
    (made.folder / "authz.rego").write_text(_GUARD)
    return made


@pytest.fixture(scope="module")
def digest(files: _Files) -> str:
    built = bundle.build({}, {}, library=files.folder / "library")
    (files.folder / "bundle.tar.gz").write_bytes(built.data)
    return built.digest


@pytest.fixture
def start(files: _Files, digest: str) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], str]]]:
    """Start OPA servers on free ports, and end them."""
    started: list[subprocess.Popen[bytes]] = []

    def make(*flags: str) -> tuple[subprocess.Popen[bytes], str]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [str(opa.find().path), "run", "-s", "--skip-version-check", "-l", "error", "-a", f"127.0.0.1:{port}"]
        process = subprocess.Popen([*command, *flags, files["authz.rego"]], stdout=-3, stderr=-3)
        started.append(process)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.01)
        return process, f"127.0.0.1:{port}"

    yield make
    for process in started:
        process.kill()
        process.wait()


_Start = Callable[..., tuple[subprocess.Popen[bytes], str]]


@pytest.fixture
def loaded(files: _Files) -> str:
    """Give the bundle's content as a plain folder, beside which an authorization policy may be loaded."""
    folder = files.folder / "loaded"
    for name, content in bundle.read((files.folder / "bundle.tar.gz").read_bytes()).files.items():
        if name != ".manifest":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    return str(folder)


def _tls(files: _Files) -> list[str]:
    return ["--tls-cert-file", files["server.pem"], "--tls-private-key-file", files["server.key"]]


def test_it_answers_over_tls_with_a_token(start: _Start, files: _Files, digest: str, loaded: str) -> None:
    _, where = start(*_tls(files), "--authentication=token", "--authorization=basic", loaded)
    engine = RemoteEngine(f"https://{where}", token=_TOKEN, ca_file=files["ca.pem"], digest=digest)

    answers = [engine.ask(_QUESTION), engine.ask(_QUESTION)]
    explained = engine.explain(_QUESTION)
    engine.close()

    assert answers == [[{"digest": digest, "echo": 1.5}]] * 2
    assert explained == [{"rules": 1.5}]


@pytest.mark.parametrize("token", [None, "wrong-t0ken"])
def test_without_the_token_there_is_no_answer(start: _Start, files: _Files, loaded: str, token: str | None) -> None:
    _, where = start(*_tls(files), "--authentication=token", "--authorization=basic", loaded)
    engine = RemoteEngine(f"https://{where}", token=token, ca_file=files["ca.pem"])

    with pytest.raises(DecisionError, match="HTTP 401") as raised:
        engine.ask(_QUESTION)
    engine.close()

    assert "ORCH_OPA_TOKEN" in raised.value.advice
    assert "wrong-t0ken" not in f"{raised.value!r} {raised.value.__cause__!r} {engine!r}"


@pytest.mark.parametrize("authority", [None, "other-ca.pem"])
def test_a_server_that_is_not_vouched_for_is_not_asked(
    start: _Start, files: _Files, loaded: str, authority: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", files["ca.pem"])  # what nobody configured for orch must not help
    _, where = start(*_tls(files), loaded)
    engine = RemoteEngine(f"https://{where}", ca_file=authority and files[authority])

    with pytest.raises(DecisionError, match="cannot be trusted"):
        engine.ask(_QUESTION)
    engine.close()


def test_a_client_certificate_is_shown(start: _Start, files: _Files, digest: str, loaded: str) -> None:
    flags = ["--authentication=tls", "--tls-ca-cert-file", files["ca.pem"]]
    _, where = start(*_tls(files), *flags, loaded)
    known = RemoteEngine(
        f"https://{where}", ca_file=files["ca.pem"], client_cert=(files["client.pem"], files["client.key"])
    )
    unknown = RemoteEngine(f"https://{where}", ca_file=files["ca.pem"])

    answer = known.ask(_QUESTION)
    with pytest.raises(DecisionError):
        unknown.ask(_QUESTION)
    known.close()
    unknown.close()

    assert answer == [{"digest": digest, "echo": 1.5}]


def test_another_policy_is_no_answer(start: _Start, loaded: str) -> None:
    _, where = start(loaded)
    engine = RemoteEngine(f"http://{where}", digest="sha256:" + "0" * 64)

    with pytest.raises(DecisionError, match="answers by another policy"):
        engine.ask(_QUESTION)
    engine.close()


def test_a_server_without_the_policy_is_no_answer(start: _Start) -> None:
    _, where = start()
    engine = RemoteEngine(f"http://{where}")

    with pytest.raises(DecisionError, match="undefined"):
        engine.ask(_QUESTION)
    engine.close()


def test_a_server_that_hangs_runs_into_the_deadline(start: _Start, loaded: str) -> None:
    process, where = start(loaded)
    engine = RemoteEngine(f"http://{where}", deadline_s=0.5)
    os.kill(process.pid, signal.SIGSTOP)
    began = time.monotonic()

    with pytest.raises(DecisionError, match=r"no answer within 0\.5 s"):
        engine.ask(_QUESTION)

    os.kill(process.pid, signal.SIGCONT)
    engine.close()
    assert time.monotonic() - began < 3


def test_nobody_there_is_said() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        probe_port = probe.getsockname()[1]
        engine = RemoteEngine(f"http://127.0.0.1:{probe_port}", deadline_s=2)

        with pytest.raises(DecisionError) as raised:
            engine.ask(_QUESTION)
    engine.close()

    assert str(raised.value) == f"no OPA server answers at 127.0.0.1:{probe_port}: nothing listens there"


class _Odd(BaseHTTPRequestHandler):
    """Answers as no OPA would; which way is the first part of the path."""

    seen: list[str | None] = []  # noqa: RUF012  # shared on purpose

    def do_POST(self) -> None:  # the library's name
        self.seen.append(self.headers.get("Authorization"))
        self.rfile.read(int(self.headers["Content-Length"]))
        way = self.path.split("/")[1]
        if way == "trickle":
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                for _ in range(40):
                    self.wfile.write(b" ")
                    time.sleep(0.05)
            return
        self.send_response(307 if way == "redirect" else 200)
        body = {"redirect": b"", "list": b"[]", "garbage": b"{", "scalar": b'{"result": 1}'}[way]
        if way == "redirect":
            self.send_header("Location", f"http://{self.headers['Host']}/list/v1/data/orch/answer")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def odd() -> Iterator[str]:
    _Odd.seen.clear()
    with HTTPServer(("127.0.0.1", 0), _Odd) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("redirect", "never followed"),
        ("list", "does not answer as OPA does"),
        ("garbage", "does not answer as OPA does"),
        ("scalar", "expected an array"),
        ("trickle", r"no answer within 0\.5 s"),
    ],
)
def test_what_no_opa_would_say_is_no_answer(
    odd: str, way: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login x password y\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    engine = RemoteEngine(f"{odd}/{way}/", token=_TOKEN, deadline_s=0.5)

    with pytest.raises(DecisionError, match=message):
        engine.ask(_QUESTION)
    engine.close()

    assert _Odd.seen == [f"Bearer {_TOKEN}"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "opa.example.com",
        "ftp://opa.example.com",
        "http://opa.example.com:8181",
        "http://localhost.example.com",
        "http://localhost@evil.example.com",
        "https://user:word@opa.example.com",
        "https://opa.example.com:port",
        "https://opa.example.com/?x=1",
        "https://[::1",
        "file:///etc/passwd",
    ],
)
def test_a_url_that_cannot_be_trusted_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        RemoteEngine(url)

    assert "word" not in str(raised.value)


def test_a_token_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(UsageError) as raised:
        RemoteEngine("http://127.0.0.1:1", token="a\r\nX: y")

    assert "X: y" not in str(raised.value)


def test_a_missing_file_of_authorities_is_said(files: _Files) -> None:
    engine = RemoteEngine("https://127.0.0.1:1", ca_file=files["gone.pem"])

    with pytest.raises(DecisionError, match=r"gone\.pem"):
        engine.ask(_QUESTION)
    engine.close()
