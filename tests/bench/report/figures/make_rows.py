"""Records with places, for the tests of figures that compare rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.records.schema import Record
from bench.report.placing import Place
from bench.report.statistics import Interval
from tests.bench.records.make_records import make_record


def row(right: int, backbone: str = "xlsr", rtfx: float = 10.0, **changes: Any) -> Record:
    """A record of 100 clips in each of two classes, so many of which are right."""
    confusion = [[right, 100 - right], [100 - right, right]]
    record = make_record(backbone, confusion=confusion, **changes)
    assert record.throughput is not None
    speed = record.throughput.model_copy(update={"end_to_end_rtfx": rtfx})
    return record.model_copy(update={"throughput": speed})


def placed(found: Sequence[Record], tied: int = 1) -> dict[str, Place]:
    """Places with intervals of 5 points to either side; the best share the first rank."""
    own = sorted((r for r in found if r.control is None), key=lambda r: -r.scored.macro_f1)
    ranks: dict[str, tuple[int, int] | None] = {
        str(r.cell): (1, tied) if place < tied else (tied + 1, len(own))
        for place, r in enumerate(own)
    }

    def around(score: float) -> Interval:
        return Interval(score, score - 0.05, score + 0.05)

    return {
        str(r.cell): Place(
            around(r.scored.macro_f1),
            around(r.scored.accuracy),
            around(r.scored.uar),
            ranks.get(str(r.cell)),
        )
        for r in found
    }
