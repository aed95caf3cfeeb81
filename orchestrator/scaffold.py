"""A first pack with its tests, as files to start from. Never writes over anything."""

import re
from pathlib import Path, PurePath

from orchestrator.errors import UsageError
from orchestrator.settings import REPOSITORY_PACKS
from orchestrator.shape import EXPECTED_OF_PATTERN, NAME

_PACK = """\
# {what}
# All keys: `orch policy schema PolicyPack`. After each change:
# `orch policy validate {path}` and `orch policy test {path}`
apiVersion: orch/v1
kind: PolicyPack
metadata: {{name: {quoted}, version: 0.1.0}}
{head}
rules:
{allow}\
  - id: infra-needs-sre
    title: Changes to infrastructure are looked at by somebody of sre
    effect: require
    actions: [open_pr, merge_pr]
    file_globs: ["infra/**", "**/*.tf"]
    approvals: {{role: sre}}
"""
_ORG = """\
default: deny                            # what no rule allows is denied
enforcement: {{ci: warn}}                  # in CI it only warns; at every other point it enforces
"""
_REPO = """\
default: inherit                         # no opinion: the organisation's packs decide
"""
_ALLOW = """\
  - id: propose-changes
    title: Everybody may propose changes and talk about them
    effect: allow
    actions: [open_pr, comment, create_issue]

"""
_TESTS = """\
# Each rule needs a case that makes it match and one of the same action that does not. What a case leaves out has a
# default: subject agent:tester, repository acme/app, point run.
apiVersion: orch/v1
kind: PolicyTest
metadata: {{name: {quoted}}}
tests:
  - name: a change to prose goes through
    action: open_pr
    branch: main
    files: [README.md]
    expect: {{outcome: allow, no_findings: "{prefix}/infra-needs-sre"}}
  - name: a change to infrastructure waits for sre
    action: open_pr
    branch: main
    files: [infra/network.tf]
    expect: {{outcome: pending, findings: "{prefix}/infra-needs-sre", obligations: {{"approval:sre": unmet}}}}
"""
_DENIED = """\
  - name: what no rule allows is denied
    action: delete_branch
    branch: main
    expect: {{outcome: deny, findings: "{prefix}/default"}}
"""
_WHAT_ORG = "What the organisation allows."
_WHAT_REPO = "What this repository asks for beyond the organisation."
_YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Names that YAML reads as something else."""
_README = "# {name}\n\n{what} Try it with `orch policy test {path}`; use it with\n`orch evaluate --packs {path}`.\n"


def scaffold(name: str, folder: Path) -> tuple[Path, ...]:
    """Write a pack called `name` with its tests, and return the files written.

    Into a folder `.orch/packs` go `<name>.yaml` and `tests/<name>.yaml`, a repository's pack; in any other folder a new
    one gets `pack.yaml`, `tests.yaml` and `README.md`, a pack of the organisation. It validates, and its tests pass.

    Raises:
        UsageError: the name is none, something is there already, or it cannot be written.
    """
    if not re.fullmatch(NAME[1:-1], name):
        message = f"{name!r:.80} is no name for a pack; expected {EXPECTED_OF_PATTERN[NAME]}"
        raise UsageError(message)
    files = _files(name, folder)
    try:
        _new_folder(name, folder)
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as out:
                out.write(text)
    except FileExistsError as error:
        message = f"{folder / name} is there already; nothing is overwritten"
        raise UsageError(message, advice="choose another name, or another folder with --dir") from error
    except OSError as error:
        message = f"cannot write below {folder}: {error.strerror}"
        raise UsageError(message, advice="choose a folder that can be written with --dir") from error
    return tuple(files)


def _is_repository(folder: Path) -> bool:
    return folder.absolute().parts[-2:] == PurePath(REPOSITORY_PACKS).parts


def _new_folder(name: str, folder: Path) -> None:
    if not _is_repository(folder):
        (folder / name).mkdir(parents=True)


def _files(name: str, folder: Path) -> dict[Path, str]:
    is_repo = _is_repository(folder)
    target = folder if is_repo else folder / name
    words = {
        "name": name,
        "quoted": f'"{name}"' if name in _YAML_WORDS or not name[0].isalpha() else name,
        "path": str(target),
        "prefix": f"repo:{name}" if is_repo else name,
        "what": _WHAT_REPO if is_repo else _WHAT_ORG,
    }
    pack = _PACK.format(head=(_REPO if is_repo else _ORG).format(), allow="" if is_repo else _ALLOW, **words)
    tests = (_TESTS if is_repo else _TESTS + _DENIED).format(**words)
    if is_repo:
        return {target / f"{name}.yaml": pack, target / "tests" / f"{name}.yaml": tests}
    return {
        target / "pack.yaml": pack,
        target / "tests.yaml": tests,
        target / "README.md": _README.format(**words),
    }
