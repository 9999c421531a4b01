"""`voxgrid leaderboard`: the page from the records, or whether it agrees with them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import ConfigOption, JsonOption
from bench.commands.shell import echo


def leaderboard(
    results: Annotated[Path | None, typer.Option(help="Folder of the records.")] = None,
    page: Annotated[Path | None, typer.Option("--leaderboard", help="The page to write.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail where the file differs.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Regenerate leaderboard.md and its figures from the records."""
    from bench.commands import documents
    from bench.config import spec
    from bench.errors import UserError
    from bench.records.store import read_all
    from bench.report.leaderboard import Leaderboard
    from bench.report.values import plural

    given = {"results": results, "leaderboard": page}
    settings = spec.load(config, {key: value for key, value in given.items() if value is not None})
    if not settings.results.is_dir():
        raise UserError(f"there is no results folder {settings.results}; name it with --results")
    made = Leaderboard.of(settings.results, settings.leaderboard)
    difference = made.difference() if check else None
    if not check:
        made.write()
    unfounded = made.unfounded() if check else []
    if copies := made.found.copies:
        count = plural(len(copies), "file")
        echo(f"note: {count} away from its cell's address left out: {copies[0]}", err=True)
    if as_json:
        document = documents.text(
            "leaderboard",
            path=str(made.path),
            agrees=difference is None and not unfounded if check else None,
            difference=difference,
            unfounded=unfounded,
            rows=documents.rows(read_all(made.results)),
        )
        echo(document)
    elif unfounded:
        mend = "`voxgrid run` makes those cells again, with --replace where a record is unreadable"
        echo("\n".join([*unfounded, mend]), err=True)
    elif difference is None:
        agreed = f"{made.path} agrees with the records in {made.results}"
        echo(agreed if check else f"wrote {made.path}")
    if unfounded:
        raise typer.Exit(1)
    if difference is None:
        return
    what, *shown = difference.splitlines()
    again = ["voxgrid", "leaderboard"]
    for option, value in (("--results", results), ("--leaderboard", page), ("--config", config)):
        if value is not None:
            again += [option, str(value)]
    echo("\n".join([f"{what}; run `{shlex.join(again)}`", *shown]), err=True)
    raise typer.Exit(1)
