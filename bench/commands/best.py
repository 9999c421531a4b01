"""`voxgrid best`: which row to put to use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands import boards
from bench.commands.options import ConfigOption

if TYPE_CHECKING:
    from bench.records.schema import Record

_ROWS = 5
# Of macro-F1, what a quicker row may be behind.
_CLOSE = 0.02


def best(
    task: Annotated[
        str | None, typer.Argument(help="The task; by default each that has rows.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Whose rows; by default the first without a leak.")
    ] = None,
    results: Annotated[Path | None, typer.Option(help="Folder of the records.")] = None,
    config: ConfigOption = None,
) -> None:
    """Name the rows that are best by validation, with what they score on test clips and cost.

    Validation chooses, since the best of many test scores is a little lucky.
    """
    from bench.commands.tables import say, show
    from bench.report.select import finished, validation_f1
    from bench.report.tables.ranking import ranks
    from bench.report.values import decimal, interval, millions, percent
    from bench.terminal import Terminal
    from bench.winner import choose

    made, console = boards.of(results, None, config), Terminal()
    for board in made.boards:
        own = [r for r in finished(board.records) if r.preset is None]
        for name in sorted({r.task for r in own}) if task is None else [task]:
            if task is not None and not any(r.task == task for r in own):
                continue
            found = choose.rows(board.records, name, protocol)
            standing = ranks(found, board.beside)
            say(console, f"{name}, {found[0].protocol}: best by validation")
            rows = [
                [
                    _named(r),
                    percent(validation_f1(r)),
                    board.beside.macro_f1(r),
                    standing[str(r.cell)],
                    decimal(60 / r.throughput.end_to_end_rtfx if r.throughput else None),
                    millions(r.parameters),
                ]
                for r in found[:_ROWS]
            ]
            show(
                console,
                "row|validation macro-F1 %>|on test clips>|rank>|minutes per hour>|params M>",
                rows,
            )
            taken = choose.best(found)  # the first need not be one: it may train its backbone
            say(console, f"`voxgrid train {name} -o model` fits {_named(taken)} on all clips.")
            for ensemble in board.beside.ensembles.get((name, found[0].protocol), ())[:1]:
                scored = interval(ensemble.interval) if ensemble.interval else None
                say(
                    console,
                    f"`voxgrid train {name} --average -o model` averages rows; such averages score "
                    f"{scored or percent(ensemble.macro_f1)} % on test clips.",
                )
            least = choose.quickest(found, taken, _CLOSE)
            if least is not taken:
                say(
                    console,
                    f"Within {100 * _CLOSE:.0f} points of it, {_named(least)} takes least of those "
                    "measured on its machine.",
                )
    if task is not None:
        choose.rows([r for board in made.boards for r in board.records], task, protocol)


def _named(record: Record) -> str:
    return "/".join((record.backbone, record.pooling, record.head))
