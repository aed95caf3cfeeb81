"""What the git adapter does with a remote: asks for its branches and pushes one commit. Reads no checkout's settings.

Everything that travels goes through a repository of its own, made for the moment, which borrows the checkout's objects
and has none of its configuration: no remote, rewriting of addresses, credential helper, proxy, hook or program that
somebody wrote into the checkout has a say. What the operator's own git configuration says still counts.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from orchestrator import child
from orchestrator.adapter import Delivery, ErrorClass, Place, Receipt, failure, unconfigured
from orchestrator.errors import AdapterError
from orchestrator.git import GitError, git, is_shallow
from orchestrator.names import branch_problem, shown
from orchestrator_adapters.parameters import setting

_OPTIONS = (
    "--no-pager",
    "--no-replace-objects",
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "protocol.allow=never"),
    *("-c", "protocol.file.allow=always"),
    *("-c", "protocol.https.allow=always"),
    *("-c", "protocol.ssh.allow=always"),
    *("-c", "http.followRedirects=false"),
    *("-c", "push.followTags=false"),
    *("-c", "push.recurseSubmodules=no"),
    *("-c", "push.default=nothing"),
    *("-c", "fetch.recurseSubmodules=no"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
    *("-c", "credential.interactive=false"),
)
_RECEIVE = (
    "git -c core.hooksPath=/dev/null -c core.alternateRefsCommand=true -c core.fsmonitor=false"
    " -c receive.denyCurrentBranch=refuse -c receive.autogc=false receive-pack"
)
"""How a repository on this machine takes a push where only the checkout said that it be that one: it runs nothing."""
_PASSED_ON = (
    *("HOME", "PATH", "USER", "LOGNAME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"),
    *("SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSH_COMMAND", "GIT_CONFIG_GLOBAL"),
    *("GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"),
    *("NO_PROXY", "no_proxy"),
)
_ENVIRON = {
    "LC_ALL": "C",
    "LANGUAGE": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_ASKPASS": "true",
    "SSH_ASKPASS": "true",
}
_SCP = re.compile(r"(?:[\w.-]+@)?[\w.-]+:(?!/?/)[^\s]+")
_NO_ACCESS = re.compile(
    r"Authentication failed|could not read (?:Username|Password)|returned error: 40[13]|Permission denied|"
    r"Permission to .* denied|Host key verification failed|access denied|terminal prompts disabled",
    re.IGNORECASE,
)
_NOT_THERE = re.compile(
    r"Repository not found|repository '.*' not found|does not appear to be a git repository|returned error: 404",
    re.IGNORECASE,
)
_MAX_SAID = 300


class Remote(NamedTuple):
    """Where branches are pushed to."""

    name: str
    """Its name in the checkout, below which the branches are that were last seen."""
    url: str
    is_operators: bool
    """Whether the operator's file says the address, rather than the checkout."""

    @property
    def is_local(self) -> bool:
        """Whether it lies on this machine."""
        return self.url.startswith("file://")


def remote_of(place: Place, repository: str) -> Remote:
    """Return the remote that the operator's file names, and its address as it is now.

    Raises:
        AdapterError: it has no address, several, one that may not be used, or not this repository's.
    """
    name = setting(place.settings, "git", "remote", "origin")
    if expected := branch_problem(name):
        raise unconfigured(f"`remote` of adapters.git is {shown(name)}; expected {expected}")
    if given := setting(place.settings, "git", "url"):
        return Remote(name, _checked(given), is_operators=True)
    urls = _config(place.root, f"remote.{name}.url")
    if len(urls) != 1:
        seen = f"{len(urls)} addresses" if urls else "no address"
        raise unconfigured(f"the remote {shown(name)} has {seen}; expected one", advice="set adapters.git.url")
    if pushed := _config(place.root, f"remote.{name}.pushurl"):
        raise _surprise(name, urls[0], pushed[0])
    becomes = git(["remote", "get-url", "--push", "--", name], place.root).decode("utf-8", "replace").strip()
    if becomes != urls[0]:
        raise _surprise(name, urls[0], becomes)
    url = _checked(urls[0])
    if not url.startswith("file://") and not _is_of(url, repository):
        raise unconfigured(
            f"the remote {shown(name)} is {shown(url)}, which is not {shown(repository)}",
            advice="name the repository that is meant, or set adapters.git.url",
        )
    return Remote(name, url, is_operators=False)


def _surprise(name: str, url: str, other: str) -> AdapterError:
    return unconfigured(
        f"the remote {shown(name)} is {shown(_bare(url))}, but git would push to {shown(_bare(other))}",
        advice="remove the pushurl or insteadOf from git's configuration, or set adapters.git.url to what is meant",
    )


