"""Runs programs: a list of arguments, never a shell; `docs/adapters-local.md` says how, and within which limits.

The program is looked up, and a script hashed, when the action is prepared; what runs is what was hashed.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator import beneath, child
from orchestrator.adapter import (
    Action,
    Delivery,
    Effect,
    ErrorClass,
    Place,
    Prepared,
    Receipt,
    Wanted,
    failure,
    unconfigured,
)
from orchestrator.digest import sha256
from orchestrator.errors import OrchError, UsageError
from orchestrator.ledger.mask import Mask
from orchestrator.names import shown
from orchestrator.secret import REFERENCE
from orchestrator.strictjson import parse, value_problems
from orchestrator_adapters import script
from orchestrator_adapters.commandline import NAME, Asked, asked_for

TEXT_BYTES = 64 * 1024
"""So much of standard output is given to later steps as text, or as JSON; all that was kept is the artifact."""
SAID_BYTES = 16 * 1024
"""So much of the end of standard error."""
ENVIRONMENT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ")
"""What a program is given of the environment, unless the operator says otherwise."""
KEY_VARIABLE = "ORCH_KEY"
"""What tells a program the key of its action."""

_SETTINGS = frozenset({"environment"})
_STEERS = re.compile(
    r"LD_.*|DYLD_.*|BASH_ENV|BASH_FUNC_.*|ENV|IFS|PS4|SHELLOPTS|BASHOPTS|PYTHONSTARTUP|PYTHONHOME|NODE_OPTIONS"
    r"|PERL5OPT|PERL5DB|RUBYOPT|JAVA_TOOL_OPTIONS|_JAVA_OPTIONS|GCONV_PATH|GIT_EXEC_PATH|GIT_SSH.*|GIT_CONFIG.*"
)
"""Variables that make a program run something else than its arguments say."""
_MARGIN_BYTES = 4096
_DETAIL = 200


class _Found(NamedTuple):
    """A command line whose files are open."""

    name: str
    """How rules know the program: `make`, `./scripts/build.sh`, `/opt/tool`."""
    program: str
    """The file to execute."""
    argv: tuple[str, ...]
    """As the program is given it."""
    digest: str
    """Over every text that lies in the root, or that an interpreter is given; "" where there is none."""
    watched: tuple[tuple[script.Text, script.Way], ...] = ()
    """Texts that run from files which others could change."""
    files: tuple[int, ...] = ()


class Command:
    """Does run_command."""

    name = "command"
    actions = frozenset({"run_command"})

    def prepare(self, wanted: Wanted, place: Place) -> Prepared:
        """Return the command with its program looked up and its script hashed."""
        asked = asked_for(wanted.parameters)
        _environment_names(place)
        with _found(asked, place) as found:
            properties: dict[str, Any] = {"argv": list(asked.argv)}
            if asked.cwd:
                properties["cwd"] = "/".join(asked.cwd)
            if asked.env:
                properties["env"] = dict(asked.env)
            if asked.timeout_s is not None:
                properties["timeout_s"] = asked.timeout_s
            if found.digest:
                properties["script_digest"] = found.digest
            _forbid_steering(asked.env, place)
            return Prepared(
                {"type": "command", "id": found.name, "properties": {}}, properties, Effect.OUTWARD, is_replayable=False
            )

    def perform(self, action: Action, key: str) -> Receipt:
        """Run the command to its end, if it is still the one that was decided about."""
        place = action.place
        asked = asked_for({name: value for name, value in action.properties.items() if name != "script_digest"})
        with _found(asked, place) as found, _folder(place.root, asked.cwd) as folder:
            if (found.name, found.digest) != (action.resource["id"], action.properties.get("script_digest", "")):
                raise failure(
                    f"{_first(asked)} is not what was decided about: its text was changed since",
                    advice="look at who changes it; then ask anew",
                    error_class=ErrorClass.PERMANENT,
                )
            environ, mask = _environment(asked, place, key)
            time_s = min(action.timeout_s, asked.timeout_s or action.timeout_s)
            action.recheck()
            command = child.Command(found.program, found.argv, folder, environ, time_s, files=found.files)
            ended = child.run(command, is_cancelled=action.is_cancelled)
            is_changed = not all(text.is_unchanged(way) for text, way in found.watched)
        return _receipt(ended, asked, place, mask, is_changed=is_changed)

    def reconcile(self, action: Action, key: str) -> Receipt | None:  # noqa: ARG002  # the Protocol's
        """Return None: what a program did cannot be looked up."""
        return None


def _environment_names(place: Place) -> tuple[str, ...]:
    """Return the variables that the operator lets through.

    Raises:
        AdapterError: the operator's settings are wrong.
    """
    for name in place.settings.keys() - _SETTINGS:
        raise unconfigured(
            f"adapters.command has no setting {shown(name)}", advice="it has environment: [PATH, HOME, ...]"
        )
    names = place.settings.get("environment", ENVIRONMENT)
    if not isinstance(names, list | tuple) or not all(isinstance(each, str) and NAME.fullmatch(each) for each in names):
        raise unconfigured("adapters.command.environment is no list of variables", advice="such as [PATH, HOME, LANG]")
    return tuple(names)


def _forbid_steering(env: Mapping[str, str], place: Place) -> None:
    if KEY_VARIABLE in env:
        raise UsageError(
            f"run_command's env sets {KEY_VARIABLE}, which orch sets itself: the action's key",
            advice="name the variable otherwise",
        )
    for name in env.keys() - set(_environment_names(place)):
        if _STEERS.fullmatch(name):
            raise UsageError(
                f"run_command's env sets {name}, which can make a program run something else than argv says",
                advice=f"the operator may allow it: adapters: {{command: {{environment: [PATH, {name}]}}}}",
            )


def _environment(asked: Asked, place: Place, key: str) -> tuple[dict[str, str], Mask]:
    """Return the program's environment, and a mask of the secrets in it."""
    names = _environment_names(place)
    environ = {name: place.environ[name] for name in names if name in place.environ}
    environ |= {KEY_VARIABLE: key}
    known = []
    for name, value in asked.env.items():
        known += [place.reveal(found[0]) for found in REFERENCE.finditer(value)]
        environ[name] = place.reveal(value)
    return environ, Mask.of(place.environ).knowing(known)


