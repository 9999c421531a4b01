"""How much higher the same row reads where groups are on both sides of a split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.records.schema import Record
from bench.report.placing import MACRO_F1
from bench.report.select import by_protocol, finished, is_control, leaks
from bench.report.statistics import FEWEST_GROUPS, Counts, Interval, Resampled
from bench.report.stored import Stored


@dataclass(frozen=True)
class Leak:
    """One row under a protocol that keeps groups apart and under one that does not.

    Attributes:
        fair, leaky: the records.
        difference: of their macro-F1; None where predictions do not give its interval.
    """

    fair: Record
    leaky: Record
    difference: Interval | None

    @property
    def points(self) -> float:
        """The difference as a share."""
        return self.leaky.scored.macro_f1 - self.fair.scored.macro_f1


def leaks_of(found: Iterable[Record], read: Mapping[str, Stored]) -> list[Leak]:
    """Every row that ran under the first protocol without a leak and under one that leaks.

    Controls, presets, sample tasks and protocols that draw some of the clips take no part, since
    there more differs than what leaks.

    Args:
        found: the rows.
        read: what they said, by cell as text, as far as it can be read.
    """
    by_task: dict[str, list[Record]] = defaultdict(list)
    for record in finished(found):
        if not (record.sample or record.preset or is_control(record) or record.folding.subset):
            by_task[record.task].append(record)
    pairs: list[Leak] = []
    for records in by_task.values():
        own = by_protocol(records)
        fair = next((rows for rows in own.values() if not leaks(rows)), [])
        for rows in own.values():
            pairs += _pairs(fair, rows, read) if leaks(rows) else []
    return pairs


def _pairs(
    fair: Sequence[Record], leaky: Sequence[Record], read: Mapping[str, Stored]
) -> Iterable[Leak]:
    high = {(r.backbone, r.pooling, r.head): r for r in leaky}
    for low in fair:
        other = high.get((low.backbone, low.pooling, low.head))
        if other is not None:
            yield Leak(low, other, _difference(read.get(str(low.cell)), read.get(str(other.cell))))


def _difference(fair: Stored | None, leaky: Stored | None) -> Interval | None:
    """The same groups are drawn for both, so that what makes one easy counts in both."""
    if fair is None or leaky is None:
        return None
    names = fair.tested.group_names
    if names != leaky.tested.group_names or len(names) < FEWEST_GROUPS:
        return None
    return Resampled.of([_counts(fair), _counts(leaky)]).interval({0: -1, 1: 1}, MACRO_F1)


def _counts(row: Stored) -> Counts:
    """Counts of a row; of repeated splits each is counted for itself, as it is scored."""
    found, record = row.tested, row.record
    parts = [found.folds == fold for fold in range(len(record.folds))]
    if not record.folding.repeats:
        parts = [np.ones(len(found.truth), dtype=bool)]
    shape = len(found.group_names), len(record.labels)
    each = [
        Counts.of(found.truth[own], [said[own]], found.groups[own], shape)
        for own in parts
        for said in found.predicted
    ]
    return Counts(
        np.concatenate([counts.right for counts in each]),
        np.concatenate([counts.true for counts in each]),
        np.concatenate([counts.said for counts in each]),
    )
