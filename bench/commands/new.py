"""The commands of `voxgrid new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

new_app = typer.Typer(help="Write a working plugin to start from.", no_args_is_help=True)


@new_app.callback()  # without it, typer makes an only command the group itself
def new() -> None:
    """Write a working plugin to start from."""


@new_app.command()
def backbone(
    name: Annotated[str, typer.Argument(help="Lower case, e.g. my-backbone.")],
    to: Annotated[
        Path, typer.Option(help="Checkout of voxgrid; with --package, where the package goes.")
    ] = Path(),
    package: Annotated[
        bool, typer.Option("--package", help="As a package of its own, with an entry point.")
    ] = False,
) -> None:
    """A backbone and its test, which pass `voxgrid check` before a line is changed."""
    from bench.commands import scaffold

    written = scaffold.as_package(name, to) if package else scaffold.in_checkout(name, to)
    for path in written.files:
        typer.echo(f"wrote {path}")
    typer.echo("next:")
    for command in written.commands:
        typer.echo(f"  {command}")
