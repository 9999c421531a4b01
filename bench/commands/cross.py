"""`voxgrid cross`: winners of several tasks, each tested on all of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands import boards
from bench.commands.options import ConfigOption
from bench.commands.shell import echo, interruptible, reporter

if TYPE_CHECKING:
    from bench.records.schema import Record
    from bench.winner.cross import Crossed

_FILES = ("cross.csv", "cross.png", "cross-dark.png")


@interruptible
def cross(
    tasks: Annotated[list[str], typer.Argument(help="Tasks with rows, two or more.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    cell: Annotated[
        str | None,
        typer.Option(help="The row, as BACKBONE/POOLING/HEAD; by default each task's best."),
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option("--map", help="Call a label what others call it, as in happy=joy."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace what an earlier call wrote.")
    ] = False,
    results: Annotated[Path | None, typer.Option(help="Folder of the records.")] = None,
    config: ConfigOption = None,
) -> None:
    """Train on each task, test on each, and write the scores as a table and a figure.

    Rows are chosen by validation. All scores are of the labels that all tasks have.
    """
    from bench.commands.tables import show
    from bench.config import spec
    from bench.errors import UserError
    from bench.files import storing
    from bench.report.figures.matrix import Matrix
    from bench.terminal import Terminal
    from bench.winner import choose
    from bench.winner.cross import cross as crossed

    if len(set(tasks)) < 2:
        raise UserError("cross takes two tasks or more; name them")
    names = {}
    for pair in pairs or ():
        label, equals, other = pair.partition("=")
        if not equals:
            raise UserError(f"--map '{pair}' is no pair: write LABEL=WHAT_OTHERS_CALL_IT")
        names[label] = other
    there = [out / name for name in _FILES if (out / name).exists()]
    if there and not replace:
        raise UserError(f"{there[0]} is there: replace it with --replace, or name another -o")
    made = boards.of(results, None, config)
    every = [record for board in made.boards for record in board.records]
    rows = []
    for task in dict.fromkeys(tasks):
        found = choose.rows(every, task)
        rows.append(choose.named(found, cell) if cell else choose.best(found))
    run = spec.load(config, {"results": made.results})
    scores = crossed(rows, names, run, reporter())
    at = {(each.train, each.test): each for each in scores}
    order = [row.task for row in rows]
    table = [[_told(at[train, test]) for test in order] for train in order]
    figure = Matrix(
        "cross",
        "Macro-F1 in %: trained on a row's task, tested on a column's",
        tuple(order),
        [[at[train, test].scores.macro_f1 for test in order] for train in order],
        [[cell_.replace(" ", "\n") for cell_ in own] for own in table],
    )
    content = [_csv(scores, rows).encode(), figure.draw(False), figure.draw(True)]
    with storing(out, "name another folder with -o"):
        out.mkdir(parents=True, exist_ok=True)
        for name, own in zip(_FILES, content, strict=True):
            (out / name).write_bytes(own)
    heads = ["trained on", *(f"{test}>" for test in order)]
    show(Terminal(), "|".join(heads), [[n, *own] for n, own in zip(order, table, strict=True)])
    echo(f"wrote {', '.join(str(out / name) for name in _FILES)}")


def _told(found: Crossed) -> str:
    from bench.report.values import interval, percent

    return interval(found.interval) if found.interval else percent(found.scores.macro_f1)


def _csv(scores: Sequence[Crossed], rows: Sequence[Record]) -> str:
    named = {row.task: "/".join((row.backbone, row.pooling, row.head)) for row in rows}
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    columns = ("macro_f1", "low", "high", "accuracy", "clips", "not_scored")
    writer.writerow(["trained_on", "row", "tested_on", *columns])
    for own in scores:
        bounds = ("", "") if own.interval is None else (own.interval.low, own.interval.high)
        figures = [own.scores.macro_f1, *bounds, own.scores.accuracy]
        shown = [f"{figure:.6f}" if figure != "" else "" for figure in figures]
        writer.writerow(
            [own.train, named[own.train], own.test, *shown, str(own.clips), str(own.fitted)]
        )
    return buffer.getvalue()
