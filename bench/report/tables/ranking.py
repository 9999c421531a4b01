"""The ranking of one task and protocol, and what its scores have to be read against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from bench.records.schema import Record
from bench.report import chance
from bench.report.beside import Beside
from bench.report.listing import NAME
from bench.report.markdown import escape
from bench.report.page import Block, Table, Text
from bench.report.select import is_control, leaks, ranked, validation_f1
from bench.report.tables import advice
from bench.report.values import DASH, layer, minutes, percent, plural

# Rows of a table; of more, those that stand for the others: fewer where groups leak, since such a
# table is there for comparison alone.
LONG, LONG_OF_LEAKS = 20, 5
TOP, TOP_OF_LEAKS = 6, 3

# What columns that several tables have show of a finished record.
_SHOWN: Mapping[str, Callable[[Record], str]] = {
    "backbone": lambda record: record.backbone,
    "pooling": lambda record: record.pooling,
    "head": lambda record: record.head,
    "validation macro-F1 %>": lambda record: percent(validation_f1(record)),
    "layer": layer,
    "remarks": lambda record: "; ".join(remarks(record)) or DASH,
}
_COST = "minutes per hour of audio>"
_RANKED = ("backbone", "pooling", "head", "macro-F1 %>", "layer", _COST, "remarks")
BEST = ("backbone", "pooling", "head", "macro-F1 %>", "validation macro-F1 %>", _COST)


def values(record: Record, columns: Sequence[str], beside: Beside) -> list[str]:
    """Cells of a finished record in the columns of a table."""
    shown = {
        **_SHOWN,
        "macro-F1 %>": beside.macro_f1,
        # nobody uses a control for what it costs
        _COST: lambda record: DASH if is_control(record) else minutes(record, beside.letters),
    }
    return [shown[column](record) for column in columns]


def rankings(found: Sequence[Record], about: str, beside: Beside) -> Iterator[Block]:
    """The rows, controls among them, and what they have to be read against.

    Args:
        found: finished records of one task and protocol.
        about: what the protocol does, in a sentence.
        beside: what rows are read beside.
    """
    table = _ranking(found, beside)
    yield table
    told = " ".join([about, *_compared(found, beside), majority(found)])
    left_out = ""
    if len(table.rows) < len(found):
        shown = f"{TOP_OF_LEAKS}" if leaks(found) else f"{TOP} and the best of each backbone"
        left_out = (
            f"The best {shown}, of {len(found)} rows; all of them are in `{NAME}` beside "
            f"{'this page' if found[0].sample else 'the records'}."
        )
    yield Text(told, left_out)
    if not leaks(found):
        yield from advice.about(beside.advisories.get((found[0].task, found[0].protocol), ()))


def _compared(found: Sequence[Record], beside: Beside) -> Iterator[str]:
    """What intervals are over, where rows have them."""
    for standing in beside.standings.get((found[0].task, found[0].protocol), ()):
        groups, folds = len(standing.group_names), {len(r.folds) for r in standing.records}
        seeds = sorted({max(1, len(r.seeds)) for r in standing.records})
        number = plural(seeds[0], "seed")
        if len(seeds) > 1:
            number = f"{seeds[0]} to {seeds[-1]} seeds"
        yield (
            f"Intervals are over {groups} {escape(found[0].group)}s, of {max(folds)} folds that "
            f"share training clips, with {number} of each refit."
        )


def _ranking(found: Sequence[Record], beside: Beside) -> Table:
    """The rows, best first; of many the best ones, and the best of each backbone.

    Where groups leak it is the best ones alone, for comparison.
    """
    own = ranked(r for r in found if not is_control(r))
    standing = ranks(found, beside)
    top, long = (TOP_OF_LEAKS, LONG_OF_LEAKS) if leaks(found) else (TOP, LONG)
    best = {str(record.cell) for record in own[:top]}
    if not leaks(found):
        best |= _best_of_backbones(found)
    shown = [r for r in ranked(found) if len(found) <= long or str(r.cell) in best]
    rows = [[standing[str(r.cell)], *values(r, _RANKED, beside)] for r in shown]
    return Table(("rank>", *_RANKED), rows, listed=True)


def ranks(found: Sequence[Record], beside: Beside) -> dict[str, str]:
    """By cell the first and last place of those that share its rank.

    Without intervals it is the number of the row; controls have none.
    """
    own = ranked(r for r in found if not is_control(r))
    numbers = {str(record.cell): str(number) for number, record in enumerate(own, start=1)}
    shared = {
        cell: "–".join(str(place) for place in dict.fromkeys(place.ranks))
        for cell, place in beside.places.items()
        if place.ranks is not None
    }
    return {
        cell: shared.get(cell, numbers[cell]) if cell in numbers else DASH
        for cell in (str(record.cell) for record in found)
    }


def _best_of_backbones(found: Sequence[Record]) -> set[str]:
    """Cells of the best row of each backbone, and of the best control of one that has a row."""
    best: dict[tuple[str, bool], str] = {}
    for record in ranked(r for r in found if not r.fused):
        best.setdefault((record.backbone, is_control(record)), str(record.cell))
    return {cell for (backbone, _), cell in best.items() if (backbone, False) in best}


def remarks(record: Record) -> Iterator[str]:
    """What else to know of a row, in few words."""
    if is_control(record):
        yield "random weights"
    elif record.weights.size == "small":
        yield "small untrained model"
    if record.training is not None:
        yield "trained"
    if record.seeds and not record.folding.repeats:
        each = [seed.macro_f1 for seed in record.seeds]
        yield f"{len(each)} seeds: {percent(min(each))}–{percent(max(each))}"
    if failed := sum(fold.trials.failed for fold in record.folds):
        yield f"{plural(failed, 'trial')} failed"


def majority(found: Sequence[Record]) -> str:
    """What always answering the largest class scores on the clips tested."""
    lines = [_majority(counts) for counts in sorted({chance.tested(r) for r in found})]
    if len(lines) == 1:
        return f"Always answering the largest class gives {lines[0]}."
    return (
        "**These rows were tested on different clips and are not comparable.** Always answering "
        "the largest class gives " + "; or ".join(lines) + "."
    )


def largest_share(record: Record) -> float | None:
    """Accuracy of always answering the largest class of the clips tested; None without any."""
    counts = chance.tested(record)
    return max(counts) / sum(counts) if sum(counts) else None


def _majority(counts: tuple[int, ...]) -> str:
    total, present = sum(counts), sum(1 for count in counts if count)
    if total == 0:
        return "nothing: no clip was tested"
    share, f1 = max(counts) / total, chance.macro_f1(counts)
    return (
        f"macro-F1 {percent(f1)} %, accuracy {percent(share)} % and UAR {percent(1 / present)} % "
        f"({plural(total, 'clip')} tested)"
    )
