"""The pinned OPA binary and its one-shot uses: check, evaluate, test. Starts one process per question; keeps none.

A one-shot evaluation does not verify a bundle's signature (OPA ignores it there): whoever calls verifies first.
"""

import json
import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import place
from orchestrator.errors import DecisionError

DEADLINE_S = 30.0
"""How long a one-shot use may take before it is ended."""

_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
"""All that OPA sees: no credentials, no OPA_* settings, and one time zone on every machine."""
_EXPLAINED = 10
"""How many malformed patterns get OPA's own words; each costs a process."""
_ADVICE = "install orch from a wheel, run `make opa` in a checkout, or set ORCH_OPA to the path of an OPA 1.22 binary"


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing OPA found wrong in a module."""

    file: str
    """As given; absolute where the name holds a colon. Empty where OPA named no file."""
    row: int
    """1-based; 0 when the whole file is meant."""
    column: int
    """1-based; 0 when the whole line is meant."""
    code: str
    """OPA's own: `rego_parse_error`, `rego_type_error`, ...; empty for a file that cannot be read."""
    message: str


@dataclass(frozen=True, slots=True)
class RegoTest:
    """What came of one `test_` rule."""

    package: str
    """Without `data.`."""
    name: str
    file: str
    row: int
    outcome: str
    """`pass`, `fail`, `error` or `skip`."""
    duration_ns: int
    message: str
    """OPA's words for an error, else ""."""


@dataclass(frozen=True, slots=True)
class _Finished:
    code: int
    stdout: bytes
    stderr: bytes

    @property
    def last_words(self) -> str:
        """What to tell a person of a failed run, in at most a few lines."""
        return (self.stderr or self.stdout).decode("utf-8", "replace").strip()[:2_000] or f"nothing, exit {self.code}"