def _config(root: Path, key: str) -> list[str]:
    try:
        found = git(["config", "--null", "--get-all", key], root)
    except GitError as error:
        if error.said:
            raise
        return []
    return [one.decode("utf-8", "replace") for one in found.split(b"\0")[:-1]]


def _checked(url: str) -> str:
    """Return an address as git is given it; a path becomes `file://`."""
    if url.startswith("/") and "\n" not in url:
        return f"file://{url}"
    is_plain = url.isprintable() and " " not in url and not url.startswith("-")
    parts = urlsplit(url) if is_plain and "::" not in url else None
    if parts is not None and parts.scheme in {"https", "ssh", "file"}:
        if parts.password is not None or (parts.scheme == "https" and parts.username is not None):
            raise unconfigured(
                f"the address {shown(_bare(url))} carries a name or password",
                advice="take it out and set adapters.git.token, or use a credential helper",
            )
        return url
    if parts is not None and "://" not in url and _SCP.fullmatch(url):
        return url
    raise unconfigured(
        f"the remote's address is {shown(_bare(url))}; expected https://, ssh:// or file://",
        advice="set adapters.git.url",
    )


def _bare(url: str) -> str:
    """Return an address without the user and password that it may carry."""
    return re.sub(r"//[^/@]*@", "//", url)


def _is_of(url: str, repository: str) -> bool:
    path = urlsplit(url).path if "://" in url else url.partition(":")[2]
    named = path.strip("/").removesuffix(".git").lower()
    return named == repository.lower() or named.endswith("/" + repository.lower())


class Line(NamedTuple):
    """A way to one remote, for one action."""

    remote: Remote
    folder: Path
    """The repository made for the moment."""
    environ: Mapping[str, str]
    program: str
    ends_at: float
    """By the monotonic clock: everything must be over then."""
    is_cancelled: Callable[[], bool]

    def branches(self, *names: str) -> dict[str, str]:
        """Return the commits of those of the branches that the remote has.

        Raises:
            AdapterError: it cannot be asked: RETRYABLE, or PERMANENT where trying again is of no use.
        """
        refs = [f"refs/heads/{name}" for name in names]
        ended = self._run("ls-remote", "--quiet", "--end-of-options", self.remote.url, *refs)
        if ended.code != 0 or ended.why is not child.Why.ENDED:
            raise _not_asked(ended)
        rows = (line.split("\t") for line in ended.stdout.data.decode("utf-8", "replace").splitlines())
        found = {row[1].removeprefix("refs/heads/"): row[0] for row in rows if len(row) == 2 and row[1] in refs}  # noqa: PLR2004  # id and name
        return {name: found[name] for name in names if name in found}

    def contains(self, tip: str, commit: str) -> bool:
        """Say whether a commit of the remote has another before it; what is not here is fetched for the moment.

        Raises:
            AdapterError: it cannot be fetched.
        """
        if tip == commit:
            return True
        if not self._has(tip):
            ended = self._run("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", self.remote.url, tip)
            if ended.code != 0:
                raise _not_asked(ended)
        return self._run("merge-base", "--is-ancestor", commit, tip).code == 0

    def push(self, commit: str, branch: str, expected: str) -> Receipt | None:
        """Set the remote's branch to a commit if it still is at `expected` ("" for: is not there).

        None is for done; else the receipt says what became of it.
        """
        ref = f"refs/heads/{branch}"
        program = [] if self.remote.is_operators or not self.remote.is_local else [f"--receive-pack={_RECEIVE}"]
        lease = f"--force-with-lease={ref}:{expected}"
        ended = self._run(
            "push", "--porcelain", "--no-verify", "--no-signed", lease, *program, "--", self.remote.url,
            f"{commit}:{ref}",
        )  # fmt: skip
        if ended.why is child.Why.ENDED and ended.code == 0:
            return None
        return _not_pushed(ended, ref)

    def _has(self, commit: str) -> bool:
        return self._run("cat-file", "-e", f"{commit}^{{commit}}").code == 0

    def _run(self, *arguments: str) -> child.Ended:
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            left_s = max(1.0, self.ends_at - time.monotonic())
            command = child.Command(self.program, ["git", *_OPTIONS, *arguments], folder, self.environ, left_s)
            return child.run(command, is_cancelled=self.is_cancelled)
        finally:
            os.close(folder)


