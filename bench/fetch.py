"""The commands of `voxgrid fetch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.shell import interruptible, reporter
from bench.errors import UserError

fetch_app = typer.Typer(help="Download a task's clips.", no_args_is_help=True)


@fetch_app.command()
@interruptible
def ravdess(
    to: Annotated[
        Path | None, typer.Option(help="Folder; default: VOXGRID_DATA/ravdess, else the cache.")
    ] = None,
) -> None:
    """RAVDESS speech (about 208 MB) from Zenodo, every clip checked; resumes where it stopped."""
    from bench.tasks.ravdess.fetch import fetch_ravdess

    typer.echo(f"RAVDESS is in {fetch_ravdess(to, reporter())}")


@fetch_app.command()
@interruptible
def youtube(
    table: Annotated[
        Path | None,
        typer.Argument(help="CSV with link, title, description, category. Default: in the folder."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Folder; default: VOXGRID_DATA/youtube, else the cache's.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Keep the first so many of each video.")] = 60.0,
    repair: Annotated[
        bool, typer.Option("--repair/--no-repair", help="Search for damaged ids by title.")
    ] = True,
    cookies: Annotated[
        Path | None, typer.Option(help="Cookies of a browser, Netscape format.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=16, help="Downloads at once.")] = 4,
    interval: Annotated[
        float, typer.Option(min=0.0, help="Least seconds between two pages or searches.")
    ] = 1.0,
    megabytes: Annotated[float, typer.Option(help="Receive no more for one video.")] = 200.0,
    timeout: Annotated[str, typer.Option(help="Spend no longer on one video, e.g. 5m.")] = "5m",
    again: Annotated[
        list[str] | None, typer.Option(help="Try videos of this status again; repeatable.")
    ] = None,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Connect to private addresses as well.")
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Only show what is here, and why the rest is not.")
    ] = False,
) -> None:
    """Sound of the YouTube videos of a table of links; resumes, and repairs damaged ids."""
    from bench.tasks.youtube import commands

    folder = commands.folder(to)
    if status:
        _show_fetched(folder)
        return
    said, finished = commands.fetch(
        table,
        folder,
        commands.options(
            seconds=seconds,
            megabytes=megabytes,
            timeout=timeout,
            jobs=jobs,
            interval=interval,
            repair=repair,
            again=again or [],
        ),
        cookies=cookies,
        allow_private=allow_private,
        reporter=reporter(),
    )
    typer.echo(said)
    _show_fetched(folder)
    if not finished:
        raise typer.Exit(1)


def _show_fetched(folder: Path) -> None:
    from rich.console import Console

    from bench.report import fetched
    from bench.tasks.youtube import manifest

    items = manifest.read(folder)
    if not items:
        raise UserError(
            f"nothing was fetched to {folder} yet: run 'voxgrid fetch youtube TABLE.csv', or name "
            "the folder with --to"
        )
    fetched.render(items, Console())
    typer.echo(f"class distribution: {fetched.draw(items, folder)}")
