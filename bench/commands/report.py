"""`voxgrid report`: the page to explore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands import boards
from bench.commands.options import ConfigOption
from bench.commands.shell import echo


def report(
    results: Annotated[Path | None, typer.Option(help="Folder of the records.")] = None,
    config: ConfigOption = None,
) -> None:
    """Write the page to explore: one HTML file that opens from a disk and asks nothing of a server.

    Its rows sort and filter, open with their folds, confusions and clips, and compare in pairs.
    """
    from bench.report.site import build

    made = boards.of(results, None, config)
    boards.refuse(made.unfounded())
    paths = build.write(made)
    for path in paths:
        echo(f"wrote {path}; open it in a browser")
    if not paths:
        echo("no row is finished yet: `voxgrid run` makes some")
