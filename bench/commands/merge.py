"""`voxgrid merge`: results of machines that share nothing become one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import ConfigOption
from bench.commands.shell import echo


def merge(
    folders: Annotated[list[Path], typer.Argument(help="Results folders to join.")],
    results: Annotated[Path | None, typer.Option(help="The folder they are joined in.")] = None,
    page: Annotated[Path | None, typer.Option("--leaderboard", help="The page to write.")] = None,
    config: ConfigOption = None,
) -> None:
    """Join results folders into that of --results, and make its leaderboard.

    The same record twice is one. Where two folders hold different results of a cell, both are named
    and nothing is written. The folders themselves stay as they are.
    """
    from bench.config import spec
    from bench.files import exclusive
    from bench.records.merge import merged
    from bench.report.leaderboard import Leaderboard, refuse_to_replace_others
    from bench.report.values import plural

    given = {"results": results, "leaderboard": page}
    settings = spec.load(config, {key: value for key, value in given.items() if value is not None})
    refuse_to_replace_others(settings.leaderboard)
    merged(folders, settings.results)  # so that a folder that is refused is not created for it
    with exclusive(settings.results):
        found = merged(folders, settings.results)
        found.carry_out()
        made = Leaderboard.of(settings.results, settings.leaderboard)
        made.write()
    count = plural(len(found.taken), "record")
    echo(f"{count} taken, {found.kept} there already or kept; wrote {made.path}")