@dataclass(frozen=True, slots=True)
class Opa:
    """An OPA binary. Usable wherever a path is (`os.fspath`)."""

    path: Path
    deadline_s: float = DEADLINE_S

    def __fspath__(self) -> str:
        """Return the binary's path."""
        return str(self.path)

    def version(self) -> str:
        """Return what the binary calls itself: `1.22.0`.

        Raises:
            DecisionError: it does not run, or is no OPA.
        """
        finished = self._run(["version"])
        for line in finished.stdout.decode("utf-8", "replace").splitlines():
            if finished.code == 0 and line.startswith("Version: "):
                return line.removeprefix("Version: ").strip()
        message = f"{self.path} is no OPA: `version` printed {finished.last_words!r}"
        raise DecisionError(message, advice=_ADVICE)

    def digest(self) -> str:
        """Return the SHA-256 of the binary's bytes, as `sha256:<hex>`.

        Raises:
            DecisionError: it cannot be read.
        """
        import hashlib

        try:
            with self.path.open("rb") as binary:
                return f"sha256:{hashlib.file_digest(binary, 'sha256').hexdigest()}"
        except OSError as error:
            message = f"cannot read OPA at {self.path}: {error}"
            raise DecisionError(message, advice=_ADVICE) from error

    def check(
        self, paths: Sequence[Path], *, capabilities: Path | None = None, is_bundle: bool = False
    ) -> tuple[Complaint, ...]:
        """Return what is wrong with Rego modules (strict mode, under our capabilities); empty when they compile.

        `paths` are files and folders, or with `is_bundle` bundles. Folders are read whole, tests included.

        Raises:
            DecisionError: OPA gave no answer.
        """
        flags = ["--strict", "--format=json", "--max-errors=100", f"--capabilities={_capabilities(capabilities)}"]
        if is_bundle:
            flags.append("--bundle")
        finished = self._run(["check", *flags, "--", *map(_argument, paths)])
        if finished.code == 0:
            return ()
        errors = _json(finished, finished.stderr).get("errors")
        if not errors:
            message = f"OPA refused the modules and did not say why: {finished.last_words}"
            raise DecisionError(message)
        return tuple(map(_complaint, errors))

    def evaluate(self, bundle: Path, stdin: bytes, *, entrypoint: str = "data.orch.answer") -> Any:  # noqa: ANN401  # JSON
        """Return the value of `entrypoint` in a bundle (file or folder) for the input `stdin` (JSON), as JSON.

        Built-ins outside our capabilities do not compile. Signatures are not looked at.

        Raises:
            DecisionError: the bundle does not load, the evaluation fails, or the result is undefined.
        """
        arguments = ["--bundle", _argument(bundle), f"--capabilities={_capabilities(None)}"]
        results = self._eval(arguments, entrypoint, stdin).get("result")
        if not results:
            message = f"OPA's answer is undefined: the bundle has no {entrypoint}, or it does not hold for this input"
            raise DecisionError(message, advice="run `orch policy validate`")
        return results[0]["expressions"][0]["value"]

    def check_patterns(self, patterns: Iterable[str]) -> dict[str, str]:
        """Return, of regular expressions, those that OPA does not accept, each with the reason.

        One process answers for all of them; OPA's own words cost one more for each of the first few that are wrong.

        Raises:
            DecisionError: OPA gave no answer.
        """
        asked = sorted(set(patterns))
        if not asked:
            return {}
        query = "[pattern | some pattern in input; not regex.is_valid(pattern)]"
        wrong = self._eval([], query, json.dumps(asked).encode())["result"][0]["expressions"][0]["value"]
        found = dict.fromkeys(wrong, "is no regular expression that the engine accepts")
        for pattern in wrong[:_EXPLAINED]:
            answer = self._eval(["--show-builtin-errors"], 'regex.match(input, "")', json.dumps(pattern).encode())
            for error in answer.get("errors", []):
                found[pattern] = str(error["message"]).removeprefix("regex.match: ")
        return found

    def test(self, paths: Sequence[Path], *, capabilities: Path | None = None) -> tuple[RegoTest, ...]:
        """Run the `test_` rules of Rego files and folders, data files in them included, and return what came of each.

        Empty means that there was no test, which a caller must not read as success.

        Raises:
            DecisionError: the files do not load or compile (`check` says where), or OPA gave no answer.
        """
        flags = ["--format=json", f"--capabilities={_capabilities(capabilities)}"]
        finished = self._run(["test", *flags, "--", *map(_argument, paths)])
        if not finished.stdout.strip():
            message = f"OPA could not run the tests: {finished.last_words}"
            raise DecisionError(message, advice="mend the Rego files; `orch policy validate` shows each error")
        results = _json(finished, finished.stdout)
        return tuple(map(_test, results))

    def _eval(self, flags: list[str], query: str, stdin: bytes) -> dict[str, Any]:
        """Return what `opa eval` printed. Errors of the evaluation raise, unless they were asked for."""
        finished = self._run(["eval", "--stdin-input", "--format=json", *flags, "--", query], stdin)
        answer: dict[str, Any] = _json(finished, finished.stdout)
        if finished.code and "--show-builtin-errors" not in flags:
            errors = "; ".join(str(error.get("message")) for error in answer.get("errors", [])) or finished.last_words
            message = f"OPA could not evaluate: {errors[:2_000]}"
            raise DecisionError(message, advice="run `orch policy validate`")
        return answer

    def _run(self, arguments: list[str], stdin: bytes = b"") -> _Finished:
        """Run OPA once, in a process group of its own that does not outlive the call."""
        import subprocess

        try:
            process = subprocess.Popen(  # noqa: S603  # no shell; the path is the operator's or our own
                [self.path, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_ENVIRONMENT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            message = f"cannot start OPA at {self.path}: {error}"
            raise DecisionError(message, advice=_ADVICE) from error
        with process:
            try:
                stdout, stderr = process.communicate(stdin, timeout=self.deadline_s)
            except subprocess.TimeoutExpired as error:
                _end_group(process.pid)
                message = f"OPA gave no answer to `{arguments[0]}` within {self.deadline_s:g} s and was ended"
                raise DecisionError(message, advice="look for an expensive hand-written module") from error
            except BaseException:
                _end_group(process.pid)
                raise
        return _Finished(process.returncode, stdout, stderr)


def find(environ: Mapping[str, str] | None = None) -> Opa:
    """Return the OPA to use: the one ORCH_OPA names, else the wheel's own, else the checkout's.

    What ORCH_OPA names is used or refused, never passed over; it must be an absolute path, so that no folder one
    happens to stand in can supply the binary. PATH is not searched.

    Raises:
        DecisionError: there is none that can be run; the advice says how to get one.
    """
    named = (os.environ if environ is None else environ).get("ORCH_OPA", "")
    if named:
        if Path(named).is_absolute() and _can_run(Path(named)):
            return Opa(Path(named))
        message = f"ORCH_OPA, or `opa:` in the operator's file, is {named!r}; expected the absolute path of a program"
        raise DecisionError(message, advice=_ADVICE)
    candidates = place.opa_candidates()
    for candidate in candidates:
        if _can_run(candidate):
            return Opa(candidate)
    message = f"there is no OPA: looked at {' and '.join(map(str, candidates))}"
    raise DecisionError(message, advice=_ADVICE)


def _can_run(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _end_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _capabilities(given: Path | None) -> Path:
    return place.resource("capabilities") if given is None else given


def _argument(path: Path) -> str:
    """Return how to name a path to OPA, which takes what stands before a colon for a place in `data`."""
    return path.absolute().as_uri() if ":" in str(path) else str(path)


def _json(finished: _Finished, printed: bytes) -> Any:  # noqa: ANN401  # JSON
    try:
        return json.loads(printed)
    except ValueError as error:
        message = f"OPA's answer is not JSON: {finished.last_words}"
        raise DecisionError(message) from error


def _complaint(error: dict[str, Any]) -> Complaint:
    place_of = error.get("location") or {}
    return Complaint(
        file=str(place_of.get("file", "")),
        row=int(place_of.get("row", 0)),
        column=int(place_of.get("col", 0)),
        code=str(error.get("code", "")),
        message=str(error.get("message", "")),
    )


def _test(result: dict[str, Any]) -> RegoTest:
    outcome = next((word for word in ("error", "fail", "skip") if result.get(word)), "pass")
    error = result.get("error") or ""
    return RegoTest(
        package=str(result["package"]).removeprefix("data."),
        name=str(result["name"]),
        file=str(result["location"]["file"]),
        row=int(result["location"]["row"]),
        outcome=outcome,
        duration_ns=int(result.get("duration", 0)),
        message=str(error.get("message", error) if isinstance(error, dict) else error),
    )
