"""The `voxgrid` command: its tree, and how errors end it."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from bench.commands.best import best
from bench.commands.check import check
from bench.commands.clean import clean
from bench.commands.cross import cross
from bench.commands.dashboard import dashboard
from bench.commands.data import data
from bench.commands.demo import demo
from bench.commands.doubts import doubts
from bench.commands.evaluate import evaluate
from bench.commands.export import export
from bench.commands.fetch import fetch_app
from bench.commands.leaderboard import leaderboard
from bench.commands.list import list_
from bench.commands.merge import merge
from bench.commands.new import new_app
from bench.commands.plan import plan
from bench.commands.predict import predict
from bench.commands.report import report
from bench.commands.run import run
from bench.commands.shell import at_home, debug, echo, fail, open_streams
from bench.commands.train import train
from bench.errors import DataUnavailable, UserError, VoxgridError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        echo(f"voxgrid {version('voxgrid')}")
        raise typer.Exit


@app.callback()
def voxgrid(
    debugging: Annotated[
        bool,
        typer.Option("--debug", "-v", help="Say more of what is done; show whole tracebacks."),
    ] = False,
    shown: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Which speech backbone, which pooling, which classifier head, and at what cost?"""
    debug(debugging)


app.command()(run)
app.command()(plan)
app.command()(data)
app.command(name="list")(list_)
app.command()(leaderboard)
app.command()(merge)
app.command()(report)
app.command()(doubts)
app.command()(best)
app.command()(train)
app.command()(predict)
app.command()(evaluate)
app.command()(cross)
app.command()(export)
app.command()(demo)
app.command()(dashboard)
app.command()(check)
app.add_typer(fetch_app, name="fetch")
app.add_typer(new_app, name="new")
app.command()(clean)


def main() -> None:
    """Entry point: errors are one sentence on standard error, and code 2 is the user's mistake."""
    from backbones import BackboneError

    open_streams()
    # to a command that failed people add it at the end
    arguments = sorted(map(at_home, sys.argv[1:]), key=lambda word: word not in ("-v", "--debug"))
    try:
        # under one name, whichever way it is started: shells complete that
        try:
            app(arguments, prog_name="voxgrid")
        finally:
            sys.stdout.flush()  # what cannot be written is an error of the command too
    except (UserError, DataUnavailable, BackboneError) as error:
        fail(str(error), 2, error)
    except VoxgridError as error:
        fail(str(error), 1, error)


if __name__ == "__main__":
    main()
