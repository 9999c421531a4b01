"""The ranking of one task and protocol, and what its scores have to be read against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.records.schema import Record
from bench.report.page import Block, Heading, Table, Text
from bench.report.select import is_control, ranked
from bench.report.values import layer, millions, percent, plural, speed, trials, weights

LONG = 20
TOP = 10

_COLUMNS = (
    "#>",
    "backbone",
    "pooling",
    "head",
    "macro-F1 %>",
    "accuracy %>",
    "UAR %>",
    "layer",
    "weights",
    "encoder RTFx>",
    "params M>",
    "trials per fold>",
)


def rankings(found: Sequence[Record], letters: dict[str, str], level: int) -> Iterator[Block]:
    """The rows, the controls apart, and what both have to be read against.

    Args:
        found: finished records of one task and protocol.
        letters: from `machines`; speeds carry the letter where there are several.
        level: of the heading of the controls.
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
    counts = sorted({record.trials for record in found})
    if len(counts) > 1:
        listed = ", ".join(map(str, counts[:-1])) + f" and {counts[-1]}"
        yield Text(
            f"**Unequal budgets:** rows had {listed} trials per fold. More trials find better "
            "parameters, so only rows with the same number compare."
        )


def _ranking(found: Sequence[Record], letters: dict[str, str]) -> Iterator[Block]:
    """A table of one kind of row; a long one shows its top first."""
    rows = [_row(place, record, letters) for place, record in enumerate(ranked(found), start=1)]
    if len(rows) <= LONG:
        yield Table(_COLUMNS, rows)
        return
    yield Text(f"The first {TOP} of {len(rows)}:")
    yield Table(_COLUMNS, rows[:TOP])
    yield Table(_COLUMNS, rows, folded=f"All {len(rows)} rows")


def _row(place: int, record: Record, letters: dict[str, str]) -> list[str]:
    own = record.scored
    return [
        str(place),
        record.backbone,
        record.pooling,
        record.head,
        percent(own.macro_f1),
        percent(own.accuracy),
        percent(own.uar),
        layer(record),
        weights(record),
        speed(record, letters),
        millions(record.parameters),
        trials(record),
    ]


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
