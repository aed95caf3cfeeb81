"""A first pack with its tests, as files to start from. Writes into a new folder only; never over anything."""

import re
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.shape import EXPECTED_OF_PATTERN, NAME

_PACK = """\
# {what}
# All keys: `orch policy schema PolicyPack`. After each change: `orch policy validate {path}`
# and `orch policy test {path}`.
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
_README = "# {name}\n\n{what} Try it with `orch policy test {path}`; use it with `{use}`.\n"


def scaffold(name: str, folder: Path) -> tuple[Path, ...]:
    """Write a pack called `name` into a new folder of that name below `folder`, and return the files written.

    In `.orch/packs` it is a repository's pack, anywhere else one of the organisation. It validates, and its tests pass.

    Raises:
        UsageError: the name is none, the folder is there already, or it cannot be written.
    """
    if not re.fullmatch(NAME[1:-1], name):
        message = f"{name!r:.80} is no name for a pack; expected {EXPECTED_OF_PATTERN[NAME]}"
        raise UsageError(message)
    target = folder / name
    written = []
    try:
        target.mkdir(parents=True)
        for file, text in _files(name, target).items():
            with (target / file).open("x", encoding="utf-8") as out:
                out.write(text)
            written.append(target / file)
    except FileExistsError as error:
        message = f"{target} is there already; nothing is overwritten"
        raise UsageError(message, advice="choose another name, or another folder with --dir") from error
    except OSError as error:
        message = f"cannot write {target}: {error.strerror}"
        raise UsageError(message, advice="choose a folder that can be written with --dir") from error
    return tuple(written)


def _files(name: str, target: Path) -> dict[str, str]:
    is_repo = target.absolute().parts[-3:-1] == (".orch", "packs")
    words = {
        "name": name,
        "quoted": f'"{name}"' if name in _YAML_WORDS or not name[0].isalpha() else name,
        "path": str(target),
        "prefix": f"repo:{name}" if is_repo else name,
        "what": _WHAT_REPO if is_repo else _WHAT_ORG,
        "use": "orch evaluate" if is_repo else f"orch evaluate --packs {target}",
    }
    pack = _PACK.format(head=(_REPO if is_repo else _ORG).format(), allow="" if is_repo else _ALLOW, **words)
    tests = (_TESTS if is_repo else _TESTS + _DENIED).format(**words)
    return {"pack.yaml": pack, "tests.yaml": tests, "README.md": _README.format(**words)}
