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
    """What a row said of clips, in order of fold and name.

    Attributes:
        clips: names (clips,).
        folds, truth, groups: outer fold, class and group of each (clips,).
        group_names: of the groups.
        predicted: the class that each seed's refit predicts (clips,).
        probabilities: of each class, by the first refit (clips, classes).
    """

    clips: tuple[str, ...]
    folds: Codes
    truth: Codes
    groups: Codes
    group_names: tuple[str, ...]
    predicted: tuple[Codes, ...]
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
            tuple(said[order] for said in found.said),
            told.probabilities[order],
        )

    def alike(self, other: Said) -> bool:
        """Whether both are of the same clips in the same folds."""
        return self.clips == other.clips and np.array_equal(self.folds, other.folds)


@dataclass(frozen=True, eq=False)
class Stored:
    """A row with what it said.

    Attributes:
        tested: of test clips.
        inner: what its chosen settings said of the clips of inner folds, which they had not been
            fitted on; None of a row that was not searched on inner folds, or where it cannot be
            read.
    """

    record: Record
    tested: Said
    inner: Said | None

    @property
    def tuned(self) -> bool:
        """Whether it is neither a control nor a preset."""
        return self.record.preset is None and not is_control(self.record)


def stored(results: Path, found: Iterable[Record]) -> dict[str, Stored]:
    """Finished rows whose predictions can be read, by their cells as text, best first."""
    read = {}
    for record in ranked(finished(found)):
        try:
            tested = Said.of(predictions.tested(results, record), predictions.told(results, record))
        except Unsound:
            continue
        read[str(record.cell)] = Stored(record, tested, _inner(results, record))
    return read


def _inner(results: Path, record: Record) -> Said | None:
    if not record.folds or any(fold.tried is None for fold in record.folds):
        return None
    try:
        return Said.of(predictions.inner(results, record), predictions.inner_told(results, record))
    except Unsound:
        return None


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
