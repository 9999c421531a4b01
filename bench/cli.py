"""The `voxgrid` command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bench.commands.leaderboard import leaderboard
from bench.commands.new import new_app
from bench.commands.plan import plan
from bench.commands.run import run
from bench.commands.shell import fail, interruptible
from bench.errors import DataUnavailable, UserError, VoxgridError
from bench.fetch import fetch_app

app = typer.Typer(
    help="Which speech backbone, which pooling, which classifier head, and at what cost?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(fetch_app, name="fetch")
app.add_typer(new_app, name="new")

app.command()(run)
app.command()(plan)
app.command()(leaderboard)


@app.command(name="list")
def list_(
    kind: Annotated[
        str | None,
        typer.Argument(help="tasks, protocols, backbones, poolings, heads or presets; or all."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on standard output.")] = False,
) -> None:
    """List tasks, protocols, backbones, poolings and heads, and what is available here."""
    from bench.commands import list as inventory

    found = inventory.collect(kind)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        inventory.render(found)


@app.command()
@interruptible
def check(
    asked: Annotated[
        list[str] | None,
        typer.Argument(
            help="Backbones, heads or tasks; default: all registered backbones.",
            metavar="[NAME]...",
        ),
    ] = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="With real weights, not a small random network.")
    ] = False,
    control: Annotated[
        str | None,
        typer.Option(help="'random-init': with random weights at the published size."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on standard output.")] = False,
    write_golden: Annotated[
        Path | None,
        typer.Option(
            help="Where nothing else failed, write what the weights give into this folder. "
            "It belongs next to the plugin's file, under the name 'golden'."
        ),
    ] = None,
) -> None:
    """Check that backbones (or heads, or tasks) keep the contract: padding, lengths and more."""
    from rich.console import Console

    from bench.commands import checking, conformance, suites

    names, left_out = conformance.registered()
    others: list[checking.Subject] = []
    if asked:
        (names, others), left_out = checking.split(asked), []
    if pretrained and control:
        raise UserError("--pretrained and --control ask for different weights: leave out one")
    if others and (pretrained or control or write_golden is not None):
        raise UserError(f"{others[0].name} is a {others[0].kind}: leave out the options of weights")
    console = Console()
    found = []
    for examination in conformance.examinations(names, pretrained=pretrained, control=control):
        if asked and examination.skipped:
            raise UserError(f"{examination.name} cannot be checked: {examination.skipped}")
        if write_golden is not None:
            examination = conformance.with_golden(examination, write_golden)
        found.append(examination)
        if not as_json:
            conformance.render(examination, console)
    examined = [suites.examine(other) for other in others]
    if as_json:
        listing = conformance.as_json(found, left_out)
        listing["passed"] &= all(each.passed for each in examined)
        typer.echo(json.dumps(listing | suites.as_json(examined), indent=1))
    else:
        for each in examined:
            suites.render(each, console)
    if names or not others:
        typer.echo(conformance.summary(found, left_out, len(names)), err=as_json)
    if others:
        typer.echo(suites.summary(examined), err=as_json)
    passed = [each.passed for each in found] + [each.passed for each in examined]
    if left_out or not all(passed):
        raise typer.Exit(1)


def main() -> None:
    """Entry point: errors are one sentence on standard error, and code 2 is the user's mistake."""
    from backbones import BackboneError

    try:
        app()
    except (UserError, DataUnavailable, BackboneError) as error:
        fail(str(error), 2)
    except VoxgridError as error:
        fail(str(error), 1)


if __name__ == "__main__":
    main()
