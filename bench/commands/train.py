"""`voxgrid train`: a row fitted on all clips, as a folder that predicts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands import boards
from bench.commands.options import ConfigOption
from bench.commands.shell import echo, interruptible, reporter


@interruptible
def train(
    task: Annotated[str, typer.Argument(help="The task of the row.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    cell: Annotated[
        str | None,
        typer.Option(help="The row, as BACKBONE/POOLING/HEAD; by default the best by validation."),
    ] = None,
    best_under: Annotated[
        float | None,
        typer.Option(help="The best row that takes at most so many minutes per hour of audio."),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Whose rows; by default the first without a leak.")
    ] = None,
    without_fold: Annotated[
        int | None,
        typer.Option(help="Leave out the clips that this fold tests, as the benchmark did."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the winner that is in the folder.")
    ] = False,
    results: Annotated[Path | None, typer.Option(help="Folder of the records.")] = None,
    config: ConfigOption = None,
) -> None:
    """Fit a row on all clips and write what predicts: settings, arrays and a card; no code."""
    from bench.config import spec
    from bench.errors import UserError
    from bench.winner import choose, folder
    from bench.winner.card import card
    from bench.winner.refit import refit

    if cell is not None and best_under is not None:
        raise UserError("--cell names a row and --best-under looks for one: leave one of them out")
    folder.refuse_to_replace(out, replace=replace)
    made = boards.of(results, None, config)
    every = [record for board in made.boards for record in board.records]
    found = choose.rows(every, task, protocol)
    record = choose.named(found, cell) if cell else choose.best(found, best_under)
    progress = reporter()
    progress.say(f"train {record.cell}")
    run = spec.load(config, {"results": made.results})
    done = refit(record, run, progress, without_fold=without_fold)
    beside = made.boards.sample.beside if record.sample else made.boards.real.beside
    text = card(done.config, record, beside.macro_f1(record))
    folder.write(out, done.config, done.arrays, text, replace=replace)
    parts = ", ".join(f"{p.backbone} layer {p.layer}" for p in done.config.parts)
    echo(
        f"wrote {out}: {record.backbone}, {record.pooling}, {record.head} ({parts}), fitted on "
        f"{len(done.config.clips)} clips; macro-F1 {beside.macro_f1(record)} % in "
        f"{record.protocol}\nNext: voxgrid predict {out} FILE"
    )
