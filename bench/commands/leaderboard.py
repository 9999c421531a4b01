"""`voxgrid leaderboard`: the page from the records, or whether it agrees with them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.options import JsonOption

if TYPE_CHECKING:
    from bench.report.leaderboard import Leaderboard


def leaderboard(
    results: Annotated[Path | None, typer.Option(help="Folder of the records.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail where the file differs.")
    ] = False,
    config: Annotated[Path | None, typer.Option("--config", help="Instead of ./grid.toml.")] = None,
    as_json: JsonOption = False,
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
    difference = made.difference() if check else None
    if not check:
        made.write()
    unfounded = made.unfounded() if check else []
    if as_json:
        _print(made, difference, unfounded, check)
    elif unfounded:
        mend = "`voxgrid run` makes those cells again, with --replace where a record is unreadable"
        typer.echo("\n".join([*unfounded, mend]), err=True)
    elif difference is None:
        agreed = f"{made.path} agrees with the records in {made.results}"
        typer.echo(agreed if check else f"wrote {made.path}")
    if unfounded:
        raise typer.Exit(1)
    if difference is None:
        return
    what, *shown = difference.splitlines()
    again = ["voxgrid", "leaderboard"]
    for option, value in (("--results", results), ("--config", config)):
        if value is not None:
            again += [option, str(value)]
    typer.echo("\n".join([f"{what}; run `{shlex.join(again)}`", *shown]), err=True)
    raise typer.Exit(1)


def _print(made: Leaderboard, difference: str | None, unfounded: list[str], check: bool) -> None:
    from bench.commands.documents import LeaderboardDocument, rankings
    from bench.records.store import read_all

    document = LeaderboardDocument(
        path=str(made.path),
        agrees=difference is None and not unfounded if check else None,
        difference=difference,
        unfounded=unfounded,
        rankings=rankings(read_all(made.results)),
    )
    typer.echo(str(document))
