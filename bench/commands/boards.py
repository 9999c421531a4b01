"""The leaderboards that a command is about, and those it refuses to make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bench.commands.shell import echo

if TYPE_CHECKING:
    from bench.report.leaderboard import Leaderboard

_MEND = "`voxgrid run` makes those cells again, with --replace where a record is unreadable"


def of(results: Path | None, page: Path | None, config: Path | None) -> Leaderboard:
    """The leaderboards of a results folder, named or of the settings.

    Raises:
        UserError: there is no such folder, or a record is of a newer schema.
    """
    from bench.config import spec
    from bench.errors import UserError
    from bench.report.leaderboard import Leaderboard
    from bench.report.values import plural

    given = {"results": results, "leaderboard": page}
    settings = spec.load(config, {key: value for key, value in given.items() if value is not None})
    if not settings.results.is_dir():
        raise UserError(f"there is no results folder {settings.results}; name it with --results")
    made = Leaderboard.of(settings.results, settings.leaderboard)
    if copies := made.found.copies:
        count = plural(len(copies), "file")
        echo(f"note: {count} away from its cell's address left out: {copies[0]}", err=True)
    return made


def refuse(unfounded: list[str]) -> None:
    """End the command with what no page can be made of, one line each."""
    if unfounded:
        echo("\n".join([*unfounded, _MEND]), err=True)
        raise typer.Exit(1)
