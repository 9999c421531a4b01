"""The size of the leak, row by row."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from bench.report.beside import Beside
from bench.report.leak import Leak
from bench.report.markdown import code
from bench.report.page import Block, Table, Text
from bench.report.values import DASH, plural, points


def tables(found: Sequence[Leak], beside: Beside) -> Iterator[Block]:
    """The same rows with groups kept apart and on both sides, of one task.

    Of rows of repeated splits the best of each backbone and head is shown; of others only how much
    they read higher, since one split has its own luck.
    """
    read = []
    for protocol in dict.fromkeys(leak.leaky.protocol for leak in found):
        own = [leak for leak in found if leak.leaky.protocol == protocol]
        if own[0].leaky.folding.repeats:
            yield _table(own, beside)
        moved = [leak.points for leak in own]
        read.append(
            f"Over the {plural(len(moved), 'row')} run under both, {code(protocol)} reads "
            f"{points(statistics.median(moved))} points in the median (from "
            f"{points(min(moved))} to {points(max(moved))})."
        )
    if read:
        yield Text(" ".join(read))


def _table(found: Sequence[Leak], beside: Beside) -> Table:
    best: dict[tuple[str, str], Leak] = {}
    for each in sorted(found, key=lambda leak: -leak.fair.scored.macro_f1):
        best.setdefault((each.fair.backbone, each.fair.head), each)
    names = found[0].fair.protocol, found[0].leaky.protocol
    columns = ("backbone", "pooling", "head", *(f"macro-F1 % {name}>" for name in names))
    rows = [_row(each, beside) for each in best.values()]
    return Table((*columns, "difference, points>"), rows)


def _row(leak: Leak, beside: Beside) -> list[str]:
    by = leak.difference
    return [
        leak.fair.backbone,
        leak.fair.pooling,
        leak.fair.head,
        beside.macro_f1(leak.fair),
        beside.macro_f1(leak.leaky),
        f"{points(by.score)} ({points(by.low)} to {points(by.high)})" if by else DASH,
    ]