@contextmanager
def line_to(
    remote: Remote, place: Place, timeout_s: float, is_cancelled: Callable[[], bool] = lambda: False
) -> Iterator[Line]:
    """Give a way to a remote.

    Raises:
        AdapterError: there is no git, or a setting is wrong.
    """
    environ = _environ(remote, place)
    program = child.find_program("git", environ.get("PATH", os.defpath))
    if program is None:
        raise unconfigured("git is not installed, or not on PATH")
    folder = Path(tempfile.mkdtemp(prefix="orch-git-"))
    try:
        _borrow(folder, place.root)
        yield Line(remote, folder, environ, program, time.monotonic() + timeout_s, is_cancelled)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _borrow(folder: Path, root: Path) -> None:
    """Make an empty repository that reads the objects of another."""
    shape = git(["rev-parse", "--show-object-format"], root).decode().strip()
    git(["init", "--quiet", "--template=", f"--object-format={shape}"], folder)
    objects = _inside(root, "objects")
    if "\n" in str(objects):
        raise unconfigured(f"the repository's path {shown(str(objects))} has a line break")
    (folder / ".git" / "objects" / "info" / "alternates").write_bytes(os.fsencode(objects) + b"\n")
    if is_shallow(root):
        shutil.copyfile(_inside(root, "shallow"), folder / ".git" / "shallow")


def _inside(root: Path, name: str) -> Path:
    found = git(["rev-parse", "--git-path", name], root)
    return (root / os.fsdecode(found.removesuffix(b"\n"))).resolve()


def _environ(remote: Remote, place: Place) -> dict[str, str]:
    more = place.settings.get("environment", [])
    if not isinstance(more, list) or not all(isinstance(one, str) for one in more):
        raise unconfigured(f"`environment` of adapters.git is {shown(more)}; expected a list of names")
    environ = {name: place.environ[name] for name in (*_PASSED_ON, *more) if name in place.environ} | _ENVIRON
    if token := setting(place.settings, "git", "token"):
        if not remote.url.startswith("https://"):
            raise unconfigured("adapters.git.token is for https:// remotes, and this one is not")
        environ |= _with_token(remote, place, token)
    return environ


def _with_token(remote: Remote, place: Place, token: str) -> dict[str, str]:
    """Return the settings that carry a token, which git takes from its environment: no argument, no file."""
    import base64

    parts = urlsplit(remote.url)
    user = setting(place.settings, "git", "username", "x-access-token")
    coded = base64.b64encode(f"{user}:{place.reveal(token)}".encode()).decode("ascii")
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{parts.scheme}://{parts.netloc}/.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {coded}",
    }


def _said(ended: child.Ended) -> str:
    lines = ended.stderr.data.decode("utf-8", "replace").splitlines()
    told = [line.strip() for line in lines if line.strip() and not line.startswith("hint:")]
    return _plain("; ".join(told)) if told else f"git ended with {ended.code}"


def _plain(text: str) -> str:
    """Return words of a remote in one line, shortened; it may say what it likes."""
    return "".join(char if char.isprintable() else " " for char in text[:_MAX_SAID])


def _not_asked(ended: child.Ended) -> AdapterError:
    said = _said(ended)
    if ended.why is child.Why.NOT_STARTED:
        return unconfigured(f"git cannot be started: {ended.problem}")
    if _NO_ACCESS.search(said):
        return unconfigured(f"the remote gives no access: {said}", advice="give orch credentials for it")
    if _NOT_THERE.search(said):
        return failure(f"the remote is not there: {said}")
    why = {child.Why.TIMED_OUT: "did not answer in time", child.Why.CANCELLED: "was not waited for any longer"}
    return failure(
        f"the remote {why.get(ended.why, 'cannot be asked')}: {said}",
        delivery=Delivery.RETRYABLE,
        error_class=ErrorClass.TRANSIENT,
    )


def _not_pushed(ended: child.Ended, ref: str) -> Receipt:
    """Say what a push was that did not end well: only a clear refusal is one."""
    if ended.why is child.Why.NOT_STARTED:
        return Receipt(Delivery.RETRYABLE, detail=f"git cannot be started: {ended.problem}")
    rows = [line.split("\t") for line in ended.stdout.data.decode("utf-8", "replace").splitlines()]
    refusal = next((row[2] for row in rows if len(row) > 2 and row[0] == "!" and row[1].endswith(f":{ref}")), "")  # noqa: PLR2004  # flag, refs, summary
    said = _said(ended)
    if ended.why is child.Why.ENDED and "rejected]" in refusal:
        is_moved = "stale info" in refusal or "failed to update ref" in refusal or "cannot lock ref" in refusal
        why = "it moved since the push was decided" if is_moved else _plain(refusal)
        detail = f"the remote refused {ref}: {why}; git said {said}"
        return Receipt(Delivery.PERMANENT, detail=detail, error_class=ErrorClass.PERMANENT)
    if ended.why is child.Why.ENDED and _NO_ACCESS.search(said):
        return Receipt(Delivery.PERMANENT, detail=f"no access: {said}", error_class=ErrorClass.CONFIGURATION)
    return Receipt(Delivery.UNKNOWN, detail=f"the push did not end: {ended.why.value}; git said {said}")
