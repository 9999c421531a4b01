"""Averages of rows, chosen on inner predictions: what stored predictions give for nothing.

Members are chosen for each outer fold by itself, on what rows said of the clips of its inner folds,
which they had not been fitted on. Test predictions are averaged afterwards, and choose nothing.

References:
    Caruana et al. (2004), "Ensemble selection from libraries of models".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.records.schema import Record
from bench.report.placing import MACRO_F1
from bench.report.statistics import FEWEST_GROUPS, Counts, Interval, Resampled
from bench.report.stored import Codes, Probabilities, Stored, alike
from bench.scoring import macro_f1

# Members of an ensemble, one that is chosen twice counted twice.
MOST = 10
# What a further member has to gain, in macro-F1.
_GAIN = 1e-9


@dataclass(frozen=True)
class Ensemble:
    """An average of rows of one task and protocol.

    Attributes:
        name: the backbone of all its members, or `all`.
        members: rows that were chosen, with how many places of all folds each has, the commonest
            first.
        macro_f1: on test clips.
        interval: of it; None where rows have none.
        over_best: what it is higher by than the best row it could choose; None likewise.
        best: that row.
    """

    name: str
    members: Sequence[tuple[Record, int]]
    macro_f1: float
    interval: Interval | None
    over_best: Interval | None
    best: Record


def greedy(rows: Sequence[Probabilities], truth: Codes, most: int = MOST) -> list[int]:
    """Which rows to average, as positions; one that is chosen twice counts twice.

    The row goes in that makes the average's macro-F1 highest, the first of equals, until none
    makes it higher.

    Args:
        rows: probabilities (clips, classes) of each.
        truth: class of each clip (clips,).
        most: how many may be chosen.
    """
    total, best = np.zeros_like(rows[0]), 0.0
    chosen: list[int] = []
    while len(chosen) < most:
        scores = [macro_f1(truth, (total + row).argmax(axis=1)) for row in rows]
        place = int(np.argmax(scores))
        if scores[place] <= best + _GAIN:
            break
        best = scores[place]
        total = total + rows[place]
        chosen.append(place)
    return chosen


def ensembles(found: Sequence[Stored]) -> list[Ensemble]:
    """The ensembles of one task and protocol: of all rows first, then of each backbone's.

    Their probabilities are averaged as they are given: those of a row that is too sure of itself
    count for more than they should, unless a temperature has mended them (`calibration`).

    Rows take part that were searched on inner folds, and whose clips all others share; trainings
    were not. There is none of fewer than two rows, and of splits that repeat.
    """
    searched = (r for r in found if r.inner is not None and not r.record.folding.repeats)
    rows = alike(searched)
    groups = {"all": rows}
    for row in rows:
        if not row.record.fused:
            groups.setdefault(row.record.backbone, []).append(row)
    if len(groups) == 2:  # all of them are one backbone's
        del groups["all"]
    return [_of(name, of) for name, of in groups.items() if len(of) > 1]


def _of(name: str, rows: Sequence[Stored]) -> Ensemble:
    tested, inner = rows[0].tested, [row.inner for row in rows if row.inner is not None]
    average = np.zeros_like(tested.probabilities)
    members: Counter[int] = Counter()
    for fold in np.unique(tested.folds):
        within, own = inner[0].folds == fold, tested.folds == fold
        chosen = greedy([said.probabilities[within] for said in inner], inner[0].truth[within])
        members.update(chosen)
        average[own] = np.mean([rows[at].tested.probabilities[own] for at in chosen], axis=0)
    said = average.argmax(axis=1)
    best = max(rows, key=lambda row: row.record.scored.macro_f1)
    return Ensemble(
        name,
        [(rows[place].record, count) for place, count in members.most_common()],
        macro_f1(tested.truth, said),
        *_intervals(said, best),
        best.record,
    )


def _intervals(said: Codes, best: Stored) -> tuple[Interval | None, Interval | None]:
    """Of the average, and of what it is higher by than the best row's first refit."""
    tested = best.tested
    if best.record.folding.leaks or len(tested.group_names) < FEWEST_GROUPS:
        return None, None
    shape = len(tested.group_names), len(best.record.labels)
    rows = (said, tested.probabilities.argmax(axis=1))
    both = Resampled.of([Counts.of(tested.truth, [own], tested.groups, shape) for own in rows])
    return both.interval({0: 1}, MACRO_F1), both.interval({0: 1, 1: -1}, MACRO_F1)