@contextmanager
def _folder(root: Path, cwd: Sequence[str]) -> Iterator[int]:
    try:
        with beneath.folder(root, cwd) as opened:
            yield opened
    except OSError as error:
        raise unconfigured(
            f"the command cannot stand in {shown('/'.join(cwd) or '.')}: {error.strerror}",
            advice="name a folder below the run's root; a symlink is not followed",
        ) from error


@contextmanager
def _found(asked: Asked, place: Place) -> Iterator[_Found]:
    """Give a command line with its program looked up and its texts open and hashed."""
    with _folder(place.root, asked.cwd), ExitStack() as stack:
        path, name = _program(asked, place)
        try:
            is_ours = name.startswith("./")
            program = stack.enter_context(script.opened(path, is_program=True)) if is_ours else None
            at = script.script_at(asked.argv)
            text = stack.enter_context(script.opened(_beside(asked.argv[at], asked, place))) if at else None
        except OSError as error:
            raise unconfigured(f"{_first(asked)} cannot be read: {error.strerror}") from error
        digests = [each.digest for each in (program, text) if each]
        both = digests[0] if len(digests) == 1 else sha256("\n".join(digests).encode()) if digests else ""
        line = _Line(asked, str(path), program, text, at or 0)
        yield line.found(stack, _Found(name, str(path), asked.argv, both))


class _Line(NamedTuple):
    """A command line on its way to what is executed."""

    asked: Asked
    path: str
    program: script.Text | None
    """Where it lies in the root."""
    text: script.Text | None
    """The file that an interpreter is given."""
    at: int

    def found(self, stack: ExitStack, found: _Found) -> _Found:
        """Return what is executed, so that what was hashed is what runs."""
        rest = list(self.asked.argv[1:])
        if self.text is not None:
            way = script.way_of(self.text, self.asked.argv[:1])
            words, found = _brought(way, self.text, self.asked.argv[self.at], stack, found)
            rest[self.at - 1 : self.at] = words
        if self.program is None:
            return found._replace(argv=(self.asked.argv[0], *rest))
        interpreter = script.shebang(self.program.data)
        own = self.asked.argv[0] if "/" in self.asked.argv[0] else self.path
        words, found = _brought(script.way_of(self.program, interpreter), self.program, own, stack, found)
        if interpreter:
            return found._replace(program=interpreter[0], argv=(*interpreter, *words, *rest))
        return found._replace(program=words[0] if words[0] != own else self.path, argv=(self.asked.argv[0], *rest))


def _brought(way: script.Way, text: script.Text, own: str, stack: ExitStack, found: _Found) -> tuple[list[str], _Found]:
    """Return the words that bring a text to run, and what has to stay open for them."""
    copy = -1
    if way in {script.Way.PYTHON, script.Way.SEALED}:
        copy = script.sealed_copy(text.data)
        stack.callback(os.close, copy)
        found = found._replace(files=(*found.files, copy))
    else:
        files = (*found.files, text.opened) if way is script.Way.OPEN else found.files
        found = found._replace(files=files, watched=(*found.watched, (text, way)))
    return script.words_for(way, text, own, copy), found


def _program(asked: Asked, place: Place) -> tuple[Path, str]:
    """Return the program's file, and the name by which rules know it.

    Raises:
        UsageError: it is named by a path that leaves the root.
        AdapterError: there is none, or it may not be executed.
    """
    first = asked.argv[0]
    if "/" in first:
        path = _beside(first, asked, place)
        if not path.is_file():
            raise unconfigured(f"there is no program {shown(first)} in the run's root or where its path says")
        if not os.access(path, os.X_OK):
            raise unconfigured(f"{shown(first)} may not be executed", advice="chmod +x it, or name its interpreter")
    elif (named := child.find_program(first, place.environ.get("PATH", os.defpath))) is None:
        raise unconfigured(f"there is no program {shown(first)} on PATH", advice="install it, or give its path")
    else:
        path = Path(named)
    real = Path(os.path.realpath(path.parent), path.name)
    if real.is_relative_to(place.root):
        return path, f"./{real.relative_to(place.root)}"
    return path, str(real) if "/" in first else first


