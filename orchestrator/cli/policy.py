"""`orch policy`: what people do with packs. Each command parses, calls one library function, shows, exits."""

import sys
from pathlib import Path

import click

_LAYERS = ("org", "repo", "run")
_PATHS = click.argument("paths", nargs=-1, type=click.Path())
_LAYER = click.option(
    "--layer", type=click.Choice(_LAYERS), help="How to read PATHS. [default: repo below .orch/packs, else org]"
)
_PACKS = click.option(
    "--packs", multiple=True, type=click.Path(), help="Packs of the organisation above them; may be repeated."
)


@click.group()
def policy() -> None:
    """Validate, test, build, sign and scaffold packs.

    PATHS are files and folders of packs. Without any, the packs in .orch/packs are meant.
    """


@policy.command(short_help="Say all that is wrong with packs.")
@_PATHS
@_LAYER
@_PACKS
@click.option("-o", "--output", type=click.Choice(["text", "json", "github"]), default="text", show_default=True)
@click.option("--strict", is_flag=True, help="Let warnings fail, too.")
def validate(*, paths: tuple[str, ...], layer: str | None, packs: tuple[str, ...], output: str, strict: bool) -> None:
    """Say all that is wrong with packs, and what is proven of escalations: exit 0, or 7."""
    from orchestrator import clock, opa
    from orchestrator.draft import check
    from orchestrator.model import Layer
    from orchestrator.show import problems

    as_layer = Layer(layer) if layer else None
    checked = check(paths, opa.find(), clock.now_ns(), layer=as_layer, org=packs)
    problems.write(
        checked.problems,
        sys.stdout,
        output,
        subject=checked.summary,
        command="orch policy validate",
        proofs=checked.proofs,
    )
    _exit(checked.exit_code(strict=strict))


@policy.command(short_help="Run the cases and Rego tests of packs.")
@_PATHS
@_LAYER
@_PACKS
@click.option("-o", "--output", type=click.Choice(["text", "json", "junit", "tap"]), default="text", show_default=True)
@click.option("--allow-untested", is_flag=True, help="Missing tests are told and do not fail.")
@click.option("-a", "--all", "is_full", is_flag=True, help="Name what passed, too (text only).")
def test(
    *,
    paths: tuple[str, ...],
    layer: str | None,
    packs: tuple[str, ...],
    output: str,
    allow_untested: bool,
    is_full: bool,
) -> None:
    """Run the cases and Rego tests of packs, each of PATHS by itself.

    Exit 0, or 7: a test failed, there is none, or a rule is not shown both to match and not to match.
    """
    from orchestrator import opa
    from orchestrator.draft import read_drafts
    from orchestrator.model import Layer
    from orchestrator.policytest import run_tests
    from orchestrator.show import testreport

    drafts = read_drafts(paths, layer=Layer(layer) if layer else None, org=packs)
    report = run_tests(drafts, opa.find(), allow_untested=allow_untested)
    testreport.write(report, sys.stdout, output, is_full=is_full)
    _exit(report.exit_code)


@policy.command(short_help="Build the bundle of the organisation's packs.")
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="The bundle to write.")
def build(paths: tuple[str, ...], out: Path) -> None:
    """Build the bundle of the organisation's packs in PATHS and print its digest.

    The same packs, named by the same paths, give the same bytes.
    """
    from orchestrator import clock, opa
    from orchestrator.bundlefile import build_file

    click.echo(build_file(paths, out, opa.find(), clock.now_ns()))


@policy.command(short_help="Sign a bundle and print its digest.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--key", required=True, type=click.Path(path_type=Path), help="Ed25519 private key, PEM.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Where to write it. [default: in place]")
def sign(bundle: Path, key: Path, out: Path | None) -> None:
    """Sign BUNDLE and print its digest."""
    from orchestrator.bundlefile import sign_file

    click.echo(sign_file(bundle, key, out))


@policy.command(short_help="Print a bundle's digest if a key signed it, whole.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--key", required=True, type=click.Path(path_type=Path), help="Ed25519 public key, PEM.")
def verify(bundle: Path, key: Path) -> None:
    """Print the digest of BUNDLE if it is whole and signed by KEY; else exit 6."""
    from orchestrator.bundlefile import verify_file

    click.echo(verify_file(bundle, key))


@policy.command(short_help="Print the JSON Schema of documents, for editors.")
@click.argument("kind", required=False)
@click.option("--out", type=click.Path(path_type=Path), help="Write <name>.schema.json files into this folder.")
def schema(kind: str | None, out: Path | None) -> None:
    """Print the JSON Schema of KIND, or of every kind of document.

    Kinds: PolicyPack, Waiver, Roster, PolicyTest, Escalation, Plan, orch.yaml, operator.
    """
    from orchestrator.show import schemas

    click.echo("\n".join(map(str, schemas.write_files(out, kind))) if out else schemas.text(kind), nl=out is not None)


@policy.command(short_help="Write a first pack, with tests.")
@click.argument("name")
@click.option("--dir", "folder", default=".", show_default=True, type=click.Path(path_type=Path))
def new(name: str, folder: Path) -> None:
    """Write a first pack called NAME, with tests, into a new folder below DIR."""
    import shlex

    from orchestrator.scaffold import scaffold

    paths = scaffold(name, folder)
    for path in paths:
        click.echo(path)
    target = shlex.quote(str(paths[0].parent))
    click.echo(f"next: orch policy validate {target} && orch policy test {target}", err=True)


@policy.command("import-escalation", short_help="Make an escalation of another project's files.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The new folder to write into.")
@click.option("--name", help="The escalation's name. [default: from the files]")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def import_escalation(*, folder: Path, out: Path, name: str | None, output: str) -> None:
    """Make an escalation of the policy files of continuity-orchestrator in DIR: states, rules, plan and templates.

    DIR is that project's folder, or its folder `policy`. Written are the escalation, its templates, a pack, a roster
    and a part of the operator's file. The report says of every rule, action and template variable what became of it,
    with file and line, and why where it could not be kept. Nothing is overwritten.
    """
    from orchestrator.escalations.importing import import_escalation as imported
    from orchestrator.escalations.importing import write
    from orchestrator.show import imported_escalation

    found = imported(folder, name=name)
    write(found, out)
    imported_escalation.write(found, sys.stdout, output, folder=str(out))


def _exit(code: int) -> None:
    click.get_current_context().exit(int(code))
