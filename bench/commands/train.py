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
    average: Annotated[
        bool, typer.Option("--average", help="An average of rows, each fitted on all clips.")
    ] = False,
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
    from bench.report.values import interval, percent
    from bench.winner import average as averages
    from bench.winner import choose, folder
    from bench.winner.card import average_card, card
    from bench.winner.folder import Config
    from bench.winner.refit import refit

    asked = [cell is not None, best_under is not None, average]
    if sum(asked) > 1 or (average and without_fold is not None):
        raise UserError(
            "--cell names a row, --best-under looks for one, and --average takes several on all "
            "clips: leave all but one of them out"
        )
    folder.refuse_to_replace(out, replace=replace)
    made = boards.of(results, None, config)
    every = [record for board in made.boards for record in board.records]
    found = choose.rows(every, task, protocol)
    progress, run = reporter(), spec.load(config, {"results": made.results})
    if average:
        beside = made.boards.real.beside
        ensemble, chosen = averages.members(beside, task, found[0].protocol)
        done = averages.averaged(ensemble, chosen, run, progress)
        score = interval(ensemble.interval) if ensemble.interval else percent(ensemble.macro_f1)
        text = average_card(done, chosen, score)
        what = f"an average of {len(chosen)} rows"
    else:
        record = choose.named(found, cell) if cell else choose.best(found, best_under)
        progress.say(f"train {record.cell}")
        done = refit(record, run, progress, without_fold=without_fold)
        assert isinstance(done.config, Config)
        board = made.boards.sample if record.sample else made.boards.real
        score = board.beside.macro_f1(record)
        text = card(done.config, record, score)
        parts = ", ".join(f"{p.backbone} layer {p.layer}" for p in done.config.parts)
        what = f"{record.backbone}, {record.pooling}, {record.head} ({parts})"
    folder.write(out, done, text, replace=replace)
    echo(
        f"wrote {out}: {what}, fitted on {len(done.config.clips)} clips; macro-F1 {score} % in "
        f"{found[0].protocol}\nNext: voxgrid predict {out} FILE"
    )
