"""The ranking of one task and protocol, and what its scores have to be read against."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from bench.records.schema import Record
from bench.report.page import Block, Heading, Table, Text
from bench.report.select import is_control, ranked, validation_f1
from bench.report.tables import advice
from bench.report.values import layer, millions, percent, plural, scored, speed, trials, weights

LONG = 20
TOP = 10

# What columns that several tables have show of a finished record.
_SHOWN: Mapping[str, Callable[[Record], str]] = {
    "backbone": lambda record: record.backbone,
    "pooling": lambda record: record.pooling,
    "head": lambda record: record.head,
    "macro-F1 %>": lambda record: scored(record, "macro_f1"),
    "accuracy %>": lambda record: scored(record, "accuracy"),
    "UAR %>": lambda record: percent(record.scored.uar),
    "validation macro-F1 %>": lambda record: percent(validation_f1(record)),
    "layer": layer,
    "weights": weights,
    "params M>": lambda record: millions(record.parameters),
    "trials per fold>": trials,
}
_SCORES = ("macro-F1 %>", "accuracy %>", "UAR %>")
_SPEED = "encoder RTFx>"
_RANKED = ["backbone", "pooling", "head", *_SCORES, "layer", "weights", _SPEED]
_RANKED += ["params M>", "trials per fold>"]
BEST = ["backbone", "pooling", "head", "layer", *_SCORES, "validation macro-F1 %>", _SPEED]
BEST += ["params M>"]


def values(record: Record, columns: Sequence[str], letters: dict[str, str]) -> list[str]:
    """Cells of a finished record in the columns of a table.

    Of the `machines` speeds carry the letter where there are several.
    """
    shown = {**_SHOWN, _SPEED: lambda record: speed(record, letters)}
    return [shown[column](record) for column in columns]


def rankings(found: Sequence[Record], letters: dict[str, str], level: int) -> Iterator[Block]:
    """The rows, the controls apart, and what both have to be read against.

    The records are finished ones of one task and protocol.
    """
    rows = [r for r in found if not is_control(r)]
    controls = [r for r in found if is_control(r)]
    if rows:
        yield from _ranking(rows, letters)
    if controls:
        yield Heading(level, "Controls: random weights")
        yield Text(
            "The same architectures with random weights on purpose: what a pretrained row has to "
            "be compared with."
        )
        yield from _ranking(controls, letters)
    yield Text(majority(found))
    yield from _budgets(found)
    yield from advice.about(rows)


def _budgets(found: Sequence[Record]) -> Iterator[Block]:
    """Where rows of one head had more trials than others; one that tried all it has had enough."""
    by_head: dict[str, set[int]] = defaultdict(set)
    for record in found:
        if not any(fold.tried and fold.tried.how == "every" for fold in record.folds):
            by_head[record.head].add(record.trials)
    unequal = {head: sorted(counts) for head, counts in by_head.items() if len(counts) > 1}
    if unequal:
        listed = "; ".join(
            f"`{head}` {', '.join(map(str, counts[:-1]))} and {counts[-1]}"
            for head, counts in sorted(unequal.items())
        )
        yield Text(
            f"**Unequal budgets:** rows had different numbers of trials per fold ({listed}). More "
            "trials find better parameters, so of these heads only rows with the same number "
            "compare."
        )


def _ranking(found: Sequence[Record], letters: dict[str, str]) -> Iterator[Block]:
    """A table of one kind of row; a long one shows its top first."""
    rows = [
        [str(place), *values(record, _RANKED, letters)]
        for place, record in enumerate(ranked(found), start=1)
    ]
    columns = ("#>", *_RANKED)
    if len(rows) <= LONG:
        yield Table(columns, rows)
        return
    yield Text(f"The first {TOP} of {len(rows)}:")
    yield Table(columns, rows[:TOP])
    yield Table(columns, rows, folded=f"All {len(rows)} rows")


def majority(found: Sequence[Record]) -> str:
    """What always answering the largest class scores on the clips tested."""
    lines = [_majority(counts) for counts in sorted({_tested(r) for r in found})]
    if len(lines) == 1:
        return f"Always answering the largest class gives {lines[0]}."
    return (
        "**These rows were tested on different clips and are not comparable.** Always answering "
        "the largest class gives " + "; or ".join(lines) + "."
    )


def largest_share(record: Record) -> float | None:
    """Accuracy of always answering the largest class of the clips tested; None without any."""
    counts = _tested(record)
    return max(counts) / sum(counts) if sum(counts) else None


def _tested(record: Record) -> tuple[int, ...]:
    """Clips tested of each class."""
    return tuple(map(sum, record.scored.confusion))


def _majority(counts: tuple[int, ...]) -> str:
    total, present = sum(counts), sum(1 for count in counts if count)
    if total == 0:
        return "nothing: no clip was tested"
    share = max(counts) / total
    f1 = 2 * share / (1 + share) / len(counts)
    return (
        f"macro-F1 {percent(f1)} %, accuracy {percent(share)} % and UAR {percent(1 / present)} % "
        f"({plural(total, 'clip')} tested)"
    )