def _beside(given: str, asked: Asked, place: Place) -> Path:
    """Return the file that a path on the command line names; a relative one may not leave the root."""
    if given.startswith("/"):
        return Path(given)
    path = Path(os.path.normpath(Path(place.root, *asked.cwd, given)))
    if not path.is_relative_to(place.root):
        raise UsageError(f"{shown(given)} lies outside of the run's root", advice="name a file within it")
    return path


def _first(asked: Asked) -> str:
    at = script.script_at(asked.argv)
    return shown(asked.argv[at or 0])


def _receipt(ended: child.Ended, asked: Asked, place: Place, mask: Mask, *, is_changed: bool) -> Receipt:
    if ended.why is child.Why.NOT_STARTED:
        detail = f"{shown(asked.argv[0])} cannot be started: {ended.problem}"
        return Receipt(Delivery.PERMANENT, detail=mask.text(detail), error_class=ErrorClass.CONFIGURATION)
    delivery, detail = _verdict(ended, asked, is_changed=is_changed)
    outputs: dict[str, Any] = {} if ended.code is None else {"exit_code": ended.code}
    if ended.signal:
        outputs["signal"] = ended.signal
    try:
        outputs |= _texts(ended, mask)
        if delivery is Delivery.PERMANENT and (said := outputs["stderr"].strip().splitlines()):
            detail = f"{detail}: {said[-1][:_DETAIL]}"
        kept = _kept(ended, place)
    except (OrchError, OSError) as error:
        said = f"{detail}; what it wrote cannot be kept: {error}"
        return Receipt(Delivery.UNKNOWN, detail=said, outputs=outputs)
    error_class = ErrorClass.PERMANENT if delivery is Delivery.PERMANENT else None
    outputs["artifacts"] = kept
    return Receipt(delivery, "", detail, outputs, error_class, artifacts=tuple(kept.values()))


def _verdict(ended: child.Ended, asked: Asked, *, is_changed: bool) -> tuple[Delivery, str]:
    first = shown(asked.argv[0])
    left = f"; {ended.left} of its processes would not end" if ended.left else ""
    match ended.why:
        case child.Why.TIMED_OUT:
            return Delivery.UNKNOWN, f"{first} was ended after {ended.duration_s:.1f} s: its time was over{left}"
        case child.Why.CANCELLED:
            return Delivery.UNKNOWN, f"{first} was ended after {ended.duration_s:.1f} s: it was cancelled{left}"
        case child.Why.LOST:
            return Delivery.UNKNOWN, f"nobody knows how {first} ended: {ended.problem}"
        case _ if is_changed:
            return Delivery.UNKNOWN, f"{_first(asked)} was changed while it ran: it may not be what was decided about"
        case _ if ended.code == 0:
            return Delivery.DELIVERED, left.removeprefix("; ")
        case _:
            how = f"a signal, {ended.signal}" if ended.signal else f"exit code {ended.code}"
            return Delivery.PERMANENT, f"{first} ended with {how}{left}"


def _texts(ended: child.Ended, mask: Mask) -> dict[str, Any]:
    """Return what later steps are told of the output, secrets hidden before anything is cut."""
    out, err = ended.stdout.data, ended.stderr.data
    told: dict[str, Any] = {
        "stdout": _cut(mask.text(_decoded(out[: TEXT_BYTES + _MARGIN_BYTES])), len(out)),
        "stderr": _end(mask.text(_decoded(err[-SAID_BYTES - _MARGIN_BYTES :])), len(err)),
    }
    if ended.stdout.size > TEXT_BYTES:
        return told | {"stdout_bytes": ended.stdout.size}
    try:
        value = parse(out, name="stdout")
    except UsageError:
        return told
    return told if value_problems(value) else told | {"json": mask.value(value)}


def _cut(text: str, size: int) -> str:
    """Return the beginning of a text; where more follows, its end may be half a secret and is left out."""
    return text if size <= TEXT_BYTES else text[: min(TEXT_BYTES, max(0, len(text) - _MARGIN_BYTES))]


def _end(text: str, size: int) -> str:
    """Return the end of a text; where more stands before it, its beginning may be half a secret."""
    return text if size <= SAID_BYTES else text[max(_MARGIN_BYTES, len(text) - SAID_BYTES) :]


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\0", "\ufffd")


def _kept(ended: child.Ended, place: Place) -> dict[str, str]:
    kept = {}
    for name, output in (("stdout", ended.stdout), ("stderr", ended.stderr)):
        if output.size:
            kept[name] = place.keep(BytesIO(output.data), name, "text/plain")
    return kept
