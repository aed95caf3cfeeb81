"""`orch plan`: what people do with plans before they are run."""

import sys
from pathlib import Path

import click

_PACKS = click.option(
    "--packs", multiple=True, type=click.Path(), help="Packs whose own actions count; may be repeated."
)


@click.group()
def plan() -> None:
    """Check, show, make and import plans.

    A plan is a YAML document of phases: what they need, their steps, and what must be true after them. Nothing here
    carries one out: that is `orch run`.
    """


@plan.command(short_help="Say all that is wrong with plans.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@_PACKS
@click.option(
    "--root", default=".", show_default=True, type=click.Path(path_type=Path), help="Where the plans' files lie."
)
@click.option("-o", "--output", type=click.Choice(["text", "json", "github"]), default="text", show_default=True)
@click.option("--strict", is_flag=True, help="Let warnings fail, too.")
def validate(*, files: tuple[str, ...], packs: tuple[str, ...], root: Path, output: str, strict: bool) -> None:
    """Say all that is wrong with the plans in FILE...: exit 0, or 7. The FILE - is standard input.

    An action that neither is built in nor declared by --packs is an error; without --packs it is a warning, since
    nobody knows what the packs declare. JSON Schemas that a plan names are looked at below --root.
    """
    from orchestrator.plans.permitted import abilities_under
    from orchestrator.plans.read import check_plans
    from orchestrator.show import problems

    checked = check_plans(files, can=abilities_under(packs), root=root)
    problems.write(checked.problems, sys.stdout, output, subject=checked.summary, command="orch plan validate")
    _exit(checked.exit_code(strict=strict))


@plan.command(short_help="Show the phases of a plan, level by level.")
@click.argument("file", type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "mermaid", "svg", "json"]),
    default="text",
    show_default=True,
    help="Text, a picture, or all of it for a program.",
)
def show(*, file: str, output: str) -> None:
    """Show the phases of the plan in FILE, level by level: what is on one level runs side by side.

    The FILE - is standard input.
    """
    from orchestrator.plans.read import read_plan
    from orchestrator.show import plan as shown

    shown.write(read_plan(file), sys.stdout, output)


@plan.command(short_help="Write a first plan.")
@click.argument("name")
@click.option(
    "--dir", "folder", default=".", show_default=True, type=click.Path(path_type=Path), help="Where it is written."
)
def new(*, name: str, folder: Path) -> None:
    """Write a first plan called NAME, with comments, into NAME.yaml below DIR. It can be run as it is."""
    import shlex

    from orchestrator.plans.scaffold import scaffold

    path = scaffold(name, folder)
    click.echo(path)
    target = shlex.quote(str(path))
    click.echo(f"next: orch plan validate {target} && orch run {target} --mode dry-run", err=True)


@plan.command("import", short_help="Make a plan of JSON configuration files.")
@click.argument("places", nargs=-1, required=True, metavar="DIR|FILE...", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The file to write. [default: standard output]")
@click.option("--name", help="The plan's name. [default: from the files]")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option(
    "--report", type=click.Choice(["text", "json"]), default="text", show_default=True, help="The form of the report."
)
def import_(*, places: tuple[Path, ...], out: Path | None, name: str | None, force: bool, report: str) -> None:
    """Make one plan of an orchestrator's JSON files: a folder of them, or the files themselves.

    Known by their names are orchestrator_config.json, phase_config.json, success_criteria.json and github_config.json;
    the phases are needed, the others may be missing. The plan goes to --out or standard output; the report, to
    standard error, says of every field what became of it, and why where it has no effect. To look at the plan before
    it is written: `orch plan import DIR | orch plan validate -`.
    """
    from orchestrator.plans.importing import import_files
    from orchestrator.plans.scaffold import write_new
    from orchestrator.show import imported

    found = import_files(places, name=name)
    if out is None:
        click.echo(found.text, nl=False)
    else:
        advice = "choose another file, or write over it with --force"
        write_new(out, found.text, advice=advice, may_replace=force)
    imported.write(found, sys.stderr, report)


def _exit(code: int) -> None:
    click.get_current_context().exit(int(code))
