"""Fusions beside rows of one backbone: whether several together are better than the best alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.records.schema import Record
from bench.report.placing import Standing
from bench.report.select import finished, is_control, ranked
from bench.report.statistics import Interval


@dataclass(frozen=True)
class Joined:
    """A row of a fusion and the best row of one backbone.

    Attributes:
        row, single: the two rows.
        over: what the fusion is higher by in macro-F1.
        interval: of it, on the same draws of groups; None where rows have none.
    """

    row: Record
    single: Record
    over: float
    interval: Interval | None


def fusions(found: Sequence[Record], standings: Sequence[Standing]) -> list[Joined]:
    """Rows of fusions of one task and protocol, the best first.

    The best single row is the one with the highest score on test clips, trainings included: it has
    the luck of the best of many, and a fusion does not look better for it.
    """
    rows = [r for r in ranked(finished(found)) if r.preset is None and not is_control(r)]
    single = next((row for row in rows if not row.fused), None)
    if single is None:
        return []
    return [
        Joined(
            row,
            single,
            row.scored.macro_f1 - single.scored.macro_f1,
            next((s.mean([row], [single]) for s in standings if row in s and single in s), None),
        )
        for row in rows
        if row.fused
    ]
