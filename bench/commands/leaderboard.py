"""`voxgrid leaderboard`: the page from the records, or whether it agrees with them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer


def leaderboard(
    results: Annotated[Path | None, typer.Option(help="Folder of the records.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail where the file differs.")
    ] = False,
    config: Annotated[Path | None, typer.Option("--config", help="Instead of ./grid.toml.")] = None,
) -> None:
    """Regenerate leaderboard.md and its figures from the records."""
    from bench.config import spec
    from bench.errors import UserError
    from bench.report.leaderboard import Leaderboard

    asked = {"results": results, "leaderboard": results / "leaderboard.md"} if results else {}
    settings = spec.load(config, asked)
    if not settings.results.is_dir():
        raise UserError(f"there is no results folder {settings.results}; name it with --results")
    made = Leaderboard.of(settings.results, settings.leaderboard)
    if not check:
        made.write()
        typer.echo(f"wrote {made.path}")
        return
    if unfounded := made.unfounded():
        mend = "`voxgrid run` makes those cells again, with --replace where a record is unreadable"
        typer.echo("\n".join([*unfounded, mend]), err=True)
        raise typer.Exit(1)
    difference = made.difference()
    if difference is None:
        typer.echo(f"{made.path} agrees with the records in {made.results}")
        return
    what, *shown = difference.splitlines()
    again = ["voxgrid", "leaderboard"]
    for option, value in (("--results", results), ("--config", config)):
        if value is not None:
            again += [option, str(value)]
    typer.echo("\n".join([f"{what}; run `{shlex.join(again)}`", *shown]), err=True)
    raise typer.Exit(1)
