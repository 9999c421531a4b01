"""What a record's scores have to be read against: always answering the largest class."""

from __future__ import annotations

from collections.abc import Sequence

from bench.records.schema import Record


def tested(record: Record) -> tuple[int, ...]:
    """Clips tested of each class."""
    return tuple(map(sum, record.scored.confusion))


def macro_f1(counts: Sequence[int]) -> float:
    """Macro-F1 of always answering the largest class, over the classes that have clips.

    Args:
        counts: clips of each class, at least one in all.
    """
    share = max(counts) / sum(counts)
    return 2 * share / (1 + share) / sum(1 for count in counts if count)
