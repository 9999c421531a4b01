"""Averages of rows, chosen on inner predictions: what stored predictions give for nothing.

Members are chosen for each outer fold by itself, on what rows said of the clips of its inner folds,
which they had not been fitted on. Test predictions are averaged afterwards, and choose nothing.

References:
    Caruana et al. (2004), "Ensemble selection from libraries of models".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.records import predictions
from bench.records.predictions import Unsound
from bench.records.schema import Record
from bench.report.placing import MACRO_F1
from bench.report.select import finished, is_control, ranked
from bench.report.statistics import FEWEST_GROUPS, Counts, Interval, Resampled
from bench.scoring import macro_f1

# Members of an ensemble, one that is chosen twice counted twice.
MOST = 10
# What a further member has to gain, in macro-F1.
_GAIN = 1e-9

Probabilities = NDArray[np.float64]
Codes = NDArray[np.int64]


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


@dataclass(frozen=True, eq=False)
class _Row:
    """What a row said, its clips in one order for all rows.

    Attributes:
        inner, tested: probabilities (clips, classes) of clips of inner folds, and of test clips.
    """

    record: Record
    inner: Probabilities
    tested: Probabilities


@dataclass(frozen=True, eq=False)
class _Clips:
    """The clips that rows have in common.

    Attributes:
        inner_truth, inner_folds: class and outer fold of clips of inner folds (clips,).
        truth, folds, groups: of test clips (clips,).
        shape: how many groups and how many classes there are.
    """

    inner_truth: Codes
    inner_folds: Codes
    truth: Codes
    folds: Codes
    groups: Codes
    shape: tuple[int, int]


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


def ensembles(results: Path, found: Iterable[Record]) -> list[Ensemble]:
    """The ensembles of one task and protocol: of all rows, and of each backbone's.

    Rows take part that were searched on inner folds, and whose clips all others share; trainings
    were not. There is none of fewer than two rows, of splits that repeat, and of generated clips.
    """
    own = [r for r in ranked(finished(found)) if _takes_part(r)]
    if len(own) < 2:
        return []
    rows, clips = _read(results, own)
    groups = {"all": rows}
    for row in rows:
        groups.setdefault(row.record.backbone, []).append(row)
    several = {name: of for name, of in groups.items() if len(of) > 1}
    if len(groups) == 2:  # all of them are one backbone's
        del several["all"]
    return [_of(name, of, clips) for name, of in several.items() if clips is not None]


def _takes_part(record: Record) -> bool:
    searched = bool(record.folds) and all(fold.tried is not None for fold in record.folds)
    apart = record.sample or record.preset or is_control(record) or record.folding.repeats
    return searched and not apart


def _read(results: Path, found: Sequence[Record]) -> tuple[list[_Row], _Clips | None]:
    """Rows on the clips of the best of them, and these clips."""
    rows: list[_Row] = []
    known: tuple[object, ...] | None = None
    clips: _Clips | None = None
    for record in found:
        try:
            both = predictions.inner(results, record), predictions.tested(results, record)
            told = predictions.inner_told(results, record), predictions.told(results, record)
        except Unsound:
            continue
        orders = [
            np.lexsort((np.array(of.clips), own.folds)) for own, of in zip(both, told, strict=True)
        ]
        (inner, first), (tested, second) = zip(both, orders, strict=True)
        key = (
            tuple(record.labels),
            *(tuple(of.clips[i] for i in order) for of, order in zip(told, orders, strict=True)),
            *(own.folds[order].tobytes() for own, order in zip(both, orders, strict=True)),
        )
        if clips is None:
            known = key
            clips = _Clips(
                inner.truth[first],
                inner.folds[first],
                tested.truth[second],
                tested.folds[second],
                tested.groups[second],
                (len(tested.group_names), len(record.labels)),
            )
        if key == known:
            by = (of.probabilities[order] for of, order in zip(told, orders, strict=True))
            rows.append(_Row(record, *by))
    return rows, clips


def _of(name: str, rows: Sequence[_Row], clips: _Clips) -> Ensemble:
    average = np.zeros_like(rows[0].tested)
    members: Counter[int] = Counter()
    for fold in np.unique(clips.folds):
        inner, tested = clips.inner_folds == fold, clips.folds == fold
        chosen = greedy([row.inner[inner] for row in rows], clips.inner_truth[inner])
        members.update(chosen)
        average[tested] = np.mean([rows[place].tested[tested] for place in chosen], axis=0)
    said = average.argmax(axis=1)
    best = max(rows, key=lambda row: row.record.scored.macro_f1)
    interval, over_best = _intervals(said, best, clips)
    return Ensemble(
        name,
        [(rows[place].record, count) for place, count in members.most_common()],
        macro_f1(clips.truth, said),
        interval,
        over_best,
        best.record,
    )


def _intervals(said: Codes, best: _Row, clips: _Clips) -> tuple[Interval | None, Interval | None]:
    """Of the average, and of what it is higher by than the best row's first refit."""
    if best.record.folding.leaks or clips.shape[0] < FEWEST_GROUPS:
        return None, None
    own = Counts.of(clips.truth, [said], clips.groups, clips.shape)
    other = Counts.of(clips.truth, [best.tested.argmax(axis=1)], clips.groups, clips.shape)
    both = Resampled.of([own, other])
    return both.interval({0: 1}, MACRO_F1), both.interval({0: 1, 1: -1}, MACRO_F1)
