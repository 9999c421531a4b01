"""What rows said of clips, read once for all that is made of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.records import predictions
from bench.records.predictions import Predictions, Told, Unsound
from bench.records.schema import Record
from bench.report.select import finished, is_control, ranked

Probabilities = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Said:
    """Probabilities of clips, in order of fold and name.

    Attributes:
        clips: names (clips,).
        folds, truth, groups: outer fold, class and group of each (clips,).
        group_names: of the groups.
        probabilities: of each class (clips, classes).
    """

    clips: tuple[str, ...]
    folds: Codes
    truth: Codes
    groups: Codes
    group_names: tuple[str, ...]
    probabilities: Probabilities

    @classmethod
    def of(cls, found: Predictions, told: Told) -> Said:
        """Put them in order."""
        order = np.lexsort((np.array(told.clips), found.folds))
        return cls(
            tuple(told.clips[place] for place in order),
            found.folds[order],
            found.truth[order],
            found.groups[order],
            found.group_names,
            told.probabilities[order],
        )

    def alike(self, other: Said) -> bool:
        """Whether both are of the same clips in the same folds."""
        return self.clips == other.clips and np.array_equal(self.folds, other.folds)


@dataclass(frozen=True, eq=False)
class Stored:
    """A row with what its first refit said.

    Attributes:
        tested: of test clips.
        inner: what its chosen settings said of the clips of inner folds, which they had not been
            fitted on; None of a row that was not searched on inner folds.
    """

    record: Record
    tested: Said
    inner: Said | None


def stored(results: Path, found: Iterable[Record]) -> list[Stored]:
    """Rows of real tasks whose predictions can be read, best first; no controls and presets."""
    rows = []
    for record in ranked(finished(found)):
        if record.sample or record.preset is not None or is_control(record):
            continue
        searched = bool(record.folds) and all(fold.tried is not None for fold in record.folds)
        try:
            tested = Said.of(predictions.tested(results, record), predictions.told(results, record))
            inner = None
            if searched:
                inner = Said.of(
                    predictions.inner(results, record), predictions.inner_told(results, record)
                )
        except Unsound:
            continue
        rows.append(Stored(record, tested, inner))
    return rows


def alike(rows: Iterable[Stored]) -> list[Stored]:
    """Those on the clips of the first."""
    own = list(rows)
    first = own[0] if own else None
    return [
        row
        for row in own
        if first is not None
        and row.record.labels == first.record.labels
        and row.tested.alike(first.tested)
        and (row.inner is None) == (first.inner is None)
        and (row.inner is None or first.inner is None or row.inner.alike(first.inner))
    ]
