"""The example of docs/adapters.md, installed by pip as anybody's package would be, does what the page says."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from command_line import CHECKOUT, HEAD, Place, clean, place_in

_BLOCK = re.compile(r"```\w+\n# (pyproject\.toml|orch_wiki\.py)\n(.*?)```", re.DOTALL)
_PAGES: dict[str, tuple[str, str, str]] = {}


class _Wiki(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        _PAGES[self.path] = (body, self.headers["Authorization"], self.headers["Idempotency-Key"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def wiki() -> Iterator[str]:
    _PAGES.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Wiki)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    files = dict(_BLOCK.findall((CHECKOUT / "docs/adapters.md").read_text()))
    assert files.keys() == {"pyproject.toml", "orch_wiki.py"}
    for name, text in files.items():
        (source / name).write_text(text)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, capture_output=True)
    return target


@pytest.fixture
def place(tmp_path: Path, package: Path, wiki: str) -> Iterator[Place]:
    packs = tmp_path / "packs"
    packs.mkdir()
    rules = "declares: {actions: [write_page]}\nrules:\n  - {id: wiki, effect: allow, actions: [write_page]}\n"
    (packs / "wiki.yaml").write_text(HEAD + rules)
    config = tmp_path / "config.yaml"
    config.write_text(
        f"packs: [packs]\nsubject: agent:scribe\nsecrets: {{WIKI: {{env: WIKI_TOKEN}}}}\n"
        f'adapters: {{wiki: {{url: "{wiki}", token: "${{{{ secrets.WIKI }}}}"}}}}\n'
    )
    variables = {"ORCH_CONFIG": str(config), "WIKI_TOKEN": "a-token-that-nobody-sees"}
    with place_in(tmp_path, **variables) as made:
        yield Place(made.folder, made.environ | {"PYTHONPATH": f"{CHECKOUT}:{package}"})


_WRITE = ("act", "write_page", "--adapter", "wiki", "--arg", "page=Home", "--arg", "text=Hello")


def test_the_adapter_of_an_installed_package_does_what_is_permitted(place: Place) -> None:
    done = place.orch(*_WRITE)

    assert done.returncode == 0, clean(done)
    (text, token, key), *_ = _PAGES.values()
    assert (text, token, len(key)) == ("Hello", "Bearer a-token-that-nobody-sees", 64)
    assert "a-token" not in clean(place.orch("ledger", "show", "-o", "json"))


def test_what_no_pack_permits_never_reaches_it(place: Place) -> None:
    (place.folder / "packs/wiki.yaml").write_text(HEAD + "declares: {actions: [write_page]}\n")

    done = place.orch(*_WRITE)

    assert done.returncode == 3, clean(done)
    assert _PAGES == {}


def test_an_adapter_that_is_not_installed_is_told_with_those_that_are(place: Place) -> None:
    done = place.orch("act", "write_page", "--adapter", "wikki")

    assert done.returncode == 2
    assert "wiki" in clean(done)
    assert "mail" in done.stderr
