"""`voxgrid demo`: a page on this machine where a winner is tried."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.shell import echo, interruptible


@interruptible
def demo(
    model: Annotated[Path, typer.Argument(help="The folder of a winner.")],
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="To listen on; by default the first free from 7860."),
    ] = None,
) -> None:
    """Serve a page where you record or drop a file and see probabilities; Ctrl-C ends it.

    It listens on this machine alone, and asks nobody else for anything.
    """
    from bench.winner import Model
    from bench.winner.demo import launch, require_installed

    require_installed()
    made, address = launch(Model.load(model), port)
    echo(f"{address} (Ctrl-C ends it)")
    try:
        made.block_thread()
    finally:
        made.close()
