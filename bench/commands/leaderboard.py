"""`voxgrid leaderboard`: the pages from the records, or whether they agree with them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from bench.commands import boards
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
    """Regenerate leaderboard.md, its tables and figures from the records.

    Records that their predictions do not bear out are named, and nothing is written.
    """
    from bench.commands import documents
    from bench.records.store import read_all

    made = boards.of(results, page, config)
    unfounded = made.unfounded()
    difference = made.difference() if check else None
    if not check and not unfounded:
        made.write()
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
    boards.refuse(unfounded)
    if difference is None:
        if not as_json:
            sample = made.boards.sample
            pages = " and ".join(str(p) for p in (made.path, sample.page) if p in made.pages)
            verb = "agree" if sample.page in made.pages else "agrees"
            agreed = f"{pages} {verb} with the records in {made.results}"
            echo(agreed if check else f"wrote {pages}")
        return
    what, *shown = difference.splitlines()
    again = ["voxgrid", "leaderboard"]
    for option, value in (("--results", results), ("--leaderboard", page), ("--config", config)):
        if value is not None:
            again += [option, str(value)]
    echo("\n".join([f"{what}; run `{shlex.join(again)}`", *shown]), err=True)
    raise typer.Exit(1)
